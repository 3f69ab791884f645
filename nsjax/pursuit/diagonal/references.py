"""What compressed sensing is usually solved by, from scikit-learn and SciPy."""

from __future__ import annotations

from typing import Any

import numpy as np


def orthogonal_matching_pursuit(
    x: Any, y: Any, *, tol: float = 1e-6
) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients `(d,)` and the inputs in the order in which scikit-learn's OMP takes them.

    Args:
        x: inputs `(n, d)`, columns of norm 1.
        y: targets `(n,)`.
        tol: it is over when `||r||` is below tol times `||y||`.
    """
    from sklearn.linear_model import orthogonal_mp

    x, y = np.asarray(x, float), np.asarray(y, float)
    square = tol**2 * float(y @ y)
    path = orthogonal_mp(x, y, tol=square, return_path=True).reshape(x.shape[1], -1)
    # Where a coefficient is first not zero.
    first = np.where(path.any(axis=1), np.argmax(path != 0, axis=1), path.shape[1])
    return path[:, -1], np.argsort(first, kind="stable")[: np.sum(first < path.shape[1])]


def basis_pursuit(x: Any, y: Any) -> np.ndarray:
    """The solution of `x beta = y` of smallest l1 norm, `(d,)`, by linear programming (HiGHS).

    Raises:
        RuntimeError: if the linear program is not solved.
    """
    from scipy.optimize import linprog

    x, y = np.asarray(x, float), np.asarray(y, float)
    d = x.shape[1]
    found = linprog(np.ones(2 * d), A_eq=np.hstack([x, -x]), b_eq=y, method="highs")
    if found.status != 0:
        raise RuntimeError(f"basis pursuit was not solved: {found.message}")
    return found.x[:d] - found.x[d:]
