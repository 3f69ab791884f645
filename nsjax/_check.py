"""Checks of user input, on the host and before anything is compiled.

Every check names the argument, says what came and what was wanted. Inside a `jax.jit`, `jax.vmap`
or `jax.grad` of the user's, values are not known: only shapes and dtypes are checked there.
"""

from __future__ import annotations

import math
import numbers
import reprlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

Result = TypeVar("Result")


def _is_traced(value: Any) -> bool:
    return isinstance(value, jax.core.Tracer)


def real(name: str, value: Any) -> float:
    """Return `value` as a float if it is a finite number."""
    number = _number(name, value, "a number")
    if not math.isfinite(number):
        raise ValueError(f"{name} must be a finite number, got {value!r}")
    return number


def positive(name: str, value: Any) -> float:
    """Return `value` as a float if it is a finite number above zero."""
    number = _number(name, value, "a positive number")
    if not (math.isfinite(number) and number > 0):
        raise ValueError(f"{name} must be a positive finite number, got {value!r}")
    return number


def non_negative(name: str, value: Any) -> float:
    """Return `value` as a float if it is a finite number, zero or above."""
    number = _number(name, value, "a number >= 0")
    if not (math.isfinite(number) and number >= 0):
        raise ValueError(f"{name} must be a finite number >= 0, got {value!r}")
    return number


def positive_factor(name: str, value: Any, dtype: Any) -> Any:
    """As `positive`; a traced real scalar, whose value is not known, comes back as `dtype`.

    For numbers that only multiply: those that decide anything have to be known.
    """
    if _is_traced(value) and value.shape == () and _is_real(value.dtype):
        return value.astype(dtype)
    return positive(name, value)


def _is_real(dtype: Any) -> bool:
    return jnp.issubdtype(dtype, jnp.floating) or jnp.issubdtype(dtype, jnp.integer)


def share(name: str, value: Any) -> float:
    """Return `value` as a float if it is a number above 0 and at most 1."""
    number = positive(name, value)
    if number > 1:
        raise ValueError(f"{name} must be at most 1, got {value!r}")
    return number


def positive_integer(name: str, value: Any) -> int:
    """Return `value` as an int if it is an integer above zero."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be a positive integer, got {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be a positive integer, got {value!r}")
    return int(value)


def non_negative_integer(name: str, value: Any) -> int:
    """Return `value` as an int if it is an integer, zero or above."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be an integer >= 0, got {value!r}")
    if value < 0:
        raise ValueError(f"{name} must be an integer >= 0, got {value!r}")
    return int(value)


def limited(name: str, value: int, most: int, *, least: int = 1) -> int:
    """Return `value` if it lies between `least` and `most`."""
    if not least <= value <= most:
        raise ValueError(f"{name} must be between {least} and {most}, got {value}")
    return value


