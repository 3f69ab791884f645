"""What a step of gradient flow costs in an ensemble: beside one member after the other.

Two-layer networks of squared ReLU on one set of data, from starts of several sizes. In one process,
in turn: a loop over `nsjax.dynamics.gradient_flow` (the explicit method, and of some members only),
a plain `jax.vmap` of the same integration over all members, and `flow_ensemble`. CPU-microseconds
for each attempted step of a member. The aim is a step of the loop at 3.5 times the cost of one of
the ensemble.

How much there is to gain depends on the sizes: a small network's step is mostly the fixed cost of
its many operations, which a block shares; a larger one's is arithmetic, of which there is no less
in a block. "Gradients alone" is the cost of a member's gradients in a block of 16, six of them a
step: below that no ensemble can come.

In a process of its own, whose CPU counts as two devices, the same ensemble on one of them and on
both: the aim is less than 10 % more CPU time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

import nsjax
from benchmarks import rows
from nsjax import data, networks, objectives, runs
from nsjax.dynamics import FlowEnsemble, Saves, flow_ensemble, gradient_flow
from nsjax.dynamics.integrate import integrate

GAIN, OVERHEAD = 3.5, 0.1
LOSS = objectives.NetworkLoss(nsjax.PolyLeakyReLU(2, 0.0))


@dataclass(frozen=True)
class Config:
    """Settings of the benchmark."""

    preset: Literal["quick", "full"] = "quick"
    """Which set of defaults the other settings start from."""
    sizes: tuple[tuple[int, int, int], ...] = ((200, 20, 20),)
    """Samples, inputs and neurons of each problem."""
    dtypes: tuple[str, ...] = ("float64",)
    """Of data and weights; tolerances are 1e-6 in float64, 1e-4 in float32."""
    members: int = 32
    """Flows of an ensemble."""
    few: int = 8
    """Of these, how many the loop over single flows runs."""
    time: float = 800.0
    """Horizon, times samples and neurons: to the sum of all slopes it is in proportion."""
    saves: int = 20
    """Saves of each flow."""
    repeats: int = 3
    """Turns."""
    devices: int = 2
    """Devices of the second comparison; 0 to leave it out."""
    seed: int = 0
    """Seed of data, targets and starts."""
    root: Path = field(default=Path("runs"), compare=False)
    """Where run folders go."""


PRESETS = {
    "quick": Config(),
    "full": Config(
        preset="full",
        sizes=((200, 20, 20), (100, 10, 5), (50, 5, 5)),
        dtypes=("float64", "float32"),
        members=256,
        few=16,
        time=1200.0,
        repeats=5,
    ),
}


class Problem(NamedTuple):
    """Starts of all members, data, and the options of their flows."""

    params: Any
    args: tuple[jax.Array, jax.Array]
    options: dict[str, Any]


def make_problem(config: Config, size: tuple[int, int, int], dtype: str) -> Problem:
    samples, inputs, neurons = size
    keys = jax.random.split(jax.random.key(config.seed), 4)
    x = data.sphere(keys[0], samples, inputs)
    y = networks.teacher_targets(keys[1], x, LOSS.activation, hidden=(4,))
    drawn = jax.vmap(lambda key: networks.init(key, (inputs, neurons, 1)))(
        jax.random.split(keys[2], config.members)
    )
    scales = jax.random.uniform(keys[3], (config.members, 1, 1), minval=0.1, maxval=0.5)
    params, args = jax.tree.map(
        lambda a: a.astype(dtype), (jax.tree.map(lambda w: scales * w, drawn), (x, y))
    )
    rtol = 1e-6 if dtype == "float64" else 1e-4
    options = {"t1": config.time / (samples * neurons), "rtol": rtol, "saves": Saves(config.saves)}
    return Problem(params, args, options)


def one_by_one(problem: Problem, few: int) -> int:
    """A loop over single flows; returns the count of their steps."""
    steps = 0
    for i in range(few):
        start = jax.tree.map(lambda w, i=i: w[i], problem.params)
        flow = gradient_flow(LOSS, start, args=problem.args, method="explicit", **problem.options)
        steps += flow.stats.steps
    return steps


@partial(jax.jit, static_argnums=0)
def vmapped(saves: int, params: Any, args: tuple, t1: jax.Array, rtol: jax.Array) -> jax.Array:
    """Steps of all members, by `jax.vmap` of the integration that `gradient_flow` runs."""

    def one(params: Any) -> jax.Array:
        y0, tree = ravel_pytree(params)
        slope = jax.value_and_grad(lambda y, args: LOSS(tree(y), *args))

        def measure(t: jax.Array, y: jax.Array, args: Any) -> tuple[jax.Array, jax.Array]:
            value, gradient = slope(y, args)
            return value, jnp.linalg.norm(gradient)

        smallest = [jnp.min(jnp.linalg.norm(w, axis=a)) for w in params for a in (0, 1)]
        found = integrate(
            lambda t, y, args: -slope(y, args)[1],
            y0,
            args,
            horizon=t1,
            fractions=Saves(saves).fractions,
            measure=measure,
            margins=None,
            rtol=rtol,
            atol=0.01 * rtol * jnp.min(jnp.stack(smallest)),
            solver="tsit5",
            max_steps=100_000,
        )
        # Nothing is left out that the result does not need: the saves enter, by nothing.
        return found.steps + (0 * jnp.sum(found.saved[0])).astype(int)

    return jax.vmap(one)(params)


def by_vmap(problem: Problem) -> int:
    """All flows by `jax.vmap`; returns the count of their steps."""
    dtype = problem.args[0].dtype
    t1, rtol = (jnp.asarray(problem.options[name], dtype) for name in ("t1", "rtol"))
    saves = problem.options["saves"].count
    return int(jnp.sum(vmapped(saves, problem.params, problem.args, t1, rtol)))


def ensemble(problem: Problem, mesh: jax.sharding.Mesh | None = None) -> FlowEnsemble:
    """All flows by `flow_ensemble`."""
    return flow_ensemble(LOSS, problem.params, args=problem.args, mesh=mesh, **problem.options)


def together(problem: Problem, mesh: jax.sharding.Mesh | None = None) -> int:
    """All flows by `flow_ensemble`; returns the count of their steps."""
    return int(ensemble(problem, mesh).steps.sum())


@partial(jax.jit, static_argnums=2)
def gradients(params: Any, args: tuple, steps: int) -> Any:
    """Six gradients a step of every member, and nothing else."""
    slope = jax.vmap(jax.grad(LOSS), in_axes=(0, None, None))

    def once(_: int, params: Any) -> Any:
        return jax.tree.map(lambda w, g: w - 1e-9 * g, params, slope(params, *args))

    return jax.lax.fori_loop(0, 6 * steps, once, params)


def gradients_alone(problem: Problem, steps: int = 50) -> int:
    """The gradients of as many steps in blocks of 16; returns the count of steps."""
    block = jax.tree.map(lambda w: w[:16], problem.params)
    jax.block_until_ready(gradients(block, problem.args, steps))
    return steps * jax.tree.leaves(block)[0].shape[0]


def turns(ways: Mapping[str, Callable[[], int]], repeats: int) -> dict[str, np.ndarray]:
    """CPU-seconds of every way in turn, for each of the steps that it counts."""
    taken = rows.turns(ways, repeats)
    return {name: seconds / taken.results[name] for name, seconds in taken.seconds.items()}


def measure_devices(config: Config) -> dict[str, list[list[float]]]:
    """The ensemble on one device and on all: CPU-seconds a step, for each size."""
    mesh = jax.make_mesh((len(jax.devices()),), ("members",))
    found = {}
    for size in config.sizes:
        problem = make_problem(config, size, config.dtypes[0])
        ways = {"one": partial(together, problem), "all": partial(together, problem, mesh)}
        taken = turns(ways, config.repeats)
        found[name_of(size)] = [list(map(float, taken[way])) for way in ways]
    return found


def on_devices(config: Config) -> dict[str, Any]:
    """`measure_devices` in a process whose CPU counts as several devices."""
    settings = {f.name: getattr(config, f.name) for f in fields(Config) if f.name != "root"}
    code = (
        "import json, sys; from benchmarks import ensembles; from nsjax import runs; runs.setup();"
        "print(json.dumps(ensembles.measure_devices(ensembles.Config(**json.loads(sys.argv[1])))))"
    )
    flags = f"--xla_force_host_platform_device_count={config.devices}"
    answer = subprocess.run(
        [sys.executable, "-c", code, json.dumps(settings)],
        cwd=Path(__file__).resolve().parent.parent,
        env=os.environ | {"XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {flags}"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(answer.stdout)


def name_of(size: tuple[int, int, int]) -> str:
    return " x ".join(map(str, size))


def compare(config: Config, size: tuple[int, int, int], dtype: str) -> list[rows.Row]:
    """The ensemble beside each other way, of one problem."""
    problem = make_problem(config, size, dtype)
    ways = {
        "one member after the other": partial(one_by_one, problem, config.few),
        "jax.vmap of the integration": partial(by_vmap, problem),
        "gradients alone": partial(gradients_alone, problem),
    }
    taken = turns(ways | {"ours": partial(together, problem)}, config.repeats)
    found = ensemble(problem)
    idle = 100 * (1 - float(found.steps.sum() / found.lanes))
    named = f"{config.members} flows, {name_of(size)}"
    return [
        rows.against(
            "member's step in an ensemble",
            named,
            name,
            taken["ours"],
            taken[name],
            scale=1e6,
            unit="CPU µs",
            least=GAIN if i == 0 else None,
            note=f"{dtype}, {idle:.0f} % of lanes idle",
        )
        for i, name in enumerate(ways)
    ]


def main(config: Config) -> Path:
    """Run the benchmark; returns the run's folder."""
    with runs.open_run(config.root, "benchmark_ensembles", config, seed=config.seed) as run:
        found = []
        for dtype in config.dtypes:
            for size in config.sizes:
                found += compare(config, size, dtype)
        for name, (one, every) in (on_devices(config) if config.devices else {}).items():
            found.append(
                rows.against(
                    f"member's step on {config.devices} devices of one CPU",
                    f"{config.members} flows, {name}",
                    "the same on one device",
                    every,
                    one,
                    scale=1e6,
                    unit="CPU µs",
                    least=1 / (1 + OVERHEAD),
                    note=config.dtypes[0],
                )
            )
        rows.show("Ensembles of flows (samples x inputs x neurons)", found)
        run.save_results({}, {"rows": rows.to_json(found)})
        print(f"results: {run.path}")
    return run.path


if __name__ == "__main__":
    runs.setup()
    sys.exit(runs.script(main, Config, PRESETS, description=__doc__))
