"""Sparsity kept: how small the other neurons are while one of them leaves a saddle."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from nsjax import _check
from nsjax.diagnostics.snapshots import weights_of
from nsjax.diagnostics.sparsity import neuron_norms
from nsjax.networks.homogeneous import Params

_FALL = 1e-3


class KeptSparsity(NamedTuple):
    """Sizes of the neurons that stay small, over the e escapes of a trajectory.

    The others of an escape are the neurons that are zero at both its saddles. Norms are those of
    in- and outgoing weights together, in the unit of the weights; NaN where there are no others.

    Attributes:
        new: `(e, L - 1)` neurons of each hidden layer that are zero at the saddle before and active
            at the one after.
        lost: `(e,)` neurons that are active before and zero after.
        arrival, departure, landing: `(e,)` norm of the largest of the others: on arrival at the
            saddle before, when the flow leaves it, and on arrival at the saddle after.
        growth: `(e,)` largest `landing / departure` norm of a single one of them.
        active: `(e,)` norm of the smallest active neuron on landing.
        landing_times: `(e,)`.
    """

    new: np.ndarray
    lost: np.ndarray
    arrival: np.ndarray
    departure: np.ndarray
    landing: np.ndarray
    growth: np.ndarray
    active: np.ndarray
    landing_times: np.ndarray


def kept_sparsity(flow: Any, visits: Sequence[Any]) -> KeptSparsity:
    """How small the neurons stay that do not take part in an escape.

    The flow leaves a saddle when its visit ends, and arrives at the next when all but a thousandth
    of the loss between the two has fallen.

    Args:
        flow: a trajectory with snapshots, `nsjax.dynamics.Cascade` or `Flow`, or anything with
            `ts`, `losses` and `snapshots`.
        visits: its saddle visits in order, at least one, each with `start`, `duration`, `loss` and
            `active`.

    Raises:
        TypeError, ValueError: without visits or snapshots, or if their lengths do not fit.

    Source: neuron pursuit (arXiv 2509.12154), section 4; `docs/mathematics.md`, section 3.
    """
    ts, losses, weights = trajectory(flow)
    widths = [weight.shape[1] for weight in weights[:-1]]
    layers = active_flags(visits, widths)
    norms = np.concatenate([np.asarray(norm) for norm in neuron_norms(weights)], axis=1)
    active = [np.concatenate(each) for each in layers]
    new, lost, sizes = [], [], []
    arrived = 0
    for i, (visit, after) in enumerate(pairwise(visits)):
        new.append([int(np.sum(b & ~a)) for a, b in zip(layers[i], layers[i + 1], strict=True)])
        lost.append(int(np.sum(active[i] & ~active[i + 1])))
        left, landed = between(ts, losses, visit, after)
        others = ~active[i] & ~active[i + 1]
        begin, leave, land = (norms[at, others] for at in (arrived, left, landed))
        growth = land / np.where(leave > 0, leave, np.inf)
        largest = [
            np.max(each, initial=0) if len(each) else np.nan for each in (begin, leave, land)
        ]
        smallest = np.min(norms[landed, active[i + 1]], initial=np.inf)
        sizes.append((*largest, np.max(growth) if len(growth) else np.nan, smallest, ts[landed]))
        arrived = landed
    count = len(visits) - 1
    columns = np.array(sizes, float).reshape(count, 6).T
    return KeptSparsity(
        np.array(new, int).reshape(count, len(widths)), np.array(lost, int), *columns
    )


def trajectory(flow: Any) -> tuple[np.ndarray, np.ndarray, Params]:
    """Times, losses and weights, each with a leading axis of the saves."""
    for name in ("ts", "losses", "snapshots"):
        if not hasattr(flow, name):
            raise TypeError(
                f"flow must have ts, losses and snapshots, got {type(flow).__name__} without {name}"
            )
    if flow.snapshots is None:
        raise ValueError("flow must have snapshots, got None; ask for them where it is made")
    weights = weights_of("flow.snapshots", flow.snapshots)
    ts, losses = (
        np.asarray(_check.floating_tree(f"flow.{name}", getattr(flow, name)), float)
        for name in ("ts", "losses")
    )
    saves = weights[0].shape[:-2]
    if len(saves) != 1 or not ts.shape == losses.shape == saves or not len(ts):
        raise ValueError(
            f"flow must have times, losses and snapshots of one length, got {ts.shape}, "
            f"{losses.shape} and weights of shape {weights[0].shape}"
        )
    return ts, losses, weights


def active_flags(visits: Any, widths: list[int]) -> list[list[np.ndarray]]:
    """Which neurons of every hidden layer are active at each visit."""
    if isinstance(visits, str) or not isinstance(visits, Sequence):
        raise TypeError(f"visits must be a sequence of saddle visits, got {type(visits).__name__}")
    if not visits:
        raise ValueError("visits must hold at least one visit, got none")
    layers = []
    for i, visit in enumerate(visits):
        for name in ("start", "duration", "loss", "active"):
            if not hasattr(visit, name):
                raise TypeError(
                    f"visits[{i}] must have start, duration, loss and active, got "
                    f"{type(visit).__name__} without {name}"
                )
        if not isinstance(visit.active, Sequence):
            raise TypeError(
                f"visits[{i}].active must be a sequence of boolean arrays, one for each hidden "
                f"layer, got {type(visit.active).__name__}"
            )
        flags = [np.asarray(layer, bool) for layer in visit.active]
        if [layer.shape for layer in flags] != [(width,) for width in widths]:
            raise ValueError(
                f"visits[{i}].active must be for hidden layers of widths {widths}, got arrays of "
                f"shapes {[layer.shape for layer in flags]}"
            )
        layers.append(flags)
    return layers


def between(ts: np.ndarray, losses: np.ndarray, visit: Any, after: Any) -> tuple[int, int]:
    """The saves at which a visit ends and the next one has been reached."""
    # The save at the escape itself may differ from its time by rounding.
    escape = visit.start + visit.duration
    left = min(int(np.searchsorted(ts, escape - 2 * np.spacing(escape))), len(ts) - 1)
    end = int(np.searchsorted(ts, after.start + after.duration, side="right"))
    end = max(end, left + 1)
    low = after.loss + _FALL * (visit.loss - after.loss)
    fallen = np.flatnonzero(losses[left:end] <= low)
    return left, left + int(fallen[0]) if len(fallen) else end - 1
