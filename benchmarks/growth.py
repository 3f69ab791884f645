"""How the costs of the main cores grow: exponents of CPU time in the sizes of a problem.

For each core one size grows while the others stay, over four sizes or more, all timed in turn once
warm; the exponent is that of a power law through the medians, with its 95 % interval. What is
wanted is at most 1.1: cost in proportion, with a tenth for caches. Below 1 a fixed share of the
cost does not grow.

The NCF is that of a new neuron, with its gradient, as the ascent takes it (of all starts at once).
A step of the flow is that of the explicit method. A round of pursuit has a fixed budget of refits.
The search for a task-driven neuron is `candidates.propose` in all of space, products of two and of
three projections. Its two programs are timed with the arguments that it gives them, for each
evaluation: gradients of the ascent of all starts, and normal equations of the fits of those left.
In d both have exponent 2 in theory, which is not what is wanted and is reported as it is: a product
of N projections has N d weights, and (N d)^2 entries of its normal equations; gradients see samples
in proportion to d, as long as there are enough (so their cost does not grow in n). The control is a
product of square matrices, of exponent 3 in theory: it must come out "not met".

Data are drawn by NumPy: JAX compiles its random numbers anew for every size.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import kkt_search, rows
from nsjax import PolyLeakyReLU, dynamics, objectives, pursuit
from nsjax._threads import one_lapack_thread
from nsjax.neuronseek import Config as Search
from nsjax.neuronseek import candidates, fitting
from nsjax.neuronseek.model import empty
from nsjax.neuronseek.workspace import Workspace
from nsjax.runs import Run, open_run, progress, script, setup

MOST = 1.1
"""Largest exponent that is wanted."""
ACTIVATION = PolyLeakyReLU(2, 0.0)
ORDERS = (2, 3)
"""Of the products: two of the four that the search has, as every order is compiled."""
Core = Literal["control", "ncf", "flow", "pursuit", "gradients", "fits"]


@dataclass(frozen=True)
class Config:
    """Settings of the benchmark."""

    preset: Literal["quick", "full"] = "quick"
    """Which set of defaults the other settings start from."""
    cores: tuple[Core, ...] = ("control", "ncf", "flow", "pursuit", "gradients", "fits")
    """What is timed."""
    factors: tuple[int, ...] = (1, 2, 4, 8)
    """By which each size grows."""
    repeats: int = 9
    """Turns, of which the medians count."""
    patience: float = 4.0
    """CPU-seconds of turns after which there are no more than three."""
    seed: int = 0
    """Seed of data and starts."""
    root: Path = field(default=Path("runs"), compare=False)
    """Folder of all runs."""


PRESETS = {
    "quick": Config(),
    "full": Config("full", factors=(1, 2, 4, 8, 16), repeats=15, patience=60.0),
}
BASES: dict[str, dict[str, tuple[int, int]]] = {
    "control": {"side": (128, 128)},
    "ncf": {"n": (500, 500), "d": (25, 25), "starts": (256, 256)},
    "flow": {"n": (500, 500), "d": (25, 25), "neurons": (25, 25)},
    "pursuit": {"n": (500, 500), "d": (10, 10)},
    "gradients": {"n": (320, 2000), "d": (8, 8)},
    "fits": {"n": (320, 2000), "d": (8, 16)},
}
"""Where every size begins, and what it is while another grows.

