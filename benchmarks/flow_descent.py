"""Gradient descent from a saddle as plain loops, which the flow is held against."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from benchmarks.flow_saddle import Params, Problem, zero_block


def plain_loss(params: Params, x: jax.Array, y: jax.Array, p: int, slope: float) -> jax.Array:
    inner, outer = params
    hidden = x @ inner.T
    hidden = jnp.maximum(hidden, slope * hidden) ** p
    return 0.5 * jnp.sum((hidden @ outer.T - y) ** 2)


class Descent(NamedTuple):
    """Weights after the last step and the one before, and the count of steps."""

    params: Any
    previous: Any
    steps: int


def python_loop(
    gradient: Callable[..., Any],
    params: Params,
    zero: Any,
    x: jax.Array,
    y: jax.Array,
    step: float,
    threshold: float,
    most: int,
) -> Descent:
    def size(params: Params) -> float:
        inner, outer = (np.asarray(w) for w in params)
        return math.sqrt(np.sum(inner[zero[0][:, 0]] ** 2) + np.sum(outer[:, zero[1][0]] ** 2))

    steps, previous = 0, params
    while steps < most and size(params) < threshold:
        slope = gradient(params, x, y)
        previous = params
        params = tuple(w - step * g for w, g in zip(params, slope, strict=True))
        steps += 1
    return Descent(params, previous, steps)


@partial(jax.jit, static_argnums=0)
def compiled_loop(
    loss: Callable[..., jax.Array],
    params: Params,
    zero: Any,
    x: jax.Array,
    y: jax.Array,
    step: float,
    threshold: float,
    most: int,
) -> Descent:
    gradient = jax.grad(loss)

    def unfinished(state: Descent) -> jax.Array:
        block = [jnp.where(m, w, 0) for w, m in zip(state.params, zero, strict=True)]
        return (state.steps < most) & (optax.tree.norm(block) < threshold)

    def advance(state: Descent) -> Descent:
        slope = gradient(state.params, x, y)
        params = tuple(w - step * g for w, g in zip(state.params, slope, strict=True))
        return Descent(params, state.params, state.steps + 1)

    return lax.while_loop(unfinished, advance, Descent(params, params, 0))


def crossing(descent: Descent, zero: Any, threshold: float) -> tuple[float, np.ndarray]:
    """Steps, a fraction included, to where the zero block crosses the threshold; its direction."""
    before, after = (
        np.concatenate([np.where(m, w, 0).ravel() for w, m in zip(params, zero, strict=True)])
        for params in (descent.previous, descent.params)
    )
    low, high = np.linalg.norm(before), np.linalg.norm(after)
    share = float((threshold - low) / (high - low))
    block = before + share * (after - before)
    return int(descent.steps) - 1 + share, block / np.linalg.norm(block)


def loop_call(problem: Problem, delta: float, method: str, most: int) -> Callable[[], Descent]:
    start = tuple(w + delta * v for w, v in zip(problem.params, problem.perturbation, strict=True))
    tail = (
        start,
        zero_block(problem.inactive),
        problem.x,
        problem.y,
        0.5 / problem.curvature,
        10 * delta,
        most,
    )
    # A user's loss is defined once, so that its compiled gradient is kept.
    loss, gradient, jitted = user_functions(problem.activation.p, problem.activation.slope)
    if method == "compiled loop":
        return partial(compiled_loop, loss, *tail)
    return partial(python_loop, jitted if method == "jitted loop" else gradient, *tail)


_functions: dict[tuple[int, float], tuple[Callable[..., Any], ...]] = {}


def user_functions(p: int, slope: float) -> tuple[Callable[..., Any], ...]:
    """The plain loss, its gradient, and that gradient compiled."""
    if (p, slope) not in _functions:
        loss = partial(plain_loss, p=p, slope=slope)
        _functions[p, slope] = loss, jax.grad(loss), jax.jit(jax.grad(loss))
    return _functions[p, slope]
