"""Theorem 7: near a saddle (w_n, 0) the zero block stays small and converges in direction.

Neuron pursuit (arXiv 2509.12154), Theorem 7. From `(w_n + delta n, delta z)`, up to a time
`T / delta^(q-2)`, the active weights stay within `O(delta^beta)` of the saddle, the zero block
stays of size `O(delta)`, and its direction comes as near as wished to a non-negative KKT point of
the constrained NCF of the residual, or its size tends to zero against delta.

Swept over seeds and delta. The times are those at which the zero block has grown by a fixed factor
`K`: larger K, larger T, smaller distance. Controls: a balanced start with N < 0 and a definite
`M = sum_i r_i x_i x_i^T`, whose zero block must die out. A start whose outgoing weights outweigh
the incoming ones goes to a zero-valued limit instead: its own class, with a closed form for its
size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

import nsjax
from nsjax import data, diagnostics, dynamics, kkt, networks
from theory_checks.verdict import Row, Verdict


@dataclass(frozen=True)
class Config:
    """Settings of the check of Theorem 7."""

    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of data, training and perturbation."""
    deltas: tuple[float, ...] = (1e-4, 1e-5, 1e-6, 1e-7, 1e-8)
    """Sizes of the perturbation."""
    growth: tuple[float, ...] = (1e1, 1e3, 1e5, 1e7, 1e9)
    """Factors K by which the zero block grows until its direction is measured, the time T."""
    smallest: float = 1e-12
    """Size of the perturbation whose direction is followed that far."""
    distance: float = 1e-2
    """Distance from the KKT point (its residual) that some T has to reach."""
    full_delta: float = 1e-3
    """Where the slow manifold is compared with a full implicit integration."""
    samples: int = 100
    """Number of samples n."""
    dimension: int = 10
    """Input dimension d."""
    teacher: int = 4
    """Hidden neurons in each layer of the teacher."""


NETWORKS = ((2, 2, 1.0), (2, 3, 1.0), (2, 2, 0.0), (3, 2, 1.0))
"""Layers, degree and slope of the networks."""


def check(config: Config) -> Verdict:
    """Check every claim of the theorem on every network and seed."""
    rows: list[Row] = []
    for depth, p, slope in NETWORKS:
        for seed in config.seeds:
            rows += _network(config, depth, nsjax.PolyLeakyReLU(p, slope), seed)
    dying, zero_valued = _negative_starts(config)
    hypotheses = (
        "the gradient at (w_n, 0) vanishes (its norm against 1e-6 lambda_max ||w_n||)",
        "w_n is a local minimum of its own weights (smallest Hessian eigenvalue against "
        "-1e-6 lambda_max)",
        "the NCF of the residual is not identically zero (value at the best KKT point found)",
    )
    return Verdict.of(
        "Theorem 7: directional convergence of the zero block near a saddle",
        hypotheses,
        [*rows, *zero_valued],
        dying,
    )


