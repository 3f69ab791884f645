"""Orders and ranks: what the search finds of data of known order, and CP terms beside Tucker cores.

Three parts. Orders: targets with one product of n projections for each order n = 1 to N, all of
equal variance; the search is told none of them. Ranks: targets of order 2 or 3 alone with several
products. In both, structures are taken without what the search says it cannot tell from noise: an
eigenvalue of a fitted matrix is never exactly zero. Forms: CP terms of several ranks and Tucker
cores of several sizes, fitted to targets of either kind by one fitter from several starts: error,
parameters and time of an evaluation. A rerun goes on where it stopped.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from nsjax import data, neuronseek, plots, runs
from nsjax.networks import cp, tucker
from nsjax.neuronseek.recovery import recovery
from nsjax.neuronseek.restarts import fit_from_starts

Part = Literal["orders", "ranks", "forms"]


@dataclass(frozen=True)
class Config:
    """Settings of the experiment on orders and ranks."""

    preset: Literal["quick", "full"] = "quick"
    """Which set of defaults the other settings start from."""
    parts: tuple[Part, ...] = ("orders", "ranks", "forms")
    """What is run."""
    dimension: int = 10
    """Input dimension d."""
    samples: int = 2000
    """Number of training samples n."""
    test: int = 2000
    """Fresh test points, without noise."""
    noise: float = 0.01
    """Standard deviation of the noise, as a share of that of the values."""
    orders: tuple[int, ...] = (1, 2, 3, 4, 5)
    """Largest orders N of the targets of the first part."""
    rank_orders: tuple[int, ...] = (2, 3)
    """Orders of the targets of the second part."""
    ranks: tuple[int, ...] = (1, 2, 3, 4)
    """Their ranks."""
    target_rank: int = 4
    """Products of order 3 in the target of CP kind of the third part."""
    target_size: int = 4
    """Projections of the target of Tucker kind, whose core of order 3 is random."""
    cp_ranks: tuple[int, ...] = (1, 2, 3, 4, 5, 6)
    """Ranks of the CP terms that are fitted."""
    tucker_sizes: tuple[int, ...] = (2, 3, 4, 6)
    """Sizes of the Tucker cores that are fitted, at most d."""
    starts: int = 3
    """Random starts of each of these fits."""
    seeds: int = 1
    """Number of seeds, from `seed` on: each its own data."""
    seed: int = 0
    """First seed."""
    root: Path = field(default=Path("runs"), compare=False)
    """Where run folders go."""


PRESETS = {
    "quick": Config(),
    "full": Config(preset="full", tucker_sizes=(2, 3, 4, 6, 8), seeds=5),
}
ORDER = 3
"""Of the terms and cores of the third part."""


class Point(NamedTuple):
    """One search or fit: `kind` is a part, or the form that is fitted with that of the target."""

    kind: str
    order: int
    size: int
    seed: int

    @property
    def name(self) -> str:
        """Name of its cell."""
        return f"{self.kind}-order{self.order}-size{self.size}-seed{self.seed}"


def points(config: Config) -> Iterator[Point]:
    """All searches and fits of a config."""
    for seed in range(config.seed, config.seed + config.seeds):
        if "orders" in config.parts:
            yield from (Point("orders", order, 1, seed) for order in config.orders)
        if "ranks" in config.parts:
            for order in config.rank_orders:
                yield from (Point("ranks", order, rank, seed) for rank in config.ranks)
        if "forms" in config.parts:
            for target in ("cp", "tucker"):
                for rank in config.cp_ranks:
                    yield Point(f"cp-on-{target}", ORDER, rank, seed)
                for size in config.tucker_sizes:
                    yield Point(f"tucker-on-{target}", ORDER, size, seed)


def search(config: Config, point: Point) -> dict[str, Any]:
    """What the search, told nothing, finds of data of known order or rank."""
    n = config.samples
    ranks = dict.fromkeys(range(1, point.order + 1), 1)
    if point.kind == "ranks":
        ranks = {point.order: point.size}
    key, data_key = jax.random.split(jax.random.key(point.seed))
    task = data.interaction_task(
        data_key, ranks, n + config.test, config.dimension, noise=config.noise
    )
    begun = time.process_time()
    found = neuronseek.search(key, task.x[:n], task.y[:n], test=(task.x[n:], task.clean[n:]))
    seconds = time.process_time() - begun
    resolved = {"x": task.x[:n], "share": found.resolution}
    structure = found.formula.structure(**resolved)
    counts = dict(structure.interactions)
    return {
        "structure": str(structure),
        "as_fitted": str(found.formula.structure()),
        "resolution": found.resolution,
        "order": max((*structure.powers, *counts), default=0),
        "rank": counts.get(point.order, 0),
        "test_error": float(found.test_error),
        "parameters": int(found.parameters),
        "cpu_seconds": seconds,
        "recovery": recovery(found.formula, task.truth, **resolved)._asdict(),
    }


def cp_rank(rank: int) -> cp.Template:
    """A linear term and products of order 3."""
    return cp.Template(powers=(1,), interactions=(ORDER,), rank=rank)


def target(config: Config, kind: str, seed: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Inputs, noisy and clean targets of CP or Tucker kind, for training and test together."""
    total = config.samples + config.test
    keys = jax.random.split(jax.random.key(seed), 3)
    if kind == "cp":
        task = data.interaction_task(
            keys[0], {ORDER: config.target_rank}, total, config.dimension, noise=config.noise
        )
        return task.x, task.y, task.clean
    x = data.gaussian(keys[0], total, config.dimension)
    neuron = tucker.init(keys[1], config.dimension, size=config.target_size, orders=(ORDER,))
    clean = data.standardised("y", tucker.apply(neuron._replace(linear=0 * neuron.linear), x))
    return x, clean + config.noise * jax.random.normal(keys[2], clean.shape), clean


