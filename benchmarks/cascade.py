"""What a whole cascade costs: `nsjax.dynamics.cascade` against the plain flow and gradient descent.

In one run, from one start and at the same deltas: the cascade; the plain adaptive flow (Tsit5,
relative tolerance 1e-8) to the cascade's last escape; and gradient descent with step
`0.5 / lambda_max` as one compiled loop, timed over some steps and scaled to that escape. All three
run in turn, warm; notes count gradients of ours against theirs.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax import lax

import nsjax
from benchmarks import rows
from nsjax import data, diagnostics, dynamics, networks
from nsjax.objectives import NetworkLoss
from nsjax.runs import Run, open_run, progress, script, setup


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
    repeats: int = 3
    """Turns, of which the medians count."""
    plain_until: float = 1e-3
    """Smallest delta at which the plain flow is run to its end."""
    descent_steps: int = 20_000
    """Steps of gradient descent that are timed."""
    root: Path = field(default=Path("runs"), compare=False)


PRESETS = {
    "quick": Config(),
    "full": Config("full", deltas=(1e-2, 1e-3, 1e-4, 1e-6, 1e-8, 1e-10), repeats=15),
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


@partial(jax.jit, static_argnums=(0, 4))
def descend(
    loss: NetworkLoss, params: Any, args: tuple[Any, ...], step: jax.Array, steps: int
) -> Any:
    def body(_: Any, weights: Any) -> Any:
        gradient = jax.grad(loss)(weights, *args)
        return jax.tree.map(lambda w, g: w - step * g, weights, gradient)

    return lax.fori_loop(0, steps, body, params)


def rows_for(config: Config, delta: float) -> list[rows.Row]:
    start, x, y, activation = problem(config)
    loss = NetworkLoss(activation)
    whole = partial(dynamics.cascade, start, x, y, activation, delta=delta)
    found = whole()
    norm = math.sqrt(sum(float(jnp.sum(weight**2)) for weight in start))
    small = tuple(delta / norm * weight for weight in start)
    until = float(found.escape_times[-1])
    curvature = diagnostics.hessian_spectrum(loss, found.params, args=(x, y)).largest
    h = jnp.asarray(0.5 / curvature)
    calls: dict[str, Callable[[], Any]] = {
        "ours": whole,
        "descent": partial(descend, loss, small, (x, y), h, config.descent_steps),
    }
    if delta >= config.plain_until:
        calls["plain"] = partial(
            dynamics.gradient_flow,
            loss,
            small,
            args=(x, y),
            t1=until,
            rtol=1e-8,
            saves=dynamics.Saves(200),
            max_steps=10_000_000,
            method="explicit",
        )
    seconds, results = rows.turns(calls, config.repeats)
    ours, size = found.stats.gradients, f"delta = {delta:g}, {len(found.escape_times)} escapes"
    needed = until / float(h)
    compared = [
        rows.against(
            "cascade",
            size,
            "gradient descent",
            seconds["ours"],
            seconds["descent"] * (needed / config.descent_steps),
            note=f"{ours} gradients against {needed:.3g}, extrapolated from {config.descent_steps}",
        )
    ]
    if "plain" in calls:
        flow = results["plain"]
        note = f"{ours} gradients against {flow.stats.gradients}: {flow.message}"
        plain = "plain flow, explicit"
        compared.append(
            rows.against("cascade", size, plain, seconds["ours"], seconds["plain"], note=note)
        )
    return compared


def main(config: Config) -> Run:
    with open_run(config.root, "benchmark_cascade", config, seed=config.seed) as run:
        found: list[rows.Row] = []
        for delta in progress(config.deltas, description="deltas"):
            found += rows_for(config, delta)
        rows.show("Cost of a cascade", found)
        run.save_results({}, {"rows": rows.to_json(found)})
    return run


if __name__ == "__main__":
    setup()
    sys.exit(script(main, Config, PRESETS, description=__doc__))
