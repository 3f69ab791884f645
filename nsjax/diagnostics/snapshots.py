"""What diagnostics of networks take: one network, or the snapshots of a trajectory."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from nsjax import _check
from nsjax.networks.homogeneous import Params


def weights_of(name: str, params: Any, *, factors: int = 1) -> Params:
    """A network's weights `(..., k_l, k_{l-1})`, with any leading axes of a trajectory.

    Inside a `jax.jit` only shapes and types are looked at.

    Args:
        name: of the argument, for the messages.
        params: L weight matrices; the same with leading axes, as `Flow.snapshots`; or a sequence of
            networks of one shape, which is stacked along a first axis.
        factors: of a hidden neuron of products, each with a weight for every neuron before it.

    Raises:
        TypeError: if it is none of these.
        ValueError: for fewer than two layers, shapes that do not chain, leading axes that differ,
            or entries that are not finite.
    """
    if not isinstance(params, tuple | list):
        raise TypeError(f"{name} must be a tuple of weight matrices, got {type(params).__name__}")
    if params and all(_is_network(each) for each in params):
        params = _stacked(name, params)
    if len(params) < 2:
        raise ValueError(f"{name} must have at least two weight matrices, got {len(params)}")
    for i, weight in enumerate(params):
        if not hasattr(weight, "ndim"):
            raise TypeError(f"{name}[{i}] must be an array, got {type(weight).__name__}")
    weights = tuple(_check.floating_tree(f"{name}[{i}]", w) for i, w in enumerate(params))
    for i, weight in enumerate(weights):
        if weight.ndim < 2:
            raise ValueError(
                f"{name}[{i}] must be a matrix of rank 2, or one with leading axes, got shape "
                f"{weight.shape}"
            )
        if weight.shape[:-2] != weights[0].shape[:-2]:
            raise ValueError(
                f"{name}[{i}] must have the leading axes {weights[0].shape[:-2]} of {name}[0], "
                f"got shape {weight.shape}"
            )
        if i == 0:
            continue
        wanted = weights[i - 1].shape[-2] * (factors if i < len(weights) - 1 else 1)
        if weight.shape[-1] != wanted:
            raise ValueError(
                f"{name}[{i}] must have {wanted} columns, one for each row of "
                f"{name}[{i - 1}], got shape {weight.shape}"
            )
    return weights


def _is_network(value: Any) -> bool:
    """Whether it is a network within a sequence of networks, and not a matrix as nested lists."""
    return isinstance(value, tuple | list) and any(getattr(w, "ndim", 0) >= 2 for w in value)


def _stacked(name: str, networks: Any) -> Params:
    shapes = [tuple(jnp.shape(weight) for weight in network) for network in networks]
    for i, shape in enumerate(shapes):
        if shape != shapes[0]:
            raise ValueError(
                f"{name}[{i}] must have the shapes of {name}[0], {shapes[0]}, got {shape}"
            )
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *(tuple(each) for each in networks))
