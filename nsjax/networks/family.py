"""Neuron families: the one protocol through which search and growth see a neuron.

A neuron of a family has incoming weights `u`, outgoing weights `v` and a response `r_u(g)` to the
features `g` before it, homogeneous of some degree p in u. Its correlation with a pulled-back
residual B, its NCF, is `sum_i (B(x_i) . v) r_u(g(x_i))`. Search and pursuit use nothing else of a
family.
"""

from __future__ import annotations

from dataclasses import dataclass
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
        """`count` random unit incoming weights for features of width `size`: `(count, size)`."""
        ...

    def response(
        self, incoming: Float[Array, "m k"], features: Float[Array, "n k"]
    ) -> Float[Array, "m n"]:
        """Responses of m neurons to n samples, by one matrix product."""
        ...

    def ncf(
        self,
        incoming: Float[Array, " k"],
        outgoing: Float[Array, " c"],
        features: Float[Array, "n k"],
        pulled: Float[Array, "n c"],
    ) -> Float[Array, ""]:
        """NCF of one neuron, `sum_i (B(x_i) . v) r_u(g(x_i))`."""
        ...

    def insert(
        self, params: Params, layer: int, incoming: jax.Array, outgoing: jax.Array
    ) -> Params:
        """The network with one such neuron more in hidden layer `layer`."""
        ...

    def balance(self, params: Params) -> Params:
        """The same function with every neuron at the norm ratio of a KKT point."""
        ...

    def apply(self, params: Params, x: Float[Array, "n d"]) -> Float[Array, "n c"]:
        """Output of the network, a row per sample."""
        ...


@dataclass(frozen=True)
class HomogeneousNeurons:
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
        """Uniform on the unit sphere: `(count, size)`."""
        start = jax.random.normal(key, (count, size), dtype)
        return start / jnp.linalg.norm(start, axis=1, keepdims=True)

    def response(
        self, incoming: Float[Array, "m k"], features: Float[Array, "n k"]
    ) -> Float[Array, "m n"]:
        """`s(U G^T)`."""
        return self.activation(incoming @ features.T)

    def ncf(
        self,
        incoming: Float[Array, " k"],
        outgoing: Float[Array, " c"],
        features: Float[Array, "n k"],
        pulled: Float[Array, "n c"],
    ) -> Float[Array, ""]:
        """`sum_i (B(x_i) . v) s(u . g(x_i))`."""
        return jnp.dot(pulled @ outgoing, self.response(incoming[None, :], features)[0])

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
