"""What a task-driven convolution costs: a train step beside that of a plain one.

Train steps in turn (loss, gradients in weights and inputs, a step of SGD) of a `TaskConv` and a
`flax.linen.Conv` of the same sizes, in one process: CPU time, or on an accelerator the clock on the
wall. The aim is at most the number of terms and a half times the cost of the plain one: a ratio of
at least one over that.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn

from benchmarks import rows
from nsjax import runs
from nsjax.neuronseek import LayerTerms, TaskConv


@dataclass(frozen=True)
class Config:
    """Settings of the benchmark."""

    preset: Literal["quick", "full"] = "quick"
    """Which set of defaults the other settings start from."""
    batch: int = 64
    """Images of a batch."""
    size: int = 16
    """Height and width of the images."""
    channels: tuple[int, ...] = (3, 32)
    """Channels of the inputs: a first layer, and a later one."""
    features: int = 32
    """Channels of the outputs."""
    pairs: int = 15
    """Interleaved pairs of steps."""
    half: bool = False
    """Whether both layers compute in bfloat16."""
    seed: int = 0
    """Seed of images and weights."""
    root: Path = field(default=Path("runs"), compare=False)
    """Where run folders go."""


PRESETS = {"quick": Config(), "full": Config(preset="full", batch=128, size=32, channels=(3, 64))}
TERMS = {
    "x, x^2": LayerTerms(((1, 1.0), (2, 1.0))),
    "x, x^2, x^3": LayerTerms(((1, 1.0), (2, 1.0), (3, 1.0))),
    "x, I2 of rank 4": LayerTerms(((1, 1.0),), ((2, 4, 1.0),)),
    "x, x^2, I2 of rank 4, sine": LayerTerms(
        ((1, 1.0), (2, 1.0)), ((2, 4, 1.0),), (("sine", 4, 1.0),)
    ),
}


def step_of(layer: nn.Module, x: jax.Array) -> tuple[Callable[[Any, Any], Any], Any]:
    """A compiled train step, and parameters."""

    def loss(params: Any, x: jax.Array) -> jax.Array:
        outputs: Any = layer.apply(params, x)
        return jnp.mean(outputs**2)

    @jax.jit
    def step(params: Any, x: jax.Array) -> Any:
        value, (slope, backward) = jax.value_and_grad(loss, argnums=(0, 1))(params, x)
        return jax.tree.map(lambda p, g: p - 0.01 * g, params, slope), value, backward

    params = layer.init(jax.random.key(1), x)
    jax.block_until_ready(step(params, x))
    return step, params


def main(config: Config) -> Path:
    """Run the benchmark; returns the run's folder."""
    with runs.open_run(config.root, "benchmark_task_conv", config, seed=config.seed) as run:
        found = []
        host = jax.default_backend() == "cpu"
        clock = time.process_time if host else time.perf_counter
        for channels in config.channels:
            shape = (config.batch, config.size, config.size, channels)
            x = jax.random.normal(jax.random.key(config.seed), shape, jnp.float32)
            dtype = jnp.bfloat16 if config.half else jnp.float32
            plain, params = step_of(nn.Conv(config.features, (3, 3), dtype=dtype), x)
            for name, terms in TERMS.items():
                driven, weights = step_of(TaskConv(config.features, (3, 3), terms, dtype=dtype), x)
                calls = {"ours": partial(driven, weights, x), "plain": partial(plain, params, x)}
                seconds = rows.turns(calls, config.pairs, clock=clock).seconds
                found.append(
                    rows.against(
                        f"train step: {name}",
                        f"batch {config.batch} of {config.size} x {config.size}, "
                        f"{channels} to {config.features} channels",
                        "plain convolution",
                        seconds["ours"],
                        seconds["plain"],
                        unit="CPU ms" if host else "wall ms",
                        least=1 / (terms.count + 0.5),
                        note=str(jnp.dtype(dtype)),
                    )
                )
        run.save_results({}, {"rows": rows.to_json(found)})
        rows.show("A train step of a convolution", found)
        print(f"results: {run.path}")
    return run.path


if __name__ == "__main__":
    sys.exit(runs.script(main, Config, PRESETS, description=__doc__))
