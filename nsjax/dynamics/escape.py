"""Escape from a saddle: perturb `(w_n, 0)` by delta and follow the flow away from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from nsjax import _check
from nsjax.dynamics import slow
from nsjax.dynamics.approach import approach, perturbation_blocks
from nsjax.dynamics.correlation import correlation, dominant
from nsjax.dynamics.integrate import LARGEST_DENSE
from nsjax.dynamics.outcome import Escape, Known, without_escape
from nsjax.dynamics.results import Stop
from nsjax.dynamics.saddles import (
    blocks,
    inspect,
)
from nsjax.dynamics.tolerances import check_rtol
from nsjax.dynamics.trip import Trip, full_method, ray_time
from nsjax.networks import activation_degree
from nsjax.networks.homogeneous import Activation, Params
from nsjax.objectives import LOSSES

METHODS = ("auto", "explicit", "implicit", "slow")


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
            p = 2 and 1e-6 for higher p where the activation has a kink in some derivative; after
            the escape 1e-7.
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
    flags = _check.inactive(params, inactive)
    x, y = _check.samples(params, x, y)
    p = activation_degree(activation)
    delta = _check.positive("delta", delta)
    if key is not None:
        _check.key("key", key)
    _check.choice("loss", loss, tuple(LOSSES))
    _check.targets(loss, "y", y)
    _check.choice("method", method, METHODS)
    threshold = 10 * delta if threshold is None else _check.positive("threshold", threshold)
    follow = _check.non_negative("follow", follow)
    horizon = None if horizon is None else _check.positive("horizon", horizon)
    dtype = params[0].dtype
    if rtol is None:
        rtol = 1e-8 if dtype == jnp.float64 else 1e-5
        slow_rtol, follow_rtol = max(rtol, slow.default_rtol(activation, p)), max(rtol, 1e-7)
    else:
        slow_rtol = follow_rtol = rtol = _check.positive("rtol", rtol)
        check_rtol(rtol, dtype)
    if slow_tol != float("inf"):
        _check.positive("slow_tol", slow_tol)
    if saddle_tol is not None:
        _check.positive("saddle_tol", saddle_tol)
    _check.positive_integer("starts", starts)
    max_steps = _check.positive_integer("max_steps", max_steps)
    if observables is not None and not isinstance(observables, Mapping):
        raise TypeError(f"observables must map names to functions, got {observables!r}")
    named = tuple((observables or {}).items())
    for name, function in named:
        _check.function(f"observables[{name!r}]", function)
    where = blocks(params, flags)
    direction = perturbation_blocks(perturbation, key, params, where)
    start = delta if direction is None else float(jnp.linalg.norm(direction[1])) * delta
    if threshold <= start:
        raise ValueError(
            f"threshold must be above the zero block's norm at the start, {start:.3g}, got "
            f"{threshold:.3g}"
        )
    size = sum(weight.size for weight in params)
    if method in ("slow", "implicit") and size > LARGEST_DENSE:
        raise ValueError(
            f"method {method!r} factorises a dense Hessian: at most {LARGEST_DENSE} weights, "
            f"got {size}"
        )

    saddle = inspect(params, flags, x, y, activation, loss=loss, tol=saddle_tol)
    search_key = jax.random.key(0) if key is None else jax.random.fold_in(key, 1)
    ncf = correlation(params, where.origin, x, y, activation, loss)
    known = Known(params, delta, threshold, saddle)
    if saddle.stop is not None:
        return without_escape(known, saddle.stop)
    best = dominant(search_key, params, flags, ncf, activation, starts=starts)
    known = known._replace(value=best.value)
    if best.dead(saddle):
        return without_escape(known, Stop.DEAD_SADDLE)
    if direction is None:
        direction = (
            jnp.zeros((size,), dtype),
            jnp.concatenate([w.ravel() for w in best.direction]),
        )
    predicted = ray_time(start, threshold, best.value, saddle.degree)
    known = known._replace(predicted=predicted)
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
        method = "slow" if applies else full_method(saddle.curvature_max * predicted, size, smooth)
    elif method == "slow" and not smooth:
        return without_escape(known, Stop.SLOW_INVALID)
    trip = Trip(
        near,
        threshold,
        horizon or 1e4 * predicted,
        rtol,
        slow_rtol,
        follow_rtol,
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
    return trip.report(known, method)
