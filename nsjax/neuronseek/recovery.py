"""Whether a formula is the one that made the data."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from nsjax import _check
from nsjax.data import Polynomial
from nsjax.networks.bases import BASES
from nsjax.networks.cp import CPNeuron, CPTerms
from nsjax.neuronseek.formula import Formula


class Recovery(NamedTuple):
    """How near a formula is to the truth.

    Attributes:
        structure: whether both canonical forms have the same orders and bases with as many terms.
        distance: largest relative distance between the coefficient tensors of an order, of the
            polynomial part without the bias.
        exact: whether they are the same function up to `tol`, and of the same structure. The bias
            counts beside the largest coefficient: it may be zero.
    """

    structure: bool
    distance: float
    exact: bool


def true_formula(
    truth: Polynomial,
    *,
    inputs: tuple[str, ...] | None = None,
    outputs: tuple[str, ...] | None = None,
) -> Formula:
    """The polynomial of generated data as a formula.

    Args:
        truth: a `data.Polynomial`.
        inputs, outputs: names, as in `Formula`.

    Raises:
        TypeError: for what is no polynomial.
        ValueError: if it has a function that no basis is registered for, such as a step.

    >>> import jax
    >>> from nsjax import data
    >>> truth = data.polynomial_task(jax.random.key(0), "sparse", 5, 4).truth
    >>> print(true_formula(truth))
    y = 2.5 x0 + 3 x1^2 - 1.2 x2^3
    """
    if not isinstance(truth, Polynomial):
        raise TypeError(f"truth must be a data.Polynomial, got {type(truth).__name__}")
    if not has_formula(truth):
        raise ValueError(
            f"truth must have functions among {', '.join(BASES)}, got {', '.join(truth.bases)}"
        )
    neuron = CPNeuron(
        truth.bias,
        dict(truth.powers),
        {n: CPTerms(*terms) for n, terms in truth.interactions.items()},
        {name: CPTerms(*terms) for name, terms in truth.bases.items()},
    )
    return Formula.of(neuron, inputs=inputs, outputs=outputs)


def has_formula(truth: Polynomial) -> bool:
    """Whether every function of the polynomial `truth` is a registered basis.

    >>> import jax
    >>> from nsjax import data
    >>> has_formula(data.polynomial_task(jax.random.key(0), "sparse", 5, 4).truth)
    True
    """
    return set(truth.bases) <= set(BASES)


def recovery(
    formula: Formula, truth: Polynomial, *, tol: float = 1e-6, x: Any = None, share: float = 0.0
) -> Recovery:
    """Compare a formula with the polynomial that made the data.

    Args:
        formula: what was found.
        truth: a `data.Polynomial` of as many inputs and outputs.
        tol: relative distance up to which coefficients are equal.
        x, share: of `Formula.canonical`, for the structure of what was found alone: a true term
            below the share counts as missing.

    Raises:
        TypeError, ValueError: as `true_formula` and `Formula.canonical`, and for sizes that do not
            fit.
    """
    tol = _check.positive("tol", tol)
    if not isinstance(formula, Formula):
        raise TypeError(f"formula must be a Formula, got {type(formula).__name__}")
    wanted = true_formula(truth, inputs=formula.inputs, outputs=formula.outputs)
    same = formula.structure(x=x, share=share) == wanted.structure()
    apart = [gap for order, gap in formula.distance(wanted).items() if order > 0]
    shift = np.max(np.abs(formula.neuron.bias - wanted.neuron.bias))
    alike = shift <= tol * _largest(wanted) and _without_bias(formula).equivalent(
        _without_bias(wanted), tol
    )
    return Recovery(structure=same, distance=max(apart, default=0.0), exact=bool(same and alike))


def _without_bias(formula: Formula) -> Formula:
    neuron = formula.canonical().neuron
    zero = neuron._replace(bias=np.zeros_like(neuron.bias))
    return Formula.of(zero, inputs=formula.inputs, outputs=formula.outputs)


def _largest(formula: Formula) -> float:
    neuron = formula.canonical().neuron
    terms = [*neuron.interactions.values(), *neuron.bases.values()]
    arrays = [*neuron.powers.values(), *(each.coefficients for each in terms), neuron.bias]
    return max(float(np.max(np.abs(array), initial=0.0)) for array in arrays)
