"""How the costs of the main cores grow: exponents of CPU time in the sizes of a problem.

For each core one size grows while the others stay, all sizes timed in turn once warm; the exponent
is that of a power law through the medians, with its 95 % interval. What is wanted is at most 1.1:
cost in proportion, with a tenth for caches. Below 1 a fixed share of the cost does not grow.

The NCF is that of a new neuron, with its gradient, as the ascent takes it (of all starts at once).
A step of the flow is that of the explicit method. A round of pursuit has a fixed budget of refits.
The search for a task-driven neuron is `candidates.propose`: one new term of every order. The
control is a product of square matrices, of exponent 3 in theory: it must come out "not met".
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import kkt_search, rows
from nsjax import PolyLeakyReLU, data, dynamics, networks, objectives, pursuit
from nsjax.neuronseek import Config as Search
from nsjax.neuronseek import candidates
from nsjax.neuronseek.model import empty
from nsjax.neuronseek.workspace import Workspace
from nsjax.runs import Run, open_run, progress, script, setup

MOST = 1.1
"""Largest exponent that is wanted."""
ACTIVATION = PolyLeakyReLU(2, 0.0)
Sizes = dict[str, int]


@dataclass(frozen=True)
class Config:
    """Settings of the benchmark."""

    preset: Literal["quick", "full"] = "quick"
    """Which set of defaults the other settings start from."""
    cores: tuple[Literal["control", "ncf", "flow", "pursuit", "candidates"], ...] = (
        "control",
        "ncf",
        "flow",
        "pursuit",
        "candidates",
    )
    """What is timed."""
    factors: tuple[int, ...] = (1, 2, 4, 8)
    """By which each size grows."""
    costly: tuple[int, ...] = (1, 2, 4)
    """The same for pursuit and candidates, each size of which is compiled for many seconds."""
    repeats: int = 5
    """Turns, of which the medians count."""
    seed: int = 0
    """Seed of data and starts."""
    root: Path = field(default=Path("runs"), compare=False)
    """Folder of all runs."""


PRESETS = {
    "quick": Config(),
    "full": Config("full", factors=(1, 2, 4, 8, 16), costly=(1, 2, 4, 8), repeats=15),
}
BASES: dict[str, Sizes] = {
    "control": {"side": 128},
    "ncf": {"n": 500, "d": 25, "starts": 256},
    "flow": {"n": 500, "d": 25, "neurons": 25},
    "pursuit": {"n": 500, "d": 20},
    "candidates": {"n": 1000, "d": 10},
}
"""Where every size begins."""
TITLES = {
    "control": "control: square product",
    "ncf": "NCF and its gradient, all starts",
    "flow": "step of the flow",
    "pursuit": "round of pursuit",
    "candidates": "task-driven candidates",
}
Timed = tuple[Callable[[], Any], Callable[[Any], float]]


def square_product(config: Config, side: int) -> Timed:
    """A product of square matrices, eight times."""
    a = jnp.asarray(np.random.default_rng(config.seed).standard_normal((side, side)) / side)
    return partial(kkt_search.products, 4, a, a, [a]), lambda _: 8.0


def ncf(config: Config, n: int, d: int, starts: int) -> Timed:
    """Ascent of all starts; the count of gradients of each."""
    case = kkt_search.Config(starts=starts, n=n, d=d, steps=8, seed=config.seed)
    climb, _ = kkt_search.ours(case, "float64")
    return climb, lambda found: float(jnp.mean(found.steps + 1))


def flow(config: Config, n: int, d: int, neurons: int) -> Timed:
    """A flow of a few hundred steps; the count of them."""
    keys = jax.random.split(jax.random.key(config.seed), 3)
    x = data.sphere(keys[0], n, d)
    y = networks.teacher_targets(keys[1], x, ACTIVATION, hidden=(4,))
    start = networks.init(keys[2], (d, neurons, 1), scale=0.3)
    call = partial(
        dynamics.gradient_flow,
        objectives.NetworkLoss(ACTIVATION),
        start,
        args=(x, y),
        t1=4e3 / (n * neurons),
        saves=dynamics.Saves(8),
        method="explicit",
    )
    return call, lambda found: float(found.stats.steps)


def round_of_pursuit(config: Config, n: int, d: int) -> Timed:
    """The second round on noise, which no small network fits."""
    keys = jax.random.split(jax.random.key(config.seed))
    x, y = jax.random.normal(keys[0], (n, d)), jax.random.normal(keys[1], (n, 1))
    settings = pursuit.Config(tol=sys.float_info.min, steps=50)
    task = pursuit.Task(x, y, activation=PolyLeakyReLU(2), depth=2, config=settings)
    state, _ = pursuit.step(task, pursuit.init(jax.random.key(config.seed), task))
    return partial(pursuit.step, task, state), lambda _: 1.0


def propose(config: Config, n: int, d: int) -> Timed:
    """The first candidates for the products of two inputs that are there."""
    task = data.interaction_task(jax.random.key(config.seed), {2: 2}, n, d, noise=0.05)
    x, y = np.asarray(task.x), np.asarray(task.y).reshape(n, -1)
    hold = np.arange(n) % 5 == 0
    space = Workspace(x, y / y.std(), "square", Search(), ~hold, hold, np.ones(n, bool))
    model = space.fit(empty(1))

    def call() -> int:
        rng = np.random.default_rng(config.seed)
        return len(candidates.propose(space, model, rng, everywhere=True))

    return call, lambda _: 1.0


CORES: dict[str, Callable[..., Timed]] = {
    "control": square_product,
    "ncf": ncf,
    "flow": flow,
    "pursuit": round_of_pursuit,
    "candidates": propose,
}


def measure(config: Config, core: str, name: str) -> rows.Row:
    """The row of one core and one size that grows."""
    base = BASES[core]
    factors = config.costly if core in ("pursuit", "candidates") else config.factors
    sizes = [base[name] * factor for factor in factors]
    timed = [CORES[core](config, **{**base, name: size}) for size in sizes]
    calls = {str(size): call for size, (call, _) in zip(sizes, timed, strict=True)}
    taken = rows.turns(calls, config.repeats)
    counts = [
        count(result) for (_, count), result in zip(timed, taken.results.values(), strict=True)
    ]
    each = np.stack(list(taken.seconds.values()), axis=1) / counts
    return rows.exponent(TITLES[core], name, sizes, each, most=MOST)


def main(config: Config) -> Run:
    with open_run(config.root, "benchmark_growth", config, seed=config.seed) as run:
        found: list[rows.Row] = []
        grown = [(core, name) for core in config.cores for name in BASES[core]]
        for core, name in progress(grown, description="sizes"):
            cell = run.cell(f"{core}_{name}")
            if not cell.finished:
                cell.save({}, rows.to_json([measure(config, core, name)])[0])
            found += rows.from_json([cell.load()[1]])
        rows.show("Growth of costs", found)
        run.save_results({}, {"rows": rows.to_json(found)})
    return run


if __name__ == "__main__":
    setup()
    sys.exit(script(main, Config, PRESETS, description=__doc__))
