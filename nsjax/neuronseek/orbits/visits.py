"""First visits: the smallest depth at which iterates come close to targets, and how close by when.

Encodings `x_1, ..., x_K` are fixed beforehand. Depth m fits the targets within eps if
`max_k |T^m(x_k) - y_k| < eps`. One pass along the orbits serves all eps and all budgets of depth:
only the records of the distance are looked at, block by block.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, reduce
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsjax import _check
from nsjax.neuronseek.orbits.maps import NeuronMap, check_map

if TYPE_CHECKING:
    from jaxtyping import Array, Float, Int

BLOCK = 1024
"""Depths looked at together."""


class Visits(NamedTuple):
    """What orbits of K encodings reach.

    Attributes:
        depths: smallest depth m >= 1 within eps of each target set, `(R, E)`; -1 if there is none.
        errors: smallest `max_k |T^m(x_k) - y_k|` over `1 <= m <= budget`, `(R, B)`.
    """

    depths: Int[Array, "r e"]
    errors: Float[Array, "r b"]


def visits(
    orbits: Float[Array, "k m"],
    targets: Float[Array, "r k"],
    *,
    eps: Float[Array, " e"] = (),  # type: ignore[assignment]
    budgets: Int[Array, " b"] = (),  # type: ignore[assignment]
) -> Visits:
    """First visits of orbits to many sets of targets, for many eps and budgets of depth.

    Args:
        orbits: orbits of K encodings, `(K, M + 1)`, starts included.
        targets: R sets of K targets, `(R, K)`.
        eps: distances, `(E,)`.
        budgets: depths, `(B,)`, at most M.

    Raises:
        TypeError, ValueError: for shapes that do not fit, eps that are not positive, and budgets
            outside 1 to M.

    >>> orbit = jnp.array([[0.1, 0.3, 0.5, 0.9]])
    >>> found = visits(orbit, jnp.array([[0.52]]), eps=jnp.array([0.25, 0.1, 0.01]))
    >>> found.depths.tolist()
    [[1, 2, -1]]
    """
    orbits = _check.matrix("orbits", orbits)
    targets = _check.matrix("targets", targets, columns=orbits.shape[0]).astype(orbits.dtype)
    depth = orbits.shape[1] - 1
    near = _distances(eps).astype(orbits.dtype)
    limits = jnp.asarray(budgets, int).reshape(-1)
    if depth < 1 or not bool(((limits >= 1) & (limits <= depth)).all()):
        raise ValueError(f"budgets must lie between 1 and the depth {depth}, got {budgets!r}")
    return _visits(orbits, targets, near, limits)


def _distances(eps: Any) -> jax.Array:
    """A vector of positive numbers; it may be empty."""
    near = _check.array("eps", eps)
    if near.ndim != 1 or not bool((near > 0).all()):
        raise ValueError(f"eps must be a vector of positive numbers, got {eps!r}")
    return near


@jax.jit
def _visits(orbits: jax.Array, targets: jax.Array, eps: jax.Array, limits: jax.Array) -> Visits:
    depth = orbits.shape[1] - 1
    padding = ((0, 0), (0, -depth % BLOCK))
    # Places beyond the end are infinitely far from every target.
    blocks = jnp.pad(orbits[:, 1:], padding, constant_values=jnp.inf)
    blocks = blocks.reshape(orbits.shape[0], -1, BLOCK)
    last = blocks.shape[1] - 1

    def distances(some: jax.Array, target: jax.Array) -> jax.Array:
        # Written out over the K points, it is one pass: three times as fast as a maximum.
        return reduce(jnp.maximum, [jnp.abs(x - y) for x, y in zip(some, target, strict=True)])

    def one(target: jax.Array) -> tuple[jax.Array, jax.Array]:
        records = jax.lax.cummin(jnp.min(distances(blocks, target), axis=1))
        place = jnp.searchsorted(-records, -eps, side="right")
        within = distances(blocks[:, jnp.minimum(place, last)], target) < eps[:, None]
        depths = place * BLOCK + jnp.argmax(within, axis=1) + 1
        full, rest = limits // BLOCK, limits % BLOCK
        before = jnp.where(full > 0, records[full - 1], jnp.inf)
        inside = distances(blocks[:, jnp.minimum(full, last)], target)
        begun = jnp.where(jnp.arange(BLOCK) < rest[:, None], inside, jnp.inf)
        errors = jnp.minimum(before, jnp.min(begun, axis=1))
        return jnp.where(place > last, -1, depths), errors

    return Visits(*jax.lax.map(one, targets))


def masses(
    cdf: Callable[[Any], Any], targets: Float[np.ndarray, "r k"], eps: Float[np.ndarray, " e"]
) -> Float[np.ndarray, "r e"]:
    """Probability `prod_k mu([y_k - eps, y_k + eps])` that a step visits each target set.

    Args:
        cdf: distribution function of the invariant measure mu, of arrays in [0, 1].
        targets: R sets of K targets, `(R, K)`.
        eps: distances, `(E,)`.

    Raises:
        TypeError, ValueError: for shapes that do not fit, and eps that are not positive.

    >>> masses(lambda x: x, np.full((1, 2), 0.5), np.array([0.1])).round(4).tolist()  # (2 eps)^2
    [[0.04]]
    """
    _check.function("cdf", cdf)
    _check.matrix("targets", targets)
    _distances(eps)
    targets, eps = np.asarray(targets, float), np.asarray(eps, float)
    low = np.clip(targets[..., None] - eps, 0, 1)
    high = np.clip(targets[..., None] + eps, 0, 1)
    return np.prod(np.asarray(cdf(high)) - np.asarray(cdf(low)), axis=1)


@partial(jax.jit, static_argnames=("map", "steps"))
def _widths(
    map: NeuronMap, low: jax.Array, high: jax.Array, targets: jax.Array, eps: jax.Array, steps: int
) -> jax.Array:
    def step(ends: tuple[jax.Array, jax.Array], _: None) -> tuple[Any, jax.Array]:
        low, high = ends
        left, right = map(low), map(high)
        over = (low <= map.peak) & (map.peak <= high)
        top = jnp.where(over, map(jnp.asarray(map.peak, low.dtype)), jnp.maximum(left, right))
        bottom = jnp.minimum(left, right)
        met = (bottom < targets + eps) & (top > targets - eps)
        return (bottom, top), jnp.all(met, axis=-1)

    return jax.lax.scan(step, (low, high), length=steps)[1]


def free_depths(
    map: NeuronMap,
    encodings: Float[Array, " k"],
    targets: Float[Array, "r k"],
    eps: Float[Array, " e"],
    *,
    most: int = 60,
) -> Int[np.ndarray, "r e"]:
    """Smallest depth if every encoding may be moved by up to eps once the targets are known.

    It is the first m at which every image `T^m([x_k - eps, x_k + eps])` meets
    `(y_k - eps, y_k + eps)`: the encodings then carry the targets, and the depth grows like
    log(1/eps), for any K.

    Args:
        map: the map.
        encodings: K points, `(K,)`.
        targets: R sets of K targets, `(R, K)`.
        eps: distances, `(E,)`.
        most: largest depth; -1 where it does not do.

    Raises:
        TypeError, ValueError: for another map, points outside [0, 1], shapes that do not fit, and
            numbers that are not positive.
    """
    check_map(map)
    most = _check.positive_integer("most", most)
    encodings = _check.vector("encodings", encodings, np.size(encodings))
    if not bool(((encodings >= 0) & (encodings <= 1)).all()):
        raise ValueError("encodings must lie in [0, 1], got one outside")
    targets = _check.matrix("targets", targets, columns=encodings.size)
    near = _distances(eps)[:, None]
    low, high = jnp.clip(encodings - near, 0, 1), jnp.clip(encodings + near, 0, 1)
    shape = (len(targets), *low.shape)
    low, high = jnp.broadcast_to(low, shape), jnp.broadcast_to(high, shape)
    met = np.asarray(_widths(map, low, high, targets[:, None], near, most))
    return np.where(met.any(axis=0), np.argmax(met, axis=0) + 1, -1)
