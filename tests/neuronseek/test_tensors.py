"""Distances of polynomials, against tensors that are formed."""

import itertools
import math

import numpy as np
import pytest

from nsjax.networks.cp import CPNeuron, CPTerms
from nsjax.neuronseek import tensors
from nsjax.neuronseek.formula import Formula
from tests.neuronseek.formula_cases import axis, disguised, formula

RNG = np.random.default_rng(11)


def neuron(d, rank, orders, *, c=1, powers=()):
    terms = {
        n: CPTerms(RNG.standard_normal((c, rank)), RNG.standard_normal((n, rank, d)))
        for n in orders
    }
    pure = {k: RNG.standard_normal((c, d)) for k in powers}
    return CPNeuron(RNG.standard_normal(c), pure, terms, {})


def symmetric_tensor(neuron, order):
    """The tensor itself, `(c, d, ..., d)`: the mean of all orders of the factors."""
    found = 0.0
    if order in neuron.interactions:
        terms = neuron.interactions[order]
        for ranks in itertools.permutations(range(order)):
            product = terms.coefficients.T
            for m in ranks:
                product = np.einsum("r...,rd->r...d", product, terms.factors[m])
            found = found + product.sum(axis=0) / math.factorial(order)
    if order in neuron.powers:
        weights = neuron.powers[order]
        diagonal = np.zeros((len(weights), *[weights.shape[1]] * order))
        for j in range(weights.shape[1]):
            diagonal[(slice(None), *[j] * order)] = weights[:, j]
        found = found + diagonal
    return found


@pytest.mark.parametrize("expanded", [20_000, 60, 0])
@pytest.mark.parametrize("order", [2, 3, 4])
def test_distances_are_those_of_the_tensors(order, expanded, monkeypatch):
    """By monomials of the inputs, of a basis of the factors, and by inner products."""
    monkeypatch.setattr(tensors, "EXPANDED", expanded)
    a = neuron(5, 1, [order], c=2, powers=[order, 1])
    b = neuron(5, 2, [order], c=2, powers=[order])
    first, second = (symmetric_tensor(each, order) for each in (a, b))
    wanted = np.linalg.norm(first - second) / max(np.linalg.norm(first), np.linalg.norm(second))
    found = Formula(a).distance(Formula(b))
    assert found[order] == pytest.approx(wanted, rel=1e-10)
    assert found[1] == 1.0
    assert found[0] == pytest.approx(
        np.linalg.norm(a.bias - b.bias) / max(np.linalg.norm(a.bias), np.linalg.norm(b.bias))
    )


@pytest.mark.parametrize("order", [2, 3, 4, 5])
def test_inner_products_of_products(order):
    """The permanent formula against tensors."""
    a, b = neuron(3, 2, [order]), neuron(3, 70 if order == 2 else 4, [order])
    wanted = np.sum(symmetric_tensor(a, order) * symmetric_tensor(b, order))
    found = tensors.inner(a.interactions[order], b.interactions[order])
    assert found == pytest.approx(wanted, rel=1e-10)
    assert tensors.inner(b.interactions[order], a.interactions[order]) == pytest.approx(found)


def test_small_distances_are_resolved():
    """Far below the square root of rounding, with few inputs and with many."""
    for d in (4, 3_000):
        given = neuron(d, 2, [2, 3], powers=[2, 3])
        moved = given._replace(
            powers={k: weights * (1 + 1e-11) for k, weights in given.powers.items()},
            interactions={
                n: CPTerms(terms.coefficients * (1 + 1e-11), terms.factors)
                for n, terms in given.interactions.items()
            },
        )
        found = Formula(moved).distance(Formula(given))
        assert found[0] == 0
        assert found[2] == pytest.approx(1e-11, rel=1e-2)
        assert found[3] == pytest.approx(1e-11, rel=1e-2)
        same = Formula(given)
        assert max(disguised(same, RNG).distance(same).values()) < 1e-13


def test_equivalence():
    """Names and form make no difference; functions do, and so does the tolerance."""
    square = formula(2, products=[(1, [1, 1], [1, -1])])
    renamed = Formula(formula(2, powers={2: [1, -1]}).neuron, inputs=("a", "b"), outputs=("z",))
    assert square.equivalent(renamed)
    assert not square.equivalent(formula(2, powers={2: [1, -1.001]}))
    assert square.equivalent(formula(2, powers={2: [1, -1.001]}), tol=1e-2)
    assert not square.equivalent(formula(2, bias=0.1, powers={2: [1, -1]}))
    # What is rounding beside the other coefficients is nothing.
    assert square.equivalent(formula(2, bias=1e-17, powers={2: [1, -1], 3: [0, 1e-17]}))
    assert not square.equivalent(formula(2, powers={2: [1, -1], 3: [0, 1e-9]}))
    assert formula(2).equivalent(formula(2))


def test_equivalence_of_bases():
    """Term by term, up to signs and order."""
    one = formula(2, bases=[("sine", 2, [1, 2]), ("sine", 1, [0, 1]), ("cosine", 3, [1, 0])])
    same = formula(2, bases=[("sine", -1, [0, -1]), ("cosine", 3, [-1, 0]), ("sine", 2, [1, 2])])
    assert one.equivalent(same)
    for bases in (
        [("sine", 2, [1, 2]), ("sine", 1, [0, 1])],
        [("sine", 2, [1, 2]), ("sine", 1, [0, 1.1]), ("cosine", 3, [1, 0])],
        [("sine", 2, [1, 2]), ("sine", 1.1, [0, 1]), ("cosine", 3, [1, 0])],
        [("sine", 2, [1, 2]), ("cosine", 3, [1, 0])],
    ):
        assert not one.equivalent(formula(2, bases=bases))
    assert formula(1, bias=2.0).equivalent(formula(1, bases=[("cosine", 2, [0])]))


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match="other must have 2 inputs and 1 outputs, got 3 and 1"):
        formula(2).equivalent(formula(3))
    with pytest.raises(TypeError, match="other must be a Formula, got str"):
        formula(2).distance("y = 0")
    with pytest.raises(ValueError, match="tol must be a positive finite number"):
        formula(2).equivalent(formula(2), tol=0)


def test_orders_with_too_long_permanents_are_refused():
    """Only where monomials are too many as well."""
    one = CPTerms(np.ones((1, 1)), np.broadcast_to(axis(3, 0, 1), (13, 1, 3)))
    given = Formula(CPNeuron([0.0], {}, {13: one}, {}))
    assert given.distance(given)[13] == 0
    many = Formula(neuron(40, 2, [13]))
    with pytest.raises(ValueError, match="orders of interactions to compare must be between 1"):
        many.distance(many)
