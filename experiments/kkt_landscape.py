"""KKT landscape: values, basins and stability of the KKT points of a data set, along training.

At the origin, where the residual is the target, the KKT points of the neural correlation function
are what small networks can learn first (neuron pursuit, arXiv 2509.12154): their values, the share
of random starts that climb to each, and how stable these shares are. Then a network is trained from
a small initialisation, and at snapshots along the flow the same search is made for one new neuron:
how the points move, are born and die, and how the trained neurons lie to those of the origin.

Data are generated, bundled, or your own: `--data npz:FILE` with arrays `x` and `y`. A rerun with
the same settings goes on where the last one stopped.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

import nsjax
from nsjax import data, diagnostics, dynamics, kkt, networks, objectives, plots, runs


@dataclass(frozen=True)
class Config:
    """Settings of the KKT landscape experiment."""

    preset: Literal["quick", "full"] = "quick"
    """Which set of defaults the other settings start from."""
    data: tuple[str, ...] = ("teacher",)
    """Data sets: teacher, modular, diabetes, linnerud, or npz:FILE with arrays x and y."""
    depths: tuple[int, ...] = (2,)
    """Numbers of layers (weight matrices)."""
    degrees: tuple[int, ...] = (1, 2)
    """Degrees p of the activation max(t, a t)^p."""
    slopes: tuple[float, ...] = (0.0, 1.0)
    """Slopes a of the activation for negative inputs."""
    layer: int = 1
    """Hidden layer of the new neuron, along training."""
    starts: int = 256
    """Starts of every search."""
    searches: int = 5
    """Searches at the origin, each from its own starts."""
    max_steps: int = 2000
    """Bound on the ascent steps of a start."""
    width: int = 12
    """Neurons in each hidden layer of the trained network."""
    scale: float = 0.05
    """Norm of all its weights at the start."""
    horizon: float = 10.0
    """Train for this multiple of the time of the first drop of the loss."""
    stop: float = 0.01
    """Or to this share of the loss at the start."""
    rtol: float = 1e-4
    """Relative tolerance of the flow; kinks cost steps where it is small."""
    method: Literal["explicit", "implicit", "auto"] = "explicit"
    """How to integrate; an implicit step costs a Hessian."""
    snapshots: int = 40
    """Searches along training, half of them at equal drops of the loss, half at ratios of time."""
    samples: int = 100
    """Number of samples n of the teacher data."""
    dimension: int = 10
    """Input dimension d of the teacher data."""
    inputs: Literal["sphere", "gaussian", "hypercube"] = "sphere"
    """Law of the inputs of the teacher data."""
    teacher: int = 4
    """Hidden neurons in each layer of the teacher network."""
    outputs: int = 1
    """Outputs of the teacher network."""
    modulus: int = 7
    """Modulus of the modular addition."""
    centred: bool = True
    """Whether the targets of teacher and modular data are shifted to mean zero."""
    seed: int = 0
    """Seed of data, teacher, starts and training."""
    root: Path = field(default=Path("runs"), compare=False)
    """Where run folders go."""


PRESETS = {
    "quick": Config(),
    "full": Config(
        preset="full",
        data=("teacher", "modular", "diabetes"),
        degrees=(1, 2, 3),
        slopes=(0.0, 0.5, 1.0),
    ),
}
FIRST_DROP = 0.98
"""The loss has dropped for the first time when it is below this share of its start."""
SAVES, DECADES = 8000, 12.0
"""Saves of each leg of the flow, and over how many decades: drops are fast against the waits."""
SHOWN = 8
"""Levels in the tables and the columns of the heat map, best first."""


@dataclass(frozen=True)
class Case:
    """One point of the sweep."""

    data: str
    depth: int
    activation: nsjax.PolyLeakyReLU

    @property
    def name(self) -> str:
        """Short name, safe in file names."""
        return f"{self.data}-L{self.depth}-p{self.activation.p}-a{self.activation.slope:g}"

    @property
    def kind(self) -> str:
        """The activation in words."""
        slope, p = self.activation.slope, self.activation.p
        return "linear" if p == 1 == slope else f"p = {p}, slope {slope:g}"

    @property
    def title(self) -> str:
        """Name in words."""
        return f"{self.data}, {self.depth} layers, {self.kind}"


def load(config: Config, name: str) -> tuple[jax.Array, jax.Array | None]:
    """Data by name; a teacher's targets depend on the case and come later."""
    if name == "teacher":
        key = jax.random.key(config.seed)
        return data.INPUTS[config.inputs](key, config.samples, config.dimension), None
    if name == "modular":
        return data.modular_addition(config.modulus, centred=config.centred)
    return data.by_name(name, argument="data", others=("teacher", "modular"))


