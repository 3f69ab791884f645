"""NP-1: a neuron added at a saddle, along a positive KKT point, lowers the loss.

Neuron pursuit (arXiv 2509.12154), Lemma 12, over many random problems: data and weights are random,
the active weights as drawn or trained to a saddle, and the new neuron is in a random hidden layer;
at the origin a chain of one neuron in every layer is added. With the best KKT point `w*` of the NCF
that a search finds, of norm one, and `N* = N(w*) > 0`,

    f(w_n, delta w*) - f(w_n, 0) = -delta^q N* + O(delta^(2q)),

with q = p + 1 at a saddle and q = D at the origin. `lemma12_descent` looks at few networks in
detail; here not one of many may fail. The change of the loss is `-<r, dH> + 1/2 ||dH||^2`, with the
change of the outputs dH carried from layer to layer as increments, so that nothing cancels.

Units: inputs of norm sqrt(d), targets of variance 1, active weights with features of size one; and
delta counts in the smaller of 1 and `(N* / ||H_1||^2)^(1/q)`, the size at which half of the descent
is lost, where delta^q H_1 is what the new neuron adds to the outputs. With p = 1 the expansion ends
where a pre-activation of an active neuron above crosses its kink: problems in which one does so at
delta are left out of the ratios, not of the signs.

Last, the ratio that `pursuit.step` records on insertion is checked, on problems of its own.

Controls: directions that are random, not KKT points, descend half of the time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import nsjax
from nsjax import networks, pursuit
from nsjax.data import sphere
from theory_checks.descent_problems import Drawn, Network, draw, unit_features
from theory_checks.lemma12_descent import _increment
from theory_checks.verdict import Row, Verdict


@dataclass(frozen=True)
class Config:
    """Settings of the check of descent."""

    seed: int = 0
    """Seed of everything random."""
    problems: int = 1000
    """Random problems in all, evenly over `NETWORKS`."""
    delta: float = 1e-2
    """Norm of the new weights, for signs and ratios."""
    ratio: float = 1e-3
    """How far `change / (-delta^q N*)` may lie from 1."""
    shares: tuple[float, float] = (1e-6, 1e-4)
    """For the order of the error: two values of `delta^q`."""
    order: float = 0.02
    """How far the order may lie from 2q, over q."""
    cancelled: float = 0.01
    """Error over `1/2 delta^(2q) ||H_1||^2` below which the terms of order 2q cancel."""
    dead: float = 1e-5
    """Cosine between r and H_1 below which an NCF counts as zero, and its problem is left out."""
    samples: int = 60
    """Number of samples n."""
    dimension: int = 4
    """Input dimension d; every hidden layer has d - 1 active neurons."""
    starts: int = 16
    """Starts of every search."""
    search_steps: int = 400
    """Bound on its steps."""
    train_steps: int = 300
    """Evaluations of the loss in training to a saddle."""
    pursuits: int = 20
    """Problems of `pursuit.step` itself; 0 for none."""


NETWORKS: tuple[Network, ...] = (
    Network(2, 2, 1.0, 1, "trained"),
    Network(3, 2, 0.5, 2, "trained"),
    Network(3, 2, 1.0, 1, "drawn"),
    Network(3, 3, 0.0, 1, "drawn"),
    Network(4, 2, -1.0, 2, "drawn"),
    Network(3, 1, 0.5, 2, "trained"),
    Network(4, 1, -0.5, 1, "drawn"),
    Network(2, 1, 0.0, 2, "none"),
    Network(3, 2, 1.0, 1, "none"),
    Network(4, 2, 0.5, 2, "none"),
)
"""Networks, each of a share of the problems."""


class _Measured(NamedTuple):
    """Of m problems.

    Attributes:
        ratio: change of the loss over `-delta^q N*`.
        plain: the same with delta in units of the data alone.
        random: whether the loss falls along the random direction.
        random_ratio: its change over `-delta^q N*`.
        order: of the error, between two sizes delta.
        second: the error over `1/2 delta^(2q) ||H_1||^2`.
        cosine: between the residual and H_1.
        crossed: whether an active neuron crosses its kink, for p = 1.
    """

    ratio: np.ndarray
    plain: np.ndarray
    random: np.ndarray
    random_ratio: np.ndarray
    order: np.ndarray
    second: np.ndarray
    cosine: np.ndarray
    crossed: np.ndarray


def check(config: Config) -> Verdict:
    """Check sign, size and order of the change of the loss over random problems."""
    keys = jax.random.split(jax.random.key(config.seed), len(NETWORKS) + 1)
    bounds = np.arange(len(NETWORKS) + 1) * config.problems // len(NETWORKS)
    rows: list[Row] = []
    every: list[_Measured] = []
    residual = gradient = 0.0
    for network, key, m in zip(NETWORKS, keys[1:], np.diff(bounds), strict=True):
        drawn = jax.tree.map(np.asarray, draw(network, config, jax.random.split(key, int(m))))
        measured = _measure(network, config, drawn)
        every.append(measured)
        rows += _rows(network, config, measured)
        gradient = max(gradient, float(np.median(drawn.grad_norm)))
        if network.p > 1:
            residual = max(residual, float(np.max(drawn.kkt_residual)))
    found = _Measured(*(np.concatenate(parts) for parts in zip(*every, strict=True)))
    alive, total = found.cosine > config.dead, found.ratio.size
    directions, plain = f"{total} directions", np.abs(found.plain - 1) <= config.ratio
    rows += [
        Row.at_most(
            f"problems in which the loss does not fall, delta = {config.delta:g}",
            f"N* > 0 in {int(np.sum(alive))} of {total} problems",
            int(np.sum(found.ratio[alive] <= 0)),
            0,
            met=bool(np.any(alive)),
        ),
        Row.equal(
            "share of random directions that lower the loss",
            directions,
            np.mean(found.random),
            0.5,
            4 * 0.5 / total**0.5,  # four standard deviations of as many fair coins
        ),
        *_recorded(config, keys[0]),
    ]
    control = [
        Row.at_most(
            "control: random directions along which the loss does not fall",
            directions,
            int(np.sum(~found.random)),
            0,
        ),
        Row.at_most(
            "control: |change / (-delta^q N*) - 1|, random directions, largest",
            directions,
            float(np.max(np.abs(found.random_ratio - 1))),
            config.ratio,
        ),
    ]
    statement = "NP-1: a neuron along a positive KKT point lowers the loss by delta^q N* (Lemma 12)"
    hypotheses = (
        f"N* > 0, cos(r, H_1) > {config.dead:g}: in {int(np.sum(alive))} of {total} problems; KKT "
        f"residuals are at most {residual:.0e}, for p >= 2",
        "at a saddle: of the relative loss trained weights have a gradient of "
        f"{gradient:.0e}, as the median of the worst network; the expansion holds without",
        f"p >= 2, or no active neuron crosses its kink: {int(np.sum(found.crossed))} problems "
        "do, and are left out of the ratios",
        f"small delta: in units of the data alone, delta = {config.delta:g} is so in "
        f"{np.mean(plain[alive]):.1%} of the problems",
    )
    return Verdict.of(statement, hypotheses, rows, control)


def _rows(network: Network, config: Config, found: _Measured) -> list[Row]:
    good = (found.cosine > config.dead) & ~found.crossed
    # Where terms of order 2q cancel, the error is smaller, and no power of delta.
    plain = good & (np.abs(found.second) > config.cancelled)
    rows = [
        Row.at_most(
            f"{network}: |change / (-delta^q N*) - 1|, largest",
            f"q = {network.order}, {int(np.sum(good))} of {good.size} problems",
            np.max(np.abs(found.ratio[good] - 1), initial=0),
            config.ratio,
            met=bool(np.any(good)),
        )
    ]
    if network.p > 1:
        away = np.abs(found.order[plain] / network.order - 2)
        rows.append(
            Row.at_most(
                f"{network}: |order of the error / q - 2|, largest",
                f"q = {network.order}, {int(np.sum(plain))} of {good.size} problems",
                np.max(away, initial=0),
                config.order,
                met=bool(np.any(plain)),
            )
        )
    return rows


def _recorded(config: Config, key: jax.Array) -> list[Row]:
    """The ratio that pursuit records of its insertions: of chains at the origin, and of neurons."""
    if config.pursuits == 0:
        return []
    activation, rows = nsjax.PolyLeakyReLU(2), []
    settings = pursuit.Config(
        rule="ncf",
        lanes=1,
        candidates=1,
        insertion="fixed",
        delta=config.delta,
        minimiser="gradient_descent",
        steps=1,
        l2=(0.0,),
        capacity=config.dimension,
    )
    for origin in (True, False):
        ratios = []
        for each in jax.random.split(key, config.pursuits):
            x_key, y_key, w_key, run_key = jax.random.split(each, 4)
            x = sphere(x_key, config.samples, config.dimension)
            widths = (config.dimension, config.dimension - 1, config.dimension - 1, 1)
            task = pursuit.Task(
                x,
                jax.random.normal(y_key, (config.samples, 1)),
                activation=activation,
                depth=3,
                params=None if origin else unit_features(networks.init(w_key, widths), 2),
                config=settings,
            )
            _, info = pursuit.step(task, pursuit.init(run_key, task))
            ratios.append(float(info.descent[0]))
        name = "a chain at the origin" if origin else "a neuron of the best layer"
        rows.append(
            Row.at_most(
                f"pursuit.step, {name}: |recorded ratio - 1|, largest",
                f"L=3, p=2, a=1, c=1: {len(ratios)} problems",
                np.max(np.abs(np.array(ratios) - 1)),
                config.ratio,
            )
        )
    return rows


def _change(
    network: Network, drawn: Drawn, block: Any, delta: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Change of the loss `(m,)`, `||dH||^2`, and whether an active neuron crosses its kink."""
    inputs, change = np.asarray(drawn.x), np.zeros(drawn.x.shape)
    crossed = np.zeros(len(delta), bool)
    last = network.depth - 1
    for i, (weight, new) in enumerate(zip(drawn.params, block, strict=True)):
        new = delta[:, None, None] * new
        before = inputs @ np.swapaxes(weight, 1, 2)
        change = change @ np.swapaxes(weight + new, 1, 2) + inputs @ np.swapaxes(new, 1, 2)
        if i < last:
            # Weights of zero and a change of zero: no active neuron, or none that moves.
            active = np.any(weight != 0, axis=2)[:, None, :] & (change != 0)
            crossed |= np.any(active & (before * (before + change) <= 0), axis=(1, 2))
            inputs = np.asarray(network.activation(jnp.asarray(before)))
            change = _increment(network.activation, before, change)
    squared = np.sum(change**2, axis=(1, 2))
    return -np.sum(drawn.residual * change, axis=(1, 2)) + 0.5 * squared, squared, crossed


