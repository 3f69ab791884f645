"""What it costs to wait out a saddle: three methods of `nsjax.dynamics.escape` against plain loops.

In one run, on one saddle, data and start for each order q: the slow manifold, the implicit and the
explicit flow, and gradient descent with step `0.5 / lambda_max` as a loop in Python (the gradient
called as it is, and compiled) and as one compiled loop. Each goes from `delta` to `10 delta`.

Seconds are CPU-seconds of the whole call once warm, the least of some repeats; of these, "fixed" is
what the same call takes for a horizon of nearly nothing (inspection of the saddle, KKT search,
saves), which the loops do not need. Evaluations are those of the integrator. A row marked
"extrapolated" was measured over fewer steps and scaled to the escape time of the reference.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
from jax import lax

import nsjax
from nsjax import data, dynamics, networks
from nsjax.runs import Run, RunError, open_run, parse, print_table, progress, setup

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from nsjax.plots.style import CATEGORIES, RC, grid

LIBRARY = ("slow", "implicit", "explicit")
LOOPS = ("compiled loop", "jitted loop", "eager loop")
METHODS = LIBRARY + LOOPS
COLUMNS = {
    "delta": "delta",
    "method": "method",
    "status": "status",
    "gradients": "gradients",
    "hessians": "Hessians",
    "steps": "steps",
    "cpu_seconds": "CPU s",
    "fixed_seconds": "fixed s",
    "against_slow": "CPU / slow",
    "time_error": "time error",
    "direction_error": "direction error",
    "reference": "reference",
}
_ROUNDING = 1e-2
"""Rounding against the motion of the zero block, `eps * steps`, beyond which a plain loop is lost."""


@dataclass(frozen=True)
class Config:
    preset: Literal["quick", "full"] = "quick"
    orders: tuple[int, ...] = (3, 4)
    """Orders q = p + 1 of the NCF, two-layer networks."""
    deltas: tuple[float, ...] = (1e-2, 1e-3, 1e-4, 1e-6, 1e-8)
    samples: int = 100
    dimension: int = 10
    active: int = 1
    width: int = 5
    slope: float = 0.0
    """Slope of the activation for negative inputs."""
    teacher: int = 6
    """Neurons of the network that gives the targets."""
    seed: int = 0
    repeats: int = 3
    patience: float = 2.0
    """CPU-seconds after which a measurement is not repeated."""
    reference_rtol: float = 1e-10
    reference_budget: int = 200_000
    """Most explicit steps for the reference; beyond, the slow manifold at the same tolerance."""
    explicit_budget: int = 200_000
    """Most steps that are run; where more are needed, the cost is extrapolated."""
    compiled_budget: int = 500_000
    jitted_budget: int = 50_000
    eager_budget: int = 5_000
    explicit_probe: int = 20_000
    """Steps over which the cost is measured where it is extrapolated."""
    compiled_probe: int = 100_000
    jitted_probe: int = 5_000
    eager_probe: int = 200
    root: Path = field(default=Path("runs"), compare=False)
    """Folder of all runs."""
    progress: bool | None = field(default=None, compare=False)
    """Whether to show a progress bar; on a terminal by default."""


PRESETS = {
    "quick": Config(),
    "full": Config(
        preset="full",
        repeats=5,
        reference_budget=2_000_000,
        explicit_budget=2_000_000,
        compiled_budget=50_000_000,
        jitted_budget=500_000,
        eager_budget=50_000,
        explicit_probe=200_000,
        compiled_probe=1_000_000,
        jitted_probe=50_000,
        eager_probe=1_000,
    ),
}


class Problem(NamedTuple):
    """A saddle with its data and the direction in which every method leaves it."""

    activation: nsjax.PolyLeakyReLU
    x: jax.Array
    y: jax.Array
    params: networks.Params
    inactive: tuple[np.ndarray, ...]
    perturbation: networks.Params
    curvature: float


def make_problem(config: Config, q: int) -> Problem:
    """Inputs on the sphere, a teacher wider than the trained network, a random unit perturbation."""
    activation = nsjax.PolyLeakyReLU(q - 1, config.slope)
    inputs, weights, training, start = jax.random.split(jax.random.key(config.seed), 4)
    x = data.sphere(inputs, config.samples, config.dimension)
    y = networks.teacher_targets(weights, x, activation, hidden=(config.teacher,))
    trained = dynamics.train_saddle(
        training, x, y, activation, active=(config.active,), widths=(config.width,)
    )
    if trained.result != 0:
        raise RunError(f"q = {q}: {trained.message}")
    zero = zero_block(trained.inactive)
    drawn = networks.init(start, (config.dimension, config.width, 1))
    n_size, z_size = (
        jnp.sqrt(sum(jnp.sum(jnp.where(m == part, w, 0) ** 2) for w, m in zip(drawn, zero)))
        for part in (False, True)
    )
    # Unit in the zero block and unit in the active weights, as in Theorem 7.
    perturbation = tuple(
        jnp.where(m, w / z_size, w / n_size) for w, m in zip(drawn, zero, strict=True)
    )
    return Problem(
        activation,
        x,
        y,
        trained.params,
        trained.inactive,
        perturbation,
        trained.saddle.curvature_max,
    )


def zero_block(inactive: tuple[np.ndarray, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Masks `(k, 1)` and `(1, k)` of the zero block in the two weight matrices."""
    return inactive[0][:, None], inactive[0][None, :]


