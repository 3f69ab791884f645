import io
import json
import math
import sys
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace

import jax.numpy as jnp
import pytest

from nsjax import runs
from nsjax.runs.summary import read_tables
from theory_checks import __main__ as command
from theory_checks.verdict import Row, Verdict, draw, print_verdict, to_json


def row(verdict):
    return Row("slope", "q = 3", -1.0, -1.0, 0.01, verdict)


HOLDS, VIOLATED, OPEN = row("holds"), row("violated"), row("inconclusive")


@pytest.mark.parametrize(
    ("rows", "control", "wanted"),
    [
        ([HOLDS, HOLDS], [VIOLATED], "holds"),
        ([HOLDS, VIOLATED], [VIOLATED], "violated"),
        ([OPEN, VIOLATED], [HOLDS], "violated"),
        ([HOLDS, OPEN], [VIOLATED], "inconclusive"),
        ([HOLDS], [HOLDS], "inconclusive"),
        ([HOLDS], [VIOLATED, OPEN], "inconclusive"),
        ([HOLDS], [], "inconclusive"),
        ([], [VIOLATED], "inconclusive"),
    ],
)
def test_overall_verdict(rows, control, wanted):
    assert Verdict.of("lemma", [], rows, control).verdict == wanted


def test_rows_and_hypotheses_may_be_iterators():
    verdict = Verdict.of("lemma", iter(["h"]), iter([HOLDS]), iter([VIOLATED]))
    assert (verdict.hypotheses, verdict.rows, verdict.control) == (("h",), (HOLDS,), (VIOLATED,))
    assert verdict.verdict == "holds"


@pytest.mark.parametrize(
    ("measured", "options", "wanted"),
    [
        (1.05, {}, "holds"),
        (1.2, {}, "violated"),
        (0.8, {}, "violated"),
        (math.nan, {}, "inconclusive"),
        (math.inf, {}, "inconclusive"),
        (1.05, {"met": False}, "inconclusive"),
        (jnp.asarray(1.05), {}, "holds"),
    ],
)
def test_equal(measured, options, wanted):
    assert Row.equal("c", "h", measured, 1.0, 0.1, **options).verdict == wanted


def test_equal_relative():
    assert Row.equal("c", "h", 105.0, 100.0, 0.1, relative=True).verdict == "holds"
    assert Row.equal("c", "h", -105.0, -100.0, 0.01, relative=True).verdict == "violated"


@pytest.mark.parametrize(
    ("make", "measured", "wanted"),
    [
        (Row.at_most, 1.0, "holds"),
        (Row.at_most, 1.1, "violated"),
        (Row.at_most, math.nan, "inconclusive"),
        (Row.at_most, math.inf, "violated"),
        (Row.at_least, 1.0, "holds"),
        (Row.at_least, 0.9, "violated"),
        (Row.at_least, math.nan, "inconclusive"),
    ],
)
def test_bounds(make, measured, wanted):
    assert make("c", "h", measured, 1.0).verdict == wanted
    assert make("c", "h", measured, 1.0, met=False).verdict == "inconclusive"


def test_unknown_word_is_refused():
    with pytest.raises(ValueError, match="wanted one of holds, violated, inconclusive, got 'yes'"):
        row("yes")


def test_printed_and_as_json():
    drift = Row.at_most("drift", "none", math.inf, 1e-6)
    verdict = Verdict.of("Theorem 7", ["gradient 1e-12"], [HOLDS], [drift])
    file = io.StringIO()
    print_verdict(verdict, file=file)
    text = file.getvalue()
    for piece in (
        "Theorem 7",
        "hypothesis: gradient 1e-12",
        "slope",
        "Control, to be violated",
        "drift",
        "<= 1e-06",
        "verdict: holds",
    ):
        assert piece in text
    record = json.loads(json.dumps(to_json(verdict), allow_nan=False))
    assert record["verdict"] == "holds"
    assert record["rows"][0]["measured"] == -1.0
    assert record["control"][0]["measured"] == "inf"


