"""Of many lanes those that are still growing, packed together: stopped ones cost nothing.

Lanes of one program take as long as the last of them, and all of them compute until then.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from nsjax.pursuit.state import Info, State

_SHARED = ("keys", "round", "fingerprint")
"""What a round leaves as it is, or has once for all lanes."""
_TIMES, _FEWEST = 4, 16
"""Lanes are packed when so many times fewer are growing, into so many at least: every width is a
program of its own, and compiling one takes as long as many rounds of few lanes."""


def packed(live: np.ndarray) -> np.ndarray:
    """Lanes to compute: those that are `live` `(B,)`, and stopped ones up to the next width.

    >>> packed(np.arange(64) == 9)[:3], len(packed(np.arange(64) == 9))
    (array([9, 0, 1]), 16)
    """
    width = len(live)
    while width // _TIMES >= max(_FEWEST, int(np.sum(live))):
        width //= _TIMES
    return np.argsort(~live, kind="stable")[:width]


def taken(state: State, rows: np.ndarray) -> State:
    """The state of these lanes alone."""
    lanes = {
        name: jax.tree.map(lambda leaf: leaf[rows], value)
        for name, value in state._asdict().items()
        if name == "keys" or name not in _SHARED
    }
    return state._replace(**lanes)


def put_back(state: State, part: State, info: Info, rows: np.ndarray) -> tuple[State, Info]:
    """The state of all lanes after a round of these, and what it did: in the others nothing."""
    lanes = {
        name: jax.tree.map(lambda old, new: _put(np.array(old), new, rows), value, after)
        for (name, value), after in zip(state._asdict().items(), part, strict=True)
        if name not in _SHARED
    }

    def nothing(leaf: Any) -> np.ndarray:
        leaf = np.asarray(leaf)
        fill = np.nan if np.issubdtype(leaf.dtype, np.floating) else 0
        return np.full((len(state.loss), *leaf.shape[1:]), fill, leaf.dtype)

    whole = Info(*(_put(nothing(leaf), leaf, rows) for leaf in info))
    whole = whole._replace(neurons=_put(np.array(state.counts), info.neurons, rows))
    return state._replace(round=part.round, **lanes), whole


def _put(old: np.ndarray, new: Any, rows: np.ndarray) -> np.ndarray:
    old[rows] = np.asarray(new)
    return old
