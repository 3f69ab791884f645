"""Neuron search: the formula of a task-driven neuron, from data.

Finds a polynomial of the inputs, with products of projections and other functions where they are
allowed, by a search over candidate terms (`--methods pursuit`), by a fit of a whole template with
ridge, for prediction (`ridge`), or by gradient training with a pruning rule (`paper`,
`contribution`, `hard_concrete`, `group_lasso`, `stridge`; NeuronSeek, arXiv 2506.15715). Prints
each formula as text and LaTeX, saves it as JSON, and shows which terms came and went, the share of
the variance of each, predictions, and how much seeds agree.

Data: `--data synthetic-sparse`, `synthetic-low-rank`, `synthetic-dense`, `family-I4` and the other
families, `sine` and other functions; bundled sets (`diabetes`, `linnerud`, `wine`, ...); measured
ones (`airfoil`, `california`), from `airfoil_self_noise.dat` or `cal_housing.data` in `--data-dir`
or from a download, whose formulas are printed and saved in original units, too; your own as
`npz:FILE` with arrays `x` and `y`, where few distinct integers are classes. A rerun with the same
settings goes on where it stopped.
"""

from __future__ import annotations

import re
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from nsjax import data, neuronseek, plots, runs
from nsjax.data.tables import FILES
from nsjax.networks import cp
from nsjax.neuronseek.formula import Formula
from nsjax.neuronseek.recovery import has_formula, recovery
from nsjax.neuronseek.samples import LABELS

Method = Literal[
    "pursuit", "ridge", "paper", "contribution", "hard_concrete", "group_lasso", "stridge"
]
Loss = Literal["auto", "square", "logistic", "cross_entropy"]


@dataclass(frozen=True)
class Config:
    """Settings of the neuron search."""

    preset: Literal["quick", "full"] = "quick"
    """Which set of defaults the other settings start from."""
    data: str = "synthetic-sparse"
    """Generated data, a bundled or measured set, or npz:FILE; see above."""
    data_dir: Path | None = field(default=None, compare=False)
    """Folder with the file of a measured set; None downloads it."""
    methods: tuple[Method, ...] = ("pursuit",)
    """How to search: by candidates, by ridge, or by training with one of the pruning rules."""
    samples: int = 1000
    """Number of training samples n of generated data."""
    dimension: int = 5
    """Input dimension d of generated data."""
    noise: float = 0.0
    """Standard deviation of the noise of generated targets, as a share of theirs."""
    classes: int = 0
    """Of generated data, so many classes that the polynomial decides in place of its values."""
    test: int = 1000
    """Fresh test points of generated data, without noise."""
    holdout: float = 0.2
    """Share of a data set that is held out for the test error."""
    loss: Loss = "auto"
    """Training loss; "auto" takes that of the kind of targets."""
    orders: tuple[int, ...] | None = None
    """Orders that terms may have; None leaves those of the search."""
    rank: int | None = None
    """Most products of projections in a pursuit; those of each order when training begins."""
    bases: tuple[str, ...] = ()
    """Other functions of projections that there may be: sine, cosine, tanh, bell, exponential."""
    epochs: int = 300
    """Epochs of training before terms are pruned."""
    seeds: int = 3
    """Number of seeds, from `seed` on, of the search."""
    resample: bool = False
    """Whether every seed has its own data, or split of a data set, too."""
    digits: int = 4
    """Significant digits of printed formulas."""
    seed: int = 0
    """First seed."""
    root: Path = field(default=Path("runs"), compare=False)
    """Where run folders go."""


PRESETS = {
    "quick": Config(),
    "full": Config(
        preset="full", methods=("pursuit", "paper", "contribution"), seeds=10, resample=True
    ),
}


class Samples(NamedTuple):
    """What a search is given, and what is known of it."""

    x: jax.Array
    y: jax.Array
    test: tuple[jax.Array, jax.Array]
    loss: str
    truth: data.Polynomial | None
    inputs: tuple[str, ...] | None
    targets: tuple[str, ...] | None
    scaler: data.Scaler | None = None

    @property
    def outputs(self) -> tuple[str, ...] | None:
        """Names of the outputs, if each target or class has one that a formula may have."""
        if self.targets is None or len(self.targets) != self.y.shape[1]:
            return None
        names = tuple(map(plain, self.targets))
        return None if any(name.startswith("x_") for name in names) else names


