"""Text files that are whole or not there at all."""

from __future__ import annotations

import contextlib
import os
import uuid
from pathlib import Path


def write_atomic(path: str | os.PathLike[str], text: str) -> None:
    """Write ASCII text beside the file, then put it in its place."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        with open(temporary, "x", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def read_bytes(path: str | os.PathLike[str], most: int) -> bytes:
    """At most so many bytes of a file."""
    with open(path, "rb") as file:
        return file.read(most)
