"""Cost, memory and recovery of the search as the number of inputs grows.

Sums of a few random monomials (`sparse`) and of products of random projections (`low-rank`), d
inputs, n samples, noise. Each search runs in a process of its own, so that its largest memory is
its own; a formula counts as found if it has the structure of the truth and all coefficients are
within 5 %. A rerun with the same settings goes on where the last one stopped.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

from nsjax import data, neuronseek, plots, runs
from nsjax.neuronseek.recovery import recovery

Truth = Literal["sparse", "low-rank"]


@dataclass(frozen=True)
class Config:
    """Settings of the experiment on the number of inputs."""

    preset: Literal["quick", "full"] = "quick"
    """Which set of defaults the other settings start from."""
    truths: tuple[Truth, ...] = ("sparse", "low-rank")
    """What makes the targets."""
    dimensions: tuple[int, ...] = (10, 30, 100)
    """Numbers of inputs d."""
    samples: int = 2000
    """Number of training samples n."""
    noise: float = 0.05
    """Standard deviation of the noise, as a share of that of the values."""
    monomials: int = 5
    """Monomials of a sparse truth."""
    order: int = 3
    """Largest order of a monomial; of the products of a low-rank truth, 2."""
    rank: int = 2
    """Products of a low-rank truth."""
    seeds: int = 1
    """Number of seeds, from `seed` on."""
    seed: int = 0
    """First seed."""
    root: Path = field(default=Path("runs"), compare=False)
    """Where run folders go."""


PRESETS = {
    "quick": Config(),
    "full": Config(
        preset="full", dimensions=(10, 30, 100, 300, 1000, 3000, 10_000), samples=10_000
    ),
}
LONG = 200.0
"""CPU-seconds from which on a search is not repeated to know its time without compilation."""
WITHIN = 0.05
"""Relative distance of coefficients up to which a formula is the true one."""


class Point(NamedTuple):
    """One search."""

    truth: Truth
    dimension: int
    seed: int


def search(config: Config, point: Point) -> dict[str, Any]:
    """Values of one search. Runs in a process of its own."""
    runs.setup()
    key = jax.random.key(point.seed)
    sizes = config.samples, point.dimension
    if point.truth == "sparse":
        task = data.monomial_task(key, config.monomials, config.order, *sizes, noise=config.noise)
    else:
        task = data.interaction_task(key, {2: config.rank}, *sizes, noise=config.noise)
    x, y, truth = np.asarray(task.x), np.asarray(task.y), task.truth
    settings = neuronseek.Config(
        powers=tuple(range(1, config.order + 1)), interactions=tuple(range(2, config.order + 1))
    )
    before = peak()
    seconds = []
    for _ in range(2):  # the first time compiles
        begun = time.process_time()
        found = neuronseek.search(jax.random.fold_in(key, 1), x, y, settings)
        seconds.append(time.process_time() - begun)
        if seconds[0] > LONG:
            break
    compared = recovery(found.formula, truth)
    return {
        "found": bool(compared.structure and compared.distance < WITHIN),
        "distance": compared.distance,
        "error": found.validation_error,
        "parameters": found.parameters,
        "seconds": seconds[-1],
        "cold": seconds[0],
        "memory": peak(),
        "data": before,
        "message": found.message,
    }


def peak() -> float:
    """Largest memory of this process so far, in GB."""
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size / (2**30 if sys.platform == "darwin" else 2**20)


def alone(config: Config, point: Point) -> dict[str, Any]:
    """`search` in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(search, (config, point))


def points(config: Config) -> list[Point]:
    """All searches of a config, small ones first."""
    return [
        Point(truth, dimension, seed)
        for dimension in config.dimensions
        for truth in config.truths
        for seed in range(config.seed, config.seed + config.seeds)
    ]


def exponent(dimensions: list[int], values: list[float]) -> float:
    """Slope of the logarithms over the largest three dimensions."""
    if len(dimensions) < 2:
        return float("nan")
    return float(np.polyfit(np.log(dimensions[-3:]), np.log(values[-3:]), 1)[0])


def main(config: Config) -> Path:
    """Run the experiment; returns the run's folder."""
    runs.setup()
    with runs.refusals():
        if config.seeds < 1 or not config.dimensions or not config.truths:
            raise ValueError("there must be at least one seed, one dimension and one truth")
        least = max(config.monomials, 2 * config.rank)
        if min(config.dimensions) < least:
            raise ValueError(
                f"dimensions must be at least {least}, the monomials or twice the rank, got "
                f"{min(config.dimensions)}"
            )
    with runs.open_run(config.root, "scaling", config, seed=config.seed) as run:
        done: dict[Point, dict[str, Any]] = {}
        for point, _, values in run.sweep(
            points(config),
            lambda each: f"{each.truth}-d{each.dimension}-seed{each.seed}",
            lambda each: ({}, alone(config, each)),
            description="searches",
        ):
            done[point] = values
            run.log(
                f"{point.truth}, d = {point.dimension}, seed {point.seed}: "
                f"{'found' if values['found'] else 'not found'}, {values['seconds']:.2g} CPU s, "
                f"{values['memory']:.2g} GB",
                echo=True,
            )
        summarise(run, config, done)
    return run.path


def summarise(run: runs.Run, config: Config, done: dict[Point, dict[str, Any]]) -> None:
    """Table, results and figure."""
    rows = []
    series: dict[str, dict[str, np.ndarray]] = {}
    dimensions = sorted(config.dimensions)
    results: dict[str, Any] = {"dimensions": dimensions}
    for truth in dict.fromkeys(config.truths):
        table = {
            d: [values for point, values in done.items() if point[:2] == (truth, d)]
            for d in dimensions
        }

        def median(name: str, table: Any = table) -> list[float]:
            return [float(np.median([v[name] for v in mine])) for mine in table.values()]

        for d, mine in table.items():
            rows.append(
                (
                    truth,
                    str(d),
                    f"{sum(v['found'] for v in mine)} of {len(mine)}",
                    f"{np.median([v['distance'] for v in mine]):.1e}",
                    f"{np.median([v['error'] for v in mine]):.2e}",
                    f"{np.median([v['seconds'] for v in mine]):.2g}",
                    f"{np.median([v['cold'] for v in mine]):.2g}",
                    f"{max(v['memory'] for v in mine):.2f}",
                    f"{max(v['data'] for v in mine):.2f}",
                )
            )
        series[truth] = {name: np.array(median(name)) for name in ("seconds", "memory")}
        results[truth] = {
            **series[truth],
            "found": [sum(v["found"] for v in mine) for mine in table.values()],
            "errors": median("error"),
            "exponent of seconds": exponent(dimensions, median("seconds")),
            "exponent of memory": exponent(dimensions, median("memory")),
        }
    run.save_results({}, results)
    run.save_figure(plots.plot_scaling(dimensions, series), "scaling")
    runs.print_table(
        f"n = {config.samples}, noise {config.noise:g}: medians over {config.seeds} seeds, memory "
        "at most",
        (
            "truth",
            "d",
            "found",
            "distance",
            "held-out error",
            "CPU s",
            "with compilation",
            "GB",
            "GB with data alone",
        ),
        rows,
    )
    for name in series:
        seconds, memory = (results[name][f"exponent of {what}"] for what in ("seconds", "memory"))
        print(
            f"{name}: CPU time grows as d^{seconds:.2f} and memory as d^{memory:.2f} over the "
            "largest dimensions"
        )
    print(f"results and figures: {run.path}")


if __name__ == "__main__":
    sys.exit(runs.script(main, Config, PRESETS, description=__doc__))
