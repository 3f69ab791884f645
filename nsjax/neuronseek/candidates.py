"""New products and bases in a few directions: KKT points of the NCF, and fits from many starts."""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import numpy as np

from nsjax._threads import one_lapack_thread
from nsjax.kkt.ascent import Ascent, ValueAndGrad, ascend_together
from nsjax.kkt.certificate import spread
from nsjax.kkt.neuron import ShareLandscape
from nsjax.networks.products import ProductNeurons
from nsjax.neuronseek import fitting, moments
from nsjax.neuronseek.model import Model, Pool, Term, design
from nsjax.neuronseek.workspace import Workspace

ROWS = 2048
"""Samples that the survivors among the starts see."""
EARLY = 8
"""Samples for each parameter that all starts see."""
CLIMB_STEPS = 100
"""Most steps of the ascent to KKT points."""
CLIMB_TOL = 1e-3
"""KKT residual at which a start has arrived: fits go on from there."""
MAX_COSINE = 0.95
"""Largest |cosine| between the values of two KKT points that go on."""
EARLY_STEPS = 8
"""Steps after which most starts of bases are given up."""
SURVIVORS = 3
"""Starts of each kind that go on."""
LATE_STEPS = 40
"""Steps of the survivors: all go on until the last one is done, and one that needs more is none."""
COLUMNS = 64
"""Linear columns up to which they are fitted along with the starts."""
CREEPING = 100.0
"""Roundings up to which a fit may leave a residual, where factors are equal: no term is in it."""


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
    return [] if basis is None else _best_terms(space, model, r, basis, rng)


class _Lanes(NamedTuple):
    """m terms, each alone: orders `(m,)`, bases `(m,)`, 0 for none, and what a fit moves.

    Factors `(m, N, s)` beyond a term's order are not there.
    """

    order: np.ndarray
    code: np.ndarray
    weights: fitting.Weights

    @classmethod
    def of(
        cls,
        samples: fitting.Rows,
        code: np.ndarray | int,
        coefficients: np.ndarray,
        factors: np.ndarray,
        room: int,
    ) -> _Lanes:
        """Terms of one order: coefficients `(m, c)`, factors `(m, order, s)`; room for more."""
        (m, order, _), dtype = factors.shape, samples.x.dtype
        weights = fitting.Weights(
            np.zeros((m, samples.columns.shape[1], samples.y.shape[1]), dtype),
            coefficients[:, None].astype(dtype),
            np.pad(factors, ((0, 0), (0, room - order), (0, 0))).astype(dtype),
        )
        return cls(np.full(m, order), np.broadcast_to(code, m), weights)

    def pooled(self) -> Pool:
        """Each lane as a pool of one term."""
        factors = self.weights.factors
        room = factors.shape[1]
        there = np.arange(room) < self.order[:, None]
        return Pool(
            self.weights.coefficients,
            factors,
            np.where(there, 0, 1).astype(np.int32),
            np.where(there, np.arange(room), room).astype(np.int32)[:, None],
            np.where(there, self.code[:, None], 0).astype(np.int32),
            np.broadcast_to(there[:, :, None], factors.shape),
            np.ones((len(factors), 1), bool),
        )


def _best_terms(
    space: Workspace, model: Model, r: np.ndarray, basis: np.ndarray, rng: np.random.Generator
) -> list[Candidate]:
    """The best of every order and basis in the span of `basis` `(d, s)`, for residuals `(n, c)`."""
    config = space.config
    rows = rng.permutation(np.flatnonzero(space.train))[:ROWS]
    small = 0.5 * np.sum(r[rows] ** 2) <= CREEPING * _floor(space, len(rows))
    if small or not (config.interactions or config.bases):
        return []
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
    room = max(config.interactions, default=1)
    first = fitting.Rows(*(leaf[: EARLY * (width + room * basis.shape[1])] for leaf in samples))
    parts = _kkt_points(space, first, room, rng) if config.interactions else []
    if config.bases:
        parts.append(_early_fits(space, first, used, room, rng))
    lanes: _Lanes = jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
    weights, losses = _descend(space, lanes, samples, used, LATE_STEPS)
    judge = np.flatnonzero(space.hold) if space.judged else rows
    best: dict[tuple[int, str | None], Candidate] = {}
    for i in np.flatnonzero(np.isfinite(losses)):
        order, code = int(lanes.order[i]), int(lanes.code[i])
        name = config.bases[code - 1] if code else None
        term = Term(weights.factors[i, :order] @ basis.T, weights.coefficients[i, 0], name)
        new = Candidate(term, _judged(space, term, r, judge))
        if new.fall > best.get((order, name), new._replace(fall=-np.inf)).fall:
            best[order, name] = new
    return sorted(best.values(), key=lambda candidate: -candidate.fall)


