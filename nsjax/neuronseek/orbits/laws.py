"""The law of the depth: how first visits grow as eps falls, beside what the measure predicts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nsjax import _check
from nsjax.neuronseek.orbits.visits import masses

if TYPE_CHECKING:
    from jaxtyping import Float, Int

CONFIDENCE = 0.95
"""Probability of the intervals."""


class Law(NamedTuple):
    """A power law `median ~ scale^exponent`, fitted on log axes.

    Attributes:
        exponent: of the fit.
        interval: bootstrap interval for it.
        medians: at each scale, `(E,)`; infinite where half of the trials are not over.
        unfinished: largest share of trials that are not over, of the scales fitted.
        decades: of the scales fitted.
    """

    exponent: float
    interval: tuple[float, float]
    medians: Float[np.ndarray, " e"]
    unfinished: float
    decades: float


def depth_law(
    depths: Int[np.ndarray, "r e"],
    eps: Float[np.ndarray, " e"],
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Law:
    """Fit the median first visit as a power of 1/eps; the theory gives the exponent K.

    Trials without a visit count as infinitely deep, so that the median is what it would be on
    longer orbits. Scales at which half of the trials or more are not over are left out.

    Args:
        depths: first visits of R trials, `(R, E)`; -1 for none.
        eps: distances, `(E,)`.
        resamples: of the trials, for the interval.
        seed: of the resampling.

    Raises:
        ValueError: if fewer than two scales are left, or shapes do not fit.

    >>> law = depth_law(np.array([[10, 100], [10, 100]]), np.array([0.1, 0.01]))
    >>> round(law.exponent, 6)
    1.0
    """
    _check.matrix("depths", depths)
    values = np.asarray(depths, float)
    values = np.where(values < 0, np.inf, values)
    return _law(values, 1 / _scales("eps", eps), "eps", resamples, seed)


def error_law(
    errors: Float[np.ndarray, "r b"],
    budgets: Int[np.ndarray, " b"],
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Law:
    """Fit the median error as a power of the depth budget; the theory gives -1/K.

    Args:
        errors: smallest errors of R trials within each budget, `(R, B)`.
        budgets: depths, `(B,)`.
        resamples, seed: as in `depth_law`.

    Raises:
        TypeError, ValueError: as `depth_law`.

    >>> law = error_law(np.array([[0.1, 0.01], [0.1, 0.01]]), np.array([10, 100]))
    >>> round(law.exponent, 6)
    -1.0
    """
    _check.matrix("errors", errors)
    values = np.asarray(errors, float)
    return _law(values, _scales("budgets", budgets), "budgets", resamples, seed)


def _scales(name: str, values: Any) -> np.ndarray:
    """A vector of positive numbers, in float64 whatever the precision of JAX."""
    _check.vector(name, values, np.size(values))
    scales = np.asarray(values, float)
    if np.any(scales <= 0):
        raise ValueError(f"{name} must be positive, got {values!r}")
    return scales


def _law(values: np.ndarray, scales: np.ndarray, name: str, resamples: int, seed: int) -> Law:
    resamples = _check.positive_integer("resamples", resamples)
    if scales.shape != values.shape[1:]:
        raise ValueError(
            f"{name} must have one number for each column, got {scales.shape} for {values.shape}"
        )
    if np.any(values == 0):
        raise ValueError("a power law needs depths or errors above zero, got zero")
    # A median between a number and infinity is infinite: the upper of the two is taken throughout.
    medians = _upper_median(values)
    unfinished = np.mean(np.isinf(values), axis=0)
    used = np.isfinite(medians) & (unfinished < 0.45)
    if used.sum() < 2:
        raise ValueError(f"{name}: wanted two scales or more with most trials over, got {medians}")
    logs = np.log(scales[used])
    rows = np.random.default_rng(seed).integers(len(values), size=(resamples, len(values)))
    again = np.stack([_upper_median(column[rows].T) for column in values[:, used].T], axis=1)
    slopes = _slopes(logs, np.log(again[np.isfinite(again).all(axis=1)]))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(slopes, [tail, 1 - tail])
    return Law(
        exponent=float(_slopes(logs, np.log(medians[None, used]))[0]),
        interval=(float(low), float(high)),
        medians=medians,
        unfinished=float(np.max(unfinished[used])),
        decades=float(np.ptp(logs) / np.log(10)),
    )


def _upper_median(values: np.ndarray) -> np.ndarray:
    middle = len(values) // 2
    return np.partition(values, middle, axis=0)[middle]


def _slopes(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x = x - x.mean()
    return y @ x / (x @ x)


def predicted_median(probabilities: Float[np.ndarray, "r e"]) -> Float[np.ndarray, " e"]:
    """Median of first visits that come at random, with these probabilities at every step.

    Trial r is over after m steps with probability `1 - (1 - p_r)^m`; the median over trials is the
    m, not rounded, at which half of them are expected to be.

    >>> print(predicted_median(np.array([[0.5], [0.5]])))
    [1.]
    """
    probabilities = _chances(probabilities)
    # What never comes is as if it came once in 1e300 steps: the median is not finite beyond them.
    rates = -np.log1p(-np.maximum(probabilities, 1e-300))
    low, high = np.log(np.log(2) / rates.max(axis=0)), np.log(np.log(2) / rates.min(axis=0))
    for _ in range(60):  # bisection of all scales together
        middle = (low + high) / 2
        early = np.mean(np.exp(-rates * np.exp(middle)), axis=0) > 0.5
        low, high = np.where(early, middle, low), np.where(early, high, middle)
    return np.exp((low + high) / 2)


def _chances(probabilities: Any) -> np.ndarray:
    """Probabilities, short of 1 by rounding; in float64 whatever the precision of JAX."""
    _check.array("probabilities", probabilities)
    chances = np.asarray(probabilities, float)
    if np.any((chances < 0) | (chances > 1 + 1e-12)):
        raise ValueError("probabilities must lie in [0, 1], got some outside")
    return np.minimum(chances, 1 - 1e-12)


def predicted_errors(
    cdf: Any, targets: Float[np.ndarray, "r k"], budgets: Int[np.ndarray, " b"]
) -> Float[np.ndarray, " b"]:
    """Median of the smallest error within each budget of depth, if steps came at random.

    The error exceeds eps after M steps with probability `(1 - p_r(eps))^M`; the median is where
    half of the trials are expected to be beyond.

    Args:
        cdf: distribution function of the invariant measure, of arrays in [0, 1].
        targets: R sets of K targets, `(R, K)`.
        budgets: depths M, `(B,)`.

    >>> errors = predicted_errors(lambda x: x, np.full((1, 1), 0.5), np.array([100]))
    >>> print(errors.round(5))  # (1 - 2 eps)^100 = 1/2
    [0.00345]
    """
    budgets = _scales("budgets", budgets)
    # Below the first eps half of the trials of one point are not over; log survival is near linear
    # in log eps between neighbours.
    eps = np.geomspace(1e-2 / budgets.max(), 1.0, 2000)
    rates = -np.log1p(-_chances(masses(cdf, targets, eps)))
    survive = np.array([np.mean(np.exp(-rates * m), axis=0) for m in budgets])
    return np.array([np.exp(np.interp(-0.5, -each, np.log(eps))) for each in survive])


def uniformity(depths: Int[np.ndarray, " r"], probabilities: Any, *, steps: int) -> float:
    """Kolmogorov distance of first visits from the geometric law, each with its probability.

    `1 - (1 - p_r)^m_r` of the trials would be uniform. What lies beyond the depth seen is compared
    only up to there.

    Args:
        depths: first visits of R trials at one eps, `(R,)`; -1 for none.
        probabilities: that a step visits each, `(R,)`.
        steps: depth seen.

    Raises:
        TypeError, ValueError: for arrays of different lengths, probabilities outside [0, 1], or a
            bad number of steps.
    """
    depths, rates = np.asarray(depths), -np.log1p(-_chances(probabilities))
    _check.positive_integer("steps", steps)
    if depths.ndim != 1 or not depths.size or rates.shape not in ((), depths.shape):
        raise ValueError(
            f"depths and probabilities must be of one length, got {depths.shape} and {rates.shape}"
        )
    end = np.min(-np.expm1(-rates * steps))  # up to here no trial is cut off
    values = np.sort(np.where(depths < 0, 2.0, -np.expm1(-rates * depths)))
    ranks = np.arange(1, len(values) + 1) / len(values)
    known = values < end
    # At the end itself the share that has come is compared, too: too few may have.
    gaps = np.concatenate([ranks - values, values - ranks + 1 / len(values)])
    return float(max(np.max(gaps[np.tile(known, 2)], initial=0.0), abs(end - np.mean(known))))


def scales(points: int, steps: int, *, count: int = 17, least: int = 24) -> Float[np.ndarray, " e"]:
    """Distances eps whose first visits fit orbits of so many steps.

    With the uniform density the median first visit of K points is `log 2 / (2 eps)^K`: it goes
    from `least` to a quarter of the steps.

    Args:
        points: K.
        steps: depth of the orbits.
        count: number of distances.
        least: median depth at the largest.

    Raises:
        TypeError, ValueError: for bad counts, or fewer steps than eight times `least`.

    >>> eps = scales(2, 2**20)
    >>> print(round(np.log10(eps[0] / eps[-1]), 2))
    2.02
    """
    points = _check.positive_integer("points", points)
    least = _check.positive_integer("least", least)
    count = _check.limited("count", _check.positive_integer("count", count), 10**6, least=2)
    if _check.positive_integer("steps", steps) < 8 * least:
        raise ValueError(f"steps must be at least {8 * least}, got {steps}")
    medians = np.geomspace(least, steps / 4, count)
    return (np.log(2) / medians) ** (1 / points) / 2
