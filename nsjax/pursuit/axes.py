"""New neurons on the axes: for every order of products, the monomials that explain most."""

from __future__ import annotations

import numpy as np

from nsjax.kkt.axes import Scores


def points(
    orders: list[int], x: np.ndarray, pull: np.ndarray, keep: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """Unit factors of the monomials that go best with a residual.

    What they explain beside the neurons there are is not asked: of so few, later.

    Args:
        orders: of the monomials.
        x: features `(n, d)`.
        pull: residual `(n, c)`.
        keep: how many of every order; fewer are filled up with zeros.
        rng: picks the rows of a pass over products of three, if not all are seen.

    Returns:
        For each of `orders` an array `(keep, order d)`.
    """
    ranks = Scores(x, x[:, :0], max(orders), rng).ranked(pull, max(orders), keep)
    found = []
    for order in orders:
        monomials = np.array([each for _, each in ranks[order - 1]], int).reshape(-1, order)
        points = np.zeros((keep, order, x.shape[1]), x.dtype)
        rows, factors = np.indices(monomials.shape)
        points[rows, factors, monomials] = order**-0.5
        found.append(points.reshape(keep, -1))
    return found
