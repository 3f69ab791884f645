"""How a model shrinks: terms and entries that it does as well without."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from nsjax.neuronseek import judging
from nsjax.neuronseek.growth import GROWING, Record
from nsjax.neuronseek.model import Model, Term, monomial_label, power_label
from nsjax.neuronseek.workspace import Workspace

SMALL = 400
"""Parameters up to which every block is tried: a refit is cheap, and curvature tells of the nearest
minimum alone, where a product of the same order may take over what a power does."""
TRIES = 3
"""Blocks that are tried in a larger model, the least needed first, before it is over."""
NEEDED = 60.0
"""Wald statistic for each parameter from which a block of a larger model is not tried."""
SEVERAL = 3
"""Products of one order from which on fewer are tried."""
RESTARTS = 4
"""Random starts of each of these fits."""
TINY = 1e-8
"""Contribution over the targets' spread that is rounding."""
ENTRY = 4.0
"""Standard errors below which an entry may go."""


@dataclass(frozen=True)
class Block:
    """A part of a model that may go: `"power"`, `"monomial"` or `"term"`, and which."""

    kind: str
    which: int


def blocks(model: Model) -> list[Block]:
    """All parts that may go, powers first."""
    found = [Block(kind, which) for (kind, which), _ in model.blocks()]
    return found + [Block("term", t) for t in range(len(model.terms))]


def without(model: Model, block: Block) -> Model:
    """The model without a part."""
    if block.kind == "term":
        return model.with_terms(model.terms[: block.which] + model.terms[block.which + 1 :])
    powers, monomials = dict(model.powers), list(model.monomials)
    if block.kind == "power":
        del powers[block.which]
    else:
        del monomials[block.which]
    return model.with_columns(powers, tuple(monomials))


def eliminate(space: Workspace, model: Model, record: Record) -> Model:
    """Take out terms while the held-out loss does not rise, the least needed first.

    What a term is worth is first read off the curvature of the loss: the rise if it went and
    everything else moved, `1/2 w^T S w` with the Schur complement S of its block. The least needed
    ones are then left out in turn, the rest is refitted, and held-out samples decide. A model with
    more than `Config.dense` parameters, for which there is no curvature, stays as it is.
    """
    while model.parameters <= space.config.dense:
        ranked = _ranked(space, model)
        if model.parameters > SMALL:
            ranked = [pair for pair in ranked[:TRIES] if pair[1] <= NEEDED]
        for block, _ in ranked:
            reduced = space.fit(without(model, block), tol=1e-6, steps=GROWING)
            if judging.harmless(space, model, reduced):
                record(reduced, f"dropped {_name(model, block)}")
                model = reduced
                break
        else:
            break
    return model


def lower_rank(space: Workspace, model: Model, rng: np.random.Generator, record: Record) -> Model:
    """Fit an order anew with a product less, from random starts, as long as that does no harm.

    Products that came in one by one may be more than it takes: each was the best beside the others,
    and none of them can go alone. From `SEVERAL` products of an order on, in small models.
    """
    for order in sorted({term.order for term in model.terms if term.basis is None}):
        while model.parameters <= SMALL:
            mine = [each for each in model.terms if (each.basis, each.order) == (None, order)]
            if len(mine) < SEVERAL:
                break
            others = tuple(
                each for each in model.terms if (each.basis, each.order) != (None, order)
            )
            fits = [
                space.fit(model.with_terms((*others, *_drawn(mine[:-1], rng))), tol=1e-6)
                for _ in range(RESTARTS)
            ]
            best = min(fits, key=lambda fit: float(np.mean(space.losses(fit, space.train))))
            if not judging.harmless(space, model, best):
                break
            model = best
            record(
                model, f"fitted {len(mine) - 1} products of order {order} in place of {len(mine)}"
            )
    return model


def _drawn(terms: list[Term], rng: np.random.Generator) -> list[Term]:
    """Terms of the same shapes with factors and coefficients at random."""
    return [
        dataclasses.replace(
            term,
            factors=rng.normal(size=term.factors.shape) / np.sqrt(term.factors.shape[1]),
            coefficients=0.1 * rng.normal(size=term.coefficients.shape),
            free=None,
        )
        for term in terms
    ]


def _name(model: Model, block: Block) -> str:
    if block.kind == "power":
        return power_label(block.which)
    if block.kind == "monomial":
        return monomial_label(model.monomials[block.which])
    return model.terms[block.which].label


