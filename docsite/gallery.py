"""The gallery: every figure that experiments and theory checks make, each with its command.

`docsite/gallery.toml` is the one list. `python -m docsite gallery` writes `docs/gallery.md` from
it, and a test holds that nothing is missing.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from docsite.api import ROOT
from experiments.__main__ import scripts
from nsjax.runs.command import first_line
from theory_checks.__main__ import statements

PAGE = ROOT / "docs" / "gallery.md"
FIGURES = ROOT / "docs" / "figures"


@dataclass(frozen=True)
class Entry:
    """One figure of an experiment.

    Attributes:
        script: name of the experiment.
        figure: stem of the stored PNG, or the name of another file.
        shows: one line.
        options: what the command has after the script; as stored, not always the default.
        page: the page with the numbers, without `.md`.
    """

    script: str
    figure: str
    shows: str
    options: str = ""
    page: str = ""

    @property
    def file(self) -> str:
        """Name of the stored file."""
        return self.figure if Path(self.figure).suffix else f"{self.figure}.png"


LIST = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
ENTRIES = tuple(Entry(**each) for each in LIST["figure"])
"""Figures in the order of the page."""

TABLES: dict[str, str] = LIST["tables"]
"""Experiments that end in tables, and the page with them."""

CHECKS: dict[str, str] = LIST["checks"]
"""Theory checks, and the figure of what each is about."""


def page() -> str:
    """The page, from the list and the first lines of docstrings."""
    parts = [
        "# Gallery",
        "",
        "Figures of `experiments/`, one at least of each, with the command that makes it and the",
        "page that has its numbers. `python -m docsite gallery` writes this page. A run leaves its",
        "figures as PNG and PDF in its folder; the commands take from seconds to some hours.",
        "",
        "## Experiments",
        "",
    ]
    known = scripts()
    last = ""
    for entry in ENTRIES:
        if entry.script != last:
            parts += [f"### {entry.script}", "", first_line(known[entry.script]), ""]
            last = entry.script
        command = f"python experiments/{entry.script}.py {entry.options}".strip()
        more = f" ([numbers]({entry.page}.md))" if entry.page else ""
        parts += [
            f"    {command}",
            "",
            f"![{entry.shows}](figures/{entry.file})",
            "",
            f"*{entry.shows}*{more}",
            "",
        ]
    for name, where in TABLES.items():
        parts += [
            f"### {name}",
            "",
            f"{first_line(known[name])} Tables only ([numbers]({where}.md)).",
            "",
            f"    python experiments/{name}.py",
            "",
        ]
    parts += [
        "## Theory checks",
        "",
        "A theory check prints a table of hypotheses, measurements and predictions, a verdict and",
        "a negative control. It draws nothing; the figure beside it is of what it is about.",
        "",
        "| command | statement | figure |",
        "|---|---|---|",
    ]
    for name, statement in statements().items():
        figure = CHECKS[name]
        parts.append(
            f"| `python -m theory_checks {name}` | {_escaped(statement)} "
            f"| [{figure}](figures/{figure}.png) |"
        )
    return "\n".join(parts) + "\n"


def _escaped(text: str) -> str:
    """Bars outside code would end a cell of the table."""
    pieces = text.split("`")
    return "`".join(p if i % 2 else p.replace("|", r"\|") for i, p in enumerate(pieces))


def missing(root: Path = ROOT) -> list[str]:
    """What the list lacks, or has too much, in words."""
    listed = {entry.script for entry in ENTRIES} | set(TABLES)
    known = set(scripts())
    found = [f"experiment {name} has no entry" for name in sorted(known - listed)]
    found += [f"there is no experiment {name}" for name in sorted(listed - known)]
    found += [f"theory check {n} has no figure" for n in sorted(set(statements()) - set(CHECKS))]
    found += [f"there is no theory check {n}" for n in sorted(set(CHECKS) - set(statements()))]
    files = {entry.file for entry in ENTRIES} | {f"{stem}.png" for stem in CHECKS.values()}
    folder = root / "docs" / "figures"
    found += [f"no file {name}" for name in sorted(files) if not (folder / name).is_file()]
    stored = {
        path.name for path in folder.iterdir() if not path.name.startswith(("idea_", "notebook_"))
    }
    found += [f"figure {name} is in no entry" for name in sorted(stored - files)]
    return found
