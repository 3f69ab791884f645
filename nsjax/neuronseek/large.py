"""L-BFGS for models with too many parameters for normal equations."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import optimistix as optx

from nsjax.neuronseek.fitting import (
    Fitted,
    Limits,
    Rows,
    Weights,
    flat,
    free_parameters,
    total_loss,
    unflat,
)
from nsjax.neuronseek.model import Pool


@functools.partial(jax.jit, static_argnames=("steps", "bases", "loss"))
def minimise(
    weights: Weights,
    pooled: Pool,
    rows: Rows,
    used: jax.Array,
    limits: Limits,
    *,
    steps: int,
    bases: tuple[str, ...],
    loss: str,
) -> Fitted:
    """The same as `fitting.levenberg_marquardt`, with memory like the data and the parameters.

    `steps` is static here, and `limits.target` is not used.
    """
    penalty, tol = limits.penalty, limits.tol
    free = free_parameters(pooled, used, rows.y.shape[1])
    start = flat(weights)
    count = jnp.maximum(jnp.sum(rows.weight), 1)

    def value(vector: jax.Array, args: None) -> jax.Array:
        at = unflat(jnp.where(free, vector, start), weights)
        return total_loss(at, pooled, rows, penalty, bases, loss) / count

    found: Any = optx.minimise(
        value,
        optx.LBFGS(rtol=tol, atol=tol),
        start,
        max_steps=steps,
        throw=False,
    )
    before = value(start, None)
    after = value(found.value, None)
    # False for NaN: then the start stays.
    at = unflat(jnp.where(free & (after < before), found.value, start), weights)
    return Fitted(at, total_loss(at, pooled, rows, penalty, bases, loss), found.stats["num_steps"])
