"""Dense orbits: one layer iterated m times fits K targets within eps, with m of order eps^-K.

Setting of super-super-expressiveness (NeuronSeek, arXiv 2506.15715). A task-driven neuron and a
common activation make a unimodal map T of [0, 1] onto itself; T^m is a network of depth m with the
parameters of one layer. If T is mixing for a measure with a density, almost all encodings
`x_1, ..., x_K`, drawn before any target is known, have a depth m with `|T^m(x_k) - y_k| < eps` for
all k, whatever the targets. A step hits at random with probability p, the measure of the box around
the targets, about `(2 eps)^K`: so the first visit is geometric, its median `log 2 / p`, and the
error that a budget of depth M leaves falls as `M^(-1/K)`.

Orbits of the tent and logistic map (`T(x) = 1 - |2x - 1|` of two ReLUs, `4x(1-x)` of one quadratic
neuron) are exact at any depth. Both have exponent log 2. Those of other maps are in float64, with
a rounding at each step: what holds of them is a measurement of such orbits, not of a given
encoding. mpmath orbits of the sine and sigmoid map, of some thousand steps, are checked beside.

Controls: orbits of the tent map in float64, and depths read off float64 orbits of the logistic map;
an attracting cycle; a neuron of order three that is onto and unimodal but has 0 attract all; a map
with dense orbits that is not mixing, for two points; encodings chosen with the targets in sight.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nsjax.diagnostics import power_law
from nsjax.neuronseek import orbits
from theory_checks.verdict import Row, Verdict


@dataclass(frozen=True)
class Config:
    """Settings of the check of dense orbits."""

    points: tuple[int, ...] = (1, 2, 3)
    """Numbers K of points fitted at once, on exact orbits."""
    steps: int = 2**20
    """Depth of the orbits."""
    sets: int = 8
    """Sets of encodings for each law."""
    targets: int = 64
    """Sets of targets for each set of encodings."""
    maps: tuple[str, ...] = ("cubic", "sine", "sigmoid", "tanh")
    """Maps whose orbits are in float64."""
    map_points: tuple[int, ...] = (1, 2)
    """Numbers K of points fitted at once on those."""
    precise: int = 3000
    """Steps of orbits with as many digits as they need."""
    precise_maps: tuple[str, ...] = ("sine", "sigmoid")
    """Maps with such orbits, beside the tent and logistic map."""
    tolerance: float = 0.05
    """Relative tolerance of fitted exponents."""
    cells: int = 64
    """Cells of the partition."""
    seed: int = 0
    """Seed of encodings and targets."""


LOG2 = float(np.log(2))
KOLMOGOROV = 1.95
"""Kolmogorov distance times sqrt R that one sample of a thousand exceeds."""
BANDS = orbits.tent(1.3)
"""Its attractor is two intervals that it swaps: dense orbits there, and no mixing."""
PHASES = (0.50, 0.62), (0.48, 0.52)
"""Encodings in different intervals of `BANDS`, and targets in the same one."""
SINK = orbits.NeuronMap(((0.0, 0.0, 27 / 4, -27 / 4),), "relu", 2 / 3)
"""`27/4 x^2 (1 - x)`: onto, unimodal, of order three, with T'(0) = 0."""


def check(config: Config) -> Verdict:
    """Check exponents, densities, mixing and the laws of the depth, map by map."""
    keys = dict(
        zip(
            orbits.MAPS,
            jax.random.split(jax.random.key(config.seed), len(orbits.MAPS)),
            strict=True,
        )
    )
    rows: list[Row] = []
    for name in ("tent", "logistic"):
        rows += _exact(config, name, keys[name])
    for name in config.maps:
        rows += _measured(config, name, keys[name])
    for name in config.precise_maps:
        rows += _precise(config, name, keys[name])
    statement = (
        "Encodings fixed beforehand fit K targets within eps at a depth that grows as eps^-K"
    )
    hypotheses = (
        "T is onto and unimodal, T'(0) > 1, and expands or has negative Schwarzian derivative",
        "T is mixing: a start in any cell of a partition is spread as the invariant measure",
    )
    return Verdict.of(statement, hypotheses, rows, _controls(config, jax.random.key(config.seed)))


def _shape(name: str) -> tuple[str, bool]:
    shape = orbits.shape(orbits.MAPS[name])
    return f"T'(0) = {shape.slope:.2f}, Schwarzian < {shape.schwarzian:.2g}", shape.dense


