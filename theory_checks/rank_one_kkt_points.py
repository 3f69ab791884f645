"""Rank one: at the dominant KKT point of a deep network every weight matrix has rank one.

Setting of neuron pursuit (arXiv 2509.12154), section 2: KKT points of `N(w) = <z, H(x; w)>` on the
unit sphere. Let `z^T x` have singular values `sigma_k` with vectors `u_k, v_k`.

*Linear networks* (p = 1, a = 1). Layers of rank one with norms^2 `1/L` and aligned vectors,
`W_1 = a_1 v_k^T / sqrt L, ..., W_L = u_k a_{L-1}^T / sqrt L`, are KKT points of value
`L^(-L/2) sigma_k`, maxima for the largest sigma_k alone. For L > 2 several modes together are one
too, a saddle, if mode k has a share proportional to `sigma_k^(-2/(L-2))` of the squared norm; its
value is `L^(-L/2) (sum_k sigma_k^(-2/(L-2)))^(-(L-2)/2)`.

*Monomials* (p >= 2, a = 1). By Banach's theorem the symmetric tensor `T = sum_i z_i x_i^(o P)`,
`P = p^(L-1)`, is largest at one repeated vector, and to spread a norm over several neurons lowers
what a layer puts out. So one neuron is alive in every hidden layer of the dominant KKT point, and

    N* = tau prod_l (p^(L-l) / D)^(p^(L-l) / 2),    tau = max over unit u of |T(u, ..., u)|,

where tau is what one neuron of degree P sees. For other slopes the argument covers the last hidden
layer alone, whose neurons add up; rank one in the first ones is an observation.

Controls: two modes in equal shares, and vectors that do not line up.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import nsjax
from nsjax import data, kkt, networks, objectives
from theory_checks.verdict import Row, Verdict


@dataclass(frozen=True)
class Config:
    """Settings of the check of rank-one KKT points."""

    depths: tuple[int, ...] = (2, 3, 4)
    """Numbers of layers L of the linear networks."""
    deep: tuple[tuple[int, float], ...] = ((2, 1.0), (3, 1.0), (2, 0.5), (2, 0.0), (3, 0.0))
    """Degree and slope of the three-layer networks that are not linear."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of data and starts."""
    starts: int = 64
    """Starts of every search."""
    samples: int = 40
    """Number of samples n."""
    dimension: int = 4
    """Input dimension d."""
    hidden: int = 3
    """Neurons in each hidden layer."""
    outputs: int = 2
    """Number of outputs c."""


LINEAR = nsjax.PolyLeakyReLU(1, 1.0)


def check(config: Config) -> Verdict:
    """Check linear networks of several depths, and three layers of other activations."""
    rows: list[Row] = []
    for seed in config.seeds:
        for depth in config.depths:
            rows += _linear(config, depth, seed)
        for p, slope in config.deep:
            rows += _deep(config, nsjax.PolyLeakyReLU(p, slope), seed)
    statement = "Rank one in every layer at the dominant KKT point, and its value"
    hypotheses = ("singular values of z^T x that differ", "KKT points: residual below 1e-7, N > 0")
    return Verdict.of(statement, hypotheses, rows, _controls(config))


def _data(config: Config, seed: int) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    search_key, x_key, z_key = jax.random.split(jax.random.key(seed), 3)
    x = data.sphere(x_key, config.samples, config.dimension)
    return search_key, (x, jax.random.normal(z_key, (config.samples, config.outputs)))


def _search(
    config: Config, activation: Any, depth: int, seed: int, point: Any = None
) -> kkt.KKTPoints:
    """KKT points from random starts; or what the search says of a given one."""
    key, args = _data(config, seed)
    widths = (config.dimension, *(config.hidden,) * (depth - 1), config.outputs)
    draw = partial(networks.init, widths=widths)
    return kkt.search(
        key,
        objectives.NetworkNCF(activation),
        draw if point is None else lambda _: point,
        args=args,
        starts=config.starts,
        tol=1e-10,
    )


def _modes(
    config: Config, depth: int, seed: int, shares: dict[int, float], *, turned: bool = False
) -> Any:
    """A linear network with modes k of `z^T x` in these shares, in a random hidden basis.

    `turned` gives the first layer's modes the wrong inputs.
    """
    _, (x, z) = _data(config, seed)
    left, _, right = np.linalg.svd(np.asarray(z.T @ x))
    hidden = np.linalg.qr(np.random.default_rng(seed).normal(size=(config.hidden,) * 2))[0]
    modes = list(shares)
    sizes = np.diag(np.sqrt([shares[k] / depth for k in modes]))
    inner, inputs = hidden[:, : len(modes)], right[[k + turned for k in modes]]
    first, last = inner @ sizes @ inputs, left[:, modes] @ sizes @ inner.T
    return tuple(jnp.asarray(w) for w in (first, *[inner @ sizes @ inner.T] * (depth - 2), last))


