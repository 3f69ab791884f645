"""What a search by candidates is given: checks of samples and keys."""

from __future__ import annotations

import reprlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nsjax import _check
from nsjax.pursuit.problem import check_targets

LABELS = 20
"""Distinct integers up to which the targets of a regression look like classes."""


def keys(key: Any) -> tuple[jax.Array, bool]:
    """Keys `(seeds,)` of one PRNG key or several, and whether several were given."""
    key = _check.keys("key", key)
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
    column = raw.ndim == 1 or (raw.ndim == 2 and raw.shape[1] == 1)
    if loss == "cross_entropy" and raw.size and column and raw.dtype.kind in "biuf":
        raw = _one_hot(name, raw.reshape(-1), c)
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
    if not np.all(np.isfinite(labels) & (labels == np.round(labels))):
        raise ValueError(
            f"{name} must hold whole numbers for classes, or a column for each class, got one "
            "column of other numbers"
        )
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
    return np.eye(classes)[labels.astype(int)]
