"""Task-driven neurons on measured data, beside symbolic regression: errors and stability.

Ten starts on each of five splits, for every method the same rows: the neuron with ridge, the search
by candidates, the gradient training of NeuronSeek (arXiv 2506.15715), and genetic programming by
pyoperon and gplearn with the CPU time that the neuron with ridge took. Every method has as many
settings to choose from, by held-out error on starts of their own. Linear least squares, ridge on
all monomials and boosted trees stand beside them.

Data: scikit-learn's diabetes by default; `--data airfoil --data-dir DIR` and `california` from
files, or from OpenML without a folder. A rerun with the same settings goes on where it stopped.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsjax import data, neuronseek, plots, pursuit, runs
from nsjax.networks import cp
from nsjax.neuronseek import stability, symbolic_regression
from nsjax.neuronseek.symbolic_regression import GPLearn, Operon

Method = Literal["ridge", "pursuit", "paper", "pyoperon", "gplearn"]


@dataclass(frozen=True)
class Config:
    """Settings of the experiment on measured data."""

    preset: Literal["quick", "full"] = "quick"
    """Which set of defaults the other settings start from."""
    data: str = "diabetes"
    """airfoil, california, diabetes, ..."""
    data_dir: Path | None = field(default=None, compare=False)
    """Folder with the file of the data set; without one it is fetched, where it is not bundled."""
    methods: tuple[Method, ...] = ("ridge", "pursuit", "pyoperon")
    """What is compared; `ridge` comes first, for its CPU time is the budget of the others."""
    splits: int = 2
    """Splits into rows to train on and to test on."""
    starts: int = 4
    """Random starts of each method on each split."""
    share: float = 0.2
    """Share of the rows that are tested on."""
    holdout: float = 0.25
    """Share of the training rows that judge, in every method."""
    tuning: int = 2
    """Starts, on a split of their own, by which each method chooses among its settings; 0 for the
    first one."""
    seconds: float | None = None
    """CPU-seconds of genetic programming; by default the median of the neuron with ridge, warm."""
    rows: int = 5000
    """Most rows of a data set; of a larger one so many are drawn."""
    seed: int = 0
    """First seed."""
    root: Path = field(default=Path("runs"), compare=False)
    """Where run folders go."""


PRESETS = {
    "quick": Config(),
    "full": Config(
        preset="full",
        methods=("ridge", "pursuit", "paper", "pyoperon", "gplearn"),
        splits=5,
        starts=10,
    ),
}
SETTINGS: dict[str, tuple[Any, ...]] = {
    "ridge": (
        neuronseek.Ridge(),
        neuronseek.Ridge(rank=2),
        neuronseek.Ridge(rank=6),
        neuronseek.Ridge(bases=("sine",)),
    ),
    "pursuit": (
        neuronseek.Config(),
        neuronseek.Config(z=1.0),
        neuronseek.Config(z=0.0),
        neuronseek.Config(z=1.0, bases=("sine",)),
    ),
    "paper": tuple(
        neuronseek.Training(template=template, epochs=epochs)
        for template in (cp.Template(rank=4), cp.Template((1, 2, 3, 4, 5), (2, 3, 4, 5), 4))
        for epochs in (300, 3000)
    ),
    "pyoperon": (
        Operon(),
        Operon(population=500),
        Operon(length=100),
        Operon(symbols="add,sub,mul,aq,square,constant,variable"),
    ),
    "gplearn": (
        GPLearn(),
        GPLearn(population=300),
        GPLearn(parsimony=1e-4),
        GPLearn(functions=("add", "sub", "mul")),
    ),
}
"""Four settings for each method."""


TUNING_SPLIT = 999
"""Number of the split on which settings are chosen."""
MOST_MONOMIALS = 5000
"""Columns up to which all monomials are fitted."""
GRID = 60
"""Amounts of work at which stability is looked at."""


class Samples(NamedTuple):
    """Standardised rows of one split."""

    train: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]
    scaler: data.Scaler
    table: data.Table


class Point(NamedTuple):
    """One fit: `setting` is a place in `SETTINGS`, or -1 for the chosen one."""

    method: str
    split: int
    start: int
    setting: int = -1

    @property
    def name(self) -> str:
        """Name of its cell."""
        if self.setting >= 0:
            return f"tuning-{self.method}-{self.setting}-start{self.start}"
        return f"{self.method}-split{self.split}-start{self.start}"


def prepare(config: Config, table: data.Table, seed: int) -> Samples:
    """One split, by its seed alone."""
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(table.x))[: config.rows]
    count = len(rows) - round(config.share * len(rows))
    if not 1 < count < len(rows):
        raise ValueError(f"share must leave rows on both sides, got {config.share:g}")
    train, test = rows[:count], rows[count:]
    scaler = data.Scaler.fit(table.x[train], table.y[train])
    return Samples(
        scaler.apply(table.x[train], table.y[train]),
        scaler.apply(table.x[test], table.y[test]),
        scaler,
        table,
    )


def fit(
    config: Config, samples: Samples, point: Point, settings: Any, seconds: float, clock: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arrays and values of one fit, as stored."""
    seed = 1000 * (point.split + 1) + point.start + config.seed
    if isinstance(settings, Operon | GPLearn):
        return evolve(config, samples, settings, seed, seconds)
    return search(config, samples, settings, seed, clock)


