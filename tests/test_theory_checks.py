"""Every theory check holds on a small instance, and its controls come out violated."""

import pytest

from theory_checks import decoupling, early_directional_convergence, lemma9_balance
from theory_checks import rank_one_kkt_points as rank_one
from theory_checks import theorem7_directional_convergence as theorem7


def holds(verdict):
    """Whether every row holds and every control is violated; shows those that do not."""
    assert [row for row in verdict.rows if row.verdict != "holds"] == []
    assert [row for row in verdict.control if row.verdict != "violated"] == []
    return verdict.verdict == "holds"


def test_theorem7_small(monkeypatch):
    """One seed of the two-layer network with x^2."""
    monkeypatch.setattr(theorem7, "NETWORKS", ((2, 2, 1.0),))
    verdict = theorem7.check(
        theorem7.Config(seeds=(0,), deltas=(1e-4, 1e-6, 1e-8), samples=40, dimension=4, teacher=3)
    )
    assert [row for row in verdict.rows if row.verdict != "holds"] == []
    assert [row.verdict for row in verdict.control] == ["violated", "violated"]
    assert verdict.verdict == "holds"


@pytest.mark.slow
def test_theorem7_sweep():
    """All networks, one other seed."""
    verdict = theorem7.check(theorem7.Config(seeds=(5,)))
    assert [row for row in verdict.rows if row.verdict != "holds"] == []
    assert verdict.verdict == "holds"


def test_lemma9_small():
    """Two layers, one degree, one slope."""
    config = lemma9_balance.Config(degrees=(2,), depths=(2,), slopes=(0.5,), seeds=(0,))
    assert holds(lemma9_balance.check(config))


@pytest.mark.slow
def test_lemma9_sweep():
    """All degrees and depths, other seeds."""
    assert holds(lemma9_balance.check(lemma9_balance.Config(seeds=(5, 6))))


def test_rank_one_small():
    """Three linear layers."""
    config = rank_one.Config(depths=(3,), deep=(), seeds=(0,), starts=32)
    assert holds(rank_one.check(config))


@pytest.mark.slow
def test_rank_one_sweep():
    """All networks, other seeds."""
    assert holds(rank_one.check(rank_one.Config(seeds=(5, 6))))


def test_decoupling_small(monkeypatch):
    """Three zero neurons of the two-layer network with x^2."""
    monkeypatch.setattr(decoupling, "NETWORKS", ((2, 2, 1.0, 1),))
    assert holds(decoupling.check(decoupling.Config(seeds=(0,), starts=32)))


@pytest.mark.slow
def test_decoupling_sweep():
    """All networks, other seeds."""
    assert holds(decoupling.check(decoupling.Config(seeds=(5, 6))))


def test_early_directional_convergence_small(monkeypatch):
    """One seed of the two-layer network with x^2."""
    monkeypatch.setattr(early_directional_convergence, "NETWORKS", ((2, 1.0, 1),))
    config = early_directional_convergence.Config(seeds=(0,), deltas=(1e-4, 1e-14), starts=32)
    assert holds(early_directional_convergence.check(config))


@pytest.mark.slow
def test_early_directional_convergence_sweep():
    """All networks, other seeds."""
    config = early_directional_convergence.Config(seeds=(5, 6))
    assert holds(early_directional_convergence.check(config))
