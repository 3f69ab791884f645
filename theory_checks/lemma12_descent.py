"""Lemma 12: a new neuron at a positive KKT point lowers the loss before any minimisation.

Neuron pursuit (arXiv 2509.12154). With w* on the unit sphere of the zero block, `N* = N(w*) > 0`
and the residual r at `(w_n, 0)`,

    f(w_n, delta w*) = f(w_n, 0) - delta^q N* + O(delta^(2q)),

where the activation is C^{1,1} (p >= 2), at any depth; with kinks (p = 1) the error is o(delta^q).
In both cases the loss falls strictly for small delta. The change of the loss is `-<r, dH> + 1/2
||dH||^2`, with the change of the outputs dH carried from layer to layer as increments, so that
nothing cancels; the order of the error is its slope on log-log axes. A neuron of the last hidden
layer, and any network at the origin, change the outputs by `delta^q H_1` exactly: there the error
is `1/2 delta^(2q) ||H_1||^2`, checked as a number. In lower layers the curvature of the layers
above enters at the same order.

Controls: a direction of negative N; a wrong degree q; p = 1 and a sample that lies on the kink of
an active neuron above the new one, where H has no derivative, so that the error is of order
delta^q itself.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import nsjax
from nsjax import data, diagnostics, dynamics, kkt, networks, objectives
from theory_checks.verdict import Row, Verdict


@dataclass(frozen=True)
class Config:
    """Settings of the check of Lemma 12."""

    seeds: tuple[int, ...] = (0, 1)
    """Seeds of data, training and starts."""
    shares: tuple[float, float] = (1e-6, 1e-2)
    """Smallest and largest `delta^q`, over `N* / ||H_1||^2`, where half of the descent is lost."""
    points: int = 11
    """How many sizes delta between them, evenly in logarithms."""
    slope: float = 0.05
    """How far the fitted order may lie from 2q."""
    samples: int = 40
    """Number of samples n."""
    dimension: int = 4
    """Input dimension d."""
    teacher: int = 4
    """Hidden neurons in each layer of the teacher."""
    starts: int = 32
    """Starts of every search."""
    train: bool = True
    """Whether the active weights are trained to a saddle; else they are random."""
    dead: float = 1e-4
    """Cosine between r and H_1 below which an NCF counts as zero, and its layer is left out."""
    kink: float = 1e-6
    """Smallest pre-activation, over the largest, that is not yet on the kink."""


NETWORKS: tuple[tuple[int, int, float, int, tuple[int, ...]], ...] = (
    (2, 2, 1.0, 1, ()),
    (3, 2, 0.5, 1, ()),
    (2, 2, 0.0, 2, (1,)),
    (2, 3, -1.0, 1, (1,)),
    (3, 2, 0.5, 2, (2, 2)),
    (3, 3, 0.0, 1, (1, 1)),
    (4, 2, 1.0, 1, (2, 2, 2)),
    (2, 1, 0.0, 1, (1,)),
    (3, 1, 0.5, 1, (1, 1)),
)
"""Layers, degree, slope, outputs, and the active neurons of each hidden layer; none at the origin,
else a trained saddle, where each hidden layer gets a neuron in turn. Above a bottleneck of a single
active neuron the NCF vanishes, since the weights above it fit their scale already."""


_SMALL = 1e-4
"""What passes for o(delta^q), over `delta^q N*`, at the smallest delta."""


class _Case(NamedTuple):
    """A saddle, a unit direction of its zero block, and what the expansion says of it."""

    name: str
    activation: nsjax.PolyLeakyReLU
    params: Any
    block: Any
    x: jax.Array
    residual: np.ndarray
    value: float
    order: int
    exact: bool
    met: bool


def check(config: Config) -> Verdict:
    """Check sign and order of the change of the loss over depths, degrees and slopes."""
    rows: list[Row] = []
    total = dead = kinked = 0
    for network in NETWORKS:
        before = len(rows)
        for seed in config.seeds:
            for case in _cases(config, network, seed):
                total += 1
                size = np.linalg.norm(case.residual) * _first_order(case)
                # A negative N* is no zero: its row is inconclusive.
                if abs(case.value) <= config.dead * size:
                    dead += 1
                elif case.activation.p == 1 and _nearest_kink(case) < config.kink:
                    kinked += 1
                else:
                    rows += _rows(config, case)
        if len(rows) == before:
            why = "every pair of a saddle and a hidden layer is left out"
            rows.append(Row.at_most(f"{_name(network)}: the lemma", why, np.nan, 0, met=False))
    statement = "Lemma 12: f(w_n, delta w*) = f(w_n, 0) - delta^q N* + O(delta^(2q))"
    hypotheses = (
        f"N* > 0: of {total} pairs of a saddle and a hidden layer, {dead} have an NCF of zero and "
        "are left out",
        f"p >= 2, or no sample on a kink of an active neuron above: {kinked} are left out",
    )
    return Verdict.of(statement, hypotheses, rows, _controls(config))


def _name(network: tuple[Any, ...]) -> str:
    depth, p, slope, outputs, active = network
    name = f"L={depth}, p={p}, a={slope:g}, c={outputs}"
    return name if active else f"{name}, origin"


def _cases(config: Config, network: tuple[Any, ...], seed: int) -> list[_Case]:
    depth, p, slope, outputs, active = network
    activation = nsjax.PolyLeakyReLU(p, slope)
    x_key, y_key, train_key, key = jax.random.split(jax.random.key(seed), 4)
    x = data.sphere(x_key, config.samples, config.dimension)
    hidden = (config.teacher,) * (depth - 1)
    y = networks.teacher_targets(y_key, x, activation, hidden=hidden, outputs=outputs)
    name = _name(network)
    if not active:
        sizes = (config.dimension, *(1,) * (depth - 1), outputs)
        zero = tuple(jnp.zeros((a, b)) for b, a in itertools.pairwise(sizes))
        objective, draw = objectives.NetworkNCF(activation), partial(kkt.random_unit, like=zero)
        found = kkt.search(key, objective, draw, args=(x, y), starts=config.starts)
        block, value = jax.tree.map(lambda leaf: leaf[0], found.points), float(found.values[0])
        order, name = networks.degree(activation, depth), f"{name}, seed {seed}"
        return [
            _Case(name, activation, zero, block, x, np.asarray(y), value, order, True, value > 0)
        ]
    widths = tuple(k + 1 for k in active)
    if config.train:
        saddle = dynamics.train_saddle(train_key, x, y, activation, active=active, widths=widths)
        # Nothing in the expansion uses that the active weights are at rest; with kinks they may
        # come to rest where no gradient is small.
        params, met = saddle.params, saddle.result == 0 or p == 1
    else:
        random = networks.init(train_key, (config.dimension, *active, outputs))
        params, met = dynamics.embed(random, widths)[0], True
    residual = objectives.NetworkLoss(activation).residual(params, x, y)
    cases = []
    for layer in range(1, depth):
        where = f"{name}, layer {layer}, seed {seed}"
        case = _best(config, where, activation, params, layer, x, residual, key)
        cases.append(case._replace(met=case.met and met))
    return cases


def _best(
    config: Config,
    name: str,
    activation: nsjax.PolyLeakyReLU,
    params: Any,
    layer: int,
    x: jax.Array,
    residual: jax.Array,
    key: jax.Array,
) -> _Case:
    """The best KKT point of a new neuron of a hidden layer."""
    own = kkt.search_neuron(key, params, layer, x, residual, activation, starts=config.starts)
    value, last = float(own.values[0]), layer == len(params) - 1
    block = _placed(params, layer, *(part[0] for part in own.points))
    wanted, order = np.asarray(residual), activation.p + 1
    return _Case(name, activation, params, block, x, wanted, value, order, last, value > 0)


def _placed(params: Any, layer: int, incoming: Any, outgoing: Any) -> Any:
    """The zero block with one neuron, in the last place of a hidden layer."""
    block = [jnp.zeros_like(weight) for weight in params]
    block[layer - 1] = block[layer - 1].at[-1].set(incoming)
    block[layer] = block[layer].at[:, -1].set(outgoing)
    return tuple(block)


def _increment(activation: nsjax.PolyLeakyReLU, t: np.ndarray, h: np.ndarray) -> np.ndarray:
    """`s(t + h) - s(t)` to full relative accuracy, however small h is."""
    a, p = activation.slope, activation.p
    size = np.abs(t + h) + np.abs(t)
    change = h * np.divide(2 * t + h, size, out=np.zeros_like(h), where=size > 0)
    step = 0.5 * (1 + a) * h + 0.5 * (1 - a) * change
    before, after = np.maximum(t, a * t), np.maximum(t + h, a * (t + h))
    return step * sum(after**k * before ** (p - 1 - k) for k in range(p))


def _change_of_outputs(case: _Case, delta: float) -> np.ndarray:
    """`H(w_n, delta w*) - H(w_n, 0)`, carried from layer to layer."""
    features, change = np.asarray(case.x), np.zeros(case.x.shape)
    for i, (weight, new) in enumerate(zip(case.params, case.block, strict=True)):
        weight, new = np.asarray(weight), delta * np.asarray(new)
        before = features @ weight.T
        step = change @ (weight + new).T + features @ new.T
        if i == len(case.params) - 1:
            return step
        features = np.asarray(case.activation(jnp.asarray(before)))
        change = _increment(case.activation, before, step)
    raise AssertionError("a network has a last layer")


def _first_order(case: _Case) -> float:
    """`||H_1||`, from a delta so small that nothing else is left."""
    delta = 1e-8 ** (1 / case.order)
    return float(np.linalg.norm(_change_of_outputs(case, delta))) / delta**case.order


def _nearest_kink(case: _Case) -> float:
    """Smallest pre-activation of an active neuron above the new one, over its largest."""
    above = np.flatnonzero([np.any(np.asarray(weight) != 0) for weight in case.block])[0] + 1
    nearest = np.inf
    layers = networks.features(case.params, case.x, case.activation)
    for weight, before in list(zip(case.params, layers, strict=True))[above:-1]:
        size = np.abs(np.asarray(before @ weight.T))
        size = size[:, np.max(size, axis=0) > 0]
        nearest = min(nearest, float(np.min(size / np.max(size, axis=0), initial=np.inf)))
    return nearest


class _Measured(NamedTuple):
    """Along the sizes delta: the change of the loss, its error against the lemma, and dH."""

    deltas: np.ndarray
    change: np.ndarray
    error: np.ndarray
    size: np.ndarray


def _measure(config: Config, case: _Case, *, order: int | None = None) -> _Measured:
    order = case.order if order is None else order
    scale = abs(case.value) / _first_order(case) ** 2
    deltas = (np.geomspace(*config.shares, config.points) * scale) ** (1 / case.order)
    changes, sizes = [], []
    for delta in deltas:
        moved = _change_of_outputs(case, delta)
        changes.append(-np.sum(case.residual * moved) + 0.5 * np.sum(moved**2))
        sizes.append(np.sum(moved**2))
    change = np.array(changes)
    return _Measured(deltas, change, change + deltas**order * case.value, np.array(sizes))


def _rows(config: Config, case: _Case) -> list[Row]:
    found = _measure(config, case)
    order = diagnostics.power_law(found.deltas, np.abs(found.error)).exponent
    q, p = case.order, case.activation.p
    hypothesis = f"q = {q}, N* = {case.value:.3g}"
    relative = found.change / (found.deltas**q * case.value)
    rows = [
        Row.at_most(
            f"{case.name}: change of the loss / (delta^q N*), largest",
            hypothesis,
            float(np.max(relative)),
            -0.5,
            met=case.met,
        )
    ]
    if p > 1 or case.exact:
        claim = f"{case.name}: order of the error"
        rows.append(Row.equal(claim, hypothesis, order, 2 * q, config.slope, met=case.met))
    else:
        claim = f"{case.name}: error / (delta^q N*), at the smallest delta"
        off = abs(float(relative[0]) + 1)
        rows.append(Row.at_most(claim, hypothesis, off, _SMALL, met=case.met))
    if case.exact:
        off = float(np.max(np.abs(2 * found.error / found.size - 1)))
        claim = f"{case.name}: error / (1/2 ||dH||^2) - 1"
        rows.append(Row.at_most(claim, hypothesis, off, 1e-4, met=case.met))
    return rows


def _controls(config: Config) -> list[Row]:
    x_key, y_key, key = jax.random.split(jax.random.key(config.seeds[0]), 3)
    x = data.sphere(x_key, config.samples, config.dimension)
    y = jax.random.normal(y_key, (config.samples, 1))
    zero: Any = (jnp.zeros((1, config.dimension)), jnp.zeros((1, 1)))
    good = _best(config, "", nsjax.PolyLeakyReLU(2), zero, 1, x, y, key)
    bad = good._replace(block=(good.block[0], -good.block[1]))
    rise = _measure(config, bad).change / abs(good.value)
    found = _measure(config, good, order=good.order + 1)
    order = diagnostics.power_law(found.deltas, np.abs(found.error)).exponent
    # The one active neuron of each layer is at its kink on the first sample.
    x = x.at[0, 0].set(0)
    active = (
        jnp.zeros((1, config.dimension)).at[0, 0].set(1.0),
        jnp.ones((1, 1)),
        jnp.ones((1, 1)),
    )
    params, _ = dynamics.embed(active, [2, 1])
    kinked: Any = nsjax.PolyLeakyReLU(1, 0.0)
    residual = objectives.NetworkLoss(kinked).residual(params, x, y)
    edge = _best(config, "", kinked, params, 1, x, residual, key)
    away = _measure(config, edge)
    off = abs(float(away.change[0] / (away.deltas[0] ** edge.order * edge.value)) + 1)
    return [
        Row.at_most("control: change of the loss, N < 0", "p=2, L=2", float(np.max(rise)), 0.0),
        Row.equal(
            "control: order of the error, q + 1 for q", "p=2, L=2", order, 2 * 4, config.slope
        ),
        Row.at_most(
            "control: error / (delta^q N*), a sample on a kink",
            "p=1, L=3",
            off,
            _SMALL,
            met=edge.met,
        ),
    ]
