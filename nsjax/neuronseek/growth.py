"""How a model grows: candidates from every source, judged on held-out samples."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator

import numpy as np

from nsjax.kkt.axes import column
from nsjax.neuronseek import candidates, judging, monomials
from nsjax.neuronseek.model import Model, Monomial, Term, design, power_label
from nsjax.neuronseek.workspace import Workspace

ENTERING = 0.5
"""Share of the standard errors asked for that lets a term in. While much is unexplained, a term
that is there lowers a heavy-tailed loss by few of them; elimination, at the end, asks for all."""
GROWING = 25
"""Steps of a fit with a candidate: one that needs many more is none."""
Record = Callable[[Model, str], None]
"""Takes a model and what has just been done to it."""
MOST_COLUMNS = 4000
"""Columns of all powers together: higher powers, and in more inputs all, are left to monomials."""
ALL_SUBSETS = 6
"""Powers up to which all their subsets are compared; of more, single ones, pairs and all."""
EVERYWHERE = 64
"""Inputs up to which starts of new products may lie in all of space."""


def grow(space: Workspace, model: Model, rng: np.random.Generator, record: Record) -> Model:
    """Add powers, products and monomials as long as one of them is better than chance."""
    sources = space.config.sources
    while judging.compare(space, model, model).old > space.rounding:
        new = None
        if "powers" in sources:
            new = add_powers(space, model, record)
        if new is None and "products" in sources:
            new = add_product(space, model, rng, record)
        if new is None and "monomials" in sources and (model.terms or model.powers):
            new = add_monomials(space, model, rng, record)
        if new is None:
            break
        model = new
    return model


def add_powers(space: Workspace, model: Model, record: Record) -> Model | None:
    """The model with elementwise powers of all inputs, those that lower the held-out loss most."""
    missing = [k for k in space.config.powers if k not in model.powers]
    room = int(space.train.sum()) * space.y.shape[1] // 2 - model.parameters
    most = min(room // (space.inputs * space.y.shape[1]), MOST_COLUMNS // space.inputs)
    if not missing or most < 1:
        return None
    every = np.ones(space.inputs, bool)
    best = None
    for orders in _ranked_subsets(space, model, missing, most):
        powers = model.powers | dict.fromkeys(orders, every)
        # A power of one input is among those of all.
        rest = tuple(m for m in model.monomials if len(set(m)) > 1 or len(m) not in orders)
        new = space.fit(model.with_columns(powers, rest), tol=1e-6)
        # Of subsets that held-out samples cannot tell apart, the first one.
        if best is None or judging.better(space, best[0], new):
            best = new, orders
    if best is None or not judging.better(space, model, best[0], strict=ENTERING):
        return None
    record(best[0], "added " + " and ".join(power_label(k) for k in best[1]))
    return best[0]


def _ranked_subsets(
    space: Workspace, model: Model, missing: list[int], most: int
) -> Iterator[tuple[int, ...]]:
    """Sets of at most `most` powers: for the square loss the best, from second moments alone."""
    subsets = [
        subset
        for size in range(1, min(most, len(missing)) + 1)
        if len(missing) <= ALL_SUBSETS or size in (1, 2, len(missing))
        for subset in itertools.combinations(missing, size)
    ]
    if space.loss != "square" or len(missing) * space.inputs > MOST_COLUMNS:
        # No second moments, or too many: by fits.
        yield from (subset for subset in subsets if len(subset) in (1, len(missing)))
        return
    every = np.ones(space.inputs, bool)
    columns = design(Model(dict.fromkeys(missing, every), (), (), model.weights[:1]), space.x)
    r, rows = space.residual(model), judging.judge(space)
    gram, pull = _moments(columns[space.train], r[space.train])
    judged, judged_pull = _moments(columns[rows], r[rows])
    losses = []
    d = space.inputs
    for subset in subsets:
        parts = [1 + missing.index(k) * d + np.arange(d) for k in subset]
        places = np.concatenate([[0], *parts])
        part = gram[np.ix_(places, places)]
        weights = np.linalg.lstsq(part, pull[places], rcond=1e-13)[0]
        quadratic = np.sum(weights * (judged[np.ix_(places, places)] @ weights))
        losses.append(quadratic - 2 * np.sum(weights * judged_pull[places]))
    least = min(losses)
    # Of those that are as good, as far as rounding in second moments tells, the smallest.
    floor = least + 1e-9 * abs(least)
    yield next(subset for subset, loss in zip(subsets, losses, strict=True) if loss <= floor)


def _moments(columns: np.ndarray, r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return columns.T @ columns, columns.T @ r


def add_product(
    space: Workspace, model: Model, rng: np.random.Generator, record: Record
) -> Model | None:
    """The model with one more product of projections, or basis."""
    if len(model.terms) >= space.config.max_terms:
        return None
    for everywhere in (False, True):
        if everywhere and not space.config.subspace < space.inputs <= EVERYWHERE:
            break
        found = candidates.propose(space, model, rng, everywhere=everywhere)
        found = [
            each
            for each in found
            if each.fall > space.config.gain and _affordable(space, model, each.term)
        ]
        best = None
        for candidate in found[:2]:
            if 1 - candidate.fall > 1.5 * (1 - found[0].fall):
                break
            grown = model.with_terms((*model.terms, candidate.term))
            new = space.fit(grown, tol=1e-5, steps=GROWING)
            if best is None or _loss(space, new) < _loss(space, best):
                best = new
        if best is not None and judging.better(space, model, best, strict=ENTERING):
            kind = (
                f"I{best.terms[-1].order}" if best.terms[-1].basis is None else best.terms[-1].basis
            )
            space.labels[kind] += 1
            label = f"{kind}.{space.labels[kind]}"
            named = dataclasses.replace(best.terms[-1], label=label)
            best = best.with_terms((*best.terms[:-1], named))
            record(best, f"added {label}")
            return best
    return None


def _affordable(space: Workspace, model: Model, term: Term) -> bool:
    size = model.parameters + term.factors.size + space.y.shape[1]
    return size <= 0.8 * int(space.train.sum()) * space.y.shape[1]


def add_monomials(
    space: Workspace, model: Model, rng: np.random.Generator, record: Record
) -> Model | None:
    """The model with monomials that explain its residual, if together they are worth it."""
    chosen = pursue(space, model, rng).monomials
    if not chosen:
        return None
    new = space.fit(with_monomials(model, chosen), tol=1e-6)
    if space.judged and not judging.better(space, model, new, strict=ENTERING):
        return None
    record(new, f"added {len(chosen)} monomials")
    return new


def with_monomials(model: Model, chosen: tuple[Monomial, ...]) -> Model:
    """The model with further monomials; powers of one input go to their stream."""
    powers = {k: mask.copy() for k, mask in model.powers.items()}
    d = len(next(iter(powers.values()))) if powers else None
    mixed = []
    for monomial in chosen:
        order = len(monomial)
        if len(set(monomial)) == 1 and d is not None and order in powers:
            powers[order][monomial[0]] = True
        elif monomial not in model.monomials:
            mixed.append(monomial)
    return model.with_columns(powers, (*model.monomials, *mixed))


def pursue(
    space: Workspace, model: Model, rng: np.random.Generator, most: int | None = None
) -> monomials.Greedy:
    """Monomials beside a model, by orthogonal matching pursuit on the samples for training."""
    most = space.config.max_monomials if most is None else min(most, space.config.max_monomials)
    rows = np.flatnonzero(space.train)
    columns, x = design(model, space.x)[rows], space.x[rows]
    if space.loss == "square":
        floor = 2 * space.rounding * space.reference / space.y.shape[1]
        refits: monomials.Refits = monomials.LeastSquares(
            x, columns, space.residual(model)[rows], floor
        )
    else:
        refits = Likelihood(space, model)
    return monomials.greedy(
        x,
        columns,
        refits,
        order=space.config.order,
        # A monomial has a coefficient for each output, and so has a sample a target.
        most=min(most, max(1, len(rows) // 4)),
        rng=rng,
    )


class Likelihood:
    """Refits of monomials beside a model for any loss; the deviance is twice the loss."""

    TRIED = 3
    """Options that are refitted, those that the gradient says most of."""

    def __init__(self, space: Workspace, model: Model) -> None:
        self.space, self.start = space, model
        self.choose(())

    def choose(self, chosen: tuple[Monomial, ...]) -> None:
        """Make these the present ones."""
        self.chosen, self.model = chosen, self._fit(chosen)
        self.deviance = self._deviance(self.model)
        self.residual = self.space.residual(self.model)[self.space.train]

    def with_one(self, options: list[Monomial]) -> np.ndarray:
        """Deviance with each of the most promising options, `(k,)`, infinite for others."""
        x = self.space.x[self.space.train]
        extra = np.stack([column(m, x) for m in options], axis=1)
        extra = extra - extra.mean(axis=0)
        gains = np.sum((extra.T @ self.residual) ** 2, axis=1)
        gains /= np.maximum(np.sum(extra**2, axis=0), 1e-30)
        found = np.full(len(options), np.inf)
        for i in np.argsort(-gains)[: self.TRIED]:
            found[i] = self._deviance(self._fit((*self.chosen, options[i])))
        return found

    def without_one(self) -> np.ndarray:
        """Deviance without each monomial chosen, `(k,)`."""
        rests = (self.chosen[:i] + self.chosen[i + 1 :] for i in range(len(self.chosen)))
        return np.array([self._deviance(self._fit(rest)) for rest in rests])

    def _fit(self, chosen: tuple[Monomial, ...]) -> Model:
        return self.space.fit(with_monomials(self.start, chosen), tol=1e-4, steps=12)

    def _deviance(self, model: Model) -> float:
        losses = self.space.losses(model, self.space.train)
        return 2 * float(np.sum(losses)) * self.space.reference


def _loss(space: Workspace, model: Model) -> float:
    return float(np.mean(space.judged_losses(model, judging.judge(space))))
