"""How solutions of many instances compare: supports, errors, intervals of what is counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

SMALL = 1e-3
"""A coefficient below this share of the largest one is outside the support."""


def support(coefficients: Any) -> np.ndarray:
    """Which coefficients `(..., d)` are in the support, see `SMALL`."""
    sizes = np.abs(np.asarray(coefficients, float))
    return sizes > SMALL * np.max(sizes, axis=-1, keepdims=True)


def same_support(one: Any, other: Any) -> np.ndarray:
    """Which solutions `(..., d)` have the same support: `(...,)`."""
    return np.all(support(one) == support(other), axis=-1)


def recovered(coefficients: Any, truth: Any, *, tol: float = 1e-2) -> np.ndarray:
    """Which solutions `(..., d)` are within `tol` of the truth, in the relative l2 norm."""
    truth = np.asarray(truth, float)
    error = np.linalg.norm(np.asarray(coefficients) - truth, axis=-1)
    return error <= tol * np.linalg.norm(truth, axis=-1)


def common_start(one: Sequence[int], other: Sequence[int]) -> int:
    """How many entries two orders share before they first differ.

    >>> common_start([4, 2, 7], [4, 2, 1, 7])
    2
    """
    length = min(len(one), len(other))
    differ = np.asarray(one)[:length] != np.asarray(other)[:length]
    return int(np.argmax(np.append(differ, True)))


def share_interval(hits: Any) -> tuple[float, float, float]:
    """Share of hits, and Wilson's 95 % interval."""
    from scipy.stats import binomtest

    hits = np.asarray(hits, bool)
    test = binomtest(int(hits.sum()), hits.size).proportion_ci(method="wilson")
    return float(hits.mean()), float(test.low), float(test.high)


def median_interval(values: Any, *, resamples: int = 2000) -> tuple[float, float, float]:
    """Median, and the 95 % percentile interval of a bootstrap."""
    from scipy.stats import bootstrap

    values = np.asarray(values, float)
    found = bootstrap(
        (values,), np.median, n_resamples=resamples, method="percentile", rng=0
    ).confidence_interval
    return float(np.median(values)), float(found.low), float(found.high)
