"""Neurons that choose their order: pursuit over CP terms beside single degrees and dictionaries.

Learns polynomials of d inputs from n Gaussian samples: the sum of a product of two inputs and the
cube of a projection (`two-orders`), a few monomials up to order three (`sparse`), a few products of
three projections each (`low-rank`), and a composition of two sparse polynomials (`composed`), for
which there are networks with two hidden layers of products. Pursuit whose neurons are products of
one, two or three projections, in any direction, along the axes, or both, each of the kind that
serves best, stands beside pursuits of a single order or degree, which get a constant input to make
up for it, the search for task-driven neurons, and least squares, orthogonal matching pursuit and
Lasso over all monomials up to order three, as far as their dictionary fits. Of several dimensions,
or numbers of terms, there is a phase diagram. A rerun with the same settings goes on where the last
one stopped.
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
from nsjax.neuronseek.recovery import recovery
from nsjax.pursuit.problem import prediction_error

Task = Literal["two-orders", "sparse", "low-rank", "composed"]
Method = Literal[
    "orders",
    "axes",
    "both",
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
    "axes": "CP terms on the axes",
    "both": "CP terms of both kinds",
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
    "axes": (networks.Products((1, 2, 3), along="axes"), 2),
    "both": (networks.Products((1, 2, 3), along="both"), 2),
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
TOL = 0.1
"""Relative distance of coefficients up to which a polynomial of the true structure is exact."""
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
    dimensions: tuple[int, ...] = (10,)
    """Numbers of inputs d."""
    terms: tuple[int, ...] = (3,)
    """Numbers of monomials of a sparse target, or of products of a low-rank one."""
    noise: float = 0.0
    """Standard deviation of the noise over that of the values."""
    seeds: int = 2
    """Seeds of targets, samples and starts."""
    lanes: int = 4
    """Lanes of a pursuit."""
    max_neurons: int = 24
    """Most neurons of a pursuit."""
    max_share: float = 0.9
    """Most weights of a pursuit, over samples."""
    dictionary: int = 20_000
    """Most monomials of a dictionary; with more, its methods are left out."""
    test: int = 2000
    """Fresh points for the test error."""
    seed: int = 0
    """First seed."""
    root: Path = field(default=Path("runs"), compare=False)
    """Where run folders go."""


PRESETS = {
    "quick": Config(),
    "full": Config(
        preset="full",
        methods=("both", "orders", *SINGLE, "search", *DICTIONARIES),
        samples=(40, 60, 80, 100, 120, 160, 240, 400),
        seeds=10,
    ),
}


class Point(NamedTuple):
    """One method on one data set."""

    method: str
    d: int
    terms: int
    n: int
    seed: int


def draw(config: Config, each: Point) -> tuple[data.PolynomialData, Any, jax.Array]:
    """A seed's samples, of which those of fewer n are the first; fresh ones; and a key."""
    most = max(*config.samples, each.n)
    keys = jax.random.split(jax.random.key(each.seed))
    sizes: Any = most + config.test, each.d
    if config.task == "low-rank":
        task = data.interaction_task(keys[0], {3: each.terms}, *sizes, noise=config.noise)
    elif config.task == "sparse":
        task = data.monomial_task(keys[0], each.terms, 3, *sizes, noise=config.noise)
    else:
        made = data.composed_task if config.task == "composed" else data.two_order_task
        task = made(keys[0], *sizes, noise=config.noise)
    fresh = task.x[most:], task.clean[most:]
    n = each.n
    return task._replace(x=task.x[:n], y=task.y[:n], clean=task.clean[:n]), fresh, keys[1]


def learn(config: Config, each: Point, clock: runs.Compilations) -> dict[str, Any]:
    """Test error, whether the polynomial is the true one, size, CPU seconds and memory."""
    task, (x, y), key = draw(config, each)
    (outputs, size, parameters, message, formula, seconds), memory = runs.peak_memory(
        lambda: fitted(config, each, task, x, key, clock)
    )
    exact = formula is not None and recovery(formula, task.truth, tol=TOL).exact
    return {
        "error": float(prediction_error(jnp.asarray(outputs), y, loss="square")),
        "exact": exact,
        "size": size,
        "parameters": parameters,
        "seconds": seconds,
        "memory": memory,
        "message": message,
    }


