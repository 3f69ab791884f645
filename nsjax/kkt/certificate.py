"""What makes a point a KKT point: residual, multiplier, sign, and which points are the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsjax import _check
from nsjax.kkt.sphere import norm, tangent, unit

CONVERGED, UNCONVERGED = 0, 1
MESSAGES = {
    CONVERGED: "every start reached the residual or a kink where its value stopped rising",
    UNCONVERGED: "max_steps was reached before every start had converged",
}


class KKTPoints(NamedTuple):
    """Distinct KKT points found by a search, best value first; m of them.

    Attributes:
        points: pytree with a leading axis of length m.
        values: `(m,)`, the objective N.
        residuals: `(m,)`, KKT residual `||(I - w w^T) grad N|| / ||grad N||`.
        multipliers: `(m,)`, `<grad N, w>`, which is degree times N.
        signs: `(m,)` int32, 1 for positive, 0 for zero and -1 for negative points.
        counts: `(m,)` int32, how many starts reached each.
        is_maximum: `(m,)` bool, no direction of positive curvature on the sphere.
        steps: ascent steps taken, by the start that took most.
        result: int32 code; `message` is its text.
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
        ValueError: if the point is empty, zero, or not finite.

    >>> residual(lambda w: w[0] ** 2 + 3 * w[1] ** 2, jnp.array([0.0, 1.0])).tolist()
    0.0
    """
    if not any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(point)):
        _check.tree_finite("point", point)
        if float(norm(point)) == 0:
            raise ValueError("point must be nonzero, got a pytree of zeros")
    _check.data("args", args)
    point = unit(point)
    return gradient_residual(point, jax.grad(objective)(point, *args))


def gradient_residual(point: Any, gradient: Any) -> jax.Array:
    """KKT residual at a unit point whose gradient is known."""
    size = norm(gradient)
    return jnp.where(size == 0, 0, norm(tangent(point, gradient)) / jnp.where(size == 0, 1, size))


def tangent_curvature(
    objective: Callable[..., jax.Array], point: jax.Array, *args: Any
) -> jax.Array:
    """Largest eigenvalue of the Hessian on the sphere at a flat unit point of value N.

    The Hessian of the restriction is `P (H - <grad N, w> I) P`, with P the tangent projector; the
    normal direction is moved below every other, so that it never counts as the largest.
    """
    gradient = jax.grad(objective)(point, *args)
    hessian = jax.hessian(objective)(point, *args)
    projector = jnp.eye(point.size, dtype=point.dtype) - jnp.outer(point, point)
    shifted = hessian - jnp.dot(gradient, point) * jnp.eye(point.size, dtype=point.dtype)
    restricted = projector @ shifted @ projector
    below = (1 + jnp.linalg.norm(restricted)) * jnp.outer(point, point)
    return jnp.linalg.eigvalsh(restricted - below)[-1]


def tangent_curvature_by_powers(
    objective: Callable[..., jax.Array], point: jax.Array, *args: Any
) -> jax.Array:
    """The same by power steps on Hessian-vector products, without a dense Hessian.

    First the largest absolute eigenvalue, then the largest of the Hessian shifted by it.
    """
    gradient = jax.grad(objective)
    multiplier = jnp.dot(gradient(point, *args), point)

    def restricted(vector: jax.Array) -> jax.Array:
        vector = vector - jnp.dot(point, vector) * point
        product = jax.jvp(lambda w: gradient(w, *args), (point,), (vector,))[1]
        product = product - multiplier * vector
        return product - jnp.dot(point, product) * point

    def largest(shift: jax.Array) -> jax.Array:
        def step(_: int, vector: jax.Array) -> jax.Array:
            vector = restricted(vector) + shift * vector
            vector = vector - jnp.dot(point, vector) * point
            return vector / jnp.maximum(jnp.linalg.norm(vector), jnp.finfo(vector.dtype).tiny)

        first = jax.random.normal(jax.random.key(0), point.shape, point.dtype)
        first = first - jnp.dot(point, first) * point
        vector = jax.lax.fori_loop(0, 100, step, first / jnp.linalg.norm(first))
        return jnp.dot(vector, restricted(vector))

    return largest(jnp.abs(largest(jnp.zeros((), point.dtype))))


def distinct(values: np.ndarray, cosines: np.ndarray, tol: float) -> tuple[np.ndarray, np.ndarray]:
    """Which of m points are different, best value first.

    An ascent that stopped at residual `tol` is further than that from its limit, so twins are
    merged at the square root of `tol`: two points are the same if their values agree to that share
    of the largest value and they are parallel, of either sign, to it.

    Args:
        values: `(m,)`.
        cosines: `(m, m)`, of the angles between the points, or between what they compute.
        tol: KKT residual to which the points are known.

    Returns:
        Indices of one representative each, and how many points each stands for.
    """
    loose = max(10 * tol, tol**0.5)
    close = np.abs(values[:, None] - values[None, :]) <= loose * np.max(np.abs(values), initial=0.0)
    same = close & (np.abs(cosines) >= 1 - loose)
    representatives: list[int] = []
    counts: list[int] = []
    left = np.ones(len(values), bool)
    for index in np.argsort(-values, kind="stable"):
        if left[index]:
            twins = left & same[index]
            twins[index] = True
            representatives.append(int(index))
            counts.append(int(np.sum(twins)))
            left &= ~twins
    return np.asarray(representatives, int), np.asarray(counts, int)


def padded(index: np.ndarray, size: int) -> np.ndarray:
    """`index` with zeros behind it up to length `size`: the number found then shapes no program."""
    return np.concatenate([index, np.zeros(size - len(index), int)])


def map_first(function: Callable[[Any], Any], count: int, rows: Any) -> Any:
    """`jax.lax.map(function, rows)` over the first `count` rows alone; the others come as zeros."""

    def row(numbered: tuple[jax.Array, Any]) -> Any:
        number, inputs = numbered
        nothing = jax.tree.map(
            lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(function, inputs)
        )
        return jax.lax.cond(number < count, function, lambda _: nothing, inputs)

    return jax.lax.map(row, (jnp.arange(len(jax.tree.leaves(rows)[0])), rows))


def first(count: int, tree: Any) -> Any:
    """The first `count` rows of every leaf, cut on the host, where a new count compiles nothing."""
    return jax.tree.map(lambda leaf: jax.device_put(np.asarray(leaf)[:count]), tree)


def cosines(rows: jax.Array) -> jax.Array:
    """Cosines `(m, m)` between the rows of `(m, k)`; rows of zeros are parallel to each other."""
    lengths = jnp.linalg.norm(rows, axis=1)
    zero = lengths == 0
    unit_rows = rows / jnp.where(zero, 1, lengths)[:, None]
    return unit_rows @ unit_rows.T + (zero[:, None] & zero[None, :])


def signs(values: np.ndarray, zero: float) -> np.ndarray:
    """Sign class of every value, 0 within `zero` of zero."""
    return np.where(np.abs(values) <= zero, 0, np.sign(values)).astype(np.int32)
