"""Neuron pursuit: grow a network neuron by neuron until it fits.

Grows networks by Algorithm 1 of neuron pursuit (arXiv 2509.12154), as improved or, with `--preset
paper`, as published, and shows training and test error per neuron, layer and NCF of each new
neuron, what insertions do to the loss, balance, and the weight matrices: which inputs and neurons
the network uses. Sparse targets are generated, `--tasks sparse-f1 ... sparse-f4 dense`; your own
data are `--tasks npz:FILE` with arrays `x` and `y`, bundled ones `--tasks diabetes`.

A rerun with the same settings goes on at the first network that was not finished.
"""

from __future__ import annotations

import dataclasses
import hashlib
import sys
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import nsjax
from nsjax import data, plots, pursuit, runs

SOLVED = 1e-3
"""Test error from which a network counts as right."""


@dataclass(frozen=True)
class Config:
    """Settings of the neuron pursuit experiment."""

    preset: Literal["quick", "full", "paper"] = "quick"
    """Which set of defaults the other settings start from."""
    tasks: tuple[str, ...] = ("sparse-f1",)
    """Targets: sparse-f1 to sparse-f4, dense, a bundled set (diabetes, linnerud), or npz:FILE."""
    inputs: tuple[Literal["sphere", "cube", "hypercube", "gaussian"], ...] = ("sphere",)
    """Laws of generated inputs."""
    samples: int = 300
    """Number of training samples n of generated data."""
    dimension: int = 20
    """Input dimension d of generated data."""
    constant: bool = True
    """Whether to append an input that is always 1; networks have no biases."""
    test: int = 3000
    """Fresh test points of generated data; the pursuit never sees them."""
    holdout: float = 0.2
    """Share of a data set that is held out to measure the test error, and as much again that tells
    when to stop and certifies the fit."""
    depth: int = 3
    """Number of layers L (weight matrices)."""
    degree: int = 2
    """Degree p of the activation max(t, a t)^p."""
    slope: float = 1.0
    """Slope a of the activation for negative inputs."""
    loss: Literal["square", "logistic", "cross_entropy"] = "square"
    """Training loss."""
    algorithm: Literal["default", "paper"] = "default"
    """Preset of the pursuit that the settings below change; None leaves one as it is there."""
    rule: Literal["lookahead", "each", "ncf"] | None = None
    """Which neurons a round adds."""
    lanes: int | None = None
    """Independent pursuits in one batch."""
    attempts: int | None = None
    """How often all lanes begin anew if none has fitted."""
    minimiser: Literal["lbfgs", "levenberg_marquardt", "gradient_descent", "adam"] | None = None
    """How a round minimises."""
    delta: float | None = None
    """Norm of new weights, fixed, in place of a search."""
    balance: bool | None = None
    """Whether to balance neurons after each round."""
    normalise: bool | None = None
    """Whether all samples count as if their inputs had one size; noisy targets want False."""
    max_neurons: int | None = None
    """Budget of hidden neurons."""
    tol: float | None = None
    """Relative training loss at which a network fits."""
    seeds: int = 1
    """Number of seeds, from `seed` on: each its own data and its own pursuit."""
    seed: int = 0
    """First seed."""
    root: Path = field(default=Path("runs"), compare=False)
    """Where run folders go."""


SPARSE = ("sparse-f1", "sparse-f2", "sparse-f3", "sparse-f4")
PRESETS = {
    "quick": Config(),
    "full": Config(
        preset="full",
        tasks=SPARSE,
        inputs=("sphere", "hypercube", "gaussian"),
        samples=500,
        seeds=5,
    ),
    "paper": Config(preset="paper", algorithm="paper", samples=1500),
}


class Point(NamedTuple):
    """One network of the sweep."""

    task: str
    law: str
    seed: int


class Learned(NamedTuple):
    """What one network is to learn."""

    x: jax.Array
    y: jax.Array
    validation: tuple[jax.Array, jax.Array] | None
    test: tuple[jax.Array, jax.Array]
    key: jax.Array
    task: pursuit.Task


