"""Escape from a saddle: perturb `(w_n, 0)` by delta and follow the flow away from it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsjax import _check
from nsjax.dynamics.approach import DIED, FLAT, Approach, approach, perturbation_blocks
from nsjax.dynamics.events import Event, Saves
from nsjax.dynamics.flow import SOLVERS, check_rtol, run_flow
from nsjax.dynamics.integrate import LARGEST_DENSE, cost
from nsjax.dynamics.measure import zero_norm
from nsjax.dynamics.results import MESSAGES, Stats, Stop
from nsjax.dynamics.saddles import (
    Saddle,
    blocks,
    check_inactive,
    correlation,
    dominant,
    inspect,
)
from nsjax.dynamics.slow import DIED_OUT as SLOW_DIED_OUT
from nsjax.dynamics.slow import HORIZON as SLOW_HORIZON
from nsjax.dynamics.slow import MODEL_ERROR, SOLVER, THRESHOLD, SlowLimits, run
from nsjax.dynamics.slow import ZERO_VALUED as SLOW_ZERO_VALUED
from nsjax.networks import activation_degree
from nsjax.networks.homogeneous import Activation, Params
from nsjax.objectives import LOSSES

METHODS = ("auto", "explicit", "implicit", "slow")
_SERIES = ("t", "loss", "grad_norm", "drift", "norm_ratio", "kkt_residual", "cosine", "ncf")
_MOST_EXPLICIT_STEPS = 2e3
"""Expected steps along the dominant ray; a random start takes ten times as long."""
_ROUNDING = {"explicit": 1e-2, "implicit": 1e-6}
"""Largest `eps * lambda_max * t` that a full integration bears: rounding against slow motion.

The implicit solver's step collapses unless its absolute tolerance lies far above it."""


class Phase(NamedTuple):
    """One part of an escape: which method ran, until when, at what cost and absolute tolerance."""

    method: str
    end: float
    stats: Stats
    atol: float


class Escape(NamedTuple):
    """An escape from a saddle, or why there was none.

    Attributes:
        escape_time: when the zero block's norm first crossed `threshold`; NaN if it did not.
        ts: `(m,)` times of the saves.
        observables: the user's observables by name, each with a leading axis of length m.
        drift: `(m,)`, `||w_n(t) - w_n||` of the active weights.
        norm_ratio: `(m,)`, `||w_z(t)|| / delta`.
        direction: `w_z / ||w_z||` at the end of the escape, a pytree shaped like params.
        kkt_residual: `(m,)`, KKT residual of the direction under the saddle's NCF.
        evaluations: gradient evaluations of all phases together.
        method: the method chosen, "slow", "explicit" or "implicit".
        result: `Stop` code; `message` is its text.
        losses, grad_norms: `(m,)`.
        ncf: `(m,)`, the saddle's NCF at the zero block's direction.
        cosine: `(m,)`, between the zero block and `target`.
        target: unit pytree, the KKT point that the zero block tends to (the limit of the slow
            flow).
        target_value: NCF there: positive where it escapes.
        kkt_value: N*, the NCF at the dominant KKT point that the search found.
        degree: q.
        delta, threshold: as used.
        predicted_time: closed form from delta to the threshold along the ray of `kkt_value`.
        params: parameters at the end.
        saddle: what the inspection of the saddle found.
        validity: `lambda_min+ * predicted_time`, relaxation of the active weights against the wait.
        phases: methods, end times and costs.
        stats: costs of all phases together.
    """

    escape_time: float
    ts: np.ndarray
    observables: dict[str, np.ndarray]
    drift: np.ndarray
    norm_ratio: np.ndarray
    direction: Params
    kkt_residual: np.ndarray
    evaluations: int
    method: str
    result: int
    losses: np.ndarray
    grad_norms: np.ndarray
    ncf: np.ndarray
    cosine: np.ndarray
    target: Params
    target_value: float
    kkt_value: float
    degree: int
    delta: float
    threshold: float
    predicted_time: float
    params: Params
    saddle: Saddle
    validity: float
    phases: tuple[Phase, ...]
    stats: Stats

    @property
    def message(self) -> str:
        """Why it stopped, in words."""
        code = int(self.result)
        text = MESSAGES[code]
        if code == Stop.NOT_A_SADDLE:
            text += (
                f" (its norm is {self.saddle.grad_norm:.3g}, at most {self.saddle.grad_bound:.3g} "
                "passes for zero)"
            )
        elif code == Stop.NOT_A_MINIMUM:
            text += (
                f" (smallest curvature {self.saddle.curvature_min:.3g}, largest "
                f"{self.saddle.curvature_max:.3g})"
            )
        return text


