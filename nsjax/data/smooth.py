"""Small regression tasks with a smooth target, on a grid, with a constant input for the biases."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

from nsjax import _check

if TYPE_CHECKING:
    from jax.typing import DTypeLike
    from jaxtyping import Array, Float


def _sine(x: jax.Array) -> jax.Array:
    return jnp.sin(3 * x[:, 0]) + 0.3 * x[:, 0] ** 2


def _wave(x: jax.Array) -> jax.Array:
    return jnp.sin(2 * x[:, 0]) * jnp.cos(1.5 * x[:, 1])


def _bump(x: jax.Array) -> jax.Array:
    return jnp.exp(-((x[:, 0] - 0.3) ** 2) - 2 * x[:, 1] ** 2)


SMOOTH_TASKS: dict[str, tuple[int, Callable[[jax.Array], jax.Array]]] = {
    "sine": (1, _sine),
    "wave": (2, _wave),
    "bump": (2, _bump),
}
"""Dimension and target of each task: `sin 3x + 0.3 x^2`, `sin 2x cos 1.5y`, a Gaussian bump."""


def smooth_task(
    name: str, side: int, *, span: float = 1.5, dtype: DTypeLike | None = None
) -> tuple[Float[Array, "n d"], Float[Array, "n 1"]]:
    """Inputs on an even grid over `[-span, span]^d`, a one for the biases last, and targets.

    Args:
        name: of `SMOOTH_TASKS`.
        side: points a side, n = side^d.
        span: half the length of a side.
        dtype: JAX's default float if not given.

    Raises:
        TypeError, ValueError: for an unknown task, or bad numbers.

    >>> x, y = smooth_task("wave", 3)
    >>> x.shape, y.shape, x[0].tolist()
    ((9, 3), (9, 1), [-1.5, -1.5, 1.0])
    """
    _check.choice("name", name, tuple(SMOOTH_TASKS))
    side, span = _check.positive_integer("side", side), _check.positive("span", span)
    dimension, target = SMOOTH_TASKS[name]
    points = jnp.linspace(-span, span, side, dtype=_check.floating_dtype("dtype", dtype))
    axes = jnp.meshgrid(*[points] * dimension, indexing="ij")
    x = jnp.stack([axis.ravel() for axis in axes], axis=1)
    return jnp.concatenate([x, jnp.ones_like(x[:, :1])], axis=1), target(x)[:, None]
