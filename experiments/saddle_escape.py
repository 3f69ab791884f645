"""Saddle escape: perturb a trained saddle by delta and follow gradient flow away from it.

Trains networks to a saddle `(w_n, 0)`, perturbs them as Theorem 7 of the neuron pursuit paper says
(arXiv 2509.12154), and follows the flow for delta from 1e-1 to 1e-8: loss, size and direction of
the zero block, drift of the active weights, and the escape time against delta beside its predicted
slope `-(q - 2)`. Data are generated. A rerun with the same settings goes on where the last one
stopped.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import jax
import numpy as np

import nsjax
from nsjax import data, diagnostics, dynamics, networks, plots, runs


@dataclass(frozen=True)
class Config:
    """Settings of the saddle escape experiment."""

    preset: Literal["quick", "full"] = "quick"
    """Which set of defaults the other settings start from."""
    depths: tuple[int, ...] = (2, 3)
    """Numbers of layers (weight matrices)."""
    degrees: tuple[int, ...] = (2,)
    """Degrees p of the activation max(t, a t)^p."""
    slopes: tuple[float, ...] = (1.0,)
    """Slopes a of the activation for negative inputs."""
    linear: bool = True
    """Whether to add linear networks (p = 1, a = 1), the deep ones from the origin."""
    deltas: tuple[float, ...] = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)
    """Sizes of the perturbation."""
    perturbation: Literal["random", "kkt"] = "random"
    """Random unit directions, or the dominant KKT point in the zero block alone."""
    method: Literal["auto", "explicit", "implicit", "slow"] = "auto"
    """How to integrate."""
    samples: int = 100
    """Number of samples n."""
    dimension: int = 10
    """Input dimension d."""
    inputs: Literal["sphere", "gaussian", "hypercube"] = "sphere"
    """Law of the inputs."""
    teacher: int = 4
    """Hidden neurons in each layer of the teacher network."""
    active: int = 1
    """Trained neurons in each hidden layer; 0 for the origin."""
    inactive: int = 3
    """Zero neurons in each hidden layer."""
    follow: float = 1.0
    """Go on after the escape for this multiple of its time, or to the next plateau."""
    attempts: int = 6
    """Initialisations to train a saddle from; the least stiff is kept."""
    dtype: Literal["float64", "float32"] = "float64"
    """Precision; float32 bears the slow manifold alone."""
    animate: bool = field(default=False, compare=False)
    """Also animate neurons that align: two inputs, first degree and slope."""
    seed: int = 0
    """Seed of data, teacher, training and perturbation."""
    root: Path = field(default=Path("runs"), compare=False)
    """Where run folders go."""


PRESETS = {
    "quick": Config(),
    "full": Config(preset="full", degrees=(2, 3), slopes=(0.0, 0.5, 1.0, -1.0)),
}


@dataclass(frozen=True)
class Network:
    """One network of the sweep."""

    depth: int
    activation: nsjax.PolyLeakyReLU
    active: int
    outputs: int

    @property
    def name(self) -> str:
        """Short name, safe in file names."""
        return f"L{self.depth}-p{self.activation.p}-a{self.activation.slope:g}"

    @property
    def title(self) -> str:
        """Name in words."""
        kind = "linear" if self.activation.p == 1 else f"p = {self.activation.p}"
        slope = "" if self.activation.p == 1 else f", slope {self.activation.slope:g}"
        where = ", from the origin" if self.active == 0 else ""
        return f"{self.depth} layers, {kind}{slope}{where}"


NEURONS = 24
"""Neurons of the animation."""
START = 1e-4
"""Norm of its start."""
FRAMES = 80
"""Frames of the animation, at most."""


def sweep(config: Config) -> Iterator[Network]:
    """The networks of a config.

    A linear network with one output is fitted by one neuron, so it gets three; between linear
    layers of rank one nothing can escape at leading order, so deep linear networks start from the
    origin.
    """
    for depth in config.depths:
        for p in config.degrees:
            for slope in config.slopes:
                yield Network(depth, nsjax.PolyLeakyReLU(p, slope), config.active, 1)
        if config.linear:
            active = config.active if depth == 2 else 0
            yield Network(depth, nsjax.PolyLeakyReLU(1, 1.0), active, 3)


def prepare(config: Config, network: Network) -> tuple[Any, ...]:
    """Data, and a saddle trained on them."""
    keys = jax.random.split(jax.random.fold_in(jax.random.key(config.seed), network.depth), 3)
    x = data.INPUTS[config.inputs](keys[0], config.samples, config.dimension, dtype=config.dtype)
    hidden = (config.teacher,) * (network.depth - 1)
    y = networks.teacher_targets(
        keys[1], x, network.activation, hidden=hidden, outputs=network.outputs
    )
    layers = network.depth - 1
    trained = dynamics.train_saddle(
        keys[2],
        x,
        y,
        network.activation,
        active=(network.active,) * layers,
        widths=(network.active + config.inactive,) * layers,
        attempts=config.attempts,
        tol=1e-10 if config.dtype == "float64" else 1e-4,
    )
    return x, y, trained


def to_cell(escape: dynamics.Escape) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arrays and values of one escape, as stored."""
    arrays = {
        name: np.asarray(getattr(escape, name))
        for name in (
            "ts",
            "losses",
            "grad_norms",
            "norm_ratio",
            "cosine",
            "kkt_residual",
            "drift",
        )
    }
    values = {
        name: getattr(escape, name)
        for name in (
            "delta",
            "threshold",
            "escape_time",
            "predicted_time",
            "kkt_value",
            "target_value",
            "degree",
            "method",
            "message",
            "validity",
            "evaluations",
        )
    }
    at = min(int(np.searchsorted(arrays["ts"], escape.escape_time)), len(arrays["ts"]) - 1)
    values |= {
        "result": int(escape.result),
        "phases": [
            {"method": phase.method, "end": phase.end, "atol": phase.atol, **phase.stats._asdict()}
            for phase in escape.phases
        ],
        "saddle": {
            name: value
            for name, value in escape.saddle._asdict().items()
            if not name.startswith("eigen")
        },
        "cosine_at_escape": float(arrays["cosine"][at]) if at >= 0 else float("nan"),
        "best_cosine": float(np.max(arrays["cosine"], initial=-1.0)),
        "drift_at_escape": float(arrays["drift"][at]) if at >= 0 else float("nan"),
    }
    return arrays, values