@dataclass(frozen=True)
class Config:
    measured: float = 1.0


@pytest.fixture
def checks(monkeypatch, tmp_path):
    """Two checks made up for the test in an empty folder, and no change to the settings of JAX."""

    def check(config):
        """Lemma."""
        rows = [Row.equal("c", "h", config.measured, 1.0, 0.1)]
        return Verdict.of("Lemma", ["h"], rows, [VIOLATED])

    for name in ("lemma_a", "lemma_b"):
        module = ModuleType(name)
        module.Config, module.check = Config, check
        monkeypatch.setitem(sys.modules, f"theory_checks.{name}", module)
    monkeypatch.setattr(command, "statements", lambda: {"lemma_a": "A.", "lemma_b": "B."})
    monkeypatch.setattr(command.runs, "setup", lambda: None)
    monkeypatch.chdir(tmp_path)
    return sys.modules["theory_checks.lemma_b"]


def test_list(checks, capsys):
    for words in ([], ["list"]):
        assert command.main(words) == 0
        text = capsys.readouterr().out
        assert "lemma_a" in text
        assert "B." in text


def test_one_check_with_its_settings(checks, tmp_path, capsys):
    target = tmp_path / "verdicts.json"
    assert command.main(["lemma_a", "--json", str(target)]) == 0
    assert json.loads(target.read_text())["lemma_a"]["verdict"] == "holds"
    assert command.main(["lemma_a", "--measured", "2.0"]) == 1
    assert "verdict: violated" in capsys.readouterr().out


def test_a_check_leaves_a_run_folder_with_its_verdict(checks, tmp_path, capsys):
    assert command.main(["lemma_a", "--root", str(tmp_path / "kept"), "--measured", "2.0"]) == 1
    [folder] = (tmp_path / "kept" / "theory_checks").iterdir()
    assert folder.name.startswith("lemma_a-")
    assert str(folder) in capsys.readouterr().out
    past = runs.load(folder)
    assert past.manifest["command"] == "python -m theory_checks lemma_a --measured 2.0"
    assert past.manifest["config"] == {"measured": 2.0}
    assert past.values["verdict"] == "violated"
    assert past.values["rows"][0]["measured"] == 2.0
    titles = [table.title for table in read_tables(folder)]
    assert titles == ["Claims", "Control, to be violated"]
    page = (folder / "report.html").read_text()
    assert 'class="verdict violated"' in page
    assert "Hypothesis: h" in page


def test_seeds_of_checks():
    """The manifest names the first one."""
    made = {"seed": 7}, {"seeds": (3, 4)}, {"seeds": 12}, {}
    assert [command._seed(SimpleNamespace(**each)) for each in made] == [7, 3, 0, 0]


def test_a_folder_that_cannot_be_used_is_an_error(checks, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    for name in ("lemma_a", "all"):
        assert command.main([name, "--root", "file"]) == 1
        assert "error: cannot write to file" in capsys.readouterr().err


def test_all_leaves_with_1_unless_all_hold(checks, monkeypatch, capsys):
    assert command.main(["all"]) == 0
    monkeypatch.setattr(checks, "Config", lambda: Config(measured=2.0))
    assert command.main(["all"]) == 1
    monkeypatch.setattr(checks, "Config", lambda: Config(measured=math.nan))
    assert command.main(["all"]) == 1


def test_all_goes_on_after_an_error(checks, monkeypatch, capsys):
    def broken(config):
        raise RuntimeError("lost")

    monkeypatch.setattr(sys.modules["theory_checks.lemma_a"], "check", broken)
    assert command.main(["all"]) == 1
    out, err = capsys.readouterr()
    assert "stopped by an error" in out
    assert "1 of 1" in out
    assert "verdict: holds" in out
    assert "RuntimeError: lost" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nothing"], "no theory check 'nothing'; there is: all, lemma_a, lemma_b"),
        (["lemma"], "no theory check 'lemma'; did you mean"),
        (["all", "--measured", "1"], "`all` takes no settings"),
        (["list", "all"], "`list` takes no settings"),
        (["all", "--json"], "--json: expected one argument"),
        (["lemma_a", "--measure", "1"], "--measure"),
    ],
)
def test_bad_words(checks, capsys, words, said):
    with pytest.raises(SystemExit) as leaving:
        command.main(words)
    assert leaving.value.code == 2
    assert said in capsys.readouterr().err


