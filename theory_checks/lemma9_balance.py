"""Lemmas 3 and 9: at a KKT point with N != 0 every hidden neuron and every layer is balanced.

Neuron pursuit (arXiv 2509.12154), Lemmas 3 and 9. For an activation homogeneous of degree p, at a
KKT point `grad N = lambda w` of the constrained NCF of an L-layer network with N != 0,

    ||W_l[j,:]||^2 = p ||W_{l+1}[:,j]||^2,    ||W_1||^2 : ... : ||W_L||^2 = p^(L-1) : ... : p : 1,

and `lambda = D N`, with `D = 1 + p + ... + p^(L-1)`. The reason holds at every w: by Euler's
identity `<W_l[j,:], grad N> = p <W_{l+1}[:,j], grad N>`, for any generalised gradient at a kink. So
a point of KKT residual r is balanced up to

    r / sqrt(1 - r^2) sqrt(||W_l[j,:]||^2 + p^2 ||W_{l+1}[:,j]||^2),

which is checked beside the points, and says what residual counts as converged: kinked activations
of degree 1 have their KKT points on kinks, known to fewer digits.

Controls: an activation that is not homogeneous; a KKT point with N = 0; a point that is no KKT
point.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import nsjax
from nsjax import data, diagnostics, kkt, networks, objectives
from theory_checks.verdict import Row, Verdict


@dataclass(frozen=True)
class Config:
    """Settings of the check of Lemmas 3 and 9."""

    degrees: tuple[int, ...] = (1, 2, 3, 4)
    """Degrees p of the activation."""
    depths: tuple[int, ...] = (2, 3, 4, 5)
    """Numbers of layers L."""
    slopes: tuple[float, ...] = (1.0, 0.5, 0.0, -1.0)
    """Slopes a of the activation."""
    full: bool = False
    """Every slope for every p and L; else one, so that each p and each L meets every slope."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of data and starts."""
    starts: int = 16
    """Starts of every search."""
    residual: float = 1e-7
    """KKT residual up to which a point found counts as a KKT point."""
    tolerance: float = 1e-6
    """Largest relative imbalance and error of the layers' shares."""
    samples: int = 20
    """Number of samples n."""
    dimension: int = 4
    """Input dimension d."""
    hidden: int = 2
    """Neurons in each hidden layer."""
    outputs: int = 2
    """Number of outputs c."""


_SMALLEST = float(np.finfo(float).tiny) ** 0.5
"""Multiplier below which squares underflow: no more known to be nonzero."""


@dataclass(frozen=True)
class Lopsided:
    """`t^2 + t`, which is not homogeneous but says that it is of degree 2."""

    degree: int = 2

    def __call__(self, t: jax.Array) -> jax.Array:
        return t**2 + t


def check(config: Config) -> Verdict:
    """Check the balance of all KKT points that a search finds, over p, L and slopes."""
    rows: list[Row] = []
    for i, p in enumerate(config.degrees):
        for j, depth in enumerate(config.depths):
            count = len(config.slopes)
            slopes = config.slopes if config.full else [config.slopes[(i + j) % count]]
            for slope in slopes:
                rows += _network(config, nsjax.PolyLeakyReLU(p, slope), depth)
    points = f"KKT points: residual at most {config.residual:g}"
    nonzero = f"N != 0: not rounding against the best N, and |lambda| above {_SMALLEST:.0e}"
    statement = "Lemmas 3 and 9: balance at the KKT points of the constrained NCF"
    return Verdict.of(statement, (points, nonzero), rows, _controls(config))


def _data(config: Config, seed: int) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    """Key of the starts; inputs on the sphere and random z."""
    search_key, x_key, z_key = jax.random.split(jax.random.key(seed), 3)
    x = data.sphere(x_key, config.samples, config.dimension)
    return search_key, (x, jax.random.normal(z_key, (config.samples, config.outputs)))


def _found(config: Config, activation: Any, depth: int, seed: int) -> kkt.KKTPoints:
    key, args = _data(config, seed)
    widths = (config.dimension, *(config.hidden,) * (depth - 1), config.outputs)
    objective, sample = objectives.NetworkNCF(activation), partial(networks.init, widths=widths)
    points = kkt.search(
        key, objective, sample, args=args, starts=config.starts, max_steps=500, tol=1e-10
    )
    return jax.tree.map(np.asarray, points)


