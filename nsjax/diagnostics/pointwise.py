"""The constant of the Łojasiewicz inequality at every point of a trajectory."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from nsjax import _check
from nsjax.diagnostics.lengths import ROUNDINGS, trajectory_arrays


class Pointwise(NamedTuple):
    """`||grad f|| / (f - f*)^alpha` along a trajectory, where f - f* lies above rounding.

    Attributes:
        ts: times `(k,)`.
        values: `f - f*` `(k,)`.
        ratios: the local constants `(k,)`.
        alpha: the exponent.
        smallest: the smallest ratio: the inequality holds with it at every save.
        at: `f - f*` where it is reached.
        bound: of the length of the whole trajectory by it, `(f - f*)^(1 - alpha) / (smallest (1 -
            alpha))` at the start. True of the path by what was measured on it; no constant of a
            neighbourhood.
    """

    ts: np.ndarray
    values: np.ndarray
    ratios: np.ndarray
    alpha: float
    smallest: float
    at: float
    bound: float

    def level(self, mu: float) -> float:
        """The largest `f - f*` from which on no ratio is less than mu; NaN if the last one is."""
        less = np.flatnonzero(self.ratios < mu)
        first = int(less[-1]) + 1 if less.size else 0
        return float(self.values[first]) if first < len(self.values) else np.nan


def pointwise(flow: Any, *, limit: float, alpha: float = 0.5, floor: float = 0.0) -> Pointwise:
    """The local constant of the Łojasiewicz inequality along a gradient flow.

    At a minimum it tends to mu or more; near a saddle on the way the gradient vanishes at f > f*,
    and it dips towards zero.

    Args:
        flow: an `nsjax.dynamics.Flow`, a `Trajectory`, or anything with `ts`, `losses` and
            `grad_norms`, `(m,)` each.
        limit: f*, that of the critical point that the flow goes to.
        alpha: exponent, in (0, 1).
        floor: values of `f - f*` up to this one are left out, such as the error of the limit.

    Raises:
        TypeError, ValueError: for a bad flow or number, or if no two saves lie above rounding.

    Source: `docs/mathematics.md`, section 4.

    >>> from nsjax.diagnostics import Trajectory
    >>> t = np.linspace(0, 5, 6)
    >>> found = pointwise(Trajectory(t, np.exp(-2 * t) / 2, np.exp(-t)), limit=0.0)
    >>> round(found.smallest, 6), round(found.bound, 6)  # mu = sqrt(2), and a length of 1
    (1.414214, 1.0)
    """
    ts, losses, grad_norms = trajectory_arrays(flow)
    if not _check.positive("alpha", alpha) < 1:
        raise ValueError(f"alpha must be less than 1, got {alpha!r}")
    floor = _check.non_negative("floor", floor)
    limit = _check.real("limit", limit)
    rounding = ROUNDINGS * float(np.finfo(losses.dtype).eps) * abs(limit)
    values = np.asarray(losses, float) - limit
    clear = values > max(rounding, floor)
    if clear.sum() < 2:
        raise ValueError(
            f"flow must have two saves above limit = {limit:.6g} by more than rounding and floor, "
            f"got {clear.sum()}"
        )
    values = values[clear]
    ratios = np.asarray(grad_norms, float)[clear] / values**alpha
    lowest = int(np.argmin(ratios))
    smallest = float(ratios[lowest])
    bound = values[0] ** (1 - alpha) / (smallest * (1 - alpha)) if smallest > 0 else np.inf
    return Pointwise(
        np.asarray(ts, float)[clear],
        values,
        ratios,
        float(alpha),
        smallest,
        float(values[lowest]),
        float(bound),
    )