def flag(name: str, value: Any) -> bool:
    """Return `value` if it is True or False: a string such as "no" would count as true."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def twice(values: Iterable[Any]) -> Any:
    """The first value that comes a second time; None if there is none."""
    seen = set()
    for value in values:
        if value in seen:
            return value
        seen.add(value)
    return None


def choice(name: str, value: Any, allowed: Sequence[str]) -> str:
    """Return `value` if it is one of the strings `allowed`."""
    if not isinstance(value, str) or value not in allowed:
        wanted = ", ".join(repr(item) for item in allowed)
        raise ValueError(f"{name} must be one of {wanted}, got {value!r}")
    return value


def matrix(
    name: str, value: Any, *, rows: int | None = None, columns: int | None = None
) -> jax.Array:
    """Return `value` as a finite, real, floating matrix, if its shape is `(rows, columns)`."""
    array = _floating(name, value)
    if array.ndim != 2:
        raise ValueError(f"{name} must be a matrix of rank 2, got shape {array.shape}")
    for axis, (wanted, what) in enumerate(((rows, "rows"), (columns, "columns"))):
        if wanted is not None and array.shape[axis] != wanted:
            raise ValueError(f"{name} must have {wanted} {what}, got shape {array.shape}")
    if 0 in array.shape:
        raise ValueError(f"{name} must not be empty, got shape {array.shape}")
    return finite(name, array)


def vector(name: str, value: Any, size: int) -> jax.Array:
    """Return `value` as a finite, real, floating vector, if its shape is `(size,)`."""
    array = _floating(name, value)
    if array.shape != (size,):
        raise ValueError(f"{name} must have shape ({size},), got {array.shape}")
    return finite(name, array)


def array(name: str, value: Any) -> jax.Array:
    """Return `value` as a finite, real, floating array of any shape."""
    return finite(name, _floating(name, value))


def symmetric(name: str, matrices: jax.Array) -> jax.Array:
    """Return square matrices `(..., d, d)`, symmetric up to rounding, as exactly symmetric ones."""
    if matrices.ndim < 2 or matrices.shape[-1] != matrices.shape[-2]:
        raise ValueError(f"{name} must be square, got shape {matrices.shape}")
    if not _is_traced(matrices):
        # In NumPy: what JAX computes inside a user's jit is traced, of known values too.
        known = np.asarray(matrices)
        off = float(np.max(np.abs(known - np.swapaxes(known, -1, -2)), initial=0))
        largest = float(np.max(np.abs(known), initial=0))
        if off > 100 * float(jnp.finfo(matrices.dtype).eps) * largest:
            raise ValueError(f"{name} must be symmetric, got entries that differ by {off:.3g}")
    return (matrices + jnp.swapaxes(matrices, -1, -2)) / 2


def members(name: str, tree: Any) -> int:
    """M, the length of the leading axis that all leaves of a pytree of arrays share."""
    shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves(tree)]
    if len({shape[:1] for shape in shapes}) != 1 or () in shapes or shapes[0][0] == 0:
        raise ValueError(
            f"{name} must have leaves with one leading axis of members, got shapes {shapes}"
        )
    return int(shapes[0][0])


def finite(name: str, array: jax.Array) -> jax.Array:
    """Return `array` if it holds neither NaN nor infinity."""
    if not _is_traced(array) and not _all_finite(array):
        bad = int(np.sum(~np.isfinite(np.asarray(array))))
        raise ValueError(
            f"{name} must be finite, got {bad} NaN or infinite entries of {array.size}"
        )
    return array


def _all_finite(array: Any) -> bool:
    """Whether known entries are finite, found where the array lies."""
    # NumPy sees arrays of JAX on a CPU without a copy, and compiles nothing for a new shape.
    if not isinstance(array, jax.Array) or _on_cpu(array):
        return bool(np.all(np.isfinite(np.asarray(array))))
    with jax.ensure_compile_time_eval():  # a value, inside a jit of the user's too
        return bool(jnp.all(jnp.isfinite(array)))


def _on_cpu(array: jax.Array) -> bool:
    return all(device.platform == "cpu" for device in array.devices())


def key(name: str, value: Any) -> jax.Array:
    """Return `value` if it is one PRNG key, made by `jax.random.key` or `jax.random.PRNGKey`."""
    if _is_raw_key(name, value):
        if np.shape(value) not in _RAW_KEYS:
            raise ValueError(f"{name} must be one PRNG key, got an array of shape {value.shape}")
    elif value.ndim:
        raise ValueError(f"{name} must be one PRNG key, got an array of keys {value.shape}")
    return value


def keys(name: str, value: Any) -> jax.Array:
    """Return `value`, one PRNG key or a vector of them, as keys of `jax.random.key`."""
    if _is_raw_key(name, value):
        if np.shape(value)[-1:] not in _RAW_KEYS:
            raise ValueError(f"{name} must be PRNG keys, got an array of shape {value.shape}")
        value = jax.random.wrap_key_data(jnp.asarray(value))
    if value.ndim > 1 or value.size == 0:
        raise ValueError(f"{name} must be a PRNG key or a vector of them, got shape {value.shape}")
    return value


_RAW_KEYS = ((2,), (4,))
"""Shapes of the data of one key, of Threefry and of RBG."""


def _is_raw_key(name: str, value: Any) -> bool:
    """Whether `value` holds the data of keys, as `jax.random.PRNGKey` does; raises if no key."""
    if isinstance(value, jax.Array | np.ndarray):
        if jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key):
            return False
        if value.dtype == np.uint32:
            return True
    is_array = isinstance(value, jax.Array | np.ndarray) and value.ndim > 0
    got = f"{value.dtype} of shape {value.shape}" if is_array else repr(value)
    raise TypeError(f"{name} must be a PRNG key, such as jax.random.key(0), got {got}")


def floating_dtype(name: str, value: Any) -> jnp.dtype:
    """Return `value` as a real floating dtype; JAX's default float for None."""
    try:
        dtype = jnp.result_type(float) if value is None else jnp.dtype(value)
    except TypeError as error:
        raise TypeError(f"{name} must be a real floating type, got {value!r}") from error
    if not jnp.issubdtype(dtype, jnp.floating):
        raise TypeError(f"{name} must be a real floating type, got {dtype}")
    return dtype


