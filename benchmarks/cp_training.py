"""What an epoch of a CP-polynomial neuron costs, beside the plain loops of reference code.

CPU-seconds of one process, one thread each, in interleaved pairs of one run. "Ours" is the compiled
program of `nsjax.neuronseek.training` as it is used: shuffling, minibatches, Adam, penalties, and
the records of every epoch, one seed. "PyTorch" is the style of public reference code: eager, a
Python loop over ranks and factors, autograd, Adam, batches from a `DataLoader`; "without loader" is
the same with batches cut from a shuffled tensor. "NumPy" is that loop with gradients by hand. All
train the same model in single precision: a linear term, and R products of every order from 2 to N.
"Growth" is how the cost and the memory of an epoch grow: slopes between logarithms.
"""

from __future__ import annotations

import importlib.util
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsjax.networks import cp
from nsjax.neuronseek import epochs, penalties
from nsjax.runs import Run, open_run, print_table, progress, script, setup

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
        for rows, targets in batches if loader else cut():
            optimiser.zero_grad()
            loss = ((forward(rows) - targets[:, 0]) ** 2).mean()
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
    """Reference styles that can be run here."""
    styles: dict[str, Callable[[Size, int], Callable[[], None]]] = {}
    if importlib.util.find_spec("torch") is not None:
        styles["PyTorch"] = partial(torch_epoch, loader=True)
        styles["PyTorch, without loader"] = partial(torch_epoch, loader=False)
    return styles | {"NumPy": numpy_epoch}


def cpu_seconds(run: Callable[[], None]) -> float:
    begun = time.process_time()
    run()
    return time.process_time() - begun


def compare(config: Config) -> list[dict[str, Any]]:
    """CPU-seconds of an epoch in every style, and ratios within interleaved pairs."""
    rows = []
    for size in progress(config.sizes, description="sizes"):
        mine = ours(size, config.epochs, config.seed)
        for name, make in references().items():
            theirs = make(size, config.seed)
            times = np.array(
                [
                    (cpu_seconds(mine) / config.epochs, cpu_seconds(theirs))
                    for _ in range(config.pairs)
                ]
            )
            ratios = times[:, 1] / times[:, 0]
            rows.append(
                {
                    "n, d, R, N, batch": ", ".join(map(str, size)),
                    "reference": name,
                    "ours, ms": float(np.median(times[:, 0]) * 1e3),
                    "reference, ms": float(np.median(times[:, 1]) * 1e3),
                    "ratio": float(np.median(ratios)),
                    "quartiles": [float(q) for q in np.quantile(ratios, (0.25, 0.75))],
                }
            )
    return rows


def grow(config: Config) -> list[dict[str, Any]]:
    """Slopes of the CPU-seconds of an epoch and of the program's own memory."""
    base, rows = config.base, []
    lines: dict[str, list[tuple[float, Size]]] = {
        "n": [(k, base._replace(n=base.n * k)) for k in config.growth],
        "d": [(k, base._replace(d=base.d * k)) for k in config.growth],
        "R": [(k, base._replace(rank=base.rank * k)) for k in config.growth],
        "sum of orders": [
            (base._replace(order=order).factors, base._replace(order=order))
            for order in config.orders
        ],
    }
    for name, line in progress(list(lines.items()), description="growth"):
        runs = [ours(size, 2, config.seed) for _, size in line]
        # Interleaved, so that a busy moment hits all of them.
        times = [[cpu_seconds(run) / 2 for run in runs] for _ in range(config.pairs)]
        seconds = np.median(times, axis=0)
        memory = []
        for _, size in line:
            program, state, others = program_of(size, config.seed)
            compiled = epochs.advance.lower(program, 2, state, *others).compile()
            analysis: Any = compiled.memory_analysis()
            memory.append(analysis.temp_size_in_bytes)
        scales = np.log([scale for scale, _ in line])
        rows.append(
            {
                "grows": name,
                "from": ", ".join(map(str, line[0][1])),
                "to": ", ".join(map(str, line[-1][1])),
                "ms": [float(s * 1e3) for s in seconds],
                "slope": float(np.polyfit(scales, np.log(seconds), 1)[0]),
                "memory, MB": [m / 1e6 for m in memory],
                "memory slope": float(np.polyfit(scales, np.log(memory), 1)[0]),
            }
        )
    return rows


def judge(compared: list[dict], growth: list[dict]) -> list[list[Any]]:
    """What is wanted, what was measured, and whether it is met."""
    rows: list[list[Any]] = []
    style = "PyTorch" if any(row["reference"] == "PyTorch" for row in compared) else "NumPy"
    for row in compared:
        if row["reference"] == style:
            met = "met" if row["ratio"] >= WANTED["speed"] else "not met"
            what = f"times faster than {style}, {row['n, d, R, N, batch']}"
            rows.append([what, row["ratio"], f"at least {WANTED['speed']:g}", met])
    for row in growth:
        met = "met" if row["slope"] <= WANTED["slope"] else "not met"
        rows.append([f"slope in {row['grows']}", row["slope"], f"at most {WANTED['slope']}", met])
    return rows


def main(config: Config) -> Run:
    with open_run(config.root, "benchmark_cp_training", config, seed=config.seed) as run:
        compared, growth = compare(config), grow(config)
        wanted = judge(compared, growth)
        print_table(
            f"An epoch: CPU milliseconds, medians of {config.pairs} interleaved pairs",
            list(compared[0]),
            [list(row.values()) for row in compared],
        )
        if importlib.util.find_spec("torch") is None:
            print("PyTorch: skipped, as it is not installed: pip install 'nsjax[bench]'")
        print_table("Growth of an epoch", list(growth[0]), [list(r.values()) for r in growth])
        print_table("Wanted", ["", "measured", "", ""], wanted)
        run.save_results({}, {"compared": compared, "growth": growth, "wanted": wanted})
        print(f"Results in {run.path}")
    return run


if __name__ == "__main__":
    # Before the first computation: one thread for all.
    os.environ["XLA_FLAGS"] = (
        os.environ.get("XLA_FLAGS", "") + " --xla_cpu_multi_thread_eigen=false"
    )
    setup(cache="")
    sys.exit(script(main, Config, PRESETS, description=__doc__))
