"""Neurons that choose their order: pursuit over CP terms beside single degrees and dictionaries.

Learns targets that need more than one order, or dense projections, from n Gaussian samples: the sum
of a product of two inputs and the cube of a projection (`two-orders`), three products of three
projections each (`low-rank`), and a composition of two sparse polynomials (`composed`), for which
there are networks with two hidden layers of products. Pursuit whose neurons are products of one,
two or three projections, each of the order that explains most of the residual, stands beside
pursuits of a single order or degree, which get a constant input to make up for it, the search for
task-driven neurons, and least squares, orthogonal matching pursuit and Lasso over all monomials up
to order three, as far as their dictionary fits. A rerun with the same settings goes on where the
last one stopped.
"""

from __future__ import annotations

import math
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import nsjax
from nsjax import data, networks, neuronseek, plots, pursuit, runs
from nsjax.pursuit.problem import prediction_error

Task = Literal["two-orders", "low-rank", "composed"]
Method = Literal[
    "orders",
    "deep",
    "wide",
    "order-3",
    "order-2",
    "cubes",
    "squares",
    "search",
    "least-squares",
    "omp",
    "lasso",
]
LABELS = {
    "orders": "CP terms, orders 1 to 3",
    "deep": "two hidden layers of CP terms, orders 1 and 2",
    "wide": "CP terms, orders 1 to 4",
    "order-3": "CP terms of order 3, constant input",
    "order-2": "CP terms of order 2, constant input",
    "cubes": "$t^3$, constant input",
    "squares": "$t^2$, constant input",
    "search": "search for a task-driven neuron",
    "least-squares": "least squares over monomials",
    "omp": "OMP over monomials",
    "lasso": "Lasso over monomials",
}
FAMILIES: dict[str, Any] = {
    "orders": (networks.Products((1, 2, 3)), 2),
    "deep": (networks.Products((1, 2)), 3),
    "wide": (networks.Products((1, 2, 3, 4)), 2),
    "order-3": (networks.Products(3), 2),
    "order-2": (networks.Products(2), 2),
    "cubes": (nsjax.PolyLeakyReLU(3), 2),
    "squares": (nsjax.PolyLeakyReLU(2), 2),
}
"""Neurons and depth of the pursuits."""
DICTIONARIES: tuple[Method, ...] = ("least-squares", "omp", "lasso")
SINGLE: tuple[Method, ...] = ("order-3", "order-2", "cubes", "squares")
"""Pursuits of one order or degree, which get a constant input."""
SUCCESS = 1e-3
"""Relative test error of a success."""
FLOOR = 1e-8
"""Errors below are drawn there: exact ones would squeeze all others together."""


@dataclass(frozen=True)
class Config:
    """Settings of the experiment."""

    preset: Literal["quick", "full"] = "quick"
    """Which set of defaults the other settings start from."""
    task: Task = "two-orders"
    """Target."""
    methods: tuple[Method, ...] = ("orders", "order-3", "cubes", "search", "lasso")
    """What is compared."""
    samples: tuple[int, ...] = (100, 160)
    """Numbers of samples n."""
    dimension: int = 10
    """Number of inputs d."""
    noise: float = 0.0
    """Standard deviation of the noise over that of the values."""
    seeds: int = 2
    """Seeds of targets, samples and starts."""
    lanes: int = 4
    """Lanes of a pursuit."""
    neurons: int = 24
    """Most neurons of a pursuit."""
    dictionary: int = 20_000
    """Most monomials of a dictionary; with more, its methods are left out."""
    tests: int = 2000
    """Fresh points for the test error."""
    seed: int = 0
    """First seed."""
    root: Path = field(default=Path("runs"), compare=False)
    """Where run folders go."""


PRESETS = {
    "quick": Config(),
    "full": Config(
        preset="full",
        methods=("orders", *SINGLE, "search", *DICTIONARIES),
        samples=(60, 80, 100, 120, 160, 240, 400),
        seeds=10,
    ),
}


class Point(NamedTuple):
    """One method on one data set."""

    method: str
    n: int
    seed: int


def draw(config: Config, n: int, seed: int) -> tuple[data.PolynomialData, Any, jax.Array]:
    """A seed's samples, of which those of fewer n are the first; fresh ones; and a key."""
    most = max(*config.samples, n)
    keys = jax.random.split(jax.random.key(seed))
    sizes: Any = most + config.tests, config.dimension
    if config.task == "low-rank":
        task = data.interaction_task(keys[0], {3: 3}, *sizes, noise=config.noise)
    else:
        made = data.composed_task if config.task == "composed" else data.two_order_task
        task = made(keys[0], *sizes, noise=config.noise)
    fresh = task.x[most:], task.clean[most:]
    return task._replace(x=task.x[:n], y=task.y[:n], clean=task.clean[:n]), fresh, keys[1]


