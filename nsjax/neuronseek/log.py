"""What happens to a model while it is searched for."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from nsjax.neuronseek.model import Model, contributions
from nsjax.neuronseek.workspace import Workspace

SAMPLED = 2000
"""Most samples on which shares are measured."""


@dataclass
class Log:
    """Keeps what happens to a model: shares of terms, losses, actions."""

    space: Workspace
    shares: list[dict[str, float]] = field(default_factory=list)
    train: list[float] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)
    test: list[float] = field(default_factory=list)
    actions: list[str] = field(default_factory=list)
    judged: tuple[float, float] = (np.nan, np.nan)

    def __call__(self, model: Model, action: str) -> None:
        """Record a model and what has just been done to it."""
        space = self.space
        rows = np.flatnonzero(space.train)
        spread = float(np.sum(np.var(space.y[rows], axis=0)))
        # Samples may be sorted: those on which shares are measured lie evenly among all.
        rows = rows[:: math.ceil(len(rows) / SAMPLED)]
        parts = contributions(model, space.x[rows])
        self.shares.append(
            {label: float(np.sum(np.var(part, axis=0))) / spread for label, part in parts.items()}
        )
        self.train.append(float(np.mean(space.losses(model, space.train))))
        judged = float(np.mean(space.judged_losses(model, space.hold))) if space.judged else np.nan
        self.validation.append(judged)
        self.judged = (judged, space.error(model))
        self.test.append(space.fresh_error(model))
        self.actions.append(action)
        if space.on_step is not None:
            space.on_step(f"{action}: training loss {self.train[-1]:.2e}, held out {judged:.2e}")


class Found(NamedTuple):
    """A model, how it came to be, and a code of `results.MESSAGES`.

    Attributes:
        model: the model.
        log: its history.
        result: the code.
        judged: relative loss and error on the held-out samples, before they too are fitted; NaN
            without.
    """

    model: Model
    log: Log
    result: int
    judged: tuple[float, float]