def not_zero(name: str, array: jax.Array) -> jax.Array:
    """Return `array` unless all of its entries are zero."""
    if not _is_traced(array) and not bool(np.any(np.asarray(array) != 0)):
        raise ValueError(f"{name} must not be zero")
    return array


def network(name: str, params: Any, *, factors: int = 1) -> tuple[jax.Array, ...]:
    """Return `params` as a tuple of weight matrices whose shapes chain, two layers or more.

    Of products every hidden neuron has so many `factors`, each with a weight for every input.
    """
    if not isinstance(params, tuple | list):
        raise TypeError(f"{name} must be a tuple of weight matrices, got {type(params).__name__}")
    if len(params) < 2:
        raise ValueError(f"{name} must have at least two weight matrices, got {len(params)}")
    weights = tuple(matrix(f"{name}[{i}]", weight) for i, weight in enumerate(params))
    for i in range(1, len(weights)):
        wanted = weights[i - 1].shape[0] * (factors if i < len(weights) - 1 else 1)
        if weights[i].shape[1] != wanted:
            raise ValueError(
                f"{name}[{i}] must have {wanted} columns, one for each row of "
                f"{name}[{i - 1}], got shape {weights[i].shape}"
            )
    dtypes = {weight.dtype for weight in weights}
    if len(dtypes) > 1:
        raise TypeError(f"{name} must have one dtype, got {sorted(map(str, dtypes))}")
    return weights


def targets(loss: str, name: str, value: Any) -> None:
    """Raise unless targets `(n, c)` are such as the loss takes: labels, probabilities, any."""
    if loss == "square" or _is_traced(value):
        return
    values = np.asarray(value)
    if loss == "logistic":
        if not np.all(np.abs(values) == 1):
            raise ValueError(
                f"{name} must hold labels -1 and 1 for the logistic loss, got values from "
                f"{values.min():.4g} to {values.max():.4g}"
            )
    elif values.shape[1] < 2:
        raise ValueError(
            f"{name} must have a column for each class for cross-entropy, got {values.shape[1]}"
        )
    elif np.any(values < 0) or not np.allclose(values.sum(axis=1), 1, atol=1e-5):
        raise ValueError(f"{name} must hold probabilities that add up to 1 for cross-entropy")


def same_shape(outputs: Any, y: Any, *, number: bool = False) -> None:
    """Raise unless targets have the outputs' shape, or are one number where that may be.

    Both are numbers or arrays; the shape of a traced one is known.
    """
    # (n, 1) against (n,) would broadcast to (n, n) and give a wrong loss without a word.
    shapes = []
    for name, value in (("outputs", outputs), ("y", y)):
        if not (hasattr(value, "shape") or isinstance(value, numbers.Real)):
            raise TypeError(f"{name} must be an array, got {type(value).__name__}")
        shapes.append(getattr(value, "shape", ()))
    if shapes[1] != shapes[0] and not (number and shapes[1] == ()):
        raise ValueError(f"y must have the outputs' shape {shapes[0]}, got {shapes[1]}")


def inactive(params: Any, inactive: Any) -> tuple[np.ndarray, ...]:
    """Return `inactive` as boolean arrays, one a hidden layer, if it fits and names a neuron."""
    hidden = [weight.shape[0] for weight in params[:-1]]
    if isinstance(inactive, np.ndarray | jax.Array) or not isinstance(inactive, Sequence):
        raise TypeError(
            "inactive must be a sequence of boolean arrays, one for each hidden layer, got "
            f"{type(inactive).__name__}"
        )
    if len(inactive) != len(hidden):
        raise ValueError(
            f"inactive must have one array for each of {len(hidden)} hidden layers, got "
            f"{len(inactive)}"
        )
    arrays = []
    for layer, (array, k) in enumerate(zip(inactive, hidden, strict=True)):
        array = np.asarray(array)
        if array.dtype != bool or array.shape != (k,):
            raise ValueError(
                f"inactive[{layer}] must be a boolean array of shape ({k},), got "
                f"{array.dtype} of shape {array.shape}"
            )
        arrays.append(array)
    if not any(array.any() for array in arrays):
        raise ValueError("inactive must name at least one neuron, got none")
    return tuple(arrays)


