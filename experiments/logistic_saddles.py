"""Saddles at infinity of the logistic loss: who escapes from them, by degree, size and margin.

Units that separate the data, beside one of size delta: a linear term beside an x^2 neuron (degree
1), coordinates of a diagonal network (degree 2), x^2 neurons (degree 3). Flows in rescaled time are
followed until the loss is `exp(-depth)`: beside degree 1 and 2 the tiny unit escapes, later the
smaller it is, above degree 2 it never does. Of degree two, random data: the exponent of growth
against `N* / gamma`, and the margin of one diagonal network, whose steps collapse for all delta.
A rerun with the same settings goes on where the last one stopped.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsjax import PolyLeakyReLU, data, diagnostics, dynamics, networks, plots, runs


@dataclass(frozen=True)
class Config:
    """Settings of the experiment."""

    preset: Literal["quick", "full"] = "quick"
    """Which set of defaults the other settings start from."""
    deltas: tuple[float, ...] = (1e-1, 1e-2, 1e-3)
    """Sizes of the tiny unit."""
    stairs: tuple[float, ...] = (1e-1, 1e-2, 1e-3)
    """Sizes of the tiny unit where the margin is shown."""
    depth: float = 1e6
    """`-log loss` to which flows are followed."""
    seeds: int = 6
    """Random data sets of degree two, of each kind."""
    samples: int = 12
    """Number of samples n."""
    dimension: int = 4
    """Number of inputs d."""
    size: float = 2.0
    """Norm of the separating units at the start."""
    seed: int = 0
    """First seed."""
    root: Path = field(default=Path("runs"), compare=False)
    """Where run folders go."""


PRESETS = {
    "quick": Config(),
    "full": Config(
        preset="full",
        deltas=(1e-1, 3e-2, 1e-2, 3e-3, 1e-3),
        stairs=(1e-1, 1e-2, 1e-3, 1e-4, 1e-5),
        seeds=20,
    ),
}

CASES = {
    "linear": "$D = 1$: linear term, $x^2$",
    "diagonal": "$D = 2$: diagonal",
    "squares": "$D = 3$: $x^2$ neurons",
}
"""Cases of the races."""
KINDS = ("diagonal", "signed squares")
"""Kinds of units of degree two."""
OTHERS = (0.3, 0.6, 1.0)
"""Sizes of the other coordinates of diagonal networks, in turns."""
NOTHING = 1e-100
"""A size that stays out of everything."""


class Point(NamedTuple):
    """One flow: what it shows, of which case or kind, with delta or a seed."""

    part: Literal["race", "exponent", "stairs"]
    case: str
    number: float


def name_of(each: Point) -> str:
    """Name of a cell."""
    return f"{each.part}-{each.case.replace(' ', '-')}-{each.number:g}"


def race(config: Config, case: str, delta: float) -> tuple[Any, Any, Any, Any]:
    """Units, start, and data of a race; the tiny unit comes last."""
    d, key = config.dimension, jax.random.key(config.seed)
    direction = jax.random.normal(jax.random.fold_in(key, 1), (1, d + 1))
    tiny = delta * direction / jnp.linalg.norm(direction)
    if case == "diagonal":
        x, y = jnp.array([[1.0, 2.0], [2.0, -0.5]]), jnp.ones((2, 1))
        weights = jnp.array([[config.size], [delta]]) * jnp.full((2, 2), math.sqrt(0.5))
        return networks.DiagonalUnits(), weights, x, y
    square = PolyLeakyReLU(2)
    if case == "linear":
        x, y = data.coordinate_classes(key, config.samples, d)
        weights = jnp.concatenate([config.size * jnp.eye(1, d + 1), tiny])
        return networks.TwoLayerUnits(square, skip=True), weights, x, y
    x, y = data.quadric_classes(key, config.samples, d)
    signs = jnp.array([[1.0], [-1.0]])
    balanced = jnp.concatenate([math.sqrt(2) * jnp.eye(2, d), signs], axis=1) / math.sqrt(3)
    weights = jnp.concatenate([config.size / math.sqrt(2) * balanced, tiny])
    return networks.TwoLayerUnits(square), weights, x, y


def classes(config: Config, kind: str, seed: int) -> tuple[Any, data.Labelled, int]:
    """Units of degree two, data, and how many units separate them."""
    key, shape = jax.random.key(seed), (config.samples, config.dimension)
    if kind == "diagonal":
        others = OTHERS[seed % len(OTHERS)]
        return networks.DiagonalUnits(), data.coordinate_classes(key, *shape, others=others), 1
    return networks.SignedSquares((1, -1, 1, -1)), data.quadric_classes(key, *shape), 2


def run_race(config: Config, case: str, delta: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """The flow of a race, and when the tiny unit adds a tenth of what the others do."""
    units, weights, x, y = race(config, case, delta)
    flow = dynamics.rescaled_flow(units, weights, x, y, depth=config.depth)
    sizes = flow.log_norms
    # What a unit adds to the outputs goes as its norm to the power of its degree.
    ratio = sizes[:, -1] * units.degrees(len(weights))[-1]
    ratio -= np.max(sizes[:, :-1], axis=1) * units.degrees(len(weights))[0]
    turned = np.linalg.norm(flow.directions[-1, -1] - flow.directions[0, -1])
    values = {
        "log_time": flow.when(flow.log_time, ratio, math.log(0.1)),
        "depth": math.exp(flow.when(np.log(np.maximum(flow.depth, 1e-9)), ratio, math.log(0.1))),
        "growth": math.exp(sizes[-1, -1] - sizes[0, -1]),
        "turned": float(turned),
        "pull": float(flow.tau[-1]),
        "steps": flow.steps,
        "message": flow.message,
    }
    return {"depth": flow.depth, "ratio": np.exp(ratio), "log_time": flow.log_time}, values


def run_exponent(config: Config, kind: str, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Exponent of the fastest tiny unit, `N* / gamma`, and the best margin."""
    units, (x, y), active = classes(config, kind, seed)
    if active == 1:
        shape, strong = (config.dimension, 2), jnp.ones((1, 2))
    else:
        shape, strong = (4, config.dimension), jnp.eye(2, config.dimension)
    tiny = NOTHING * jax.random.normal(jax.random.key(seed), shape)
    weights = tiny.at[:active].set(strong)
    flow = dynamics.rescaled_flow(units, weights, x, y, depth=config.depth)
    point = diagnostics.margin_point(units, flow.end, flow.dual[-1], x, y)
    pull = flow.dual[-1] * y[:, 0]
    value = float(units.dominant(x, pull)[0])
    # A coordinate that is there cannot be learned once more; a square can.
    tiny_value = float(units.dominant(x[:, active:], pull)[0]) if active == 1 else value
    slopes = flow.growth_exponents(config.depth / 30)[active:]
    return {}, {
        "margin": point.margin,
        "residual": point.residual,
        "dominant": value / point.margin,
        "predicted": tiny_value / point.margin,
        "measured": float(np.max(slopes)),
        "best": diagnostics.best_margin(units, x, y)[0] / point.margin,
        "steps": flow.steps,
        "message": flow.message,
    }


