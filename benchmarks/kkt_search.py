"""How fast KKT points are found: the ascent against the matrix product, plain vmap and PyTorch.

One thread for all, in one run: contenders take turns, warm. A step of one start (n samples, d
features, c outputs) costs two matrix products, `4 n d` operations and with c > 1 `4 n c` more; it
is held against a large square product, for as many operations.

"plain vmap" and "PyTorch" take the shifted power step `u <- unit(grad phi / |grad phi| + shift u)`
and no more: they compare no values, refuse no step and take no residual. "PyTorch" is all starts as
one batch with autograd; "gradient by hand" writes it out, in place. A whole search goes from all
starts to their distinct points, polished and certified; PyTorch's ends when every start has reached
the residual (those that have leave the batch) and merges nothing. PyTorch is optional:
`pip install -e '.[bench]'`.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from matplotlib.figure import Figure

from benchmarks import rows
from nsjax import PolyLeakyReLU, kkt
from nsjax.kkt import blocks
from nsjax.kkt.ascent import Ascent, ascend
from nsjax.kkt.neuron import NeuronLandscape
from nsjax.networks.family import HomogeneousNeurons
from nsjax.plots.style import CATEGORIES, grid
from nsjax.runs import open_run, print_table, progress, script, setup

DTYPES = ("float32", "float64")
SQUARE, TORCH_SQUARE = "XLA, square product", "PyTorch, square product"
PRODUCTS, TORCH_PRODUCTS = "XLA, products of a step alone", "PyTorch, products of a step alone"
OURS, VMAP, TORCH, BY_HAND = "nsjax", "plain vmap", "PyTorch", "PyTorch, gradient by hand"
VARIED = ("starts", "n", "d", "c", "p")
COST = ("varied", "value", "dtype", "µs a step of one start", "of the square product")
WANTED = {"float32": 0.5, "float64": 0.7, VMAP: 2, TORCH: 10, TORCH_SQUARE: 5}
"""Least ratios; the last is to PyTorch where its square product reaches `_AS_FAST` of XLA's."""
_AS_FAST, _SQUARE, _PAIRS = 0.9, 1024, 3  # size of the square product, pairs of them in a row
Calls = dict[str, Callable[[], Any]]


@dataclass(frozen=True)
class Config:
    preset: Literal["quick", "full"] = "quick"
    starts: int = 1024
    n: int = 1000
    d: int = 50
    c: int = 1
    p: int = 2
    """Degree of the activation `max(t, 0)^p`, 2 or more side by side."""
    many_starts: tuple[int, ...] = (64, 1024, 4096)
    many_n: tuple[int, ...] = (100, 1000, 10000)
    many_d: tuple[int, ...] = (5, 50, 200)
    many_c: tuple[int, ...] = (1, 3)
    many_p: tuple[int, ...] = (1, 2, 3)
    steps: int = 40
    """Gradients of every start in one call, a multiple of 8."""
    shift: float = 0.3
    """Of the plain step: with 0.2 some starts cycle, with 1 all take half as long again."""
    tol: float = 1e-8
    """KKT residual of the whole search."""
    repeats: int = 4
    """Turns; half of them for costs and whole searches."""
    seed: int = 0
    root: Path = field(default=Path("runs"), compare=False)
    """Folder of all runs."""


PRESETS = {
    "quick": Config(),
    "full": Config(
        preset="full",
        many_starts=(64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384),
        many_n=(100, 200, 500, 1000, 2000, 5000, 10000, 20000),
        many_d=(5, 10, 20, 50, 100, 200, 400),
        repeats=18,
    ),
}