def to_arrays(problem: Problem) -> tuple[dict, dict]:
    """A problem as a cell keeps it."""
    arrays = {"x": problem.x, "y": problem.y, "inactive": problem.inactive[0]}
    for name, tree in (("params", problem.params), ("perturbation", problem.perturbation)):
        arrays |= {f"{name}_{i}": w for i, w in enumerate(tree)}
    return arrays, {"curvature": problem.curvature}


def from_arrays(q: int, config: Config, arrays: dict, values: dict) -> Problem:
    params, perturbation = (
        tuple(jnp.asarray(arrays[f"{name}_{i}"]) for i in range(2))
        for name in ("params", "perturbation")
    )
    return Problem(
        nsjax.PolyLeakyReLU(q - 1, config.slope),
        jnp.asarray(arrays["x"]),
        jnp.asarray(arrays["y"]),
        params,
        (arrays["inactive"],),
        perturbation,
        values["curvature"],
    )


# The plain loops.


def plain_loss(
    params: networks.Params, x: jax.Array, y: jax.Array, p: int, slope: float
) -> jax.Array:
    inner, outer = params
    hidden = x @ inner.T
    hidden = jnp.maximum(hidden, slope * hidden) ** p
    return 0.5 * jnp.sum((hidden @ outer.T - y) ** 2)


class Descent(NamedTuple):
    """Weights after the last step and the one before, and the count of steps."""

    params: Any
    previous: Any
    steps: int


def python_loop(
    gradient: Callable[..., Any],
    params: networks.Params,
    zero: Any,
    x: jax.Array,
    y: jax.Array,
    step: float,
    threshold: float,
    most: int,
) -> Descent:
    def size(params: networks.Params) -> float:
        inner, outer = (np.asarray(w) for w in params)
        return math.sqrt(np.sum(inner[zero[0][:, 0]] ** 2) + np.sum(outer[:, zero[1][0]] ** 2))

    steps, previous = 0, params
    while steps < most and size(params) < threshold:
        slope = gradient(params, x, y)
        previous = params
        params = tuple(w - step * g for w, g in zip(params, slope, strict=True))
        steps += 1
    return Descent(params, previous, steps)


@partial(jax.jit, static_argnums=0)
def compiled_loop(
    loss: Callable[..., jax.Array],
    params: networks.Params,
    zero: Any,
    x: jax.Array,
    y: jax.Array,
    step: float,
    threshold: float,
    most: int,
) -> Descent:
    gradient = jax.grad(loss)

    def unfinished(state: Descent) -> jax.Array:
        squares = (jnp.sum(jnp.where(m, w, 0) ** 2) for w, m in zip(state.params, zero))
        return (state.steps < most) & (jnp.sqrt(sum(squares)) < threshold)

    def advance(state: Descent) -> Descent:
        slope = gradient(state.params, x, y)
        params = tuple(w - step * g for w, g in zip(state.params, slope, strict=True))
        return Descent(params, state.params, state.steps + 1)

    return lax.while_loop(unfinished, advance, Descent(params, params, 0))


def crossing(descent: Descent, zero: Any, threshold: float) -> tuple[float, np.ndarray]:
    """Steps, a fraction included, to where the zero block crosses the threshold; its direction."""
    before, after = (
        np.concatenate([np.where(m, w, 0).ravel() for w, m in zip(params, zero, strict=True)])
        for params in (descent.previous, descent.params)
    )
    low, high = np.linalg.norm(before), np.linalg.norm(after)
    share = float((threshold - low) / (high - low))
    block = before + share * (after - before)
    return int(descent.steps) - 1 + share, block / np.linalg.norm(block)


