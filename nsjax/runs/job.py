"""The job that this process does: what its command line said beside the settings."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Job:
    """Of the process: words of its command line, and the folder that it is to go on with.

    Attributes:
        words: the script and its settings, those that a resumed run had been given.
        folder: of a run to be resumed, or that has been opened.
        resumed: whether the folder was named by `--resume`.
        mix_versions: whether a run may go on under other versions than it was begun with.
    """

    words: list[str] = field(default_factory=lambda: list(sys.argv))
    folder: Path | None = None
    resumed: bool = False
    mix_versions: bool = False


_job = Job()


def current() -> Job:
    """The job of this process."""
    return _job


def begin(job: Job) -> None:
    """Make it the job of this process."""
    global _job
    _job = job