def fit(config: Config, point: Point) -> dict[str, Any]:
    """Error and cost of one form on one target."""
    form, _, kind = point.kind.partition("-on-")
    model: Any
    count: Any
    x, y, clean = target(config, kind, point.seed)
    n, d = config.samples, config.dimension
    if form == "cp":
        template = cp_rank(point.size)
        model, count = cp.apply, cp.parameters

        def sample(key: jax.Array) -> Any:
            return cp.init(key, d, template=template)

    else:
        model, count = tucker.apply, tucker.parameters

        def sample(key: jax.Array) -> Any:
            return tucker.init(key, d, size=point.size, orders=(ORDER,))

    found = fit_from_starts(
        jax.random.key(point.seed), model, sample, x[:n], y[:n], starts=config.starts
    )
    outputs = model(found.params, x[n:])
    error = float(jnp.mean((outputs - clean[n:]) ** 2) / jnp.var(clean[n:]))
    return {
        "train_error": found.error,
        "train_errors": list(found.errors),
        "test_error": error,
        "parameters": count(found.params),
        "steps": found.steps,
        "fit_seconds": found.seconds,
        "evaluation": evaluation(model, found.params, x),
    }


def evaluation(model: Any, params: Any, x: jax.Array, repeats: int = 20) -> float:
    """CPU seconds of one evaluation on these inputs, compiled: the median over repeats."""
    compiled = jax.jit(model)
    jax.block_until_ready(compiled(params, x))
    spent = []
    for _ in range(repeats):
        begun = time.process_time()
        jax.block_until_ready(compiled(params, x))
        spent.append(time.process_time() - begun)
    return float(np.median(spent))


def main(config: Config) -> Path:
    """Run the experiment; returns the run's folder."""
    runs.setup()
    too_large = [size for size in config.tucker_sizes if size > config.dimension]
    with runs.refusals():
        if too_large and "forms" in config.parts:
            raise ValueError(f"tucker_sizes must be at most d, got {too_large}")
        if config.seeds < 1 or not config.parts:
            raise ValueError("there must be at least one part and one seed")
    with runs.open_run(config.root, "order_sweep", config, seed=config.seed) as run:
        done: dict[Point, dict[str, Any]] = {}

        def compute(point: Point) -> Any:
            with runs.refusals():
                return {}, (search if point.kind in ("orders", "ranks") else fit)(config, point)

        for point, _, found in run.sweep(
            points(config), lambda point: point.name, compute, description="searches and fits"
        ):
            done[point] = found
            said = found.get("structure", f"error {found['test_error']:.1e}")
            run.log(f"{point.name}: {said}", echo=True)
        summarise(run, config, done)
    return run.path