def sweep(config: Config) -> list[Point]:
    """The networks of a config; the laws of inputs are those of generated data alone."""
    if not (config.tasks and config.inputs and config.seeds > 0):
        raise ValueError("there must be at least one task, one law of inputs and one seed")
    laws = ["hypercube" if law == "cube" else law for law in config.inputs]
    return [
        Point(task, law, config.seed + number)
        for task in dict.fromkeys(config.tasks)
        for law in (dict.fromkeys(laws) if task in data.SPARSE else ("data",))
        for number in range(config.seeds)
    ]


def settings(config: Config) -> pursuit.Config:
    """Settings of the pursuit."""
    names = (
        "rule",
        "lanes",
        "attempts",
        "minimiser",
        "delta",
        "balance",
        "normalise",
        "max_neurons",
        "tol",
    )
    given = {name: getattr(config, name) for name in names}
    changes = {name: value for name, value in given.items() if value is not None}
    if config.delta is not None:
        changes["insertion"] = "fixed"
    return dataclasses.replace(pursuit.PRESETS[config.algorithm], **changes)


def prepare(config: Config, point: Point) -> Learned:
    """Training and test data of a network, checked."""
    keys = jax.random.split(jax.random.key(point.seed), 3)
    validation = None
    if point.task in data.SPARSE:
        sizes = (config.samples, config.test)
        (x, y), test = (
            data.sparse_task(
                key, point.task, n, config.dimension, point.law, constant=config.constant
            )
            for key, n in zip(keys, sizes, strict=False)
        )
    else:
        x, y = data.by_name(point.task, argument="tasks", others=data.SPARSE)
        if config.constant:
            x = jnp.concatenate([x, jnp.ones((len(x), 1), x.dtype)], axis=1)
        held = round(config.holdout * len(x))
        if not 0 < held < (len(x) - 1) / 2:
            raise ValueError(
                "holdout must leave samples to train, to validate and to test on, got "
                f"{config.holdout:g} of {len(x)}"
            )
        order = jax.random.permutation(keys[0], len(x))
        test, validation, (x, y) = (
            (x[part], y[part]) for part in jnp.split(order, [held, 2 * held])
        )
    task = pursuit.Task(x, y, **options(config))
    return Learned(x, y, validation, test, keys[2], task)


def options(config: Config) -> dict[str, Any]:
    """Keywords of a pursuit."""
    return {
        "activation": nsjax.PolyLeakyReLU(config.degree, config.slope),
        "depth": config.depth,
        "loss": config.loss,
        "config": settings(config),
    }


def name_of(point: Point, files: dict[str, bytes]) -> str:
    """Name of a cell; the contents tell apart files of one name."""
    name = point.task
    if name in files:
        name = f"npz-{hashlib.sha256(files[name]).hexdigest()[:8]}"
    law = "" if point.law == "data" else f"-{point.law}"
    return f"{name}{law}-seed{point.seed}"


