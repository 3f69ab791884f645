"""Modular addition: accuracy against the share of pairs seen, and the waves that neurons become.

Neuron pursuit (arXiv 2509.12154, section 5.2.2) learns the sum of two numbers modulo m, one-hot in
and out, from a share of all pairs, with two layers and t^2: several distinct KKT neurons a round,
until every training pair is right and a margin of neurons has been added. Beside it stands Adam,
from standard and from small weights, at several widths and weight decays; of its learning rates
the best on the test pairs counts. The Fourier spectra of the neurons are shown as they are added
and at the end. A rerun with the same settings goes on where the last one stopped.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import nsjax
from nsjax import data, diagnostics, kkt, plots, pursuit, runs
from nsjax.pursuit import baselines

Method = Literal["pursuit", "adam", "adam-small"]


@dataclass(frozen=True)
class Config:
    """Settings of the modular addition experiment."""

    preset: Literal["quick", "full"] = "quick"
    """Which set of defaults the other settings start from."""
    modulus: int = 59
    """The modulus m."""
    fractions: tuple[float, ...] = (0.3, 0.5, 0.7)
    """Shares of all m^2 pairs that are seen."""
    seeds: int = 1
    """Seeds of the split and of everything random."""
    methods: tuple[Method, ...] = ("pursuit", "adam", "adam-small")
    """What is compared."""
    loss: Literal["square", "cross_entropy"] = "square"
    """Training loss."""
    per_round: int = 4
    """Distinct KKT neurons that a round of the pursuit adds."""
    margin: float | None = None
    """Neurons that are added once every training pair is right, over those there were; by default
    0.5, with cross-entropy 3."""
    l2: tuple[float, ...] | None = None
    """Weights of `1/2 ||w||^2` in the pursuit's refits, in turn; by default none, with
    cross-entropy 3e-3 and then 1e-4."""
    steps: int = 200
    """Evaluations of L-BFGS in each round."""
    starts: int = 64
    """Starts of the ascent of the NCF."""
    max_neurons: int = 200
    """Budget of neurons of the pursuit."""
    widths: tuple[int, ...] = (128,)
    """Neurons of the networks under Adam."""
    rates: tuple[float, ...] = (3e-3, 1e-2)
    """Its learning rates."""
    decays: tuple[float, ...] = (0.0, 1e-4)
    """Its weight decays, as weights of `1/2 ||w||^2` beside the relative loss."""
    adam_steps: int = 1000
    """Its steps, over which the learning rate falls to zero along a cosine."""
    adam_small: float = 0.1
    """Its small initialisation, as a factor on every weight of the standard one."""
    seed: int = 0
    """First seed."""
    root: Path = field(default=Path("runs"), compare=False)
    """Where run folders go."""


PRESETS = {
    "quick": Config(),
    "full": Config(
        preset="full",
        fractions=(0.2, 0.25, 0.3, 0.5, 0.7),
        seeds=3,
        widths=(64, 128),
        rates=(1e-2,),
        decays=(0.0, 3e-3),
        adam_steps=4000,
    ),
}
ACTIVATION = nsjax.PolyLeakyReLU(2, 1.0)
DEFAULTS: dict[str, tuple[float, tuple[float, ...]]] = {
    "square": (0.5, (0.0,)),
    "cross_entropy": (3.0, (3e-3, 1e-4)),
}
"""Margin and penalties of the pursuit by loss. Without a penalty, cross-entropy is brought to zero
by a few large neurons that are no waves."""


class Split(NamedTuple):
    """Pairs seen and unseen."""

    x: jax.Array
    y: jax.Array
    unseen: tuple[jax.Array, jax.Array]
    key: jax.Array


def split(config: Config, fraction: float, seed: int) -> Split:
    """The table of one fraction and seed."""
    # One-hot rows for cross-entropy, which wants probabilities; for the square loss centred ones.
    x, y = data.modular_addition(config.modulus, centred=config.loss == "square")
    keys = jax.random.split(jax.random.key(seed))
    seen = round(fraction * len(x))
    if not 1 < seen < len(x):
        raise ValueError(
            f"fractions must leave pairs on both sides of the split, got {fraction:g} of {len(x)}"
        )
    (seen_x, seen_y), unseen = data.split(keys[0], x, y, seen)
    return Split(seen_x, seen_y, unseen, keys[1])


def accuracy(params: Any, pairs: tuple[jax.Array, jax.Array]) -> float:
    """Share of pairs whose largest output is the sum."""
    return 1 - float(pursuit.network_error(params, *pairs, ACTIVATION, loss="cross_entropy"))


def grow(
    config: Config, fraction: float, seed: int, clock: runs.Compilations
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arrays and values of one pursuit."""
    table = split(config, fraction, seed)
    margin, l2 = DEFAULTS[config.loss]
    settings = pursuit.Config(
        rule="ncf",
        lanes=1,
        per_round=config.per_round,
        candidates=1,
        spread=0.0,
        starts=config.starts,
        steps=config.steps,
        l2=l2 if config.l2 is None else config.l2,
        rescue=0.0,
        max_rounds=config.max_neurons,
        max_neurons=config.max_neurons,
        max_share=1.0,
        attempts=1,
        capacity=32,
        until="accuracy",
        margin=margin if config.margin is None else config.margin,
        tol=1e-12,
        prune=False,
    )
    added: list[tuple[np.ndarray, np.ndarray]] = []

    def on_round(state: pursuit.State, info: pursuit.Info) -> None:
        new = np.arange(state.capacity) < int(state.counts[0, 0])
        new &= np.arange(state.capacity) >= int(state.counts[0, 0]) - int(info.added[0, 0])
        added.append((np.asarray(state.new[0][0])[new], np.asarray(state.new[1][0])[:, new]))

    def run() -> pursuit.Pursuit:
        added.clear()
        return pursuit.run(
            table.key,
            table.x,
            table.y,
            activation=ACTIVATION,
            depth=2,
            loss=config.loss,
            test=table.unseen,
            config=settings,
            on_round=on_round,
        )

    found, seconds = clock.warm(run)
    incoming, outgoing = (
        np.concatenate(each, axis=axis) for axis, each in enumerate(zip(*added, strict=True))
    )
    final = diagnostics.fourier_modes(*found.params)
    arrays = {
        "neurons": found.history.neurons[:, 0, 0],
        "train": 1 - found.history.error[:, 0],
        "test": 1 - found.history.test[:, 0],
        "ncf": found.history.ncf[:, 0, 1],
        "loss": found.history.loss[:, 0],
    }
    for name, modes in (("added", diagnostics.fourier_modes(incoming, outgoing)), ("final", final)):
        arrays |= {f"{name}_{part}": value for part, value in modes._asdict().items()}
    values = {
        "accuracy": accuracy(found.params, table.unseen),
        "train": 1 - found.error,
        "neurons": found.neurons[0],
        "message": found.message,
        "purity_added": float(np.nanmedian(arrays["added_purity"])),
        "purity": float(np.median(final.purity)),
        "frequencies": len(np.unique(np.asarray(final.frequency))),
        "seconds": seconds,
    }
    return {name: np.asarray(value) for name, value in arrays.items()}, values


