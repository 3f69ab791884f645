"""Which terms of a trained neuron stay: thresholds, hard-concrete gates and group shrinkage."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from nsjax import _check

if TYPE_CHECKING:
    from jax.typing import ArrayLike
    from jaxtyping import Array, Bool, Float

STATISTICS = ("mean_minus_std", "mean")
TEMPERATURE, STRETCH = 0.66, (-0.1, 1.1)
"""Of hard-concrete gates: beta, and the interval (gamma, zeta) that a gate is stretched to."""
OPEN = math.log(9.0)
"""Their log alpha at the start: gates are open."""


def threshold(values: Float[np.ndarray, " m"], statistic: str | float) -> float:
    """Value below which a term goes.

    Args:
        values: what terms are judged by, such as `|C_n|`, none negative.
        statistic: `"mean_minus_std"`, the paper's `mean|C| - std|C|` with the population's standard
            deviation; `"mean"`; or a number, a fraction of the largest value.

    Returns:
        The threshold. That of `"mean_minus_std"` may be negative, and then nothing goes.

    Source: NeuronSeek (arXiv 2506.15715); `docs/mathematics.md`, section 7.

    >>> round(threshold(np.array([1.0, 0.0, 0.0]), "mean_minus_std"), 4)
    -0.1381
    """
    values = np.asarray(values, float)
    if isinstance(statistic, str):
        _check.choice("statistic", statistic, STATISTICS)
        spread = float(np.std(values)) if statistic == "mean_minus_std" else 0.0
        return float(np.mean(values)) - spread
    return _check.non_negative("statistic", statistic) * float(np.max(values, initial=0.0))


def above(
    values: Float[np.ndarray, " m"], statistic: str | float
) -> tuple[Bool[np.ndarray, " m"], float]:
    """Which values are at or above their threshold, and that threshold.

    A value within rounding of the threshold counts as at it, so that equal values all stay; one
    that is 0 goes, as long as the threshold is not negative.
    """
    values = np.asarray(values, float)
    cut = threshold(values, statistic)
    rounding = 1e-12 * float(np.max(values, initial=0.0))
    return (values >= cut - rounding) & ((values > 0) | (cut < 0)), cut


def grouped(values: ArrayLike, groups: Any) -> Float[np.ndarray, " G"]:
    """Root of the sum of squares of the values of every group; `groups` are indices from 0."""
    return np.sqrt(np.bincount(groups, weights=np.asarray(values, float) ** 2))


def gate_sample(log_alpha: Float[Array, " G"], uniform: Float[Array, " G"]) -> Float[Array, " G"]:
    """Hard-concrete gates in [0, 1] from uniform numbers in (0, 1).

    `s = sigmoid((log u - log(1 - u) + log alpha) / beta)`, `z = clip(s (zeta - gamma) + gamma)`.
    """
    logistic = jnp.log(uniform) - jnp.log1p(-uniform)
    return _stretched(jax.nn.sigmoid((logistic + log_alpha) / TEMPERATURE))


def gate_mean(log_alpha: Float[Array, " G"]) -> Float[Array, " G"]:
    """The gates of a trained neuron: `clip(sigmoid(log alpha) (zeta - gamma) + gamma)`."""
    return _stretched(jax.nn.sigmoid(log_alpha))


def gate_open(log_alpha: Float[Array, " G"]) -> Float[Array, " G"]:
    """Probability that a gate is not 0: `sigmoid(log alpha - beta log(-gamma / zeta))`."""
    low, high = STRETCH
    return jax.nn.sigmoid(log_alpha - TEMPERATURE * math.log(-low / high))


def _stretched(s: jax.Array) -> jax.Array:
    low, high = STRETCH
    return jnp.clip(s * (high - low) + low, 0, 1)


def ramp(progress: Any) -> Any:
    """Share of its weight that a penalty has after that share of training.

    Zero for the first quarter, rising linearly to 1 at three quarters.
    """
    return jnp.clip((progress - 0.25) / 0.5, 0, 1)


def shrinkage(norms: Float[Array, " L"], by: Float[Array, " L"]) -> Float[Array, " L"]:
    """Factors of the proximal step of `by ||block||`: `max(0, 1 - by / ||block||)`."""
    return jnp.where(norms > by, 1 - by / jnp.where(norms > by, norms, 1), 0)
