"""What an escape from a saddle returns, with or without an escape."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsjax.dynamics.results import MESSAGES, Stats, Stop
from nsjax.dynamics.saddles import Saddle
from nsjax.networks.homogeneous import Params

_SERIES = ("t", "loss", "grad_norm", "drift", "norm_ratio", "kkt_residual", "cosine", "ncf")


class Known(NamedTuple):
    """What is known of an escape before anything is integrated; attributes as in `Escape`."""

    params: Params
    delta: float
    threshold: float
    saddle: Saddle
    value: float = math.nan
    predicted: float = math.nan


class Phase(NamedTuple):
    """One part of an escape.

    Attributes:
        method: "slow", "explicit" or "implicit".
        end: time at which it ended.
        stats: its cost.
        atol: absolute tolerance, per entry.
    """

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
        drift: `(m,)`, `||w_n(t) - w_n||` of the active weights; below `eps ||w_n||` it is rounding.
        norm_ratio: `(m,)`, `||w_z(t)|| / delta`.
        direction: `w_z / ||w_z||` at the end of the escape, a pytree shaped like params.
        kkt_residual: `(m,)`, KKT residual of the direction under the saddle's NCF.
        evaluations: gradient evaluations by the integrators of all phases together, of the NCF on
            the slow manifold and of the loss elsewhere. On top come the KKT search, the flow to the
            target, saves, and four gradients a slow step that measure its error.
        method: the method that ran to the escape, or first: "slow", "explicit" or "implicit";
            `phases` tells all.
        result: `Stop` code; `message` is its text.
        losses, grad_norms: `(m,)`.
        ncf: `(m,)`, the saddle's NCF at the zero block's direction.
        cosine: `(m,)`, between the zero block and `target`.
        target: unit pytree, the KKT point that the zero block tends to (the limit of the slow
            flow).
        target_value: NCF there: positive where it escapes.
        target_residual: KKT residual there: how well the target is known.
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
    target_residual: float
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


def assemble(
    known: Known,
    series: dict[str, Any],
    *,
    escape_time: float,
    direction: Params,
    target: Params,
    target_value: float,
    target_residual: float,
    method: str,
    code: int,
    params: Params,
    phases: tuple[Phase, ...],
) -> Escape:
    """The result of an escape, from what was known before it and what its phases saved."""
    stats = sum((phase.stats for phase in phases), Stats())
    return Escape(
        escape_time=escape_time,
        ts=series["t"],
        observables=series["observables"],
        drift=series["drift"],
        norm_ratio=series["norm_ratio"],
        direction=direction,
        kkt_residual=series["kkt_residual"],
        evaluations=stats.gradients,
        method=method,
        result=int(code),
        losses=series["loss"],
        grad_norms=series["grad_norm"],
        ncf=series["ncf"],
        cosine=series["cosine"],
        target=target,
        target_value=target_value,
        target_residual=target_residual,
        kkt_value=known.value,
        degree=known.saddle.degree,
        delta=known.delta,
        threshold=known.threshold,
        predicted_time=known.predicted,
        params=params,
        saddle=known.saddle,
        validity=known.saddle.curvature_min_positive * known.predicted,
        phases=phases,
        stats=stats,
    )


def without_escape(known: Known, code: Stop, method: str = "none") -> Escape:
    """The result where nothing was integrated: empty series, and why."""
    zeros = jax.tree.map(jnp.zeros_like, known.params)
    series: dict[str, Any] = dict.fromkeys(_SERIES, np.zeros(0))
    return assemble(
        known,
        series | {"observables": {}},
        escape_time=math.nan,
        direction=zeros,
        target=zeros,
        target_value=math.nan,
        target_residual=math.nan,
        method=method,
        code=code,
        params=known.params,
        phases=(),
    )