# One measurement.


def seconds(call: Callable[[], Any], repeats: int, patience: float) -> tuple[float, Any]:
    """Least CPU-seconds of some calls, and what the last one returned."""
    least, spent, result = math.inf, 0.0, None
    for _ in range(repeats):
        start = time.process_time()
        result = jax.block_until_ready(call())
        taken = time.process_time() - start
        least, spent = min(least, taken), spent + taken
        if spent > patience:
            break
    return least, result


def escape_call(problem: Problem, delta: float, method: str, **policy: Any) -> Callable[[], Any]:
    return partial(
        dynamics.escape,
        problem.params,
        problem.inactive,
        problem.x,
        problem.y,
        problem.activation,
        delta=delta,
        perturbation=problem.perturbation,
        method=method,
        **policy,
    )


def loop_call(problem: Problem, delta: float, method: str, most: int) -> Callable[[], Descent]:
    start = tuple(w + delta * v for w, v in zip(problem.params, problem.perturbation, strict=True))
    tail = (
        start,
        zero_block(problem.inactive),
        problem.x,
        problem.y,
        0.5 / problem.curvature,
        10 * delta,
        most,
    )
    # A user's loss is defined once, so that its compiled gradient is kept.
    loss, gradient, jitted = user_functions(problem.activation.p, problem.activation.slope)
    if method == "compiled loop":
        return partial(compiled_loop, loss, *tail)
    return partial(python_loop, jitted if method == "jitted loop" else gradient, *tail)


_functions: dict[tuple[int, float], tuple[Callable[..., Any], ...]] = {}


def user_functions(p: int, slope: float) -> tuple[Callable[..., Any], ...]:
    """The plain loss, its gradient, and that gradient compiled."""
    if (p, slope) not in _functions:
        loss = partial(plain_loss, p=p, slope=slope)
        _functions[p, slope] = loss, jax.grad(loss), jax.jit(jax.grad(loss))
    return _functions[p, slope]


def find_reference(config: Config, problem: Problem, delta: float) -> tuple[dict, dict]:
    """Escape time and direction at a tight tolerance: explicit where affordable, else slow."""
    found = escape_call(problem, delta, "slow", rtol=config.reference_rtol)()
    if explicit_steps(problem, found.escape_time) <= config.reference_budget:
        policy = {"rtol": config.reference_rtol, "max_steps": 2 * config.reference_budget}
        found = escape_call(problem, delta, "explicit", **policy)()
    if math.isnan(found.escape_time):
        raise RunError(f"no reference at delta = {delta:g}: {found.message}")
    ran = " + ".join(phase.method for phase in found.phases)
    return {"direction": flat(found.direction)}, {"escape_time": found.escape_time, "ran": ran}


def explicit_steps(problem: Problem, escape_time: float) -> float:
    """About how many steps stability asks of the explicit method."""
    return problem.curvature * escape_time / 2.5


def flat(params: networks.Params) -> np.ndarray:
    return np.concatenate([np.ravel(w) for w in params])


def measure_library(
    config: Config, problem: Problem, delta: float, method: str, escape_time: float
) -> tuple[dict, dict]:
    policy: dict[str, Any] = {}
    if method == "explicit":
        whole = explicit_steps(problem, escape_time) <= config.explicit_budget
        most = 2 * config.explicit_budget if whole else config.explicit_probe
        policy["max_steps"] = most
    short = escape_call(problem, delta, method, horizon=1e-9 * escape_time, **policy)
    short()
    fixed, _ = seconds(short, config.repeats, config.patience)
    call = escape_call(problem, delta, method, **policy)
    taken, found = seconds(call, max(2, config.repeats), config.patience)
    row: dict[str, Any] = {
        "status": "measured",
        "gradients": found.stats.gradients,
        "hessians": found.stats.jacobians,
        "steps": found.stats.steps,
        "cpu_seconds": taken,
        "fixed_seconds": fixed,
        "escape_time": found.escape_time,
        "message": found.message,
        "ran": " + ".join(phase.method for phase in found.phases),
    }
    if found.result == dynamics.Stop.MAX_STEPS:
        scale = escape_time / found.phases[-1].end
        row |= {
            "status": "extrapolated",
            "measured_steps": found.stats.steps,
            "cpu_seconds": fixed + scale * max(taken - fixed, 0.0),
            "escape_time": None,
        }
        row |= {name: math.ceil(scale * row[name]) for name in ("gradients", "hessians", "steps")}
    elif found.result != dynamics.Stop.ESCAPED:
        row |= {"status": "refused" if not found.phases else "failed", "escape_time": None}
        row |= dict.fromkeys(("gradients", "hessians", "steps", "cpu_seconds"))
    return {"direction": flat(found.direction)}, row