def test_help_is_of_the_command_or_of_the_check(checks, capsys):
    for words, said in ((["--help"], "--root FOLDER"), (["lemma_a", "--help"], "--measured")):
        with pytest.raises(SystemExit) as leaving:
            command.main(words)
        assert leaving.value.code == 0
        assert said in capsys.readouterr().out


def test_every_check_says_what_it_checks():
    known = command.statements()
    assert "verdict" not in known
    assert all(known.values())


@pytest.mark.parametrize(
    ("row", "used"),
    [
        (Row.equal("c", "h", 1.05, 1.0, 0.1), 0.5),
        (Row.equal("c", "h", -105.0, -100.0, 0.1, relative=True), 0.5),
        (Row.at_most("c", "h", 1.0, 4.0), 0.25),
        (Row.at_most("c", "h", -1.0, 4.0), 0.0),
        (Row.at_most("c", "h", -2.0, -1.0), 0.5),
        (Row.at_most("c", "h", -1.0, -2.0), 2.0),
        (Row.at_most("c", "h", 1.0, -2.0), math.inf),
        (Row.at_most("c", "h", 0.0, 0.0), 0.0),
        (Row.at_most("c", "h", 1e-9, 0.0), math.inf),
        (Row.at_least("c", "h", 4.0, 1.0), 0.25),
        (Row.at_least("c", "h", 0.5, 1.0), 2.0),
        (Row.at_least("c", "h", 0.5, 0.0), 0.0),
        (Row.at_most("c", "h", math.inf, math.inf), 0.0),
        (Row.at_most("c", "h", 1.0, math.inf), 0.0),
        (Row.at_most("c", "h", 1.0, -math.inf), math.inf),
        (Row.at_most("c", "h", -math.inf, -math.inf), 0.0),
        (Row.at_least("c", "h", math.inf, math.inf), 0.0),
        (Row.at_least("c", "h", 1.0, math.inf), math.inf),
        (Row.at_most("c", "h", math.nan, 1.0), None),
        (Row.equal("c", "h", 1.05, 1.0, 0.1, met=False), None),
    ],
)
def test_share_used_of_what_is_allowed(row, used):
    """At most 1 where the row holds, above 1 where it is violated, whatever the signs."""
    assert row.used == (used if used is None else pytest.approx(used))
    if used is not None:
        assert (row.verdict == "holds") == (row.used <= 1)


def test_a_verdict_is_drawn_by_claim():
    """Settings before the last colon do not make lines of their own."""
    rows = [Row.at_most(f"seed {seed}: residual", "h", 1e-3, 1e-2) for seed in range(3)]
    rows.append(row("holds"))  # in words: it has no share
    verdict = Verdict.of("lemma", [], rows, [Row.at_most("control: residual", "h", 1, 1e-2)])
    (ax,) = draw(verdict).axes
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == ["residual", "residual (control)"]


def test_results_outlive_a_figure_that_fails(checks, monkeypatch, tmp_path):
    def broken(verdict):
        raise RuntimeError("no figure")

    monkeypatch.setattr(command, "draw", broken)
    with pytest.raises(RuntimeError, match="no figure"):
        command.run("lemma_a", [], tmp_path)
    (folder,) = (tmp_path / "theory_checks").iterdir()
    assert json.loads((folder / "results.json").read_text())["values"]["verdict"] == "holds"
