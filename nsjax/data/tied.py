"""Targets whose neurons tie: sums of equal powers of coordinates, on inputs with the symmetry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from nsjax import _check
from nsjax.data.synthetic import sphere

if TYPE_CHECKING:
    from jax.typing import DTypeLike
    from jaxtyping import Array, Float


def tied_task(
    key: jax.Array,
    orbits: int,
    dimension: int,
    *,
    degree: int,
    terms: int,
    gap: float = 0.0,
    dtype: DTypeLike | None = None,
) -> tuple[Float[Array, "n d"], Float[Array, "n 1"]]:
    """Targets `sum_{i < terms} (1 + gap i) x_i^degree` on whole orbits of points on the sphere.

    The inputs are all cyclic shifts and changes of sign (up to a common one) of random points, so
    that with `gap = 0` the coordinates of the target are equal for the data, not only on average:
    for degree 3 or more, KKT points near two of them have one NCF. For degree 2 the moment matrix
    is diagonal with equal entries, and the maxima form a continuum.

    Args:
        key: PRNG key of the points.
        orbits: number of points before the symmetry; n is `orbits * d * 2^(d-1)`.
        dimension: d.
        degree: of the powers.
        terms: how many coordinates the target has, at most d.
        gap: relative difference of two neighbouring coefficients, 0 or more.
        dtype: of both arrays.

    Returns:
        Inputs, and targets scaled to unit standard deviation.

    Raises:
        TypeError, ValueError: for bad sizes or a negative gap, and if the target is constant.

    >>> x, y = tied_task(jax.random.key(0), 1, 3, degree=3, terms=2)
    >>> x.shape, abs(float(y[:, 0] @ (x[:, 0] ** 3 - x[:, 1] ** 3))) < 1e-3
    ((12, 3), True)
    """
    orbits = _check.positive_integer("orbits", orbits)
    dimension = _check.limited("dimension", _check.positive_integer("dimension", dimension), 10)
    degree = _check.positive_integer("degree", degree)
    terms = _check.limited("terms", _check.positive_integer("terms", terms), dimension)
    gap = _check.non_negative("gap", gap)
    points = sphere(key, orbits, dimension, dtype=dtype)
    shifts = (np.arange(dimension)[:, None] + np.arange(dimension)) % dimension
    flips = 1 - 2 * ((np.arange(2 ** (dimension - 1))[:, None] >> np.arange(dimension)) & 1)
    x = points[:, shifts][:, :, None, :] * jnp.asarray(flips, points.dtype)
    x = x.reshape(-1, dimension)
    coefficients = 1 + gap * jnp.arange(terms, dtype=x.dtype)
    y = (x[:, :terms] ** degree) @ coefficients[:, None]
    spread = jnp.std(y)
    if not bool(spread > 1e-6 * jnp.max(jnp.abs(y))):
        raise ValueError(
            f"the target must vary over the inputs, got degree {degree} and {terms} terms of "
            f"{dimension}, which is constant on the sphere"
        )
    return x, y / spread
