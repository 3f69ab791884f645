"""Tables of inputs and targets: from a file, or bundled with scikit-learn."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from nsjax import _check
from nsjax.data.scaling import mean_and_scale

if TYPE_CHECKING:
    from jax.typing import DTypeLike
    from jaxtyping import Array, Float, Num

BUNDLED = ("diabetes", "linnerud")
"""Regression sets that come with scikit-learn, without a download."""
CLASSES = ("breast_cancer", "digits", "iris", "wine")
"""Classification sets that come with scikit-learn, without a download."""


def standardised(name: str, table: Any) -> Float[Array, "n k"]:
    """Every column of `table` with mean 0 and standard deviation 1 over the rows.

    Args:
        name: what the table is called in messages.
        table: `(n, k)`.

    Raises:
        TypeError, ValueError: if it is no finite matrix, or a column does not vary.

    >>> standardised("x", jnp.array([[1.0, 5.0], [3.0, 1.0]])).tolist()
    [[-1.0, 1.0], [1.0, -1.0]]
    """
    table = _check.matrix(name, table)
    mean, scale = mean_and_scale(name, table)
    return (table - mean) / scale


def bundled(
    name: str, *, dtype: DTypeLike | None = None
) -> tuple[Float[Array, "n d"], Float[Array, "n c"]]:
    """A set of scikit-learn, its inputs standardised.

    Args:
        name: one of `BUNDLED`, whose targets are standardised too: "diabetes" (442 samples, 10
            inputs, 1 target) or "linnerud" (20 samples, 3 inputs, 3 targets). Or one of `CLASSES`:
            "breast_cancer" (569 samples, 30 inputs), whose labels are -1 (malignant) and 1, one
            column, "digits" (1797, 61 pixels that vary, 10 classes), "iris" (150, 4, 3) and "wine"
            (178, 13, 3), whose labels are one-hot rows.
        dtype: of both arrays; JAX's default float if not given.

    Raises:
        ValueError: for any other name.
        ImportError: if scikit-learn is not installed.
    """
    table = from_sklearn(name)
    dtype = _check.floating_dtype("dtype", dtype)
    x = standardised("x", jnp.asarray(table.data[:, _varies(table.data)], dtype))
    if name in BUNDLED:
        return x, standardised("y", jnp.asarray(table.target.reshape(len(x), -1), dtype))
    if len(table.target_names) == 2:
        return x, jnp.asarray(2 * table.target[:, None] - 1, dtype)
    return x, jax.nn.one_hot(jnp.asarray(table.target), len(table.target_names), dtype=dtype)


def by_name(
    name: str, *, argument: str = "name", others: Iterable[str] = ()
) -> tuple[Float[Array, "n d"], Float[Array, "n c"]]:
    """What a command line names: a bundled regression set, or the arrays of a file.

    Args:
        name: one of `BUNDLED`, see `bundled`, or `npz:FILE`, see `read_npz`.
        argument: what the name is called in messages.
        others: names that the caller has data for itself, for the message.

    Raises:
        TypeError, ValueError: for what is no string, or any other name.
        FileNotFoundError, ImportError: as `bundled` and `read_npz` do.

    >>> by_name("linnerud")[0].shape
    (20, 3)
    """
    known = ", ".join((*others, *BUNDLED))
    if not isinstance(name, str):
        raise TypeError(f"{argument} must be one of {known} or npz:FILE, got {name!r}")
    if name in BUNDLED:
        return bundled(name)
    if name.startswith("npz:"):
        return read_npz(name.removeprefix("npz:"))
    raise ValueError(f"{argument} must be one of {known} or npz:FILE, got {name!r}")


def column_names(name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names that scikit-learn has for the inputs of a bundled set, and for its targets or classes.

    Args:
        name: one of `BUNDLED` or `CLASSES`.

    Raises:
        ValueError, ImportError: as `bundled` does.

    >>> column_names("diabetes")[0][:4]
    ('age', 'sex', 'bmi', 'bp')
    """
    table = from_sklearn(name)
    kept = np.flatnonzero(_varies(table.data))
    targets = table.get("target_names", (name,))
    return tuple(str(table.feature_names[i]) for i in kept), tuple(map(str, targets))


def from_sklearn(name: str, **options: Any) -> Any:
    """The bundled set as scikit-learn has it, with options of its loader."""
    _check.choice("name", name, (*BUNDLED, *CLASSES))
    try:
        from sklearn import datasets
    except ImportError as error:
        raise ImportError(
            f"the data set {name!r} needs scikit-learn: pip install 'nsjax[run]'"
        ) from error
    return getattr(datasets, f"load_{name}")(**options)


def _varies(table: np.ndarray) -> np.ndarray:
    """Which columns vary: pixels at the edge of the digits do not."""
    return np.ptp(table, axis=0) > 0


def npz_contents(names: Iterable[str]) -> dict[str, bytes]:
    """Contents of the files among the names of data sets that are `npz:FILE`, by these names.

    Raises:
        FileNotFoundError: if there is no such file.

    >>> npz_contents(["diabetes"])
    {}
    """
    files = [name for name in names if name.startswith("npz:")]
    return {name: Path(name.removeprefix("npz:")).read_bytes() for name in files}


def read_npz(
    path: str | os.PathLike[str], *, dtype: DTypeLike | None = None, labels: bool = False
) -> tuple[Float[Array, "n d"], Num[Array, "n c"]]:
    """Inputs `x` and targets `y` from an npz file, as they are.

    Args:
        path: a file written by `numpy.savez(path, x=x, y=y)`, `x` of shape `(n, d)` and `y` of
            shape `(n, c)` or `(n,)`, which is taken as one column. Pickled objects are refused.
        dtype: of both arrays; JAX's default float if not given.
        labels: whether targets that are integers or booleans stay integers, as they may be classes.

    Raises:
        FileNotFoundError: if there is no such file.
        TypeError, ValueError: if it is no npz file, lacks an array, or an array holds no numbers,
            has the wrong shape or NaN or infinite entries; every message names the file.
    """
    where = os.fspath(path)
    if not os.path.isfile(where):
        raise FileNotFoundError(f"there is no data file {where}")
    dtype = _check.floating_dtype("dtype", dtype)
    try:
        with open(where, "rb") as file, np.load(file, allow_pickle=False) as archive:
            held = sorted(archive.files)
            arrays = {name: archive[name] for name in held if name in ("x", "y")}
    except (TypeError, ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{where} must be an npz file of plain arrays: {error}") from error
    if len(arrays) < 2:
        raise ValueError(f"{where} must hold the arrays x and y, got {held}")
    x, y = _pair(where, arrays["x"], arrays["y"], dtype)
    if labels and arrays["y"].dtype.kind in "biu":
        y = jnp.asarray(arrays["y"].reshape(y.shape), int)
    return x, y


def _pair(where: str, x: np.ndarray, y: np.ndarray, dtype: Any) -> tuple[jax.Array, jax.Array]:
    """The two arrays as matrices with a row per sample."""
    y = y[:, None] if y.ndim == 1 else y
    tables = []
    for name, table in ((f"x of {where}", x), (f"y of {where}", y)):
        if table.dtype.kind not in "biuf":
            raise TypeError(f"{name} must hold real numbers, got dtype {table.dtype}")
        tables.append(_check.matrix(name, table.astype(dtype)))
    if x.shape[0] != y.shape[0]:
        raise ValueError(
            f"x and y of {where} must have one row per sample, got {x.shape[0]} and {y.shape[0]}"
        )
    return tables[0], tables[1]
