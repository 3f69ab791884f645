"""Monotone ascent on unit spheres, many starts at once.

The step is that of the shifted power method, `w <- unit(grad N / ||grad N|| + shift w)`: without a
shift it cycles. A step that lowers the value is refused and the shift doubled (a large shift is a
short step); an accepted one halves it. A start is finished when its KKT residual is below the
tolerance, or when even a tiny step no longer raises the value, as at a kink.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

_SMALLEST_SHIFT, _LARGEST_SHIFT = 2.0**-6, 2.0**40


class Ascent(NamedTuple):
    """State of m ascents, flat points `(m, k)`."""

    points: jax.Array
    values: jax.Array
    gradients: jax.Array
    shifts: jax.Array
    residuals: jax.Array
    finished: jax.Array
    steps: jax.Array


ValueAndGrad = Callable[[jax.Array], tuple[jax.Array, jax.Array]]


def ascend(
    value_and_grad: ValueAndGrad, starts: jax.Array, tol: jax.Array, max_steps: jax.Array
) -> Ascent:
    """Climb from every row of `starts` until all are finished or `max_steps` are done.

    Args:
        value_and_grad: of m points at once, `(m, k) -> (m,), (m, k)`.
        starts: `(m, k)` unit rows.
        tol: KKT residual at which a start is finished.
        max_steps: bound on the steps.
    """
    values, gradients = value_and_grad(starts)
    shifts = jnp.ones_like(values)
    residuals = _residuals(starts, gradients)
    state = Ascent(
        starts, values, gradients, shifts, residuals, residuals <= tol, jnp.zeros((), jnp.int32)
    )

    def unfinished(state: Ascent) -> jax.Array:
        return ~jnp.all(state.finished) & (state.steps < max_steps)

    def step(state: Ascent) -> Ascent:
        sizes = jnp.linalg.norm(state.gradients, axis=1, keepdims=True)
        uphill = state.gradients / jnp.where(sizes > 0, sizes, 1)
        moved = uphill + state.shifts[:, None] * state.points
        lengths = jnp.linalg.norm(moved, axis=1, keepdims=True)
        moved = jnp.where(lengths > 0, moved / jnp.where(lengths > 0, lengths, 1), state.points)
        values, gradients = value_and_grad(moved)
        residuals = _residuals(moved, gradients)
        # Within rounding of the top values cannot tell; there a smaller residual decides.
        slack = 8 * jnp.finfo(values.dtype).eps * jnp.abs(state.values)
        better = (values > state.values + slack) | (
            (values >= state.values - slack) & (residuals < state.residuals)
        )
        better &= ~state.finished
        shifts = jnp.where(better, 0.5 * state.shifts, 2 * state.shifts)
        stuck = shifts > _LARGEST_SHIFT
        pick = better[:, None]
        residuals = jnp.where(better, residuals, state.residuals)
        return Ascent(
            jnp.where(pick, moved, state.points),
            jnp.where(better, values, state.values),
            jnp.where(pick, gradients, state.gradients),
            jnp.maximum(shifts, _SMALLEST_SHIFT),
            residuals,
            state.finished | (residuals <= tol) | stuck,
            state.steps + 1,
        )

    return lax.while_loop(unfinished, step, state)


def _residuals(points: jax.Array, gradients: jax.Array) -> jax.Array:
    along = jnp.sum(points * gradients, axis=1, keepdims=True)
    sizes = jnp.linalg.norm(gradients, axis=1)
    tangents = jnp.linalg.norm(gradients - along * points, axis=1)
    # Written so that NaN stays NaN: a point that is not finite is no KKT point.
    return jnp.where(sizes == 0, 0, tangents / jnp.where(sizes == 0, 1, sizes))
