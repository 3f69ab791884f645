"""From saddle to saddle: arrive, wait on the slow manifold, grow, settle at the next one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsjax._flat import Layout
from nsjax.dynamics.approach import Approach, approach
from nsjax.dynamics.correlation import Dominant, correlation, dominant
from nsjax.dynamics.course import Course, Event, flat_weights
from nsjax.dynamics.plateau import Plateau, find_plateau
from nsjax.dynamics.results import Stop
from nsjax.dynamics.saddles import Inactive
from nsjax.dynamics.slow import kkt_residual
from nsjax.dynamics.trip import ray_time
from nsjax.dynamics.visits import Visit, describe
from nsjax.networks import degree
from nsjax.networks.homogeneous import Params
from nsjax.objectives import NetworkLoss, residual

_SETTLED = 1e-4
"""Gradient, against `f / size` at the origin, below which the flow is looked at for a saddle."""
_REST = 1e-3
"""How far below that the flow goes at a minimum."""
_TIGHTER = 6
"""How often the bound of a settled gradient falls by ten before a saddle is refused."""
_FITTED = 1e-5
"""Residual, against that at the origin, that counts as zero."""
_NEAR = 0.05
"""Largest distance from a saddle, against the natural size of the weights."""


class Policy(NamedTuple):
    """What stays the same all along a cascade."""

    key: jax.Array
    loss: NetworkLoss
    scale: float
    gradient_scale: float
    slow_tol: float
    slow_rtol: float
    saddle_tol: float
    starts: int
    horizon: float
    max_visits: int
    on_visit: Callable[[Visit], None] | None


def follow_plainly(course: Course, value: float, policy: Policy) -> Stop:
    """The plain flow alone, to a minimum or the horizon.

    Without a horizon it gives up once it has waited thirty times as long as before: where the flow
    slides along kinks the gradient does not vanish, and nothing says that it has settled.
    """
    small = tuple(np.ones(weight.shape[0], bool) for weight in course.params[:-1])
    settled, q = 0.0, degree(policy.loss.activation, len(course.params))
    give_up = math.inf
    if value > 0:
        norm = float(jnp.linalg.norm(course.flat))
        give_up = 1e4 * ray_time(norm, 2 * course.threshold, value, q)
    while True:
        left = policy.horizon - course.time
        outcome = course.plain(small, min(give_up, left), settled=settled)
        if isinstance(outcome, Stop):
            return outcome
        small = course.small_now()
        fits = _unexplained(course.params, course, policy.loss) <= 10 * _FITTED
        if outcome == Event.SETTLED and (fits or not any(flags.any() for flags in small)):
            return Stop.MINIMUM
        # While the gradient is as small as at a minimum, a small neuron may still grow.
        settled = policy.gradient_scale * _SETTLED * 0.1 if outcome == Event.GREW else 0.0
        give_up = 30 * course.time if policy.horizon == math.inf else math.inf


class _Arrival(NamedTuple):
    """What the flow has come to.

    Attributes:
        plateau: the saddle next to it.
        near: the slow manifold there; None without one.
        best: dominant KKT point of the zero block's NCF; None where it was not looked for.
        code: None at a saddle where small neurons wait; else why there is none.
        event: event of the plain flow that came first; None if none did.
    """

    plateau: Plateau
    near: Approach | None = None
    best: Dominant | None = None
    code: Stop | None = None
    event: Event | Stop | None = None


def follow(course: Course, policy: Policy) -> tuple[list[Visit], Stop]:
    """From visit to visit until there is nothing left to escape, or the course is over."""
    visits: list[Visit] = []
    small = tuple(np.ones(weight.shape[0], bool) for weight in course.params[:-1])
    bound = policy.gradient_scale * _SETTLED
    start, first = 0.0, 0
    while True:
        arrival, bound = _arrive(course, small, bound, policy)
        if arrival.event is None:
            if len(visits) == policy.max_visits:
                _report(policy, visits[-1])
                return visits, Stop.MAX_VISITS
            for passed in visits[-1:]:
                _report(policy, passed)
            visit = describe(arrival.plateau, course.x, course.y, policy.loss, start)
            visit, outcome = _wait(course, arrival, visit, small, bound, policy)
            duration = sum(float(piece.ts[-1]) for piece in course.pieces[first:])
            if isinstance(outcome, Stop):
                visits.append(visit)
                _report(policy, visit)
                return visits, outcome
            visit = visit._replace(duration=duration)
            start, first = course.time, len(course.pieces)
            course.marks.append(first)
        else:
            # A small neuron grew before the rest had settled: it belongs to the escape before.
            outcome = arrival.event
            visit = (
                visits.pop()
                if visits
                else describe(arrival.plateau, course.x, course.y, policy.loss, start)
            )
        while outcome != Event.SETTLED:
            if isinstance(outcome, Stop):
                visits.append(visit)
                _report(policy, visit)
                return visits, outcome
            small, visit = _grown(course, small, visit)
            gradient = course.active_gradient(small)
            bound = min(policy.gradient_scale * _SETTLED, 0.1 * gradient)
            outcome = course.plain(small, policy.horizon - course.time, settled=bound)
        visits.append(visit)


def _report(policy: Policy, visit: Visit) -> None:
    if policy.on_visit is not None:
        policy.on_visit(visit)


def _grown(course: Course, small: Inactive, visit: Visit) -> tuple[Inactive, Visit]:
    """The neurons that are still small, and the visit with those that are not added to it."""
    still = course.small_now()
    new = tuple(
        (layer + 1, int(j))
        for layer, (before, now) in enumerate(zip(small, still, strict=True))
        for j in np.flatnonzero(before & ~now)
    )
    return still, visit._replace(escaping=visit.escaping + new)


def _arrive(
    course: Course, small: Inactive, bound: float, policy: Policy
) -> tuple[_Arrival, float]:
    """The saddle that the flow stands at, after as much settling as that takes.

    Returns the arrival, and the bound of the gradient that it took.
    """
    for tightened in range(_TIGHTER):
        arrival = _look(course, small, policy)
        if arrival.code is not Stop.NOT_A_SADDLE:
            return arrival, bound
        bound *= 0.1
        event = course.plain(
            small, policy.horizon - course.time, settled=bound, stiff=tightened > 0
        )
        if event != Event.SETTLED:
            return arrival._replace(event=event), bound
    # Refused: whatever was found there is not what the flow is at. In a flat valley of perfect fits
    # the gradient settles like a power of time, and Newton's steps lead far along it.
    fits = _unexplained(course.params, course, policy.loss) <= _FITTED
    code = _fitted(policy.loss) if fits else Stop.NOT_A_SADDLE
    return arrival._replace(near=None, best=None, code=code), bound


def _fitted(loss: NetworkLoss) -> Stop:
    """What it is to have no residual: of other losses than the square it vanishes at infinity."""
    return Stop.MINIMUM if loss.loss == "square" else Stop.FITTED


def _unexplained(params: Params, course: Course, loss: NetworkLoss) -> float:
    """Norm of the residual against that at the origin; 0 if both are zero."""
    left = loss.residual(params, course.x, course.y)
    first = residual(jnp.zeros_like(left), course.y, loss=loss.loss)
    size = float(jnp.linalg.norm(first))
    return float(jnp.linalg.norm(left)) / size if size else 0.0


def _plateau(course: Course, small: Inactive, policy: Policy) -> Plateau:
    return find_plateau(
        course.params,
        small,
        course.x,
        course.y,
        policy.loss,
        tol=policy.saddle_tol,
        reach=_NEAR * policy.scale,
    )


def _look(course: Course, small: Inactive, policy: Policy) -> _Arrival:
    """What is there: a saddle with its slow manifold, a minimum, or not yet one of them."""
    loss, x, y = policy.loss, course.x, course.y
    plateau = _plateau(course, small, policy)
    stop = plateau.saddle.stop
    if stop is not None:
        return _Arrival(plateau, code=stop)
    zero = jnp.asarray(plateau.where.zero)
    block = jnp.where(zero, course.flat, 0)
    size = float(jnp.linalg.norm(block))
    # What is left of the residual in a flat valley is no correlation to follow.
    if _unexplained(plateau.params, course, loss) <= _FITTED:
        return _Arrival(plateau, code=_fitted(loss))
    if size == 0:
        return _Arrival(plateau, code=Stop.MINIMUM)
    activation = loss.activation
    ncf = correlation(plateau.params, plateau.where.origin, x, y, activation, loss.loss)
    best = dominant(policy.key, plateau.params, small, ncf, activation, starts=policy.starts)
    if best.dead(plateau.saddle):
        # The loss is convex in the outputs. Where these are sums over neurons, or are zero, and the
        # residual correlates with none (no network), nothing lowers it: a global minimum.
        convex = len(plateau.params) == 2 or plateau.where.origin
        code = Stop.MINIMUM if convex else Stop.DEAD_SADDLE
        return _Arrival(plateau, best=best, code=code)
    saddle = Layout.of(plateau.params).flat(plateau.params)
    near = approach(
        plateau.params,
        plateau.where,
        x,
        y,
        activation,
        loss.loss,
        plateau.saddle,
        ncf,
        best.value,
        (jnp.where(zero, 0, course.flat - saddle) / size, block / size),
        size,
        (),
        smooth=True,
        rtol=policy.slow_rtol,
        measure=flat_weights,
    )
    # A zero block that is merely large makes an error between the two; there is no more to settle.
    large = policy.slow_tol < near.model_error < 1
    unsettled = near.error > policy.slow_tol and not large
    return _Arrival(plateau, near, best, Stop.NOT_A_SADDLE if unsettled else None)


def _wait(
    course: Course,
    arrival: _Arrival,
    visit: Visit,
    small: Inactive,
    bound: float,
    policy: Policy,
) -> tuple[Visit, Event | Stop]:
    """Stay at the saddle until something leaves it; the visit, and the event or why it ended."""
    code, near, best = arrival.code, arrival.near, arrival.best
    if best is not None:
        visit = visit._replace(dominant_value=best.value)
    if code in (Stop.MINIMUM, Stop.FITTED):
        return _rest(course, visit._replace(code=int(code)), small, bound, code, policy)
    first = len(course.pieces)
    leave = math.inf
    if code in (Stop.NOT_A_MINIMUM, Stop.NOT_A_SADDLE):
        leave = 10 * max(bound, course.active_gradient(small))
    elif near is not None:
        visit = visit._replace(kkt_value=near.target_value, slow_error=near.error)
        if visit.slow_error <= policy.slow_tol:
            stopped = course.slow(near, policy.slow_tol, policy.horizon - course.time)
            visit = _aligned(visit, course, near)
            if stopped is not None:
                return visit._replace(method="slow", code=int(stopped)), stopped
    give_up = policy.horizon - course.time
    if code is not Stop.NOT_A_MINIMUM:
        zero = jnp.asarray(arrival.plateau.where.zero)
        size = float(jnp.linalg.norm(jnp.where(zero, course.flat, 0)))
        # Without a KKT point, the value that the NCF would have if all lined up.
        value = policy.gradient_scale * policy.scale ** (1 - visit.degree)
        if near is not None:
            value = near.target_value if near.target_value > 0 else near.value
        grown = 2 * max(size, course.threshold)
        wait = 1e4 * ray_time(size, grown, value, visit.degree) if size > 0 else 30 * course.time
        give_up = min(give_up, wait)
    outcome = course.plain(small, give_up, left=leave)
    if near is not None and visit.slow_error > policy.slow_tol:
        visit = _aligned(visit, course, near)
    method = course.pieces[first].phase.method if len(course.pieces) > first else "none"
    if code is None:
        code = Stop.ESCAPED if visit.slow_error <= policy.slow_tol else Stop.TOO_LARGE
    visit = visit._replace(method=method, code=int(code))
    if isinstance(outcome, Stop):
        # What could not wait on the slow manifold ends for the reason that it could not.
        refused = code not in (Stop.ESCAPED, Stop.TOO_LARGE) and outcome is Stop.HORIZON
        in_time = course.time < (1 - 1e-6) * policy.horizon
        return visit, code if refused and in_time else outcome
    return visit, outcome


def _rest(
    course: Course, visit: Visit, small: Inactive, bound: float, code: Stop, policy: Policy
) -> tuple[Visit, Stop]:
    """The last decades of the fall, as far as rounding lets them be seen; then the minimum."""
    bound = max(_REST * bound, course.gradient_floor())
    if course.active_gradient(small) > bound:
        left = policy.horizon - course.time
        outcome = course.plain(small, left, settled=bound, grown=False, stiff=True)
        # Weights that run off along a channel to infinity do not come to rest: say what stopped it.
        fits = _unexplained(course.params, course, policy.loss) <= _FITTED
        if isinstance(outcome, Stop) and (outcome is Stop.HORIZON or not fits):
            return visit._replace(code=int(outcome)), outcome
    end = _plateau(course, small, policy)
    if code is Stop.MINIMUM and end.saddle.stop is None:
        course.rest_at(end)
        described = describe(end, course.x, course.y, policy.loss, visit.start)
        visit = described._replace(code=visit.code, dominant_value=visit.dominant_value)
    return visit, code


def _aligned(visit: Visit, course: Course, near: Approach) -> Visit:
    """The visit with the alignment of the zero block as it is now."""
    block = jnp.where(near.zero, course.flat, 0)
    found, _ = kkt_residual(near.spec.ncf, near.layout, near.problem, block)
    cosine = jnp.dot(block, near.target) / jnp.maximum(
        jnp.linalg.norm(block), jnp.finfo(block.dtype).tiny
    )
    return visit._replace(alignment=float(cosine), kkt_residual=float(found))
