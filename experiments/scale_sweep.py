"""From rich to lazy: what the scale of the initialisation does to hundreds of gradient flows.

Two-layer networks learn a small teacher of the same activation, each seed from its own weights and
for several scales of the start, all seeds of a scale in one ensemble
(`nsjax.dynamics.flow_ensemble`): training loss against time, test error, and in how many directions
the neurons point at the end. Small starts wait near the origin, and neurons align before they grow;
of large ones every neuron stays about where it was.

Ensembles are split over all devices that there are. Their state is kept while they run, and a
rerun, or `--resume`, goes on from there.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

import nsjax
from nsjax import data, diagnostics, dynamics, networks, objectives, plots, pursuit, runs


@dataclass(frozen=True)
class Config:
    """Settings of the sweep."""

    preset: Literal["quick", "full"] = "quick"
    """Which set of defaults the other settings start from."""
    scales: tuple[float, ...] = (0.01, 0.1, 1.0, 3.0)
    """Scales of the first weights, as factors on the usual fan-in initialisation."""
    seeds: int = 32
    """Members of each ensemble."""
    samples: int = 100
    """Number of training samples n, on the sphere."""
    dimension: int = 10
    """Input dimension d."""
    width: int = 20
    """Neurons of a network."""
    teacher: int = 3
    """Neurons of the teacher."""
    degree: int = 2
    """Degree p of the activation `max(t, a t)^p`."""
    slope: float = 0.0
    """Its slope a for negative arguments."""
    horizon: float = 30.0
    """Longest time, in units of `1 / f scale^(p-1) + 20 / f`, with f the loss at 0: near the origin
    and on the way to the minimum."""
    fit: float = 1e-5
    """Training loss, relative to that at the origin, at which a flow is done."""
    test: int = 2000
    """Test samples."""
    saves: int = 120
    """Log-spaced saves of every flow."""
    rtol: float = 1e-6
    """Relative tolerance."""
    max_steps: int = 20_000
    """Most steps of a flow."""
    chunk: int = 256
    """Steps between two packings of the flows that are not done."""
    channels: bool = False
    """Whether to watch for flat channels to infinity, which keeps the weights at every save."""
    seed: int = 0
    """Seed of data, teacher and starts."""
    root: Path = field(default=Path("runs"), compare=False)
    """Where run folders go."""


PRESETS = {
    "quick": Config(),
    "full": Config(
        preset="full",
        scales=(0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0),
        seeds=256,
        samples=200,
        dimension=20,
        max_steps=100_000,
    ),
}


def prepare(config: Config) -> tuple[Any, ...]:
    """Activation, training samples, test samples and first weights of all seeds."""
    activation = nsjax.PolyLeakyReLU(p=config.degree, slope=config.slope)
    keys = jax.random.split(jax.random.key(config.seed), 3)
    n = config.samples
    x = data.sphere(keys[0], samples=n + config.test, dimension=config.dimension)
    y = networks.teacher_targets(keys[1], x, activation, hidden=(config.teacher,))
    widths = (config.dimension, config.width, 1)
    starts = jax.vmap(lambda key: networks.init(key, widths))(
        jax.random.split(keys[2], config.seeds)
    )
    return activation, x[:n], y[:n], x[n:], y[n:], starts


def follow(config: Config, run: runs.Run, scale: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arrays and values of all flows of one scale, as stored."""
    activation, x, y, *test, starts = prepare(config)
    loss = objectives.NetworkLoss(activation, "square")
    reference = float(0.5 * jnp.sum(y**2))
    devices = jax.local_devices()
    mesh = jax.make_mesh((len(devices),), ("members",), devices=devices)
    params = jax.tree.map(lambda w: scale * w, starts)
    name = name_of(scale)
    with (
        run.checkpoints(name, every=2.0) as kept,
        run.counter(config.seeds, description=name) as done,
    ):

        def on_chunk(state: dynamics.EnsembleState) -> None:
            kept.save(int(state.spent), state)
            done(state.stopped)

        flows = dynamics.flow_ensemble(
            loss,
            params,
            args=(x, y),
            t1=config.horizon / reference * (min(scale, 1.0) ** (1 - config.degree) + 20),
            rtol=config.rtol,
            saves=dynamics.Saves(config.saves, decades=6, snapshots=config.channels),
            stop_loss=config.fit * reference,
            max_steps=config.max_steps,
            chunk=config.chunk,
            mesh=mesh,
            start=kept.restore,
            on_chunk=on_chunk,
        )
    errors = jax.vmap(
        lambda params: pursuit.network_error(params, test[0], test[1], activation, loss="square")
    )(flows.params)
    norm = jax.vmap(optax.tree.norm)
    moved = norm(jax.tree.map(jnp.subtract, flows.params, params)) / norm(params)
    (directions,) = diagnostics.effective_directions(flows.params, activation)
    arrays = {
        "ts": flows.ts,
        "losses": flows.losses / reference,
        "errors": errors,
        "directions": directions,
        "moved": moved,
        "ends": flows.end_losses / reference,
        "t_end": flows.t_end,
        "results": flows.results,
        "steps": flows.steps,
    }
    values: dict[str, Any] = {"lanes": flows.lanes, "messages": sorted(set(flows.messages))}
    if config.channels:
        courses = [flows.member(index) for index in range(config.seeds)]
        watches = [
            diagnostics.watch_channels(course.snapshots, x, activation, ts=course.ts)
            for course in courses
        ]
        values["channels"] = [len(watch.pairs) for watch in watches]
    return arrays, values


