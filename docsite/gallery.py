"""The gallery: every figure that experiments and theory checks make, each with its command.

`docsite/gallery.toml` is the one list. `python -m docsite gallery [RUNS]` copies the figures of the
runs in a folder that its commands made, says which figures of theirs it lacks, and writes
`docs/gallery.md`; a test holds that nothing is missing.
"""

import fnmatch
import json
import shlex
import shutil
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from docsite.api import ROOT
from experiments.__main__ import scripts
from nsjax.runs.command import first_line
from theory_checks.__main__ import statements

PAGE = ROOT / "docs" / "gallery.md"
FIGURES = ROOT / "docs" / "figures"
COLORS = 128
"""Of a stored figure of a run."""
CLAIMS = "claims"
"""Name of the figure of a theory check."""


@dataclass(frozen=True)
class Entry:
    """One figure.

    Attributes:
        script: name of the experiment.
        figure: stem of the stored PNG below `docs/figures`, or the name of another file.
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
        """The stored file."""
        return self.figure if self.figure.endswith(".gif") else f"{self.figure}.png"

    @property
    def command(self) -> str:
        """What makes it."""
        return f"python experiments/{self.script}.py {self.options}".strip()


@dataclass(frozen=True)
class Shown:
    """A run all of whose figures are stored, below `docs/figures/gallery`.

    Attributes:
        script: name of the experiment.
        figures: what they show, by their names in the run's folder; in a name `*` is any text.
        options: what the command has after the script.
        page: the page with the numbers, without `.md`.
    """

    script: str
    figures: dict[str, str]
    options: str = ""
    page: str = ""

    def entries(self) -> Iterator[Entry]:
        """Its stored figures; one that is missing where a name has none."""
        for pattern, shows in self.figures.items():
            found = sorted(path.stem for path in self.folder.glob(f"{pattern}.png"))
            for name in found or [pattern]:
                which = f"{shows}: {name}" if "*" in pattern else shows
                stored = f"gallery/{self.script}/{name}"
                yield Entry(self.script, stored, which, self.options, self.page)

    @property
    def folder(self) -> Path:
        """Where its figures are stored."""
        return FIGURES / "gallery" / self.script

    def matches(self, manifest: Path) -> bool:
        """Whether a finished run was made by its command."""
        said = json.loads(manifest.read_text("utf-8"))
        words = shlex.split(self.options)
        return said["status"] == "finished" and said["command"][1:] == words


LIST = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
FEATURED = tuple(Entry(**each) for each in LIST["figure"])
"""Figures of the pages, often of larger runs."""
RUNS = tuple(Shown(**each) for each in LIST["run"])
"""Quick runs, with every figure that they make."""
TABLES: dict[str, str] = LIST["tables"]
"""Experiments that end in tables, and the page with them."""


def entries() -> tuple[Entry, ...]:
    """All figures of experiments in the order of the page: those of one script together."""
    every = [*FEATURED, *(entry for run in RUNS for entry in run.entries())]
    order = list(dict.fromkeys(entry.script for entry in every))
    return tuple(sorted(every, key=lambda entry: order.index(entry.script)))


def page() -> str:
    """The page, from the list and the first lines of docstrings."""
    parts = [
        "# Gallery",
        "",
        "Every figure of `experiments/` and `theory_checks/`, with the command that makes it and",
        "the page that has its numbers. A run leaves its figures as PNG, PDF and SVG in its",
        "folder; quick presets take seconds to minutes, `--preset full` up to some hours.",
        "`python -m docsite gallery RUNS` writes this page from a folder of runs.",
        "",
        *_partly(),
        "## Experiments",
        "",
    ]
    known = scripts()
    script = command = ""
    for entry in entries():
        if entry.script != script:
            parts += [f"### {entry.script}", "", first_line(known[entry.script]), ""]
        if entry.command != command:
            numbers = f"[Numbers]({entry.page}.md)." if entry.page else ""
            parts += [f"    {entry.command}", "", *[numbers, ""] * bool(numbers)]
        script, command = entry.script, entry.command
        parts += [f"![{entry.shows}](figures/{entry.file})", "", f"*{entry.shows}*", ""]
    for name, where in TABLES.items():
        said = f"{first_line(known[name])} Tables only ([numbers]({where}.md))."
        parts += [f"### {name}", "", said, "", f"    python experiments/{name}.py", ""]
    parts += [
        "## Theory checks",
        "",
        "A theory check prints a table of hypotheses, measurements and predictions, and a",
        "verdict. Its figure shows how much of what the statement allows each claim uses: a line",
        "for each claim, a dot for each setting, on the left of the dashed line if it holds.",
        "Controls break a hypothesis on purpose and belong on the right. Shares below 1e-4 and",
        "above 1e4 are drawn at the ends.",
        "",
    ]
    for name, statement in statements().items():
        parts += [f"### {name}", "", statement, "", f"    python -m theory_checks {name}", ""]
        parts += [f"![Claims of {name}](figures/{_check(name)})", ""]
    return "\n".join(parts).strip() + "\n"


def _partly() -> list[str]:
    """Says of which experiments the list has some figures only."""
    whole = {run.script for run in RUNS}
    names = sorted({entry.script for entry in FEATURED} - whole)
    said = ", ".join(f"`{name}`" for name in names)
    return [f"Of {said}, which take longer, it has the figures of their pages alone.", ""] * bool(
        names
    )


def collect(runs: Path) -> list[str]:
    """Copies what the list names from a folder of runs; says in words what the list lacks.

    Of several runs of one command the last counts. Runs that are not there leave what is stored.
    """
    lacks: list[str] = []
    for run in RUNS:
        manifests = sorted(
            (runs / run.script).glob("*/manifest.json"), key=lambda path: path.stat().st_mtime
        )
        found = [path.parent / "figures" for path in manifests if run.matches(path)]
        if found:
            drawn = {path.stem for path in found[-1].glob("*.png")}
            listed = {p: set(fnmatch.filter(drawn, p)) for p in run.figures}
            known = set().union(*listed.values())
            lacks += [f"{run.script} draws {each}, unlisted" for each in drawn - known]
            lacks += [f"{run.script} draws no {p}" for p, names in listed.items() if not names]
            shutil.rmtree(run.folder, ignore_errors=True)
            for name in known:
                _copy(found[-1] / f"{name}.png", f"gallery/{run.script}/{name}.png")
    for name in statements():
        done = (runs / "theory_checks").glob(f"{name}-*/figures/{CLAIMS}.png")
        for path in sorted(done, key=lambda path: path.stat().st_mtime)[-1:]:
            _copy(path, _check(name))
    return sorted(lacks)


def _check(name: str) -> str:
    return f"gallery/theory_checks/{name}.png"


def _copy(path: Path, stored: str) -> None:
    """With a palette, which takes a third of the room."""
    from PIL import Image  # matplotlib writes PNG with it

    (FIGURES / stored).parent.mkdir(parents=True, exist_ok=True)
    Image.open(path).convert("RGB").quantize(COLORS).save(FIGURES / stored, optimize=True)


def missing(root: Path = ROOT) -> list[str]:
    """What the list lacks, or has too much, in words."""
    every = entries()
    listed = {entry.script for entry in every} | set(TABLES)
    known = set(scripts())
    found = [f"experiment {name} has no entry" for name in sorted(known - listed)]
    found += [f"there is no experiment {name}" for name in sorted(listed - known)]
    files = {entry.file for entry in every} | {_check(name) for name in statements()}
    folder = root / "docs" / "figures"
    stored = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    found += [f"no file {name}" for name in sorted(files - stored)]
    loose = {name for name in stored - files if not name.startswith(("idea_", "notebook_"))}
    return found + [f"figure {name} is in no entry" for name in sorted(loose)]
