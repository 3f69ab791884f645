"""Products of inputs, one at a time: orthogonal matching pursuit over all monomials of an order.

Scores of all monomials are those of `kkt.axes`.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from nsjax.kkt import axes
from nsjax.kkt.axes import Scores, column
from nsjax.kkt.triples import Monomial

SHORTLIST = 12
"""Candidates that are refitted in every step, and their divisors."""
WORK = 8e9
"""Multiplications in one pass over order three; with more rows a random part is scored."""
PACE = 0.5 / 24
"""Share of the residual that each of the first 24 monomials has to explain on average, or few will
not do."""


@dataclass(frozen=True)
class Greedy:
    """Result of the pursuit: the monomials, and whether a bound, not the criterion, ended it."""

    monomials: tuple[Monomial, ...]
    full: bool


class Refits(Protocol):
    """Deviances of models with one monomial more or less than the present one."""

    chosen: tuple[Monomial, ...]
    deviance: float
    residual: np.ndarray

    def with_one(self, options: list[Monomial]) -> np.ndarray:
        """Deviance with each option, `(k,)`; infinite for what is not worth a refit."""
        ...

    def without_one(self) -> np.ndarray:
        """Deviance without each monomial chosen, `(k,)`."""
        ...

    def choose(self, chosen: tuple[Monomial, ...]) -> None:
        """Make these the present ones."""
        ...


class LeastSquares:
    """Refits for the square loss, exact and from one QR decomposition.

    The deviance is `n c log` of the mean square, at least that of `floor`.

    Args:
        x: inputs `(n, d)`.
        columns: what is in the model already, `(n, q)`.
        y: its residual, `(n, c)`.
        floor: mean square that is rounding.
    """

    def __init__(self, x: np.ndarray, columns: np.ndarray, y: np.ndarray, floor: float) -> None:
        self.x, self.y, self.columns, self.floor = x, y, columns, floor
        self.start = float(np.sum(y**2))
        self.choose(())

    def choose(self, chosen: tuple[Monomial, ...]) -> None:
        """Make these the present ones."""
        self.chosen = chosen
        self.q, self.r = np.linalg.qr(self._design(chosen))
        self.residual = self.y - self.q @ (self.q.T @ self.y)
        self.residual -= self.q @ (self.q.T @ self.residual)
        self.deviance = float(self._deviance(np.sum(self.residual**2)))

    def with_one(self, options: list[Monomial]) -> np.ndarray:
        """Deviance with each option, `(k,)`."""
        extra = np.stack([column(m, self.x) for m in options], axis=1)
        rest = extra - self.q @ (self.q.T @ extra)
        norms, raw = np.sum(rest**2, axis=0), np.sum(extra**2, axis=0)
        gains = np.sum((rest.T @ self.residual) ** 2, axis=1) / np.maximum(norms, 1e-10 * raw)
        gains = np.where(norms > 1e-10 * raw, gains, 0)
        return self._deviance(np.sum(self.residual**2) - gains)

    def without_one(self) -> np.ndarray:
        """Deviance without each monomial chosen, `(k,)`."""
        inverse = np.linalg.inv(self.r + 1e-14 * np.max(np.abs(self.r)) * np.eye(len(self.r)))
        weights = inverse @ (self.q.T @ self.y)
        rise = np.sum(weights**2, axis=1) / np.sum(inverse**2, axis=1)
        return self._deviance(np.sum(self.residual**2) + rise[-len(self.chosen) :])

    def _design(self, chosen: tuple[Monomial, ...]) -> np.ndarray:
        extra = [column(m, self.x)[:, None] for m in chosen]
        return np.concatenate([self.columns, *extra], axis=1)

    def _deviance(self, squares: Any) -> Any:
        n = self.y.size
        mean = np.maximum(squares / n, self.floor)
        return n * np.log(np.maximum(mean, 1e-300))


def greedy(
    x: np.ndarray,
    columns: np.ndarray,
    refits: Refits,
    *,
    order: int,
    most: int,
    rng: np.random.Generator,
) -> Greedy:
    """Choose monomials one by one, then drop those that the criterion does without.

    The criterion is the extended Bayesian one with gamma = 1 (Chen and Chen 2008): deviance, plus
    `log n` for each coefficient, one an output, plus, for each monomial, twice the log of the
    number of monomials of its order.

    Args:
        x: inputs `(n, d)`.
        columns: what is in the model already, `(n, q)`.
        refits: of models with more monomials.
        order: largest order.
        most: largest number of monomials.
        rng: picks the rows that are scored, if not all are.

    Returns:
        The monomials chosen.
    """
    (n, d), outputs = x.shape, refits.residual.shape[1]
    rows = np.arange(n)
    if order > 2 and n * d**3 > WORK and d <= axes.LARGEST_CUBE:
        rows = np.sort(rng.choice(n, max(256, min(n, int(WORK / d**3))), replace=False))
    scores = Scores(x[rows], columns[rows], order, rng)
    start = float(np.sum(refits.residual**2))

    def price(monomial: Monomial) -> float:
        k = len(monomial)
        return outputs * math.log(n) + 2 * math.log(math.comb(d + k - 1, k))

    full = True
    for count in range(most):
        options = _shortlist(scores, refits.residual[rows], order)
        options = [m for m in options if m not in refits.chosen]
        if not options:
            full = False
            break
        criteria = refits.with_one(options) + [price(m) for m in options]
        best = int(np.argmin(criteria))
        if criteria[best] >= refits.deviance:
            full = False
            break
        refits.choose((*refits.chosen, options[best]))
        explained = 1 - float(np.sum(refits.residual**2)) / start
        if explained < PACE * min(count + 1, 24):
            return Greedy((), True)
        scores.add(column(options[best], x[rows])[:, None])
    while refits.chosen:
        saved = refits.without_one() - [price(m) for m in refits.chosen]
        worst = int(np.argmin(saved))
        if saved[worst] >= refits.deviance:
            break
        refits.choose(refits.chosen[:worst] + refits.chosen[worst + 1 :])
    return Greedy(refits.chosen, full)


def _shortlist(scores: Scores, r: np.ndarray, order: int) -> list[Monomial]:
    found: dict[Monomial, None] = {}
    for _, monomial in scores.best(r, order, SHORTLIST):
        for length in range(1, len(monomial) + 1):
            for part in itertools.combinations(monomial, length):
                found.setdefault(part, None)
    return list(found)
