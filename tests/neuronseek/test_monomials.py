import itertools

import numpy as np
import pytest

from nsjax.kkt import axes
from nsjax.kkt.axes import column
from nsjax.neuronseek import monomials
from nsjax.neuronseek.monomials import Greedy, LeastSquares


def greedy(x, y, *, order=3, most=20, columns=None, floor=1e-25, seed=0):
    columns = np.ones((len(x), 1)) if columns is None else columns
    refits = LeastSquares(x, columns, y - y.mean(axis=0), floor)
    rng = np.random.default_rng(seed)
    return monomials.greedy(x, columns, refits, order=order, most=most, rng=rng)


def all_monomials(d, order):
    return [
        monomial
        for k in range(1, order + 1)
        for monomial in itertools.combinations_with_replacement(range(d), k)
    ]


def test_choices_are_those_of_orthogonal_matching_pursuit():
    linear_model = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(2)
    x = rng.standard_normal((200, 4))
    truth = {(0,): 2.0, (1, 2): -3.0, (0, 0, 3): 1.0, (3, 3): 0.5}
    y = sum(c * column(m, x) for m, c in truth.items()) + 0.01 * rng.standard_normal(200)
    dictionary = all_monomials(4, 3)
    table = np.stack([column(m, x) for m in dictionary], axis=1)
    table = table - table.mean(axis=0)
    table /= np.linalg.norm(table, axis=0)
    omp = linear_model.OrthogonalMatchingPursuit(n_nonzero_coefs=4, fit_intercept=False)
    omp.fit(table, y - y.mean())
    expected = {dictionary[i] for i in np.flatnonzero(omp.coef_)}
    assert set(greedy(x, y[:, None]).monomials) == expected == set(truth)


def test_refits_are_those_of_least_squares():
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((50, 4)), rng.standard_normal((50, 2))
    columns = np.ones((50, 1))
    refits = LeastSquares(x, columns, y, 0.0)

    def deviance(chosen):
        table = np.concatenate([columns, *(column(m, x)[:, None] for m in chosen)], axis=1)
        left = y - table @ np.linalg.lstsq(table, y, rcond=None)[0]
        return 100 * np.log(np.sum(left**2) / 100)

    chosen = ((0,), (1, 2), (0, 0, 3))
    refits.choose(chosen)
    np.testing.assert_allclose(refits.deviance, deviance(chosen), rtol=1e-10)
    options = [(2,), (3, 3), (0,)]  # the last is there already and adds nothing
    expected = [deviance((*chosen, option)) for option in options]
    np.testing.assert_allclose(refits.with_one(options), expected, rtol=1e-9)
    expected = [deviance(chosen[:i] + chosen[i + 1 :]) for i in range(3)]
    np.testing.assert_allclose(refits.without_one(), expected, rtol=1e-9)


@pytest.mark.parametrize(
    "truth", [{(0, 1, 2, 3): 1.0, (4,): 1.0}, {(0, 0, 1, 2, 2): 1.0, (1, 3): 2.0}]
)
def test_orders_four_and_five_extend_order_three(truth):
    rng = np.random.default_rng(4)
    x = rng.standard_normal((600, 5))
    y = sum(c * column(m, x) for m, c in truth.items())[:, None]
    found = greedy(x, y, order=5)
    assert set(found.monomials) == set(truth)
    assert not found.full


def test_monomials_are_shared_by_outputs():
    rng = np.random.default_rng(5)
    x = rng.standard_normal((400, 6))
    shared, own = column((0, 1), x), column((2, 2, 3), x)
    y = np.stack([shared, own - 2 * shared, 0.5 * own], axis=1)
    found = greedy(x, y + 0.05 * rng.standard_normal(y.shape))
    assert set(found.monomials) == {(0, 1), (2, 2, 3)}


@pytest.mark.parametrize("outputs", [1, 10])
def test_noise_has_no_monomials(outputs):
    nothing = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        x, y = rng.standard_normal((300, 8)), rng.standard_normal((300, outputs))
        nothing += greedy(x, y, seed=seed) == Greedy((), False)
    # By the union bound, each order finds something in about 1 % of the seeds.
    assert nothing >= 8


def test_a_bound_on_monomials_ends_it():
    rng = np.random.default_rng(6)
    x = rng.standard_normal((300, 5))
    y = np.sum(x, axis=1, keepdims=True)
    found = greedy(x, y, most=3)
    assert len(found.monomials) == 3
    assert found.full
    assert len(greedy(x, y).monomials) == 5


def test_few_monomials_will_not_do_for_a_dense_target():
    rng = np.random.default_rng(7)
    x = rng.standard_normal((2000, 400))
    y = x @ rng.standard_normal((400, 1))
    assert greedy(x, y, order=1, most=64) == Greedy((), True)


def test_large_inputs_are_scored_without_cubes(monkeypatch):
    monkeypatch.setattr(axes, "LARGEST_CUBE", 10)
    rng = np.random.default_rng(8)
    x = rng.standard_normal((800, 40))
    y = (column((0,), x) + column((1, 2), x) + column((1, 1, 2), x))[:, None]
    assert set(greedy(x, y).monomials) == {(0,), (1, 2), (1, 1, 2)}
