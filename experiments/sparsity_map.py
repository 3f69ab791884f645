"""Map of kept sparsity: over hundreds of cascades, how often the others stay small, where not.

Neuron pursuit (arXiv 2509.12154) observes in section 4, and does not prove, that after the escape
from a saddle the neurons that were zero stay near zero until the next one. Here cascades of many
kinds of data, networks and seeds are followed from several norms delta, and every escape is put
into a class: kept, or the way in which it breaks. What is known when a flow leaves a saddle, the
largest rate of growth of another neuron over the winner's, says which escapes break; and the rates
at the smallest delta, rescaled, say how often that is so at the others.

Controls, which must break: linear networks, starts with every neuron twice, starts as large as a
cascade can have. Three layers, which take longer, are a preset of their own, `deep`. A rerun, or
`--resume`, goes on with the cascades that are not there.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import nsjax
from nsjax import data, diagnostics, dynamics, networks, plots, runs


class Family(NamedTuple):
    """One kind of data and network.

    Attributes:
        depth, p: layers, and degree of the activation x^p.
        data: "teacher", "sparse-..." or "tied".
        dimension, width: input dimension, and hidden neurons of every hidden layer.
        gap: of the tied coefficients.
        start: "random", "twins" (every neuron twice) or "large" (half the threshold).
    """

    depth: int
    p: int
    data: str = "teacher"
    dimension: int = 4
    width: int = 6
    gap: float = 0.0
    start: Literal["random", "twins", "large"] = "random"

    @property
    def deltas(self) -> str:
        """Which setting of the config holds its norms."""
        return "large" if self.start == "large" else "deep" if self.depth > 2 else f"p{self.p}"


FAMILIES = {
    "teacher": Family(2, 2),
    "wide": Family(2, 2, width=8),
    "dimension-6": Family(2, 2, dimension=6),
    "sparse": Family(2, 2, "sparse-f3", dimension=4),
    "tied": Family(2, 2, "tied"),
    "near": Family(2, 2, "tied", gap=0.03),
    "cubic": Family(2, 3),
    "cubic-tied": Family(2, 3, "tied"),
    "cubic-near": Family(2, 3, "tied", gap=0.03),
    "deep": Family(3, 2),
    "deep-sparse": Family(3, 2, "sparse-f2"),
}
"""The families of the map."""
CONTROLS = {
    "linear": Family(2, 1),
    "twins": Family(2, 2, start="twins"),
    "large": Family(2, 2, start="large"),
}
"""Families that must break."""
WIDTHS = {2: 8, 3: 6}
"""Hidden neurons that networks of a depth are filled up to, with zeros, to share one program."""
MAX_STEPS = {2: 200_000, 3: 20_000}
"""Bound on the steps of the plain flow by depth: a flat valley of three layers may keep one."""
INPUTS, SAMPLES, OUTPUTS = 6, 64, 1
"""Inputs they are filled up to; samples; outputs."""
TEACHER, TERMS = 3, 2
"""Neurons of a teacher in each hidden layer, and terms of a tied target."""


@dataclass(frozen=True)
class Config:
    """Settings of the map."""

    preset: Literal["quick", "full", "deep"] = "quick"
    """Which set of defaults the other settings start from."""
    families: tuple[str, ...] = ("teacher", "tied")
    """Families of the map."""
    controls: tuple[str, ...] = ("twins", "large")
    """Families of control."""
    p1: tuple[float, ...] = (1e-4,)
    """Norms delta of the start of two-layer networks with p = 1."""
    p2: tuple[float, ...] = (1e-2, 1e-4)
    """The same for p = 2."""
    p3: tuple[float, ...] = (1e-2,)
    """The same for p = 3."""
    deep: tuple[float, ...] = (1e-2,)
    """The same for three layers."""
    twins: float = 1e-4
    """Delta of the twins."""
    large: float = 0.5
    """Delta of the large start, in units of the threshold; at most a half."""
    seeds: int = 3
    """Seeds of data and start of a two-layer family with p = 2; half as many for the others."""
    factor: float = 1.1
    """Growth from departure to landing that still counts as staying small."""
    starts: int = 32
    """Starts of the KKT search at every saddle."""
    seed: int = 0
    """First seed."""
    root: Path = field(default=Path("runs"), compare=False)
    """Where run folders go."""


PRESETS = {
    "quick": Config(),
    "full": Config(
        preset="full",
        families=tuple(name for name, family in FAMILIES.items() if family.depth == 2),
        controls=tuple(CONTROLS),
        p2=(3e-2, 1e-2, 1e-3, 1e-4, 1e-6),
        p3=(5e-2, 2e-2, 1e-2, 1e-3),
        seeds=8,
    ),
    "deep": Config(
        preset="deep", families=("deep",), controls=(), deep=(1e-2, 3e-3, 1e-3), seeds=8
    ),
}
COLUMNS = diagnostics.Departures._fields
RULES = "below", "above", "found", "bounded"


class Point(NamedTuple):
    """One cascade: name of a family, delta (of the large start a share), and seed."""

    family: str
    delta: float
    seed: int


def points(config: Config) -> list[Point]:
    """Every cascade, seed by seed, so that what is done of an unfinished sweep is balanced.

    Those of three layers come last: one takes as long as ten others.
    """
    found = []
    for seed in range(config.seeds):
        for name in (*config.families, *config.controls):
            family = family_of(name)
            many = (family.depth, family.p) == (2, 2)
            deltas = (config.twins,) if name == "twins" else getattr(config, family.deltas)
            deltas = (deltas,) if isinstance(deltas, float) else deltas
            if many or 2 * seed < config.seeds:
                found += [Point(name, delta, config.seed + seed) for delta in deltas]
    return sorted(found, key=lambda point: family_of(point.family).depth)


def family_of(name: str) -> Family:
    """A family or a control."""
    known = FAMILIES | CONTROLS
    runs.among("families and controls", (name,), known)
    return known[name]


def prepare(name: str, seed: int) -> tuple[Any, jax.Array, jax.Array, nsjax.PolyLeakyReLU]:
    """Direction of the start, data, and activation, filled up with zeros to common shapes."""
    family = family_of(name)
    keys = jax.random.split(jax.random.key(seed), 3)
    activation = nsjax.PolyLeakyReLU(family.p, 1.0)
    dimension = family.dimension
    if family.data == "teacher":
        x = data.sphere(keys[0], SAMPLES, dimension)
        hidden = (TEACHER,) * (family.depth - 1)
        y = networks.teacher_targets(keys[1], x, activation, hidden=hidden, outputs=OUTPUTS)
    elif family.data == "tied":
        orbits = SAMPLES // (dimension * 2 ** (dimension - 1))
        x, y = data.tied_task(
            keys[0], orbits, dimension, degree=family.p, terms=TERMS, gap=family.gap
        )
    else:
        x, y = data.sparse_task(keys[0], family.data, SAMPLES, dimension)
    width, depth = family.width, family.depth
    start: tuple[jax.Array, ...]
    if family.start == "twins":
        half = networks.init(keys[2], (x.shape[1], width // 2, OUTPUTS))
        start = (jnp.repeat(half[0], 2, axis=0), jnp.repeat(half[1], 2, axis=1))
    else:
        start = networks.init(keys[2], (x.shape[1], *(width,) * (depth - 1), OUTPUTS))
    start = networks.pad(start, (INPUTS, *(WIDTHS[depth],) * (depth - 1), OUTPUTS))
    return start, jnp.pad(x, ((0, 0), (0, INPUTS - x.shape[1]))), y, activation


def follow(config: Config, point: Point) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arrays and values of one cascade, as stored."""
    start, x, y, activation = prepare(point.family, point.seed)
    options: dict[str, Any] = {
        "starts": config.starts,
        "key": jax.random.key(point.seed),
        "max_steps": MAX_STEPS[family_of(point.family).depth],
    }
    delta = point.delta
    if family_of(point.family).start == "large":
        small = dynamics.cascade(start, x, y, activation, delta=1e-4, max_visits=1, **options)
        delta *= small.threshold
    try:
        found = dynamics.cascade(start, x, y, activation, delta=delta, snapshots=True, **options)
    except ValueError as error:
        # Of some data the threshold is so low that this delta is not small.
        return {}, {"resolved": False, "skipped": 0, "message": str(error), "delta": delta}
    visits = [v for v in found.visits if v.saddle.stop is not dynamics.Stop.NOT_A_SADDLE]
    resolved = found.result == dynamics.Stop.MINIMUM
    arrays = {}
    if visits:
        arrays = diagnostics.departures(found, visits, x, y, activation)._asdict()
    return arrays, {
        "resolved": bool(resolved),
        "skipped": len(found.visits) - len(visits),
        "message": found.message,
        "method": found.method,
        "delta": delta,
        "threshold": found.threshold,
        "gradients": found.stats.gradients,
    }


