"""Basis functions: templates with sines and other functions on data that have them, or do not.

Targets that are a sine, a cosine or a bell of a projection, a sine beside a polynomial, `|x0|` and
a step, which no basis is, and polynomials. Templates of powers and products alone, with sines, and
with all registered functions: errors on fresh points, which functions are kept, and whether the
structure is the true one. A rerun goes on where it stopped.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import matplotlib.pyplot as plt
import numpy as np

from nsjax import data, neuronseek, plots, runs
from nsjax.neuronseek.recovery import has_formula, recovery

TEMPLATES: dict[str, tuple[str, ...]] = {
    "polynomial": (),
    "sine": ("sine",),
    "waves": ("sine", "cosine"),
    "all": ("sine", "cosine", "tanh", "bell"),
}
"""Functions that a template allows beside powers and products."""


@dataclass(frozen=True)
class Config:
    """Settings of the experiment on basis functions."""

    preset: Literal["quick", "full"] = "quick"
    """Which set of defaults the other settings start from."""
    targets: tuple[str, ...] = (
        "sine",
        "sine+polynomial",
        "cosine",
        "bell",
        "absolute",
        "step",
        "sparse",
        "family-x2+I2",
    )
    """Names of generated targets."""
    templates: tuple[Literal["polynomial", "sine", "waves", "all"], ...] = (
        "polynomial",
        "sine",
        "all",
    )
    """Templates: powers and products alone; with sines; with sines and cosines; with these, tanh
    and bells."""
    dimension: int = 5
    """Input dimension d."""
    samples: int = 1000
    """Number of training samples n."""
    test: int = 2000
    """Fresh test points, without noise."""
    noise: float = 0.05
    """Standard deviation of the noise, as a share of that of the values."""
    seeds: int = 1
    """Number of seeds, from `seed` on: each its own data."""
    seed: int = 0
    """First seed."""
    root: Path = field(default=Path("runs"), compare=False)
    """Where run folders go."""


PRESETS = {
    "quick": Config(),
    "full": Config(preset="full", templates=("polynomial", "sine", "waves", "all"), seeds=5),
}


class Point(NamedTuple):
    """One search."""

    target: str
    template: str
    seed: int


def points(config: Config) -> list[Point]:
    """All searches of a config."""
    return [
        Point(target, template, config.seed + number)
        for target in dict.fromkeys(config.targets)
        for template in dict.fromkeys(config.templates)
        for number in range(config.seeds)
    ]


def search(config: Config, point: Point) -> dict[str, Any]:
    """What one search found."""
    n = config.samples
    key, data_key = jax.random.split(jax.random.key(point.seed))
    task = data.polynomial_task(
        data_key, point.target, n + config.test, config.dimension, noise=config.noise
    )
    begun = time.process_time()
    found = neuronseek.search(
        key,
        task.x[:n],
        task.y[:n],
        config=neuronseek.Config(bases=TEMPLATES[point.template]),
        test=(task.x[n:], task.clean[n:]),
    )
    seconds = time.process_time() - begun
    structure = found.formula.structure()
    exact = None
    if has_formula(task.truth):
        exact = recovery(found.formula, task.truth).structure
    return {
        "structure": str(structure),
        "kept": [name for name, _ in structure.bases],
        "text": found.formula.to_text(),
        "exact": exact,
        "test_error": float(found.test_error),
        "parameters": int(found.parameters),
        "message": found.message,
        "cpu_seconds": seconds,
    }


def name_of(point: Point) -> str:
    """Name of the cell of a point."""
    return f"{point.target}-{point.template}-seed{point.seed}"


def main(config: Config) -> Path:
    """Run the experiment; returns the run's folder."""
    runs.setup()
    with runs.refusals():
        runs.among("targets", config.targets, data.POLYNOMIALS)
        if not (config.targets and config.templates) or config.seeds < 1:
            raise ValueError("there must be at least one target, template and seed")
    with runs.open_run(config.root, "basis_functions", config, seed=config.seed) as run:
        done: dict[Point, dict[str, Any]] = {}

        @runs.refusals()
        def compute(point: Point) -> Any:
            return {}, search(config, point)

        for point, _, found in run.sweep(points(config), name_of, compute, description="searches"):
            done[point] = found
            line = f"{name_of(point)}: {found['structure']}; {found['test_error']:.1e}"
            run.log(line, echo=True)
        summarise(run, config, done)
    return run.path


def summarise(run: runs.Run, config: Config, done: dict[Point, dict[str, Any]]) -> None:
    """Table, results and figure."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for point, found in done.items():
        groups.setdefault((point.target, point.template), []).append(found)
    rows = []
    panels: dict[str, dict[str, Any]] = {}
    for (target, template), members in groups.items():
        known = members[0]["exact"] is not None
        hits = [bool(found["exact"]) for found in members]
        errors = [found["test_error"] for found in members]
        counts = {
            name: sum(name in found["kept"] for found in members) for name in TEMPLATES[template]
        }
        kept = ", ".join(f"{name} {count}" for name, count in counts.items() if count)
        formula = data.POLYNOMIALS[target].formula
        rows.append(
            (
                formula,
                template,
                f"{np.median(errors):.1e}",
                f"{np.max(errors):.1e}",
                kept or "-",
                f"{sum(hits)}/{len(hits)}" if known else "-",
                members[0]["structure"],
                f"{np.median([found['cpu_seconds'] for found in members]):.1f}",
            )
        )
        panels.setdefault(formula, {})[template] = (errors, hits if known else None)
    runs.print_table(
        f"Templates: d = {config.dimension}, n = {config.samples}, noise {config.noise:.1%}, "
        f"{config.seeds} seeds (clean error: MSE over variance on fresh points; kept: functions, "
        "with the number of seeds; CPU seconds with compilation)",
        (
            "target",
            "template",
            "clean error",
            "worst",
            "kept",
            "exact structure",
            "first seed found",
            "CPU s",
        ),
        rows,
    )
    figure = plots.plot_exactness(panels, label="clean test error (MSE / variance)")
    run.save_figure(figure, "templates")
    plt.close(figure)
    run.save_results(
        {},
        {f"{target}, {template}": members for (target, template), members in groups.items()},
    )
    print(f"results and figure: {run.path}")


if __name__ == "__main__":
    sys.exit(runs.script(main, Config, PRESETS, description=__doc__))
