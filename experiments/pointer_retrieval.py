"""Pointer value retrieval: accuracy on unseen inputs against samples, with and without balancing.

Learns which value bit a pointer names (neuron pursuit, arXiv 2509.12154, section 5.2.2) from n of
the inputs and tests on all the others. Pursuit runs with balanced neurons (appendix D.6) and
without, with several lanes, with one, and as in the paper; beside it stands Adam from standard and
from small weights. Adam is tuned in its favour: of every width, learning rate and small scale it is
the one with the best accuracy on the unseen inputs that counts. A rerun with the same settings goes
on where the last one stopped.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

import nsjax
from nsjax import data, plots, pursuit, runs
from nsjax.pursuit import baselines

Activation = Literal["relu", "relu2", "x2", "x3"]
Method = Literal[
    "balanced",
    "unbalanced",
    "balanced-single",
    "unbalanced-single",
    "balanced-paper",
    "unbalanced-paper",
    "adam",
    "adam-small",
]
ACTIVATIONS = {"relu": (1, 0.0), "relu2": (2, 0.0), "x2": (2, 1.0), "x3": (3, 1.0)}
"""Degree p and slope a of max(t, a t)^p."""
LABELS = {
    "balanced": "pursuit, balanced",
    "unbalanced": "pursuit, not balanced",
    "balanced-single": "one lane, balanced",
    "unbalanced-single": "one lane, not balanced",
    "balanced-paper": "Algorithm 1, balanced",
    "unbalanced-paper": "Algorithm 1, not balanced",
    "adam": "Adam",
    "adam-small": "Adam, small init",
}
SUCCESS = 0.99
"""Accuracy on unseen inputs of a success."""


@dataclass(frozen=True)
class Config:
    """Settings of the pointer value retrieval experiment."""

    preset: Literal["quick", "full"] = "quick"
    """Which set of defaults the other settings start from."""
    pointer_bits: int = 3
    """Bits k of the pointer; there are 2^k value bits and 2^(k + 2^k) inputs."""
    windows: tuple[int, ...] = (1,)
    """Numbers of value bits, from the one that the pointer names, that the target depends on."""
    aggregate: Literal["parity", "majority", "min", "max"] = "parity"
    """What the target is of the bits in the window."""
    activations: tuple[Activation, ...] = ("relu",)
    """Activations: max(t, 0), its square, t^2, t^3."""
    depths: tuple[int, ...] = (2,)
    """Numbers of layers L."""
    samples: tuple[int, ...] = (256, 384, 512)
    """Numbers of samples n."""
    methods: tuple[Method, ...] = ("balanced", "unbalanced", "adam", "adam-small")
    """What is compared: with `-single`, pursuit has one lane and one attempt; with `-paper`, it is
    Algorithm 1 as published."""
    loss: Literal["square", "logistic"] = "square"
    """Training loss."""
    lanes: int = 4
    """Lanes of the pursuit."""
    attempts: int = 3
    """Attempts of the pursuit."""
    tol: float = 1e-3
    """Relative training loss at which a pursuit fits: signs need no more."""
    max_share: float = 0.5
    """Budget of parameters of the pursuit, over samples."""
    widths: tuple[int, ...] = (16, 50)
    """Neurons in each hidden layer of Adam's networks."""
    rates: tuple[float, ...] = (1e-3, 3e-3, 1e-2, 3e-2)
    """Learning rates of Adam."""
    small: tuple[float, ...] = (0.1, 0.03)
    """Its small initialisations, as factors on every weight of the standard one."""
    steps: int = 2000
    """Steps of Adam, over which the learning rate falls to zero along a cosine."""
    seeds: int = 3
    """Seeds of the split and of everything random."""
    seed: int = 0
    """First seed."""
    root: Path = field(default=Path("runs"), compare=False)
    """Where run folders go."""


PRESETS = {
    "quick": Config(),
    "full": Config(
        preset="full",
        activations=("relu", "relu2", "x2"),
        depths=(2, 3),
        samples=(512,),
    ),
}


class Panel(NamedTuple):
    """A window and the networks that learn it."""

    window: int
    activation: str
    depth: int

    @property
    def title(self) -> str:
        """In words, for a figure."""
        return f"window {self.window}, {self.activation}, L = {self.depth}"


def panels(config: Config) -> Iterator[Panel]:
    """The panels of a config."""
    for window in config.windows:
        for activation in config.activations:
            for depth in config.depths:
                yield Panel(window, activation, depth)


def settings(config: Config, method: str) -> pursuit.Config:
    """Settings of a pursuit."""
    balance, _, kind = method.partition("-")
    base = pursuit.PRESETS["paper" if kind == "paper" else "default"]
    changes: dict[str, Any] = {"balance": balance == "balanced", "max_share": config.max_share}
    if kind != "paper":
        single = kind == "single"
        changes |= {
            "lanes": 1 if single else config.lanes,
            "attempts": 1 if single else config.attempts,
        }
    return replace(base, tol=config.tol, **changes)


