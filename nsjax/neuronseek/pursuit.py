"""The search by candidates: grow, then shrink, then fit to all samples."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from nsjax.neuronseek import judging
from nsjax.neuronseek.elimination import eliminate, sparsify
from nsjax.neuronseek.growth import grow, pursue, with_monomials
from nsjax.neuronseek.model import Model, contributions, empty
from nsjax.neuronseek.workspace import Workspace

SAMPLED = 2000
"""Samples on which shares are measured."""


@dataclass
class Log:
    """Keeps what happens to a model: shares of terms, losses, actions."""

    space: Workspace
    shares: list[dict[str, float]] = field(default_factory=list)
    train: list[float] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)
    actions: list[str] = field(default_factory=list)

    def __call__(self, model: Model, action: str) -> None:
        """Record a model and what has just been done to it."""
        space = self.space
        rows = np.flatnonzero(space.train)[:SAMPLED]
        spread = float(np.sum(np.var(space.y[rows], axis=0)))
        parts = contributions(model, space.x[rows])
        self.shares.append(
            {label: float(np.sum(np.var(part, axis=0))) / spread for label, part in parts.items()}
        )
        self.train.append(float(np.mean(space.losses(model, space.train))))
        judged = float(np.mean(space.losses(model, space.hold))) if space.judged else np.nan
        self.validation.append(judged)
        self.errors.append(space.error(model))
        self.actions.append(action)
        if space.on_step is not None:
            space.on_step(f"{action}: training loss {self.train[-1]:.2e}, held out {judged:.2e}")


class Found(NamedTuple):
    """A model, how it came to be, and a code of `results.MESSAGES`."""

    model: Model
    log: Log
    result: int


def search(space: Workspace, rng: np.random.Generator) -> Found:
    """The better of two ways to grow: few monomials first, or whole streams first."""
    sparse = _sparse(space, rng)
    if sparse is not None and _exact(space, sparse.model):
        return _finish(space, sparse)
    log = Log(space)
    log(empty(space.y.shape[1]), "began with a constant")
    model = grow(space, space.fit(empty(space.y.shape[1])), rng, log)
    if model.powers or model.terms:
        model = sparsify(space, eliminate(space, model, log), log)
    dense = Found(model, log, _code(space, model))
    if sparse is None:
        return _finish(space, dense)
    return _finish(space, _better(space, sparse, dense))


def _sparse(space: Workspace, rng: np.random.Generator) -> Found | None:
    if "monomials" not in space.config.sources:
        return None
    start = space.fit(empty(space.y.shape[1]))
    chosen = pursue(space, start, rng)
    if not chosen.monomials:
        return None
    log = Log(space)
    log(start, "began with a constant")
    model = start
    for count in range(1, len(chosen.monomials) + 1):
        model = space.fit(with_monomials(start, chosen.monomials[:count]), tol=1e-6)
        log(model, f"added {' '.join(f'x{i}' for i in chosen.monomials[count - 1])}")
    return Found(model, log, 2 if chosen.full else _code(space, model))


def _exact(space: Workspace, model: Model) -> bool:
    return bool(np.mean(space.losses(model, judging.judge(space))) <= space.rounding)


def _code(space: Workspace, model: Model) -> int:
    if _exact(space, model):
        return 0
    return 2 if len(model.terms) >= space.config.max_terms else 1


def _better(space: Workspace, sparse: Found, dense: Found) -> Found:
    """The one with the lower held-out loss; if they cannot be told apart, the smaller one."""
    compared = judging.compare(space, sparse.model, dense.model)
    exact = [_exact(space, found.model) for found in (sparse, dense)]
    if any(exact) and not all(exact):
        return sparse if exact[0] else dense
    if all(exact) or abs(compared.z) < 2:
        fewer = dense.model.parameters < sparse.model.parameters
        return dense if fewer else sparse
    return dense if compared.z > 0 else sparse


def _finish(space: Workspace, found: Found) -> Found:
    """Refit to all samples."""
    rows = space.train | space.hold
    model = space.fit(found.model, rows, tol=1e-12)
    found.log(model, "refitted to all samples")
    return found._replace(model=model)
