"""Sample efficiency: test error of neuron pursuit against samples, beside strong baselines.

Learns polynomials of few of the inputs, and a dense one for contrast, from n samples of the
hypersphere, the hypercube and a Gaussian. Beside pursuit, with its defaults and as in the paper
(arXiv 2509.12154), stand networks of fixed width under Adam, L-BFGS and gradient descent, from
standard and from small weights, and many restarts of tiny networks under the acceptance rule and in
the CPU time of the pursuit. The baselines are tuned in their favour: the learning rate, and for
Gaussian inputs the weighting of the samples (`pursuit.Config.normalise`), are those with the lowest
error on the test points. A rerun with the same settings goes on where the last one stopped.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

import nsjax
from nsjax import data, plots, pursuit, runs
from nsjax.pursuit import baselines

Law = Literal["sphere", "hypercube", "gaussian"]
Method = Literal[
    "pursuit",
    "tiny",
    "paper",
    "adam",
    "adam-small",
    "lbfgs",
    "lbfgs-small",
    "gradient_descent",
    "gradient_descent-small",
]
SUCCESS = 1e-3
"""Relative test error of a success."""


@dataclass(frozen=True)
class Config:
    """Settings of the sample efficiency experiment."""

    preset: Literal["quick", "full"] = "quick"
    """Which set of defaults the other settings start from."""
    tasks: tuple[str, ...] = ("sparse-f1",)
    """Targets, see `nsjax.data.SPARSE`."""
    inputs: tuple[Law, ...] = ("sphere",)
    """Laws of the inputs for the first `across` targets; the others have the first law alone."""
    across: int = 2
    """Targets that are learned under every law."""
    dimensions: tuple[int, ...] = (20,)
    """Numbers of inputs d, the constant one not counted."""
    samples: tuple[int, ...] = (200, 400, 800)
    """Numbers of samples n."""
    paper_samples: tuple[int, ...] = ()
    """Those for Algorithm 1 as in the paper."""
    seeds: int = 2
    """Seeds of data and of everything random."""
    methods: tuple[Method, ...] = (
        "pursuit",
        "tiny",
        "adam",
        "adam-small",
        "lbfgs",
        "lbfgs-small",
        "gradient_descent",
        "gradient_descent-small",
        "paper",
    )
    """What is compared."""
    enough: int = 2
    """A method is not run on once all seeds succeeded at that many n in a row; 0 for never."""
    depth: int = 3
    """Number of layers L."""
    degree: int = 2
    """Degree p of the activation max(t, a t)^p."""
    slope: float = 1.0
    """Slope a of the activation for negative inputs."""
    width: int = 50
    """Neurons in each hidden layer of the networks of fixed width."""
    rates: tuple[float, ...] = (3e-3, 1e-2, 3e-2)
    """Learning rates of Adam."""
    adam_steps: int = 2000
    """Steps of Adam, over which the learning rate falls to zero along a cosine."""
    adam_small: float = 0.03
    """Its small initialisation, as a factor on every weight of the standard one."""
    lbfgs_steps: int = 1000
    """Evaluations of L-BFGS."""
    lbfgs_small: float = 0.2
    """Its small initialisation; from 0.1 on it does not leave the saddle at the origin."""
    gradient_descent_steps: int = 3000
    """Evaluations of gradient descent with backtracking."""
    gradient_descent_small: float = 0.1
    """Its small initialisation."""
    tiny_seconds: float = 0.0
    """CPU seconds of the tiny restarts; 0 for what the pursuit took on the same data."""
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
        tasks=("sparse-f1", "sparse-f2", "sparse-f3", "sparse-f4"),
        inputs=("sphere", "hypercube", "gaussian"),
        samples=(250, 500, 1000),
        paper_samples=(1000,),
        seeds=4,
    ),
}


class Panel(NamedTuple):
    """A target under one law of the inputs."""

    task: str
    law: str
    dimension: int

    @property
    def title(self) -> str:
        """In words, for a figure."""
        return f"{self.task.removeprefix('sparse-')}, {self.law}, d = {self.dimension}"


def panels(config: Config) -> Iterator[Panel]:
    """The panels of a config."""
    for dimension in config.dimensions:
        for i, task in enumerate(config.tasks):
            for law in config.inputs if i < config.across else config.inputs[:1]:
                yield Panel(task, law, dimension)


def label(method: str, config: Config) -> str:
    """Name of a method in figures and tables."""
    if method in ("pursuit", "tiny", "paper"):
        return {
            "pursuit": "neuron pursuit",
            "tiny": "tiny restarts, same CPU time",
            "paper": "pursuit, Algorithm 1",
        }[method]
    name, _, small = method.partition("-")
    words = {"adam": "Adam", "lbfgs": "L-BFGS", "gradient_descent": "gradient descent"}[name]
    return f"{words}, width {config.width}" + (", small init" if small else "")


def measure(
    config: Config,
    panel: Panel,
    n: int,
    seed: int,
    method: str,
    budget: float,
    clock: runs.Compilations,
) -> dict[str, Any]:
    """One method on one data set: test error, CPU seconds and what became of it."""
    keys = jax.random.split(jax.random.key(seed), 3)
    x, y = data.sparse_task(keys[0], panel.task, n, panel.dimension, panel.law)
    test = data.sparse_task(keys[1], panel.task, config.test, panel.dimension, panel.law)
    activation = nsjax.PolyLeakyReLU(config.degree, config.slope)

    def error(params: Any) -> float:
        return float(pursuit.network_error(params, *test, activation, loss="square"))

    if method in ("pursuit", "paper"):
        preset = "default" if method == "pursuit" else "paper"
        found, seconds = clock.warm(
            lambda: pursuit.run(
                keys[2], x, y, activation=activation, depth=config.depth, preset=preset
            )
        )
        return {
            "error": error(found.params),
            "fitted": found.result == pursuit.Stop.FITTED,
            "loss": found.loss,
            "seconds": seconds,
            "hidden": found.neurons,
            "message": found.message,
        }
    name, _, small = method.partition("-")
    found = []
    # Off the Gaussian all inputs have one norm, and the weighting is the same.
    for normalise in (True, False) if panel.law == "gaussian" else (True,):
        if method == "tiny":
            trained = baselines.tiny_restarts(
                keys[2],
                x,
                y,
                activation=activation,
                depth=config.depth,
                passes=10**6,
                seconds=budget,
                normalise=normalise,
            )
        else:
            trained = baselines.train(
                keys[2],
                x,
                y,
                activation=activation,
                hidden=(config.width,) * (config.depth - 1),
                scale=getattr(config, f"{name}_small") if small else 1.0,
                minimiser=name,
                learning_rates=config.rates if name == "adam" else (1e-2,),
                steps=getattr(config, f"{name}_steps"),
                normalise=normalise,
                validation=test,
            )
        found.append((error(trained.params), normalise, trained))
    best, normalise, trained = min(found, key=lambda each: each[0])
    return {
        "error": best,
        "fitted": trained.fitted,
        "loss": trained.loss,
        "seconds": trained.seconds,
        "hidden": trained.hidden,
        "normalise": normalise,
        "learning_rate": trained.learning_rate,
        "trained": trained.trained,
        "evaluations": trained.evaluations,
    }


class Point(NamedTuple):
    """One network."""

    panel: Panel
    n: int
    seed: int
    method: str


def name_of(each: Point) -> str:
    """Name of the cell of a network."""
    panel = each.panel
    start = f"{panel.task}-{panel.law}-d{panel.dimension}"
    return f"{start}-n{each.n}-s{each.seed}-{each.method}"


def points(config: Config, n: int, every: list[Panel], records: Any) -> list[Point]:
    """What is trained on n samples: the methods that have not yet solved a target."""
    found = []
    for panel in every:
        wanted = [m for m in config.methods if not solved(records[panel][m], config.enough)]
        if "tiny" in wanted and not config.tiny_seconds and "pursuit" not in wanted:
            wanted.append("pursuit")
        if n not in config.paper_samples:
            wanted = [method for method in wanted if method != "paper"]
        seeds = range(config.seed, config.seed + config.seeds)
        found += [Point(panel, n, seed, method) for seed in seeds for method in wanted]
    return found


def main(config: Config) -> Path:
    """Run the experiment; returns the run's folder."""
    runs.setup()
    clock = runs.Compilations()
    every = list(panels(config))
    records: dict[Panel, dict[str, dict[int, list[dict[str, Any]]]]]
    with runs.open_run(config.root, "sample_efficiency", config, seed=config.seed) as run:
        records = {panel: {method: {} for method in config.methods} for panel in every}
        pursuits: dict[tuple[Panel, int, int], float] = {}

        def compute(each: Point) -> Any:
            budget = config.tiny_seconds
            if each.method == "tiny" and not budget:
                budget = pursuits[each.panel, each.n, each.seed]
            return {}, measure(config, *each, budget, clock)

        # Sizes outermost: all targets share the programs of one n, and a target that is solved is
        # not tried with more samples. The time of a pursuit is the budget of the network after it.
        for n in sorted(config.samples):
            wanted = points(config, n, every, records)
            for chosen in (
                [each for each in wanted if each.method == "pursuit"],
                [each for each in wanted if each.method != "pursuit"],
            ):
                for each, _, values in run.sweep(chosen, name_of, compute, description=f"n = {n}"):
                    if each.method == "pursuit":
                        pursuits[each.panel, n, each.seed] = values["seconds"]
                    if each.method in config.methods:
                        records[each.panel][each.method].setdefault(n, []).append(values)
        summarise(run, config, records)
    return run.path


