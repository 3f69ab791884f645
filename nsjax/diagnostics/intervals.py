"""Intervals at 95 % of shares, means and medians over instances, seeds or splits."""

from __future__ import annotations

from typing import Any

import numpy as np

from nsjax import _check


def share_interval(hits: Any) -> tuple[float, float, float]:
    """Share of hits, and Wilson's interval; NaN of none.

    Args:
        hits: `(m,)`, whether each was one; m may be 0.

    Returns:
        The share and both ends.

    Raises:
        TypeError, ValueError: for what is no vector of booleans, or of zeros and ones.

    >>> [round(number, 3) for number in share_interval([True] * 9 + [False])]
    [0.9, 0.596, 0.982]
    """
    from scipy.stats import binomtest

    hits = _vector("hits", hits)
    if not hits.size:
        return (float("nan"),) * 3
    if not np.all((hits == 0) | (hits == 1)):
        raise ValueError("hits must be booleans, or zeros and ones")
    test = binomtest(int(hits.sum()), hits.size).proportion_ci(method="wilson")
    return float(hits.mean()), float(test.low), float(test.high)


def mean_interval(values: Any) -> tuple[float, float, float]:
    """Mean, and Student's interval; as if the values had nothing in common.

    Args:
        values: `(m,)`, at least two.

    Returns:
        The mean and both ends.

    Raises:
        TypeError, ValueError: for what is no vector of finite numbers, or has fewer than two.

    >>> [round(number, 3) for number in mean_interval([0.0, 1.0, 2.0])]
    [1.0, -1.484, 3.484]
    """
    from scipy.stats import t

    values = _two_or_more(values)
    mean = float(np.mean(values))
    half = t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return mean, mean - float(half), mean + float(half)


def median_interval(values: Any, *, resamples: int = 2000) -> tuple[float, float, float]:
    """Median, and the percentile interval of a bootstrap, 95 %.

    Args:
        values: `(m,)`, at least two.
        resamples: how often they are drawn again, positive.

    Returns:
        The median and both ends.

    Raises:
        TypeError, ValueError: for what is no vector of finite numbers, or has fewer than two, and
            for bad `resamples`.

    >>> [round(number, 1) for number in median_interval([0.0, 1.0, 2.0])]
    [1.0, 0.0, 2.0]
    """
    from scipy.stats import bootstrap

    values = _two_or_more(values)
    resamples = _check.positive_integer("resamples", resamples)
    found = bootstrap(
        (values,), np.median, n_resamples=resamples, method="percentile", rng=0
    ).confidence_interval
    return float(np.median(values)), float(found.low), float(found.high)


def _two_or_more(values: Any) -> np.ndarray:
    found = _vector("values", values)
    if found.size < 2:
        raise ValueError(f"values must be at least two, got {found.size}")
    return found


def _vector(name: str, values: Any) -> np.ndarray:
    """Finite numbers in double precision, whatever JAX's default is."""
    _check.array(name, values)
    found = np.asarray(values, float)
    if found.ndim != 1:
        raise ValueError(f"{name} must be a vector, got shape {found.shape}")
    return found
