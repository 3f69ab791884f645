"""Polynomials of a neuron order by order: their monomials, inner products and distances."""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from typing import NamedTuple

import numpy as np

from nsjax._check import limited
from nsjax.networks.cp import CPNeuron, CPTerms

Exponents = tuple[tuple[int, int], ...]
"""A monomial by pairs (input, exponent), by input; the constant is ()."""

EXPANDED = 20_000
"""Up to so many monomials an order is compared by its monomials."""
_MAX_PERMANENT = 12
_BLOCK = 64


def monomials(neuron: CPNeuron, max_terms: int) -> dict[Exponents, np.ndarray]:
    """Coefficients `(outputs,)` of all monomials of the bias, powers and interactions.

    Raises:
        ValueError: if there are more than `max_terms`.
    """
    found: dict[Exponents, np.ndarray] = {(): neuron.bias} if np.any(neuron.bias) else {}
    for order in orders(neuron):
        form = _form(neuron, order)
        if form is not None:
            found |= of_order(*form, max_terms - len(found))
    return dict(sorted(found.items(), key=lambda item: (_degree(item[0]), item[0])))


def _degree(key: Exponents) -> int:
    return sum(exponent for _, exponent in key)


def orders(neuron: CPNeuron) -> list[int]:
    """Orders of the polynomial without the bias, sorted."""
    return sorted(neuron.powers.keys() | neuron.interactions.keys())


def of_order(pure: np.ndarray, terms: CPTerms, max_terms: int) -> dict[Exponents, np.ndarray]:
    """Coefficients of the monomials of one order; those that cancel exactly are left out.

    Args:
        pure: weights of the powers, `(c, d)`.
        terms: products of the same order.
        max_terms: how many there may be.

    Raises:
        ValueError: if there are more.
    """
    order = len(terms.factors)
    sums: dict[tuple[int, ...], np.ndarray] = {}

    def add(key: tuple[int, ...], value: np.ndarray) -> None:
        sums[key] = sums[key] + value if key in sums else value
        limited("monomials", len(sums), max_terms, least=0)

    for j in np.flatnonzero(np.any(pure != 0, axis=0)):
        add((int(j),) * order, pure[:, j])
    for r in np.flatnonzero(np.any(terms.coefficients != 0, axis=0)):
        for key, value in _product(terms.factors[:, r], max_terms).items():
            add(key, terms.coefficients[:, r] * value)
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
    return {order: gap / size if size > 0 else 0.0 for order, (gap, size) in gaps(a, b).items()}


def equal_polynomials(a: CPNeuron, b: CPNeuron, tol: float) -> bool:
    """Whether every order differs by at most `tol`, or by rounding of the largest coefficients."""
    found = gaps(a, b).values()
    rounding = 1e-13 * max(size for _, size in found)
    return all(gap <= max(tol * size, rounding) for gap, size in found)


def gaps(a: CPNeuron, b: CPNeuron) -> dict[int, tuple[float, float]]:
    """By order, the distance of the symmetric tensors of all outputs and the larger norm."""
    norms = [float(np.linalg.norm(bias)) for bias in (a.bias - b.bias, a.bias, b.bias)]
    found = {0: (norms[0], max(norms[1:]))}
    for order in sorted({*orders(a), *orders(b)}):
        first, second = (_form(each, order) for each in (a, b))
        # An order that one of them lacks is zero there.
        norms = [_norm(each) for each in (_minus(first, second), first, second) if each is not None]
        found[order] = (norms[0], max(norms[1:]))
    return found


class _Form(NamedTuple):
    """Polynomial of one order: weights of powers `(c, d)`, and products."""

    pure: np.ndarray
    terms: CPTerms


def _form(neuron: CPNeuron, order: int) -> _Form | None:
    pure, terms = neuron.powers.get(order), neuron.interactions.get(order)
    if terms is None:
        if pure is None:
            return None
        terms = CPTerms(np.zeros((len(pure), 0)), np.zeros((order, 0, pure.shape[1])))
    if pure is None:
        pure = np.zeros((len(neuron.bias), terms.factors.shape[2]))
    return _Form(pure, terms)


def _minus(a: _Form | None, b: _Form | None) -> _Form | None:
    if a is None or b is None:
        return a or b
    coefficients = np.concatenate([a.terms.coefficients, -b.terms.coefficients], axis=1)
    factors = np.concatenate([a.terms.factors, b.terms.factors], axis=1)
    return _Form(a.pure - b.pure, CPTerms(coefficients, factors))


def _norm(form: _Form) -> float:
    """Norm of the symmetric tensors.

    From the monomials if they are few. Else the products are first turned into an orthonormal basis
    of their factors: norms stay, and few directions have few monomials. Only where these are many
    as well does the norm come from inner products of terms, which cancel.
    """
    with contextlib.suppress(ValueError):
        return math.sqrt(_square(form))
    square = float(np.sum(form.pure**2) + 2 * np.sum(form.pure * diagonal(form.terms)))
    order, rank, d = form.terms.factors.shape
    try:
        _, triangle = np.linalg.qr(form.terms.factors.reshape(order * rank, d).T)
        turned = CPTerms(form.terms.coefficients, triangle.T.reshape(order, rank, -1))
        square += _square(_Form(np.zeros((len(form.pure), len(triangle))), turned))
    except ValueError:
        square += inner(form.terms, form.terms)
    return math.sqrt(max(square, 0.0))


def _square(form: _Form) -> float:
    """Squared norm from the monomials, of which a coefficient is shared by equal entries."""
    order = len(form.terms.factors)
    found = of_order(form.pure, form.terms, EXPANDED)
    return sum(float(value @ value) / _multinomial(key, order) for key, value in found.items())


def _multinomial(key: Exponents, order: int) -> int:
    return math.factorial(order) // math.prod(math.factorial(exponent) for _, exponent in key)


def inner(a: CPTerms, b: CPTerms) -> float:
    """Inner product of the symmetric tensors of two sums of products, summed over outputs.

    No tensor is formed: `<sym(u_1 o ... o u_n), sym(v_1 o ... o v_n)> = perm(u_i . v_j) / n!`.

    Raises:
        ValueError: for an order above 12, whose permanents are too long.
    """
    order = len(a.factors)
    limited("orders of interactions to compare", order, _MAX_PERMANENT)
    total = 0.0
    for start in range(0, a.coefficients.shape[1], _BLOCK):
        block = slice(start, start + _BLOCK)
        grams = np.einsum("mrd,ksd->mkrs", a.factors[:, block], b.factors, optimize=True)
        products = _permanents(grams) / math.factorial(order)
        total += float(np.sum((a.coefficients[:, block].T @ b.coefficients) * products))
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
