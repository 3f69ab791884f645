"""Lists the experiments, or runs one: `python -m experiments [list | NAME ...]`."""

import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

from nsjax.runs import command

FOLDER = Path(__file__).resolve().parent


def scripts(folder: Path = FOLDER) -> dict[str, Path]:
    """The scripts of a folder by name, those that start with an underscore left out."""
    return {p.stem: p for p in sorted(folder.glob("*.py")) if not p.stem.startswith("_")}


def main(arguments: Sequence[str] | None = None, folder: Path = FOLDER) -> int:
    """Runs the command line and returns its exit code."""
    parser = command.parser(
        "python -m experiments",
        "Lists the experiments, or runs one.",
        "an experiment, or `list` for a table of them",
    )
    given = parser.parse_args(arguments)
    name, known = given.name.removesuffix(".py"), scripts(folder)
    if name == "list":
        if given.words:
            parser.error(f"`list` takes no settings, got {' '.join(given.words)}")
        purposes = {each: command.first_line(path) for each, path in known.items()}
        command.print_list("Experiments", "what it shows", purposes)
        return 0
    if name not in known:
        parser.error(command.unknown("experiment", name, known))
    before = sys.argv
    sys.argv = [str(known[name]), *given.words]
    try:
        runpy.run_path(str(known[name]), run_name="__main__")
    finally:
        sys.argv = before
    return 0


if __name__ == "__main__":
    sys.exit(main())
