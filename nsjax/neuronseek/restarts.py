"""Least squares of any neuron of a fixed form, from several random starts."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optimistix as optx
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
    max_steps: int = 200,
    tol: float = 1e-16,
) -> Restarts:
    """Levenberg-Marquardt on `model(params, x) - y` from random starts, one after the other.

    With an autodiff Jacobian, of all samples at once: it is there to compare forms of a neuron by
    one and the same fitter, at sizes where that Jacobian fits into memory. It stops early once a
    fit has an error below `tol`.

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
        fitted, error, steps = _fit(model, params, x, y, scale, max_steps)
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


@partial(jax.jit, static_argnums=(0, 5))
def _fit(
    model: Callable[[Any, Any], Any], params: Any, x: Any, y: Any, scale: Any, max_steps: int
) -> tuple[Any, jax.Array, jax.Array]:
    flat, tree = ravel_pytree(params)

    def residuals(w: jax.Array, args: Any) -> jax.Array:
        inputs, targets = args
        return scale * (model(tree(w), inputs) - targets)

    solver: Any = optx.LevenbergMarquardt(rtol=1e-10, atol=1e-12)
    solution = optx.least_squares(
        residuals, solver, flat, args=(x, y), max_steps=max_steps, throw=False
    )
    error = jnp.sum(residuals(solution.value, (x, y)) ** 2)
    return tree(solution.value), error, solution.stats["num_steps"]
