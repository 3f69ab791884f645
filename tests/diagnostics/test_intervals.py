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


def test_means_have_the_precision_of_numpy():
    """Not that of JAX's default."""
    mean, low, high = diagnostics.mean_interval([1e9, 1e9 + 1])
    assert mean == 1e9 + 0.5
    assert low < mean < high


@pytest.mark.parametrize("interval", [diagnostics.mean_interval, diagnostics.median_interval])
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.0], "values must be at least two, got 1"),
        ([], "values must be at least two, got 0"),
        (np.ones((2, 2)), r"values must be a vector, got shape \(2, 2\)"),
        ([1.0, np.nan], "values must be finite, got 1 NaN"),
        (1.0, "values must be an array, got 1.0"),
    ],
)
def test_values_without_an_interval_are_refused(interval, values, message):
    with pytest.raises((TypeError, ValueError), match=message):
        interval(values)


@pytest.mark.parametrize(
    ("hits", "message"),
    [
        ([0.5], "hits must be booleans, or zeros and ones"),
        ([[True]], r"hits must be a vector, got shape \(1, 1\)"),
        (["no"], "hits must be an array of numbers"),
    ],
)
def test_hits_are_yes_or_no(hits, message):
    with pytest.raises((TypeError, ValueError), match=message):
        diagnostics.share_interval(hits)
