"""What a task-driven convolution costs: a train step beside that of a plain one.

Interleaved pairs of train steps (loss, gradients in weights and inputs, a step of SGD) of a
`TaskConv` and a `flax.linen.Conv` of the same sizes, in one process; medians of ratios. The aim is
a ratio of at most the number of terms and a half.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

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


def seconds(step: Callable[[Any, Any], Any], params: Any, x: jax.Array) -> float:
    """Wall time of one step."""
    begun = time.perf_counter()
    jax.block_until_ready(step(params, x))
    return time.perf_counter() - begun


def main(config: Config) -> Path:
    """Run the benchmark; returns the run's folder."""
    with runs.open_run(config.root, "task_conv", config, seed=config.seed) as run:
        rows, results = [], {}
        for channels in config.channels:
            shape = (config.batch, config.size, config.size, channels)
            x = jax.random.normal(jax.random.key(config.seed), shape, jnp.float32)
            dtype = jnp.bfloat16 if config.half else jnp.float32
            plain = step_of(nn.Conv(config.features, (3, 3), dtype=dtype), x)
            for name, terms in TERMS.items():
                driven = step_of(TaskConv(config.features, (3, 3), terms, dtype=dtype), x)
                pairs = np.array(
                    [(seconds(*plain, x), seconds(*driven, x)) for _ in range(config.pairs)]
                )
                ratio = float(np.median(pairs[:, 1] / pairs[:, 0]))
                limit = terms.count + 0.5
                rows.append(
                    (
                        f"{channels} to {config.features}",
                        name,
                        f"{1e3 * np.median(pairs[:, 0]):.2f}",
                        f"{1e3 * np.median(pairs[:, 1]):.2f}",
                        f"{ratio:.2f}",
                        f"{limit:g}",
                        "yes" if ratio <= limit else "no",
                    )
                )
                results[f"{channels}, {name}"] = {
                    "pairs": pairs,
                    "ratio": ratio,
                    "limit": limit,
                    "held": ratio <= limit,
                }
        run.save_results({}, results)
        runs.print_table(
            f"A train step, batch {config.batch}, {config.size} x {config.size} (ms, medians of "
            f"{config.pairs} interleaved pairs; ratio: median)",
            ("channels", "terms", "plain", "task-driven", "ratio", "aim", "within"),
            rows,
        )
        print(f"results: {run.path}")
    return run.path


if __name__ == "__main__":
    sys.exit(runs.script(main, Config, PRESETS, description=__doc__))
