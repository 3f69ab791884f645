"""Which levels an envelope is measured at, and from where: a pilot, then the ladder that counts.

The pilot spans every level that the function has within the radius and above rounding. It says how
far the points of a level lie from the critical set, at most the integral of `df / ||grad f||`. The
ladder that counts looks no further than twice that: where minima form a valley, its points close in
on the given one, and the constants are this point's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsjax.diagnostics.envelope import follow
from nsjax.diagnostics.restricted import Metric, Place, Restricted, along_rays

DECADES = 22.0
"""Decades of the pilot ladder, at most."""
ROUNDINGS = 1e3
"""Levels and gradients have to be so many times their rounding."""
CRITICAL = 30.0
"""Gradients have to be so many times that at the point."""
GAIN = 1e-2
"""A search has settled if going over it again lowers no gradient norm by this share."""
CLOSING = 0.7
"""Points close in on the given one if the lowest lie at less than this share of the farthest."""
ROUNDS, PILOT_ROUNDS = 4, 2
"""How often a ladder is gone over until it has settled, at most."""


class Spectrum(NamedTuple):
    """Of the point: gradient norm, eigenvalues `(d,)` and eigenvectors `(d, d)` of the Hessian."""

    grad_norm: float
    eigenvalues: np.ndarray
    basis: np.ndarray


class Envelope(NamedTuple):
    """The lower envelope of `||grad f||` on one side of f*, levels rising.

    Attributes:
        levels: `|f - f*|`, `(m,)`.
        gradients: smallest `||grad f||` found at each level, within `radii`, `(m,)`.
        distances: of the points where it was found, `(m,)`.
        radii: to which the search was confined, `(m,)`.
        ball_levels, ball_gradients: the same within the whole sample radius, at other levels,
            `(k,)`.
        change: share by which the last search lowered `gradients`, the largest of all levels.
    """

    levels: np.ndarray
    gradients: np.ndarray
    distances: np.ndarray
    radii: np.ndarray
    ball_levels: np.ndarray
    ball_gradients: np.ndarray
    change: float


def measure(
    problem: Restricted,
    place: Place,
    spectrum: Spectrum,
    directions: np.ndarray,
    *,
    radius: float,
    levels: int,
    steps: int,
) -> Envelope | None:
    """Measure one side of the envelope; None where the function does not take that side.

    Args:
        problem, place: the function and the point.
        spectrum: of the point.
        directions: unit vectors to start along, `(starts, d)`.
        radius: of the sample.
        levels: how many.
        steps: most Newton steps of a search.
    """

    def rays(radii: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        metric = Metric(jnp.asarray(spectrum.eigenvalues), jnp.asarray(spectrum.basis))
        found = along_rays(problem, place, jnp.asarray(directions), jnp.asarray(radii), metric)
        return np.asarray(found[0]), np.asarray(found[1])

    grid = np.broadcast_to(radius * np.logspace(-12, 0, 61), (len(directions), 61))
    values, _ = rays(grid)
    eps = float(jnp.finfo(place.base.dtype).eps)
    size = float(jnp.linalg.norm(place.base[place.moving]))
    stiffness = float(np.max(np.abs(spectrum.eigenvalues)))
    # Rounding of f itself, and of the point's coordinates.
    floor = ROUNDINGS * eps * abs(float(place.value)) + stiffness * (ROUNDINGS * eps * size) ** 2
    # The rays lie in valleys where there are any: the stiff directions give the highest level.
    curvature = float(np.max(float(place.sign) * spectrum.eigenvalues))
    steepest = 0.5 * radius**2 * curvature if curvature > ROUNDINGS * eps * stiffness else 0.0
    highest = max(float(np.max(np.where(np.isfinite(values), values, -np.inf))), steepest)
    if not highest > 10 * floor:
        return None
    smallest = float(jnp.finfo(place.base.dtype).tiny) / eps**2
    pilot = np.geomspace(max(floor, highest * 10**-DECADES, smallest), highest, levels)

    def search(starts: np.ndarray, ladder: np.ndarray, radii: np.ndarray) -> _Found:
        # Downwards: near the top all directions are alike, further down the flat ones stand out.
        points = follow(
            problem,
            place,
            jnp.asarray(starts[::-1]),
            jnp.asarray(ladder[::-1]),
            jnp.asarray(radii[::-1]),
            jnp.asarray(spectrum.basis),
            steps,
        )
        gradients = np.asarray(points.gradients)[::-1]
        order = np.argsort(gradients, axis=1)
        moved = np.take_along_axis(np.asarray(points.moved)[::-1], order[:, :, None], axis=1)
        return _Found(moved, np.take_along_axis(gradients, order, axis=1)[:, 0])

    confined = np.full(levels, radius)
    radii, spacing = _crossings(grid, values, pilot), grid[0, 1] / grid[0, 0]
    finer = radii[:, :, None] * spacing ** np.linspace(-1, 1, 9)
    values = rays(finer.reshape(len(directions), -1))[0].reshape(finer.shape)
    radii = np.stack([_crossings(f, v, pilot) for f, v in zip(finer, values, strict=True)])
    starts = rays(radii[:, np.arange(levels), np.arange(levels)])[1].transpose(1, 0, 2)
    found = search(starts, pilot, confined)
    found = _again(search, found, pilot, confined, directions, PILOT_ROUNDS)[0]
    kept = np.isfinite(found.gradients)
    ball_levels, ball = pilot[kept], found.gradients[kept]
    none = np.zeros(0)
    if kept.sum() < 4:
        return Envelope(none, none, none, none, ball_levels, ball, np.inf)
    reach = _reach(ball_levels, ball)
    above = ball >= ROUNDINGS * eps * stiffness * (size + reach)
    above &= ball >= CRITICAL * spectrum.grad_norm
    above &= ball_levels >= ROUNDINGS * eps * size * ball
    # Levels are dropped from below up to the last one that is lost in rounding.
    first = len(above) - int(np.argmin(above[::-1])) if not above.all() else 0
    top = float(np.exp(np.interp(np.log(radius / 2), np.log(reach), np.log(ball_levels))))
    if first >= len(above) or not top > ball_levels[first]:
        return Envelope(none, none, none, none, ball_levels, ball, np.inf)
    ladder = np.geomspace(ball_levels[first], top, levels)
    far = np.linalg.norm(found.moved[kept, 0], axis=1)
    if far[first] < CLOSING * np.max(far[first:]):
        # They close in on the point, more slowly than any power if f is flat to all orders.
        reach = np.maximum(reach, np.where(far < 0.9 * radius, far, 0))
    radii = 2 * np.exp(np.interp(np.log(ladder), np.log(ball_levels), np.log(reach)))
    radii = np.minimum(radii, radius)
    starts = _from_levels(found.moved, pilot, ladder, directions)
    found = search(starts, ladder, radii)
    found, change = _again(search, found, ladder, radii, directions, ROUNDS)
    kept = np.isfinite(found.gradients)
    return Envelope(
        ladder[kept],
        found.gradients[kept],
        np.linalg.norm(found.moved[kept, 0], axis=1),
        radii[kept],
        ball_levels,
        ball,
        change,
    )


class _Found(NamedTuple):
    moved: np.ndarray
    gradients: np.ndarray


def _again(
    search: Callable[[np.ndarray, np.ndarray, np.ndarray], _Found],
    found: _Found,
    ladder: np.ndarray,
    radii: np.ndarray,
    directions: np.ndarray,
    rounds: int,
) -> tuple[_Found, float]:
    """Go over a ladder until that changes nothing; with the share of the last change."""
    change = np.inf
    for _ in range(rounds):
        again = search(_from_levels(found.moved, ladder, ladder, directions), ladder, radii)
        both = np.isfinite(found.gradients) & np.isfinite(again.gradients)
        gains = np.log(found.gradients[both] / again.gradients[both])
        change = float(np.max(gains, initial=0))
        better = again.gradients <= found.gradients
        found = _Found(
            np.where(better[:, None, None], again.moved, found.moved),
            np.minimum(again.gradients, found.gradients),
        )
        if change < GAIN:
            break
    return found, change


def draw_directions(
    key: jax.Array, spectrum: Spectrum, count: int, given: np.ndarray
) -> np.ndarray:
    """Unit vectors to start along, `(count, d)`: those given, then flat ones, then any.

    A sixth of the softest eigenvectors with both signs, and random combinations in which every
    eigenvector counts by the inverse of its curvature over the largest one plus a share.
    """
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    curvatures = np.abs(spectrum.eigenvalues)
    curvatures = curvatures / max(float(np.max(curvatures)), np.finfo(float).tiny)
    size = len(curvatures)

    def random(share: float) -> np.ndarray:
        drawn = spectrum.basis @ (rng.normal(size=size) / (curvatures + share))
        return drawn / np.linalg.norm(drawn)

    rows = list(given[: count // 2])
    softest = np.argsort(curvatures)[: max(1, count // 6)]
    for i in softest:
        rows += [sign * spectrum.basis[:, i] + 0.1 * random(1e-9) for sign in (1, -1)]
    shares = (1e-9, 1e-9, 1e-5, 1e-2)
    while len(rows) < count:
        rows.append(random(shares[len(rows) % len(shares)]))
    directions = np.array(rows[:count])
    return directions / np.linalg.norm(directions, axis=1, keepdims=True)


def _crossings(radii: np.ndarray, values: np.ndarray, ladder: np.ndarray) -> np.ndarray:
    """Radii `(rays, levels)` where each ray first reaches each level, its last where it does not.

    Args:
        radii, values: along each ray, `(rays, m)`, radii rising.
        ladder: levels, rising.
    """
    tiny = np.finfo(float).tiny
    risen = np.log(np.maximum.accumulate(np.maximum(np.nan_to_num(values), tiny), axis=1))
    risen = risen + 1e-12 * np.arange(risen.shape[1])
    rows = zip(risen, np.log(radii), strict=True)
    return np.exp(np.stack([np.interp(np.log(ladder), high, logs) for high, logs in rows]))


def _from_levels(
    moved: np.ndarray, known: np.ndarray, ladder: np.ndarray, directions: np.ndarray
) -> np.ndarray:
    """Starts for each level: the best points of the nearest known ones, sums of points, kicks.

    Several equally degenerate directions lower the gradient norm by sharing the level; a search
    that holds some of them is at a saddle so flat that only another point's share gets it off. A
    kick goes along `directions` as far as the best point lies, which is above the level.
    """
    count = len(directions)
    starts = np.empty((len(ladder), count, moved.shape[2]))
    for k, level in enumerate(ladder):
        near = np.argsort(np.abs(np.log(known / level)))[: max(1, count // 3)]
        best, *others = _distinct(moved[near[0]], most=max(2, count // 4))
        rows = [moved[i, 0] for i in near]
        if others:
            rows += [sum(others, best), best + others[0] - sum(others[1:], 0 * best)]
            rows += [best + sign * other for other in others for sign in (1, -1)]
        rows = rows[: max(count // 2, len(near))]
        size = np.linalg.norm(best)
        for i, direction in enumerate(directions[::-1]):
            rows.append(0.7 * size * direction + (best if i % 2 else 0))
        starts[k] = rows[:count]
    return starts


def _distinct(points: np.ndarray, most: int) -> list[np.ndarray]:
    """The first points that are not parallel to one before."""
    kept: list[np.ndarray] = []
    for point in points:
        size = np.linalg.norm(point)
        if not (np.isfinite(size) and size > 0):
            continue
        if all(abs(point @ old) < 0.98 * size * np.linalg.norm(old) for old in kept):
            kept.append(point)
        if len(kept) == most:
            break
    return kept or [points[0]]


def _reach(levels: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """The integral of `df / ||grad f||` from 0 up to each level, power laws between them."""
    rising = np.minimum.accumulate(gradients[::-1])[::-1]
    slopes = np.diff(np.log(rising)) / np.diff(np.log(levels))
    slopes = np.minimum(slopes, 0.98)
    lowest = float(np.clip(np.median(slopes[:4]), 0.5, 0.95))
    parts = np.diff(levels / rising) / (1 - slopes)
    return np.cumsum([levels[0] / rising[0] / (1 - lowest), *np.maximum(parts, 1e-300)])
