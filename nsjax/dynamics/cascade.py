"""Whole cascades: gradient flow from a small start, from saddle to saddle, to a minimum."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsjax import _check
from nsjax.diagnostics import neuron_norms
from nsjax.dynamics.correlation import Dominant, correlation, dominant
from nsjax.dynamics.course import Course
from nsjax.dynamics.integrate import LARGEST_DENSE
from nsjax.dynamics.outcome import Phase
from nsjax.dynamics.passages import Policy, follow, follow_plainly
from nsjax.dynamics.results import MESSAGES, Stats, Stop
from nsjax.dynamics.slow import default_rtol
from nsjax.dynamics.tolerances import check_rtol
from nsjax.dynamics.trajectory import plateau_saves, saddle_visits
from nsjax.dynamics.visits import Visit
from nsjax.networks import activation_degree, apply, degree
from nsjax.networks.homogeneous import Activation, Params
from nsjax.objectives import LOSSES, NetworkLoss, residual

_THRESHOLD = 0.1


class Cascade(NamedTuple):
    """Gradient flow from a small initialisation through its saddles.

    Attributes:
        visits: the saddles in order, and last the minimum if it was reached.
        ts: `(m,)` times of the saves.
        since_escape: `(m,)` times since the escape before, which keep their digits where `ts` has
            none left after a long wait.
        losses, grad_norms: `(m,)`.
        observables: the user's observables by name, each with a leading axis of length m.
        snapshots: parameters at every save, a leading axis of length m; None unless asked for.
        params: parameters at the end.
        method: "slow" if every wait ran on the slow manifold, "mixed" if some did, else "plain".
        result: `Stop` code; `message` is its text.
        delta: norm of the start.
        threshold: norm from which a neuron counts as active.
        scale: natural size of the weights: that of the first neuron at its best fit.
        phases: methods, end times and costs.
        stats: costs of all phases together.
    """

    visits: tuple[Visit, ...]
    ts: np.ndarray
    since_escape: np.ndarray
    losses: np.ndarray
    grad_norms: np.ndarray
    observables: dict[str, np.ndarray]
    snapshots: Params | None
    params: Params
    method: str
    result: int
    delta: float
    threshold: float
    scale: float
    phases: tuple[Phase, ...]
    stats: Stats

    @property
    def message(self) -> str:
        """Why it stopped, in words."""
        return MESSAGES[int(self.result)]

    @property
    def escape_times(self) -> np.ndarray:
        """Times at which the flow left its saddles, `(number of escapes,)`."""
        times = [visit.start + visit.duration for visit in self.visits]
        return np.asarray([time for time in times if math.isfinite(time)])


def cascade(
    params: Params,
    x: jax.Array,
    y: jax.Array,
    activation: Activation,
    *,
    delta: float,
    loss: str = "square",
    threshold: float | None = None,
    key: jax.Array | None = None,
    observables: Mapping[str, Callable[..., Any]] | None = None,
    snapshots: bool = False,
    horizon: float = math.inf,
    rtol: float | None = None,
    slow_tol: float = 1e-4,
    starts: int = 64,
    max_visits: int = 64,
    max_steps: int = 200_000,
    on_visit: Callable[[Visit], None] | None = None,
) -> Cascade:
    r"""Follow gradient flow from `delta * params / ||params||` through every saddle to a minimum.

    Near a saddle the small neurons run on the slow manifold (`dynamics.slow`), at a cost that does
    not depend on delta; where its measured error passes `slow_tol` the plain flow takes over, until
    a neuron has grown and the active weights have settled at the next saddle.

    Args:
        params: L weight matrices: the direction of the start.
        x, y: data `(n, d)`, `(n, c)`.
        activation: homogeneous activation of degree p.
        delta: norm of the start.
        loss: "square", "logistic" or "cross_entropy".
        threshold: norm from which a neuron counts as active; a tenth of the natural size of the
            weights by default, that at which the dominant KKT point at the origin fits best.
        key: PRNG key of the KKT searches' starts.
        observables: name to pure function `(params, x, y) -> array`, evaluated at every save.
        snapshots: whether to return the parameters at every save.
        horizon: time at which to stop. With kinks of degree 1 nothing tells that the flow has
            settled for good: without a horizon it ends once it has waited thirty times as long as
            before.
        rtol: relative tolerance of the plain flow, 1e-8 by default, in float32 1e-5, with kinks of
            degree 1 1e-4; the slow manifold's is that of `dynamics.escape`.
        slow_tol: relative error of the slow manifold's velocity at which it hands over.
        starts: of the KKT search at every saddle.
        max_visits: how many saddles to wait at; where only the plain flow runs it waits at none.
        max_steps: bound on the steps of the plain flow altogether, looked at every 50,000.
        on_visit: called with every `Visit` once it is known to have ended, to report progress;
            with those that are read off the trajectory at the end.

    Returns:
        `Cascade`. Where the slow manifold does not apply the plain flow runs instead, and
        `visit.method` and `method` say so: an activation with a kink of degree 1, a network of more
        than 2,048 weights, a saddle that is left along negative curvature, one whose NCF is
        identically zero, or one that the active weights do not settle at.

    Raises:
        TypeError, ValueError: for bad input, before anything is compiled; and for a delta that is
            not small against the threshold.

    Source: neuron pursuit (arXiv 2509.12154), sections 3 and 4; `docs/mathematics.md`, section 3.
    """
    params = _check.network("params", params)
    x, y = _check.samples(params, x, y)
    p = activation_degree(activation)
    delta = _check.positive("delta", delta)
    if key is not None:
        _check.key("key", key)
    _check.choice("loss", loss, tuple(LOSSES))
    _check.targets(loss, "y", y)
    if threshold is not None:
        threshold = _check.positive("threshold", threshold)
    if horizon != math.inf:
        horizon = _check.positive("horizon", horizon)
    dtype = params[0].dtype
    smooth = bool(getattr(activation, "smooth", p > 1))
    if rtol is None:
        rtol = 1e-8 if dtype == jnp.float64 else 1e-5
        # Where the flow slides along kinks no step is accurate to more than its own length.
        rtol = rtol if smooth else 1e-4
    else:
        rtol = _check.positive("rtol", rtol)
        check_rtol(rtol, dtype)
    _check.positive("slow_tol", slow_tol)
    snapshots = _check.flag("snapshots", snapshots)
    _check.positive_integer("starts", starts)
    max_visits = _check.positive_integer("max_visits", max_visits)
    max_steps = _check.positive_integer("max_steps", max_steps)
    if on_visit is not None:
        _check.function("on_visit", on_visit)
    if observables is not None and not isinstance(observables, Mapping):
        raise TypeError(f"observables must map names to functions, got {observables!r}")
    for name, function in (observables or {}).items():
        _check.function(f"observables[{name!r}]", function)
        _check.traces(f"observables[{name!r}]", function, params, x, y)
    largest = max(float(jnp.max(jnp.abs(weight))) for weight in params)
    if largest == 0:
        raise ValueError("params must not be zero, they give the direction of the start")
    # Over the largest entry first: the squares of tiny weights are out of range.
    norm = largest * math.sqrt(sum(float(jnp.sum((w / largest) ** 2)) for w in params))
    if threshold is not None:
        _check_threshold(delta, threshold)

    key = jax.random.key(0) if key is None else key
    network_loss = NetworkLoss(activation, loss)
    start = tuple(weight * jnp.asarray(delta / norm, dtype) for weight in params)
    best = _dominant_at_origin(key, start, x, y, network_loss, starts)
    scale, gradient_scale = _natural_scale(best, x, y, network_loss)
    threshold = _THRESHOLD * scale if threshold is None else threshold
    _check_threshold(delta, threshold)
    if threshold > scale:
        raise ValueError(
            f"threshold must be at most the natural size of the weights, {scale:.3g}, got "
            f"{threshold:.3g}; no neuron would cross it"
        )
    eps = float(jnp.finfo(dtype).eps)
    policy = Policy(
        key,
        network_loss,
        scale,
        gradient_scale,
        slow_tol,
        max(rtol, default_rtol(activation, p)),
        max(1e-12, 1e3 * eps),
        starts,
        horizon,
        max_visits,
        on_visit,
    )
    course = Course(
        start,
        x,
        y,
        network_loss,
        scale=scale,
        threshold=threshold,
        rtol=rtol,
        slow_rtol=policy.slow_rtol,
        smooth=smooth,
        max_steps=max_steps,
    )
    if smooth and course.flat.size <= LARGEST_DENSE:
        visits, code = follow(course, policy)
    else:
        visits, code = [], follow_plainly(course, best.value, policy)
    if code is Stop.HORIZON and course.time < (1 - 1e-6) * horizon:
        code = Stop.WAITED
    found = _assemble(course, visits, code, observables or {}, delta)
    if _passed(found):
        read = saddle_visits(
            found, x, y, activation, loss=loss, threshold=threshold, starts=starts, key=key
        )
        if not smooth:
            read = tuple(visit._replace(code=int(Stop.SLOW_INVALID)) for visit in read)
        found = found._replace(visits=_with_those_passed(found, read))
        if on_visit is not None:
            for visit in (each for each in found.visits if each.method == "read"):
                on_visit(visit)
    return found if snapshots else found._replace(snapshots=None)


def _check_threshold(delta: float, threshold: float) -> None:
    if delta > 0.5 * threshold:
        raise ValueError(
            f"delta must be at most half of threshold = {threshold:.3g}, got {delta:.3g}; from a "
            "large start there is no cascade"
        )


def _dominant_at_origin(
    key: jax.Array, params: Params, x: jax.Array, y: jax.Array, loss: NetworkLoss, starts: int
) -> Dominant:
    origin = jax.tree.map(jnp.zeros_like, params)
    everything = tuple(np.ones(weight.shape[0], bool) for weight in params[:-1])
    deep = len(params) > 2
    ncf = correlation(origin, deep, x, y, loss.activation, loss.loss)
    return dominant(key, origin, everything, ncf, loss.activation, starts=starts)


def _natural_scale(
    best: Dominant, x: jax.Array, y: jax.Array, loss: NetworkLoss
) -> tuple[float, float]:
    """Size `c` at which the dominant KKT point fits best, `c^D = <r, H> / ||H||^2`; and `f / c`.

    1 where the NCF at the origin is identically zero.
    """
    outputs = apply(best.direction, x, loss.activation)
    square = float(jnp.sum(outputs**2))
    value = float(loss(jax.tree.map(jnp.zeros_like, best.direction), x, y))
    eps = float(jnp.finfo(outputs.dtype).eps)
    if not best.value > eps**0.5 * best.scale or square == 0:
        return 1.0, value
    wanted = residual(jnp.zeros_like(outputs), y, loss=loss.loss)
    ratio = float(jnp.sum(wanted * outputs)) / square
    scale = ratio ** (1 / degree(loss.activation, len(best.direction)))
    return scale, value / scale


def _passed(found: Cascade) -> bool:
    """Whether there are plateaus that the flow did not settle at.

    A saddle with negative curvature may be left before the gradient has fallen as far as a wait
    asks for.
    """
    if len(found.ts) < 2:
        return False
    norms = tuple(np.asarray(norm) for norm in neuron_norms(found.snapshots))
    at = plateau_saves(found.grad_norms, found.losses, norms, found.threshold)
    return any(
        not _known(
            found,
            tuple(int((norm[i] >= found.threshold).sum()) for norm in norms),
            float(found.losses[i]),
        )
        for i in at
        if not found.visits or i < len(found.ts) - 1
    )


def _known(found: Cascade, active: tuple[int, ...], loss: float) -> bool:
    """Whether there is a visit with so many active neurons and this loss."""
    close = 1e-3 * float(found.losses.max() - found.losses.min())
    return any(
        visit.active_counts == active and abs(visit.loss - loss) <= close for visit in found.visits
    )


def _with_those_passed(found: Cascade, read: tuple[Visit, ...]) -> tuple[Visit, ...]:
    """The visits, and between them the plateaus that the flow did not settle at."""
    passed = [
        visit
        for visit in read
        if not _known(found, visit.active_counts, visit.loss)
        and (math.isfinite(visit.duration) or not found.visits)
    ]
    visits: list[Visit] = []
    for visit in sorted((*found.visits, *passed), key=lambda visit: -visit.loss):
        if visits and "read" in (visits[-1].method, visit.method):
            end = visits[-1].start + visits[-1].duration
            visit = visit._replace(start=end, duration=visit.start + visit.duration - end)
        visits.append(visit)
    # A neuron escapes from the last saddle at which it is small.
    for i, (here, there) in enumerate(pairwise(visits)):
        escaping = tuple(
            (layer + 1, int(j))
            for layer, (before, after) in enumerate(zip(here.active, there.active, strict=True))
            for j in np.flatnonzero(~before & after)
        )
        visits[i] = here._replace(escaping=escaping)
    return tuple(visits)


def _assemble(
    course: Course,
    visits: list[Visit],
    code: Stop,
    observables: Mapping[str, Callable[..., Any]],
    delta: float,
) -> Cascade:
    """Join the pieces, and evaluate the observables over all saves at once."""
    # Each piece begins where the one before it ended.
    pieces = course.pieces or [course.still()]
    kept = [slice(1 if number else 0, None) for number in range(len(pieces))]
    weights = _joined([piece.weights for piece in pieces], kept)
    trees = course.layout.trees(weights)
    since, elapsed = [], 0.0
    for number, piece in enumerate(pieces):
        elapsed = 0.0 if number in course.marks else elapsed
        since.append(elapsed + piece.ts)
        elapsed += float(piece.ts[-1])
    measured = {
        name: np.asarray(jax.vmap(lambda w, f=function: f(w, course.x, course.y))(trees))
        for name, function in observables.items()
    }
    waits = [visit.method for visit in visits if visit.method != "none"]
    slow = sum(method == "slow" for method in waits)
    return Cascade(
        visits=tuple(visits),
        ts=_joined([piece.start + piece.ts for piece in pieces], kept),
        since_escape=_joined(since, kept),
        losses=_joined([piece.losses for piece in pieces], kept),
        grad_norms=_joined([piece.grad_norms for piece in pieces], kept),
        observables=measured,
        snapshots=trees,
        params=course.params,
        method="slow" if slow == len(waits) and waits else "mixed" if slow else "plain",
        result=int(code),
        delta=delta,
        threshold=course.threshold,
        scale=course.scale,
        phases=tuple(piece.phase for piece in pieces),
        stats=sum((piece.phase.stats for piece in pieces), Stats()),
    )


def _joined(parts: list[np.ndarray], kept: list[slice]) -> np.ndarray:
    return np.concatenate([part[rows] for part, rows in zip(parts, kept, strict=True)])
