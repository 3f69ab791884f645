"""Generated data: inputs from simple laws, targets from a teacher network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from nsjax import _check

if TYPE_CHECKING:
    from jax.typing import DTypeLike
    from jaxtyping import Array, Float


def sphere(
    key: jax.Array,
    samples: int,
    dimension: int,
    *,
    radius: float | None = None,
    dtype: DTypeLike | None = None,
) -> Float[Array, "n d"]:
    """Inputs uniform on a sphere; by default of radius `sqrt(d)`, which gives variance 1.

    Args:
        key: PRNG key.
        samples: n.
        dimension: d.
        radius: of the sphere, positive; it may be traced, and is not checked then.
        dtype: JAX's default float if not given.

    Returns:
        `(n, d)`.

    Raises:
        TypeError, ValueError: for sizes that are no positive integers, a radius that is not
            positive, a dtype that is no real floating type, or a bad key.

    >>> x = sphere(jax.random.key(0), 5, 4)
    >>> [round(float(r), 3) for r in jnp.linalg.norm(x, axis=1)]
    [2.0, 2.0, 2.0, 2.0, 2.0]
    """
    x = gaussian(key, samples, dimension, dtype=dtype)
    radius = dimension**0.5 if radius is None else _check.positive_factor("radius", radius, x.dtype)
    return radius * x / jnp.linalg.norm(x, axis=1, keepdims=True)


def hypercube(
    key: jax.Array, samples: int, dimension: int, *, dtype: DTypeLike | None = None
) -> Float[Array, "n d"]:
    """Inputs with independent entries, -1 or 1 with equal chance.

    Args:
        key, samples, dimension, dtype: as in `sphere`.

    Raises:
        TypeError, ValueError: as `sphere`.

    >>> sorted(set(hypercube(jax.random.key(0), 20, 2).ravel().tolist()))
    [-1.0, 1.0]
    """
    dtype = _checked(key, samples, dimension, dtype)
    return jax.random.rademacher(key, (samples, dimension), dtype)


def gaussian(
    key: jax.Array, samples: int, dimension: int, *, dtype: DTypeLike | None = None
) -> Float[Array, "n d"]:
    """Inputs with independent standard normal entries.

    Args:
        key, samples, dimension, dtype: as in `sphere`.

    Raises:
        TypeError, ValueError: as `sphere`.

    >>> gaussian(jax.random.key(0), 5, 2).shape
    (5, 2)
    """
    dtype = _checked(key, samples, dimension, dtype)
    return jax.random.normal(key, (samples, dimension), dtype)


def uniform(
    key: jax.Array, samples: int, dimension: int, *, dtype: DTypeLike | None = None
) -> Float[Array, "n d"]:
    """Inputs with independent entries, uniform on [-1, 1], so of variance 1/3.

    Args:
        key, samples, dimension, dtype: as in `sphere`.

    Raises:
        TypeError, ValueError: as `sphere`.

    >>> bool(jnp.max(jnp.abs(uniform(jax.random.key(0), 5, 2))) <= 1)
    True
    """
    dtype = _checked(key, samples, dimension, dtype)
    return jax.random.uniform(key, (samples, dimension), dtype, -1, 1)


INPUTS = {"sphere": sphere, "hypercube": hypercube, "gaussian": gaussian}
"""Input laws by name, of variance 1."""


def _checked(key: jax.Array, samples: int, dimension: int, dtype: Any) -> jnp.dtype:
    """The dtype, if key and sizes are good."""
    _check.key("key", key)
    _check.positive_integer("samples", samples)
    _check.positive_integer("dimension", dimension)
    return _check.floating_dtype("dtype", dtype)
