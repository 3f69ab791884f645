"""Opening a run's folder, new or to be resumed."""

import contextlib
import hashlib
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nsjax.runs import job, processes, provenance
from nsjax.runs.identity import config_hash, differences, identity, without_class
from nsjax.runs.locking import Lock
from nsjax.runs.reading import SCHEMA, read_manifest
from nsjax.runs.run import Run, now
from nsjax.runs.storage import RunError, check_name, to_json


def open_run(
    root: str | os.PathLike[str],
    experiment: str,
    config: Any,
    *,
    seed: int,
    data: Mapping[str, Any] | None = None,
    command: Sequence[str] | str | None = None,
    label: str | None = None,
    mix_versions: bool | None = None,
) -> Run:
    """Opens the folder of a run, new or to be resumed; call `setup` before, not after.

    The folder is `<root>/<experiment>/<label>-<8 hex digits of config_hash>`, so the same config
    and seed come back to the same folder. It is locked while the run is open.

    Args:
        root: folder of all runs.
        experiment: name of the script; safe as a file name.
        config: a dataclass. Fields declared with `field(compare=False)`, such as whether to show
            progress, are recorded but do not tell runs apart.
        seed: seed of the run's random numbers.
        data: what the config only names, such as the arrays of a data file: bytes or arrays, by
            name. Their SHA-256 sums are kept, and a run is not resumed with others.
        command: command line, as words or as one string; that of the process by default.
        label: readable start of the folder's name; `config.preset` by default, or else `"run"`.
        mix_versions: whether to go on with a run whose cells were computed by other versions; as
            `--mix-versions` on the command line says by default.

    Returns:
        The run, with status `running`.

    Raises:
        ValueError: for a bad experiment name or label.
        TypeError: if the config is no dataclass, holds what JSON cannot, or the seed is no int.
        RunError: if the folder has another schema, config, data or versions, which are named; if
            its manifest is damaged; if another process works in it; if it cannot be written.
    """
    check_name("experiment", experiment)
    label = check_name("label", label or getattr(config, "preset", None) or "run")
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise TypeError(f"seed must be an integer, got {seed!r}")
    digest = config_hash(config, seed=int(seed))
    path = Path(root) / experiment / f"{label}-{digest[:8]}"
    here, mine = job.current(), processes.current()
    if mix_versions is None:
        mix_versions = here.mix_versions
    words = here.words if command is None else command
    sitting: dict[str, Any] = {
        "started": now(),
        "ended": None,
        "status": "running",
        "error": None,
        "command": words if isinstance(words, str) else list(words),
        "versions": provenance.versions(),
        "machine": provenance.machine(),
        "device": provenance.device(),
        **provenance.precision(),
        "git": provenance.commit(),
        "processes": mine.count,
        "job": mine.job,
    }
    manifest = {
        "schema": SCHEMA,
        "experiment": experiment,
        "label": label,
        "config": to_json(config, where="config", words=True),
        "config_hash": digest,
        "data": {name: _sum(value) for name, value in (data or {}).items()},
        "seed": int(seed),
        "created": sitting["started"],
        "updated": sitting["started"],
        **{k: v for k, v in sitting.items() if k not in ("started", "ended", "job")},
        "history": [sitting],
    }
    # As the config compares, not as it is recorded.
    wanted = without_class(
        {"experiment": experiment, "seed": int(seed), "config": identity(config)}
    )
    if here.resume is not None and path.resolve() != here.resume.resolve():
        _check_same(here.resume, read_manifest(here.resume), wanted)
        path = here.resume  # renamed
    if mine.leads:
        run = _opened(path, manifest, wanted, mix_versions=bool(mix_versions))
    else:
        run = Run(path, _announced(path, mine.job), processes=mine)
    if mine.count > 1:
        run.accompany()
    here.opened = path
    return run


def _announced(path: Path, job: str) -> dict[str, Any]:
    """The manifest, once the first process has written that of this job."""
    begun = time.monotonic()
    while time.monotonic() - begun < processes.SILENCE:
        with contextlib.suppress(RunError, OSError):
            manifest = read_manifest(path)
            if manifest["history"][-1]["job"] == job:
                return manifest
        time.sleep(0.1)
    raise RunError(
        f"the first process has not opened {path} within {processes.SILENCE:.0f} s; see what it "
        "says, and whether all see the same folder"
    )


def _opened(
    path: Path, manifest: dict[str, Any], wanted: Mapping[str, Any], *, mix_versions: bool
) -> Run:
    """The run in its folder, locked and with its manifest written.

    Args:
        path: of the folder.
        manifest: of a new run.
        wanted: what it must share with one that is there.
        mix_versions: see `open_run`.
    """
    lock = _enter(path)
    try:
        past = _past(path)
        if past is not None:
            _check_same(path, past, wanted)
            if "data" in past:
                _check_same(path, past, {"data": manifest["data"]})
            if not mix_versions:
                _check_versions(path, past, manifest)
            history = [*past["history"], *manifest["history"]]
            manifest = {**manifest, "created": past["created"], "history": history}
        run = Run(path, manifest, lock=lock, processes=processes.current())
        run._touch()
    except BaseException:
        lock.release()
        raise
    run.log("started" if past is None else "resumed")
    for line in differences(_parts(manifest, "device", "git", "processes"), past or manifest):
        run.log(f"not as before: {line}")
    return run


def _enter(path: Path) -> Lock:
    """Makes the folder, locks it, and removes what processes that were killed have left."""
    try:
        for name in ("cells", "figures"):
            (path / name).mkdir(parents=True, exist_ok=True)
        lock = Lock(path / ".lock")
    except OSError as error:
        raise RunError(f"cannot write to {path}: {error.strerror}; choose another root") from error
    for folder in (path, path / "cells", path / "figures", path / "checkpoints"):
        for left in [*folder.glob(".*.tmp"), *folder.glob(".gone-*")]:
            shutil.rmtree(left) if left.is_dir() else left.unlink()
    return lock


def _begun(path: Path) -> bool:
    """Whether something has been computed."""
    return any(path.glob("cells/*.json")) or any(path.glob("checkpoints/*"))


def _past(path: Path) -> dict[str, Any] | None:
    """The manifest that is there."""
    if (path / "manifest.json").exists():
        return read_manifest(path)
    if _begun(path):
        raise RunError(f"{path} holds cells but no manifest.json; move it away to start anew")
    return None


def _check_same(path: Path, past: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    differing = differences(wanted, past)
    if differing:
        raise RunError(
            f"{path / 'manifest.json'} belongs to another config: {'; '.join(differing)}. "
            "Move the folder away, or choose another root"
        )


def _check_versions(path: Path, past: Mapping[str, Any], manifest: Mapping[str, Any]) -> None:
    differing = differences(_parts(manifest, "versions", "default_dtype"), past)
    if differing and _begun(path):
        raise RunError(
            f"{path} was begun with other versions: {'; '.join(differing)}. Its results would be "
            "of both: choose another root, or say --mix-versions"
        )


def _parts(manifest: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: manifest[name] for name in names}


def _sum(value: Any) -> str:
    if isinstance(value, bytes):
        return hashlib.sha256(value).hexdigest()
    array = np.ascontiguousarray(value)
    head = f"{array.dtype.str} {array.shape} ".encode()
    return hashlib.sha256(head + array.tobytes()).hexdigest()