def one_thread() -> None:
    """Start this script again on one core, one thread in each library."""
    # NumPy has its threads since its import. Memory is kept, or PyTorch may spend its time on it.
    settings = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**33), "NPROC": "1"}
    settings |= {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
    if any(os.environ.get(name) != value for name, value in settings.items()):
        os.environ.update(settings)
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        os.execv(sys.executable, sys.orig_argv)


def load_torch() -> Any:
    """PyTorch with one thread; None where it is not installed."""
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(1)
    return torch


# The contenders.


def draw_problem(config: Config, dtype: str) -> list[np.ndarray]:
    """Gaussian features `(n, d)` and residual `(n, c)`, and unit rows `(starts, d)`."""
    draw = np.random.default_rng(config.seed).standard_normal
    shapes = (config.n, config.d), (config.n, config.c), (config.starts, config.d)
    features, pulled, starts = (draw(shape).astype(dtype) for shape in shapes)
    return [features, pulled, starts / np.linalg.norm(starts, axis=1, keepdims=True)]


def ours(config: Config, dtype: str) -> tuple[Callable[[], Ascent], int]:
    """The ascent of `kkt.search_neuron`, and how many starts it moves together."""
    landscape = NeuronLandscape(HomogeneousNeurons(PolyLeakyReLU(config.p, 0.0)))
    features, pulled, starts = map(jnp.asarray, draw_problem(config, dtype))
    args = features, jnp.array(features.T), pulled
    each = blocks.working_bytes(landscape.climb, starts[:1].T, *args)
    lanes = blocks.lanes(config.starts, each, blocks.BUDGET)[:1]  # all starts end together
    # A kink (p = 1) is rounded as where a search begins.
    width = jnp.asarray(1e-2, dtype) if landscape.kinked else None
    return partial(_climb, landscape, lanes, config.steps - 1, starts, args, width), lanes[0]


@partial(jax.jit, static_argnums=(0, 1, 2))
def _climb(landscape: Any, lanes: Any, most: int, starts: Any, args: Any, width: Any) -> Ascent:
    return ascend(lambda u: landscape.climb(u, *args, width=width), starts, 0.0, most, lanes=lanes)


@partial(jax.jit, static_argnums=0)
def plain_vmap(config: Config, features: Any, pulled: Any, starts: Any) -> jax.Array:
    """Steps of one start by `jax.grad`, of all by `jax.vmap`."""

    def phi(u: jax.Array) -> jax.Array:
        return jnp.linalg.norm(pulled.T @ jnp.maximum(features @ u, 0) ** config.p)

    def step(_: int, u: jax.Array) -> jax.Array:
        gradient = jax.grad(phi)(u)
        moved = gradient / jnp.linalg.norm(gradient) + config.shift * u
        return moved / jnp.linalg.norm(moved)

    return jax.vmap(lambda u: lax.fori_loop(0, config.steps, step, u))(starts)


def torch_climb(
    config: Config, problem: list, name: str, steps: int, tol: float | None = None
) -> tuple[np.ndarray, int]:
    """The same in PyTorch, a row each; those within `tol` leave. What is left, and the steps."""
    torch = load_torch()
    unit = partial(torch.nn.functional.normalize, dim=1)
    features, pulled, u = map(torch.from_numpy, problem)
    transposed = features.T.contiguous()

    def autograd(u: Any) -> Any:
        u = u.detach().requires_grad_()
        phi = (torch.relu(u @ transposed) ** config.p @ pulled).norm(dim=1)
        return torch.autograd.grad(phi.sum(), u)[0]

    def written_out(u: Any) -> Any:
        base = (u @ transposed).relu_()
        outgoing = unit(base**config.p @ pulled)
        return base.pow_(config.p - 1).mul_(outgoing @ pulled.T) @ features

    taken = 0
    while taken < steps and len(u):
        uphill = unit(autograd(u) if name == TORCH else written_out(u))
        if tol is not None:
            left = (uphill - (uphill * u).sum(dim=1, keepdim=True) * u).norm(dim=1) > tol
            if not left.all():
                u, uphill = u[left], uphill[left]
        u, taken = unit(uphill + config.shift * u), taken + 1
    return u.numpy(), taken


@partial(jax.jit, static_argnums=0)
def products(steps: int, x: jax.Array, transposed: jax.Array, columns: list) -> list:
    """Pairs of products and nothing else: those of steps, block by block, or square ones."""
    return [lax.fori_loop(0, steps, lambda _, u: transposed @ (x @ u), u) for u in columns]


def operations(config: Config) -> int:
    """Of a step of one start."""
    return 4 * config.n * (config.d + (config.c if config.c > 1 else 0))


def measure_steps(config: Config, dtype: str, *, alone: bool = False) -> dict[str, np.ndarray]:
    """Seconds of a step of one start in every turn; of the products, of as many operations.

    `alone`, of ours and of the square product only.
    """
    problem, (climb, lanes) = draw_problem(config, dtype), ours(config, dtype)
    # Of norm about 1, so that products upon products stay finite.
    normal = np.random.default_rng(config.seed).standard_normal((2, _SQUARE, _SQUARE))
    a, b = (normal / (2 * _SQUARE**0.5)).astype(dtype)
    square = partial(products, _PAIRS, jnp.asarray(a), jnp.asarray(b), [jnp.asarray(a)])
    calls: Calls = {SQUARE: square, OURS: climb}
    if not alone:
        x = jnp.asarray(problem[0] / np.linalg.norm(problem[0], 2))
        columns = [jnp.array(problem[2][i : i + lanes].T) for i in range(0, config.starts, lanes)]
        calls[PRODUCTS] = partial(products, config.steps, x, jnp.array(x.T), columns)
        calls[VMAP] = partial(plain_vmap, config, *map(jnp.asarray, problem))
    if not alone and (torch := load_torch()):
        left, right, g, u = map(torch.from_numpy, (a, b, problem[0], problem[2]))
        calls[TORCH_SQUARE] = lambda: [right @ (left @ left) for _ in range(_PAIRS)]
        calls[TORCH_PRODUCTS] = lambda: [(u @ g.T) @ g for _ in range(config.steps)]
        for name in (TORCH, BY_HAND):
            calls[name] = partial(torch_climb, config, problem, name, config.steps)
    seconds, results = rows.turns(calls, max(config.repeats // 2, 1) if alone else config.repeats)
    work = dict.fromkeys(calls, operations(config) * config.starts * config.steps)
    work[SQUARE] = work[TORCH_SQUARE] = _PAIRS * 4 * _SQUARE**3
    # Gradients that were taken: one more than steps, at the start.
    work[OURS] = operations(config) * int(jnp.sum(results[OURS].steps + 1))
    return {name: seconds[name] * operations(config) / work[name] for name in calls}


def measure_search(config: Config) -> dict[str, Any]:
    """Whole searches in float64: CPU-seconds, of ours to compile too, and how each ended."""
    problem = draw_problem(config, "float64")
    # At the origin the NCF of a new neuron has the residual itself for B.
    network = jnp.zeros((1, config.d)), jnp.zeros((config.c, 1))
    x, residual, activation = *map(jnp.asarray, problem[:2]), PolyLeakyReLU(config.p, 0.0)
    search = partial(kkt.search_neuron, jax.random.key(config.seed), network, 1, x, residual)
    calls: Calls = {OURS: partial(search, activation, starts=config.starts, tol=config.tol)}
    for name in (TORCH, BY_HAND) if load_torch() else ():
        calls[name] = partial(torch_climb, config, problem, name, 10_000, config.tol)
    jax.clear_caches()
    begun = time.process_time()
    jax.block_until_ready(calls[OURS]())
    first = time.process_time() - begun
    seconds, results = rows.turns(calls, max(config.repeats // 2, 1))
    found = results.pop(OURS)
    ends = {OURS: f"{found.steps} steps, {len(found.values)} points: {found.message}"}
    for name, (left, taken) in results.items():
        ends[name] = f"{taken} steps, {len(left)} starts short of the residual"
    compile_seconds = float(first - np.median(seconds[OURS]))
    return {"seconds": seconds, "compile_seconds": compile_seconds, "ends": ends}


# The report.


def compared(
    config: Config, steps: dict[str, dict[str, Any]], search: dict[str, Any], why: str | None
) -> list[rows.Row]:
    """Ours beside each contender; PyTorch's rows say `why` it is not there."""
    found, size = [], f"n = {config.n}, d = {config.d}, {config.starts} starts"
    least: dict[str, float] = {}
    for dtype, taken in steps.items():
        median = {name: float(np.median(seconds)) for name, seconds in taken.items()}
        # Where PyTorch's product is as fast as XLA's, half of what is wanted otherwise will do.
        fast = not why and median[SQUARE] >= _AS_FAST * median[TORCH_SQUARE]
        wanted = WANTED[TORCH_SQUARE if fast else TORCH]
        least = {SQUARE: WANTED[dtype], VMAP: WANTED[VMAP], TORCH: wanted}
        for name in (SQUARE, PRODUCTS, VMAP, TORCH, BY_HAND):
            if why and name in (TORCH, BY_HAND):
                found.append(rows.skipped("step of one start", size, name, why))
                continue
            found.append(
                rows.against(
                    "step of one start",
                    size,
                    name,
                    taken[OURS],
                    taken[name],
                    scale=1e6,
                    unit="CPU µs",
                    least=least.get(name),
                    note=f"{dtype}, {operations(config) / median[OURS] / 1e9:.3g} GFLOP/s",
                )
            )
    what, ends, seconds = f"search to residual {config.tol:g}", search["ends"], search["seconds"]
    for name in (TORCH, BY_HAND):
        if why:
            found.append(rows.skipped(what, size, name, why))
            continue
        note = f"float64; ours {ends[OURS]}; theirs {ends[name]}"
        found.append(
            rows.against(
                what, size, name, seconds[OURS], seconds[name], least=least.get(name), note=note
            )
        )
    own = f"float64; {ends[OURS]}; compiles in {search['compile_seconds']:.3g} CPU s"
    found.append(rows.alone(what, size, 1e3 * np.asarray(seconds[OURS]), "CPU ms", note=own))
    return found


def draw(costs: list[list]) -> Figure:
    """Time of a step of one start, against starts, n and d."""
    figure, panels = grid(1, 3, panel=(2.3, 2.5))
    for panel in panels[0, 1:]:
        panel.sharey(panels[0, 0])
    for panel, varied in zip(panels[0], VARIED, strict=False):
        for dtype, color, marker in zip(DTYPES, CATEGORIES, "os", strict=False):
            some = [row for row in costs if (row[0], row[2]) == (varied, dtype)]
            values, times = np.array([(row[1], row[3]) for row in some]).T
            panel.plot(values, times, color=color, marker=marker, ms=4, label=dtype)
        guide = 2 * times[0] * (values / values[0]) ** (varied != "starts")
        panel.plot(values, guide, "--", color="0.4", lw=1, label="slope 1 (for starts 0)")
        panel.set(xscale="log", yscale="log", xlabel=varied)
    panels[0, 0].set_ylabel(COST[3])
    handles = panel.get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=3, fontsize=8)
    return figure


def main(config: Config) -> Path:
    with open_run(config.root, "benchmark_kkt_search", config, seed=config.seed) as run:

        def finished(name: str, measure: Callable[..., dict], *args: Any, **policy: Any) -> dict:
            cell = run.cell(name)
            if not cell.finished:
                cell.save({}, measure(*args, **policy))
            return cell.load()[1]

        steps = {dtype: finished(dtype, measure_steps, config, dtype) for dtype in DTYPES}
        search = finished("search", measure_search, config)
        costs = []
        varied = [(name, value) for name in VARIED for value in getattr(config, f"many_{name}")]
        for name, value in progress(varied, description="costs"):
            case = replace(config, **{name: value})
            label = "_".join(f"{each}={getattr(case, each)}" for each in VARIED)
            for dtype in DTYPES:
                taken = finished(f"{dtype}_{label}", measure_steps, case, dtype, alone=True)
                us, square = (1e6 * float(np.median(taken[name])) for name in (OURS, SQUARE))
                costs.append([name, value, dtype, us, square / us])
        missing = None if load_torch() else rows.absent("torch", "bench") or "torch is broken"
        found = compared(config, steps, search, missing)
        run.save_results({}, {"rows": rows.to_json(found), "steps": steps, "costs": costs})
        rows.show("Search for KKT points, one thread", found)
        size = f"n = {config.n}, d = {config.d}, {config.starts} starts"
        print_table(f"Cost: {size} or as varied", COST, costs)
        print(f"Results in {run.path}, figure in {run.save_figure(draw(costs), 'cost')}")
        return run.path


if __name__ == "__main__":
    one_thread()
    setup(cache="")  # none on disk: compilation is measured
    sys.exit(script(main, Config, PRESETS, description=__doc__))
