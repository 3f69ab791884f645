"""Least squares by Levenberg-Marquardt, for many starts at once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx

from nsjax import _check
from nsjax._flat import Layout

Residuals = Callable[..., jax.Array]


class LeastSquares(NamedTuple):
    """Where M starts ended.

    Attributes:
        params: leaves with a leading axis of length M.
        losses: `(M,)`, `1/2 ||r||^2`.
        grad_norms: `(M,)`.
        curvatures: `(M, 2)` smallest and largest eigenvalue of the Hessian of the loss.
        steps: `(M,)`.
    """

    params: Any
    losses: np.ndarray
    grad_norms: np.ndarray
    curvatures: np.ndarray
    steps: np.ndarray


def least_squares(
    residuals: Residuals,
    params: Any,
    *,
    args: tuple = (),
    tol: float = 1e-12,
    max_steps: int = 500,
) -> LeastSquares:
    """Minimise `1/2 ||residuals(params, *args)||^2` from M starts, by optimistix.

    Args:
        residuals: pure, hashable function `(params, *args) -> array`.
        params: pytree of float arrays with a leading axis of length M.
        args: what all members share, such as data.
        tol: relative and absolute change of parameters and loss at which a member is done.
        max_steps: bound on the steps of a member.

    Raises:
        TypeError, ValueError: for bad input.

    >>> found = least_squares(lambda w, y: w**2 - y, jnp.array([[1.0], [-3.0]]), args=(4.0,))
    >>> [round(float(w), 3) for w in found.params[:, 0]]
    [2.0, -2.0]
    """
    _check.hashable("residuals", residuals)
    params = _check.floating_tree("params", params)
    _check.data("args", args)
    tol = _check.positive("tol", tol)
    max_steps = _check.positive_integer("max_steps", max_steps)
    _check.members("params", params)
    layout = Layout.of(jax.tree.map(lambda leaf: leaf[0], params))
    flat = jax.vmap(layout.flat)(params)
    values = _all(residuals, layout, max_steps, flat, args, tol)
    return LeastSquares(layout.trees(values[0]), *(np.asarray(value) for value in values[1:]))


def levenberg_marquardt(
    residuals: Residuals, start: jax.Array, args: Any, *, tol: Any, max_steps: int
) -> tuple[jax.Array, jax.Array]:
    """Where `residuals(w, args)` of a flat vector w are least, and the steps; traced."""
    solver: Any = optx.LevenbergMarquardt(rtol=tol, atol=tol)
    found: Any = optx.least_squares(
        residuals, optx.BestSoFarLeastSquares(solver), start, args, max_steps=max_steps, throw=False
    )
    return found.value, found.stats["num_steps"]


@partial(jax.jit, static_argnums=(0, 1, 2))
def _all(
    residuals: Residuals, layout: Layout, max_steps: int, flat: Any, args: tuple, tol: float
) -> tuple[jax.Array, ...]:
    def of(w: jax.Array, args: tuple) -> jax.Array:
        return jnp.ravel(residuals(layout.tree(w), *args))

    def loss(w: jax.Array) -> jax.Array:
        return 0.5 * jnp.sum(of(w, args) ** 2)

    def one(start: jax.Array) -> tuple[jax.Array, ...]:
        w, steps = levenberg_marquardt(of, start, args, tol=tol, max_steps=max_steps)
        value, gradient = jax.value_and_grad(loss)(w)
        curvatures = jnp.linalg.eigvalsh(jax.hessian(loss)(w))
        return w, value, jnp.linalg.norm(gradient), curvatures[jnp.array([0, -1])], steps

    return jax.vmap(one)(flat)