def escape(
    params: Params,
    inactive: Sequence[Any],
    x: jax.Array,
    y: jax.Array,
    activation: Activation,
    *,
    delta: float,
    perturbation: str | Params = "kkt",
    key: jax.Array | None = None,
    threshold: float | None = None,
    loss: str = "square",
    method: str = "auto",
    horizon: float | None = None,
    follow: float = 0.0,
    observables: Mapping[str, Callable[..., Any]] | None = None,
    rtol: float | None = None,
    slow_tol: float = 1e-4,
    saddle_tol: float | None = None,
    starts: int = 64,
    max_steps: int = 200_000,
) -> Escape:
    r"""Perturb the saddle `(w_n, 0)` by delta and follow gradient flow until its zero block grows.

    The start is `(w_n + delta n, delta z)`, as in Theorem 7 of the paper. Three methods: the plain
    flow, "explicit" or "implicit"; and "slow", the slow manifold (`dynamics.slow`), whose cost does
    not depend on delta and which hands over to the plain flow where its own error, measured at
    every step, passes `slow_tol`.

    Args:
        params: L weight matrices, zero on the in- and outgoing weights of inactive neurons.
        inactive: one boolean array `(k_l,)` per hidden layer, True for inactive neurons.
        x, y: data `(n, d)`, `(n, c)`.
        activation: homogeneous activation of degree p.
        delta: size of the perturbation.
        perturbation: "kkt", the dominant KKT point of the saddle's NCF, in the zero block only;
            "random", unit z and unit n drawn with `key`; or a pytree shaped like params with norm
            1, over all of it or over its zero block.
        key: PRNG key; of the random perturbation, and of the search's starts.
        threshold: norm of the zero block at which it counts as escaped; 10 delta by default.
        loss: "square", "logistic" or "cross_entropy".
        method: "auto" takes the slow manifold where it applies (activation without a kink of degree
            1, at most 2,048 weights, measured error below `slow_tol` at the start), else the
            implicit solver where the explicit one would need more than 2,000 steps along the
            dominant ray, else the explicit one.
        horizon: time at which to give up; by default 10,000 times the predicted escape time.
        follow: after the escape, go on for this multiple of the escape time and of the time that
            the dominant ray takes from the threshold to size one, or to the next plateau if that
            comes first.
        observables: name to hashable pure function `(params, x, y) -> array`, saved along the way.
        rtol: relative tolerance; 1e-8 by default, in float32 1e-5; on the slow manifold 1e-5 for
            p = 2 and 1e-6 for higher p where the activation has a kink in some derivative.
        slow_tol: relative error of the slow manifold's velocity at which it hands over.
        saddle_tol: relative gradient that passes for zero, see `dynamics.inspect`.
        starts: of the KKT search.
        max_steps: bound on the steps of every full integration.

    Returns:
        `Escape`; its `message` says why it stopped: no saddle, a dead one, died out, escaped ...

    Raises:
        TypeError, ValueError: for bad input, before anything is compiled.

    Source: neuron pursuit (arXiv 2509.12154), Theorem 7; `docs/mathematics.md`, section 3.
    """
    params = _check.network("params", params)
    flags = check_inactive(params, inactive)
    x, y = _check.samples(params, x, y)
    p = activation_degree(activation)
    delta = _check.positive("delta", delta)
    _check.choice("loss", loss, tuple(LOSSES))
    _check.choice("method", method, METHODS)
    threshold = 10 * delta if threshold is None else _check.positive("threshold", threshold)
    follow = _check.non_negative("follow", follow)
    horizon = None if horizon is None else _check.positive("horizon", horizon)
    dtype = params[0].dtype
    if rtol is None:
        rtol = 1e-8 if dtype == jnp.float64 else 1e-5
        slow_rtol = max(rtol, _slow_rtol(activation, p))
    else:
        slow_rtol = rtol = _check.positive("rtol", rtol)
        check_rtol(rtol, dtype)
    if not slow_tol > 0:
        raise ValueError(f"slow_tol must be positive, got {slow_tol!r}")
    max_steps = _check.positive_integer("max_steps", max_steps)
    named = tuple((observables or {}).items())
    for name, function in named:
        _check.function(f"observables[{name!r}]", function)
    where = blocks(params, flags)
    direction = perturbation_blocks(perturbation, key, params, where)
    size = sum(weight.size for weight in params)
    if method in ("slow", "implicit") and size > LARGEST_DENSE:
        raise ValueError(
            f"method {method!r} factorises a dense Hessian: at most {LARGEST_DENSE} weights, "
            f"got {size}"
        )

    saddle = inspect(params, flags, x, y, activation, loss=loss, tol=saddle_tol)
    search_key = jax.random.key(0) if key is None else jax.random.fold_in(key, 1)
    ncf = correlation(params, where.origin, x, y, activation, loss)
    refused = _Report(params, delta, threshold, saddle)
    if saddle.stop is not None:
        return refused.stopped(saddle.stop)
    best = dominant(search_key, params, flags, ncf, activation, starts=starts)
    refused = refused.with_value(best.value)
    if best.dead(saddle.grad_norm):
        return refused.stopped(Stop.DEAD_SADDLE)
    if direction is None:
        direction = (
            jnp.zeros((size,), dtype),
            jnp.concatenate([w.ravel() for w in best.direction]),
        )
    start = float(jnp.linalg.norm(direction[1])) * delta
    if threshold <= start:
        raise ValueError(
            f"threshold must be above the zero block's norm at the start, {start:.3g}, got "
            f"{threshold:.3g}"
        )
    predicted = ray_time(start, threshold, best.value, saddle.degree)
    refused = refused.with_prediction(predicted)
    smooth = bool(getattr(activation, "smooth", p > 1))
    near = approach(
        params,
        where,
        x,
        y,
        activation,
        loss,
        saddle,
        ncf,
        best.value,
        direction,
        delta,
        named,
        smooth=smooth,
        rtol=slow_rtol,
    )
    if method == "auto":
        applies = smooth and size <= LARGEST_DENSE and near.error <= slow_tol
        method = "slow" if applies else _full_method(saddle.curvature_max * predicted, size, smooth)
    elif method == "slow" and not smooth:
        return refused.stopped(Stop.SLOW_INVALID)
    rounding = float(jnp.finfo(dtype).eps) * saddle.curvature_max * predicted
    if method in _ROUNDING and rounding > _ROUNDING[method]:
        return refused.stopped(Stop.ROUNDING, method)
    trip = _Trip(
        near,
        threshold,
        horizon or 1e4 * predicted,
        rtol,
        slow_rtol,
        slow_tol,
        max_steps,
        smooth,
        predicted,
    )
    if method == "slow":
        trip.slow_phase(threshold)
    if trip.code is None:
        trip.full_phase(method)
    if trip.code == Stop.ESCAPED and follow > 0:
        trip.follow_phase(follow)
    return trip.report(refused, method)


