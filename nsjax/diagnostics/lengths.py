"""The length of a trajectory of gradient flow, against the bound of the Łojasiewicz inequality."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from nsjax import _check
from nsjax.diagnostics.inequality import Lojasiewicz

SLACK = 0.01
"""Share taken off the measured constant: what the search for it may have missed."""
ROUNDINGS = 1e3
"""Values of f - f* below so many roundings of f* say nothing."""


class Trajectory(NamedTuple):
    """A trajectory that comes as arrays, such as a training run has logged.

    It goes where a `Flow` goes: `path_length`, and with snapshots `kept_sparsity` and
    `nsjax.dynamics.saddle_visits`.

    Attributes:
        ts, losses, grad_norms: times, f and `||grad f||` at the saves, `(m,)` each.
        snapshots: weight matrices with a leading axis of length m, or None.
    """

    ts: Any
    losses: Any
    grad_norms: Any
    snapshots: Any = None


class PathLength(NamedTuple):
    """A measured length and its bound.

    Both are of the part of the trajectory from `since` on, the first save at which `f - f*` lies
    within the levels at which the constants were measured.

    Attributes:
        length: `int ||w'|| dt` from `since` to the last save.
        bound: `(f - f*)^(1 - alpha) / (mu (1 - alpha))` at `since`; NaN without constants.
        ratio: bound over length.
        holds: whether the inequality, and with it the bound, is claimed for this part: it is true
            with `alpha` and `mu` at every save of the part whose `f - f*` lies above rounding.
        tail: bound of the length after the last save.
        since: time at which the part starts; NaN if no two saves lie within the levels.
        total: length of the whole trajectory.
        error: by how much `length` changes if every other save is left out.
        alpha, mu: constants used, `mu` a percent below the smallest one measured in the radius.
        values: `f - f*` at the saves of the part, `(k,)`.
        remaining: length from each of them to the last save, `(k,)`.
        bounds: the bound at each of them, `(k,)`. Near the end, where an integrator's error moves
            the point as far as the flow does, what remains may exceed it.
    """

    length: float
    bound: float
    ratio: float
    holds: bool
    tail: float
    since: float
    total: float
    error: float
    alpha: float
    mu: float
    values: np.ndarray
    remaining: np.ndarray
    bounds: np.ndarray


def path_length(
    flow: Any, *, lojasiewicz: Lojasiewicz | None = None, limit: float | None = None
) -> PathLength:
    """Measure the length of a gradient flow and bound it by the Łojasiewicz inequality.

    Between two saves `||grad f||` is taken as a power of `f - f*`, and the length is
    `int df / ||grad f||`: exact where one mode decays, at any rate, so saves may be spaced by
    decades. Where f falls by less than its rounding, `||grad f||` is an exponential in t instead.

    Args:
        flow: an `nsjax.dynamics.Flow`, a `Trajectory`, or anything with `ts`, `losses` and
            `grad_norms`, `(m,)` each with m >= 2.
        lojasiewicz: constants at the minimum that the flow goes to. Without them, or if they are
            inconclusive, there is a length and no bound.
        limit: f*; that of `lojasiewicz` by default, without it the smallest loss.

    Returns:
        `PathLength`.

    Raises:
        TypeError, ValueError: for arrays of different shapes, times that do not rise, gradient
            norms below zero, or anything that is not finite.

    Source: `docs/mathematics.md`, section 4. With `F = f - f*`, `w' = -grad f` and
    `-dF/dt = ||grad f||^2 >= ||w'|| mu F^alpha`, so `||w'|| <= -d/dt F^(1 - alpha) / (mu (1 -
    alpha))`.

    >>> t = np.linspace(0, 30, 301)
    >>> found = path_length(Trajectory(t, np.exp(-2 * t) / 2, np.exp(-t)), limit=0.0)
    >>> round(found.length, 6)
    1.0
    """
    ts, losses, grad_norms = trajectory_arrays(flow)
    if lojasiewicz is not None and not isinstance(lojasiewicz, Lojasiewicz):
        raise TypeError(f"lojasiewicz must be a Lojasiewicz, got {type(lojasiewicz).__name__}")
    known = lojasiewicz is not None and lojasiewicz.conclusive
    if limit is not None:
        limit = float(_check.finite("limit", jnp.asarray(limit, float)))
    elif lojasiewicz is not None:
        limit = lojasiewicz.value
    else:
        limit = float(np.min(losses))
    rounding = ROUNDINGS * float(np.finfo(losses.dtype).eps) * abs(limit)
    ts, values, grad_norms = (np.asarray(a, float) for a in (ts, losses - limit, grad_norms))

    pieces = _pieces(ts, values, grad_norms, rounding)
    total = float(np.sum(pieces))
    alpha, mu, top = np.nan, np.nan, np.inf
    if known:
        assert lojasiewicz is not None
        alpha, mu, top = lojasiewicz.alpha, (1 - SLACK) * lojasiewicz.ball_mu, lojasiewicz.top
    within = np.flatnonzero(values <= top)
    first = int(within[0]) if len(within) else len(ts)
    part = slice(first, None)
    if len(ts) - first < 2:
        none = np.zeros(0)
        nan = float("nan")
        return PathLength(nan, nan, nan, False, nan, nan, total, nan, alpha, mu, none, none, none)
    length = float(np.sum(pieces[part]))
    thinned = np.unique(np.r_[np.arange(first, len(ts), 2), len(ts) - 1])
    coarse = np.sum(_pieces(ts[thinned], values[thinned], grad_norms[thinned], rounding))
    remaining = np.append(np.cumsum(pieces[part][::-1])[::-1], 0.0)
    values, grad_norms = values[part], grad_norms[part]
    bounds = np.maximum(values, 0) ** (1 - alpha) / (mu * (1 - alpha))
    clear = values > rounding
    sound = bool(np.all(values >= -rounding)) and clear[0]
    holds = known and sound and bool(np.all(grad_norms[clear] >= mu * values[clear] ** alpha))
    bound = float(bounds[0])
    return PathLength(
        length,
        bound,
        bound / length if length > 0 else np.nan,
        holds,
        float(bounds[-1]),
        float(ts[first]),
        total,
        abs(length - float(coarse)),
        alpha,
        mu,
        values,
        remaining,
        bounds,
    )


def _pieces(
    ts: np.ndarray, values: np.ndarray, grad_norms: np.ndarray, rounding: float
) -> np.ndarray:
    """Lengths between the saves, `(m - 1,)`."""
    with np.errstate(divide="ignore", invalid="ignore"):
        fall = np.log(values[:-1] / values[1:])
        drop = np.log(grad_norms[:-1] / grad_norms[1:])
        # int g dt with g = exp(-c t), and int dF / g with g = C F^b.
        flat = np.abs(drop) < 1e-6
        mean = np.where(
            flat,
            (grad_norms[:-1] + grad_norms[1:]) / 2,
            (grad_norms[:-1] - grad_norms[1:]) / np.where(flat, 1, drop),
        )
        by_time = np.where(np.isfinite(mean), mean, 0) * np.diff(ts)
        reach = values / grad_norms
        rest = fall - drop  # (1 - b) log(F_0 / F_1)
        straight = np.abs(rest) < 1e-6
        by_value = np.where(
            straight,
            fall * (reach[:-1] + reach[1:]) / 2,
            fall * (reach[:-1] - reach[1:]) / np.where(straight, 1, rest),
        )
    usable = (values[1:] > rounding) & (fall > 1e-6) & np.isfinite(by_value)
    return np.where(usable, by_value, by_time)


def trajectory_arrays(flow: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times, losses and gradient norms of a flow, checked, on the host."""
    names = ("ts", "losses", "grad_norms")
    for name in names:
        if not hasattr(flow, name):
            raise TypeError(
                f"flow must have ts, losses and grad_norms, got {type(flow).__name__} "
                f"without {name}"
            )
    ts, losses, grad_norms = (np.asarray(getattr(flow, name)) for name in names)
    for name, array in zip(names, (ts, losses, grad_norms), strict=True):
        if not np.issubdtype(array.dtype, np.floating):
            raise TypeError(f"flow.{name} must be floating, got dtype {array.dtype}")
        if array.ndim != 1 or len(array) < 2 or array.shape != ts.shape:
            raise ValueError(
                f"flow.{name} must have shape (m,), m >= 2, the same as flow.ts, "
                f"got {array.shape} and {ts.shape}"
            )
        if not np.all(np.isfinite(array)):
            raise ValueError(f"flow.{name} must be finite, got NaN or infinite entries")
    if np.any(np.diff(ts) <= 0):
        raise ValueError("flow.ts must rise")
    if np.any(grad_norms < 0):
        raise ValueError(f"flow.grad_norms must be >= 0, got {grad_norms.min():.3g}")
    return ts, losses, grad_norms
