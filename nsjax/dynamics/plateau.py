"""Plateaus: which neurons are small, and the saddle `(w_n, 0)` that the weights stand near."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from nsjax._flat import Layout
from nsjax.diagnostics import imbalance, neuron_norms
from nsjax.dynamics.integrate import LARGEST_DENSE
from nsjax.dynamics.levels import restore_imbalance
from nsjax.dynamics.results import Stop
from nsjax.dynamics.saddles import Blocks, Inactive, Saddle, blocks, inspect_block
from nsjax.networks import activation_degree
from nsjax.networks.homogeneous import Params
from nsjax.objectives import NetworkLoss

_NEWTON_STEPS = 30


class Plateau(NamedTuple):
    """The saddle that the weights stand near.

    Attributes:
        params: its weights, zero on the in- and outgoing weights of the small neurons.
        inactive: the small neurons, one boolean array per hidden layer.
        where: its zero block.
        saddle: its inspection; `saddle.stop` says if it is none.
        distance: how far the active weights are from it.
    """

    params: Params
    inactive: Inactive
    where: Blocks
    saddle: Saddle
    distance: float


def small_neurons(params: Params, threshold: float) -> Inactive:
    """Which hidden neurons lie below the threshold in norm, one boolean array per hidden layer."""
    return tuple(np.asarray(norms) < threshold for norms in neuron_norms(params))


def find_plateau(
    params: Params,
    inactive: Inactive,
    x: jax.Array,
    y: jax.Array,
    loss: NetworkLoss,
    *,
    tol: float,
    reach: float,
) -> Plateau:
    """The critical point of the active weights next to where they are, and its inspection.

    Newton steps over the active weights lead there, along the directions that curve: a valley of
    minima is crossed, not followed. Where along it the flow would be, the conserved imbalances say.

    Args:
        params: network with its small neurons as they are.
        inactive: the small neurons.
        x, y, loss: of the training loss.
        tol: relative gradient that passes for zero.
        reach: how far from the active weights it may lie. Where none is, the weights themselves
            without their zero block; `saddle.stop` is then `NOT_A_SADDLE`.
    """
    layout = Layout.of(params)
    where = blocks(params, inactive)
    flat = layout.flat(params)
    zero = jnp.asarray(where.zero)
    start = jnp.where(zero, 0, flat)
    end = start
    if not where.zero.all() and layout.size <= LARGEST_DENSE:
        p = activation_degree(loss.activation)
        end = _newton(loss, layout, p, flat, zero, imbalance(params, loss.activation), x, y)
    saddle = inspect_block(loss, layout, end, where, x, y, tol)
    distance = float(jnp.linalg.norm(end - start))
    if distance > reach or saddle.stop is Stop.NOT_A_SADDLE:
        end, distance = start, 0.0
        saddle = inspect_block(loss, layout, end, where, x, y, tol)
    return Plateau(layout.tree(end), inactive, where, saddle, distance)


@partial(jax.jit, static_argnums=(0, 1, 2))
def _newton(
    loss: NetworkLoss,
    layout: Layout,
    p: int,
    flat: jax.Array,
    zero: jax.Array,
    conserved: tuple[jax.Array, ...],
    x: jax.Array,
    y: jax.Array,
) -> jax.Array:
    block = jnp.where(zero, flat, 0)
    mask = Layout(layout.structure, layout.shapes, ("bool",) * len(layout.shapes)).tree(zero)
    eps = jnp.finfo(flat.dtype).eps

    def function(weights: jax.Array) -> jax.Array:
        return loss(layout.tree(jnp.where(zero, 0, weights)), x, y)

    def step(state: Any) -> Any:
        count, weights, gradient, _ = state
        hessian = jnp.where(zero[:, None] | zero[None, :], 0, jax.hessian(function)(weights))
        curvatures, vectors = jnp.linalg.eigh(0.5 * (hessian + hessian.T))
        largest = jnp.max(jnp.abs(curvatures))
        steep = jnp.abs(curvatures) > 0.1 * jnp.sqrt(eps) * largest
        inverse = jnp.where(steep, 1 / jnp.where(steep, curvatures, 1), 0)
        moved = weights - vectors @ (inverse * (vectors.T @ gradient))
        restored = restore_imbalance(layout.tree(moved + block), mask, conserved, p)
        moved = jnp.where(zero, 0, layout.flat(restored))
        # Rounding is reached, or there is nothing to gain along steep directions.
        there = jnp.linalg.norm(moved - weights) <= 8 * eps * jnp.linalg.norm(moved)
        return count + 1, moved, jax.grad(function)(moved), there

    def going(state: Any) -> jax.Array:
        count, _, gradient, there = state
        return (count < _NEWTON_STEPS) & ~there & jnp.all(jnp.isfinite(gradient))

    start = jnp.where(zero, 0, flat)
    first = (jnp.zeros((), jnp.int32), start, jax.grad(function)(start), jnp.zeros((), bool))
    end = lax.while_loop(going, step, first)[1]
    return jnp.where(jnp.all(jnp.isfinite(end)), end, start)
