"""CP terms are neurons: KKT points of their NCF are singular vectors of the residual moment tensor.

*Proposition* (`docs/mathematics.md`, section 6). A term `v prod_j (u_j . x)` of order n has the NCF
`<T v, u_1 o ... o u_n>` on samples with residual r, `T = sum_i r_i o x_i^(o n)`. With v chosen best
and norm one over all factors, a point with nonzero value is a KKT point if and only if all factors
have norm `1 / sqrt n` and, made unit, are singular vectors of T v:
`T v(u_1, .., ., .., u_n) = sigma u_j` in every place j, with `sigma = n^(n/2) phi`. The largest
value is that of the best rank-one approximation of T. So pursuit over CP terms is greedy rank-one
pursuit on T, and takes an orthogonally decomposable tensor apart, the largest component first.

The search never forms T. Here it is formed, the singular vectors are found again by power iteration
in NumPy (of order 2 by an SVD), and greedy deflation is compared with the components that a tensor
was made of.

Controls: factors of unequal norm; a singular vector of other data; and for Gaussian inputs and the
target `x_0^3 + x_1^3`, whose own terms the raw moment tensor does not show: its largest value is
between them, at `(e_0 + e_1) / sqrt 2`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nsjax import data, kkt, networks, objectives
from theory_checks.verdict import Row, Verdict


@dataclass(frozen=True)
class Config:
    """Settings of the check of CP terms."""

    orders: tuple[int, ...] = (2, 3, 4)
    """Orders n of the terms."""
    sizes: tuple[int, ...] = (5, 10, 20)
    """Dimensions of the orthogonally decomposable tensors, of orders 3 and 4."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of data and starts."""
    samples: int = 60
    """Number of samples n of random residuals."""
    dimension: int = 4
    """Their input dimension d."""
    starts: int = 64
    """Starts of every search."""
    powers: int = 1000
    """Power iterations from every start of the comparison."""
    large: int = 100_000
    """Samples of the control with Gaussian inputs."""


def check(config: Config) -> Verdict:
    """Check random residuals of every order, and tensors made of orthogonal components."""
    rows: list[Row] = []
    for seed in config.seeds:
        for order in config.orders:
            rows += _random(config, order, seed)
        for order in (3, 4):
            for size in config.sizes:
                rows += _orthogonal(config, order, size, seed)
    statement = "KKT points of a CP term's NCF are singular vectors of the residual moment tensor"
    hypotheses = ("KKT points: residual below 1e-8, N > 0", "orthogonal components, weights apart")
    return Verdict.of(statement, hypotheses, rows, _controls(config))


def _tensor(x: np.ndarray, r: np.ndarray, order: int) -> np.ndarray:
    """`sum_i r_i x_i^(o n)`."""
    tensor = r[:, None] * x
    for _ in range(order - 1):
        tensor = tensor[..., None] * x.reshape(len(x), *(1,) * (tensor.ndim - 1), -1)
    return tensor.sum(axis=0)


def _contracted(tensor: np.ndarray, units: np.ndarray, place: int) -> np.ndarray:
    """T with a vector in every place but one."""
    for other in range(len(units))[::-1]:
        if other != place:
            tensor = np.moveaxis(tensor, other, -1) @ units[other]
    return tensor


def _search(order: int, x: np.ndarray, r: np.ndarray, starts: int, seed: int) -> kkt.KKTPoints:
    return kkt.search_family(
        jax.random.key(seed),
        networks.ProductNeurons(order),
        jnp.asarray(x),
        jnp.asarray(r)[:, None],
        starts=starts,
        method="ascent",
    )


def _factors(found: kkt.KKTPoints, order: int) -> np.ndarray:
    """Factors `(m, n, d)` of the points, norm one over those of a point."""
    points = np.asarray(found.points[0]).reshape(len(found.values), order, -1)
    return points / np.linalg.norm(points, axis=(1, 2), keepdims=True)


def _sigma(found: kkt.KKTPoints, order: int) -> np.ndarray:
    """Singular values `n^(n/2) phi` of the points."""
    along = (order / (order + 1)) ** (order / 2) * (1 / (order + 1)) ** 0.5
    return order ** (order / 2) * np.asarray(found.values) / along


def _singular_gap(tensor: np.ndarray, units: np.ndarray, sigma: float) -> float:
    """Largest `|T(.., ., ..) -+ sigma u_j|` over places, relative to sigma."""
    gaps = []
    for place, unit in enumerate(units):
        image = _contracted(tensor, units, place)
        gaps.append(np.linalg.norm(image - np.sign(image @ unit) * sigma * unit))
    return float(max(gaps) / sigma)


def _best_by_powers(tensor: np.ndarray, starts: int, steps: int, seed: int) -> float:
    """Largest singular value by alternating power iteration; of a matrix by its SVD."""
    if tensor.ndim == 2:
        return float(np.linalg.svd(tensor, compute_uv=False)[0])
    rng, best = np.random.default_rng(seed), 0.0
    for _ in range(starts):
        units = rng.normal(size=(tensor.ndim, len(tensor)))
        units /= np.linalg.norm(units, axis=1, keepdims=True)
        value = 0.0
        for step in range(steps):
            image = _contracted(tensor, units, step % tensor.ndim)
            units[step % tensor.ndim] = image / np.linalg.norm(image)
            if step % 50 == 49:
                if np.linalg.norm(image) <= value * (1 + 1e-15):
                    break
                value = float(np.linalg.norm(image))
        best = max(best, value)
    return best


