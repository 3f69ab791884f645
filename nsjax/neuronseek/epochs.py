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

from nsjax.networks import cp
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
    """State of one seed's training."""

    weights: jax.Array
    moments: Any
    step: jax.Array
    key: jax.Array


class Records(NamedTuple):
    """What is kept of every epoch: relative losses without penalties, and shares of terms."""

    train: jax.Array
    validation: jax.Array
    shares: jax.Array


_ADAM = optax.scale_by_adam()


@partial(jax.jit, static_argnums=0)
def start(program: Program, keys: jax.Array, data: Data) -> State:
    """Draw parameters for every key: streams of equal variance, 1 together, and gates 1 or open."""
    layout, groups = program.layout, program.groups
    kinds = terms.orders(program.shape)

    def one(key: jax.Array) -> State:
        draw, shuffle = jax.random.split(key)
        # One draw for all arrays: one for each would take seconds to compile.
        normal = layout.tree(jax.random.normal(draw, (layout.size,), data.x.dtype)).neuron
        factor = program.inputs**-0.5
        neuron = CPNeuron(
            jnp.zeros_like(normal.bias),
            normal.powers,
            {
                n: each._replace(factors=each.factors * factor)
                for n, each in normal.interactions.items()
            },
            {
                name: each._replace(factors=each.factors * factor)
                for name, each in normal.bases.items()
            },
        )
        variances = terms.stream_variances(neuron, data.probe)
        scale = jnp.where(variances > 0, variances * len(variances), 1) ** -0.5
        neuron = terms.scaled(neuron, scale[kinds])
        first = thresholds.OPEN if program.rule == "hard_concrete" else 1.0
        gates = jnp.full(int(groups[-1]) + 1, first, data.x.dtype)
        weights = layout.flat(Parameters(neuron, gates))
        return State(weights, _ADAM.init(weights), jnp.zeros((), jnp.int32), shuffle)

    return jax.vmap(one)(keys)


@partial(jax.jit, static_argnums=(0, 1), donate_argnums=2)
def advance(
    program: Program,
    epochs: int,
    states: State,
    keep: jax.Array,
    data: Data,
    strengths: Strengths,
) -> tuple[State, Records]:
    """Train every seed for a chunk of epochs.

    Args:
        program, epochs: static.
        states: with a leading axis of seeds; their memory is reused.
        keep: `(seeds, L)`, 1 for terms that take part.
        data, strengths: shared by all seeds.

    Returns:
        States, and records `(seeds, epochs, ...)`. After `strengths.steps` nothing changes.
    """

    def chunk(state: State, mask: jax.Array) -> tuple[State, Records]:
        def body(state: State, _: None) -> tuple[State, Records]:
            return _epoch(program, state, mask, data, strengths)

        return jax.lax.scan(body, state, None, length=epochs)

    return jax.vmap(chunk)(states, keep)


def _epoch(
    program: Program, state: State, keep: jax.Array, data: Data, strengths: Strengths
) -> tuple[State, Records]:
    shuffle, noise, key = jax.random.split(state.key, 3)

    def batch_step(state: State, rows: tuple) -> tuple[State, jax.Array]:
        return _step(program, state, keep, data, strengths, *rows)

    before = state._replace(key=key)
    which = batches(shuffle, len(data.x), program.batch)
    steps = program.steps(len(data.x))
    noises = jax.random.split(noise, steps) if program.rule == "hard_concrete" else None
    after, losses = jax.lax.scan(batch_step, before, (which, noises), length=steps)
    train = jnp.mean(losses)
    # An epoch that breaks is undone: what comes back at the end can still be looked at.
    whole = jnp.isfinite(train) & jnp.all(jnp.isfinite(after.weights))
    state = jax.tree.map(
        lambda new, old: jax.lax.select(jnp.broadcast_to(whole, jnp.shape(new)), new, old),
        after._replace(key=jax.random.key_data(key)),
        before._replace(key=jax.random.key_data(key), step=after.step),
    )
    state = state._replace(key=key)
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
    return State(weights, moments, state.step + 1, state.key), loss


class Judged(NamedTuple):
    """What thresholds go by, for every seed.

    Attributes:
        neuron: gauge fixed, gates inside.
        gates: as they were trained.
        contributions: standard deviation of each term over all samples, `(L,)`.
        outputs: on all samples, `(n, c)`.
    """

    neuron: CPNeuron
    gates: jax.Array
    contributions: jax.Array
    outputs: jax.Array


@partial(jax.jit, static_argnums=0)
def judge(
    program: Program, weights: jax.Array, keep: jax.Array, data: Data, strengths: Strengths
) -> Judged:
    """Measure every seed's terms."""

    def one(flat: jax.Array, mask: jax.Array) -> Judged:
        neuron = cp.normalize(effective(program, flat, mask, strengths))
        outputs = terms.outputs(neuron, data.x).T
        gates = program.layout.tree(flat).gates
        return Judged(neuron, gates, terms.contributions(neuron, data.x), outputs)

    return jax.vmap(one)(weights, keep)


@partial(jax.jit, static_argnums=0)
def restart(program: Program, states: State, keep: jax.Array, strengths: Strengths) -> State:
    """Begin a refit: gates go into the coefficients, and the optimiser forgets."""

    def one(state: State, mask: jax.Array) -> State:
        neuron = effective(program, state.weights, mask, strengths)
        gates = jnp.ones(int(program.groups[-1]) + 1, state.weights.dtype)
        weights = program.layout.flat(Parameters(neuron, gates))
        return State(weights, _ADAM.init(weights), jnp.zeros((), jnp.int32), state.key)

    return jax.vmap(one)(states, keep)
