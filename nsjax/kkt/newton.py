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
    scaled, _ = _scaled(function, point, *args)

    def unfinished(place: _Place) -> jax.Array:
        return (place.residual > tol) & (place.steps < max_steps) & (place.fraction > 1e-3)

    def step(place: _Place) -> _Place:
        gradient, hessian = _second_order(scaled, place.point, batch)
        eigenvalues, vectors = jnp.linalg.eigh(hessian)
        tangent = gradient - jnp.dot(place.point, gradient) * place.point
        # Shifted by the gradient, which tends to zero, the step is quadratic also where a
        # symmetry makes the maxima a continuum, along which the curvature is zero.
        sizes = jnp.abs(eigenvalues) + jnp.linalg.norm(tangent)
        uphill = vectors @ ((vectors.T @ tangent) / jnp.where(sizes > 0, sizes, 1))
        uphill -= jnp.dot(place.point, uphill) * place.point
        moved = unit(place.point + place.fraction * uphill)
        value, slope = jax.value_and_grad(scaled)(moved)
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

    value, gradient = jax.value_and_grad(scaled)(point)
    one = jnp.ones((), point.dtype)
    start = _Place(point, value, gradient_residual(point, gradient), one, jnp.zeros((), int))
    return lax.while_loop(unfinished, step, start).point


def _scaled(function: Function, point: jax.Array, *args: Any) -> tuple[Function, jax.Array]:
    """The function of a point alone, over the largest entry of its gradient there; that entry.

    The values of deep networks are so small or large that their squares are out of range.
    """
    largest = jnp.max(jnp.abs(jax.grad(function)(point, *args)))
    scale = jnp.where(largest > 0, largest, 1)
    return lambda w: function(w, *args) / scale, scale


def _second_order(
    function: Function, point: jax.Array, batch: int | None
) -> tuple[jax.Array, jax.Array]:
    """Gradient, and the Hessian on the sphere."""
    gradient, along = jax.linearize(jax.grad(function), point)
    identity = jnp.eye(point.size, dtype=point.dtype)
    whole = batch is None or batch >= point.size
    hessian = jax.vmap(along)(identity) if whole else lax.map(along, identity, batch_size=batch)
    hessian = 0.5 * (hessian + hessian.T) - jnp.dot(gradient, point) * identity
    projector = identity - jnp.outer(point, point)
    return gradient, projector @ hessian @ projector


def tangent_curvature(
    function: Function, point: jax.Array, *args: Any, batch: int | None = None
) -> jax.Array:
    """Largest eigenvalue of the Hessian on the sphere at a flat unit point; `batch` as above.

    Of points with more than `LARGEST_DENSE` entries, by LOBPCG on products with the Hessian; what
    its eigenvector is off by is added, so that doubt speaks against a maximum.
    """
    scaled, scale = _scaled(function, point, *args)
    if point.size > LARGEST_DENSE:
        return scale * _curvature_by_products(scaled, point)
    _, restricted = _second_order(scaled, point, batch)
    # The normal direction is moved below every other, so that it never counts as the largest.
    below = 2 * jnp.linalg.norm(restricted) * jnp.outer(point, point)
    return scale * jnp.linalg.eigvalsh(restricted - below)[-1]


def _curvature_by_products(function: Function, point: jax.Array) -> jax.Array:
    gradient, along = jax.linearize(jax.grad(function), point)
    multiplier = jnp.dot(gradient, point)

    def restricted(vectors: jax.Array) -> jax.Array:
        inside = vectors - jnp.outer(point, point @ vectors)
        products = jax.vmap(along, in_axes=1, out_axes=1)(inside) - multiplier * inside
        return products - jnp.outer(point, point @ products)

    # A start of several columns: the top may be a cluster. The normal direction, of eigenvalue
    # zero, is moved far below by the size of the largest product seen.
    first = jax.random.normal(jax.random.key(0), (point.size, 8), point.dtype)
    first = jnp.linalg.qr(first - jnp.outer(point, point @ first))[0]
    bound = 2 * jnp.linalg.norm(restricted(first)) + jnp.abs(multiplier)

    def lowered(vectors: jax.Array) -> jax.Array:
        return restricted(vectors) - bound * jnp.outer(point, point @ vectors)

    # Here, as it imports scipy.sparse, which nothing else of a search needs.
    from jax.experimental.sparse.linalg import lobpcg_standard

    values, vectors, _ = lobpcg_standard(lowered, first, m=200, tol=1e-8)
    off = jnp.linalg.norm(lowered(vectors[:, :1]) - values[0] * vectors[:, :1])
    return values[0] + off
