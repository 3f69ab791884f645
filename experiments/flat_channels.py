"""Flat channels to infinity: pairs of neurons that merge while their output weights diverge.

Two-layer networks with smooth activations and biases, by gradient flow on small regression tasks:
how often it enters a channel, what the monitor (`diagnostics.watch_channels`) sees on the way, and
whether the loss at fixed eps falls all the way to the limit unit `c s(w.x) + (v.x) s'(w.x)`
(`dynamics.follow_channel`). Control: the same flows with weight decay, which has no minimum at
infinity. `channel_alarms` is about alarms that must come, and must not. A rerun with the same
settings goes on where the last one stopped.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from nsjax import data, diagnostics, dynamics, networks, plots, runs

Name = Literal["softplus", "tanh", "erf", "gompertz"]
Task = Literal["sine", "wave", "bump"]
STILL = 1e-8
"""Gradient norm at which a flow or fit is at rest."""
DEFINITE = 1e-12
"""Smallest over largest curvature of an isolated minimum."""
SAVES = 150
"""Saves of a flow."""
LADDER = (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 5e-3, 2e-3, 1e-3, 1e-4, 1e-5, 1e-6, 0.0)
"""Values of eps at which the loss along a channel is drawn; 0 is the limit unit."""
SIDE = {1: 40, 2: 7}
"""Points a side of the grid, by dimension."""


@dataclass(frozen=True)
class Config:
    """Settings of the experiment."""

    preset: Literal["quick", "full"] = "quick"
    """Which set of defaults the other settings start from."""
    activations: tuple[Name, ...] = ("softplus", "tanh", "erf", "gompertz")
    """Activations."""
    tasks: tuple[Task, ...] = ("sine", "wave", "bump")
    """Targets of the flows."""
    widths: tuple[int, ...] = (4,)
    """Neurons of the networks that follow the flow."""
    seeds: int = 8
    """Flows for each activation, task and width."""
    horizon: float = 1e8
    """Longest time, in the time of `dw/dt = -grad f` with f a sum over samples."""
    max_steps: int = 2000
    """Most attempted steps of a flow."""
    decay: float = 1e-2
    """Weight of `1/2 ||w||^2` in the control."""
    control: int = 2
    """Flows with weight decay for each activation and width, of the last task."""
    seed: int = 0
    """First seed."""
    root: Path = field(default=Path("runs"), compare=False)
    """Where run folders go."""


PRESETS = {
    "quick": Config(),
    "full": Config(preset="full", control=4),
}


@dataclass(frozen=True)
class Residuals:
    """`H(x) - y` of a network; the square loss with weight decay is half its squared norm."""

    activation: Any
    decay: float = 0.0

    def __call__(self, params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        rest = jnp.ravel(networks.apply(params, x, self.activation) - y)
        weights = [jnp.ravel(weight) for weight in params] if self.decay else []
        return jnp.concatenate([rest, *[self.decay**0.5 * weight for weight in weights]])


@dataclass(frozen=True)
class Loss:
    """`1/2 ||residuals||^2`."""

    residuals: Residuals

    def __call__(self, params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        return 0.5 * jnp.sum(self.residuals(params, x, y) ** 2)


def member(tree: Any, index: int) -> Any:
    """One member of a pytree with a leading axis."""
    return jax.tree.map(lambda leaf: leaf[index], tree)


def watched(
    residuals: Residuals, start: Any, x: Any, y: Any, *, horizon: float, max_steps: int
) -> tuple[Any, Any]:
    """A gradient flow and what the monitor says of it."""
    flow = dynamics.gradient_flow(
        Loss(residuals),
        start,
        args=(x, y),
        t1=horizon,
        rtol=1e-4,
        atol=1e-7,
        saves=dynamics.Saves(SAVES, decades=9, snapshots=True),
        events=dynamics.Event("grad_norm", below=0.1 * STILL),
        max_steps=max_steps,
        method="implicit",
    )
    watch = diagnostics.watch_channels(flow.snapshots, x, residuals.activation, ts=flow.ts)
    return flow, watch


def follow(
    config: Config, each: tuple[str, str, int], decay: float
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Gradient flows of one activation, task and width, with or without weight decay."""
    name, task, width = each
    activation = networks.SMOOTH[name]
    x, y = data.smooth_task(task, SIDE[data.SMOOTH_TASKS[task][0]])
    residuals = Residuals(activation, decay)
    records, courses, ladders = [], [], []
    count = config.control if decay else config.seeds
    for seed in range(config.seed, config.seed + count):
        start = networks.init(jax.random.key(seed), (x.shape[1], width, 1))
        flow, watch = watched(
            residuals, start, x, y, horizon=config.horizon, max_steps=config.max_steps
        )
        course, ladder = np.full((3, SAVES + 2), np.nan), np.full((2, len(LADDER)), np.nan)
        record: dict[str, Any] = {
            "loss": float(flow.losses[-1]),
            "grad_norm": float(flow.grad_norms[-1]),
            "time": float(flow.ts[-1]),
            "alarmed": len(watch.pairs),
            "ever": int(np.sum(watch.first >= 0)),
            "largest": float(max(jnp.max(jnp.abs(w)) for w in flow.params)),
        }
        # Where the flow was on its way to, by least squares from its end.
        ends = dynamics.least_squares(
            residuals, jax.tree.map(lambda w: w[None], flow.params), args=(x, y), max_steps=1000
        )
        end = member(ends.params, 0)
        low, high = ends.curvatures[0]
        record["finite"] = bool(ends.grad_norms[0] < STILL and low > DEFINITE * high)
        seen = diagnostics.channels(end, x, activation)
        record["looks"] = int(seen.found.sum())
        if not decay:
            for pair in watch.pairs:
                path = dynamics.follow_channel(flow.params, pair, x, y, activation, max_steps=1000)
                if "alarm" not in record or path.result == 0:
                    place = seen.pairs.tolist().index(list(pair))
                    made = len(flow.ts)
                    course[:, :made] = (
                        flow.ts,
                        watch.channels.growth[:, place],
                        watch.channels.gap[:, place],
                    )
                    record |= {
                        "alarm": path.message,
                        "rate": float(watch.rate[-1, place]),
                        "slope": float(watch.exponent[-1, place]),
                        "exponent": path.exponent,
                        "factor": path.factor,
                        "growth": float(watch.channels.growth[-1, place]),
                    }
                    if path.result == 0:
                        path = dynamics.follow_channel(
                            flow.params, pair, x, y, activation, eps=LADDER[:-1], max_steps=1000
                        )
                        ladder[:] = path.eps, path.losses
            for pair in seen.pairs[seen.found][:4]:
                path = dynamics.follow_channel(end, pair, x, y, activation, max_steps=1000)
                if "end" not in record or path.result == 0:
                    record["end"] = path.message
        records.append(record)
        courses.append(course)
        ladders.append(ladder)
    return {"courses": courses, "ladders": ladders}, {"records": records}


