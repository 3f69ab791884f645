"""What gradient training minimises: a relative loss, gates on the terms, and penalties."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsjax._flat import Layout
from nsjax.networks import cp
from nsjax.networks.cp import CPNeuron
from nsjax.neuronseek import terms, thresholds


class Parameters(NamedTuple):
    """What is trained.

    Attributes:
        neuron: its terms, with their own coefficients and free factors.
        gates: a factor on every group of terms: the paper's `C`, or log alpha of a gate.
    """

    neuron: CPNeuron
    gates: Any


class Data(NamedTuple):
    """Samples, in the units that training works in.

    Attributes:
        x, y: `(n, d)` and `(n, c)`.
        reference: loss that a relative loss of 1 stands for.
        held_x, held_y, held_reference: the same of held-out samples; no rows if there are none.
        probe: samples that the shares of terms are measured on.
        variance: of the targets, summed over outputs.
    """

    x: jax.Array
    y: jax.Array
    reference: jax.Array
    held_x: jax.Array
    held_y: jax.Array
    held_reference: jax.Array
    probe: jax.Array
    variance: jax.Array


class Strengths(NamedTuple):
    """Numbers that training depends on; every one is a scalar array.

    Attributes:
        rate: learning rate at the start.
        clip: largest norm of a gradient; infinite for none.
        lam_c, lam_u: the paper's penalties on `C` and on factors.
        penalty: weight of the rule's own penalty.
        steps: over which the learning rate falls to zero.
        gated: 1 where hard-concrete gates are drawn, 0 where they are open for good.
    """

    rate: Any
    clip: Any
    lam_c: Any
    lam_u: Any
    penalty: Any
    steps: Any
    gated: Any


@dataclass(frozen=True)
class Program:
    """What a compiled program depends on beside shapes: frozen and hashable."""

    template: cp.Template
    rule: str
    grouping: str
    loss: str
    inputs: int
    outputs: int
    batch: int
    """Samples of a minibatch; the number of samples for full batches."""
    dtype: str

    @cached_property
    def shape(self) -> CPNeuron:
        """The neuron without its numbers."""
        return jax.eval_shape(
            lambda key: cp.init(
                key, self.inputs, self.outputs, template=self.template, dtype=self.dtype
            ),
            jax.random.key(0),
        )

    @cached_property
    def groups(self) -> np.ndarray:
        """Index of the gate of every term, `(L,)`."""
        streams = terms.orders(self.shape)
        return streams if self.grouping == "order" else np.arange(len(streams))

    @cached_property
    def gates(self) -> int:
        """Number of gates."""
        return int(self.groups[-1]) + 1

    @cached_property
    def layout(self) -> Layout:
        """How a flat vector becomes `Parameters`."""
        gates = jax.ShapeDtypeStruct((self.gates,), jnp.dtype(self.dtype))
        return Layout.of(Parameters(self.shape, gates))

    def steps(self, samples: int) -> int:
        """Minibatches of an epoch."""
        return -(-samples // self.batch)


def gated(
    program: Program,
    parameters: Parameters,
    keep: jax.Array,
    strengths: Strengths,
    noise: jax.Array | None,
) -> CPNeuron:
    """The neuron with gates and mask in its coefficients; `noise` is a key to draw gates with."""
    gates = parameters.gates
    if program.rule == "hard_concrete":
        if noise is None:
            drawn = thresholds.gate_mean(gates)
        else:
            tiny = jnp.finfo(gates.dtype).tiny
            uniform = jax.random.uniform(noise, gates.shape, gates.dtype, tiny, 1)
            drawn = thresholds.gate_sample(gates, uniform)
        gates = jnp.where(strengths.gated > 0, drawn, 1)
    elif program.rule == "group_lasso":
        gates = jnp.ones_like(gates)
    if program.grouping == "order":
        gates = gates[program.groups]
    return terms.scaled(parameters.neuron, gates * keep)


def effective(
    program: Program, weights: jax.Array, keep: jax.Array, strengths: Strengths
) -> CPNeuron:
    """The neuron that flat parameters stand for, gates inside its coefficients."""
    return gated(program, program.layout.tree(weights), keep, strengths, None)


def penalty(
    program: Program,
    parameters: Parameters,
    keep: jax.Array,
    strengths: Strengths,
    progress: jax.Array,
) -> jax.Array:
    """Penalties beside the relative loss."""
    neuron, gates = parameters
    if program.rule == "group_lasso":
        return jnp.zeros((), gates.dtype)  # a proximal step of its own
    if program.rule == "hard_concrete":
        opening = jnp.sum(thresholds.gate_open(gates))
        return strengths.penalty * thresholds.ramp(progress) * strengths.gated * opening
    if program.rule == "stridge":
        norms, _ = terms.block_norms(neuron)
        return strengths.penalty * jnp.sum(keep * norms**2)
    alive = keep
    if program.grouping == "order":
        alive = jnp.zeros_like(gates).at[program.groups].max(keep)
    factors = sum(k**2 * jnp.mean(jnp.abs(weights)) for k, weights in neuron.powers.items()) + sum(
        n**2 * (jnp.mean(jnp.abs(each.factors)) + jnp.mean(jnp.abs(each.coefficients)))
        for n, each in [
            *neuron.interactions.items(),
            *((1, each) for each in neuron.bases.values()),
        ]
    )
    return strengths.lam_c * jnp.sum(alive * jnp.abs(gates)) + strengths.lam_u * factors