def name_of(scale: float) -> str:
    """Name of the cell of a scale."""
    return f"scale{scale:g}"


def main(config: Config) -> Path:
    """Run the experiment; returns the run's folder."""
    runs.setup()
    with runs.refusals():
        if config.seeds < 1 or not config.scales or min(config.scales) <= 0:
            raise ValueError("there must be a seed, and positive scales")
        prepare(config)
    with runs.open_run(config.root, "scale_sweep", config, seed=config.seed) as run:
        done: dict[float, dict[str, np.ndarray]] = {}
        for scale, arrays, values in run.sweep(
            config.scales, name_of, lambda scale: follow(config, run, scale), description="scales"
        ):
            done[scale] = arrays
            used = np.sum(arrays["steps"]) / values["lanes"]
            run.log(f"scale {scale:g}: {used:.0%} of the lane-steps were of flows under way")
            if config.channels:
                alarms = int(np.count_nonzero(values["channels"]))
                run.log(f"scale {scale:g}: {alarms} flows end in a flat channel", echo=True)
        summarise(run, config, done)
    return run.path


def summarise(run: runs.Run, config: Config, done: dict[float, dict[str, np.ndarray]]) -> None:
    """Table, results and figures."""
    rows, results = [], {}
    for scale, arrays in done.items():
        fitted = arrays["results"] == dynamics.Stop.EVENT

        def middle(name: str, arrays: Any = arrays) -> str:
            low, median, high = np.quantile(arrays[name], (0.25, 0.5, 0.75))
            return f"{median:.3g} ({low:.3g}, {high:.3g})"

        rows.append(
            (
                f"{scale:g}",
                f"{np.sum(fitted)} of {config.seeds}",
                middle("ends"),
                middle("errors"),
                middle("directions"),
                middle("moved"),
                middle("t_end"),
                f"{np.median(arrays['steps']):.0f}",
            )
        )
        results[f"{scale:g}"] = {
            "fitted": int(np.sum(fitted)),
            **{
                name: np.quantile(arrays[name], (0.25, 0.5, 0.75))
                for name in ("ends", "errors", "directions", "moved", "t_end")
            },
        }
    run.save_results({}, results)
    scales = list(done)
    label = "scale of the first weights"
    for name, quantity in (
        ("errors", "test error (MSE / variance)"),
        ("directions", "effective directions"),
    ):
        table = np.stack([done[scale][name] for scale in scales])
        figure = plots.plot_error_bands(
            {"gradient flow": (scales, table)}, label=label, quantity=quantity
        )
        run.save_figure(figure, name)
    figure = plots.plot_loss_bands(
        {scale: (arrays["ts"], arrays["losses"]) for scale, arrays in done.items()},
        title="scale",
        quantity="training loss / loss at 0",
    )
    run.save_figure(figure, "losses")
    runs.print_table(
        f"{config.seeds} flows of each scale, medians and quartiles: n = {config.samples}, d = "
        f"{config.dimension}, {config.width} neurons, teacher of {config.teacher}",
        (
            "scale",
            "fitted",
            "training loss / loss at 0",
            "test error",
            "effective directions",
            "moved / start",
            "time",
            "steps",
        ),
        rows,
    )
    print(f"results and figures: {run.path}")


if __name__ == "__main__":
    sys.exit(runs.script(main, Config, PRESETS, description=__doc__))
