"""Alignment of a zero block near a saddle: its cosine to a target, and its KKT residual."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsjax import _check
from nsjax.diagnostics.snapshots import weights_of
from nsjax.kkt.sphere import dot, gradient_residual, norm, unit
from nsjax.networks.homogeneous import (
    Activation,
    Params,
    activation_degree,
    check_layer,
    features,
    pullback,
)
from nsjax.objectives import LOSSES, NetworkLoss, NetworkNCF, SaddleNCF


class Alignment(NamedTuple):
    """Direction of the zero block, neuron by neuron and as a whole.

    The four of the neurons have one array `(..., k_l)` per hidden layer, NaN for active neurons and
    for those that are zero; the four of the block are `(...)`, NaN where it is zero. Leading axes
    are those of the snapshots.

    Attributes:
        cosine: between each neuron's in- and outgoing weights and the target's; NaN without one.
        kkt_residual: `||(I - w w^T) grad N|| / ||grad N||` of each unit neuron w, in [0, 1]; 0
            where the gradient vanishes.
        ncf: `N(u, v)` of each unit neuron; NaN at the origin of three layers and more, where
            neurons do not decouple.
        norm: of each neuron.
        block_cosine, block_kkt_residual, block_ncf, block_norm: the same of the whole zero block.
    """

    cosine: tuple[jax.Array, ...]
    kkt_residual: tuple[jax.Array, ...]
    ncf: tuple[jax.Array, ...]
    norm: tuple[jax.Array, ...]
    block_cosine: jax.Array
    block_kkt_residual: jax.Array
    block_ncf: jax.Array
    block_norm: jax.Array


def alignment(
    params: Any,
    inactive: Sequence[Any],
    x: Any,
    y: Any,
    activation: Activation,
    *,
    target: Any = None,
    saddle: Any = None,
    loss: str = "square",
) -> Alignment:
    """How far the zero block of a network near a saddle has turned into a KKT point.

    The NCF is that of the residual at the saddle, of degree `q = p + 1`; if every neuron is
    inactive the saddle is the origin, and it is the whole network's, of degree D. A neuron's
    weights are its in- and outgoing ones; away from the origin without those from and to other
    inactive neurons, which do not enter the leading term, but count in the whole block. On a kink
    of an activation of degree 1 the gradient is one of several: there the KKT residual may stay
    large at a KKT point (`kkt.search` gives the best of them).

    Args:
        params: the network near the saddle, L weight matrices; or snapshots of it, a leading axis
            as `Flow.snapshots` or a sequence of networks.
        inactive: one boolean array `(k_l,)` per hidden layer, True for the neurons of the zero
            block.
        x, y: data `(n, d)`, `(n, c)`.
        activation: homogeneous activation.
        target: what to take cosines with: weight matrices shaped like a network's, of which each
            neuron is compared with the one in its place; or `(layer, incoming, outgoing)`, one
            neuron, compared with every one of that hidden layer, and the whole block with it in the
            place that fits best. Of any norm. The cosine is the plain one: where u and -u make the
            same neuron (`t^p` with even p), -1 is as aligned as 1.
        saddle: L weight matrices, zero on the zero block; by default `params` with its zero block
            set to zero, in each snapshot anew.
        loss: "square", "logistic" or "cross_entropy".

    Raises:
        TypeError, ValueError: for bad input, before anything is compiled.

    Source: neuron pursuit (arXiv 2509.12154), Theorem 7; `docs/mathematics.md`, sections 2 and 3.

    >>> from nsjax import PolyLeakyReLU
    >>> w = (1e-3 * jnp.array([[2.0**0.5, 0.0]]), 1e-3 * jnp.ones((1, 1)))
    >>> x, y = jnp.eye(2), jnp.array([[1.0], [0.0]])
    >>> found = alignment(w, [np.array([True])], x, y, PolyLeakyReLU(2), target=w)
    >>> bool(found.block_kkt_residual < 1e-6), round(float(found.block_cosine), 6)
    (True, 1.0)
    """
    weights = weights_of("params", params)
    activation_degree(activation)
    _check.choice("loss", loss, tuple(LOSSES))
    lead = weights[0].ndim - 2
    network = tuple(weight[(0,) * lead] for weight in weights)
    flags = tuple(jnp.asarray(flag) for flag in _check.inactive(network, inactive))
    x, y = _check.samples(network, x, y)
    if saddle is not None:
        saddle = _like("saddle", saddle, network)
        if any(bool(jnp.any(part != 0)) for part in _zero_block(saddle, flags)):
            raise ValueError("saddle must be zero on the weights of inactive neurons")
    layer, target = _target(target, network)
    origin = all(bool(flag.all()) for flag in flags)
    # Two layers decouple at the origin as well: the NCF of a neuron is the network's.
    decoupled = not origin or len(network) == 2
    model = NetworkLoss(activation, loss)
    return Alignment(*_align(model, decoupled, layer, weights, saddle, flags, target, x, y))


def _like(name: str, given: Any, network: Params) -> Params:
    """`given` as a network of the shapes and the dtype of `network`."""
    given = _check.network(name, given)
    shapes = [[weight.shape for weight in each] for each in (given, network)]
    if shapes[0] != shapes[1]:
        raise ValueError(f"{name} must have the shapes of params, {shapes[1]}, got {shapes[0]}")
    return tuple(weight.astype(network[0].dtype) for weight in given)


def _target(target: Any, network: Params) -> tuple[int, Params | None]:
    """The target's hidden layer, 0 for a whole network, and its weights."""
    if target is None:
        return 0, None
    one_neuron = isinstance(target, tuple | list) and len(target) == 3 and np.ndim(target[0]) == 0
    if not one_neuron:
        return 0, _like("target", target, network)
    layer = check_layer(network, target[0])
    sizes = network[layer - 1].shape[1], network[layer].shape[0]
    names = ("target's incoming weights", "target's outgoing weights")
    pair = [_check.vector(*each) for each in zip(names, target[1:], sizes, strict=True)]
    return layer, tuple(weight.astype(network[0].dtype) for weight in pair)


