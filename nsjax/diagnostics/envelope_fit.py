"""The limit of a lower envelope at small levels: exponent and factor with their intervals."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

SHARES = (1.0, 0.75, 0.5)
"""Shares of the ladder, counted from its lowest level, that are fitted."""
TERMS = (0, 1, 2)
"""Numbers of correction terms that are fitted."""
PLAUSIBLE = 5.0
"""A fit counts if its standard error is at most so many times the smallest."""
ALPHA_FLOOR, MU_FLOOR = 2e-4, 3e-3
"""Least half widths of the intervals, of alpha and of log mu."""


class Limit(NamedTuple):
    """`gradients = mu * levels^alpha` in the limit of small levels.

    Attributes:
        alpha, mu: of the limit.
        alpha_interval, mu_interval: 90 % intervals.
    """

    alpha: float
    mu: float
    alpha_interval: tuple[float, float]
    mu_interval: tuple[float, float]


class _Fit(NamedTuple):
    alpha: float
    log_mu: float
    alpha_error: float
    log_mu_error: float


def extrapolate(levels: np.ndarray, gradients: np.ndarray) -> Limit:
    """Extrapolate an envelope to level zero.

    Points at level e lie at a distance `z ~ e^(1 - alpha)`, and the envelope of an analytic
    function is its power law times a series in z. The law is fitted with no, one and two terms of
    that series, over the whole ladder and over its lower parts. The fit with the smallest standard
    error is taken; what the other plausible ones differ from it by is the error of the model, which
    with three standard errors makes the interval.

    Args:
        levels: `|f - f*|`, `(m,)` with m >= 6, rising.
        gradients: smallest `||grad f||` there, `(m,)`.
    """
    x, y = np.log(levels), np.log(gradients)
    low = max(4, len(x) // 3)
    rate = float(np.clip(1 - np.polyfit(x[:low], y[:low], 1)[0], 0.02, 0.5))
    fits = []
    for share in SHARES:
        kept = round(share * len(x))
        fits += [_fit(x[:kept], y[:kept], rate, terms) for terms in TERMS if kept >= terms + 5]
    best = min(fits, key=lambda fit: fit.alpha_error)
    near = [fit for fit in fits if fit.alpha_error <= PLAUSIBLE * best.alpha_error + ALPHA_FLOOR]
    alpha_half = max(
        max(abs(fit.alpha - best.alpha) for fit in near), 3 * best.alpha_error, ALPHA_FLOOR
    )
    mu_half = max(
        max(abs(fit.log_mu - best.log_mu) for fit in near), 3 * best.log_mu_error, MU_FLOOR
    )
    return Limit(
        best.alpha,
        float(np.exp(best.log_mu)),
        (best.alpha - alpha_half, best.alpha + alpha_half),
        (float(np.exp(best.log_mu - mu_half)), float(np.exp(best.log_mu + mu_half))),
    )


def _fit(x: np.ndarray, y: np.ndarray, rate: float, terms: int) -> _Fit:
    z = np.exp(rate * (x - x[-1]))
    columns = [np.ones_like(x), x - x[0], z, z * z][: 2 + terms]
    design = np.stack(columns, axis=1)
    solution, *_ = np.linalg.lstsq(design, y, rcond=None)
    variance = np.sum((y - design @ solution) ** 2) / (len(x) - len(columns))
    covariance = variance * np.linalg.pinv(design.T @ design)
    at_one = np.array([1.0, -x[0], *np.zeros(terms)])  # log mu is the law's value at level 1
    return _Fit(
        float(solution[1]),
        float(solution[0] - solution[1] * x[0]),
        float(np.sqrt(covariance[1, 1])),
        float(np.sqrt(at_one @ covariance @ at_one)),
    )
