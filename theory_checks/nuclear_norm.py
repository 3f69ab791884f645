"""Quadratic networks: l2 on the first layer is the nuclear norm, l2 on both is Schatten 2/3.

`h(x) = sum_j a_j (w_j . x)^2 = x^T M x`. With output weights fixed at +1 and -1, d of either sign,

    min_W 1/(2n) |y - h|^2 + lam sum_j |w_j|^2  =  min_M 1/(2n) |y - A(M)|^2 + lam |M|_*

and every critical point on the left without negative curvature is a global minimum; with +1 alone
the same over M >= 0. The right side is convex, and its duality gap is a certificate. The left
side is minimised from random starts by L-BFGS and Newton steps, as a network.

With trained output weights and `lam sum_j (a_j^2 + |w_j|^2)` the norm becomes
`3 2^(-2/3) sum_i |sigma_i|^(2/3)`, which is not convex: starts end in different minima. The least
cost of a given M over all of its factorisations is found by SciPy under the constraint.

Controls: fewer neurons than the solution has ranks; l2 on both layers, taken for a norm; starts
under l2 on both layers, said to agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsjax import data, diagnostics, dynamics, networks
from theory_checks.verdict import Row, Verdict


@dataclass(frozen=True)
class Config:
    """Settings of the check of the nuclear norm."""

    seeds: tuple[int, ...] = (0, 1)
    """Seeds of data and starts."""
    penalties: tuple[float, ...] = (0.1, 0.01)
    """Penalties lam."""
    starts: int = 20
    """Random starts of the networks."""
    samples: int = 40
    """Number of samples n."""
    dimension: int = 10
    """Input dimension d."""
    teacher: int = 3
    """Width of the teacher; where both signs are fitted, one of its neurons is negative."""
    noise: float = 0.1
    """Standard deviation of the noise over that of the target."""
    narrow: int = 1
    """Neurons of the control that is too narrow."""
    nonconvex: float = 0.1
    """Penalty where both layers have one."""


EQUAL = 1e-6
"""Relative difference of minima that are equal."""
SMALL = 0.3
"""Size of starts under l2 on both layers over that of the others: from larger ones most end in the
same minimum."""
GAP = 1e-10
"""Certified distance to the convex minimum, over its value."""


def check(config: Config) -> Verdict:
    """Check networks with output weights +1, and +1 and -1, at several penalties."""
    rows: list[Row] = []
    for seed in config.seeds:
        for psd in (True, False):
            for penalty in config.penalties:
                rows += _equal_minima(config, _problem(config, seed, psd), penalty, seed)
    costs, losses = _both_layers(config)
    rows += _costs(config) + costs
    hypotheses = (
        f"{config.dimension} neurons of each sign, as many as inputs",
        "at every network's end the gradient is below 1e-8",
    )
    return Verdict.of("Networks and nuclear norm", hypotheses, rows, _controls(config, losses))


class _Problem(NamedTuple):
    psd: bool
    x: jax.Array
    y: jax.Array
    output: jax.Array
    starts: jax.Array


def _problem(config: Config, seed: int, psd: bool) -> _Problem:
    """Noisy targets of a teacher, and starts; 2 d neurons, so that all networks are one program."""
    keys = jax.random.split(jax.random.key(seed), 4)
    d, n, negative = config.dimension, config.samples, 0 if psd else 1
    _, _, matrix = data.matrix_sensing(keys[0], 1, d, config.teacher - negative, negative)
    x = data.gaussian(keys[1], n, d)
    y = jnp.einsum("ni,ij,nj->n", x, matrix, x) + config.noise * jax.random.normal(keys[2], (n,))
    output = jnp.ones(2 * d) if psd else jnp.where(jnp.arange(2 * d) < d, 1.0, -1.0)
    starts = jax.random.normal(keys[3], (config.starts, 2 * d, d)) / d**0.5
    return _Problem(psd, x, y, output, starts)


def _train(problem: _Problem, penalty: float, starts: jax.Array) -> tuple[Any, Any]:
    """Minima of networks, and their matrices `(S, d, d)`."""
    found = dynamics.minimize_starts(
        dynamics.first_layer_loss,
        starts,
        args=(problem.output, problem.x, problem.y, penalty),
        tol=1e-10,
    )
    return found, jax.vmap(networks.quadratic_form, (0, None))(found.params, problem.output)


def _convex(problem: _Problem, penalty: float) -> dynamics.NuclearNormFit:
    measurements = data.measurement_matrices(problem.x)
    return dynamics.nuclear_norm_fit(
        measurements, problem.y, penalty, psd=problem.psd, tol=GAP / 10
    )


def _equal_minima(config: Config, problem: _Problem, penalty: float, seed: int) -> list[Row]:
    convex = _convex(problem, penalty)
    found, forms = _train(problem, penalty, problem.starts)
    value = float(convex.value)
    steepest = float(jnp.max(found.grad_norms))
    signs = "+1" if problem.psd else "+1 and -1"
    name = f"output weights {signs}, lam = {penalty:g}, seed {seed}"
    hypothesis = f"{config.starts} starts, gradients {steepest:.0e}, rank {int(convex.rank)}"
    eigenvalues = np.abs(np.linalg.eigvalsh(np.asarray(forms)))
    ranks = np.sum(eigenvalues > 1e-5 * eigenvalues.max(axis=1, keepdims=True), axis=1)
    norms = jnp.sum(found.params**2, axis=(1, 2))
    wasted = norms / np.sum(eigenvalues, axis=1) - 1
    distance = jnp.linalg.norm(forms - convex.matrix, axis=(1, 2)) / jnp.linalg.norm(convex.matrix)
    row = partial(_row, name, hypothesis, steepest < 1e-8)
    return [
        row("duality gap over the convex minimum", convex.gap / value, GAP),
        row("worst network over it - 1", jnp.max(found.losses) / value - 1, EQUAL),
        row("dual value over the best network - 1", convex.dual / jnp.min(found.losses) - 1, 1e-12),
        row("ranks of networks that differ from the convex one", np.sum(ranks != convex.rank), 0),
        row("matrices, relative distance", jnp.max(distance), 1e-4),
        row("sum |w|^2 over the nuclear norm - 1", jnp.max(jnp.abs(wasted)), EQUAL),
    ]


def _costs(config: Config) -> list[Row]:
    """The least cost of a matrix over its factorisations, against both norms."""
    rows = []
    for name, both in (("first layer, nuclear norm", False), ("both layers, Schatten 2/3", True)):
        costs, matrix = _cheapest(both, 1.0, config.seeds[0])
        factors = networks.both_layers_factors if both else networks.first_layer_factors
        incoming, output = factors(jnp.asarray(matrix))
        cost = float(jnp.sum(incoming**2) + both * jnp.sum(output**2))
        power, factor = (2 / 3, networks.BOTH_LAYERS) if both else (1.0, 1.0)
        norm = factor * float(networks.schatten(jnp.asarray(matrix), power))
        hypothesis, met = f"{len(costs)} feasible ends of SLSQP", len(costs) > 4
        claims = (("cheapest factorisation", np.min(costs), EQUAL), ("its factors", cost, 1e-12))
        rows += [
            Row.equal(
                f"l2 on {name}: {claim}", hypothesis, value, norm, tol, relative=True, met=met
            )
            for claim, value, tol in claims
        ]
    return rows


def _cheapest(both: bool, scale: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Costs at the feasible ends of SLSQP from random factorisations, and the 3 x 3 matrix."""
    from scipy.optimize import minimize

    rng = np.random.default_rng(seed)
    vectors = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    matrix = scale * (vectors * [1.5, 0.4, -0.8]) @ vectors.T
    signs, upper = np.array([1.0, 1, 1, -1, -1]), np.triu_indices(3)

    def split(flat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return flat[:15].reshape(5, 3), flat[15:] if both else signs

    def misfit(flat: np.ndarray) -> np.ndarray:
        incoming, output = split(flat)
        return (incoming.T @ (output[:, None] * incoming) - matrix)[upper]

    costs = []
    for _ in range(12):
        start = scale ** (1 / 3) * np.concatenate([rng.normal(size=15), signs if both else []])
        end = minimize(
            lambda flat: flat @ flat,
            start,
            jac=lambda flat: 2 * flat,
            method="SLSQP",
            constraints={"type": "eq", "fun": misfit},
            options={"maxiter": 1000, "ftol": 1e-13},
        )
        if np.max(np.abs(misfit(end.x))) < 1e-8 * scale:
            costs.append(end.fun)
    return np.array(costs), matrix


def _both_layers(config: Config) -> tuple[list[Row], np.ndarray]:
    """At its minima a network with both layers penalised pays the Schatten cost; their values."""
    problem = _problem(config, config.seeds[0], False)
    output = jax.random.normal(jax.random.key(config.seeds[0]), problem.starts.shape[:2])
    starts = SMALL * problem.starts, SMALL * output
    args = problem.x, problem.y, config.nonconvex
    found = dynamics.minimize_starts(dynamics.both_layers_loss, starts, args=args, tol=1e-10)
    incoming, output = found.params
    paid = jnp.sum(incoming**2, axis=(1, 2)) + jnp.sum(output**2, axis=1)
    forms = jax.vmap(networks.quadratic_form)(incoming, output)
    least = networks.BOTH_LAYERS * jax.vmap(lambda m: networks.schatten(m, 2 / 3))(forms)
    done = np.asarray(found.grad_norms) < 1e-8
    order = np.argsort(np.where(done, found.losses, np.inf))[: np.sum(done)]
    # Over the largest cost: an end at zero has none, but for rounding.
    excess = np.max(np.abs(np.asarray(paid - least))[done], initial=0) / np.max(paid)
    name, met = "l2 on both layers", bool(np.sum(done) > 1)
    hypothesis = f"{np.sum(done)} of {config.starts} starts with gradients below 1e-8"
    claim = "cost at the ends minus Schatten 2/3's, over the largest"
    rows = [_row(name, hypothesis, met, claim, excess, EQUAL)]
    for which, i in (("best", order[0]), ("worst", order[-1])):
        spectrum = diagnostics.hessian_spectrum(
            dynamics.both_layers_loss, (incoming[i], output[i]), args=args
        )
        claim = f"{name}: least Hessian eigenvalue at the {which} end"
        rows.append(Row.at_least(claim, hypothesis, spectrum.smallest, -1e-8, met=met))
    return rows, np.asarray(found.losses)[order]


def _row(name: str, hypothesis: str, met: bool, claim: str, measured: Any, bound: float) -> Row:
    return Row.at_most(f"{name}: {claim}", hypothesis, measured, bound, met=met)


def _controls(config: Config, losses: np.ndarray) -> list[Row]:
    problem, penalty = _problem(config, config.seeds[0], True), config.penalties[-1]
    # A neuron of zeros has no gradient and stays: this is a network of fewer neurons.
    narrow = problem.starts.at[:, config.narrow :].set(0)
    found, _ = _train(problem, penalty, narrow)
    convex = _convex(problem, penalty)
    grown = np.min(_cheapest(True, 8.0, config.seeds[0])[0])
    grown /= np.min(_cheapest(True, 1.0, config.seeds[0])[0])
    return [
        _row(
            f"{config.narrow} of {int(convex.rank)} neurons",
            f"gradients {float(jnp.max(found.grad_norms)):.0e}",
            True,
            "worst network over the convex minimum - 1",
            jnp.max(found.losses) / convex.value - 1,
            EQUAL,
        ),
        Row.equal(
            "l2 on both layers is a norm: cost of 8 M over that of M",
            "cheapest factorisations",
            grown,
            8,
            1e-3,
        ),
        _row(
            "l2 on both layers",
            f"{len(losses)} starts",
            True,
            "largest minimum over the smallest - 1",
            losses[-1] / losses[0] - 1,
            EQUAL,
        ),
    ]
