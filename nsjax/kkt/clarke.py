"""The generalised residual of a neuron whose activation has a kink (degree 1).

Where `u . g_i = 0` for some samples, phi has no gradient, but the set of its generalised (Clarke)
gradients is `{G^T (b * xi)}`, with `b = B v`, `xi_i = s'(u . g_i)` off the kinks and any `xi_i`
between the two slopes on them. u is a KKT point if one of them is parallel to it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

_RADII = (3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
"""Distances from a kink, in widths of its rounding, within which a point is put on it: each is
tried, for a top lies the nearer to a kink the farther its `xi` is from both slopes."""

_POWER_STEPS = 30
"""From a point that is right to the width, already at the root of the rounding error."""


class Settled(NamedTuple):
    """A point `(k,)`, its residual, and whether it lies on a kink."""

    point: jax.Array
    residual: jax.Array
    kinked: jax.Array


def settle(
    activation: Any,
    point: jax.Array,
    width: jax.Array,
    features: jax.Array,
    pulled: jax.Array,
) -> Settled:
    """Put a top of the rounded phi on its kinks, and look for a generalised gradient along it.

    Args:
        activation: of degree 1, with `rounded`.
        point: `(k,)`, unit.
        width: of the rounding at whose top the point is.
        features: `(n, k)`.
        pulled: `(n, c)`.

    Returns:
        The point on those kinks that leave the least residual.
    """
    sizes = jnp.linalg.norm(features, axis=1)
    into = features @ point
    rounded = _slope(lambda t: activation.rounded(t, width * sizes), into)

    def put_on(radius: jax.Array) -> Settled:
        on_kink = (jnp.abs(into) <= radius * width * sizes) & (sizes > 0)
        there, weights = _top_along(activation, point, on_kink, into, features, pulled)
        slopes = jnp.where(on_kink, rounded, _slope(activation, features @ there))
        residual = _residual(activation, there, on_kink, slopes, weights, features)
        # Kinks that do not go through the top pull the point away from it, to lower values.
        distance = radius * width
        kept = phi(there) >= (1 - 10 * distance) * phi(point)
        residual = jnp.where(kept & (distance < 0.05), residual, 1)
        return Settled(there, residual, jnp.any(on_kink))

    def phi(u: jax.Array) -> jax.Array:
        return jnp.linalg.norm(pulled.T @ activation(features @ u))

    tried = lax.map(put_on, jnp.asarray(_RADII, point.dtype))
    best = jnp.argmin(tried.residual)
    found = jax.tree.map(lambda leaf: leaf[best], tried)
    return found._replace(point=jnp.where(found.residual < 1, found.point, point))


def _top_along(
    activation: Any,
    point: jax.Array,
    on_kink: jax.Array,
    into: jax.Array,
    features: jax.Array,
    pulled: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """The top of phi along the given kinks, near the point, and `b = B v` there.

    Off the kinks the activation is linear near the point, and on them it is zero: phi is the norm
    of a linear map of u. Power steps find its top; for one output the first is exact.
    """
    sizes = jnp.linalg.norm(features, axis=1)
    normals = jnp.where(on_kink, 1 / jnp.where(sizes > 0, sizes, 1), 0)[:, None] * features
    vectors, inverse = _eigen(normals.T @ normals)
    along_kinks = (vectors * (inverse == 0)) @ vectors.T
    slopes = jnp.where(on_kink, 0, _slope(activation, into))

    def output_weights(u: jax.Array) -> jax.Array:
        return pulled @ _unit(pulled.T @ (slopes * (features @ u)))

    def climb(_: int, u: jax.Array) -> jax.Array:
        moved = _unit(along_kinks @ (features.T @ (slopes * output_weights(u))))
        return jnp.where(jnp.any(moved != 0), moved, u)

    top = lax.fori_loop(0, _POWER_STEPS, climb, _unit(along_kinks @ point))
    return top, output_weights(top)


def _residual(
    activation: Any,
    point: jax.Array,
    on_kink: jax.Array,
    slopes: jax.Array,
    weights: jax.Array,
    features: jax.Array,
) -> jax.Array:
    """Residual of the best generalised gradient near that of `slopes`.

    What is tangent is taken off by the least change of the slopes on kinks, which are then clipped
    to the interval that the activation allows: so the residual is that of a true generalised
    gradient, if not of the very best one.
    """
    ends = _slope(activation, jnp.asarray([-1.0, 1.0], point.dtype))
    across = features - jnp.outer(features @ point, point)
    across = jnp.where(on_kink, weights, 0)[:, None] * across
    vectors, inverse = _eigen(across.T @ across)

    def tangent(slopes: jax.Array) -> tuple[jax.Array, jax.Array]:
        gradient = features.T @ (weights * slopes)
        return gradient - jnp.dot(point, gradient) * point, gradient

    def correct(_: int, slopes: jax.Array) -> jax.Array:
        change = across @ (vectors @ (inverse * (vectors.T @ tangent(slopes)[0])))
        return jnp.where(on_kink, jnp.clip(slopes - change, jnp.min(ends), jnp.max(ends)), slopes)

    left, gradient = tangent(lax.fori_loop(0, 8, correct, slopes))
    size = jnp.linalg.norm(gradient)
    return jnp.where(size > 0, jnp.linalg.norm(left) / jnp.where(size > 0, size, 1), 0)


def _slope(function: Any, t: jax.Array) -> jax.Array:
    return jax.jvp(function, (t,), (jnp.ones_like(t),))[1]


def _unit(vector: jax.Array) -> jax.Array:
    size = jnp.linalg.norm(vector)
    return vector / jnp.where(size > 0, size, 1)


def _eigen(gram: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Eigenvectors of a positive semidefinite matrix, and its inverse eigenvalues, 0 for zero."""
    eigenvalues, vectors = jnp.linalg.eigh(gram)
    alive = eigenvalues > 1e3 * jnp.finfo(gram.dtype).eps * jnp.max(jnp.abs(eigenvalues))
    return vectors, jnp.where(alive, 1 / jnp.where(alive, eigenvalues, 1), 0)
