"""The report of a run, read with Python's own parser of HTML; `make check-report` opens it."""

import base64
import json
from collections import Counter
from dataclasses import dataclass
from html.parser import HTMLParser
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from matplotlib import image
from matplotlib.figure import Figure

from nsjax import runs
from nsjax.runs import job, provenance
from nsjax.runs.report import write_report
from nsjax.runs.summary import read_tables

VOID = {"meta", "link", "img", "br"}
ATTACK = "<script>alert(\"&amp; 'x'\")</script>"


class Page(HTMLParser):
    """Tags, attributes and text of a page; an unbalanced tag is an error."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.words = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if data.strip() and self.open[-1] != "style":
            self.words.append(data.strip())

    def having(self, *names):
        return [attrs for tag, attrs in self.tags if tag in names]


@dataclass(frozen=True)
class Config:
    preset: str = "quick"
    words: str = ATTACK
    deltas: tuple[float, ...] = (0.1, 1e-8)


def make_run(root, **options):
    figure = Figure(figsize=(2, 1))
    figure.add_subplot().plot([0, 1], [1, 0])
    options = {"command": ["experiments/escape.py", "--words", ATTACK], **options}
    with runs.open_run(root, "escape", Config(), seed=3, **options) as run:
        run.cell("one").save({}, {"x": 1})
        runs.print_table(f"Times {ATTACK}", ["name", "time"], [[ATTACK, 0.5], ["b", np.float32(2)]])
        run.save_figure(figure, "times")
        run.save_figure(figure, "losses")
        run.save_text(f"a formula {ATTACK}", "formula.json")
        run.save_results({"x": np.ones(2)}, {"slope": -1.0, "rows": [{"n": 1}, {"n": 2}]})
        run.log(f"half way {ATTACK}")
    return run.path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def text(folder):
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


def test_html5_with_language_title_and_landmarks(text, page):
    assert text.startswith("<!DOCTYPE html>\n")
    counts = Counter(tag for tag, _ in page.tags)
    assert all(counts[tag] == 1 for tag in ("html", "head", "body", "title", "main", "h1", "nav"))
    assert page.having("html") == [{"lang": "en"}]
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    levels = [int(tag[1]) for tag, _ in page.tags if tag in ("h1", "h2", "h3")]
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_nothing_is_fetched_and_nothing_runs(text, page):
    assert page.having("script", "iframe", "object", "form") == []
    for _, attrs in page.tags:
        assert not any(name.startswith("on") for name in attrs)
        for name in ("src", "href", "srcset", "poster", "action"):
            assert name not in attrs or attrs[name].startswith(("data:", "#"))
    style = text.partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    [policy] = [each["content"] for each in page.having("meta") if "http-equiv" in each]
    assert "default-src 'none'" in policy


def test_what_a_run_says_is_escaped(text, page):
    assert "<script" not in text
    # Setting, title, cell, text and log, as they were; the command with the quotes of a shell.
    assert sum(ATTACK in words for words in page.words) >= 5


def test_links_lead_to_parts(page):
    ids = {attrs["id"] for _, attrs in page.tags if "id" in attrs}
    links = {urlsplit(each["href"]).fragment for each in page.having("a")}
    parts = {"tables", "figures", "command", "settings", "provenance", "values", "texts", "log"}
    assert links == {"main", *parts}
    assert links <= ids
    labels = {each["aria-labelledby"] for each in page.having("section")}
    assert labels == parts


def test_figures_are_within_as_they_were_drawn(folder, page):
    images = page.having("img")
    assert [each["alt"].partition(":")[0] for each in images] == ["times", "losses"]
    for each in images:
        head, _, content = each["src"].partition(",")
        assert head == "data:image/png;base64"
        content = base64.b64decode(content, validate=True)
        assert content == (folder / "figures" / f"{each['alt'].partition(':')[0]}.png").read_bytes()
        height, width, _ = image.imread(BytesIO(content)).shape
        assert (each["width"], each["height"]) == (str(width), str(height))


def test_manifest_tables_and_commands_can_be_read(folder, page):
    manifest = runs.read_manifest(folder)
    for piece in (
        "finished",
        "[0.1, 1e-08]",
        "0.5",
        manifest["versions"]["jax"],
        manifest["machine"]["processor"],
        "machine.cores",
        "device.platform",
        "default_dtype",
        "rows.1.n",
        "slope",
    ):
        assert any(piece in words for words in page.words), piece
    commands = [words for words in page.words if words.startswith("python ")]
    assert commands[0].startswith("python experiments/escape.py --words '<script>")
    assert commands[1] == f"python experiments/escape.py --resume {folder}"


def test_numbers_stand_to_the_right(page):
    cells = page.having("th", "td")
    assert sum(each.get("class") == "number" for each in cells) == 3  # heading, 0.5 and 2


def test_what_scrolls_takes_the_focus(page):
    regions = [each for each in page.having("div") if each.get("class") == "scroll"]
    assert regions
    assert all(each["tabindex"] == "0" and each["aria-label"] for each in regions)


def test_a_failed_run_says_why(tmp_path):
    with (
        pytest.raises(ValueError, match="no saddle"),
        runs.open_run(tmp_path, "escape", Config(), seed=0) as run,
    ):
        raise ValueError("no saddle <b>")
    words = Page((run.path / "report.html").read_text()).words
    assert "ValueError: no saddle <b>" in words
    assert "failed" in words
    assert not {"Tables", "Figures", "Values"} & set(words)


def test_tables_are_those_of_the_last_sitting_that_printed_some(tmp_path):
    for title in ("first", "second", None):
        with runs.open_run(tmp_path, "escape", Config(), seed=0) as run:
            if title:
                runs.print_table(title, ["a", "b"], iter([[np.nan, object]]))
        [table] = read_tables(run.path)
        assert table.title == (title or "second")
        assert table.rows == [["nan", "<class 'object'>"]]
    runs.print_table("after the run", ["a"], [])
    assert len(read_tables(run.path)) == 1
    assert job.current().keep is None


def test_tables_for_another_file_are_not_kept(tmp_path):
    with runs.open_run(tmp_path, "escape", Config(), seed=0) as run:
        with open(tmp_path / "out", "w") as file:
            runs.print_table("elsewhere", ["a"], [[1]], file=file)
        assert read_tables(run.path) == []


def test_verdicts_and_very_long_results(tmp_path):
    with runs.open_run(tmp_path, "checks", Config(), seed=0) as run:
        values = {"verdict": "violated", "statement": "x < y", "hypotheses": ["x > 0"]}
        many = {f"v{i}": i for i in range(1000)}
        run.save_results({}, {**values, "long": list(range(10_000)), **many})
    text = (run.path / "report.html").read_text()
    words = Page(text).words
    assert {"x < y", "Hypothesis: x > 0", "Verdict: violated"} <= set(words)
    assert any(word.startswith("The first 400 of 1004 values") for word in words)
    assert any("(10000 in all)" in word for word in words)
    assert len(text) < 100_000


def test_a_report_that_cannot_be_written_loses_no_run(tmp_path, capsys):
    with runs.open_run(tmp_path, "escape", Config(), seed=0) as run:
        (run.path / "results.json").write_text("{")
    assert runs.read_manifest(run.path)["status"] == "finished"
    assert "no report.html: " in capsys.readouterr().err
    with pytest.raises(runs.RunError, match="no valid JSON"):
        write_report(run.path)


def test_a_file_that_is_no_figure_is_named(tmp_path):
    path = make_run(tmp_path)
    (path / "figures" / "broken.png").write_bytes(b"cut off")
    assert "broken.png is no PNG file." in Page(write_report(path).read_text()).words


def test_a_run_from_before_machines_were_recorded(tmp_path):
    path = make_run(tmp_path)
    manifest = json.loads((path / "manifest.json").read_text())
    del manifest["machine"]
    manifest["history"][0]["ended"] = None
    manifest["status"] = "running"
    (path / "manifest.json").write_text(json.dumps(manifest))
    words = Page(write_report(path).read_text()).words
    assert "unfinished" in words
    assert "machine.cores" not in words


def test_the_machine_is_described():
    found = provenance.machine()
    assert found["cores"] >= 1
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists() and "model name" in cpuinfo.read_text():
        assert found["processor"] in cpuinfo.read_text()