def _network(config: Config, depth: int, activation: nsjax.PolyLeakyReLU, seed: int) -> list[Row]:
    keys = jax.random.split(jax.random.key(seed), 4)
    x = data.sphere(keys[0], config.samples, config.dimension)
    hidden = (config.teacher,) * (depth - 1)
    y = networks.teacher_targets(keys[1], x, activation, hidden=hidden)
    found = dynamics.train_saddle(
        keys[2], x, y, activation, active=(1,) * (depth - 1), widths=(4,) * (depth - 1)
    )
    saddle = found.saddle
    met = found.result == 0
    name = f"L={depth}, p={activation.p}, a={activation.slope:g}, seed {seed}"
    hypothesis = (
        f"{name}: |grad| {saddle.grad_norm:.0e}, lambda_min {saddle.curvature_min:.0e}, "
        f"N* {found.kkt_value:.2g}"
    )

    def run(delta: float, growth: float, method: str = "auto") -> dynamics.Escape:
        return dynamics.escape(
            found.params,
            found.inactive,
            x,
            y,
            activation,
            delta=delta,
            threshold=growth * delta,
            perturbation="random",
            key=keys[3],
            method=method,
        )

    near = [run(delta, config.growth[0]) for delta in config.deltas]
    grown = [run(config.smallest, growth) for growth in config.growth]
    residuals = [float(e.kkt_residual[-1]) for e in grown]
    fall = diagnostics.power_law(config.growth, residuals)
    falling = fall.exponent + 2 * fall.error < 0
    last = grown[-1]
    q = saddle.degree
    drift = diagnostics.power_law(config.deltas, [float(np.max(e.drift)) for e in near])
    size = diagnostics.power_law(config.deltas, [float(np.max(e.norm_ratio)) for e in near])
    rows = [
        Row.equal(
            f"{name}: time ~ delta^-(q-2)",
            hypothesis,
            dynamics.time_scaling(near).exponent,
            -(q - 2),
            1e-3,
            met=met,
        ),
        Row.at_least(
            f"{name}: drift of w_n = O(delta^beta), beta > 0",
            hypothesis,
            drift.exponent,
            0.5,
            met=met,
        ),
        Row.equal(
            f"{name}: ||w_z|| / delta bounded, exponent",
            hypothesis,
            size.exponent,
            0.0,
            1e-3,
            met=met,
        ),
        Row.at_least(
            f"{name}: NCF at the limit is not negative, over N*",
            hypothesis,
            last.target_value / last.kkt_value,
            0.0,
            met=met and last.target_residual < 1e-4,
        ),
        Row.at_most(
            f"{name}: KKT residual falls with K, exponent (upper end of two errors)",
            hypothesis,
            fall.exponent + 2 * fall.error,
            0.0,
            met=met,
        ),
        # The theorem gives no rate: a residual that falls, but is not there yet, decides nothing.
        Row.at_most(
            f"{name}: KKT residual at K = {config.growth[-1]:g}",
            hypothesis,
            residuals[-1],
            config.distance,
            met=met and (residuals[-1] <= config.distance or not falling),
        ),
    ]
    slow = run(config.full_delta, config.growth[0], "slow")
    full = run(config.full_delta, config.growth[0], "implicit")
    difference = kkt.norm(jax.tree.map(jnp.subtract, slow.direction, full.direction))
    rows.append(
        Row.at_most(
            f"{name}: slow manifold against the full flow, direction",
            f"delta = {config.full_delta:g}; full flow: {full.message}",
            float(difference),
            5e-4,
            met=met and full.result == dynamics.Stop.ESCAPED,
        )
    )
    return rows


def _negative_starts(config: Config) -> tuple[list[Row], list[Row]]:
    """A balanced and an outgoing-heavy start with N < 0, M negative definite: at the origin."""
    activation = nsjax.PolyLeakyReLU(2, 1.0)
    x_key, y_key, u_key = jax.random.split(jax.random.key(config.seeds[0]), 3)
    x = data.sphere(x_key, config.samples, config.dimension)
    y = -jax.random.uniform(y_key, (config.samples, 1), minval=0.5, maxval=1.5)
    largest = float(jnp.linalg.eigvalsh((x * y).T @ x)[-1])
    params = (jnp.zeros((1, config.dimension)), jnp.zeros((1, 1)))
    inactive = (np.array([True]),)
    u = jax.random.normal(u_key, (config.dimension,))
    u /= jnp.linalg.norm(u)

    def run(incoming: float) -> dynamics.Escape:
        outgoing = math.sqrt(1 - incoming**2)
        start = (incoming * u[None, :], jnp.full((1, 1), outgoing))
        return dynamics.escape(
            params, inactive, x, y, activation, delta=1e-4, perturbation=start, horizon=1e12
        )

    balanced = run(math.sqrt(2 / 3))
    hypothesis = f"balanced, N < 0, M definite (largest eigenvalue {largest:.2g})"
    dying = [
        Row.at_least(
            "control: the NCF at the limit is not negative",
            hypothesis,
            balanced.target_value,
            0.0,
            met=largest < 0,
        ),
        Row.at_least(
            "control: ||w_z|| / delta stays away from zero",
            hypothesis,
            float(balanced.norm_ratio[-1]),
            1e-2,
            met=largest < 0,
        ),
    ]
    heavy = run(0.4)
    kept = math.sqrt((1 - 0.4**2) - 0.4**2 / 2)
    hypothesis = f"outgoing-heavy, N < 0: {heavy.message}"
    zero_valued = [
        Row.equal(
            "zero-valued limit: ||w_z|| / delta tends to sqrt(|v|^2 - |u|^2 / p)",
            hypothesis,
            float(heavy.norm_ratio[-1]),
            kept,
            1e-4,
            relative=True,
            met=heavy.result == dynamics.Stop.ZERO_VALUED,
        ),
        Row.equal(
            "zero-valued limit: the NCF tends to zero, over N*",
            hypothesis,
            float(heavy.ncf[-1]) / heavy.kkt_value,
            0.0,
            1e-5,
            met=heavy.result == dynamics.Stop.ZERO_VALUED,
        ),
    ]
    return dying, zero_valued