def main(config: Config) -> Path:
    """Run the experiment; returns the run's folder."""
    runs.setup(x64=config.dtype == "float64")
    cells = [(network, delta) for network in sweep(config) for delta in config.deltas]
    with runs.open_run(config.root, "saddle_escape", config, seed=config.seed) as run:
        done: dict[Network, list[SimpleNamespace]] = {}
        saddles: dict[Network, tuple[Any, ...]] = {}

        def compute(each: tuple[Network, float]) -> Any:
            network, delta = each
            if network not in saddles:
                saddles[network] = prepare(config, network)
            x, y, trained = saddles[network]
            if trained.result != 0:
                raise SystemExit(f"{network.title}: {trained.message}")
            escape = dynamics.escape(
                trained.params,
                trained.inactive,
                x,
                y,
                network.activation,
                delta=delta,
                perturbation=config.perturbation,
                key=jax.random.key(config.seed),
                method=config.method,
                follow=config.follow,
            )
            run.log(f"{network.title}, delta {delta:.0e}: {escape.message}")
            return to_cell(escape)

        for (network, _), arrays, values in run.sweep(
            cells,
            lambda each: f"{each[0].name}-delta{each[1]:.0e}",
            compute,
            description="escapes",
        ):
            if values["result"] in (
                dynamics.Stop.NOT_A_SADDLE,
                dynamics.Stop.NOT_A_MINIMUM,
                dynamics.Stop.DEAD_SADDLE,
            ):
                raise SystemExit(f"{network.title}: {values['message']}")
            done.setdefault(network, []).append(SimpleNamespace(**arrays, **values))
        summarise(run, done)
        if config.animate:
            animate(run, config)
    return run.path


def animate(run: runs.Run, config: Config) -> None:
    """From the origin on two inputs, saddle to saddle, as `figures/alignment.gif`."""
    activation = nsjax.PolyLeakyReLU(config.degrees[0], config.slopes[0])
    keys = jax.random.split(jax.random.key(config.seed))
    x = data.INPUTS[config.inputs](keys[0], config.samples, 2, dtype=config.dtype)
    y = networks.teacher_targets(keys[1], x, activation, hidden=(config.teacher,))
    # Centred, so that there is something to learn with either sign.
    y = y - y.mean()

    def compute() -> tuple[dict[str, Any], dict[str, Any]]:
        start = networks.fan(NEURONS, activation)
        found = dynamics.cascade(start, x, y, activation, delta=START, snapshots=True)
        assert found.snapshots is not None
        incoming, outgoing = found.snapshots
        arrays = {"ts": found.ts, "incoming": incoming, "outgoing": outgoing}
        return arrays, {"message": found.message, "escapes": found.escape_times.tolist()}

    arrays, values = run.once(f"alignment-p{activation.p}-a{activation.slope:g}", compute)
    run.log(f"alignment: {values['message']}, escapes at {values['escapes']}")
    weights = (arrays["incoming"], arrays["outgoing"])
    course = diagnostics.neuron_course(weights, x, y, activation, ts=arrays["ts"], frames=FRAMES)
    run.save_animation(plots.animate_alignment(course), "alignment")


def summarise(run: runs.Run, done: dict[Network, list[SimpleNamespace]]) -> None:
    """Table, results and figures of a finished sweep."""
    rows, results = [], {}
    for network, escapes in done.items():
        law = dynamics.time_scaling(escapes)
        last = min(escapes, key=lambda e: e.delta)
        escaped = sum(e.result == dynamics.Stop.ESCAPED for e in escapes)
        results[network.name] = {
            "degree": last.degree,
            "kkt_value": last.kkt_value,
            "slope": law.exponent,
            "slope_error": law.error,
            "predicted_slope": -(last.degree - 2),
            "escaped": escaped,
            "escapes": len(escapes),
            "evaluations": {f"{e.delta:.0e}": e.evaluations for e in escapes},
            "messages": sorted({e.message for e in escapes}),
        }
        rows.append(
            (
                network.title,
                str(last.degree),
                f"{last.kkt_value:.3g}",
                f"{escaped}/{len(escapes)}",
                f"{law.exponent:.4f}",
                f"{-(last.degree - 2)}",
                f"{last.cosine_at_escape:.4f}",
                f"{1 - last.best_cosine:.0e}",
                ", ".join(dict.fromkeys(e.method for e in escapes)),
                f"{last.evaluations}",
            )
        )
        run.save_figure(plots.plot_escape(escapes, title=network.title), network.name)
    times = plots.plot_escape_times({network.title: escapes for network, escapes in done.items()})
    run.save_figure(times, "escape_times")
    run.save_results({}, results)
    runs.print_table(
        "Saddle escape (last columns at the smallest delta)",
        (
            "network",
            "q",
            "N*",
            "escaped",
            "slope",
            "predicted",
            "cos at escape",
            "1 - best cos",
            "methods",
            "gradients",
        ),
        rows,
    )
    print(f"results and figures: {run.path}")


if __name__ == "__main__":
    sys.exit(runs.script(main, Config, PRESETS, description=__doc__))
