"""Samples per dimension that recover a matrix of fixed rank from `x x^T`, as d grows.

`statistical_dimension` treats measurements as Gaussian matrices. At a fixed rank r and n of order d
those of `x x^T` are not like them, and this is the limit for the real ones. M* = diag(I_r, 0), and
x = (s, z) with s in its range. min |M|_* finds M* where a certificate `Y = sum_i nu_i x_i x_i^T`
is I on the range, 0 between range and rest, and of norm at most 1 on the rest (over M >= 0: of
largest eigenvalue at most 1). With `nu = c / d` and `n = delta d`,

    on the range   delta E[c |s|^2] = r,
    between        sqrt(delta) E[c |s| q] >= sqrt(r E[c^2 |s|^2]),  q ~ N(0, 1)  (Gordon)
    on the rest    min_{u > max c} u + delta E[c u / (u - c)] <= 1, and with -c for c if not `psd`:
                   edges of the spectrum of `1/d sum c_i z_i z_i^T` (Marchenko, Pastur, Silverstein)

over functions c of |s| and q: a convex problem. With `x x^T - I` the range has
`E[c (|s|^2 / r - 1)]` and both edges move by `-delta E[c]`. Gaussian matrices have the edges
`delta E[c] +- 2 sqrt(delta E[c^2])` and q alone in the second line, and give 3 r in every case.

That is a heuristic of two steps, each of which is a theorem by itself: c takes part in both, as if
the spectrum on the rest did not know of q. It is for d to infinity at a fixed r, and corrections
are of relative order `d^(-2/3)` or so.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsjax import _check

NODES = 12
"""Nodes of the quadrature, for |s| and q each."""
TAIL = 1e-6
"""Probability of larger |s| that is left out."""
SHARPEST = 1e5
"""Last weight of the objective against the barrier: it errs by some four over it."""
ENOUGH = 1.5
"""Value at which a certificate is there for certain; over M >= 0 it may grow without bound."""
CENTRED = 1e-3
"""Newton decrement at which a weight is done with: the errors of both add up."""
_STEPS = 60
_SHORTEST = 1e-10


class _Nodes(NamedTuple):
    size: np.ndarray
    q: np.ndarray
    weight: np.ndarray


def sensing_limit(
    width: int, *, psd: bool = False, centred: bool = False, nodes: int = NODES
) -> float:
    """`n / d` from which the least nuclear norm finds a matrix of fixed rank, as d grows.

    Args:
        width: r, the number of positive eigenvalues of the matrix, equal ones.
        psd: whether matrices have to be positive semidefinite, and the norm is the trace.
        centred: whether the measurements are `x x^T - I`.
        nodes: of the quadrature.

    Returns:
        The limit; Gaussian matrices have `3 r`.

    Raises:
        TypeError, ValueError: for bad numbers.

    >>> print(round(sensing_limit(2), 1))  # half as many again as Gaussian matrices need
    9.4
    """
    width = _check.positive_integer("width", width)
    nodes = _check.limited("nodes", _check.positive_integer("nodes", nodes), 60, least=4)
    psd, centred = _check.flag("psd", psd), _check.flag("centred", centred)
    points = _quadrature(width, nodes)
    from scipy.optimize import brentq  # here, as importing it takes longer than most diagnostics

    with jax.enable_x64(True):  # a barrier method ends in rounding

        def excess(delta: float) -> float:
            return _reach(points, float(delta), width, psd, centred) - 1

        ends = 1.9 * width, (3.6 if psd else 7.0) * width
        return float(brentq(excess, *ends, xtol=1e-3 * width))


def _quadrature(width: int, nodes: int) -> _Nodes:
    """Nodes for |s|, dense at zero where c varies most, and for q."""
    from scipy import stats

    t, share = np.polynomial.legendre.leggauss(nodes)
    t, share = (t + 1) / 2, share / 2
    law, q = stats.chi(width), np.polynomial.hermite_e.hermegauss(nodes)
    end = law.ppf(1 - TAIL)
    size = np.meshgrid(end * t**2, q[0], indexing="ij")
    weight = np.outer(2 * end * t * share * law.pdf(end * t**2), q[1])
    return _Nodes(size[0].ravel(), size[1].ravel(), weight.ravel() / weight.sum())


def _reach(nodes: _Nodes, delta: float, width: int, psd: bool, centred: bool) -> float:
    """Largest value on the range at edges of at most 1: the certificate exists where it is 1."""
    # Strictly feasible: delta > (r / E|s|)^2 for the cone, and small for the edges.
    c = 0.2 * nodes.q / np.max(np.abs(nodes.q))
    edges = [0.5] if psd else [0.5, 0.5]
    z = jnp.asarray(np.concatenate([c, edges]))
    sharpness, value = 10.0, jnp.zeros(())
    while sharpness <= SHARPEST:
        for _ in range(_STEPS):
            z, decrement, value = _newton(nodes, z, sharpness, delta, width, psd, centred)
            if decrement < CENTRED or value > ENOUGH:
                break
        sharpness *= 10
    return float(value)


def _terms(
    nodes: _Nodes, z: jax.Array, delta: jax.Array, width: int, centred: bool
) -> tuple[jax.Array, jax.Array]:
    """The value on the range, and what has to be positive."""
    count = len(nodes.weight)
    c, edges = z[:count], z[count:]

    def mean(values: jax.Array) -> jax.Array:
        return jnp.sum(nodes.weight * values)

    moved = mean(c) if centred else 0.0
    value = delta * (mean(c * nodes.size**2) / width - moved)
    along = jnp.sqrt(delta) * mean(c * nodes.size * nodes.q) / width
    across = mean(c**2 * nodes.size**2) / width
    edges_left, rests = [], []
    for sign, u in zip((1.0, -1.0), edges, strict=False):
        rest = u - sign * c
        # c u / (u - c) = u^2 / (u - c) - u
        edge = u + delta * (mean(u**2 / rest) - u) - sign * delta * moved
        edges_left.append(1 - edge)
        rests.append(jnp.min(rest))
    return value, jnp.stack([along**2 - across, *edges_left, along, *rests])


@partial(jax.jit, static_argnums=(4, 5, 6))
def _newton(
    nodes: _Nodes,
    z: jax.Array,
    sharpness: jax.Array,
    delta: jax.Array,
    width: int,
    psd: bool,
    centred: bool,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """One damped Newton step, the decrement before it, and the value on the range after it."""

    def inside(z: jax.Array) -> jax.Array:
        return jnp.all(_terms(nodes, z, delta, width, centred)[1] > 0)

    def barrier(z: jax.Array) -> jax.Array:
        value, slacks = _terms(nodes, z, delta, width, centred)
        # The last ones need none: c has a pole at u, and the cone two halves that meet at zero.
        return -sharpness * value - jnp.sum(jnp.log(slacks[: 2 if psd else 3]))

    gradient, hessian = jax.grad(barrier)(z), jax.hessian(barrier)(z)
    scale = 1 / jnp.sqrt(jnp.maximum(jnp.diagonal(hessian), 1e-300))
    system = hessian * scale[:, None] * scale + 1e-13 * jnp.eye(len(z))
    step = -scale * jnp.linalg.solve(system, scale * gradient)
    decrement = -(gradient @ step)
    here = barrier(z)

    def too_long(length: jax.Array) -> jax.Array:
        ahead = z + length * step
        falls = barrier(ahead) <= here - 0.1 * length * decrement
        return ~(inside(ahead) & falls) & (length > _SHORTEST)

    length = jax.lax.while_loop(too_long, lambda length: 0.5 * length, jnp.ones(()))
    z = jnp.where(length > _SHORTEST, z + length * step, z)
    return z, decrement, _terms(nodes, z, delta, width, centred)[0]
