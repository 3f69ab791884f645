"""The NCF of one new neuron on a circle of incoming weights, through its two best KKT points."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsjax import _check
from nsjax.kkt.certificate import KKTPoints
from nsjax.kkt.neuron import NeuronLandscape, value_factor
from nsjax.kkt.tracking import neuron_cosines
from nsjax.networks.family import HomogeneousNeurons
from nsjax.networks.homogeneous import (
    Activation,
    Params,
    activation_degree,
    check_layer,
    features,
    pullback,
)


class Circle(NamedTuple):
    """The NCF on a circle, and the KKT points that lie on it.

    Attributes:
        angles: `(count,)` in radians, 0 at the best KKT point.
        values: `(count,)`, N with the best outgoing weights.
        marks: `(j,)` angles of the KKT points on the circle, in `[0, 2 pi)`; a neuron whose mirror
            image -u is the same neuron comes twice.
        which: `(j,)` int, the KKT point of each mark.
    """

    angles: jax.Array
    values: jax.Array
    marks: np.ndarray
    which: np.ndarray


def circle(
    params: Params,
    layer: int,
    x: jax.Array,
    residual: jax.Array,
    activation: Activation,
    points: KKTPoints,
    *,
    count: int = 721,
) -> Circle:
    r"""Values `N(u) = phi(u) p^(p/2) / (p + 1)^((p + 1)/2)` on a circle of unit incoming weights u.

    The circle goes through the best point and the best one that is more than 25 degrees from it, or
    else the axis that is farthest from it. For features of two dimensions that is the whole
    landscape, for more a slice of it.

    Args:
        params, layer, x, residual, activation: as in `search_neuron`.
        points: its result.
        count: angles to evaluate, both ends of the turn included.

    Raises:
        TypeError, ValueError: for bad input, and for features of one dimension.

    Source: `docs/mathematics.md`, section 2.
    """
    params = _check.network("params", params)
    layer = check_layer(params, layer)
    x, residual = _check.samples(params, x, residual, target="residual")
    activation_degree(activation)
    count = _check.positive_integer("count", count)
    if not isinstance(points, KKTPoints):
        raise TypeError(f"points must be a KKTPoints, got {type(points).__name__}")
    incoming = jnp.asarray(points.points[0])
    if incoming.shape[1] < 2:
        raise ValueError("points must have at least two incoming weights, got one")
    incoming = incoming / jnp.linalg.norm(incoming, axis=1, keepdims=True)
    start = incoming[0]
    apart = np.flatnonzero(np.abs(np.asarray(incoming @ start)) < np.cos(np.deg2rad(25)))
    axis = jnp.eye(start.size, dtype=start.dtype)[jnp.argmin(jnp.abs(start))]
    other = incoming[apart[0]] if apart.size else axis
    across = other - (other @ start) * start
    plane = jnp.stack([start, across / jnp.linalg.norm(across)])
    angles = jnp.linspace(0, 2 * jnp.pi, count, dtype=x.dtype)
    turn = jnp.stack([jnp.cos(angles), jnp.sin(angles)], axis=1) @ plane
    before = features(params, x, activation)[layer - 1]
    after = pullback(params, x, residual, activation)[layer]
    values = _values(activation, turn, before, after)

    inside = np.asarray(incoming @ plane.T)
    which = np.flatnonzero(np.linalg.norm(inside, axis=1) > 1 - 1e-6)
    marks = np.arctan2(inside[which, 1], inside[which, 0])
    mirrored = neuron_cosines(-start[None], start[None], activation)[0, 0] > 0
    if mirrored:
        marks, which = np.concatenate([marks, marks + np.pi]), np.tile(which, 2)
    return Circle(angles, values, np.mod(marks, 2 * np.pi), which)


@partial(jax.jit, static_argnums=0)
def _values(
    activation: Activation, incoming: jax.Array, features: jax.Array, pulled: jax.Array
) -> jax.Array:
    landscape = NeuronLandscape(HomogeneousNeurons(activation))
    phi = jax.vmap(lambda u: landscape.value(u, features, features.T, pulled))(incoming)
    return value_factor(activation_degree(activation)) * phi
