"""A sweep of a few points for the tests of scripts and of several processes."""

import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from nsjax import runs


@dataclass(frozen=True)
class Config:
    """Settings of the toy."""

    preset: Literal["quick", "full"] = "quick"
    """Which settings to start from."""
    points: int = 6
    """How many points."""
    seconds: float = 0.0
    """What a point takes."""
    broken: bool = False
    """Whether the last point fails."""
    root: Path = field(default=Path("runs"), compare=False)
    """Where run folders go."""


PRESETS = {"quick": Config(), "full": Config(preset="full", points=12)}


def main(config):
    runs.setup(cache="")

    def compute(number):
        if config.broken and number == config.points - 1:
            raise FloatingPointError("this point fails")
        with run.checkpoints(f"point{number}", every=0) as kept:
            saved = kept.restore(np.zeros(1))
            for step in range(0 if saved is None else int(saved[0]), 2 + number % 2):
                time.sleep(config.seconds / 2)
                kept.save(step + 1, np.full(1, step + 1.0))
        run.log(f"computing point{number}")
        return {"x": np.full(3, number / 7)}, {"process": run.processes.index}

    with runs.refusals():
        if config.points < 1:
            raise ValueError(f"points must be positive, got {config.points}")
    with runs.open_run(config.root, "toy_script", config, seed=0) as run:
        first = run.once("first", lambda: ({}, {"one": 1}))[1]["one"]
        sums = {
            number: float(np.sum(arrays["x"])) + first
            for number, arrays, _ in run.sweep(
                range(config.points), lambda n: f"point{n}", compute, description="points"
            )
        }
        run.save_results({"sums": list(sums.values())}, {})
        run.log(f"summed {len(sums)} points")
        print(f"results: {run.path}")


if __name__ == "__main__":
    sys.exit(runs.script(main, Config, PRESETS, description=__doc__))
