"""The notebooks: valid files without outputs, and every cell runs, in a small form."""

import ast
import json
import re
from pathlib import Path

import matplotlib.figure
import pytest

from docsite import notebooks

FOLDER = Path(__file__).parents[1] / "docs" / "notebooks"
SMALL = {
    "cascade": {"SAMPLES": 20, "DIMENSION": 3, "NEURONS": 3, "TEACHER": 2, "DELTAS": (1e-3, 1e-4)},
    "flax_model": {
        "SAMPLES": 20,
        "DIMENSION": 3,
        "NEURONS": 3,
        "STARTS": 8,
        "DELTAS": (1e-2, 1e-3),
    },
    "formula_network": {"SAMPLES": 200, "DIMENSION": 3, "FEATURES": 3, "STEPS": 20, "SEEDS": 2},
}
"""What replaces the sizes of a notebook's cell of parameters."""


def notebook(name):
    return json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))


def sources(document):
    return ["".join(cell["source"]) for cell in document["cells"] if cell["cell_type"] == "code"]


def run(name):
    """The namespace after all code cells, with the small sizes set after the cell of parameters."""
    namespace = {"__name__": "__main__"}
    document = notebook(name)
    for i, cell in enumerate(document["cells"]):
        if cell["cell_type"] != "code":
            continue
        tree = ast.parse("".join(cell["source"]))
        shown = tree.body and isinstance(tree.body[-1], ast.Expr)
        if shown:  # what Jupyter would show
            value = tree.body[-1].value
            tree.body[-1] = ast.fix_missing_locations(
                ast.copy_location(ast.Assign([ast.Name("shown", ast.Store())], value), value)
            )
        namespace.pop("shown", None)
        exec(compile(tree, f"{name}, cell {i}", "exec"), namespace)
        if "parameters" in cell["metadata"].get("tags", ()):
            assert set(SMALL[name]) <= set(namespace)
            namespace |= SMALL[name]
        if "plots.plot_" in "".join(cell["source"]):
            assert isinstance(namespace["shown"], matplotlib.figure.Figure)
    return namespace


def test_every_notebook_is_run():
    """A new one needs an entry in `SMALL`, and a test of what it finds."""
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == set(SMALL)


@pytest.mark.parametrize("name", sorted(SMALL))
def test_files_are_valid_and_bare(name):
    """Version 4.5 with an id for every cell; no outputs, no paths; sizes in one first cell."""
    document = notebook(name)
    assert (document["nbformat"], document["nbformat_minor"]) == (4, 5)
    assert document["metadata"]["kernelspec"]["name"] == "python3"
    cells = document["cells"]
    ids = [cell["id"] for cell in cells]
    assert len(set(ids)) == len(ids)
    for cell in cells:
        assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", cell["id"])
        assert cell["cell_type"] in ("code", "markdown")
        assert isinstance(cell["metadata"], dict)
        assert all(isinstance(line, str) for line in cell["source"])
        assert all(line.endswith("\n") for line in cell["source"][:-1])
        extra = {"outputs": [], "execution_count": None} if cell["cell_type"] == "code" else {}
        assert {key: cell[key] for key in cell.keys() & {"outputs", "execution_count"}} == extra
    tagged = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", ())]
    assert [cell["id"] for cell in tagged] == [
        next(cell["id"] for cell in cells if cell["cell_type"] == "code")
    ]
    text = (FOLDER / f"{name}.ipynb").read_text(encoding="utf-8")
    assert not re.search(r"/(home|tmp|Users|root|work)/|[A-Z]:\\\\", text)
    for source in sources(document):
        for line in source.splitlines():
            assert len(line) <= 100


@pytest.mark.parametrize("name", sorted(SMALL))
def test_pages_say_what_the_notebooks_say(name):
    """Every cell stands on the page in order, and each plot once; values may differ by rounding."""
    page = (FOLDER / f"{name}.md").read_text("utf-8")
    end = 0
    for cell in notebooks.cells(name):
        at = page.find(cell, end)
        assert at >= end, f"run `python -m docsite notebooks {name}`: {cell}"
        end = at + len(cell)
    drawn = sum("plots.plot_" in cell for cell in sources(notebook(name)))
    stored = sorted((FOLDER.parent / "figures").glob(f"notebook_{name}_*.png"))
    assert len(stored) == drawn
    assert page.count("](../figures/") == drawn


def test_flax_model():
    """The search finds the closed form, by linen and by nnx, and the escape takes its time."""
    found = run("flax_model")
    assert found["degree"].degree == pytest.approx(3, abs=1e-6)
    assert found["degree"].holds()
    assert found["broken"].defect > 1e-2
    assert len(found["points"].values) <= 3  # of up to 2 * 3 that differ by order and sign
    assert found["best"] == pytest.approx(found["known"], rel=1e-6)
    assert float(found["again"].values[0]) == pytest.approx(found["known"], rel=1e-6)
    assert found["escapes"][1e-3] == pytest.approx(1, rel=1e-3)


def test_cascade():
    """Escape times times delta agree, and the loss goes down from saddle to saddle."""
    found = run("cascade")
    assert found["first"][0] == pytest.approx(found["first"][1], rel=1e-2)
    losses = [visit.loss for visit in found["last"].visits]
    assert len(losses) > 1
    assert losses == sorted(losses, reverse=True)
    assert found["drift"] < 1e-4


def test_formula_network():
    """The formula is at the noise, and both networks have learned something."""
    found = run("formula_network")
    assert found["formula_error"] < 1e-2
    for course in found["curves"].values():
        assert course.shape == (2, 20)
        assert float(course[:, -1].mean()) < float(course[:, 0].mean())
