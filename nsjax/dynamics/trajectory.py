"""Saddle visits read off any trajectory of gradient flow, or of a training run."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsjax import _check
from nsjax._flat import Layout
from nsjax.diagnostics import neuron_norms
from nsjax.diagnostics.snapshots import weights_of
from nsjax.dynamics.correlation import climb, correlation, dominant
from nsjax.dynamics.plateau import Plateau, find_plateau
from nsjax.dynamics.saddles import Inactive
from nsjax.dynamics.visits import Visit, describe
from nsjax.kkt import unit
from nsjax.networks import activation_degree
from nsjax.networks.homogeneous import Activation, Params
from nsjax.objectives import LOSSES, NetworkLoss


def saddle_visits(
    flow: Any,
    x: jax.Array,
    y: jax.Array,
    activation: Activation,
    *,
    loss: str = "square",
    threshold: float | None = None,
    prominence: float = 1.0,
    starts: int = 64,
    key: jax.Array | None = None,
) -> tuple[Visit, ...]:
    """The saddle visits of any trajectory: plateaus of the gradient norm, and what lies there.

    A plateau is a minimum of `||grad f||` along the path that stands out by `prominence` decades,
    end points included. Neighbouring ones with the same active neurons and the same loss (to a
    thousandth of what the loss has fallen in all) are one.

    Args:
        flow: has `ts`, `losses` and `grad_norms`, each `(m,)`, and `snapshots`, a pytree of
            weight matrices with a leading axis of length m: a `Flow` or `Cascade` run with
            snapshots, or a `diagnostics.Trajectory` of what a training run has logged.
        x, y: data `(n, d)`, `(n, c)`.
        activation: homogeneous activation.
        loss: "square", "logistic" or "cross_entropy".
        threshold: norm from which a neuron counts as active; by default a tenth of the largest one
            at the end.
        prominence: in decades.
        starts, key: of the KKT search at every plateau.

    Returns:
        One `Visit` for each plateau in order, `method` "read". Where the flow comes close to a
        critical point of the active weights, that is the saddle; else `saddle.stop` says that there
        is none and `params` is where the gradient was least. A visit ends where the first of its
        escaping neurons crosses the threshold, interpolated between saves; if none does, where the
        gradient norm is largest before the next plateau.

    Raises:
        TypeError, ValueError: for bad input, or a trajectory without snapshots. Labels must be -1
            and 1 for the logistic loss, rows probabilities for cross-entropy.
    """
    x, y, weights = _check_trajectory(flow, x, y)
    _check.choice("loss", loss, tuple(LOSSES))
    _check.targets(loss, "y", y)
    if key is not None:
        _check.key("key", key)
    activation_degree(activation)
    prominence = _check.positive("prominence", prominence)
    starts = _check.positive_integer("starts", starts)
    network_loss = NetworkLoss(activation, loss)
    norms = tuple(np.asarray(norm) for norm in neuron_norms(weights))
    if threshold is None:
        threshold = 0.1 * max(float(norm[-1].max()) for norm in norms)
    threshold = _check.positive("threshold", threshold)
    ts, gradients = np.asarray(flow.ts, float), np.asarray(flow.grad_norms, float)
    losses = np.asarray(flow.losses, float)
    at = plateau_saves(gradients, losses, norms, threshold, prominence)
    tol = max(1e-6, 1e3 * float(jnp.finfo(weights[0].dtype).eps))
    visits: list[Visit] = []
    for number, i in enumerate(at):
        following = at[number + 1] if number + 1 < len(at) else None
        params = jax.tree.map(lambda leaf, i=i: leaf[i], weights)
        small = split(tuple(norm[i] for norm in norms), threshold)
        size = float(jnp.sqrt(sum(jnp.sum(weight**2) for weight in params)))
        plateau = find_plateau(params, small, x, y, network_loss, tol=tol, reach=0.1 * size)
        start = visits[-1].start + visits[-1].duration if visits else float(ts[0])
        visit = describe(plateau, x, y, network_loss, start)._replace(method="read")
        best = _Escaping((), math.inf, i)
        if following is not None:
            best = _escaping(ts, gradients, norms, threshold, small, i, following)
        visit = visit._replace(escaping=best.neurons, duration=best.time - start)
        if plateau.where.zero.any():
            block = jax.tree.map(lambda leaf, j=best.save: leaf[j], weights)
            search = jax.random.key(0) if key is None else key
            visit = _with_correlation(visit, plateau, block, x, y, network_loss, search, starts)
        visits.append(visit)
    return tuple(visits)


def plateaus(grad_norms: np.ndarray, prominence: float) -> np.ndarray:
    """Indices of the minima of a positive series that stand out by so many decades, ends included.

    >>> plateaus(np.array([1e-3, 1.0, 1e-2, 1.0, 0.5, 1.0, 1e-4]), 1.0).tolist()
    [0, 2, 6]
    """
    from scipy.signal import find_peaks

    tiny = np.finfo(float).tiny
    height = -np.log10(np.maximum(grad_norms, tiny))
    # Beyond both ends the gradient counts as large, so that an end can be a minimum.
    padded = np.concatenate([[height.min() - 1e3], height, [height.min() - 1e3]])
    peaks, _ = find_peaks(padded, prominence=prominence)
    return peaks - 1


def plateau_saves(
    gradients: np.ndarray,
    losses: np.ndarray,
    norms: tuple[np.ndarray, ...],
    threshold: float,
    prominence: float = 1.0,
) -> list[int]:
    """The saves at which a trajectory is on a plateau; what only noise has parted counts as one."""
    kept: list[int] = []
    close = 1e-3 * float(losses.max() - losses.min())
    for i in map(int, plateaus(gradients, prominence)):
        if kept:
            last = kept[-1]
            same = all(
                bool(np.all((norm[i] < threshold) == (norm[last] < threshold))) for norm in norms
            )
            if same and abs(losses[i] - losses[last]) <= close:
                kept[-1] = min(i, last, key=lambda j: gradients[j])
                continue
        kept.append(i)
    return kept


def split(norms: tuple[np.ndarray, ...], threshold: float) -> Inactive:
    """The small neurons; all of them where a hidden layer has no other, since then H is small."""
    small = tuple(np.asarray(norm) < threshold for norm in norms)
    if any(flags.all() for flags in small):
        return tuple(np.ones_like(flags) for flags in small)
    return small


def _check_trajectory(flow: Any, x: Any, y: Any) -> tuple[jax.Array, jax.Array, Params]:
    for name in ("ts", "losses", "grad_norms", "snapshots"):
        if not hasattr(flow, name):
            raise TypeError(f"flow must have {name}, got {type(flow).__name__} without it")
    if flow.snapshots is None:
        raise ValueError(
            "flow must hold snapshots, got None; run it with saves=Saves(snapshots=True), or the "
            "cascade with snapshots=True"
        )
    weights = weights_of("flow.snapshots", flow.snapshots)
    m = weights[0].shape[0] if weights[0].ndim == 3 else 0
    if m < 2:
        raise ValueError(
            "flow.snapshots must be networks at 2 saves or more, a leading axis or a sequence, got "
            f"weights of shape {weights[0].shape}"
        )
    for name in ("ts", "losses", "grad_norms"):
        series = np.asarray(getattr(flow, name))
        if series.shape != (m,) or not np.issubdtype(series.dtype, np.number):
            raise ValueError(
                f"flow.{name} must hold a number for each of {m} snapshots, got {series.dtype} of "
                f"shape {series.shape}"
            )
        if not np.all(np.isfinite(series)):
            raise ValueError(f"flow.{name} must be finite, got NaN or infinity in it")
    if np.any(np.diff(np.asarray(flow.ts)) < 0):
        raise ValueError("flow.ts must not fall, got times in another order")
    if np.any(np.asarray(flow.grad_norms) < 0):
        raise ValueError("flow.grad_norms must not be negative")
    params = _check.network("flow.snapshots", jax.tree.map(lambda leaf: leaf[-1], weights))
    x, y = _check.samples(params, x, y)
    return x, y, weights


class _Escaping(NamedTuple):
    """Which neurons escape, when the first of them does, and the last save before that."""

    neurons: tuple[tuple[int, int], ...]
    time: float
    save: int


def _escaping(
    ts: np.ndarray,
    gradients: np.ndarray,
    norms: tuple[np.ndarray, ...],
    threshold: float,
    small: Inactive,
    i: int,
    following: int,
) -> _Escaping:
    neurons, crossings = [], []
    for layer, (flags, norm) in enumerate(zip(small, norms, strict=True)):
        for j in np.flatnonzero(flags & (norm[following] >= threshold)):
            neurons.append((layer + 1, int(j)))
            after = i + int(np.argmax(norm[i : following + 1, j] >= threshold))
            crossings.append((_crossing(ts, norm[:, j], threshold, after), after - 1))
    if neurons:
        time, save = min(crossings)
        return _Escaping(tuple(neurons), time, max(save, i))
    steepest = i + int(np.argmax(gradients[i : following + 1]))
    return _Escaping((), float(ts[steepest]), i)


def _crossing(ts: np.ndarray, norm: np.ndarray, threshold: float, after: int) -> float:
    """When a norm crosses the threshold before save `after`, by its logarithm between two saves."""
    before = max(after - 1, 0)
    low, high = np.log(np.maximum([norm[before], norm[after]], np.finfo(float).tiny))
    share = (math.log(threshold) - low) / (high - low) if high > low else 1.0
    return float(ts[before] + share * (ts[after] - ts[before]))


def _with_correlation(
    visit: Visit,
    plateau: Plateau,
    weights: Params,
    x: jax.Array,
    y: jax.Array,
    loss: NetworkLoss,
    key: jax.Array,
    starts: int,
) -> Visit:
    """The visit with N*, and with the KKT point that the zero block of `weights` climbs to."""
    ncf = correlation(plateau.params, plateau.where.origin, x, y, loss.activation, loss.loss)
    best = dominant(key, plateau.params, plateau.inactive, ncf, loss.activation, starts=starts)
    visit = visit._replace(dominant_value=best.value)
    layout = Layout.of(weights)
    zero = jnp.asarray(plateau.where.zero)
    block = jnp.where(zero, layout.flat(weights), 0)
    if best.dead(plateau.saddle) or not bool(jnp.any(block != 0)):
        return visit
    direction = unit(block)
    target, value, residual = climb(ncf.function, layout, zero, direction, ncf.args)
    return visit._replace(
        kkt_value=float(value),
        kkt_residual=float(residual),
        alignment=float(jnp.dot(target, direction)),
    )
