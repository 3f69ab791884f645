"""Directions in weight space along which a homogeneous network's outputs stay what they are."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from nsjax import _check
from nsjax.networks.homogeneous import Activation, Params, activation_degree


def symmetry_directions(params: Params, activation: Activation, *, x: Any = None) -> Params:
    """Tangents of the continuous symmetries that every homogeneous network has.

    Two kinds: each hidden neuron can trade scale, incoming weights times t against outgoing ones
    times t^-p; and weights of the first layer can move along inputs that no sample has, the kernel
    of x. (One-hot pairs have such a direction: a constant more on all first summands, less on all
    second ones.) On them the loss is constant, so they lie in the kernel of its Hessian wherever
    its gradient vanishes. There may be others at special weights, such as parallel neurons.

    Args:
        params: L weight matrices `(k_l, k_{l-1})`.
        activation: homogeneous activation of degree p.
        x: inputs `(n, d)`; without them the second kind is left out.

    Returns:
        Like params, with a leading axis of length s: a direction each, not normalised. With an x
        whose kernel has r dimensions, s is the number of hidden neurons plus r times k_1.

    Raises:
        TypeError, ValueError: for bad input.

    >>> from nsjax import PolyLeakyReLU
    >>> params = (jnp.array([[1.0, 2.0]]), jnp.array([[3.0]]))
    >>> [w.tolist() for w in symmetry_directions(params, PolyLeakyReLU(2))]
    [[[[1.0, 2.0]]], [[[-6.0]]]]
    """
    params = _check.network("params", params)
    p = activation_degree(activation)
    weights = [np.asarray(weight) for weight in params]
    directions: list[list[np.ndarray]] = []
    for layer in range(len(weights) - 1):
        for j in range(weights[layer].shape[0]):
            rows = [np.zeros_like(weight) for weight in weights]
            rows[layer][j] = weights[layer][j]
            rows[layer + 1][:, j] = -p * weights[layer + 1][:, j]
            directions.append(rows)
    if x is not None:
        for unseen in _kernel(np.asarray(_check.matrix("x", x, columns=weights[0].shape[1]))):
            for j in range(weights[0].shape[0]):
                rows = [np.zeros_like(weight) for weight in weights]
                rows[0][j] = unseen
                directions.append(rows)
    return tuple(jnp.asarray(np.stack(leaf)) for leaf in zip(*directions, strict=True))


def _kernel(x: np.ndarray) -> np.ndarray:
    """An orthonormal basis of the vectors orthogonal to every row of x, `(r, d)`."""
    eigenvalues, basis = np.linalg.eigh(x.T @ x)
    eps = float(np.finfo(x.dtype).eps)
    return basis[:, eigenvalues <= 10 * len(eigenvalues) * eps * eigenvalues[-1]].T
