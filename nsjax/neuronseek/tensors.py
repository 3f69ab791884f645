"""Polynomials of a neuron order by order: their monomials, inner products and distances."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np

from nsjax.networks.cp import CPNeuron, CPTerms
from nsjax.neuronseek.shapes import limited

Monomial = tuple[tuple[int, int], ...]
"""Pairs (input, exponent), by input; the constant is ()."""

EXPANDED = 20_000
"""Up to so many monomials an order is compared by its monomials."""
_MAX_PERMANENT = 12


def monomials(neuron: CPNeuron, max_terms: int) -> dict[Monomial, np.ndarray]:
    """Coefficients `(outputs,)` of all monomials of the bias, powers and interactions.

    Raises:
        ValueError: if there are more than `max_terms`.
    """
    found = {(): neuron.bias} if np.any(neuron.bias) else {}
    for order in orders(neuron):
        found |= of_order(neuron, order, max_terms - len(found))
    return dict(sorted(found.items(), key=lambda item: (sum(e for _, e in item[0]), item[0])))


def orders(neuron: CPNeuron) -> list[int]:
    """Orders of the polynomial without the bias, sorted."""
    return sorted(neuron.powers.keys() | neuron.interactions.keys())


def of_order(neuron: CPNeuron, order: int, max_terms: int) -> dict[Monomial, np.ndarray]:
    """Coefficients of the monomials of one order; those that cancel exactly are left out."""
    sums: dict[tuple[int, ...], np.ndarray] = {}

    def add(key: tuple[int, ...], value: np.ndarray) -> None:
        sums[key] = sums[key] + value if key in sums else value
        limited("monomials", len(sums), max_terms, least=0)

    if order in neuron.powers:
        weights = neuron.powers[order]
        for j in np.flatnonzero(np.any(weights != 0, axis=0)):
            add((int(j),) * order, weights[:, j])
    if order in neuron.interactions:
        terms = neuron.interactions[order]
        for r, coefficients in enumerate(terms.coefficients.T):
            if np.any(coefficients):
                for key, value in _product(terms.factors[:, r], max_terms).items():
                    add(key, coefficients * value)
    counted = ((tuple(sorted(Counter(key).items())), value) for key, value in sums.items())
    return {key: value for key, value in counted if np.any(value)}


def _product(factors: np.ndarray, max_terms: int) -> dict[tuple[int, ...], float]:
    """Coefficients of a product of linear forms, by the sorted inputs of a monomial."""
    partial: dict[tuple[int, ...], float] = {(): 1.0}
    for factor in factors:
        following: dict[tuple[int, ...], float] = {}
        entries = [(int(j), float(factor[j])) for j in np.flatnonzero(factor)]
        for key, value in partial.items():
            for j, entry in entries:
                longer = tuple(sorted((*key, j)))
                following[longer] = following.get(longer, 0.0) + value * entry
            limited("monomials", len(following), max_terms, least=0)
        partial = following
    return partial


def distances(a: CPNeuron, b: CPNeuron) -> dict[int, float]:
    """Relative distance of two polynomials of the same inputs and outputs, by order."""
    size = _larger(a.bias, b.bias)
    found = {0: float(np.linalg.norm(a.bias - b.bias)) / size if size > 0 else 0.0}
    for order in sorted({*orders(a), *orders(b)}):
        difference, size, _ = order_distance(a, b, order)
        found[order] = difference / size if size > 0 else 0.0
    return found


def order_distance(a: CPNeuron, b: CPNeuron, order: int) -> tuple[float, float, bool]:
    """Frobenius distance of the symmetric coefficient tensors, all outputs together.

    Returns:
        The distance, the larger of the two norms, and whether it was taken from the monomials:
        without them distances below some 1e-7 of the terms' sizes are not resolved.
    """
    try:
        first, second = of_order(a, order, EXPANDED), of_order(b, order, EXPANDED)
    except ValueError:
        pass
    else:
        zero = np.zeros_like(a.bias)
        difference = {
            key: first.get(key, zero) - second.get(key, zero) for key in {**first, **second}
        }
        sizes = max(_norm(first, order), _norm(second, order))
        return _norm(difference, order), sizes, True
    aa, bb = inner(a, a, order), inner(b, b, order)
    square = aa - 2 * inner(a, b, order) + bb
    return math.sqrt(max(square, 0.0)), math.sqrt(max(aa, bb, 0.0)), False


def _norm(coefficients: dict[Monomial, np.ndarray], order: int) -> float:
    """Norm of the symmetric tensor: a coefficient is shared by so many equal entries."""
    return math.sqrt(
        sum(float(value @ value) / _multinomial(key, order) for key, value in coefficients.items())
    )


def _multinomial(key: Monomial, order: int) -> int:
    return math.factorial(order) // math.prod(math.factorial(exponent) for _, exponent in key)


def inner(a: CPNeuron, b: CPNeuron, order: int) -> float:
    """Inner product of the symmetric coefficient tensors of one order, summed over outputs.

    No tensor is formed: `<sym(u_1 o ... o u_n), sym(v_1 o ... o v_n)> = perm(u_i . v_j) / n!`, and
    a power's tensor is diagonal.

    Raises:
        ValueError: for interactions of an order above 12, whose permanents are too long.
    """
    nothing = CPTerms(np.zeros((len(a.bias), 0)), np.zeros((order, 0, 1)))
    pure_a, pure_b = a.powers.get(order), b.powers.get(order)
    terms_a = a.interactions.get(order, nothing)
    terms_b = b.interactions.get(order, nothing)
    total = 0.0
    if pure_a is not None and pure_b is not None:
        total += float(np.sum(pure_a * pure_b))
    if pure_a is not None and terms_b.coefficients.size:
        total += float(np.sum(pure_a * diagonal(terms_b)))
    if pure_b is not None and terms_a.coefficients.size:
        total += float(np.sum(pure_b * diagonal(terms_a)))
    if terms_a.coefficients.size and terms_b.coefficients.size:
        limited("orders of interactions to compare", order, _MAX_PERMANENT)
        grams = np.einsum("mrd,ksd->mkrs", terms_a.factors, terms_b.factors, optimize=True)
        products = _permanents(grams) / math.factorial(order)
        outputs = np.einsum("cr,cs->rs", terms_a.coefficients, terms_b.coefficients)
        total += float(np.sum(products * outputs))
    return total


def diagonal(terms: CPTerms) -> np.ndarray:
    """Diagonal of the coefficient tensor of every output, `(outputs, d)`."""
    return terms.coefficients @ np.prod(terms.factors, axis=0)


def _permanents(matrices: np.ndarray) -> np.ndarray:
    """Permanents of matrices along the first two axes, by Glynn's formula: 2^(n-1) products."""
    n = len(matrices)
    total = np.zeros(matrices.shape[2:])
    for signs in range(2 ** (n - 1)):
        flips = np.array([-1.0 if signs >> m & 1 else 1.0 for m in range(n)])
        rows = np.prod(np.tensordot(flips, matrices, axes=(0, 0)), axis=0)
        total += np.prod(flips) * rows
    return total / 2 ** (n - 1)


def equal_polynomials(a: CPNeuron, b: CPNeuron, tol: float) -> bool:
    """Whether every order differs by at most `tol`, or by rounding of the largest coefficients."""
    gaps = [(float(np.linalg.norm(a.bias - b.bias)), _larger(a.bias, b.bias))]
    gaps += [order_distance(a, b, order)[:2] for order in sorted({*orders(a), *orders(b)})]
    rounding = 1e-13 * max(size for _, size in gaps)
    return all(gap <= max(tol * size, rounding) for gap, size in gaps)


def _larger(a: np.ndarray, b: np.ndarray) -> float:
    return max(float(np.linalg.norm(a)), float(np.linalg.norm(b)))
