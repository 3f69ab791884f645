"""Polynomials of known Łojasiewicz exponent and constant, with dense curved coordinates."""

import jax.numpy as jnp
import numpy as np


def mixture(w, rotation, powers, factors, cubic, bend, offset):
    """`offset + sum_i c_i u_i^m_i (1 + e_i u_i)`, m_i in {2, 4, 6}, `u = t + A t^2`, `t = Q w`."""
    t = rotation @ w
    u = t + bend @ t**2
    squares = u * u
    terms = jnp.where(
        powers == 2, squares, jnp.where(powers == 4, squares * squares, squares * squares * squares)
    )
    return offset + jnp.sum(factors * terms * (1 + cubic * u))


def law(powers, factors):
    """Exponent and constant of `mixture` at 0, for positive factors.

    With shares a_i of the level, `||grad||^2 = sum m^2 c_i^(2/m) a_i^(2 - 2/m)` over the directions
    of the largest power m, the least with `sum a_i = 1`.
    """
    m = powers.max()
    c = factors[powers == m]
    if m == 2:
        return 0.5, 2 * np.sqrt(c.min())
    k, p = m**2 * c ** (2 / m), 2 - 2 / m
    shares = k ** (-1 / (p - 1))
    shares /= shares.sum()
    return 1 - 1 / m, np.sqrt(np.sum(k * shares**p))


def draw(rng, size, powers=None, offset=0.0):
    """Arguments of a random `mixture` in so many dimensions."""
    if powers is None:
        powers = rng.choice([2, 4, 6], size=size, p=[0.6, 0.25, 0.15])
    return (
        np.linalg.qr(rng.normal(size=(size, size)))[0],
        np.asarray(powers),
        np.exp(rng.normal(size=size)),
        rng.normal(size=size),
        rng.normal(size=(size, size)) * 0.5 / np.sqrt(size),
        np.asarray(offset, float),
    )


def plane(w, powers, factors, slope):
    """`sum_i c_i t_i^m_i + slope t_0` in two dimensions, m = 0 for a flat `exp(-1 / t^2)`."""
    squares = w * w
    terms = jnp.where(powers == 4, squares**2, jnp.where(powers == 6, squares**3, squares))
    flat = jnp.exp(-1 / jnp.where(squares > 0, squares, 1)) * (squares > 0)
    return jnp.sum(factors * jnp.where(powers == 0, flat, terms)) + slope * w[0]
