"""Saddle visits: what a trajectory of gradient flow does at each of its plateaus."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import numpy as np

from nsjax.diagnostics import HessianSpectrum, hessian_spectrum
from nsjax.dynamics.plateau import Plateau
from nsjax.dynamics.results import MESSAGES, Stop
from nsjax.dynamics.saddles import Saddle
from nsjax.networks.homogeneous import Params
from nsjax.objectives import NetworkLoss


class Visit(NamedTuple):
    """A saddle that the flow stays near for a while, or the minimum where it ends.

    Attributes:
        start: time of the escape before it; 0 for the first.
        duration: time from there until a small neuron crosses the threshold; where none does, until
            the flow has left along negative curvature. Infinite at the end.
        loss: f at the saddle.
        params: the saddle `(w_n, 0)`, a pytree.
        active: one boolean array `(k_l,)` per hidden layer, the neurons that are not zero there.
        escaping: `(hidden layer, neuron)` of those that cross the threshold, layers from 1.
        degree: q, of the NCF of the zero block.
        kkt_value: NCF at the KKT point that the zero block tends to; NaN if there is none.
        kkt_residual: KKT residual of the zero block's direction when the escape begins.
        alignment: cosine between that direction and the KKT point.
        dominant_value: N*, the NCF at the dominant KKT point of the search.
        spectrum: of the Hessian over all weights at the saddle: `inertia` with its `band`,
            `smallest`, `largest`. For q > 2 it is zero over the zero block, so that escape
            directions do not count as negative.
        saddle: the inspection over the active weights.
        distance: of the active weights from the saddle on arrival.
        slow_error: relative error of the slow manifold on arrival.
        code: `Stop` code, `ESCAPED` where the wait ran on the slow manifold, `MINIMUM` at the end;
            else why the plain flow waited in its place; `message` is its text.
        method: "slow", "explicit" or "implicit": how the wait was integrated; "none" at the end;
            "read" off a trajectory.
    """

    start: float
    duration: float
    loss: float
    params: Params
    active: tuple[np.ndarray, ...]
    escaping: tuple[tuple[int, int], ...]
    degree: int
    kkt_value: float
    kkt_residual: float
    alignment: float
    dominant_value: float
    spectrum: HessianSpectrum
    saddle: Saddle
    distance: float
    slow_error: float
    code: int
    method: str

    @property
    def message(self) -> str:
        """How the wait was integrated and why so, in words."""
        if self.code == Stop.ESCAPED:
            return "escaped: waited for on the slow manifold"
        return MESSAGES[self.code]

    @property
    def active_counts(self) -> tuple[int, ...]:
        """Number of active neurons in every hidden layer."""
        return tuple(int(flags.sum()) for flags in self.active)

    @property
    def inertia(self) -> tuple[int, int, int]:
        """`(n-, n0, n+)` of the Hessian over all weights."""
        return self.spectrum.inertia


def describe(
    plateau: Plateau, x: jax.Array, y: jax.Array, loss: NetworkLoss, start: float
) -> Visit:
    """A visit as far as it is known on arrival."""
    return Visit(
        start=start,
        duration=math.inf,
        loss=plateau.saddle.loss,
        params=plateau.params,
        active=tuple(~flags for flags in plateau.inactive),
        escaping=(),
        degree=plateau.saddle.degree,
        kkt_value=math.nan,
        kkt_residual=math.nan,
        alignment=math.nan,
        dominant_value=math.nan,
        spectrum=hessian_spectrum(loss, plateau.params, args=(x, y), key=jax.random.key(0)),
        saddle=plateau.saddle,
        distance=plateau.distance,
        slow_error=math.nan,
        code=int(Stop.PASSED),
        method="none",
    )
