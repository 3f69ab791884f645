"""Intervals at 95 % of shares, means and medians over instances, seeds or splits."""

from __future__ import annotations

from typing import Any

import numpy as np


def share_interval(hits: Any) -> tuple[float, float, float]:
    """Share of hits, and Wilson's interval; NaN of none.

    >>> [round(number, 3) for number in share_interval([True] * 9 + [False])]
    [0.9, 0.596, 0.982]
    """
    from scipy.stats import binomtest

    hits = np.asarray(hits, bool)
    if not hits.size:
        return (float("nan"),) * 3
    test = binomtest(int(hits.sum()), hits.size).proportion_ci(method="wilson")
    return float(hits.mean()), float(test.low), float(test.high)


def mean_interval(values: Any) -> tuple[float, float, float]:
    """Mean, and Student's interval; as if the values had nothing in common. Two at least.

    >>> [round(number, 3) for number in mean_interval([0.0, 1.0, 2.0])]
    [1.0, -1.484, 3.484]
    """
    from scipy.stats import t

    values = np.asarray(values, float)
    mean = float(np.mean(values))
    half = t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return mean, mean - float(half), mean + float(half)


def median_interval(values: Any, *, resamples: int = 2000) -> tuple[float, float, float]:
    """Median, and the percentile interval of a bootstrap, 95 %.

    Args:
        values: `(m,)`, at least two.
        resamples: how often they are drawn again.

    Returns:
        The median and both ends.
    """
    from scipy.stats import bootstrap

    values = np.asarray(values, float)
    found = bootstrap(
        (values,), np.median, n_resamples=resamples, method="percentile", rng=0
    ).confidence_interval
    return float(np.median(values)), float(found.low), float(found.high)