def name_of(point: Point) -> str:
    """Name of the cell of a point."""
    return f"{point.family}-delta{point.delta:g}-seed{point.seed}"


def main(config: Config) -> Path:
    """Run the experiment; returns the run's folder."""
    runs.setup()
    with runs.refusals():
        if config.seeds < 1:
            raise ValueError(f"seeds must be at least 1, got {config.seeds}")
        diagnostics.critical_rate(config.factor, 3, 0.1)
        every = points(config)
        if not every:
            raise ValueError("there must be a family with a delta")
    with runs.open_run(config.root, "sparsity_map", config, seed=config.seed) as run:
        done: dict[tuple[str, float], list[Any]] = {}
        for point, *cell in run.sweep(
            every, name_of, lambda point: follow(config, point), description="cascades"
        ):
            done.setdefault((point.family, point.delta), []).append(tuple(cell))
        summarise(run, config, done)
    return run.path


def joined(
    config: Config, cells: Sequence[Any]
) -> tuple[diagnostics.Departures, list[str], list[bool], int]:
    """The escapes of small neurons in the cascades that were resolved, and their reasons.

    Then whether each of these cascades keeps sparsity at every one of them, and how many saddles
    were left by active neurons alone.
    """
    columns = {name: [np.zeros(0)] for name in COLUMNS}
    reasons, whole, others = [], [], 0
    for arrays, values in cells:
        if not (values["resolved"] and arrays):
            continue
        found = diagnostics.Departures(*(np.asarray(arrays[name]) for name in COLUMNS))
        why = diagnostics.break_reasons(found, factor=config.factor)
        escapes = np.array([reason != diagnostics.NOT_LEFT for reason in why], bool)
        for name, column in found._asdict().items():
            columns[name].append(column[escapes].astype(float))
        own = [reason for reason in why if reason != diagnostics.NOT_LEFT]
        reasons += own
        whole.append(all(reason == diagnostics.KEPT for reason in own))
        others += len(why) - len(own)
    every = diagnostics.Departures(*(np.concatenate(columns[name]) for name in COLUMNS))
    return every, reasons, whole, others


