"""One look for the command lines of the house: help, lists, and names that are not known."""

import argparse
import ast
import difflib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from nsjax.runs.terminal import print_table

EXIT_CODES = (
    "Exit code: 0; 1 where a verdict does not hold or something failed; 2 for a bad command line."
)


def parser(
    prog: str,
    description: str,
    name: str | None = None,
    *,
    parents: Sequence[argparse.ArgumentParser] = (),
) -> argparse.ArgumentParser:
    """A parser whose `--help` looks like that of the others.

    Args:
        prog: how the program is called, such as `"python -m experiments"`.
        description: what it does.
        name: help on the first word, a name, where there is one. It is read as `name`, `list`
            where it is left out, and what follows it as `words`.
        parents: of argparse, whose options it has too.
    """
    made = argparse.ArgumentParser(
        prog=prog,
        description=description,
        epilog=EXIT_CODES,
        parents=parents,
        allow_abbrev=False,
    )
    if name is not None:
        made.add_argument("name", nargs="?", default="list", metavar="NAME", help=name)
        made.add_argument(
            "words",
            nargs=argparse.REMAINDER,
            metavar="...",
            help="its settings; NAME --help shows them",
        )
    return made


def options(prog: str, results: str) -> argparse.ArgumentParser:
    """Options that commands which run many scripts share, as a parent for `parser`.

    Args:
        prog: how the program is called.
        results: what `--json` writes.
    """
    made = argparse.ArgumentParser(prog=prog, add_help=False, allow_abbrev=False)
    made.add_argument("--json", type=Path, metavar="FILE", help=f"where the {results} go as JSON")
    made.add_argument(
        "--root",
        type=Path,
        default=Path("runs"),
        metavar="FOLDER",
        help="where run folders go (default: runs)",
    )
    return made


def first_line(path: Path) -> str:
    """First line of a script's docstring, read without running the script."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    return text.splitlines()[0] if text else ""


def print_list(title: str, heading: str, known: Mapping[str, str]) -> None:
    """A table of names and what each is for."""
    print_table(title, ["name", heading], known.items())


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """A line about a name that is not known, with those that are meant most likely.

    >>> unknown("experiment", "cascades", ["cascade", "scaling"])
    "no experiment 'cascades'; did you mean cascade?"
    >>> unknown("experiment", "x", ["cascade", "scaling"])
    "no experiment 'x'; there is: cascade, scaling"
    """
    known = list(known)
    near = difflib.get_close_matches(name, known)
    near += [each for each in known if name in each and each not in near]
    hint = f"did you mean {' or '.join(near[:3])}?" if near else f"there is: {', '.join(known)}"
    return f"no {kind} {name!r}; {hint}"
