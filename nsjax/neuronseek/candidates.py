"""New products and bases: fits from many starts in a few directions."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from nsjax.neuronseek import fitting, moments
from nsjax.neuronseek.model import Model, Pool, Term, design
from nsjax.neuronseek.workspace import Workspace

ROWS = 2048
"""Samples that the survivors among the starts see."""
EARLY = 8
"""Samples for each parameter that all starts see."""
EARLY_STEPS = 8
"""Steps after which most starts are given up."""
SURVIVORS = 3
"""Starts of each kind that go on."""
LATE_STEPS = 40
"""Steps of the survivors: all go on until the last one is done, and one that needs more is none."""
COLUMNS = 64
"""Linear columns up to which they are fitted along with the starts."""


class Candidate(NamedTuple):
    """A new term, and the share of the squared residual that it takes away.

    The share is that of the samples that judge, of the term at its best coefficient.
    """

    term: Term
    fall: float


def propose(
    space: Workspace, model: Model, rng: np.random.Generator, *, everywhere: bool
) -> list[Candidate]:
    """The best new term of every order and basis, best first.

    Args:
        space: samples.
        model: what there is already; new terms explain its residual.
        rng: source of starts.
        everywhere: whether starts lie in all of space, not in the leading directions of the
            residual.
    """
    r = space.residual(model)
    rows = np.flatnonzero(space.train)
    x = space.x[rows]
    if everywhere or space.inputs <= space.config.subspace:
        basis: np.ndarray | None = moments.whitening(x)
    else:
        basis = moments.directions(x, r[rows], space.config.subspace, rng)
    return [] if basis is None else _fit_starts(space, model, r, basis, rng)


def _fit_starts(
    space: Workspace, model: Model, r: np.ndarray, basis: np.ndarray, rng: np.random.Generator
) -> list[Candidate]:
    """Starts of every kind in the span of `basis` `(d, s)`, fitted to the residual `(n, c)`."""
    config = space.config
    kinds: list[tuple[int, str | None]] = [(n, None) for n in config.interactions]
    kinds += [(1, name) for name in config.bases]
    if not kinds:
        return []
    rows = rng.permutation(np.flatnonzero(space.train))[:ROWS]
    s = basis.shape[1]
    room = max(order for order, _ in kinds)
    columns = design(model, space.x[rows])
    if columns.shape[1] > COLUMNS:
        columns = columns[:, :1]
    width = next(size for size in (8, 16, 32, COLUMNS) if columns.shape[1] <= size)
    used = np.arange(width) < columns.shape[1]
    columns = np.pad(columns, ((0, 0), (0, width - columns.shape[1])))
    # For any loss, new terms are fitted to the residual by squares: it is minus the gradient.
    samples = fitting.Rows(
        columns, space.x[rows] @ basis, r[rows], np.ones(len(rows), space.x.dtype)
    )
    early = EARLY * (width + room * s)
    first = fitting.Rows(*(leaf[:early] for leaf in samples)) if early < len(rows) else samples
    pooled, weights = _starts(kinds, config.starts, room, s, samples, rng)
    weights, losses = _descend(space, pooled, weights, first, used, EARLY_STEPS)
    keep = _best(losses, len(kinds), min(SURVIVORS, config.starts))
    pooled = Pool(*(leaf[keep] for leaf in pooled))
    weights = fitting.Weights(*(leaf[keep] for leaf in weights))
    weights, losses = _descend(space, pooled, weights, samples, used, LATE_STEPS)
    judge = np.flatnonzero(space.hold) if space.judged else rows
    found = []
    each = len(losses) // len(kinds)
    for i, (order, name) in enumerate(kinds):
        lane = i * each + int(np.argmin(losses[i * each : (i + 1) * each]))
        if not np.isfinite(losses[lane]):
            continue
        factors = np.asarray(weights.factors[lane])[:order] @ basis.T
        coefficients = np.asarray(weights.coefficients[lane])[0]
        term = Term(factors, coefficients, name)
        found.append(Candidate(term, _judged(space, term, r, judge)))
    return sorted(found, key=lambda candidate: -candidate.fall)


def _starts(
    kinds: list[tuple[int, str | None]],
    starts: int,
    room: int,
    s: int,
    samples: fitting.Rows,
    rng: np.random.Generator,
) -> tuple[Pool, fitting.Weights]:
    """Random unit directions; lanes ordered by kind; one term in each pool."""
    lanes, dtype = len(kinds) * starts, samples.x.dtype
    c, q = samples.y.shape[1], samples.columns.shape[1]
    factors = rng.normal(size=(lanes, room, s))
    factors /= np.linalg.norm(factors, axis=2, keepdims=True)
    order = np.repeat([order for order, _ in kinds], starts)
    names = [name for _, name in kinds if name is not None]
    code = np.repeat([0 if name is None else 1 + names.index(name) for _, name in kinds], starts)
    # A basis' projection has a scale: frequencies from slow to fast.
    scale = np.exp(rng.uniform(np.log(0.3), np.log(6.0), lanes))
    factors *= np.where(code > 0, scale, 1)[:, None, None]
    there = np.arange(room)[None] < order[:, None]
    pooled = Pool(
        np.zeros((lanes, 1, c), dtype),
        factors.astype(dtype),
        np.where(there, 0, 1).astype(np.int32),
        np.where(there, np.arange(room), room).astype(np.int32)[:, None],
        np.where(there, code[:, None], 0).astype(np.int32),
        np.broadcast_to(there[:, :, None], factors.shape),
        np.ones((lanes, 1), bool),
    )
    weights = fitting.Weights(
        np.zeros((lanes, q, c), dtype),
        rng.normal(size=(lanes, 1, c)).astype(dtype) * 0.1,
        factors.astype(dtype),
    )
    return pooled, weights


def _descend(
    space: Workspace,
    pooled: Pool,
    weights: fitting.Weights,
    samples: fitting.Rows,
    used: np.ndarray,
    steps: int,
) -> tuple[fitting.Weights, np.ndarray]:
    floor = space.rounding * space.reference * len(samples.y)
    fitted = fitting.fit_many(
        weights,
        pooled,
        samples,
        used,
        fitting.Limits(0.0, floor, steps, 1e-4),
        bases=space.config.bases,
        loss="square",
    )
    losses = np.asarray(fitted.loss)
    space.evaluations += int(np.max(np.asarray(fitted.evaluations)))
    return fitted.weights, np.where(np.isfinite(losses), losses, np.inf)


def _best(losses: np.ndarray, kinds: int, keep: int) -> np.ndarray:
    """Places of the best lanes of every kind."""
    table = losses.reshape(kinds, -1)
    best = np.argsort(table, axis=1)[:, :keep]
    return (best + table.shape[1] * np.arange(kinds)[:, None]).reshape(-1)


def _judged(space: Workspace, term: Term, r: np.ndarray, judge: np.ndarray) -> float:
    """Share of the squared residual `(n, c)` that a term takes away where it is judged."""
    rows = np.flatnonzero(space.train)

    def columns(at: np.ndarray) -> np.ndarray:
        return np.stack([np.ones(len(at)), term.values(space.x[at])], axis=1)

    weights = np.linalg.lstsq(columns(rows), r[rows], rcond=None)[0]
    left = r[judge] - columns(judge) @ weights
    return 1 - float(np.sum(left**2) / np.sum(r[judge] ** 2))
