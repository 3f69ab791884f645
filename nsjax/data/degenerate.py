"""Data at which the best single neuron, or chain of neurons, has a loss that is flat to high order.

A chain with one neuron in every hidden layer and `s(t) = t^p` has the outputs `c (u . x)^P`, with
`P = p^(L - 1)`. The tasks here are made so that the loss over c and u, at a critical point that is
known, grows like a power of the distance that is known, too: `f - f* ~ distance^order`, which makes
the Łojasiewicz exponent `1 - 1 / order` (`docs/exponents.md`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import jax
import numpy as np

from nsjax import _check

if TYPE_CHECKING:
    from jaxtyping import Array, Float


DRAWS = 50
"""How often `contact_task` draws its inputs, at most."""


class DegenerateTask(NamedTuple):
    """Data with a degenerate minimum of one chain of neurons.

    Attributes:
        x: inputs, `(n, d)`.
        y: targets, `(n, 1)`.
        incoming: `(d,)`, u at the critical point, for a chain whose other weights are 1.
        order: of `f - f*` along the flattest curve through the critical point.
    """

    x: Float[Array, "n d"]
    y: Float[Array, "n 1"]
    incoming: Float[Array, " d"]
    order: int

    @property
    def alpha(self) -> float:
        """The Łojasiewicz exponent there, `1 - 1 / order`."""
        return 1 - 1 / self.order

    @property
    def decay(self) -> float:
        """Gradient flow into the point has `f - f* ~ t^(-decay)`; infinite for order 2."""
        return self.order / (self.order - 2) if self.order > 2 else math.inf


def contact_task(key: jax.Array, samples: int, power: int, contact: int) -> DegenerateTask:
    r"""Targets for which the best direction of a neuron of `(u . x)^power` is flat to high order.

    The loss, with the best c, is `f = (||y||^2 - N(u)^2 / h(u)) / 2` with `N = <y, (X u)^P>` and
    `h = ||(X u)^P||^2`. Inputs are Laplace, in pairs that are reflections in the second input, so
    that with `u = (1, tan a)` both are polynomials in `t = tan^2 a`. The targets are the smallest
    ones whose moments make N agree with `sqrt(h h(0))` in the powers of t below `contact`, and no
    more. Then `u = e_1` is a minimum with `f - f* = k a^(2 contact)`, k > 0. With `contact` 1 it is
    a nondegenerate one. With 2 the Hessian vanishes along the turn of u: there the neuron is about
    to split into two that are reflections of each other. Inputs that allow no such minimum are
    drawn again.

    Args:
        key: PRNG key of the inputs.
        samples: n, even, at least `2 (power // 2 + 1)`.
        power: P, at least 2.
        contact: at least 1, at most `power // 2 + 1`.

    Raises:
        TypeError, ValueError: for bad sizes, or if no draw of inputs allows such a minimum.

    >>> task = contact_task(jax.random.key(0), 24, 3, 2)
    >>> task.x.shape, task.order
    ((24, 2), 4)
    """
    samples = _check.positive_integer("samples", samples)
    power = _check.positive_integer("power", power)
    contact = _check.positive_integer("contact", contact)
    if power < 2:
        raise ValueError(f"power must be at least 2, got {power}")
    terms = power // 2
    least = 2 * (terms + 1)
    if samples < least or samples % 2:
        raise ValueError(f"samples must be even and at least {least}, got {samples}")
    if contact > terms + 1:
        raise ValueError(f"contact must be at most power // 2 + 1 = {terms + 1}, got {contact}")
    _check.key("key", key)
    for each in jax.random.split(key, DRAWS):
        x, h = _reflected(each, samples, power)
        root = _square_root(h / h[0], max(contact, terms) + 1)
        if contact <= terms or root[contact] > 0:
            break
    else:
        raise ValueError(
            f"samples must be such that the loss has a minimum of contact {contact}, which none of "
            f"{DRAWS} draws of {samples} had; take another key or more of them"
        )
    wanted = np.where(np.arange(terms + 1) < contact, root[: terms + 1], 0.0)
    if contact <= terms:
        wanted[contact] = root[contact] - 0.5 * max(1.0, abs(root[contact]))
    forms = np.stack([x[:, 0] ** (power - 2 * j) * x[:, 1] ** (2 * j) for j in range(terms + 1)])
    moments = h[0] * wanted / np.array([math.comb(power, 2 * j) for j in range(terms + 1)])
    y = np.linalg.lstsq(forms, moments, rcond=None)[0]
    return _task(x, y, np.array([1.0, 0.0]), 2 * contact)


def conflict_task(
    key: jax.Array, samples: int, power: int, *, conflicting: float = 1.0
) -> DegenerateTask:
    """Independent inputs, no more than dimensions, whose targets are of both signs.

    A neuron with a positive c and outputs that are never negative, a polynomial ReLU or an even
    power, fits the positive targets, and turns away from the others until its pre-activations
    `z_i` on them are zero. There the loss is `f* + sum_i c |y_i| |z_i|^P`, on one side at least:
    of order P. With targets zero in place of the negative ones it is of order 2 P. No fine tuning:
    this is so for all targets with these signs, and flows from everywhere near by end there.

    Args:
        key: PRNG key.
        samples: n, at least 2; the inputs have as many dimensions. The first half of the targets,
            rounded up, is positive.
        power: P, at least 2.
        conflicting: size of the negative targets against the positive ones; 0 for targets zero.

    Raises:
        TypeError, ValueError: for bad sizes.

    >>> task = conflict_task(jax.random.key(0), 3, 4)
    >>> [float(value) > 0 for value in task.y[:, 0]], task.order
    ([True, True, False], 4)
    """
    samples = _check.positive_integer("samples", samples)
    power = _check.positive_integer("power", power)
    conflicting = _check.non_negative("conflicting", conflicting)
    if samples < 2:
        raise ValueError(f"samples must be at least 2, got {samples}")
    if power < 2:
        raise ValueError(f"power must be at least 2, got {power}")
    _check.key("key", key)
    keys = jax.random.split(key)
    # A random rotation of inputs that are orthogonal but for a quarter.
    rotation = np.linalg.qr(np.asarray(jax.random.normal(keys[0], (samples, samples)), float))[0]
    x = (np.eye(samples) + 0.25 / samples) @ rotation
    sizes = np.asarray(jax.random.uniform(keys[1], (samples,), minval=0.5, maxval=1.5), float)
    fitted = np.arange(samples) < (samples + 1) // 2
    y = np.where(fitted, sizes, -conflicting * sizes)
    incoming = np.linalg.solve(x, np.where(fitted, sizes ** (1 / power), 0.0))
    return _task(x, y, incoming, power if conflicting > 0 else 2 * power)


def collinear_inputs(
    key: jax.Array, samples: int, dimension: int, *, rank: int = 1
) -> Float[Array, "n d"]:
    """Gaussian inputs that span fewer dimensions than they have.

    Args:
        key: PRNG key.
        samples, dimension: n, d.
        rank: dimensions that they span, at most d; with 1 they are collinear.

    Raises:
        TypeError, ValueError: for bad sizes.

    >>> x = collinear_inputs(jax.random.key(0), 10, 3)
    >>> int(jax.numpy.linalg.matrix_rank(x))
    1
    """
    dimension = _check.positive_integer("dimension", dimension)
    rank = _check.limited("rank", rank, dimension)
    _check.key("key", key)
    keys = jax.random.split(key)
    across = jax.random.normal(keys[0], (_check.positive_integer("samples", samples), rank))
    return across @ jax.random.normal(keys[1], (rank, dimension)) / math.sqrt(rank)


def valley_task(key: jax.Array, *, bend: float = 1.0) -> DegenerateTask:
    """Three inputs for which the best neuron of `(u . x)^2` is flat to order eight.

    Inputs with `sum_i (x_i . u)^4 = 4 |u|^4 + (u_1 u_3 - u_2^2)^2 + bend u_3^4` and targets with
    `sum_i y_i x_i x_i^T = 4 I`: the loss is least at `u = e_1`, and half of the last two terms
    above that near by, which on the curve `u_3 = u_2^2` is `bend u_2^8 / 2`. With two inputs no
    such data exists: there the order is four at most.

    Args:
        key: PRNG key of the directions that the inputs are chosen from.
        bend: of the valley, above 0 and at most 1.

    Raises:
        TypeError, ValueError: for a bad bend.

    >>> valley_task(jax.random.key(0)).order
    8
    """
    _check.key("key", key)
    bend = _check.positive("bend", bend)
    if bend > 1:
        raise ValueError(f"bend must be at most 1, got {bend}")
    directions = np.asarray(jax.random.normal(key, (300, 3)), float)
    directions = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    powers = [(i, j, 4 - i - j) for i in range(5) for j in range(5 - i)]
    # Coefficients of monomials over the multinomial numbers: moments of order four.
    columns = np.stack([np.prod(directions ** np.array(each), axis=1) for each in powers])
    multiples = np.array([24 / math.prod(math.factorial(part) for part in each) for each in powers])
    form = {(4, 0, 0): 4.0, (0, 4, 0): 5.0, (0, 0, 4): 4.0 + bend}
    form |= {(2, 2, 0): 8.0, (0, 2, 2): 8.0, (2, 0, 2): 9.0, (1, 2, 1): -2.0}
    wanted = np.array([form.get(each, 0.0) for each in powers]) / multiples
    from scipy.optimize import nnls  # here, as importing it takes long

    shares, gap = nnls(columns, wanted)
    if gap > 1e-10:
        raise ValueError(f"key must give directions that span the form, got a gap of {gap:.1e}")
    x = shares[shares > 0, None] ** 0.25 * directions[shares > 0]
    pairs = np.stack([x[:, i] * x[:, j] for i in range(3) for j in range(i + 1)])
    y = np.linalg.lstsq(pairs, np.array([4.0, 0, 4.0, 0, 0, 4.0]), rcond=None)[0]
    return _task(x, y, np.array([1.0, 0.0, 0.0]), 8)


def _reflected(key: jax.Array, samples: int, power: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs `(n, 2)` in reflected pairs, and the coefficients of `h(t)`, `(power + 1,)`."""
    half = np.asarray(jax.random.laplace(key, (samples // 2, 2)), float)
    # Inputs of one size keep powers of them within a few digits of each other.
    half = half / np.sqrt(np.mean(half**2))
    x = np.concatenate([half, half * np.array([1.0, -1.0])])
    places = np.arange(power + 1)
    choose = np.array([math.comb(2 * power, 2 * j) for j in places])
    first, second = x[:, :1] ** 2, x[:, 1:] ** 2
    return x, choose * np.sum(first ** (power - places) * second**places, axis=0)


def _square_root(series: np.ndarray, terms: int) -> np.ndarray:
    """The first coefficients of the square root of a power series that starts with 1."""
    root = np.zeros(terms)
    root[0] = 1.0
    for j in range(1, terms):
        given = series[j] if j < len(series) else 0.0
        root[j] = (given - root[1:j] @ root[1:j][::-1]) / 2
    return root


def _task(x: np.ndarray, y: np.ndarray, incoming: np.ndarray, order: int) -> DegenerateTask:
    as_array = jax.numpy.asarray
    return DegenerateTask(as_array(x), as_array(y[:, None]), as_array(incoming), order)