def run_stairs(config: Config, delta: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """Normalised margin of a diagonal network whose second coordinate is tiny."""
    x, y = stairs_data()
    weights = jnp.array([[1.0], [delta]]) * jnp.full((2, 2), math.sqrt(0.5))
    flow = dynamics.rescaled_flow(networks.DiagonalUnits(), weights, x, y, depth=config.depth)
    margin = flow.margin * np.exp(-2 * flow.log_size)
    values = {"margin": float(margin[-1]), "steps": flow.steps, "message": flow.message}
    return {"depth": flow.depth, "margin": margin}, values


def stairs_data() -> tuple[jax.Array, jax.Array]:
    """The first coordinate separates, the second helps: `N* / gamma = 3`, exponent one."""
    return jnp.array([[1.0, 3.0], [4.0, -0.5]]), jnp.ones((2, 1))


def compute(config: Config, each: Point) -> tuple[dict[str, Any], dict[str, Any]]:
    """The cell of a point."""
    if each.part == "race":
        return run_race(config, each.case, each.number)
    if each.part == "stairs":
        return run_stairs(config, each.number)
    return run_exponent(config, each.case, int(each.number))


def main(config: Config) -> Path:
    """Run the experiment; returns the run's folder."""
    runs.setup()
    with runs.refusals():
        for name in ("deltas", "stairs"):
            given = getattr(config, name)
            if not given or any(not 0 < delta < 1 for delta in given):
                raise ValueError(f"{name} must lie between 0 and 1, got {given}")
        if config.seeds < 1:
            raise ValueError(f"seeds must be at least 1, got {config.seeds}")
    points = [
        *(Point("race", case, delta) for case in CASES for delta in config.deltas),
        *(Point("exponent", kind, config.seed + s) for kind in KINDS for s in range(config.seeds)),
        *(Point("stairs", "diagonal", delta) for delta in config.stairs),
    ]
    with runs.open_run(config.root, "logistic_saddles", config, seed=config.seed) as run:
        done = {
            each: (arrays, values)
            for each, arrays, values in run.sweep(
                points, name_of, lambda each: compute(config, each), description="flows"
            )
        }
        summarise(run, done)
    return run.path


def summarise(run: runs.Run, done: dict[Point, tuple[dict[str, Any], dict[str, Any]]]) -> None:
    """Tables, results and figures."""
    races: dict[str, Any] = {title: {} for title in CASES.values()}
    rows, results = [], {}
    for each, (arrays, values) in done.items():
        results[name_of(each)] = values
        if each.part == "race":
            races[CASES[each.case]][each.number] = (arrays["depth"], arrays["ratio"])
            numbers = [values[key] for key in ("depth", "growth", "turned", "pull")]
            rows.append((each.case, f"{each.number:g}", *(f"{v:.3g}" for v in numbers)))
    runs.print_table(
        "races: -log loss where the tiny unit adds a tenth of the others, and at the end its "
        "growth, how far its direction turned, and the pull in all",
        ("case", "delta", "escape", "growth", "turned", "pull"),
        rows,
    )
    groups, table = {}, []
    for kind in KINDS:
        found = [
            (p.number, v) for p, (_, v) in done.items() if (p.part, p.case) == ("exponent", kind)
        ]
        groups[kind] = ([v["predicted"] for _, v in found], [v["measured"] for _, v in found])
        table += [
            (
                kind,
                f"{s:g}",
                *(f"{v[k]:.4g}" for k in ("dominant", "predicted", "measured", "best", "residual")),
            )
            for s, v in found
        ]
    runs.print_table(
        "degree two: N* / gamma of all units and of those not there yet, exponent of the fastest "
        "tiny unit, best margin / gamma",
        ("units", "seed", "N*/gamma", "tiny", "exponent", "best/gamma", "KKT residual"),
        table,
    )
    x, y = stairs_data()
    units = networks.DiagonalUnits()
    levels = [diagnostics.best_margin(units, x[:, :k], y)[0] for k in range(1, x.shape[1] + 1)]
    courses = {
        each.number: (arrays["depth"], arrays["margin"])
        for each, (arrays, _) in done.items()
        if each.part == "stairs"
    }
    runs.print_table(
        f"stairs: margin at the end; levels {', '.join(f'{level:.4f}' for level in levels)}",
        ("delta", "margin"),
        [(f"{delta:g}", f"{margins[-1]:.4f}") for delta, (_, margins) in courses.items()],
    )
    run.save_results({}, {**results, "levels": levels})
    run.save_figure(plots.plot_races(races), "races")
    run.save_figure(plots.plot_escape_exponents(groups), "exponents")
    run.save_figure(plots.plot_margins(courses, levels), "margins")
    print(f"results and figures: {run.path}")


if __name__ == "__main__":
    sys.exit(runs.script(main, Config, PRESETS, description=__doc__))
