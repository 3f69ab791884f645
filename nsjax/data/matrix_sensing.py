"""Matrix sensing: a symmetric matrix of low rank, and numbers that are linear in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

from nsjax import _check

if TYPE_CHECKING:
    from jax.typing import DTypeLike
    from jaxtyping import Array, Float

DESIGNS = ("inputs", "centred", "gaussian", "shifted")
"""Measurements: `x x^T` of Gaussian inputs, `x x^T - I`; Gaussian symmetric matrices with the
second moments of the latter, and with the former's mean I besides."""


def measurement_matrices(x: Float[Array, "n d"]) -> Float[Array, "n d d"]:
    """`x_i x_i^T` of every sample: what the matrix of a quadratic form is measured by.

    Args:
        x: inputs `(n, d)`.

    Raises:
        TypeError, ValueError: if x is no finite matrix.

    >>> measurement_matrices(jnp.array([[1.0, 2.0]])).tolist()
    [[[1.0, 2.0], [2.0, 4.0]]]
    """
    x = _check.matrix("x", x)
    return x[:, :, None] * x[:, None, :]


def matrix_sensing(
    key: jax.Array,
    samples: int,
    dimension: int,
    positive: int,
    negative: int = 0,
    *,
    design: str = "inputs",
    dtype: DTypeLike | None = None,
) -> tuple[Float[Array, "n d d"], Float[Array, " n"], Float[Array, "d d"]]:
    """Measurements of the matrix of a random quadratic network, the teacher.

    Args:
        key: PRNG key.
        samples: n.
        dimension: d.
        positive: number of the teacher's neurons with output weight +1.
        negative: the same for -1; at most d neurons together.
        design: one of `DESIGNS`.
        dtype: of all arrays; JAX's default float if not given.

    Returns:
        Measurements A_i, targets `<A_i, M>`, and the teacher's matrix
        `M = sum_+ w w^T - sum_- w w^T` with Gaussian weights, scaled to `2 |M|_F^2 = 1`, the
        variance of `x^T M x`.

    Raises:
        TypeError, ValueError: for bad sizes or designs.

    >>> measurements, y, matrix = matrix_sensing(jax.random.key(0), 5, 4, 2)
    >>> measurements.shape, y.shape, int(jnp.linalg.matrix_rank(matrix))
    ((5, 4, 4), (5,), 2)
    """
    n = _check.positive_integer("samples", samples)
    d = _check.positive_integer("dimension", dimension)
    _check.choice("design", design, DESIGNS)
    check_signs(positive, negative, d)
    _check.key("key", key)
    keys = jax.random.split(key)
    dtype = _check.floating_dtype("dtype", dtype)
    weights = jax.random.normal(keys[0], (positive + negative, d), dtype)
    signs = jnp.where(jnp.arange(positive + negative) < positive, 1.0, -1.0).astype(dtype)
    matrix = weights.T @ (signs[:, None] * weights)
    matrix /= jnp.sqrt(2 * jnp.sum(matrix**2))
    eye = jnp.eye(d, dtype=dtype)
    if design in ("gaussian", "shifted"):
        normal = jax.random.normal(keys[1], (n, d, d), dtype)
        # Variance 2 on the diagonal and 1 off it, as x x^T - I has.
        measurements = (normal + jnp.swapaxes(normal, 1, 2)) / jnp.sqrt(2.0).astype(dtype)
        if design == "shifted":
            measurements += eye
    else:
        measurements = measurement_matrices(jax.random.normal(keys[1], (n, d), dtype))
        if design == "centred":
            measurements -= eye
    return measurements, jnp.einsum("nij,ij->n", measurements, matrix), matrix


def check_signs(positive: int, negative: int, dimension: int) -> None:
    """Raise if there are no such numbers of eigenvalues of either sign, one at least."""
    rank = _check.non_negative_integer("positive", positive)
    rank += _check.non_negative_integer("negative", negative)
    _check.limited("positive + negative", rank, dimension)
