"""The members of an ensemble of flows: what is static, what each is given, and where each is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from nsjax._flat import Layout
from nsjax.dynamics.events import Saves

RUNNING = -1
"""Code of a lane that has not stopped; every `Stop` code is zero or above."""


class Spec(NamedTuple):
    """All that is static in a compiled program.

    Attributes:
        loss: `(params, *member_args, *args) -> scalar`.
        layout: of the parameters of one member.
        observables, saves, decades, snapshots: as in `Saves`, with its count as `saves`.
        stop_loss, stop_grad_norm: whether there is such a threshold.
        block: lanes that step together; 0 for all of a device.
        mesh: devices over which lanes ("members") or samples ("data") are split; None for one.
    """

    loss: Callable[..., jax.Array]
    layout: Layout
    observables: tuple[tuple[str, Callable[..., Any]], ...]
    saves: int
    decades: float
    snapshots: bool
    stop_loss: bool
    stop_grad_norm: bool
    block: int
    mesh: Mesh | None

    @property
    def fractions(self) -> np.ndarray:
        """`(m,)` shares of the horizon at which to save."""
        return Saves(self.saves, self.decades).fractions


class Given(NamedTuple):
    """What every member is given, arrays with a leading axis of members; see `flow_ensemble`."""

    horizon: Any
    rtol: Any
    atol: Any
    stop_loss: Any
    stop_grad_norm: Any
    args: Any


class Saved(NamedTuple):
    """What was saved of M members, arrays with leading axes `(M, m)`.

    Attributes:
        ts: times; infinite where nothing has been saved, as the others are NaN (0 if integers).
        losses, grad_norms: losses and norms of the gradient.
        observables: name to array.
        snapshots: flat parameters `(M, m, P)`; `(M, 0, P)` if not asked for.
    """

    ts: Any
    losses: Any
    grad_norms: Any
    observables: dict[str, Any]
    snapshots: Any


class LaneState(NamedTuple):
    """Where M members are, arrays with a leading axis of members.

    Attributes:
        y: flat parameters `(M, P)`.
        slope: `dy/dt` there, in shares of the horizon: the first stage of the next step.
        t, t_next: the share of the horizon reached, and that of the next attempted step's end.
        made: how many saves; 0 before the member has begun.
        code: `RUNNING` or a `Stop`.
        steps, rejected: attempted steps, and those refused.
        saved: what was saved.
    """

    y: Any
    slope: Any
    t: Any
    t_next: Any
    made: Any
    code: Any
    steps: Any
    rejected: Any
    saved: Saved


class EnsembleState(NamedTuple):
    """Where an ensemble is, arrays only: enough to continue with `start`.

    Attributes:
        members: of all M members, in their order; see `LaneState`. Its code is
            -1 for a member that has not stopped.
        spent: `()` lane-steps so far.
    """

    members: LaneState
    spent: np.ndarray

    @property
    def stopped(self) -> int:
        """How many members have stopped."""
        return int(np.sum(self.members.code != RUNNING))