def summarise(run: runs.Run, config: Config, done: dict[tuple[str, float], list[Any]]) -> None:
    """Tables, results and figures."""
    rows: list[Any] = []
    why: list[Any] = []
    results: dict[str, Any] = {}
    curves: dict[str, list[tuple[float, ...]]] = {}
    for (name, delta), cells in done.items():
        found, reasons, whole, others = joined(config, cells)
        hold = [reason == diagnostics.KEPT for reason in reasons]
        smallest = min(d for n, d in done if n == name)
        reference, *_ = joined(config, done[name, smallest])
        expected = predicted(config, reference, delta / smallest)
        share, runs_kept = interval(hold), interval(whole)
        counts = {reason: reasons.count(reason) for reason in diagnostics.REASONS}
        results[f"{name}-{delta:g}"] = {
            "cascades": len(cells),
            "unresolved": len(cells) - len(whole),
            "skipped": sum(values["skipped"] for _, values in cells),
            "escapes": len(hold),
            "left_by_active": others,
            "kept": share,
            "cascades_kept": runs_kept,
            "predicted": expected,
            "reasons": counts,
            "growth": quantiles(found.growth),
            "rates": quantiles(found.rates),
        }
        if name in FAMILIES:
            curves.setdefault(name, []).append((delta, *share[:3], expected))
        head = name, f"{delta:g}"
        rows.append(
            (
                *head,
                f"{len(whole)} of {len(cells)}",
                len(hold),
                shown(share),
                f"{expected:.2f}",
                shown(runs_kept),
                " ".join(f"{value:.3g}" for value in quantiles(found.growth)),
            )
        )
        if any(counts.values()):
            why.append((*head, *(counts[reason] or "" for reason in diagnostics.REASONS)))
    runs.print_table(
        f"Sparsity kept (one new neuron, others grow at most {config.factor:g}-fold), with 95 % "
        "intervals of Wilson; predicted from the smallest delta of the family; growth: median, "
        "nine tenths, largest",
        (
            "family",
            "delta",
            "resolved",
            "escapes",
            "kept",
            "predicted",
            "cascades kept",
            "growth",
        ),
        rows,
    )
    results["together"] = together(config, done)
    runs.print_table(
        "All families of a depth and degree together",
        ("layers", "p", "delta", "escapes", "kept", "predicted"),
        [
            (*key.split(), each["escapes"], shown(each["kept"]), f"{each['predicted']:.3f}")
            for key, each in results["together"].items()
        ],
    )
    runs.print_table("Escapes that break", ("family", "delta", *diagnostics.REASONS), why)
    ruled = {
        part: rule(config, [cells for (name, _), cells in done.items() if name in names])
        for part, names in (("map", FAMILIES), ("controls", CONTROLS))
    }
    results["rule"] = ruled
    runs.print_table(
        "The rule, known at departure: an escape breaks if the largest rate of another neuron over "
        "the winner's is above the critical one",
        (
            "",
            "escapes",
            "below: kept",
            "above: broken",
            "broken that are above",
            "growth within the bound of the fall",
        ),
        [
            (part, each["escapes"], *(shown(each[key]) for key in RULES))
            for part, each in ruled.items()
        ],
    )
    run.save_results({}, results)
    draw(run, config, done, curves)
    print(f"results and figures: {run.path}")


