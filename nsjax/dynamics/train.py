"""Train a network to a saddle `(w_n, 0)`: minimise over the active weights, then widen by zeros."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsjax import _check
from nsjax.dynamics.correlation import correlation, dominant
from nsjax.dynamics.descent import minimize
from nsjax.dynamics.saddles import Inactive, Saddle, coupled_origin, embed, inspect
from nsjax.networks import activation_degree, apply, balance, degree, init
from nsjax.networks.homogeneous import Activation, Params
from nsjax.objectives import LOSSES, NetworkLoss, residual

FOUND, NOT_FOUND = 0, 1
MESSAGES = {
    FOUND: "a saddle: tiny gradient, a minimum over the active weights, NCF not zero",
    NOT_FOUND: (
        "no attempt ended at a saddle with a tiny gradient, a minimum over the active weights and "
        "an NCF that is not zero; try more attempts, another seed or fewer active neurons"
    ),
}


class TrainedSaddle(NamedTuple):
    """A saddle `(w_n, 0)`.

    Attributes:
        params: full network, zero on the zero block.
        inactive: one boolean array per hidden layer.
        saddle: its inspection.
        kkt_value: N*, the NCF of the dominant KKT point found.
        attempts: initialisations that were tried.
        result: int32 code; `message` is its text.
    """

    params: Params
    inactive: Inactive
    saddle: Saddle
    kkt_value: float
    attempts: int
    result: int

    @property
    def message(self) -> str:
        """Whether it is what it should be, in words."""
        return MESSAGES[int(self.result)]


def train_saddle(
    key: jax.Array,
    x: jax.Array,
    y: jax.Array,
    activation: Activation,
    *,
    active: Sequence[int],
    widths: Sequence[int],
    loss: str = "square",
    attempts: int = 6,
    tol: float = 1e-10,
) -> TrainedSaddle:
    """Minimise the loss over a small active network and widen it by zero neurons.

    Every attempt starts balanced and at the scale at which the outputs fit best, and is minimised
    to a gradient of `tol`. Of those that end at a true saddle the one with the least largest
    curvature against N* is kept: the least stiff flow.

    Args:
        key: PRNG key.
        x, y: data `(n, d)`, `(n, c)`.
        activation: homogeneous activation.
        active: active neurons in each hidden layer; all 0 for the origin.
        widths: hidden widths of the full network.
        loss: "square", "logistic" or "cross_entropy".
        attempts: initialisations to try.
        tol: gradient norm to train to.

    Returns:
        `TrainedSaddle`; its `message` says if none was found.

    Raises:
        TypeError, ValueError: for bad input.
    """
    _check.key("key", key)
    x = _check.matrix("x", x)
    y = _check.matrix("y", y, rows=x.shape[0]).astype(x.dtype)
    attempts = _check.positive_integer("attempts", attempts)
    tol = _check.positive("tol", tol)
    _check.choice("loss", loss, tuple(LOSSES))
    _check.targets(loss, "y", y)
    activation_degree(activation)
    active, widths = _widths("active", active), _widths("widths", widths)
    if len(active) != len(widths):
        raise ValueError(f"active and widths must have equal lengths, got {active} and {widths}")
    if any(count < 0 for count in active) or (0 in active and any(active)):
        raise ValueError(
            f"active must be positive in every hidden layer, or 0 in all, got {active}"
        )
    for k, most in zip(active, widths, strict=True):
        if most < max(k, 1):
            raise ValueError(f"widths must be at least 1 and active, got {widths} and {active}")
    if not any(active):
        params = tuple(
            jnp.zeros_like(w) for w in init(key, (x.shape[1], *widths, y.shape[1]), dtype=x.dtype)
        )
        return _judge(key, params, tuple(np.ones(k, bool) for k in widths), x, y, activation, loss)
    best: TrainedSaddle | None = None
    for attempt, attempt_key in enumerate(jax.random.split(key, attempts)):
        start = init(attempt_key, (x.shape[1], *active, y.shape[1]), dtype=x.dtype)
        start = best_scale(start, x, y, activation, loss=loss)
        trained = minimize(NetworkLoss(activation, loss), start, args=(x, y), tol=tol)
        params, inactive = embed(trained.params, widths)
        found = _judge(attempt_key, params, inactive, x, y, activation, loss)
        found = found._replace(attempts=attempt + 1)
        if best is None or _stiffness(found) < _stiffness(best):
            best = found._replace(attempts=attempts)
    assert best is not None
    return best


def _widths(name: str, values: Any) -> tuple[int, ...]:
    """Hidden widths as a tuple of integers."""
    if not isinstance(values, Sequence) or not values:
        raise TypeError(f"{name} must be a sequence of hidden widths, got {values!r}")
    for value in values:
        if isinstance(value, bool) or not isinstance(value, numbers.Integral):
            raise TypeError(f"{name} must hold integers, got {values!r}")
    return tuple(int(value) for value in values)


def best_scale(
    params: Params, x: jax.Array, y: jax.Array, activation: Activation, *, loss: str = "square"
) -> Params:
    """The network balanced, with the sign and scale at which its outputs fit the targets best.

    `c^D = <r_0, H> / ||H||^2`, with r_0 the residual at H = 0 (the targets, for the square loss).
    """
    params = balance(params, activation)
    outputs = apply(params, x, activation)
    wanted = residual(jnp.zeros_like(outputs), y, loss=loss)
    ratio = jnp.sum(wanted * outputs) / jnp.sum(outputs**2)
    # A network that is dead on the data, or orthogonal to the targets, stays as it is.
    ratio = jnp.where(jnp.isfinite(ratio) & (ratio != 0), ratio, 1)
    scale = jnp.abs(ratio) ** (1 / degree(activation, len(params)))
    params = tuple(scale * weight for weight in params)
    return (*params[:-1], jnp.sign(ratio) * params[-1])


def _judge(
    key: jax.Array,
    params: Params,
    inactive: Inactive,
    x: jax.Array,
    y: jax.Array,
    activation: Activation,
    loss: str,
) -> TrainedSaddle:
    saddle = inspect(params, inactive, x, y, activation, loss=loss)
    ncf = correlation(params, coupled_origin(inactive), x, y, activation, loss)
    best = dominant(key, params, inactive, ncf, activation, starts=32)
    # Active neurons that are dead on the data are at rest too, but no minimum of anything.
    origin = all(array.all() for array in inactive)
    learned = origin or saddle.curvature_max > 0
    good = saddle.stop is None and learned and not best.dead(saddle)
    return TrainedSaddle(params, inactive, saddle, best.value, 1, FOUND if good else NOT_FOUND)


def _stiffness(found: TrainedSaddle) -> float:
    """Largest curvature over N*; infinite for what is no saddle."""
    if found.result != FOUND or not np.isfinite(found.saddle.curvature_max):
        return np.inf
    return found.saddle.curvature_max / found.kkt_value
