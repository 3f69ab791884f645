"""Data in the units that pursuit works in: targets of unit variance, inputs on one sphere.

A homogeneous network of degree `k = p^(L-1)` in its inputs has `H(c x) = c^k H(x)` for c > 0. So
the sample `(x_i, y_i)` says the same of its weights as `(x_i / c_i, y_i / c_i^k)`; only how much it
counts in the loss differs. For the square loss, `c_i = |x_i| / sqrt(d)` puts all samples on one
sphere, where none is heard above the others.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsjax import _check
from nsjax.networks.homogeneous import Params
from nsjax.objectives import LOSSES


class Problem(NamedTuple):
    """A data set in working units.

    Attributes:
        x: `(n, d)` inputs.
        y: `(n, c)` targets.
        reference: loss that relative losses are measured by: of the square loss, that of the best
            constant output; else, that of zero outputs.
        target: relative loss at which a refit ends.
    """

    x: jax.Array
    y: jax.Array
    reference: jax.Array
    target: jax.Array | float = 0.0


class Units(NamedTuple):
    """How working units come from the user's: what every weight matrix is multiplied by.

    Attributes:
        first: factor on the first weight matrix, the size of an input.
        every: factor on every weight matrix; its D-th power is one over the size of a target.
    """

    first: Any
    every: Any

    def into(self, params: Params) -> Params:
        """Weights in working units, of those in the user's."""
        first, *others = params
        return (first * (self.first * self.every), *(w * self.every for w in others))

    def back(self, params: Params) -> Params:
        """Weights in the user's units."""
        first, *others = params
        return (first / (self.first * self.every), *(w / self.every for w in others))


def reference_loss(loss: str, y: jax.Array) -> jax.Array:
    """What a relative loss of 1 is, see `Problem`."""
    if loss == "square":
        return 0.5 * jnp.sum((y - jnp.mean(y, axis=0)) ** 2)
    return LOSSES[loss](jnp.zeros_like(y), y)


def prepare(
    x: jax.Array, y: jax.Array, *, loss: str, p: int, depth: int, normalise: bool, tol: float = 0.0
) -> tuple[Problem, Units]:
    """The problem in working units.

    Args:
        x: `(n, d)`.
        y: `(n, c)`.
        loss: name of the loss.
        p: degree of the activation.
        depth: number of layers L.
        normalise: whether samples are put on one sphere (square loss alone).
        tol: relative loss that is wanted on the data as given.

    Raises:
        TypeError, ValueError: if they are no finite matrices of one number of rows, x or y is
            zero, the targets of the square loss do not vary, or those of another are no labels.
    """
    x, y = _check.matrix("x", x), _check.matrix("y", y)
    if x.shape[0] != y.shape[0]:
        raise ValueError(
            "x and y must have one row per sample, got "
            f"{x.shape[0]} rows in x and {y.shape[0]} in y"
        )
    if x.shape[0] < 2:
        raise ValueError(f"x must have at least 2 samples, got {x.shape[0]}")
    y = y.astype(x.dtype)
    _check_targets(loss, y)
    degree = p ** (depth - 1)
    sizes = jnp.linalg.norm(x, axis=1, keepdims=True) / x.shape[1] ** 0.5
    size = float(jnp.sqrt(jnp.mean(sizes**2)))
    if size == 0:
        raise ValueError("x must not be zero, got zero in every sample")
    target = jnp.asarray(tol, x.dtype)
    if loss == "square" and normalise:
        target *= 0.25  # the loss of the data as given may be higher than that of weighed samples
        # The output at x = 0 is zero whatever the weights: such a sample teaches nothing.
        scale = jnp.where(sizes > 0, sizes, 1)
        x, y = x / scale, jnp.where(sizes > 0, y / (scale / size) ** degree, 0)
        x_size = size
    else:
        x, x_size = x / size, size
    y_size = 1.0
    if loss == "square":
        y_size = float(jnp.sqrt(jnp.mean(jnp.sum((y - jnp.mean(y, axis=0)) ** 2, axis=1))))
        y = y / y_size
    total = sum(p**layer for layer in range(depth))
    # H = (product of the weights) of degree `degree` in W_1, and D in all.
    return Problem(x, y, reference_loss(loss, y), target), Units(x_size, y_size ** (-1 / total))


def _check_targets(loss: str, y: jax.Array) -> None:
    values = np.asarray(y)
    if loss == "square":
        spread = np.ptp(values, axis=0)
        rounding = 8 * np.finfo(values.dtype).eps * np.max(np.abs(values), axis=0)
        if np.all(spread <= rounding):
            what = "zero" if not np.any(values) else "constant"
            raise ValueError(
                f"y must vary over the samples, got {what} targets: there is nothing to learn"
            )
    elif loss == "logistic":
        if not np.all(np.abs(values) == 1):
            raise ValueError("y must hold labels -1 and 1 for the logistic loss")
        if np.all(values == values[:1]):
            raise ValueError("y must vary over the samples, got one class")
    else:
        if values.shape[1] < 2:
            raise ValueError(
                f"y must have a column for each class for cross-entropy, got {values.shape[1]}"
            )
        if np.any(values < 0) or not np.allclose(values.sum(axis=1), 1, atol=1e-5):
            raise ValueError("y must hold probabilities that add up to 1 for cross-entropy")
        if np.all(values == values[:1]):
            raise ValueError("y must vary over the samples, got one class")


def prediction_error(loss: str, outputs: jax.Array, y: jax.Array) -> jax.Array:
    """Mean squared error over the targets' variance, or the share of wrong classes."""
    if loss == "square":
        return LOSSES[loss](outputs, y) / reference_loss(loss, y)
    if loss == "logistic":
        return jnp.mean(jnp.where(outputs > 0, 1, -1) != y)
    return jnp.mean(jnp.argmax(outputs, axis=1) != jnp.argmax(y, axis=1))
