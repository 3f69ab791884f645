"""Pruning rules: how often training with each of them finds the terms that made the data.

A CP-polynomial neuron with powers 1 to 3 and several interactions of orders 2 and 3 is trained on
polynomials of known terms, without noise, and pruned: by the threshold of NeuronSeek (arXiv
2506.15715) on the one coefficient of an order, as it was published, or on that of a term with its
gauge fixed; by what terms contribute to the outputs; by L0 gates; by a group lasso; by a ridge
penalty and thresholds in turn; and not at all. Of each rule the penalty of a small grid counts that
finds most structures, and says so. Beside them stands the search over candidate terms. Canonical
forms are compared: a structure is exact, or has all terms of the true one and more, or misses some;
a term is a power with all its weights, or one product. Two forms are taken, one without what adds
less than a share of the variance, which prunes by itself, and one that leaves out rounding alone
and shows what the rule has left. A rerun goes on where it stopped.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from matplotlib.figure import Figure

from nsjax import data, neuronseek, plots, runs
from nsjax.networks import cp
from nsjax.neuronseek import Training, terms
from nsjax.neuronseek.recovery import true_formula

KINDS = ("exact", "more", "missing")
AS_PRUNED = "exact as pruned"
"""Structures that are exact up to rounding, with all that the rule has left."""
ROUNDING = 1e-5
"""Numbers below this beside the largest of their kind are rounding of single precision."""
PURSUIT = "candidates"
"""Name of the search over candidate terms."""


class Rule(NamedTuple):
    """A rule with the penalties that are tried."""

    config: Training
    field: str
    grid: tuple[float, ...]


_PAPER = Training()
_FIXED = replace(_PAPER, grouping="term", gauge="fixed")
_L1 = (1e-4, 1e-3, 1e-2)
RULES = {
    "nothing is pruned": Rule(replace(_FIXED, threshold=0.0), "lam", (0.0, 1e-4, 1e-3)),
    "paper: C by order, gauge free": Rule(_PAPER, "lam", _L1),
    "C, mean - std": Rule(_FIXED, "lam", _L1),
    "C, mean": Rule(replace(_FIXED, threshold="mean"), "lam", _L1),
    "contribution, mean - std": Rule(replace(_PAPER, rule="contribution"), "lam", _L1),
    "contribution, mean": Rule(replace(_PAPER, rule="contribution", threshold="mean"), "lam", _L1),
    "hard-concrete gates": Rule(
        replace(_PAPER, rule="hard_concrete"), "penalty", (0.01, 0.03, 0.1)
    ),
    "group lasso": Rule(replace(_PAPER, rule="group_lasso"), "penalty", (0.1, 0.3, 1.0)),
    "ridge and thresholds": Rule(replace(_PAPER, rule="stridge"), "penalty", (1e-3, 1e-2, 3e-2)),
}


@dataclass(frozen=True)
class Config:
    """Settings of the comparison of pruning rules."""

    preset: Literal["quick", "full"] = "quick"
    """Which set of defaults the other settings start from."""
    rules: tuple[str, ...] = (*RULES, PURSUIT)
    """Rules that are compared."""
    targets: tuple[str, ...] = ("sparse", "low-rank", "dense")
    """Polynomials, names of `data.POLYNOMIALS`."""
    dimensions: tuple[int, ...] = (5, 10)
    """Input dimensions d."""
    samples: int = 1000
    """Training samples."""
    test: int = 1000
    """Fresh samples for the test error."""
    noise: float = 0.0
    """Noise of the targets, as a share of their standard deviation."""
    seeds: int = 2
    """Seeds of data, starts and shuffling."""
    rank: int = 5
    """Products of each order to begin with."""
    epochs: int = 300
    """Epochs before terms are pruned."""
    refit_epochs: int = 100
    """Epochs afterwards."""
    dtype: Literal["float32", "float64"] = "float32"
    """Precision of the training."""
    share: float = 1e-6
    """Share of the outputs' variance below which a part of what was found does not count."""
    seed: int = 0
    """First seed."""
    root: Path = field(default=Path("runs"), compare=False)
    """Where run folders go."""


PRESETS = {"quick": Config(), "full": Config(preset="full", seeds=10)}


class Point(NamedTuple):
    """One data set and one rule."""

    rule: str
    target: str
    dimension: int
    seed: int


def points(config: Config) -> list[Point]:
    return [
        Point(rule, target, d, seed)
        for rule in config.rules
        for d in config.dimensions
        for target in config.targets
        for seed in range(config.seed, config.seed + config.seeds)
    ]


def settings(config: Config, rule: str) -> dict[str, Any]:
    """Settings of every penalty that is tried."""
    if rule == PURSUIT:
        return {"-": None}
    base, name, grid = RULES[rule]
    base = replace(
        base,
        template=cp.Template(rank=config.rank),
        epochs=config.epochs,
        refit_epochs=config.refit_epochs,
        dtype=config.dtype,
    )
    names = ("lam_c", "lam_u") if name == "lam" else (name,)
    changes: list[dict[str, Any]] = [dict.fromkeys(names, value) for value in grid]
    return {f"{v:g}": replace(base, **change) for v, change in zip(grid, changes, strict=True)}


def kind(found: Counter[str], truth: Counter[str]) -> str:
    """What a structure is, beside the true one.

    >>> kind(Counter(x=1, I2=2), Counter(x=1, I2=1)), kind(Counter(x=1, I3=1), Counter(x=1, I2=1))
    ('more', 'missing')
    """
    if truth - found:
        return "missing"
    return "more" if found - truth else "exact"


