"""New terms: the best products of every order are found, judged beside what there is."""

import numpy as np
import pytest

from nsjax.neuronseek import candidates
from nsjax.neuronseek.config import Config
from nsjax.neuronseek.model import Model, Term, empty
from nsjax.neuronseek.workspace import Workspace

RNG = np.random.default_rng(4)
N, D = 600, 6
X = RNG.normal(size=(N, D)) + 0.3
FACTORS = RNG.normal(size=(3, D))
COEFFICIENTS = np.array([1.0, -2.0])
HOLD = np.arange(N) % 4 == 0


def product(order):
    return np.prod(X @ FACTORS[:order].T, axis=1)[:, None] * COEFFICIENTS


def space(y, config=None):
    return Workspace(
        X, y, "square", config or Config(), ~HOLD, HOLD, np.ones(N, bool), on_step=None
    )


def proposed(here, model):
    return candidates.propose(here, model, np.random.default_rng(0), everywhere=False)


@pytest.mark.parametrize("order", [2, 3])
def test_a_product_is_found_with_its_coefficients(order):
    y = product(order)
    found = proposed(space(y), empty(2))
    assert sorted(each.term.order for each in found) == [2, 3, 4, 5]
    assert found[0].term.order == order
    np.testing.assert_allclose(found[0].fall, 1, atol=1e-8)
    values = found[0].term.values(X)[:, None] * found[0].term.coefficients
    np.testing.assert_allclose(values, y, atol=1e-5 * np.abs(y).max())
    assert [each.fall for each in found] == sorted((each.fall for each in found), reverse=True)


def test_a_product_is_found_beside_columns_that_hide_it():
    """The residual is what columns leave: the product without its projection on them."""
    y = product(2)
    every = np.ones(D, bool)
    model = Model({1: every, 2: every}, (), (), np.zeros((1 + 2 * D, 2)))
    here = space(y)
    found = proposed(here, here.fit(model))
    cosines = []
    best = next(each.term for each in found if each.term.order == 2)
    columns = np.concatenate([np.ones((N, 1)), X, X**2], axis=1)
    for values in (best.values(X), product(2)[:, 0]):
        rest = values - columns @ np.linalg.lstsq(columns, values, rcond=None)[0]
        cosines.append(rest / np.linalg.norm(rest))
    np.testing.assert_allclose(abs(cosines[0] @ cosines[1]), 1, atol=1e-6)


def test_bases_have_candidates_beside_products_and_alone():
    u = np.ones(D) / D**0.5
    y = np.sin(2 * X @ u)[:, None]
    for interactions in ((2,), ()):
        config = Config(interactions=interactions, bases=("tanh", "sine"))
        found = proposed(space(y, config), empty(1))
        kinds = {each.term.basis or each.term.order for each in found}
        assert kinds == {*interactions, "tanh", "sine"}
        assert found[0].term.basis == "sine"
        np.testing.assert_allclose(found[0].fall, 1, atol=1e-6)


def test_nothing_is_proposed_where_rounding_is_left_or_nothing_may_be():
    y = product(2)
    term = Term(FACTORS[:2], COEFFICIENTS)
    exact = Model({}, (), (term,), np.zeros((1, 2)))
    assert proposed(space(y), exact) == []
    assert proposed(space(y, Config(interactions=())), empty(2)) == []


def test_one_start_is_enough_to_go_on():
    found = proposed(space(product(2), Config(starts=1)), empty(2))
    assert sorted(each.term.order for each in found) == [2, 3, 4, 5]
