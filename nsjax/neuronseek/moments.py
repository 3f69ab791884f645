"""Directions in which a residual has structure: the second moment of a transformed residual.

For a product of n projections of Gaussian inputs, the residual's own moment of order n is the term,
and sees it from d^(n/2) samples on. A function T of the residual's size makes the projections of a
product of *any* order show up in a moment of order 2, `mean T(r) (x x^T - I)`, from samples of the
order of d: where a factor is near zero so is the product.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from nsjax.kkt.triples import transforms

PERMUTATIONS = 3
"""Shuffles of the residual that say how large an eigenvalue is by chance."""
MARGIN = 1.1
"""Factor over the largest of theirs at which an eigenvector is kept."""


def whitening(x: np.ndarray) -> np.ndarray:
    """W, `(d, k)`, such that the centred `x W` has covariance I on the space that x spans."""
    centred = x - x.mean(axis=0)
    values, vectors = np.linalg.eigh(centred.T @ centred / len(x))
    rounding = max(1e-10, 100 * float(np.finfo(x.dtype).eps))
    real = values > rounding * values[-1]
    return vectors[:, real] / np.sqrt(values[real])


@jax.jit
def second_moment(white: jax.Array, weights: jax.Array) -> jax.Array:
    """`mean (t - mean t) z z^T` for whitened rows z `(n, k)` and weights t `(n,)`, `(k, k)`."""
    centred = weights - jnp.mean(weights)
    return (white * centred[:, None]).T @ white / len(white)


def directions(
    x: np.ndarray, r: np.ndarray, most: int, rng: np.random.Generator
) -> np.ndarray | None:
    """Directions that the residual depends on, as far as these moments tell.

    Args:
        x: inputs `(n, d)`.
        r: residual `(n, c)`.
        most: largest number of directions.
        rng: for the shuffles.

    Returns:
        `(d, s)` with `1 <= s <= most`, such that projections on the columns are uncorrelated and
        of unit variance on x; None if no eigenvalue stands out, or there are no more samples than
        inputs: whitened samples are orthogonal then, and their moments say nothing.
    """
    if len(x) <= x.shape[1]:
        return None
    basis = whitening(x)
    if basis.shape[1] == 0:
        return None
    white = jnp.asarray((x - x.mean(axis=0)) @ basis)
    found = []
    for weights in transforms(r):
        values, vectors = np.linalg.eigh(np.asarray(second_moment(white, jnp.asarray(weights))))
        chance = max(
            float(np.max(np.abs(np.linalg.eigvalsh(np.asarray(second_moment(white, shuffled))))))
            for shuffled in (jnp.asarray(rng.permutation(weights)) for _ in range(PERMUTATIONS))
        )
        kept = np.flatnonzero(np.abs(values) > MARGIN * chance)
        kept = kept[np.argsort(-np.abs(values[kept]))][:most]
        found.append(vectors[:, kept] * (np.abs(values[kept]) / chance))
    together = np.concatenate(found, axis=1)
    if together.shape[1] == 0:
        return None
    left, sizes, _ = np.linalg.svd(together, full_matrices=False)
    return basis @ left[:, : min(most, int(np.sum(sizes > 0.3)))]
