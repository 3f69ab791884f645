"""Generated data: inputs from simple laws, targets from a teacher network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from nsjax import _check

if TYPE_CHECKING:
    from jaxtyping import Array, Float


def sphere(
    key: jax.Array, samples: int, dimension: int, *, radius: float | None = None, dtype: Any = None
) -> Float[Array, "n d"]:
    """Inputs uniform on the sphere of `radius`; by default `sqrt(d)`, which gives variance 1.

    >>> x = sphere(jax.random.key(0), 5, 4)
    >>> [round(float(r), 3) for r in jnp.linalg.norm(x, axis=1)]
    [2.0, 2.0, 2.0, 2.0, 2.0]
    """
    x = gaussian(key, samples, dimension, dtype=dtype)
    radius = dimension**0.5 if radius is None else _check.positive("radius", radius)
    return radius * x / jnp.linalg.norm(x, axis=1, keepdims=True)


def hypercube(
    key: jax.Array, samples: int, dimension: int, *, dtype: Any = None
) -> Float[Array, "n d"]:
    """Inputs with independent entries, -1 or 1 with equal chance."""
    _sizes(samples, dimension)
    dtype = jnp.result_type(float) if dtype is None else jnp.dtype(dtype)
    return jax.random.rademacher(key, (samples, dimension), dtype)


def gaussian(
    key: jax.Array, samples: int, dimension: int, *, dtype: Any = None
) -> Float[Array, "n d"]:
    """Inputs with independent standard normal entries."""
    _sizes(samples, dimension)
    dtype = jnp.result_type(float) if dtype is None else jnp.dtype(dtype)
    return jax.random.normal(key, (samples, dimension), dtype)


def uniform(
    key: jax.Array, samples: int, dimension: int, *, dtype: Any = None
) -> Float[Array, "n d"]:
    """Inputs with independent entries, uniform on [-1, 1], so of variance 1/3."""
    _sizes(samples, dimension)
    dtype = jnp.result_type(float) if dtype is None else jnp.dtype(dtype)
    return jax.random.uniform(key, (samples, dimension), dtype, -1, 1)


INPUTS = {"sphere": sphere, "hypercube": hypercube, "gaussian": gaussian}
"""Input laws by name, of variance 1."""


def _sizes(samples: int, dimension: int) -> None:
    _check.positive_integer("samples", samples)
    _check.positive_integer("dimension", dimension)
