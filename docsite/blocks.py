"""The Python on a page, as one script: its blocks in order, at the lines where they stand."""

import os
import re
import runpy
import tempfile
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent / "docs"
_BLOCK = re.compile(r"^```python\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)
_SAVED = re.compile(r"""savefig\(["'](idea_[\w.-]+)["']""")


def source(page: Path) -> str:
    """The blocks as one script; other lines are empty, so that errors name those of the page."""
    text = page.read_text("utf-8")
    lines = [""] * (text.count("\n") + 1)
    for found in _BLOCK.finditer(text):
        start = text.count("\n", 0, found.start(1))
        block = found[1].splitlines()
        lines[start : start + len(block)] = block
    return "\n".join(lines)


def figures(page: Path) -> list[str]:
    """Paths of the figures that the blocks save, relative to `docs/`."""
    return [f"figures/{name}" for name in _SAVED.findall(source(page))]


def run(page: Path, folder: Path) -> None:
    """Runs the blocks in the folder `figures` of `folder`; they save where they are run."""
    place_of_figures = folder / "figures"
    place_of_figures.mkdir(exist_ok=True)
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as place:
        script = Path(place) / f"{page.stem}.py"
        script.write_text(source(page), "utf-8")
        os.chdir(place_of_figures)
        try:
            runpy.run_path(str(script), run_name="__page__")
        finally:
            os.chdir(before)


def with_figures() -> list[Path]:
    """The pages whose blocks save figures into `figures/`."""
    return [page for page in sorted(DOCS.glob("*.md")) if figures(page)]