def prepare(config: Config, seed: int) -> Samples:
    """Training and test data of a seed."""
    key = jax.random.key(seed if config.resample else config.seed)
    name = config.data.removeprefix("synthetic-")
    if name in data.POLYNOMIALS:
        return generated(config, name, key)
    if config.data in FILES:
        return measured(config, key)
    names: Any = (None, None)
    if config.data in (*data.BUNDLED, *data.CLASSES):
        x, y = data.bundled(config.data)
        inputs, targets = data.column_names(config.data)
        names = (tuple(map(plain, inputs)), targets)
    elif config.data.startswith("npz:"):
        x, y = data.read_npz(config.data.removeprefix("npz:"), labels=True)
    else:
        known = ", ".join(
            (*map(known_as, data.POLYNOMIALS), *data.BUNDLED, *data.CLASSES, *FILES, "npz:FILE")
        )
        raise ValueError(f"data must be one of {known}, got {config.data!r}")
    kept = to_train_on(config, len(x))
    loss = loss_of(config, y)
    if loss == "cross_entropy" and y.shape[1] == 1 and bool(jnp.all(y == jnp.round(y))):
        # Of all samples: some classes may be among the test samples alone.
        classes, place = np.unique(np.asarray(y), return_inverse=True)
        y = jax.nn.one_hot(jnp.asarray(place.reshape(-1)), len(classes))
        names = (None, tuple(f"class_{value:.0f}".replace("-", "minus_") for value in classes))
    (x, y), test = data.split(key, x, y, kept)
    return Samples(x, y, test, loss, None, *names)


def to_train_on(config: Config, n: int) -> int:
    """How many of n samples are not held out."""
    kept = n - round(config.holdout * n)
    if not 1 < kept < n:
        raise ValueError(f"holdout must leave samples on both sides, got {config.holdout:g} of {n}")
    return kept


def measured(config: Config, key: jax.Array) -> Samples:
    """Samples of a measured set, in units of the spread over the training samples alone."""
    table = data.load(config.data, config.data_dir)
    pairs = data.split(key, table.x, table.y, to_train_on(config, len(table.x)))
    scaler = data.Scaler.fit(*pairs[0])
    (x, y), test = (tuple(map(jnp.asarray, scaler.apply(*pair))) for pair in pairs)
    loss = loss_of(config, y)
    return Samples(x, y, (test[0], test[1]), loss, None, table.inputs, table.targets, scaler)


def generated(config: Config, name: str, key: jax.Array) -> Samples:
    """Samples of a known polynomial, or of classes that it decides."""
    total = config.samples + config.test
    if config.classes:
        task = data.polynomial_classes(
            key, name, total, config.dimension, classes=config.classes, noise=config.noise
        )
    else:
        task = data.polynomial_task(key, name, total, config.dimension, noise=config.noise)
    x, y, clean = task.x, task.y, task.clean
    n = config.samples
    truth = None if config.classes else task.truth
    return Samples(x[:n], y[:n], (x[n:], clean[n:]), loss_of(config, y), truth, None, None)


def loss_of(config: Config, y: jax.Array) -> str:
    """The loss asked for, or that of the kind of targets."""
    if config.loss != "auto":
        return config.loss
    values = np.unique(np.asarray(y))
    integers = jnp.issubdtype(y.dtype, jnp.integer)
    if y.shape[1] == 1 and integers and 2 * len(values) <= len(y) and len(values) <= LABELS:
        return "logistic" if np.array_equal(values, [-1, 1]) else "cross_entropy"
    if y.shape[1] == 1 and np.array_equal(values, [-1, 1]):
        return "logistic"
    one_hot = y.shape[1] > 1 and np.array_equal(values, [0, 1]) and bool(jnp.all(y.sum(1) == 1))
    return "cross_entropy" if one_hot else "square"


def known_as(name: str) -> str:
    """Name of a generated target on the command line."""
    return f"synthetic-{name}" if name in ("sparse", "low-rank", "dense") else name


def plain(name: str) -> str:
    """A column's name as formulas may have it."""
    name = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_")
    return name if name[:1].isalpha() else f"x_{name}"


def named(label: str, inputs: tuple[str, ...] | None) -> str:
    """A term's label with the names of the inputs."""
    if inputs is None:
        return label
    return re.sub(r"\bx([0-9]+)\b", lambda match: inputs[int(match[1])], label)