def short_name(name: str, x: jax.Array, y: jax.Array | None) -> str:
    """Name of a data set in file names; the contents tell apart files of one name."""
    if not name.startswith("npz:"):
        return name
    digest = hashlib.sha256(np.asarray(x).tobytes() + np.asarray(y).tobytes()).hexdigest()
    stem = re.sub(r"[^A-Za-z0-9_]+", "_", Path(name.removeprefix("npz:")).stem)
    return f"{stem[:40]}_{digest[:8]}"


def teach(config: Config, case: Case, x: jax.Array) -> jax.Array:
    """Targets from a teacher network of the case's own depth and activation."""
    y = networks.teacher_targets(
        jax.random.key(config.seed + 1),
        x,
        case.activation,
        hidden=(config.teacher,) * (case.depth - 1),
        outputs=config.outputs,
    )
    return y - jnp.mean(y, axis=0) if config.centred else y


def sweep(config: Config) -> Iterator[tuple[Case, jax.Array, jax.Array]]:
    """The cases of a config with their data."""
    if not config.depths or not all(depth in (2, 3) for depth in config.depths):
        raise ValueError(f"depths must be 2 or 3, got {config.depths}")
    if not 1 <= config.layer < min(config.depths):
        raise ValueError(f"layer must be a hidden layer of every depth, got {config.layer}")
    for name in config.data:
        x, y = load(config, name)
        short = short_name(name, x, y)
        for depth in config.depths:
            for p in config.degrees:
                for slope in config.slopes:
                    case = Case(short, depth, nsjax.PolyLeakyReLU(p, slope))
                    yield case, x, teach(config, case, x) if y is None else y


def search_origin(
    config: Config, case: Case, x: jax.Array, y: jax.Array, key: jax.Array
) -> kkt.KKTPoints:
    """KKT points at the origin: of one neuron, or of a deeper network with one in each layer."""
    widths = (x.shape[1], *(1,) * (case.depth - 1), y.shape[1])
    if case.depth == 2:
        zero = jax.tree.map(jnp.zeros_like, networks.init(key, widths, dtype=x.dtype))
        return kkt.search_neuron(
            key, zero, 1, x, y, case.activation, starts=config.starts, max_steps=config.max_steps
        )
    return kkt.search(
        key,
        objectives.NetworkNCF(case.activation),
        lambda k: networks.init(k, widths, dtype=x.dtype),
        args=(x, y),
        starts=config.starts,
        max_steps=config.max_steps,
    )