def name_of(what: str, each: Any) -> str:
    """Name of a cell."""
    return "-".join([what, *([each] if isinstance(each, str) else map(str, each))])


def main(config: Config) -> Path:
    """Run the experiment; returns the run's folder."""
    runs.setup()
    with runs.refusals():
        if not all((config.activations, config.tasks, config.widths)) or config.seeds < 1:
            raise ValueError("there must be at least one activation, task, width and seed")
    with runs.open_run(config.root, "flat_channels", config, seed=config.seed) as run:

        def all_of(what: str, points: Sequence[Any], compute: Any) -> dict[Any, Any]:
            return {
                each: cell
                for each, *cell in run.sweep(
                    points, lambda each: name_of(what, each), compute, description=what
                )
            }

        points = [
            (name, task, width)
            for width in config.widths
            for task in config.tasks
            for name in config.activations
        ]
        flows = all_of("flow", points, lambda each: follow(config, each, 0.0))
        last = [each for each in points if each[1] == config.tasks[-1]]
        control = all_of("decay", last, lambda each: follow(config, each, config.decay))
        summarise(run, config, flows, control)
    return run.path


def share(count: int, of: int) -> tuple[float, float, float]:
    """A share and its exact 95 % interval, of Clopper and Pearson.

    Not Wilson's of `diagnostics.share_interval`: the numbers on the page are of this one.
    """
    low, high = stats.binomtest(count, of).proportion_ci(0.95)
    return count / of, float(low), float(high)


def counts(records: Sequence[dict[str, Any]]) -> dict[str, int]:
    """What became of flows."""
    channel = dynamics.CHANNEL_MESSAGES[0]
    kinds = [
        {
            "alarmed": each["alarmed"] > 0,
            "confirmed": each.get("alarm") == channel,
            "later": channel in (each.get("alarm"), each.get("end")),
            "finite": each["finite"],
        }
        for each in records
    ]
    names = ("alarmed", "confirmed", "later", "finite")
    found = {name: sum(kind[name] for kind in kinds) for name in names}
    found["other"] = sum(not (kind["later"] or kind["finite"]) for kind in kinds)
    return {"flows": len(records), **found}


