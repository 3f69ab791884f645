"""Flat channels to infinity: pairs of neurons that merge while their output weights diverge.

Two-layer networks with smooth activations and biases. Constructed channels are detected, and their
limit units `c s(w.x) + (v.x) s'(w.x)` recovered. Least-squares fits of teachers that end at a
finite minimum must raise no alarm, also where neurons are copies of each other, or dead; a teacher
with a close pair of opposite signs looks like a channel, and the loss says that it is none. Then
gradient flow on small regression tasks: how often it enters a channel, what the monitor
(`diagnostics.watch_channels`) sees on the way, and whether the loss at fixed eps falls all the way
to the limit unit (`dynamics.follow_channel`). Control: the same flows with weight decay, which has
no minimum at infinity. A rerun with the same settings goes on where the last one stopped.
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
KINDS = ("near", "random", "copy", "dead", "close")
"""Students that start near the teacher, at random, with a neuron twice, with a silent neuron; and
near a teacher that has itself a close pair of opposite signs."""
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
    fits: tuple[int, ...] = (2, 2, 1, 1, 2)
    """Teachers of each kind: near, random, copy, dead, close; for each activation."""
    teacher: int = 4
    """Neurons of the teachers."""
    decay: float = 1e-2
    """Weight of `1/2 ||w||^2` in the control."""
    control: int = 2
    """Flows with weight decay for each activation and width, of the last task."""
    eps: tuple[float, ...] = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
    """Sizes of the constructed channels."""
    seed: int = 0
    """First seed."""
    root: Path = field(default=Path("runs"), compare=False)
    """Where run folders go."""


PRESETS = {
    "quick": Config(),
    "full": Config(preset="full", seeds=8, control=4, fits=(10, 7, 4, 4, 5)),
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


def constructed(config: Config, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Channels at several eps in a random network: found or not, and how far the limit is off."""
    activation = networks.SMOOTH[name]
    x, _ = data.smooth_task("wave", SIDE[2])
    rest = networks.init(jax.random.key(config.seed), (x.shape[1], 3, 1))
    keys = jax.random.split(jax.random.key(config.seed + 1), 2)
    w, v = (jax.random.normal(key, (x.shape[1],)) for key in keys)
    truth = dynamics.ChannelNetwork(rest, jnp.array([0.7]), jnp.ones(1), w, v)
    limit = diagnostics.ChannelLimit(truth.c, w, v[None])
    off, residual, found = [], [], []
    for eps in config.eps:
        params = dynamics.join_channel(truth, eps)
        seen = diagnostics.channels(params, x, activation)
        place = len(seen.pairs) - 1  # the pair comes last
        pair = seen.pairs[place]
        got = diagnostics.channel_limit(params, pair, activation=activation)
        off.append(
            max(
                float(jnp.linalg.norm(a - b) / jnp.linalg.norm(b))
                for a, b in zip(got, limit, strict=True)
            )
        )
        residual.append(float(seen.residual[place]))
        found.append(bool(seen.found[place]) and int(seen.found.sum()) == 1)
    return {"off": off, "residual": residual}, {"found": found}


def member(tree: Any, index: int) -> Any:
    """One member of a pytree with a leading axis."""
    return jax.tree.map(lambda leaf: leaf[index], tree)


def teacher(config: Config, key: jax.Array, kind: str, d: int) -> Any:
    """Weights of one teacher."""
    keys = jax.random.split(key, 3)
    signs = jnp.where(jax.random.bernoulli(keys[0], shape=(1, config.teacher)), 1.0, -1.0)
    incoming = 1.5 * jax.random.normal(keys[1], (config.teacher, d))
    params = (incoming, signs * jax.random.uniform(keys[2], signs.shape, minval=0.5, maxval=1.5))
    if kind != "close":
        return params
    network, _ = dynamics.split_channel(params, (0, 1))
    network = network._replace(c=jnp.array([1.0]), v=network.v / jnp.linalg.norm(network.v))
    return dynamics.join_channel(network, 0.1)


