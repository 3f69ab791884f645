"""Networks of task-driven neurons on tables, beside plain ones and boosted trees.

For every data set and split a formula is searched for on the training rows, and a dense network is
built whose neurons have its terms (NeuronSeek, arXiv 2506.15715, second stage). Beside it stand a
plain network of as many parameters, one of twice as many, and boosted trees. All have the same
splits and as many settings to choose from by held-out error; all networks of a kind, splits times
settings, are trained together.

Data: regression and classification sets that come with scikit-learn; `airfoil` and `california`
are read from `--data-dir`, or fetched. A rerun with the same settings goes on where it stopped.
"""

from __future__ import annotations

import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsjax import data, diagnostics, neuronseek, plots, pursuit, runs
from nsjax.data.tables import FILES
from nsjax.neuronseek import architectures, ensembles
from nsjax.neuronseek.activations import ACTIVATIONS
from nsjax.neuronseek.layers import LayerTerms

SETS = (*data.BUNDLED, *data.CLASSES, *FILES)
TREES = 300
"""Most boosted trees."""
KINDS = ("task-driven", "plain", "plain, twice as many", "boosted trees")


@dataclass(frozen=True)
class Config:
    """Settings of the comparison of networks."""

    preset: Literal["quick", "full"] = "quick"
    """Which set of defaults the other settings start from."""
    data: tuple[str, ...] = ("diabetes", "wine")
    """Names of data sets: diabetes, linnerud, breast_cancer, digits, iris, wine, airfoil,
    california."""
    data_dir: Path | None = field(default=None, compare=False)
    """Folder with the files of airfoil and california; None fetches them."""
    search: Literal["ridge", "pursuit"] = "pursuit"
    """How the formula of a regression is searched for; that of classes is by pursuit."""
    least: float = 0.02
    """Terms whose coefficient is below this share of the largest are left out of the layers."""
    depth: int | None = None
    """How many of the hidden layers are task-driven; None for all."""
    hidden: tuple[int, ...] = (32, 32)
    """Widths of the task-driven network's hidden layers."""
    activation: str = "gelu"
    """relu, gelu, silu, tanh, golu or cauchy."""
    rates: tuple[float, ...] = (3e-3, 1e-2, 3e-2)
    """Learning rates that are tried, of networks."""
    decays: tuple[float, ...] = (0.0, 0.03)
    """Weight decays that are tried with each."""
    epochs: int = 200
    """Most epochs."""
    batch: int = 64
    """Samples of a minibatch."""
    splits: int = 3
    """Splits into rows to train on (64 %), to judge (16 %) and to test on (20 %)."""
    rows: int = 4000
    """Most rows of a data set; of a larger one so many are drawn."""
    seed: int = 0
    """First seed."""
    root: Path = field(default=Path("runs"), compare=False)
    """Where run folders go."""


PRESETS = {
    "quick": Config(),
    "full": Config(
        preset="full",
        data=(
            "diabetes",
            "linnerud",
            "iris",
            "wine",
            "breast_cancer",
            "airfoil",
            "california",
            "digits",
        ),
        splits=5,
        epochs=500,
    ),
}


class Split(NamedTuple):
    """Standardised rows of one split."""

    train: tuple[np.ndarray, np.ndarray]
    held: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]


class Task(NamedTuple):
    """A data set."""

    x: np.ndarray
    y: np.ndarray
    loss: str


def read(config: Config, name: str) -> Task:
    """A data set: for classes one-hot rows, or labels -1 and 1."""
    if name not in data.CLASSES:
        table = data.load(name, config.data_dir)
        return Task(table.x, table.y, "square")
    x, y = map(np.asarray, data.bundled(name))
    return Task(x, y, "logistic" if y.shape[1] == 1 else "cross_entropy")


def divide(config: Config, task: Task, seed: int) -> Split:
    """One split, by its seed alone; inputs and targets are standardised by the training rows."""
    rows = np.random.default_rng(seed).permutation(len(task.x))[: config.rows]
    first, second = round(0.64 * len(rows)), round(0.8 * len(rows))
    parts = rows[:first], rows[first:second], rows[second:]
    x, y = task.x[parts[0]], task.y[parts[0]]
    # A pixel that varies may not do so among these rows.
    centre, size = x.mean(axis=0), np.where(np.ptp(x, axis=0) > 0, x.std(axis=0), 1)
    middle, spread = (y.mean(axis=0), y.std(axis=0)) if task.loss == "square" else (0.0, 1.0)
    return Split(*(((task.x[p] - centre) / size, (task.y[p] - middle) / spread) for p in parts))


