"""The search by candidates: grow, then shrink, then fit to all samples."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nsjax.neuronseek import judging
from nsjax.neuronseek.elimination import eliminate, lower_rank, sparsify
from nsjax.neuronseek.growth import (
    add_powers,
    add_product,
    grow,
    pursue,
    with_monomials,
)
from nsjax.neuronseek.log import Found, Log
from nsjax.neuronseek.model import Model, empty, monomial_label
from nsjax.neuronseek.workspace import Workspace

AS_GOOD = 0.01
"""Relative difference of held-out losses up to which the smaller model is preferred."""
ROUNDS = 4
"""Most times that a model grows and shrinks."""
FIRST = 24
"""Monomials that are tried before whole streams are; more only if those do not explain all."""
FEW = 8
"""Monomials that are the formula, if they are exact, or better than chance with nothing beside them
that is."""


def search(space: Workspace, rng: np.random.Generator) -> Found:
    """The better of two ways to grow: few monomials, or whole streams first."""
    constant = space.fit(empty(space.y.shape[1]))
    sparse = _sparse(space, rng, FIRST)
    if sparse is not None and sparse.result != 2 and len(sparse.model.monomials) <= FEW:
        if _exact(space, sparse.model):
            return _finish(space, sparse)
        if judging.better(space, constant, sparse.model) and _complete(space, sparse.model, rng):
            return _finish(space, _chosen_again(space, sparse, rng))
    log = Log(space)
    log(constant, "began with a constant")
    model = constant
    for _ in range(ROUNDS):
        grown = grow(space, model, rng, log)
        if grown is model:
            break
        model = eliminate(space, grown, log)
        if model is grown:
            break
        # Without the terms that are gone, others may be seen.
    if model.powers or model.terms:
        model = lower_rank(space, model, rng, log)
        model = sparsify(space, model, log)
    dense = Found(model, log, _code(space, model), log.judged)
    if sparse is not None and sparse.result == 2 and dense.result != 0:
        sparse = _sparse(space, rng)
    if sparse is None or _better(space, sparse, dense) is dense:
        return _finish(space, dense)
    return _finish(space, sparse if sparse.result == 0 else _chosen_again(space, sparse, rng))


def _complete(space: Workspace, model: Model, rng: np.random.Generator) -> bool:
    """Whether no stream of powers and no product of projections is better than chance beside it."""
    labels = space.labels.copy()
    more = None
    if "powers" in space.config.sources:
        more = add_powers(space, model, _unrecorded)
    if more is None and "products" in space.config.sources:
        more = add_product(space, model, rng, _unrecorded)
    space.labels = labels
    return more is None


def _unrecorded(model: Model, action: str) -> None:
    """No record of what is only tried."""


def _chosen_again(space: Workspace, sparse: Found, rng: np.random.Generator) -> Found:
    """Monomials chosen from all samples: the criterion needs no held-out ones."""
    if not space.judged:
        return sparse
    everything = replace(space, train=space.last, hold=np.zeros_like(space.hold))
    again = _sparse(everything, rng)
    space.evaluations = everything.evaluations
    # What held-out samples say is said of the model that has not seen them.
    return sparse if again is None else again._replace(judged=sparse.judged)


def _sparse(space: Workspace, rng: np.random.Generator, most: int | None = None) -> Found | None:
    if "monomials" not in space.config.sources:
        return None
    start = space.fit(empty(space.y.shape[1]))
    chosen = pursue(space, start, rng, most)
    if not chosen.monomials:
        return None
    log = Log(space)
    log(start, "began with a constant")
    model = start
    for count in range(1, len(chosen.monomials) + 1):
        model = space.fit(with_monomials(start, chosen.monomials[:count]), tol=1e-6)
        log(model, f"added {monomial_label(chosen.monomials[count - 1])}")
    return Found(model, log, 2 if chosen.full else _code(space, model), log.judged)


def _exact(space: Workspace, model: Model) -> bool:
    return bool(np.mean(space.losses(model, judging.judge(space))) <= space.rounding)


def _code(space: Workspace, model: Model) -> int:
    if _exact(space, model):
        return 0
    return 2 if len(model.terms) >= space.config.max_terms else 1


def _better(space: Workspace, sparse: Found, dense: Found) -> Found:
    """The one with the lower held-out loss; if they are as good, the smaller one."""
    compared = judging.compare(space, sparse.model, dense.model)
    level = max(compared.old, compared.new) <= (1 + AS_GOOD) * min(compared.old, compared.new)
    exact = [_exact(space, found.model) for found in (sparse, dense)]
    if any(exact) and not all(exact):
        return sparse if exact[0] else dense
    if all(exact) or level:
        fewer = dense.model.parameters < sparse.model.parameters
        return dense if fewer else sparse
    return dense if compared.new < compared.old else sparse


def _finish(space: Workspace, found: Found) -> Found:
    """Refit to all samples that the last fit may see."""
    model = space.fit(found.model, space.last, tol=1e-12, polish=True)
    found.log(model, "refitted to all samples")
    return found._replace(model=model)
