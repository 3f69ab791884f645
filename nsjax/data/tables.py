"""Measured data as tables: from a folder, fetched, or bundled with scikit-learn."""

from __future__ import annotations

import http.client
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nsjax import _check
from nsjax.data import tabular


class Table(NamedTuple):
    """Rows as they were measured, and what the columns are called.

    Attributes:
        x: inputs `(n, d)`, float64.
        y: targets `(n, c)`, float64.
        inputs: d names.
        targets: c names.
    """

    x: np.ndarray
    y: np.ndarray
    inputs: tuple[str, ...]
    targets: tuple[str, ...]


@dataclass(frozen=True)
class _File:
    """A data set that is a text file."""

    names: tuple[str, ...]
    delimiter: str | None
    shape: tuple[int, int]
    where: str
    table: Callable[[np.ndarray], Table]
    fetch: Callable[[], Table]


def load(name: str, data_dir: str | os.PathLike[str] | None = None) -> Table:
    """A set of measured data for regression, in its own units.

    Args:
        name: `"airfoil"` (NASA self-noise of airfoils, 1503 rows, 5 inputs), `"california"` (median
            house values, 20640 rows, the 8 inputs that scikit-learn has), or one of `BUNDLED`.
        data_dir: folder with the file `airfoil_self_noise.dat` or `cal_housing.data`. Without one,
            the first is fetched from OpenML and the second by scikit-learn.

    Raises:
        ValueError: for an unknown name, or a file that is damaged; it says what was expected.
        FileNotFoundError: if the folder or the file is not there.
        ConnectionError: if a set cannot be fetched; it says where to get the file.
        ImportError: if scikit-learn is not installed.

    >>> load("diabetes").x.shape
    (442, 10)
    """
    _check.choice("name", name, (*FILES, *tabular.BUNDLED))
    if name in tabular.BUNDLED:
        # That of diabetes comes centred and scaled unless asked otherwise.
        options = {"scaled": False} if name == "diabetes" else {}
        table = tabular.from_sklearn(name, **options)
        y = np.asarray(table.target, float).reshape(len(table.data), -1)
        return Table(np.asarray(table.data, float), y, *tabular.column_names(name))
    kind = FILES[name]
    if data_dir is None:
        return _fetched(name, kind)
    folder = Path(data_dir)
    if not folder.is_dir():
        raise FileNotFoundError(f"data_dir must be a folder, got {str(folder)!r}")
    for each in kind.names:
        if (folder / each).is_file():
            return _table(folder / each, kind)
    raise FileNotFoundError(
        f"{folder} holds none of {', '.join(kind.names)}, {_expected(kind)}: {kind.where}"
    )


def _fetched(name: str, kind: _File) -> Table:
    try:
        return kind.fetch()
    except ImportError as error:
        raise ImportError(
            f"the data set {name!r} needs scikit-learn: pip install 'nsjax[run]'"
        ) from error
    except (OSError, http.client.HTTPException, ValueError) as error:  # URLError is an OSError
        raise ConnectionError(
            f"{name} cannot be fetched ({error}); put {kind.names[0]}, {_expected(kind)}, in a "
            f"folder and give it as data_dir (--data-dir): {kind.where}"
        ) from error


def _expected(kind: _File) -> str:
    between = "commas" if kind.delimiter else "blanks"
    return f"a text of {kind.shape[0]} rows of {kind.shape[1]} numbers between {between}"


def _table(path: Path, kind: _File) -> Table:
    try:
        return kind.table(_read(path, kind))
    except _BadRow as error:
        raise ValueError(f"{path}: {error}") from error


class _BadRow(ValueError):
    """A row whose numbers cannot be."""


def _read(path: Path, kind: _File) -> np.ndarray:
    """The numbers of a file, checked; one row of names at its top is passed over."""
    try:
        with open(path, encoding="utf-8") as file:
            header = file.readline()[:1].isalpha()
        table = np.loadtxt(path, delimiter=kind.delimiter, ndmin=2, skiprows=int(header))
    except (ValueError, UnicodeDecodeError, OSError) as error:
        raise ValueError(f"{path} must be {_expected(kind)}: {error}; {kind.where}") from error
    if table.shape != kind.shape:
        raise ValueError(
            f"{path} must be {_expected(kind)}, got {table.shape[0]} rows of {table.shape[1]}: "
            f"{kind.where}"
        )
    if not np.all(np.isfinite(table)):
        row = int(np.flatnonzero(~np.isfinite(table).all(axis=1))[0])
        raise ValueError(f"{path} must hold finite numbers, got others in row {row + 1}")
    return table


AIRFOIL = ("frequency", "angle", "chord", "velocity", "thickness")
OPENML = 44957
"""Number of the airfoil set at OpenML."""
_OPENML_COLUMNS = (
    "frequency",
    "angle_of_attack",
    "chord_length",
    "free_stream_velocity",
    "displacement_thickness",
    "sound_pressure",
)
CALIFORNIA = (
    "MedInc",
    "HouseAge",
    "AveRooms",
    "AveBedrms",
    "Population",
    "AveOccup",
    "Latitude",
    "Longitude",
)


def _airfoil(table: np.ndarray) -> Table:
    return Table(table[:, :5], table[:, 5:], AIRFOIL, ("sound_pressure",))


def _fetch_airfoil() -> Table:
    from sklearn.datasets import fetch_openml

    # By number: there are several sets of this name, with columns of different names.
    found: Any = fetch_openml(
        data_id=OPENML, target_column=None, as_frame=False, parser="liac-arff"
    )
    names = list(found.feature_names)
    if missing := [name for name in _OPENML_COLUMNS if name not in names]:
        raise ValueError(f"OpenML data set {OPENML} lacks the columns {missing}, got {names}")
    table = np.asarray(found.data, float)[:, [names.index(name) for name in _OPENML_COLUMNS]]
    if table.shape != (1503, 6) or not np.all(np.isfinite(table)):
        raise ValueError(f"got {table.shape[0]} rows of {table.shape[1]} numbers from OpenML")
    return _airfoil(table)


def _california(table: np.ndarray) -> Table:
    """Longitude, latitude, age, rooms, bedrooms, population, households, income, value."""
    longitude, latitude, age, rooms, bedrooms, people, households, income, value = table.T
    if np.any(households <= 0):
        row = int(np.flatnonzero(households <= 0)[0])
        raise _BadRow(f"households must be positive, got {households[row]:g} in row {row + 1}")
    x = [income, age, rooms / households, bedrooms / households, people, people / households]
    return Table(
        np.stack([*x, latitude, longitude], axis=1),
        value[:, None] / 100_000,
        CALIFORNIA,
        ("MedHouseVal",),
    )


def _fetch_california() -> Table:
    from sklearn.datasets import fetch_california_housing

    found: Any = fetch_california_housing()
    y = np.asarray(found.target, float)[:, None]
    return Table(np.asarray(found.data, float), y, CALIFORNIA, ("MedHouseVal",))


FILES = {
    "airfoil": _File(
        ("airfoil_self_noise.dat", "airfoil_self_noise.txt"),
        None,
        (1503, 6),
        "it is the set Airfoil Self-Noise of the UCI repository (archive.ics.uci.edu, set 291)",
        _airfoil,
        _fetch_airfoil,
    ),
    "california": _File(
        ("cal_housing.data",),
        ",",
        (20640, 9),
        "it is in cal_housing.tgz at www.dcc.fc.up.pt/~ltorgo/Regression",
        _california,
        _fetch_california,
    ),
}
"""Sets that are files, by name."""
