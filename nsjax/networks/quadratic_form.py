"""Two-layer x^2 networks as quadratic forms: weights to a symmetric matrix, and back.

`h(x) = sum_j a_j (w_j . x)^2 = x^T M x` with `M = W^T diag(a) W`, so such a network of any width is
a symmetric matrix, and fitting it is matrix sensing with measurements `x x^T`. What an l2 penalty
costs depends on which layers it is on, at the best of all weights of any width that give M:

    a_j = +1 or -1 fixed, sum_j |w_j|^2:          sum_i |sigma_i|                  (nuclear norm)
    a_j trained, sum_j (a_j^2 + |w_j|^2):         3 2^(-2/3) sum_i |sigma_i|^(2/3)  (Schatten 2/3)

with sigma_i the eigenvalues of M. A neuron `c q q^T` with unit q costs `|c|` and
`min_a a^2 + |c| / |a| = 3 2^(-2/3) |c|^(2/3)`; that the eigenvectors are the best neurons is the
triangle inequality in the first case and Rotfel'd's, `|A + B|_p^p <= |A|_p^p + |B|_p^p` for
`p <= 1`, in the second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax.numpy as jnp

from nsjax import _check

if TYPE_CHECKING:
    from jaxtyping import Array, Float

BOTH_LAYERS = 3 * 2 ** (-2 / 3)
"""What `sum_j (a_j^2 + |w_j|^2)` costs at least, over `sum_i |sigma_i|^(2/3)`."""


def quadratic_form(
    incoming: Float[Array, "k d"], output: Float[Array, " k"]
) -> Float[Array, "d d"]:
    """The matrix `W^T diag(a) W` of a two-layer x^2 network.

    Args:
        incoming: W, a row per neuron.
        output: a, the output weights.

    Raises:
        TypeError, ValueError: if the shapes do not fit.

    >>> quadratic_form(jnp.array([[1.0, 1.0], [0.0, 2.0]]), jnp.array([1.0, -1.0])).tolist()
    [[1.0, 1.0], [1.0, -3.0]]
    """
    incoming = _check.matrix("incoming", incoming)
    output = _check.vector("output", output, incoming.shape[0])
    return incoming.T @ (output[:, None] * incoming)


def first_layer_factors(
    matrix: Float[Array, "d d"],
) -> tuple[Float[Array, "d d"], Float[Array, " d"]]:
    """Neurons with output weights +1 and -1 that give a matrix at the least `sum_j |w_j|^2`.

    Args:
        matrix: M, symmetric.

    Returns:
        Incoming weights `sqrt|sigma_i| q_i^T`, and the signs of `sigma_i`; there `sum_j |w_j|^2` is
        the nuclear norm.

    Raises:
        TypeError, ValueError: for no finite symmetric matrix.

    >>> incoming, output = first_layer_factors(jnp.diag(jnp.array([4.0, -9.0])))
    >>> round(float(jnp.sum(incoming**2)), 4), output.tolist()
    (13.0, [-1.0, 1.0])
    """
    values, vectors = jnp.linalg.eigh(_check.symmetric("matrix", _check.matrix("matrix", matrix)))
    return jnp.sqrt(jnp.abs(values))[:, None] * vectors.T, jnp.where(values < 0, -1.0, 1.0)


def both_layers_factors(
    matrix: Float[Array, "d d"],
) -> tuple[Float[Array, "d d"], Float[Array, " d"]]:
    """Neurons that give a matrix at the least `sum_j (a_j^2 + |w_j|^2)`.

    Args:
        matrix: M, symmetric.

    Returns:
        Incoming and output weights along the eigenvectors, balanced: `|w_j|^2 = 2 a_j^2`.

    Raises:
        TypeError, ValueError: for no finite symmetric matrix.

    >>> incoming, output = both_layers_factors(jnp.diag(jnp.array([2.0, 0.0])))
    >>> cost = jnp.sum(incoming**2) + jnp.sum(output**2)
    >>> round(float(cost), 4), round(BOTH_LAYERS * 2 ** (2 / 3), 4)
    (3.0, 3.0)
    """
    values, vectors = jnp.linalg.eigh(_check.symmetric("matrix", _check.matrix("matrix", matrix)))
    output = jnp.sign(values) * (jnp.abs(values) / 2) ** (1 / 3)
    return jnp.sqrt(2.0) * jnp.abs(output)[:, None] * vectors.T, output


def schatten(matrix: Float[Array, "d d"], power: float = 1.0) -> Float[Array, ""]:
    """`sum_i |sigma_i|^power` over the eigenvalues of a symmetric matrix.

    Args:
        matrix: M, symmetric.
        power: 1 gives the nuclear norm, 2/3 what l2 on both layers costs over `BOTH_LAYERS`.

    Raises:
        TypeError, ValueError: for no finite symmetric matrix, or a power that is not positive.

    >>> round(float(schatten(jnp.diag(jnp.array([3.0, -4.0])))), 4)
    7.0
    """
    power = _check.positive("power", power)
    values = jnp.linalg.eigvalsh(_check.symmetric("matrix", _check.matrix("matrix", matrix)))
    return jnp.sum(jnp.abs(values) ** power)


def gaussian_error(
    matrix: Float[Array, "*batch d d"], target: Float[Array, "d d"]
) -> Float[Array, "*batch"]:
    """Test error of a quadratic form on Gaussian inputs, over the variance of the target.

    With `D = M - M*` and `x ~ N(0, I)`, `E (x^T D x)^2 = 2 |D|_F^2 + (tr D)^2`, and the variance of
    `x^T M* x` is `2 |M*|_F^2`: no test samples are needed.

    Args:
        matrix: M, `(d, d)` or a batch of them.
        target: M*, `(d, d)`.

    Raises:
        TypeError, ValueError: for matrices of other shapes than the target's, or a target of zero.

    >>> round(float(gaussian_error(jnp.eye(2), jnp.diag(jnp.array([1.0, 2.0])))), 4)
    0.3
    """
    target = _check.symmetric("target", _check.matrix("target", target))
    matrix = _check.array("matrix", matrix)
    if matrix.shape[-2:] != target.shape:
        raise ValueError(
            f"matrix must have shape (..., {len(target)}, {len(target)}), got {matrix.shape}"
        )
    _check.not_zero("target", target)
    difference = (matrix + jnp.swapaxes(matrix, -1, -2)) / 2 - target
    trace = jnp.trace(difference, axis1=-2, axis2=-1)
    squares = jnp.sum(difference**2, axis=(-2, -1))
    return (2 * squares + trace**2) / (2 * jnp.sum(target**2))
