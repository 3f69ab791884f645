"""Intervals against the formulas written out, and SciPy."""

import numpy as np
import pytest
from scipy import stats

from nsjax import diagnostics


@pytest.mark.parametrize(("hits", "of"), [(0, 7), (9, 10), (30, 30)])
def test_a_share_has_the_interval_of_wilson(hits, of):
    """The roots of `(p - share)^2 = z^2 p (1 - p) / n`."""
    share, low, high = diagnostics.share_interval(np.arange(of) < hits)
    assert share == hits / of
    square = stats.norm.ppf(0.975) ** 2 / of
    roots = np.roots([1 + square, -2 * share - square, share**2])
    np.testing.assert_allclose((low, high), np.sort(roots), atol=1e-7)


def test_of_nothing_nothing_is_known():
    assert np.isnan(diagnostics.share_interval([])).all()


def test_a_mean_has_the_interval_of_student():
    values = np.random.default_rng(0).normal(2, 3, size=12)
    found = diagnostics.mean_interval(values)
    wanted = stats.t.interval(0.95, 11, loc=values.mean(), scale=stats.sem(values))
    np.testing.assert_allclose(found, (values.mean(), *wanted))


def test_a_median_has_an_interval_of_a_bootstrap():
    """About the middle by 2 n^-1/2 of the width of a uniform law."""
    middle, low, high = diagnostics.median_interval(np.arange(101.0))
    assert middle == 50
    assert 30 < low < 50 < high < 70
