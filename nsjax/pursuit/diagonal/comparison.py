"""How solutions of many instances compare: supports, errors, orders."""

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
    """Which solutions have the same support, `(...,)`.

    Args:
        one, other: coefficients `(..., d)`.

    >>> same_support([[1.0, 0.0], [1.0, 0.0]], [[2.0, 0.0], [0.0, 2.0]]).tolist()
    [True, False]
    """
    return np.all(support(one) == support(other), axis=-1)


def recovered(coefficients: Any, truth: Any, *, tol: float = 1e-2) -> np.ndarray:
    """Which solutions are near the truth in the relative l2 norm, `(...,)`.

    Args:
        coefficients: of the solutions, `(..., d)`.
        truth: those that made the data, `(..., d)`.
        tol: largest distance over the norm of the truth.
    """
    truth = np.asarray(truth, float)
    error = np.linalg.norm(np.asarray(coefficients) - truth, axis=-1)
    return error <= tol * np.linalg.norm(truth, axis=-1)


def common_start(one: Sequence[int], other: Sequence[int]) -> int:
    """How many entries two orders share before they first differ.

    Args:
        one, other: orders, such as those in which neurons were added.

    >>> common_start([4, 2, 7], [4, 2, 1, 7])
    2
    """
    length = min(len(one), len(other))
    differ = np.asarray(one)[:length] != np.asarray(other)[:length]
    return int(np.argmax(np.append(differ, True)))
