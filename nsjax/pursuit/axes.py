"""New neurons on the axes: for every order of products, the monomials that explain most."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nsjax.kkt.axes import Scores


def points(
    orders: list[int],
    x: np.ndarray,
    pulls: np.ndarray,
    keep: int,
    sources: Sequence[np.random.Generator],
) -> list[np.ndarray]:
    """Unit factors of the monomials that go best with the residual of every lane.

    What they explain beside the neurons there are is not asked: of so few, later.

    Args:
        orders: of the monomials.
        x: features `(n, d)`.
        pulls: residuals `(B, n, c)`.
        keep: how many of every order; fewer are filled up with zeros.
        sources: of every lane, pick the rows of a pass over products of three, if not all are seen.

    Returns:
        For each of `orders` an array `(B, keep, order d)`.
    """
    scores = Scores(x, x[:, :0], max(orders), sources[0])
    found = [np.zeros((len(pulls), keep, order, x.shape[1]), x.dtype) for order in orders]
    for b, (pull, source) in enumerate(zip(pulls, sources, strict=True)):
        ranks = scores.again(source).ranked(pull, max(orders), keep)
        for order, points in zip(orders, found, strict=True):
            monomials = np.array([each for _, each in ranks[order - 1]], int).reshape(-1, order)
            rows, factors = np.indices(monomials.shape)
            points[b, rows, factors, monomials] = order**-0.5
    return [points.reshape(len(pulls), keep, -1) for points in found]