def samples(
    params: tuple[jax.Array, ...], x: Any, y: Any, *, target: str = "y", factors: int = 1
) -> tuple[jax.Array, jax.Array]:
    """Return inputs `(n, d)` and targets `(n, c)`, called `target`, that fit the network.

    Of products every neuron has so many `factors`, each with a weight for every input.
    """
    x = matrix("x", x, columns=params[0].shape[1] // factors)
    y = matrix(target, y, columns=params[-1].shape[0])
    if x.shape[0] != y.shape[0]:
        raise ValueError(
            f"x and {target} must have one row per sample, got {x.shape[0]} rows in x "
            f"and {y.shape[0]} in {target}"
        )
    dtype = params[0].dtype
    return x.astype(dtype), y.astype(dtype)


def tree_finite(name: str, tree: Any) -> None:
    """Raise if a pytree has no floating leaf, or a leaf with NaN or infinity."""
    leaves = jax.tree.leaves(tree)
    if not leaves:
        raise ValueError(f"{name} must have at least one array, got {tree!r}")
    for leaf in leaves:
        finite(name, _floating(name, leaf))


def floating_tree(name: str, tree: Any) -> Any:
    """Return a pytree of finite floating arrays; integers become floats."""
    tree_finite(name, tree)
    return jax.tree.map(lambda leaf: _floating(name, leaf), tree)


def scalar_function(name: str, function: Callable[..., Any], *args: Any) -> None:
    """Raise unless `function(*args)` is a scalar; nothing is computed."""
    found = jax.eval_shape(function, *args)
    shape = getattr(found, "shape", None)
    if shape != ():
        raise ValueError(f"{name} must return a scalar, got shape {shape}")
    if not jnp.issubdtype(found.dtype, jnp.floating):
        raise TypeError(f"{name} must return a real floating number, got dtype {found.dtype}")


def traces(name: str, function: Callable[..., Any], *args: Any) -> None:
    """Raise if the function cannot be traced on these arguments."""
    try:
        jax.eval_shape(function, *args)
    except Exception as error:
        raise TypeError(
            f"{name} must be a pure function of the arguments it is called with, got {error!r}"
        ) from error


def data(name: str, args: Any) -> tuple[Any, ...]:
    """Return `args` if it is a tuple whose floating arrays are finite."""
    if not isinstance(args, tuple):
        raise TypeError(f"{name} must be a tuple of further arguments, got {type(args).__name__}")
    for i, leaf in enumerate(jax.tree.leaves(args)):
        if isinstance(leaf, jax.Array | np.ndarray) and jnp.issubdtype(leaf.dtype, jnp.inexact):
            finite(f"{name} (leaf {i})", leaf)  # type: ignore[arg-type]
    return args


def hashable(name: str, value: Any) -> Callable[..., Any]:
    """Return `value` if it can be called and hashed, as what is compiled for has to be."""
    function(name, value)
    try:
        hash(value)
    except TypeError as error:
        raise TypeError(f"{name} must be hashable, got {value!r}") from error
    return value


def function(name: str, value: Any) -> Callable[..., Any]:
    """Return `value` if it can be called."""
    if not callable(value):
        raise TypeError(f"{name} must be callable, got {value!r}")
    return value


def _number(name: str, value: Any, wanted: str) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real | np.ndarray | jax.Array):
        raise TypeError(f"{name} must be {wanted}, got {value!r}")
    shape = getattr(value, "shape", ())
    if shape != ():
        raise TypeError(f"{name} must be {wanted}, got an array of shape {shape}")
    if _is_traced(value):
        raise TypeError(
            f"{name} must be a known number, got a traced one, {value!r}: call this "
            "outside of jit, vmap and grad, or close over the number"
        )
    return float(value)


def _floating(name: str, value: Any) -> jax.Array:
    if isinstance(value, str) or not (hasattr(value, "__len__") or hasattr(value, "shape")):
        raise TypeError(f"{name} must be an array, got {value!r}")
    try:
        array = value if isinstance(value, jax.Array) else jnp.asarray(value)
    except (TypeError, ValueError) as error:  # strings, objects, rows of different lengths
        raise TypeError(f"{name} must be an array of numbers, got {reprlib.repr(value)}") from error
    if jnp.issubdtype(array.dtype, jax.dtypes.extended):
        raise TypeError(f"{name} must be an array of numbers, got dtype {array.dtype}")
    if jnp.issubdtype(array.dtype, jnp.complexfloating):
        raise TypeError(f"{name} must be real, got dtype {array.dtype}")
    if not jnp.issubdtype(array.dtype, jnp.floating):
        array = array.astype(jnp.result_type(float))
    return array