def together(config: Config, done: dict[tuple[str, float], list[Any]]) -> dict[str, Any]:
    """Shares of all families of a depth and degree, by "depth p delta"."""
    groups: dict[tuple[int, int, float], list[Any]] = {}
    for (name, delta), cells in done.items():
        if name in FAMILIES:
            key = FAMILIES[name].depth, FAMILIES[name].p, delta
            groups.setdefault(key, []).extend(cells)
    found = {}
    for (depth, p, delta), cells in groups.items():
        smallest = min(d for *kind, d in groups if kind == [depth, p])
        reference, *_ = joined(config, groups[depth, p, smallest])
        _, reasons, *_ = joined(config, cells)
        found[f"{depth} {p} {delta:g}"] = {
            "escapes": len(reasons),
            "kept": interval([reason == diagnostics.KEPT for reason in reasons]),
            "predicted": predicted(config, reference, delta / smallest),
        }
    return found


def predicted(config: Config, reference: diagnostics.Departures, ratio: float) -> float:
    """Share of escapes kept at `ratio` times the delta of the reference."""
    if not len(reference.rates):
        return float("nan")
    rates = diagnostics.rescaled_rates(reference.rates, reference.degrees, ratio)
    breaks = diagnostics.predicted_breaks(rates, reference.degrees, factor=config.factor)
    return float(1 - np.mean(breaks))


def rule(config: Config, groups: Sequence[Any]) -> dict[str, Any]:
    """How the rule sorts the escapes of some cascades."""
    found, reasons, *_ = joined(config, [cell for cells in groups for cell in cells])
    broken = np.array([reason != diagnostics.KEPT for reason in reasons], bool)
    above = diagnostics.predicted_breaks(found.rates, found.degrees, factor=config.factor)
    return {
        "escapes": len(reasons),
        "below": interval(~broken[~above]),
        "above": interval(broken[above]),
        "found": interval(above[broken]),
        "bounded": interval(diagnostics.within_fall(found)),
    }


def interval(hits: Any) -> tuple[float, float, float, int]:
    """Share, its interval, and of how many."""
    return *diagnostics.share_interval(hits), len(hits)


def shown(share: tuple[float, float, float, int]) -> str:
    """A share with its interval."""
    value, low, high, count = share
    return f"{value:.2f} ({low:.2f}, {high:.2f})" if count else "-"


def quantiles(values: np.ndarray) -> list[float]:
    """Median, nine tenths, and the largest."""
    values = values[np.isfinite(values)]
    return np.quantile(values, (0.5, 0.9, 1)).tolist() if len(values) else []


def draw(
    run: runs.Run,
    config: Config,
    done: dict[tuple[str, float], list[Any]],
    curves: dict[str, list[tuple[float, ...]]],
) -> None:
    """Every figure."""
    panels: dict[str, dict[str, Any]] = {}
    for name, curve in curves.items():
        family = FAMILIES[name]
        title = f"{family.depth} layers, $x^{family.p}$"
        panels.setdefault(title, {})[name] = np.array(sorted(curve)).T
    if panels:
        run.save_figure(plots.plot_kept_shares(panels), "shares")
    groups = {}
    for names in (FAMILIES, CONTROLS):
        cells = [cell for (name, _), each in done.items() if name in names for cell in each]
        groups["map" if names is FAMILIES else "controls"] = joined(config, cells)[:2]
    found, reasons = groups["map"]
    if len(reasons):
        run.save_figure(plots.plot_rival_growth(found, reasons, factor=config.factor), "growth")
        run.save_figure(
            plots.plot_break_curve(
                {
                    name: (each.rates, np.array(why) != diagnostics.KEPT, each.degrees)
                    for name, (each, why) in groups.items()
                    if len(why)
                },
                factor=config.factor,
            ),
            "predictor",
        )


if __name__ == "__main__":
    sys.exit(runs.script(main, Config, PRESETS, description=__doc__))
