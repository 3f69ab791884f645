"""Every theory check holds on a small instance, and its controls come out violated."""

import pytest

from theory_checks import theorem7_directional_convergence as theorem7


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
