"""Levenberg-Marquardt for a model: columns and products at once, any loss, masked rows.

The normal equations are summed over blocks of rows, so that no Jacobian of all rows is stored. For
losses other than the square, the curvature in the outputs takes the place of the identity
(generalised Gauss-Newton).
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from nsjax.neuronseek.model import Pool, products
from nsjax.objectives import LOSSES, residual

BLOCK = 2**22
"""Entries of the Jacobian of one block of rows."""
AT_ONCE = 8
"""Starts from which on a fit from many takes smaller blocks, so that its memory has a bound."""


class Weights(NamedTuple):
    """What a fit moves: of the columns `(q, c)`, the terms `(T, c)`, the factors `(K, d)`."""

    columns: Any
    coefficients: Any
    factors: Any


class Rows(NamedTuple):
    """Samples: linear columns `(n, q)`, inputs `(n, d)`, targets `(n, c)`, weights `(n,)`."""

    columns: Any
    x: Any
    y: Any
    weight: Any


class Limits(NamedTuple):
    """Weight of the penalty `1/2 ||w||^2`, and when a fit ends: see `levenberg_marquardt`."""

    penalty: Any
    target: Any
    steps: Any
    tol: Any


class Fitted(NamedTuple):
    """Where a fit ended.

    Attributes:
        weights: of the best loss met.
        loss: of the rows that count, summed over them, with the penalty.
        evaluations: of the normal equations.
    """

    weights: Weights
    loss: Any
    evaluations: Any


def outputs(weights: Weights, pooled: Pool, rows: Rows, bases: tuple[str, ...]) -> jax.Array:
    """Outputs of the model, `(n, c)`."""
    here = pooled._replace(factors=weights.factors)
    terms, _ = products(here, rows.x, bases)
    return rows.columns @ weights.columns + terms @ weights.coefficients


def total_loss(
    weights: Weights,
    pooled: Pool,
    rows: Rows,
    penalty: jax.Array,
    bases: tuple[str, ...],
    loss: str,
) -> jax.Array:
    """Loss over the rows that count, plus `penalty/2` times the squared weights."""
    each = jax.vmap(lambda h, y: LOSSES[loss](h[None], y[None]))
    value = jnp.sum(rows.weight * each(outputs(weights, pooled, rows, bases), rows.y))
    return value + 0.5 * penalty * sum(jnp.sum(leaf**2) for leaf in weights)


def curvature_root(h: jax.Array, y: jax.Array, loss: str) -> jax.Array:
    """S with `S S^T` the second derivative of the loss in the outputs, `(n, c, c)`."""
    if loss == "logistic":
        p = jax.nn.sigmoid(h)
        return (jnp.sqrt(p * (1 - p)))[:, :, None] * jnp.eye(h.shape[1], dtype=h.dtype)
    if loss == "cross_entropy":
        p = jax.nn.softmax(h, axis=1)
        total = jnp.sqrt(jnp.sum(y, axis=1))[:, None, None]
        root = jnp.sqrt(p)
        identity = jnp.eye(h.shape[1], dtype=h.dtype)
        return total * (root[:, :, None] * identity - p[:, :, None] * root[:, None, :])
    return jnp.broadcast_to(jnp.eye(h.shape[1], dtype=h.dtype), (*h.shape, h.shape[1]))


def normal_equations(
    weights: Weights,
    pooled: Pool,
    rows: Rows,
    bases: tuple[str, ...],
    loss: str,
    share: int = 1,
) -> tuple[jax.Array, jax.Array]:
    """`J^T H J` and `J^T r` over the rows that count, `(P, P)` and `(P,)`.

    Parameters are ordered as `flat` orders them. A block has `BLOCK / share` entries. Where the
    curvature is the same in all outputs, they share one Gram matrix, whatever their number.
    """
    here = pooled._replace(factors=weights.factors)
    # A row of padding has no term: its coefficient is zero.
    own = jnp.concatenate([weights.coefficients, jnp.zeros_like(weights.columns[:1])])[pooled.term]
    n, c = rows.y.shape
    alike = loss == "square" or c == 1

    def block(part: Rows) -> tuple[jax.Array, jax.Array]:
        terms, slopes = products(here, part.x, bases)
        h = part.columns @ weights.columns + terms @ weights.coefficients
        linear = jnp.concatenate([part.columns, terms], axis=1)
        r = part.weight[:, None] * residual(h, part.y, loss=loss)
        gradient = jnp.concatenate(
            [
                (linear.T @ r).reshape(-1),
                (((r @ own.T) * slopes).T @ part.x).reshape(-1),
            ]
        )
        if alike:
            root = jnp.sqrt(part.weight)[:, None]
            if loss != "square":
                root = root * curvature_root(h, part.y, loss)[:, :, 0]
            moving = (slopes[:, :, None] * part.x[:, None, :]).reshape(len(h), -1)
            features = root * jnp.concatenate([linear, moving], axis=1)
            return features.T @ features, gradient
        root = jnp.sqrt(part.weight)[:, None, None] * curvature_root(h, part.y, loss)
        still = jnp.einsum("nos,nq->nsqo", root, linear).reshape(len(h) * c, -1)
        scaled = jnp.einsum("nos,ko,nk->nsk", root, own, slopes)
        moving = jnp.einsum("nsk,nd->nskd", scaled, part.x).reshape(len(h) * c, -1)
        jacobian = jnp.concatenate([still, moving], axis=1)
        return jacobian.T @ jacobian, gradient

    size = flat(weights).size
    wide = (
        size - (c - 1) * (len(weights.columns) + len(weights.coefficients)) if alike else c * size
    )
    length = min(n, max(64, BLOCK // (share * wide)))
    blocks = math.ceil(n / length)
    if blocks == 1:
        gram, gradient = block(rows)
    else:
        length = math.ceil(n / blocks)
        padded = jax.tree.map(
            lambda leaf: jnp.pad(leaf, [(0, blocks * length - n)] + [(0, 0)] * (leaf.ndim - 1)),
            rows,
        )
        cut = jax.tree.map(lambda leaf: leaf.reshape(blocks, length, *leaf.shape[1:]), padded)

        def add(carry: Any, part: Rows) -> Any:
            return jax.tree.map(jnp.add, carry, block(part)), None

        square = wide if alike else size
        zero = (jnp.zeros((square, square), rows.y.dtype), jnp.zeros(size, rows.y.dtype))
        gram, gradient = lax.scan(add, zero, cut)[0]
    return (_for_outputs(gram, own, rows.x.shape[1]) if alike else gram), gradient


def _for_outputs(gram: jax.Array, own: jax.Array, d: int) -> jax.Array:
    """`J^T J` of all outputs from the Gram matrix of what they have in common.

    Args:
        gram: of linear columns, and of slopes times inputs, `(q + K d, q + K d)`.
        own: coefficient of each factor's term in each output, `(K, c)`.
        d: number of inputs.
    """
    k, c = own.shape
    q = len(gram) - k * d
    still = jnp.kron(gram[:q, :q], jnp.eye(c, dtype=gram.dtype))
    mixed = jnp.einsum("qkd,ko->qokd", gram[:q, q:].reshape(q, k, d), own).reshape(q * c, k * d)
    moving = gram[q:, q:].reshape(k, d, k, d) * (own @ own.T)[:, None, :, None]
    return jnp.block([[still, mixed], [mixed.T, moving.reshape(k * d, k * d)]])


def flat(weights: Weights) -> jax.Array:
    """All parameters in a row: columns and coefficients by output, then factors."""
    return jnp.concatenate([leaf.reshape(-1) for leaf in weights])


def unflat(vector: jax.Array, like: Weights) -> Weights:
    """The inverse of `flat`."""
    sizes = np.cumsum([leaf.size for leaf in like])[:-1]
    parts = jnp.split(vector, sizes)
    return Weights(*(part.reshape(leaf.shape) for part, leaf in zip(parts, like, strict=True)))


def free_parameters(pooled: Pool, used: jax.Array, outputs: int) -> jax.Array:
    """Which parameters move, `(P,)`: no padding, no entry held at zero."""
    columns = jnp.repeat(used, outputs)
    terms = jnp.repeat(pooled.used, outputs)
    return jnp.concatenate([columns, terms, pooled.free.reshape(-1)])


def levenberg_marquardt(
    weights: Weights,
    pooled: Pool,
    rows: Rows,
    used: jax.Array,
    limits: Limits,
    *,
    bases: tuple[str, ...],
    loss: str,
    share: int = 1,
) -> Fitted:
    """Minimise the loss over weights, from `weights`.

    Damping in units of the diagonal, by Nielsen's rule. Ends below `limits.target`, when two
    accepted steps in a row lower the loss by less than `limits.tol` of it, when no step lowers it
    any more, or after `limits.steps` evaluations.

    Args:
        weights: start.
        pooled: the terms' structure; its factors are not used.
        rows: samples.
        used: which columns there are, `(q,)`.
        limits: penalty and when to stop; traced, so that they do not compile anew.
        bases, loss: static.
        share: see `normal_equations`.
    """
    penalty, target, steps, tol = limits
    free = free_parameters(pooled, used, rows.y.shape[1])
    dtype = rows.y.dtype

    def value(at: Weights) -> jax.Array:
        return total_loss(at, pooled, rows, penalty, bases, loss)

    def unfinished(carry: Any) -> jax.Array:
        _, lowest, damping, _, slow, count, _ = carry
        return (lowest > target) & (slow < 2) & (count < steps) & (damping < 1e12)

    def advance(carry: Any) -> Any:
        at, lowest, damping, growth, slow, count, (matrix, gradient, fresh) = carry
        matrix, gradient = lax.cond(
            fresh,
            lambda: normal_equations(at, pooled, rows, bases, loss, share),
            lambda: (matrix, gradient),
        )
        vector = flat(at)
        pull = jnp.where(free, gradient - penalty * vector, 0)
        diagonal = jnp.diagonal(matrix)
        scale = jnp.where(free, jnp.maximum(diagonal, 1e-10 * jnp.max(diagonal)), 1)
        both = free[:, None] & free[None, :]
        system = jnp.where(both, matrix, 0) / jnp.sqrt(scale[:, None] * scale[None, :])
        system = system + jnp.diag(jnp.where(free, damping + penalty / scale, 1))
        factor = jax.scipy.linalg.cho_factor(system)
        step = jax.scipy.linalg.cho_solve(factor, pull / jnp.sqrt(scale)) / jnp.sqrt(scale)
        there = unflat(vector + step, at)
        new = value(there)
        better = new < lowest  # false for NaN
        expected = 0.5 * jnp.vdot(step, damping * scale * step + pull)
        ratio = (lowest - new) / jnp.maximum(expected, jnp.finfo(dtype).tiny)
        shrink = jnp.maximum(1 / 3, 1 - (2 * jnp.clip(ratio, 0, 1) - 1) ** 3)
        damping = jnp.where(better, damping * shrink, damping * growth)
        damping = jnp.maximum(damping, jnp.finfo(dtype).eps)
        growth = jnp.where(better, 2.0, 2 * growth)
        slow = jnp.where(better, jnp.where(lowest - new < tol * lowest, slow + 1, 0), slow)
        at = jax.tree.map(lambda a, b: jnp.where(better, a, b), there, at)
        lowest = jnp.where(better, new, lowest)
        return at, lowest, damping, growth, slow, count + 1, (matrix, gradient, better)

    size = flat(weights).size
    nothing = (jnp.zeros((size, size), dtype), jnp.zeros(size, dtype), jnp.ones((), bool))
    start = (
        weights,
        value(weights),
        jnp.asarray(1e-3, dtype),
        jnp.asarray(2.0, dtype),
        jnp.zeros((), jnp.int32),
        jnp.zeros((), jnp.int32),
        nothing,
    )
    at, lowest, _, _, _, count, _ = lax.while_loop(unfinished, advance, start)
    return Fitted(at, lowest, count)


fit_one = jax.jit(levenberg_marquardt, static_argnames=("bases", "loss"))


@functools.partial(jax.jit, static_argnames=("bases", "loss"))
def fit_many(
    weights: Weights,
    pooled: Pool,
    rows: Rows,
    used: jax.Array,
    limits: Limits,
    *,
    bases: tuple[str, ...],
    loss: str,
) -> Fitted:
    """`levenberg_marquardt` from many starts at once.

    `weights` and `pooled` have a leading axis of starts; rows, columns and limits are shared.
    """
    share = max(1, len(weights.factors) // AT_ONCE)
    one = functools.partial(levenberg_marquardt, bases=bases, loss=loss, share=share)
    return jax.vmap(one, (0, 0, None, None, None))(weights, pooled, rows, used, limits)
