"""The lower envelope of `||grad f||` over the level sets of f round a point.

At each level the gradient norm is minimised over `{|f - f*| = level, ||w - point|| <= radius}`.
With `g` the gradient, `H` the Hessian and `a` the multiplier this asks for a stationary point of

    log ||g|| + penalty(||w - point|| / radius) - a log(|f - f*| / level),

found by Newton steps in the tangent space of the level set, all starts and levels at once. The
multiplier at the minimum is the local slope of the envelope, `a = level g'Hg / ||g||^4`.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from nsjax.diagnostics.restricted import Metric, Place, Restricted, relax

STEPS = (1.0, 0.5, 0.2, 0.05)
"""Shares of a Newton step that are tried together, each with and without a relaxation."""
WALL = 20.0
"""Weight of the penalty that keeps points within the radius."""
NEAR = 1e3
"""A start below so many times its level is rescaled to it."""
MEMORY = 2**28
"""Bytes for the working matrices of the searches that run together."""
SETTLED = 1e-7
"""A search ends when a step lowers the logarithm of the gradient norm by less."""


class Points(NamedTuple):
    """What a search ended at, each `(levels, 2 + starts, ...)`.

    Attributes:
        moved: displacements from the point.
        values: |f - f*| there.
        gradients: ||grad f|| there, at the level; infinite where it was missed.
    """

    moved: jax.Array
    values: jax.Array
    gradients: jax.Array


@functools.partial(jax.jit, static_argnums=(0, 6))
def follow(
    problem: Restricted,
    place: Place,
    starts: jax.Array,
    levels: jax.Array,
    radii: jax.Array,
    basis: jax.Array,
    steps: int,
) -> Points:
    """Minimise the gradient norm on every level, from starts given and from the level before.

    Where valleys of f are curved, a point of one level is far from the next one's: the best point
    is carried on by a power law for every coordinate in `basis`, and along its ray.

    Args:
        problem: the function.
        place: where.
        starts: displacements to start from, `(levels, starts, d)`.
        levels: |f - f*|, `(levels,)`, in the order in which they are gone through.
        radii: largest displacement at each level, `(levels,)`.
        basis: eigenvectors of the Hessian at the point, `(d, d)`.
        steps: most Newton steps.
    """
    count, size = starts.shape[1] + 2, starts.shape[2]
    batch = min(count, max(1, MEMORY // (80 * size * size)))

    def advance(carry: tuple, row: tuple) -> tuple:
        before, level_before, last, level_last = carry
        given, level, radius = row
        share = jnp.log(level / level_last) / jnp.log(level_last / level_before)
        a, b = basis.T @ before, basis.T @ last
        ratio = jnp.clip(jnp.abs(b / jnp.where(a == 0, 1, a)), 1e-3, 1e3)
        onward = basis @ jnp.where(a == 0, b, b * ratio**share)
        points = jax.lax.map(
            lambda start: _search(problem, place, steps, start, level, radius),
            jnp.concatenate([jnp.stack([onward, last]), given]),
            batch_size=batch,
        )
        best = jnp.argmin(points.gradients)
        found = jnp.isfinite(points.gradients[best])
        after = (last, level_last, points.moved[best], level)
        return jax.tree.map(lambda new, old: jnp.where(found, new, old), after, carry), points

    first = (starts[0, 0], levels[0] * levels[0] / levels[1], starts[0, 0], levels[0])
    return jax.lax.scan(advance, first, (starts, levels, radii))[1]


def _search(
    problem: Restricted,
    place: Place,
    steps: int,
    start: jax.Array,
    level: jax.Array,
    radius: jax.Array,
) -> Points:
    merit = functools.partial(_merit, problem, place, level, radius)

    def go_on(state: tuple) -> jax.Array:
        _, _, step, gain = state
        return (step < steps) & (gain > SETTLED)

    def advance(state: tuple) -> tuple:
        moved, best, step, _ = state
        direction, metric = _newton(problem, place, radius, moved)
        longest = 0.7 * jnp.linalg.norm(moved)
        length = jnp.linalg.norm(direction)
        direction = direction * jnp.minimum(1, longest / jnp.where(length > 0, length, 1))
        direction = jnp.where(jnp.all(jnp.isfinite(direction)), direction, 0)
        trials = moved + jnp.asarray(STEPS, moved.dtype)[:, None] * direction
        value, gradient = problem.gradient(moved, place)
        own = jnp.vdot(gradient, gradient) / value
        relaxed = functools.partial(relax, problem, place, metric, own, 2)
        trials = jnp.concatenate([trials, jax.vmap(relaxed)(trials)])
        trials = jax.vmap(functools.partial(_restore, problem, place, level, metric))(trials)
        merits = jax.vmap(merit)(trials)
        chosen = jnp.argmin(merits)
        better = merits[chosen] < best
        gain = jnp.where(better, best - merits[chosen], 0)
        moved = jnp.where(better, trials[chosen], moved)
        return moved, jnp.where(better, merits[chosen], best), step + 1, gain

    hessian = jax.jacfwd(lambda at: jax.grad(problem.value)(at, place))(start)
    metric = Metric(*jnp.linalg.eigh(0.5 * (hessian + hessian.T)))
    moved = _rescale(problem, place, level, metric, start)
    moved = _restore(problem, place, level, metric, moved, 24)
    first = merit(moved)
    gain = jnp.full_like(first, jnp.inf)
    moved, _, _, _ = jax.lax.while_loop(go_on, advance, (moved, first, 0, gain))
    value, gradient = problem.gradient(moved, place)
    # A point beyond the radius counts where the penalty is worth a tenth of a percent at most.
    inside = jnp.linalg.norm(moved) <= 1.02 * radius
    there = inside & (jnp.abs(value / level - 1) < 1e-3)
    return Points(moved, value, jnp.where(there, jnp.linalg.norm(gradient), jnp.inf))


def _rescale(
    problem: Restricted, place: Place, level: jax.Array, metric: Metric, moved: jax.Array
) -> jax.Array:
    """Move into the valley and along the ray to the level: Newton steps in logarithms.

    Exact on powers. A ray leaves a curved valley, so the stiff directions are relaxed at each step.
    From far above the level nothing is rescaled: that is for `_restore`.
    """

    def settle(moved: jax.Array) -> jax.Array:
        # |t|^m has the curvature m (m - 1) level / t^2; what is much stiffer is none of the level.
        own = 40 * level / jnp.vdot(moved, moved)
        relaxed = relax(problem, place, metric, own, 4, moved)
        usable = jnp.linalg.norm(relaxed - moved) < 0.7 * jnp.linalg.norm(moved)
        usable &= problem.value(relaxed, place) > 0
        return jnp.where(usable, relaxed, moved)

    def once(_: int, moved: jax.Array) -> jax.Array:
        moved = settle(moved)
        value, gradient = problem.gradient(moved, place)
        slope = jnp.vdot(moved, gradient) / value
        usable = (value > 0) & (value < NEAR * level) & (slope > 0.5) & (slope < 40)
        shift = jnp.log(level / jnp.where(usable, value, level)) / jnp.where(usable, slope, 1)
        return moved * jnp.exp(jnp.clip(shift, -3, 3))

    return settle(jax.lax.fori_loop(0, 4, once, moved))


def _restore(
    problem: Restricted,
    place: Place,
    level: jax.Array,
    metric: Metric,
    moved: jax.Array,
    count: int = 4,
) -> jax.Array:
    """Move towards the level, along the gradient over the curvature of each direction.

    Along the bare gradient the steps that a flat direction needs would blow up the stiff ones. From
    far above the level this is a flow that uses up the stiff directions first.
    """
    eigenvalues, basis = metric

    def once(_: int, moved: jax.Array) -> jax.Array:
        value, gradient = problem.gradient(moved, place)
        positive = value > 0
        ratio = jnp.log(level / jnp.where(positive, value, level))
        change = jnp.where(positive, value * jnp.clip(ratio, -2, 2), level - value)
        g = basis.T @ gradient
        softest = jnp.vdot(g, g) / jnp.maximum(jnp.abs(value), level)
        curvature = jnp.abs(eigenvalues) + softest
        along = g / jnp.where(curvature > 0, curvature, 1)
        rate = jnp.vdot(g, along)
        step = basis @ (change / jnp.where(rate > 0, rate, 1) * along)
        # A step beyond the point's own distance is the mark of a vanishing gradient.
        length, longest = jnp.linalg.norm(step), 0.5 * jnp.linalg.norm(moved)
        return moved + step * jnp.minimum(1, longest / jnp.where(length > 0, length, 1))

    return jax.lax.fori_loop(0, count, once, moved)


def _merit(
    problem: Restricted, place: Place, level: jax.Array, radius: jax.Array, moved: jax.Array
) -> jax.Array:
    value, gradient = problem.gradient(moved, place)
    missed = jnp.abs(jnp.log(jnp.where(value > 0, value, 1e-30 * level) / level))
    excess = jnp.maximum(jnp.vdot(moved, moved) / radius**2 - 1, 0)
    found = 0.5 * jnp.log(jnp.vdot(gradient, gradient)) + WALL * excess**2 + 10 * missed
    return jnp.where(jnp.isfinite(found), found, jnp.inf)


def _newton(
    problem: Restricted,
    place: Place,
    radius: jax.Array,
    moved: jax.Array,
) -> tuple[jax.Array, Metric]:
    """The Newton step of the Lagrangian in the tangent space of the level set.

    Comes with the metric of f.

    Curvatures of `log ||g||` reach from `(H / ||g||)^2` in stiff directions down to `1 / r^2`, more
    than a double holds: the step is taken in the Hessian's eigenbasis, scaled by the diagonal.
    """
    derivative = jax.grad(problem.value)
    hessian_at = jax.jacfwd(lambda at: derivative(at, place))
    value, gradient = problem.gradient(moved, place)
    hessian, third = jax.jvp(hessian_at, (moved,), (gradient,))
    eigenvalues, basis = jnp.linalg.eigh(0.5 * (hessian + hessian.T))
    g = basis.T @ gradient
    y = basis.T @ moved
    squared = jnp.vdot(g, g)
    excess = jnp.maximum(jnp.vdot(y, y) / radius**2 - 1, 0)
    push = 4 * WALL * excess / radius**2 * y
    lowering = eigenvalues * g / squared
    gradient_log = lowering + push
    slope = value * jnp.vdot(g, gradient_log) / squared
    first = gradient_log - slope * g / value
    curvature = (
        (jnp.diag(eigenvalues**2) + basis.T @ (0.5 * (third + third.T)) @ basis) / squared
        - 2 * jnp.outer(lowering, lowering)
        - slope * (jnp.diag(eigenvalues) / value - jnp.outer(g, g) / value**2)
    )
    bent = 4 * WALL * excess / radius**2 * jnp.eye(g.size, dtype=g.dtype)
    bent += 8 * WALL / radius**4 * jnp.outer(y, y)
    curvature = curvature + jnp.where(excess > 0, bent, 0)
    scale = jnp.abs(jnp.diagonal(curvature)) ** -0.5
    scale = jnp.where(jnp.isfinite(scale), scale, jnp.linalg.norm(moved))
    normal = scale * g
    normal = normal / jnp.linalg.norm(normal)
    project = jnp.eye(g.size, dtype=g.dtype) - jnp.outer(normal, normal)
    scaled = project @ (scale[:, None] * curvature * scale) @ project
    curvatures, axes = jnp.linalg.eigh(0.5 * (scaled + scaled.T))
    floor = 1e-6 * jnp.max(jnp.abs(curvatures)) + jnp.finfo(g.dtype).tiny
    along = axes.T @ (project @ (scale * first))
    step = -axes @ (along / jnp.maximum(jnp.abs(curvatures), floor))
    return basis @ (scale * (project @ step)), Metric(eigenvalues, basis)
