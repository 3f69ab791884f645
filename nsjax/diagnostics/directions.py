"""How many directions the neurons of a layer point in."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.numpy as jnp

from nsjax import _check
from nsjax.diagnostics.snapshots import weights_of
from nsjax.networks import activation_degree
from nsjax.networks.homogeneous import Activation


def effective_directions(params: Any, activation: Activation) -> tuple[jax.Array, ...]:
    r"""Participation ratio of the directions of a layer's neurons, each weighed by its share.

    With `m_j = ||w_in||^p ||w_out||`, the size of neuron j's contribution, and `u_j` its incoming
    direction, this is `(sum_j m_j)^2 / sum_jk m_j m_k <u_j, u_k>^2`, the participation ratio of the
    eigenvalues of `sum_j m_j u_j u_j^T`: 1 if all neurons are parallel or antiparallel, K for K
    equal orthogonal groups, about the input dimension for many random ones.

    Args:
        params: L weight matrices, or snapshots of them: a leading axis, or a sequence of networks.
        activation: homogeneous activation of degree p.

    Returns:
        `(...)` for every hidden layer; NaN for a layer of zeros.

    Raises:
        TypeError, ValueError: for bad input.

    >>> from nsjax import PolyLeakyReLU
    >>> w = (jnp.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 2.0]]), jnp.array([[1.0, 1.0, 0.5]]))
    >>> effective_directions(w, PolyLeakyReLU(2))[0].tolist()
    2.0
    """
    weights = weights_of("params", params)
    p = activation_degree(activation)
    _check.function("activation", activation)
    return tuple(_participation(first, second, p) for first, second in itertools.pairwise(weights))


def _participation(incoming: jax.Array, outgoing: jax.Array, p: int) -> jax.Array:
    # Relative to the largest: p-th powers of tiny weights are lost to underflow.
    norms = jnp.linalg.norm(incoming, axis=-1)
    out = jnp.linalg.norm(outgoing, axis=-2)

    def relative(sizes: jax.Array) -> jax.Array:
        largest = jnp.max(sizes, axis=-1, keepdims=True)
        return sizes / jnp.where(largest > 0, largest, 1)

    mass = relative(norms) ** p * relative(out)
    unit = incoming / jnp.where(norms > 0, norms, 1)[..., None]
    gram = jnp.einsum("...jd,...j,...je->...de", unit, mass, unit)
    return jnp.sum(mass, axis=-1) ** 2 / jnp.sum(gram**2, axis=(-2, -1))
