"""A start whose neurons point everywhere in the plane, to look at."""

from __future__ import annotations

import jax.numpy as jnp

from nsjax import _check
from nsjax.networks.homogeneous import Activation, Params, activation_degree


def fan(neurons: int, activation: Activation) -> Params:
    """Two layers on two inputs: neurons in equally spaced directions, of equal norm and balanced.

    Outgoing weights take turns in sign; the norm of all weights together is 1.

    Args:
        neurons: k of the hidden layer.
        activation: homogeneous activation of degree p, whose balance the neurons have.

    Returns:
        Weights `(k, 2)` and `(1, k)`.

    Raises:
        TypeError, ValueError: for a bad number, or an activation without degree.

    >>> from nsjax import PolyLeakyReLU
    >>> first, second = fan(4, PolyLeakyReLU(2))
    >>> round(float(jnp.sum(first**2) + jnp.sum(second**2)), 5)
    1.0
    >>> [round(float(w), 3) for w in second[0]]
    [0.289, -0.289, 0.289, -0.289]
    """
    neurons = _check.positive_integer("neurons", neurons)
    p = activation_degree(activation)
    angles = 2 * jnp.pi * (jnp.arange(neurons) + 0.5) / neurons
    signs = 1.0 - 2 * (jnp.arange(neurons) % 2)
    first = jnp.stack([jnp.cos(angles), jnp.sin(angles)], axis=1)
    share = neurons * (p + 1)
    return (p / share) ** 0.5 * first, (1 / share) ** 0.5 * signs[None]
