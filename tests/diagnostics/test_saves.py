"""Saves to look at: what the ways to pick them promise, on a flow that waits and then falls."""

import numpy as np
import pytest

from nsjax import diagnostics

TS = np.concatenate([[0.0], np.geomspace(1e-3, 1e3, 6001)])
LOSSES = np.exp(-TS / 10)


def test_ratios_of_time_before_the_drop_and_equal_falls_after_it():
    drop = int(np.argmax(LOSSES < 0.98))
    found = diagnostics.saves_around_drop(TS, LOSSES, drop, 40)
    assert 30 < len(found) <= 43
    assert {0, drop, len(TS) - 1} <= set(found.tolist())
    assert np.all(np.diff(found) > 0)
    before = TS[found[(found > 0) & (found <= drop)]]
    np.testing.assert_allclose(before, TS[drop] * np.geomspace(0.1, 1, 10), rtol=3e-3)
    # Between neighbours the loss falls by no more than one of 19 equal falls, and a save.
    assert np.max(-np.diff(LOSSES[found[found >= drop]])) < 1.02 * LOSSES[drop] / 19
    # The tail, where nothing falls, is seen too.
    assert np.sum(TS[found] > 100) >= 3


def test_a_flow_that_ends_at_its_drop():
    drop = 3000
    found = diagnostics.saves_around_drop(TS[: drop + 1], LOSSES[: drop + 1], drop, 8)
    assert found[0] == 0
    assert found[-1] == drop


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"losses": LOSSES[1:]}, "one length"),
        ({"drop": len(TS)}, "drop must be one of 6002 saves, got 6002"),
        ({"drop": -1}, "drop"),
        ({"count": 0}, "count"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    given = {"ts": TS, "losses": LOSSES, "drop": 10, "count": 8} | change
    with pytest.raises(ValueError, match=message):
        diagnostics.saves_around_drop(**given)


def test_a_flow_that_drops_at_once():
    """At time zero there is no decade before; the rest is as for a later drop."""
    found = diagnostics.saves_around_drop(TS, LOSSES, 0, 40)
    assert {0, len(TS) - 1} <= set(found.tolist())
    assert np.max(-np.diff(LOSSES[found])) < 1.02 / 19
    assert diagnostics.saves_around_drop(TS[:1], LOSSES[:1], 0, 8).tolist() == [0]


def test_saves_at_one_time_with_the_drop_at_the_last_of_them():
    ts = np.array([0.0, 1.0, 1.0])
    found = diagnostics.saves_around_drop(ts, np.array([3.0, 2.0, 1.0]), 1, 8)
    assert found.tolist() == [0, 1, 2]
