"""Why a flow or an escape stopped: int32 codes with one table of readable messages."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class Stop(IntEnum):
    """Stop reasons of `dynamics`. `MESSAGES[code]` is the reason in words."""

    ESCAPED = 0
    HORIZON = 1
    EVENT = 2
    MAX_STEPS = 3
    NOT_A_SADDLE = 4
    NOT_A_MINIMUM = 5
    DEAD_SADDLE = 6
    DIED_OUT = 7
    ZERO_VALUED = 8
    ROUNDING = 9
    FAILED = 10
    SLOW_INVALID = 11
    MINIMUM = 12
    MAX_VISITS = 13
    TOO_LARGE = 14
    PASSED = 15
    WAITED = 16
    FITTED = 17


MESSAGES: dict[int, str] = {
    Stop.ESCAPED: "escaped: the zero block's norm crossed the threshold",
    Stop.HORIZON: "the horizon was reached",
    Stop.EVENT: "an event fired",
    Stop.MAX_STEPS: "max_steps was reached; raise it, loosen the tolerances or take another method",
    Stop.NOT_A_SADDLE: "not a saddle: the gradient at the given point is too large",
    Stop.NOT_A_MINIMUM: (
        "not a saddle of the required kind: the active weights are no local minimum, the loss "
        "curves down along them"
    ),
    Stop.DEAD_SADDLE: (
        "dead saddle: the NCF is identically zero (residual zero, dead or bottlenecked active "
        "neurons), so nothing escapes at leading order"
    ),
    Stop.DIED_OUT: "died out: the zero block's norm tends to zero against delta",
    Stop.ZERO_VALUED: (
        "zero-valued limit: the NCF of the zero block and its gradient tend to zero at a size of "
        "order delta, so it neither escapes nor dies out"
    ),
    Stop.ROUNDING: (
        "rounding drowns the slow motion at this size, dtype, tolerance and method; take the slow "
        "manifold, float64, a larger atol or a larger delta"
    ),
    Stop.FAILED: "the solver failed: a value was not finite, or the step size underflowed",
    Stop.SLOW_INVALID: (
        "refused: the slow manifold does not apply to an activation with a kink of degree 1; the "
        "plain flow does (method='auto' of an escape)"
    ),
    Stop.MINIMUM: (
        "a minimum: the gradient is zero, the active weights are at a minimum, and no small neuron "
        "could lower the loss"
    ),
    Stop.MAX_VISITS: "max_visits saddles were passed; raise it to go on",
    Stop.TOO_LARGE: (
        "the small neurons are too large for the slow manifold: its error is above slow_tol on "
        "arrival, and the plain flow waited"
    ),
    Stop.WAITED: (
        "no small neuron has escaped within the time that a wait is given; raise delta, or give a "
        "horizon"
    ),
    Stop.FITTED: (
        "fitted: the residual has fallen below 1e-5 of that at the origin (towards a minimum at "
        "infinity), and no correlation is left to follow"
    ),
    Stop.PASSED: "read off the trajectory: the flow did not settle here, or ran without waiting",
}


COLLAPSE = 0.9
"""Share of refused steps above which steps that ran out are a collapse of the step size."""


def in_words(code: int, *, coarse: bool = False) -> str:
    """The message of a code, with a warning where `atol` is too coarse for the start."""
    warning = "; WARNING: atol is too coarse for the smallest weights at the start"
    return MESSAGES[int(code)] + warning * bool(coarse)


class Stats(NamedTuple):
    """What an integration cost.

    Attributes:
        steps: attempted steps.
        rejected: of these, refused by the error estimate.
        gradients: gradient evaluations by the integrator; saves and events come on top.
        jacobians: evaluations of the full Hessian, by the implicit method only.
    """

    steps: int = 0
    rejected: int = 0
    gradients: int = 0
    jacobians: int = 0

    def __add__(self, other: object) -> Stats:
        """Costs of two integrations together."""
        if not isinstance(other, Stats):
            return NotImplemented
        return Stats(*(a + b for a, b in zip(tuple(self), tuple(other), strict=True)))
