"""Balance ratios: weights into and out of every neuron while pointer value retrieval is learned.

Lemma 9 of neuron pursuit (arXiv 2509.12154): at a KKT point `||w_in||^2 = p ||w_out||^2`, and
gradient flow conserves the difference of the two. First, from a network with one neuron just
inserted at its KKT point, gradient flow and gradient descent with steps of several sizes: how far
differences drift. Then whole pursuits of two layers with one lane, by every minimiser, with and
without a penalty on the weights, balanced after each round (appendix D.6) or not: ratios and drift
in each round, and whether unbalanced pursuits fail. A rerun with the same settings goes on where
the last one stopped.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from scipy import stats

import nsjax
from experiments.pointer_retrieval import ACTIVATIONS, SUCCESS, Activation
from nsjax import data, diagnostics, dynamics, networks, plots, pursuit, runs
from nsjax.objectives import NetworkLoss
from nsjax.pursuit.state import trim

Minimiser = Literal["gradient_descent", "adam", "lbfgs"]
WORDS = {"gradient_descent": "gradient descent", "adam": "Adam", "lbfgs": "L-BFGS"}


@dataclass(frozen=True)
class Config:
    """Settings of the balance ratio experiment."""

    preset: Literal["quick", "full"] = "quick"
    """Which set of defaults the other settings start from."""
    pointer_bits: int = 3
    """Bits of the pointer."""
    window: int = 1
    """Value bits that the target is the parity of."""
    activation: Activation = "relu"
    """Activation: max(t, 0), its square, t^2, t^3."""
    samples: int = 384
    """Number of samples n."""
    minimisers: tuple[Minimiser, ...] = ("gradient_descent", "adam", "lbfgs")
    """Minimisers of the pursuits."""
    penalties: tuple[float, ...] = (0.0, 2e-3)
    """Weights of `1/2 ||w||^2` in the first part of every refit; 0 for none."""
    steps: int = 1500
    """Evaluations of each refit, for each weight of the penalty."""
    learning_rate: float = 0.01
    """Of Adam; the first step of gradient descent, which then goes as far as the loss lets it."""
    max_rounds: int = 14
    """Rounds of a pursuit."""
    tol: float = 1e-3
    """Relative training loss at which a pursuit fits."""
    grown: int = 4
    """Neurons before the one that is inserted for gradient flow and steps of one size."""
    delta: float = 0.1
    """Norm of its weights."""
    horizon: float = 0.3
    """How long both go on, in the time of `dw/dt = -grad f` with f a sum over samples."""
    rates: tuple[float, ...] = (2e-4, 1e-4, 5e-5)
    """Sizes of steps, in the same unit."""
    seeds: int = 3
    """Seeds of the split and of everything random."""
    seed: int = 0
    """First seed."""
    root: Path = field(default=Path("runs"), compare=False)
    """Where run folders go."""


PRESETS = {"quick": Config(), "full": Config(preset="full", steps=5000, seeds=10)}


class Point(NamedTuple):
    """Settings of one pursuit."""

    minimiser: str
    penalty: float
    balance: bool

    @property
    def title(self) -> str:
        """In words."""
        penalty = f", penalty {self.penalty:g}" if self.penalty else ""
        return f"{WORDS[self.minimiser]}{penalty}, {'' if self.balance else 'not '}balanced"


def points(config: Config) -> Iterator[Point]:
    """The settings of a config."""
    for penalty in config.penalties:
        for balance in (False, True):
            for minimiser in config.minimisers:
                yield Point(minimiser, penalty, balance)


def prepare(config: Config, seed: int) -> tuple[Any, Any, jax.Array]:
    """Training and test data, and a key."""
    x, y = data.pointer_value_retrieval(config.pointer_bits, config.window)
    keys = jax.random.split(jax.random.key(seed))
    return (*data.split(keys[0], x, y, config.samples), keys[1])


def activation_of(config: Config) -> Any:
    """The activation of a config."""
    return nsjax.PolyLeakyReLU(*ACTIVATIONS[config.activation])


def pursue(config: Config, point: Point, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """One pursuit of one lane, with the ratios of its neurons before they are balanced."""
    train, test, key = prepare(config, seed)
    activation = activation_of(config)
    settings = pursuit.Config(
        rule="each",
        lanes=1,
        attempts=1,
        minimiser=point.minimiser,
        steps=config.steps,
        learning_rate=config.learning_rate,
        l2=(point.penalty, 0.0) if point.penalty else (0.0,),
        max_rounds=config.max_rounds,
        tol=config.tol,
    )
    task = pursuit.Task(*train, activation=activation, depth=2, config=settings)
    state = pursuit.init(key, task)
    ratios = np.full((config.max_rounds, config.max_rounds), np.nan)
    drifts, factors, before = ratios.copy(), [], np.zeros(config.max_rounds)
    while state.result[0] == pursuit.Stop.GROWING:
        state, _ = pursuit.step(task, state)
        params, row, k = lane(state), int(state.round) - 1, int(state.counts[0, 0])
        ratios[row, :k] = diagnostics.balance_ratio(params, activation)[0]
        off = np.asarray(diagnostics.imbalance(params, activation)[0])
        # A new neuron comes in balanced.
        drifts[row, :k] = (off - before[:k]) / diagnostics.neuron_size(params, activation)[0]
        factors.append(float(np.nanmax(0.5 * np.abs(np.log(ratios[row, :k])))))
        before[:k] = off
        if point.balance:
            whole: Any = tuple(weight[0] for weight in state.params)
            balanced = networks.balance(whole, activation)
            state = state._replace(params=tuple(np.asarray(weight)[None] for weight in balanced))
            before[:] = 0
    grown = task.units.back(lane(state))
    error = pursuit.network_error(grown, test[0], test[1], activation, loss="logistic")
    values = {
        "accuracy": 1 - float(error),
        "fitted": state.result[0] == pursuit.Stop.FITTED,
        "message": pursuit.MESSAGES[int(state.result[0])],
        "neurons": int(state.counts[0, 0]),
        "loss": float(state.loss[0]),
        "drift": float(np.nanmax(np.abs(drifts))),
        "factor": float(np.exp(max(factors))),
    }
    return {"ratios": ratios[: int(state.round)], "drifts": drifts[: int(state.round)]}, values


def lane(state: pursuit.State) -> Any:
    """The network of the first lane."""
    counts = tuple(int(count) for count in state.counts[0])
    weights: Any = tuple(np.asarray(weight[0]) for weight in state.params)
    return trim(weights, counts)


def inserted(config: Config) -> tuple[Any, Any]:
    """A network with one neuron just inserted at its KKT point, and its training data."""
    train, _, key = prepare(config, config.seed)
    activation = activation_of(config)
    base = pursuit.Config(rule="each", lanes=1, attempts=1, prune=False, balance=True)
    options = {"activation": activation, "depth": 2}
    grown = pursuit.run(
        key, *train, config=replace(base, max_rounds=config.grown), **options
    ).params
    # One step so short that nothing moves: the insertion alone.
    alone = replace(
        base,
        balance=False,
        insertion="fixed",
        delta=config.delta,
        minimiser="gradient_descent",
        steps=1,
        learning_rate=1e-15,
        l2=(0.0,),
        max_rounds=1,
    )
    return pursuit.run(key, *train, params=grown, config=alone, **options).params, train


def follow(config: Config) -> tuple[dict[str, Any], dict[str, Any]]:
    """Gradient flow and descent from an inserted neuron: ratios, and drifts of the differences."""
    params, train = inserted(config)
    activation = activation_of(config)
    loss = NetworkLoss(activation)
    saves = dynamics.Saves(count=100, decades=0, snapshots=True)
    flow = dynamics.gradient_flow(
        loss,
        params,
        args=train,
        t1=config.horizon,
        rtol=1e-5,
        saves=saves,
        max_steps=1_000_000,  # steps shrink at the kinks of ReLU
    )
    courses: dict[str, Any] = {"gradient flow": flow}
    for rate in config.rates:
        courses[f"gradient descent, h = {rate:g}"] = dynamics.gradient_descent(
            loss, params, args=train, learning_rate=rate, steps=round(config.horizon / rate)
        )
    arrays, values = {}, {}
    for i, (name, course) in enumerate(courses.items()):
        off = np.asarray(diagnostics.imbalance(course.snapshots, activation)[0])
        sizes = np.asarray(diagnostics.neuron_size(course.snapshots, activation)[0])
        arrays[f"ts_{i}"] = np.asarray(course.ts)
        arrays[f"ratios_{i}"] = np.asarray(
            diagnostics.balance_ratio(course.snapshots, activation)[0]
        )
        values[name] = {
            "drift": float(np.max(np.abs(off - off[0]) / np.max(sizes, axis=0))),
            "start": float(np.max(np.abs(off[0]) / sizes[0])),
            "first_loss": float(course.losses[0]),
            "last_loss": float(course.losses[-1]),
            "growth": float(sizes[-1, -1] / sizes[0, -1]),
        }
    return arrays, values


def name_of(each: tuple[Point, int]) -> str:
    """Name of the cell of a point and seed."""
    point, seed = each
    balanced = "balanced" if point.balance else "unbalanced"
    return f"{point.minimiser}-l2{point.penalty:g}-{balanced}-s{seed}"


def main(config: Config) -> Path:
    """Run the experiment; returns the run's folder."""
    runs.setup()
    with runs.open_run(config.root, "balance_ratios", config, seed=config.seed) as run:
        flow = run.once("flow", lambda: follow(config))
        found: dict[Point, list[Any]] = {}
        sweep = [
            (point, seed)
            for point in points(config)
            for seed in range(config.seed, config.seed + config.seeds)
        ]
        for (point, _), *cell in run.sweep(
            sweep, name_of, lambda each: pursue(config, *each), description="pursuits"
        ):
            found.setdefault(point, []).append(tuple(cell))
        summarise(run, config, flow, found)
    return run.path