def _random(config: Config, order: int, seed: int) -> list[Row]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(config.samples, config.dimension))
    r = rng.normal(size=config.samples)
    tensor = _tensor(x, r, order)
    found = _search(order, x, r, config.starts, seed)
    factors, sigma = _factors(found, order), _sigma(found, order)
    sound = np.asarray((found.residuals < 1e-8) & (found.signs > 0))
    norms = np.linalg.norm(factors, axis=2) * order**0.5
    units = factors * order**0.5
    random = rng.normal(size=(order, config.dimension))
    own = float(objectives.TensorNCF()(jnp.asarray(random), jnp.asarray(tensor)))
    direct = float(np.sum(r * np.prod(x @ random.T, axis=1)))
    best = _best_by_powers(tensor, config.starts // 4, config.powers, seed)
    hypothesis = f"{np.sum(sound)} of {len(sound)} points, residual {np.max(found.residuals):.0e}"
    row = partial(_row, f"order {order}, seed {seed}", hypothesis, bool(np.all(sound)))
    gaps = [_singular_gap(tensor, u, s) for u, s in zip(units, sigma, strict=True)]
    return [
        row("|NCF / contraction of T - 1| at a random point", abs(own / direct - 1), 1e-10),
        row("norms of factors, sqrt(n) ||u_j|| - 1", np.max(np.abs(norms - 1)), 1e-8),
        row("singular vectors, largest gap over sigma", max(gaps), 1e-7),
        row("largest sigma / that of power iteration - 1", abs(sigma[0] / best - 1), 1e-10),
    ]


def _orthogonal(config: Config, order: int, size: int, seed: int) -> list[Row]:
    """A tensor of orthogonal components, given as it is, and taken apart greedily."""
    rng = np.random.default_rng([seed, size, order])
    vectors = np.linalg.qr(rng.normal(size=(size, size)))[0]
    weights = rng.permutation(np.linspace(0.5, 2.0, size)) * rng.choice([-1, 1], size)
    # The residual tensor: the components, and behind them the terms taken, with their signs turned.
    x, r = np.concatenate([vectors, 0 * vectors]), np.append(weights, 0 * weights)
    taken: list[int] = []
    spread = gap = 0.0
    for round_ in range(size):
        found = _search(order, x, r, config.starts, 1000 * seed + round_)
        factors = _factors(found, order)[0]
        spread = max(spread, float(np.ptp(np.linalg.norm(factors, axis=1))) * order**0.5)
        unit = factors[0] * order**0.5
        value = float(np.sum(r * (x @ unit) ** order))
        place = int(np.argmax(np.abs(vectors @ unit)))
        gap = max(gap, abs(abs(value) - abs(weights[place])), 1 - abs(vectors[place] @ unit))
        taken.append(place)
        x[size + round_], r[size + round_] = unit, -value
    row = partial(_row, f"orthogonal, order {order}, d={size}, seed {seed}", "greedy", True)
    strongest_first = np.argsort(-np.abs(weights))
    return [
        row("components not found", size - len(set(taken)), 0),
        row("found after a weaker one", int(np.sum(np.asarray(taken) != strongest_first)), 0),
        row("weights and directions, largest difference", gap, 1e-8),
        row("norms of factors, largest spread", spread, 1e-8),
    ]


def _row(name: str, hypothesis: str, met: bool, claim: str, measured: Any, bound: float) -> Row:
    return Row.at_most(f"{name}: {claim}", hypothesis, measured, bound, met=met)


def _controls(config: Config) -> list[Row]:
    order, seed = 3, config.seeds[0]
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(config.samples, config.dimension))
    r = rng.normal(size=config.samples)
    found = _search(order, x, r, config.starts, seed)
    units, sigma = _factors(found, order)[0] * order**0.5, _sigma(found, order)[0]
    other = _tensor(x, rng.permutation(r), order)
    unequal = jnp.asarray(units / order**0.5 * np.array([2.0, 1.0, 0.5])[:, None])
    tensor = jnp.asarray(_tensor(x, r, order))
    row = partial(_row, "control", "order 3", True)
    inputs = np.asarray(data.gaussian(jax.random.key(seed), config.large, 2))
    cubes = inputs[:, 0] ** 3 + inputs[:, 1] ** 3
    raw = _search(order, inputs, cubes / config.large, config.starts, seed)
    top = _factors(raw, order)[0, 0] * order**0.5
    return [
        row(
            "factors of unequal norm, KKT residual",
            kkt.residual(objectives.TensorNCF(), unequal, args=(tensor,)),
            1e-2,
        ),
        row("permuted residuals, gap over sigma", _singular_gap(other, units, sigma), 1e-2),
        row(
            "Gaussian x, x_0^3 + x_1^3: top direction against e_0 or e_1, 1 - |cosine|",
            1 - np.max(np.abs(top)),
            1e-2,
        ),
    ]
