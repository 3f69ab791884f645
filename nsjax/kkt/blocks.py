"""How many starts work at a time: bounded by a budget of memory, and by what is fast."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

BUDGET = 2**28
"""Bytes that the working arrays of a search may take, by default."""

_FAST_ON_CPU = 256
"""Starts whose responses to a thousand samples stay in a core's cache."""

_WORTH_NARROWING = 2**18
"""Bytes a step of all lanes touches, from where the last starts are worth a narrower program."""


def lanes(starts: int, bytes_each: int, budget: int) -> tuple[int, ...]:
    """How many starts climb at a time, and to how many the last of them are moved together.

    Args:
        starts: how many there are.
        bytes_each: working memory of one.
        budget: bytes that all lanes together may take; one lane is the least.
    """
    most = max(1, budget // max(bytes_each, 1))
    if jax.default_backend() == "cpu":
        most = min(most, _FAST_ON_CPU)
    widest = min(starts, most)
    if widest >= 32 and widest * bytes_each >= _WORTH_NARROWING:
        return widest, max(widest // 8, 1)
    return (widest,)


def batch(size: int, bytes_each: int, budget: int) -> int:
    """How many of `size` products with a Hessian are computed at a time, each as 4 gradients."""
    return min(size, max(1, budget // (4 * max(bytes_each, 1))))


def working_bytes(function: Callable[..., Any], *args: Any) -> int:
    """Bytes of all that `function(*args)` computes on the way: a bound on its working memory.

    Nothing is computed; every intermediate counts, as if none were freed.
    """
    return _bytes(jax.make_jaxpr(function)(*args).jaxpr)


def _bytes(jaxpr: Any) -> int:
    total = 0
    for equation in jaxpr.eqns:
        inner = [leaf.jaxpr for leaf in jax.tree.leaves(equation.params) if hasattr(leaf, "jaxpr")]
        total += sum(_bytes(each) for each in inner)
        for variable in equation.outvars:
            shape = getattr(variable.aval, "shape", ())
            dtype = getattr(variable.aval, "dtype", None)
            if dtype is not None and not jnp.issubdtype(dtype, jax.dtypes.extended):
                total += int(np.prod(shape, dtype=int)) * dtype.itemsize
    return total
