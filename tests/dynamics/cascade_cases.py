"""Small cascades for the tests, run once and kept; and a brute force that shares no code."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import jax
import numpy as np
from scipy.integrate import solve_ivp

import nsjax
from nsjax import data, dynamics, networks


class Problem(NamedTuple):
    """What `dynamics.cascade` takes."""

    params: tuple
    x: jax.Array
    y: jax.Array
    activation: nsjax.PolyLeakyReLU


@cache
def problem(
    p: int = 2,
    slope: float = 1.0,
    *,
    teacher: int = 3,
    outputs: int = 1,
    hidden: tuple[int, ...] = (8,),
    dimension: int = 6,
    samples: int = 100,
    seed: int = 0,
) -> Problem:
    """A teacher of `teacher` neurons in every hidden layer, and a wider student."""
    keys = jax.random.split(jax.random.key(seed), 3)
    activation = nsjax.PolyLeakyReLU(p, slope)
    x = data.sphere(keys[0], samples, dimension)
    y = networks.teacher_targets(
        keys[1], x, activation, hidden=(teacher,) * len(hidden), outputs=outputs
    )
    return Problem(networks.init(keys[2], (dimension, *hidden, outputs)), x, y, activation)


@cache
def run(delta: float, **options) -> dynamics.Cascade:
    """The cascade of `problem(**options)`, with snapshots."""
    return dynamics.cascade(*problem(**options), delta=delta, snapshots=True)


class BruteForce(NamedTuple):
    """Gradient flow of a two-layer network by SciPy, and when each neuron crosses a norm."""

    ts: np.ndarray
    weights: np.ndarray
    losses: np.ndarray
    grad_norms: np.ndarray
    crossings: list[tuple[float, int]]


def brute_force(case: Problem, delta: float, threshold: float, t1: float) -> BruteForce:
    """DOP853 at tight tolerances on the flow written out in NumPy."""
    x, y = np.asarray(case.x), np.asarray(case.y)
    first, second = (np.asarray(weight) for weight in case.params)
    (k, d), c = first.shape, second.shape[0]
    p, slope = case.activation.degree, case.activation.slope
    start = np.concatenate([first.ravel(), second.ravel()])
    start *= delta / np.linalg.norm(start)

    def parts(w):
        incoming, outgoing = w[: k * d].reshape(k, d), w[k * d :].reshape(c, k)
        z = x @ incoming.T
        leaky = np.where(z > 0, z, slope * z)
        hidden = leaky**p
        return incoming, outgoing, z, leaky, hidden, y - hidden @ outgoing.T

    def velocity(_, w):
        _, outgoing, z, leaky, hidden, r = parts(w)
        slopes = p * leaky ** (p - 1) * np.where(z > 0, 1, slope)
        return np.concatenate([((r @ outgoing * slopes).T @ x).ravel(), (r.T @ hidden).ravel()])

    def crossing(j):
        def event(_, w):
            incoming, outgoing = w[: k * d].reshape(k, d), w[k * d :].reshape(c, k)
            return np.sqrt(np.sum(incoming[j] ** 2) + np.sum(outgoing[:, j] ** 2)) - threshold

        event.direction = 1
        return event

    found = solve_ivp(
        velocity,
        (0, t1),
        start,
        method="DOP853",
        rtol=1e-10,
        atol=1e-14,
        events=[crossing(j) for j in range(k)],
    )
    weights = found.y.T
    return BruteForce(
        found.t,
        weights,
        np.array([0.5 * np.sum(parts(w)[-1] ** 2) for w in weights]),
        np.array([np.linalg.norm(velocity(0, w)) for w in weights]),
        sorted((float(ts[0]), j) for j, ts in enumerate(found.t_events) if len(ts)),
    )
