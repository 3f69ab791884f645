"""One point of a sweep: its arrays and values on disk, finished or to be computed."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from nsjax.runs.storage import (
    RunError,
    check_name,
    from_json,
    read_json,
    read_npz,
    save_pair,
    sha256,
)

SCHEMA = 1


class Cell:
    """One point of a sweep, kept as `cells/NAME.npz` and `cells/NAME.json`.

    The JSON file is written last and holds the SHA-256 of the npz file. So a cell counts as
    finished only if both were written whole and neither was changed since.
    """

    def __init__(self, folder: Path, name: str, report: Callable[[str], None]) -> None:
        self.name = check_name("cell", name)
        self.npz_path = folder / f"{name}.npz"
        self.json_path = folder / f"{name}.json"
        self._report = report
        self._reported: str | None = None

    @property
    def fault(self) -> str | None:
        """What is wrong with the files of this cell, in words; None if nothing is."""
        if not self.json_path.exists():
            return "its JSON file is missing" if self.npz_path.exists() else None
        if not self.npz_path.exists():
            return "its npz file is missing"
        try:
            record = read_json(self.json_path)
        except (RunError, OSError):
            return "its JSON file is damaged"
        if not isinstance(record, dict) or record.get("schema") != SCHEMA:
            return f"its JSON file has not schema {SCHEMA}"
        if record.get("npz_sha256") != sha256(self.npz_path):
            return "its npz file is not the one that was saved"
        return None

    @property
    def finished(self) -> bool:
        """Whether the cell was saved whole. A damaged one is reported, and counts as unfinished."""
        fault = self.fault
        if fault is not None and fault != self._reported:
            self._report(f"cell {self.name} is to be computed again: {fault}")
        self._reported = fault
        return fault is None and self.json_path.exists()

    def save(self, arrays: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        """Saves the cell; afterwards it is finished.

        Args:
            arrays: NumPy or JAX arrays of any shape, by name.
            values: what `to_json` takes: numbers, strings, small arrays, nested containers.

        Raises:
            ValueError, TypeError: for a bad array name, or what npz or JSON cannot hold. Then
                nothing has been written.
        """
        facts = {
            "schema": SCHEMA,
            "name": self.name,
            "saved": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        save_pair(self.json_path.parent, self.name, arrays, values, facts)

    def load(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Returns the arrays and the values of a finished cell.

        Raises:
            RunError: if the cell is not finished, or is damaged.
        """
        fault = self.fault
        if fault is None and not self.json_path.exists():
            fault = "it has not been saved"
        if fault is not None:
            raise RunError(f"cell {self.name} cannot be loaded: {fault}")
        return read_npz(self.npz_path), from_json(read_json(self.json_path)["values"])
