"""The unit sphere of a pytree: all leaves together have Euclidean norm 1."""

from __future__ import annotations

from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import optax

from nsjax import _check

Tree = TypeVar("Tree")


def dot(a: Any, b: Any) -> jax.Array:
    """Euclidean inner product of two pytrees a and b of one structure.

    >>> dot((jnp.ones(2), jnp.ones(3)), (jnp.ones(2), 2 * jnp.ones(3))).tolist()
    8.0
    """
    return optax.tree.vdot(a, b)


def norm(tree: Any) -> jax.Array:
    """Euclidean norm of a pytree `tree`; its gradient at zero is taken as zero, not NaN.

    >>> float(norm((jnp.array([3.0]), jnp.array([4.0]))))
    5.0
    """
    # Over the largest entry first: the squares may be out of range.
    largest = jax.lax.stop_gradient(_largest(tree))
    alive = largest > 0
    scale = jnp.where(alive, largest, 1)
    scaled = jax.tree.map(lambda leaf: leaf / scale, tree)
    squared = optax.tree.norm(scaled, squared=True)
    return jnp.where(alive, scale * jnp.sqrt(jnp.where(alive, squared, 1)), 0)


def unit(tree: Tree) -> Tree:
    """The pytree `tree` scaled to norm 1; a zero pytree stays zero.

    >>> [round(float(v), 3) for v in unit((jnp.array([3.0]), jnp.array([4.0])))[1]]
    [0.8]
    """
    length = norm(tree)
    factor = jnp.where(length > 0, 1 / jnp.where(length > 0, length, 1), 0)
    return jax.tree.map(lambda leaf: factor * leaf, tree)


def tangent(point: Tree, direction: Tree) -> Tree:
    """The part of `direction` that is tangent to the sphere at the unit pytree `point`.

    >>> tangent(jnp.array([1.0, 0.0]), jnp.array([2.0, 3.0])).tolist()
    [0.0, 3.0]
    """
    along = dot(point, direction)
    return jax.tree.map(lambda d, w: d - along * w, direction, point)


def _largest(tree: Any) -> jax.Array:
    """The largest absolute entry; 0 for a tree without entries."""
    leaves = [jnp.max(jnp.abs(leaf), initial=0) for leaf in jax.tree.leaves(tree)]
    return jnp.max(jnp.stack(leaves)) if leaves else jnp.zeros(())


def gradient_residual(point: Any, gradient: Any) -> jax.Array:
    """KKT residual at a unit point whose gradient is known; its scale may be any that is finite."""
    largest = _largest(gradient)
    gradient = jax.tree.map(lambda leaf: leaf / jnp.where(largest > 0, largest, 1), gradient)
    size = norm(gradient)
    return jnp.where(size == 0, 0, norm(tangent(point, gradient)) / jnp.where(size == 0, 1, size))


def random_unit(key: jax.Array, like: Tree) -> Tree:
    """A pytree uniform on the unit sphere.

    Args:
        key: PRNG key.
        like: pytree of floating arrays whose structure, shapes and dtypes it takes.

    Raises:
        TypeError, ValueError: for a bad key, or leaves that are no floating arrays.

    >>> drawn = random_unit(jax.random.key(0), (jnp.zeros(2), jnp.zeros((3, 1))))
    >>> [leaf.shape for leaf in drawn], round(float(norm(drawn)), 5)
    ([(2,), (3, 1)], 1.0)
    """
    _check.key("key", key)
    leaves, structure = jax.tree.flatten(like)
    for leaf in leaves:
        if not jnp.issubdtype(getattr(leaf, "dtype", int), jnp.floating):
            raise TypeError(f"like must be a pytree of floating arrays, got {leaf!r}")
    keys = jax.random.split(key, max(len(leaves), 1))
    drawn = [
        jax.random.normal(k, leaf.shape, leaf.dtype) for k, leaf in zip(keys, leaves, strict=False)
    ]
    return unit(jax.tree.unflatten(structure, drawn))