def settings(config: Config, method: str) -> Any:
    """Settings of the library's search."""
    changes: dict[str, Any] = {}
    if config.orders is not None:
        changes["powers"] = tuple(config.orders)
        changes["interactions"] = tuple(order for order in config.orders if order > 1)
    if method == "pursuit":
        if config.rank is not None:
            changes["max_terms"] = config.rank
        return neuronseek.Config(bases=config.bases, **changes)
    if config.rank is not None:
        changes["rank"] = config.rank
    if method == "ridge":
        return neuronseek.Ridge(bases=config.bases, **changes)
    template = cp.Template(bases=config.bases, **changes)
    rule: Any = method
    return neuronseek.Training(rule=rule, template=template, epochs=config.epochs)


def search(
    config: Config, method: str, seed: int, say: Callable[[str], None] | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arrays and values of one search, as stored."""
    samples = prepare(config, seed)
    begun = time.process_time()
    found = neuronseek.search(
        jax.random.fold_in(jax.random.key(seed), 1),
        samples.x,
        samples.y,
        config=settings(config, method),
        loss=samples.loss,
        test=samples.test,
        inputs=samples.inputs,
        targets=samples.outputs,
        on_step=say,
    )
    seconds = time.process_time() - begun
    history = found.history
    arrays = {
        name: np.asarray(getattr(history, name)) for name in ("shares", "train", "validation")
    }
    values = {
        "labels": [named(label, samples.inputs) for label in history.labels],
        "actions": list(history.actions),
        "formula": found.formula.to_json(),
        "result": int(found.result),
        "message": found.message,
        "train_error": float(found.train_error),
        "validation_error": float(found.validation_error),
        "test_error": float(found.test_error),
        "parameters": int(found.parameters),
        "warnings": list(found.warnings),
        "evaluations": int(found.evaluations),
        "resolution": float(found.resolution),
        "resolution_message": found.resolution_message,
        "cpu_seconds": seconds,
    }
    if samples.scaler is not None:
        values["scaler"] = samples.scaler.to_json()
    if samples.truth is not None and has_formula(samples.truth):
        values["recovery"] = recovery(found.formula, samples.truth)._asdict()
    return arrays, values


def stored(arrays: dict[str, Any], values: dict[str, Any]) -> SimpleNamespace:
    """A finished cell, with the attributes of a `Search`."""
    labels, actions = values.pop("labels"), values.pop("actions")
    history = SimpleNamespace(**arrays, labels=tuple(labels), actions=tuple(actions))
    formula = Formula.from_json(values.pop("formula"))
    scaler = values.pop("scaler", None)
    scaled = scaler and neuronseek.ScaledFormula(formula, data.Scaler.from_json(scaler))
    return SimpleNamespace(**values, formula=formula, scaled=scaled, history=history)


def main(config: Config) -> Path:
    """Run the experiment; returns the run's folder."""
    runs.setup()
    with runs.refusals():
        if not config.methods or config.seeds < 1:
            raise ValueError("there must be at least one method and one seed")
        for method in config.methods:
            settings(config, method)
        first = prepare(config, config.seed)
    samples = {"x": first.x, "y": first.y}
    with runs.open_run(config.root, "neuron_search", config, seed=config.seed, data=samples) as run:
        done: dict[tuple[str, int], SimpleNamespace] = {}
        points = [
            (method, config.seed + number)
            for method in dict.fromkeys(config.methods)
            for number in range(config.seeds)
        ]

        def compute(point: tuple[str, int]) -> Any:
            with runs.refusals():
                return search(config, *point, partial(tell, run, *point))

        for (method, seed), *cell in run.sweep(
            points, lambda point: "{}-seed{}".format(*point), compute, description="searches"
        ):
            done[method, seed] = found = stored(*cell)
            formula, name = found.formula, f"formula-{method}-seed{seed}"
            run.save_text(formula.to_json(), f"{name}.json")
            latex = formula.to_latex(config.digits)
            text = f"{formula.to_text(config.digits)}\n\n{latex}\n"
            if found.scaled:
                run.save_text(found.scaled.to_json(), f"{name}-scaled.json")
                text += f"\nIn original units:\n{found.scaled.to_text(config.digits)}\n"
            run.save_text(text, f"{name}.txt")
            tell(run, method, seed, f"{found.message}; test error {found.test_error:.1e}")
        summarise(run, config, done)
    return run.path


def tell(run: runs.Run, method: str, seed: int, line: str) -> None:
    """A line of the log, also on the terminal."""
    run.log(f"{method}, seed {seed}: {line}", echo=True)


def summarise(run: runs.Run, config: Config, done: dict[Any, SimpleNamespace]) -> None:
    """Tables, formulas, results and figures."""
    runs.print_table(
        f"Neurons for {config.data} (errors: MSE over the variance of the targets, or the share of "
        "wrong labels; CPU seconds with compilation)",
        (
            "method",
            "seed",
            "structure",
            "training error",
            "test error",
            "parameters",
            "exact",
            "why it stopped",
            "CPU s",
        ),
        [
            (
                method,
                seed,
                str(found.formula.structure()),
                f"{found.train_error:.2e}",
                f"{found.test_error:.2e}",
                found.parameters,
                verdict(found),
                found.message,
                f"{found.cpu_seconds:.1f}",
            )
            for (method, seed), found in done.items()
        ],
    )
    by_method: dict[str, list[SimpleNamespace]] = {}
    for (method, _), found in done.items():
        by_method.setdefault(method, []).append(found)
    for method, members in by_method.items():
        show(config, method, members)
    skipped = ("formula", "scaled", "history")
    run.save_results(
        {},
        {
            f"{method}-seed{seed}": {k: v for k, v in vars(found).items() if k not in skipped}
            | {"structure": str(found.formula.structure()), "text": found.formula.to_text()}
            for (method, seed), found in done.items()
        },
    )
    draw(run, config, by_method)
    print(f"results, formulas as JSON and figures: {run.path}")


def verdict(found: SimpleNamespace) -> str:
    """Whether a search came to the function that made the data."""
    known = getattr(found, "recovery", None)
    if known is None:
        return "-"
    if known["exact"]:
        return "yes"
    near = f"coefficients within {known['distance']:.1e}"
    return f"structure, {near}" if known["structure"] else f"no, {near}"


def show(config: Config, method: str, members: list[SimpleNamespace]) -> None:
    """The formula that most seeds agree on, and warnings."""
    counts = Counter(found.formula.structure() for found in members)
    ((structure, count), *others) = counts.most_common()
    agreeing = [found for found in members if found.formula.structure() == structure]
    best = min(agreeing, key=lambda found: found.test_error)
    print(f"\n{method}: {structure}, found by {count} of {len(members)} seeds")
    for other, number in others:
        print(f"  also {other} by {number}")
    print(best.formula.to_text(config.digits))
    print(f"LaTeX: {best.formula.to_latex(config.digits)}")
    if best.scaled:
        print(f"in original units:\n{best.scaled.to_text(config.digits)}")
    warnings: dict[str, list[str]] = {}
    for line in (line for found in members for line in found.warnings):
        # Those that differ in their numbers alone are one.
        warnings.setdefault(re.sub(r"[0-9.]+", "#", line), []).append(line)
    for first, *more in warnings.values():
        print(f"warning: {first}{f' (and {len(more)} seeds more)' if more else ''}")
    for line in neuronseek.over_seeds(members):
        print(f"warning: {line}")
    if best.resolution_message:
        print(best.resolution_message)
    print()


def draw(run: runs.Run, config: Config, by_method: dict[str, list[SimpleNamespace]]) -> None:
    """Figures: of the first seed of each method, and over seeds."""
    samples = prepare(config, config.seed)
    for method, members in by_method.items():
        found = members[0]
        figures: dict[str, Any] = {"terms": partial(plots.plot_terms, found)}
        if found.formula.terms():
            figures["shares"] = partial(plots.plot_term_shares, found, samples.x)
        if samples.loss == "square":
            several = samples.targets is not None and len(samples.targets) == samples.y.shape[1] > 1
            figures["predictions"] = partial(
                plots.plot_predictions,
                found,
                samples.x,
                samples.y,
                held_out=samples.test,
                names=samples.targets if several else None,
            )
        else:
            figures["confusion"] = partial(
                plots.plot_confusion, found, *samples.test, names=samples.targets
            )
        for name, make in figures.items():
            figure = make()
            run.save_figure(figure, f"{method}-{name}")
            plt.close(figure)
    figure = plots.plot_stability(
        by_method, quantity="test error" if samples.loss == "square" else "share of wrong labels"
    )
    run.save_figure(figure, "stability")
    plt.close(figure)


if __name__ == "__main__":
    sys.exit(runs.script(main, Config, PRESETS, description=__doc__))