def find(config: Config, task: Task, split: Split, seed: int) -> tuple[LayerTerms, str]:
    """The terms of the formula found on the training rows, and the formula."""
    if task.loss == "square" and config.search == "ridge":
        settings: Any = neuronseek.Ridge(bases=("sine",))
    else:
        settings = neuronseek.Config()
    found = neuronseek.search(jax.random.key(seed), *split.train, settings, loss=task.loss)
    if not found.formula.terms():  # a constant: plain neurons
        return LayerTerms(), found.formula.to_text(3)
    terms = LayerTerms.of(found.formula, least=config.least)
    # Coefficients are trained, and start at 1: splits with the same terms share a program.
    return terms.equal(), found.formula.to_text(3)


def network(config: Config, kind: str, outputs: int, inputs: int, terms: LayerTerms) -> Any:
    """A network; plain ones have the width that comes nearest to their number of parameters."""
    driven = architectures.TaskMLP(config.hidden, outputs, terms, config.depth, config.activation)
    if kind == "task-driven":
        return driven
    wanted = architectures.count_parameters(driven, (inputs,)) * (1 if kind == "plain" else 2)
    return architectures.of_size(
        lambda width: architectures.TaskMLP(
            (width,) * len(config.hidden), outputs, None, None, config.activation
        ),
        (inputs,),
        wanted,
    )


