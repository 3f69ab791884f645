"""Cascade: gradient flow from a small start, from saddle to saddle, to a minimum.

A network is started at norm delta, and the flow followed through all its saddles, for delta from
1e-2 to 1e-8: the staircase of the loss, the saddles with their active neurons, the weight matrices
at each of them, norm and direction of every neuron, and how small the neurons stay that take no
part in an escape (neuron pursuit, arXiv 2509.12154, section 4). At one delta that can be afforded,
plain gradient descent from the same start is laid over it.

Data come from a teacher network, or are your own: `--data npz:FILE` with arrays `x` and `y`. A
rerun with the same settings goes on where the last one stopped.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import nsjax
from nsjax import data, diagnostics, dynamics, networks, objectives, plots, runs


@dataclass(frozen=True)
class Config:
    """Settings of the cascade experiment."""

    preset: Literal["quick", "full"] = "quick"
    """Which set of defaults the other settings start from."""
    data: str = "teacher"
    """Data: teacher, a bundled set (diabetes, linnerud), or npz:FILE with arrays x and y."""
    degree: int = 2
    """Degree p of the activation max(t, a t)^p."""
    slope: float = 1.0
    """Slope a of the activation for negative inputs."""
    hidden: tuple[int, ...] = (8,)
    """Neurons in each hidden layer."""
    deltas: tuple[float, ...] = (1e-2, 1e-3, 1e-4, 1e-6, 1e-8)
    """Norms of the start."""
    descent: float = 1e-3
    """Delta at which to run plain gradient descent as well, one of `deltas`; 0 for none."""
    step: float = 0.5
    """Step of gradient descent times the largest curvature at the end of the cascade."""
    max_descent: int = 2_000_000
    """Bound on the steps of gradient descent."""
    loss: Literal["square", "logistic", "cross_entropy"] = "square"
    """Training loss, a sum over samples."""
    samples: int = 100
    """Number of samples n of the teacher data."""
    dimension: int = 6
    """Input dimension d of the teacher data."""
    inputs: Literal["sphere", "gaussian", "hypercube"] = "sphere"
    """Law of the inputs of the teacher data."""
    teacher: int = 3
    """Hidden neurons in each layer of the teacher network."""
    outputs: int = 1
    """Outputs of the teacher network."""
    starts: int = 64
    """Starts of the KKT search at every saddle."""
    max_visits: int = 64
    """How many saddles to pass at most."""
    seed: int = 0
    """Seed of data, teacher, start and searches."""
    root: Path = field(default=Path("runs"), compare=False)
    """Where run folders go."""


PRESETS = {
    "quick": Config(),
    "full": Config(
        preset="full",
        hidden=(16,),
        samples=200,
        dimension=10,
        teacher=5,
        outputs=2,
        deltas=(1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-8, 1e-10),
    ),
}
SAVES, RESIDUALS = 5000, 80
"""Saves of gradient descent, and directions measured on each visit."""
SERIES = ("ts", "losses", "grad_norms")
NUMBERS = (
    "start",
    "duration",
    "loss",
    "degree",
    "kkt_value",
    "kkt_residual",
    "alignment",
    "dominant_value",
    "distance",
    "slow_error",
)
"""What is stored of every visit as a number."""


def prepare(config: Config) -> tuple[Any, jax.Array, jax.Array, nsjax.PolyLeakyReLU]:
    """The direction of the start, data, and activation."""
    keys = jax.random.split(jax.random.key(config.seed), 3)
    activation = nsjax.PolyLeakyReLU(config.degree, config.slope)
    if config.data == "teacher":
        x = data.INPUTS[config.inputs](keys[0], config.samples, config.dimension)
        hidden = (config.teacher,) * len(config.hidden)
        y = networks.teacher_targets(keys[1], x, activation, hidden=hidden, outputs=config.outputs)
    else:
        x, y = data.by_name(config.data, argument="data", others=("teacher",))
    return networks.init(keys[2], (x.shape[1], *config.hidden, y.shape[1])), x, y, activation


def to_cell(
    flow: Any, visits: Any, x: jax.Array, y: jax.Array, activation: Any, loss: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arrays and values of a trajectory and its visits, as stored."""
    arrays = {name: np.asarray(getattr(flow, name)) for name in SERIES}
    for number, weight in enumerate(flow.snapshots):
        arrays[f"weights_{number}"] = np.asarray(weight)
        arrays[f"visit_weights_{number}"] = np.stack([visit.params[number] for visit in visits])
        if number:
            flags = [visit.active[number - 1] for visit in visits]
            arrays[f"visit_active_{number}"] = np.stack(flags)
    for name in NUMBERS:
        arrays[f"visit_{name}"] = np.array([getattr(visit, name) for visit in visits])
    arrays["visit_inertia"] = np.array([visit.inertia for visit in visits])
    sparsity = diagnostics.weight_sparsity(tuple(visit.params for visit in visits))
    arrays |= {f"sparsity_{name}": value for name, value in sparsity._asdict().items()}
    residual_ts, residuals = directions(flow, visits, x, y, activation, loss)
    arrays |= {"residual_ts": residual_ts, "residuals": residuals}
    return arrays, {
        "escaping": [visit.escaping for visit in visits],
        "methods": [visit.method for visit in visits],
        "curvature": visits[-1].spectrum.largest,
    }