def _kkt_points(
    space: Workspace, samples: fitting.Rows, room: int, rng: np.random.Generator
) -> list[_Lanes]:
    """The best distinct KKT points of the normalised NCF of products, by order."""
    config, x = space.config, samples.x
    beside, sizes, _ = np.linalg.svd(samples.columns, full_matrices=False)
    beside = beside * (sizes > len(x) * np.finfo(x.dtype).eps * sizes[0])
    pulled = samples.y - beside @ (beside.T @ samples.y)
    key = jax.random.key(int(rng.integers(2**31)))
    climbed = _climb(key, x, pulled, beside, config.interactions, config.starts)
    space.evaluations += int(max(np.max(each.steps) for each in climbed))
    keep, found = min(SURVIVORS, config.starts), []
    for order, each in zip(config.interactions, climbed, strict=True):
        best = np.argsort(-np.asarray(each.values))
        factors = np.asarray(each.points)[best].reshape(len(best), order, -1)
        factors /= np.linalg.norm(factors, axis=2, keepdims=True)
        response = np.prod(factors @ x.T, axis=1)
        rest = response - (response @ beside) @ beside.T
        # Where fewer differ, some go on twice: as many lanes, so that nothing is compiled anew.
        at = np.resize(spread(rest, keep, MAX_COSINE), keep)
        squared = np.sum(rest[at] ** 2, axis=1, keepdims=True)
        coefficients = rest[at] @ pulled / np.where(squared > 0, squared, 1)
        found.append(_Lanes.of(samples, 0, coefficients, factors[at], room))
    return found


@functools.partial(jax.jit, static_argnames=("orders", "starts"))
def _climb(
    key: jax.Array,
    x: jax.Array,
    pulled: jax.Array,
    beside: jax.Array,
    orders: tuple[int, ...],
    starts: int,
) -> list[Ascent]:
    def climbing(family: ProductNeurons) -> ValueAndGrad:
        return lambda columns: ShareLandscape(family).climb(columns, x, x.T, pulled, beside)

    families = [ProductNeurons(order) for order in orders]
    drawn = [
        family.draw(jax.random.fold_in(key, family.order), starts, x.shape[1], x.dtype)
        for family in families
    ]
    return ascend_together(list(map(climbing, families)), drawn, CLIMB_TOL, CLIMB_STEPS)


def _early_fits(
    space: Workspace,
    samples: fitting.Rows,
    used: np.ndarray,
    room: int,
    rng: np.random.Generator,
) -> _Lanes:
    """The best of a few steps of fits of every basis from random starts: bases have no degree."""
    starts, bases = space.config.starts, len(space.config.bases)
    factors = rng.normal(size=(bases * starts, 1, samples.x.shape[1]))
    factors /= np.linalg.norm(factors, axis=2, keepdims=True)
    # A projection has a scale: frequencies from slow to fast.
    factors *= np.exp(rng.uniform(np.log(0.3), np.log(6.0), (len(factors), 1, 1)))
    coefficients = 0.1 * rng.normal(size=(len(factors), samples.y.shape[1]))
    code = 1 + np.repeat(np.arange(bases), starts)
    lanes = _Lanes.of(samples, code, coefficients, factors, 1)
    weights, losses = _descend(space, lanes, samples, used, EARLY_STEPS)
    best = np.argsort(losses.reshape(bases, starts), axis=1)[:, :SURVIVORS]
    at = (best + starts * np.arange(bases)[:, None]).reshape(-1)
    return _Lanes.of(samples, code[at], weights.coefficients[at, 0], weights.factors[at], room)


def _descend(
    space: Workspace, lanes: _Lanes, samples: fitting.Rows, used: np.ndarray, steps: int
) -> tuple[fitting.Weights, np.ndarray]:
    """Weights and losses after a fit of every lane."""
    floor = _floor(space, len(samples.y))
    with one_lapack_thread():
        fitted = fitting.fit_many(
            lanes.weights,
            lanes.pooled(),
            samples,
            used,
            fitting.Limits(0.0, floor, steps, 1e-4),
            bases=space.config.bases,
            loss="square",
        )
        losses = np.asarray(fitted.loss)
    space.evaluations += int(np.max(np.asarray(fitted.evaluations)))
    weights = jax.tree.map(np.asarray, fitted.weights)
    return weights, np.where(np.isfinite(losses), losses, np.inf)


def _floor(space: Workspace, rows: int) -> float:
    """Loss of so many samples that is rounding."""
    return space.rounding * space.reference * rows


def _judged(space: Workspace, term: Term, r: np.ndarray, judge: np.ndarray) -> float:
    """Share of the squared residual `(n, c)` that a term takes away where it is judged."""
    rows = np.flatnonzero(space.train)

    def columns(at: np.ndarray) -> np.ndarray:
        return np.stack([np.ones(len(at)), term.values(space.x[at])], axis=1)

    weights = np.linalg.lstsq(columns(rows), r[rows], rcond=None)[0]
    left = r[judge] - columns(judge) @ weights
    return 1 - float(np.sum(left**2) / np.sum(r[judge] ** 2))