def examine(config: Config, point: Point) -> dict[str, Any]:
    """One search for every penalty, on one data set."""
    keys = jax.random.split(jax.random.fold_in(jax.random.key(point.seed), point.dimension))
    task = data.polynomial_task(
        keys[0],
        point.target,
        config.samples + config.test,
        point.dimension,
        noise=config.noise,
    )
    n = config.samples
    truth = terms.counts(true_formula(task.truth).canonical(tol=ROUNDING).neuron)
    found = {}
    for name, each in settings(config, point.rule).items():
        begun = time.process_time()
        result = neuronseek.search(
            keys[1], task.x[:n], task.y[:n], config=each, test=(task.x[n:], task.clean[n:])
        )
        least = result.formula.canonical(x=task.x[:n], share=config.share)
        kept = terms.counts(least.neuron)
        found[name] = {
            "kind": kind(kept, truth),
            "as_pruned": kind(terms.counts(result.formula.canonical(tol=ROUNDING).neuron), truth),
            "terms": dict(kept),
            "extra": sum((kept - truth).values()),
            "missing": sum((truth - kept).values()),
            "test_error": result.test_error,
            "warnings": list(result.warnings),
            "seconds": time.process_time() - begun,
        }
    return found


def summarise(config: Config, done: dict[Point, dict[str, Any]]) -> dict[str, Any]:
    """Of every rule its best penalty, and for every target the kinds of structures with it."""
    summary = {}
    for rule in config.rules:
        mine = {point: found for point, found in done.items() if point.rule == rule}

        def score(name: str, mine: dict = mine) -> tuple[float, ...]:
            members = [found[name] for found in mine.values()]
            exact = (
                sum(member[form] == "exact" for member in members) for form in ("kind", "as_pruned")
            )
            return *exact, -float(np.median([member["test_error"] for member in members]))

        best = max(next(iter(mine.values())), key=score)
        rows = {}
        for d in config.dimensions:
            for target in config.targets:
                members = [
                    found[best]
                    for point, found in mine.items()
                    if (point.target, point.dimension) == (target, d)
                ]
                errors = [member["test_error"] for member in members]
                rows[f"{target}, d = {d}"] = {
                    **{k: sum(member["kind"] == k for member in members) for k in KINDS},
                    AS_PRUNED: sum(member["as_pruned"] == "exact" for member in members),
                    "extra": float(np.mean([member["extra"] for member in members])),
                    "missing terms": float(np.mean([member["missing"] for member in members])),
                    "median error": float(np.median(errors)),
                    "worst error": float(np.max(errors)),
                    "seconds": float(np.median([member["seconds"] for member in members])),
                }
        summary[rule] = {"penalty": best, "targets": rows}
    return summary


def draw(config: Config, summary: dict[str, Any]) -> Figure:
    """Shares of exact structures, of those with more terms, and of those that miss some."""
    names = [f"{target}, d = {d}" for d in config.dimensions for target in config.targets]
    panels = {
        name.replace(", ", "\n"): {
            rule: [row["targets"][name][key] / config.seeds for key in (*KINDS, AS_PRUNED)]
            for rule, row in summary.items()
        }
        for name in names
    }
    labels = (f"exact above {config.share:g}", "all terms and more", "terms missing", AS_PRUNED)
    return plots.plot_structures(panels, labels=labels)


def name_of(point: Point) -> str:
    """Name of the cell of a point."""
    place = "".join(c if c.isalnum() else "-" for c in point.rule)
    return f"{place}-{point.target}-d{point.dimension}-s{point.seed}"


def main(config: Config) -> Path:
    """Run the experiment; returns the run's folder."""
    runs.setup()
    with runs.refusals():
        runs.among("rules", config.rules, (*RULES, PURSUIT))
        runs.among("targets", config.targets, data.POLYNOMIALS)
    with runs.open_run(config.root, "pruning_rules", config, seed=config.seed) as run:
        done = {}
        for point, _, values in run.sweep(
            points(config),
            name_of,
            lambda each: ({}, examine(config, each)),
            description="searches",
        ):
            done[point] = values
        summary = summarise(config, done)
        run.save_results({}, {"summary": summary})
        run.save_figure(draw(config, summary), "pruning-rules")
        runs.print_table(
            f"Structures found above {config.share:g} of the variance, {config.seeds} seeds, n = "
            f"{config.samples}, noise {config.noise:g} ({AS_PRUNED}: up to rounding alone; terms "
            "too many and missing: means; CPU seconds: medians over all seeds, compilation in the "
            "first)",
            (
                "rule",
                "penalty",
                "target",
                *("exact", "more", "missing", AS_PRUNED),
                "terms too many",
                "terms missing",
                "test error: median",
                "worst",
                "CPU s",
            ),
            [
                (rule, row["penalty"], name, *found.values())
                for rule, row in summary.items()
                for name, found in row["targets"].items()
            ],
        )
        print("penalty: the one of these that gave most exact structures, over all targets:")
        for rule in config.rules:
            print(f"  {rule}: {', '.join(settings(config, rule))}")
        print(f"results and figures: {run.path}")
    return run.path


if __name__ == "__main__":
    sys.exit(runs.script(main, Config, PRESETS, description=__doc__))
