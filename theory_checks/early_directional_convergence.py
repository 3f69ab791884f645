"""Early on, from a tiny initialisation, gradient flow converges in direction to a KKT point.

The saddle at the origin, with which neuron pursuit (arXiv 2509.12154) begins: from weights of size
delta the flow stays small for a time of order `delta^-(D-2)`, and meanwhile its direction tends to
a KKT point of `N(w) = <r, H(x; w)>` on the unit sphere, r the residual at H = 0; the smaller delta,
the nearer.

Here the flow starts in a random direction, and its direction at one fixed size is held against the
points that `kkt.search` finds from other random starts. Points that differ by a permutation of
neurons or a symmetry of their weights compute the same function, so what is compared is the outputs
`H(x; direction)`, by their cosine, and the values of N, since at slopes below 1 one function has
KKT points of several values.

Control: the KKT points for permuted targets.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import nsjax
from nsjax import data, dynamics, kkt, networks, objectives
from theory_checks.verdict import Row, Verdict


@dataclass(frozen=True)
class Config:
    """Settings of the check of early directional convergence."""

    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of data, initialisation and search."""
    deltas: tuple[float, ...] = (1e-4, 1e-6, 1e-8, 1e-14)
    """Sizes of the initialisation, falling."""
    size: float = 1e-2
    """Size of the weights at which their direction is taken."""
    starts: int = 256
    """Starts of the search."""
    samples: int = 40
    """Number of samples n."""
    dimension: int = 4
    """Input dimension d."""
    hidden: int = 3
    """Neurons in each hidden layer, of the network and of the teacher."""


NETWORKS = ((2, 1.0, 1), (2, 0.5, 2), (3, 1.0, 1), (3, 0.5, 1))
"""Layers, slope and outputs of the networks, of degree p = 2: q = D = 3 and 7."""


def check(config: Config) -> Verdict:
    """Compare the direction of the flow with the KKT points of a search."""
    rows: list[Row] = []
    control: list[Row] = []
    for depth, slope, outputs in NETWORKS:
        for seed in config.seeds:
            claims, wrong = _network(config, depth, nsjax.PolyLeakyReLU(2, slope), outputs, seed)
            rows += claims
            control += wrong if seed == config.seeds[0] else []
    hypotheses = ("the flow leaves the origin",)
    return Verdict.of(
        "Early directional convergence: the flow from the origin finds a KKT point of the NCF",
        hypotheses,
        rows,
        control,
    )


def _network(
    config: Config, depth: int, activation: nsjax.PolyLeakyReLU, outputs: int, seed: int
) -> tuple[list[Row], list[Row]]:
    keys = jax.random.split(jax.random.key(seed), 5)
    x = data.sphere(keys[0], config.samples, config.dimension)
    hidden = (config.hidden,) * (depth - 1)
    y = networks.teacher_targets(keys[1], x, activation, hidden=hidden, outputs=outputs)
    sample = partial(networks.init, widths=(config.dimension, *hidden, outputs))
    origin = jax.tree.map(jnp.zeros_like, sample(keys[2]))
    inactive = tuple(np.ones(width, bool) for width in hidden)
    ncf = objectives.NetworkNCF(activation)

    def search(targets: jax.Array) -> kkt.KKTPoints:
        return kkt.search(keys[3], ncf, sample, args=(x, targets), starts=config.starts)

    escapes = [
        dynamics.escape(
            origin,
            inactive,
            x,
            y,
            activation,
            delta=delta,
            threshold=config.size,
            perturbation="random",
            key=keys[2],
            starts=config.starts,
        )
        for delta in config.deltas
    ]
    residuals = [float(e.kkt_residual[-1]) for e in escapes]
    last, points = escapes[-1], search(y)
    angle, value = _nearest(points, last, x, activation)
    name = f"L={depth}, q={last.degree}, a={activation.slope:g}, c={outputs}, seed {seed}"
    met = last.result == dynamics.Stop.ESCAPED
    hypothesis = (
        f"residual {residuals[-1]:.0e}, N / N* = {last.ncf[-1] / float(points.values[0]):.3f}"
    )
    fall = "residuals " + ", ".join(f"{r:.0e}" for r in residuals)
    row = partial(Row.at_most, met=met)
    claims = [
        row(f"{name}: outputs, 1 - cosine to a KKT point found", hypothesis, angle, 1e-4),
        row(f"{name}: |N / N there - 1|", hypothesis, value, 1e-3),
        row(
            f"{name}: residual, smallest delta over largest",
            fall,
            residuals[-1] / residuals[0],
            0.1,
        ),
    ]
    angle, _ = _nearest(search(jax.random.permutation(keys[4], y)), last, x, activation)
    wrong = [
        row(f"control: {name}: outputs, 1 - cosine, permuted targets", hypothesis, angle, 1e-4)
    ]
    return claims, wrong


def _nearest(
    points: kkt.KKTPoints, escape: dynamics.Escape, x: jax.Array, activation: nsjax.PolyLeakyReLU
) -> tuple[float, float]:
    """One minus the cosine of the outputs, and the relative error of N, at the nearest point."""

    def outputs(params: Any) -> np.ndarray:
        flat = np.ravel(networks.apply(params, x, activation))
        return flat / np.linalg.norm(flat)

    here, value = outputs(escape.direction), escape.ncf[-1]
    best = (np.inf, np.inf)
    for i in np.flatnonzero(np.asarray(points.signs) > 0):
        there = outputs(jax.tree.map(lambda leaf, i=i: leaf[i], points.points))
        best = min(
            best, (1 - float(here @ there), abs(value / float(points.values[i]) - 1)), key=max
        )
    return best