def training(config: Config) -> ensembles.EnsembleTraining:
    """Settings of the training of networks."""
    patience = max(config.epochs // 5, 1)
    return ensembles.EnsembleTraining(config.epochs, config.batch, patience)


def train(
    config: Config, kind: str, task: Task, splits: list[Split], terms: list[LayerTerms]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """All networks of one kind on one data set: arrays and values, as stored."""
    grid = [(rate, decay) for rate in config.rates for decay in config.decays]
    inputs, outputs = task.x.shape[1], task.y.shape[1]
    begun = time.process_time()
    found, choices = np.empty(len(splits)), [0] * len(splits)
    curves = np.full((2, len(splits), config.epochs), np.nan)
    sizes, costs = np.empty(len(splits)), np.empty(len(splits))
    groups: dict[Any, list[int]] = {}
    modules = {each: network(config, kind, outputs, inputs, each) for each in dict.fromkeys(terms)}
    for i, each in enumerate(terms):
        groups.setdefault(modules[each], []).append(i)
    for module, members in groups.items():
        lanes = [(i, setting) for i in members for setting in grid]
        stacked = jax.tree.map(
            lambda *each: np.stack(each).astype(np.float32), *(splits[i] for i, _ in lanes)
        )
        fitted = ensembles.train_ensemble(
            jax.vmap(jax.random.key)(jnp.array([config.seed + i for i, _ in lanes])),
            module,
            stacked.train,
            stacked.held,
            learning_rate=np.array([rate for _, (rate, _) in lanes]),
            weight_decay=np.array([decay for _, (_, decay) in lanes]),
            config=training(config),
            loss=task.loss,
        )
        predicted = np.asarray(jax.jit(jax.vmap(module.apply))(fitted.params, stacked.test[0]))
        sizes[members] = architectures.count_parameters(module, (inputs,))
        costs[members] = architectures.flops(module, (inputs,))
        least = fitted.least.reshape(len(members), len(grid))
        for place, i in enumerate(members):
            choices[i] = int(np.argmin(least[place]))
            lane = place * len(grid) + choices[i]
            found[i] = errors(task.loss, predicted[lane][None], splits[i].test[1])[0]
            for k, losses in enumerate((fitted.train, fitted.validation)):
                curves[k, i, : losses.shape[1]] = losses[lane]
    arrays = {"errors": found, "curves": curves, "sizes": sizes, "flops": costs}
    return arrays, {
        "settings": [list(grid[choice]) for choice in choices],
        "seconds": time.process_time() - begun,
    }


def boost(task: Task, splits: list[Split]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Boosted trees: of several settings and numbers of trees the best by held-out error."""
    grid = [(rate, leaf) for rate in (0.03, 0.1, 0.2) for leaf in (5, 20)]
    begun = time.process_time()
    found, chosen = [], []
    for split in splits:
        best: tuple[float, float, list[Any]] = (np.inf, np.nan, [])
        for rate, leaf in grid:
            held, tested = staged(task, split, learning_rate=rate, min_samples_leaf=leaf)
            trees = int(np.argmin(held))
            if held[trees] < best[0]:
                best = held[trees], tested[trees], [rate, leaf, trees + 1]
        found.append(best[1])
        chosen.append(best[2])
    return {"errors": np.array(found)}, {
        "settings": chosen,
        "seconds": time.process_time() - begun,
    }


def staged(task: Task, split: Split, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    """Held-out and test errors after every tree."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from threadpoolctl import threadpool_limits

    options |= {"max_iter": TREES, "early_stopping": False, "random_state": 0}
    x, y = split.train
    # On so few rows threads wait for each other.
    with threadpool_limits(1, "openmp"):
        if task.loss == "square":
            models = [HistGradientBoostingRegressor(**options).fit(x, each) for each in y.T]

            def stages(fresh: np.ndarray) -> Any:
                parts = zip(*(model.staged_predict(fresh) for model in models), strict=True)
                return (np.stack(each, axis=1) for each in parts)
        else:
            labels = y.argmax(axis=1) if y.shape[1] > 1 else (y[:, 0] > 0).astype(int)
            model = HistGradientBoostingClassifier(**options).fit(x, labels)

            def stages(fresh: np.ndarray) -> Any:
                for each in model.staged_predict_proba(fresh):
                    found = np.zeros((len(fresh), max(y.shape[1], 2)))
                    found[:, model.classes_] = each
                    yield found if y.shape[1] > 1 else found[:, 1:] - 0.5

        held, test = (
            errors(task.loss, np.stack(list(stages(fresh))), targets)
            for fresh, targets in (split.held, split.test)
        )
    return held, test


def errors(loss: str, predicted: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Mean squared errors over the variance of the targets `(n, c)`, or shares of wrong classes.

    Of predictions `(k, n, c)`, `(k,)`.
    """
    y = jnp.asarray(targets)
    return np.asarray(
        jax.vmap(lambda each: pursuit.prediction_error(each, y, loss=loss))(jnp.asarray(predicted))
    )


def main(config: Config) -> Path:
    """Run the experiment; returns the run's folder."""
    runs.setup()
    with runs.refusals():
        runs.among("data", config.data, SETS)
        runs.among("activation", (config.activation,), ACTIVATIONS)
        if config.splits < 2 or not all((config.data, config.rates, config.decays, config.hidden)):
            raise ValueError(
                "there must be a data set, two splits, a rate, a decay and a hidden layer or more"
            )
        training(config)
        if min(config.hidden) < 1 or not 0 <= config.least < 1 or config.rows < 10:
            raise ValueError(
                "hidden must be positive, least between 0 and 1 and rows at least 10, got "
                f"{config.hidden}, {config.least:g} and {config.rows}"
            )
        if min((*config.rates, *config.decays)) < 0:
            raise ValueError(f"rates and decays must not be negative, got {config.rates}")
        tasks = {name: read(config, name) for name in dict.fromkeys(config.data)}
    samples = {f"{name} {part}": getattr(tasks[name], part) for name in tasks for part in "xy"}
    with runs.open_run(
        config.root, "tabular_networks", config, seed=config.seed, data=samples
    ) as run:
        done: dict[tuple[str, str], Any] = {}
        splits = {
            name: [divide(config, task, config.seed + i) for i in range(config.splits)]
            for name, task in tasks.items()
        }
        terms: dict[str, list[LayerTerms]] = {name: [] for name in tasks}
        seconds = dict.fromkeys(tasks, 0.0)
        for (name, i), _, values in run.sweep(
            [(name, i) for name in tasks for i in range(config.splits)],
            lambda each: "{}-formula-{}".format(*each),
            lambda each: ({}, searched(config, tasks[each[0]], splits[each[0]][each[1]], each[1])),
            description="searches",
        ):
            streams = ("powers", "interactions", "bases")
            terms[name].append(LayerTerms(**{s: tuple(map(tuple, values[s])) for s in streams}))
            seconds[name] += values["seconds"]
            run.log(f"{name}, split {i}: {terms[name][-1]}", echo=True)

        def compute(each: tuple[str, str]) -> Any:
            name, kind = each
            if kind == "boosted trees":
                return boost(tasks[name], splits[name])
            arrays, values = train(config, kind, tasks[name], splits[name], terms[name])
            if kind == "task-driven":
                values["search seconds"] = seconds[name]
            return arrays, values

        for (name, kind), arrays, values in run.sweep(
            [(name, kind) for name in tasks for kind in KINDS], name_of, compute, description="fits"
        ):
            done[name, kind] = arrays, values
            run.log(f"{name}, {kind}: error {np.mean(arrays['errors']):.3g}", echo=True)
        summarise(run, config, tasks, done)
    return run.path


def name_of(each: tuple[str, str]) -> str:
    """Name of the cell of a data set and kind of network."""
    name, kind = each
    return f"{name}-{kind.replace(', ', '-').replace(' ', '-')}"


def searched(config: Config, task: Task, split: Split, number: int) -> dict[str, Any]:
    """The terms for one split, as stored, and the CPU time of the search."""
    begun = time.process_time()
    terms, text = find(config, task, split, config.seed + number)
    return {**asdict(terms), "text": text, "seconds": time.process_time() - begun}


def summarise(
    run: runs.Run, config: Config, tasks: dict[str, Task], done: dict[tuple[str, str], Any]
) -> None:
    """Table, results and figures."""
    rows, results = [], {}
    for name, task in tasks.items():
        plain = done[name, "plain"][0]["errors"]
        for kind in KINDS:
            arrays, values = done[name, kind]
            found = arrays["errors"]
            _, low, high = diagnostics.mean_interval(found - plain)
            rows.append(
                (
                    name,
                    kind,
                    f"{np.mean(found):.4g}",
                    f"{np.std(found, ddof=1):.2g}",
                    "-"
                    if kind == "plain"
                    else f"{np.mean(found / plain) - 1:+.0%}"
                    if task.loss == "square"
                    else f"{np.mean(found - plain):+.3f}",
                    "-" if kind == "plain" else f"{low:+.3g}, {high:+.3g}",
                    f"{np.median(arrays['sizes']):.0f}" if "sizes" in arrays else "-",
                    f"{np.median(arrays['flops']):.0f}" if "flops" in arrays else "-",
                    f"{values['seconds']:.0f}"
                    + (f" + {values['search seconds']:.0f}" if "search seconds" in values else ""),
                )
            )
            results[f"{name}, {kind}"] = {**values, "errors": found, "above plain": [low, high]}
        unit = "half the MSE" if task.loss == "square" else "nats"
        for k, which in enumerate(("training", "held-out")):
            curves = {kind: done[name, kind][0]["curves"][k] for kind in KINDS[:-1]}
            figure = plots.plot_learning_curves(curves, quantity=f"{which} loss ({unit})")
            run.save_figure(figure, f"{name}-{which}")
        boxes = {kind: done[name, kind][0]["errors"] for kind in KINDS}
        if min(map(np.min, boxes.values())) > 0:
            quantity = "MSE / variance" if task.loss == "square" else "share of wrong classes"
            run.save_figure(
                plots.plot_error_boxes(boxes, quantity=f"test error ({quantity})"),
                f"{name}-errors",
            )
    run.save_results({}, results)
    runs.print_table(
        f"Test errors (MSE over the variance, or share of wrong classes) over {config.splits} "
        "splits; beside the plain network of as many parameters: mean of the relative difference, "
        "of classes of the absolute one, and a 95 % interval of the difference, paired",
        (
            "data",
            "network",
            "mean",
            "sd",
            "beside plain",
            "interval",
            "parameters",
            "FLOPs a sample",
            "CPU s (+ search)",
        ),
        rows,
    )
    print(f"results and figures: {run.path}")


if __name__ == "__main__":
    sys.exit(runs.script(main, Config, PRESETS, description=__doc__))
