"""Images with classes: CIFAR-10 from its files, and the digits that scikit-learn bundles."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nsjax.data import tabular

BATCHES = tuple(f"data_batch_{i}.bin" for i in range(1, 6))
TEST_BATCH = "test_batch.bin"
_RECORD = 1 + 3 * 32 * 32
_NAMES = ("x_train", "y_train", "x_test", "y_test")
_WHERE = (
    "get 'CIFAR-10 binary version' from https://www.cs.toronto.edu/~kriz/cifar.html (a folder "
    "cifar-10-batches-bin with data_batch_1.bin to data_batch_5.bin and test_batch.bin, 10,000 "
    "records of 3,073 bytes each), or give an npz file with x_train, y_train, x_test, y_test"
)


class Images(NamedTuple):
    """Images and their classes.

    Attributes:
        x_train, x_test: `(n, height, width, channels)`, uint8.
        y_train, y_test: classes from 0, `(n,)`, int32.
        classes: number of classes.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    classes: int


def cifar10(path: str | os.PathLike[str]) -> Images:
    """CIFAR-10 from its binary batches, or images from an npz file.

    Args:
        path: a folder with the batches, or with `cifar-10-batches-bin`; or an npz file, or a folder
            with a single one, with uint8 images `x_train` and `x_test` `(n, h, w, c)` and classes
            `y_train` and `y_test` `(n,)`.

    Raises:
        FileNotFoundError: if there is nothing of the kind; it says where to get it.
        ValueError: if a file is damaged; it says what was expected.
    """
    path = Path(path)
    for folder in (path, path / "cifar-10-batches-bin"):
        if (folder / BATCHES[0]).is_file():
            return _binary(folder)
    files = [path] if path.is_file() else sorted(path.glob("*.npz")) if path.is_dir() else []
    if len(files) != 1 or files[0].suffix != ".npz":
        there = f"{len(files)} npz files" if path.is_dir() else "no such folder or npz file"
        raise FileNotFoundError(f"no CIFAR-10 in {path} ({there}): {_WHERE}")
    return _npz(files[0])


def digits(seed: int, *, share: float = 0.25) -> Images:
    """The 1,797 digits of 8 x 8 pixels that come with scikit-learn, split at random.

    Args:
        seed: of the split.
        share: of the images that are for testing.

    Raises:
        ImportError: if scikit-learn is not installed.
        ValueError: for a share that leaves no images on a side.

    >>> digits(0).x_train.shape
    (1348, 8, 8, 1)
    """
    table = tabular.from_sklearn("digits")
    x = np.round(np.asarray(table.data).reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.uint8)
    y = np.asarray(table.target, np.int32)
    count = round((1 - share) * len(x))
    if not 0 < count < len(x):
        raise ValueError(f"share must leave images on both sides, got {share:g}")
    rows = np.random.default_rng(seed).permutation(len(x))
    train, test = rows[:count], rows[count:]
    return Images(x[train], y[train], x[test], y[test], 10)


def _binary(folder: Path) -> Images:
    parts = []
    for name in (*BATCHES, TEST_BATCH):
        file = folder / name
        if not file.is_file():
            raise FileNotFoundError(f"{file} is missing: {_WHERE}")
        values = np.fromfile(file, np.uint8)
        if len(values) == 0 or len(values) % _RECORD:
            raise ValueError(
                f"{file} must hold records of {_RECORD} bytes, a label and 3 x 32 x 32 values, got "
                f"{len(values)} bytes: {_WHERE}"
            )
        parts.append(values.reshape(-1, _RECORD))
    train, test = np.concatenate(parts[:-1]), parts[-1]

    def images(records: np.ndarray) -> np.ndarray:
        # A plane for each colour; flax has channels last.
        return np.ascontiguousarray(records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))

    found = images(train), train[:, 0], images(test), test[:, 0]
    return _checked(str(folder), dict(zip(_NAMES, found, strict=True)), 10)


class _Lacking(ValueError):
    """An npz file that is whole, but lacks an array."""


def _npz(file: Path) -> Images:
    try:
        # Opened here: on a damaged file np.load leaves its own one open.
        with file.open("rb") as handle, np.load(handle, allow_pickle=False) as loaded:
            missing = [name for name in _NAMES if name not in loaded.files]
            if missing:
                raise _Lacking(f"{file} must have arrays {', '.join(_NAMES)}, lacks {missing}")
            arrays = {name: loaded[name] for name in _NAMES}
    except _Lacking as error:
        raise ValueError(str(error)) from None
    except (zipfile.BadZipFile, OSError, EOFError, TypeError, ValueError) as error:
        raise ValueError(f"{file} is no npz file, or a damaged one: {_WHERE}") from error
    return _checked(str(file), arrays, None)


def _checked(where: str, arrays: dict[str, Any], classes: int | None) -> Images:
    for part in ("train", "test"):
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
        if y.ndim == 2 and y.shape[1] == 1:
            arrays[f"y_{part}"] = y = y[:, 0]
        if x.ndim != 4 or x.dtype != np.uint8 or x.shape[3] not in (1, 3) or not len(x):
            raise ValueError(
                f"x_{part} in {where} must be uint8 images (n, h, w, 1 or 3), got {x.dtype} of "
                f"shape {x.shape}"
            )
        if y.shape != (len(x),) or not np.issubdtype(y.dtype, np.integer) or y.min() < 0:
            least = f", the least {y.min()}" if y.size and y.dtype.kind in "iu" else ""
            raise ValueError(
                f"y_{part} in {where} must be {len(x)} classes from 0, got {y.dtype} of shape "
                f"{y.shape}{least}"
            )
    if arrays["x_train"].shape[1:] != arrays["x_test"].shape[1:]:
        raise ValueError(f"images in {where} must be of one size")
    largest = int(max(arrays["y_train"].max(), arrays["y_test"].max()))
    count = largest + 1 if classes is None else classes
    if largest >= count:
        raise ValueError(f"classes in {where} must be below {count}, got {largest}")
    return Images(
        arrays["x_train"],
        arrays["y_train"].astype(np.int32),
        arrays["x_test"],
        arrays["y_test"].astype(np.int32),
        count,
    )
