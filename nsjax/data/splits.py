"""Samples to train on, and all the others to test on."""

from __future__ import annotations

from typing import Any

import jax

from nsjax import _check

Samples = tuple[jax.Array, jax.Array]


def split(key: jax.Array, x: Any, y: Any, train: int) -> tuple[Samples, Samples]:
    """Distinct samples for training, drawn at random, and those that are left.

    Args:
        key: PRNG key.
        x: `(n, d)` inputs.
        y: `(n, c)` targets.
        train: samples to train on, fewer than n.

    Returns:
        `(x, y)` of `train` samples and `(x, y)` of the other `n - train`.

    Raises:
        TypeError, ValueError: for bad arrays, or no sample left on one side.

    >>> x = jax.numpy.array([[1.0], [2.0], [3.0]])
    >>> (x, y), (others, _) = split(jax.random.key(0), x, x**2, 2)
    >>> bool((x**2 == y).all()), others.shape
    (True, (1, 1))
    """
    _check.key("key", key)
    x = _check.matrix("x", x)
    y = _check.matrix("y", y, rows=len(x))
    train = _check.positive_integer("train", train)
    if train >= len(x):
        raise ValueError(f"train must leave samples to test on, got {train} of {len(x)}")
    order = jax.random.permutation(key, len(x))
    ours, others = order[:train], order[train:]
    return (x[ours], y[ours]), (x[others], y[others])
