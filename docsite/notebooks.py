"""Pages of the notebooks: what their cells say and put out, as Markdown with figures.

Notebooks are stored bare, so that a change shows in a diff. `python -m docsite notebooks` runs them
and writes `docs/notebooks/NAME.md` for the site; it needs the extra `figures`.
"""

import json
from pathlib import Path

from docsite.api import ROOT

FOLDER = ROOT / "docs" / "notebooks"
FIGURES = ROOT / "docs" / "figures"
SECONDS = 600
"""The longest that one cell may take."""


def names() -> list[str]:
    """Stems of the notebooks."""
    return sorted(path.stem for path in FOLDER.glob("*.ipynb"))


def cells(name: str) -> list[str]:
    """The text of every cell, as it stands in the notebook."""
    document = json.loads((FOLDER / f"{name}.ipynb").read_text("utf-8"))
    return ["".join(cell["source"]) for cell in document["cells"]]


def write(name: str, pages: Path = FOLDER, figures: Path = FIGURES) -> Path:
    """Runs a notebook and writes its page and figures; returns the page.

    Raises:
        nbclient.exceptions.CellExecutionError: if a cell does.
    """
    import nbformat
    from nbconvert import MarkdownExporter
    from nbconvert.preprocessors import ExecutePreprocessor

    document = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    # Twice the dots of a screen, so that figures are sharp where the page is enlarged.
    sharp = ["--InlineBackend.figure_formats={'retina'}"]
    ExecutePreprocessor(timeout=SECONDS, kernel_name="python3", extra_arguments=sharp).preprocess(
        document, {"metadata": {"path": str(ROOT)}}
    )
    text, resources = MarkdownExporter().from_notebook_node(document)
    for old in figures.glob(f"notebook_{name}_*.png"):
        old.unlink()
    for at, (output, data) in enumerate(resources["outputs"].items()):
        stem = f"notebook_{name}_{at}"
        (figures / f"{stem}.png").write_bytes(data)
        text = text.replace(f"![png]({output})", f"![{stem}](../figures/{stem}.png)")
    page = pages / f"{name}.md"
    page.write_text(f"{text.strip()}\n\nThe notebook: [{name}.ipynb]({name}.ipynb).\n", "utf-8")
    return page