def ray_time(start: float, end: float, value: float, degree: int) -> float:
    r"""Time to grow from norm `start` to `end` along a KKT ray, `rho' = q N* rho^(q-1)`.

    `log(end / start) / (2 N*)` for q = 2, else `(start^(2-q) - end^(2-q)) / (q (q-2) N*)`.

    Args:
        start, end: norms.
        value: N* > 0 at the unit KKT point.
        degree: q >= 2.

    >>> ray_time(1e-2, 1e-1, 0.5, 2) == math.log(1e-1 / 1e-2)
    True
    """
    if degree == 2:
        return math.log(end / start) / (2 * value)
    power = degree - 2
    return (start**-power - end**-power) / (degree * power * value)


def _slow_rtol(activation: Activation, p: int) -> float:
    """Default tolerance of the slow motion: under a hundred steps for every activation.

    A method of order 8 crawls where samples cross a kink: the velocity's derivative jumps there for
    p = 2, its second derivative for p = 3.
    """
    if getattr(activation, "analytic", False):
        return 1e-8
    return 1e-5 if p == 2 else 1e-6


def _full_method(stiffness: float, size: int, smooth: bool) -> str:
    if not smooth or size > LARGEST_DENSE or stiffness / 3 <= _MOST_EXPLICIT_STEPS:
        return "explicit"
    return "implicit"