def _exact(config: Config, name: str, key: jax.Array) -> list[Row]:
    """The tent or the logistic map: everything is known, and orbits are exact."""
    T, (words_key, law_key) = orbits.MAPS[name], jax.random.split(key)
    said, met = _shape(name)
    words = orbits.random_words(words_key, config.precise)
    start = orbits.start_of(words[0])
    if name == "tent":
        slow = orbits.tent_fractions(start, config.precise)
        fast = orbits.tent_orbits(words, config.precise)[0]
    else:
        slow = orbits.as_floats(orbits.logistic_fractions(start, config.precise))
        fast = orbits.logistic_orbits(words, config.precise)[0]
    orbit = orbits.draw_orbits(words_key, name, 1, config.steps)[0]
    cdf = orbits.invariant_cdf(words_key, name)
    lyapunov = orbits.lyapunov(T, jnp.asarray(orbit))
    gaps = orbits.bits_of_gaps(T, start, config.precise)
    density = np.diff(cdf(np.linspace(0, 1, config.cells + 1)))
    spread = np.abs(orbits.cell_masses(orbit, config.cells) - density).sum() / 2
    equal = partial(Row.equal, relative=True, met=met)
    rows = [
        Row.at_most(
            f"{name}: windows of bits against orbits in integers or mpmath",
            f"{config.precise} steps",
            np.max(np.abs(slow - fast)),
            1e-14,
        ),
        equal(f"{name}: exponent, log |T'|", said, lyapunov.exponent, LOG2, 0.01),
        equal(
            f"{name}: exponent, distance of two orbits",
            f"{config.precise} steps, {2 * config.precise} bits",
            (gaps[-1] - gaps[0]) / config.precise * LOG2,
            LOG2,
            0.01,
        ),
        Row.at_most(
            f"{name}: orbit against the invariant density, total variation",
            f"{config.cells} cells, {config.steps} steps",
            spread,
            4 * np.sqrt(config.cells / config.steps),
            met=met,
        ),
        _mixing(config, name),
    ]
    for k, each in zip(config.points, jax.random.split(law_key, len(config.points)), strict=True):
        rows += _law(config, name, k, each, cdf, "exact orbits", met)
    return rows


def _mixing(config: Config, name: str) -> Row:
    left = orbits.mixing(orbits.transitions(orbits.MAPS[name], config.cells), 30)[-1]
    return Row.at_most(
        f"{name}: worst cell after 30 steps, total variation", f"{config.cells} cells", left, 1e-3
    )


def _law(
    config: Config, name: str, k: int, key: jax.Array, cdf: Any, said: str, met: bool
) -> list[Row]:
    """Exponents of depth and error, and the depth beside its prediction with nothing fitted."""
    eps = orbits.scales(k, config.steps)
    budgets = 2 ** np.arange(5, int(np.log2(config.steps)) + 1)
    found = orbits.trials(
        key,
        name,
        k,
        steps=config.steps,
        eps=eps,
        budgets=budgets,
        sets=config.sets,
        targets=config.targets,
    )
    law, error = orbits.depth_law(found.depths, eps), orbits.error_law(found.errors, budgets)
    hits = orbits.masses(cdf, found.targets, eps)
    predicted = orbits.predicted_median(hits)
    ratio = np.exp(np.mean(np.log(law.medians / predicted)))
    # At these eps boxes at the borders are cut off, and the density varies within them.
    finite = power_law(1 / eps, predicted).exponent
    distance = orbits.uniformity(found.depths[:, -1], hits[:, -1], steps=config.steps)
    said = f"{said}, {law.decades:.2f} decades of eps"
    at = f"{name}, K={k}: "
    low, high = law.interval
    below, above = error.interval
    equal = partial(Row.equal, relative=True, met=met)
    return [
        equal(
            at + "exponent of the depth",
            f"{said}, interval {low:.3f} to {high:.3f}, at these eps {finite:.3f} predicted",
            law.exponent,
            k,
            config.tolerance,
        ),
        equal(at + "depth over its prediction, geometric mean", said, ratio, 1, 0.15),
        Row.at_most(
            at + "first visits against the geometric law, Kolmogorov distance",
            f"eps = {eps[-1]:.1e}, {len(found.depths)} trials",
            distance,
            KOLMOGOROV / np.sqrt(len(found.depths)),
            met=met,
        ),
        equal(
            at + "exponent of the error in the depth budget",
            f"budgets 32 to {budgets[-1]}, interval {below:.3f} to {above:.3f}",
            error.exponent,
            -1 / k,
            config.tolerance,
        ),
    ]


