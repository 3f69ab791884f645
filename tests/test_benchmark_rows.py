"""Rows of benchmarks: ratios and spreads by hand, turns, exponents against SciPy, the table."""

import io
import math
from contextlib import redirect_stdout

import numpy as np
import pytest
from scipy import stats

from benchmarks import growth, rows, start_up


def test_a_ratio_of_times_in_turn_is_that_of_each_turn():
    """A busy turn, slow for both, leaves the ratio alone."""
    row = rows.against("a", "b", "c", [1.0, 10.0, 2.0], [2.0, 20.0, 6.0], least=2.5)
    assert (row.ours, row.theirs, row.ratio) == (2e3, 6e3, 2.0)
    assert row.spread == (2.0, 2.5)
    assert row.outcome == "not met"
    with pytest.raises(ValueError, match="as many, got 1 and 2"):
        rows.against("a", "b", "c", [1.0], [1.0, 2.0])


def test_a_ratio_of_times_apart_has_the_wider_spread():
    row = rows.against("a", "b", "c", [1.0, 2.0, 3.0], [4.0, 8.0], paired=False, scale=1)
    assert row.ratio == 3.0
    assert row.spread == pytest.approx((5 / 2.5, 7 / 1.5))
    assert row.repeats == 2
    assert rows.against("a", "b", "c", 1.0, 2.0).spread is None


def test_outcomes():
    assert rows.alone("a", "b", 5, "programs", most=6).outcome == "met"
    assert rows.alone("a", "b", 7, "programs", most=6).outcome == "not met"
    assert rows.alone("a", "b", [1, 3], "s").outcome == ""
    assert rows.skipped("a", "b", "c", "why").outcome == "skipped"


def test_exponents_agree_with_scipy():
    sizes = [1, 2, 4, 8]
    times = np.array([[1.0, 2.1, 4.3, 7.5], [1.0, 2.1, 4.3, 7.5], [9.0, 9.0, 9.0, 9.0]])
    row = rows.exponent("core", "n", sizes, times, most=1.1)
    fit = stats.linregress(np.log(sizes), np.log(times[0]))
    reach = stats.t.ppf(0.975, 2) * fit.stderr
    assert row.ours == pytest.approx(fit.slope)
    assert row.spread == pytest.approx((fit.slope - reach, fit.slope + reach))
    assert rows.exponent("core", "n", [1, 2], times[:, :2]).spread is None


def test_turns():
    """Calls take turns; the first turn, which compiles, is not timed."""
    clock = iter([0.0, 1.0, 20.0, 23.0, 30.0, 34.0, 40.0, 41.0])
    said = []
    calls = {name: lambda name=name: said.append(name) or name for name in "ab"}
    taken = rows.turns(calls, 2, clock=lambda: next(clock))
    assert {name: list(each) for name, each in taken.seconds.items()} == {"a": [1, 4], "b": [3, 1]}
    assert taken.results == {"a": "a", "b": "b"}
    assert "".join(said) == "ababab"


def test_a_missing_reference_says_what_installs_it():
    assert rows.absent("json", "bench") is None
    why = rows.absent("no_such_module", "bench")
    assert why == "no_such_module is not installed: pip install 'nsjax[bench]'"


def test_the_table_and_its_way_through_json():
    found = [
        rows.against("step", "n = 5", "plain", [1.0, 1.0], [3.0, 5.0], least=20),
        rows.alone("step", "n = 5", 1234.5, "CPU ms"),
        rows.skipped("step", "n = 5", "PyTorch", "torch is not there"),
    ]
    assert rows.from_json(rows.to_json(found)) == found
    text = io.StringIO()
    with redirect_stdout(text):
        rows.show("Title", found)
    shown = text.getvalue()
    for words in ("3.5 .. 4.5", "1,234", ">= 20", "not met", "skipped", "torch is not there"):
        assert words in shown
    assert "MB" not in shown  # a column that says nothing


def test_start_up_times_processes(monkeypatch):
    assert start_up.child_seconds("sum(range(10**5))") > 0
    with pytest.raises(RuntimeError, match="exit code 3"):
        start_up.child_seconds("raise SystemExit(3)")
    times = {
        start_up.REFERENCE: 1.1,
        start_up.CONTROL: 1.1,
        "import nsjax": 1.0,
        "from nsjax import kkt": 2.2,
    }
    monkeypatch.setattr(start_up, "child_seconds", times.get)
    found = start_up.measure(start_up.Config(parts=("kkt",), repeats=2))
    assert [(row.ratio, row.outcome) for row in found] == [(1.1, "met"), (0.5, ""), (1.0, "")]


def test_growth_of_a_core(monkeypatch):
    """Every size of a core gets its row; the NCF counts gradients."""
    monkeypatch.setitem(growth.BASES, "ncf", {"n": (8, 16), "d": (2, 2)})
    monkeypatch.setitem(
        growth.CORES, "ncf", lambda config, **sizes: growth.ncf(config, starts=4, **sizes)
    )
    config = growth.Config(cores=("ncf",), factors=(1, 2), repeats=1)
    assert growth.measure(config, "ncf", "n").size == "n = 8, 16"
    assert growth.measure(config, "ncf", "d").size == "d = 2, 4"
    _, count = growth.ncf(config, 8, 2, 4)
    climb, _ = growth.ncf(config, 8, 2, 4)
    assert count(climb()) == 8


def test_a_call_with_the_arguments_that_it_has():
    """The last call counts, and the function is itself again."""

    def run():
        math.floor(1.5)
        math.floor(3.5)

    whole = math.floor
    assert growth.as_called(math, "floor", run)() == 3
    assert math.floor is whole


def test_slow_turns_are_fewer():
    """Past its patience there are no more than the fewest; a patient one takes all."""
    clock = iter(range(1000)).__next__
    few = rows.turns({"a": lambda: 1}, 9, clock=clock, patience=0.5)
    all_of_them = rows.turns({"a": lambda: 1}, 9, clock=clock, patience=100)
    assert [len(each.seconds["a"]) for each in (few, all_of_them)] == [rows.FEWEST, 9]