def halves(config: Config, samples: Samples, seed: int) -> tuple[Any, Any]:
    """Rows to fit and rows that judge."""
    x, y = samples.train
    order = np.random.default_rng(seed).permutation(len(x))
    count = round(config.holdout * len(x))
    return (x[order[count:]], y[order[count:]]), (x[order[:count]], y[order[:count]])


def search(
    config: Config, samples: Samples, settings: Any, seed: int, clock: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A task-driven neuron."""
    trained = isinstance(settings, neuronseek.Training)
    rows, held = halves(config, samples, seed) if trained else (samples.train, samples.test)
    marks: list[float] = []

    def run() -> Any:
        marks[:] = [time.process_time()]
        return neuronseek.search(
            jax.random.key(seed),
            rows[0],
            rows[1],
            settings,
            # Gradient training follows these samples and makes no use of them.
            validation=samples.test if trained else None,
            test=samples.test,
            inputs=samples.table.inputs,
            targets=samples.table.targets,
            on_step=lambda _: marks.append(time.process_time()),
        )

    found, seconds = clock.warm(run)
    predicted = np.asarray(found.predict(samples.test[0]))
    history = found.history
    if trained:
        work, path = np.linspace(0, seconds, len(history.train) + 1)[1:], history.validation
        judged = relative(np.asarray(found.predict(held[0])), held[1])
        now = np.arange(len(path))
    else:
        # The search says what it has done after each step, the first of them being a constant.
        work, path = np.array(marks[-len(history.train) :]) - marks[0], history.test
        judged = found.validation_error
        # The last step, to all rows, is what is returned.
        now = stability.leaders(history.validation)
        now[-1] = len(path) - 1
    structures = stability.step_structures(history)
    arrays = {"work": work, "path": path[now], "predicted": predicted}
    values = {
        "error": relative(predicted, samples.test[1]),
        "formula_error": found.test_error,
        "held": judged,
        "structure": str(found.formula.structure()),
        "structures": [structures[i] for i in now],
        "parameters": found.parameters,
        "seconds": seconds,
        "text": found.formula.to_text(4),
        "json": found.formula.to_json(),
    }
    return arrays, values


def evolve(
    config: Config, samples: Samples, settings: Any, seed: int, seconds: float
) -> tuple[dict[str, Any], dict[str, Any]]:
    """An expression by genetic programming."""
    rows, held = halves(config, samples, seed)
    y = samples.train[1]
    found = symbolic_regression.evolve(
        seed,
        rows[0],
        rows[1],
        settings,
        seconds=seconds,
        validation=held,
        test=samples.test,
        bounds=(float(y.min()), float(y.max())),
    )
    predicted = found.predict(samples.test[0])[:, None]
    now = stability.leaders(found.steps.held)
    arrays = {"work": found.steps.seconds, "path": found.steps.test[now], "predicted": predicted}
    values = {
        "error": relative(predicted, samples.test[1]),
        "formula_error": float("nan"),
        "held": float(found.steps.held[found.chosen]),
        "structure": found.steps.structures[found.chosen],
        "structures": [found.steps.structures[i] for i in now],
        "parameters": found.nodes,
        "seconds": float(found.steps.seconds[-1]),
        "text": found.text,
        "json": "",
    }
    return arrays, values


def relative(predicted: np.ndarray, targets: np.ndarray) -> float:
    """Mean squared error over the variance of the targets."""
    found = pursuit.prediction_error(jnp.asarray(predicted), jnp.asarray(targets), loss="square")
    return float(found)


def references(samples: Samples) -> dict[str, float]:
    """Errors of methods of scikit-learn."""
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.linear_model import LinearRegression, RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PolynomialFeatures, StandardScaler

    x, y = samples.train
    models: dict[str, Any] = {"linear": LinearRegression()}
    for order in (3, 4, 5):
        features = PolynomialFeatures(order, include_bias=False)
        if features.fit(x[:1]).n_output_features_ <= MOST_MONOMIALS:
            models[f"ridge on monomials to order {order}"] = make_pipeline(
                features, StandardScaler(), RidgeCV(np.logspace(-6, 3, 19))
            )
    models["boosted trees"] = HistGradientBoostingRegressor(random_state=0)
    bounds = float(y.min()), float(y.max())
    return {
        name: relative(
            np.clip(model.fit(x, y[:, 0]).predict(samples.test[0]), *bounds)[:, None],
            samples.test[1],
        )
        for name, model in models.items()
    }


def all_splits(config: Config) -> list[int]:
    """Numbers of all splits."""
    return [*range(config.splits), *([TUNING_SPLIT] if config.tuning else [])]


def points(config: Config) -> list[Point]:
    """All fits, the neuron with ridge first; of each method, first those that choose."""
    found = []
    for method in sorted(config.methods, key=lambda each: each != "ridge"):
        found += [
            Point(method, TUNING_SPLIT, start, setting)
            for setting in range(len(SETTINGS[method]))
            for start in range(config.tuning)
        ]
        found += [
            Point(method, split, start)
            for split in range(config.splits)
            for start in range(config.starts)
        ]
    return found


def choose(done: dict[Point, Any], method: str) -> int:
    """The setting of the least held-out error, in the median over its starts."""
    held: dict[int, list[float]] = {0: []}
    for point, (_, values) in done.items():
        if point.method == method and point.setting >= 0:
            held.setdefault(point.setting, []).append(values["held"])
    return min(held, key=lambda setting: np.median(held[setting]) if held[setting] else 0.0)


def seconds_of(done: dict[Point, Any]) -> float:
    """Median CPU time of the neuron with ridge."""
    mine = [p for p in done if p.method == "ridge" and p.setting < 0]
    return float(np.median([done[point][1]["seconds"] for point in mine]))


def main(config: Config) -> Path:
    """Run the experiment; returns the run's folder."""
    runs.setup()
    with runs.refusals():
        table = data.load(config.data, config.data_dir)
        if table.y.shape[1] != 1:
            raise ValueError(f"data must have one target, got {table.y.shape[1]} in {config.data}")
        if config.starts < 2 or config.splits < 1:
            raise ValueError("there must be at least two starts and one split")
        if config.seconds is None and "ridge" not in config.methods:
            raise ValueError("seconds must be given where methods do not include ridge")
        prepare(config, table, config.seed)
    samples = {"x": table.x, "y": table.y}
    with runs.open_run(config.root, "real_data", config, seed=config.seed, data=samples) as run:
        clock = runs.Compilations()
        splits = {
            split: prepare(config, table, config.seed + split) for split in all_splits(config)
        }
        done: dict[Point, tuple[dict[str, Any], dict[str, Any]]] = {}
        chosen: dict[str, int] = {}

        def compute(point: Point) -> Any:
            place = choose(done, point.method) if point.setting < 0 else point.setting
            settings = SETTINGS[point.method][place]
            budget = config.seconds or (0.0 if point.method == "ridge" else seconds_of(done))
            return fit(config, splits[point.split], point, settings, budget, clock)

        # Settings are chosen by the points before, and so is the CPU time of the others.
        for point, *cell in run.sweep(
            points(config), lambda point: point.name, compute, description="fits", share=False
        ):
            done[point] = cell[0], cell[1]
        for method in config.methods:
            chosen[method] = choose(done, method)
            run.log(f"{method}: {SETTINGS[method][chosen[method]]}", echo=True)
        tested = [splits[split] for split in range(config.splits)]
        beside = [references(samples) for samples in tested]
        summarise(run, config, tested, done, chosen, beside)
        for point, (_, values) in done.items():
            if values["json"] and point.setting < 0:
                formula = neuronseek.Formula.from_json(values["json"])
                scaled = neuronseek.ScaledFormula(formula, splits[point.split].scaler)
                run.save_text(scaled.to_json(), f"formula-{point.name}.json")
    return run.path


def course(config: Config, done: dict[Point, Any], method: str, split: int) -> stability.Course:
    """Stability of the starts on one split, along CPU time."""
    mine = [done[Point(method, split, start)] for start in range(config.starts)]
    work = [arrays["work"] for arrays, _ in mine]
    first, last = min(each[each > 0].min() for each in work), max(each[-1] for each in work)
    return stability.course(
        work,
        [values["structures"] for _, values in mine],
        [arrays["path"] for arrays, _ in mine],
        np.geomspace(first, last, GRID),
    )


def summarise(
    run: runs.Run,
    config: Config,
    splits: list[Samples],
    done: dict[Point, tuple[dict[str, Any], dict[str, Any]]],
    chosen: dict[str, int],
    beside: list[dict[str, float]],
) -> None:
    """Table, results and figures."""
    rows: list[tuple[str, ...]] = []
    errors, courses, tables = {}, {}, {}
    results: dict[str, Any] = {"settings": {}, "methods": {}, "references": beside}
    for method, setting in chosen.items():
        table = np.empty((config.splits, config.starts))
        found, values = [], []
        for split in range(config.splits):
            mine = [done[Point(method, split, start)] for start in range(config.starts)]
            values += [value for _, value in mine]
            table[split] = [value["error"] for _, value in mine]
            found.append(
                stability.stability(
                    table[split],
                    [value["held"] for _, value in mine],
                    [value["structure"] for _, value in mine],
                    np.stack([arrays["predicted"][:, 0] for arrays, _ in mine]),
                    float(np.var(splits[split].test[1])),
                )
            )
        mean = {
            name: float(np.mean([getattr(s, name) for s in found])) for name in found[0]._fields
        }
        tables[method] = table
        low, high = stability.interval(table)
        least, most = stability.interval(table, of="deviation")
        raw = np.array([value["formula_error"] for value in values], float)
        rows.append(
            (
                method,
                f"{mean['mean']:.3f} [{low:.3f}, {high:.3f}]",
                f"{mean['deviation']:.3f} [{least:.3f}, {most:.3f}]",
                f"{mean['median']:.3f}",
                f"{mean['best']:.3f}, {mean['worst']:.3f}",
                f"{mean['chosen']:.3f}",
                f"{np.mean(raw):.3f}" if np.isfinite(raw).all() else "-",
                f"{mean['structures']:.1f} of {config.starts}",
                f"{mean['disagreement']:.3f}",
                f"{np.median([value['parameters'] for value in values]):.0f}",
                f"{np.median([value['seconds'] for value in values]):.2g}",
            )
        )
        errors[method] = table.reshape(-1)
        courses[method] = [course(config, done, method, split) for split in range(config.splits)]
        results["settings"][method] = repr(SETTINGS[method][setting])
        results["methods"][method] = {
            **mean,
            "interval": [low, high],
            "deviation interval": [least, most],
            "errors": table,
        }
    results["above ridge"] = {
        method: stability.interval(table, tables["ridge"])
        for method, table in tables.items()
        if "ridge" in tables and method != "ridge"
    }
    for name in beside[0]:
        errors[name] = np.array([each[name] for each in beside])
        rows.append((name, f"{np.mean(errors[name]):.3f}", *["-"] * 9))
    run.save_results({}, results)
    run.save_figure(plots.plot_error_boxes(errors), "errors")
    run.save_figure(plots.plot_courses(courses), "diversity")
    runs.print_table(
        f"{config.data}: MSE over variance on test rows, predictions cut off at the targets seen; "
        f"{config.splits} splits, {config.starts} starts; means over splits",
        (
            "method",
            "mean [95 %]",
            "sd of starts [95 %]",
            "median",
            "best, worst",
            "best of 4",
            "not cut off",
            "structures",
            "disagreement",
            "numbers",
            "CPU s",
        ),
        rows,
    )
    for method, (low, high) in results["above ridge"].items():
        print(
            f"{method}: mean error above that of the neuron with ridge, 95 %: {low:.3f}, {high:.3f}"
        )
    print(f"results and figures: {run.path}")


if __name__ == "__main__":
    sys.exit(runs.script(main, Config, PRESETS, description=__doc__))
