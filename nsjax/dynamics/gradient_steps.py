"""Gradient descent with steps of one size: gradient flow's Euler method."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from nsjax import _check
from nsjax.kkt.sphere import norm


class Descent(NamedTuple):
    """A trajectory of gradient descent.

    Attributes:
        ts: `(m + 1,)` times: steps times the learning rate, from 0.
        losses: `(m + 1,)`.
        snapshots: parameters at those times, a leading axis of length m + 1.
        params: parameters at the end.
        grad_norms: `(m + 1,)`, in the norm of all parameters.
    """

    ts: jax.Array
    losses: jax.Array
    snapshots: Any
    params: Any
    grad_norms: jax.Array


def gradient_descent(
    loss: Callable[..., jax.Array],
    params: Any,
    *,
    args: tuple = (),
    learning_rate: float,
    steps: int,
    saves: int = 100,
) -> Descent:
    """`w <- w - h grad f(w)`, which follows gradient flow up to order h.

    Args:
        loss: pure, hashable function `(params, *args) -> scalar`.
        params: pytree of float arrays to start from.
        args: data.
        learning_rate: h, positive; it may be traced, as by `jax.vmap`, and is not checked then.
        steps: at most this many steps, the largest multiple of `saves`.
        saves: m, how often parameters are saved, at equal distances.

    Raises:
        TypeError, ValueError: for a bad argument, or fewer steps than saves.

    >>> found = gradient_descent(lambda w: 0.5 * w**2, jnp.ones(()), learning_rate=0.5, steps=2,
    ...                          saves=2)
    >>> found.snapshots.tolist(), found.ts.tolist()
    ([1.0, 0.5, 0.25], [0.0, 0.5, 1.0])
    """
    _check.hashable("loss", loss)
    _check.tree_finite("params", params)
    _check.data("args", args)
    params = _check.floating_tree("params", params)
    rate = _check.positive_factor("learning_rate", learning_rate, jnp.result_type(float))
    saves = _check.positive_integer("saves", saves)
    if _check.positive_integer("steps", steps) < saves:
        raise ValueError(f"steps must be at least saves = {saves}, got {steps}")
    _check.scalar_function("loss", loss, params, *args)
    each = steps // saves
    last, (losses, norms, snapshots) = _descend(loss, params, args, rate, each, saves)
    return Descent(rate * each * jnp.arange(saves + 1), losses, snapshots, last, norms)


@partial(jax.jit, static_argnums=(0, 5))
def _descend(
    loss: Callable[..., jax.Array],
    params: Any,
    args: tuple,
    rate: jax.Array | float,
    each: jax.Array | int,
    saves: int,
) -> Any:
    def step(_: int, w: Any) -> Any:
        gradient = jax.grad(loss)(w, *args)
        return jax.tree.map(lambda a, g: a - jnp.asarray(rate, a.dtype) * g, w, gradient)

    def measured(w: Any) -> Any:
        value, gradient = jax.value_and_grad(loss)(w, *args)
        return value, norm(gradient), w

    def advance(w: Any, _: None) -> Any:
        return lax.fori_loop(0, each, step, w), measured(w)

    last, saved = lax.scan(advance, params, None, length=saves)
    both = jax.tree.map(lambda a, b: jnp.concatenate([a, b[None]]), saved, measured(last))
    return last, both
