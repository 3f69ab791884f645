"""Dense orbits: how deep a fixed layer must be iterated to fit K targets within eps.

Super-super-expressiveness at finite depth. Unimodal maps of [0, 1] of a task-driven neuron and an
activation are iterated from encodings that are fixed before the targets are drawn. Shows their
Lyapunov exponents and invariant densities; the smallest depth that fits K targets at once within
eps, beside its prediction from the invariant density; the error that a budget of depth leaves; and
what orbits in float64 make of it. `python -m theory_checks dense_orbits` puts the claims to the
test. A rerun with the same settings goes on where the last one stopped.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsjax import diagnostics, plots, runs
from nsjax.neuronseek import orbits
from nsjax.plots.style import grid

DRAWN = ("tent", "logistic", "sine", "sigmoid")
"""Maps whose densities and laws have a panel, of those that run."""
CELLS = 64
"""Cells of densities and partitions."""


@dataclass(frozen=True)
class Config:
    """Settings of the experiment."""

    preset: Literal["quick", "full"] = "quick"
    """Which set of defaults the other settings start from."""
    maps: tuple[str, ...] = DRAWN
    """Names of maps, of `orbits.MAPS`."""
    points: tuple[int, ...] = (1, 2, 3)
    """Numbers K of points fitted at once."""
    budget_points: tuple[int, ...] = (1, 2, 3, 4, 6, 10)
    """Numbers K of points whose error is measured, on orbits of the tent map."""
    steps: int = 2**17
    """Depth of the orbits."""
    sets: int = 4
    """Sets of encodings for each law."""
    targets: int = 64
    """Sets of targets for each set of encodings."""
    seed: int = 0
    """Seed of encodings and targets."""
    root: Path = field(default=Path("runs"))
    """Folder of all runs."""


PRESETS = {
    "quick": Config(),
    "full": Config(preset="full", maps=tuple(orbits.MAPS), steps=2**20, sets=8),
}


class Point(NamedTuple):
    """A law: K points on orbits of a map."""

    name: str
    k: int


def key_of(config: Config, name: str, k: int = 0) -> jax.Array:
    """A key for a map and a number of points that does not depend on what else runs."""
    return jax.random.fold_in(
        jax.random.fold_in(jax.random.key(config.seed), tuple(orbits.MAPS).index(name)), k
    )


def describe(config: Config, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Exponent, density and mixing of a map."""
    T, shape = orbits.MAPS[name], orbits.shape(orbits.MAPS[name])
    orbit = orbits.draw_orbits(key_of(config, name), name, 1, config.steps)[0]
    lyapunov = orbits.lyapunov(T, jnp.asarray(orbit))
    matrix = orbits.transitions(T, CELLS)
    cdf = orbits.invariant_cdf(key_of(config, name, 999), name)
    arrays = {
        "shares": orbits.cell_masses(orbit, CELLS),
        "mixing": orbits.mixing(matrix, 30),
        "cdf": np.asarray(cdf(np.linspace(0, 1, CELLS + 1))),
    }
    values = {
        "slope": shape.slope,
        "schwarzian": shape.schwarzian,
        "dense": shape.dense,
        "exponent": lyapunov.exponent,
        "error": lyapunov.error,
    }
    return arrays, values


def fit(config: Config, point: Point) -> tuple[dict[str, Any], dict[str, Any]]:
    """First visits of K points, fitted and predicted."""
    key, cdf_key = jax.random.split(key_of(config, point.name, point.k))
    eps = orbits.scales(point.k, config.steps)
    found = orbits.trials(
        key,
        point.name,
        point.k,
        steps=config.steps,
        eps=eps,
        sets=config.sets,
        targets=config.targets,
    )
    cdf = orbits.invariant_cdf(cdf_key, point.name)
    predicted = orbits.predicted_median(orbits.masses(cdf, found.targets, eps))
    law = orbits.depth_law(found.depths, eps)
    ratio = float(np.exp(np.mean(np.log(law.medians / predicted))))
    arrays = {"eps": eps, "depths": found.depths, "predicted": predicted}
    slope = diagnostics.power_law(1 / eps, predicted).exponent
    values = {"medians": law.medians.tolist(), "ratio": ratio, "predicted_exponent": slope}
    return arrays, law._asdict() | values


