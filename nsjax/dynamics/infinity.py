r"""Closed forms of a saddle at infinity: units that separate the data, beside one that is tiny.

In the time `tau`, `d tau = ||r||_1 dt`, every unit on a KKT ray follows `rho' = q N rho^(q-1)`, N
its correlation with the dual: the separating units with their normalised margin gamma and degree
D, the tiny one with N* and q. Real time does not enter. So what happens is a race.
"""

from __future__ import annotations

import math

from nsjax import _check


def ray_size(start: float, value: float, degree: int, pull: float) -> float:
    """Size on a KKT ray after a pull `tau`: `rho^(2-q) = start^(2-q) - q (q-2) N tau`.

    Args:
        start: size at the start.
        value: N of the unit direction.
        degree: q, at least 1.
        pull: `tau = integral ||r||_1 dt`.

    Returns:
        The size; infinity where it is passed.

    Raises:
        ValueError, TypeError: for a start that is not positive, or a bad degree.

    >>> ray_size(1.0, 0.5, 2, 1.0) == math.e, ray_size(2.0, 0.5, 1, 4.0), ray_size(1.0, 1.0, 3, 1.0)
    (True, 4.0, inf)
    """
    start = _check.positive("start", start)
    degree = _check.positive_integer("degree", degree)
    if degree == 2:
        return start * math.exp(2 * value * pull)
    left = start ** (2 - degree) - degree * (degree - 2) * value * pull
    return left ** (1 / (2 - degree)) if left > 0 else math.inf


def pull_left(size: float, margin: float, degree: int) -> float:
    """All the pull that is still to come once the data are separated; infinite for D at most 2.

    `rho' >= D gamma rho^(D-1)` in tau, where gamma, the smoothed normalised margin, does not fall
    (Lyu and Li, arXiv 1906.05890): `tau_inf - tau <= rho^(2-D) / (D (D-2) gamma)`.

    Args:
        size: norm of all weights now.
        margin: normalised margin now, positive.
        degree: D, of the separating units.

    Raises:
        TypeError, ValueError: for a size or margin that is not positive, or a bad degree.

    >>> pull_left(2.0, 0.5, 4), pull_left(2.0, 0.5, 2)
    (0.0625, inf)
    """
    size, margin = _check.positive("size", size), _check.positive("margin", margin)
    if _check.positive_integer("degree", degree) <= 2:
        return math.inf
    return size ** (2 - degree) / (degree * (degree - 2) * margin)


def critical_size(size: float, margin: float, value: float, degree: int) -> float:
    """Size below which a tiny unit of degree q = D > 2 never escapes: `rho (gamma / N*)^(1/(q-2))`.

    Args:
        size: norm of the separating units, on their KKT ray.
        margin: their normalised margin gamma.
        value: N* > 0 of the tiny unit.
        degree: q > 2.

    Raises:
        ValueError: for a degree of 2 or below, where there is no such size.

    >>> critical_size(1.0, 0.5, 2.0, 3)
    0.25
    """
    if degree <= 2:
        raise ValueError(f"degree must be above 2, got {degree!r}")
    ratio = _check.positive("margin", margin) / _check.positive("value", value)
    return _check.positive("size", size) * ratio ** (1 / (degree - 2))


def escape_depth_exponent(margin: float, value: float) -> float:
    """Exponent e of `-log loss ~ delta^-e` at the escape of a tiny unit, q = D = 2.

    Sizes grow as `z = delta (rho / rho_0)^(N* / gamma)`, so `z = rho` at
    `rho = rho_0 (rho_0 / delta)^(gamma / (N* - gamma))`, and `-log loss = gamma rho^2`. Real time
    is its exponential. Infinite, no escape, for N* up to gamma.

    Args:
        margin: normalised margin gamma of the separating units, positive.
        value: N* of the tiny unit, positive.

    Raises:
        TypeError, ValueError: if either is not positive.

    >>> escape_depth_exponent(1.0, 3.0), escape_depth_exponent(1.0, 1.0)
    (1.0, inf)
    """
    margin, value = _check.positive("margin", margin), _check.positive("value", value)
    return 2 * margin / (value - margin) if value > margin else math.inf


def tail_log_time(depth: float, margin: float, degree: int) -> float:
    """`log t` at a loss of `exp(-depth)`: `depth - log(D^2 gamma^(2/D) depth^(2 - 2/D))`.

    From `d depth / dt = ||grad||^2 / loss` and `||grad|| = D gamma rho^(D-1) loss`,
    `depth = gamma rho^D`; up to terms of order 1 / depth. So `loss ~ 1 / (t (log t)^(2 - 2/D))`.

    Args:
        depth: -log loss, positive.
        margin: normalised margin gamma, positive.
        degree: D.

    Raises:
        TypeError, ValueError: for a depth or margin that is not positive, or a bad degree.

    >>> tail_log_time(100.0, 1.0, 1)
    100.0
    """
    depth, margin = _check.positive("depth", depth), _check.positive("margin", margin)
    degree = _check.positive_integer("degree", degree)
    power = 2 / degree
    return depth - math.log(degree**2 * margin**power * depth ** (2 - power))
