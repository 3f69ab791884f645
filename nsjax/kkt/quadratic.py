"""The exact KKT points of a quadratic neuron with one output: eigenvectors.

For `s(t) = t^2` and one output, `phi(u) = |u^T M u|` with `M = sum_i B_i g_i g_i^T`. Its KKT points
of nonzero value are the eigenvectors of M, with `phi = |lambda|`; the largest positive and the most
negative eigenvalue are the maxima. An ascent never crosses `phi = 0`, so the sign of `u^T M u` at
a start says which of the two it reaches.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nsjax.kkt.certificate import CONVERGED, FLAT, STALLED
from nsjax.kkt.multistart import Found


def is_quadratic(activation: Any, outputs: int) -> bool:
    """Whether `eigen_points` applies: `t^2` (slope 1 or -1) and a single output."""
    degree, analytic = (getattr(activation, name, None) for name in ("degree", "analytic"))
    return outputs == 1 and degree == 2 and analytic is True


def eigen_points(features: jax.Array, pulled: jax.Array, starts: jax.Array, *, tol: float) -> Found:
    """All KKT points whose eigenvalue stands out of rounding; counts are the starts' basins.

    Args:
        features: `(n, k)`.
        pulled: `(n, 1)`.
        starts: `(m, k)`, whose basins are counted.
        tol: KKT residual that every point is to reach; at least a hundred roundings.
    """
    eigenvalues, vectors, images, forms = (
        np.asarray(leaf) for leaf in _decompose(features, pulled, starts)
    )
    values = np.abs(eigenvalues)
    along = np.sum(vectors * images, axis=0)
    across = np.linalg.norm(images - along * vectors, axis=0)
    residuals = across / np.where(values > 0, np.hypot(across, along), 1)
    eps = float(np.finfo(values.dtype).eps)
    reach = max(tol, 100 * eps)
    order = np.argsort(-values, kind="stable")
    sound = values > 1e3 * eps * values[order[0]]
    nothing = not np.any(sound)
    # Where M vanishes every direction is a KKT point of value zero: one stands for all.
    order = order[:1] if nothing else order[sound[order]]

    # Where two eigenvalues agree, their plane holds a circle of maxima; the first stands for it.
    top, bottom = (int(order[np.argmax(sign * eigenvalues[order])]) for sign in (1, -1))
    scale = values[order[0]]
    signed = np.sign(eigenvalues)
    highest = np.where(signed > 0, max(eigenvalues[top], 0), max(-eigenvalues[bottom], 0))
    curvatures = np.where(
        signed > 0, np.max(eigenvalues) - eigenvalues, eigenvalues - np.min(eigenvalues)
    )
    curvatures = 2 * np.where(values >= highest - 100 * eps * scale, 0, curvatures)
    counts = np.zeros(len(values), int)
    counts[top if eigenvalues[top] > 0 else bottom] += int(np.sum(forms >= 0))
    counts[bottom if eigenvalues[bottom] < 0 else top] += int(np.sum(forms < 0))
    return Found(
        vectors.T[order],
        values[order],
        residuals[order],
        2 * values[order],
        curvatures[order],
        np.zeros(len(order), bool),
        counts[order],
        0,
        FLAT if nothing else CONVERGED if np.all(residuals[order] <= reach) else STALLED,
    )


@jax.jit
def _decompose(features: jax.Array, pulled: jax.Array, starts: jax.Array) -> tuple[jax.Array, ...]:
    matrix = features.T @ (pulled * features)
    matrix = 0.5 * (matrix + matrix.T)
    eigenvalues, vectors = jnp.linalg.eigh(matrix)
    return eigenvalues, vectors, matrix @ vectors, jnp.sum(starts * (starts @ matrix), axis=1)
