"""Decoupling: at a saddle the best KKT point of several zero neurons sits on one of them.

Behind Theorem 7 of neuron pursuit (arXiv 2509.12154). Near a saddle `(w_n, 0)` the NCF of the zero
block is a sum over its neurons, `N = sum_j N(u_j, v_j)`, each term homogeneous of degree q = p + 1.
For q > 2, neurons at KKT points of their own, of values `N_j`, with squared norms proportional to
`N_j^(-2/(q-2))` are a KKT point together, of value

    (sum_j N_j^(-2/(q-2)))^(-(q-2)/2),

below each N_j, and no maximum if there are two or more: to move mass to one of them raises N. So
every maximum sits on one neuron, the dominant one on the best of `search_neuron` over all layers.

Control: q = 2 (p = 1, linear), where mass can spread over neurons at equal value.
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
    """Settings of the check of decoupling."""

    seeds: tuple[int, ...] = (0, 1)
    """Seeds of data, training and starts."""
    zero_neurons: int = 3
    """Inactive neurons h in each hidden layer."""
    starts: int = 64
    """Starts of every search."""
    samples: int = 60
    """Number of samples n."""
    dimension: int = 4
    """Input dimension d."""
    teacher: int = 4
    """Hidden neurons in each layer of the teacher."""


NETWORKS = (
    (2, 2, 1.0, 1),
    (2, 2, 0.0, 3),
    (2, 3, -1.0, 2),
    (3, 2, 1.0, 1),
    (3, 3, 0.5, 2),
)
"""Layers, degree, slope and outputs. Two layers are at the origin, three at a trained saddle with
one active neuron in each hidden layer."""


def check(config: Config) -> Verdict:
    """Check the maxima of the zero block, and KKT points built of two neurons."""
    rows: list[Row] = []
    for depth, p, slope, outputs in NETWORKS:
        for seed in config.seeds:
            problem = _problem(config, depth, nsjax.PolyLeakyReLU(p, slope), outputs, seed)
            rows += _rows(config, problem)
    statement = "The NCF of a zero block decouples, and its maxima sit on one neuron"
    hypotheses = ("a saddle that is not dead", "KKT points: residual below 1e-7, N > 0")
    return Verdict.of(statement, hypotheses, rows, _controls(config))


@dataclass(frozen=True)
class _Problem:
    """A saddle, whether it is one, and the arguments of the NCF of its zero block."""

    name: str
    met: bool
    activation: nsjax.PolyLeakyReLU
    key: jax.Array
    params: Any
    inactive: tuple[np.ndarray, ...]
    x: jax.Array
    residual: jax.Array
    args: tuple[Any, ...]


def _problem(
    config: Config, depth: int, activation: nsjax.PolyLeakyReLU, outputs: int, seed: int
) -> _Problem:
    x_key, y_key, train_key, key = jax.random.split(jax.random.key(seed), 4)
    x = data.sphere(x_key, config.samples, config.dimension)
    hidden, zero = (config.teacher,) * (depth - 1), config.zero_neurons
    y = networks.teacher_targets(y_key, x, activation, hidden=hidden, outputs=outputs)
    params: Any
    inactive: Any
    if depth == 2:
        params = (jnp.zeros((zero, config.dimension)), jnp.zeros((outputs, zero)))
        inactive, met = (np.ones(zero, bool),), True
    else:
        ones = (1,) * (depth - 1)
        widths = (1 + zero,) * (depth - 1)
        found = dynamics.train_saddle(train_key, x, y, activation, active=ones, widths=widths)
        params, inactive, met = found.params, found.inactive, found.result == 0
    residual = objectives.NetworkLoss(activation).residual(params, x, y)
    args = (
        networks.features(params, x, activation),
        networks.pullback(params, x, residual, activation),
    )
    name = f"L={depth}, p={activation.p}, a={activation.slope:g}, c={outputs}, seed {seed}"
    return _Problem(name, met, activation, key, params, inactive, x, residual, args)


def _search(config: Config, problem: _Problem, sample: Any) -> kkt.KKTPoints:
    """KKT points of the whole zero block."""
    objective = objectives.SaddleNCF(problem.activation)
    return kkt.search(problem.key, objective, sample, args=problem.args, starts=config.starts)


def _draw(problem: _Problem, key: jax.Array) -> Any:
    """A random zero block: the in- and outgoing weights of the inactive neurons."""
    block = kkt.random_unit(key, problem.params)
    rows = (*problem.inactive, np.zeros(block[-1].shape[0], bool))
    columns = (np.zeros(block[0].shape[1], bool), *problem.inactive)
    return tuple(
        weight * (row[:, None] | column)
        for weight, row, column in zip(block, rows, columns, strict=True)
    )


def _spread(problem: _Problem, block: Any) -> float:
    """Squared norm beside the neuron that has most of it, as a share."""
    sizes = [
        np.where(inactive, np.sum(np.square(into), axis=1) + np.sum(np.square(out), axis=0), 0)
        for inactive, into, out in zip(problem.inactive, block[:-1], block[1:], strict=True)
    ]
    return float(1 - np.max(np.concatenate(sizes)) / float(kkt.norm(block)) ** 2)


def _neurons(problem: _Problem) -> list[tuple[float, int, Any, Any]]:
    """KKT points of single neurons, best first: value, hidden layer, in- and outgoing weights."""
    neurons = []
    for layer in range(1, len(problem.params)):
        own = kkt.search_neuron(
            problem.key, problem.params, layer, problem.x, problem.residual, problem.activation
        )
        for i in np.flatnonzero((np.asarray(own.signs) > 0) & (np.asarray(own.residuals) < 1e-6)):
            neurons.append((float(own.values[i]), layer, own.points[0][i], own.points[1][i]))
    return sorted(neurons, key=lambda neuron: -neuron[0])


def _together(problem: _Problem, neurons: list[Any], squares: Any) -> Any:
    """The zero block with these neurons at these squared norms, each in a place of its own."""
    block = [jnp.zeros_like(weight) for weight in problem.params]
    for i, ((_, layer, into, out), square) in enumerate(zip(neurons, squares, strict=True)):
        place = np.flatnonzero(problem.inactive[layer - 1])[i]
        block[layer - 1] = block[layer - 1].at[place].set(square**0.5 * into)
        block[layer] = block[layer].at[:, place].set(square**0.5 * out)
    return tuple(block)


def _rows(config: Config, problem: _Problem) -> list[Row]:
    points = _search(config, problem, partial(_draw, problem))
    good = np.asarray(points.is_maximum & (points.residuals < 1e-7) & (points.signs > 0))
    spread = [
        _spread(problem, jax.tree.map(lambda leaf, i=i: leaf[i], points.points))
        for i in [0, *np.flatnonzero(good)]
    ]
    neurons = _neurons(problem)
    off = abs(float(points.values[0]) / neurons[0][0] - 1)
    pair = (neurons * 2)[:2]  # the best one twice if there is no other
    power = problem.activation.p - 1
    weights = np.array([value ** (-2 / power) for value, *_ in pair])
    value = np.sum(weights) ** (-power / 2)
    block = _together(problem, pair, weights / np.sum(weights))
    both = _search(config, problem, lambda _: block)
    row = partial(Row.at_most, met=problem.met)
    hypothesis = f"{np.sum(good)} maxima, {len(neurons)} single neurons"
    values = f"neurons of values {pair[0][0]:.3g}, {pair[1][0]:.3g}"
    name = problem.name
    return [
        row(f"{name}: mass beside the largest neuron, best point", hypothesis, spread[0], 1e-6),
        row(f"{name}: the same, all maxima", hypothesis, max(spread), 1e-6),
        row(f"{name}: best value / best of search_neuron - 1", hypothesis, off, 1e-8),
        row(f"{name}: two neurons together, residual", values, both.residuals[0], 1e-7),
        row(f"{name}: their value / predicted - 1", values, abs(both.values[0] / value - 1), 1e-10),
        row(f"{name}: they are a maximum", values, bool(both.is_maximum[0]), 0),
    ]


def _controls(config: Config) -> list[Row]:
    problem = _problem(config, 2, nsjax.PolyLeakyReLU(1), 2, config.seeds[0])
    points = _search(config, problem, partial(_draw, problem))
    spread = _spread(problem, jax.tree.map(lambda leaf: leaf[0], points.points))
    claim = f"control: {problem.name}: mass beside the largest neuron, best point"
    return [Row.at_most(claim, f"q = 2, residual {points.residuals[0]:.0e}", spread, 1e-6)]