def solved(done: dict[int, list[dict[str, Any]]], enough: int) -> bool:
    """Whether all seeds succeeded at each of the last `enough` sizes."""
    last = list(done.values())[-enough:] if enough else []
    return 0 < enough == len(last) and all(each["error"] < SUCCESS for at in last for each in at)


def needed(done: dict[int, list[dict[str, Any]]], share: float) -> int | None:
    """Smallest n from which on that share of the seeds succeeds; None if there is none."""
    least = None
    for n in sorted(done, reverse=True):
        if np.mean([each["error"] < SUCCESS for each in done[n]]) < share:
            break
        least = n
    return least


def summarise(run: runs.Run, config: Config, records: dict[Panel, Any]) -> None:
    """Table, results and figure."""
    rows, results, figures = [], {}, {}
    for panel, methods in records.items():
        curves = {}
        for method, done in methods.items():
            if not done:
                continue
            errors = np.full((len(done), config.seeds), np.nan)
            for i, each in enumerate(done.values()):
                errors[i] = [record["error"] for record in each]
            name = label(method, config)
            curves[name] = (tuple(done), errors)
            all_of, most = needed(done, 1.0), needed(done, 0.9)
            at = max(done) if all_of is None else all_of
            seconds = float(np.median([record["seconds"] for record in done[at]]))
            hidden = [sum(record["hidden"]) for record in done[at]]
            results[f"{panel.task}-{panel.law}-d{panel.dimension}-{method}"] = {
                "samples": list(done),
                "errors": errors,
                "successes": [int(np.sum(row < SUCCESS)) for row in errors],
                "seconds": [[record["seconds"] for record in each] for each in done.values()],
                "fitted": [[record["fitted"] for record in each] for each in done.values()],
                "needed_all": all_of,
                "needed_nine_of_ten": most,
            }
            rows.append(
                (
                    panel.title,
                    name,
                    f"> {max(done)}" if all_of is None else str(all_of),
                    f"> {max(done)}" if most is None else str(most),
                    " ".join(
                        f"{n}:{int(np.sum(e < SUCCESS))}" for n, e in zip(done, errors, strict=True)
                    ),
                    f"{seconds:.2g}",
                    f"{np.median(hidden):g}",
                )
            )
        figures[panel.title] = curves
    run.save_figure(plots.plot_sample_efficiency(figures, threshold=SUCCESS), "sample_efficiency")
    run.save_results({}, results)
    runs.print_table(
        f"Samples to a relative test error below {SUCCESS:g}, {config.seeds} seeds, L = "
        f"{config.depth} (baselines' learning rate and weighting of Gaussian samples chosen on the "
        "test points, in their favour; CPU seconds and neurons: medians at the n of the third "
        "column, or at the largest)",
        ("task", "method", "all seeds", "9 of 10", "n:successes", "CPU s", "neurons"),
        rows,
    )
    print(f"results and figures: {run.path}")


if __name__ == "__main__":
    sys.exit(runs.script(main, Config, PRESETS, description=__doc__))