def summarise(run: runs.Run, config: Config, flows: Any, control: Any) -> None:
    """Tables, results and figure."""
    results: dict[str, Any] = {"flows": {}, "control": {}}
    for what, cells in (("flows", flows), ("control", control)):
        rows = []
        for (name, task, width), (_, values) in cells.items():
            found = counts(values["records"])
            results[what][f"{name}-{task}-w{width}"] = found
            rows.append((name, task, width, *found.values()))
        runs.print_table(
            f"Gradient flow{'' if what == 'flows' else f' with weight decay {config.decay:g}'}: "
            "monitor's alarm at the end, of these confirmed by the loss; in a channel then or "
            "after least squares from there; finite minimum; other",
            (
                "activation",
                "target",
                "neurons",
                "flows",
                "alarm",
                "confirmed",
                "channel",
                "finite",
                "other",
            ),
            rows,
        )
    laws(run, flows, results)
    run.save_results({}, results)
    print(f"results and figures: {run.path}")


def laws(run: runs.Run, flows: Any, results: Any) -> None:
    """Powers along the channels that were entered, and the figure."""
    gaps: dict[str, Any] = {}
    times: dict[str, Any] = {}
    falls: dict[str, Any] = {}
    measured: dict[str, list[Any]] = {}
    pooled: dict[str, list[Any]] = {}
    channel = dynamics.CHANNEL_MESSAGES[0]
    for (name, _, _), (cell, values) in flows.items():
        pooled.setdefault(name, []).extend(values["records"])
        for record, course, ladder in zip(
            values["records"], cell["courses"], cell["ladders"], strict=True
        ):
            if record.get("alarm") != channel:
                continue
            ts, growth, gap = course
            end = np.nanmax(ts)
            monotone = bool(np.all(np.diff(ladder[1]) <= 1e-11 * ladder[1, 0]))
            # What comes before has nothing to do with channels.
            late = (ts > 1) & (growth > 0.5)
            size = (16 * record["factor"]) ** 0.25
            gaps.setdefault(name, []).append((growth[late], gap[late]))
            times.setdefault(name, []).append((ts[late], growth[late] / size))
            drawn = falls.setdefault(name, [])
            if monotone:
                drawn.append((ladder[0, :-1], ladder[1, :-1] - ladder[1, -1]))
            measured.setdefault(name, []).append(
                (
                    record["slope"],
                    record["rate"],
                    record["exponent"],
                    record["growth"] / (size * end**0.25),
                    monotone,
                )
            )
    shares = {}
    for name, records in pooled.items():
        found = counts(records)
        shares[name] = {
            "channel, on the flow": share(found["confirmed"], found["flows"]),
            "channel, with least squares": share(found["later"], found["flows"]),
            "finite minimum": share(found["finite"], found["flows"]),
        }
    results["shares"] = shares
    rows = []
    for name, each in measured.items():
        table = np.array(each, float)
        results.setdefault("laws", {})[name] = table
        rows.append(
            (
                name,
                len(each),
                *(
                    f"{np.median(column):.4f} ({column.min():.3f} to {column.max():.3f})"
                    for column in table.T[:4]
                ),
                f"{int(table[:, 4].sum())} of {len(each)}",
            )
        )
    runs.print_table(
        "Along the channels that flows entered: medians (range). Predicted: -1, 1/4, 2, 1; the "
        "loss falls at every step of eps from 1 to 0",
        (
            "activation",
            "channels",
            "gap against 1/eps",
            "1/eps against t",
            "L - L_inf against eps",
            "1/eps over (16 k t)^(1/4)",
            "monotone",
        ),
        rows,
    )
    runs.print_table(
        "Shares of all flows, with 95 % intervals",
        ("activation", *next(iter(shares.values()))),
        [
            (name, *(f"{a:.2f} ({b:.2f} to {c:.2f})" for a, b, c in each.values()))
            for name, each in shares.items()
        ],
    )
    if falls:
        run.save_figure(plots.plot_channels(gaps, times, falls, shares), "flat_channels")


if __name__ == "__main__":
    sys.exit(runs.script(main, Config, PRESETS, description=__doc__))
