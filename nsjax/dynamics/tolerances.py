"""Tolerances of an integration: what a dtype can resolve, and what the start asks for."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def check_rtol(rtol: float, dtype: Any) -> None:
    """Raise if a relative tolerance lies below what the dtype can resolve."""
    eps = float(jnp.finfo(dtype).eps)
    if rtol < 8 * eps:
        raise ValueError(
            f"rtol must be at least {8 * eps:.2g}, eight roundings of {jnp.dtype(dtype).name}, got "
            f"{rtol:.3g}; use float64 or a larger rtol"
        )


def smallest(params: Any) -> np.ndarray:
    """`(M,)` norms of each member's smallest nonzero row, column or entry of a vector; 1 if none.

    Args:
        params: pytree of arrays with a leading axis of M members.
    """
    sizes = []
    for leaf in map(np.asarray, jax.tree.leaves(params)):
        parts = [np.linalg.norm(leaf, axis=a) for a in (1, -1)] if leaf.ndim > 2 else [leaf]
        sizes += [np.abs(part).reshape(len(leaf), -1) for part in parts]
    every = np.concatenate(sizes, axis=1)
    least = np.min(np.where(every > 0, every, np.inf), axis=1)
    return np.where(np.isfinite(least), least, 1.0)


def default_atol(rtol: Any, least: Any) -> Any:
    """The absolute tolerance if none is given, from `smallest` weights."""
    return 0.01 * rtol * least


def is_coarse(atol: Any, least: Any) -> Any:
    """Whether an absolute tolerance cannot resolve the growth of the `smallest` weights."""
    return atol > 0.1 * least
