"""Monotone ascent on unit spheres, many starts at once, as matrix products.

The step is that of the shifted power method, `w <- unit(grad N / ||grad N|| + shift w)`, written by
its length along the tangent; without a shift it cycles. Barzilai and Borwein's two lengths, in
turns, take the place of a fixed shift: they follow the curvature at no cost. A step that lowers the
value is refused and shortened to the top of the parabola through what is known of it. A start is
over when its KKT residual is below the tolerance, or when even a tiny step no longer raises the
value, as at a kink.

Starts queue for a number of lanes; a lane whose start is over takes the next one, and when the
queue is empty the last starts move together into fewer lanes. So a start that is over costs nothing
more, and memory is bounded by the lanes, not by the starts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

_SHORTEST, _LONGEST = 2.0**-40, 2.0**6
_FARTHEST = 0.25
"""Largest way of a step, the tangent of an angle: longer ones leap out of the basin of the flow."""
_BEFORE_REFILL = 4
"""Steps between two looks at which lanes are over."""

ValueAndGrad = Callable[[jax.Array], tuple[jax.Array, jax.Array]]


class Ascent(NamedTuple):
    """Where m ascents ended.

    Attributes:
        points: `(m, k)` unit rows.
        values: `(m,)`; minus infinity where the objective was not finite at the start.
        residuals: `(m,)` KKT residuals.
        steps: `(m,)` int32, evaluations of the objective after that of the start.
    """

    points: jax.Array
    values: jax.Array
    residuals: jax.Array
    steps: jax.Array


class _Lanes(NamedTuple):
    """The starts that are climbing, a column each; `start` is m, the number of starts, if idle.

    `tangents` are those of the gradients over their sizes.
    """

    start: jax.Array
    points: jax.Array
    values: jax.Array
    tangents: jax.Array
    sizes: jax.Array
    residuals: jax.Array
    lengths: jax.Array
    steps: jax.Array
    over: jax.Array


def ascend(
    value_and_grad: ValueAndGrad,
    starts: jax.Array,
    tol: jax.Array | float,
    max_steps: jax.Array | int,
    *,
    lanes: tuple[int, ...] | None = None,
) -> Ascent:
    """Climb from every row of `starts` until each is over or has done `max_steps`.

    Args:
        value_and_grad: of the columns of a matrix at once, `(k, l) -> (l,), (k, l)`: points as
            columns make both matrix products of a neuron's gradient the fast ones.
        starts: `(m, k)` unit rows.
        tol: KKT residual at which a start is over.
        max_steps: bound on the steps of each.
        lanes: how many starts climb at a time, and to how many the last ones are moved together;
            all at once by default.
    """
    m = starts.shape[0]
    widths = (m,) if lanes is None else lanes
    done = Ascent(
        jnp.zeros_like(starts),
        jnp.zeros(m, starts.dtype),
        jnp.zeros(m, starts.dtype),
        jnp.zeros(m, jnp.int32),
    )
    tol = jnp.asarray(tol, starts.dtype)
    state = _refill(starts, _idle(starts, widths[0]), done, jnp.zeros((), jnp.int32))
    for width, narrower in zip(widths, (*widths[1:], 0), strict=True):

        def busy(state: tuple[_Lanes, Ascent, jax.Array], narrower: int = narrower) -> jax.Array:
            climbing, _, following = state
            left = jnp.sum(climbing.start < m)
            return (left > narrower) | ((following < m) & (left > 0))

        def advance(state: tuple[_Lanes, Ascent, jax.Array]) -> tuple[_Lanes, Ascent, jax.Array]:
            climbing, done, following = state
            climbing = lax.fori_loop(
                0, _BEFORE_REFILL, lambda _, c: _step(value_and_grad, c, tol, max_steps), climbing
            )
            return _refill(starts, climbing, done, following)

        climbing, done, following = lax.while_loop(busy, advance, _narrow(state, width))
        state = climbing, done, following
    return state[1]


def ascend_together(
    climbs: Sequence[ValueAndGrad],
    starts: Sequence[jax.Array],
    tol: jax.Array | float,
    max_steps: jax.Array | int,
) -> list[Ascent]:
    """`ascend` on several functions at once, each from its own starts `(m, k)`: one program."""
    heights = [each.shape[1] for each in starts]
    ends = np.cumsum([len(each) for each in starts])[:-1]

    def climb(columns: jax.Array) -> tuple[jax.Array, jax.Array]:
        values, gradients = [], []
        parts = jnp.split(columns, ends, axis=1)
        for one, part, height in zip(climbs, parts, heights, strict=True):
            value, gradient = one(part[:height])
            values.append(value)
            gradients.append(jnp.pad(gradient, ((0, len(columns) - height), (0, 0))))
        return jnp.concatenate(values), jnp.concatenate(gradients, axis=1)

    rows = [jnp.pad(each, ((0, 0), (0, max(heights) - each.shape[1]))) for each in starts]
    done = ascend(climb, jnp.concatenate(rows), tol, max_steps)
    found = zip(*(jnp.split(leaf, ends) for leaf in done), strict=True)
    return [
        Ascent(points[:, :height], *others)
        for (points, *others), height in zip(found, heights, strict=True)
    ]


def _idle(starts: jax.Array, width: int) -> _Lanes:
    (m, k), dtype = starts.shape, starts.dtype
    nothing = jnp.zeros(width, dtype)
    return _Lanes(
        jnp.full(width, m, jnp.int32),
        jnp.zeros((k, width), dtype),
        nothing,
        jnp.zeros((k, width), dtype),
        nothing,
        nothing,
        nothing,
        jnp.zeros(width, jnp.int32),
        jnp.ones(width, bool),
    )


def _narrow(
    state: tuple[_Lanes, Ascent, jax.Array], width: int
) -> tuple[_Lanes, Ascent, jax.Array]:
    """The same with the busy lanes first, and only `width` of them."""
    climbing, done, following = state
    if width == climbing.start.shape[0]:
        return state
    order = jnp.argsort(climbing.start)[:width]
    return jax.tree.map(lambda leaf: leaf[..., order], climbing), done, following


def _refill(
    starts: jax.Array, lanes: _Lanes, done: Ascent, following: jax.Array
) -> tuple[_Lanes, Ascent, jax.Array]:
    """Store the starts that are over, and give their lanes to the next ones of the queue."""
    m, over = starts.shape[0], lanes.over
    # What is stored at m, one past the end, is dropped.
    where = jnp.where(over, lanes.start, m)
    done = Ascent(
        done.points.at[where].set(lanes.points.T, mode="drop"),
        done.values.at[where].set(lanes.values, mode="drop"),
        done.residuals.at[where].set(lanes.residuals, mode="drop"),
        done.steps.at[where].set(lanes.steps, mode="drop"),
    )
    rank = jnp.cumsum(over, dtype=jnp.int32)
    queued = jnp.minimum(following + rank - 1, m)
    start = jnp.where(over, queued, lanes.start)
    fresh = over & (start < m)
    # A fresh lane has no gradient: its first step evaluates the start itself and is accepted.
    lanes = _Lanes(
        start,
        jnp.where(fresh, starts[jnp.minimum(start, m - 1)].T, lanes.points),
        jnp.where(fresh, -jnp.inf, lanes.values),
        jnp.where(fresh, 0, lanes.tangents),
        jnp.where(fresh, 0, lanes.sizes),
        jnp.where(fresh, jnp.inf, lanes.residuals),
        lanes.lengths,
        jnp.where(fresh, -1, lanes.steps),
        start >= m,
    )
    return lanes, done, jnp.minimum(following + rank[-1], m)


def _step(
    value_and_grad: ValueAndGrad, lanes: _Lanes, tol: jax.Array, max_steps: jax.Array | int
) -> _Lanes:
    live, tiny = ~lanes.over, jnp.finfo(lanes.values.dtype).tiny
    length = jnp.minimum(lanes.lengths, _FARTHEST / jnp.maximum(lanes.residuals, tiny))
    moved = lanes.points + length * lanes.tangents
    moved = moved / jnp.linalg.norm(moved, axis=0)
    values, gradients = value_and_grad(moved)
    # Over their largest entries first: their squares may be out of range.
    largest = jnp.max(jnp.abs(gradients), axis=0)
    gradients = gradients / jnp.where(largest > 0, largest, 1)
    sizes = jnp.linalg.norm(gradients, axis=0)
    gradients, sizes = gradients / jnp.where(sizes > 0, sizes, 1), largest * sizes
    tangents = gradients - jnp.sum(moved * gradients, axis=0) * moved
    residuals = jnp.linalg.norm(tangents, axis=0)

    # Within rounding of the top values cannot tell; there a smaller residual decides.
    fresh = lanes.values == -jnp.inf
    slack = 8 * jnp.finfo(values.dtype).eps * jnp.abs(jnp.where(fresh, 0, lanes.values))
    better = (values > lanes.values + slack) | (
        (values >= lanes.values - slack) & (residuals < lanes.residuals)
    )
    better &= live & jnp.isfinite(values) & jnp.isfinite(sizes)

    step = moved - lanes.points
    change = lanes.tangents - (sizes / jnp.where(lanes.sizes > 0, lanes.sizes, 1)) * tangents
    along, squared = jnp.sum(step * change, axis=0), jnp.sum(change * change, axis=0)
    first = jnp.sum(step * step, axis=0) / jnp.where(along > 0, along, 1)
    second = along / jnp.where(squared > 0, squared, 1)
    secant = jnp.where(lanes.steps % 2 == 0, first, second)
    longer = jnp.where(along > 0, secant, 4 * length)
    longer = jnp.where(fresh, 1, jnp.clip(longer, 0.05 * length, 20 * length))

    slope = lanes.residuals**2 * lanes.sizes * length
    missed = slope - (values - lanes.values)
    top = 0.5 * length * slope / jnp.where(missed > 0, missed, 1)
    shorter = jnp.where(jnp.isfinite(top), jnp.clip(top, 0.1 * length, 0.5 * length), 0.1 * length)
    lengths = jnp.where(better, longer, shorter)

    residuals = jnp.where(better, residuals, lanes.residuals)
    steps = lanes.steps + live
    return _Lanes(
        lanes.start,
        jnp.where(better, moved, lanes.points),
        jnp.where(better, values, lanes.values),
        jnp.where(better, tangents, lanes.tangents),
        jnp.where(better, sizes, lanes.sizes),
        residuals,
        jnp.where(live, jnp.clip(lengths, 0.5 * _SHORTEST, _LONGEST), lanes.lengths),
        steps,
        lanes.over | (residuals <= tol) | (lengths < _SHORTEST) | (steps >= max_steps),
    )
