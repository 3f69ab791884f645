"""Products of three of many inputs: a pass over all of them that stores a square, not a cube.

Of so many inputs that there are too many products, the pass is over those of the inputs whose size
goes with that of the residual: a product of inputs that are independent and symmetric about 0 is
uncorrelated with all its divisors, yet small wherever one of its inputs is.
"""

from __future__ import annotations

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

Monomial = tuple[int, ...]
"""Inputs of a monomial, sorted, each as often as its exponent says: `(0, 0, 3)` is `x0^2 x3`."""
WORK = 2e11
"""Multiplications in a pass; with more rows a random part is seen."""
FEWEST = 256
"""Rows that a pass needs."""
SCREENED = 500
"""Inputs that are left where there are too many for a pass: so few that a pass sees many rows."""
STRIP = 1024
"""Inputs whose sizes are looked at together."""
BLOCKS = 8
"""Blocks of first inputs. Those before a block are left out: their products have been seen."""


def most_inputs() -> int:
    """Inputs up to which there is a pass: `d^3 / 3` products over the fewest rows."""
    return int((3 * WORK / FEWEST) ** (1 / 3))


def scan(x: np.ndarray, r: np.ndarray, keep: int, rng: np.random.Generator) -> list[Monomial]:
    """The products `x_i x_j x_k` that go best with residuals, by an estimate of their scores.

    Of more than `most_inputs()`, only products of the inputs of `leading`.

    For every pair `i <= j` the best k counts alone. Squared norms of products are estimated from
    those of pairs, `mean x_j^2 x_k^2` times `mean x_i^2`, the largest of the three ways: scores of
    what is kept are to be computed anew.

    Args:
        x: inputs `(n, d)`.
        r: residuals `(n, c)`.
        keep: how many to return at most.
        rng: picks the rows that are seen, if not all are.
    """
    inputs = np.arange(x.shape[1])
    if len(inputs) > most_inputs():
        inputs = leading(x, r, SCREENED)
        x = x[:, inputs]
    n, d = x.shape
    rows = min(n, max(FEWEST, int(3 * WORK / d**3)))
    if rows < n:
        chosen = np.sort(rng.choice(n, rows, replace=False))
        x, r = x[chosen], r[chosen]
    table = jnp.asarray(x, jnp.float32)
    targets = jnp.asarray(r - r.mean(axis=0), jnp.float32)
    pairs = (table**2).T @ table**2 / rows
    edges = np.linspace(0, d, BLOCKS + 1).astype(int)
    values, places = [], []
    for low, high in itertools.pairwise(edges):
        best, third = _block(table[:, low:], targets, pairs[low:, low:], int(high - low))
        first, second = np.indices(best.shape)
        rising = first <= second
        values.append(np.asarray(best)[rising])
        places.append(
            low + np.stack([first[rising], second[rising], np.asarray(third)[rising]], axis=1)
        )
    scores, found = np.concatenate(values), np.concatenate(places)
    top = np.argpartition(-scores, min(keep, len(scores) - 1))[:keep]
    return list(dict.fromkeys(tuple(sorted(map(int, inputs[found[i]]))) for i in top))


def leading(x: np.ndarray, r: np.ndarray, keep: int) -> np.ndarray:
    """The inputs that the residual's value or size goes with most, by rising number.

    The largest correlation of `transforms` of the residuals with an input, its absolute
    value and its square; of the order of `n d` operations.

    Args:
        x: inputs `(n, d)`.
        r: residuals `(n, c)`.
        keep: how many.

    Returns:
        Their numbers, `(keep,)`.
    """
    sizes = _standardised(transforms(r).T)
    scores = []
    for start in range(0, x.shape[1], STRIP):
        strip = x[:, start : start + STRIP]
        forms = (strip, np.abs(strip), strip**2)
        scores.append(
            np.max([np.abs(sizes.T @ _standardised(form)).max(axis=0) for form in forms], axis=0)
        )
    return np.sort(np.argsort(-np.concatenate(scores))[:keep])


def transforms(r: np.ndarray) -> np.ndarray:
    """The residual's sizes, transformed, and itself, `(k, n)`."""
    size = np.linalg.norm(r, axis=1)
    typical = np.median(size)
    relative = size / (typical if typical > 0 else 1)
    return np.stack([np.log(relative + 0.1), np.minimum(relative, 6), *r.T])


def _standardised(table: np.ndarray) -> np.ndarray:
    """Columns of mean 0 and norm 1; constant ones are 0."""
    centred = table - table.mean(axis=0)
    norms = np.linalg.norm(centred, axis=0)
    constant = norms <= 1e-6 * np.linalg.norm(table, axis=0)
    return np.where(constant, 0, centred / np.where(constant, 1, norms))


@functools.partial(jax.jit, static_argnames="count")
def _block(x: jax.Array, r: jax.Array, pairs: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
    """For the first `count` inputs and all others, the best third one: scores `(count, d)`."""
    sizes = jnp.mean(x**2, axis=0)

    def one(i: jax.Array) -> tuple[jax.Array, jax.Array]:
        own = x[:, i]
        score = sum(((x * (own * each)[:, None]).T @ x) ** 2 for each in r.T)
        norm = sizes[i] * pairs
        norm = jnp.maximum(norm, pairs[i][:, None] * sizes[None, :])
        norm = jnp.maximum(norm, pairs[i][None, :] * sizes[:, None])
        score = score / jnp.maximum(norm, 1e-20 * jnp.max(pairs) * jnp.max(sizes))
        return jnp.max(score, axis=1), jnp.argmax(score, axis=1)

    return lax.map(one, jnp.arange(count))
