"""Quadratic forms of one output with the fewest products."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from nsjax.neuronseek.negligible import Negligible

_DENSE = 400
"""Up to so many inputs the matrix is formed; above it stays in factors."""


class Quadratic(NamedTuple):
    """`w . x^2 + sum_r c_r (u_r . x) (v_r . x)`.

    Attributes:
        pure: w, `(d,)`.
        coefficients: c, `(R,)`.
        factors: u and v, `(2, R, d)`.
    """

    pure: np.ndarray
    coefficients: np.ndarray
    factors: np.ndarray

    @property
    def cost(self) -> tuple[int, int, int]:
        """Products, streams and numbers that are not zero: what the fewest of is wanted."""
        rank = len(self.coefficients)
        streams = int(rank > 0) + int(np.any(self.pure))
        numbers = np.count_nonzero(self.pure) + np.count_nonzero(self.factors)
        return rank, streams, int(numbers)


def least(form: Quadratic, size: float, tol: float, small: Negligible | None = None) -> Quadratic:
    """The same form with the fewest products among three splits into pure and other part.

    The pure part is as given, nothing, or the whole diagonal. The other part is a symmetric matrix
    with p positive and q negative eigenvalues, and max(p, q) products are the least:
    `l (a.x)^2 - m (b.x)^2` is the product of `sqrt(l) a + sqrt(m) b` and `sqrt(l) a - sqrt(m) b`,
    and what has no partner is a square. Equal counts go to fewer streams, then fewer numbers.

    Args:
        form: with factors of norm 1.
        size: of what the form adds up, such as the sum of coefficients.
        tol: eigenvalues and entries of the matrix below `tol * size` are zero, and entries of a
            factor below `tol` times its largest.
        small: where given, the eigenvalues nearest to zero are zero, too, as many as together add
            nothing on its inputs. Those should be of about equal size, for on it depends which
            eigenvalues are small.
    """
    candidates = [form]
    own_diagonal = form.coefficients @ np.prod(form.factors, axis=0)
    own_diagonal[np.abs(own_diagonal) <= tol * size] = 0
    for shift in (np.zeros_like(form.pure), form.pure, -own_diagonal):
        # More entries than this have too large a rank to save a product, if all of it counts.
        few = np.count_nonzero(shift) <= 4 * len(form.coefficients)
        if few or (small is not None and len(shift) <= _DENSE):
            pure = np.where(shift == form.pure, 0, form.pure - shift)
            candidates.append(_products(pure, shift, form, size, tol, small))
    return min(candidates, key=lambda each: each.cost)


def _products(
    pure: np.ndarray,
    shift: np.ndarray,
    form: Quadratic,
    size: float,
    tol: float,
    small: Negligible | None,
) -> Quadratic:
    """Least products of the form's own matrix plus diag(shift)."""
    active = np.flatnonzero(np.any(form.factors != 0, axis=(0, 1)) | (shift != 0))
    left, right = form.factors[:, :, active]
    half = (form.coefficients[:, None] * left).T
    if len(active) <= _DENSE:
        # Here, so that importing a formula imports no scipy.sparse.
        from scipy.sparse.csgraph import connected_components

        matrix = half @ right
        matrix = (matrix + matrix.T) / 2 + np.diag(shift[active])
        matrix[np.abs(matrix) <= tol * size] = 0
        count, block = connected_components(matrix != 0, directed=False)
        parts = [np.flatnonzero(block == b) for b in range(count)]
        blocks = [(part, *np.linalg.eigh(matrix[np.ix_(part, part)])) for part in parts]
    else:
        basis, core = _compressed(left, right, form.coefficients, shift[active])
        values, vectors = np.linalg.eigh(core)
        blocks = [(np.arange(len(active)), values, basis @ vectors)]
    factors: list[tuple[np.ndarray, np.ndarray]] = []
    positive: list[np.ndarray] = []
    negative: list[np.ndarray] = []
    blocks = [(active[part], values, vectors) for part, values, vectors in blocks]
    for (part, values, vectors), kept in zip(blocks, _kept(blocks, tol * size, small), strict=True):
        scaled = np.zeros((len(values), form.pure.size))
        scaled[:, part] = (vectors * np.sqrt(np.abs(values))).T
        descending = np.argsort(-np.abs(values), kind="stable")
        plus = [scaled[i] for i in descending if kept[i] and values[i] > 0]
        minus = [scaled[i] for i in descending if kept[i] and values[i] < 0]
        pairs = min(len(plus), len(minus))
        factors += [(a + b, a - b) for a, b in zip(plus[:pairs], minus[:pairs], strict=True)]
        positive += plus[pairs:]
        negative += minus[pairs:]
    pairs = min(len(positive), len(negative))
    factors += [(a + b, a - b) for a, b in zip(positive[:pairs], negative[:pairs], strict=True)]
    factors += [(a, a) for a in positive[pairs:]] + [(b, b) for b in negative[pairs:]]
    coefficients = np.ones(len(factors))
    coefficients[len(factors) - len(negative[pairs:]) :] = -1
    stacked = np.array(factors).reshape(len(factors), 2, form.pure.size).swapaxes(0, 1)
    peaks = np.abs(stacked).max(axis=-1, keepdims=True)
    stacked = np.where(np.abs(stacked) <= tol * peaks, 0, stacked)
    return Quadratic(pure, coefficients, stacked)


def _kept(
    blocks: list[tuple[np.ndarray, np.ndarray, np.ndarray]], zero: float, small: Negligible | None
) -> list[np.ndarray]:
    """Which eigenvalues count, by block of (inputs, eigenvalues, eigenvectors)."""
    kept = [np.abs(values) > zero for _, values, _ in blocks]
    if small is None:
        return kept
    sizes = [(abs(blocks[b][1][i]), b, i) for b, mask in enumerate(kept) for i in mask.nonzero()[0]]
    left_out = np.zeros(len(small.x))
    for _, b, i in sorted(sizes):
        part, values, vectors = blocks[b]
        left_out += values[i] * (small.x[:, part] @ vectors[:, i]) ** 2
        if not small.holds(left_out):
            break
        kept[b][i] = False
    return kept


def _compressed(
    left: np.ndarray, right: np.ndarray, coefficients: np.ndarray, shift: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """An orthonormal basis Q of the range, and the small matrix M with `Q M Q^T` the form's."""
    places = np.flatnonzero(shift)
    axes = np.zeros((len(places), len(shift)))
    axes[np.arange(len(places)), places] = 1
    basis, triangle = np.linalg.qr(np.concatenate([left, right, axes]).T)
    u, v, e = np.split(triangle, [len(left), 2 * len(left)], axis=1)
    half = (u * coefficients) @ v.T
    return basis, (half + half.T) / 2 + (e * shift[places]) @ e.T
