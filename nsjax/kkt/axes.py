"""KKT points on the axes: products of single inputs, scored all at once.

Where every factor of a product of n projections lies along one input, the NCF's moment tensor
`T = sum_i r_i g_i^(o n)` is read off entry by entry: every monomial is a KKT point of its own. No
dictionary is stored. Inner products of all monomials up to order three with a vector are matrix
products, `X^T diag(x_i v) X` for every i; of many inputs the best of order three come from a pass
over them (`triples`); higher orders extend the best ones of the order below by one input.
"""

from __future__ import annotations

import copy
import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from nsjax.kkt import triples
from nsjax.kkt.triples import Monomial

STEMS = 64
"""Monomials that are extended by one input, to the next order above those that are scored."""
LARGEST_CUBE = 400
"""Inputs up to which the scores of all monomials of order three are stored; above, a pass keeps
`POOL` of them."""
POOL = 2000
"""Products of three that a pass keeps."""
PROJECTED = 32
"""Columns already in the model up to which scores project them out; refits always do."""

Scored = tuple[float, Monomial]
"""What a monomial would explain of the squared residual, and the monomial."""


def column(monomial: Monomial, x: np.ndarray) -> np.ndarray:
    """Values of a monomial, `(n,)`."""
    return np.prod(x[:, list(monomial)], axis=1)


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
) -> list[tuple[jax.Array, jax.Array]]:
    """The largest scores `(k,)` of every order, and their places among its monomials."""
    # One residual after the other: their scores add up, and cubes are large.
    scores = [jnp.zeros_like(norm) for norm in norms]
    for each in r.T:
        scores = [a + b**2 for a, b in zip(scores, inner(x, each, order), strict=True)]
    found = []
    for score, norm, whole in zip(scores, norms, raw, strict=True):
        least = 1e-4 * whole
        score = jnp.where(norm > least, score / jnp.maximum(norm, least), 0)
        d, k = score.shape[0], score.ndim
        places = jnp.indices(score.shape, sparse=True)
        # Of the orders in which a monomial's inputs may be named, one.
        rising = jnp.ones((1,) * k, bool)
        for j in range(k - 1):
            rising &= places[j] <= places[j + 1]
        flat = jnp.where(rising, score, -jnp.inf).reshape(d**k)
        found.append(lax.top_k(flat, min(keep, d**k)))
    return found


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

    def again(self, rng: np.random.Generator) -> Scores:
        """The same for other residuals: norms are shared, what a pass has kept is not."""
        other = copy.copy(self)
        other.pool = None if self.pool is None else _Pool(self.pool.x, rng)
        return other

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

    def best(self, r: np.ndarray, order: int, keep: int) -> list[Scored]:
        """Monomials up to an order with the largest scores for residuals `(n, c)`."""
        found = itertools.chain.from_iterable(self.ranked(r, order, keep))
        return sorted(found, key=lambda pair: -pair[0])[:keep]

    def ranked(self, r: np.ndarray, order: int, keep: int) -> list[list[Scored]]:
        """The same of every order from 1 to `order` by itself; those above three from stems."""
        # What is left out of a pass, and what is of a higher order, comes from stems.
        most = max(keep, STEMS) if self.partial or order > self.order else keep
        tops = _top(self.x, jnp.asarray(r, self.x.dtype), self.norms, self.raw, self.stored, most)
        ranks = [self._named(values, places, k) for k, (values, places) in enumerate(tops, start=1)]
        if self.pool is not None:
            stems = [monomial for _, monomial in ranks[1]] if self.partial else []
            found = self.extended(r, stems, most) if stems else []
            least = max((score for rank in (*ranks, found) for score, _ in rank), default=0.0)
            found += self.pool.best(r, self.q, most, least)
            found = [(score, m) for m, score in {m: score for score, m in found}.items()]
            ranks.append(sorted(found, key=lambda pair: -pair[0])[:most])
        while len(ranks) < order:
            stems = [monomial for _, monomial in ranks[-1]]
            ranks.append(self.extended(r, stems, most) if stems else [])
        return [rank[:keep] for rank in ranks[:order]]

    def _named(self, values: jax.Array, places: jax.Array, order: int) -> list[Scored]:
        d, scores = self.x.shape[1], np.asarray(values)
        inputs = np.stack(np.unravel_index(np.asarray(places), (d,) * order), axis=1)
        pairs = zip(scores.tolist(), map(tuple, inputs.tolist()), strict=True)
        return [(score, monomial) for score, monomial in pairs if score > 0]

    def extended(self, r: np.ndarray, stems: list[Monomial], keep: int) -> list[Scored]:
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

    def best(self, r: np.ndarray, q: np.ndarray, keep: int, least: float) -> list[Scored]:
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
