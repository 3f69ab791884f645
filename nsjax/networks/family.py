"""Neuron families: the one protocol through which search and growth see a neuron.

A neuron of a family has incoming weights `u`, outgoing weights `v` and a response `r_u(g)` to the
features `g` before it, homogeneous of some degree p in u. Its correlation with a pulled-back
residual B, its NCF, is `sum_i (B(x_i) . v) r_u(g(x_i))`. Search and pursuit use nothing else of a
family.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import jax
import jax.numpy as jnp

from nsjax.networks.balance import balance
from nsjax.networks.homogeneous import (
    Activation,
    Params,
    activation_degree,
    append_neuron,
    apply,
    has_kinks,
)

if TYPE_CHECKING:
    from jaxtyping import Array, Float


@runtime_checkable
class NeuronFamily(Protocol):
    """What a family of neurons must offer. Implementations are frozen and hashable."""

    @property
    def degree(self) -> jax.Array:
        """Degree p of the response in the incoming weights: array data, so that families mix."""
        ...

    def draw(self, key: jax.Array, count: int, size: int, dtype: jnp.dtype) -> jax.Array:
        """Random unit incoming weights, `(count, size)`.

        Args:
            key: PRNG key.
            count: how many neurons.
            size: width of the features.
            dtype: of the weights.
        """
        ...

    @property
    def kinked(self) -> bool:
        """Whether the derivative of the response jumps, so that maxima may sit on kinks."""
        ...

    def response(
        self,
        incoming: Float[Array, "k m"],
        features: Float[Array, "n k"],
        width: jax.Array | None = None,
    ) -> Float[Array, "n m"]:
        """Responses of n samples to m neurons, a column each.

        Args:
            incoming: weights, a column for each neuron.
            features: a row for each sample.
            width: kinks are rounded over it; not at all if it is None.
        """
        ...

    def response_vjp(
        self,
        incoming: Float[Array, "k m"],
        features: Float[Array, "n k"],
        transposed: Float[Array, "k n"],
        width: jax.Array | None = None,
    ) -> tuple[Float[Array, "n m"], Callable[[jax.Array], jax.Array]]:
        """Responses, and the map from their cotangents `(n, m)` to those of `incoming`.

        Args:
            incoming, features: as in `response`.
            transposed: the features once more in the other order of memory, so that both matrix
                products are the fast one.
            width: as in `response`; then for unit columns, and true in the tangent of the sphere
                alone.
        """
        ...

    def ncf(
        self,
        incoming: Float[Array, " k"],
        outgoing: Float[Array, " c"],
        features: Float[Array, "n k"],
        pulled: Float[Array, "n c"],
    ) -> Float[Array, ""]:
        """NCF of one neuron, `sum_i (B(x_i) . v) r_u(g(x_i))`.

        Args:
            incoming, outgoing: its weights u and v.
            features: g, a row for each sample.
            pulled: B, the residual pulled back to the layer behind.
        """
        return jnp.dot(pulled @ outgoing, self.response(incoming[:, None], features)[:, 0])

    def insert(
        self, params: Params, layer: int, incoming: jax.Array, outgoing: jax.Array
    ) -> Params:
        """The network `params` with one such neuron more in hidden layer `layer`.

        Args:
            params: L weight matrices.
            layer: 1 to L - 1.
            incoming, outgoing: weights of the neuron.
        """
        ...

    def balance(self, params: Params) -> Params:
        """The function of `params` with every neuron at the norm ratio of a KKT point."""
        ...

    def apply(self, params: Params, x: Float[Array, "n d"]) -> Float[Array, "n c"]:
        """Output of the network `params` on the inputs x, a row per sample."""
        ...


@dataclass(frozen=True)
class HomogeneousNeurons(NeuronFamily):
    """Neurons `s(u . g)` of a feed-forward network with a homogeneous activation s.

    Args:
        activation: homogeneous activation with an integer degree, such as `PolyLeakyReLU`.
    """

    activation: Activation

    def __post_init__(self) -> None:
        activation_degree(self.activation)

    @property
    def degree(self) -> jax.Array:
        """Degree p of the activation, an int32 scalar."""
        return jnp.asarray(activation_degree(self.activation), jnp.int32)

    def draw(self, key: jax.Array, count: int, size: int, dtype: jnp.dtype) -> jax.Array:
        """Uniform on the unit sphere, see `NeuronFamily.draw`."""
        start = jax.random.normal(key, (count, size), dtype)
        return start / jnp.linalg.norm(start, axis=1, keepdims=True)

    @property
    def kinked(self) -> bool:
        """Whether the activation's own derivative jumps, and it can be rounded there."""
        return has_kinks(self.activation)

    def response(
        self,
        incoming: Float[Array, "k m"],
        features: Float[Array, "n k"],
        width: jax.Array | None = None,
    ) -> Float[Array, "n m"]:
        """`s(G U)`; rounded over `width |g_i| |u_j|`, see `NeuronFamily.response`."""
        if width is None:
            return self.activation(features @ incoming)
        sizes = jnp.linalg.norm(features, axis=1)[:, None] * jnp.linalg.norm(incoming, axis=0)
        return self.activation.rounded(features @ incoming, width * sizes)  # type: ignore[attr-defined]

    def response_vjp(
        self,
        incoming: Float[Array, "k m"],
        features: Float[Array, "n k"],
        transposed: Float[Array, "k n"],
        width: jax.Array | None = None,
    ) -> tuple[Float[Array, "n m"], Callable[[jax.Array], jax.Array]]:
        """`s(G U)` and `ct -> G^T (s'(G U) * ct)`, see `NeuronFamily.response_vjp`."""
        activation = self.activation
        if width is not None:
            widths = width * jnp.linalg.norm(features, axis=1)[:, None]
            activation = partial(activation.rounded, width=widths)  # type: ignore[attr-defined]
        response, derivative = jax.vjp(activation, features @ incoming)
        return response, lambda cotangent: transposed @ derivative(cotangent)[0]

    def insert(
        self, params: Params, layer: int, incoming: jax.Array, outgoing: jax.Array
    ) -> Params:
        """Append the neuron, see `networks.append_neuron`."""
        return append_neuron(params, layer, incoming, outgoing)

    def balance(self, params: Params) -> Params:
        """Rescale every neuron, see `networks.balance`."""
        return balance(params, self.activation)

    def apply(self, params: Params, x: Float[Array, "n d"]) -> Float[Array, "n c"]:
        """Forward pass, see `networks.apply`."""
        return apply(params, x, self.activation)
