"""The job that this process does: what its command line said beside the settings."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Job:
    """Of the process: words of its command line, and the run that it is to go on with.

    Attributes:
        words: the script and its settings, those that a resumed run had been given.
        resume: folder of a run to be resumed.
        mix_versions: whether a run may go on under other versions than it was begun with.
        opened: folder of the run that was opened last.
        keep: takes title, columns and rows of every table that is printed; `Run.save_table` within
            the `with` block of a run, else None.
    """

    words: list[str] = field(default_factory=lambda: list(sys.argv))
    resume: Path | None = None
    mix_versions: bool = False
    opened: Path | None = None
    keep: Callable[[str, Sequence[str], Sequence[Sequence[Any]]], None] | None = None


_job = Job()


def current() -> Job:
    """The job of this process."""
    return _job


def begin(job: Job) -> None:
    """Make it the job of this process."""
    global _job
    _job = job
