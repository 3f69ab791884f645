"""Every theory check holds on a small instance, and its controls come out violated."""

from types import SimpleNamespace

import pytest

from theory_checks import assumption2_lojasiewicz as assumption2
from theory_checks import (
    conservation,
    cp_correspondence,
    decoupling,
    dense_orbits,
    early_directional_convergence,
    lemma9_balance,
    logistic_saddles,
    nuclear_norm,
    pursuit_descent,
    sparsity_kept,
)
from theory_checks import lemma12_descent as lemma12
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


def test_cp_correspondence_small():
    """CP terms of order 3, and a tensor of five orthogonal components."""
    config = cp_correspondence.Config(orders=(3,), sizes=(5,), seeds=(0,), starts=32, large=20_000)
    assert holds(cp_correspondence.check(config))


def test_dense_orbits_small():
    """Short orbits, wide tolerances."""
    config = dense_orbits.Config(
        points=(2,),
        map_points=(1,),
        maps=("sine",),
        precise_maps=("sigmoid",),
        precise=600,
        steps=2**14,
        tolerance=0.12,
    )
    assert holds(dense_orbits.check(config))


@pytest.mark.slow
def test_dense_orbits_sweep():
    """All maps, another seed."""
    assert holds(dense_orbits.check(dense_orbits.Config(seed=5)))


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


def test_conservation_small():
    """Two layers of degree 2."""
    config = conservation.Config(depths=(2,), degrees=(2,), slopes=(0.5,), seeds=(0,))
    assert holds(conservation.check(config))


@pytest.mark.slow
def test_conservation_sweep():
    """All networks, other seeds."""
    assert holds(conservation.check(conservation.Config(seeds=(5, 6))))


def test_lemma12_small(monkeypatch):
    """Three layers with one active neuron in each, not trained."""
    monkeypatch.setattr(lemma12, "NETWORKS", ((3, 2, 0.5, 1, (1, 1)),))
    assert holds(lemma12.check(lemma12.Config(seeds=(0,), train=False)))


@pytest.mark.slow
def test_lemma12_sweep():
    """All networks, other seeds."""
    assert holds(lemma12.check(lemma12.Config(seeds=(5, 6))))


def test_assumption2_small(monkeypatch):
    """The two-layer network with x^2, one seed."""
    monkeypatch.setattr(assumption2, "NETWORKS", ((2, 2, 1.0, 1),))
    assert holds(assumption2.check(assumption2.Config(seeds=(0,), samples=40, dimension=3)))


@pytest.mark.slow
def test_assumption2_sweep():
    """All networks, another seed."""
    assert holds(assumption2.check(assumption2.Config(seeds=(5,))))


def test_sparsity_kept_counts_runs():
    """A run holds if it ends in a minimum and every escape of it holds; of none there is none."""
    good = sparsity_kept._Escape(True, 1.0, 1.0, 1.0, 10.0, ((1, 0),))
    alone = good._replace(growth=float("nan"))
    grown = good._replace(growth=2.0)
    end, other = sparsity_kept.dynamics.Stop.MINIMUM, sparsity_kept.dynamics.Stop.MAX_VISITS
    found = sparsity_kept._Runs(
        [[good, alone], [good, grown], [good], []], [end, end, other, end], lost=0
    )
    network = sparsity_kept.NETWORKS[0]
    row = sparsity_kept._claims(sparsity_kept.Config(), network, "network", found)[2]
    assert row.measured == 0.25
    assert row.verdict == "violated"
    assert row.hypothesis == "4 runs, 2 hold at every escape, 1 without end"


def test_sizes_are_compared_only_over_enough_escapes(monkeypatch):
    """Else the row is inconclusive."""
    one = sparsity_kept._Escape(True, 1.0, 1.0, 1.0, 10.0, ((1, 0),))
    runs = sparsity_kept._Runs([[one] * 3], [sparsity_kept.dynamics.Stop.MINIMUM], lost=0)
    monkeypatch.setattr(sparsity_kept, "_follow", lambda *_: runs)
    for pairs, word in ((3, "holds"), (4, "inconclusive")):
        config = sparsity_kept.Config(pairs=pairs)
        assert sparsity_kept._rows(config, sparsity_kept.NETWORKS[0])[-1].verdict == word


