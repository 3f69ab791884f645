"""Classes that few neurons separate, while others would separate them by a larger margin."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp

from nsjax import _check

if TYPE_CHECKING:
    from jaxtyping import Array, Float

_DRAWN = 4
"""Draws a sample: those nearest to the boundary are thrown away."""


class Labelled(NamedTuple):
    """Inputs and labels of two classes.

    Attributes:
        x: `(n, d)`.
        y: -1 or 1, `(n, 1)`.
    """

    x: Float[Array, "n d"]
    y: Float[Array, "n 1"]


def coordinate_classes(
    key: jax.Array, samples: int, dimension: int, *, gap: float = 0.5, others: float = 1.0
) -> Labelled:
    """Gaussian inputs whose first coordinate is `y (gap + |g|)`: it separates the classes alone.

    Args:
        key: PRNG key.
        samples, dimension: n and d.
        gap: least distance from the boundary, positive.
        others: standard deviation of the other coordinates, positive.

    Raises:
        TypeError, ValueError: for bad sizes, a `gap` or `others` that is not positive, or a bad
            key.

    >>> x, y = coordinate_classes(jax.random.key(0), 20, 3)
    >>> bool(jnp.all(x[:, :1] * y >= 0.5))
    True
    """
    samples = _check.positive_integer("samples", samples)
    dimension = _check.positive_integer("dimension", dimension)
    gap, others = _check.positive("gap", gap), _check.positive("others", others)
    _check.key("key", key)
    x_key, y_key = jax.random.split(key)
    x = jax.random.normal(x_key, (samples, dimension))
    y = jax.random.rademacher(y_key, (samples, 1), x.dtype)
    first = y[:, 0] * (gap + jnp.abs(x[:, 0]))
    return Labelled((others * x).at[:, 0].set(first), y)


def quadric_classes(key: jax.Array, samples: int, dimension: int) -> Labelled:
    """Gaussian inputs with `y = sign(x_0^2 - x_1^2)`, two x^2 neurons, far from the boundary.

    Of four draws a sample the largest `|x_0^2 - x_1^2|` are kept.

    Args:
        key: PRNG key.
        samples, dimension: n and d, at least 2.

    Raises:
        TypeError, ValueError: for bad sizes or a bad key.

    >>> x, y = quadric_classes(jax.random.key(0), 20, 3)
    >>> bool(jnp.all((x[:, 0] ** 2 - x[:, 1] ** 2) * y[:, 0] > 0.5))
    True
    """
    samples = _check.positive_integer("samples", samples)
    if _check.positive_integer("dimension", dimension) < 2:
        raise ValueError(f"dimension must be at least 2, got {dimension}")
    _check.key("key", key)
    x = jax.random.normal(key, (_DRAWN * samples, dimension))
    value = x[:, 0] ** 2 - x[:, 1] ** 2
    kept = jax.lax.top_k(jnp.abs(value), samples)[1]
    return Labelled(x[kept], jnp.sign(value[kept])[:, None])
