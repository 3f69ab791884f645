"""KKT points of any homogeneous objective on a pytree."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nsjax import _check
from nsjax._flat import Layout
from nsjax.kkt.ascent import Ascent, ascend
from nsjax.kkt.certificate import (
    CONVERGED,
    UNCONVERGED,
    KKTPoints,
    cosines,
    distinct,
    first,
    gradient_residual,
    map_first,
    padded,
    signs,
    tangent_curvature,
    tangent_curvature_by_powers,
)
from nsjax.kkt.sphere import unit

Objective = Callable[..., jax.Array]

_LARGEST_DENSE = 512
"""Most entries of a point for which dense Hessians polish it and tell whether it is a maximum."""


def search(
    key: jax.Array,
    objective: Objective,
    sample: Callable[[jax.Array], Any],
    *,
    args: tuple = (),
    starts: int = 64,
    max_steps: int = 2000,
    tol: float = 1e-8,
) -> KKTPoints:
    """Maximise a homogeneous objective on the unit sphere from many starts at once.

    Args:
        key: PRNG key of the starts.
        objective: pure function `(point, *args) -> scalar`, hashable; data belongs in `args`, so
            that new data does not compile again.
        sample: `sample(key)` draws one start, any pytree; it is scaled to norm 1.
        args: further arguments of the objective.
        starts: how many.
        max_steps: bound on the ascent steps of each.
        tol: KKT residual at which an ascent stops.

    Returns:
        Distinct points, best first, see `KKTPoints`.

    Raises:
        TypeError, ValueError: for a bad `objective`, `sample`, `starts`, `max_steps` or `tol`.

    >>> points = search(jax.random.key(0), lambda w: w[0] ** 3 + 2 * w[1] ** 3,
    ...                 lambda key: jax.random.normal(key, (2,)), tol=1e-4)
    >>> round(float(points.values[0]), 4)
    2.0
    """
    _check.function("objective", objective)
    try:
        hash(objective)
    except TypeError as error:
        raise TypeError(f"objective must be hashable, got {objective!r}") from error
    _check.function("sample", sample)
    _check.data("args", args)
    starts = _check.positive_integer("starts", starts)
    max_steps = _check.positive_integer("max_steps", max_steps)
    tol = _check.positive("tol", tol)
    drawn = jax.vmap(lambda k: unit(sample(k)))(jax.random.split(key, starts))
    like = jax.tree.map(lambda leaf: leaf[0], drawn)
    _check.tree_finite("sample(key)", drawn)
    layout = Layout.of(like)
    flat = jax.vmap(layout.flat)(drawn)
    if not np.all(np.any(np.asarray(flat) != 0, axis=1)):
        raise ValueError("sample(key) must draw nonzero starts, got a pytree of zeros")
    tol = max(tol, 10 * float(jnp.finfo(flat.dtype).eps))
    state = _ascend(objective, layout, flat, args, tol, max_steps)
    values = np.asarray(state.values)
    index, counts = distinct(values, np.asarray(cosines(state.points)), tol)
    found = len(index)
    points = state.points[padded(index, starts)]
    if layout.size <= _LARGEST_DENSE:
        points = _polish(objective, layout, points, found, args)
    certified = _certify(objective, layout, points, found, args)
    points, values, residuals, multipliers, curvature = first(found, certified)
    scale = float(np.max(np.abs(np.asarray(values))))
    highest = 1e-6 * np.maximum(np.abs(np.asarray(multipliers)), scale)
    return KKTPoints(
        points,
        values,
        residuals,
        multipliers,
        jax.device_put(signs(np.asarray(values), 1e3 * float(jnp.finfo(flat.dtype).eps) * scale)),
        jax.device_put(counts.astype(np.int32)),
        jax.device_put(np.asarray(curvature) <= highest),
        int(state.steps),
        CONVERGED if bool(jnp.all(state.finished)) else UNCONVERGED,
    )


def _flat(objective: Objective, layout: Layout) -> Objective:
    return lambda point, *args: objective(layout.tree(point), *args)


@partial(jax.jit, static_argnums=(0, 1))
def _ascend(
    objective: Objective,
    layout: Layout,
    starts: jax.Array,
    args: tuple,
    tol: float,
    max_steps: int,
) -> Ascent:
    single = jax.value_and_grad(_flat(objective, layout))
    batched = jax.vmap(lambda point: single(point, *args))
    return ascend(batched, starts, jnp.asarray(tol, starts.dtype), jnp.asarray(max_steps))


@partial(jax.jit, static_argnums=(0, 1))
def _polish(
    objective: Objective, layout: Layout, points: jax.Array, count: int, args: tuple
) -> jax.Array:
    """Newton steps on the sphere; one is kept if it lowers the KKT residual at no loss of value."""
    flat = _flat(objective, layout)

    def newton(point: jax.Array) -> jax.Array:
        gradient = jax.grad(flat)(point, *args)
        multiplier = jnp.dot(gradient, point)
        projector = jnp.eye(point.size, dtype=point.dtype) - jnp.outer(point, point)
        hessian = (
            projector
            @ (
                jax.hessian(flat)(point, *args)
                - multiplier * jnp.eye(point.size, dtype=point.dtype)
            )
            @ projector
        )
        eigenvalues, vectors = jnp.linalg.eigh(hessian)
        cut = 1e-9 * jnp.max(jnp.abs(eigenvalues))
        inverse = jnp.where(
            jnp.abs(eigenvalues) > cut, 1 / jnp.where(eigenvalues == 0, 1, eigenvalues), 0
        )
        moved = unit(point - vectors @ (inverse * (vectors.T @ (projector @ gradient))))
        before = gradient_residual(point, gradient)
        after = gradient_residual(moved, jax.grad(flat)(moved, *args))
        here, there = flat(point, *args), flat(moved, *args)
        rounding = 1e-10 if point.dtype == jnp.float64 else 1e-5
        kept = (after < before) & (there >= here - rounding * jnp.abs(here))
        return jnp.where(kept, moved, point)

    def polish(point: jax.Array) -> jax.Array:
        return jax.lax.fori_loop(0, 4, lambda _, w: newton(w), point)

    return map_first(polish, count, points)


@partial(jax.jit, static_argnums=(0, 1))
def _certify(
    objective: Objective, layout: Layout, points: jax.Array, count: int, args: tuple
) -> tuple[Any, ...]:
    flat = _flat(objective, layout)
    dense = layout.size <= _LARGEST_DENSE
    curvature = tangent_curvature if dense else tangent_curvature_by_powers

    def certify(point: jax.Array) -> tuple[jax.Array, ...]:
        value, gradient = jax.value_and_grad(flat)(point, *args)
        return (
            layout.tree(point),
            value,
            gradient_residual(point, gradient),
            jnp.dot(point, gradient),
            curvature(flat, point, *args),
        )

    return map_first(certify, count, points)
