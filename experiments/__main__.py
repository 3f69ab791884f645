"""Lists the experiments, or runs one: `python -m experiments [list|NAME ...]`."""

import ast
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

from nsjax.runs import print_table

FOLDER = Path(__file__).resolve().parent


def scripts(folder: Path = FOLDER) -> dict[str, Path]:
    """The scripts of a folder by name, those that start with an underscore left out."""
    return {p.stem: p for p in sorted(folder.glob("*.py")) if not p.stem.startswith("_")}


def first_line(path: Path) -> str:
    """First line of a script's docstring, read without running the script."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    return text.splitlines()[0] if text else ""


def main(arguments: Sequence[str] | None = None, folder: Path = FOLDER) -> int:
    """Runs the command line and returns its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    known = scripts(folder)
    if not words or words[0] == "list":
        rows = [(name, first_line(path)) for name, path in known.items()]
        print_table("Experiments", ["name", "what it shows"], rows)
        return 0
    if words[0] in ("-h", "--help"):
        print(__doc__)
        return 0
    name = words[0].removesuffix(".py")
    if name not in known:
        print(f"error: no experiment {name!r}; there is: {', '.join(known)}", file=sys.stderr)
        return 2
    before = sys.argv
    sys.argv = [str(known[name]), *words[1:]]
    try:
        runpy.run_path(str(known[name]), run_name="__main__")
    finally:
        sys.argv = before
    return 0


if __name__ == "__main__":
    sys.exit(main())
