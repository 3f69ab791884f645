"""Statistics of orbits: Lyapunov exponents, invariant densities, transitions between cells."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsjax import _check
from nsjax.neuronseek.orbits.maps import NeuronMap, check_map

if TYPE_CHECKING:
    from jaxtyping import Array, Float

OUTSIDE = 1e-9
"""How far outside [0, 1] rounding may carry a point."""
BATCHES = 32
"""Parts of an orbit whose means give a standard error."""


class Lyapunov(NamedTuple):
    """A Lyapunov exponent.

    Attributes:
        exponent: mean of `log |T'|` along the orbit, in nats a step.
        error: standard error, by means over parts of the orbit.
    """

    exponent: float
    error: float


def lyapunov(map: NeuronMap, orbit: Float[Array, " m"]) -> Lyapunov:
    """The Lyapunov exponent `lim 1/m sum log |T'(x_j)|` along an orbit.

    Args:
        map: the map.
        orbit: its points, `(m,)`; an exact orbit, or one with noise.

    Raises:
        TypeError, ValueError: for an orbit shorter than `BATCHES`.

    >>> from nsjax.neuronseek.orbits.maps import TENT
    >>> round(lyapunov(TENT, jnp.linspace(0.01, 0.99, 100)).exponent, 6)
    0.693147
    """
    check_map(map)
    orbit = _check.vector("orbit", orbit, np.size(orbit))
    if orbit.size < BATCHES:
        raise ValueError(f"orbit must have {BATCHES} points or more, got {orbit.size}")
    logs = np.asarray(_log_slopes(map, orbit))
    parts = [each.mean() for each in np.array_split(logs, BATCHES)]
    return Lyapunov(float(logs.mean()), float(np.std(parts, ddof=1) / np.sqrt(BATCHES)))


@partial(jax.jit, static_argnames="map")
def _log_slopes(map: NeuronMap, x: jax.Array) -> jax.Array:
    return jnp.log(jnp.abs(map.slope(x)))


def cell_masses(orbit: Any, cells: int) -> Float[np.ndarray, " c"]:
    """Share of an orbit in each of so many equal cells of [0, 1].

    Args:
        orbit: points of [0, 1], an array of any shape.
        cells: number of cells.

    Raises:
        TypeError, ValueError: for points outside, none, or a bad number of cells.

    >>> cell_masses([0.1, 0.6, 0.7, 0.9], 2).tolist()
    [0.25, 0.75]
    """
    _check.array("orbit", orbit)
    orbit = np.asarray(orbit, float).reshape(-1)
    if not orbit.size or orbit.min() < -OUTSIDE or orbit.max() > 1 + OUTSIDE:
        raise ValueError("orbit must have points of [0, 1], got none, or some outside")
    cells = _check.positive_integer("cells", cells)
    places = np.clip((orbit * cells).astype(int), 0, cells - 1)
    return np.bincount(places, minlength=cells) / orbit.size


def arcsine(x: Any) -> Any:
    """Distribution function `2/pi asin(sqrt x)` of the density `1/(pi sqrt(x (1 - x)))`.

    It is the invariant one of the full logistic map.

    >>> print(arcsine(0.5).round(6))
    0.5
    """
    return 2 / np.pi * np.arcsin(np.sqrt(np.asarray(x, float)))


def uniform(x: Any) -> Any:
    """Distribution function of the invariant density 1 of the tent map, x itself on [0, 1].

    >>> uniform([0.25]).tolist()
    [0.25]
    """
    return np.asarray(x, float)


def empirical(orbit: Any, *, cells: int = 1024) -> Any:
    """Distribution function of an orbit's points, with a constant density in each equal cell.

    >>> print(empirical([0.1, 0.6, 0.7, 0.9], cells=2)(np.array([0.25, 0.5, 1.0])))
    [0.125 0.25  1.   ]
    """
    reached = np.concatenate([[0.0], np.cumsum(cell_masses(orbit, cells))])
    edges = np.linspace(0, 1, cells + 1)
    return lambda x: np.interp(x, edges, reached)


def transitions(map: NeuronMap, cells: int) -> Float[np.ndarray, "c c"]:
    """Share of each of so many equal cells that the map carries to each other one (Ulam).

    `P_ij = |I_i n T^-1 I_j| / |I_i|`, from the two preimages of every border by bisection.

    Args:
        map: a map with `T(0) = T(1) = 0` and one maximum, at most 1.
        cells: number of cells.

    Raises:
        TypeError, ValueError: for another map, and a bad number of cells.

    >>> from nsjax.neuronseek.orbits import tent
    >>> transitions(tent(), 2).round(3).tolist()
    [[0.5, 0.5], [0.5, 0.5]]
    """
    ends = np.asarray(check_map(map)(jnp.array([0.0, 1.0, map.peak])))
    if np.max(np.abs(ends[:2])) > 1e-6 or ends[2] > 1 + 1e-6:
        raise ValueError(
            f"map must be 0 at 0 and 1 and at most 1, got {ends} there and at its peak"
        )
    borders = jnp.linspace(0.0, 1.0, _check.positive_integer("cells", cells) + 1)
    left, right = (np.asarray(each) for each in _preimages(map, borders))
    edges = np.asarray(borders)

    def shared(low: np.ndarray, high: np.ndarray) -> np.ndarray:
        most = np.minimum(edges[1:, None], high)
        return np.maximum(most - np.maximum(edges[:-1, None], low), 0)

    both = shared(left[:-1], left[1:]) + shared(right[1:], right[:-1])
    return both / both.sum(axis=1, keepdims=True)


@partial(jax.jit, static_argnames="map")
def _preimages(map: NeuronMap, values: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Both preimages of every value; of those that are not taken, the peak."""

    def halve(_: int, ends: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        outer, inner = ends
        middle = (outer + inner) / 2
        below = map(middle) < values
        return jnp.where(below, middle, outer), jnp.where(below, inner, middle)

    peak = jnp.full_like(values, map.peak)
    found = [
        jax.lax.fori_loop(0, 60, halve, (jnp.full_like(values, outer), peak))[0]
        for outer in (0.0, 1.0)
    ]
    return found[0], found[1]


def stationary(matrix: Float[np.ndarray, "c c"]) -> Float[np.ndarray, " c"]:
    """The distribution that a stochastic matrix keeps, by least squares.

    Args:
        matrix: P, `(c, c)`, with rows that sum to 1, such as `transitions` gives.

    Raises:
        TypeError, ValueError: for another matrix.

    >>> stationary(np.array([[0.5, 0.5], [1.0, 0.0]])).round(4).tolist()
    [0.6667, 0.3333]
    """
    _check.matrix("matrix", matrix)
    matrix = np.asarray(matrix, float)
    n = len(matrix)
    if matrix.shape != (n, n) or np.max(np.abs(matrix.sum(axis=1) - 1)) > 1e-6:
        raise ValueError("matrix must be square with rows that sum to 1")
    system = np.vstack([matrix.T - np.eye(n), np.ones(n)])
    return np.linalg.lstsq(system, np.append(np.zeros(n), 1.0), rcond=None)[0]


def mixing(matrix: Float[np.ndarray, "c c"], steps: int) -> Float[np.ndarray, " n"]:
    """Total variation from the stationary distribution after 0, ..., steps steps.

    Of the start among the cells whose distance is largest: `max_i 1/2 sum_j |P^n_ij - pi_j|`.

    Args:
        matrix: P, as in `stationary`.
        steps: up to so many.

    Returns:
        `(steps + 1,)`.

    Raises:
        TypeError, ValueError: for another matrix, or a bad number of steps.

    >>> mixing(np.full((2, 2), 0.5), 1).round(4).tolist()
    [0.5, 0.0]
    """
    matrix = np.asarray(matrix)
    goal, power, found = stationary(matrix), np.eye(len(matrix)), []
    for _ in range(_check.non_negative_integer("steps", steps) + 1):
        found.append(np.max(np.abs(power - goal).sum(axis=1)) / 2)
        power = power @ matrix
    return np.array(found)