def measure_loop(
    config: Config, problem: Problem, delta: float, method: str, escape_time: float
) -> tuple[dict, dict]:
    step = 0.5 / problem.curvature
    needed = math.ceil(escape_time / step)
    kind = method.split()[0]
    whole = needed <= getattr(config, f"{kind}_budget")
    most = 2 * needed if whole else min(getattr(config, f"{kind}_probe"), needed)
    loop_call(problem, delta, method, 3)()
    taken, descent = seconds(
        loop_call(problem, delta, method, most), config.repeats, config.patience
    )
    steps = int(descent.steps)
    row: dict[str, Any] = {"hessians": 0, "fixed_seconds": 0.0, "message": "", "ran": method}
    if whole:
        crossed, direction = crossing(descent, zero_block(problem.inactive), 10 * delta)
        row |= {
            "status": "measured",
            "gradients": steps,
            "steps": steps,
            "cpu_seconds": taken,
            "escape_time": crossed * step,
        }
        return {"direction": direction}, row
    row |= {
        "status": "extrapolated",
        "measured_steps": steps,
        "gradients": needed,
        "steps": needed,
        "cpu_seconds": taken / steps * needed,
        "escape_time": None,
    }
    rounding = float(jnp.finfo(problem.x.dtype).eps) * needed
    if rounding > _ROUNDING:
        row["message"] = (
            f"it would not get there: rounding is {rounding:.2g} of what one step moves"
        )
    return {"direction": np.zeros(sum(w.size for w in problem.params))}, row


