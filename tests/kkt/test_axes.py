import itertools

import jax.numpy as jnp
import numpy as np

from nsjax.kkt import axes
from nsjax.kkt.axes import Scores, column


def all_monomials(d, order):
    return [
        monomial
        for k in range(1, order + 1)
        for monomial in itertools.combinations_with_replacement(range(d), k)
    ]


def test_inner_products():
    rng = np.random.default_rng(0)
    x, v = rng.standard_normal((50, 4)), rng.standard_normal(50)
    for order in (1, 2, 3):
        found = axes.inner(jnp.asarray(x), jnp.asarray(v), order)
        assert len(found) == order
        for k, array in enumerate(found, start=1):
            for monomial in itertools.product(range(4), repeat=k):
                expected = float(v @ column(monomial, x))
                np.testing.assert_allclose(array[monomial], expected, atol=1e-9)


def test_scores_are_the_shares_explained():
    rng = np.random.default_rng(1)
    x, r = rng.standard_normal((60, 4)), rng.standard_normal((60, 2))
    columns = np.stack([np.ones(60), x[:, 0], x[:, 1] * x[:, 2]], axis=1)
    scores = Scores(x, columns, 3, np.random.default_rng(0))
    r = r - columns @ np.linalg.lstsq(columns, r, rcond=None)[0]
    dictionary = all_monomials(4, 3)
    found = dict((m, score) for score, m in scores.best(r, 3, 200))
    assert set(found) == set(dictionary) - {(0,), (1, 2)}
    for monomial, score in found.items():
        whole = np.concatenate([columns, column(monomial, x)[:, None]], axis=1)
        left = r - whole @ np.linalg.lstsq(whole, r, rcond=None)[0]
        np.testing.assert_allclose(score, np.sum(r**2) - np.sum(left**2), rtol=1e-7, atol=1e-9)
    # Higher orders: the same of stems times one input.
    for score, monomial in scores.extended(r, [(0, 1, 2), (1, 1, 3)], 8):
        whole = np.concatenate([columns, column(monomial, x)[:, None]], axis=1)
        left = r - whole @ np.linalg.lstsq(whole, r, rcond=None)[0]
        np.testing.assert_allclose(score, np.sum(r**2) - np.sum(left**2), rtol=1e-7, atol=1e-9)
        assert len(monomial) == 4