Of 2,560 samples, candidates see the four fifths that are 2,048, the most that they look at."""
TITLES = {
    "control": "control: square product",
    "ncf": "NCF and its gradient, all starts",
    "flow": "step of the flow",
    "pursuit": "round of pursuit",
    "gradients": "task-driven candidates: a gradient of the ascent",
    "fits": "task-driven candidates: normal equations of the fits",
}
THEORY = {("control", "side"): 3, ("gradients", "d"): 2, ("fits", "d"): 2}
"""Exponents above what is wanted that the method has, however it is written."""
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
    draw = np.random.default_rng(config.seed).standard_normal
    x = draw((n, d))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    y = np.maximum(x @ draw((d, 4)), 0) ** 2 @ draw((4, 1)) / 2
    start = 0.3 * draw((neurons, d)) / d**0.5, 0.3 * draw((1, neurons)) / neurons**0.5
    call = partial(
        dynamics.gradient_flow,
        objectives.NetworkLoss(ACTIVATION),
        tuple(map(jnp.asarray, start)),
        args=(jnp.asarray(x), jnp.asarray(y)),
        t1=4e3 / (n * neurons),
        saves=dynamics.Saves(8),
        method="explicit",
    )
    return call, lambda found: float(found.stats.steps)


def round_of_pursuit(config: Config, n: int, d: int) -> Timed:
    """The second round on noise, which no small network fits."""
    draw = np.random.default_rng(config.seed).standard_normal
    # However few samples there are for the weights, it goes on.
    settings = pursuit.Config(tol=sys.float_info.min, steps=50, max_share=100.0)
    x, y = jnp.asarray(draw((n, d))), jnp.asarray(draw((n, 1)))
    task = pursuit.Task(x, y, activation=PolyLeakyReLU(2), depth=2, config=settings)
    state, _ = pursuit.step(task, pursuit.init(jax.random.key(config.seed), task))
    return partial(pursuit.step, task, state), lambda _: 1.0


def first_proposal(config: Config, n: int, d: int) -> list[candidates.Candidate]:
    """Candidates for the two products of two projections that are there."""
    draw = np.random.default_rng(config.seed).standard_normal
    x = draw((n, d))
    across = np.linalg.qr(draw((d, 4)))[0]
    y = np.sum(np.prod((x @ across).reshape(n, 2, 2), axis=2), axis=1) + 0.05 * draw(n)
    y = (y - y.mean())[:, None] / y.std()
    hold = np.arange(n) % 5 == 0
    space = Workspace(x, y, "square", Search(interactions=ORDERS), ~hold, hold, np.ones(n, bool))
    # The best constant: a fit of it would compile a program of its own.
    model = replace(empty(1), weights=np.mean(y[~hold], axis=0, keepdims=True))
    return candidates.propose(space, model, np.random.default_rng(config.seed), everywhere=True)


def as_called(module: ModuleType, name: str, run: Callable[[], Any]) -> Callable[[], Any]:
    """A function of a module with the arguments that its last call in `run` has."""
    whole, held = getattr(module, name), []

    def record(*args: Any, **policy: Any) -> Any:
        held.append(partial(whole, *args, **policy))
        return held[-1]()

    setattr(module, name, record)
    try:
        run()
    finally:
        setattr(module, name, whole)
    return held[-1]


def gradients(config: Config, n: int, d: int) -> Timed:
    """The ascents of products of every order; the count of gradients of each start."""
    call = as_called(candidates, "_climb", partial(first_proposal, config, n, d))
    return call, lambda found: sum(float(jnp.mean(each.steps + 1)) for each in found)


def fits(config: Config, n: int, d: int) -> Timed:
    """The fits of the products that are left; the count of normal equations of each."""
    fit = as_called(fitting, "fit_many", partial(first_proposal, config, n, d))

    def call() -> fitting.Fitted:
        with one_lapack_thread():
            return jax.block_until_ready(fit())

    return call, lambda found: float(jnp.max(found.evaluations))


CORES: dict[str, Callable[..., Timed]] = {
    "control": square_product,
    "ncf": ncf,
    "flow": flow,
    "pursuit": round_of_pursuit,
    "gradients": gradients,
    "fits": fits,
}


def measure(config: Config, core: str, name: str) -> rows.Row:
    """The row of one core and one size that grows."""
    others = {each: stays for each, (_, stays) in BASES[core].items() if each != name}
    sizes = [BASES[core][name][0] * factor for factor in config.factors]
    timed = [CORES[core](config, **others, **{name: size}) for size in sizes]
    calls = {str(size): call for size, (call, _) in zip(sizes, timed, strict=True)}
    taken = rows.turns(calls, config.repeats, patience=config.patience)
    counts = [
        count(result) for (_, count), result in zip(timed, taken.results.values(), strict=True)
    ]
    each = np.stack(list(taken.seconds.values()), axis=1) / counts
    row = rows.exponent(TITLES[core], name, sizes, each, most=MOST)
    theory = THEORY.get((core, name))
    return replace(row, note=f"{theory} in theory; {row.note}") if theory else row


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
