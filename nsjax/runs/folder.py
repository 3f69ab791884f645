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
        "device": provenance.device(),
        **provenance.precision(),
        "git": provenance.commit(),
        "processes": mine.count,
        "job": mine.job,
    }
    wanted = {"experiment": experiment, "seed": int(seed), "config": identity(config)}
    sums = {name: _sum(value) for name, value in (data or {}).items()}

    if here.resumed and here.folder is not None and path.resolve() != here.folder.resolve():
        differing = differences(without_class(wanted), read_manifest(here.folder))
        if differing:
            raise _another(here.folder, differing)
        path = here.folder  # renamed
    if mine.leads:
        run = _opened(path, sitting, wanted, sums, bool(mix_versions), config, label, digest)
    else:
        run = Run(path, _announced(path, mine.job), processes=mine)
    if mine.count > 1:
        run.accompany()
    here.folder = path
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
    path: Path,
    sitting: dict[str, Any],
    wanted: Mapping[str, Any],
    sums: Mapping[str, str],
    mix_versions: bool,
    config: Any,
    label: str,
    digest: str,
) -> Run:
    """The run, with its manifest written."""
    lock, past = _enter(path, sitting, without_class(wanted), sums, mix_versions)
    history = [] if past is None else past["history"]
    manifest = {
        "schema": SCHEMA,
        "experiment": wanted["experiment"],
        "label": label,
        "config": to_json(config, where="config", words=True),
        "config_hash": digest,
        "data": sums,
        "seed": wanted["seed"],
        "created": sitting["started"] if past is None else past["created"],
        "updated": sitting["started"],
        **{k: v for k, v in sitting.items() if k not in ("started", "ended", "job")},
        "history": [*history, sitting],
    }
    run = Run(path, manifest, lock=lock, processes=processes.current())
    run._touch()
    run.log("resumed" if history else "started")
    if past is not None:
        names = ("device", "git", "processes")
        for line in differences({name: sitting[name] for name in names}, past):
            run.log(f"not as before: {line}")
    return run


def _enter(
    path: Path,
    sitting: Mapping[str, Any],
    wanted: Mapping[str, Any],
    sums: Mapping[str, str],
    mix_versions: bool,
) -> tuple[Lock, dict[str, Any] | None]:
    """Makes the folder and locks it; with the manifest that is there, if it is the same run."""
    try:
        for name in ("cells", "figures"):
            (path / name).mkdir(parents=True, exist_ok=True)
        lock = Lock(path / ".lock")
    except OSError as error:
        raise RunError(f"cannot write to {path}: {error.strerror}; choose another root") from error
    for folder in (path, path / "cells", path / "figures", path / "checkpoints"):
        for left in [*folder.glob(".*.tmp"), *folder.glob(".gone-*")]:  # by processes killed
            shutil.rmtree(left) if left.is_dir() else left.unlink()
    try:
        past = _past(path, sitting, wanted, sums, mix_versions)
    except BaseException:
        lock.release()
        raise
    return lock, past


def _past(
    path: Path,
    sitting: Mapping[str, Any],
    wanted: Mapping[str, Any],
    sums: Mapping[str, str],
    mix_versions: bool,
) -> dict[str, Any] | None:
    begun = any(path.glob("cells/*.json")) or any(path.glob("checkpoints/*"))
    if not (path / "manifest.json").exists():
        if begun:
            raise RunError(f"{path} holds cells but no manifest.json; move it away to start anew")
        return None
    past = read_manifest(path)
    differing = differences(wanted, past)
    if "data" in past:
        differing += differences({"data": sums}, past)
    if differing:
        raise _another(path, differing)
    names = ("versions", "default_dtype")
    differing = differences({name: sitting[name] for name in names}, past)
    if differing and begun and not mix_versions:
        raise RunError(
            f"{path} was begun with other versions: {'; '.join(differing)}. Its results would be "
            "of both: choose another root, or say --mix-versions"
        )
    return past


def _another(path: Path, differing: Sequence[str]) -> RunError:
    return RunError(
        f"{path / 'manifest.json'} belongs to another config: {'; '.join(differing)}. "
        "Move the folder away, or choose another root"
    )


def _sum(value: Any) -> str:
    if isinstance(value, bytes):
        return hashlib.sha256(value).hexdigest()
    array = np.ascontiguousarray(value)
    head = f"{array.dtype.str} {array.shape} ".encode()
    return hashlib.sha256(head + array.tobytes()).hexdigest()
