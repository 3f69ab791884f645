"""The code on the pages runs, and the gallery, the table of claims and the navigation are whole."""

import ast
import importlib
import inspect
import json
import os
import re

import pytest

from docsite import api, blocks, gallery

DOCS = blocks.DOCS
QUICK = ("homogeneous_networks", "ncf", "diagnostics", "extending", "install")
"""Pages whose blocks take a few seconds each."""
SLOW = ("saddles", "pursuit", "task_driven_neurons", "tutorial", "runs")
"""Pages whose blocks compile more."""
PACKAGES = ("data", "networks", "kkt", "diagnostics", "dynamics", "pursuit", "neuronseek", "plots")


def run(name, tmp_path):
    page = DOCS / f"{name}.md"
    blocks.run(page, tmp_path)
    for figure in blocks.figures(page):
        assert (tmp_path / figure).stat().st_size > 5_000, f"{figure} is empty"
        assert (DOCS / figure).is_file(), f"run `python -m docsite figures {name}`"


@pytest.mark.parametrize("name", QUICK)
def test_blocks_run(name, tmp_path):
    run(name, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_blocks_that_compile_more_run(name, tmp_path):
    run(name, tmp_path)


def test_blocks_keep_their_lines(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# Title\n\n```python\na = 1\n```\n\ntext\n\n```python\nraise OSError(a)\n```\n"
    )
    lines = blocks.source(page).splitlines()
    assert [at for at, line in enumerate(lines, 1) if line] == [4, 10]
    with pytest.raises(OSError, match="1") as caught:
        blocks.run(page, tmp_path)
    assert caught.traceback[-1].lineno == 9  # counted from zero


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.stem)
def test_every_block_of_every_page_compiles(page):
    assert page.read_text("utf-8").startswith("# ")
    ast.parse(blocks.source(page))


def test_gallery_lacks_nothing():
    assert gallery.missing() == []
    assert gallery.PAGE.read_text("utf-8") == gallery.page(), "run `python -m docsite gallery`"


def test_gallery_names_what_is_missing(monkeypatch):
    for name in ("FEATURED", "RUNS"):
        kept = tuple(each for each in getattr(gallery, name) if each.script != "sparsity_map")
        monkeypatch.setattr(gallery, name, kept)
    assert "experiment sparsity_map has no entry" in gallery.missing()
    assert "figure sparsity_growth.png is in no entry" in gallery.missing()


def test_figures_come_from_runs_of_the_listed_command(tmp_path, monkeypatch):
    """Of that command, finished, the last one; and what the list lacks is said."""
    shown = gallery.Shown("cascade", {"losses": "losses", "gone": "a figure of before"})
    monkeypatch.setattr(gallery, "RUNS", (shown,))
    monkeypatch.setattr(gallery, "FIGURES", tmp_path / "stored")
    runs = [
        ("first", [], "finished"),
        ("other", ["--seed", "1"], "finished"),
        ("cut", [], "running"),
    ]
    for age, (name, words, status) in enumerate(runs):
        folder = tmp_path / "runs" / "cascade" / name
        (folder / "figures").mkdir(parents=True)
        for figure in ("losses", "new"):
            (folder / "figures" / f"{figure}.png").write_text(name)
        manifest = {"command": ["experiments/cascade.py", *words], "status": status}
        (folder / "manifest.json").write_text(json.dumps(manifest))
        os.utime(folder / "manifest.json", (age, age))
    check = tmp_path / "runs" / "theory_checks" / "lemma9_balance-1" / "figures"
    check.mkdir(parents=True)
    (check / "claims.png").write_text("claims")
    lacks = gallery.collect(tmp_path / "runs")
    assert lacks == ["cascade draws new, unlisted", "cascade draws no gone"]
    stored = {
        str(path.relative_to(tmp_path / "stored")): path.read_text()
        for path in (tmp_path / "stored").rglob("*.png")
    }
    assert stored == {
        "gallery/cascade/losses.png": "first",
        "gallery/theory_checks/lemma9_balance.png": "claims",
    }


def test_links_of_pages_lead_somewhere():
    for page in DOCS.rglob("*.md"):
        for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text("utf-8")):
            assert (page.parent / target).is_file(), f"{page.name}: {target}"


def test_figures_are_small():
    for figure in (DOCS / "figures").rglob("*.png"):
        assert figure.stat().st_size < 180_000, figure.name


def test_claims_name_checks_and_experiments_that_exist():
    text = (DOCS / "claims.md").read_text("utf-8")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    cells = [row.removesuffix("|").rpartition("|")[2] for row in rows]
    named = {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}
    checks = {name.removeprefix("check ") for name in named if name.startswith("check ")}
    assert checks == set(gallery.statements())
    others = named - {f"check {name}" for name in checks}
    assert others <= set(gallery.scripts())
    assert len(others) > 15


def test_every_page_is_in_the_navigation():
    navigation = (DOCS.parent / "mkdocs.yml").read_text("utf-8").partition("\nnav:")[2]
    pages = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")}
    assert pages == set(re.findall(r"[\w/]+\.md", navigation))


@pytest.mark.parametrize("package", PACKAGES)
def test_names_of_the_api_are_those_of_the_package(package):
    module = importlib.import_module(f"nsjax.{package}")
    found = api.exported(f"nsjax.{package}")
    assert list(found) == list(module.__all__)
    for name, path in found.items():
        assert api.summary(path), f"{path} has no docstring"
        value = getattr(module, name)
        if isinstance(value, type) or inspect.isroutine(value):
            assert api.summary(path) == inspect.getdoc(value).partition("\n")[0]


def test_names_that_are_not_there(tmp_path):
    assert api.summary("nsjax.kkt.nothing") == ""
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "__init__.py").write_text("from os import path\n")
    with pytest.raises(ValueError, match="empty has no __all__"):
        api.exported("empty", tmp_path)


def test_formulas_become_mathml():
    pytest.importorskip("latex2mathml")
    from docsite import hooks

    page = r'<p>a <span class="arithmatex">\(x &lt; y_1\)</span></p>'
    found = hooks.formulas(page)
    assert "<math" in found
    assert "<mo>&#x0003C;</mo>" in found
    assert "arithmatex" not in found
    assert hooks.plain_bars("| `a\\|b` | c \\| d |\n`e\\|f`") == "| `a|b` | c \\| d |\n`e\\|f`"
