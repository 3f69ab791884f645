"""Lists, shows and compares past runs; submits sweeps to a cluster."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nsjax.runs.cells import Cell
from nsjax.runs.reading import read_manifest, read_results
from nsjax.runs.storage import RunError
from nsjax.runs.submit import submit
from nsjax.runs.terminal import print_table


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code: 0, or 2 with a line on stderr."""
    parser = argparse.ArgumentParser(prog="python -m nsjax.runs", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    listing = commands.add_parser("list", help="a table of the runs in a folder")
    listing.add_argument("roots", nargs="*", type=Path, metavar="ROOT", help="default: runs")
    showing = commands.add_parser("show", help="manifest and results of runs")
    showing.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    comparing = commands.add_parser("compare", help="where two runs differ, and their results")
    comparing.add_argument("first", type=Path, metavar="FOLDER")
    comparing.add_argument("second", type=Path, metavar="FOLDER")
    submitting = commands.add_parser(
        "submit",
        help="a job of a cluster for each combination of settings",
        usage="%(prog)s SCRIPT --vary NAME VALUE ... [options] [-- words for every job]",
    )
    submitting.add_argument("script", type=Path, metavar="SCRIPT")
    submitting.add_argument(
        "--vary", nargs="+", action="append", default=[], metavar=("NAME", "VALUE")
    )
    submitting.add_argument("--cluster", help="slurm, or local for processes on this machine")
    submitting.add_argument("--minutes", type=int, default=240, help="of a job (default: 240)")
    submitting.add_argument("--gpus", type=int, default=0, help="of a job (default: 0)")
    submitting.add_argument("--partition", help="of SLURM")
    submitting.add_argument("--jobs", type=Path, default=Path("jobs"), help="folder of their logs")
    words = list(sys.argv[1:] if arguments is None else arguments)
    place = words.index("--") if "--" in words else len(words)
    options = parser.parse_args(words[:place])
    try:
        if options.command == "list":
            for root in options.roots or [Path("runs")]:
                _list(root)
        elif options.command == "show":
            for folder in options.folders:
                _show(folder)
        elif options.command == "submit":
            _submit(options, words[place + 1 :])
        else:
            _compare(options.first, options.second)
    except (ImportError, RunError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _submit(options: argparse.Namespace, words: Sequence[str]) -> None:
    varied = {}
    for name, *values in options.vary:
        if not values:
            raise RunError(f"--vary {name} wants values")
        varied[name.removeprefix("--")] = values
    resources = {"timeout_min": options.minutes, "gpus_per_node": options.gpus}
    if options.partition:
        resources["slurm_partition"] = options.partition
    jobs = submit(
        options.script,
        words,
        vary=varied,
        folder=options.jobs,
        cluster=options.cluster,
        **resources,
    )
    rows = [(job.job_id, " ".join(map(str, job.submission().function.words[1:]))) for job in jobs]
    print_table(f"Jobs, what they print in {options.jobs}", ["job", "command"], rows)


def _list(root: Path) -> None:
    if not root.is_dir():
        raise RunError(f"{root} is no folder; name the one that holds the runs")
    rows: list[tuple[Any, ...]] = []
    for depth in ("", "*/", "*/*/"):  # the run itself, an experiment's folder, the root
        for path in sorted(root.glob(f"{depth}manifest.json")):
            folder = path.parent
            try:
                manifest = read_manifest(folder)
            except RunError as error:
                rows.append((folder.parent.name, folder.name, f"unreadable: {error}", "", ""))
                continue
            rows.append(
                (
                    manifest["experiment"],
                    folder.name,
                    manifest["status"],
                    manifest["created"],
                    _cells(folder),
                )
            )
    if not rows:
        raise RunError(f"{root} holds no runs")
    print_table(f"Runs in {root}", ["experiment", "run", "status", "created", "cells"], rows)


def _cells(folder: Path) -> str:
    names = {path.stem for path in folder.glob("cells/[!.]*.json")}
    names |= {path.stem for path in folder.glob("cells/[!.]*.npz")}
    whole = sum(Cell(folder / "cells", name, lambda _: None).finished for name in names)
    damaged = len(names) - whole
    return f"{whole} finished" + (f", {damaged} damaged" if damaged else "")


def _show(folder: Path) -> None:
    manifest = read_manifest(folder)
    sittings = len(manifest["history"])
    facts = {k: v for k, v in manifest.items() if k not in ("config", "history")}
    facts = {**facts, "sittings": sittings, "cells": _cells(folder)}
    print_table(str(folder), ["manifest", "value"], _flatten(facts).items())
    print_table("Config", ["setting", "value"], _flatten(manifest["config"]).items())
    values = _results(folder)
    if values:
        print_table("Results", ["value", ""], values.items())
    else:
        print("No results yet.")


def _compare(first: Path, second: Path) -> None:
    configs, results = [], []
    for folder in (first, second):
        manifest = read_manifest(folder)
        head = {k: manifest[k] for k in ("experiment", "seed")}
        configs.append({**head, **_flatten(manifest["config"])})
        results.append(_results(folder))
    names = [str(first), str(second)]
    differing = [row for row in _side_by_side(*configs) if row[1] != row[2]]
    if differing:
        print_table("Settings that differ", ["setting", *names], differing)
    else:
        print("The settings are the same.")
    rows = _side_by_side(*results)
    if rows:
        print_table("Results", ["value", *names], rows)
    else:
        print("Neither run has results.")


def _results(folder: Path) -> dict[str, Any]:
    if not (folder / "results.json").exists():
        return {}
    return _flatten(read_results(folder)[1])


def _side_by_side(
    first: Mapping[str, Any], second: Mapping[str, Any]
) -> list[tuple[str, Any, Any]]:
    keys = [*first, *(key for key in second if key not in first)]
    return [(key, first.get(key), second.get(key)) for key in keys]


def _flatten(record: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in record.items():
        if isinstance(value, Mapping) and value:
            flat.update(_flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat
