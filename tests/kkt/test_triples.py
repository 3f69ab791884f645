import itertools

import numpy as np
import pytest

from nsjax.kkt import axes, triples
from nsjax.neuronseek import monomials


def samples(n=300, d=20, outputs=1):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, d)) * np.exp(rng.uniform(-2, 2, d))
    return x, rng.standard_normal((n, outputs)), rng


def test_a_pass_finds_the_best_of_every_pair():
    x, r, rng = samples(outputs=2)
    r = r - r.mean(axis=0)
    d = x.shape[1]
    found = triples.scan(x, r, d**3, rng)
    sizes, pairs = np.mean(x**2, axis=0), (x**2).T @ x**2 / len(x)
    expected = set()
    for i in range(d):
        for j in range(i, d):
            low = next(edge for edge in edges(d) if edge[0] <= i < edge[1])[0]
            ks = np.arange(low, d)
            pulls = np.sum((r.T @ (x[:, [i]] * x[:, [j]] * x[:, ks])) ** 2, axis=0)
            norms = np.maximum.reduce(
                [sizes[i] * pairs[j, ks], sizes[j] * pairs[i, ks], sizes[ks] * pairs[i, j]]
            )
            expected.add(tuple(sorted((i, j, int(ks[np.argmax(pulls / norms)])))))
    assert set(found) == expected


def edges(d):
    at = np.linspace(0, d, triples.BLOCKS + 1).astype(int)
    return list(itertools.pairwise(at))


def test_the_best_products_come_first_and_squares_do_not_crowd_them_out():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((800, 60))
    y = x[:, 3] * x[:, 17] * x[:, 41] + 0.7 * x[:, 5] ** 2 * x[:, 50]
    found = triples.scan(x, y[:, None], 20, rng)
    assert {(3, 17, 41), (5, 5, 50)} <= set(found)
    assert len(found) <= 20


def test_a_part_of_the_rows_is_seen_where_all_would_be_too_much(monkeypatch):
    x, r, rng = samples(n=2000)
    monkeypatch.setattr(triples, "WORK", 300 * 20**3 / 3)
    monkeypatch.setattr(triples, "FEWEST", 100)
    seen = []
    monkeypatch.setattr(triples, "_block", spy(seen, triples._block))
    triples.scan(x, r, 5, rng)
    assert set(seen) == {300}
    assert triples.most_inputs() == pytest.approx((3 * triples.WORK / 100) ** (1 / 3), abs=1)


def test_of_too_many_inputs_those_that_the_size_of_the_residual_goes_with(monkeypatch):
    rng = np.random.default_rng(3)
    x = rng.standard_normal((1500, 300))
    x[:, 7] = 0  # a constant input goes with nothing
    r = (x[:, 3] * x[:, 150] * x[:, 280] + x[:, 60])[:, None]
    # No correlation of the product with one of its inputs is beyond chance, but that of sizes is.
    own = np.abs(np.corrcoef(r.T, x[:, [3, 150, 280]].T)[0, 1:])
    assert own.max() < 3.5 / np.sqrt(1500)
    assert set(triples.leading(x, r, 4)) == {3, 60, 150, 280}
    monkeypatch.setattr(triples, "SCREENED", 20)
    monkeypatch.setattr(triples, "most_inputs", lambda: 299)
    assert (3, 150, 280) in triples.scan(x, r, 5, rng)


@pytest.mark.parametrize("centre", [0.0, 1.0])
def test_monomials_of_too_many_inputs(monkeypatch, centre):
    """A pass over some inputs, and extensions of pairs by any: of a product of inputs that are not
    centred its pairs show, and all else hides its third input from the pass."""
    rng = np.random.default_rng(4)
    x = rng.standard_normal((600, 90)) + centre * (np.arange(90) < 3)
    y = x[:, 0] * x[:, 1] * x[:, 50] + x[:, 20] * x[:, 30] + 0.05 * rng.standard_normal(600)
    monkeypatch.setattr(axes, "LARGEST_CUBE", 10)
    monkeypatch.setattr(triples, "most_inputs", lambda: 80)
    hidden = np.setdiff1d(np.arange(90), [50] if centre else [60])[:40]
    if centre:
        monkeypatch.setattr(triples, "leading", lambda x, r, keep: hidden)
    else:
        monkeypatch.setattr(triples, "SCREENED", 40)
    refits = monomials.LeastSquares(x, np.ones((600, 1)), (y - y.mean())[:, None], 1e-25)
    chosen = monomials.greedy(x, np.ones((600, 1)), refits, order=3, most=9, rng=rng)
    assert set(chosen.monomials) == {(0, 1, 50), (20, 30)}


def test_strips_change_nothing(monkeypatch):
    x, r, _ = samples(d=50, outputs=2)
    whole = triples.leading(x, r, 10)
    monkeypatch.setattr(triples, "STRIP", 7)
    np.testing.assert_array_equal(triples.leading(x, r, 10), whole)


def spy(seen, block):
    def wrapped(x, *rest):
        seen.append(len(x))
        return block(x, *rest)

    return wrapped


def test_monomials_of_many_inputs_are_chosen_by_passes(monkeypatch):
    rng = np.random.default_rng(2)
    x = rng.standard_normal((400, 30))
    # Its pairs say nothing of the product of three.
    y = x[:, 1] * x[:, 7] * x[:, 20] - 0.5 * x[:, 4] * x[:, 9] + 0.05 * rng.standard_normal(400)
    refits = monomials.LeastSquares(x, np.ones((400, 1)), (y - y.mean())[:, None], 1e-25)
    monkeypatch.setattr(axes, "LARGEST_CUBE", 10)
    chosen = monomials.greedy(x, np.ones((400, 1)), refits, order=3, most=9, rng=rng)
    assert set(chosen.monomials) == {(1, 7, 20), (4, 9)}
