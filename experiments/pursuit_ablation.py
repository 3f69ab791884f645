"""Pursuit ablation: small aligned new neurons against random ones, and how much search they need.

What of neuron pursuit (arXiv 2509.12154) does the work? With one lane, so that nothing else stands
in: test error against samples when new neurons point to KKT points of the NCF, with the norm
searched or small, and when they point anywhere, small or large; then against the bound on the
ascent of the NCF, and against the length of each minimisation. Shown for a target of few inputs and
for a dense one. A rerun with the same settings goes on where the last one stopped.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

import nsjax
from nsjax import data, plots, pursuit, runs

SUCCESS = 1e-3
"""Relative test error of a success."""


@dataclass(frozen=True)
class Config:
    """Settings of the pursuit ablation."""

    preset: Literal["quick", "full"] = "quick"
    """Which set of defaults the other settings start from."""
    tasks: tuple[str, ...] = ("sparse-f1", "dense")
    """Targets, see `nsjax.data.SPARSE`."""
    inputs: Literal["sphere", "hypercube", "gaussian"] = "sphere"
    """Law of the inputs."""
    dimension: int = 20
    """Number of inputs d, the constant one not counted."""
    samples: tuple[int, ...] = (300, 600)
    """Numbers of samples n for the kinds of new neurons."""
    fixed: int = 600
    """Number of samples n for the sweeps."""
    searches: tuple[int, ...] = (1, 500)
    """Bounds on the steps of the ascent of the NCF."""
    lengths: tuple[int, ...] = (300, 3000)
    """Evaluations in each minimisation, at each weight of l2."""
    default_search: int = 500
    """Bound on the ascent in the other sweeps."""
    default_length: int = 3000
    """Length of a minimisation in the other sweeps."""
    base: Literal["paper", "default"] = "paper"
    """Preset whose other settings are kept. Under the default one, L-BFGS does not leave the saddle
    from weights as small as `small`, and l2 draws them back to it."""
    rule: Literal["each", "ncf", "lookahead"] = "each"
    """Rule of the pursuit; `"lookahead"` tries several candidates, and hides what one is worth."""
    small: float = 0.1
    """Norm of small new neurons."""
    large: float = 1.0
    """Norm of large ones."""
    depth: int = 3
    """Number of layers L."""
    degree: int = 2
    """Degree p of the activation max(t, a t)^p."""
    slope: float = 1.0
    """Slope a of the activation for negative inputs."""
    max_rounds: int = 12
    """Bound on the rounds of a pursuit."""
    seeds: int = 2
    """Seeds of data and of everything random."""
    test: int = 3000
    """Fresh points for the test error."""
    seed: int = 0
    """First seed."""
    root: Path = field(default=Path("runs"), compare=False)
    """Where run folders go."""


PRESETS = {
    "quick": Config(),
    "full": Config(
        preset="full",
        tasks=("sparse-f1", "sparse-f2", "dense"),
        samples=(200, 300, 450, 600, 1000),
        searches=(1, 5, 20, 60, 200, 500),
        lengths=(30, 100, 300, 1000, 3000),
        seeds=6,
    ),
}

SWEEPS = {
    "samples": "samples $n$",
    "searches": "bound on the steps of the NCF ascent",
    "lengths": "evaluations of each minimisation",
}
"""What is varied, and its axis."""


class Point(NamedTuple):
    """One point of a sweep."""

    sweep: str
    value: int
    start: str
    n: int
    settings: pursuit.Config


def starts(config: Config) -> dict[str, dict[str, Any]]:
    """How new neurons start: settings of the pursuit, by name."""
    return {
        "aligned, norm searched": {"new_neurons": "kkt", "insertion": "search"},
        "aligned, small": {"new_neurons": "kkt", "insertion": "fixed", "delta": config.small},
        "random, small": {
            "new_neurons": "random",
            "insertion": "fixed",
            "delta": config.small,
        },
        "random, large": {
            "new_neurons": "random",
            "insertion": "fixed",
            "delta": config.large,
        },
    }


def points(config: Config) -> Iterator[Point]:
    """All points of all sweeps; those of one compiled program follow each other."""
    base = replace(
        pursuit.PRESETS[config.base],
        rule=config.rule,
        lanes=1,
        spread=0.0,
        search_steps=config.default_search,
        steps=config.default_length,
        max_rounds=config.max_rounds,
        prune=False,
    )
    for name, changes in starts(config).items():
        settings = replace(base, **changes)
        for n in config.samples:
            yield Point("samples", n, name, n, settings)
        if name.startswith("aligned"):
            for steps in config.searches:
                yield Point(
                    "searches", steps, name, config.fixed, replace(settings, search_steps=steps)
                )
        for steps in config.lengths:
            yield Point("lengths", steps, name, config.fixed, replace(settings, steps=steps))


def measure(config: Config, point: Point, task: str, seed: int) -> dict[str, Any]:
    """One pursuit: test error, neurons and evaluations."""
    keys = jax.random.split(jax.random.key(seed), 3)
    x, y = data.sparse_task(keys[0], task, point.n, config.dimension, config.inputs)
    test = data.sparse_task(keys[1], task, config.test, config.dimension, config.inputs)
    activation = nsjax.PolyLeakyReLU(config.degree, config.slope)
    found = pursuit.run(
        keys[2], x, y, activation=activation, depth=config.depth, config=point.settings
    )
    return {
        "error": float(pursuit.network_error(found.params, *test, activation, loss="square")),
        "loss": found.loss,
        "fitted": found.result == pursuit.Stop.FITTED,
        "neurons": found.neurons,
        "rounds": len(found.history.loss),
        "evaluations": int(np.sum(found.history.evaluations)),
        "message": found.message,
        "warnings": found.warnings,
    }


def name_of(job: tuple[Point, str, int]) -> str:
    """Name of the cell of a point, task and seed."""
    point, task, seed = job
    start = point.start.replace(", ", "-").replace(" ", "-")
    settings = f"search{point.settings.search_steps}-length{point.settings.steps}"
    return f"{task}-n{point.n}-{start}-{settings}-s{seed}"


def main(config: Config) -> Path:
    """Run the experiment; returns the run's folder."""
    runs.setup()
    records: dict[str, dict[str, dict[str, dict[int, list[dict[str, Any]]]]]] = {
        task: {sweep: {} for sweep in SWEEPS} for task in config.tasks
    }
    with runs.open_run(config.root, "pursuit_ablation", config, seed=config.seed) as run:
        jobs = [
            (point, task, seed)
            for point in points(config)
            for task in config.tasks
            for seed in range(config.seed, config.seed + config.seeds)
        ]
        # Sweeps meet where they have the same settings.
        alike = {name_of(job): job for job in jobs}
        found = {
            name_of(job): values
            for job, _, values in run.sweep(
                alike.values(),
                name_of,
                lambda job: ({}, measure(config, *job)),
                description="points",
            )
        }
        for point, task, seed in jobs:
            at = records[task][point.sweep].setdefault(point.start, {})
            at.setdefault(point.value, []).append(found[name_of((point, task, seed))])
        summarise(run, config, records)
    return run.path


