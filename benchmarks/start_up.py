"""What importing the library costs: beside the imports that every script of JAX begins with.

CPU-seconds of whole new processes, user and system time, in turn: `import jax, optax`, then each of
ours, again and again. `import nsjax` is to take at most 1.1 times as long. It imports no subpackage
before one is used, so the other rows say what using them costs; each of them imports jax, too. The
control is the reference beside itself: how far its ratio is from 1 is noise. The first turn, which
reads files and compiles bytecode, does not count.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from benchmarks import rows
from nsjax.runs import Run, open_run, progress, script, setup

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = "import jax, optax"
CONTROL = "import optax, jax"
"""The reference once more, in other words."""
LEAST = 1 / 1.1
"""Least ratio of the reference to `import nsjax`."""
PARTS = ("networks", "kkt", "diagnostics", "dynamics", "pursuit", "neuronseek", "plots")


@dataclass(frozen=True)
class Config:
    """Settings of the benchmark."""

    preset: Literal["quick", "full"] = "quick"
    """Which set of defaults the other settings start from."""
    parts: tuple[str, ...] = ("networks", "kkt", "dynamics", "neuronseek")
    """Subpackages that are imported, each by itself."""
    together: bool = False
    """Whether all subpackages are imported at once, too."""
    repeats: int = 5
    """Turns."""
    seed: int = 0
    """Of nothing: there is no chance in it."""
    root: Path = field(default=Path("runs"), compare=False)
    """Folder of all runs."""


PRESETS = {"quick": Config(), "full": Config("full", PARTS, together=True, repeats=21)}


def child_seconds(code: str) -> float:
    """CPU-seconds of a new Python process that runs a line of code."""
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{code!r} ended with exit code {process.returncode}")
    return usage.ru_utime + usage.ru_stime


def lines(config: Config) -> dict[str, float | None]:
    """Lines of ours, and the least ratio that is wanted of each."""
    found: dict[str, float | None] = {"import nsjax": LEAST}
    found |= {f"from nsjax import {part}": None for part in config.parts}
    if config.together:
        found[f"from nsjax import {', '.join(PARTS)}"] = None
    return found


def measure(config: Config) -> list[rows.Row]:
    """All lines by turns."""
    wanted = lines(config)
    codes = [REFERENCE, *wanted, CONTROL]
    taken = [
        [child_seconds(code) for code in codes]
        for _ in progress(range(config.repeats + 1), description="turns")
    ]
    columns = dict(zip(codes, np.array(taken[1:]).T, strict=True))
    found = [
        rows.against(
            code, "a new process", REFERENCE, columns[code], columns[REFERENCE], least=least
        )
        for code, least in wanted.items()
    ]
    control = "control: the reference beside itself"
    return [
        *found,
        rows.against(control, "a new process", REFERENCE, columns[CONTROL], columns[REFERENCE]),
    ]


def main(config: Config) -> Run:
    with open_run(config.root, "benchmark_start_up", config, seed=config.seed) as run:
        found = measure(config)
        rows.show("Start-up", found)
        run.save_results({}, {"rows": rows.to_json(found)})
    return run


if __name__ == "__main__":
    setup()
    sys.exit(script(main, Config, PRESETS, description=__doc__))
