"""Formulas as sympy expressions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nsjax.networks.cp import CPNeuron, CPTerms


def expressions(neuron: CPNeuron, inputs: tuple[str, ...]) -> tuple[Any, ...]:
    """One expression for every output, with every number that is not zero.

    Raises:
        ImportError: without sympy.
    """
    try:
        import sympy
    except ImportError as error:
        raise ImportError(
            "to_sympy needs sympy: install it with pip install 'nsjax[sympy]'"
        ) from error
    symbols = [sympy.Symbol(name) for name in inputs]
    known = {
        "sine": sympy.sin,
        "cosine": sympy.cos,
        "tanh": sympy.tanh,
        "bell": lambda t: sympy.exp(-(t**2)),
        "exponential": sympy.exp,
    }

    def linear(row: np.ndarray) -> Any:
        return sympy.Add(*(sympy.Float(float(row[j])) * symbols[j] for j in np.flatnonzero(row)))

    def terms(each: CPTerms, output: int) -> Any:
        for r in np.flatnonzero(each.coefficients[output]):
            forms = [linear(factor) for factor in each.factors[:, r]]
            yield sympy.Float(float(each.coefficients[output, r])), forms

    def expression(output: int) -> Any:
        parts = [sympy.Float(float(neuron.bias[output]))] if neuron.bias[output] else []
        for k, weights in neuron.powers.items():
            row = weights[output]
            parts += [sympy.Float(float(row[j])) * symbols[j] ** k for j in np.flatnonzero(row)]
        for each in neuron.interactions.values():
            parts += [value * math.prod(forms) for value, forms in terms(each, output)]
        for name, each in neuron.bases.items():
            function = known.get(name, sympy.Function(name))
            parts += [value * function(form) for value, (form,) in terms(each, output)]
        return sympy.Add(*parts)

    return tuple(expression(output) for output in range(len(neuron.bias)))
