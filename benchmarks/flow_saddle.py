"""The saddle that the benchmark of waiting leaves, with its data and its start."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import nsjax
from benchmarks.flow_config import Config
from nsjax import data, dynamics, networks
from nsjax.runs import RunError

Params = tuple[jax.Array, ...]


class Problem(NamedTuple):
    """A saddle with its data and the direction in which every method leaves it."""

    activation: nsjax.PolyLeakyReLU
    x: jax.Array
    y: jax.Array
    params: Params
    inactive: tuple[np.ndarray, ...]
    perturbation: Params
    curvature: float


def make_problem(config: Config, q: int) -> Problem:
    """A trained saddle on the data of a wider teacher, and a random unit perturbation."""
    activation = nsjax.PolyLeakyReLU(q - 1, config.slope)
    inputs, weights, training, start = jax.random.split(jax.random.key(config.seed), 4)
    x = data.sphere(inputs, config.samples, config.dimension)
    y = networks.teacher_targets(weights, x, activation, hidden=(config.teacher,))
    trained = dynamics.train_saddle(
        training,
        x,
        y,
        activation,
        active=(config.active,),
        widths=(config.width,),
        attempts=config.attempts,
    )
    if trained.result != 0:
        raise RunError(f"q = {q}: {trained.message}")
    zero = zero_block(trained.inactive)
    drawn = networks.init(start, (config.dimension, config.width, 1))
    inside = [jnp.where(m, w, 0) for w, m in zip(drawn, zero, strict=True)]
    outside = [jnp.where(m, 0, w) for w, m in zip(drawn, zero, strict=True)]
    # Unit in the zero block and unit in the active weights, as in Theorem 7.
    perturbation = tuple(
        z / optax.tree.norm(inside) + n / optax.tree.norm(outside)
        for z, n in zip(inside, outside, strict=True)
    )
    return Problem(
        activation,
        x,
        y,
        trained.params,
        trained.inactive,
        perturbation,
        trained.saddle.curvature_max,
    )


def zero_block(inactive: tuple[np.ndarray, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Masks `(k, 1)` and `(1, k)` of the zero block in the two weight matrices."""
    return inactive[0][:, None], inactive[0][None, :]


def to_arrays(problem: Problem) -> tuple[dict, dict]:
    """A problem as a cell keeps it."""
    arrays = {"x": problem.x, "y": problem.y, "inactive": problem.inactive[0]}
    for name, tree in (("params", problem.params), ("perturbation", problem.perturbation)):
        arrays |= {f"{name}_{i}": w for i, w in enumerate(tree)}
    return arrays, {"curvature": problem.curvature}


def from_arrays(q: int, config: Config, arrays: dict, values: dict) -> Problem:
    params, perturbation = (
        tuple(jnp.asarray(arrays[f"{name}_{i}"]) for i in range(2))
        for name in ("params", "perturbation")
    )
    return Problem(
        nsjax.PolyLeakyReLU(q - 1, config.slope),
        jnp.asarray(arrays["x"]),
        jnp.asarray(arrays["y"]),
        params,
        (arrays["inactive"],),
        perturbation,
        values["curvature"],
    )
