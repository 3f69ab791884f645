"""Targets from a random teacher network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

from nsjax import _check
from nsjax.networks.homogeneous import Activation, apply, init

if TYPE_CHECKING:
    from jaxtyping import Array, Float


def teacher_targets(
    key: jax.Array,
    x: Float[Array, "n d"],
    activation: Activation,
    *,
    hidden: Sequence[int],
    outputs: int = 1,
) -> Float[Array, "n c"]:
    """Outputs of a random network on `x`, each scaled to unit standard deviation over the samples.

    Args:
        key: PRNG key of the teacher's weights.
        x: inputs.
        activation: of the teacher.
        hidden: its hidden widths.
        outputs: c.

    Raises:
        TypeError, ValueError: for bad input; and if an output does not vary over the samples: a
            teacher that is dead on them.

    >>> from nsjax import PolyLeakyReLU
    >>> x = jax.random.normal(jax.random.key(0), (50, 3))
    >>> y = teacher_targets(jax.random.key(1), x, PolyLeakyReLU(2), hidden=(4,))
    >>> round(float(jnp.std(y)), 3)
    1.0
    """
    x = _check.matrix("x", x)
    if not isinstance(hidden, Iterable) or isinstance(hidden, str):
        raise TypeError(f"hidden must be a sequence of positive integers, got {hidden!r}")
    params = init(key, (x.shape[1], *hidden, outputs), dtype=x.dtype)
    y = apply(params, x, activation)
    spread = jnp.std(y, axis=0)
    if not bool(jnp.all((spread > 0) & jnp.isfinite(spread))):
        raise ValueError(
            "the teacher's outputs must vary over the samples, got standard deviations "
            f"{[float(s) for s in spread]}; take another key, more samples or more hidden neurons"
        )
    return y / spread