@dataclass(frozen=True)
class _Report:
    """What is known before the flow starts, and the way to say that there was none."""

    params: Params
    delta: float
    threshold: float
    saddle: Saddle
    value: float = math.nan
    predicted: float = math.nan

    def with_value(self, value: float) -> _Report:
        return _Report(self.params, self.delta, self.threshold, self.saddle, value)

    def with_prediction(self, predicted: float) -> _Report:
        return _Report(self.params, self.delta, self.threshold, self.saddle, self.value, predicted)

    def stopped(self, code: Stop, method: str = "none") -> Escape:
        nothing = np.zeros(0)
        zeros = jax.tree.map(jnp.zeros_like, self.params)
        return self.escape(
            math.nan,
            dict.fromkeys(_SERIES, nothing) | {"observables": {}},
            zeros,
            zeros,
            math.nan,
            method,
            code,
            self.params,
            (),
        )

    def escape(
        self,
        escape_time: float,
        series: dict[str, Any],
        direction: Params,
        target: Params,
        target_value: float,
        method: str,
        code: int,
        params: Params,
        phases: tuple[Phase, ...],
    ) -> Escape:
        stats = sum((phase.stats for phase in phases), Stats())
        return Escape(
            escape_time,
            series["t"],
            series["observables"],
            series["drift"],
            series["norm_ratio"],
            direction,
            series["kkt_residual"],
            stats.gradients,
            method,
            int(code),
            series["loss"],
            series["grad_norm"],
            series["ncf"],
            series["cosine"],
            target,
            target_value,
            self.value,
            self.saddle.degree,
            self.delta,
            self.threshold,
            self.predicted,
            params,
            self.saddle,
            self.saddle.curvature_min_positive * self.predicted,
            phases,
            stats,
        )


_SLOW_STOPS = {
    THRESHOLD: Stop.ESCAPED,
    MODEL_ERROR: None,
    SLOW_DIED_OUT: Stop.DIED_OUT,
    SLOW_ZERO_VALUED: Stop.ZERO_VALUED,
    SLOW_HORIZON: Stop.HORIZON,
}
"""What the events of the slow phase mean; None: the plain flow takes over."""


