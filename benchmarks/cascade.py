"""What a whole cascade costs: `nsjax.dynamics.cascade` against the plain flow and gradient descent.

In one run, from one start and at the same deltas: the cascade; the plain adaptive flow (Tsit5,
relative tolerance 1e-8) to the cascade's last escape; and gradient descent with step
`0.5 / lambda_max` as one compiled loop, timed over some steps and scaled to that escape. Seconds
are CPU-seconds once warm, the least of some repeats; evaluations are those of the integrator.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax import lax

import nsjax
from nsjax import data, diagnostics, dynamics, networks
from nsjax.objectives import NetworkLoss
from nsjax.runs import Run, open_run, print_table, progress, script, setup

COLUMNS = {
    "delta": "delta",
    "method": "method",
    "status": "status",
    "escapes": "escapes",
    "steps": "steps",
    "gradients": "gradients",
    "cpu_seconds": "CPU s",
    "against_cascade": "CPU / cascade",
}


@dataclass(frozen=True)
class Config:
    preset: Literal["quick", "full"] = "quick"
    degree: int = 2
    """Degree p of the activation t^p (`slope` 1) or max(t, slope t)^p."""
    slope: float = 1.0
    deltas: tuple[float, ...] = (1e-2, 1e-3, 1e-4, 1e-6, 1e-8)
    samples: int = 100
    dimension: int = 6
    width: int = 8
    teacher: int = 3
    outputs: int = 1
    seed: int = 0
    repeats: int = 2
    plain_until: float = 1e-3
    """Smallest delta at which the plain flow is run to its end."""
    descent_steps: int = 20_000
    """Steps of gradient descent that are timed."""
    root: Path = field(default=Path("runs"), compare=False)


PRESETS = {
    "quick": Config(),
    "full": Config("full", deltas=(1e-2, 1e-3, 1e-4, 1e-6, 1e-8, 1e-10), repeats=5),
}


def problem(config: Config) -> tuple[Any, ...]:
    keys = jax.random.split(jax.random.key(config.seed), 3)
    activation = nsjax.PolyLeakyReLU(config.degree, config.slope)
    x = data.sphere(keys[0], config.samples, config.dimension)
    y = networks.teacher_targets(
        keys[1], x, activation, hidden=(config.teacher,), outputs=config.outputs
    )
    start = networks.init(keys[2], (config.dimension, config.width, config.outputs))
    return start, x, y, activation


def cpu_seconds(call: Callable[[], Any], repeats: int) -> float:
    """The least CPU time of some calls, after one that compiles."""
    jax.block_until_ready(call())
    times = []
    for _ in range(repeats):
        begun = time.process_time()
        jax.block_until_ready(call())
        times.append(time.process_time() - begun)
    return min(times)


@partial(jax.jit, static_argnums=(0, 4))
def descend(
    loss: NetworkLoss, params: Any, args: tuple[Any, ...], step: jax.Array, steps: int
) -> Any:
    def body(_: Any, weights: Any) -> Any:
        gradient = jax.grad(loss)(weights, *args)
        return jax.tree.map(lambda w, g: w - step * g, weights, gradient)

    return lax.fori_loop(0, steps, body, params)


def rows_for(config: Config, delta: float) -> list[dict[str, Any]]:
    start, x, y, activation = problem(config)
    loss = NetworkLoss(activation)
    found = dynamics.cascade(start, x, y, activation, delta=delta)
    seconds = cpu_seconds(
        lambda: dynamics.cascade(start, x, y, activation, delta=delta).params, config.repeats
    )
    row: dict[str, Any] = {
        "delta": delta,
        "method": "cascade",
        "status": found.message.split(":")[0],
        "escapes": len(found.escape_times),
        "steps": found.stats.steps,
        "gradients": found.stats.gradients,
        "cpu_seconds": seconds,
        "against_cascade": 1.0,
    }
    rows = [row]
    norm = math.sqrt(sum(float(jnp.sum(weight**2)) for weight in start))
    small = tuple(delta / norm * weight for weight in start)
    until = float(found.escape_times[-1])
    if delta >= config.plain_until:
        saves = dynamics.Saves(200)

        def plain() -> dynamics.Flow:
            return dynamics.gradient_flow(
                loss,
                small,
                args=(x, y),
                t1=until,
                rtol=1e-8,
                saves=saves,
                max_steps=10_000_000,
                method="explicit",
            )

        flow = plain()
        taken = cpu_seconds(lambda: plain().params, config.repeats)
        rows.append(
            row
            | {
                "method": "plain flow",
                "status": flow.message,
                "steps": flow.stats.steps,
                "gradients": flow.stats.gradients,
                "cpu_seconds": taken,
                "against_cascade": taken / seconds,
            }
        )
    curvature = diagnostics.hessian_spectrum(loss, found.params, args=(x, y)).largest
    h = jnp.asarray(0.5 / curvature)
    timed = cpu_seconds(
        lambda: descend(loss, small, (x, y), h, config.descent_steps), config.repeats
    )
    needed = until / float(h)
    taken = timed * needed / config.descent_steps
    rows.append(
        row
        | {
            "method": "gradient descent",
            "status": f"extrapolated from {config.descent_steps} steps",
            "steps": round(needed),
            "gradients": round(needed),
            "cpu_seconds": taken,
            "against_cascade": taken / seconds,
        }
    )
    return rows


def main(config: Config) -> Run:
    with open_run(config.root, "benchmark_cascade", config, seed=config.seed) as run:
        rows: list[dict[str, Any]] = []
        for delta in progress(config.deltas, description="deltas"):
            rows += rows_for(config, delta)
        print_table(
            "Cost of a cascade",
            list(COLUMNS.values()),
            [[row[name] for name in COLUMNS] for row in rows],
        )
        run.save_results({}, {"rows": rows})
    return run


if __name__ == "__main__":
    setup()
    sys.exit(script(main, Config, PRESETS, description=__doc__))
