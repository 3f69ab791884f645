"""What a formula can do without: parts that add next to nothing to its outputs on given inputs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from nsjax.networks.cp import CPNeuron
from nsjax.neuronseek import terms


class Negligible(NamedTuple):
    """How much of the outputs' variance counts as nothing.

    Attributes:
        x: inputs on which variances are taken, `(n, d)`.
        variance: up to which a function of them is negligible, summed over outputs.
    """

    x: np.ndarray
    variance: float

    def holds(self, values: np.ndarray) -> bool:
        """Whether a function with these values, `(n,)` or `(c, n)`, is negligible."""
        return bool(np.sum(np.var(values, axis=-1)) <= self.variance)


def without_least(neuron: CPNeuron, given: CPNeuron, small: Negligible) -> CPNeuron:
    """The neuron without its least terms, as long as it differs from `given` by nothing."""
    wanted = terms.outputs(given, small.x)
    keep = np.ones(len(terms.labels(neuron)), bool)
    for least in np.argsort(terms.contributions(neuron, small.x)) if keep.size else ():
        keep[least] = False
        left = np.asarray(terms.outputs(terms.selected(neuron, keep), small.x))
        if not small.holds(left - wanted):
            keep[least] = True
            break
    return terms.selected(neuron, keep)
