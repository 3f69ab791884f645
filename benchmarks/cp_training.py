"""What an epoch of a CP-polynomial neuron costs, beside the plain loops of reference code.

CPU-seconds of one process, one thread each, in interleaved pairs of one run. "Ours" is the compiled
program of `nsjax.neuronseek.training` as it is used: shuffling, minibatches, Adam, penalties, and
the records of every epoch, one seed. "PyTorch" is the style of public reference code: eager, a
Python loop over ranks and factors, autograd, Adam, batches from a `DataLoader`; "without loader" is
the same with batches cut from a shuffled tensor. "NumPy" is that loop with gradients by hand. All
train the same model in single precision: a linear term, and R products of every order from 2 to N.
The exponents say how the cost of an epoch grows; memory is that of the largest program.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import rows
from nsjax.networks import cp
from nsjax.neuronseek import epochs, penalties
from nsjax.runs import Run, open_run, progress, script, setup

WANTED = {"speed": 20.0, "slope": 1.1}
"""The least ratio to the reference style, and the largest slope of the cost."""
RATE = 1e-3


class Size(NamedTuple):
    """One problem: samples n, inputs d, rank R, largest order N, samples of a batch."""

    n: int
    d: int
    rank: int
    order: int
    batch: int

    @property
    def factors(self) -> int:
        """Factors of one rank: the sum of the orders."""
        return 1 + sum(range(2, self.order + 1))


BASE = Size(8000, 64, 16, 3, 512)


@dataclass(frozen=True)
class Config:
    preset: Literal["quick", "full"] = "quick"
    sizes: tuple[Size, ...] = (
        Size(1000, 5, 3, 3, 64),
        Size(1000, 10, 8, 4, 64),
        Size(10_000, 100, 8, 4, 256),
        Size(10_000, 20, 8, 3, 10_000),
    )
    """Problems that the styles are compared on."""
    pairs: int = 7
    """Interleaved measurements, of which the median counts."""
    epochs: int = 20
    """Epochs of one measurement of ours; of the references one."""
    growth: tuple[int, ...] = (1, 2, 4)
    """Factors by which n, d and R of the base problem grow."""
    orders: tuple[int, ...] = (2, 3, 4, 5)
    """Largest orders that the cost is measured at."""
    base: Size = BASE
    """Problem that grows."""
    seed: int = 0
    root: Path = field(default=Path("runs"), compare=False)
    """Folder of all runs."""


PRESETS = {"quick": Config(), "full": Config(preset="full", pairs=21, growth=(1, 2, 4, 8, 16))}


def samples(size: Size, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, (size.n, size.d)).astype(np.float32)
    y = 2 * x[:, 0] + x[:, 1] ** 2 + x[:, 2] * x[:, 3]
    return x, ((y - y.mean()) / y.std())[:, None]


def program_of(size: Size, seed: int) -> tuple[penalties.Program, epochs.State, tuple]:
    """The compiled program's static part, its first state and other arguments."""
    x, y = (jnp.asarray(each) for each in samples(size, seed))
    one = partial(jnp.asarray, dtype=jnp.float32)
    template = cp.Template((1,), tuple(range(2, size.order + 1)), size.rank)
    program = penalties.Program(
        template, "paper", "term", "square", size.d, 1, size.batch, "float32"
    )
    data = penalties.Data(
        x, y, one(0.5 * size.n), x[:0], y[:0], one(1.0), x[:: -(-size.n // 512)], one(1.0)
    )
    # The learning rate falls over very many steps, so that every epoch is alike.
    strengths = penalties.Strengths(*map(one, (RATE, math.inf, 1e-4, 1e-4, 0, 1e9, 1)))
    state = epochs.start(program, jax.random.split(jax.random.key(seed), 1), data)
    keep = jnp.ones((1, 1 + size.rank * (size.order - 1)), jnp.float32)
    return program, state, (keep, data, strengths)


def ours(size: Size, count: int, seed: int) -> Callable[[], None]:
    """Runs so many epochs, and compiles first."""
    program, state, others = program_of(size, seed)
    held = [state]

    def run() -> None:
        held[0], records = epochs.advance(program, count, held[0], *others)
        jax.block_until_ready(records)

    run()
    return run


def torch_epoch(size: Size, seed: int, *, loader: bool) -> Callable[[], None]:
    """One epoch in the style of public reference code."""
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    x, y = (torch.as_tensor(each) for each in samples(size, seed))
    orders = [1, *range(2, size.order + 1)]
    ranks = [1 if order == 1 else size.rank for order in orders]
    c = torch.nn.ParameterList([torch.nn.Parameter(torch.randn(rank)) for rank in ranks])
    u = torch.nn.ParameterList(
        [
            torch.nn.Parameter(torch.randn(order, rank, size.d) / size.d**0.5)
            for order, rank in zip(orders, ranks, strict=True)
        ]
    )
    bias = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.Adam([bias, *c, *u], lr=RATE)
    batches = DataLoader(TensorDataset(x, y), batch_size=size.batch, shuffle=True)

    def forward(rows: Any) -> Any:
        out = bias
        for order, rank, coefficients, factors in zip(orders, ranks, c, u, strict=True):
            for r in range(rank):
                product = coefficients[r]
                for m in range(order):
                    product = product * (rows @ factors[m, r])
                out = out + product
        return out

    def cut() -> Iterator[tuple[Any, Any]]:
        shuffled = torch.randperm(size.n)
        for part in shuffled.split(size.batch):
            yield x[part], y[part]

    def run() -> None:
        for inputs, targets in batches if loader else cut():
            optimiser.zero_grad()
            loss = ((forward(inputs) - targets[:, 0]) ** 2).mean()
            loss = loss + 1e-4 * sum(each.abs().sum() for each in c)
            loss = loss + 1e-4 * sum(
                order**2 * each.abs().mean() for order, each in zip(orders, u, strict=True)
            )
            loss.backward()
            optimiser.step()

    run()
    return run


def numpy_epoch(size: Size, seed: int) -> Callable[[], None]:
    """The same loop with gradients by hand, without penalties."""
    x, y = samples(size, seed)
    rng = np.random.default_rng(seed)
    orders = [1, *range(2, size.order + 1)]
    ranks = [1 if order == 1 else size.rank for order in orders]
    weights = [np.zeros(1, np.float32)]
    for order, rank in zip(orders, ranks, strict=True):
        weights.append(rng.normal(size=rank).astype(np.float32))
        drawn = rng.normal(size=(order, rank, size.d)) / size.d**0.5
        weights.append(drawn.astype(np.float32))
    first, second = ([np.zeros_like(w) for w in weights] for _ in range(2))
    steps = 0

    def gradient(rows: np.ndarray, targets: np.ndarray) -> list[np.ndarray]:
        out = np.full(len(rows), weights[0][0])
        projections: list[list[list[np.ndarray]]] = []
        for i, (order, rank) in enumerate(zip(orders, ranks, strict=True)):
            c, u = weights[1 + 2 * i], weights[2 + 2 * i]
            projections.append([[rows @ u[m, r] for m in range(order)] for r in range(rank)])
            for r in range(rank):
                out += c[r] * math.prod(projections[i][r])
        slope = 2 * (out - targets) / len(rows)
        found = [np.zeros_like(w) for w in weights]
        found[0][0] = slope.sum()
        for i, (order, rank) in enumerate(zip(orders, ranks, strict=True)):
            c = weights[1 + 2 * i]
            for r in range(rank):
                mine = projections[i][r]
                found[1 + 2 * i][r] = slope @ math.prod(mine)
                for m in range(order):
                    others = math.prod(mine[:m] + mine[m + 1 :])
                    found[2 + 2 * i][m, r] = (c[r] * slope * others) @ rows
        return found

    def run() -> None:
        nonlocal steps
        shuffled = rng.permutation(size.n)
        for at in range(0, size.n, size.batch):
            part = shuffled[at : at + size.batch]
            steps += 1
            for w, g, m, v in zip(
                weights, gradient(x[part], y[part, 0]), first, second, strict=True
            ):
                m += 0.1 * (g - m)
                v += 0.001 * (g * g - v)
                hat = np.sqrt(v / (1 - 0.999**steps)) + 1e-8
                w -= RATE * m / (1 - 0.9**steps) / hat

    run()
    return run


def references() -> dict[str, Callable[[Size, int], Callable[[], None]]]:
    """Styles to compare with."""
    return {
        "PyTorch": partial(torch_epoch, loader=True),
        "PyTorch, without loader": partial(torch_epoch, loader=False),
        "NumPy": numpy_epoch,
    }


def words(size: Size) -> str:
    return ", ".join(f"{name} = {value}" for name, value in zip("ndRN", size, strict=False))


def compare(config: Config) -> list[rows.Row]:
    """An epoch in every style. Each is held against ours by itself, as PyTorch keeps memory."""
    found, why = [], rows.absent("torch", "bench")
    # Without PyTorch, which the aim is about, it is held against the loop in NumPy.
    judged = "NumPy" if why else "PyTorch"
    for size in progress(config.sizes, description="sizes"):
        mine, named = ours(size, config.epochs, config.seed), f"{words(size)}, batch {size.batch}"
        for name, make in references().items():
            if why and name.startswith("PyTorch"):
                found.append(rows.skipped("epoch", named, name, why))
                continue
            calls = {"ours": mine, "theirs": make(size, config.seed)}
            seconds = rows.turns(calls, config.pairs).seconds
            found.append(
                rows.against(
                    "epoch",
                    named,
                    name,
                    seconds["ours"] / config.epochs,
                    seconds["theirs"],
                    least=WANTED["speed"] if name == judged else None,
                    note="float32",
                )
            )
    return found


def grow(config: Config) -> list[rows.Row]:
    """Exponents of the CPU-seconds of an epoch, with the memory of the largest program."""
    base, found = config.base, []
    lines: dict[str, list[tuple[float, Size]]] = {
        "n": [(k * base.n, base._replace(n=base.n * k)) for k in config.growth],
        "d": [(k * base.d, base._replace(d=base.d * k)) for k in config.growth],
        "R": [(k * base.rank, base._replace(rank=base.rank * k)) for k in config.growth],
        "sum of orders": [
            (base._replace(order=order).factors, base._replace(order=order))
            for order in config.orders
        ],
    }
    for name, line in progress(list(lines.items()), description="growth"):
        calls = {str(size): ours(size, 2, config.seed) for _, size in line}
        seconds = np.stack(list(rows.turns(calls, config.pairs).seconds.values()), axis=1) / 2
        program, state, others = program_of(line[-1][1], config.seed)
        compiled = epochs.advance.lower(program, 2, state, *others).compile()
        analysis: Any = compiled.memory_analysis()
        found.append(
            rows.exponent(
                "epoch",
                name,
                [scale for scale, _ in line],
                seconds,
                most=WANTED["slope"],
                memory=analysis.temp_size_in_bytes / 1e6,
            )
        )
    return found


def main(config: Config) -> Run:
    with open_run(config.root, "benchmark_cp_training", config, seed=config.seed) as run:
        found = [*compare(config), *grow(config)]
        rows.show("An epoch of a CP-polynomial neuron", found)
        run.save_results({}, {"rows": rows.to_json(found)})
        print(f"Results in {run.path}")
    return run


if __name__ == "__main__":
    # Before the first computation: one thread for all.
    os.environ["XLA_FLAGS"] = (
        os.environ.get("XLA_FLAGS", "") + " --xla_cpu_multi_thread_eigen=false"
    )
    setup(cache="")
    sys.exit(script(main, Config, PRESETS, description=__doc__))