class _Trip:
    """The phases of one escape, strung together on the host."""

    def __init__(
        self,
        near: Approach,
        threshold: float,
        horizon: float,
        rtol: float,
        slow_rtol: float,
        slow_tol: float,
        max_steps: int,
        smooth: bool,
        wait: float,
    ) -> None:
        self.near, self.threshold, self.horizon, self.wait = near, threshold, horizon, wait
        self.rtol, self.slow_rtol, self.slow_tol = rtol, slow_rtol, slow_tol
        self.max_steps, self.smooth = max_steps, smooth
        self.y, self.state = near.start, near.state
        self.end: jax.Array | None = None
        self.t = 0.0
        self.code: Stop | None = None
        self.escape_time = math.nan
        self.phases: list[Phase] = []
        self.pieces: list[dict[str, Any]] = []

    def slow_phase(self, size: float) -> None:
        """The slow manifold up to a size of the zero block, or to where its error is too large."""
        near = self.near
        if near.error > self.slow_tol:
            return
        dtype = self.y.dtype
        speed = float(near.problem.rate * near.problem.delta ** (near.problem.order - 2))
        limits = SlowLimits(
            log_size=jnp.asarray(math.log(size / near.delta), dtype),
            model_error=jnp.asarray(self.slow_tol, dtype),
            residual=jnp.asarray(0.0, dtype),
            log_floor=jnp.asarray(math.log(DIED * near.start_ratio), dtype),
            flat=jnp.asarray(FLAT, dtype),
            tau=jnp.asarray(speed * self.horizon, dtype),
        )
        rtol, atol = self.slow_rtol, 0.01 * self.slow_rtol
        out, end, last = run(
            near.spec,
            self.state,
            near.problem,
            limits,
            jnp.asarray(rtol, dtype),
            jnp.asarray(atol, dtype),
        )
        self._keep(dict(out.saved), np.asarray(jnp.isfinite(out.ts) & (out.ts < out.t)), last)
        self.state, self.y, self.t = out.y, end, float(last["t"])
        self.phases.append(Phase("slow", self.t, cost(SOLVER, out.steps, out.rejected), atol))
        if int(out.code) != Stop.EVENT:
            self.code = Stop(int(out.code))
            return
        self.code = _SLOW_STOPS[int(jnp.argmax(out.margin))]
        if self.code == Stop.ESCAPED:
            self._escaped()

    def full_phase(self, method: str) -> None:
        """The plain flow up to the threshold."""
        near = self.near
        if method == "slow":
            size = float(jnp.linalg.norm(jnp.where(near.zero, self.y, 0)))
            left = ray_time(size, 2 * max(self.threshold, size), near.value, near.degree)
            method = _full_method(near.curvature * left, self.y.size, self.smooth)
        floor = DIED * near.delta * near.start_ratio
        fired = self._flow(method, self.horizon - self.t, self.threshold, floor, 0.0)
        if fired == 0:
            self.code = Stop.ESCAPED
            self._escaped()
        elif fired == 1:
            self.code = Stop.DIED_OUT

    def follow_phase(self, follow: float) -> None:
        """Beyond the escape, to the next plateau or for a multiple of the escape time."""
        ray = ray_time(
            self.threshold, 2 * max(1.0, self.threshold), self.near.value, self.near.degree
        )
        until = (1 + follow) * self.t + follow * ray
        largest = 0.1 * float(jnp.finfo(self.y.dtype).max)
        if self.phases[-1].method == "slow":
            self.horizon = until
            self.slow_phase(min(largest, 1e3))
        # A plateau: the gradient has fallen a thousandfold from where the plain flow took over.
        plateau = 1e-3 * float(self.pieces[-1]["grad_norm"][-1])
        method = "implicit" if self.smooth and self.y.size <= LARGEST_DENSE else "explicit"
        if until > self.t:
            self.rtol = max(self.rtol, 1e-6)
            self._flow(method, until - self.t, largest, 0.0, plateau)
        self.code = Stop.ESCAPED

    def report(self, known: _Report, method: str) -> Escape:
        """Join the pieces."""
        near = self.near
        series = jax.tree.map(lambda *parts: np.concatenate(parts), *self.pieces)
        end = self.y if self.end is None else self.end
        block = jnp.where(near.zero, end, 0)
        direction = block / jnp.maximum(jnp.linalg.norm(block), jnp.finfo(block.dtype).tiny)
        code = Stop.FAILED if self.code is None else self.code
        return known.escape(
            self.escape_time,
            series,
            near.layout.tree(direction),
            near.layout.tree(near.target),
            near.target_value,
            method,
            code,
            near.layout.tree(self.y),
            tuple(self.phases),
        )

    def _escaped(self) -> None:
        if math.isnan(self.escape_time):
            self.escape_time, self.end = self.t, self.y

    def _keep(self, saved: dict[str, Any], kept: np.ndarray, last: dict[str, Any]) -> None:
        self.pieces.append(
            jax.tree.map(
                lambda series, end: np.concatenate(
                    [np.asarray(series)[kept], np.asarray(end)[None]]
                ),
                saved,
                last,
            )
        )

    def _flow(self, method: str, time: float, above: float, below: float, flat: float) -> int:
        """Plain flow for `time`; returns which event (size, floor, plateau) fired, or -1."""
        near = self.near
        tiny = float(jnp.finfo(self.y.dtype).tiny)
        atol = 0.1 * self.rtol
        if method == "implicit" and math.isnan(self.escape_time):
            eps = float(jnp.finfo(self.y.dtype).eps)
            atol = max(atol, 1e3 * eps * near.curvature * min(time, self.wait))
        flow = run_flow(
            near.loss,
            near.layout,
            self.y,
            near.data,
            scale=near.scale(self.y),
            horizon=time,
            rtol=self.rtol,
            atol=atol,
            saves=Saves(400, 16.0, {"measure": near.measure, "size": zero_norm}),
            events=(
                Event("size", above=above),
                Event("size", below=max(below, tiny)),
                Event("grad_norm", below=max(flat, tiny)),
            ),
            solver=SOLVERS[method],
            max_steps=self.max_steps,
        )
        piece = jax.tree.map(np.asarray, dict(flow.observables["measure"]))
        piece |= {
            "t": self.t + np.asarray(flow.ts),
            "loss": np.asarray(flow.losses),
            "grad_norm": np.asarray(flow.grad_norms),
        }
        self.pieces.append(piece)
        self.y, self.t = flow.y, self.t + float(flow.ts[-1])
        self.phases.append(Phase(method, self.t, flow.stats, atol))
        if flow.event < 0 and self.code is None:
            self.code = Stop(flow.result)
        return flow.event
