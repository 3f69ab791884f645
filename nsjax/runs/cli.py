"""Lists, shows and compares past runs; submits sweeps to a cluster."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nsjax.runs import summary
from nsjax.runs.command import EXIT_CODES, parser
from nsjax.runs.reading import read_manifest, read_results
from nsjax.runs.report import write_report
from nsjax.runs.storage import RunError
from nsjax.runs.submit import submit
from nsjax.runs.terminal import print_table

PROG = "python -m nsjax.runs"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code: 0, or 2 with a line on stderr."""
    made = parser(PROG, "Lists, shows and compares past runs; submits sweeps to a cluster.")
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, purpose: str, **options: Any) -> argparse.ArgumentParser:
        about = f"{purpose[0].upper()}{purpose[1:]}."
        return commands.add_parser(
            name, help=purpose, description=about, epilog=EXIT_CODES, **options
        )

    listing = add("list", "a table of the runs in a folder")
    listing.add_argument("roots", nargs="*", type=Path, metavar="ROOT", help="default: runs")
    showing = add("show", "manifest, tables, results and figures of runs")
    showing.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    showing.add_argument(
        "--html", action="store_true", help="write report.html into the folder instead"
    )
    comparing = add("compare", "settings and versions that differ, and results side by side")
    comparing.add_argument("first", type=Path, metavar="FOLDER")
    comparing.add_argument("second", type=Path, metavar="FOLDER")
    submitting = add(
        "submit",
        "a job of a cluster for each combination of settings",
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
    words = list(sys.argv[1:] if arguments is None else arguments) or ["list"]
    place = words.index("--") if "--" in words else len(words)
    options = made.parse_args(words[:place])
    try:
        if options.command == "list":
            for root in options.roots or [Path("runs")]:
                _list(root)
        elif options.command == "show":
            for folder in options.folders:
                if options.html:
                    print(write_report(folder))
                else:
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
    rows: list[tuple[str, ...]] = []
    for depth in ("", "*/", "*/*/"):  # the run itself, an experiment's folder, the root
        for path in root.glob(f"{depth}manifest.json"):
            rows.append(_row(path.parent))
    if not rows:
        raise RunError(f"{root} holds no runs")
    columns = ["run", "experiment", "created", "state", "wall time", "cells", "command"]
    # In the order of their experiments and times.
    rows.sort(key=lambda row: (row[1], row[2], row[0]))
    print_table(f"Runs in {root}", columns, rows)


def _row(folder: Path) -> tuple[str, ...]:
    try:
        manifest = read_manifest(folder)
    except RunError as error:
        return (str(folder), folder.parent.name, "", f"unreadable: {error}", "", "", "")
    return (
        str(folder),
        manifest["experiment"],
        summary.moment(manifest["created"]),
        summary.state(folder, manifest),
        summary.wall_time(manifest),
        summary.cells(folder),
        summary.command(manifest),
    )


def _show(folder: Path) -> None:
    manifest = read_manifest(folder)
    values = _results(folder)
    facts = {k: v for k, v in manifest.items() if k not in ("config", "history", "command")}
    facts |= {
        "status": summary.state(folder, manifest),
        "wall time": summary.wall_time(manifest),
        "sittings": len(manifest["history"]),
        "cells": summary.cells(folder),
        "command": summary.command(manifest),
        "to go on": summary.resumption(folder, manifest),
    }
    print_table(str(folder), ["manifest", "value"], summary.flatten(facts).items())
    print_table("Settings", ["setting", "value"], summary.flatten(manifest["config"]).items())
    for table in summary.read_tables(folder):
        print_table(*table)
    if values:
        print_table("Results", ["value", ""], values.items())
    else:
        print("No results yet.")
    files = [*summary.figures(folder), *folder.glob("report.html")]
    if files:
        print_table("To look at", ["file"], [[str(path)] for path in files])


def _compare(first: Path, second: Path) -> None:
    manifests = [read_manifest(folder) for folder in (first, second)]
    results = [_results(folder) for folder in (first, second)]
    names = [str(first), str(second)]
    for title, parts in (
        ("settings", [_settings(each) for each in manifests]),
        ("versions", [_origin(each) for each in manifests]),
    ):
        differing = [row for row in _side_by_side(*parts) if row[1] != row[2]]
        if differing:
            print_table(f"{title.capitalize()} that differ", [title[:-1], *names], differing)
        else:
            print(f"The {title} are the same.")
    rows = [(*row, _difference(*row[1:])) for row in _side_by_side(*results)]
    if rows:
        print_table("Results", ["value", *names, "difference"], rows)
    else:
        print("Neither run has results.")


def _settings(manifest: Mapping[str, Any]) -> dict[str, Any]:
    head = {key: manifest[key] for key in ("experiment", "seed")}
    return {**head, **summary.flatten(manifest["config"])}


def _origin(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What results depend on beside the settings."""
    parts = {key: manifest.get(key) for key in ("machine", "device", "default_dtype", "git")}
    return {**manifest["versions"], **summary.flatten(parts)}


def _results(folder: Path) -> dict[str, Any]:
    if not (folder / "results.json").exists():
        return {}
    return summary.flatten(read_results(folder)[1])


def _side_by_side(
    first: Mapping[str, Any], second: Mapping[str, Any]
) -> list[tuple[str, Any, Any]]:
    keys = [*first, *(key for key in second if key not in first)]
    return [(key, first.get(key), second.get(key)) for key in keys]


def _difference(first: Any, second: Any) -> str:
    """Second minus first; of lists the largest size of it; of what has none, whether they differ.

    >>> _difference(1.0, 1.5), _difference([1, 2], [1, 4]), _difference("a", "a")
    ('+0.5', 'up to 2', 'none')
    >>> _difference(1.0, None), _difference([1, 2], [1, 2, 3]), _difference(True, False)
    ('differ', 'differ', 'differ')
    """
    if first == second:
        return "none"
    if None in (first, second) or isinstance(first, str | bool) or isinstance(second, str | bool):
        return "differ"
    try:
        before, after = (np.asarray(each, dtype=float) for each in (first, second))
    except (TypeError, ValueError):
        return "differ"
    if np.array_equal(before, after, equal_nan=True):
        return "none"
    if before.shape != after.shape or not np.all(np.isfinite(after - before)):
        return "differ"
    if before.ndim == 0:
        return f"{after - before:+.4g}"
    return f"up to {np.max(np.abs(after - before)):.4g}"