def _measured(config: Config, name: str, key: jax.Array) -> list[Row]:
    """A map whose long orbits are in float64."""
    said, met = _shape(name)
    orbit_key, law_key, cdf_key = jax.random.split(key, 3)
    orbit = orbits.draw_orbits(orbit_key, name, 1, config.steps)[0]
    lyapunov = orbits.lyapunov(orbits.MAPS[name], jnp.asarray(orbit))
    rows = [
        Row.at_least(f"{name}: exponent", said, lyapunov.exponent - 3 * lyapunov.error, 0, met=met),
        Row.at_most(
            f"{name}: exponent, at most the entropy log 2",
            said,
            lyapunov.exponent - 3 * lyapunov.error,
            LOG2,
            met=met,
        ),
        _mixing(config, name),
    ]
    cdf = orbits.invariant_cdf(cdf_key, name)
    for k, each in zip(
        config.map_points, jax.random.split(law_key, len(config.map_points)), strict=True
    ):
        rows += _law(config, name, k, each, cdf, "float64 orbits", met)
    return rows


def _precise(config: Config, name: str, key: jax.Array) -> list[Row]:
    """First visits of one encoding of all its digits, beside the law of the float64 density."""
    start_key, target_key, cdf_key = jax.random.split(key, 3)
    start = orbits.start_of(orbits.random_words(start_key, config.precise)[0])
    T, steps = orbits.MAPS[name], config.precise
    orbit = orbits.as_floats(orbits.precise_orbit(T, start, steps, bits=steps + 128))
    eps = orbits.scales(1, steps)
    targets = jax.random.uniform(target_key, (8 * config.targets, 1))
    found = orbits.visits(jnp.asarray(orbit)[None], targets, eps=jnp.asarray(eps))
    depths = np.asarray(found.depths)
    hits = orbits.masses(orbits.invariant_cdf(cdf_key, name), np.asarray(targets), eps)
    law = orbits.depth_law(depths, eps)
    ratio = np.exp(np.mean(np.log(law.medians / orbits.predicted_median(hits))))
    gaps = orbits.bits_of_gaps(T, start, steps)
    measured = orbits.lyapunov(T, jnp.asarray(orbit)).exponent
    said = f"mpmath, {steps} steps, {steps + 128} bits"
    return [
        Row.equal(
            f"{name}: exponent, distance of two orbits over log |T'|",
            said,
            (gaps[-1] - gaps[0]) / steps * LOG2 / measured,
            1,
            0.02,
        ),
        Row.equal(
            f"{name}, K=1: depth over its prediction, geometric mean",
            f"{said}, one encoding, {law.decades:.2f} decades of eps",
            ratio,
            1,
            0.15,
        ),
    ]


def _controls(config: Config, key: jax.Array) -> list[Row]:
    starts = jax.random.uniform(key, (256,))
    tent = orbits.float_orbits(orbits.TENT, starts, 100, inside=False)
    steps = min(config.steps, 2**16)
    periodic, sink, bands = (
        np.asarray(orbits.float_orbits(T, jnp.array(x), steps, inside=False))
        for T, x in (
            (orbits.logistic(3.2), [0.3]),
            (SINK, [0.31]),
            (BANDS, PHASES[0]),
        )
    )
    slope = orbits.lyapunov(orbits.logistic(3.2), jnp.asarray(periodic[0, 1000:]))
    visited = np.sum(orbits.cell_masses(sink[0, 1000:], config.cells) > 0)
    pair, budget = jnp.array([PHASES[1]]), jnp.array([steps])
    both = orbits.visits(jnp.asarray(bands), pair, budgets=budget).errors[0, 0]
    alone = orbits.visits(jnp.asarray(bands[:1]), pair[:, :1], budgets=budget).errors[0, 0]
    eps = orbits.scales(2, config.steps)
    targets = jax.random.uniform(key, (config.sets * config.targets, 2))
    free = orbits.free_depths(orbits.TENT, jnp.array([0.3127, 0.7711]), targets, jnp.asarray(eps))
    same = orbits.same_depth(key, steps=steps, eps=orbits.scales(1, steps)[-1:])[0]
    control = "control: "
    return [
        Row.at_least(
            control + "tent in float64, share of orbits not at 0",
            "100 steps",
            np.mean(np.asarray(tent[:, -1]) > 0),
            0.99,
        ),
        Row.at_least(
            control + "logistic in float64, share of first visits at the depth of exact orbits",
            f"K=1, {steps} steps",
            same,
            0.99,
        ),
        Row.equal(
            control + "attracting cycle, exponent",
            "4x(1-x) made 3.2 x(1-x)",
            slope.exponent,
            LOG2,
            0.01,
        ),
        Row.at_least(
            control + "order three with T'(0) = 0, cells visited",
            "onto and unimodal",
            visited,
            config.cells,
        ),
        Row.at_most(
            control + "dense but not mixing, K=2, smallest error",
            f"{steps} steps, one point alone comes to {alone:.0e}",
            both,
            0.01,
        ),
        Row.equal(
            control + "encodings chosen within eps, K=2, exponent of the depth",
            "targets seen before",
            orbits.depth_law(free, eps).exponent,
            2,
            2 * config.tolerance,
        ),
    ]
