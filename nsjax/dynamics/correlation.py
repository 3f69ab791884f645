"""The NCF of a saddle's zero block, and its dominant KKT point."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsjax._flat import Layout
from nsjax.dynamics.saddles import Inactive, Saddle, coupled_origin
from nsjax.kkt import random_unit, search, unit
from nsjax.kkt.ascent import ascend
from nsjax.kkt.neuron import correlation_scale, search_family, value_factor
from nsjax.kkt.sphere import gradient_residual
from nsjax.networks import HomogeneousNeurons, activation_degree, features, pullback
from nsjax.networks.homogeneous import Activation, Params
from nsjax.objectives import NetworkLoss, NetworkNCF, SaddleNCF


class Correlation(NamedTuple):
    """The NCF of a saddle's zero block: a hashable function and the arrays it takes.

    Attributes:
        function: `(zero_block, *args) -> scalar`.
        args: features and pulled-back residuals; at the origin, inputs and residual.
    """

    function: Callable[..., jax.Array]
    args: tuple[Any, ...]


def correlation(
    params: Params,
    origin: bool,
    x: jax.Array,
    y: jax.Array,
    activation: Activation,
    loss: str = "square",
) -> Correlation:
    """The NCF of the zero block of the saddle `params`."""
    function = NetworkNCF(activation) if origin else SaddleNCF(activation)
    return Correlation(
        function, correlation_args(NetworkLoss(activation, loss), origin, params, x, y)
    )


@partial(jax.jit, static_argnums=(0, 1))
def correlation_args(
    loss: NetworkLoss, origin: bool, params: Params, x: jax.Array, y: jax.Array
) -> tuple[Any, ...]:
    """Residual, features and pullback at the saddle `params`: what the NCF takes."""
    residual = loss.residual(params, x, y)
    if origin:
        return x, residual
    return features(params, x, loss.activation), pullback(params, x, residual, loss.activation)


class Dominant(NamedTuple):
    """The best KKT point found of a saddle's NCF.

    Attributes:
        direction: unit pytree shaped like the parameters, zero outside the zero block.
        value: N* there.
        scale: the size the NCF would have if residual and features lined up.
        neuron: `(hidden layer, index)` that carries it; None at the origin.
    """

    direction: Params
    value: float
    scale: float
    neuron: tuple[int, int] | None

    def dead(self, saddle: Saddle) -> bool:
        """Whether the NCF vanishes identically.

        To the square root of rounding against its natural size; and to ten times the gradient that
        is left at the saddle (or that would pass for zero, if that is less): a bottleneck's NCF is
        as far from zero as the saddle is from one.
        """
        eps = float(jnp.finfo(self.direction[0].dtype).eps)
        left = min(saddle.grad_norm, 1e-6 * saddle.grad_scale)
        return not self.value > max(eps**0.5 * self.scale, 10 * left)


def dominant(
    key: jax.Array,
    params: Params,
    inactive: Inactive,
    ncf: Correlation,
    activation: Activation,
    *,
    starts: int = 64,
) -> Dominant:
    """Search for the dominant KKT point of a saddle's NCF, over all its hidden layers."""
    if coupled_origin(inactive):
        return _dominant_at_origin(key, params, ncf, activation, starts)
    hidden_features, pulled = ncf.args
    family = HomogeneousNeurons(activation)
    p = activation_degree(activation)
    best = Dominant(jax.tree.map(jnp.zeros_like, params), 0.0, 0.0, None)
    scale = 0.0
    for i, k in enumerate(jax.random.split(key, len(inactive))):
        if not inactive[i].any():
            continue
        before, after = hidden_features[i], pulled[i + 1]
        bound = float(correlation_scale(family, before, after))
        scale = max(scale, bound * value_factor(p))
        if bound == 0:
            continue
        found = search_family(k, family, before, after, starts=starts)
        if float(found.values[0]) > best.value:
            j = int(np.argmax(inactive[i]))
            weights = [jnp.zeros_like(weight) for weight in params]
            weights[i] = weights[i].at[j].set(found.points[0][0])
            weights[i + 1] = weights[i + 1].at[:, j].set(found.points[1][0])
            best = Dominant(unit(tuple(weights)), float(found.values[0]), scale, (i + 1, j))
    return best._replace(scale=scale)


def _dominant_at_origin(
    key: jax.Array,
    params: Params,
    ncf: Correlation,
    activation: Activation,
    starts: int,
) -> Dominant:
    x, residual = ncf.args
    # The output is of degree p^(L-1) in a sample.
    sizes = jnp.linalg.norm(x, axis=1) ** (activation_degree(activation) ** (len(params) - 1))
    scale = float(jnp.linalg.norm(residual) * jnp.linalg.norm(sizes))
    if scale == 0:
        return Dominant(jax.tree.map(jnp.zeros_like, params), 0.0, 0.0, None)
    found = search(
        key,
        ncf.function,
        partial(random_unit, like=params),
        args=ncf.args,
        starts=starts,
    )
    best = jax.tree.map(lambda leaf: leaf[0], found.points)
    return Dominant(best, float(found.values[0]), scale, None)


@partial(jax.jit, static_argnums=(0, 1))
def climb(
    function: Callable[..., jax.Array],
    layout: Layout,
    zero: jax.Array,
    direction: jax.Array,
    args: tuple[Any, ...],
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The KKT point that a monotone ascent of the NCF reaches from a unit direction.

    Args:
        function: the NCF, `(zero_block, *args) -> scalar`.
        layout: of the weights.
        zero: `(P,)` bool, the zero block.
        direction: `(P,)` unit vector, zero outside the zero block.
        args: of the NCF.

    Returns:
        The point `(P,)`, the NCF there, and the KKT residual of `direction`.
    """

    def value_and_grad(columns: jax.Array) -> tuple[jax.Array, jax.Array]:
        values, gradients = jax.vmap(
            jax.value_and_grad(lambda w: function(layout.tree(w), *args)),
            in_axes=1,
            out_axes=(0, 1),
        )(columns)
        return values, jnp.where(zero[:, None], gradients, 0)

    point = ascend(value_and_grad, direction[None, :], 1e-8, 5000).points[0]
    value = value_and_grad(point[:, None])[0][0]
    gradient = value_and_grad(direction[:, None])[1][:, 0]
    return point, value, gradient_residual(direction, gradient)