def summarise(run: runs.Run, config: Config, done: dict[Point, dict[str, Any]]) -> None:
    """Tables, results and figures."""
    results: dict[str, Any] = {point.name: found for point, found in done.items()}
    for part, heading in (("orders", "largest order"), ("ranks", "products")):
        if part in config.parts:
            searches(config, done, part, heading)
    if "forms" in config.parts:
        forms(run, config, done)
    run.save_results({}, results)
    print(f"results and figures: {run.path}")


def grouped(done: dict[Point, dict[str, Any]], kind: str) -> dict[tuple[int, int], list[Any]]:
    """What was found of one kind, by order and size."""
    groups: dict[tuple[int, int], list[Any]] = {}
    for point, found in done.items():
        if point.kind == kind:
            groups.setdefault((point.order, point.size), []).append(found)
    return groups


def searches(config: Config, done: dict[Point, dict[str, Any]], part: str, heading: str) -> None:
    """Table of one of the first two parts."""
    rows = []
    for (order, size), members in grouped(done, part).items():
        hits = sum(found["recovery"]["structure"] for found in members)
        wanted = f"I1 + ... + I{order}" if part == "orders" else f"{size} I{order}"
        which = "order" if part == "orders" else "rank"
        rows.append(
            (
                wanted,
                " ".join(str(found[which]) for found in members),
                f"{hits}/{len(members)}",
                f"{np.median([found['test_error'] for found in members]):.1e}",
                f"{np.median([found['cpu_seconds'] for found in members]):.1f}",
            )
        )
    runs.print_table(
        f"{part.capitalize()}: d = {config.dimension}, n = {config.samples}, noise "
        f"{config.noise:.1%} (clean error: MSE over the variance on fresh points; CPU seconds with "
        "compilation)",
        ("target", f"{heading} found", "exact structure", "clean error", "CPU s"),
        rows,
    )


def forms(run: runs.Run, config: Config, done: dict[Point, dict[str, Any]]) -> None:
    """Table and figure of the third part."""
    titles = {
        "cp": f"target: {config.target_rank} products of order {ORDER}",
        "tucker": f"target: core of size {config.target_size}",
    }
    names = {"cp": "CP terms", "tucker": "Tucker core"}
    rows, panels = [], {}
    for kind, title in titles.items():
        curves = {}
        for form, name in names.items():
            groups = grouped(done, f"{form}-on-{kind}")
            curves[name] = (
                [members[0]["parameters"] for members in groups.values()],
                np.array([[each["test_error"] for each in members] for members in groups.values()]),
            )
            for (_, size), members in groups.items():
                rows.append(
                    (
                        title.partition(": ")[2],
                        f"{name}, {'R' if form == 'cp' else 's'} = {size}",
                        members[0]["parameters"],
                        *(
                            f"{np.median([each[key] for each in members]):.1e}"
                            for key in ("train_error", "test_error", "evaluation", "fit_seconds")
                        ),
                    )
                )
        panels[title] = curves
    runs.print_table(
        f"Forms of order {ORDER}: d = {config.dimension}, n = {config.samples}, noise "
        f"{config.noise:.1%}, best of {config.starts} starts, median over seeds (CPU seconds of an "
        f"evaluation of {config.samples + config.test} samples, and of a fit)",
        ("target", "form", "parameters", "training error", "clean error", "evaluation s", "fit s"),
        rows,
    )
    figure = plots.plot_sample_efficiency(
        panels, label="parameters", threshold=config.noise**2 or None, columns=2
    )
    run.save_figure(figure, "forms")
    plt.close(figure)


if __name__ == "__main__":
    sys.exit(runs.script(main, Config, PRESETS, description=__doc__))