def origin(
    config: Config, case: Case, x: jax.Array, y: jax.Array
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arrays and values of the landscape at the origin, as stored."""
    keys = jax.random.split(jax.random.key(config.seed), config.searches)
    found = [search_origin(config, case, x, y, key) for key in keys]
    levels = kkt.levels(found)
    arrays: dict[str, Any] = levels._asdict()
    incoming = [np.reshape(points.points[0], (len(points.values), x.shape[1])) for points in found]
    arrays["incoming"] = np.concatenate(incoming)
    messages = sorted({points.message for points in found})
    values: dict[str, Any] = {"messages": messages, "steps": max(p.steps for p in found)}
    if case.depth == 2 and x.shape[1] > 1:
        zero = (jnp.zeros((1, x.shape[1])), jnp.zeros((y.shape[1], 1)))
        circle = kkt.circle(zero, 1, x, y, case.activation, found[0])
        arrays |= {f"circle_{name}": value for name, value in circle._asdict().items()}
        for name in ("values", "signs", "shares", "is_maximum", "kinked"):
            arrays[f"point_{name}"] = getattr(found[0], name)
    return arrays, values


def train(
    config: Config, case: Case, x: jax.Array, y: jax.Array, value: float
) -> tuple[SimpleNamespace, str]:
    """Gradient flow from a small balanced network: snapshots, and why it stopped.

    First to the first drop of the loss; its time sets the horizon of the rest, whose saves count
    from the drop, since what follows it can be fast.
    """
    key = jax.random.key(config.seed + 2)
    widths = (x.shape[1], *(config.width,) * (case.depth - 1), y.shape[1])
    drawn = networks.balance(networks.init(key, widths, dtype=x.dtype), case.activation)
    params = jax.tree.map(lambda w: config.scale * w, kkt.unit(drawn))
    loss = objectives.NetworkLoss(case.activation)
    at_start = float(loss(params, x, y))
    degree = networks.degree(case.activation, case.depth)
    smallest = config.scale / config.width**0.5
    horizon = 1e3 * dynamics.ray_time(smallest, max(1.0, 2 * smallest), value, degree)
    legs = []
    for share in (FIRST_DROP, config.stop):
        flow = dynamics.gradient_flow(
            loss,
            params,
            args=(x, y),
            t1=horizon,
            rtol=config.rtol,
            method=config.method,
            saves=dynamics.Saves(SAVES, DECADES, snapshots=True),
            events=dynamics.Event("loss", below=share * at_start),
        )
        legs.append(flow)
        if flow.result != dynamics.Stop.EVENT:
            break
        params, drop = flow.params, float(flow.ts[-1])
        horizon = max(config.horizon - 1, 0.1) * drop
    ts = np.concatenate([np.asarray(leg.ts) for leg in legs])
    losses = np.concatenate([np.asarray(leg.losses) for leg in legs])
    first = len(legs[0].ts) - 1  # the save at the drop
    ts[first + 1 :] += ts[first]
    chosen = diagnostics.saves_around_drop(ts, losses, first, config.snapshots)
    snapshots = jax.tree.map(
        lambda *parts: np.concatenate([np.asarray(part) for part in parts])[chosen],
        *(leg.snapshots for leg in legs),
    )
    path = SimpleNamespace(
        ts=ts[chosen],
        losses=losses[chosen],
        snapshots=snapshots,
        drop=int(np.searchsorted(chosen, first)),
    )
    return path, legs[-1].message


def along(
    config: Config, case: Case, x: jax.Array, y: jax.Array, levels: SimpleNamespace
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arrays and values of the landscape along training, as stored."""
    path, message = train(config, case, x, y, float(levels.values[0]))
    loss = objectives.NetworkLoss(case.activation)
    alive = range(min(SHOWN, int(np.sum(levels.signs > 0))))
    members = [levels.labels == level for level in alive]
    found: list[kkt.KKTPoints] = []
    alignment: list[np.ndarray] = []
    sizes: list[jax.Array] = []
    for at in range(len(path.ts)):
        params = tuple(jnp.asarray(weights[at]) for weights in path.snapshots)
        found.append(
            kkt.search_neuron(
                jax.random.key(config.seed),
                params,
                config.layer,
                x,
                loss.residual(params, x, y),
                case.activation,
                starts=config.starts,
                max_steps=config.max_steps,
            )
        )
        cosines = kkt.neuron_cosines(params[0], levels.incoming, case.activation)
        alignment.append(np.stack([cosines[:, which].max(axis=1) for which in members], axis=1))
        sizes.append(diagnostics.neuron_size(params, case.activation)[0] ** 0.5)
    track = kkt.track(found, case.activation)
    arrays = {
        "ts": path.ts,
        "losses": path.losses,
        "alignment": np.array(alignment),
        "sizes": np.array(sizes),
        **track._asdict(),
    }
    values = {"births": track.births, "deaths": track.deaths, "drop": path.drop, "flow": message}
    return arrays, values


def main(config: Config) -> Path:
    """Run the experiment; returns the run's folder."""
    runs.setup()
    with runs.refusals():
        cases, files = list(sweep(config)), data.npz_contents(config.data)
        if not cases:
            raise ValueError("data, degrees and slopes must each name at least one")
    with runs.open_run(config.root, "kkt_landscape", config, seed=config.seed, data=files) as run:
        done: dict[Case, tuple[SimpleNamespace, SimpleNamespace | None]] = {}
        for (case, _, _), *cell in run.sweep(
            cases,
            lambda each: f"origin-{each[0].name}",
            lambda each: origin(config, *each),
            description="cases",
        ):
            done[case] = stored(*cell), None
            if done[case][0].signs[0] <= 0:
                run.log(f"{case.title}: the NCF vanishes, nothing to climb and to train", echo=True)
        for (case, _, _), *cell in run.sweep(
            [each for each in cases if done[each[0]][0].signs[0] > 0],
            lambda each: f"path-{each[0].name}",
            lambda each: along(config, *each, done[each[0]][0]),
            description="trained",
        ):
            path = stored(*cell)
            run.log(f"{case.title}: {path.flow}")
            done[case] = done[case][0], path
        summarise(run, done)
    return run.path


def stored(arrays: dict[str, Any], values: dict[str, Any]) -> SimpleNamespace:
    """A finished cell, its arrays and values as attributes."""
    return SimpleNamespace(**values, **arrays)


def summarise(
    run: runs.Run, done: dict[Case, tuple[SimpleNamespace, SimpleNamespace | None]]
) -> None:
    """Tables, results and figures of a finished sweep."""
    points: list[tuple[Any, ...]] = []
    lines: list[tuple[Any, ...]] = []
    results: dict[str, Any] = {}
    for case, (levels, path) in done.items():
        points += landscape_rows(case, levels)
        results[case.name] = {
            "levels": len(levels.values),
            "values": levels.values[:SHOWN],
            "shares": levels.shares.mean(axis=0)[:SHOWN],
            "share_deviations": levels.shares.std(axis=0)[:SHOWN],
            "messages": levels.messages,
        }
        draw_landscape(run, case, levels)
        if path is None:
            continue
        largest = np.nanmax(path.values, axis=1)
        aligned = path.alignment[path.drop].max(axis=1)
        results[case.name] |= {
            "loss": [path.losses[0], path.losses[-1]],
            "largest": [largest[0], largest[-1]],
            "first_drop": path.ts[path.drop],
            "alignment": aligned,
            "births": path.births,
            "deaths": path.deaths,
            "flow": path.flow,
        }
        lines.append(
            (
                case.title,
                path.ts[path.drop],
                f"{path.losses[-1] / path.losses[0]:.3g}",
                f"{largest[-1] / largest[0]:.3g}",
                f"{aligned[np.argmax(path.sizes[path.drop])]:.4f}",
                f"{np.median(aligned):.3f}",
                f"{int(np.sum(path.which[0] >= 0))} + {path.births} - {path.deaths}",
                path.flow.partition(";")[0],
            )
        )
        draw_path(run, case, levels, path)
    for name in dict.fromkeys(case.data for case in done):
        here = {c.kind: path for c, (_, path) in done.items() if (c.data, c.depth) == (name, 2)}
        trained = {kind: path for kind, path in here.items() if path is not None}
        if trained:
            save(run, plots.plot_dominant(trained, title=f"{name}, 2 layers"), f"largest-{name}")
    run.save_results({}, results)
    runs.print_table(
        f"KKT points at the origin, by value (the best {SHOWN}; share over the searches)",
        ("case", "rank", "N*", "of largest", "share", "points", "stable", "kink", "residual"),
        points,
    )
    runs.print_table(
        "Along training (alignment: best cosine with a KKT point of the origin, at the first drop)",
        (
            "case",
            "first drop",
            "loss left",
            "largest N left",
            "aligned: largest neuron",
            "median",
            "points: first + born - lost",
            "flow",
        ),
        lines,
    )
    print(f"results and figures: {run.path}")


def landscape_rows(case: Case, levels: SimpleNamespace) -> list[tuple[Any, ...]]:
    """Rows of the table of one landscape."""
    mean, spread = levels.shares.mean(axis=0), levels.shares.std(axis=0)
    return [
        (
            case.title if rank == 0 else "",
            rank + 1,
            levels.values[rank],
            f"{levels.values[rank] / (levels.values[0] or 1):.4f}",
            f"{mean[rank]:.3f} ± {spread[rank]:.3f}",
            int(levels.sizes[rank]),
            answer(levels.signs[rank], levels.is_maximum[rank]),
            answer(levels.signs[rank], levels.kinked[rank]),
            f"{levels.residuals[rank]:.0e}" if levels.signs[rank] else "dead",
        )
        for rank in range(min(SHOWN, len(levels.values)))
    ]


def answer(sign: int, true: bool) -> str:
    """Yes or no, for a point that is not dead."""
    return ("yes" if true else "no") if sign else "-"


def save(run: runs.Run, figure: Figure, name: str) -> None:
    """Write a figure and let go of it."""
    run.save_figure(figure, name)
    plt.close(figure)


def draw_landscape(run: runs.Run, case: Case, levels: SimpleNamespace) -> None:
    """The figures of one landscape at the origin."""
    save(run, plots.plot_landscape(levels, title=case.title), f"landscape-{case.name}")
    if case.depth == 2:
        circle, found = (part(levels, prefix) for prefix in ("circle_", "point_"))
        if hasattr(circle, "angles"):
            save(run, plots.plot_circle(circle, found), f"circle-{case.name}")


def part(cell: SimpleNamespace, prefix: str) -> SimpleNamespace:
    """What a cell holds under names that begin with `prefix`."""
    return SimpleNamespace(
        **{
            name.removeprefix(prefix): v
            for name, v in vars(cell).items()
            if name.startswith(prefix)
        }
    )


def draw_path(run: runs.Run, case: Case, levels: SimpleNamespace, path: SimpleNamespace) -> None:
    """The figures of one network along training."""
    save(run, plots.plot_kkt_path(path, since=path.drop, title=case.title), f"path-{case.name}")
    stages = {"at the start": 0, "at the first drop": path.drop, "at the end": -1}
    alignment = plots.plot_alignment(
        {name: (path.alignment[at], path.sizes[at]) for name, at in stages.items()},
        values=levels.values[: path.alignment.shape[2]],
        title=case.title,
    )
    save(run, alignment, f"alignment-{case.name}")


if __name__ == "__main__":
    sys.exit(runs.script(main, Config, PRESETS, description=__doc__))
