"""Sparsity of a network: which neurons are active, and how full its weight matrices are."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nsjax import _check
from nsjax.diagnostics.snapshots import weights_of
from nsjax.networks.homogeneous import Params


def neuron_norms(params: Any) -> tuple[jax.Array, ...]:
    """`sqrt(||W_l[j,:]||^2 + ||W_{l+1}[:,j]||^2)` of every hidden neuron.

    Args:
        params: L weight matrices, or snapshots of them: a leading axis, or a sequence of networks.

    Returns:
        One array `(..., k_l)` per hidden layer, in the unit of the weights.

    Raises:
        TypeError, ValueError: if `params` is no network and no snapshots of one.

    >>> neuron_norms((jnp.array([[3.0], [0.0]]), jnp.array([[4.0, 0.0]])))[0].tolist()
    [5.0, 0.0]
    """
    return _neuron_norms(weights_of("params", params))


@jax.jit
def _neuron_norms(weights: Params) -> tuple[jax.Array, ...]:
    # Over the largest entry first: the squares of the weights near a saddle may be out of range.
    largest = _largest(weights)
    alive = largest > 0
    scaled = [weight / jnp.where(alive, largest, 1)[..., None, None] for weight in weights]
    return tuple(
        largest[..., None] * jnp.sqrt(jnp.sum(into**2, axis=-1) + jnp.sum(out**2, axis=-2))
        for into, out in pairwise(scaled)
    )


def active_neurons(
    params: Any, *, threshold: float = 1e-2, relative: bool = True
) -> tuple[jax.Array, ...]:
    """Which hidden neurons are active: their norm lies above a threshold.

    The norm is that of in- and outgoing weights together, `neuron_norms`. With `relative` the
    threshold is a share of the network's largest neuron, in each snapshot by itself; at the origin,
    where all are zero, none is active. A zero neuron never is.

    Args:
        params: L weight matrices, or snapshots of them: a leading axis, or a sequence of networks.
        threshold: 0 or above; a share if `relative`, else in the unit of the weights.
        relative: whether it counts against the largest neuron of all hidden layers.

    Returns:
        One boolean array `(..., k_l)` per hidden layer.

    Raises:
        TypeError, ValueError: for a bad threshold or flag, or if `params` is no network.

    >>> active_neurons((jnp.array([[3.0], [1e-3]]), jnp.array([[4.0, 1e-3]])))[0].tolist()
    [True, False]
    """
    threshold = _check.non_negative("threshold", threshold)
    relative = _check.flag("relative", relative)
    norms = neuron_norms(params)
    if not relative:
        return tuple(norm > threshold for norm in norms)
    largest = jnp.max(jnp.stack([jnp.max(norm, axis=-1) for norm in norms]), axis=0)
    return tuple(norm > threshold * largest[..., None] for norm in norms)


class WeightSparsity(NamedTuple):
    """How sparse each of L weight matrices is; NaN throughout for a matrix that is zero.

    Every attribute is `(..., L)`, with the leading axes of the snapshots.

    Attributes:
        small: share of the entries below the threshold times the largest entry, all in absolute
            value.
        hoyer: `(sqrt(m) - ||W||_1 / ||W||_F) / (sqrt(m) - 1)` over the m entries (Hoyer 2004): 0
            where all are of one size, 1 for a single entry; NaN for a matrix of one entry.
        rows, columns: share of the rows and columns whose norm lies above the threshold times the
            largest one: of the neurons that take anything in, and of those that are listened to.
        stable_rank: `||W||_F^2 / ||W||_2^2`, at least 1 and at most the rank.
        effective_rank: `exp(-sum_i p_i log p_i)` with `p_i = s_i / sum_j s_j` over the singular
            values (Roy and Vetterli 2007), between 1 and the rank.
    """

    small: jax.Array
    hoyer: jax.Array
    rows: jax.Array
    columns: jax.Array
    stable_rank: jax.Array
    effective_rank: jax.Array


def weight_sparsity(params: Any, *, threshold: float = 1e-2) -> WeightSparsity:
    """Shares of small entries and idle rows, Hoyer sparsity and ranks of every weight matrix.

    Args:
        params: L weight matrices, or snapshots of them: a leading axis, or a sequence of networks.
        threshold: share of the largest entry (or row, or column) below which one counts as small.

    Raises:
        TypeError, ValueError: for a bad threshold, or if `params` is no network.

    Source: P. O. Hoyer, Journal of Machine Learning Research 5 (2004), section 3.1; O. Roy and
    M. Vetterli, EUSIPCO 2007.

    >>> found = weight_sparsity((jnp.array([[3.0, 0.0], [0.0, 0.0]]), jnp.array([[1.0, 1.0]])))
    >>> found.small.tolist(), found.hoyer.round(3).tolist(), found.rows.tolist()
    ([0.75, 0.0], [1.0, 0.0], [0.5, 1.0])
    """
    threshold = _check.non_negative("threshold", threshold)
    each = [_matrix_sparsity(weight, threshold) for weight in weights_of("params", params)]
    return WeightSparsity(*(jnp.stack(column, axis=-1) for column in zip(*each, strict=True)))


@jax.jit
def _matrix_sparsity(weight: jax.Array, threshold: float) -> tuple[jax.Array, ...]:
    size = jnp.abs(weight)
    largest = _largest((weight,))
    zero = largest == 0
    size = size / jnp.where(zero, 1, largest)[..., None, None]
    entries = weight.shape[-1] * weight.shape[-2]
    frobenius = jnp.sqrt(jnp.sum(size**2, axis=(-2, -1)))
    ratio = jnp.sum(size, axis=(-2, -1)) / jnp.where(zero, 1, frobenius)
    hoyer = (entries**0.5 - ratio) / (entries**0.5 - 1) if entries > 1 else jnp.nan * ratio
    rows, columns = (jnp.sqrt(jnp.sum(size**2, axis=axis)) for axis in (-1, -2))
    singular = jnp.linalg.svd(size * jnp.sign(weight), compute_uv=False)
    shares = singular / jnp.where(zero, 1, jnp.sum(singular, axis=-1))[..., None]
    entropy = -jnp.sum(jax.scipy.special.xlogy(shares, shares), axis=-1)
    found = (
        jnp.mean(size <= threshold, axis=(-2, -1), dtype=size.dtype),
        hoyer,
        _share_above(rows, threshold),
        _share_above(columns, threshold),
        frobenius**2 / jnp.where(zero, 1, singular[..., 0]) ** 2,
        jnp.exp(entropy),
    )
    return tuple(jnp.where(zero, jnp.nan, value) for value in found)


def _share_above(norms: jax.Array, threshold: float) -> jax.Array:
    largest = jnp.max(norms, axis=-1, keepdims=True)
    return jnp.mean(norms > threshold * largest, axis=-1, dtype=norms.dtype)


def _largest(weights: Any) -> jax.Array:
    """The largest absolute entry of all matrices, for each snapshot by itself."""
    return jnp.max(jnp.stack([jnp.max(jnp.abs(w), axis=(-2, -1)) for w in weights]), axis=0)
