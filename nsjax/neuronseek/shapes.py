"""Which arrays and names a formula may have: shapes, kinds and limits."""

from __future__ import annotations

import numbers
import re
import reprlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nsjax._check import limited, twice
from nsjax.networks.bases import basis
from nsjax.networks.cp import CPNeuron, CPTerms

MAX_INPUTS = 1_000_000
MAX_OUTPUTS = 10_000
MAX_ORDER = 64
MAX_RANK = 100_000
MAX_ENTRIES = 2**25
"""Numbers in all arrays of one formula, a quarter of a gibibyte."""
MAX_NAME = 64

_NAME = re.compile(rf"[A-Za-z][A-Za-z0-9_]{{0,{MAX_NAME - 1}}}")


def checked_neuron(neuron: Any, d: int | None = None) -> tuple[CPNeuron, int]:
    """The neuron with read-only float64 arrays of its own and sorted streams, and its d.

    Streams without terms are left out. Every shape is checked before an array is copied.

    Args:
        neuron: a `CPNeuron` of NumPy or JAX arrays.
        d: number of inputs, if it is known from elsewhere.

    Raises:
        TypeError: for what is no `CPNeuron`, or holds what are no real numbers.
        ValueError: for shapes that do not fit, NaN or infinity, unknown bases, orders out of
            range, more than the limits allow, or a d that nothing tells.
    """
    if not isinstance(neuron, CPNeuron):
        raise TypeError(f"neuron must be a CPNeuron, got {type(neuron).__name__}")
    bias = _numbers("bias", neuron.bias, (None,))
    (c,) = bias.shape
    limited("outputs", c, MAX_OUTPUTS)
    entries = c

    def array(name: str, value: Any, shape: tuple[int | None, ...]) -> np.ndarray:
        nonlocal d, entries
        found = _numbers(name, value, (*shape[:-1], d if shape[-1] is None else shape[-1]))
        if shape[-1] is None:
            d = found.shape[-1]
            limited("inputs", d, MAX_INPUTS)
        entries += found.size
        limited("numbers of a formula", entries, MAX_ENTRIES)
        return found

    def terms(name: str, value: Any, order: int) -> CPTerms:
        if not isinstance(value, tuple) or len(value) != 2:
            raise TypeError(f"{name} must be CPTerms, got {type(value).__name__}")
        coefficients = _numbers(f"coefficients of {name}", value[0], (c, None))
        rank = limited(f"rank of {name}", coefficients.shape[1], MAX_RANK, least=0)
        return CPTerms(
            array(f"coefficients of {name}", coefficients, (c, rank)),
            array(f"factors of {name}", value[1], (order, rank, None)),
        )

    powers = {
        k: array(f"powers[{k}]", value, (c, None))
        for k, value in _streams("powers", neuron.powers, lambda k: _order("powers", k, 1))
    }
    interactions = {
        n: terms(f"interactions[{n}]", value, n)
        for n, value in _streams(
            "interactions", neuron.interactions, lambda n: _order("interactions", n, 2)
        )
    }
    bases = {
        name: terms(f"bases[{name!r}]", value, 1)
        for name, value in _streams("bases", neuron.bases, lambda name: basis(name).name)
    }
    if d is None:
        raise ValueError("inputs must be given for a neuron that is only a bias, got None")
    limited("inputs", d, MAX_INPUTS)
    whole = CPNeuron(
        bias,
        powers,
        {n: each for n, each in interactions.items() if each.coefficients.shape[1]},
        {name: each for name, each in bases.items() if each.coefficients.shape[1]},
    )
    return jax.tree.map(_own, whole), d


def checked_names(kind: str, names: Any, size: int, letter: str) -> tuple[str, ...]:
    """Names of inputs or outputs, x0, x1, ... by default.

    A name is a letter followed by letters, digits and underscores, 64 in all: products are written
    side by side, so that a space would make two factors of one name.

    Raises:
        TypeError, ValueError: for names that are too many, too few, equal, or no such strings.

    >>> checked_names("inputs", None, 3, "x"), checked_names("outputs", None, 1, "y")
    (('x0', 'x1', 'x2'), ('y',))
    """
    if names is None:
        many = size > 1 or letter == "x"
        return tuple(f"{letter}{i}" for i in range(size)) if many else (letter,)
    if isinstance(names, str) or not isinstance(names, Sequence):
        raise TypeError(f"{kind} must be a sequence of names, got {reprlib.repr(names)}")
    if len(names) != size:
        raise ValueError(f"{kind} must have {size} names, got {len(names)}")
    for name in names:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError(
                f"{kind} must be names of at most {MAX_NAME} letters, digits and underscores, "
                f"starting with a letter, got {reprlib.repr(name)}"
            )
    if len(set(names)) < len(names):
        raise ValueError(f"{kind} must have different names, got {twice(names)!r} twice")
    return tuple(map(str, names))


def _streams(name: str, streams: Any, key: Callable[[Any], Any]) -> list[tuple[Any, Any]]:
    """Streams with checked keys, in the order of the keys."""
    if not isinstance(streams, Mapping):
        raise TypeError(f"{name} must be a dict, got {type(streams).__name__}")
    return sorted(((key(which), value) for which, value in streams.items()), key=lambda p: p[0])


def _order(name: str, order: Any, least: int) -> int:
    if isinstance(order, bool) or not isinstance(order, numbers.Integral):
        raise TypeError(f"orders in {name} must be integers, got {reprlib.repr(order)}")
    return limited(f"orders in {name}", int(order), MAX_ORDER, least=least)


def _numbers(name: str, value: Any, shape: tuple[int | None, ...]) -> np.ndarray:
    """An array of finite real numbers of this shape, in which None stands for any length."""
    try:
        array = np.asarray(value)
    except ValueError as error:  # rows of different lengths
        raise TypeError(f"{name} must be an array, got {reprlib.repr(value)}") from error
    if not (jnp.issubdtype(array.dtype, jnp.floating) or np.issubdtype(array.dtype, np.integer)):
        raise TypeError(f"{name} must be an array of real numbers, got dtype {array.dtype}")
    fits = array.ndim == len(shape) and all(
        want in (None, got) for want, got in zip(shape, array.shape, strict=True)
    )
    if not fits:
        wanted = ", ".join("any" if want is None else str(want) for want in shape)
        raise ValueError(f"{name} must have shape ({wanted}), got {array.shape}")
    if not np.all(np.isfinite(array)):
        raise ValueError(f"{name} must be finite, got NaN or infinite entries")
    return array


def _own(array: np.ndarray) -> np.ndarray:
    copy = np.array(array, np.float64, order="C")
    copy.setflags(write=False)
    return copy