class Point(NamedTuple):
    """One network."""

    method: str
    fraction: float
    width: int
    decay: float
    seed: int

    @property
    def curve(self) -> str:
        """Name of its curve."""
        small = ", small init" if self.method.endswith("-small") else ""
        return f"Adam, width {self.width}{small}" if self.width else "neuron pursuit"

    @property
    def label(self) -> str:
        """Name of its row."""
        return f"{self.curve}, weight decay {self.decay:g}" if self.width else self.curve

    @property
    def name(self) -> str:
        """Name of its cell."""
        adam = f"{self.width}-d{self.decay:g}" if self.width else ""
        return f"{self.method}{adam}-f{self.fraction:g}-s{self.seed}"


def train(config: Config, point: Point) -> dict[str, Any]:
    """Adam at one width and weight decay: the best of its learning rates on the unseen pairs."""
    table = split(config, point.fraction, point.seed)
    trained = baselines.train(
        table.key,
        table.x,
        table.y,
        activation=ACTIVATION,
        hidden=(point.width,),
        scale=config.adam_small if point.method == "adam-small" else 1.0,
        learning_rates=config.rates,
        steps=config.adam_steps,
        l2=(point.decay,),
        loss=config.loss,
        validation=table.unseen,
    )
    return {
        "accuracy": accuracy(trained.params, table.unseen),
        "train": accuracy(trained.params, (table.x, table.y)),
        "neurons": point.width,
        "rate": trained.learning_rate,
        "purity": float(np.median(diagnostics.fourier_modes(*trained.params).purity)),
        "seconds": trained.seconds,
    }