def directions(
    flow: Any, visits: Any, x: jax.Array, y: jax.Array, activation: Any, loss: str
) -> tuple[np.ndarray, np.ndarray]:
    """Times, and KKT residual of every small neuron, at some saves of each visit."""
    ts, residuals = [], []
    count = sum(len(flags) for flags in visits[0].active)
    for visit in visits:
        at = np.searchsorted(flow.ts, [visit.start, visit.start + visit.duration])
        picked = np.linspace(at[0], min(at[1], len(flow.ts) - 1), RESIDUALS).astype(int)
        values = np.full((RESIDUALS, count), np.nan)
        inactive = [~flags for flags in visit.active]
        if any(flags.any() for flags in inactive):
            here = jax.tree.map(lambda leaf, i=picked: leaf[i], flow.snapshots)
            measured = diagnostics.alignment(
                here, inactive, x, y, activation, saddle=visit.params, loss=loss
            )
            values = np.concatenate([np.asarray(part) for part in measured.kkt_residual], axis=1)
        ts.append(np.asarray(flow.ts)[picked])
        residuals.append(values)
    return np.stack(ts), np.stack(residuals)


def stored(arrays: dict[str, Any], values: dict[str, Any]) -> SimpleNamespace:
    """A finished cell, with the attributes of a `Cascade`."""
    found = SimpleNamespace(**arrays, **values)
    layers = range(sum(name.startswith("weights_") for name in arrays))
    found.snapshots = tuple(arrays[f"weights_{layer}"] for layer in layers)
    found.visits = [
        SimpleNamespace(
            **{name: arrays[f"visit_{name}"][i].item() for name in NUMBERS},
            params=tuple(arrays[f"visit_weights_{layer}"][i] for layer in layers),
            active=tuple(arrays[f"visit_active_{layer}"][i] for layer in layers[1:]),
            inertia=tuple(arrays["visit_inertia"][i].tolist()),
            escaping=[tuple(pair) for pair in found.escaping[i]],
            method=found.methods[i],
        )
        for i in range(len(found.methods))
    ]
    found.kept = diagnostics.kept_sparsity(found, found.visits)
    found.stats = SimpleNamespace(**getattr(found, "stats", {"gradients": found.gradients}))
    found.escape_times = [
        visit.start + visit.duration for visit in found.visits if np.isfinite(visit.duration)
    ]
    return found


