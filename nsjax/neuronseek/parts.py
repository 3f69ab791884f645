"""What a formula consists of: its terms with their labels, and its structure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from nsjax.networks.cp import CPNeuron, CPTerms


class Structure(NamedTuple):
    """Which terms a formula has, without its numbers.

    Attributes:
        powers: orders of the pure stream.
        interactions: pairs (order, number of terms).
        bases: pairs (name, number of terms).

    >>> str(Structure(powers=(1, 2), interactions=((2, 1), (3, 2)), bases=(("sine", 1),)))
    'x + x^2 + I2 + 2 I3 + sine'
    """

    powers: tuple[int, ...]
    interactions: tuple[tuple[int, int], ...]
    bases: tuple[tuple[str, int], ...]

    def __str__(self) -> str:
        names = [raised("x", k) for k in self.powers]
        named = [(f"I{order}", rank) for order, rank in self.interactions] + list(self.bases)
        names += [name if rank == 1 else f"{rank} {name}" for name, rank in named]
        return " + ".join(names) or "constant"


class LabelledTerm(NamedTuple):
    """One term of a formula.

    Attributes:
        label: `"x^2"`, `"x3^2"` where it is one input, `"x0 x3"`, `"I3.1"` for the first
            interaction of order 3, or `"sine.1"`.
        formula: that term alone, a `Formula` without bias.
    """

    label: str
    formula: Any


def structure(neuron: CPNeuron) -> Structure:
    """Structure of a neuron as it stands."""
    return Structure(
        tuple(neuron.powers),
        tuple((n, terms.coefficients.shape[1]) for n, terms in neuron.interactions.items()),
        tuple((name, terms.coefficients.shape[1]) for name, terms in neuron.bases.items()),
    )


def labelled(neuron: CPNeuron, inputs: tuple[str, ...]) -> Iterator[tuple[str, CPNeuron]]:
    """Terms with their labels, each as a neuron without bias; labels do not repeat."""
    zero = np.zeros_like(neuron.bias)
    seen: set[str] = set()

    def fresh(label: str, otherwise: str) -> str:
        label = otherwise if label in seen else label
        seen.add(label)
        return label

    for k, weights in neuron.powers.items():
        active = np.flatnonzero(np.any(weights != 0, axis=0))
        name = inputs[active[0]] if active.size == 1 and len(inputs) > 1 else "x"
        yield fresh(raised(name, k), f"x^{k}"), CPNeuron(zero, {k: weights}, {}, {})
    for n, terms in neuron.interactions.items():
        for r, term in enumerate(_each(terms), start=1):
            label = _monomial(term, inputs) or f"I{n}.{r}"
            yield fresh(label, f"I{n}.{r}"), CPNeuron(zero, {}, {n: term}, {})
    for name, terms in neuron.bases.items():
        for r, term in enumerate(_each(terms), start=1):
            yield fresh(f"{name}.{r}", f"{name}.{r}"), CPNeuron(zero, {}, {}, {name: term})


def raised(name: str, k: int) -> str:
    """`x^2`, and `x` for `x^1`."""
    return name if k == 1 else f"{name}^{k}"


def _each(terms: CPTerms) -> Iterator[CPTerms]:
    for r in range(terms.coefficients.shape[1]):
        yield CPTerms(terms.coefficients[:, r : r + 1], terms.factors[:, r : r + 1])


def _monomial(term: CPTerms, inputs: tuple[str, ...]) -> str:
    """The term as a product of inputs; empty if it is none."""
    axes = term.factors[:, 0] != 0
    if not (axes.sum(axis=1) == 1).all():
        return ""
    counts = sorted(Counter(np.argmax(axes, axis=1).tolist()).items())
    return " ".join(raised(inputs[j], exponent) for j, exponent in counts)
