"""Trials: encodings drawn once, many sets of targets, first visits of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsjax import _check
from nsjax.neuronseek.orbits.exact import logistic_orbits, random_words, tent_orbits
from nsjax.neuronseek.orbits.maps import MAPS, float_orbits
from nsjax.neuronseek.orbits.statistics import arcsine, empirical, uniform
from nsjax.neuronseek.orbits.visits import visits

if TYPE_CHECKING:
    from jaxtyping import Float, Int, PRNGKeyArray

EXACT = {"tent": (tent_orbits, uniform), "logistic": (logistic_orbits, arcsine)}
"""Maps with orbits that are exact at any depth, and the distribution function of each."""
SETTLE = 1000
"""Steps by which other maps forget that their starts are uniform."""


class Trials(NamedTuple):
    """First visits of R trials.

    Attributes:
        depths: smallest depth within each eps, `(R, E)`; -1 if there is none.
        errors: smallest error within each budget of depth, `(R, B)`.
        targets: targets of each, `(R, K)`.
    """

    depths: Int[np.ndarray, "r e"]
    errors: Float[np.ndarray, "r b"]
    targets: Float[np.ndarray, "r k"]


def draw_orbits(key: PRNGKeyArray, name: str, count: int, steps: int) -> Float[np.ndarray, "k m"]:
    """Orbits of a map of `MAPS` from random encodings, `(count, steps + 1)`.

    Those of the tent and logistic map are exact. Others are in floating point: orbits with noise of
    one rounding a step, whose statistics are measured, and not those of a given encoding.

    Args:
        key: PRNG key of the encodings.
        name: of a map, one of `MAPS`.
        count: how many orbits.
        steps: of each.

    Raises:
        TypeError, ValueError: for a bad key, an unknown map, or bad counts.

    >>> draw_orbits(jax.random.key(0), "tent", 2, 40).shape
    (2, 41)
    """
    _check.key("key", key)
    _check.choice("name", name, tuple(MAPS))
    if name in EXACT:
        return EXACT[name][0](random_words(key, steps, count=count), steps)
    starts = jax.random.uniform(key, (count,))
    return np.asarray(float_orbits(MAPS[name], starts, steps + SETTLE))[:, SETTLE:]


def invariant_cdf(key: PRNGKeyArray, name: str, steps: int = 2**20) -> Any:
    """Distribution function of the invariant measure: known for `EXACT`, else of a fresh orbit.

    A cell of the latter holds some thousand of its points.

    Args:
        key: PRNG key of the orbit.
        name: of a map, one of `MAPS`.
        steps: of the orbit.

    Raises:
        TypeError, ValueError: as `draw_orbits`.

    >>> invariant_cdf(jax.random.key(0), "tent")([0.25]).tolist()  # of the density 1
    [0.25]
    """
    _check.key("key", key)
    _check.choice("name", name, tuple(MAPS))
    return EXACT[name][1] if name in EXACT else empirical(draw_orbits(key, name, 1, steps))


def trials(
    key: PRNGKeyArray,
    name: str,
    points: int,
    *,
    steps: int,
    eps: Any = (),
    budgets: Any = (),
    sets: int = 8,
    targets: int = 64,
) -> Trials:
    """First visits of K encodings to uniform random targets.

    Args:
        key: of encodings and targets.
        name: of a map, one of `MAPS`.
        points: K, fitted at once.
        steps: depth of the orbits.
        eps: distances, `(E,)`.
        budgets: depths, `(B,)`.
        sets: how often encodings are drawn; each set serves all its targets.
        targets: sets of targets for each set of encodings.

    Raises:
        TypeError, ValueError: for an unknown map and bad numbers.
    """
    _check.key("key", key)
    _check.choice("name", name, tuple(MAPS))
    points = _check.positive_integer("points", points)
    targets = _check.positive_integer("targets", targets)
    depths, errors, goals = [], [], []
    for each in jax.random.split(key, _check.positive_integer("sets", sets)):
        start, goal = jax.random.split(each)
        orbits = jnp.asarray(draw_orbits(start, name, points, steps))
        goals.append(jax.random.uniform(goal, (targets, points), orbits.dtype))
        found = visits(orbits, goals[-1], eps=jnp.asarray(eps), budgets=jnp.asarray(budgets, int))
        depths.append(np.asarray(found.depths))
        errors.append(np.asarray(found.errors))
    return Trials(*(np.concatenate(each) for each in (depths, errors, goals)))


def same_depth(
    key: PRNGKeyArray, *, steps: int, eps: Any, targets: int = 512
) -> Float[np.ndarray, " e"]:
    """Share of first visits of a float64 orbit of the logistic map at the depth of the exact one.

    Both orbits start at the same encoding, rounded for the first. Only trials with a visit of the
    exact orbit count; NaN if there are none.

    Args:
        key: of encoding and targets.
        steps: depth of the orbits.
        eps: distances, `(E,)`.
        targets: number of targets.

    Raises:
        TypeError, ValueError: for a bad key or bad counts.
    """
    _check.key("key", key)
    start, goal = jax.random.split(key)
    exact = jnp.asarray(draw_orbits(start, "logistic", 1, steps))
    rounded = float_orbits(MAPS["logistic"], exact[:, 0], steps)
    goals = jax.random.uniform(goal, (targets, 1), exact.dtype)
    pair = [np.asarray(visits(x, goals, eps=jnp.asarray(eps)).depths) for x in (exact, rounded)]
    seen = np.sum(pair[0] > 0, axis=0)
    return np.where(
        seen, np.sum((pair[0] == pair[1]) & (pair[0] > 0), axis=0), np.nan
    ) / np.maximum(seen, 1)