def full_table(config: Config) -> dict[str, Any]:
    """KKT points of the whole centred table beside the maximum in closed form."""
    x, y = data.modular_addition(config.modulus)
    d, c = x.shape[1], y.shape[1]
    nothing = (jnp.zeros((1, d)), jnp.zeros((c, 1)))
    found = kkt.search_neuron(
        jax.random.key(config.seed), nothing, 1, x, y, ACTIVATION, starts=config.starts
    )
    modes = diagnostics.fourier_modes(found.points[0], found.points[1].T)
    exact = math.sqrt(config.modulus / 2) * math.sqrt(4 / 27)
    return {
        "exact": exact,
        "error": float(np.max(np.abs(np.asarray(found.values) / exact - 1))),
        "points": len(found.values),
        "purity": float(np.min(modes.purity)),
    }


def points(config: Config) -> Iterator[Point]:
    """All networks of a config."""
    for fraction in config.fractions:
        for seed in range(config.seed, config.seed + config.seeds):
            for method in config.methods:
                if method == "pursuit":
                    yield Point(method, fraction, 0, 0.0, seed)
                    continue
                for width in config.widths:
                    for decay in config.decays:
                        yield Point(method, fraction, width, decay, seed)


def main(config: Config) -> Path:
    """Run the experiment; returns the run's folder."""
    runs.setup()
    clock = runs.Compilations()
    with runs.refusals():
        for fraction in config.fractions:
            split(config, fraction, config.seed)
    with runs.open_run(config.root, "modular_addition", config, seed=config.seed) as run:
        done: dict[Point, Any] = {}

        def compute(point: Point) -> Any:
            if point.method == "pursuit":
                return grow(config, point.fraction, point.seed, clock)
            return {}, train(config, point)

        for point, *cell in run.sweep(
            points(config), lambda point: point.name, compute, description="networks"
        ):
            done[point] = cell[0], cell[1]
        _, table = run.once("full-table", lambda: ({}, full_table(config)))
        summarise(run, config, done, table)
    return run.path


def summarise(run: runs.Run, config: Config, done: dict[Point, Any], table: Any) -> None:
    """Table, results and figures."""
    kinds = {point.label: point for point in done}
    panels: dict[str, dict[str, Any]] = {f"weight decay {each:g}": {} for each in config.decays}
    rows, results = [], {}
    for label, kind in kinds.items():
        accuracies = np.full((len(config.fractions), config.seeds), np.nan)
        for i, fraction in enumerate(config.fractions):
            mine = [
                values
                for point, (_, values) in done.items()
                if (point.label, point.fraction) == (label, fraction)
            ]
            accuracies[i] = [values["accuracy"] for values in mine]
            rows.append(
                (
                    label,
                    f"{fraction:g}",
                    f"{np.min(accuracies[i]):.4f}",
                    f"{np.median(accuracies[i]):.4f}",
                    f"{min(values['train'] for values in mine):.4f}",
                    " ".join(str(values["neurons"]) for values in mine),
                    f"{np.median([values['purity'] for values in mine]):.2f}",
                    f"{np.median([values['seconds'] for values in mine]):.2g}",
                )
            )
        for decay in config.decays:
            if not kind.width or decay == kind.decay:
                panels[f"weight decay {decay:g}"][kind.curve] = (config.fractions, 1 - accuracies)
        results[label] = accuracies
    run.save_figure(
        plots.plot_sample_efficiency(
            panels,
            label="fraction of pairs seen",
            threshold=None,
            quantity="share of unseen pairs wrong",
            linear_below=1e-3,
        ),
        "accuracy",
    )
    for point, (arrays, _) in done.items():
        if point.method == "pursuit" and point.seed == config.seed:
            modes = [
                diagnostics.FourierModes(
                    *(arrays[f"{name}_{part}"] for part in diagnostics.FourierModes._fields)
                )
                for name in ("added", "final")
            ]
            run.save_figure(plots.plot_fourier(*modes), f"fourier-f{point.fraction:g}")
    run.save_results({}, {"fractions": config.fractions, "accuracy": results, "full table": table})
    runs.print_table(
        f"Addition modulo {config.modulus}, {config.seeds} seeds, {config.loss} (Adam: the best of "
        f"{len(config.rates)} learning rates on the unseen pairs; CPU seconds: median, of pursuits "
        "warm)",
        (
            "method",
            "fraction",
            "worst accuracy",
            "median",
            "on seen pairs",
            "neurons",
            "purity",
            "CPU s",
        ),
        rows,
    )
    print(
        f"whole centred table: {table['points']} of the starts' points within "
        f"{table['error']:.1e} of sqrt(m/2) sqrt(4/27) = {table['exact']:.6f}, purity at least "
        f"{table['purity']:.6f}"
    )
    print(f"results and figures: {run.path}")


if __name__ == "__main__":
    sys.exit(runs.script(main, Config, PRESETS, description=__doc__))
