"""Assumption 2: f restricted to w_n has a Łojasiewicz exponent in (0, q / (2 (q - 1))) at saddles.

Neuron pursuit (arXiv 2509.12154), Assumption 2: near a saddle (w_n, 0), with the zero block left at
zero, `||grad f|| >= mu |f - f*|^alpha` with an exponent alpha in that open interval, where q is the
degree of the network in the zero block.

The paper assumes this. Here alpha is measured at trained saddles of two- and three-layer networks:
the gradient norm is minimised at fixed `|f - f*|`, and the lower envelope extrapolated. Where the
Hessian of w_n has no eigenvalues other than those of a nondegenerate valley, alpha is 1/2 and mu is
`sqrt(2 lambda_min+)`, which is compared. Control: a chain of three scalar layers that fits zero
from the origin, `f = (abc)^2`, has alpha = 5/6, above the 3/4 that q = 3 allows.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np

import nsjax
from nsjax import data, diagnostics, dynamics, networks
from nsjax.objectives import NetworkLoss
from theory_checks.verdict import Row, Verdict, Word


@dataclass(frozen=True)
class Config:
    """Settings of the check of Assumption 2."""

    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of data, training and search."""
    samples: int = 100
    """Number of samples n."""
    dimension: int = 6
    """Input dimension d."""
    teacher: int = 4
    """Hidden neurons in each layer of the teacher."""
    radius: float = 0.03
    """Radius of the sample over the norm of w_n."""
    control_degree: float = 3.0
    """Degree q that the control is held against."""


NETWORKS = (
    (2, 2, 1.0, 1),
    (2, 2, 1.0, 2),
    (2, 3, 1.0, 1),
    (2, 2, 0.0, 1),
    (2, 3, 0.5, 1),
    (3, 2, 1.0, 1),
    (3, 2, 0.5, 1),
)
"""Layers, degree and slope of the networks, and active neurons in each hidden layer."""


def check(config: Config) -> Verdict:
    """Measure alpha at the saddles of every network and seed."""
    rows: list[Row] = []
    for depth, p, slope, active in NETWORKS:
        for seed in config.seeds:
            rows += _network(config, depth, nsjax.PolyLeakyReLU(p, slope), active, seed)
    hypotheses = (
        "the gradient at (w_n, 0) vanishes and w_n is a local minimum of its own weights "
        "(`dynamics.train_saddle`)",
        "the search for the envelope settled and the envelope tends to a power law (else the row "
        "is inconclusive)",
    )
    return Verdict.of(
        "Assumption 2: f restricted to w_n has an exponent in (0, q / (2 (q - 1))) at saddles",
        hypotheses,
        rows,
        [_control(config)],
    )


def _network(
    config: Config, depth: int, activation: nsjax.PolyLeakyReLU, active: int, seed: int
) -> list[Row]:
    keys = jax.random.split(jax.random.key(seed), 4)
    x = data.sphere(keys[0], config.samples, config.dimension)
    hidden = (config.teacher,) * (depth - 1)
    y = networks.teacher_targets(keys[1], x, activation, hidden=hidden)
    found = dynamics.train_saddle(
        keys[2],
        x,
        y,
        activation,
        active=(active,) * (depth - 1),
        widths=(active + 1,) * (depth - 1),
        tol=1e-12,
    )
    block = _active_block(found.params, found.inactive)
    loss = NetworkLoss(activation)
    moving = np.concatenate([np.ravel(mask) for mask in block])
    flat = np.concatenate([np.ravel(weight) for weight in found.params])[moving]
    measured = diagnostics.lojasiewicz(
        loss,
        found.params,
        key=keys[3],
        args=(x, y),
        block=block,
        degree=found.saddle.degree,
        radius=config.radius * float(np.linalg.norm(flat)),
    )
    name = f"L={depth}, p={activation.p}, a={activation.slope:g}, {active} active, seed {seed}"
    met = found.result == 0
    hypothesis = f"q = {found.saddle.degree}, |grad| {found.saddle.grad_norm:.0e}; "
    eigenvalues = _curvatures(loss, found.params, moving, x, y)
    positive = eigenvalues[eigenvalues > 1e-8 * eigenvalues[-1]]
    rows = [_row(name, hypothesis + measured.message, measured, met)]
    if measured.conclusive and abs(measured.alpha - 0.5) < 0.02:
        rows.append(
            Row.equal(
                f"{name}: mu = sqrt(2 lambda_min+)",
                f"alpha = {measured.alpha:.4f}, {positive.size} of {eigenvalues.size} positive",
                measured.mu,
                np.sqrt(2 * positive[0]),
                0.1,
                relative=True,
                met=met,
            )
        )
    return rows


def _row(name: str, hypothesis: str, measured: diagnostics.Lojasiewicz, met: bool) -> Row:
    """Whether the interval of alpha lies within Assumption 2's, outside, or across its end."""
    word: Word = "inconclusive"
    if met and measured.in_assumption2 is not None:
        word = "holds" if measured.in_assumption2 else "violated"
    half = (measured.alpha_interval[1] - measured.alpha_interval[0]) / 2
    return Row(
        f"{name}: alpha in (0, q / (2 (q - 1)))",
        hypothesis,
        measured.alpha,
        f"< {measured.largest_alpha:.4g}",
        half if np.isfinite(half) else None,
        word,
        measured.alpha / measured.largest_alpha if word != "inconclusive" else None,
    )


def _active_block(
    params: tuple[jax.Array, ...], inactive: tuple[np.ndarray, ...]
) -> tuple[np.ndarray, ...]:
    """The entries of w_n: weights from an active neuron or input to an active neuron or output."""
    ends = [np.ones(params[0].shape[1], bool), *(~dead for dead in inactive)]
    ends.append(np.ones(params[-1].shape[0], bool))
    return tuple(np.outer(after, before) for before, after in pairwise(ends))


def _curvatures(
    loss: NetworkLoss,
    params: tuple[jax.Array, ...],
    moving: np.ndarray,
    x: jax.Array,
    y: jax.Array,
) -> np.ndarray:
    """Eigenvalues of the Hessian of w_n, rising."""
    flat, unravel = jax.flatten_util.ravel_pytree(params)
    hessian = jax.hessian(lambda w: loss(unravel(w), x, y))(flat)
    return np.linalg.eigvalsh(np.asarray(hessian)[np.ix_(moving, moving)])


def _chain(w: jax.Array) -> jax.Array:
    return jnp.prod(w) ** 2


def _control(config: Config) -> Row:
    """Three scalar layers at the origin: `f = (abc)^2`, alpha = 5/6."""
    measured = diagnostics.lojasiewicz(
        _chain,
        jnp.zeros(3),
        key=jax.random.key(config.seeds[0]),
        degree=config.control_degree,
        radius=1.0,
    )
    return _row("control: f = (abc)^2", f"alpha = 5/6; {measured.message}", measured, True)
