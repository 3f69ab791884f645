"""Data in the units that pursuit works in: targets of unit variance, inputs on one sphere.

A homogeneous network of degree `k = p^(L-1)` in its inputs has `H(c x) = c^k H(x)` for c > 0. So
the sample `(x_i, y_i)` says the same of its weights as `(x_i / c_i, y_i / c_i^k)`; only how much it
counts in the loss differs. For the square loss, `c_i = |x_i| / sqrt(d)` puts all samples on one
sphere, where none is heard above the others.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsjax import _check
from nsjax.networks.homogeneous import Activation, Params, apply
from nsjax.objectives import LOSSES

if TYPE_CHECKING:
    from jaxtyping import Array, Float


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
        last: further factor on the last: one over that size where there is no common degree D.
    """

    first: Any
    every: Any
    last: Any

    def into(self, params: Params) -> Params:
        """Weights in working units, of those in the user's."""
        first, *others, last = params
        every = self.every
        return (
            first * (self.first * every),
            *(w * every for w in others),
            last * (every * self.last),
        )

    def back(self, params: Params) -> Params:
        """Weights in the user's units."""
        first, *others, last = params
        every = self.every
        return (
            first / (self.first * every),
            *(w / every for w in others),
            last / (every * self.last),
        )


def reference_loss(loss: str, y: Any) -> Any:
    """What a relative loss of 1 is, see `Problem`; of JAX or NumPy arrays."""
    if loss == "square":
        return 0.5 * ((y - y.mean(axis=0)) ** 2).sum()
    if loss == "logistic":
        return y.size * math.log(2)
    return y.sum() * math.log(y.shape[1])


def prepare(
    x: jax.Array,
    y: jax.Array,
    *,
    loss: str,
    p: int | None,
    depth: int,
    normalise: bool,
    tol: float = 0.0,
) -> tuple[Problem, Units]:
    """The problem in working units.

    Args:
        x: `(n, d)`.
        y: `(n, c)`.
        loss: name of the loss.
        p: degree of the activation; None if neurons have several.
        depth: number of layers L.
        normalise: whether samples are put on one sphere (square loss alone). Those so short that
            they would weigh above 100 stay inside; nothing is done if targets would not vary.
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
    dtype = x.dtype
    # In double precision on the host, and by way of the largest entry: squares may be out of range.
    inputs, targets = np.asarray(x, np.float64), np.asarray(y, np.float64)
    check_targets(loss, targets, float(jnp.finfo(dtype).eps))
    largest = np.max(np.abs(inputs))
    if largest == 0:
        raise ValueError("x must not be zero, got zero in every sample")
    sizes = (
        largest * np.linalg.norm(inputs / largest, axis=1, keepdims=True) / inputs.shape[1] ** 0.5
    )
    x_size = largest * float(np.sqrt(np.mean((sizes / largest) ** 2)))
    y_size = 1.0
    inputs = inputs / x_size
    if loss == "square":
        y_size = float(np.max(np.abs(targets)))
        targets = targets / y_size
        if normalise and p is not None:
            degree = p ** (depth - 1)
            # Any factor says the same; one near zero would hand the loss to a single sample.
            scale = np.maximum(sizes / x_size, _HEAVIEST ** (-0.5 / degree))
            # Outputs at x = 0 are zero whatever the weights: such a sample teaches nothing.
            on_sphere = np.where(sizes > 0, targets / scale**degree, 0)
            if _varies(on_sphere, float(jnp.finfo(dtype).eps)):
                inputs, targets, tol = inputs / scale, on_sphere, _MARGIN * tol
        spread = float(np.sqrt(np.mean(np.sum((targets - np.mean(targets, axis=0)) ** 2, axis=1))))
        targets, y_size = targets / spread, y_size * spread
    # H is of degree D in all weights, and of degree `degree` in the first matrix.
    total = None if p is None else sum(p**layer for layer in range(depth))
    problem = Problem(
        *(
            jnp.asarray(np.asarray(v, dtype))
            for v in (inputs, targets, reference_loss(loss, targets), tol)
        )
    )
    every, last = (1.0, 1 / y_size) if total is None else (y_size ** (-1 / total), 1.0)
    return problem, Units(*(np.asarray(size, dtype) for size in (x_size, every, last)))


_HEAVIEST = 100.0
"""Largest weight of a short sample in the loss, over that of one of root mean square size."""
_MARGIN = 0.25
"""Target of a refit over the loss wanted, where samples are weighed: as given it may be higher."""


def _varies(y: np.ndarray, eps: float) -> bool:
    return bool(np.any(np.ptp(y, axis=0) > 8 * eps * np.max(np.abs(y), axis=0)))


def check_targets(loss: str, values: np.ndarray, eps: float, name: str = "y") -> None:
    """Raise a ValueError if targets, called `name`, do not fit the loss, or do not vary."""
    if loss == "square":
        if not _varies(values, eps):
            what = "zero" if not np.any(values) else "constant"
            raise ValueError(
                f"{name} must vary over the samples, got {what} targets: there is nothing to learn"
            )
        return
    _check.targets(loss, name, values)
    if np.all(values == values[:1]):
        raise ValueError(f"{name} must vary over the samples, got one class")


def prediction_error(
    outputs: Float[Array, "n c"], y: Float[Array, "n c"], *, loss: str
) -> Float[Array, ""]:
    """Mean squared error over the targets' variance, or the share of wrong classes.

    Args:
        outputs, y: `(n, c)`.
        loss: `"square"`; `"logistic"` for classes by sign; `"cross_entropy"` for classes by the
            largest output.

    Raises:
        TypeError, ValueError: for an unknown loss, or targets that do not have the outputs' shape.

    >>> labels = jnp.array([[1.0], [-1.0]])
    >>> float(prediction_error(jnp.array([[2.0], [0.5]]), labels, loss="logistic"))
    0.5
    """
    _check.choice("loss", loss, tuple(LOSSES))
    _check.same_shape(outputs, y)
    if loss == "square":
        return LOSSES[loss](outputs, y) / reference_loss(loss, y)
    if loss == "logistic":
        return jnp.mean((outputs > 0) != (y > 0))
    return jnp.mean(jnp.argmax(outputs, axis=1) != jnp.argmax(y, axis=1))


def network_error(
    params: Params,
    x: Float[Array, "n d"],
    y: Float[Array, "n c"],
    activation: Activation,
    *,
    loss: str,
) -> Float[Array, ""]:
    """`prediction_error` of a network.

    Args:
        params: weight matrices.
        x: inputs `(n, d)`.
        y: targets `(n, c)`.
        activation: of the network.
        loss: as for `prediction_error`.

    Raises:
        TypeError, ValueError: for an unknown loss, or targets that do not have the outputs' shape.

    >>> from nsjax import PolyLeakyReLU
    >>> x = jnp.array([[1.0], [2.0]])
    >>> float(network_error((jnp.eye(1), -jnp.eye(1)), x, x, PolyLeakyReLU(2), loss="logistic"))
    1.0
    """
    return prediction_error(apply(params, x, activation), y, loss=loss)
