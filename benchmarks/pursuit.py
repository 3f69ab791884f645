"""What neuron pursuit costs: compiled programs, a round's parts, compilation, and minimisers.

CPU-seconds of one process, measured side by side in one run, without the cache of compiled
programs.

"Growth" is one pursuit up to a number of neurons with room that doubles when it is full, and the
same rounds with room for exactly the neurons of each, so that every round compiles anew: of these
the first is run and a few others, for which the rest are taken to cost as much on average. Programs
are those of functions of `nsjax.pursuit`, beside small ones of single operations. "A round" is
warm: its search and insertion (`grow`), and its refit. "From cold" is a first run in a new process,
less the same run once warm. "Minimisers" go from the same weights, a fitted network that was
disturbed, to the same loss.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import rows
from nsjax import PolyLeakyReLU, data, pursuit
from nsjax.pursuit import loop
from nsjax.pursuit.minimisers import MINIMISERS, Fit, Objective
from nsjax.pursuit.problem import Problem
from nsjax.pursuit.state import pad
from nsjax.runs import Run, open_run, script, setup

DOUBLING, EXACT = "room doubles", "room for every width"
WANTED = {"programs": 6, "cost": 0.3, "compilation": 10}
"""The most programs, share of the cost of compiling at every width, and CPU-seconds to compile."""
FOLDER = "nsjax.pursuit"


@dataclass(frozen=True)
class Config:
    preset: Literal["quick", "full"] = "quick"
    dimension: int = 20
    """Inputs d, beside a constant one."""
    samples: int = 300
    depth: int = 3
    target: str = "sparse-f1"
    neurons: int = 32
    """Hidden neurons that the growth ends with."""
    lanes: int = 4
    """Lanes of the growth."""
    steps: int = 50
    """Evaluations in each of its refits."""
    every: int = 6
    """Of its rounds after the first, every how many-th is also run with room for its width."""
    rounds: int = 3
    """Rounds of the default pursuit before the one that is timed."""
    repeats: int = 5
    """Repeats of a round, and starts of the minimisers, of which the medians count."""
    disturbance: float = 0.3
    """How far the minimisers start from a fit, over the size of its weights."""
    goal: float = 1e-5
    """Relative loss that they go to."""
    budget: int = 20_000
    """Their most evaluations."""
    seed: int = 0
    root: Path = field(default=Path("runs"), compare=False)
    """Folder of all runs."""


PRESETS = {"quick": Config(), "full": Config(preset="full", repeats=15)}


def task_of(config: Config, settings: pursuit.Config, *, noise: bool = False) -> pursuit.Task:
    """The target; or noise, which no small network fits."""
    keys = jax.random.split(jax.random.key(config.seed))
    x, y = data.sparse_task(keys[0], config.target, config.samples, config.dimension)
    y = jax.random.normal(keys[1], y.shape, y.dtype) if noise else y
    return pursuit.Task(x, y, activation=PolyLeakyReLU(2), depth=config.depth, config=settings)


@contextmanager
def compilations() -> Iterator[dict[str, list[float]]]:
    """Seconds of every compilation inside, by the name of the program."""
    seen: dict[str, list[float]] = {}

    def listen(event: str, duration_secs: float, **kwargs: str | int) -> None:
        if event.endswith("backend_compile_duration"):
            seen.setdefault(str(kwargs.get("fun_name", event)), []).append(duration_secs)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield seen
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def of_pursuit(programs: dict[str, list[float]]) -> dict[str, list[float]]:
    """Those of functions that `nsjax.pursuit` compiles; the others are of single operations."""
    compiled = type(jax.jit(lambda: 0))
    modules = [module for name, module in sys.modules.items() if name.startswith(FOLDER)]
    names = {
        f"jit({name})"
        for module in modules
        for name, value in vars(module).items()
        if isinstance(value, compiled)
    }
    return {name: times for name, times in programs.items() if name in names}


# Growth.


def exact(state: pursuit.State, room: int) -> pursuit.State:
    """The same state with room for so many neurons in each hidden layer, and no more."""

    def cut(params: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        last = len(params) - 1
        kept = tuple(
            weight[:, : room if i < last else None, : room if i > 0 else None]
            for i, weight in enumerate(params)
        )
        return pad(kept, room)

    networks: dict[str, Any] = {
        name: cut(value) for name, value in state._asdict().items() if isinstance(value, tuple)
    }
    return state._replace(**networks)


def grow_network(config: Config) -> tuple[dict[str, Any], list[pursuit.State]]:
    """A pursuit to the budget of neurons, from an empty cache: its costs, and every round's state.

    Whatever stops a lane, which has nothing to learn, it goes on.
    """
    jax.clear_caches()
    states: list[pursuit.State] = []
    begun = time.process_time()
    with compilations() as programs:
        task = growing_task(config)
        state = pursuit.init(jax.random.key(config.seed), task)
        growing = jnp.full_like(state.result, pursuit.Stop.GROWING)
        while int(jnp.max(jnp.sum(state.counts, axis=1))) < config.neurons:
            if len(states) == config.neurons:
                raise RuntimeError(f"{len(states)} rounds did not add {config.neurons} neurons")
            states.append(state._replace(result=growing))
            state, _ = pursuit.step(task, states[-1])
        jax.block_until_ready(state)
    seconds = time.process_time() - begun
    counted = {name: len(times) for name, times in of_pursuit(programs).items()}
    return {
        "programs": sum(counted.values()),
        "by_name": counted,
        "small": sum(map(len, programs.values())) - sum(counted.values()),
        "cpu_seconds": seconds,
        "rounds": len(states),
        "neurons": int(jnp.max(jnp.sum(state.counts, axis=1))),
        "widths": np.asarray(jnp.max(state.counts, axis=0)).tolist(),
    }, states


def growing_task(config: Config) -> pursuit.Task:
    settings = pursuit.Config(lanes=config.lanes, steps=config.steps, tol=sys.float_info.min)
    return task_of(config, settings, noise=True)


def grow_tightly(config: Config, states: list[pursuit.State]) -> dict[str, Any]:
    """The rounds from these states with room for every width, from an empty cache: some are run.

    The first round, which compiles single operations too, counts as it is.
    """
    jax.clear_caches()
    run = [0, *range(1, len(states), config.every)]
    seconds: list[float] = []
    programs: list[float] = []
    for i in run:
        begun = time.process_time()
        with compilations() as seen:
            task = growing_task(config)
            room = int(jnp.max(states[i].counts)) + task.config.per_round
            jax.block_until_ready(pursuit.step(task, exact(states[i], room)))
        seconds.append(time.process_time() - begun)
        programs.append(sum(map(len, of_pursuit(seen).values())))
    others = len(states) - 1

    def whole(each: list[float]) -> float:
        return float(each[0] + (np.mean(each[1:]) * others if others else 0))

    return {
        "programs": round(whole(programs)),
        "cpu_seconds": whole(seconds),
        "rounds": len(states),
        "run": run,
        "cpu_seconds_of_these": seconds,
        "programs_of_these": programs,
    }


# A round, warm.


@contextmanager
def timed_parts() -> Iterator[dict[str, float]]:
    """CPU-seconds of the two programs of a round, as `pursuit.step` calls them."""
    seconds = {"grow": 0.0, "refit": 0.0}
    whole: dict[str, Callable[..., Any]] = {"grow": loop.grow, "refit": loop.refit_in_turn}

    def timed(name: str, *args: Any) -> Any:
        begun = time.process_time()
        result = jax.block_until_ready(whole[name](*args))
        seconds[name] += time.process_time() - begun
        return result

    for name in whole:
        setattr(loop, whole[name].__name__, partial(timed, name))
    try:
        yield seconds
    finally:
        for function in whole.values():
            setattr(loop, function.__name__, function)


def split_round(config: Config) -> dict[str, list[float]]:
    """CPU-seconds of a round of the default pursuit, and of its parts, some times."""
    task = task_of(config, pursuit.Config(tol=sys.float_info.min))
    state = pursuit.init(jax.random.key(config.seed), task)
    for _ in range(config.rounds):
        state, _ = pursuit.step(task, state)
    jax.block_until_ready(pursuit.step(task, state))
    taken = []
    for _ in range(config.repeats):
        begun = time.process_time()
        with timed_parts() as parts:
            jax.block_until_ready(pursuit.step(task, state))
        taken.append({**parts, "round": time.process_time() - begun})
    return {name: [each[name] for each in taken] for name in taken[0]}


# From cold.


def cold(config: Config) -> dict[str, Any]:
    """In this process: CPU-seconds of a first run of the default pursuit, and of a second."""

    def run() -> tuple[float, pursuit.Pursuit]:
        begun = time.process_time()
        task = task_of(config, pursuit.Config())
        found = pursuit.run(
            jax.random.key(config.seed),
            task.x,
            task.y,
            activation=task.method.activation,
            depth=config.depth,
            config=task.config,
        )
        return time.process_time() - begun, found

    with compilations() as programs:
        first, _ = run()
    second, found = run()
    slowest = {name: round(sum(times), 3) for name, times in of_pursuit(programs).items()}
    others = sum(map(sum, programs.values())) - sum(slowest.values())
    return {
        "first": first,
        "second": second,
        "compilation": first - second,
        "wall_seconds": slowest | {"single operations": round(others, 3)},
        "rounds": len(found.history.loss),
    }


_COLD = """
import json, sys
from benchmarks import pursuit
from nsjax.runs import setup
setup(cache="")
config = pursuit.Config(**json.loads(sys.argv[1]))
print(json.dumps(pursuit.cold(config)))
"""


def from_cold(config: Config) -> dict[str, Any]:
    """`cold` in a new process."""
    given = {
        name: getattr(config, name) for name in ("dimension", "samples", "depth", "target", "seed")
    }
    root = Path(__file__).resolve().parents[1]
    paths = [str(root), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, "-c", _COLD, json.dumps(given)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the run from cold failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


# Minimisers.


@partial(jax.jit, static_argnums=(0, 1))
def descend(
    name: str, objective: Objective, w: jax.Array, problem: Problem, goal: jax.Array, budget: int
) -> Fit:
    """One minimiser from flat weights, without a penalty."""
    return MINIMISERS[name](
        objective,
        w,
        problem,
        l2=jnp.zeros((), w.dtype),
        steps=budget,
        target=goal,
        learning_rate=pursuit.Config().learning_rate,
    )


def compare_minimisers(config: Config) -> list[rows.Row]:
    """The default minimiser beside every other, from the same starts."""
    task = task_of(config, pursuit.Config())
    found = pursuit.run(
        jax.random.key(config.seed),
        task.x,
        task.y,
        activation=task.method.activation,
        depth=config.depth,
        config=task.config,
    )
    params = task.units.into(found.params)
    objective = task.method.objective(params)
    flat = objective.layout.flat(params)
    keys = jax.random.split(jax.random.key(config.seed + 1), config.repeats)
    size = config.disturbance * jnp.linalg.norm(flat) / flat.size**0.5
    starts = [flat + size * jax.random.normal(key, flat.shape, flat.dtype) for key in keys]
    goal = jnp.asarray(config.goal, flat.dtype)
    seconds: dict[str, list[float]] = {name: [] for name in MINIMISERS}
    fits: dict[str, list[Fit]] = {name: [] for name in MINIMISERS}
    for name in MINIMISERS:
        jax.block_until_ready(
            descend(name, objective, starts[0], task.problem, goal, config.budget)
        )
    for w in starts:
        for name in MINIMISERS:
            begun = time.process_time()
            fit = descend(name, objective, w, task.problem, goal, config.budget)
            fits[name].append(jax.block_until_ready(fit))
            seconds[name].append(time.process_time() - begun)
    there = {
        name: np.array([float(fit.loss) <= config.goal for fit in some])
        for name, some in fits.items()
    }
    return [
        against_default(name, seconds, there, fits, f"{flat.size} weights, loss {config.goal:g}")
        for name in MINIMISERS
        if name != pursuit.Config().minimiser
    ]


def against_default(
    name: str,
    seconds: dict[str, list[float]],
    there: dict[str, np.ndarray],
    fits: dict[str, list[Fit]],
    size: str,
) -> rows.Row:
    """The default minimiser beside another, over the starts from which both got there."""
    ours = pursuit.Config().minimiser
    both = there[ours] & there[name]
    counts = ", ".join(
        f"{each} {there[each].sum()} of {len(both)} in "
        f"{np.median([int(fit.evaluations) for fit in fits[each]]):.0f}"
        for each in (ours, name)
    )
    note = f"got there, evaluations: {counts}"
    if not both.any():
        return rows.skipped(f"minimiser {ours}", size, name, note)
    taken = (np.array(seconds[each])[both] for each in (ours, name))
    return rows.against(f"minimiser {ours}", size, name, *taken, note=note)


# The report.


def growth_rows(growth: dict[str, dict]) -> list[rows.Row]:
    """Programs and costs of a growth with room that doubles, beside room for every width."""
    ours, theirs = growth[DOUBLING], growth[EXACT]
    size = f"{ours['neurons']} neurons, from an empty cache"
    counted = ", ".join(f"{n} {program}" for program, n in sorted(ours["by_name"].items()))
    return [
        rows.against(
            "growth",
            size,
            "room for every width",
            ours["cpu_seconds"],
            theirs["cpu_seconds"],
            least=1 / WANTED["cost"],
            note=f"{ours['programs']} programs against about {theirs['programs']}; the reference "
            f"extrapolated from {len(theirs['run'])} of {theirs['rounds']} rounds",
        ),
        rows.alone(
            "growth", size, ours["programs"], "programs", most=WANTED["programs"], note=counted
        ),
    ]


def other_rows(config: Config, parts: dict[str, list[float]], start: dict) -> list[rows.Row]:
    """A warm round with its parts, and the first run of a process."""
    names = {"grow": "search and insertion", "refit": "minimisation", "round": "whole"}
    size = f"n = {config.samples}, d = {config.dimension}, depth {config.depth}"
    found = [
        rows.alone(f"warm round: {names[name]}", size, 1e3 * np.array(taken), "CPU ms")
        for name, taken in parts.items()
    ]
    slowest = ", ".join(f"{name} {s:.3g}" for name, s in start["wall_seconds"].items())
    found.append(
        rows.alone(
            "compilation of a first run",
            size,
            start["compilation"],
            "CPU s",
            most=WANTED["compilation"],
            note=f"of {start['first']:.3g}; compiler, wall s: {slowest}",
        )
    )
    return found


def main(config: Config) -> Run:
    with open_run(config.root, "benchmark_pursuit", config, seed=config.seed) as run:
        ours, states = grow_network(config)
        growth = {DOUBLING: ours, EXACT: grow_tightly(config, states)}
        parts, start = split_round(config), from_cold(config)
        found = [*growth_rows(growth), *other_rows(config, parts, start)]
        found += compare_minimisers(config)
        rows.show("What pursuit costs", found)
        run.save_results({}, {"rows": rows.to_json(found), "growth": growth, "cold": start})
    return run


if __name__ == "__main__":
    setup(cache="")
    sys.exit(script(main, Config, PRESETS, description=__doc__))
