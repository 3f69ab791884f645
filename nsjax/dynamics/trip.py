"""The phases of one escape, strung together on the host: slow manifold, plain flow, and on."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nsjax import _check
from nsjax.dynamics.approach import DIED, FLAT, Approach
from nsjax.dynamics.events import Event, Saves
from nsjax.dynamics.flow import SOLVERS, run_flow
from nsjax.dynamics.integrate import LARGEST_DENSE, cost
from nsjax.dynamics.measure import zero_norm
from nsjax.dynamics.outcome import Escape, Known, Phase, assemble, without_escape
from nsjax.dynamics.results import Stop
from nsjax.dynamics.slow import DIED_OUT as SLOW_DIED_OUT
from nsjax.dynamics.slow import HORIZON as SLOW_HORIZON
from nsjax.dynamics.slow import MODEL_ERROR, SOLVER, THRESHOLD, SlowLimits, run
from nsjax.dynamics.slow import ZERO_VALUED as SLOW_ZERO_VALUED

ROUNDING = {"explicit": 1e-2, "implicit": 1e-6}
"""Largest `eps * lambda_max * t` that a full integration bears: rounding against slow motion.

The implicit solver's step collapses unless its absolute tolerance lies far above it.
"""
_MOST_EXPLICIT_STEPS = 2e3
"""Expected steps along the dominant ray; a random start takes ten times as long."""


def ray_time(start: float, end: float, value: float, degree: int) -> float:
    r"""Time to grow from norm `start` to `end` along a KKT ray, `rho' = q N* rho^(q-1)`.

    `log(end / start) / (2 N*)` for q = 2, else `(start^(2-q) - end^(2-q)) / (q (q-2) N*)`.

    Args:
        start, end: norms.
        value: N* > 0 at the unit KKT point.
        degree: q >= 2.

    Raises:
        ValueError: for norms or a value that are not positive, or a degree below 2.

    >>> ray_time(1e-2, 1e-1, 0.5, 2) == math.log(1e-1 / 1e-2)
    True
    """
    _check.positive("start", start)
    _check.positive("end", end)
    _check.positive("value", value)
    if degree < 2:
        raise ValueError(f"degree must be at least 2, got {degree!r}")
    if degree == 2:
        return math.log(end / start) / (2 * value)
    power = degree - 2
    return (start**-power - end**-power) / (degree * power * value)


def full_method(stiffness: float, size: int, smooth: bool) -> str:
    """Solver of the plain flow, from the largest curvature times the time to integrate."""
    if not smooth or size > LARGEST_DENSE or stiffness / 3 <= _MOST_EXPLICIT_STEPS:
        return "explicit"
    return "implicit"


SLOW_STOPS = {
    THRESHOLD: Stop.ESCAPED,
    MODEL_ERROR: None,
    SLOW_DIED_OUT: Stop.DIED_OUT,
    SLOW_ZERO_VALUED: Stop.ZERO_VALUED,
    SLOW_HORIZON: Stop.HORIZON,
}
"""What the events of the slow phase mean; None: the plain flow takes over."""


class Trip:
    """The phases of one escape, strung together on the host."""

    def __init__(
        self,
        near: Approach,
        threshold: float,
        horizon: float,
        rtol: float,
        slow_rtol: float,
        follow_rtol: float,
        slow_tol: float,
        max_steps: int,
        smooth: bool,
        wait: float,
    ) -> None:
        self.near, self.threshold, self.horizon, self.wait = near, threshold, horizon, wait
        self.rtol, self.slow_rtol, self.slow_tol = rtol, slow_rtol, slow_tol
        self.follow_rtol = follow_rtol
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
        self.code = SLOW_STOPS[int(jnp.argmax(out.margin))]
        if self.code == Stop.ESCAPED:
            self._escaped()

    def full_phase(self, method: str) -> None:
        """The plain flow up to the threshold: from the start, or where the slow manifold ends."""
        near, wait = self.near, self.wait
        if method == "slow":
            size = float(jnp.linalg.norm(jnp.where(near.zero, self.y, 0)))
            wait = ray_time(size, 2 * max(self.threshold, size), near.value, near.degree)
            method = full_method(near.curvature * wait, self.y.size, self.smooth)
        noise = float(jnp.finfo(self.y.dtype).eps) * near.curvature * wait
        if noise > ROUNDING[method]:
            self.code = Stop.ROUNDING
            return
        atol = max(0.1 * self.rtol, 1e3 * noise) if method == "implicit" else 0.1 * self.rtol
        floor = DIED * near.delta * near.start_ratio
        left = self.horizon - self.t
        fired = self._flow(method, left, self.rtol, atol, self.threshold, floor, 0.0)
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
            rtol = self.follow_rtol
            self._flow(method, until - self.t, rtol, 0.1 * rtol, largest, 0.0, plateau)
        self.code = Stop.ESCAPED

    def report(self, known: Known, method: str) -> Escape:
        """Join the pieces."""
        near = self.near
        if not self.pieces:
            # Refused before anything was integrated.
            return without_escape(known, Stop.FAILED if self.code is None else self.code, method)
        series = jax.tree.map(lambda *parts: np.concatenate(parts), *self.pieces)
        end = self.y if self.end is None else self.end
        block = jnp.where(near.zero, end, 0)
        direction = block / jnp.maximum(jnp.linalg.norm(block), jnp.finfo(block.dtype).tiny)
        finite = bool(jnp.all(jnp.isfinite(end))) and not math.isnan(self.t)
        code = Stop.FAILED if self.code is None or not finite else self.code
        return assemble(
            known,
            series,
            escape_time=self.escape_time if finite else math.nan,
            direction=near.layout.tree(direction),
            target=near.layout.tree(near.target),
            target_value=near.target_value,
            target_residual=near.target_residual,
            # Where its error is too large from the start, the slow manifold never ran.
            method=self.phases[0].method if method == "slow" else method,
            code=code,
            params=near.layout.tree(self.y),
            phases=tuple(self.phases),
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

    def _flow(
        self,
        method: str,
        time: float,
        rtol: float,
        atol: float,
        above: float,
        below: float,
        flat: float,
    ) -> int:
        """Plain flow for `time`; returns which event (size, floor, plateau) fired, or -1."""
        near = self.near
        tiny = float(jnp.finfo(self.y.dtype).tiny)
        flow = run_flow(
            near.loss,
            near.layout,
            self.y,
            near.data,
            scale=near.scale(self.y),
            horizon=time,
            rtol=rtol,
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
