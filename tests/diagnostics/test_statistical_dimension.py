"""Statistical dimensions: NumPy and SciPy draw by draw, closed forms, and order."""

import jax
import numpy as np
import pytest
from scipy.optimize import minimize

from nsjax.diagnostics import statistical_dimension
from nsjax.diagnostics.statistical_dimension import MEAN_OF_INPUTS

MANY = 200


def least_distances(d, positive, negative, psd, mean, draws=MANY):
    """Mean least squared distance over (tau, c), by SciPy over explicit nearest subgradients."""
    rng = np.random.default_rng(0)
    rank, found = positive + negative, []
    signs = np.diag([1.0] * positive + [-1.0] * negative)

    def distance(point, g):
        tau, c = point if mean else (point[0], 0.0)
        rest = g[rank:, rank:] - c * np.eye(d - rank)
        values, vectors = np.linalg.eigh(rest)
        nearest = np.zeros((d, d))
        nearest[:rank, :rank] = tau * signs + c * np.eye(rank)
        kept = np.minimum(values, tau) if psd else np.clip(values, -tau, tau)
        nearest[rank:, rank:] = (vectors * kept) @ vectors.T + c * np.eye(d - rank)
        price = c**2 / mean**2 if mean else 0
        return np.sum((g - nearest) ** 2) + price

    for _ in range(draws):
        normal = rng.normal(size=(d, d))
        g = (normal + normal.T) / 2
        start, bounds = ([1.0, 0.0], [(0, None), (None, None)]) if mean else ([1.0], [(0, None)])
        found.append(minimize(distance, start, args=(g,), bounds=bounds, method="L-BFGS-B").fun)
    return np.mean(found), np.std(found) / draws**0.5


@pytest.mark.parametrize(
    ("positive", "negative", "psd", "mean"),
    [(1, 0, True, 0.0), (2, 1, False, 0.0), (2, 0, False, MEAN_OF_INPUTS)],
)
def test_against_scipy(positive, negative, psd, mean):
    wanted, spread = least_distances(5, positive, negative, psd, mean)
    found = statistical_dimension(jax.random.key(0), 5, positive, negative, psd=psd, mean=mean)
    assert abs(found.value - wanted) < 4 * np.hypot(spread, found.error)
    assert wanted - 4 * spread > 1.2 * positive  # the bound above decides something


def test_full_rank_is_all_but_half_a_sign():
    """The subdifferential is one matrix, its cone a ray: `d (d + 1) / 2 - 1/2`."""
    for psd, negative in ((True, 0), (False, 2)):
        found = statistical_dimension(jax.random.key(1), 4, 4 - negative, negative, psd=psd)
        assert abs(found.value - 9.5) < 5 * found.error


def test_a_large_mean_makes_the_norm_a_trace():
    """Where the trace is known, |M|_* >= tr M with equality on M >= 0 alone."""
    key = jax.random.key(2)
    trace = statistical_dimension(key, 8, 2, psd=True).value
    known = statistical_dimension(key, 8, 2, mean=1e3).value
    inputs = statistical_dimension(key, 8, 2, mean=MEAN_OF_INPUTS).value
    unknown = statistical_dimension(key, 8, 2).value
    assert known == pytest.approx(trace, rel=1e-3)
    assert trace < inputs < unknown


@pytest.mark.parametrize(
    ("arguments", "options", "said"),
    [
        ((4, 5), {}, "positive \\+ negative must be between 1 and 4"),
        ((4, 1, 1), {"psd": True}, "negative must be 0 for psd, got 1"),
        ((4, 1), {"mean": -1.0}, "mean must be a finite number >= 0"),
        ((4, 1), {"psd": "no"}, "psd must be True or False"),
        ((4, 1), {"draws": 1}, "draws must be between 2"),
        ((4, -1, 2), {}, "positive must be an integer >= 0"),
    ],
)
def test_bad_arguments_are_named(arguments, options, said):
    with pytest.raises((TypeError, ValueError), match=said):
        statistical_dimension(jax.random.key(0), *arguments, **options)