def _measure(network: Network, config: Config, drawn: Drawn) -> _Measured:
    m, q = len(drawn.value), network.order
    # ||H_1||^2, from new weights so small that nothing else is left.
    tiny = np.full(m, 1e-8 ** (1 / q))
    first = _change(network, drawn, drawn.block, tiny)[1] / 1e-16
    unit = np.minimum(1, (drawn.value / first) ** (1 / q))
    delta = config.delta * unit
    predicted = -(delta**q) * drawn.value
    change, _, crossed = _change(network, drawn, drawn.block, delta)
    other, _, _ = _change(network, drawn, drawn.random, delta)
    plain, _, _ = _change(network, drawn, drawn.block, np.full(m, config.delta))

    deltas = [share ** (1 / q) * unit for share in config.shares]
    changes = [_change(network, drawn, drawn.block, each)[0] for each in deltas]
    errors = [c + each**q * drawn.value for c, each in zip(changes, deltas, strict=True)]
    order = np.log(np.abs(errors[1] / errors[0])) / np.log(deltas[1] / deltas[0])
    return _Measured(
        change / predicted,
        plain / (-(config.delta**q) * drawn.value),
        other < 0,
        other / predicted,
        order,
        errors[1] / (0.5 * deltas[1] ** (2 * q) * first),
        drawn.value / np.sqrt(first * np.sum(drawn.residual**2, axis=(1, 2))),
        crossed if network.p == 1 else np.zeros(m, bool),
    )