def grow(
    config: Config, point: Point, run: runs.Run, name: str, say: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arrays and values of one pursuit, as stored; every round is kept until it is done."""
    learned = prepare(config, point)
    activation = learned.task.method.activation
    history: list[pursuit.Info] = []
    begun = np.array([time.perf_counter(), time.process_time()])
    with run.checkpoints(name) as kept:
        start = pursuit.init(learned.key, learned.task)
        like = start, pursuit.Info(*np.zeros(len(pursuit.Info._fields))), np.zeros(2)
        saved = kept.restore(like)
        if saved is not None:
            history = [pursuit.Info(*each) for each in zip(*saved[1], strict=True)]
            begun -= saved[2]
            say(f"goes on after round {len(history)}")

        def on_round(state: pursuit.State, info: pursuit.Info) -> None:
            history.append(info)
            say(round_line(len(history), info))
            if kept.due:
                past = pursuit.Info(*(np.stack(each) for each in zip(*history, strict=True)))
                spent = np.array([time.perf_counter(), time.process_time()]) - begun
                kept.save(len(history), (state, past, spent))

        found = pursuit.run(
            learned.key,
            learned.x,
            learned.y,
            test=learned.test,
            validation=learned.validation,
            state=None if saved is None else saved[0],
            history=None if saved is None else saved[1],
            on_round=on_round,
            **options(config),
        )
    wall, cpu = np.array([time.perf_counter(), time.process_time()]) - begun
    arrays = {f"history_{name}": np.asarray(v) for name, v in found.history._asdict().items()}
    arrays |= {f"weights_{i}": np.asarray(weight) for i, weight in enumerate(found.params)}
    arrays |= {f"grown_{i}": np.asarray(weight) for i, weight in enumerate(found.unpruned)}
    values = {
        "result": int(found.result),
        "message": found.message,
        "lane": found.lane,
        "lanes": found.lanes,
        "rounds": len(history),
        "attempts": int(np.max(found.state.attempt)),
        "before_pruning": found.grown,
        "neurons": found.neurons,
        "error": found.error,
        "test_error": float(
            pursuit.network_error(found.params, *learned.test, activation, loss=config.loss)
        ),
        "certified": found.certificate.certified,
        "certificate": found.certificate._asdict(),
        "warnings": found.warnings,
        "seconds": wall,
        "cpu_seconds": cpu,
    }
    return arrays, values


def round_line(number: int, info: pursuit.Info) -> str:
    """What a round did in the lane that is ahead, in one line."""
    live, losses = np.asarray(info.live, bool), np.asarray(info.loss)
    lane = int(np.argmin(np.where(live & np.isfinite(losses), losses, np.inf)))
    kind = int(info.kind[lane])
    where = {0: "a chain", -1: "every layer"}.get(kind, f"layer {kind}")
    ncf = np.asarray(info.ncf)[lane]
    lanes = "1 lane" if live.sum() == 1 else f"{live.sum()} lanes"
    value = np.max(ncf[1:]) if kind < 0 else ncf[kind]
    counts = "+".join(map(str, np.asarray(info.neurons)[lane].tolist()))
    return (
        f"round {number}: {lanes}; the best has {counts} neurons, new in {where}, "
        f"NCF {value:.2e}, training error {float(info.error[lane]):.1e}, "
        f"test error {float(info.test[lane]):.1e}, norm ratios within a factor "
        f"{np.exp(float(info.imbalance[lane])):.2g} of balance"
    )


def stored(arrays: dict[str, Any], values: dict[str, Any]) -> SimpleNamespace:
    """A finished cell, with the attributes of a `Pursuit`."""
    parts: dict[str, Any] = {name: arrays[f"history_{name}"] for name in pursuit.Info._fields}
    depth = sum(name.startswith("weights_") for name in arrays)
    return SimpleNamespace(
        **values,
        history=pursuit.Info(**parts),
        params=tuple(arrays[f"weights_{i}"] for i in range(depth)),
        grown=tuple(arrays[f"grown_{i}"] for i in range(depth)),
    )


def main(config: Config) -> Path:
    """Run the experiment; returns the run's folder."""
    runs.setup()
    with runs.refusals():
        points = sweep(config)
        for point in points:
            if point.seed == config.seed:
                prepare(config, point)
        files = data.npz_contents(config.tasks)
        names = [name_of(point, files) for point in points]
    with runs.open_run(config.root, "neuron_pursuit", config, seed=config.seed, data=files) as run:
        done: dict[str, SimpleNamespace] = {}
        starts = {
            name: f"[{number}/{len(points)}] {name}" for number, name in enumerate(names, start=1)
        }

        def compute(each: tuple[str, Point]) -> Any:
            name, point = each
            with runs.refusals():
                return grow(config, point, run, name, partial(tell, run, starts[name]))

        for (name, point), *cell in run.sweep(
            zip(names, points, strict=True), lambda each: each[0], compute, description="networks"
        ):
            done[name] = found = stored(*cell)
            found.point = point
            tell(run, starts[name], f"{found.message}; test error {found.test_error:.1e}")
        summarise(run, config, done)
    return run.path


def tell(run: runs.Run, start: str, line: str) -> None:
    """A line of the log, also on the terminal."""
    run.log(f"{start}: {line}", echo=True)


def summarise(run: runs.Run, config: Config, done: dict[str, SimpleNamespace]) -> None:
    """Tables, results and figures of a finished sweep."""
    fields = (
        "message",
        "rounds",
        "attempts",
        "before_pruning",
        "neurons",
        "error",
        "test_error",
        "certified",
        "certificate",
        "warnings",
        "seconds",
        "cpu_seconds",
    )
    results: dict[str, Any] = {
        name: {field: getattr(found, field) for field in fields} | {"columns": columns(found)}
        for name, found in done.items()
    }
    run.save_results({}, results)
    for name, found in done.items():
        if found.point.seed == config.seed:
            draw(run, config, name, found)
    show(config, done)
    print(f"results and figures: {run.path}")


def columns(found: SimpleNamespace) -> list[float]:
    """Norms of the columns of the first matrix, one an input."""
    return np.linalg.norm(found.params[0], axis=0).tolist()


def used_inputs(point: Point) -> list[int] | None:
    """Inputs that a sparse target uses, the constant not counted; None if it is not known."""
    target = data.SPARSE.get(point.task)
    return None if target is None or target.inputs is None else list(range(target.inputs))


def draw(run: runs.Run, config: Config, name: str, found: SimpleNamespace) -> None:
    """Every figure of one network."""
    if found.rounds == 0 or 0 in found.neurons:
        run.log(f"{name}: no figures of a network without neurons", echo=True)
        return
    activation = nsjax.PolyLeakyReLU(config.degree, config.slope)
    held_out = "test" if found.point.task in data.SPARSE else "held out"
    used = used_inputs(found.point)
    figures = {
        "growth": plots.plot_growth(found, held_out=held_out),
        "ncf": plots.plot_ncf(found),
        "insertions": plots.plot_insertions(found),
        "balance": plots.plot_balance(found, activation),
        "weights": plots.plot_weights(found, constant=config.constant, title=name),
        "used": plots.plot_used(found, used=used, constant=config.constant),
        "grown_weights": plots.plot_weights(
            found.grown, constant=config.constant, title=f"{name}, before pruning"
        ),
        "grown_used": plots.plot_used(found.grown, used=used, constant=config.constant),
    }
    for kind, figure in figures.items():
        run.save_figure(figure, f"{name}-{kind}")
        plt.close(figure)


def show(config: Config, done: dict[str, SimpleNamespace]) -> None:
    """Tables: a line for every network, which inputs it uses, and how many are right."""
    runs.print_table(
        f"Neuron pursuit, {config.algorithm} settings (errors over the targets' variance, or share "
        "of wrong classes)",
        (
            "task",
            "inputs",
            "seed",
            "why it stopped",
            "attempts",
            "grown",
            "pruned",
            "training error",
            "test error",
            "certified",
            "warnings",
            "seconds",
        ),
        [
            (
                found.point.task,
                found.point.law,
                found.point.seed,
                found.message.partition(":")[0],
                found.attempts,
                "+".join(map(str, found.before_pruning)),
                "+".join(map(str, found.neurons)),
                f"{found.error:.1e}",
                f"{found.test_error:.1e}",
                "yes" if found.certified else "no",
                "; ".join(warning.partition(":")[0] for warning in found.warnings) or "-",
                f"{found.seconds:.1f}",
            )
            for found in done.values()
        ],
    )
    rows = []
    for found in done.values():
        used = used_inputs(found.point)
        if used is None or 0 in found.neurons:
            continue
        norms = np.array(columns(found))
        others = np.delete(norms, [*used, -1] if config.constant else used)
        rows.append(
            (
                found.point.task,
                found.point.law,
                found.point.seed,
                ", ".join(f"{norm:.2g}" for norm in norms[used]),
                f"{norms[-1]:.2g}" if config.constant else "-",
                f"{np.max(others):.1e}" if others.size else "-",
            )
        )
    if rows:
        heads = ("task", "inputs", "seed", "inputs of the target", "constant", "largest other")
        runs.print_table("Norms of the columns of the first weight matrix", heads, rows)
    if config.seeds > 1:
        groups: dict[tuple[str, str], list[SimpleNamespace]] = {}
        for found in done.values():
            groups.setdefault(found.point[:2], []).append(found)
        runs.print_table(
            f"Over {config.seeds} seeds",
            ("task", "inputs", f"test error < {SOLVED:g}", "median test error", "neurons", "CPU s"),
            [
                (
                    *group,
                    f"{sum(found.test_error < SOLVED for found in members)}/{len(members)}",
                    f"{np.median([found.test_error for found in members]):.1e}",
                    float(np.median([sum(found.neurons) for found in members])),
                    f"{np.median([found.cpu_seconds for found in members]):.1f}",
                )
                for group, members in groups.items()
            ],
        )


if __name__ == "__main__":
    sys.exit(runs.script(main, Config, PRESETS, description=__doc__))
