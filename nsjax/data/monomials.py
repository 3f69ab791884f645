"""Sums of a few random monomials of many inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from nsjax import _check
from nsjax.data.polynomials import Polynomial, PolynomialData
from nsjax.data.synthetic import gaussian

if TYPE_CHECKING:
    from jax.typing import DTypeLike


def monomial_task(
    key: jax.Array,
    monomials: int,
    order: int,
    samples: int,
    dimension: int,
    *,
    noise: float = 0.0,
    dtype: DTypeLike | None = None,
) -> PolynomialData:
    """Samples of a sum of random monomials of standard normal inputs.

    Each monomial has an order drawn from 1 to `order`, so many inputs drawn with replacement, and
    a coefficient of either sign, uniform in [1/2, 3/2] in size. No two are the same.

    Args:
        key: PRNG key of inputs, monomials and noise.
        monomials: how many.
        order: largest order.
        samples: n.
        dimension: d.
        noise: standard deviation of normal noise, as a share of that of the values.
        dtype: of all arrays; JAX's default float if not given.

    Raises:
        TypeError, ValueError: for counts that are no positive integers, fewer than 2 samples,
            noise below 0, or more monomials than there are inputs.

    >>> task = monomial_task(jax.random.key(0), 3, 2, 50, 10)
    >>> sum(c.shape[1] for c, _ in task.truth.interactions.values()) <= 3
    True
    """
    counts = {"monomials": monomials, "order": order, "samples": samples, "dimension": dimension}
    for name, value in counts.items():
        _check.positive_integer(name, value)
    if samples < 2:
        raise ValueError(f"samples must be at least 2, to have a deviation, got {samples}")
    if monomials > dimension:
        raise ValueError(
            f"monomials must be at most the number of inputs, {dimension}, got {monomials}"
        )
    noise = _check.non_negative("noise", noise)
    _check.key("key", key)
    keys = jax.random.split(key, 3)
    x = gaussian(keys[0], samples, dimension, dtype=dtype)
    rng = np.random.default_rng(np.asarray(jax.random.bits(keys[1], (4,))).tolist())
    chosen: dict[tuple[int, ...], float] = {}
    while len(chosen) < monomials:
        inputs = tuple(sorted(rng.integers(dimension, size=rng.integers(1, order + 1)).tolist()))
        chosen.setdefault(inputs, float(rng.choice([-1, 1]) * rng.uniform(0.5, 1.5)))
    truth = _polynomial(chosen, dimension, x.dtype)
    clean = truth(x)
    y = clean + noise * jnp.std(clean) * jax.random.normal(keys[2], clean.shape, clean.dtype)
    return PolynomialData(x, y, clean, truth)


def _polynomial(chosen: dict[tuple[int, ...], float], d: int, dtype: Any) -> Polynomial:
    """Powers of one input in the pure stream, products of several as interactions."""
    powers: dict[int, np.ndarray] = {}
    products: dict[int, list[tuple[tuple[int, ...], float]]] = {}
    for inputs, weight in chosen.items():
        if len(set(inputs)) == 1:
            powers.setdefault(len(inputs), np.zeros((1, d)))[0, inputs[0]] = weight
        else:
            products.setdefault(len(inputs), []).append((inputs, weight))
    interactions = {}
    for order, pairs in sorted(products.items()):
        factors = np.zeros((order, len(pairs), d))
        for r, (inputs, _) in enumerate(pairs):
            factors[np.arange(order), r, list(inputs)] = 1
        weights = np.array([[weight for _, weight in pairs]])
        interactions[order] = jnp.asarray(weights, dtype), jnp.asarray(factors, dtype)
    return Polynomial(
        jnp.zeros(1, dtype),
        {k: jnp.asarray(weights, dtype) for k, weights in sorted(powers.items())},
        interactions,
        {},
    )
