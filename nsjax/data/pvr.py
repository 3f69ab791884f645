"""Pointer value retrieval (PVR) on bits: the full table of inputs and targets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax.numpy as jnp

from nsjax import _check

if TYPE_CHECKING:
    from jax.typing import DTypeLike
    from jaxtyping import Array, Float

AGGREGATES = ("parity", "majority", "min", "max")
"""What may be made of the bits of a window."""

_LARGEST = 20
"""Bits of an input up to which the table, of two to the power of that many rows, is made."""


def pointer_value_retrieval(
    pointer_bits: int = 3,
    window: int = 1,
    *,
    aggregate: str = "parity",
    constant: bool = True,
    dtype: DTypeLike | None = None,
) -> tuple[Float[Array, "n d"], Float[Array, "n 1"]]:
    """Every input of pointer and value bits, and the value that the pointer points to.

    With k pointer bits there are `2^k` value bits and `n = 2^(k + 2^k)` inputs. The pointer is a
    binary number, its first bit the highest, that names the first of `window` value bits, which go
    on at the first value bit after the last; the target is their aggregate. Bits are -1 and 1.

    Args:
        pointer_bits: k, 1 to 4.
        window: w, at most `2^k`.
        aggregate: of the bits in the window: `"parity"`, their sum modulo 2; `"majority"`, for odd
            windows; `"min"` or `"max"`. With window 1 all are the bit itself.
        constant: whether to append an input that is always 1.
        dtype: of both arrays; JAX's default float if not given.

    Returns:
        `x` of shape `(n, k + 2^k)`, one more with the constant: pointer bits, value bits, constant;
        row i is the number i in binary. `y` of shape `(n, 1)`, of -1 and 1.

    Raises:
        TypeError: if `pointer_bits` or `window` is no integer, `constant` no bool or `dtype` no
            floating type.
        ValueError: for another number of bits, a window that is too long, an unknown aggregate, or
            the majority of an even window.

    Source: Zhang et al. (arXiv 2107.12580), on bits; neuron pursuit (arXiv 2509.12154),
    section 5.2.2.

    >>> x, y = pointer_value_retrieval(1, constant=False)
    >>> x[6].tolist(), y[6].tolist()  # the pointer 1 points to the second of 1 and -1
    ([1.0, 1.0, -1.0], [-1.0])
    """
    pointer_bits = _check.positive_integer("pointer_bits", pointer_bits)
    values = 2**pointer_bits if pointer_bits < _LARGEST else _LARGEST
    if pointer_bits + values > _LARGEST:
        raise ValueError(f"pointer_bits must be at most 4, got {pointer_bits}")
    window = _check.positive_integer("window", window)
    if window > values:
        raise ValueError(f"window must be at most 2^pointer_bits = {values}, got {window}")
    _check.choice("aggregate", aggregate, AGGREGATES)
    if aggregate == "majority" and window % 2 == 0:
        raise ValueError(f"window must be odd for the majority, got {window}")
    if not isinstance(constant, bool):
        raise TypeError(f"constant must be True or False, got {constant!r}")
    dtype = _check.floating_dtype("dtype", dtype)
    places = jnp.arange(pointer_bits + values - 1, -1, -1)
    numbers = jnp.arange(2 ** len(places))
    bits = (numbers[:, None] >> places) & 1
    pointers = numbers >> values
    inside = (pointers[:, None] + jnp.arange(window)) % values
    seen = jnp.take_along_axis(bits[:, pointer_bits:], inside, axis=1)
    if aggregate == "parity":
        value = jnp.sum(seen, axis=1) % 2
    elif aggregate == "majority":
        value = 2 * jnp.sum(seen, axis=1) > window
    else:
        value = jnp.min(seen, axis=1) if aggregate == "min" else jnp.max(seen, axis=1)
    x = (2 * bits - 1).astype(dtype)
    if constant:
        x = jnp.concatenate([x, jnp.ones((len(x), 1), dtype)], axis=1)
    return x, (2 * value - 1).astype(dtype)[:, None]
