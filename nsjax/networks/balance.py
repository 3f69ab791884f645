"""Balancing: rescale every hidden neuron without changing the function."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from nsjax import _check
from nsjax.networks.homogeneous import Activation, Params, activation_degree


def balance(
    params: Params, activation: Activation, *, tol: float = 1e-12, max_sweeps: int = 1000
) -> Params:
    r"""The same function with balanced neurons, `||W_l[j,:]||^2 = p ||W_{l+1}[:,j]||^2`.

    Every neuron with both weights nonzero gets `w_in <- t w_in`, `w_out <- t^{-p} w_out` with
    `t^{2p+2} = p ||w_out||^2 / ||w_in||^2`. Neighbouring hidden layers share weights, so the layers
    are swept until every `t` is within `tol` (at least ten roundings) of 1.

    Args:
        params: network, L weight matrices.
        activation: homogeneous activation of degree p, or one with a way of its own (`Products`).
        tol: largest `|t - 1|` left by the last sweep.
        max_sweeps: bound on the sweeps; the default serves some twenty layers.

    Raises:
        TypeError, ValueError: if the activation has no integer degree, or an argument is bad.

    Source: neuron pursuit (arXiv 2509.12154), Lemma 9 and appendix D.6.

    >>> from nsjax import PolyLeakyReLU
    >>> w = balance((jnp.array([[3.0, 4.0]]), jnp.array([[1.0]])), PolyLeakyReLU(1))
    >>> [round(float(jnp.linalg.norm(m)), 3) for m in w]
    [2.236, 2.236]
    """
    params = _check.network("params", params)
    own = getattr(activation, "balance", None)
    if own is not None:
        return own(params)
    p = activation_degree(activation)
    _check.positive("tol", tol)
    max_sweeps = _check.positive_integer("max_sweeps", max_sweeps)
    tol = max(tol, 10 * float(jnp.finfo(params[0].dtype).eps))
    return balanced(params, p, tol, max_sweeps)


@partial(jax.jit, static_argnums=1)
def balanced(params: Params, p: int, tol: float, max_sweeps: int) -> Params:
    """The sweeps of `balance`, for code that is traced."""

    def sweep(state: tuple[Params, jax.Array, jax.Array]) -> tuple[Params, jax.Array, jax.Array]:
        weights, _, count = list(state[0]), state[1], state[2]
        worst = jnp.zeros((), weights[0].dtype)
        for i in range(len(weights) - 1):
            incoming, outgoing = _norms(weights[i], 1), _norms(weights[i + 1], 0)
            alive = (incoming > 0) & (outgoing > 0)
            ratio = jnp.where(alive, p**0.5 * outgoing, 1) / jnp.where(alive, incoming, 1)
            t = ratio ** (1 / (p + 1))
            weights[i] = weights[i] * t[:, None]
            weights[i + 1] = weights[i + 1] * t[None, :] ** -p
            worst = jnp.maximum(worst, jnp.max(jnp.abs(t - 1)))
        return tuple(weights), worst, count + 1

    def unsettled(state: tuple[Params, jax.Array, jax.Array]) -> jax.Array:
        return (state[1] > tol) & (state[2] < max_sweeps)

    start = (params, jnp.full((), jnp.inf, params[0].dtype), jnp.zeros((), jnp.int32))
    return lax.while_loop(unsettled, sweep, start)[0]


def _norms(weight: jax.Array, axis: int) -> jax.Array:
    """Norms over an axis, by way of the largest entry: squares of small weights underflow."""
    largest = jnp.max(jnp.abs(weight), axis=axis, keepdims=True)
    scaled = weight / jnp.where(largest > 0, largest, 1)
    return jnp.squeeze(largest, axis) * jnp.sqrt(jnp.sum(scaled**2, axis=axis))
