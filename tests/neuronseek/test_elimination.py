"""Elimination: what a fitted model does without goes, what it needs stays, and it says so."""

import dataclasses

import numpy as np
import pytest

from nsjax.neuronseek import elimination
from nsjax.neuronseek.config import Config
from nsjax.neuronseek.model import Model, Term
from nsjax.neuronseek.workspace import Workspace

D, N = 4, 400
RNG = np.random.default_rng(0)
X = RNG.standard_normal((N, D))
NOISE = 0.1 * RNG.standard_normal((N, 1))
ALL = np.ones(D, bool)
HOLD = np.arange(N) >= 300


def space(y, **settings):
    return Workspace(X, y + NOISE, "square", Config(**settings), ~HOLD, HOLD, HOLD | ~HOLD)


def term(label, order=2, seed=0):
    rng = np.random.default_rng(seed)
    return Term(rng.standard_normal((order, D)) / 2, 0.1 * rng.standard_normal(1), label=label)


def fitted(work, powers=(), monomials=(), terms=()):
    columns = 1 + len(powers) * D + len(monomials)
    masks = {k: ALL.copy() for k in powers}
    return work.fit(Model(masks, monomials, tuple(terms), np.zeros((columns, 1))), steps=200)


class Record:
    """What was done, in words."""

    def __init__(self):
        self.said = []

    def __call__(self, model, words):
        self.said.append(words)


def test_a_model_without_a_part():
    """Each block by itself; the other weights stay."""
    weights = np.arange(1.0, 1 + 1 + 2 * D + 2)[:, None]
    whole = Model({1: ALL, 3: ALL}, ((0, 1), (2, 2)), (term("I2.1"), term("I3.1", 3)), weights)
    parts = [(block.kind, block.which) for block in elimination.blocks(whole)]
    assert parts == [
        ("power", 1), ("power", 3), ("monomial", 0), ("monomial", 1), ("term", 0), ("term", 1)
    ]  # fmt: skip
    power, monomial, product = (
        elimination.without(whole, elimination.Block(*parts[i])) for i in (0, 2, 4)
    )
    assert (list(power.powers), power.weights[:, 0].tolist()) == ([3], [1, *range(6, 12)])
    assert monomial.monomials == ((2, 2),)
    assert monomial.weights[:, 0].tolist() == [*range(1, 10), 11]
    assert [each.label for each in product.terms] == ["I3.1"]
    assert product.weights is whole.weights


def test_what_is_not_needed_goes_and_the_rest_stays():
    """Powers, a monomial and a product that the targets have, beside some that they have not."""
    u, v = X @ [1.0, -1, 0.5, 2], X @ [0.5, 1, 1, -1]
    work = space((X.sum(axis=1) + 2 * X[:, 0] * X[:, 1] ** 2 + u * v)[:, None])
    start = fitted(work, (1, 3), ((0, 1, 1), (0, 0, 2)), [term("I2.1"), term("I2.2", seed=1)])
    record = Record()
    found = elimination.eliminate(work, start, record)
    assert list(found.powers) == [1]
    assert found.monomials == ((0, 1, 1),)
    assert len(found.terms) == 1
    said = sorted(words.partition(".")[0] for words in record.said)
    assert said == ["dropped I2", "dropped x0^2 x2", "dropped x^3"]
    np.testing.assert_allclose(found.weights[1 : 1 + D], 1, atol=0.05)
    assert work.error(found) < work.error(start)
    # Without curvature nothing is tried.
    assert elimination.eliminate(space(work.y, dense=10), start, record) is start


def test_two_products_in_place_of_three():
    """Each of the three is needed beside the others; an order fitted anew needs two."""
    a, b, c, d = np.random.default_rng(5).standard_normal((4, D))
    work = space(((X @ a) * (X @ b) * (X @ a) + (X @ c) * (X @ d) * (X @ c))[:, None])
    start = fitted(work, terms=[term(f"I3.{i}", 3, seed=i) for i in range(3)])
    record = Record()
    found = elimination.lower_rank(work, start, np.random.default_rng(0), record)
    assert record.said == ["fitted 2 products of order 3 in place of 3"]
    assert [each.order for each in found.terms] == [3, 3]
    assert work.error(found) < 0.01
    # Two are not tried, nor are bases counted.
    again = elimination.lower_rank(work, found, np.random.default_rng(0), record)
    assert again is found


def test_three_products_that_are_needed_stay():
    work = space(np.sum(X[:, :3] ** 3 + 2 * X[:, 1:] ** 2 * X[:, :3], axis=1, keepdims=True))
    start = fitted(work, terms=[term(f"I3.{i}", 3, seed=i) for i in range(3)])
    record = Record()
    found = elimination.lower_rank(work, start, np.random.default_rng(0), record)
    assert found is start
    assert not record.said


@pytest.mark.parametrize("weights", [[2.0, 0, 0, 0], [1.0, 2, -1, 0]])
def test_entries_go_if_half_of_them_can(weights):
    """One input of four stays alone; of three that are needed the fourth stays as well."""
    work = space((X @ weights)[:, None])
    start, record = fitted(work, (1,)), Record()
    found = elimination.sparsify(work, start, record)
    if np.count_nonzero(weights) == 1:
        assert found.powers[1].tolist() == [True, False, False, False]
        assert record.said == ["dropped 3 entries"]
    else:
        assert found is start
        assert not record.said
    assert elimination.sparsify(space(work.y, dense=2), start, record) is start


def test_factors_become_sparse():
    """x0 x1 fitted by two dense factors."""
    work = space(2 * X[:, :1] * X[:, 1:2])
    start = fitted(work, terms=[term("I2.1")])
    assert np.all(start.terms[0].factors != 0)
    record = Record()
    found = elimination.sparsify(work, start, record)
    assert record.said == ["dropped 6 entries"]
    (product,) = found.terms
    assert sorted(map(tuple, product.mask.astype(int))) == [(0, 1, 0, 0), (1, 0, 0, 0)]
    size = float(np.prod(product.factors[product.mask]) * product.coefficients[0])
    np.testing.assert_allclose(size, 2, atol=0.05)
    assert dataclasses.replace(product, free=None).mask.all()
