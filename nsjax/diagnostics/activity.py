"""Activity of neurons on data: dormant scores, and how much gradient reaches each neuron."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nsjax import _check
from nsjax.diagnostics.snapshots import weights_of
from nsjax.networks.homogeneous import Activation, Params, features
from nsjax.objectives import LOSSES, NetworkLoss


def dormant_scores(activations: Any) -> jax.Array:
    """`mean_i |h_j(x_i)| / mean_{i,k} |h_k(x_i)|`, the activity of each neuron against its layer.

    Args:
        activations: `(n, k)` outputs of a layer of k neurons on n samples, of any network; or
            `(..., n, k)`, with the leading axes of a trajectory. The channels of a convolution come
            as `(samples * positions, channels)`.

    Returns:
        `(..., k)`, of mean 1; NaN for a layer that is zero on all samples.

    Raises:
        TypeError, ValueError: if the activations are no finite array of rank 2 or more.

    Source: G. Sokar et al., The dormant neuron phenomenon in deep reinforcement learning, ICML 2023
    (arXiv 2302.12902), definition 3.1.

    >>> dormant_scores(jnp.array([[1.0, 0.0], [3.0, 0.0]])).tolist()
    [2.0, 0.0]
    """
    return _normalised(_rank_two("activations", activations), axis=-2)


def dormant_ratio(scores: Any, *, tau: float = 0.025) -> jax.Array:
    """Share of the neurons of a layer that are tau-dormant: whose score is at most tau.

    Args:
        scores: `(..., k)`, of `dormant_scores` or `gradient_scores`.
        tau: threshold, 0 or above; 0 counts neurons that are silent on every sample.

    Returns:
        `(...)`; 1 for a layer that is silent, whose scores are NaN.

    Raises:
        TypeError, ValueError: for a bad tau, or scores that are no array, or of rank 0.

    Source: as `dormant_scores`, definitions 3.1 and 3.2.

    >>> dormant_ratio(jnp.array([2.0, 0.0])).tolist()
    0.5
    """
    tau = _check.non_negative("tau", tau)
    try:
        scores = jnp.asarray(scores)
    except (TypeError, ValueError) as error:
        raise TypeError(f"scores must be an array, got {type(scores).__name__}") from error
    if scores.ndim < 1:
        raise ValueError(f"scores must have a last axis of neurons, got shape {scores.shape}")
    return jnp.mean(~(scores > tau), axis=-1, dtype=jnp.result_type(float, scores.dtype))


def gradient_scores(gradient: Any) -> jax.Array:
    """Mean gradient magnitude of each neuron's incoming weights against the mean of its layer.

    How much a neuron can still learn: at 0 nothing moves it. `dormant_ratio` counts those.

    Args:
        gradient: `(k, m)` gradient of a loss in a layer's weights, a row per neuron; or
            `(..., k, m)`. The kernel of a flax module is the transpose of this.

    Returns:
        `(..., k)`, of mean 1; NaN for a layer whose gradient is zero.

    Raises:
        TypeError, ValueError: if the gradient is no finite array of rank 2 or more.

    Source: the gradient-magnitude ratio of J. Liu et al., Measure gradients, not activations!
    Enhancing neuronal activity in deep reinforcement learning, 2025 (arXiv 2505.24061).

    >>> gradient_scores(jnp.array([[1.0, -3.0], [0.0, 0.0]])).tolist()
    [2.0, 0.0]
    """
    return _normalised(_rank_two("gradient", gradient), axis=-1)


class NeuronActivity(NamedTuple):
    """Activity and gradients of every hidden neuron, one array per hidden layer.

    Attributes:
        scores: `(..., k_l)`, `dormant_scores` of the layer's activations; NaN for a layer that is
            silent.
        gradients: `(..., k_l)`, `gradient_scores` of the loss in the layer's weights; NaN for a
            layer that gets no gradient.
        dormant: `(...)` share of neurons whose score is at most tau, a scalar per layer.
        stuck: `(...)` share of neurons whose gradient score is at most tau.
        tau: the threshold.
    """

    scores: tuple[jax.Array, ...]
    gradients: tuple[jax.Array, ...]
    dormant: tuple[jax.Array, ...]
    stuck: tuple[jax.Array, ...]
    tau: float


def neuron_activity(
    params: Any,
    x: Any,
    y: Any,
    activation: Activation,
    *,
    loss: str = "square",
    tau: float = 0.025,
) -> NeuronActivity:
    """Dormant and gradient scores of every hidden neuron of a homogeneous network.

    Args:
        params: L weight matrices, or snapshots of them: a leading axis, or a sequence of networks.
        x, y: data `(n, d)`, `(n, c)`.
        activation: elementwise activation.
        loss: "square", "logistic" or "cross_entropy".
        tau: threshold of a dormant neuron.

    Raises:
        TypeError, ValueError: for bad input, before anything is compiled.

    Source: as `dormant_scores` and `gradient_scores`.

    >>> w = (jnp.array([[1.0], [0.0]]), jnp.array([[1.0, 1.0]]))
    >>> found = neuron_activity(w, jnp.ones((3, 1)), jnp.zeros((3, 1)), jnp.tanh)
    >>> found.scores[0].tolist(), found.dormant[0].tolist()
    ([2.0, 0.0], 0.5)
    """
    weights = weights_of("params", params)
    _check.function("activation", activation)
    _check.choice("loss", loss, tuple(LOSSES))
    tau = _check.non_negative("tau", tau)
    lead = weights[0].shape[:-2]
    # The data have to fit each snapshot; one stands for all.
    first = tuple(weight[(0,) * len(lead)] for weight in weights)
    x, y = _check.samples(first, x, y)
    scores, gradients = _activity(NetworkLoss(activation, loss), weights, x, y)
    return NeuronActivity(
        scores,
        gradients,
        tuple(dormant_ratio(score, tau=tau) for score in scores),
        tuple(dormant_ratio(score, tau=tau) for score in gradients),
        tau,
    )


@partial(jax.jit, static_argnums=0)
def _activity(
    loss: NetworkLoss, weights: Params, x: jax.Array, y: jax.Array
) -> tuple[tuple[jax.Array, ...], tuple[jax.Array, ...]]:
    def one(params: Params) -> tuple[tuple[jax.Array, ...], tuple[jax.Array, ...]]:
        hidden = features(params, x, loss.activation)[1:]
        gradient = jax.grad(loss)(params, x, y)[:-1]
        return (
            tuple(_normalised(layer, axis=-2) for layer in hidden),
            tuple(_normalised(layer, axis=-1) for layer in gradient),
        )

    for _ in range(weights[0].ndim - 2):
        one = jax.vmap(one)
    return one(weights)


def _rank_two(name: str, value: Any) -> jax.Array:
    if not hasattr(value, "ndim"):
        raise TypeError(f"{name} must be an array, got {type(value).__name__}")
    array = _check.floating_tree(name, value)
    if array.ndim < 2:
        raise ValueError(f"{name} must have rank 2 or more, got shape {array.shape}")
    return array


def _normalised(values: jax.Array, *, axis: int) -> jax.Array:
    """Mean magnitude over an axis, against its mean over the axis that is left; NaN for zeros."""
    size = jnp.abs(values)
    largest = jnp.max(size, axis=(-2, -1), keepdims=True)
    means = jnp.mean(size / jnp.where(largest > 0, largest, 1), axis=axis)
    overall = jnp.mean(means, axis=-1, keepdims=True)
    return jnp.where(overall > 0, means / jnp.where(overall > 0, overall, 1), jnp.nan)
