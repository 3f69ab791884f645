"""Products of inputs, one at a time: orthogonal matching pursuit over all monomials of an order.

No dictionary is stored. Inner products of all monomials up to order three with a vector are matrix
products, `X^T diag(x_i v) X` for every i; of many inputs the best of order three come from a pass
over them (`triples`); higher orders extend the best ones of the order below by one input.
"""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from nsjax.neuronseek import triples
from nsjax.neuronseek.model import Monomial, column

SHORTLIST = 12
"""Candidates that are refitted in every step, and their divisors."""
STEMS = 64
"""Monomials that are extended by one input, to the next order above those that are scored."""
WORK = 8e9
"""Multiplications in one pass over order three; with more rows a random part is scored."""
LARGEST_CUBE = 400
"""Inputs up to which the scores of all monomials of order three are stored; above, a pass keeps
`POOL` of them."""
POOL = 2000
"""Products of three that a pass keeps."""
PACE = 0.5 / 24
"""Share of the residual that each of the first 24 monomials has to explain on average, or few will
not do."""
PROJECTED = 32
"""Columns already in the model up to which scores project them out; refits always do."""


@dataclass(frozen=True)
class Greedy:
    """Result of the pursuit: the monomials, and whether a bound, not the criterion, ended it."""

    monomials: tuple[Monomial, ...]
    full: bool


@functools.partial(jax.jit, static_argnames="order")
def inner(x: jax.Array, v: jax.Array, order: int) -> list[jax.Array]:
    """`sum_i m(x_i) v_i` for all monomials m of orders 1 to `order`, at most 3.

    Args:
        x: inputs `(n, d)`.
        v: weights `(n,)`.
        order: 1, 2 or 3.

    Returns:
        Arrays `(d,)`, `(d, d)`, `(d, d, d)`, symmetric.
    """
    found = [v @ x]
    if order > 1:
        found.append((x * v[:, None]).T @ x)
    if order > 2:
        found.append(lax.map(lambda own: (x * (v * own)[:, None]).T @ x, x.T))
    return found


@functools.partial(jax.jit, static_argnames=("order", "keep"))
def _top(
    x: jax.Array, r: jax.Array, norms: list[jax.Array], raw: list[jax.Array], order: int, keep: int
) -> tuple[jax.Array, jax.Array]:
    """The largest scores `(k,)` and their places among all monomials, orders in turn."""
    together = []
    for i, (norm, whole) in enumerate(zip(norms, raw, strict=True)):
        least = 1e-4 * whole
        score = sum(inner(x, each, order)[i] ** 2 for each in r.T)
        score = jnp.where(norm > least, score / jnp.maximum(norm, least), 0)
        d, k = score.shape[0], score.ndim
        places = jnp.indices(score.shape, sparse=True)
        # Of the orders in which a monomial's inputs may be named, one.
        rising = jnp.ones((1,) * k, bool)
        for j in range(k - 1):
            rising &= places[j] <= places[j + 1]
        together.append(jnp.where(rising, score, -jnp.inf).reshape(d**k))
    return lax.top_k(jnp.concatenate(together), keep)


@functools.partial(jax.jit, static_argnames="order")
def _lessened(x: jax.Array, unit: jax.Array, norms: list[jax.Array], order: int) -> list[jax.Array]:
    """Squared norms after a unit vector `(n,)` has been projected out."""
    shares = inner(x, unit, order)
    return [norm - share**2 for norm, share in zip(norms, shares, strict=True)]


