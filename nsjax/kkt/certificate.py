"""What makes a point a KKT point: residual, multiplier, sign, and which points are the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from nsjax import _check
from nsjax.kkt.sphere import gradient_residual, unit

CONVERGED, UNCONVERGED, FLAT, STALLED = 0, 1, 2, 3
MESSAGES = {
    CONVERGED: "every point found has reached the residual",
    UNCONVERGED: "max_steps was reached before every point had reached the residual",
    FLAT: "every start was a KKT point as drawn: the objective is zero or constant there",
    STALLED: "some points stopped rising before they reached the residual: rounding, or a kink",
}


class KKTPoints(NamedTuple):
    """Distinct KKT points found by a search, best value first; m of them.

    Attributes:
        points: pytree with a leading axis of length m.
        values: `(m,)`, the objective N.
        residuals: `(m,)`, KKT residual `||(I - w w^T) grad N|| / ||grad N||`; where `kinked`, the
            same for the best generalised (Clarke) gradient; where N vanishes, the gradient's size
            against the largest multiplier found, since its direction is one of rounding.
        multipliers: `(m,)`, `<grad N, w>`, which is degree times N.
        signs: `(m,)` int32, 1 for positive, 0 for zero and -1 for negative points.
        counts: `(m,)` int32, how many starts reached each.
        is_maximum: `(m,)` bool, no direction of positive curvature on the sphere.
        steps: ascent steps taken, by the start that took most.
        result: int32 code; `message` is its text.
        shares: `(m,)`, share of all starts that reached each, the size of its basin.
        kinked: `(m,)` bool, the point lies on a kink, where the objective has no gradient.
    """

    points: Any
    values: jax.Array
    residuals: jax.Array
    multipliers: jax.Array
    signs: jax.Array
    counts: jax.Array
    is_maximum: jax.Array
    steps: int
    result: int
    shares: jax.Array
    kinked: jax.Array

    @property
    def message(self) -> str:
        """Why the search stopped, in words."""
        return MESSAGES[int(self.result)]


def residual(objective: Callable[..., jax.Array], point: Any, *, args: tuple = ()) -> jax.Array:
    r"""KKT residual of `objective` on the unit sphere, `||(I - w w^T) grad N|| / ||grad N||`.

    Args:
        objective: pure function `(point, *args) -> scalar`.
        point: any pytree; it is scaled to norm 1.
        args: further arguments of the objective.

    Returns:
        Scalar in [0, 1]; 0 where the gradient vanishes, which is a KKT point of value zero.

    Raises:
        TypeError, ValueError: for an objective that is no scalar function, bad `args`, or a point
            that is empty, zero, or not finite.

    >>> residual(lambda w: w[0] ** 2 + 3 * w[1] ** 2, np.array([0.0, 1.0])).tolist()
    0.0
    """
    _check.function("objective", objective)
    _check.data("args", args)
    if not any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(point)):
        _check.tree_finite("point", point)
        # In NumPy: what JAX computes inside a user's jit is traced, of known values too.
        if not any(np.any(np.asarray(leaf)) for leaf in jax.tree.leaves(point)):
            raise ValueError("point must be nonzero, got a pytree of zeros")
    point = unit(point)  # floating from here on
    _check.scalar_function("objective", objective, point, *args)
    return gradient_residual(point, jax.grad(objective)(point, *args))


_CHUNK = 256
"""Points compared with all others at a time."""


def distinct(
    values: np.ndarray, signatures: np.ndarray, tol: float
) -> tuple[np.ndarray, np.ndarray]:
    """Which of m points are different, best value first.

    Two points are the same if their values agree to `tol` of the largest, and their signatures are
    parallel, of either sign, to a cosine of `1 - tol`.

    Args:
        values: `(m,)`.
        signatures: `(m, s)`, what the points compute, or the points themselves.
        tol: as above.

    Returns:
        Indices of one representative each, and `(m,)`: to which of these each point belongs.
    """
    m = len(values)
    lengths = np.linalg.norm(signatures, axis=1, keepdims=True)
    # Signatures of nothing at all are parallel to each other alone.
    rows = np.hstack([signatures / np.where(lengths > 0, lengths, 1), lengths == 0])
    margin = tol * np.max(np.abs(values), initial=0.0)
    order = np.argsort(-values, kind="stable")
    group = np.full(m, -1)
    representatives: list[int] = []
    while len(order):
        chunk = order[:_CHUNK]
        same = np.abs(rows[chunk] @ rows[order].T) >= 1 - tol
        same &= np.abs(values[chunk, None] - values[order]) <= margin
        for row, index in enumerate(chunk):
            if group[index] < 0:
                twins = order[same[row]]
                twins = twins[group[twins] < 0]
                group[twins] = group[index] = len(representatives)
                representatives.append(int(index))
        order = order[group[order] < 0]
    return np.asarray(representatives, int), group


def spread(signatures: np.ndarray, best: int | None, max_cosine: float) -> np.ndarray:
    """Indices of the first `best` rows, leaving out rows too parallel to an earlier one.

    Args:
        signatures: `(m, s)`, best first.
        best: how many at most; all by default.
        max_cosine: largest |cosine| to an earlier row; 1 leaves out none.
    """
    most = len(signatures) if best is None else best
    if max_cosine >= 1:
        return np.arange(min(most, len(signatures)))
    lengths = np.linalg.norm(signatures, axis=1, keepdims=True)
    rows = signatures / np.where(lengths > 0, lengths, 1)
    left = np.arange(len(rows))
    kept: list[int] = []
    while len(left) and len(kept) < most:
        kept.append(int(left[0]))
        left = left[1:][np.abs(rows[left[1:]] @ rows[left[0]]) <= max_cosine]
    return np.asarray(kept, int)


def signs(values: np.ndarray, zero: float) -> np.ndarray:
    """Sign class of every value, 0 within `zero` of zero."""
    return np.where(np.abs(values) <= zero, 0, np.sign(values)).astype(np.int32)
