"""Stochastic Lanczos quadrature of a Hessian, by Hessian-vector products alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsjax._flat import Layout

_EXHAUSTED = 100
"""A coupling of Lanczos this many roundings above zero ends the Krylov space."""


class Quadrature(NamedTuple):
    """Eigenvalues with their weights, on the host.

    Attributes:
        nodes: `(probes, m)` Ritz values; or `(1, k)`, all eigenvalues.
        weights: the same shape; each row adds up to 1.
        errors: of the smallest and the largest node.
        exact: whether the nodes are all eigenvalues.
        products: Hessian-vector products taken.
    """

    nodes: np.ndarray
    weights: np.ndarray
    errors: tuple[float, float]
    exact: bool
    products: int


def hessian_product(
    loss: Callable[..., jax.Array], layout: Layout, inside: jax.Array
) -> Callable[..., jax.Array]:
    """Hessian-vector product `(vector, flat, args) -> vector` within the block."""

    def product(vector: jax.Array, flat: jax.Array, args: tuple) -> jax.Array:
        gradient = jax.grad(lambda w: loss(layout.tree(w), *args))
        _, out = jax.jvp(gradient, (flat,), (jnp.where(inside, vector, 0),))
        return jnp.where(inside, out, 0)

    return product


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def lanczos(
    loss: Callable[..., jax.Array],
    layout: Layout,
    order: int,
    probes: int,
    key: jax.Array,
    flat: jax.Array,
    inside: jax.Array,
    args: tuple,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Diagonals `(probes, order)`, off-diagonals, one shorter, and norms of what is left."""
    from matfree import decomp

    product = hessian_product(loss, layout, inside)
    # Not `tridiag_sym`, which averages the two off-diagonals: past the end of the Krylov space the
    # upper one is noise of size one, and the end could not be seen.
    hessenberg = decomp.hessenberg(order, reortho="full", custom_vjp=False)

    def probe(key: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        signs = jax.random.rademacher(key, (layout.size,), flat.dtype)
        found = hessenberg(product, jnp.where(inside, signs, 0), flat, args)
        small = found.J_small
        return jnp.diagonal(small), jnp.diagonal(small, -1), jnp.linalg.norm(found.residual)

    # One after the other: each holds `order` vectors of the size of the parameters.
    return jax.lax.map(probe, jax.random.split(key, probes))


def quadrature(diagonals: Any, offdiagonals: Any, leftovers: Any, *, eps: float) -> Quadrature:
    """Ritz values and their weights, the squared first entries of the tridiagonals' vectors.

    Args:
        diagonals, offdiagonals, leftovers: of `lanczos`.
        eps: rounding of the dtype they were computed in.
    """
    diagonals, offdiagonals, leftovers = (
        np.asarray(part, float) for part in (diagonals, offdiagonals, leftovers)
    )
    probes, order = diagonals.shape
    nodes, weights = np.full((probes, order), np.nan), np.zeros((probes, order))
    lowest, highest = [], []
    for i in range(probes):
        diagonal, couplings = diagonals[i], np.append(offdiagonals[i], leftovers[i])
        if not np.isfinite(diagonal[0]):
            continue
        # Where the Krylov space is exhausted a coupling is rounding, or NaN, and the rest noise.
        scale = np.fmax.accumulate(np.fmax(np.abs(diagonal), np.abs(couplings)))
        ends = np.flatnonzero(~(np.abs(couplings) > _EXHAUSTED * eps * scale))
        length = int(ends[0]) + 1 if ends.size else order
        inner = couplings[: length - 1]
        small = np.diag(diagonal[:length]) + np.diag(inner, 1) + np.diag(inner, -1)
        if not np.all(np.isfinite(small)):
            continue
        values, vectors = np.linalg.eigh(small)
        errors = (
            np.abs(np.nan_to_num(couplings[length - 1]) * vectors[-1])
            + 10 * eps * scale[length - 1]
        )
        nodes[i], weights[i, :length] = values[-1], vectors[0] ** 2
        nodes[i, :length] = values
        lowest.append((values[0], errors[0]))
        highest.append((-values[-1], errors[-1]))
    extremes = (min(lowest)[1], min(highest)[1]) if lowest else (np.nan, np.nan)
    return Quadrature(nodes, weights, extremes, False, probes * order)