def measure_compilation(config: Config, problem: Problem, method: str) -> tuple[dict, dict]:
    """CPU-seconds of a short first call beyond those of a second, with nothing compiled before."""
    delta = config.deltas[len(config.deltas) // 2]
    jax.clear_caches()
    if method in LIBRARY:
        most = {"max_steps": config.explicit_probe} if method == "explicit" else {}
        call: Callable[[], Any] = escape_call(problem, delta, method, horizon=1e-6, **most)
    else:
        call = loop_call(problem, delta, method, 1)
    first, _ = seconds(call, 1, config.patience)
    second, _ = seconds(call, config.repeats, config.patience)
    return {}, {"cpu_seconds": first - second}


# The run.


def measure_order(config: Config, run: Run, q: int, tick: Callable[[], Any]) -> list[dict]:
    """All rows of one order, what is finished taken from its cells."""

    def finished(name: str, compute: Callable[[], tuple[dict, dict]]) -> tuple[dict, dict]:
        cell = run.cell(f"q={q}_{name.replace(' ', '-')}")
        if not cell.finished:
            cell.save(*compute())
        tick()
        return cell.load()

    problem = from_arrays(
        q, config, *finished("saddle", lambda: to_arrays(make_problem(config, q)))
    )
    size = sum(w.size for w in problem.params)
    references = {
        delta: finished(
            f"delta={delta:g}_reference", partial(find_reference, config, problem, delta)
        )
        for delta in config.deltas
    }
    rows: list[dict] = []
    for method in METHODS:
        compiling = finished(
            f"compile_{method}", partial(measure_compilation, config, problem, method)
        )
        measure = measure_library if method in LIBRARY else measure_loop
        for delta, (there, reference) in references.items():
            arrays, row = finished(
                f"delta={delta:g}_{method}",
                partial(measure, config, problem, delta, method, reference["escape_time"]),
            )
            escape_time, direction = row["escape_time"], arrays["direction"]
            reached = escape_time is not None
            slow = next((r for r in rows if r["method"] == "slow" and r["delta"] == delta), row)
            taken = row["cpu_seconds"]
            row |= {
                "q": q,
                "delta": delta,
                "method": method,
                "compile_seconds": compiling[1]["cpu_seconds"],
                # A Hessian costs about as much as a gradient for every weight.
                "work": None if taken is None else row["gradients"] + size * row["hessians"],
                "against_slow": None if taken is None else taken / slow["cpu_seconds"],
                "reference": reference["ran"],
                "reference_time": reference["escape_time"],
                "time_error": abs(escape_time / reference["escape_time"] - 1) if reached else None,
                "direction_error": (
                    float(np.linalg.norm(direction - there["direction"])) if reached else None
                ),
            }
            rows.append(row)
    return rows


def report(config: Config, rows: list[dict]) -> None:
    for q in config.orders:
        some = [row for row in rows if row["q"] == q]
        ordered = sorted(some, key=lambda row: (-row["delta"], METHODS.index(row["method"])))
        title = f"q = {q}, from delta to 10 delta; CPU-seconds warm"
        print_table(
            title, list(COLUMNS.values()), [[row[key] for key in COLUMNS] for row in ordered]
        )
        firsts = {row["method"]: row["compile_seconds"] for row in some}
        print_table(f"q = {q}, compilation", ["method", "CPU s"], firsts.items())
    words: dict[tuple[int, str, str], list[str]] = {}
    for row in rows:
        if row["status"] != "measured" and row["message"]:
            key = row["q"], row["method"], row["message"]
            words.setdefault(key, []).append(f"{row['delta']:g}")
    if words:
        said = [(*key[:2], ", ".join(deltas), key[2]) for key, deltas in words.items()]
        print_table("What was not run to the end", ["q", "method", "delta", "message"], said)


def draw(config: Config, rows: list[dict]) -> Figure:
    """Work against delta: a panel for each order, a line for each method."""
    lines = {"slow": "slow manifold", "implicit": "implicit", "explicit": "explicit"}
    lines |= {"compiled loop": "gradient descent"}
    figure, panels = grid(1, len(config.orders), panel=(3.3, 2.7))
    with plt.rc_context(RC):
        for panel, q in zip(panels[0], config.orders, strict=True):
            for (method, label), color, marker in zip(lines.items(), CATEGORIES, "osD^"):
                some = [row for row in rows if (row["q"], row["method"]) == (q, method)]
                some = sorted((row for row in some if row["work"]), key=lambda row: row["delta"])
                deltas, work = [row["delta"] for row in some], [row["work"] for row in some]
                panel.plot(deltas, work, color=color, label=label)
                for row in some:
                    face = "white" if row["status"] == "extrapolated" else color
                    panel.plot(
                        row["delta"], row["work"], marker, color=color, mfc=face, markersize=4.5
                    )
                if some and len(some) < len(config.deltas):
                    panel.annotate(
                        "refused below",
                        (deltas[0], work[0]),
                        xytext=(-5, -1),
                        textcoords="offset points",
                        ha="right",
                        va="center",
                        fontsize=7,
                        color=color,
                    )
            descent = [r for r in rows if (r["q"], r["method"]) == (q, "compiled loop")]
            ends = np.array([min(config.deltas), max(config.deltas)])
            anchor = max(descent, key=lambda row: row["delta"])
            slope = 8 * anchor["work"] * (ends / anchor["delta"]) ** (2 - q)
            panel.plot(ends, slope, "--", color="0.4", lw=1, label=r"slope $-(q-2)$")
            panel.set(xscale="log", yscale="log", xlabel=r"$\delta$", title=f"$q = {q}$")
        panels[0, 0].set_ylabel("gradient evaluations")
        handles, labels = panels[0, 0].get_legend_handles_labels()
        handles = [
            Line2D(
                [], [], color=h.get_color(), linestyle=h.get_linestyle(), marker=m, markersize=4.5
            )
            for h, m in zip(handles, ["o", "s", "D", "^", ""], strict=True)
        ]
        handles.append(
            Line2D([], [], color="0.4", marker="o", mfc="white", linestyle="", markersize=4.5)
        )
        figure.legend(
            handles, [*labels, "extrapolated"], loc="outside lower center", ncols=3, fontsize=8
        )
    return figure


def main() -> None:
    config = parse(Config, PRESETS, description=__doc__)
    # No cache on disk: compilation is part of what is measured.
    setup(cache="")
    with open_run(config.root, "benchmark_flow", config, seed=config.seed) as run:
        cells = len(config.orders) * (1 + len(METHODS) + len(config.deltas) * (1 + len(METHODS)))
        ticks = progress(range(cells), description="flow", show=config.progress)
        rows: list[dict] = []
        for q in config.orders:
            rows += measure_order(config, run, q, partial(next, ticks, None))
        next(ticks, None)
        run.save_results({}, {"rows": rows})
        report(config, rows)
        figure = run.save_figure(draw(config, rows), "work")
        print(f"Results in {run.path}, figure in {figure}")


if __name__ == "__main__":
    main()
