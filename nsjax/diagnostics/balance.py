"""Balance of hidden neurons: what gradient flow conserves, and what KKT points fix."""

from __future__ import annotations

from itertools import pairwise

import jax
import jax.numpy as jnp

from nsjax.networks.homogeneous import Activation, Params, activation_degree


def imbalance(params: Params, activation: Activation) -> tuple[jax.Array, ...]:
    """`||W_l[j,:]||^2 - p ||W_{l+1}[:,j]||^2` of every hidden neuron, conserved by gradient flow.

    Args:
        params: L weight matrices.
        activation: homogeneous activation of degree p.

    Returns:
        One array `(k_l,)` per hidden layer.

    Source: `docs/mathematics.md`, section 3.

    >>> from nsjax import PolyLeakyReLU
    >>> imbalance((jnp.array([[2.0]]), jnp.array([[1.0]])), PolyLeakyReLU(2))[0].tolist()
    [2.0]
    """
    p = activation_degree(activation)
    return tuple(incoming - p * outgoing for incoming, outgoing in _squared_norms(params))


def balance_ratio(params: Params, activation: Activation) -> tuple[jax.Array, ...]:
    """`||W_l[j,:]||^2 / (p ||W_{l+1}[:,j]||^2)` of every hidden neuron, 1 at a KKT point.

    Returns:
        One array `(k_l,)` per hidden layer; NaN for a neuron that is zero.

    Source: neuron pursuit (arXiv 2509.12154), Lemma 9.
    """
    p = activation_degree(activation)
    return tuple(incoming / (p * outgoing) for incoming, outgoing in _squared_norms(params))


def neuron_size(params: Params, activation: Activation) -> tuple[jax.Array, ...]:
    """`||W_l[j,:]||^2 + p ||W_{l+1}[:,j]||^2` of every neuron: what an imbalance counts against."""
    p = activation_degree(activation)
    return tuple(incoming + p * outgoing for incoming, outgoing in _squared_norms(params))


def _squared_norms(params: Params) -> list[tuple[jax.Array, jax.Array]]:
    return [(jnp.sum(into**2, axis=1), jnp.sum(out**2, axis=0)) for into, out in pairwise(params)]