def spend(config: Config, k: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The error that a budget of depth leaves."""
    budgets = 2 ** np.arange(5, int(np.log2(config.steps)) + 1)
    found = orbits.trials(
        key_of(config, "tent", 100 + k),
        "tent",
        k,
        steps=config.steps,
        budgets=budgets,
        sets=config.sets,
        targets=config.targets,
    )
    law = orbits.error_law(found.errors, budgets)
    predicted = orbits.predicted_errors(orbits.uniform, found.targets, budgets)
    slope = diagnostics.power_law(budgets, predicted).exponent
    values = {**law._asdict(), "medians": law.medians.tolist(), "predicted_exponent": slope}
    return {"budgets": budgets, "errors": found.errors, "predicted": predicted}, values


def round_off(config: Config) -> tuple[dict[str, Any], dict[str, Any]]:
    """Orbits in float64 beside the exact ones."""
    steps = 100
    words = orbits.random_words(key_of(config, "logistic", 200), steps, count=256)
    arrays, values = {}, {}
    for name, exact in (
        ("tent", orbits.tent_orbits(words, steps)),
        ("logistic", orbits.logistic_orbits(words, steps)),
    ):
        starts = jnp.asarray(exact[:, 0])
        rounded = np.asarray(orbits.float_orbits(orbits.MAPS[name], starts, steps, inside=False))
        arrays[name] = np.abs(rounded - exact)
        horizons = [orbits.horizon(*pair) for pair in zip(rounded, exact, strict=True)]
        values[name] = {
            "horizon": [float(q) for q in np.quantile(horizons, (0, 0.5, 1))],
            "at_zero": float(np.mean(rounded[:, -1] == 0)),
        }
    eps = 0.25 * 2.0 ** -np.arange(0, 13)
    arrays["same"] = orbits.same_depth(
        key_of(config, "logistic", 201), steps=min(config.steps, 2**17), eps=eps
    )
    arrays["depths"] = np.log(2) / (2 * eps)
    return arrays, values


def main(config: Config) -> Path:
    """Run the experiment; returns the run's folder."""
    runs.setup()
    with runs.refusals():
        if not (config.maps and config.points and config.budget_points):
            raise ValueError("there must be at least one of maps, points and budget-points")
        runs.among("maps", config.maps, orbits.MAPS)
        orbits.scales(max(config.points), config.steps)
    with runs.open_run(config.root, "dense_orbits", config, seed=config.seed) as run:
        maps = {
            name: (arrays, values)
            for name, arrays, values in run.sweep(
                config.maps,
                lambda name: f"map-{name}",
                lambda name: describe(config, name),
                description="maps",
            )
        }
        laws = {
            point: (arrays, values)
            for point, arrays, values in run.sweep(
                [Point(name, k) for name in config.maps for k in config.points],
                lambda point: f"depth-{point.name}-K{point.k}",
                lambda point: fit(config, point),
                description="depth laws",
            )
        }
        budgets = {
            k: (arrays, values)
            for k, arrays, values in run.sweep(
                config.budget_points,
                lambda k: f"budget-K{k}",
                lambda k: spend(config, k),
                description="budgets",
            )
        }
        rounding = run.once("rounding", lambda: round_off(config))
        summarise(run, config, maps, laws, budgets, rounding)
    return run.path


Found = tuple[dict[str, Any], dict[str, Any]]


def summarise(
    run: runs.Run,
    config: Config,
    maps: dict[str, Found],
    laws: dict[Point, Found],
    budgets: dict[int, Found],
    rounding: Found,
) -> None:
    """Tables, results and figures."""
    results = {
        "maps": {
            name: each | {"mixing": arrays["mixing"].tolist()}
            for name, (arrays, each) in maps.items()
        },
        "depth": {f"{p.name}-K{p.k}": each for p, (_, each) in laws.items()},
        "budget": {f"K{k}": each for k, (_, each) in budgets.items()},
        "rounding": rounding[1],
    }
    run.save_results({}, results)
    runs.print_table(
        "Maps; mixing is the total variation of the worst cell after 10 and 20 steps",
        ("map", "T'(0)", "Schwarzian", "theorem", "exponent", "over log 2", "mixing"),
        [
            (
                name,
                f"{v['slope']:.3g}",
                f"{v['schwarzian']:.3g}",
                "applies" if v["dense"] else "does not apply",
                f"{v['exponent']:.4f} +- {v['error']:.4f}",
                f"{v['exponent'] / np.log(2):.4f}",
                f"{a['mixing'][10]:.1e}, {a['mixing'][20]:.1e}",
            )
            for name, (a, v) in maps.items()
        ],
    )
    runs.print_table(
        "Exponent of the median smallest depth in 1/eps; ratio: depth over its prediction",
        ("map", "K", "exponent", "interval", "predicted", "decades", "ratio", "not over"),
        [
            (
                p.name,
                p.k,
                f"{v['exponent']:.3f}",
                f"{v['interval'][0]:.3f} to {v['interval'][1]:.3f}",
                f"{v['predicted_exponent']:.3f}",
                f"{v['decades']:.2f}",
                f"{v['ratio']:.3f}",
                f"{v['unfinished']:.0%}",
            )
            for p, (_, v) in laws.items()
        ],
    )
    runs.print_table(
        "Tent map: exponent of the median error in the depth budget",
        (
            "K",
            "exponent",
            "interval",
            "predicted",
            "-1/K",
            "error at the largest budget",
            "predicted",
        ),
        [
            (
                k,
                f"{v['exponent']:.4f}",
                f"{v['interval'][0]:.4f} to {v['interval'][1]:.4f}",
                f"{v['predicted_exponent']:.4f}",
                f"{-1 / k:.4f}",
                f"{v['medians'][-1]:.3g}",
                f"{a['predicted'][-1]:.3g}",
            )
            for k, (a, v) in budgets.items()
        ],
    )
    runs.print_table(
        "Steps until an orbit in float64 is 0.01 from the exact one; share at 0 after 100 steps",
        ("map", "least", "median", "most", "at 0"),
        [
            (name, *(f"{h:g}" for h in each["horizon"]), f"{each['at_zero']:.0%}")
            for name, each in rounding[1].items()
        ],
    )
    drawn = [name for name in DRAWN if name in config.maps] or list(config.maps[:4])
    figure, panels = grid(1, len(drawn), panel=(2.7, 2.4))
    for panel, name in zip(panels[0], drawn, strict=True):
        law = {k: laws[Point(name, k)][0] for k in config.points}
        parts = ({k: a[what] for k, a in law.items()} for what in ("eps", "depths", "predicted"))
        plots.plot_depth_law(*parts, title=name, ax=panel)
    run.save_figure(figure, "depth")
    figure, panels = grid(1, len(drawn), panel=(2.7, 2.2))
    for panel, name in zip(panels[0], drawn, strict=True):
        arrays, _ = maps[name]
        closed = {"tent": orbits.uniform, "logistic": orbits.arcsine}.get(name)
        fine = closed(np.linspace(0, 1, 8 * CELLS + 1)) if closed else None
        title = {"tent": "1", "logistic": r"$1 / \pi \sqrt{x (1 - x)}$"}.get(name, "")
        plots.plot_invariant_density(
            arrays["shares"], fine, truth=title, label=f"{config.steps} steps", title=name, ax=panel
        )
        panel.set_ylim(0, 5)
    run.save_figure(figure, "density")
    figure, panels = grid(1, 3, panel=(3.0, 2.5))
    parts = ({k: a[what] for k, (a, _) in budgets.items()} for what in ("errors", "predicted"))
    steps = next(iter(budgets.values()))[0]["budgets"]
    plots.plot_error_budget(steps, *parts, title="tent", ax=panels[0, 0])
    arrays, _ = rounding
    gaps = {name: arrays[name] for name in ("tent", "logistic")}
    plots.plot_rounding(gaps, ax=panels[0, 1])
    plots.plot_same_depth(arrays["depths"], arrays["same"], label="logistic", ax=panels[0, 2])
    run.save_figure(figure, "budget")
    print(f"results and figures: {run.path}")


if __name__ == "__main__":
    sys.exit(runs.script(main, Config, PRESETS, description=__doc__))
