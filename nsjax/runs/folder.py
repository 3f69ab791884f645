"""A run's folder: its manifest, cells, results, figures and log."""

import dataclasses
import hashlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from nsjax.runs import provenance
from nsjax.runs.cells import Cell
from nsjax.runs.storage import (
    RunError,
    check_name,
    from_json,
    read_json,
    read_npz,
    save_pair,
    sha256,
    to_json,
    write_atomic,
    write_json,
)

SCHEMA = 1


class Run:
    """An open run folder; made by `open_run`.

    As a context manager it writes how the run ended into the manifest: `finished`, `failed` with
    the text of the exception, or `interrupted`. A run that was killed is left as `running`.
    """

    def __init__(self, path: Path, manifest: dict[str, Any]) -> None:
        self.path = path
        self.manifest = manifest

    def __enter__(self) -> "Run":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None or (isinstance(error, SystemExit) and error.code in (None, 0)):
            self._end("finished", None)
        elif isinstance(error, KeyboardInterrupt):
            self._end("interrupted", None)
        else:
            self._end("failed", f"{type(error).__name__}: {error}")

    def cell(self, name: str) -> Cell:
        """The cell of one point of a sweep.

        Args:
            name: safe as a file name, such as `"p=2_delta=1e-08"`.

        Raises:
            ValueError: for a bad name.
        """
        return Cell(self.path / "cells", name, lambda message: self.log(message, echo=True))

    def save_results(self, arrays: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        """Writes `results.npz` and `results.json`.

        Args:
            arrays: NumPy or JAX arrays of any shape, by name.
            values: what `to_json` takes.

        Raises:
            ValueError, TypeError: for a bad array name, or what npz or JSON cannot hold.
        """
        save_pair(self.path, "results", arrays, values, {"schema": SCHEMA})
        self._touch()

    def load_results(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Returns the arrays and values of the results; see `read_results`."""
        return read_results(self.path)

    def save_figure(self, figure: Any, name: str) -> Path:
        """Writes a matplotlib figure as `figures/NAME.png` and `figures/NAME.pdf`.

        Returns:
            The path of the PNG file.

        Raises:
            ValueError: for a bad name.
        """
        check_name("figure", name)
        png, pdf = (self.path / "figures" / f"{name}.{ending}" for ending in ("png", "pdf"))
        write_atomic(png, partial(figure.savefig, format="png", dpi=150))
        write_atomic(pdf, partial(figure.savefig, format="pdf"))
        return png

    def save_text(self, text: str, name: str) -> Path:
        """Writes a text as `texts/NAME`, in UTF-8.

        Args:
            text: what the file is to hold, such as JSON of the script's own.
            name: of the file with its ending, such as `"formula.json"`.

        Returns:
            The path of the file.

        Raises:
            ValueError: for a bad name.
            TypeError: if `text` is no string.
        """
        check_name("text", name)
        if not isinstance(text, str):
            raise TypeError(f"text must be a string, got {type(text).__name__}")
        path = self.path / "texts" / name
        path.parent.mkdir(exist_ok=True)
        write_atomic(path, lambda file: file.write(text.encode()))
        return path

    def log(self, message: str, *, echo: bool = False) -> None:
        """Appends a line with the time (UTC) to `log.txt`, and with `echo` to stderr as well."""
        with open(self.path / "log.txt", "a", encoding="utf-8") as file:
            file.write(f"{_now()} {message}\n")
        if echo:
            print(message, file=sys.stderr)

    def _end(self, status: str, error: str | None) -> None:
        for record in (self.manifest, self.manifest["history"][-1]):
            record["status"] = status
            record["error"] = error
        self.manifest["history"][-1]["ended"] = _now()
        self._touch()
        self.log(status if error is None else f"{status}: {error}")

    def _touch(self) -> None:
        self.manifest["updated"] = _now()
        write_json(self.path / "manifest.json", self.manifest)


def open_run(
    root: str | os.PathLike[str],
    experiment: str,
    config: Any,
    *,
    seed: int,
    command: Sequence[str] | str | None = None,
    label: str | None = None,
) -> Run:
    """Opens the folder of a run, new or to be resumed; call `setup` before, not after.

    The folder is `<root>/<experiment>/<label>-<8 hex digits of config_hash>`, so the same config
    and seed come back to the same folder.

    Args:
        root: folder of all runs.
        experiment: name of the script; safe as a file name.
        config: a dataclass. Fields declared with `field(compare=False)`, such as whether to show
            progress, are recorded but do not tell runs apart.
        seed: seed of the run's random numbers.
        command: command line, as words or as one string; that of the process by default.
        label: readable start of the folder's name; `config.preset` by default, or else `"run"`.

    Returns:
        The run, with status `running`.

    Raises:
        ValueError: for a bad experiment name or label.
        TypeError: if the config is no dataclass, holds what JSON cannot, or the seed is no int.
        RunError: if the folder has another schema, another config or a damaged manifest.
    """
    check_name("experiment", experiment)
    label = check_name("label", label or getattr(config, "preset", None) or "run")
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise TypeError(f"seed must be an integer, got {seed!r}")
    digest = config_hash(config, seed=int(seed))
    path = Path(root) / experiment / f"{label}-{digest[:8]}"
    manifest_path = path / "manifest.json"
    words = sys.argv if command is None else command
    sitting = {
        "started": _now(),
        "ended": None,
        "status": "running",
        "error": None,
        "command": words if isinstance(words, str) else list(words),
        "versions": provenance.versions(),
        "device": provenance.device(),
        **provenance.precision(),
        "git": provenance.commit(),
    }
    if manifest_path.exists():
        past = read_manifest(path)
        _check_same(manifest_path, past, experiment, config, int(seed))
        created, history = past["created"], past["history"]
    else:
        if any(path.glob("cells/*.json")):
            raise RunError(f"{path} holds cells but no manifest.json; move it away to start anew")
        created, history = sitting["started"], []
    for name in ("cells", "figures"):
        (path / name).mkdir(parents=True, exist_ok=True)
    shared = {k: v for k, v in sitting.items() if k not in ("started", "ended")}
    manifest = {
        "schema": SCHEMA,
        "experiment": experiment,
        "label": label,
        "config": to_json(config, where="config", words=True),
        "config_hash": digest,
        "seed": int(seed),
        "created": created,
        "updated": sitting["started"],
        **shared,
        "history": [*history, sitting],
    }
    run = Run(path, manifest)
    run._touch()
    run.log("resumed" if history else "started")
    return run


def config_hash(config: Any, *, seed: int | None = None) -> str:
    """A hash of a config that stays the same from process to process.

    Configs that compare equal have equal hashes: the integer 1 and the float 1.0 count as the
    same, and fields declared with `field(compare=False)` are left out.

    Args:
        config: a dataclass of what `to_json` takes; it may hold further dataclasses.
        seed: seed that belongs to the config, if it has no such field.

    Returns:
        64 hexadecimal digits.
    """
    if not dataclasses.is_dataclass(config) or isinstance(config, type):
        raise TypeError(f"config must be a dataclass object, got {config!r}")
    text = json.dumps([_identity(config), seed], sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def read_manifest(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads the manifest of a run folder.

    Raises:
        RunError: if there is none, or it is damaged or has another schema.
    """
    manifest_path = Path(path) / "manifest.json"
    if not manifest_path.is_file():
        raise RunError(f"{Path(path)} is no run folder: it has no manifest.json")
    manifest = read_json(manifest_path)
    schema = manifest.get("schema") if isinstance(manifest, dict) else None
    if schema != SCHEMA:
        raise RunError(f"{manifest_path} has schema {schema!r}, this version reads {SCHEMA}")
    return manifest


def read_results(
    path: str | os.PathLike[str],
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Reads the results of a run folder: its arrays and its values.

    Raises:
        RunError: if there are none, or they are damaged.
    """
    npz_path, json_path = Path(path) / "results.npz", Path(path) / "results.json"
    if not (npz_path.is_file() and json_path.is_file()):
        raise RunError(f"{Path(path)} has no results")
    record = read_json(json_path)
    if not isinstance(record, dict) or record.get("npz_sha256") != sha256(npz_path):
        raise RunError(f"{npz_path} is not the file that was saved with {json_path.name}")
    return read_npz(npz_path), from_json(record["values"])


def _check_same(where: Path, past: dict[str, Any], experiment: str, config: Any, seed: int) -> None:
    wanted = {
        "experiment": experiment,
        "seed": seed,
        "config": _without_class(_identity(config)),
    }
    differing = _differences(wanted, past)
    if differing:
        raise RunError(
            f"{where} belongs to another config: {'; '.join(differing)}. "
            "Move the folder away, or choose another root"
        )


def _differences(wanted: Any, found: Any, place: str = "") -> list[str]:
    if isinstance(wanted, dict) and isinstance(found, dict):
        lines = []
        for key, value in wanted.items():
            inner = f"{place}.{key}" if place else key
            lines += _differences(value, found.get(key), inner)
        return lines
    return [] if wanted == found else [f"{place} is {found!r} there and {wanted!r} here"]


def _identity(value: Any, *, nested: bool = False) -> Any:
    """What tells one config from another, as JSON data."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [f for f in dataclasses.fields(value) if f.compare]
        record = {f.name: _identity(getattr(value, f.name), nested=True) for f in fields}
        # Python allows no field called `class`, so this key is free.
        return {"class": type(value).__name__, **record} if nested else record
    if isinstance(value, Mapping):
        return {k: _identity(v, nested=True) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_identity(v, nested=True) for v in value]
    plain = to_json(value, where="config", words=True)
    if isinstance(plain, float) and plain.is_integer() and abs(plain) < 2**53:
        return int(plain)
    return plain


def _without_class(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_class(v) for k, v in value.items() if k != "class"}
    return [_without_class(v) for v in value] if isinstance(value, list) else value


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