def gradient_descent(
    config: Config, cascade: Any, params: Any, x: jax.Array, y: jax.Array, activation: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Plain gradient descent from the start of a cascade until after its last escape, as stored."""
    norm = jnp.sqrt(sum(jnp.sum(weight**2) for weight in params))
    start = jax.tree.map(lambda weight: weight * cascade.delta / norm, params)
    h = config.step / cascade.curvature
    horizon = 1.3 * max(cascade.escape_times)
    stride = int(np.ceil(min(horizon / h, config.max_descent) / SAVES))
    flow = dynamics.gradient_descent(
        objectives.NetworkLoss(activation, config.loss),
        start,
        args=(x, y),
        learning_rate=h,
        steps=stride * (SAVES - 1),
        saves=SAVES - 1,
    )
    visits = dynamics.saddle_visits(
        flow,
        x,
        y,
        activation,
        loss=config.loss,
        threshold=cascade.threshold,
        starts=config.starts,
        key=jax.random.key(config.seed),
    )
    arrays, values = to_cell(flow, visits, x, y, activation, config.loss)
    values |= {"h": h, "gradients": stride * (SAVES - 1), "delta": cascade.delta}
    return arrays, values


def main(config: Config) -> Path:
    """Run the experiment; returns the run's folder."""
    runs.setup()
    with runs.refusals():
        if not config.deltas or (config.descent and config.descent not in config.deltas):
            raise ValueError(f"descent must be 0 or one of deltas, got {config.descent:g}")
        params, x, y, activation = prepare(config)
    samples = {"x": x, "y": y}
    with runs.open_run(config.root, "cascade", config, seed=config.seed, data=samples) as run:
        done: dict[float, SimpleNamespace] = {}
        for delta, *cell in run.sweep(
            config.deltas,
            lambda delta: f"delta{delta:.6g}",
            lambda delta: follow(config, delta, params, x, y, activation),
            description="deltas",
        ):
            done[delta] = stored(*cell)
            run.log(f"delta {delta:.3g}: {done[delta].message}")
        descent = None
        if config.descent:
            cascade = done[config.descent]
            if cascade.escape_times and cascade.curvature > 0:
                descent = stored(
                    *run.once(
                        "descent",
                        lambda: gradient_descent(config, cascade, params, x, y, activation),
                    )
                )
            else:
                why = "the curvature is 0" if cascade.escape_times else "nothing escapes"
                why = f"no gradient descent beside the cascade at {config.descent:.3g}: {why}"
                run.log(why, echo=True)
        summarise(run, config, done, descent)
    return run.path


def follow(
    config: Config, delta: float, params: Any, x: jax.Array, y: jax.Array, activation: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arrays and values of one cascade, as stored."""
    with runs.refusals():
        cascade = dynamics.cascade(
            params,
            x,
            y,
            activation,
            delta=delta,
            loss=config.loss,
            key=jax.random.key(config.seed),
            snapshots=True,
            starts=config.starts,
            max_visits=config.max_visits,
        )
    arrays, values = to_cell(cascade, cascade.visits, x, y, activation, config.loss)
    values |= {
        "delta": cascade.delta,
        "threshold": cascade.threshold,
        "scale": cascade.scale,
        "method": cascade.method,
        "message": cascade.message,
        "result": int(cascade.result),
        "gradients": cascade.stats.gradients,
        "stats": cascade.stats._asdict(),
    }
    return arrays, values


def summarise(
    run: runs.Run, config: Config, done: dict[float, SimpleNamespace], descent: Any
) -> None:
    """Tables, results and figures of a finished sweep."""
    cascades = sorted(done.values(), key=lambda cascade: -cascade.delta)
    smallest = cascades[-1]
    results: dict[str, Any] = {
        f"delta={cascade.delta:.6g}": {
            "escape_times": cascade.escape_times,
            "losses": [visit.loss for visit in cascade.visits],
            "active": [[int(np.sum(f)) for f in visit.active] for visit in cascade.visits],
            "growth": cascade.kept.growth,
            "landing": cascade.kept.landing,
            "gradients": cascade.gradients,
            "method": cascade.method,
            "message": cascade.message,
        }
        for cascade in cascades
    }
    if descent is not None:
        results["descent"] = {
            "delta": descent.delta,
            "step": descent.h,
            "escape_times": descent.escape_times,
            "gradients": descent.gradients,
        }
    run.save_results({}, results)
    draw(run, cascades, done.get(config.descent), descent)
    show_visits(smallest)
    show_cascades(cascades)
    if descent is not None:
        show_descent(done[config.descent], descent)
    print(f"results and figures: {run.path}")


def draw(run: runs.Run, cascades: list[Any], partner: Any, descent: Any) -> None:
    """Every figure."""
    smallest = cascades[-1]
    name = plots.power_of_ten(smallest.delta)
    title = rf"weights at each visit, $\delta$ = {name}"
    figures = {"visits": plots.plot_visits(smallest, title=title)}
    # A cascade that stops at its start has no curves.
    moving = [cascade for cascade in cascades if len(cascade.ts) > 1]
    if moving:
        figures["staircase"] = plots.plot_cascade(moving)
    if len(smallest.ts) > 1:
        figures["neurons"] = plots.plot_neuron_norms(smallest)
        figures["directions"] = plots.plot_neuron_residuals(
            smallest, smallest.residual_ts, smallest.residuals
        )
    if len(smallest.visits) > 1:
        kept = {rf"$\delta$ = {plots.power_of_ten(each.delta)}": each.kept for each in cascades}
        figures["kept_sparsity"] = plots.plot_kept_sparsity(kept, threshold=smallest.threshold)
    if descent is not None:
        figures["descent"] = plots.plot_descent(partner, descent)
    for name, figure in figures.items():
        run.save_figure(figure, name)
        plt.close(figure)


def show_visits(cascade: Any) -> None:
    """The saddles of one cascade."""
    runs.print_table(
        f"Visits at delta {cascade.delta:.3g} ({cascade.message.partition(';')[0]})",
        (
            "visit",
            "start",
            "duration",
            "loss",
            "active",
            "escaping (layer, neuron)",
            "q",
            "N",
            "N*",
            "1 - cosine",
            "inertia",
            "method",
        ),
        [
            (
                number,
                visit.start,
                visit.duration,
                visit.loss,
                ", ".join(str(int(np.sum(flags))) for flags in visit.active),
                ", ".join(f"({layer}, {neuron})" for layer, neuron in visit.escaping),
                visit.degree,
                visit.kkt_value,
                visit.dominant_value,
                f"{1 - visit.alignment:.0e}",
                str(visit.inertia),
                visit.method,
            )
            for number, visit in enumerate(cascade.visits, start=1)
        ],
    )


def show_cascades(cascades: list[Any]) -> None:
    """One line for every delta."""
    runs.print_table(
        "Cascades (others: neurons that are zero at both saddles of an escape)",
        (
            "delta",
            "escapes",
            "escape times",
            "new neurons",
            "largest other on landing / delta",
            "its growth since departure",
            "gradients",
            "method",
            "end",
        ),
        [
            (
                f"{cascade.delta:.3g}",
                len(cascade.escape_times),
                cascade.escape_times,
                ", ".join("+".join(map(str, row)) for row in cascade.kept.new.tolist()),
                cascade.kept.landing / cascade.delta,
                cascade.kept.growth,
                cascade.gradients,
                cascade.method,
                cascade.message.partition(":")[0],
            )
            for cascade in cascades
        ],
    )


def show_descent(cascade: Any, descent: Any) -> None:
    """Escape times and costs of a cascade and of gradient descent from the same start."""
    rows: list[tuple[Any, ...]] = []
    for number, time in enumerate(cascade.escape_times):
        known = number < len(descent.escape_times)
        other = descent.escape_times[number] if known else float("nan")
        rows.append((f"escape {number + 1}", time, other, f"{other / time - 1:.1e}"))
    rows.append(("gradients", cascade.gradients, descent.gradients, "-"))
    runs.print_table(
        f"Gradient descent at delta {descent.delta:.3g}, step {descent.h:.3g}",
        ("", "cascade", "gradient descent", "relative difference"),
        rows,
    )


if __name__ == "__main__":
    sys.exit(runs.script(main, Config, PRESETS, description=__doc__))
