"""Polynomials whose structure is the point: two orders at once, and two layers of few products."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from nsjax.data.polynomials import Polynomial, PolynomialData, check_sizes, noisy
from nsjax.data.synthetic import gaussian

if TYPE_CHECKING:
    from jax.typing import DTypeLike


def two_order_task(
    key: jax.Array,
    samples: int,
    dimension: int,
    *,
    noise: float = 0.0,
    dtype: DTypeLike | None = None,
) -> PolynomialData:
    """Samples of `x0 x1 + (a.x)^3 / sqrt 6` on standard normal inputs, a random and of norm 1.

    No single order of products, nor a single power of projections, writes it with two terms.

    Args:
        key: PRNG key of inputs, the direction a and noise.
        samples: n.
        dimension: d, at least 2.
        noise, dtype: see `polynomial_task`.

    Raises:
        TypeError, ValueError: as `polynomial_task`.

    >>> task = two_order_task(jax.random.key(0), 50, 4)
    >>> sorted(task.truth.interactions)
    [2, 3]
    """
    noise = check_sizes(key, samples, dimension, noise, 2, "the target")
    keys = jax.random.split(key, 3)
    x = gaussian(keys[0], samples, dimension, dtype=dtype)
    direction = jax.random.normal(keys[1], (dimension,), x.dtype)
    direction /= jnp.linalg.norm(direction)
    truth = Polynomial(
        jnp.zeros(1, x.dtype),
        {},
        {
            2: (jnp.ones((1, 1), x.dtype), jnp.eye(dimension, dtype=x.dtype)[:2, None]),
            3: (jnp.full((1, 1), 6**-0.5, x.dtype), jnp.tile(direction, (3, 1, 1))),
        },
        {},
    )
    return noisy(keys[-1], x, truth, noise)


COMPOSED = (
    {(0, 1): 1.0, (2, 3): 1.0, (4,): 1.0},
    {(5, 6): 1.0, (7, 8): -1.0, (9,): 1.0},
)
"""The inner polynomials of `composed_task`: coefficients by monomial."""


def composed_task(
    key: jax.Array,
    samples: int,
    dimension: int,
    *,
    noise: float = 0.0,
    dtype: DTypeLike | None = None,
) -> PolynomialData:
    """Samples of `g h + g^2 / 2`, `g = x0 x1 + x2 x3 + x4` and `h = x5 x6 - x7 x8 + x9`.

    Two layers of a few products; written out, monomials of orders 2 to 4. Standard normal inputs.

    Args:
        key: PRNG key of inputs and noise.
        samples: n.
        dimension: d, at least 10.
        noise, dtype: see `polynomial_task`.

    Raises:
        TypeError, ValueError: as `polynomial_task`.

    >>> task = composed_task(jax.random.key(0), 50, 10)
    >>> sorted(task.truth.interactions)
    [2, 3, 4]
    """
    noise = check_sizes(key, samples, dimension, noise, 10, "the target")
    keys = jax.random.split(key)
    x = gaussian(keys[0], samples, dimension, dtype=dtype)
    g, h = COMPOSED
    unit = np.eye(dimension)
    terms: dict[int, tuple[list[float], list[np.ndarray]]] = {}
    for other, share in ((h, 1.0), (g, 0.5)):
        for (first, a), (second, b) in itertools.product(g.items(), other.items()):
            coefficients, factors = terms.setdefault(len(first) + len(second), ([], []))
            coefficients.append(share * a * b)
            factors.append(unit[[*first, *second]])
    interactions = {
        order: (
            jnp.asarray([coefficients], x.dtype),
            jnp.asarray(np.stack(factors, axis=1), x.dtype),
        )
        for order, (coefficients, factors) in terms.items()
    }
    truth = Polynomial(jnp.zeros(1, x.dtype), {}, interactions, {})
    return noisy(keys[-1], x, truth, noise)