def test_lemma12_names_a_network_that_is_left_out(monkeypatch):
    """Every pair with an NCF of zero: an inconclusive row, and so is the verdict."""
    monkeypatch.setattr(lemma12, "NETWORKS", ((2, 2, 1.0, 1, ()),))
    zero = lemma12._Case(
        "", lemma12.nsjax.PolyLeakyReLU(2), *[None] * 3, [1.0], 1e-9, 3, True, True
    )
    monkeypatch.setattr(lemma12, "_cases", lambda *_: [zero])
    monkeypatch.setattr(lemma12, "_first_order", lambda case: 1.0)
    monkeypatch.setattr(lemma12, "_controls", lambda config: [])
    (row,) = lemma12.check(lemma12.Config(seeds=(0,))).rows
    assert row.claim == "L=2, p=2, a=1, c=1, origin: the lemma"
    assert row.verdict == "inconclusive"


def test_conservation_leaves_out_a_drift_that_cannot_fall(monkeypatch):
    """With no drift at all no network is left, as an inconclusive row says; a failure shows."""
    stop = conservation.dynamics.Stop
    decaying = conservation.Row.at_most("decay", "none", 0, 1)
    monkeypatch.setattr(conservation, "_drift", lambda *_: (0.0, 1.0))
    monkeypatch.setattr(conservation, "_decaying", lambda config: decaying)
    monkeypatch.setattr(conservation, "_controls", lambda config: [])
    config = conservation.Config(depths=(2,), degrees=(2,), slopes=(0.5,), seeds=(0,))
    for end, word in ((stop.HORIZON, "holds"), (stop.FAILED, "inconclusive")):
        flow = SimpleNamespace(snapshots=(), result=end)
        monkeypatch.setattr(conservation, "_flow", lambda *_, flow=flow: flow)
        rows = conservation.check(config).rows
        assert [row.verdict for row in rows] == [word, "inconclusive", "holds"]


def test_pursuit_descent_small(monkeypatch):
    """A three-layer network and an origin, forty problems of each."""
    networks = pursuit_descent.NETWORKS[2], pursuit_descent.NETWORKS[7]
    monkeypatch.setattr(pursuit_descent, "NETWORKS", networks)
    config = pursuit_descent.Config(problems=80, pursuits=0, starts=8, search_steps=200)
    assert holds(pursuit_descent.check(config))


def test_pursuit_descent_sees_a_neuron_that_climbs(monkeypatch):
    """Two problems of eighty in which the loss rises are two violations."""
    monkeypatch.setattr(pursuit_descent, "NETWORKS", 2 * pursuit_descent.NETWORKS[7:8])
    draw = pursuit_descent.draw

    def drawn(*args):
        found = draw(*args)
        first, second = found.block
        return found._replace(block=(first, second.at[0].multiply(-1)))

    monkeypatch.setattr(pursuit_descent, "draw", drawn)
    config = pursuit_descent.Config(problems=80, pursuits=0, starts=8, search_steps=200)
    (row,) = [row for row in pursuit_descent.check(config).rows if row.claim.startswith("problems")]
    assert row.measured == 2
    assert row.verdict == "violated"


@pytest.mark.slow
def test_pursuit_descent_sweep():
    """All networks, another seed."""
    assert holds(pursuit_descent.check(pursuit_descent.Config(seed=5)))


@pytest.mark.slow
def test_sparsity_kept_small(monkeypatch):
    """Three seeds of the two-layer network with x^2, and the controls."""
    monkeypatch.setattr(sparsity_kept, "NETWORKS", sparsity_kept.NETWORKS[:1])
    assert holds(sparsity_kept.check(sparsity_kept.Config(seeds=3)))


@pytest.mark.slow
def test_sparsity_kept_sweep():
    """All networks, other seeds."""
    assert holds(sparsity_kept.check(sparsity_kept.Config(seeds=6, deep_seeds=3, first=20)))


def test_nuclear_norm_small():
    """Few inputs and starts, one penalty."""
    config = nuclear_norm.Config(
        seeds=(0,), penalties=(0.05,), starts=8, samples=16, dimension=5, teacher=2
    )
    assert holds(nuclear_norm.check(config))


@pytest.mark.slow
def test_logistic_saddles_small():
    """One seed of each race; no finite saddle, which tests of escapes have."""
    assert holds(logistic_saddles.check(logistic_saddles.Config(seeds=(1,), finite=())))
