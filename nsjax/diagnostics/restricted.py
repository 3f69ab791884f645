"""A function near a point, as one of the displacement of the entries that move."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nsjax._flat import Layout


class Metric(NamedTuple):
    """Eigenvalues `(d,)` and eigenvectors `(d, d)`, as columns, of a Hessian."""

    eigenvalues: jax.Array
    basis: jax.Array


@dataclass(frozen=True)
class Restricted:
    """A function of pytrees as one of the displacement of those entries that move."""

    function: Callable[..., Any]
    layout: Layout

    def value(self, moved: jax.Array, place: Place) -> jax.Array:
        """`sign * (f - f*)` at a displacement `(d,)`."""
        flat = place.base.at[place.moving].add(moved)
        return place.sign * (self.function(self.layout.tree(flat), *place.args) - place.value)

    def gradient(self, moved: jax.Array, place: Place) -> tuple[jax.Array, jax.Array]:
        """Value and gradient."""
        return jax.value_and_grad(self.value)(moved, place)


class Place(NamedTuple):
    """Where the envelope is measured: arrays only.

    Attributes:
        base: the whole point, flat.
        moving: places of the entries that move, `(d,)`.
        value: f*.
        sign: 1 above f*, -1 below.
        args: further arguments of f.
    """

    base: jax.Array
    moving: jax.Array
    value: jax.Array
    sign: jax.Array
    args: tuple


@functools.partial(jax.jit, static_argnums=0)
def local(problem: Restricted, place: Place) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Value, gradient `(d,)` and Hessian `(d, d)` at the point."""
    zero = jnp.zeros(place.moving.shape, place.base.dtype)
    value, gradient = problem.gradient(zero, place)
    hessian = jax.jacfwd(jax.grad(problem.value))(zero, place)
    return value, gradient, 0.5 * (hessian + hessian.T)


@functools.partial(jax.jit, static_argnums=0)
def along_rays(
    problem: Restricted,
    place: Place,
    directions: jax.Array,
    radii: jax.Array,
    metric: Metric,
) -> tuple[jax.Array, jax.Array]:
    """`sign * (f - f*)` along rays that bend with the valleys of f.

    A flat direction of the Hessian is one of the valley at the point only: the stiffer coordinates
    are relaxed to where f is stationary in them, see `relax`.

    Args:
        problem, place: the function and the point.
        directions: unit vectors `(starts, d)`.
        radii: `(starts, radii)`.
        metric: of the point.

    Returns:
        Values `(starts, radii)` and displacements `(starts, radii, d)`.
    """
    eigenvalues, basis = metric

    def along(direction: jax.Array, radius: jax.Array) -> tuple[jax.Array, jax.Array]:
        sizes = (basis.T @ direction) ** 2
        own = jnp.vdot(sizes, jnp.abs(eigenvalues)) + 1e-8 * jnp.max(jnp.abs(eigenvalues))
        moved = radius * direction
        relaxed = relax(problem, place, metric, own, 12, moved)
        usable = jnp.all(jnp.isfinite(relaxed)) & (
            jnp.linalg.norm(relaxed - moved) < 0.5 * jnp.linalg.norm(moved)
        )
        moved = jnp.where(usable, relaxed, moved)
        return problem.value(moved, place), moved

    return jax.vmap(jax.vmap(along, (None, 0)))(directions, radii)


def relax(
    problem: Restricted,
    place: Place,
    metric: Metric,
    own: jax.Array,
    steps: int,
    moved: jax.Array,
) -> jax.Array:
    """Newton steps, the Hessian kept, in the directions a hundred times stiffer than `own`."""
    eigenvalues, basis = metric
    stiff = jnp.abs(eigenvalues) > 100 * own
    inverse = jnp.where(stiff, 1 / jnp.where(stiff, eigenvalues, 1), 0)

    def once(_: int, moved: jax.Array) -> jax.Array:
        gradient = problem.gradient(moved, place)[1]
        return moved - basis @ (inverse * (basis.T @ gradient))

    return jax.lax.fori_loop(0, steps, once, moved)