def _zero_block(weights: Params, flags: tuple[jax.Array, ...]) -> Params:
    """The weights within the zero block, zero elsewhere."""
    ends = _ends(weights, flags, False)
    return tuple(
        jnp.where(above[:, None] | below[None, :], weight, 0)
        for weight, below, above in zip(weights, ends[:-1], ends[1:], strict=True)
    )


def _ends(weights: Params, flags: tuple[jax.Array, ...], value: bool) -> tuple[jax.Array, ...]:
    """A flag for each unit of each layer, inputs and outputs with `value`."""
    return (
        jnp.full(weights[0].shape[1], value),
        *flags,
        jnp.full(weights[-1].shape[0], value),
    )


def _neurons(block: Params, flags: tuple[jax.Array, ...], decoupled: bool) -> list[Params]:
    """In- and outgoing weights of all neurons of each hidden layer, `(k_l, in)` and `(k_l, out)`.

    Decoupled, without what leads from and to other inactive neurons.
    """
    ends = _ends(block, flags, False)
    kept = [~end if decoupled else jnp.ones_like(end) for end in ends]
    return [
        (
            jnp.where(flag[:, None] & kept[i][None, :], block[i], 0),
            jnp.where(flag[:, None] & kept[i + 2][None, :], block[i + 1].T, 0),
        )
        for i, flag in enumerate(flags)
    ]


def _neuron_ncf(
    activation: Activation, units: Params, before: jax.Array, after: jax.Array
) -> tuple[jax.Array, Params]:
    """`N(u, v)` of every neuron of a layer, `(k,)`, and its gradients in u and v."""

    def total(units: Params) -> tuple[jax.Array, jax.Array]:
        each = jnp.sum((after @ units[1].T) * activation(before @ units[0].T), axis=0)
        return jnp.sum(each), each

    gradients, values = jax.grad(total, has_aux=True)(units)
    return values, gradients


