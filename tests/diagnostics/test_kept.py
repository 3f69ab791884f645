"""Sparsity kept: sizes of the neurons that take no part in an escape, on a made-up trajectory."""

from types import SimpleNamespace

import numpy as np
import pytest

from nsjax.diagnostics import kept_sparsity


def visit(start, duration, loss, *active):
    """A visit of a network with two hidden layers of two neurons."""
    return SimpleNamespace(start=start, duration=duration, loss=loss, active=active)


@pytest.fixture
def flow():
    """Two escapes, at times 2 and 5, and the sizes of four neurons."""
    ts = np.arange(8.0)
    losses = np.array([10, 10, 10, 4, 4, 4, 1, 1.0])
    first = np.array([[1, 1, 2, 100, 100, 100, 100, 100], [1, 1, 3, 6, 6, 6, 8, 50]], float).T
    second = np.array([[1, 1, 1, 90, 90, 90, 90, 90], [2, 2, 2, 2, 2, 2, 90, 90]], float).T
    # Weights whose neurons have these norms: all of it in the incoming of the first layer and in
    # the outgoing of the second, nothing between the layers.
    zero = np.zeros((8, 2, 2))
    return SimpleNamespace(
        ts=ts, losses=losses, snapshots=(first[:, :, None], zero, second[:, None, :])
    )


VISITS = (
    visit(0.0, 2.0, 10.0, [False, False], [False, False]),
    visit(2.0, 3.0, 4.0, [True, False], [True, False]),
    visit(5.0, np.inf, 1.0, [True, False], [True, True]),
)


def test_by_hand(flow):
    """Others of the first escape: 1 to 6 and 2 to 2; of the second: 6 to 8."""
    kept = kept_sparsity(flow, VISITS)
    np.testing.assert_array_equal(kept.new, [[1, 1], [0, 1]])
    np.testing.assert_array_equal(kept.lost, [0, 0])
    np.testing.assert_array_equal(kept.arrival, [2, 6])
    np.testing.assert_array_equal(kept.departure, [3, 6])
    np.testing.assert_array_equal(kept.landing, [6, 8])
    np.testing.assert_allclose(kept.growth, [2, 8 / 6])
    np.testing.assert_array_equal(kept.active, [90, 90])
    np.testing.assert_array_equal(kept.landing_times, [3, 6])


def test_no_others_and_no_escapes(flow):
    """NaN where every neuron is active; empty arrays after a single visit."""
    everything = visit(2.0, np.inf, 4.0, [True, True], [True, True])
    kept = kept_sparsity(flow, (VISITS[0], everything))
    assert np.isnan(kept.landing).all()
    assert np.isnan(kept.growth).all()
    assert kept_sparsity(flow, VISITS[:1]).new.shape == (0, 2)


def test_a_neuron_that_dies_is_no_other(flow):
    """It is counted as lost."""
    dead = visit(5.0, np.inf, 1.0, [False, False], [True, True])
    kept = kept_sparsity(flow, (*VISITS[:2], dead))
    np.testing.assert_array_equal(kept.lost, [0, 1])
    np.testing.assert_array_equal(kept.landing, [6, 8])


def test_refusals(flow):
    """Without snapshots, without visits, with other widths."""
    with pytest.raises(ValueError, match="must have snapshots, got None"):
        kept_sparsity(SimpleNamespace(ts=flow.ts, losses=flow.losses, snapshots=None), VISITS)
    with pytest.raises(ValueError, match="at least one visit"):
        kept_sparsity(flow, ())
    with pytest.raises(ValueError, match=r"widths \[2, 2\]"):
        kept_sparsity(flow, [visit(0.0, np.inf, 1.0, [True])])
    short = SimpleNamespace(ts=flow.ts[:3], losses=flow.losses, snapshots=flow.snapshots)
    with pytest.raises(ValueError, match="of one length"):
        kept_sparsity(short, VISITS)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda flow: (3, VISITS), "flow must have ts, losses and snapshots, got int without ts"),
        (lambda flow: (flow, 3), "visits must be a sequence of saddle visits, got int"),
        (lambda flow: (flow, [1, 2]), r"visits\[0\] must have .* got int without start"),
        (
            lambda flow: (flow, [VISITS[0], SimpleNamespace(start=0.0, duration=1.0, loss=0.0)]),
            r"visits\[1\] must have .* without active",
        ),
        (
            lambda flow: (flow, [SimpleNamespace(start=0, duration=1, loss=0, active=True)]),
            r"visits\[0\].active must be a sequence of boolean arrays",
        ),
    ],
)
def test_what_is_no_trajectory_and_what_is_no_visit(flow, make, message):
    """The argument is named, with what came and what was wanted."""
    with pytest.raises(TypeError, match=message):
        kept_sparsity(*make(flow))
