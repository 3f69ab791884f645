"""A whole template fitted at once, with ridge and early stopping: for prediction."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from nsjax import _check
from nsjax.networks.cp import Template
from nsjax.neuronseek.log import Found, Log
from nsjax.neuronseek.model import Model, Term, contributions, empty
from nsjax.neuronseek.workspace import Workspace

NOTHING = 1e-8
"""Share of the outputs' variance below which a term that ridge has shrunk is left out."""
LARGEST = 1e4
"""Penalty up to which larger ones are tried, as long as none is better than a constant."""
FULL = 0.5
"""Numbers of a model for each sample fitted up to which it is fitted to all samples at the end."""
FREQUENCIES = (0.3, 3.0)
"""Sizes of a basis' projection, slow to fast, from which starts are drawn."""
COEFFICIENT = 0.1
"""Size of a term's coefficient at the start. At zero ridge would hold it there: a product is a
saddle of the loss where several of its numbers are zero."""


@dataclass(frozen=True)
class Ridge:
    """Settings of a fit of a whole template with ridge and early stopping. Frozen and hashable.

    For data that no formula of the template explains, such as measurements: all terms are fitted at
    once from random factors by Levenberg-Marquardt with the penalty `1/2 ||w||^2` on all weights,
    one penalty after the other, and larger ones where none is better than a constant. Held-out
    samples choose the penalty and when to stop; a few more steps then take in all samples, unless
    there are nearly as many numbers as samples. For a term of order n, ridge on coefficient and
    factors is a penalty on `|C|^(2/(n+1))`: it takes out terms rather than to shrink all of them.

    Raises:
        TypeError, ValueError: on making one with a bad setting, which is named.

    >>> Ridge(rank=2, bases=("sine",)).terms
    10
    """

    powers: tuple[int, ...] = (1, 2, 3, 4, 5)
    """Orders of the pure stream."""
    interactions: tuple[int, ...] = (2, 3, 4, 5)
    """Orders of the interaction stream."""
    rank: int = 4
    """Products of each order, and terms of each basis."""
    bases: tuple[str, ...] = ()
    """Other functions of projections, by the names of `networks.BASES`."""
    penalties: tuple[float, ...] = (0.3, 0.1, 0.03)
    """Weights of `1/2 ||w||^2` beside the sum of the losses of all samples, columns and targets
    being of size 1."""
    stride: int = 20
    """Steps of Levenberg-Marquardt from one look at the held-out samples to the next."""
    patience: int = 3
    """Looks without a better held-out loss after which a fit ends."""
    strides: int = 12
    """Most strides of a fit."""
    last: int = 20
    """Steps to all samples at the end."""
    holdout: float = 0.25
    """Share of the samples that are held out, unless validation data are given."""

    def __post_init__(self) -> None:
        Template(self.powers, self.interactions, self.rank, self.bases)
        for name in ("powers", "interactions"):
            object.__setattr__(self, name, tuple(sorted(getattr(self, name))))
        object.__setattr__(self, "bases", tuple(self.bases))
        if not isinstance(self.penalties, tuple | list) or not self.penalties:
            raise TypeError(f"penalties must be a tuple of numbers, got {self.penalties!r}")
        for penalty in self.penalties:
            _check.non_negative("penalties", penalty)
        object.__setattr__(self, "penalties", tuple(map(float, self.penalties)))
        for name in ("stride", "patience", "strides", "last"):
            _check.positive_integer(name, getattr(self, name))
        if not 0 < _check.positive("holdout", self.holdout) < 1:
            raise ValueError(f"holdout must lie between 0 and 1, got {self.holdout!r}")

    @property
    def terms(self) -> int:
        """Number of products and bases."""
        return self.rank * (len(self.interactions) + len(self.bases))


def search(space: Workspace, config: Ridge, rng: np.random.Generator) -> Found:
    """Fit the template with every penalty, keep what the held-out samples say is best."""
    log = Log(space)
    start = _start(space, config, rng)
    best, chosen = empty(space.y.shape[1]), 0.0
    log(best, "began with a constant")
    least = log.validation[-1] if space.judged else np.inf
    penalties = list(config.penalties)
    for penalty in penalties:
        model, waited, steps = start, 0, 0
        for _ in range(config.strides):
            before = space.evaluations
            model = space.fit(model, steps=config.stride, tol=1e-4, penalty=penalty)
            steps += space.evaluations - before
            log(model, f"{steps} steps with ridge {penalty:g}")
            loss = log.validation[-1] if space.judged else log.train[-1]
            waited = 0 if loss < least else waited + 1
            if loss < least:
                best, least, chosen = model, loss, penalty
            if waited >= config.patience or space.evaluations - before < config.stride:
                break
        largest = max(penalties)
        helps = chosen == 0 or chosen == largest > max(config.penalties)
        if penalty == penalties[-1] and helps and largest < LARGEST:
            # Nothing was better than a constant, or the last one of those added was the best.
            penalties.append(10 * largest)
    judged = (least, space.error(best)) if space.judged else (np.nan, np.nan)
    small = best.parameters <= FULL * int(space.train.sum())
    more = bool(chosen > 0 and small and np.any(space.last & ~space.train))
    if more:
        # With as many numbers as samples, steps that nothing judges would fit the noise.
        best = space.fit(best, space.last, steps=config.last, tol=1e-4, penalty=chosen)
    best = _without_nothing(space, best)
    log(best, f"ridge {chosen:g}{', refitted to all samples' if more else ''}")
    return Found(best, log, 6, judged)


def _start(space: Workspace, config: Ridge, rng: np.random.Generator) -> Model:
    """Streams at zero and terms at random."""
    d, c = space.inputs, space.y.shape[1]
    kinds: list[tuple[int, str | None]] = [(n, None) for n in config.interactions]
    kinds += [(1, name) for name in config.bases]
    terms = []
    for order, basis in kinds:
        for i in range(config.rank):
            factors = rng.normal(size=(order, d))
            factors /= np.linalg.norm(factors, axis=1, keepdims=True)
            if basis is not None:
                slow, fast = np.log(FREQUENCIES)
                factors *= np.exp(rng.uniform(slow, fast))
            coefficients = np.asarray(COEFFICIENT * rng.normal(size=c))
            label = f"{basis or f'I{order}'}.{i + 1}"
            terms.append(Term(factors, coefficients, basis, label=label))
    powers = {k: np.ones(d, bool) for k in config.powers}
    return empty(c).with_terms(tuple(terms)).with_columns(powers, ())


def _without_nothing(space: Workspace, model: Model) -> Model:
    """The model without terms that add nothing."""
    parts = contributions(model, space.x[space.last])
    spread = float(np.sum(np.var(space.y[space.last], axis=0)))
    kept = tuple(
        term
        for term in model.terms
        if float(np.sum(np.var(parts[term.label], axis=0))) > NOTHING * spread
    )
    return dataclasses.replace(model, terms=kept)