def _cosines(
    layer: int,
    target: Params | None,
    direction: Params,
    units: list[Params],
    shares: list[jax.Array],
    pick: Callable[[Params], list[Params]],
    flags: tuple[jax.Array, ...],
) -> tuple[list[jax.Array], jax.Array]:
    """Cosine of every neuron with the target, and that of the whole block.

    Args:
        layer, target: as `_target` gives them.
        direction: the unit zero block.
        units: its neurons, each of norm 1.
        shares: norm of each neuron over that of the block.
        pick: takes the neurons out of a zero block.
        flags: which are inactive.
    """
    unknown = [jnp.full_like(share, jnp.nan) for share in shares]
    if target is None:
        return unknown, jnp.full((), jnp.nan, direction[0].dtype)
    if layer == 0:
        block = _zero_block(target, flags)
        wanted = pick(block)
        cosines = [
            jnp.where(jax.vmap(norm)(pair) > 0, jax.vmap(dot)(mine, jax.vmap(unit)(pair)), jnp.nan)
            for mine, pair in zip(units, wanted, strict=True)
        ]
        whole = jnp.where(norm(block) > 0, dot(direction, unit(block)), jnp.nan)
        return cosines, whole
    placed = jax.vmap(lambda _: target)(shares[layer - 1])
    mine = units[layer - 1]
    cosine = jnp.where(norm(target) > 0, jax.vmap(dot)(mine, jax.vmap(unit)(placed)), jnp.nan)
    unknown[layer - 1] = cosine
    each = jnp.where(flags[layer - 1], cosine * shares[layer - 1], -jnp.inf)
    return unknown, jnp.where(jnp.any(flags[layer - 1]), jnp.max(each), jnp.nan)


@partial(jax.jit, static_argnums=(0, 1, 2))
def _align(
    loss: NetworkLoss,
    decoupled: bool,
    layer: int,
    weights: Params,
    saddle: Params | None,
    flags: tuple[jax.Array, ...],
    target: Params | None,
    x: jax.Array,
    y: jax.Array,
) -> tuple[Any, ...]:
    activation = loss.activation
    pick = partial(_neurons, flags=flags, decoupled=decoupled)

    def one(params: Params) -> tuple[Any, ...]:
        block = _zero_block(params, flags)
        at = jax.tree.map(jnp.subtract, params, block) if saddle is None else saddle
        residual = loss.residual(at, x, y)
        size, direction = norm(block), unit(block)
        neurons = pick(block)
        units = [jax.vmap(unit)(pair) for pair in neurons]
        norms = [jax.vmap(norm)(pair) for pair in neurons]
        if decoupled:
            before = features(at, x, activation)
            after = pullback(at, x, residual, activation)
            ncf = partial(SaddleNCF(activation), features=before, pulled=after)
            value, gradient = jax.value_and_grad(ncf)(direction)
            each = zip(units, before[:-1], after[1:], strict=True)
            found = [_neuron_ncf(activation, *args) for args in each]
            values, gradients = [n for n, _ in found], [g for _, g in found]
        else:
            ncf = partial(NetworkNCF(activation), x=x, z=residual)
            value, gradient = jax.value_and_grad(ncf)(direction)
            values, gradients = [jnp.full_like(n, jnp.nan) for n in norms], pick(gradient)
        residuals = [
            jax.vmap(gradient_residual)(*pair) for pair in zip(units, gradients, strict=True)
        ]
        shares = [n / jnp.where(size > 0, size, 1) for n in norms]
        cosines, block_cosine = _cosines(layer, target, direction, units, shares, pick, flags)
        alive = [flag & (n > 0) for flag, n in zip(flags, norms, strict=True)]
        masked = [
            tuple(jnp.where(on, found, jnp.nan) for on, found in zip(alive, each, strict=True))
            for each in (cosines, residuals, values, norms)
        ]
        residual = gradient_residual(direction, _zero_block(gradient, flags))
        whole = [block_cosine, residual, value, size]
        return (*masked, *(jnp.where(size > 0, found, jnp.nan) for found in whole))

    for _ in range(weights[0].ndim - 2):
        one = jax.vmap(one)
    return one(weights)