def fitted(
    config: Config, each: Point, task: Any, x: Any, key: jax.Array, clock: runs.Compilations
) -> tuple[Any, int, int, str, Any, float]:
    """Outputs on fresh inputs, size, parameters, words, formula if there is one, CPU seconds."""
    if each.method in FAMILIES:
        return pursued(config, each.method, task, x, key, clock)
    if each.method == "search":
        found, seconds = clock.warm(lambda: neuronseek.search(key, task.x, task.y))
        words = found.formula.to_text(digits=3)
        size = len(found.history.labels)
        return found.formula(x), size, found.parameters, words, found.formula, seconds
    begun = time.process_time()
    outputs, size, message = over_monomials(each.method, task, x)
    return outputs, size, size, message, None, time.process_time() - begun


def pursued(
    config: Config, method: str, task: Any, x: Any, key: jax.Array, clock: runs.Compilations
) -> tuple[Any, int, int, str, Any, float]:
    """`fitted` by a pursuit."""
    family, depth = FAMILIES[method]
    alone = method == "axes"
    settings = pursuit.Config(
        # Of monomials there is one best: no lane differs, and no refit says more.
        rule="normalised" if alone else "lookahead",
        lanes=1 if alone else config.lanes,
        attempts=1,
        max_neurons=config.max_neurons,
        max_share=config.max_share,
        shuffles=1 if alone or config.noise else 0,
    )

    def inputs(x: Any) -> Any:
        ones = jnp.ones((len(x), 1), x.dtype)
        return jnp.concatenate([x, ones], axis=1) if method in SINGLE else x

    found, seconds = clock.warm(
        lambda: pursuit.run(
            key, inputs(task.x), task.y, activation=family, depth=depth, config=settings
        )
    )
    message, formula = found.message, None
    if isinstance(family, networks.Products):
        orders = [
            np.sum(np.asarray(family.present(weight)), axis=1).tolist()
            for weight in found.params[:-1]
        ]
        message = f"orders {'; '.join(str(sorted(each)) for each in orders)}; {message}"
        if depth == 2 and method not in SINGLE:
            # Names, since a network without neurons does not say how many there are.
            names = tuple(f"x{i}" for i in range(task.x.shape[1]))
            formula = neuronseek.Formula.of(family.to_cp(found.params), inputs=names)
    outputs = networks.apply(found.params, inputs(x), family)
    return (
        outputs,
        sum(found.neurons),
        found.certificate.parameters,
        message,
        formula,
        seconds,
    )


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
    return f"{each.method}-d{each.d}-terms{each.terms}-n{each.n}-seed{each.seed}"


def main(config: Config) -> Path:
    """Run the experiment; returns the run's folder."""
    runs.setup()
    with runs.refusals():
        if not all((config.samples, config.methods, config.dimensions, config.terms)):
            raise ValueError("there must be at least one of samples, methods, dimensions and terms")
        if config.seeds < 1:
            raise ValueError(f"seeds must be at least 1, got {config.seeds}")
        for d in config.dimensions:
            for terms in config.terms:
                draw(config, Point("", d, terms, 2, config.seed))
    clock = runs.Compilations()
    # Sizes outermost: methods of one n share programs over the seeds.
    points = [
        Point(method, d, terms, n, config.seed + number)
        for d in config.dimensions
        for terms in config.terms
        for n in sorted(config.samples)
        for method in dict.fromkeys(config.methods)
        if method not in DICTIONARIES or math.comb(d + 3, 3) - 1 <= config.dictionary
        for number in range(config.seeds)
    ]
    with runs.open_run(config.root, "order_choice", config, seed=config.seed) as run:
        done: Done = {}
        for each, _, values in run.sweep(
            points, name_of, lambda each: ({}, learn(config, each, clock)), description="fits"
        ):
            sizes = done.setdefault((each.d, each.terms), {}).setdefault(each.method, {})
            sizes.setdefault(each.n, []).append(values)
        summarise(run, config, done)
    return run.path


