"""Frames of neurons that align: equally spaced in what changes, not in time."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsjax import _check
from nsjax.diagnostics.snapshots import weights_of
from nsjax.networks.homogeneous import Activation, Params, apply, features, pullback
from nsjax.objectives import LOSSES, residual

if TYPE_CHECKING:
    from jaxtyping import Array, Float


class NeuronCourse(NamedTuple):
    """Neurons of one hidden layer in a plane, and the NCF there, frame by frame.

    Attributes:
        ts: `(m,)` times of the frames.
        lengths: `(m,)`, nonlinear time of the frames, see `course_length`.
        losses: `(m,)`.
        places: `(m, k, 2)`, unit incoming weights of each neuron in the plane; shorter than 1 where
            they point out of it.
        norms: `(m, k)`, norm of each neuron's in- and outgoing weights together.
        signs: `(m, k)`, sign of its outgoing weight; 1 for several outputs.
        angles: `(a,)`, angles in the plane, radians, one whole turn.
        landscape: `(m, a)`, the NCF of one new unit neuron that points there: signed by that of the
            best outgoing weight for one output, else the largest over outgoing weights.
        indices: `(m,)`, which of the snapshots the frames are.
    """

    ts: np.ndarray
    lengths: np.ndarray
    losses: np.ndarray
    places: np.ndarray
    norms: np.ndarray
    signs: np.ndarray
    angles: np.ndarray
    landscape: np.ndarray
    indices: np.ndarray


def course_length(params: Any) -> Float[Array, " m"]:
    r"""Nonlinear time of a trajectory: length of the path of directions and log norms.

    With `u_j` the unit incoming weights of the hidden neurons and `n_j` the norms of their in- and
    outgoing weights, the sum over steps of

        sqrt(mean_j ||du_j||^2 + mean_j (d log n_j)^2).

    It does not depend on the speed at which the path is run through: a wait of 1e8 time units in
    which nothing turns or grows has length zero. Neurons that are zero count for nothing.

    Args:
        params: snapshots, L weight matrices with a leading axis of length m, or a sequence of m
            networks.

    Returns:
        Lengths from the first snapshot on, `(m,)`, never falling.

    Raises:
        TypeError, ValueError: for bad input.

    >>> turn = jnp.linspace(0, jnp.pi / 2, 100)
    >>> u = jnp.stack([jnp.cos(turn), jnp.sin(turn)], axis=1)[:, None]
    >>> round(float(course_length((u, jnp.ones((100, 1, 1))))[-1]), 3)  # a quarter of a turn
    1.571
    """
    return _length(_snapshots(params))


def _snapshots(params: Any) -> Params:
    weights = weights_of("params", params)
    if weights[0].ndim != 3:
        raise ValueError(
            f"params must be snapshots, with one leading axis, got shape {weights[0].shape} of the "
            "first layer"
        )
    return weights


@jax.jit
def _length(weights: Params) -> jax.Array:
    turned, grown = [], []
    for incoming, outgoing in pairwise(weights):
        unit, size = _units(incoming, outgoing)
        turned.append(jnp.sum(jnp.diff(unit, axis=0) ** 2, axis=-1))
        grown.append(jnp.diff(jnp.log(jnp.where(size > 0, size, 1)), axis=0) ** 2)
    squares = jnp.concatenate(turned, axis=1) + jnp.concatenate(grown, axis=1)
    steps = jnp.sqrt(jnp.mean(squares, axis=1))
    return jnp.concatenate([jnp.zeros((1,), steps.dtype), jnp.cumsum(steps)])


def _units(incoming: jax.Array, outgoing: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Unit incoming weights `(m, k, d)`, zero for zero neurons, and norms `(m, k)`."""
    norm = jnp.linalg.norm(incoming, axis=-1)
    unit = incoming / jnp.where(norm > 0, norm, 1)[..., None]
    return unit, jnp.sqrt(norm**2 + jnp.sum(outgoing**2, axis=-2))