def _ranked(space: Workspace, model: Model) -> list[tuple[Block, float]]:
    """Blocks by their Wald statistic for each parameter, least first."""
    matrix, places = space.curvature(model)
    columns = [where for kind, _, where in places if kind == "column"]
    coefficients = [where for kind, _, where in places if kind == "coefficient"]
    factors = [where for kind, _, where in places if kind == "factors"]
    noise = _noise(space, model)
    found = []
    linear = model.blocks()
    for block in blocks(model):
        if block.kind == "term":
            mine = coefficients[block.which]
            rest = np.setdiff1d(np.arange(len(matrix)), [*mine, *factors[block.which]])
            weights = model.terms[block.which].coefficients
        else:
            at = next(where for key, where in linear if key == (block.kind, block.which))
            mine = np.concatenate([columns[i] for i in at])
            rest = np.setdiff1d(np.arange(len(matrix)), mine)
            weights = model.weights[at].reshape(-1)
        schur = _schur(matrix, mine, rest)
        found.append((block, float(weights @ schur @ weights) / (noise * len(mine))))
    return sorted(found, key=lambda pair: pair[1])


def _noise(space: Workspace, model: Model) -> float:
    """Variance of one target for the square loss, at least rounding; 1 for likelihoods."""
    if space.loss != "square":
        return 1.0
    losses = space.losses(model, judging.judge(space)) * space.reference
    floor = space.rounding * space.reference
    return 2 * max(float(np.mean(losses)), floor) / space.y.shape[1]


def _schur(matrix: np.ndarray, mine: np.ndarray, rest: np.ndarray) -> np.ndarray:
    own = matrix[np.ix_(mine, mine)]
    cross, others = matrix[np.ix_(rest, mine)], matrix[np.ix_(rest, rest)]
    ridge = 1e-9 * np.maximum(np.diagonal(others), 1e-9 * np.max(np.diagonal(matrix)))
    return own - cross.T @ np.linalg.solve(others + np.diag(ridge), cross)


def sparsify(space: Workspace, model: Model, record: Record) -> Model:
    """Hold entries of powers and factors at zero that cannot be told from it.

    An entry may go below `ENTRY` standard errors, or where what it adds is rounding. A stream or
    a term is made sparse only if half of its entries or more may go: a few zeros among many entries
    make no formula easier to read.
    """
    if model.parameters > space.config.dense:
        return model
    matrix, places = space.curvature(model)
    scale = np.sqrt(np.maximum(np.diagonal(matrix), 1e-30))
    normed = matrix / scale[:, None] / scale[None, :]
    # The gauge has no curvature: the pseudo-inverse leaves it out.
    inverse = np.linalg.pinv(normed, rcond=1e-11, hermitian=True)
    errors = np.sqrt(np.maximum(np.diagonal(inverse), 0) * _noise(space, model)) / scale
    n = int(space.train.sum())
    rounding = TINY * np.sqrt(2 * space.reference * n) / scale
    threshold = np.maximum(ENTRY * errors, rounding)
    powers, at = {}, 1
    columns = [where for kind, _, where in places if kind == "column"]
    for k in sorted(model.powers):
        mask = model.powers[k].copy()
        size = int(mask.sum())
        small = np.array(
            [np.all(np.abs(model.weights[i]) < threshold[columns[i]]) for i in range(at, at + size)]
        )
        if np.mean(small) >= 0.5 and not small.all():
            mask[np.flatnonzero(mask)[small]] = False
        powers[k] = mask
        at += size
    terms = []
    factor_places = [where for kind, _, where in places if kind == "factors"]
    for term, where in zip(model.terms, factor_places, strict=True):
        small = (np.abs(term.factors) < threshold[where].reshape(term.factors.shape)) & term.mask
        free = term.mask.copy()
        for m in range(term.order):
            if np.mean(small[m][free[m]]) >= 0.5 and not small[m][free[m]].all():
                free[m] &= ~small[m]
        terms.append(dataclasses.replace(term, factors=term.factors * free, free=free))
    sparse = dataclasses.replace(model.with_columns(powers, model.monomials), terms=tuple(terms))
    if sparse.parameters == model.parameters:
        return model
    sparse = space.fit(sparse, tol=1e-6)
    if not judging.harmless(space, model, sparse):
        return model
    dropped = model.parameters - sparse.parameters
    record(sparse, f"dropped {dropped} entries")
    return sparse
