"""Logistic loss: finite saddles as for the square loss; at infinity a race that degree decides.

Open question 4 of neuron pursuit (arXiv 2509.12154). Units (neurons) that separate the data grow
without end; beside them is one of size delta. In the time `tau = integral ||r||_1 dt` both follow
their neural correlation function with the dual `p = |r| / ||r||_1` (`dynamics.rescaled_flow`), and

* a saddle that does not separate the data is finite: escape times are those of the square loss with
  the residual `-y sigma(-y H)`;
* separating units of degree D > 2 use up their pull, tau is bounded: a unit of the same degree
  below `rho (gamma / N*)^(1/(q-2))` never escapes, nor does its direction converge;
* D = 2: it grows as `rho^(N*/gamma)`, escapes if and only if N* > gamma, which is so if and only if
  another unit improves the margin, and then at `-log loss ~ delta^(-2 gamma/(N* - gamma))`;
* D = 1 (a linear term): tau is `log t / gamma^2`, and it escapes at `log t ~ delta^(2-q)`.

Controls: the square loss on the same data; a unit above the critical size; a direction against
permuted labels; growth as a power of t.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import nsjax
from nsjax import data, diagnostics, dynamics, networks
from theory_checks.verdict import Row, Verdict


@dataclass(frozen=True)
class Config:
    """Settings of the check of logistic saddles."""

    seeds: tuple[int, ...] = (0, 1, 2, 3, 4, 5)
    """Seeds of the data of units of degree two."""
    finite: tuple[int, ...] = (0, 1)
    """Seeds of finite saddles."""
    deltas: tuple[float, ...] = (1e-3, 1e-4, 1e-5, 1e-6)
    """Sizes of the tiny units."""
    depth: float = 1e6
    """`-log loss` to which flows are followed."""
    samples: int = 12
    """Number of samples n."""
    dimension: int = 4
    """Input dimension d."""


def check(config: Config) -> Verdict:
    """Check finite saddles, and the three races at infinity."""
    rows = [
        *(row for seed in config.finite for row in _finite(config, seed)),
        *_one_sample(config),
        *_above_two(config),
        *(row for seed in config.seeds for row in _two(config, seed)),
        *_escape_depths(),
        *_one(config),
    ]
    hypotheses = (
        "finite saddles: the gradient vanishes and the active weights are at a minimum",
        "saddles at infinity: the units that are there separate the data",
    )
    statement = "Logistic loss: finite saddles, and saddles at infinity"
    return Verdict.of(statement, hypotheses, rows, _controls(config))


NOTHING = 1e-100
"""A size that stays out of everything: the flow of the active units alone."""
DIAGONAL, SQUARES = networks.DiagonalUnits(), networks.SignedSquares((1, -1, 1, -1))
MARGIN, VALUE = 0.1, 0.4
"""Of the race of one sample: gamma and N*."""
SIZE = 3.0
"""Norm of separating units at the start, above degree two: the data are separated then."""


def _tiny(delta: float, count: int, width: int) -> jax.Array:
    """Units of size delta in random directions."""
    w = jax.random.normal(jax.random.key(7), (count, width))
    return delta * w / jnp.linalg.norm(w, axis=1, keepdims=True)


def _finite(config: Config, seed: int) -> list[Row]:
    """The origin, along a KKT ray, and a trained x^2 neuron that cannot separate two classes."""
    x, y = data.quadric_classes(jax.random.key(seed), 4 * config.samples, config.dimension)
    rows = []
    for p in (1, 2):
        name = f"origin, p={p}, seed {seed}"
        zero = (jnp.zeros((1, x.shape[1])), jnp.zeros((1, 1)))
        linear = np.linalg.norm(x.T @ y) / 2
        top = np.max(np.abs(np.linalg.eigvalsh((x * y).T @ x)))
        value = float(linear if p == 1 else 2 / math.sqrt(27) * top) / 2  # residual y / 2 at H = 0
        times = [
            _escape(zero, (np.array([True]),), x, y, nsjax.PolyLeakyReLU(p), delta, "kkt")
            for delta in config.deltas
        ]
        ratio = times[-1].escape_time / dynamics.ray_time(
            times[-1].delta, 1e1 * times[-1].delta, value, p + 1
        )
        rows.append(
            Row.equal(f"{name}: time / closed form with y / 2", times[-1].message, ratio, 1, 1e-3)
        )
    name = f"one x^2 neuron, not separating, seed {seed}"
    square = nsjax.PolyLeakyReLU(2)
    found = dynamics.train_saddle(
        jax.random.key(seed), x, y, square, active=(1,), widths=(3,), loss="logistic"
    )
    met = found.result == 0
    run = partial(_escape, found.params, found.inactive, x, y, square)
    near = [run(delta, "random") for delta in config.deltas]
    far = run(1e-12, "random", growth=1e7)
    drift = diagnostics.power_law(config.deltas, [float(np.max(e.drift)) for e in near])
    hypothesis = f"|grad| {found.saddle.grad_norm:.0e}, N* {found.kkt_value:.2g}"
    row = partial(Row.equal, met=met)
    return [
        *rows,
        row(f"{name}: time ~ delta^-1", hypothesis, dynamics.time_scaling(near).exponent, -1, 1e-3),
        row(
            f"{name}: largest ||w_z|| / delta, exponent",
            hypothesis,
            diagnostics.power_law(config.deltas, [np.max(e.norm_ratio) for e in near]).exponent,
            0,
            1e-3,
        ),
        Row.at_least(f"{name}: drift, exponent", hypothesis, drift.exponent, 0.5, met=met),
        Row.at_most(
            f"{name}: KKT residual of the direction at growth 1e7",
            hypothesis,
            far.kkt_residual[-1],
            1e-2,
            met=met,
        ),
    ]


def _escape(
    params: Any,
    inactive: Any,
    x: Any,
    y: Any,
    activation: Any,
    delta: float,
    perturbation: str,
    growth: float = 10.0,
    loss: str = "logistic",
) -> dynamics.Escape:
    return dynamics.escape(
        params,
        inactive,
        x,
        y,
        activation,
        delta=delta,
        threshold=growth * delta,
        perturbation=perturbation,
        key=jax.random.key(3),
        loss=loss,
    )


def _one_sample_flow(config: Config, share: float) -> dynamics.RescaledFlow:
    """Two coordinates of one sample, the tiny one at a share of the critical size."""
    limit = dynamics.critical_size(SIZE, MARGIN, VALUE, 3)
    weights = jnp.array([[SIZE], [share * limit]]) * jnp.ones((2, 3)) / math.sqrt(3)
    x = math.sqrt(27) * jnp.array([[MARGIN, VALUE]])
    units = networks.DiagonalUnits(3)
    return dynamics.rescaled_flow(units, weights, x, jnp.ones((1, 1)), depth=config.depth)


def _one_sample(config: Config) -> list[Row]:
    """With one sample the dual is 1, and the race is exact at any size."""
    flow, rows = _one_sample_flow(config, 0.9), []
    for unit, value in enumerate((MARGIN, VALUE)):
        start, end = np.exp(flow.log_norms[[0, -1], unit])
        size = dynamics.ray_size(float(start), value, 3, float(flow.tau[-1]))
        claim = f"one sample, D = q = 3: size of unit {unit} / closed form in tau"
        rows.append(Row.equal(claim, "dual 1", end / size, 1, 1e-3))
    return [
        *rows,
        Row.equal(
            "one sample, D = q = 3: pull in all / closed form",
            f"-log loss {flow.depth[-1]:.0e}",
            flow.tau[-1] / dynamics.pull_left(SIZE, MARGIN, 3),
            1,
            0.05,
        ),
        Row.at_most(
            "one sample, D = q = 3: 0.9 of the critical size, final ratio of sizes",
            "dual 1",
            np.exp(_ratio(flow)[-1]),
            0.1,
        ),
    ]


def _above_two(config: Config) -> list[Row]:
    """x^2 and x^3 networks that separate: a tiny neuron keeps its size and direction."""
    rows = []
    for p in (2, 3):
        units, weights, (x, y) = _separating(config, p)
        q = p + 1
        flows = [
            dynamics.rescaled_flow(
                units, weights.at[-1].multiply(delta), x, y, depth=config.depth, rtol=1e-11
            )
            for delta in FROZEN
        ]
        last, first = flows[-1], flows[0]
        angles = [float(np.linalg.norm(f.directions[-1, -1] - f.directions[0, -1])) for f in flows]
        growth = [abs(float(f.log_norms[-1, -1] - f.log_norms[0, -1])) for f in flows]
        point = diagnostics.margin_point(units, last.end[:-1], last.dual[-1], x, y)
        smooth = -math.log(math.expm1(math.exp(last.log_loss[0]))) * math.exp(-q * last.log_size[0])
        pull = dynamics.pull_left(math.exp(last.log_size[0]), smooth, q)
        name = f"two layers, x^{p}, D = q = {q}"
        met = bool(last.margin[0] > 0 and smooth > 0)
        hypothesis = f"margin {point.margin:.2g}, KKT residual {point.residual:.0e}"
        equal, most = partial(Row.equal, met=met), partial(Row.at_most, met=met)
        tail = dynamics.tail_log_time(float(last.depth[-1]), point.margin, q)
        rows += [
            most(
                f"{name}: KKT residual of the separating neurons", hypothesis, point.residual, 0.05
            ),
            equal(f"{name}: log t - closed form", hypothesis, last.log_time[-1] - tail, 0, 0.05),
            most(f"{name}: pull in all / bound", hypothesis, last.tau[-1] / pull, 1),
            equal(
                f"{name}: angle turned in all, exponent",
                hypothesis,
                diagnostics.power_law(FROZEN, angles).exponent,
                q - 2,
                0.02,
            ),
            equal(
                f"{name}: log growth in all, exponent",
                hypothesis,
                diagnostics.power_law(FROZEN, growth).exponent,
                q - 2,
                0.02,
            ),
            most(
                f"{name}: ratio of sizes, end / start, delta = {FROZEN[0]:g}",
                hypothesis,
                np.exp(_ratio(first)[-1] - _ratio(first)[0]),
                0.2,
            ),
        ]
    return rows


FROZEN = (1e-2, 1e-3, 1e-4)
"""Sizes of the tiny neuron beside separating ones above degree two."""


def _separating(config: Config, p: int) -> tuple[networks.TwoLayerUnits, jax.Array, data.Labelled]:
    """Balanced neurons of size 3 that separate; in the last row one of size 1, at random."""
    units, d = networks.TwoLayerUnits(nsjax.PolyLeakyReLU(p)), config.dimension
    made = data.quadric_classes if p == 2 else data.coordinate_classes
    count = 2 if p == 2 else 1
    inner, outer = math.sqrt(p / (p + 1)), math.sqrt(1 / (p + 1))
    signs = jnp.array([[1.0], [-1.0]])[:count]
    active = SIZE * jnp.concatenate([inner * jnp.eye(count, d), outer * signs], axis=1)
    weights = jnp.concatenate([active, _tiny(1.0, 1, d + 1)])
    return units, weights, made(jax.random.key(0), config.samples, d)


def _ratio(flow: dynamics.RescaledFlow, active: int = -1) -> np.ndarray:
    """Logarithm of the largest tiny unit over the largest active one."""
    sizes = flow.log_norms
    return np.asarray(np.max(sizes[:, active:], axis=1) - np.max(sizes[:, :active], axis=1))


def _two(config: Config, seed: int) -> list[Row]:
    """Degree two: rates of growth, the condition of escape against the best margin, directions."""
    key = jax.random.key(seed)
    d = config.dimension
    # Other coordinates of several sizes, so that some data escape and some do not.
    scale = (0.3, 1.0)[seed % 2]
    cases = (
        (
            "diagonal",
            DIAGONAL,
            data.coordinate_classes(key, config.samples, d, others=scale),
            1,
            _tiny(NOTHING, d, 2).at[0].set(1.0),
        ),
        (
            "squares",
            SQUARES,
            data.quadric_classes(key, config.samples, d),
            2,
            jnp.concatenate([jnp.eye(2, d), _tiny(NOTHING, 2, d)]),
        ),
    )
    return [row for case in cases for row in _race_of_two(config, seed, *case)]


def _local_point(
    units: Any, flow: dynamics.RescaledFlow, x: Any, y: Any
) -> tuple[diagnostics.MarginPoint, float, np.ndarray]:
    """KKT point of the active units, N* of the dual, and the dual, at the end of a flow."""
    dual = flow.dual[-1]
    point = diagnostics.margin_point(units, flow.end, dual, x, y)
    return point, float(units.dominant(x, dual * y[:, 0])[0]), dual


def _race_of_two(
    config: Config,
    seed: int,
    label: str,
    units: Any,
    labelled: data.Labelled,
    active: int,
    weights: jax.Array,
) -> list[Row]:
    x, y = labelled
    flow = dynamics.rescaled_flow(units, weights, x, y, depth=config.depth)
    point, value, dual = _local_point(units, flow, x, y)
    best, _ = diagnostics.best_margin(units, x, y)
    name, met = f"{label}, D = q = 2, seed {seed}", point.residual < 2e-2 and point.margin > 0
    hypothesis = f"N*/gamma {value / point.margin:.3f}, best/gamma {best / point.margin:.3f}"
    slopes = flow.growth_exponents(config.depth / 30)[active:]
    rate = _fastest(label, dual, x, y, active) / point.margin
    rows = [
        Row.equal(
            f"{name}: N* > gamma, as another unit improves the margin",
            hypothesis,
            value > (1 + 1e-3) * point.margin,
            best > (1 + 1e-5) * point.margin,
            0,
            met=met,
        )
    ]
    # Squares come to their eigenvector as a power of the norm; where it is too small a one, the
    # flow ends before they are there, and shows nothing.
    grown = flow.log_size[-1] - flow.log_size[0]
    if label == "diagonal" or min(_gaps(dual, x, y)) * grown > SETTLED * point.margin:
        rows.append(
            Row.equal(
                f"{name}: exponent of the fastest tiny unit in the norm",
                hypothesis,
                np.max(slopes),
                rate,
                0.03,
                relative=True,
                met=met,
            )
        )
        if label == "squares":
            rows.append(_aligned(name, flow, dual, x, y, met))
    return rows


SETTLED = 4.0
"""Logarithm by which other components have fallen where a direction counts as settled."""


def _moment(dual: np.ndarray, x: Any, y: Any) -> np.ndarray:
    return np.asarray((x * (dual[:, None] * y)).T @ x)


def _fastest(label: str, dual: np.ndarray, x: Any, y: Any, active: int) -> float:
    """Largest NCF of a tiny unit: of one of the other coordinates, or of a square."""
    if label == "diagonal":
        return float(np.max(np.abs(np.asarray(x).T @ (dual * np.asarray(y)[:, 0]))[active:]) / 2)
    return float(np.max(np.abs(np.linalg.eigvalsh(_moment(dual, x, y)))))


def _gaps(dual: np.ndarray, x: Any, y: Any) -> tuple[float, float]:
    """Of the two largest and the two smallest eigenvalues."""
    values = np.linalg.eigvalsh(_moment(dual, x, y))
    return values[-1] - values[-2], values[1] - values[0]


def _aligned(
    name: str, flow: dynamics.RescaledFlow, dual: np.ndarray, x: Any, y: Any, met: bool
) -> Row:
    """Tiny squares against the top eigenvectors of `M_p` and `-M_p`, the worse of the two."""
    vectors, gaps = np.linalg.eigh(_moment(dual, x, y))[1], _gaps(dual, x, y)
    cosines = [abs(float(flow.directions[-1, 2 + i] @ vectors[:, -1 + i])) for i in range(2)]
    return Row.at_most(
        f"{name}: 1 - cosine with the KKT point of the dual",
        f"eigenvalue gaps {gaps[0]:.2g}, {gaps[1]:.2g}",
        1 - min(cosines),
        1e-2,
        met=met,
    )


def _escape_depths() -> list[Row]:
    """Degree two: `-log loss` at which the tiny unit is a tenth of the active one."""
    rows = []
    for other in (2.0, 3.0):
        x, y = jnp.array([[1.0, other], [2.0, -0.5]]), jnp.ones((2, 1))
        depths = []
        for delta in ESCAPING:
            weights = jnp.array([[1.0], [delta]]) * jnp.full((2, 2), math.sqrt(0.5))
            flow = dynamics.rescaled_flow(DIAGONAL, weights, x, y, depth=1e7)
            depths.append(
                math.exp(
                    flow.when(np.log(np.maximum(flow.depth, 1e-9)), _ratio(flow), math.log(0.1))
                )
            )
        rows.append(
            Row.equal(
                f"diagonal, D = q = 2, N*/gamma = {other:g}: exponent of -log loss at escape",
                "delta " + " ".join(f"{each:g}" for each in ESCAPING),
                diagnostics.power_law(ESCAPING, depths).exponent,
                -dynamics.escape_depth_exponent(0.5, other / 2),
                0.05,
            )
        )
    return rows


ESCAPING = (1e-2, 3e-3, 1e-3, 3e-4)
"""Sizes of tiny units that escape from infinity."""


def _one(config: Config) -> list[Row]:
    """A linear term that separates, and a tiny x^2 neuron on its KKT ray."""
    units = networks.TwoLayerUnits(nsjax.PolyLeakyReLU(2), skip=True)
    x, y = data.coordinate_classes(jax.random.key(0), config.samples, config.dimension)
    linear = jnp.eye(1, config.dimension + 1)
    flow = dynamics.rescaled_flow(
        units, jnp.concatenate([linear, NOTHING * linear]), x, y, depth=1e4
    )
    margin = float(flow.margin[-1]) * math.exp(-flow.log_norms[-1, 0])
    values, vectors = np.linalg.eigh(_moment(flow.dual[-1], x, y))
    best = int(np.argmax(np.abs(values)))
    value = 2 / math.sqrt(27) * abs(values[best])
    ray = np.append(math.sqrt(2 / 3) * vectors[:, best], np.sign(values[best]) / math.sqrt(3))
    times = []
    for delta in LINEAR:
        start = jnp.concatenate([linear, delta * jnp.asarray(ray)[None, :]])
        run = dynamics.rescaled_flow(units, start, x, y, depth=1e4)
        times.append(run.when(run.log_time, run.log_norms[:, 1], math.log(10 * delta)))
    law = diagnostics.power_law(LINEAR, times)
    predicted = margin**2 * dynamics.ray_time(LINEAR[-1], 10 * LINEAR[-1], value, 3)
    name, hypothesis = "linear term and x^2, D = 1, q = 3", f"gamma {margin:.3g}, N* {value:.3g}"
    return [
        Row.equal(f"{name}: log t of the escape, exponent", hypothesis, law.exponent, -1, 0.05),
        Row.equal(f"{name}: ... / closed form", hypothesis, times[-1] / predicted, 1, 0.1),
    ]


LINEAR = (1e-2, 1e-3, 1e-4)
"""Sizes of a tiny neuron beside a linear term."""


def _controls(config: Config) -> list[Row]:
    """The same claims where they must fail."""
    x, y = data.quadric_classes(jax.random.key(0), config.samples, config.dimension)
    square = nsjax.PolyLeakyReLU(2)
    found = dynamics.train_saddle(jax.random.key(0), x, y, square, active=(2,), widths=(3,))
    finite = _escape(found.params, found.inactive, x, y, square, 1e-3, "random", loss="square")
    above = _one_sample_flow(config, 1.1)
    weights = jnp.concatenate([jnp.eye(2, config.dimension), _tiny(NOTHING, 2, config.dimension)])
    flow = dynamics.rescaled_flow(SQUARES, weights, x, y, depth=config.depth)
    dual = np.random.default_rng(0).permutation(flow.dual[-1] * np.asarray(y)[:, 0])
    point, value, _ = _local_point(SQUARES, flow, x, y)
    late = flow.depth > math.sqrt(config.depth)
    in_time = np.polyfit(flow.log_time[late], np.max(flow.log_norms[late, 2:], axis=1), 1)[0]
    naive = value / point.margin / 2  # z' = 2 N z / t against rho^2 gamma = log t
    return [
        Row.at_most(
            "control, square loss on the same data: the tiny neuron's log growth",
            found.message,
            math.log(finite.norm_ratio[-1]),
            1e-2,
        ),
        Row.at_most(
            "control, 1.1 of the critical size: final ratio of sizes",
            "one sample",
            np.exp(_ratio(above)[-1]),
            1,
        ),
        _aligned("control, permuted pulls", flow, dual, x, jnp.ones_like(y), True),
        Row.at_least(
            "control, D = q = 2: the tiny unit grows as a power of t, exponent",
            "residual of order 1/t without a logarithm",
            in_time,
            0.1 * naive,
        ),
    ]