def neuron_course(
    params: Any,
    x: Float[Array, "n d"],
    y: Float[Array, "n c"],
    activation: Activation,
    *,
    ts: Any,
    frames: int = 80,
    angles: int = 181,
    plane: Float[Array, "2 d"] | None = None,
    loss: str = "square",
) -> NeuronCourse:
    r"""Frames of a trajectory, equally spaced in nonlinear time, for `plots.animate_alignment`.

    Neurons are those of the first hidden layer. The landscape is that of the residual at each
    frame, `phi(u) = B_2^T s(X u)` for unit u in the plane: what small neurons climb.

    Args:
        params: snapshots of L weight matrices, as `dynamics.cascade(..., snapshots=True)` gives.
        x, y: data.
        activation: elementwise activation.
        ts: `(m,)` times of the snapshots.
        frames: how many to choose, at most; each is the snapshot that is nearest.
        angles: at which to evaluate the landscape.
        plane: two orthonormal rows; by default, of two inputs, their plane, of more that of the
            largest singular vectors of the first layer at the end.
        loss: "square", "logistic" or "cross_entropy".

    Raises:
        TypeError, ValueError: for bad input, and for fewer than two inputs.
    """
    weights = _snapshots(params)
    frames = _check.positive_integer("frames", frames)
    angles = _check.positive_integer("angles", angles)
    _check.choice("loss", loss, tuple(LOSSES))
    x, y = _check.samples(tuple(weight[0] for weight in weights), x, y)
    if x.shape[1] < 2:
        raise ValueError(f"x must have at least two inputs, got {x.shape[1]}")
    times = np.asarray(_check.vector("ts", ts, weights[0].shape[0]))
    basis = _plane(plane, weights[0][-1])
    lengths = np.asarray(course_length(weights))
    wanted = np.linspace(0, lengths[-1], frames)
    indices = np.unique(np.abs(lengths[:, None] - wanted).argmin(axis=0))
    shown = tuple(weight[indices] for weight in weights)
    turn = jnp.linspace(0, 2 * jnp.pi, angles, dtype=x.dtype)
    circle = jnp.stack([jnp.cos(turn), jnp.sin(turn)], axis=1) @ basis
    losses, landscape = _along(activation, loss, shown, x, y, circle)
    unit, norms = _units(shown[0], shown[1])
    signs = np.sign(np.asarray(shown[1][:, 0])) if y.shape[1] == 1 and len(shown) == 2 else None
    return NeuronCourse(
        times[indices],
        lengths[indices],
        np.asarray(losses),
        np.asarray(unit @ basis.T),
        np.asarray(norms),
        np.ones(norms.shape) if signs is None else signs,
        np.asarray(turn),
        np.asarray(landscape),
        indices,
    )


def _plane(plane: Any, last: jax.Array) -> jax.Array:
    size = last.shape[1]
    if plane is None:
        return jnp.eye(2, dtype=last.dtype) if size == 2 else jnp.linalg.svd(last)[2][:2]
    plane = _check.matrix("plane", plane, columns=size)
    if plane.shape[0] != 2 or not np.allclose(np.asarray(plane @ plane.T), np.eye(2), atol=1e-6):
        raise ValueError(f"plane must have two orthonormal rows, got shape {plane.shape}")
    return plane


@partial(jax.jit, static_argnums=(0, 1))
def _along(
    activation: Activation,
    loss: str,
    weights: Params,
    x: jax.Array,
    y: jax.Array,
    circle: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Losses `(m,)` and landscapes `(m, a)` on unit weights `(a, d)`."""

    def one(params: Params) -> tuple[jax.Array, jax.Array]:
        outputs = apply(params, x, activation)
        pulled = pullback(params, x, residual(outputs, y, loss=loss), activation)[1]
        seen = activation(circle @ features(params, x, activation)[0].T) @ pulled
        signed = seen.shape[1] == 1
        values = seen[:, 0] if signed else jnp.linalg.norm(seen, axis=1)
        return LOSSES[loss](outputs, y), values

    # One snapshot after another: all responses at once would be m a n numbers.
    return jax.lax.map(one, weights)
