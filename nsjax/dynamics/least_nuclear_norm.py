"""The matrix of least nuclear norm that fits the data exactly: the limit of a vanishing penalty.

    min |M|_*  over symmetric M with <A_i, M> = y_i   (psd: min tr M over M >= 0)

by Douglas-Rachford splitting between the affine space and the norm. Every iterate that is returned
lies on the affine space, and `N`, the multiplier in the span of the A_i, scaled to `|N|_op <= 1`,
bounds its distance to the least norm: `|M|_* - min <= |M|_* - <M, N>`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from nsjax import _check
from nsjax.dynamics.nuclear_norm import (
    CERTIFIED,
    CHUNK,
    MAX_STEPS,
    MESSAGES,
    NO_FIT,
    check_measurements,
    largest,
    shrink,
)

if TYPE_CHECKING:
    from jaxtyping import Array, Float, Int

UNIT = 0.2
"""Threshold of the splitting over the largest eigenvalue of the least squares solution. It changes
no solution; of 0.1 to 10, 0.1 to 0.3 took the fewest steps, some three times fewer than 1."""

MISFIT = 1e-6
"""Misfit over the largest target above which no matrix fits: rounding leaves less."""


class LeastNuclearNorm(NamedTuple):
    """An interpolating matrix of least nuclear norm; under `jax.vmap` with the batch's axes.

    Attributes:
        matrix: M, `(d, d)`, on the affine space.
        value: `|M|_*`; with `psd` the trace.
        dual: a lower bound of the least value.
        gap: `value - dual`.
        below: with `psd` how far the least eigenvalue lies below zero, else zero.
        misfit: `max_i |y_i - <A_i, M>|`, above rounding only where no matrix fits.
        steps: steps done.
        result: int32 code; `message` is its text.
    """

    matrix: Float[Array, "d d"]
    value: Float[Array, ""]
    dual: Float[Array, ""]
    gap: Float[Array, ""]
    below: Float[Array, ""]
    misfit: Float[Array, ""]
    steps: Int[Array, ""]
    result: Int[Array, ""]

    @property
    def message(self) -> str:
        """Why it stopped, in words."""
        return MESSAGES[int(self.result)]


def least_nuclear_norm(
    measurements: Float[Array, "n d d"],
    y: Float[Array, " n"],
    *,
    psd: bool = False,
    tol: float = 1e-8,
    max_steps: int = 20_000,
) -> LeastNuclearNorm:
    """The interpolating matrix of least nuclear norm, with a certificate.

    Args:
        measurements: symmetric matrices A_i. Rows of zeros, with targets of zero, ask for nothing:
            they make problems with different numbers of samples one batch.
        y: targets that some matrix fits.
        psd: whether M has to be positive semidefinite.
        tol: duality gap, and eigenvalue below zero, over the value at which it stops.
        max_steps: bound on the steps.

    Returns:
        `LeastNuclearNorm`; `jax.vmap` over measurements and targets gives a batch.

    Raises:
        TypeError, ValueError: for bad input.

    >>> one = jnp.array([[[1.0, 0.0], [0.0, 0.0]]])
    >>> found = least_nuclear_norm(one, jnp.array([2.0]), tol=1e-5)
    >>> round(float(found.value), 3), found.message
    (2.0, 'the duality gap is below the tolerance')
    """
    measurements, y = check_measurements(measurements, y)
    psd = _check.flag("psd", psd)
    tol = _check.positive("tol", tol)
    max_steps = _check.positive_integer("max_steps", max_steps)
    return _solve(measurements, y, psd, tol, max_steps)


@partial(jax.jit, static_argnames=("psd",))
def _solve(
    measurements: jax.Array, y: jax.Array, psd: bool, tol: float, max_steps: int
) -> LeastNuclearNorm:
    n, d = measurements.shape[:2]
    features = measurements.reshape(n, d * d)
    left, sizes, right = jnp.linalg.svd(features, full_matrices=False)
    cut = max(n, d * d) * jnp.finfo(y.dtype).eps * sizes[0]
    span = jnp.where((sizes > cut)[:, None], right, 0)  # orthonormal rows: the span of the A_i
    inverse = jnp.where(sizes > cut, 1 / jnp.where(sizes > cut, sizes, 1), 0)
    least_squares = (inverse * (y @ left)) @ span
    unit = UNIT * jnp.max(jnp.abs(jnp.linalg.eigvalsh(least_squares.reshape(d, d))))
    unit = jnp.where(unit > 0, unit, 1)

    def on_space(matrix: jax.Array) -> jax.Array:
        flat = matrix.ravel()
        return (flat - (flat @ span.T) @ span + least_squares).reshape(d, d)

    def advance(moving: jax.Array, _: None) -> tuple[jax.Array, None]:
        matrix = on_space(moving)
        return moving + shrink(2 * matrix - moving, unit, psd) - matrix, None

    def bounds(moving: jax.Array) -> tuple[jax.Array, ...]:
        matrix = on_space(moving)
        multiplier = (matrix - moving) / unit  # in the span of the A_i
        values = jnp.linalg.eigvalsh(matrix)
        value = jnp.sum(values) if psd else jnp.sum(jnp.abs(values))
        below = jnp.maximum(-values[0], 0) if psd else jnp.zeros((), y.dtype)
        scale = jnp.maximum(largest(multiplier, psd), 1)
        return value, jnp.sum(matrix * multiplier) / scale, below

    def good(value: jax.Array, dual: jax.Array, below: jax.Array) -> jax.Array:
        return (jnp.abs(value - dual) <= tol * jnp.abs(value)) & (below <= tol * jnp.abs(value))

    def unfinished(carry: Any) -> jax.Array:
        _, count, *found = carry
        return ~good(*found) & (count < max_steps)

    def chunk(carry: Any) -> Any:
        moving, count, *_ = carry
        moving, _ = lax.scan(advance, moving, None, CHUNK)
        return moving, count + CHUNK, *bounds(moving)

    start = least_squares.reshape(d, d)
    carry = (start, jnp.zeros((), jnp.int32), *bounds(start))
    moving, count, value, dual, below = lax.while_loop(unfinished, chunk, carry)
    matrix = on_space(moving)
    misfit = jnp.max(jnp.abs(y - features @ matrix.ravel()))
    result = jnp.where(good(value, dual, below), CERTIFIED, MAX_STEPS)
    result = jnp.where(misfit > MISFIT * jnp.max(jnp.abs(y)), NO_FIT, result).astype(jnp.int32)
    return LeastNuclearNorm(matrix, value, dual, value - dual, below, misfit, count, result)
