"""Compressed sensing: fewer samples than inputs, and a target that few of the inputs decide."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

from nsjax import _check
from nsjax.data.synthetic import gaussian

if TYPE_CHECKING:
    from jax.typing import DTypeLike
    from jaxtyping import Array, Float


def compressed_sensing(
    key: jax.Array, samples: int, dimension: int, sparsity: int, *, dtype: DTypeLike | None = None
) -> tuple[Float[Array, "n d"], Float[Array, " n"], Float[Array, " d"]]:
    """A Gaussian matrix with columns of norm 1, and what it gives of a sparse vector.

    Args:
        key: PRNG key.
        samples: n.
        dimension: d.
        sparsity: k, the number of entries of the vector that are not zero, at most d.
        dtype: of all arrays; JAX's default float if not given.

    Returns:
        `x`, `y = x beta` and `beta`; k random entries of `beta` have random signs and sizes uniform
        in [1/2, 3/2], the others are zero.

    Raises:
        TypeError, ValueError: for sizes that are no positive integers, or a `sparsity` above d.

    >>> x, y, beta = compressed_sensing(jax.random.key(0), 5, 8, 2)
    >>> x.shape, y.shape, int(jnp.sum(beta != 0))
    ((5, 8), (5,), 2)
    """
    _check.key("key", key)
    _check.positive_integer("dimension", dimension)
    if _check.positive_integer("sparsity", sparsity) > dimension:
        raise ValueError(f"sparsity must be at most the dimension {dimension}, got {sparsity}")
    keys = jax.random.split(key, 4)
    x = gaussian(keys[0], samples, dimension, dtype=dtype)
    x /= jnp.linalg.norm(x, axis=0)
    signs = jax.random.rademacher(keys[1], (dimension,), x.dtype)
    sizes = jax.random.uniform(keys[2], (dimension,), x.dtype, 0.5, 1.5)
    kept = jax.random.permutation(keys[3], dimension) < sparsity
    beta = jnp.where(kept, signs * sizes, 0)
    return x, x @ beta, beta
