"""The same network in larger matrices: neurons and inputs that are zero and stay zero."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import jax.numpy as jnp

from nsjax import _check
from nsjax.networks.homogeneous import Params


def pad(params: Params, widths: Sequence[int]) -> Params:
    """Put zero neurons after those of a network, so that networks of several sizes share a program.

    A neuron whose incoming and outgoing weights are all zero has no gradient where the activation's
    slope at zero is finite: under gradient flow it stays as it is.

    Args:
        params: L weight matrices.
        widths: `(k_0, ..., k_L)`, each at least that of the network.

    Raises:
        TypeError, ValueError: if `params` is no network, or `widths` does not fit.

    >>> padded = pad((jnp.ones((1, 2)), jnp.ones((1, 1))), (3, 2, 1))
    >>> padded[0].tolist(), padded[1].tolist()
    ([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]], [[1.0, 0.0]])
    """
    params = _check.network("params", params)
    own = (params[0].shape[1], *(weight.shape[0] for weight in params))
    widths = tuple(_check.positive_integer("widths", width) for width in widths)
    if len(widths) != len(own) or any(new < old for new, old in zip(widths, own, strict=True)):
        raise ValueError(f"widths must be {len(own)} of at least {own}, got {widths}")
    return tuple(
        jnp.pad(weight, ((0, rows - weight.shape[0]), (0, columns - weight.shape[1])))
        for weight, (columns, rows) in zip(params, pairwise(widths), strict=True)
    )