class Scores:
    """Scores of all monomials: the share of the residual that each would explain on its own.

    Norms are those after the columns that there are have been projected out, and are kept.
    """

    def __init__(
        self, x: np.ndarray, columns: np.ndarray, order: int, rng: np.random.Generator
    ) -> None:
        d = x.shape[1]
        self.stored = min(order, 3 if d <= LARGEST_CUBE else 2)
        passes = order > 2 and d > LARGEST_CUBE
        # A pass over some of the inputs alone leaves out products of which a pair shows.
        self.partial = passes and d > triples.most_inputs()
        self.order = 3 if passes else self.stored
        self.pool = _Pool(x, rng) if passes else None
        self.x = jnp.asarray(x, jnp.float32 if d > 32 else x.dtype)
        self.norms = inner(self.x**2, jnp.ones(len(x), self.x.dtype), self.stored)
        self.raw = self.norms
        self.q = np.zeros((len(x), 0))
        self.add(columns if columns.shape[1] <= PROJECTED else columns[:, :1])

    def add(self, columns: np.ndarray) -> None:
        """Project out further columns, `(n, k)`."""
        for each in columns.T:
            rest = each - self.q @ (self.q.T @ each)
            rest = rest - self.q @ (self.q.T @ rest)
            size = np.linalg.norm(rest)
            if size <= 1e-8 * np.linalg.norm(each):
                continue
            unit = rest / size
            self.q = np.concatenate([self.q, unit[:, None]], axis=1)
            self.norms = _lessened(self.x, jnp.asarray(unit, self.x.dtype), self.norms, self.stored)

    def best(self, r: np.ndarray, keep: int) -> list[tuple[float, Monomial]]:
        """Monomials up to order three with the largest scores for residuals `(n, c)`."""
        d = self.x.shape[1]
        most = max(keep, STEMS) if self.partial else keep
        most = min(most, sum(d**k for k in range(1, self.stored + 1)))
        values, places = _top(
            self.x, jnp.asarray(r, self.x.dtype), self.norms, self.raw, self.stored, most
        )
        found = []
        for value, place in zip(np.asarray(values), np.asarray(places), strict=True):
            order = 1
            while place >= d**order:
                place, order = place - d**order, order + 1
            if value > 0:
                where = np.unravel_index(int(place), (d,) * order)
                found.append((float(value), tuple(int(i) for i in where)))
        if self.pool is not None:
            pairs: list[Monomial] = [monomial for _, monomial in found if len(monomial) == 2]
            if self.partial and pairs:
                found += self.extended(r, pairs, keep)
            least = max((score for score, _ in found), default=0.0)
            found += self.pool.best(r, self.q, keep, least)
            found = [(score, m) for m, score in {m: score for score, m in found}.items()]
            found.sort(key=lambda pair: -pair[0])
        return found[:keep]

    def extended(
        self, r: np.ndarray, stems: list[Monomial], keep: int
    ) -> list[tuple[float, Monomial]]:
        """The same for the stems times one more input each."""
        x = np.asarray(self.x)
        values = np.stack([column(stem, x) for stem in stems], axis=1)
        scores = sum(((values * each[:, None]).T @ x) ** 2 for each in r.T.astype(x.dtype))
        norms = (values**2).T @ x**2
        raw = norms.copy()
        for unit in self.q.T.astype(x.dtype):
            norms -= ((values * unit[:, None]).T @ x) ** 2
        scores = np.where(norms > 1e-4 * raw, scores / np.maximum(norms, 1e-4 * raw), 0)
        places = np.argsort(-scores, axis=None)[:keep]
        best: dict[Monomial, float] = {}
        for stem, j in zip(*np.unravel_index(places, scores.shape), strict=True):
            best.setdefault(tuple(sorted((*stems[stem], int(j)))), float(scores[stem, j]))
        return [(value, monomial) for monomial, value in best.items()]


class _Pool:
    """Products of three inputs that the last pass over all of them kept."""

    def __init__(self, x: np.ndarray, rng: np.random.Generator) -> None:
        self.x, self.rng = x, rng
        self.monomials: list[Monomial] = []
        self.values = np.zeros((len(x), 0), np.float32)

    def best(
        self, r: np.ndarray, q: np.ndarray, keep: int, least: float
    ) -> list[tuple[float, Monomial]]:
        """Those with the largest scores for residuals `(n, c)`, columns q projected out.

        There is a new pass if neither they nor the others' best, `least`, are beyond chance.
        """
        beyond = 3 * math.log(self.x.shape[1] ** 3) * float(np.mean(np.sum(r**2, axis=1)))
        scores = self._scores(r, q)
        if max(least, scores.max(initial=0.0)) < beyond:
            self.monomials = triples.scan(self.x, r, POOL, self.rng)
            columns = [column(m, self.x)[:, None] for m in self.monomials]
            self.values = np.concatenate(columns, axis=1, dtype=np.float32)
            scores = self._scores(r, q)
        top = np.argsort(-scores)[:keep]
        return [(float(scores[i]), self.monomials[i]) for i in top if scores[i] > 0]

    def _scores(self, r: np.ndarray, q: np.ndarray) -> np.ndarray:
        raw = np.sum(self.values**2, axis=0)
        norms = raw - np.sum((q.T.astype(np.float32) @ self.values) ** 2, axis=0)
        pulls = np.sum((r.T.astype(np.float32) @ self.values) ** 2, axis=0)
        return np.where(norms > 1e-4 * raw, pulls / np.maximum(norms, 1e-4 * raw), 0)


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
    if order > 2 and n * d**3 > WORK and d <= LARGEST_CUBE:
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
    best = scores.best(r, STEMS if order > scores.order else SHORTLIST)
    stems = [monomial for _, monomial in best if len(monomial) == scores.order]
    for _ in range(scores.order, order):
        if not stems:
            break
        longer = scores.extended(r, stems, STEMS)
        best += longer
        stems = [monomial for _, monomial in longer]
    best.sort(key=lambda pair: -pair[0])
    found: dict[Monomial, None] = {}
    for _, monomial in best[:SHORTLIST]:
        for length in range(1, len(monomial) + 1):
            for part in itertools.combinations(monomial, length):
                found.setdefault(part, None)
    return list(found)
