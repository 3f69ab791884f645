"""What a search by candidates is given: checks of samples and keys, and units to work in."""

from __future__ import annotations

import reprlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsjax import _check
from nsjax.networks.cp import CPNeuron, CPTerms
from nsjax.pursuit.problem import check_targets

LABELS = 20
"""Distinct integers up to which the targets of a regression look like classes."""


class Units(NamedTuple):
    """What the data are divided by.

    Attributes:
        inputs: sizes of the inputs, powers of two, so that dividing rounds nothing, `(d,)`.
        mean: means of the targets, `(c,)`.
        scale: size of all targets.
    """

    inputs: np.ndarray
    mean: np.ndarray
    scale: float

    @classmethod
    def of(cls, x: np.ndarray, y: np.ndarray, loss: str) -> Units:
        """Units in which inputs are about 1 and, for the square loss, targets have variance 1.

        Inputs keep their origin: shifted, a power would be a sum of many.
        """
        largest = np.max(np.abs(x), axis=0)
        # An input that is zero may have any size.
        x, largest = np.where(largest > 0, x, 1), np.where(largest > 0, largest, 1)
        # By way of the largest entry: squares may be out of range.
        sizes = largest * np.sqrt(np.mean((x / largest) ** 2, axis=0))
        inputs = np.exp2(np.round(np.log2(sizes))).astype(x.dtype)
        if loss != "square":
            return cls(inputs, np.zeros(y.shape[1]), 1.0)
        spread = np.max(np.abs(y - y.mean(axis=0)))
        scale = spread * np.sqrt(np.mean(np.var(y / spread, axis=0)))
        return cls(inputs, y.mean(axis=0), float(scale))

    def back(self, neuron: CPNeuron) -> CPNeuron:
        """A neuron of data in these units, in the units of the data, without what is rounding."""
        noise = 1000 * float(np.finfo(jnp.result_type(float)).eps)

        def weighed(weights: np.ndarray, size: np.ndarray | float = 1.0) -> np.ndarray:
            return np.where(np.abs(weights) * size > noise, weights * self.scale, 0.0)

        def scaled(terms: CPTerms) -> CPTerms:
            sizes = np.prod(np.linalg.norm(terms.factors, axis=2), axis=0)
            return CPTerms(weighed(terms.coefficients, sizes), terms.factors / self.inputs)

        bias = neuron.bias * self.scale + self.mean
        # What is left of the mean where it cancels is rounding.
        left = noise * (np.abs(self.mean) + self.scale)
        return CPNeuron(
            np.where(np.abs(bias) > left, bias, 0.0),
            {k: weighed(weights) / self.inputs**k for k, weights in neuron.powers.items()},
            {n: scaled(terms) for n, terms in neuron.interactions.items()},
            {name: scaled(terms) for name, terms in neuron.bases.items()},
        )


def keys(key: Any) -> tuple[jax.Array, bool]:
    """Keys `(seeds,)` of one PRNG key or several, and whether several were given."""
    wanted = "key must be a PRNG key, or an array of them, such as jax.random.split(key, 10)"
    if not isinstance(key, jax.Array) or not jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        raise TypeError(f"{wanted}, got {type(key).__name__}")
    if key.ndim > 1 or key.size == 0:
        raise ValueError(f"{wanted}, got shape {key.shape}")
    return key.reshape(-1), key.ndim == 1


def training(x: Any, y: Any, loss: str) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets to fit, as matrices of JAX's default float, checked."""
    x, y = _pair("x", "y", x, y, loss)
    if len(x) < 3:
        raise ValueError(f"x must have at least 3 samples, got {len(x)}")
    check_targets(loss, np.asarray(y, np.float64), float(jnp.finfo(y.dtype).eps))
    return x, y


def further(
    name: str, pair: Any, loss: str, shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """The same for a pair of further samples, with d inputs and c targets."""
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise TypeError(f"{name} must be a pair (x, y), got {reprlib.repr(pair)}")
    x, y = pair
    return _pair(f"{name}[0]", f"{name}[1]", x, y, loss, shape)


def _pair(
    first: str, second: str, x: Any, y: Any, loss: str, shape: tuple[int | None, ...] = (None, None)
) -> tuple[np.ndarray, np.ndarray]:
    d, c = shape
    x = np.asarray(_check.matrix(first, x, columns=d), jnp.result_type(float))
    y = _targets(second, y, loss, c)
    if len(x) != len(y):
        raise ValueError(
            f"{first} and {second} must have one row per sample, got {len(x)} rows in {first} and "
            f"{len(y)} in {second}"
        )
    for name, array in ((first, x), (second, y)):
        if not np.all(np.isfinite(array)):
            raise ValueError(f"{name} must be in the range of {array.dtype}, got larger numbers")
    return x, y


def _targets(name: str, y: Any, loss: str, c: int | None) -> np.ndarray:
    try:
        raw = np.asarray(y)
    except ValueError as error:  # rows of different lengths
        raise TypeError(f"{name} must be an array of numbers, got {reprlib.repr(y)}") from error
    if raw.dtype.kind in "USO":
        raise TypeError(
            f"{name} must be an array of numbers, got dtype {raw.dtype}; for classes, give "
            'integers from 0 with loss="cross_entropy"'
        )
    if raw.ndim == 1 and raw.size and raw.dtype.kind in "biu" and loss == "cross_entropy":
        raw = _one_hot(name, raw.astype(int), c)
    if loss == "square" and raw.dtype.kind in "biu":
        distinct = len(np.unique(raw))
        if distinct <= LABELS and 2 * distinct <= len(raw):
            raise ValueError(
                f"{name} must hold real targets for a regression, got {distinct} distinct values "
                f'of dtype {raw.dtype}, which look like classes: use loss="cross_entropy" or '
                '"logistic", or make them floats if they are quantities'
            )
    matrix = _check.matrix(name, raw[:, None] if raw.ndim == 1 else raw, columns=c)
    return np.asarray(matrix, jnp.result_type(float))


def _one_hot(name: str, labels: np.ndarray, classes: int | None) -> np.ndarray:
    least, most = int(labels.min()), int(labels.max())
    if classes is None:
        if most >= len(labels):
            raise ValueError(
                f"{name} must hold classes from 0 on, with no more classes than samples, got "
                f"class {most} and {len(labels)} samples"
            )
        classes = most + 1
    if least < 0 or most >= classes:
        raise ValueError(
            f"{name} must hold classes from 0 to {classes - 1}, got {least if least < 0 else most}"
        )
    return np.eye(classes)[labels]
