"""Synthetic families: how often the search finds the structure that made the data.

The 15 synthetic families of the second version of NeuronSeek (arXiv 2506.15715) and a product of
five projections, at d inputs and several levels of noise: sums of powers, products of random
projections (`Ik` has k factors), and both. For each the share of seeds that find the exact
structure, without being told orders or ranks, with a Wilson interval; the error on fresh points
without noise, over the variance of the noise; and CPU seconds, without and with compilation. A
rerun goes on where it stopped.
"""

from __future__ import annotations

import math
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import matplotlib.pyplot as plt
import numpy as np

from nsjax import data, diagnostics, neuronseek, plots, runs
from nsjax.neuronseek.recovery import recovery


@dataclass(frozen=True)
class Config:
    """Settings of the experiment on synthetic families."""

    preset: Literal["quick", "full"] = "quick"
    """Which set of defaults the other settings start from."""
    families: tuple[str, ...] = data.FAMILIES
    """Names of families."""
    dimension: int = 100
    """Input dimension d."""
    samples: int = 10_000
    """Number of training samples n."""
    test: int = 2000
    """Fresh test points, without noise."""
    noises: tuple[float, ...] = (0.01,)
    """Standard deviations of the noise, as shares of that of the values."""
    weak_noises: tuple[float, ...] = (0.002,)
    """Further ones for the family whose product has 0.3 % of the standard deviation."""
    seeds: int = 1
    """Number of seeds, from `seed` on: each its own data and its own search."""
    warm: bool = True
    """Whether to search again where something was compiled, to know the time without it."""
    seed: int = 0
    """First seed."""
    root: Path = field(default=Path("runs"), compare=False)
    """Where run folders go."""


PRESETS = {
    "quick": Config(),
    "full": Config(preset="full", noises=(0.01, 0.1), seeds=3),
}
WEAK = "family-x3+weak-I2"


class Point(NamedTuple):
    """One search."""

    family: str
    noise: float
    seed: int


def points(config: Config) -> list[Point]:
    """All searches of a config."""
    return [
        Point(family, noise, config.seed + number)
        for family in dict.fromkeys(config.families)
        for noise in dict.fromkeys(
            (*config.weak_noises, *config.noises) if family == WEAK else config.noises
        )
        for number in range(config.seeds)
    ]


def search(config: Config, point: Point, clock: runs.Compilations) -> dict[str, Any]:
    """What one search found."""
    n = config.samples
    key, data_key = jax.random.split(jax.random.key(point.seed))
    task = data.polynomial_task(
        data_key, point.family, n + config.test, config.dimension, noise=point.noise
    )

    def run() -> Any:
        return neuronseek.search(key, task.x[:n], task.y[:n], test=(task.x[n:], task.clean[n:]))

    before, begun = clock.count, time.process_time()
    found = run()
    cold = time.process_time() - begun
    warm = cold
    if clock.count > before:
        warm = clock.warm(run)[1] if config.warm else math.nan
    return {
        "structure": str(found.formula.structure()),
        "text": found.formula.to_text(),
        "message": found.message,
        "test_error": float(found.test_error),
        "over_noise": float(found.test_error) / point.noise**2 if point.noise else math.nan,
        "parameters": int(found.parameters),
        "warnings": list(found.warnings),
        "evaluations": int(found.evaluations),
        "warm_seconds": warm,
        "cold_seconds": cold,
        "compiled": clock.count > before,
        "recovery": recovery(found.formula, task.truth)._asdict(),
    }


def name_of(point: Point) -> str:
    """Name of the cell of a point."""
    return f"{point.family}-noise{point.noise:g}-seed{point.seed}"


def main(config: Config) -> Path:
    """Run the experiment; returns the run's folder."""
    runs.setup()
    clock = runs.Compilations()
    with runs.refusals():
        runs.among("families", config.families, data.FAMILIES)
        if not config.families or config.seeds < 1:
            raise ValueError("there must be at least one family and one seed")
    with runs.open_run(config.root, "neuron_families", config, seed=config.seed) as run:
        done: dict[Point, dict[str, Any]] = {}

        @runs.refusals()
        def compute(point: Point) -> Any:
            return {}, search(config, point, clock)

        for point, _, found in run.sweep(points(config), name_of, compute, description="searches"):
            done[point] = found
            said = "right" if found["recovery"]["structure"] else "wrong"
            run.log(f"{name_of(point)}: {found['structure']} ({said})", echo=True)
        summarise(run, config, done)
    return run.path


def summarise(run: runs.Run, config: Config, done: dict[Point, dict[str, Any]]) -> None:
    """Table, results and figure."""
    groups: dict[tuple[str, float], list[dict[str, Any]]] = {}
    for point, found in done.items():
        groups.setdefault((point.family, point.noise), []).append(found)
    rows, results = [], {}
    for (family, noise), members in groups.items():
        exact = [found["recovery"]["structure"] for found in members]
        _, low, high = diagnostics.share_interval(exact)
        relative = [found["over_noise"] for found in members]
        compiled = [found["cold_seconds"] for found in members if found["compiled"]]
        seconds = [t for t in (found["warm_seconds"] for found in members) if math.isfinite(t)]
        rows.append(
            (
                data.POLYNOMIALS[family].formula,
                f"{noise:.1%}",
                f"{sum(exact)}/{len(members)}",
                f"{low:.2f} to {high:.2f}",
                f"{np.median([found['test_error'] for found in members]):.1e}",
                f"{np.median(relative):.2g}",
                f"{np.max(relative):.2g}",
                f"{np.median(seconds):.1f}" if seconds else "-",
                f"{np.max(compiled):.1f}" if compiled else "-",
            )
        )
        results[f"{family}, noise {noise:g}"] = {
            "exact": sum(exact),
            "seeds": len(members),
            "interval": [low, high],
            "members": members,
        }
    runs.print_table(
        f"Families at d = {config.dimension}, n = {config.samples} (structure: as many seeds found "
        "the true one, with a Wilson interval; clean error: MSE over the variance on fresh points "
        "without noise; CPU seconds: median without compilation, largest with it)",
        (
            "family",
            "noise",
            "structure",
            "interval",
            "clean error",
            "over noise variance",
            "worst",
            "CPU s",
            "with compilation",
        ),
        rows,
    )
    exact = [found["recovery"]["structure"] for found in done.values()]
    _, low, high = diagnostics.share_interval(exact)
    print(f"all together: {sum(exact)} of {len(done)} exact ({low:.2f} to {high:.2f})")
    for point, found in done.items():
        if not found["recovery"]["structure"]:
            print(
                f"  {point.family}, noise {point.noise:g}, seed {point.seed}: {found['structure']}"
            )
    figure = plots.plot_exactness(
        {
            data.POLYNOMIALS[family].formula: {
                f"noise {noise:.1%}": (
                    [found["over_noise"] for found in members],
                    [found["recovery"]["structure"] for found in members],
                )
                for (other, noise), members in sorted(groups.items())
                if other == family
            }
            for family in dict.fromkeys(family for family, _ in groups)
        },
        label="clean test MSE over the variance of the noise",
    )
    run.save_figure(figure, "families")
    plt.close(figure)
    run.save_results({}, results)
    print(f"results and figure: {run.path}")


if __name__ == "__main__":
    sys.exit(runs.script(main, Config, PRESETS, description=__doc__))