def summarise(run: runs.Run, config: Config, records: dict[str, Any]) -> None:
    """Table, results and figure."""
    rows, results, panels, labels = [], {}, {}, {}
    for task, sweeps in records.items():
        for sweep, by_start in sweeps.items():
            curves = {}
            for name, by_value in by_start.items():
                errors = np.array([[each["error"] for each in at] for at in by_value.values()])
                successes = np.sum(errors < SUCCESS, axis=1)
                curves[name] = (tuple(by_value), errors)
                results[f"{task}/{sweep}/{name}"] = {
                    "values": list(by_value),
                    "errors": errors,
                    "successes": successes,
                }
                for value, at, row, good in zip(
                    by_value, by_value.values(), errors, successes, strict=True
                ):
                    rows.append(
                        (
                            task,
                            f"{sweep} = {value}",
                            name,
                            f"{good}/{len(row)}",
                            f"{np.median(row):.1e}",
                            f"{sum(each['fitted'] for each in at)}/{len(row)}",
                            f"{np.median([sum(each['neurons']) for each in at]):g}",
                            f"{np.median([each['rounds'] for each in at]):g}",
                            f"{np.median([each['evaluations'] for each in at]):g}",
                        )
                    )
            at_n = "" if sweep == "samples" else f", n = {config.fixed}"
            title = f"{task.removeprefix('sparse-')}, {config.inputs}, {sweep}{at_n}"
            panels[title], labels[title] = curves, SWEEPS[sweep]
    run.save_figure(
        plots.plot_sample_efficiency(panels, label=labels, threshold=SUCCESS), "pursuit_ablation"
    )
    run.save_results({}, results)
    runs.print_table(
        f"Pursuit with one lane, preset {config.base}, rule {config.rule}, L = {config.depth}, "
        f"p = {config.degree}, d = {config.dimension}: successes have a relative test error below "
        f"{SUCCESS:g}; medians over {config.seeds} seeds",
        (
            "target",
            "sweep",
            "new neurons",
            "successes",
            "test error",
            "fitted",
            "neurons",
            "rounds",
            "evaluations",
        ),
        rows,
    )
    print(f"results and figures: {run.path}")


if __name__ == "__main__":
    sys.exit(runs.script(main, Config, PRESETS, description=__doc__))
