"""Gradient flow `dw/dt = -grad f(w)` of any loss on any pytree, adaptively integrated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsjax import _check
from nsjax._flat import Layout
from nsjax.dynamics.events import Event, Saves, check_events
from nsjax.dynamics.integrate import LARGEST_DENSE, Integration, cost, integrate
from nsjax.dynamics.results import COLLAPSE, Stats, Stop, in_words
from nsjax.dynamics.tolerances import check_rtol, default_atol, is_coarse, smallest

Loss = Callable[..., jax.Array]

SOLVERS = {"explicit": "tsit5", "implicit": "kvaerno5"}
_EXPLICIT_STEPS = 2e4
"""Above this many expected steps of an explicit solver the implicit one is taken."""


class Flow(NamedTuple):
    """A trajectory of gradient flow.

    Attributes:
        ts: `(m,)` times of the saves, from 0 to where it stopped.
        observables: name to array with a leading axis of length m.
        losses, grad_norms: `(m,)`.
        params: parameters at the end.
        snapshots: parameters at every save, a leading axis of length m; None unless asked for.
        stats: counts of steps, rejections, gradients and Jacobians.
        result: `Stop` code; `message` is its text.
        method: "explicit" or "implicit", the one that ran.
        event: index of the event that fired, -1 if none did.
        coarse: True if `atol` lies above a tenth of the smallest nonzero row or column at the
            start, so that the tolerance cannot resolve its growth.
    """

    ts: jax.Array
    observables: dict[str, jax.Array]
    losses: jax.Array
    grad_norms: jax.Array
    params: Any
    snapshots: Any
    stats: Stats
    result: int
    method: str
    event: int
    coarse: bool

    @property
    def message(self) -> str:
        """Why it stopped, in words."""
        return in_words(self.result, coarse=self.coarse)


def gradient_flow(
    loss: Loss,
    params: Any,
    *,
    args: tuple = (),
    t1: float,
    rtol: float = 1e-6,
    atol: float | None = None,
    saves: Saves | None = None,
    events: Sequence[Event] | Event = (),
    max_steps: int = 100_000,
    method: str = "auto",
) -> Flow:
    """Follow gradient flow from `params` for a time `t1`, or to the first event.

    Args:
        loss: pure function `(params, *args) -> scalar`, hashable. Data belongs in `args`, so that
            new data of one shape does not compile again. With a flax module:
            `lambda params, x, y: jnp.sum((module.apply(params, x) - y) ** 2)`.
        params: any pytree of float arrays.
        args: further arguments of the loss.
        t1: horizon, in the time of `dw/dt = -grad f` (f as given: a sum, not a mean).
        rtol, atol: relative and absolute tolerance of the step-size control, per entry. `atol`
            defaults to `rtol / 100` times the norm of the smallest nonzero row or column of
            `params` (1e-10 at least for the implicit solver, whose steps collapse where it lies
            below rounding).
        saves: what to save and when, see `Saves`; 200 log-spaced times by default.
        events: where to stop early, see `Event`.
        max_steps: bound on the attempted steps.
        method: "explicit" (Tsit5), "implicit" (Kvaerno5 with a dense Hessian) or "auto": explicit,
            unless the largest curvature at the start times t1 asks for more than 20,000 explicit
            steps and there are at most 2,048 parameters.

    Returns:
        `Flow`; its `method` says which one ran, its `message` why it stopped.

    Raises:
        TypeError, ValueError: for bad input, before anything is compiled.

    >>> flow = gradient_flow(lambda w: 0.5 * jnp.sum(w ** 2), jnp.array([1.0]), t1=1.0, rtol=1e-4)
    >>> round(float(flow.params[0]), 3), flow.method
    (0.368, 'explicit')
    """
    _check.hashable("loss", loss)
    _check.tree_finite("params", params)
    _check.choice("method", method, ("auto", *SOLVERS))
    t1, rtol = _check.positive("t1", t1), _check.positive("rtol", rtol)
    max_steps = _check.positive_integer("max_steps", max_steps)
    saves = Saves() if saves is None else saves
    if not isinstance(saves, Saves):
        raise TypeError(f"saves must be an nsjax.dynamics.Saves, got {saves!r}")
    events = check_events(events, saves.observables)
    _check.data("args", args)
    params = _check.floating_tree("params", params)
    layout = Layout.of(params)
    y0 = layout.flat(params)
    check_rtol(rtol, y0.dtype)
    least = float(smallest(jax.tree.map(lambda leaf: np.asarray(leaf)[None], params))[0])
    atol = None if atol is None else _check.positive("atol", atol)
    if method == "implicit" and layout.size > LARGEST_DENSE:
        raise ValueError(
            f"method 'implicit' factorises a dense Hessian: at most {LARGEST_DENSE} parameters, "
            f"got {layout.size}"
        )
    _check.scalar_function("loss", loss, params, *args)
    for event in events:
        if event.quantity in saves.observables:
            observable = saves.observables[event.quantity]
            _check.scalar_function(f"observable {event.quantity!r}", observable, params, *args)
    if method == "auto":
        method = "explicit"
        if layout.size <= LARGEST_DENSE:
            curvature = float(largest_curvature(loss, layout, y0, args))
            method = "implicit" if curvature * t1 / 3 > _EXPLICIT_STEPS else "explicit"
    if atol is None:
        floor = 1e-10 if method == "implicit" else 0.0
        atol = max(default_atol(rtol, least), floor)
    run = run_flow(
        loss,
        layout,
        y0,
        args,
        scale=jnp.ones_like(y0),
        horizon=t1,
        rtol=rtol,
        atol=atol,
        saves=saves,
        events=events,
        solver=SOLVERS[method],
        max_steps=max_steps,
    )
    return Flow(
        run.ts,
        run.observables,
        run.losses,
        run.grad_norms,
        layout.tree(run.y),
        run.snapshots,
        run.stats,
        run.result,
        method,
        run.event,
        is_coarse(atol, least),
    )


class FlatFlow(NamedTuple):
    """A flow on flat vectors, as `run_flow` returns it; attributes as in `Flow`."""

    ts: jax.Array
    observables: dict[str, jax.Array]
    losses: jax.Array
    grad_norms: jax.Array
    y: jax.Array
    snapshots: Any
    stats: Stats
    result: int
    event: int


def run_flow(
    loss: Loss,
    layout: Layout,
    y0: jax.Array,
    args: tuple,
    *,
    scale: jax.Array,
    horizon: float,
    rtol: float,
    atol: float,
    saves: Saves,
    events: tuple[Event, ...],
    solver: str,
    max_steps: int,
) -> FlatFlow:
    """Run the compiled flow once and bring its saves to the host; input is checked by the caller.

    Args:
        scale: `(k,)` typical size of every entry; `atol` counts in it. Only tolerances see it: the
            rescaled variables `w / scale` follow the same flow.
        y0: `(k,)` flat start, in plain units.
    """
    spec = _Spec(
        loss,
        layout,
        tuple(saves.observables.items()),
        tuple((event.quantity, event.sign) for event in events),
        saves.count,
        saves.decades,
        saves.snapshots,
        solver,
        max_steps,
    )
    dtype = y0.dtype
    thresholds = jnp.asarray([event.threshold for event in events], dtype)
    out, final = _compiled(
        spec,
        y0,
        args,
        scale,
        jnp.asarray(horizon, dtype),
        jnp.asarray(rtol, dtype),
        jnp.asarray(atol, dtype),
        thresholds,
    )
    kept = np.asarray(jnp.isfinite(out.ts)) & (np.asarray(out.ts) < float(out.t))

    def join(series: jax.Array, last: jax.Array) -> jax.Array:
        return jnp.concatenate([series[kept], last[None]])

    saved: dict[str, Any] = jax.tree.map(join, out.saved, final)
    losses, grad_norms = saved.pop("loss"), saved.pop("grad_norm")
    snapshots = saved.pop("snapshot", None)
    fired = int(jnp.argmax(out.margin)) if int(out.code) == Stop.EVENT else -1
    return FlatFlow(
        join(out.ts, out.t),
        saved,
        losses,
        grad_norms,
        out.y * scale,
        snapshots,
        cost(solver, out.steps, out.rejected),
        _reason(out, solver),
        fired,
    )


def _reason(out: Integration, solver: str) -> int:
    """Stop code; steps that ran out because most were rejected are a collapse of the step size."""
    code, share = int(out.code), int(out.rejected) / max(int(out.steps), 1)
    if code == Stop.MAX_STEPS and solver == "kvaerno5" and share > 0.5:
        return int(Stop.ROUNDING)
    if code == Stop.MAX_STEPS and share > COLLAPSE:
        return int(Stop.FAILED)
    return code


class _Spec(NamedTuple):
    """All that is static in a compiled flow."""

    loss: Loss
    layout: Layout
    observables: tuple[tuple[str, Callable[..., Any]], ...]
    events: tuple[tuple[str, int], ...]
    saves: int
    decades: float
    snapshots: bool
    solver: str
    max_steps: int


@partial(jax.jit, static_argnums=0)
def _compiled(
    spec: _Spec,
    y0: jax.Array,
    args: tuple,
    scale: jax.Array,
    horizon: jax.Array,
    rtol: jax.Array,
    atol: jax.Array,
    thresholds: jax.Array,
) -> tuple[Integration, Any]:
    value_and_grad = jax.value_and_grad(lambda y, args: spec.loss(spec.layout.tree(y), *args))
    observables = dict(spec.observables)

    def field(t: jax.Array, y: jax.Array, args: Any) -> jax.Array:
        del t
        data, scale, _ = args
        return -value_and_grad(y * scale, data)[1] / scale

    def measure(t: jax.Array, y: jax.Array, args: Any) -> dict[str, Any]:
        del t
        data, scale, _ = args
        value, gradient = value_and_grad(y * scale, data)
        params = spec.layout.tree(y * scale)
        saved: dict[str, Any] = {name: f(params, *data) for name, f in observables.items()}
        saved |= {"loss": value, "grad_norm": jnp.linalg.norm(gradient)}
        return saved | ({"snapshot": params} if spec.snapshots else {})

    def margins(t: jax.Array, y: jax.Array, args: Any) -> jax.Array:
        del t
        data, scale, thresholds = args
        values = []
        for (name, sign), threshold in zip(spec.events, thresholds, strict=True):
            if name == "loss":
                value = value_and_grad(y * scale, data)[0]
            elif name == "grad_norm":
                value = jnp.linalg.norm(value_and_grad(y * scale, data)[1])
            else:
                value = jnp.asarray(observables[name](spec.layout.tree(y * scale), *data))
            size = jnp.where(threshold == 0, 1, jnp.abs(threshold))
            values.append(sign * (value - threshold) / size)
        return jnp.stack(values)

    start = y0 / scale
    packed = (args, scale, thresholds)
    fractions = Saves(spec.saves, spec.decades).fractions
    # An event that already holds at the start stops the flow there: a horizon of (nearly) nothing.
    already = jnp.zeros((), bool)
    if spec.events:
        already = jnp.max(margins(jnp.zeros(()), start, packed)) > 0
    value, gradient = value_and_grad(y0, args)
    lost = ~(jnp.isfinite(value) & jnp.all(jnp.isfinite(gradient)))
    horizon = jnp.where(already | lost, jnp.finfo(y0.dtype).tiny, horizon)
    out = integrate(
        field,
        start,
        packed,
        horizon=horizon,
        fractions=fractions,
        measure=measure,
        margins=margins if spec.events else None,
        rtol=rtol,
        atol=atol,
        solver=spec.solver,
        max_steps=spec.max_steps,
    )
    code = jnp.where(lost, Stop.FAILED, jnp.where(already, Stop.EVENT, out.code))
    out = out._replace(code=code.astype(jnp.int32))
    return out, measure(out.t, out.y, packed)


@partial(jax.jit, static_argnums=(0, 1))
def largest_curvature(loss: Loss, layout: Layout, y0: jax.Array, args: tuple) -> jax.Array:
    """Largest absolute eigenvalue of the Hessian, to a few percent, by 30 power steps."""
    gradient = jax.grad(lambda y: loss(layout.tree(y), *args))

    def step(_: int, state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        direction = state[0] / jnp.maximum(jnp.linalg.norm(state[0]), jnp.finfo(y0.dtype).tiny)
        product = jax.jvp(gradient, (y0,), (direction,))[1]
        return product, jnp.linalg.norm(product)

    first = jax.random.normal(jax.random.key(0), y0.shape, y0.dtype)
    return jax.lax.fori_loop(0, 30, step, (first, jnp.zeros((), y0.dtype)))[1]
