"""Back to the level set of the conserved imbalances.

Gradient flow conserves `||W_l[j,:]||^2 - p ||W_{l+1}[:,j]||^2` of every hidden neuron. Where active
weights are put at an equilibrium by formula, not by following the flow, they land in the right
valley of minima but not at the right point of it: rescaling an active neuron, `W_in <- t W_in`,
`W_out <- t^-p W_out`, leaves the network's function alone. The conserved imbalance says which t.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from nsjax.networks.homogeneous import Params

_SWEEPS, _NEWTON_STEPS = 16, 3


def restore_imbalance(
    params: Params, zero: Params, target: tuple[jax.Array, ...], p: int
) -> Params:
    """Rescale the active neurons until every imbalance is the conserved one.

    Args:
        params: L weight matrices.
        zero: L boolean matrices, True in the zero block, whose weights stay as they are.
        target: one array `(k_l,)` per hidden layer, the conserved imbalances.
        p: degree of the activation.
    """
    active = [~mask for mask in zero]

    def sweep(_: int, weights: Params) -> Params:
        new = list(weights)
        for i, wanted in enumerate(target):
            into, out = new[i] ** 2, new[i + 1] ** 2
            moving_in = jnp.sum(jnp.where(active[i], into, 0), axis=1)
            moving_out = p * jnp.sum(jnp.where(active[i + 1], out, 0), axis=0)
            rest = jnp.sum(jnp.where(zero[i], into, 0), axis=1)
            rest -= p * jnp.sum(jnp.where(zero[i + 1], out, 0), axis=0)
            alive = (moving_in > 0) & (moving_out > 0)
            t = jnp.ones_like(wanted)
            for _ in range(_NEWTON_STEPS):
                excess = t**2 * moving_in - t ** (-2 * p) * moving_out + rest - wanted
                slope = 2 * t * moving_in + 2 * p * t ** (-2 * p - 1) * moving_out
                t = jnp.where(alive, t - excess / jnp.where(alive, slope, 1), 1)
                t = jnp.clip(t, 0.5, 2.0)
            new[i] = jnp.where(active[i], t[:, None] * new[i], new[i])
            new[i + 1] = jnp.where(active[i + 1], t[None, :] ** -p * new[i + 1], new[i + 1])
        return tuple(new)

    # Neighbouring hidden layers share weights; with one hidden layer a single sweep is exact.
    return lax.fori_loop(0, 1 if len(target) == 1 else _SWEEPS, sweep, params)
