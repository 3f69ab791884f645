"""Activations of task-driven networks, beside those of `flax.linen`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from nsjax import _check
from nsjax.networks.smooth import gompertz


def golu(x: jax.Array) -> jax.Array:
    """Gompertz linear unit, `x exp(-exp(-x))`.

    Source: GoLU (arXiv 2502.03654).

    >>> round(float(golu(jnp.array(1.0))), 4)
    0.6922
    """
    return x * gompertz(x)


class Cauchy(nn.Module):
    """The Cauchy activation `(a x + b) / (x^2 + c^2)` with trained a, b and c.

    Attributes:
        param_dtype: of the three numbers, which all features share. They start at 1.

    Source: Cauchy activation function and XNet (arXiv 2409.19221).
    """

    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Elementwise."""
        one = nn.initializers.ones_init()
        a, b, c = (self.param(name, one, (), self.param_dtype).astype(x.dtype) for name in "abc")
        # Rounding keeps it finite, with its gradient, where x and c are both zero.
        return (a * x + b) / (x**2 + c**2 + jnp.finfo(x.dtype).eps)


ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array] | type[nn.Module]] = {
    "relu": nn.relu,
    "gelu": nn.gelu,
    "silu": nn.silu,
    "tanh": nn.tanh,
    "golu": golu,
    "cauchy": Cauchy,
}
"""Activations by name; of a class each use is a module of its own."""


def activate(name: str, x: jax.Array) -> jax.Array:
    """Apply an activation, within a module's `nn.compact` method.

    Raises:
        ValueError: for an unknown name.
    """
    found = ACTIVATIONS[_check.choice("activation", name, tuple(ACTIVATIONS))]
    return found()(x) if isinstance(found, type) else found(x)
