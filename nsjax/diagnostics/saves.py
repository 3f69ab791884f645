"""Which saves of a long trajectory to look at, where each look is dear."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nsjax import _check

if TYPE_CHECKING:
    from jaxtyping import Float, Int


def saves_around_drop(
    ts: Float[np.ndarray, " m"], losses: Float[np.ndarray, " m"], drop: int, count: int
) -> Int[np.ndarray, " k"]:
    """About `count` saves of a flow that waits and then falls, ascending, no two the same.

    A quarter at ratios of time over the decade before the drop, half at equal falls of the loss
    after it, a quarter at ratios of the time since the drop, from the first of these falls on;
    beside them the first save, the drop and the last one. Quarters have two saves at least.

    Args:
        ts, losses: of the trajectory, times ascending from zero.
        drop: the save at which the loss has dropped for the first time.
        count: how many saves are wanted.

    Raises:
        TypeError, ValueError: for vectors of different lengths, a drop that is none of their saves,
            or a count that is not positive.

    >>> ts = np.linspace(0.0, 10.0, 101)
    >>> saves_around_drop(ts, np.minimum(1.0, 6.0 - ts), 50, 8).tolist()
    [0, 5, 50, 67, 84, 100]
    """
    ts, losses = np.asarray(ts, float), np.asarray(losses, float)
    if ts.ndim != 1 or ts.shape != losses.shape:
        raise ValueError(
            f"ts and losses must be vectors of one length, got {ts.shape} and {losses.shape}"
        )
    if not 0 <= _check.non_negative_integer("drop", drop) < len(ts):
        raise ValueError(f"drop must be one of {len(ts)} saves, got {drop}")
    quarter = max(_check.positive_integer("count", count) // 4, 2)
    before: list[int] = []  # of a drop at time zero
    if ts[drop] > 0:
        before = [*np.searchsorted(ts, np.geomspace(ts[drop] / 10, ts[drop], quarter))]
    fallen = np.linspace(losses[drop], losses[-1], 2 * quarter)
    falls = [int(np.argmax(losses <= level)) for level in fallen]
    picked = [0, *before, drop, *falls, len(ts) - 1]
    since = ts - ts[drop]
    if since[falls[1]] > 0:
        picked += [*np.searchsorted(since, np.geomspace(since[falls[1]], since[-1], quarter))]
    return np.unique(picked)