Done = dict[tuple[int, int], dict[str, dict[int, list[dict[str, Any]]]]]
"""Records by dimension and terms, method, and n."""


def needed(errors: dict[int, list[float]]) -> int | None:
    """Smallest n from which on nine of ten seeds succeed; None if there is none."""
    least = None
    for n in sorted(errors, reverse=True):
        if np.mean(np.asarray(errors[n]) < SUCCESS) < 0.9:
            break
        least = n
    return least


def summarise(run: runs.Run, config: Config, done: Done) -> None:
    """Table, results and figures."""
    rows: list[tuple[str, ...]] = []
    results: dict[str, Any] = {}
    panels: dict[str, Any] = {}
    for (d, terms), methods in done.items():
        curves = {}
        for method, sizes in methods.items():
            errors = {n: [each["error"] for each in records] for n, records in sizes.items()}
            least = needed(errors)
            at = sizes[max(sizes) if least is None else least]
            curves[LABELS[method]] = (tuple(errors), np.maximum(list(errors.values()), FLOOR))
            record: dict[str, Any] = {"needed": least, "samples": list(errors)}
            for name in ("error", "exact", "size", "parameters", "seconds", "memory"):
                record[name] = [[each[name] for each in records] for records in sizes.values()]
            results[f"{method}-d{d}-terms{terms}"] = record
            good = {n: int(np.sum(np.asarray(each) < SUCCESS)) for n, each in errors.items()}
            middle = {
                name: f"{np.median([each[name] for each in at]):.3g}"
                for name in ("size", "parameters", "seconds", "memory")
            }
            rows.append(
                (
                    f"{d}, {terms}",
                    LABELS[method],
                    f"> {max(errors)}" if least is None else str(least),
                    " ".join(f"{n}:{count}" for n, count in good.items()),
                    str(sum(each["exact"] for each in at)),
                    *middle.values(),
                )
            )
        title = f"{config.task}, d = {d}"
        panels[title if len(config.terms) == 1 else f"{title}, {terms} terms"] = curves
    run.save_results({}, results)
    figure = plots.plot_sample_efficiency(
        panels, threshold=SUCCESS, quantity=f"test error, floor {FLOOR:g}"
    )
    run.save_figure(figure, "order_choice")
    if len(done) > 1:
        run.save_figure(phases(config, done), "phases")
    runs.print_table(
        f"{config.task}: samples to a relative test error below {SUCCESS:g}, {config.seeds} seeds "
        "(exact polynomials, and medians of neurons or terms, weights, CPU seconds and MiB, there, "
        "or at the largest n)",
        (
            "d, terms",
            "method",
            "9 of 10",
            "n:successes",
            "exact",
            "terms",
            "weights",
            "CPU s",
            "MiB",
        ),
        rows,
    )
    print(f"results and figures: {run.path}")


def phases(config: Config, done: Done) -> Any:
    """Share of successes against samples and dimension, or the number of terms."""
    samples, several = sorted(config.samples), len(config.terms) > 1

    def share(records: list[dict[str, Any]]) -> float:
        return float(np.mean([each["error"] < SUCCESS for each in records])) if records else np.nan

    panels: dict[str, list[list[float]]] = {}
    for method in dict.fromkeys(method for methods in done.values() for method in methods):
        for (d, _), methods in done.items():
            title = f"{LABELS[method]}, d = {d}" if several else LABELS[method]
            sizes = methods.get(method, {})
            panels.setdefault(title, []).append([share(sizes.get(n, [])) for n in samples])
    return plots.plot_recovery(
        panels,
        samples=samples,
        sparsities=config.terms if several else config.dimensions,
        label="terms $k$" if several else "inputs $d$",
        columns=3,
    )


if __name__ == "__main__":
    sys.exit(runs.script(main, Config, PRESETS, description=__doc__))