def _rank(point: Any) -> float:
    """Second over first singular value, the largest of all layers."""
    values = [np.linalg.svd(np.asarray(weight), compute_uv=False) for weight in point]
    return max(float(each[1] / each[0]) for each in values if len(each) > 1)


def _linear(config: Config, depth: int, seed: int) -> list[Row]:
    _, (x, z) = _data(config, seed)
    sigma = np.linalg.svd(np.asarray(z.T @ x), compute_uv=False)[: config.hidden]
    gap = float(np.min(-np.diff(sigma)) / sigma[0])
    values, power = depth ** (-depth / 2) * sigma, depth - 2

    def at(shares: dict[int, float]) -> kkt.KKTPoints:
        return _search(config, LINEAR, depth, seed, _modes(config, depth, seed, shares))

    one = [at({k: 1.0}) for k in range(len(sigma))]
    maxima = [bool(point.is_maximum[0]) for point in one]
    best = _search(config, LINEAR, depth, seed)
    dominant = jax.tree.map(lambda leaf: leaf[0], best.points)
    norms = np.array([np.sum(weight**2) for weight in dominant])
    row = partial(_row, f"linear, L={depth}, seed {seed}", f"gap {gap:.1e}", gap > 1e-3)
    rows = [
        row("rank one points, residual", max(float(p.residuals[0]) for p in one), 1e-12),
        row("their values / L^(-L/2) sigma_k - 1", _off([p.values[0] for p in one], values), 1e-12),
        row("maxima among them but the first", sum(maxima[1:]) + (not maxima[0]), 0),
        row("best value found / predicted - 1", _off(best.values[0], values[0]), 1e-10),
        row("its second singular value over the first", _rank(dominant), 1e-6),
        row("its layers' squared norms, L ||W_l||^2 - 1", _off(norms, 1 / depth), 1e-6),
    ]
    if power > 0:
        weights = sigma ** (-2 / power)
        mixed = at(dict(enumerate(weights / np.sum(weights))))
        value = depth ** (-depth / 2) * np.sum(weights) ** (-power / 2)
        rows += [
            row("all modes together, residual", mixed.residuals[0], 1e-12),
            row("their value / predicted - 1", _off(mixed.values[0], value), 1e-12),
            row("they are a maximum", bool(mixed.is_maximum[0]), 0),
        ]
    return rows


def _deep(config: Config, activation: nsjax.PolyLeakyReLU, seed: int) -> list[Row]:
    depth, p = 3, activation.p
    key, (x, z) = _data(config, seed)
    found = _search(config, activation, depth, seed)
    ranks = np.array([_rank(point) for point in zip(*found.points, strict=True)])
    good = np.asarray((found.residuals < 1e-7) & (found.signs > 0))
    most = np.max(ranks[good], initial=0)
    hypothesis = f"residual {found.residuals[0]:.0e}; at all {np.sum(good)} found {most:.0e}"
    name = f"p={p}, a={activation.slope:g}, L={depth}, seed {seed}"
    row = partial(_row, name, hypothesis, bool(good[0]))
    rows = [row("dominant point, second singular value over the first", ranks[0], 1e-6)]
    if activation.slope == 1:
        powers = p ** np.arange(depth)
        power, degree = int(powers[-1]), networks.degree(activation, depth)
        empty = (jnp.zeros((1, x.shape[1])), jnp.zeros((z.shape[1], 1)))
        neuron = kkt.search_neuron(key, empty, 1, x, z, nsjax.PolyLeakyReLU(power))
        tau = float(neuron.values[0]) * (power + 1) ** ((power + 1) / 2) / power ** (power / 2)
        value = tau * np.prod((powers / degree) ** (powers / 2))
        rows.append(row("dominant value / predicted - 1", _off(found.values[0], value), 1e-9))
    return rows


def _off(measured: Any, predicted: Any) -> float:
    return float(np.max(np.abs(np.asarray(measured) / np.asarray(predicted) - 1)))


def _row(name: str, hypothesis: str, met: bool, claim: str, measured: Any, bound: float) -> Row:
    return Row.at_most(f"{name}: {claim}", hypothesis, measured, bound, met=met)


def _controls(config: Config) -> list[Row]:
    seed, objective = config.seeds[0], objectives.NetworkNCF(LINEAR)
    equal = _modes(config, 3, seed, {0: 0.5, 1: 0.5})
    turned = _modes(config, 3, seed, {0: 0.6, 1: 0.4}, turned=True)
    row = partial(_row, "control", "linear, L=3", True)
    _, args = _data(config, seed)
    return [
        row("two modes in equal shares, residual", kkt.residual(objective, equal, args=args), 1e-2),
        row(
            "inputs that do not line up, residual", kkt.residual(objective, turned, args=args), 1e-2
        ),
    ]
