"""What the envelopes say of the Łojasiewicz inequality, or why they say nothing."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from nsjax.diagnostics.envelope_fit import Limit, extrapolate
from nsjax.diagnostics.ladder import CRITICAL, GAIN, Envelope

FEWEST_LEVELS = 8
"""Levels that a fit needs."""
FEWEST_DECADES = 2.0
"""Decades of levels that a fit needs."""
WIDEST = 0.05
"""Half width of the interval of alpha beyond which nothing is concluded."""


class Fitted(IntEnum):
    """Outcomes of `lojasiewicz`. `LOJASIEWICZ_MESSAGES[code]` is the outcome in words."""

    FITTED = 0
    CONSTANT = 1
    NOT_CRITICAL = 2
    TOO_FEW_LEVELS = 3
    NOT_SETTLED = 4
    NO_POWER_LAW = 5


LOJASIEWICZ_MESSAGES: dict[int, str] = {
    Fitted.FITTED: "fitted: the envelope tends to a power law",
    Fitted.CONSTANT: (
        "inconclusive: f does not differ from f* by more than its rounding within the radius"
    ),
    Fitted.NOT_CRITICAL: (
        "inconclusive: not a critical point, or not close enough to one: the gradient at the point "
        "is not small against those around it"
    ),
    Fitted.TOO_FEW_LEVELS: (
        "inconclusive: less than two decades of levels lie above rounding and within the radius; "
        "take float64 or a larger radius"
    ),
    Fitted.NOT_SETTLED: (
        "inconclusive: the search still found smaller gradients when it was stopped; take more "
        "starts or steps"
    ),
    Fitted.NO_POWER_LAW: (
        "inconclusive: the envelope does not settle to a power law on the levels that were "
        "measured; take a smaller radius"
    ),
}


class Lojasiewicz(NamedTuple):
    """`||grad f(w)|| >= mu |f(w) - f*|^alpha` round a critical point, in the limit of small radius.

    Attributes:
        alpha, mu: exponent and constant; NaN if nothing is concluded.
        alpha_interval, mu_interval: 90 % intervals.
        radius: distance from the point within which the function was looked at.
        ball_mu: constant with which the inequality, with `alpha`, held at every level up to `top`
            in the whole radius: the one to bound a path by, at most `mu` up to the interval.
        top: largest `|f - f*|` of the fit.
        value: f*, the function at the point.
        above, below: the envelopes measured for f > f* and f < f*; None for a side not taken.
        side: 1 if alpha and mu come from `above`, -1 from `below`, 0 if nothing is concluded.
        degree: q of Assumption 2, or None.
        result: int32 code; `message` is its text.
    """

    alpha: float
    mu: float
    alpha_interval: tuple[float, float]
    mu_interval: tuple[float, float]
    radius: float
    ball_mu: float
    top: float
    value: float
    above: Envelope | None
    below: Envelope | None
    side: int
    degree: float | None
    result: int

    @property
    def message(self) -> str:
        """The outcome in words."""
        return LOJASIEWICZ_MESSAGES[int(self.result)]

    @property
    def conclusive(self) -> bool:
        """Whether there are an alpha and a mu."""
        return self.result == Fitted.FITTED

    @property
    def largest_alpha(self) -> float:
        """`q / (2 (q - 1))`, the open upper end of Assumption 2's interval; NaN without q."""
        return np.nan if self.degree is None else self.degree / (2 * (self.degree - 1))

    @property
    def in_assumption2(self) -> bool | None:
        """Whether alpha lies in `(0, q / (2 (q - 1)))`.

        None without `degree`, if nothing is concluded, or if the interval contains that end.
        """
        if self.degree is None or not self.conclusive:
            return None
        low, high = self.alpha_interval
        if high < self.largest_alpha:
            return True
        return False if low > self.largest_alpha else None


def conclude(
    above: Envelope | None,
    below: Envelope | None,
    grad_norm: float,
    radius: float,
    value: float,
    degree: float | None,
) -> Lojasiewicz:
    """The side with the larger exponent, with equal ones the smaller constant."""
    fits: list[tuple[int, Envelope, Limit]] = []
    result = Fitted.CONSTANT
    sides = [(side, each) for side, each in ((1, above), (-1, below)) if each is not None]
    # A side no higher than the gradient at the point explains is none of the critical point's.
    explained = CRITICAL * grad_norm * radius
    high = [each for each in sides if np.max(each[1].ball_levels, initial=0) > explained]
    for side, envelope in high or sides:
        result, fit = _settle(envelope, grad_norm)
        if fit is None:
            fits = []
            break
        fits.append((side, envelope, fit))
    nan = float("nan")
    found = Lojasiewicz(
        *(nan, nan, (nan, nan), (nan, nan), radius, nan, nan, value),
        *(above, below, 0, degree, int(result)),
    )
    if not fits:
        return found
    side, envelope, fit = fits[0]
    if len(fits) == 2:
        other = fits[1]
        apart = other[2].alpha - fit.alpha
        joint = sum(f[2].alpha_interval[1] - f[2].alpha for f in fits)
        if apart > joint or (abs(apart) <= joint and other[2].mu < fit.mu):
            side, envelope, fit = other
    top = min(float(each[1].levels[-1]) for each in fits)
    ratios = [
        gradients / levels**fit.alpha
        for _, each, _ in fits
        for levels, gradients in (
            (each.levels, each.gradients),
            (each.ball_levels, each.ball_gradients),
        )
        if len(levels)
    ]
    bottom = max(float(each[1].levels[0]) for each in fits)
    ladders = [
        levels for _, each, _ in fits for levels in (each.levels, each.ball_levels) if len(levels)
    ]
    inside = [
        ratio[(levels >= bottom) & (levels <= top)]
        for ratio, levels in zip(ratios, ladders, strict=True)
    ]
    return found._replace(
        alpha=fit.alpha,
        mu=fit.mu,
        alpha_interval=fit.alpha_interval,
        mu_interval=fit.mu_interval,
        ball_mu=float(np.min(np.concatenate(inside))),
        top=top,
        side=side,
    )


def _settle(envelope: Envelope, grad_norm: float) -> tuple[Fitted, Limit | None]:
    levels = envelope.levels
    if len(levels) < FEWEST_LEVELS or levels[-1] < levels[0] * 10**FEWEST_DECADES:
        # The critical point itself would leave room for two decades at least.
        blamed = len(envelope.ball_levels) and (
            CRITICAL * grad_norm > np.min(envelope.ball_gradients)
        )
        return (Fitted.NOT_CRITICAL if blamed else Fitted.TOO_FEW_LEVELS), None
    if envelope.change > GAIN:
        return Fitted.NOT_SETTLED, None
    fit = extrapolate(levels, envelope.gradients)
    low, high = fit.alpha_interval
    if not (np.isfinite(fit.mu) and high - low <= 2 * WIDEST and low > 0 and high < 1):
        return Fitted.NO_POWER_LAW, None
    return Fitted.FITTED, fit
