"""Settings of the benchmark of waiting at a saddle, and the names of its methods."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

LIBRARY = ("slow", "implicit", "explicit")
LOOPS = ("compiled loop", "jitted loop", "eager loop")
METHODS = LIBRARY + LOOPS
REFERENCES = ("explicit", "compiled loop", "eager loop")
"""What the slow manifold is held against in the table of all benchmarks."""


@dataclass(frozen=True)
class Config:
    preset: Literal["quick", "full"] = "quick"
    orders: tuple[int, ...] = (3,)
    """Orders q = p + 1 of the NCF, two-layer networks."""
    deltas: tuple[float, ...] = (1e-2, 1e-3, 1e-4, 1e-6, 1e-8)
    samples: int = 100
    dimension: int = 10
    active: int = 1
    width: int = 5
    attempts: int = 6
    """Starts of the training to the saddle, of which the least stiff end is kept."""
    slope: float = 0.0
    """Slope of the activation for negative inputs."""
    teacher: int = 6
    """Neurons of the network that gives the targets."""
    seed: int = 0
    repeats: int = 3
    """Repeats of a measurement, of which the median counts."""
    patience: float = 1.0
    """CPU-seconds after which a measurement is not repeated."""
    reference_rtol: float = 1e-10
    """Tolerance of the reference: explicit within the budget, else the slow manifold."""
    explicit_budget: int = 200_000
    """Most steps that are run; where more are needed, the cost is extrapolated."""
    compiled_budget: int = 500_000
    jitted_budget: int = 50_000
    eager_budget: int = 5_000
    explicit_probe: int = 10_000
    """Steps over which the cost is measured where it is extrapolated."""
    compiled_probe: int = 50_000
    jitted_probe: int = 2_000
    eager_probe: int = 100
    root: Path = field(default=Path("runs"), compare=False)
    """Folder of all runs."""
    progress: bool | None = field(default=None, compare=False)
    """Whether to show a progress bar; on a terminal by default."""


PRESETS = {
    "quick": Config(),
    "full": Config(
        preset="full",
        orders=(3, 4),
        repeats=5,
        patience=5.0,
        explicit_budget=2_000_000,
        compiled_budget=50_000_000,
        jitted_budget=500_000,
        eager_budget=50_000,
        explicit_probe=200_000,
        compiled_probe=1_000_000,
        jitted_probe=50_000,
        eager_probe=1_000,
    ),
}
