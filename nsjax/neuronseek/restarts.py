"""Least squares of any neuron of a fixed form, from several random starts."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from nsjax import _check


class Restarts(NamedTuple):
    """The best of several fits.

    Attributes:
        params: of the fit with the least training error.
        error: its mean squared error over the variance of the targets.
        errors: the same of every fit, in the order of the starts.
        steps: of Levenberg-Marquardt, over all fits.
        seconds: CPU seconds of all fits after the first, for each; NaN for a single start.
    """

    params: Any
    error: float
    errors: tuple[float, ...]
    steps: int
    seconds: float


def fit_from_starts(
    key: jax.Array,
    model: Callable[[Any, Any], Any],
    sample: Callable[[jax.Array], Any],
    x: Any,
    y: Any,
    *,
    starts: int = 4,
    max_steps: int = 100,
    tol: float = 1e-16,
) -> Restarts:
    """Levenberg-Marquardt on `model(params, x) - y` from random starts, one after the other.

    With an autodiff Jacobian of all samples at once: it is there to compare forms of a neuron by
    one and the same fitter, at sizes where that Jacobian fits into memory. A fit ends when three
    steps in a row have gained less than 1e-6 of the error, or none does; the rest of the starts are
    left out once a fit has an error below `tol`.

    Args:
        key: PRNG key of the starts.
        model: pure, hashable function `(params, x) -> (n, c)`.
        sample: draws the parameters of one start from a key.
        x, y: inputs `(n, d)` and targets `(n, c)` that vary.
        starts: number of starts.
        max_steps: bound on the steps of each fit.
        tol: relative error that is as good as none.

    Raises:
        TypeError, ValueError: for bad arrays, sizes, or constant targets.
    """
    x = _check.matrix("x", x)
    y = _check.matrix("y", y, rows=len(x))
    _check.function("model", model)
    _check.function("sample", sample)
    starts = _check.positive_integer("starts", starts)
    max_steps = _check.positive_integer("max_steps", max_steps)
    tol = _check.non_negative("tol", tol)
    variance = float(jnp.sum(jnp.var(y, axis=0)))
    if not variance > 0:
        raise ValueError("y must vary over the samples, got constant targets")
    # Targets of unit variance, so that tolerances mean the same for all.
    scale = (len(x) * variance) ** -0.5
    best: Any = None
    errors, taken, spent = [], 0, []
    for each in jax.random.split(key, starts):
        begun = time.process_time()
        params = sample(each)
        fitted, error, steps = _fit(model, params, x, y, scale, max_steps, tol)
        errors.append(float(error))
        taken += int(steps)
        spent.append(time.process_time() - begun)
        if best is None or not best[1] <= errors[-1]:
            best = (fitted, errors[-1])
        if errors[-1] <= tol:
            break
    later = spent[1:]
    seconds = sum(later) / len(later) if later else float("nan")
    return Restarts(best[0], best[1], tuple(errors), taken, seconds)


class _State(NamedTuple):
    weights: jax.Array
    error: jax.Array
    damping: jax.Array
    stalled: jax.Array
    steps: jax.Array


@partial(jax.jit, static_argnums=(0, 5))
def _fit(
    model: Callable[[Any, Any], Any],
    params: Any,
    x: Any,
    y: Any,
    scale: Any,
    max_steps: int,
    tol: float,
) -> tuple[Any, jax.Array, jax.Array]:
    start, tree = ravel_pytree(params)

    def residuals(w: jax.Array) -> jax.Array:
        return (scale * (model(tree(w), x) - y)).ravel()

    def unfinished(state: _State) -> jax.Array:
        return (state.error > tol) & (state.stalled < 3) & (state.steps < max_steps)

    def step(state: _State) -> _State:
        rest = residuals(state.weights)
        jacobian = jax.jacfwd(residuals)(state.weights)
        gram, gradient = jacobian.T @ jacobian, jacobian.T @ rest
        # Relative to the diagonal, so that the scale of a weight does not matter; the gauge leaves
        # directions without any curvature.
        diagonal = jnp.diag(gram) + 1e-12 * jnp.trace(gram) / len(gram)

        def tried(damping: jax.Array) -> tuple[jax.Array, jax.Array]:
            factor = jax.scipy.linalg.cho_factor(gram + jnp.diag(damping * diagonal))
            weights = state.weights - jax.scipy.linalg.cho_solve(factor, gradient)
            error = jnp.sum(residuals(weights) ** 2)
            return weights, jnp.where(jnp.isfinite(error), error, jnp.inf)

        def rejected(carry: Any) -> jax.Array:
            _, error, damping = carry
            return (error >= state.error) & (damping < 1e8)

        def harder(carry: Any) -> Any:
            damping = 8 * carry[2]
            return (*tried(damping), damping)

        weights, error, damping = jax.lax.while_loop(
            rejected, harder, (*tried(state.damping), state.damping)
        )
        better = error < state.error
        gain = 1 - error / state.error
        return _State(
            jnp.where(better, weights, state.weights),
            jnp.where(better, error, state.error),
            jnp.maximum(damping / 4, 1e-10),
            jnp.where(better & (gain > 1e-6), 0, state.stalled + jnp.where(better, 1, 3)),
            state.steps + 1,
        )

    zero = jnp.zeros((), jnp.int32)
    error = jnp.sum(residuals(start) ** 2)
    first = _State(start, error, jnp.full((), 1e-2, start.dtype), zero, zero)
    state = jax.lax.while_loop(unfinished, step, first)
    return tree(state.weights), state.error, state.steps