def students(config: Config, key: jax.Array, kind: str, truth: Any) -> Any:
    """Starts of the student of one teacher: eight at random, otherwise one, with leading axis."""
    keys = jax.random.split(key, 8)
    k, d = truth[0].shape
    if kind == "random":
        return jax.vmap(lambda key: networks.init(key, (d, k, 1), scale=2.0))(keys)
    if kind in ("copy", "dead"):
        incoming, outgoing = truth
        half = 0.5 * outgoing[:, :1]
        if kind == "copy":
            first = jnp.concatenate([half, outgoing[:, 1:], half], axis=1)
            truth = jnp.concatenate([incoming, incoming[:1]]), first
        else:
            new = jax.random.normal(keys[0], (1, d))
            truth = jnp.concatenate([incoming, new]), jnp.pad(outgoing, ((0, 0), (0, 1)))
    size = 0.003 if kind == "close" else 0.03
    return tuple(
        (w + size * jax.random.normal(key, w.shape))[None]
        for w, key in zip(truth, keys[1:], strict=False)
    )


def fit(config: Config, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Fits of teachers that end at a finite minimum, and every kind of alarm on them."""
    activation = networks.SMOOTH[name]
    x, _ = data.smooth_task("wave", SIDE[2])
    residuals = Residuals(activation)
    values: dict[str, Any] = {}
    for kind, count in zip(KINDS, config.fits, strict=True):
        records: list[dict[str, Any]] = []
        number = tried = 0
        while len(records) < count and number < 5 * count:
            keys = jax.random.split(jax.random.key(config.seed + number), 3)
            number += 1
            truth = teacher(config, keys[0], kind, x.shape[1])
            y = networks.apply(truth, x, activation)
            starts = students(config, keys[1], kind, truth)
            found = dynamics.least_squares(residuals, starts, args=(x, y), max_steps=1000)
            low, high = found.curvatures.T
            # With a copy or a silent neuron minima come in families: at rest and bounded.
            family = kind in ("copy", "dead")
            isolated = low > DEFINITE * high
            size = np.max([np.max(np.abs(w), axis=(1, 2)) for w in found.params], axis=0)
            finite = (found.grad_norms < STILL) & np.where(family, size < 50, isolated)
            tried += len(finite)
            if not finite.any():
                continue
            at = int(np.argmax(finite))
            start, end = (
                jax.tree.map(lambda w, at=at: w[at], tree) for tree in (starts, found.params)
            )
            records.append(
                {
                    "loss": float(found.losses[at]),
                    "grad_norm": float(found.grad_norms[at]),
                    "curvature": float(low[at] / high[at]),
                    "largest": float(size[at]),
                    **alarms(config, activation, start, end, x, y),
                }
            )
        values[kind] = {"tried": tried, "records": records}
    return {}, values


def alarms(config: Config, activation: Any, start: Any, end: Any, x: Any, y: Any) -> dict[str, Any]:
    """What is said of a fit: by its weights, by the loss, and by the monitor on its flow."""

    def asked(params: Any, pairs: Any) -> list[int]:
        paths = [dynamics.follow_channel(params, pair, x, y, activation) for pair in pairs]
        return [path.result for path in paths]

    seen = diagnostics.channels(end, x, activation)
    said = asked(end, seen.pairs[seen.found])
    flow, watch = watched(config, Residuals(activation), start, x, y)
    return {
        "looks": len(said),
        "confirmed": said.count(0),
        "refused": said.count(1),
        "rest": float(flow.grad_norms[-1]) < STILL,
        "alarmed": len(watch.pairs),
        "real": asked(flow.params, watch.pairs).count(0),
        "ever": int(np.sum(watch.first >= 0)),
    }


def watched(config: Config, residuals: Residuals, start: Any, x: Any, y: Any) -> tuple[Any, Any]:
    """A gradient flow and what the monitor says of it."""
    flow = dynamics.gradient_flow(
        Loss(residuals),
        start,
        args=(x, y),
        t1=config.horizon,
        rtol=1e-4,
        atol=1e-7,
        saves=dynamics.Saves(SAVES, decades=9, snapshots=True),
        events=dynamics.Event("grad_norm", below=0.1 * STILL),
        max_steps=config.max_steps,
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
        flow, watch = watched(config, residuals, start, x, y)
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
        if len(config.fits) != len(KINDS):
            raise ValueError(f"fits must be {len(KINDS)} numbers, one a kind, got {config.fits}")
    with runs.open_run(config.root, "flat_channels", config, seed=config.seed) as run:

        def all_of(what: str, points: Sequence[Any], compute: Any) -> dict[Any, Any]:
            return {
                each: cell
                for each, *cell in run.sweep(
                    points, lambda each: name_of(what, each), compute, description=what
                )
            }

        built = all_of("constructed", config.activations, lambda name: constructed(config, name))
        fits = all_of("fits", config.activations, lambda name: fit(config, name))
        points = [
            (name, task, width)
            for width in config.widths
            for task in config.tasks
            for name in config.activations
        ]
        flows = all_of("flow", points, lambda each: follow(config, each, 0.0))
        last = [each for each in points if each[1] == config.tasks[-1]]
        control = all_of("decay", last, lambda each: follow(config, each, config.decay))
        summarise(run, config, built, fits, flows, control)
    return run.path


def share(count: int, of: int) -> tuple[float, float, float]:
    """A share and its exact 95 % interval."""
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


def summarise(
    run: runs.Run, config: Config, built: Any, fits: Any, flows: Any, control: Any
) -> None:
    """Tables, results and figure."""
    arrays: dict[str, Any] = {"eps": np.asarray(config.eps)}
    results: dict[str, Any] = {"constructed": {}, "fits": {}, "flows": {}, "control": {}}
    for name, (errors, values) in built.items():
        arrays |= {f"{what}_{name}": errors[what] for what in errors}
        results["constructed"][name] = values
    runs.print_table(
        "Constructed channels: largest relative error of the limit's c, w, v, and found or not",
        ("activation", *(f"eps {eps:g}" for eps in config.eps), "found alone"),
        [
            (
                name,
                *(f"{off:.1e}" for off in errors["off"]),
                f"{sum(values['found'])} of {len(values['found'])}",
            )
            for name, (errors, values) in built.items()
        ],
    )
    rows = []
    for kind in KINDS:
        records = [each for _, v in fits.values() for each in v[kind]["records"]]
        if not records:
            continue
        table = {what: sum(each[what] > 0 for each in records) for what in LOOKS}
        tried = sum(v[kind]["tried"] for _, v in fits.values())
        worst = max(each["grad_norm"] for each in records)
        rest = [each for each in records if each["rest"]]
        false = sum(
            each["alarmed"] > 0 and not each["real"] for each in records if not each["rest"]
        )
        results["fits"][kind] = table | {
            "fits": len(records),
            "tried": tried,
            "worst": worst,
            "rest": len(rest),
            "alarmed at rest": sum(each["alarmed"] > 0 for each in rest),
            "false elsewhere": false,
        }
        rows.append(
            (
                kind,
                f"{len(records)} of {tried}",
                f"{worst:.0e}",
                f"{min(each['curvature'] for each in records):.0e}",
                f"{max(each['largest'] for each in records):.3g}",
                *table.values(),
                f"{sum(each['alarmed'] > 0 for each in rest)} of {len(rest)}",
                f"{false} of {len(records) - len(rest)}",
            )
        )
    runs.print_table(
        "Fits of teachers at a finite minimum: what looks like a channel by its weights, what the "
        "loss says of it, and the monitor on gradient flow from the same start: where that comes "
        "to rest too; and, where it does not, alarms that the loss does not confirm",
        (
            "student",
            "finite",
            "gradient",
            "curvature",
            "largest weight",
            *LOOKS.values(),
            "at rest",
            "elsewhere, refused",
        ),
        rows,
    )
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
    run.save_results(arrays, results)
    print(f"results and figures: {run.path}")


LOOKS = {
    "looks": "looks like one",
    "confirmed": "confirmed",
    "refused": "refused",
    "alarmed": "monitor",
}
"""Alarms on fits, and their columns."""


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
