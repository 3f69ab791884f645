"""How many starts work at a time: bounded by a budget of memory, and by what is fast."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

BUDGET = 2**28
"""Bytes that the working arrays of a search may take, by default."""

_CACHE, _FEWEST, _MOST = 2**22, 32, 1024
"""Bytes of a core's cache, which the starts that climb at a time should not leave; at least and at
most how many these are on a CPU."""

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
        fast = _CACHE // max(bytes_each, 1)
        most = min(most, max(_FEWEST, min(1 << max(fast, 1).bit_length() - 1, _MOST)))
    widest = min(starts, most)
    if widest >= 32 and widest * bytes_each >= _WORTH_NARROWING:
        return widest, max(widest // 8, 1)
    return (widest,)


def batch(size: int, bytes_each: int, budget: int) -> int:
    """How many of `size` products with a Hessian are computed at a time, each as 4 gradients."""
    return min(size, max(1, budget // (4 * max(bytes_each, 1))))


def working_bytes(function: Callable[..., Any], *args: Any) -> int:
    """Most bytes of intermediates alive at once in `function(*args)`; nothing is computed.

    Every intermediate counts from where it is made to its last use, as if none were fused away.
    """
    return _peak(jax.make_jaxpr(function)(*args).jaxpr)


def _peak(jaxpr: Any) -> int:
    last = {
        variable: place
        for place, equation in enumerate(jaxpr.eqns)
        for variable in equation.invars
        if not hasattr(variable, "val")
    }
    last |= {
        variable: len(jaxpr.eqns) for variable in jaxpr.outvars if not hasattr(variable, "val")
    }
    alive: dict[Any, int] = {}
    peak = 0
    for place, equation in enumerate(jaxpr.eqns):
        inner = [getattr(leaf, "jaxpr", leaf) for leaf in jax.tree.leaves(equation.params)]
        within = max((_peak(each) for each in inner if hasattr(each, "eqns")), default=0)
        alive |= {variable: _bytes(variable.aval) for variable in equation.outvars}
        peak = max(peak, sum(alive.values()) + within)
        alive = {each: size for each, size in alive.items() if last.get(each, -1) > place}
    return peak


def _bytes(aval: Any) -> int:
    dtype = getattr(aval, "dtype", None)
    if dtype is None or jnp.issubdtype(dtype, jax.dtypes.extended):
        return 0
    return int(np.prod(aval.shape, dtype=int)) * dtype.itemsize
