"""Modular addition as a regression problem: the full table, one-hot in and out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax.numpy as jnp

from nsjax import _check

if TYPE_CHECKING:
    from jax.typing import DTypeLike
    from jaxtyping import Array, Float


def modular_addition(
    modulus: int, *, centred: bool = True, dtype: DTypeLike | None = None
) -> tuple[Float[Array, "n d"], Float[Array, "n c"]]:
    """Every pair of summands modulo m and their sum: `n = m^2` samples.

    Args:
        modulus: m, at least 2.
        centred: whether to take `1/m` off the targets, so that each has mean zero.
        dtype: of both arrays; JAX's default float if not given.

    Returns:
        `x` of shape `(m^2, 2 m)`, one-hot of the first summand beside that of the second, and `y`
        of shape `(m^2, m)`, one-hot of the sum; row `a m + b` holds `a + b`.

    Raises:
        TypeError: if `modulus` is no integer, `centred` no bool or `dtype` no floating type.
        ValueError: for a modulus below 2.

    Source: neuron pursuit (arXiv 2509.12154), section 5.2.2.

    >>> x, y = modular_addition(3, centred=False)
    >>> x[5].tolist(), y[5].tolist()  # 1 + 2 = 0
    ([0.0, 1.0, 0.0, 0.0, 0.0, 1.0], [1.0, 0.0, 0.0])
    """
    modulus = _check.positive_integer("modulus", modulus)
    if modulus < 2:
        raise ValueError(f"modulus must be at least 2, got {modulus}")
    if not isinstance(centred, bool):
        raise TypeError(f"centred must be True or False, got {centred!r}")
    dtype = _check.floating_dtype("dtype", dtype)
    numbers = jnp.arange(modulus)
    first, second = jnp.repeat(numbers, modulus), jnp.tile(numbers, modulus)
    one_hot = jnp.eye(modulus, dtype=dtype)
    x = jnp.concatenate([one_hot[first], one_hot[second]], axis=1)
    y = one_hot[(first + second) % modulus]
    return x, y - jnp.asarray(1 / modulus, dtype) if centred else y