def summarise(
    run: runs.Run, config: Config, flow: tuple[Any, Any], found: dict[Point, list[Any]]
) -> None:
    """Tables, results and figures."""
    arrays, courses = flow
    ratios = {name: (arrays[f"ts_{i}"], arrays[f"ratios_{i}"]) for i, name in enumerate(courses)}
    run.save_figure(plots.plot_balance_panels(ratios, label="time $t$", columns=2), "flow")
    runs.print_table(
        "From one neuron inserted at its KKT point: largest change of ||w_in||^2 - p ||w_out||^2 "
        "over the neuron's size",
        ("course", "loss at the start", "at the end", "new neuron grows", "drift"),
        [
            (
                name,
                f"{each['first_loss']:.3g}",
                f"{each['last_loss']:.3g}",
                f"{each['growth']:.3g} times",
                f"{each['drift']:.2e}",
            )
            for name, each in courses.items()
        ],
    )
    panels, rows, results = {}, [], {}
    for point, records in found.items():
        arrays, _ = records[0]
        panels[point.title.replace(", penalty", ",\npenalty").replace(", not", ",\nnot")] = (
            1 + np.arange(len(arrays["ratios"])),
            arrays["ratios"],
        )
        values = [each for _, each in records]
        columns = {name: [each[name] for each in values] for name in values[0]}
        accuracy = np.array(columns["accuracy"])
        results[point.title] = columns
        rows.append(
            (
                point.title,
                f"{np.median(columns['drift']):.1e}",
                f"{np.median(columns['factor']):.3g}",
                f"{max(columns['factor']):.3g}",
                f"{accuracy.min():.4f}",
                f"{np.median(accuracy):.4f}",
                f"{np.median(columns['neurons']):g}",
                sum(not fitted for fitted in columns["fitted"]),
                int(np.sum(accuracy < SUCCESS)),
            )
        )
    run.save_figure(
        plots.plot_balance_panels(panels, columns=len(config.minimisers)), "balance_ratios"
    )
    free = [each for point, records in found.items() if not point.balance for _, each in records]
    related = stats.spearmanr([f["factor"] for f in free], [f["accuracy"] for f in free])
    results["unbalanced"] = {"rank_correlation": related.statistic, "p_value": related.pvalue}
    run.save_results({}, {"flow": courses} | results)
    runs.print_table(
        f"Pursuits of one lane, n = {config.samples}, {config.seeds} seeds. Drift of a round and "
        "factor by which ||w_in|| / (sqrt(p) ||w_out||) is off 1, largest over neurons and rounds, "
        f"both before balancing; failures: accuracy below {SUCCESS:g}",
        (
            "pursuit",
            "drift",
            "factor",
            "largest",
            "worst accuracy",
            "median",
            "neurons",
            "unfitted",
            "failures",
        ),
        rows,
    )
    print(
        f"without balancing, {len(free)} pursuits: rank correlation of factor and accuracy "
        f"{related.statistic:.2f} (p = {related.pvalue:.2g})"
    )
    print(f"results and figures: {run.path}")


if __name__ == "__main__":
    sys.exit(runs.script(main, Config, PRESETS, description=__doc__))