def _imbalance(params: Any, activation: Any) -> float:
    """Largest imbalance of a neuron, against what its whole layer weighs."""
    pairs = zip(
        diagnostics.imbalance(params, activation),
        diagnostics.neuron_size(params, activation),
        strict=True,
    )
    return max(float(np.max(np.abs(off)) / np.sum(size)) for off, size in pairs)


def _network(config: Config, activation: nsjax.PolyLeakyReLU, depth: int) -> list[Row]:
    p, degree = activation.p, networks.degree(activation, depth)
    shares = np.array([p ** (depth - 1 - layer) for layer in range(depth)]) / degree
    imbalance, layers, multiplier, beside, residuals = [], [], [], [], []
    total = zero = 0
    for seed in config.seeds:
        found = _found(config, activation, depth, seed)
        total += len(found.values)
        nonzero = (found.signs != 0) & (np.abs(found.multipliers) > _SMALLEST)
        zero += np.sum(~nonzero)
        for i in np.flatnonzero(nonzero & (found.residuals <= config.residual)):
            params = jax.tree.map(lambda leaf, i=i: leaf[i], found.points)
            norms = np.array([np.sum(weight**2) for weight in params])
            imbalance.append(_imbalance(params, activation))
            layers.append(np.max(np.abs(norms / shares - 1)))
            multiplier.append(abs(found.multipliers[i] / (degree * found.values[i]) - 1))
            residuals.append(found.residuals[i])
        if nonzero[0]:
            best = jax.tree.map(lambda leaf: leaf[0], found.points)
            beside.append(_beside(activation, best, _data(config, seed)[1]))
    name = f"p={p}, L={depth}, a={activation.slope:g}"
    worst = max(residuals, default=np.nan)
    hypothesis = f"{len(residuals)} of {total} points, residual <= {worst:.0e}; {zero} with N = 0"
    # Every point of a smooth network has to count; with kinks, most of them.
    counted = len(residuals) / max(total - zero, 1)
    met, tolerance = counted >= (1 if activation.smooth else 0.5), config.tolerance
    largest = partial(max, default=np.nan)
    return [
        Row.at_most(f"{name}: imbalance", hypothesis, largest(imbalance), tolerance, met=met),
        Row.at_most(f"{name}: layer shares", hypothesis, largest(layers), tolerance, met=met),
        Row.at_most(
            f"{name}: |lambda / (D N) - 1|", hypothesis, largest(multiplier), 1e-9, met=met
        ),
        Row.at_most(
            f"{name}: imbalance beside the points, over its bound by the residual",
            "at any w with N != 0",
            largest(beside),
            1 + 1e-6,
            met=bool(beside),
        ),
    ]


def _beside(activation: nsjax.PolyLeakyReLU, point: Any, args: tuple) -> float:
    """Largest imbalance of a neuron over its bound, 1e-6 to 1e-1 away from the point."""
    objective, worst = objectives.NetworkNCF(activation), 0.0
    for i, size in enumerate((1e-6, 1e-4, 1e-2, 1e-1)):
        noise = kkt.random_unit(jax.random.key(i), point)
        params = kkt.unit(jax.tree.map(lambda w, n, size=size: w + size * n, point, noise))
        r = float(kkt.residual(objective, params, args=args))
        offs = diagnostics.imbalance(params, activation)
        for off, into, out in zip(offs, params[:-1], params[1:], strict=True):
            scale = np.sqrt(np.sum(into**2, axis=1) + activation.p**2 * np.sum(out**2, axis=0))
            worst = max(worst, float(np.max(np.abs(off) / scale)) * np.sqrt(1 - r**2) / r)
    return worst


def _controls(config: Config) -> list[Row]:
    found = _found(config, Lopsided(), 2, config.seeds[0])
    best = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), found.points)
    dead = (jnp.zeros_like(best[0]), kkt.unit(best[1]))
    square: Any = nsjax.PolyLeakyReLU(2)
    cases = (
        ("t^2 + t, not homogeneous", best, Lopsided()),
        ("N = 0: outgoing weights alone", dead, square),
        ("no KKT point: random", kkt.random_unit(jax.random.key(0), best), square),
    )
    _, args = _data(config, config.seeds[0])
    rows = []
    for name, params, activation in cases:
        objective, off = objectives.NetworkNCF(activation), _imbalance(params, activation)
        residual = float(kkt.residual(objective, params, args=args))
        hypothesis = f"residual {residual:.0e}, N = {float(objective(params, *args)):.2g}"
        rows.append(Row.at_most(f"control: imbalance, {name}", hypothesis, off, config.tolerance))
    return rows
