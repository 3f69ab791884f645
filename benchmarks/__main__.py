"""Lists or runs the benchmarks: `python -m benchmarks [list|NAME ...|all] [options]`.

Each runs in a process of its own, one after the other. After a single NAME, every further word is
an option of that benchmark. Interrupted, the exit code is 130, and `--resume` goes on.
"""

from __future__ import annotations

import argparse
import ast
import datetime
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import machine, rows
from nsjax import runs
from nsjax.runs import command

FOLDER = Path(__file__).resolve().parent
PROG = "python -m benchmarks"
FILE, SCHEMA = "bench.json", 1
Record = dict[str, Any]


def scripts(folder: Path = FOLDER) -> dict[str, Path]:
    """The files of a folder that define `main` and are no command of their own, by name."""
    return {
        path.stem: path
        for path in sorted(folder.glob("*.py"))
        if not path.stem.startswith("_") and "main" in _functions(path)
    }


def _functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def describe() -> dict[str, Any]:
    """The machine, seen from a process of its own: this one leaves the accelerator to others."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.machine"],
        cwd=FOLDER.parent,
        env=_environment(),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def _environment() -> dict[str, str]:
    paths = [str(FOLDER.parent), os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}


def run_one(path: Path, words: Sequence[str], root: Path) -> Record:
    """One benchmark in a process of its own; what it prints goes to `<root>/<name>.log`."""
    log, begun, load = root / f"{path.stem}.log", time.perf_counter(), machine.load()
    with log.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(
            [sys.executable, str(path), *words, "--root", str(root)],
            cwd=Path.cwd(),
            env=_environment(),
            stdout=file,
            stderr=subprocess.STDOUT,
        )
        try:
            # Not `process.wait`: of each child its own memory and CPU time are wanted.
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.terminate()
            process.wait()
            raise
    process.returncode = os.waitstatus_to_exitcode(status)
    record: Record = {
        "status": "finished",
        "seconds": time.perf_counter() - begun,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_mb": usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10),
        "load": load,
        "rows": [],
    }
    if process.returncode:
        lines = log.read_text(encoding="utf-8").strip().splitlines()
        last = lines[-1] if lines else "it said nothing"
        return record | {"status": f"failed with exit code {process.returncode}: {last}"}
    try:
        record["rows"] = found(root, path.stem)
    except (runs.RunError, KeyError, TypeError, ValueError) as error:
        record["status"] = f"failed: no rows in its results: {error}"
    return record


def found(root: Path, name: str) -> list[dict[str, Any]]:
    """The rows in the newest results of a benchmark."""
    folders = sorted(root.glob(f"benchmark_{name}/*/results.json"), key=os.path.getmtime)
    if not folders:
        raise runs.RunError(f"{root} holds no results of {name}")
    _, values = runs.read_results(folders[-1].parent)
    return rows.to_json(rows.from_json(values["rows"]))


def report(record: Record) -> None:
    """Prints machine, rows and costs of a run."""
    about = record["machine"]
    versions = ", ".join(f"{k} {v}" for k, v in about["versions"].items() if v)
    device = about["device"]
    size = "" if about["memory_gib"] is None else f", {about['memory_gib']:.0f} GiB"
    facts = [
        ("processor", f"{about['processor']}, {about['cores']} cores{size}"),
        ("device", f"{device['count']} x {device['kind']} ({device['platform']})"),
        ("precision", f"{about['dtype_of_scripts']} but where a row says another"),
        ("system", about["system"]),
        ("versions", versions),
        ("XLA", about["xla"]),
        ("load", _busy(record)),
    ]
    runs.print_table("Machine", ["", ""], facts)
    done = record["benchmarks"]
    rows.show_all(
        "Benchmarks: medians; ratio: the reference over ours, with its quartiles",
        {name: rows.from_json(each["rows"]) for name, each in done.items()},
    )
    runs.print_table(
        "Runs",
        ["benchmark", "status", "s", "CPU s", "peak MB", "load before"],
        [
            [name, *(each[key] for key in ("status", "seconds", "cpu_seconds", "peak_mb", "load"))]
            for name, each in done.items()
        ],
    )


def _busy(record: Record) -> str:
    loads = [record["machine"]["load"], *(each["load"] for each in record["benchmarks"].values())]
    known = [each for each in loads if each is not None]
    if not known:
        return "not known"
    # Ours is one process at a time, whose own load lasts into the next.
    others = max(known[0], max(known) - 1)
    busy = others > machine.BUSY * record["machine"]["cores"]
    said = "busy with other work: times are larger than alone" if busy else "ours alone"
    return f"{min(known):.1f} to {max(known):.1f}: {said}"


def opened(folder: Path) -> Record:
    """The record of a run that is to go on.

    Raises:
        RunError: if there is none, or it is of another kind.
    """
    try:
        record = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise runs.RunError(f"{folder} holds no run of benchmarks: {error}") from None
    if not isinstance(record, dict) or record.get("schema") != SCHEMA:
        raise runs.RunError(f"{folder / FILE} is of another version")
    return record


def run_all(record: Record, root: Path, known: Mapping[str, Path]) -> None:
    """Runs what has not finished, one after the other, and keeps the record on disk."""
    names = record["names"]
    gone = [name for name in names if name not in known]
    if gone:
        raise runs.RunError(f"{root} is of benchmarks that are no more: {', '.join(gone)}")
    for i, name in enumerate(names, start=1):
        if record["benchmarks"].get(name, {}).get("status") == "finished":
            continue
        print(f"[{i}/{len(names)}] {name} ... ", end="", flush=True)
        each = run_one(known[name], record["words"], root)
        record["benchmarks"][name] = each
        runs.write_json(root / FILE, runs.to_json(record))
        print(f"{each['status']}, {each['seconds']:.0f} s")


def options() -> argparse.ArgumentParser:
    """The words of this command that stand beside names, and settings of a benchmark."""
    made = command.options(PROG, "rows")
    made.add_argument(
        "--preset",
        choices=("quick", "full"),
        default="quick",
        help="which sizes are run (default: quick)",
    )
    made.add_argument(
        "--resume", type=Path, metavar="FOLDER", help="go on with a run that was interrupted"
    )
    return made


def main(arguments: Sequence[str] | None = None, folder: Path = FOLDER) -> int:
    """Runs the command line and returns its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    known = scripts(folder)
    count = next((i for i, word in enumerate(words) if word.startswith("-")), len(words))
    names = [word.removesuffix(".py") for word in words[:count]]
    # After a single name --help is that benchmark's.
    if words[:1] in (["-h"], ["--help"]):
        command.parser(
            PROG,
            "Lists the benchmarks, or runs some or all of them and prints one table.",
            "benchmarks, `all` of them, or `list` for a table of them",
            parents=[options()],
        ).print_help()
        return 0
    if words[count:] and words[count] in ("-h", "--help") and len(names) == 1 and names[0] in known:
        return subprocess.call([sys.executable, str(known[names[0]]), "--help"], env=_environment())
    said, rest = options().parse_known_args(words[count:])
    if names == ["list"] or not words:
        purposes = {name: command.first_line(path) for name, path in known.items()}
        command.print_list("Benchmarks", "what it measures", purposes)
        return 0
    wrong = _wrong(names, rest, said.resume is not None, known)
    if wrong:
        print(f"error: {wrong}", file=sys.stderr)
        return 2
    try:
        if said.resume is not None:
            root, record = said.resume, opened(said.resume)
        else:
            now = datetime.datetime.now()
            root = said.root / "benchmarks" / f"{said.preset}-{now:%Y%m%d-%H%M%S}"
            root.mkdir(parents=True)
            record = {
                "schema": SCHEMA,
                "names": list(known) if names == ["all"] else list(dict.fromkeys(names)),
                "words": ["--preset", said.preset, *rest],
                "begun": now.isoformat(timespec="seconds"),
                "machine": describe(),
                "benchmarks": {},
            }
            runs.write_json(root / FILE, runs.to_json(record))
        run_all(record, root, known)
        if said.json is not None:
            runs.write_json(said.json, runs.to_json(record))
    except KeyboardInterrupt:
        print(f"\ninterrupted; go on with --resume {root}", file=sys.stderr)
        return 130
    except (runs.RunError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    report(record)
    print(f"Results in {root / FILE}, what each printed in {root}/NAME.log")
    return int(any(each["status"] != "finished" for each in record["benchmarks"].values()))


def _wrong(
    names: Sequence[str],
    rest: Sequence[str],
    resumed: bool,
    known: Mapping[str, Path],
) -> str:
    """What is wrong with a command line, in words; nothing if it is right."""
    if resumed:
        if names or rest:
            return "--resume takes names and settings of the run that it goes on with"
        return ""
    unknown = [name for name in names if name not in known and names != ["all"]]
    if unknown:
        return command.unknown("benchmark", unknown[0], ["all", *known])
    if not names:
        return f"name a benchmark; there is: all, {', '.join(known)}"
    if rest and (len(names) > 1 or names == ["all"]):
        return f"settings are for a single benchmark, got {' '.join(rest)}"
    return ""


def _interrupt(number: int, frame: Any) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _interrupt)  # as Ctrl-C: the benchmark that runs ends, too
    sys.exit(main())
