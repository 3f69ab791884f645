"""Balance of hidden neurons: what gradient flow conserves, and what KKT points fix.

Each function takes one network or the snapshots of a trajectory alike.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp

from nsjax.diagnostics.snapshots import weights_of
from nsjax.networks.homogeneous import Activation, activation_degree
from nsjax.networks.products import Products


def imbalance(params: Any, activation: Activation) -> tuple[jax.Array, ...]:
    """`||W_l[j,:]||^2 - p ||W_{l+1}[:,j]||^2` of every hidden neuron, conserved by gradient flow.

    Args:
        params: L weight matrices, or snapshots of them: a leading axis, as `Flow.snapshots`, or a
            sequence of networks.
        activation: homogeneous activation of degree p.

    Returns:
        One array `(..., k_l)` per hidden layer, in the unit of the weights squared; 0 for a neuron
        that is zero.

    Raises:
        TypeError, ValueError: if the activation has no degree, or `params` is no network.

    Source: `docs/mathematics.md`, section 3.

    >>> from nsjax import PolyLeakyReLU
    >>> imbalance((jnp.array([[2.0]]), jnp.array([[1.0]])), PolyLeakyReLU(2))[0].tolist()
    [2.0]
    """
    return tuple(into - p * out for p, into, out in _squared_norms(params, activation))


def balance_ratio(params: Any, activation: Activation) -> tuple[jax.Array, ...]:
    """`||W_l[j,:]||^2 / (p ||W_{l+1}[:,j]||^2)` of every hidden neuron, 1 at a KKT point.

    Args:
        params: as for `imbalance`.
        activation: homogeneous activation of degree p.

    Returns:
        One array `(..., k_l)` per hidden layer; NaN for a neuron that is zero, 0 for one without
        incoming and infinity for one without outgoing weights.

    Raises:
        TypeError, ValueError: as `imbalance`.

    Source: neuron pursuit (arXiv 2509.12154), Lemma 9.

    >>> from nsjax import PolyLeakyReLU
    >>> w = (jnp.array([[2.0], [0.0]]), jnp.array([[1.0, 0.0]]))
    >>> balance_ratio(w, PolyLeakyReLU(2))[0].tolist()
    [2.0, nan]
    """
    return tuple(into / (p * out) for p, into, out in _squared_norms(params, activation))


def neuron_size(params: Any, activation: Activation) -> tuple[jax.Array, ...]:
    """`||W_l[j,:]||^2 + p ||W_{l+1}[:,j]||^2` of every neuron: what an imbalance counts against.

    Args:
        params, activation: as for `imbalance`, whose shapes, unit and errors it has.

    >>> from nsjax import PolyLeakyReLU
    >>> neuron_size((jnp.array([[2.0]]), jnp.array([[1.0]])), PolyLeakyReLU(2))[0].tolist()
    [6.0]
    """
    return tuple(into + p * out for p, into, out in _squared_norms(params, activation))


def _squared_norms(params: Any, activation: Activation) -> list[tuple[Any, jax.Array, jax.Array]]:
    """Degree p, and squared norms of incoming and outgoing weights, of every hidden layer."""
    if not isinstance(activation, Products):
        p: Any = activation_degree(activation)
    found = []
    room = getattr(activation, "factors", 1)
    for into, out in pairwise(weights_of("params", params, factors=room)):
        if isinstance(activation, Products):
            # Of a neuron that is not there any degree will do.
            p = jnp.maximum(jnp.sum(activation.present(into), axis=-1), 1)
        # Of products every factor of the next layer has weights of its own.
        parts = out.reshape(*out.shape[:-2], -1, into.shape[-2])
        found.append((p, jnp.sum(into**2, axis=-1), jnp.sum(parts**2, axis=-2)))
    return found
