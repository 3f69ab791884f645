"""What past runs have left: manifests, results and cells."""

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nsjax.runs.cells import Cell
from nsjax.runs.storage import RunError, from_json, read_json, read_npz, sha256

SCHEMA = 1


class Past(NamedTuple):
    """A run folder as arrays and values.

    Attributes:
        manifest: see `read_manifest`.
        arrays, values: of its results; empty if there are none yet.
        cells: of every finished cell, by name, its arrays and values.
    """

    manifest: dict[str, Any]
    arrays: dict[str, np.ndarray]
    values: dict[str, Any]
    cells: dict[str, tuple[dict[str, np.ndarray], dict[str, Any]]]


def load(path: str | os.PathLike[str]) -> Past:
    """Everything that a run has left. Cells that are damaged or unfinished are left out.

    Args:
        path: of the run folder.

    Raises:
        RunError: if there is no manifest, or it or the results are damaged.
    """
    manifest = read_manifest(path)
    there = (Path(path) / "results.json").exists()
    arrays, values = read_results(path) if there else ({}, {})
    names = sorted(each.stem for each in Path(path).glob("cells/[!.]*.json"))
    cells = [Cell(Path(path) / "cells", name, lambda _: None) for name in names]
    return Past(manifest, arrays, values, {c.name: c.load() for c in cells if c.finished})


def read_manifest(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads the manifest of a run folder.

    Args:
        path: of the run folder.

    Raises:
        RunError: if there is none, or it is damaged or has another schema.
    """
    manifest_path = Path(path) / "manifest.json"
    if not manifest_path.is_file():
        raise RunError(f"{Path(path)} is no run folder: it has no manifest.json")
    manifest = read_json(manifest_path)
    schema = manifest.get("schema") if isinstance(manifest, dict) else None
    if schema != SCHEMA:
        raise RunError(f"{manifest_path} has schema {schema!r}, this version reads {SCHEMA}")
    return manifest


def read_results(
    path: str | os.PathLike[str],
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Reads the results of a run folder: its arrays and its values.

    Args:
        path: of the run folder.

    Raises:
        RunError: if there are none, or they are damaged.
    """
    npz_path, json_path = Path(path) / "results.npz", Path(path) / "results.json"
    if not (npz_path.is_file() and json_path.is_file()):
        raise RunError(f"{Path(path)} has no results")
    record = read_json(json_path)
    if not isinstance(record, dict) or record.get("npz_sha256") != sha256(npz_path):
        raise RunError(f"{npz_path} is not the file that was saved with {json_path.name}")
    return read_npz(npz_path), from_json(record["values"])
