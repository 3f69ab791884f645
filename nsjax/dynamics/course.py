"""The course of a cascade between two events: the slow manifold, and the plain flow in chunks.

The plain flow runs in chunks about as long as the loss or a neuron takes to change by a factor of e
or two, each with evenly spaced saves, so that a plateau of any length and a fall of any steepness
are resolved alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsjax._flat import Layout
from nsjax.diagnostics import neuron_norms
from nsjax.dynamics import slow
from nsjax.dynamics.approach import DIED, FLAT, Approach
from nsjax.dynamics.events import Event as Crossing
from nsjax.dynamics.events import Saves
from nsjax.dynamics.flow import SOLVERS, largest_curvature, run_flow
from nsjax.dynamics.integrate import cost
from nsjax.dynamics.measure import ReferencedLoss
from nsjax.dynamics.outcome import Phase
from nsjax.dynamics.plateau import Plateau, small_neurons
from nsjax.dynamics.results import Stats, Stop
from nsjax.dynamics.saddles import Inactive
from nsjax.dynamics.trip import ROUNDING, SLOW_STOPS, full_method
from nsjax.networks.homogeneous import Params
from nsjax.objectives import NetworkLoss


class Event(Enum):
    """What ends the plain flow, other than a `Stop`."""

    GREW = 0
    """A small neuron crossed the threshold."""
    SETTLED = 1
    """The gradient over the active weights fell below a bound."""
    LEFT = 2
    """It rose above one."""


_SAVES, _MOST_SAVES, _CHUNK_STEPS = 16, 4000, 50_000
"""Saves of a chunk, saves kept of a phase, and steps of a chunk at most."""
_ROUNDING = 1e-8
"""Rounding that an implicit chunk is cut down to."""
_LONGEST = 1e8
"""Horizon of the slow manifold in the time in which the dominant KKT point of size one grows."""


class Watch(NamedTuple):
    """What the events of the plain flow look at.

    Attributes:
        small: one boolean array per hidden layer, the small neurons.
        threshold: norm from which a neuron counts as active.
    """

    small: tuple[jax.Array, ...]
    threshold: jax.Array


class Piece(NamedTuple):
    """What was saved in one phase, from its start on.

    Attributes:
        ts: `(m,)` times from the start of the phase.
        weights: `(m, P)`.
        losses, grad_norms: `(m,)`.
        phase: method and cost.
        start: time at which the phase began.
    """

    ts: np.ndarray
    weights: np.ndarray
    losses: np.ndarray
    grad_norms: np.ndarray
    phase: Phase
    start: float


def flat_weights(params: Params, *_: Any) -> dict[str, jax.Array]:
    """All weights `(P,)`: what a cascade saves."""
    return {"weights": jnp.concatenate([jnp.ravel(weight) for weight in params])}


def largest_small(params: Params, x: jax.Array, y: jax.Array, watch: Watch) -> jax.Array:
    """Norm of the largest small neuron."""
    del x, y
    norms = neuron_norms(params)
    return jnp.max(
        jnp.stack(
            [
                jnp.max(jnp.where(small, norm, 0))
                for norm, small in zip(norms, watch.small, strict=True)
            ]
        )
    )


@dataclass(frozen=True)
class ActiveGradient:
    """Norm of the gradient over the weights between neurons above the threshold."""

    loss: NetworkLoss

    def __call__(self, params: Params, x: jax.Array, y: jax.Array, watch: Watch) -> jax.Array:
        """`||grad_n f||`."""
        gradient = jax.grad(self.loss)(params, x, y)
        active = [norm >= watch.threshold for norm in neuron_norms(params)]
        ends = [jnp.ones(params[0].shape[1], bool), *active, jnp.ones(params[-1].shape[0], bool)]
        parts = [
            jnp.where(above[:, None] & below[None, :], part, 0)
            for part, (below, above) in zip(gradient, pairwise(ends), strict=True)
        ]
        return jnp.sqrt(sum(jnp.sum(part**2) for part in parts))


class Course:
    """Where a cascade is, and what it has saved on the way.

    Args:
        params: the start.
        x, y, loss: of the training loss.
        scale: natural size of an active weight.
        threshold: norm from which a neuron counts as active.
        rtol, slow_rtol: relative tolerances of the plain flow and of the slow manifold.
        smooth: whether an implicit solver serves.
        max_steps: of all plain phases together.
    """

    def __init__(
        self,
        params: Params,
        x: jax.Array,
        y: jax.Array,
        loss: NetworkLoss,
        *,
        scale: float,
        threshold: float,
        rtol: float,
        slow_rtol: float,
        smooth: bool,
        max_steps: int,
    ) -> None:
        self.layout, self.x, self.y, self.loss = Layout.of(params), x, y, loss
        self.flat = self.layout.flat(params)
        self.scale, self.threshold = scale, threshold
        self.rtol, self.slow_rtol, self.smooth = rtol, slow_rtol, smooth
        self.steps_left = max_steps
        self.time = 0.0
        self.pieces: list[Piece] = []
        self.marks: list[int] = []  # the pieces that begin with an escape
        self._saves = Saves(
            _SAVES,
            0.0,
            {
                "saved": flat_weights,
                "largest_small": largest_small,
                "active_gradient": ActiveGradient(loss),
            },
        )

    @property
    def params(self) -> Params:
        """The weights now."""
        return self.layout.tree(self.flat)

    def slow(self, near: Approach, slow_tol: float, horizon: float) -> Stop | None:
        """The slow manifold to where its error is too large (None) or the small block is at rest.

        `near` was made of the weights as they are now; the horizon counts from now.
        """
        dtype = self.flat.dtype
        size = near.delta * near.start_ratio
        speed = near.degree * near.value * near.delta ** (near.degree - 2)
        limits = slow.SlowLimits(
            log_size=jnp.asarray(math.log(max(self.threshold, size) / near.delta), dtype),
            model_error=jnp.asarray(slow_tol, dtype),
            residual=jnp.asarray(0.0, dtype),
            log_floor=jnp.asarray(math.log(DIED * near.start_ratio), dtype),
            flat=jnp.asarray(FLAT, dtype),
            tau=jnp.asarray(min(_LONGEST, speed * horizon), dtype),
        )
        rtol, atol = self.slow_rtol, 0.01 * self.slow_rtol
        out, end, last = slow.run(
            near.spec,
            near.state,
            near.problem,
            limits,
            jnp.asarray(rtol, dtype),
            jnp.asarray(atol, dtype),
        )
        kept = np.asarray(jnp.isfinite(out.ts) & (out.ts < out.t))
        phase = Phase(
            "slow",
            self.time + float(last["t"]),
            cost(slow.SOLVER, out.steps, out.rejected),
            atol,
        )
        self._keep(
            phase,
            *(
                np.concatenate([np.asarray(out.saved[name])[kept], np.asarray(last[name])[None]])
                for name in ("t", "weights", "loss", "grad_norm")
            ),
        )
        self.flat = end
        if int(out.code) != Stop.EVENT:
            return Stop(int(out.code))
        code = SLOW_STOPS[int(jnp.argmax(out.margin))]
        return None if code == Stop.ESCAPED else code

    def plain(
        self,
        small: Inactive,
        horizon: float,
        *,
        settled: float = 0.0,
        left: float = math.inf,
        grown: bool = True,
        stiff: bool = False,
    ) -> Event | Stop:
        """The plain flow until an event or a stop code.

        Args:
            small: the small neurons.
            horizon: time at which to give up.
            settled, left: bounds of the gradient over the active weights.
            grown: whether a small neuron that crosses the threshold stops it.
            stiff: whether to take the implicit solver wherever it serves: the explicit one leaves
                noise in stiff directions, which is all there is of a small gradient.
        """
        dtype = self.flat.dtype
        huge = 0.1 * float(jnp.finfo(dtype).max)
        watch = self._watch(small)
        # In the order of `Event`.
        events = (
            Crossing("largest_small", above=self.threshold if grown else huge),
            Crossing("active_gradient", below=settled if settled > 0 else -1.0),
            Crossing("active_gradient", above=min(left, huge)),
        )
        scale = self._entry_scales(small)
        elapsed, stats, pieces, methods = 0.0, Stats(), [], set()
        begun = self.time
        horizon = min(horizon, 1e-3 * huge)
        outcome: Event | Stop = Stop.HORIZON
        while elapsed < horizon:
            rate, curvature = map(float, _pace(self.loss, self.layout, self.flat, self.x, self.y))
            rate = max(rate, 0.5 / elapsed if elapsed else 0.0, 1 / (horizon - elapsed))
            chunk = min(2 / rate, horizon - elapsed)
            stiffness = math.inf if stiff else curvature * chunk
            method = full_method(stiffness, self.flat.size, self.smooth)
            # Rounding in one chunk stays far below what moves in it, however long the wait.
            eps = float(jnp.finfo(dtype).eps)
            if method == "implicit" and eps * curvature * chunk > _ROUNDING:
                chunk = max(_ROUNDING / (eps * curvature), 1e-3 * elapsed)
            noise = eps * curvature * chunk
            if noise > ROUNDING[method] or self.steps_left <= 0:
                outcome = Stop.ROUNDING if self.steps_left > 0 else Stop.MAX_STEPS
                break
            atol = max(0.1 * self.rtol, 1e3 * noise if method == "implicit" else 0.0)
            flow = run_flow(
                ReferencedLoss(self.loss),
                self.layout,
                self.flat,
                (self.x, self.y, watch),
                scale=scale,
                horizon=chunk,
                rtol=self.rtol,
                atol=atol,
                saves=self._saves,
                events=events,
                solver=SOLVERS[method],
                max_steps=_CHUNK_STEPS,
            )
            stats += flow.stats
            methods.add(method)
            self.steps_left -= flow.stats.steps
            self.flat = flow.y
            pieces.append(
                (
                    elapsed + np.asarray(flow.ts),
                    np.asarray(flow.observables["saved"]["weights"]),
                    np.asarray(flow.losses),
                    np.asarray(flow.grad_norms),
                )
            )
            elapsed += float(flow.ts[-1])
            if flow.event >= 0:
                outcome = Event(flow.event)
                break
            spent = flow.result == Stop.MAX_STEPS and self.steps_left > 0
            if flow.result != Stop.HORIZON and not spent:
                outcome = Stop(flow.result)
                break
        if pieces:
            # Each chunk begins where the one before it ended.
            series = [
                np.concatenate([part[:-1] for part in column[:-1]] + [column[-1]])
                for column in zip(*pieces, strict=True)
            ]
            if len(series[0]) > _MOST_SAVES:
                kept = np.linspace(0, len(series[0]) - 1, _MOST_SAVES).astype(int)
                series = [part[kept] for part in series]
            method = "implicit" if "implicit" in methods else "explicit"
            self._keep(Phase(method, begun + elapsed, stats, 0.1 * self.rtol), *series)
        return outcome

    def active_gradient(self, small: Inactive) -> float:
        """Norm of the gradient over the weights between neurons that are not small."""
        gradient = ActiveGradient(self.loss)
        return float(gradient(self.params, self.x, self.y, self._watch(small)))

    def small_now(self) -> Inactive:
        """The neurons below the threshold."""
        return small_neurons(self.params, self._low)

    @property
    def _low(self) -> float:
        # A crossing is located to rounding: on either side of the threshold.
        return self.threshold * (1 - 1e-6)

    def _watch(self, small: Inactive) -> Watch:
        flags = tuple(jnp.asarray(each) for each in small)
        return Watch(flags, jnp.asarray(self._low, self.flat.dtype))

    def rest_at(self, plateau: Plateau) -> None:
        """Put the active weights at the minimum that they have come close to."""
        end = self.layout.flat(plateau.params)
        self.flat = jnp.where(jnp.asarray(plateau.where.zero), self.flat, end)

    def gradient_floor(self) -> float:
        """Gradient norm below which there is only rounding."""
        _, curvature = _pace(self.loss, self.layout, self.flat, self.x, self.y)
        eps = float(jnp.finfo(self.flat.dtype).eps)
        return 100 * eps * float(curvature) * float(jnp.linalg.norm(self.flat))

    def still(self) -> Piece:
        """A single save of where it stands, for a course that never began."""
        value, gradient = jax.value_and_grad(self.loss)(self.params, self.x, self.y)
        norm = np.asarray(jnp.sqrt(sum(jnp.sum(part**2) for part in gradient)))[None]
        phase = Phase("none", self.time, Stats(), 0.0)
        weights = np.asarray(self.flat)[None]
        return Piece(np.zeros(1), weights, np.asarray(value)[None], norm, phase, self.time)

    def _keep(self, phase: Phase, ts: Any, weights: Any, losses: Any, grad_norms: Any) -> None:
        self.pieces.append(Piece(ts, weights, losses, grad_norms, phase, self.time))
        self.time += float(ts[-1])

    def _entry_scales(self, small: Inactive) -> jax.Array:
        """Typical size `(P,)` of every weight: that of the smaller of its two neurons."""
        params = self.params
        sizes = [
            np.where(flags & (norms > 0), norms, self.scale)
            for flags, norms in zip(small, map(np.asarray, neuron_norms(params)), strict=True)
        ]
        ends = [np.full(params[0].shape[1], self.scale), *sizes]
        ends.append(np.full(params[-1].shape[0], self.scale))
        entries = [
            np.minimum(above[:, None], below[None, :]).ravel() for below, above in pairwise(ends)
        ]
        return jnp.asarray(np.concatenate(entries), self.flat.dtype)


@partial(jax.jit, static_argnums=(0, 1))
def _pace(
    loss: NetworkLoss, layout: Layout, flat: jax.Array, x: jax.Array, y: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """How fast the loss or a neuron's norm change, relative to themselves; the largest curvature.

    The gradient itself would not do: what a solver leaves of it in stiff directions changes at the
    rate of the largest curvature.
    """
    params = layout.tree(flat)
    value, gradient = jax.value_and_grad(loss)(params, x, y)
    square = sum(jnp.sum(part**2) for part in gradient)
    rates = [square / jnp.where(value > 0, value, 1)]
    # d log ||w_j|| / dt = -<grad_j f, w_j> / ||w_j||^2
    overlap = [part * weight for part, weight in zip(gradient, params, strict=True)]
    for norm, (into, out) in zip(neuron_norms(params), pairwise(overlap), strict=True):
        velocity = jnp.abs(jnp.sum(into, axis=1) + jnp.sum(out, axis=0))
        rates.append(jnp.max(velocity / jnp.where(norm > 0, norm, 1) ** 2))
    return jnp.max(jnp.stack(rates)), largest_curvature(loss, layout, flat, (x, y))
