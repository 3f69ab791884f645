"""Compiled epochs of gradient training of a CP-polynomial neuron, for many seeds at once.

One program scans over minibatches and over a chunk of epochs. All parameters are one flat vector,
so that an Adam step is one pass over it whatever the number of orders; numbers such as penalties
come in as arguments, so that other values compile nothing.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from nsjax import _mesh
from nsjax.networks.cp import CPNeuron
from nsjax.neuronseek import terms, thresholds
from nsjax.neuronseek.penalties import (
    Data,
    Parameters,
    Program,
    Strengths,
    effective,
    gated,
    penalty,
)
from nsjax.objectives import LOSSES


class State(NamedTuple):
    """State of one seed's training.

    Attributes:
        weights: all parameters, flat.
        safe: weights from which the last epoch that did not break began.
        moments: of Adam.
        step: gradient steps so far.
        key: PRNG key.
    """

    weights: jax.Array
    safe: jax.Array
    moments: Any
    step: jax.Array
    key: jax.Array


class Records(NamedTuple):
    """What is kept of every epoch: relative losses without penalties, and shares of terms."""

    train: jax.Array
    validation: jax.Array
    shares: jax.Array


_ADAM = optax.scale_by_adam()


@partial(jax.jit, static_argnums=(1, 2))
def _draw(keys: jax.Array, size: int, dtype: str) -> tuple[jax.Array, jax.Array]:
    """Standard normal numbers for every key, and keys to go on with."""
    # One draw for all arrays: one for each would take seconds to compile.
    parts = jax.vmap(jax.random.split)(keys)
    return jax.vmap(lambda key: jax.random.normal(key, (size,), dtype))(parts[:, 0]), parts[:, 1]


def start(program: Program, keys: jax.Array, data: Data) -> State:
    """Draw parameters for every key: streams of equal variance, 1 together, and gates 1 or open.

    Factors of projections have entries N(0, 1/d) first, as in `cp.init`.
    """
    layout, kinds, x = program.layout, terms.orders(program.shape), np.asarray(data.probe)
    normal, after = _draw(keys, layout.size, program.dtype)
    small = program.inputs**-0.5
    first = thresholds.OPEN if program.rule == "hard_concrete" else 1.0
    rows = []
    for row in np.asarray(normal):
        drawn = layout.tree(row).neuron
        neuron = CPNeuron(
            np.zeros_like(drawn.bias),
            drawn.powers,
            {n: t._replace(factors=t.factors * small) for n, t in drawn.interactions.items()},
            {name: t._replace(factors=t.factors * small) for name, t in drawn.bases.items()},
        )
        variances = terms.stream_variances(neuron, x)
        scale = np.where(variances > 0, variances * len(variances), 1) ** -0.5
        neuron = terms.scaled(neuron, scale[kinds])
        rows.append(flat(Parameters(neuron, np.full(program.gates, first))))
    return fresh(np.array(rows, program.dtype), after)


def flat(parameters: Parameters) -> np.ndarray:
    """All parameters in a row, on the host."""
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(parameters)])


def fresh(weights: np.ndarray, keys: jax.Array) -> State:
    """State of all seeds `(seeds, P)` with an optimiser that has seen nothing."""
    # Copies, as their memory is given away.
    zeros = [jnp.array(np.zeros_like(weights)) for _ in range(2)]
    counts = [jnp.array(np.zeros(len(weights), np.int32)) for _ in range(2)]
    moments = optax.ScaleByAdamState(counts[0], *zeros)
    return State(jnp.array(weights), jnp.array(weights), moments, counts[1], keys)


@partial(jax.jit, static_argnums=(0, 1), static_argnames="mesh", donate_argnums=2)
def advance(
    program: Program,
    epochs: int,
    states: State,
    keep: jax.Array,
    data: Data,
    strengths: Strengths,
    *,
    mesh: Mesh | None = None,
) -> tuple[State, Records]:
    """Train every seed for a chunk of epochs.

    Args:
        program, epochs: static.
        states: with a leading axis of seeds; their memory is reused.
        keep: `(seeds, L)`, 1 for terms that take part.
        data, strengths: shared by all seeds.
        mesh: static, see `_mesh.over_members`.

    Returns:
        States, and records `(seeds, epochs, ...)`. After `strengths.steps` nothing changes.
    """

    def chunk(
        state: State, mask: jax.Array, data: Data, strengths: Strengths
    ) -> tuple[State, Records]:
        def body(state: State, _: None) -> tuple[State, Records]:
            return _epoch(program, state, mask, data, strengths)

        return jax.lax.scan(body, state, None, length=epochs)

    seeds = jax.vmap(chunk, in_axes=(0, 0, None, None))
    return _mesh.over_members(mesh, seeds, (states, keep), data, strengths)


def _epoch(
    program: Program, state: State, keep: jax.Array, data: Data, strengths: Strengths
) -> tuple[State, Records]:
    shuffle, noise, key = jax.random.split(state.key, 3)

    def batch_step(state: State, rows: tuple) -> tuple[State, jax.Array]:
        return _step(program, state, keep, data, strengths, *rows)

    which = batches(shuffle, len(data.x), program.batch)
    steps = program.steps(len(data.x))
    noises = jax.random.split(noise, steps) if program.rule == "hard_concrete" else None
    after, losses = jax.lax.scan(batch_step, state, (which, noises), length=steps)
    train = jnp.mean(losses)
    # An epoch that breaks is undone, with the one before, whose last step may be to blame: what
    # comes back at the end can still be looked at.
    whole = jnp.isfinite(train) & jnp.all(jnp.isfinite(after.weights))
    moments = jax.tree.map(
        lambda new, old: jnp.where(whole, new, old), after.moments, state.moments
    )
    state = State(
        jnp.where(whole, after.weights, state.safe),
        jnp.where(whole, state.weights, state.safe),
        moments,
        after.step,
        key,
    )
    neuron = effective(program, state.weights, keep, strengths)
    if len(data.held_x):
        outputs = terms.outputs(neuron, data.held_x).T
        held = LOSSES[program.loss](outputs, data.held_y) / data.held_reference
    else:
        held = jnp.asarray(jnp.nan, train.dtype)
    shares = terms.contributions(neuron, data.probe) ** 2 / data.variance
    return state, Records(jnp.where(whole, train, jnp.nan), held, shares)


def batches(key: jax.Array, samples: int, size: int) -> jax.Array | None:
    """Row numbers of the minibatches of one epoch, `(steps, size)`, or None for full batches.

    A permutation of all samples; where the size does not divide their number, the last batch is
    filled up with the first samples of the permutation.
    """
    if size >= samples:
        return None
    steps = -(-samples // size)
    # One sort by random bits; ties are too rare to matter.
    bits = jax.random.bits(key, (samples,))
    _, order = jax.lax.sort_key_val(bits, jnp.arange(samples, dtype=jnp.int32))
    return jnp.concatenate([order, order[: steps * size - samples]]).reshape(steps, size)


def _step(
    program: Program,
    state: State,
    keep: jax.Array,
    data: Data,
    strengths: Strengths,
    rows: jax.Array | None,
    noise: jax.Array | None,
) -> tuple[State, jax.Array]:
    """One gradient step; returns the relative loss of the batch without penalties."""
    x, y = (data.x, data.y) if rows is None else (data.x[rows], data.y[rows])
    per_batch = len(x) / len(data.x) * data.reference
    progress = jnp.minimum(state.step / strengths.steps, 1)

    def objective(weights: jax.Array) -> tuple[jax.Array, jax.Array]:
        parameters = program.layout.tree(weights)
        neuron = gated(program, parameters, keep, strengths, noise)
        loss = LOSSES[program.loss](terms.outputs(neuron, x).T, y) / per_batch
        return loss + penalty(program, parameters, keep, strengths, progress), loss

    gradient, loss = jax.grad(objective, has_aux=True)(state.weights)
    norm = jnp.linalg.norm(gradient)
    gradient = gradient * jnp.where(norm > strengths.clip, strengths.clip / norm, 1)
    update, moments = _ADAM.update(gradient, state.moments)
    rate = strengths.rate * 0.5 * (1 + jnp.cos(jnp.pi * progress))
    weights = state.weights - (rate * update).astype(state.weights.dtype)
    if program.rule == "group_lasso":
        parameters = program.layout.tree(weights)
        norms, counts = terms.block_norms(parameters.neuron)
        by = rate * strengths.penalty * np.sqrt(counts)
        factors = thresholds.shrinkage(norms, by.astype(norms.dtype))
        neuron = terms.scaled(parameters.neuron, factors, factors=True)
        weights = program.layout.flat(parameters._replace(neuron=neuron))
    return state._replace(weights=weights, moments=moments, step=state.step + 1), loss
