"""Second order on the unit sphere: curvature, and the Newton steps that end an ascent.

The Hessian of a function restricted to the sphere is `P (H - <grad, w> I) P`, with P the projector
on the tangent space at w.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from nsjax.kkt.sphere import gradient_residual, unit

Function = Callable[..., jax.Array]
"""Pure function `(flat point, *args) -> scalar`."""

LARGEST_DENSE = 512
"""Most entries of a point whose Hessian is formed."""


class _Place(NamedTuple):
    point: jax.Array
    value: jax.Array
    residual: jax.Array
    fraction: jax.Array
    steps: jax.Array


def newton(
    function: Function,
    point: jax.Array,
    *args: Any,
    tol: jax.Array | float,
    max_steps: int = 20,
    batch: int | None = None,
) -> jax.Array:
    """Newton steps uphill from a flat unit point, to a KKT residual of `tol` or as far as they go.

    Along directions of positive curvature the sign of the step is turned, so that it leads away
    from a saddle of the sphere and not to it. A step is kept if it raises the value, or lowers the
    residual where the value cannot tell; else it is shortened.
    """

    def unfinished(place: _Place) -> jax.Array:
        return (place.residual > tol) & (place.steps < max_steps) & (place.fraction > 1e-3)

    def step(place: _Place) -> _Place:
        gradient, hessian = _second_order(function, place.point, *args, batch=batch)
        eigenvalues, vectors = jnp.linalg.eigh(hessian)
        tangent = gradient - jnp.dot(place.point, gradient) * place.point
        # Shifted by the gradient, which tends to zero, the step is quadratic also where a
        # symmetry makes the maxima a continuum, along which the curvature is zero.
        sizes = jnp.abs(eigenvalues) + jnp.linalg.norm(tangent)
        uphill = vectors @ ((vectors.T @ tangent) / jnp.where(sizes > 0, sizes, 1))
        uphill -= jnp.dot(place.point, uphill) * place.point
        moved = unit(place.point + place.fraction * uphill)
        value, slope = jax.value_and_grad(function)(moved, *args)
        residual = gradient_residual(moved, slope)
        slack = 64 * jnp.finfo(value.dtype).eps * jnp.abs(place.value)
        kept = (value > place.value + slack) | (
            (value >= place.value - slack) & (residual < place.residual)
        )
        longer, shorter = jnp.minimum(1, 4 * place.fraction), 0.25 * place.fraction
        return _Place(
            jnp.where(kept, moved, place.point),
            jnp.where(kept, value, place.value),
            jnp.where(kept, residual, place.residual),
            jnp.where(kept, longer, shorter),
            place.steps + 1,
        )

    value, gradient = jax.value_and_grad(function)(point, *args)
    one = jnp.ones((), point.dtype)
    start = _Place(point, value, gradient_residual(point, gradient), one, jnp.zeros((), int))
    return lax.while_loop(unfinished, step, start).point


def _second_order(
    function: Function, point: jax.Array, *args: Any, batch: int | None
) -> tuple[jax.Array, jax.Array]:
    """Gradient, and the Hessian on the sphere."""

    def slope(w: jax.Array) -> jax.Array:
        return jax.grad(function)(w, *args)

    gradient, along = jax.linearize(slope, point)
    identity = jnp.eye(point.size, dtype=point.dtype)
    whole = batch is None or batch >= point.size
    hessian = jax.vmap(along)(identity) if whole else lax.map(along, identity, batch_size=batch)
    hessian = 0.5 * (hessian + hessian.T) - jnp.dot(gradient, point) * identity
    projector = identity - jnp.outer(point, point)
    return gradient, projector @ hessian @ projector


def tangent_curvature(
    function: Function, point: jax.Array, *args: Any, batch: int | None = None
) -> jax.Array:
    """Largest eigenvalue of the Hessian on the sphere at a flat unit point; `batch` as above."""
    if point.size > LARGEST_DENSE:
        return _curvature_by_powers(function, point, *args)
    _, restricted = _second_order(function, point, *args, batch=batch)
    # The normal direction is moved below every other, so that it never counts as the largest.
    below = 2 * jnp.linalg.norm(restricted) * jnp.outer(point, point)
    return jnp.linalg.eigvalsh(restricted - below)[-1]


def _curvature_by_powers(function: Function, point: jax.Array, *args: Any) -> jax.Array:
    """The same by power steps on Hessian-vector products, without a dense Hessian.

    First the largest absolute eigenvalue, then the largest of the Hessian shifted by it.
    """
    gradient = jax.grad(function)
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
        vector = lax.fori_loop(0, 100, step, first / jnp.linalg.norm(first))
        return jnp.dot(vector, restricted(vector))

    return largest(jnp.abs(largest(jnp.zeros((), point.dtype))))
