"""Units to work in: inputs of about size 1, and targets of variance 1."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from nsjax.networks.cp import CPNeuron, CPTerms


class Units(NamedTuple):
    """What the data are divided by.

    Attributes:
        inputs: sizes of the inputs, powers of two, so that dividing rounds nothing, `(d,)`.
        mean: means of the targets, `(c,)`.
        scale: size of all targets.
    """

    inputs: np.ndarray
    mean: np.ndarray
    scale: float

    @classmethod
    def of(cls, x: np.ndarray, y: np.ndarray, loss: str) -> Units:
        """Units in which inputs are about 1 and, for the square loss, targets have variance 1.

        Inputs keep their origin: shifted, a power would be a sum of many.
        """
        inputs = input_sizes(x)
        if loss != "square":
            return cls(inputs, np.zeros(y.shape[1]), 1.0)
        spread = np.max(np.abs(y - y.mean(axis=0)))
        scale = spread * np.sqrt(np.mean(np.var(y / spread, axis=0)))
        return cls(inputs, y.mean(axis=0), float(scale))

    def back(self, neuron: CPNeuron) -> CPNeuron:
        """A neuron of data in these units, in the units of the data, without what is rounding."""
        noise = 1000 * float(np.finfo(jnp.result_type(float)).eps)

        def weighed(weights: np.ndarray, size: np.ndarray | float = 1.0) -> np.ndarray:
            return np.where(np.abs(weights) * size > noise, weights * self.scale, 0.0)

        def scaled(terms: CPTerms) -> CPTerms:
            sizes = np.prod(np.linalg.norm(terms.factors, axis=2), axis=0)
            return CPTerms(weighed(terms.coefficients, sizes), terms.factors)

        bias = neuron.bias * self.scale + self.mean
        # What is left of the mean where it cancels is rounding.
        left = noise * (np.abs(self.mean) + self.scale)
        outer = CPNeuron(
            np.where(np.abs(bias) > left, bias, 0.0),
            {k: weighed(weights) for k, weights in neuron.powers.items()},
            {n: scaled(terms) for n, terms in neuron.interactions.items()},
            {name: scaled(terms) for name, terms in neuron.bases.items()},
        )
        return of_divided(outer, self.inputs)


def input_sizes(x: np.ndarray) -> np.ndarray:
    """Root mean squares of the inputs `(n, d)`, rounded to powers of two; 1 for one that is 0."""
    largest = np.max(np.abs(x), axis=0)
    # An input that is zero may have any size.
    x, largest = np.where(largest > 0, x, 1), np.where(largest > 0, largest, 1)
    # By way of the largest entry: squares may be out of range.
    sizes = largest * np.sqrt(np.mean((x / largest) ** 2, axis=0))
    return np.exp2(np.round(np.log2(sizes))).astype(x.dtype)


def of_divided(neuron: CPNeuron, by: np.ndarray) -> CPNeuron:
    """The neuron whose outputs at x are those of `neuron` at `x / by`, with `by` `(d,)`."""

    def divided(terms: CPTerms) -> CPTerms:
        return CPTerms(terms.coefficients, terms.factors / by)

    return CPNeuron(
        neuron.bias,
        {k: weights / by**k for k, weights in neuron.powers.items()},
        {n: divided(terms) for n, terms in neuron.interactions.items()},
        {name: divided(terms) for name, terms in neuron.bases.items()},
    )