def measure(config: Config, panel: Panel, n: int, seed: int, method: str) -> dict[str, Any]:
    """One method on one split: accuracy on the unseen inputs, and what became of it."""
    x, y = data.pointer_value_retrieval(
        config.pointer_bits, panel.window, aggregate=config.aggregate
    )
    keys = jax.random.split(jax.random.key(seed))
    (x, y), test = data.split(keys[0], x, y, n)
    activation = nsjax.PolyLeakyReLU(*ACTIVATIONS[panel.activation])

    def accuracy(params: Any) -> float:
        return 1 - float(pursuit.network_error(params, *test, activation, loss="logistic"))

    begun = time.process_time()
    if not method.startswith("adam"):
        found = pursuit.run(
            keys[1],
            x,
            y,
            activation=activation,
            depth=panel.depth,
            loss=config.loss,
            config=settings(config, method),
        )
        return {
            "accuracy": accuracy(found.params),
            "fitted": found.result == pursuit.Stop.FITTED,
            "message": found.message,
            "loss": found.loss,
            "hidden": found.neurons,
            "grown": found.grown,
            "seconds": time.process_time() - begun,
        }
    tried = [
        baselines.train(
            keys[1],
            x,
            y,
            activation=activation,
            hidden=(width,) * (panel.depth - 1),
            scale=scale,
            learning_rates=config.rates,
            steps=config.steps,
            loss=config.loss,
            validation=test,
        )
        for width in config.widths
        for scale in (config.small if method == "adam-small" else (1.0,))
    ]
    best = max(tried, key=lambda each: accuracy(each.params))
    return {
        "accuracy": accuracy(best.params),
        "fitted": best.loss <= config.tol,
        "loss": best.loss,
        "hidden": best.hidden,
        "learning_rate": best.learning_rate,
        "seconds": sum(each.seconds for each in tried),
    }


def name_of(each: tuple[Panel, int, int, str]) -> str:
    """Name of the cell of a panel, number of samples, seed and method."""
    panel, n, seed, method = each
    return f"w{panel.window}-{panel.activation}-L{panel.depth}-{method}-n{n}-s{seed}"


def main(config: Config) -> Path:
    """Run the experiment; returns the run's folder."""
    runs.setup()
    with runs.refusals():
        for window in config.windows:
            data.pointer_value_retrieval(config.pointer_bits, window, aggregate=config.aggregate)
    records: dict[Panel, dict[str, dict[int, list[dict[str, Any]]]]] = {}
    with runs.open_run(config.root, "pointer_retrieval", config, seed=config.seed) as run:
        points = [
            (panel, n, seed, method)
            for panel in panels(config)
            for method in config.methods
            for n in sorted(config.samples)
            for seed in range(config.seed, config.seed + config.seeds)
        ]
        for (panel, n, _, method), _, values in run.sweep(
            points, name_of, lambda each: ({}, measure(config, *each)), description="networks"
        ):
            found = records.setdefault(panel, {}).setdefault(method, {})
            found.setdefault(n, []).append(values)
        summarise(run, config, records)
    return run.path


def summarise(run: runs.Run, config: Config, records: dict[Panel, Any]) -> None:
    """Table, results and figure."""
    rows, results, figures = [], {}, {}
    for panel, methods in records.items():
        curves = {}
        for method, done in methods.items():
            accuracies = np.array([[each["accuracy"] for each in found] for found in done.values()])
            curves[LABELS[method]] = (tuple(done), 1 - accuracies)
            for (n, found), at in zip(done.items(), accuracies, strict=True):
                hidden = [sum(each["hidden"]) for each in found]
                results[f"{panel.title}, {LABELS[method]}, n = {n}"] = {
                    "accuracy": at,
                    "hidden": [each["hidden"] for each in found],
                    "fitted": [each["fitted"] for each in found],
                    "seconds": [each["seconds"] for each in found],
                }
                rows.append(
                    (
                        panel.title,
                        LABELS[method],
                        n,
                        f"{at.min():.4f}",
                        f"{np.median(at):.4f}",
                        f"{at.max():.4f}",
                        f"{np.median(hidden):g}",
                        max(hidden),
                        sum(not each["fitted"] for each in found),
                        int(np.sum(at < SUCCESS)),
                    )
                )
        figures[panel.title] = curves
    figure = plots.plot_sample_efficiency(
        figures, threshold=1 - SUCCESS, quantity="share of unseen inputs wrong", linear_below=1e-3
    )
    run.save_figure(figure, "pointer_retrieval")
    run.save_results({}, results)
    runs.print_table(
        f"Pointer value retrieval, {config.pointer_bits} pointer bits, {config.seeds} seeds: "
        f"accuracy on all unseen inputs (Adam's width, learning rate and small scale chosen on "
        f"them, in its favour); unfitted: training loss above {config.tol:g}; failures: accuracy "
        f"below {SUCCESS:g}",
        (
            "task",
            "method",
            "n",
            "worst",
            "median",
            "best",
            "neurons",
            "most",
            "unfitted",
            "failures",
        ),
        rows,
    )
    print(f"results and figures: {run.path}")


if __name__ == "__main__":
    sys.exit(runs.script(main, Config, PRESETS, description=__doc__))