def learn(config: Config, each: Point, clock: runs.Compilations) -> dict[str, Any]:
    """Test error, size and CPU seconds of one method."""
    task, (x, y), key = draw(config, each.n, each.seed)
    constant = each.method in SINGLE

    def inputs(x: Any) -> Any:
        return jnp.concatenate([x, jnp.ones((len(x), 1), x.dtype)], axis=1) if constant else x

    if each.method in FAMILIES:
        family, depth = FAMILIES[each.method]
        settings = pursuit.Config(
            rule="normalised", lanes=config.lanes, attempts=1, max_neurons=config.neurons
        )
        found, seconds = clock.warm(
            lambda: pursuit.run(
                key, inputs(task.x), task.y, activation=family, depth=depth, config=settings
            )
        )
        outputs, size = networks.apply(found.params, inputs(x), family), sum(found.neurons)
        message, parameters = found.message, found.certificate.parameters
        if isinstance(family, networks.Products):
            orders = [
                np.sum(np.asarray(family.present(weight)), axis=1).tolist()
                for weight in found.params[:-1]
            ]
            message = f"orders {'; '.join(str(sorted(each)) for each in orders)}; {message}"
    elif each.method == "search":
        search, seconds = clock.warm(lambda: neuronseek.search(key, task.x, task.y))
        outputs, size = search.formula(x), len(search.history.labels)
        parameters = search.parameters
        message = search.formula.to_text(digits=3)
    else:
        begun = time.process_time()
        outputs, size, message = over_monomials(each.method, task, x)
        seconds, parameters = time.process_time() - begun, size
    error = float(prediction_error("square", jnp.asarray(outputs), y))
    return {
        "error": error,
        "size": size,
        "parameters": parameters,
        "seconds": seconds,
        "message": message,
    }


def over_monomials(method: str, task: Any, x: Any) -> tuple[Any, int, str]:
    """Outputs, number of monomials and words of scikit-learn's methods."""
    from sklearn.linear_model import LassoCV, LinearRegression, OrthogonalMatchingPursuitCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PolynomialFeatures, StandardScaler

    made = {
        "least-squares": LinearRegression,
        "omp": OrthogonalMatchingPursuitCV,
        "lasso": lambda: LassoCV(max_iter=5000),
    }[method]()
    model = make_pipeline(PolynomialFeatures(3, include_bias=False), StandardScaler(), made)
    model.fit(np.asarray(task.x), np.asarray(task.y)[:, 0])
    size = int(np.sum(np.abs(made.coef_) > 1e-3 * np.max(np.abs(made.coef_))))
    return model.predict(np.asarray(x))[:, None], size, f"{size} monomials"


def name_of(each: Point) -> str:
    """Name of a cell."""
    return f"{each.method}-n{each.n}-seed{each.seed}"


def main(config: Config) -> Path:
    """Run the experiment; returns the run's folder."""
    runs.setup()
    with runs.refusals():
        if not (config.samples and config.methods and config.seeds > 0):
            raise ValueError("there must be at least one number of samples, a method and a seed")
        draw(config, 2, config.seed)
    monomials = math.comb(config.dimension + 3, 3) - 1
    methods = [
        method
        for method in dict.fromkeys(config.methods)
        if method not in DICTIONARIES or monomials <= config.dictionary
    ]
    clock = runs.Compilations()
    # Sizes outermost: methods of one n share programs over the seeds.
    points = [
        Point(method, n, config.seed + number)
        for n in sorted(config.samples)
        for method in methods
        for number in range(config.seeds)
    ]
    with runs.open_run(config.root, "order_choice", config, seed=config.seed) as run:
        done: dict[str, dict[int, list[dict[str, Any]]]] = {method: {} for method in methods}
        for each, _, values in run.sweep(
            points, name_of, lambda each: ({}, learn(config, each, clock)), description="fits"
        ):
            done[each.method].setdefault(each.n, []).append(values)
        summarise(run, config, done)
    return run.path


def needed(errors: dict[int, list[float]]) -> int | None:
    """Smallest n from which on nine of ten seeds succeed; None if there is none."""
    least = None
    for n in sorted(errors, reverse=True):
        if np.mean(np.asarray(errors[n]) < SUCCESS) < 0.9:
            break
        least = n
    return least


def summarise(
    run: runs.Run, config: Config, done: dict[str, dict[int, list[dict[str, Any]]]]
) -> None:
    """Table, results and figure."""
    rows, results, curves = [], {}, {}
    for method, sizes in done.items():
        errors = {n: [each["error"] for each in records] for n, records in sizes.items()}
        least = needed(errors)
        at = sizes[max(sizes) if least is None else least]
        drawn = np.maximum(list(errors.values()), FLOOR)
        curves[LABELS[method]] = (tuple(errors), drawn)
        results[method] = {
            "samples": list(errors),
            "errors": list(errors.values()),
            "sizes": [[each["size"] for each in records] for records in sizes.values()],
            "parameters": [[each["parameters"] for each in records] for records in sizes.values()],
            "seconds": [[each["seconds"] for each in records] for records in sizes.values()],
            "needed": least,
        }
        rows.append(
            (
                LABELS[method],
                f"> {max(errors)}" if least is None else str(least),
                " ".join(
                    f"{n}:{int(np.sum(np.asarray(each) < SUCCESS))}" for n, each in errors.items()
                ),
                f"{np.median([each['size'] for each in at]):g}",
                f"{np.median([each['parameters'] for each in at]):g}",
                f"{np.median([each['seconds'] for each in at]):.2g}",
            )
        )
    run.save_results({}, results)
    figure = plots.plot_sample_efficiency(
        {f"{config.task}, d = {config.dimension}": curves},
        threshold=SUCCESS,
        quantity=f"test error, floor {FLOOR:g}",
    )
    run.save_figure(figure, "order_choice")
    runs.print_table(
        f"{config.task}: samples to a relative test error below {SUCCESS:g}, {config.seeds} seeds, "
        f"d = {config.dimension} (neurons or terms, weights and CPU seconds: medians there, or at "
        "the largest n)",
        ("method", "9 of 10", "n:successes", "terms", "weights", "CPU s"),
        rows,
    )
    print(f"results and figures: {run.path}")


if __name__ == "__main__":
    sys.exit(runs.script(main, Config, PRESETS, description=__doc__))
