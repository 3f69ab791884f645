"""What there is to say about a past run, for the terminal and for its report."""

import os
import shlex
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from nsjax.runs.cells import Cell
from nsjax.runs.locking import held
from nsjax.runs.reading import SCHEMA
from nsjax.runs.storage import RunError, from_json, read_json


class Table(NamedTuple):
    """A table that a run has printed."""

    title: str
    columns: list[str]
    rows: list[list[Any]]


def read_tables(folder: Path) -> list[Table]:
    """The tables that a run has printed; none of a run older than `tables.json`.

    Raises:
        RunError: if the file is damaged.
    """
    path = folder / "tables.json"
    if not path.exists():
        return []
    record = read_json(path)
    if not isinstance(record, dict) or record.get("schema") != SCHEMA:
        raise RunError(f"{path} has not schema {SCHEMA}")
    return [Table(each["title"], each["columns"], each["rows"]) for each in record["tables"]]


def read_values(folder: Path) -> dict[str, Any]:
    """The values of the results, without a look at their arrays; empty if there are none.

    Raises:
        RunError: if the file is damaged.
    """
    path = folder / "results.json"
    if not path.exists():
        return {}
    record = read_json(path)
    if not isinstance(record, dict) or not isinstance(record.get("values"), dict):
        raise RunError(f"{path} holds no values")
    return from_json(record["values"])


def figures(folder: Path) -> list[Path]:
    """The figures of a run as PNG files, the oldest first, as the script has drawn them."""
    return sorted(folder.glob("figures/[!.]*.png"), key=lambda path: (path.stat().st_mtime, path))


def state(folder: Path, manifest: Mapping[str, Any]) -> str:
    """How a run ended; `running` while a process works in it, `unfinished` if it was killed."""
    if manifest["status"] != "running":
        return str(manifest["status"])
    return "running" if held(folder / ".lock") else "unfinished"


def cells(folder: Path) -> str:
    """How many points of the sweep are finished, and how many damaged."""
    names = {path.stem for path in folder.glob("cells/[!.]*.json")}
    names |= {path.stem for path in folder.glob("cells/[!.]*.npz")}
    whole = sum(Cell(folder / "cells", name, lambda _: None).finished for name in names)
    damaged = len(names) - whole
    return f"{whole} finished" + (f", {damaged} damaged" if damaged else "")


def wall_time(manifest: Mapping[str, Any]) -> str:
    """Time from start to end of all sittings together; of killed ones nobody knows the end."""
    known = [each for each in manifest["history"] if each["ended"] is not None]
    if not known:
        return "-"
    times = [(each["started"], each["ended"]) for each in known]
    seconds = sum(
        (datetime.fromisoformat(ended) - datetime.fromisoformat(started)).total_seconds()
        for started, ended in times
    )
    return ("" if len(known) == len(manifest["history"]) else "at least ") + duration(seconds)


def moment(time: str | None) -> str:
    """A time of a manifest for people.

    >>> moment("2026-01-31T12:00:00+00:00"), moment(None)
    ('2026-01-31 12:00:00 UTC', '-')
    """
    return "-" if time is None else time.replace("T", " ").replace("+00:00", " UTC")


def duration(seconds: float) -> str:
    """A time in words.

    >>> duration(7), duration(200), duration(7500)
    ('7 s', '3 min 20 s', '2 h 05 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def command(manifest: Mapping[str, Any]) -> str:
    """The command line that computes the run again."""
    words = manifest["command"]
    return words if isinstance(words, str) else _line(words)


def resumption(folder: Path, manifest: Mapping[str, Any]) -> str | None:
    """The command line that goes on with the run; None if its script has none."""
    words = manifest["command"]
    if isinstance(words, str) or not words or not str(words[0]).endswith(".py"):
        return None
    return _line([words[0], "--resume", _near(str(folder))])


def _line(words: list[str]) -> str:
    line = shlex.join([_near(str(words[0])), *map(str, words[1:])]) if words else ""
    return f"python {line}" if words and str(words[0]).endswith(".py") else line


def _near(path: str) -> str:
    """A path from the working directory, where it lies beneath."""
    return os.path.relpath(path) if Path(path).is_relative_to(Path.cwd()) else path


def flatten(record: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings, and lists of mappings, as one with dotted names.

    >>> flatten({"slope": {"q3": -1.0}, "rows": [{"n": 1}, {"n": 2}], "all": [1, 2]})
    {'slope.q3': -1.0, 'rows.0.n': 1, 'rows.1.n': 2, 'all': [1, 2]}
    """
    flat: dict[str, Any] = {}
    for key, value in record.items():
        if isinstance(value, list) and value and all(isinstance(each, Mapping) for each in value):
            value = {str(place): each for place, each in enumerate(value)}
        if isinstance(value, Mapping) and value:
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat
