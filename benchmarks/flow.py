"""What it costs to wait out a saddle: three methods of `nsjax.dynamics.escape` against plain loops.

In one run, on one saddle, data and start for each order q: the slow manifold, the implicit and the
explicit flow, and gradient descent with step `0.5 / lambda_max` as a loop in Python (the gradient
called as it is, and compiled) and as one compiled loop. Each goes from `delta` to `10 delta`.

Seconds are CPU-seconds of the whole call once warm, the median of some repeats; of these, "fixed"
is what the same call takes for a horizon of nearly nothing (inspection of the saddle, KKT search,
saves), which the loops do not need. Evaluations are those of the integrator. A row marked
"extrapolated" was measured over fewer steps and scaled to the escape time of the reference. The
status also names the solvers that ran: where its error is too large for its own tolerance, the slow
manifold hands over to the explicit or implicit flow, at large delta from the start.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

import nsjax
from benchmarks import rows as table
from nsjax import data, dynamics, networks
from nsjax.plots.style import CATEGORIES, grid
from nsjax.runs import Run, RunError, open_run, print_table, progress, script, setup

Params = tuple[jax.Array, ...]
LIBRARY = ("slow", "implicit", "explicit")
LOOPS = ("compiled loop", "jitted loop", "eager loop")
METHODS = LIBRARY + LOOPS
REFERENCES = ("explicit", "compiled loop", "eager loop")
"""What the slow manifold is held against in the table of all benchmarks."""
COLUMNS = {
    "delta": "delta",
    "method": "method",
    "status": "status",
    "gradients": "gradients",
    "hessians": "Hessians",
    "steps": "steps",
    "cpu_seconds": "CPU s",
    "fixed_seconds": "fixed s",
    "time_error": "time error",
    "direction_error": "direction error",
    "reference": "reference",
}
_ROUNDING = 1e-2
"""Rounding against the motion of the zero block, `eps * steps`, at which a plain loop is lost."""


@dataclass(frozen=True)
class Config:
    preset: Literal["quick", "full"] = "quick"
    orders: tuple[int, ...] = (3,)
    """Orders q = p + 1 of the NCF, two-layer networks."""
    deltas: tuple[float, ...] = (1e-2, 1e-3, 1e-4, 1e-6, 1e-8)
    samples: int = 100
    dimension: int = 10
    active: int = 1
    width: int = 5
    attempts: int = 6
    """Starts of the training to the saddle, of which the least stiff end is kept."""
    slope: float = 0.0
    """Slope of the activation for negative inputs."""
    teacher: int = 6
    """Neurons of the network that gives the targets."""
    seed: int = 0
    repeats: int = 3
    """Repeats of a measurement, of which the median counts."""
    patience: float = 1.0
    """CPU-seconds after which a measurement is not repeated."""
    reference_rtol: float = 1e-10
    """Tolerance of the reference: explicit within the budget, else the slow manifold."""
    explicit_budget: int = 200_000
    """Most steps that are run; where more are needed, the cost is extrapolated."""
    compiled_budget: int = 500_000
    jitted_budget: int = 50_000
    eager_budget: int = 5_000
    explicit_probe: int = 10_000
    """Steps over which the cost is measured where it is extrapolated."""
    compiled_probe: int = 50_000
    jitted_probe: int = 2_000
    eager_probe: int = 100
    root: Path = field(default=Path("runs"), compare=False)
    """Folder of all runs."""
    progress: bool | None = field(default=None, compare=False)
    """Whether to show a progress bar; on a terminal by default."""


PRESETS = {
    "quick": Config(),
    "full": Config(
        preset="full",
        orders=(3, 4),
        repeats=5,
        patience=5.0,
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
    params: Params
    inactive: tuple[np.ndarray, ...]
    perturbation: Params
    curvature: float


def make_problem(config: Config, q: int) -> Problem:
    """A trained saddle on the data of a wider teacher, and a random unit perturbation."""
    activation = nsjax.PolyLeakyReLU(q - 1, config.slope)
    inputs, weights, training, start = jax.random.split(jax.random.key(config.seed), 4)
    x = data.sphere(inputs, config.samples, config.dimension)
    y = networks.teacher_targets(weights, x, activation, hidden=(config.teacher,))
    trained = dynamics.train_saddle(
        training,
        x,
        y,
        activation,
        active=(config.active,),
        widths=(config.width,),
        attempts=config.attempts,
    )
    if trained.result != 0:
        raise RunError(f"q = {q}: {trained.message}")
    zero = zero_block(trained.inactive)
    drawn = networks.init(start, (config.dimension, config.width, 1))
    inside = [jnp.where(m, w, 0) for w, m in zip(drawn, zero, strict=True)]
    outside = [jnp.where(m, 0, w) for w, m in zip(drawn, zero, strict=True)]
    # Unit in the zero block and unit in the active weights, as in Theorem 7.
    perturbation = tuple(
        z / norm(inside) + n / norm(outside) for z, n in zip(inside, outside, strict=True)
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


def norm(tree: Any) -> jax.Array:
    return jnp.sqrt(sum(jnp.sum(w**2) for w in tree))


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


def plain_loss(params: Params, x: jax.Array, y: jax.Array, p: int, slope: float) -> jax.Array:
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
    params: Params,
    zero: Any,
    x: jax.Array,
    y: jax.Array,
    step: float,
    threshold: float,
    most: int,
) -> Descent:
    def size(params: Params) -> float:
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
    params: Params,
    zero: Any,
    x: jax.Array,
    y: jax.Array,
    step: float,
    threshold: float,
    most: int,
) -> Descent:
    gradient = jax.grad(loss)

    def unfinished(state: Descent) -> jax.Array:
        block = [jnp.where(m, w, 0) for w, m in zip(state.params, zero, strict=True)]
        return (state.steps < most) & (norm(block) < threshold)

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


def seconds(
    call: Callable[[], Any], repeats: int, patience: float, *, fewest: int = 1
) -> tuple[np.ndarray, Any]:
    """CPU-seconds of some calls but those that compile, and what the last one returned."""
    taken: list[float] = []
    result = None
    for count in range(1, max(repeats, fewest) + 1):
        start = time.process_time()
        result = jax.block_until_ready(call())
        taken.append(time.process_time() - start)
        if count >= fewest and sum(taken) > patience:
            break
    return np.array(taken[fewest - 1 :]), result


def escape_call(
    config: Config, problem: Problem, delta: float, method: str, **policy: Any
) -> Callable[[], Any]:
    # One bound on the steps for all: it is static, and another would compile another program.
    policy = {"max_steps": 2 * config.explicit_budget} | policy
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
    found = escape_call(config, problem, delta, "slow", rtol=config.reference_rtol)()
    if explicit_steps(problem, found.escape_time) <= config.explicit_budget:
        found = escape_call(config, problem, delta, "explicit", rtol=config.reference_rtol)()
    if math.isnan(found.escape_time):
        raise RunError(f"no reference at delta = {delta:g}: {found.message}")
    ran = " + ".join(phase.method for phase in found.phases)
    return {"direction": flat(found.direction)}, {"escape_time": found.escape_time, "ran": ran}


def explicit_steps(problem: Problem, escape_time: float) -> float:
    """About how many steps stability asks of the explicit method."""
    return problem.curvature * escape_time / 2.5


def flat(params: Params) -> np.ndarray:
    return np.concatenate([np.ravel(w) for w in params])


def measure_library(
    config: Config, problem: Problem, delta: float, method: str, escape_time: float
) -> tuple[dict, dict]:
    policy: dict[str, Any] = {}
    if method == "explicit" and explicit_steps(problem, escape_time) > config.explicit_budget:
        policy["max_steps"] = config.explicit_probe
    short = escape_call(config, problem, delta, method, horizon=1e-9 * escape_time, **policy)
    short()
    fixed = float(np.median(seconds(short, config.repeats, config.patience)[0]))
    call = escape_call(config, problem, delta, method, **policy)
    # The slow manifold may hand over to a program that the short call has not compiled.
    fewest = 2 if method == "slow" else 1
    taken, found = seconds(call, config.repeats, config.patience, fewest=fewest)
    direction = flat(found.direction)
    row: dict[str, Any] = {
        "status": "measured",
        "gradients": found.stats.gradients,
        "hessians": found.stats.jacobians,
        "steps": found.stats.steps,
        "times": taken,
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
            "times": fixed + scale * np.maximum(taken - fixed, 0.0),
            "escape_time": None,
        }
        row |= {name: math.ceil(scale * row[name]) for name in ("gradients", "hessians", "steps")}
    elif found.result != dynamics.Stop.ESCAPED:
        row |= {"status": "failed" if found.phases else "refused", "escape_time": None}
        row |= dict.fromkeys(("gradients", "hessians", "steps", "times"))
    elif not np.all(np.isfinite(direction)):
        row |= {"status": "failed", "message": "the direction is not finite"}
    return {"direction": direction}, row


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
    if whole and steps == most:
        row |= {"status": "failed", "message": "it did not cross the threshold"}
        row |= {"gradients": steps, "steps": steps, "times": taken, "escape_time": None}
    elif whole:
        crossed, direction = crossing(descent, zero_block(problem.inactive), 10 * delta)
        row |= {
            "status": "measured",
            "gradients": steps,
            "steps": steps,
            "times": taken,
            "escape_time": crossed * step,
        }
        return {"direction": direction}, row
    row |= {
        "status": "extrapolated",
        "measured_steps": steps,
        "gradients": needed,
        "steps": needed,
        "times": taken / steps * needed,
        "escape_time": None,
    }
    rounding = float(jnp.finfo(problem.x.dtype).eps) * needed
    if rounding > _ROUNDING:
        row["message"] = f"rounding would be {rounding:.2g} of what one step moves"
    return {"direction": np.zeros(sum(w.size for w in problem.params))}, row


def measure_compilation(config: Config, problem: Problem, method: str) -> tuple[dict, dict]:
    """CPU-seconds of a short first call beyond those of a second.

    Nothing has been compiled before; for the implicit and the explicit method, what the slow one
    needs has been, the larger part of it common to all three.
    """
    delta = config.deltas[len(config.deltas) // 2]
    if method in ("implicit", "explicit"):
        escape_call(config, problem, delta, "slow", horizon=1e-6)()
    else:
        jax.clear_caches()
    if method in LIBRARY:
        call: Callable[[], Any] = escape_call(config, problem, delta, method, horizon=1e-6)
    else:
        call = loop_call(problem, delta, method, 1)
    first, _ = seconds(call, 1, config.patience)
    second, _ = seconds(call, config.repeats, config.patience)
    return {}, {"cpu_seconds": float(first[0] - np.median(second))}


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

    def compiling(method: str) -> float:
        name = f"compile_{method}"
        return finished(name, partial(measure_compilation, config, problem, method))[1][
            "cpu_seconds"
        ]

    compiled = {method: compiling(method) for method in LIBRARY}
    references = {
        delta: finished(
            f"delta={delta:g}_reference", partial(find_reference, config, problem, delta)
        )
        for delta in config.deltas
    }
    rows: list[dict] = []
    for method in METHODS:
        if method in LOOPS:
            compiled[method] = compiling(method)
        measure = measure_library if method in LIBRARY else measure_loop
        for delta, (there, reference) in references.items():
            arrays, row = finished(
                f"delta={delta:g}_{method}",
                partial(measure, config, problem, delta, method, reference["escape_time"]),
            )
            escape_time, direction = row["escape_time"], arrays["direction"]
            reached = escape_time is not None
            taken = row["times"]
            row |= {
                "q": q,
                "delta": delta,
                "method": method,
                "compile_seconds": compiled[method],
                # A Hessian costs about as much as a gradient for every weight.
                "work": None if taken is None else row["gradients"] + size * row["hessians"],
                "cpu_seconds": None if taken is None else float(np.median(taken)),
                "reference": reference["ran"],
                "reference_time": reference["escape_time"],
                "time_error": abs(escape_time / reference["escape_time"] - 1) if reached else None,
                "direction_error": (
                    float(np.linalg.norm(direction - there["direction"])) if reached else None
                ),
            }
            rows.append(row)
    return rows


def compared(config: Config, rows: list[dict]) -> list[table.Row]:
    """The slow manifold beside the explicit flow and the loops, for each order and delta."""
    found = []
    by_name = {(row["q"], row["delta"], row["method"]): row for row in rows}
    for q, delta in ((q, delta) for q in config.orders for delta in config.deltas):
        ours = by_name[q, delta, "slow"]
        for method in REFERENCES:
            theirs = by_name[q, delta, method]
            what, size = "escape from a saddle", f"q = {q}, delta = {delta:g}"
            if ours["times"] is None or theirs["times"] is None:
                why = ours["message"] if ours["times"] is None else theirs["message"]
                found.append(table.skipped(what, size, method, why))
                continue
            found.append(
                table.against(
                    what,
                    size,
                    method,
                    ours["times"],
                    theirs["times"],
                    paired=False,
                    note=f"{theirs['status']}; ours ran {ours['ran']}",
                )
            )
    return found


def report(config: Config, rows: list[dict]) -> None:
    for q in config.orders:
        some = [row for row in rows if row["q"] == q]
        ordered = sorted(some, key=lambda row: (-row["delta"], METHODS.index(row["method"])))
        lines = [[shown(row, key) for key in COLUMNS] for row in ordered]
        title = f"q = {q}, from delta to 10 delta; CPU-seconds once warm"
        print_table(title, list(COLUMNS.values()), lines)
        firsts = {row["method"]: row["compile_seconds"] for row in some}
        print_table(
            f"q = {q}, compilation",
            ["method", "CPU s; implicit and explicit on top of slow"],
            firsts.items(),
        )
    words: dict[tuple[int, str, str], list[str]] = {}
    for row in rows:
        if row["status"] != "measured" and row["message"]:
            key = row["q"], row["method"], row["message"]
            words.setdefault(key, []).append(f"{row['delta']:g}")
    if words:
        said = [(*key[:2], ", ".join(deltas), key[2]) for key, deltas in words.items()]
        print_table("What was not run to the end", ["q", "method", "delta", "message"], said)


def shown(row: dict, key: str) -> Any:
    """What the table shows: which solvers an escape ran, and large counts with four digits."""
    value = row[key]
    if key == "status" and row["ran"] not in ("", row["method"]):
        return f"{value} ({row['ran']})"
    return float(value) if isinstance(value, int) and value >= 10**6 else value


def draw(config: Config, rows: list[dict]) -> Figure:
    """Work against delta: a panel for each order, a line for each method."""
    lines = {
        "slow": ("slow, with hand-over", CATEGORIES[0], "o", 1.4, 4.5),
        "implicit": ("implicit, with Hessians", CATEGORIES[1], "s", 1.4, 4.5),
        # The two lines nearly coincide: one is drawn wide, the other on top of it.
        "compiled loop": ("gradient descent", CATEGORIES[5], "^", 4.0, 8.0),
        "explicit": ("explicit", CATEGORIES[2], "D", 1.2, 3.5),
    }
    figure, panels = grid(1, len(config.orders), panel=(3.4, 2.8))
    for panel, q in zip(panels[0], config.orders, strict=True):
        for method, (label, color, marker, width, size) in lines.items():
            some = [row for row in rows if (row["q"], row["method"]) == (q, method)]
            some = sorted((row for row in some if row["work"]), key=lambda row: row["delta"])
            deltas, work = [row["delta"] for row in some], [row["work"] for row in some]
            panel.plot(deltas, work, color=color, label=label, lw=width)
            for row in some:
                face = "white" if row["status"] == "extrapolated" else color
                panel.plot(
                    row["delta"], row["work"], marker, color=color, mfc=face, markersize=size
                )
            if some and len(some) < len(config.deltas):
                panel.annotate(
                    "refused below",
                    (deltas[0], work[0]),
                    xytext=(-5, -6),
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
        panel.set(xscale="log", yscale="log", xlabel=r"$\delta$")
        panel.set_title(f"$q = {q}$", fontsize=9)
    panels[0, 0].set_ylabel("gradient evaluations")
    handles = [
        Line2D([], [], color=color, label=label, marker=marker, lw=width, markersize=size)
        for label, color, marker, width, size in lines.values()
    ]
    gray = partial(Line2D, [], [], color="0.4", lw=1)
    handles.append(gray(linestyle="--", label=r"slope $-(q-2)$"))
    handles.append(gray(linestyle="", marker="o", mfc="white", ms=4.5, label="extrapolated"))
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return figure


def main(config: Config) -> None:
    # No cache on disk: compilation is part of what is measured.
    setup(cache="")
    with open_run(config.root, "benchmark_flow", config, seed=config.seed) as run:
        cells = len(config.orders) * (1 + len(METHODS) + len(config.deltas) * (1 + len(METHODS)))
        ticks = progress(range(cells), description="flow", show=config.progress)
        rows: list[dict] = []
        for q in config.orders:
            rows += measure_order(config, run, q, partial(next, ticks, None))
        next(ticks, None)
        found = compared(config, rows)
        run.save_results({}, {"rows": table.to_json(found), "methods": rows})
        report(config, rows)
        table.show("The slow manifold beside plain ways to wait", found)
        figure = run.save_figure(draw(config, rows), "work")
        print(f"Results in {run.path}, figure in {figure}")


if __name__ == "__main__":
    sys.exit(script(main, Config, PRESETS, description=__doc__))
