"""How many measurements recover a symmetric matrix of low rank: statistical dimensions.

The descent cone of a convex f at M* has the statistical dimension `E dist^2(G, cone(df(M*)))`, G a
standard Gaussian among symmetric matrices; from n Gaussian measurements min f finds M* with high
probability once n is above that number, and fails below, but for a window of some d (Amelunxen,
Lotz, McCoy and Tropp 2014). Of the nuclear norm at a matrix with positive and negative eigenvalues,
the subdifferential in its eigenbasis is `diag(I, -I, B)`, `|B|_op <= 1`; of the trace over M >= 0,
`diag(I, B)` with `B <= I`. So the squared distance to the cone is

    |G|^2 - |G_22|^2 - sum_+- g_ii^2 + sum_+ (g_ii - a)^2 + sum_- (g_ii - b)^2
                                     + sum_j (mu_j - a)_+^2 + sum_j (b - mu_j)_+^2

at its least over `a = -b >= 0`, or for M >= 0 over `a >= 0` without the terms of b, with mu the
eigenvalues of the block G_22 outside the range of M*.

**Measurements with a mean**, `A = G + m I`, as `x x^T` has, tell the trace as well. Gordon's
comparison then asks for `sup <G, D>^2 / (|D|^2 + m^2 (tr D)^2)` over the descent cone, whose dual
is the same minimum with a multiple c of I added to the cone at the price `c^2 / m^2`, so that
`a = c + tau`, `b = c - tau`. For m = 0 that is the statistical dimension. For other m it is a
heuristic: nothing here proves it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from nsjax import _check
from nsjax.data.matrix_sensing import check_signs

BISECTIONS = 50
"""Halvings of the intervals of tau and c, which are some `10 d` wide at first."""
MEAN_OF_INPUTS = 0.5**0.5
"""m of `x x^T` for Gaussian inputs: its mean is I, and `x x^T - I` is sqrt 2 times as wide as G."""


class StatisticalDimension(NamedTuple):
    """A statistical dimension by Monte Carlo.

    Attributes:
        value: mean over the draws.
        error: its standard error.
    """

    value: float
    error: float


def statistical_dimension(
    key: jax.Array,
    dimension: int,
    positive: int,
    negative: int = 0,
    *,
    psd: bool = False,
    mean: float = 0.0,
    draws: int = 2000,
) -> StatisticalDimension:
    """Statistical dimension of the descent cone of the nuclear norm, or of the trace over M >= 0.

    Args:
        key: PRNG key.
        dimension: d, of `d x d` symmetric matrices.
        positive, negative: numbers of positive and negative eigenvalues of M*; one at least.
        psd: whether matrices have to be positive semidefinite; `negative` is zero then.
        mean: m, of measurements `G + m I` with G standard: 0 for Gaussian ones, `MEAN_OF_INPUTS`
            for `x x^T` as far as its second moments say.
        draws: Gaussian matrices.

    Raises:
        TypeError, ValueError: for bad input.

    >>> found = statistical_dimension(jax.random.key(0), 4, 4, psd=True, draws=500)
    >>> abs(found.value - 9.5) < 5 * found.error  # all of 10 but half a sign
    True
    """
    dimension = _check.positive_integer("dimension", dimension)
    draws = _check.limited("draws", _check.positive_integer("draws", draws), 10**7, least=2)
    check_signs(positive, negative, dimension)
    if _check.flag("psd", psd) and negative:
        raise ValueError(f"negative must be 0 for psd, got {negative}")
    mean = _check.non_negative("mean", mean)
    _check.key("key", key)
    found = _distances(key, dimension, positive, negative, psd, mean, draws)
    return StatisticalDimension(float(jnp.mean(found)), float(jnp.std(found) / draws**0.5))


@partial(jax.jit, static_argnums=(1, 2, 3, 4, 5, 6))
def _distances(
    key: jax.Array, d: int, positive: int, negative: int, psd: bool, mean: float, draws: int
) -> jax.Array:
    normal = jax.random.normal(key, (draws, d, d))
    matrices = (normal + jnp.swapaxes(normal, 1, 2)) / 2  # variance 1, off the diagonal 1/2
    one = partial(_distance, positive=positive, negative=negative, psd=psd, mean=mean)
    return jax.vmap(one)(matrices)


def _distance(
    matrix: jax.Array, *, positive: int, negative: int, psd: bool, mean: float
) -> jax.Array:
    """Squared distance of one matrix to the cone, with the price of c."""
    rank = positive + negative
    diagonal = jnp.diagonal(matrix)
    up, down = diagonal[:positive], diagonal[positive:rank]
    rest = matrix[rank:, rank:]
    mu = jnp.linalg.eigvalsh(rest) if rest.size else jnp.zeros(0, matrix.dtype)
    fixed = jnp.sum(matrix**2) - jnp.sum(rest**2) - jnp.sum(diagonal[:rank] ** 2)
    reach = 10 * (1 + jnp.max(jnp.abs(matrix)) * len(diagonal) ** 0.5)
    zero = jnp.zeros_like(reach)

    def slope_a(a: jax.Array) -> jax.Array:
        return jnp.sum(a - up) - jnp.sum(jnp.maximum(mu - a, 0))

    def slope_b(b: jax.Array) -> jax.Array:
        return zero if psd else jnp.sum(b - down) + jnp.sum(jnp.maximum(b - mu, 0))

    def distance(c: jax.Array, tau: jax.Array) -> jax.Array:
        a, b = c + tau, c - tau
        inside = jnp.sum((up - a) ** 2) + jnp.sum((down - b) ** 2)
        outside = jnp.sum(jnp.maximum(mu - a, 0) ** 2)
        if not psd:
            outside += jnp.sum(jnp.maximum(b - mu, 0) ** 2)
        price = c**2 / mean**2 if mean else zero
        return fixed + inside + outside + price

    def best_tau(c: jax.Array) -> jax.Array:
        return _root(lambda tau: slope_a(c + tau) > slope_b(c - tau), zero, reach)

    def slope_c(c: jax.Array) -> jax.Array:
        # The derivative along c at the best tau, which is the derivative of the minimum over tau.
        tau = best_tau(c)
        return slope_a(c + tau) + slope_b(c - tau) + c / mean**2

    c = _root(lambda c: slope_c(c) > 0, -reach, reach) if mean else zero
    return distance(c, best_tau(c))


def _root(is_above: Callable[[jax.Array], jax.Array], low: jax.Array, high: jax.Array) -> jax.Array:
    """Where a monotone condition begins to be true."""

    def halve(_: int, ends: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        low, high = ends
        middle = (low + high) / 2
        above = is_above(middle)
        return jnp.where(above, low, middle), jnp.where(above, middle, high)

    low, high = lax.fori_loop(0, BISECTIONS, halve, (low, high))
    return (low + high) / 2
