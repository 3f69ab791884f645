"""Chains: one new neuron in every hidden layer, connected to each other alone.

A chain adds `delta^D H(x; w)` to the outputs, with H a network of width one. Of its hidden weights,
which are numbers, only the signs count; so its NCF is that of one neuron whose response is that of
all layers, one after the other, `phi(u) = ||r^T s(+-s( ... s(X u)))||`, of degree `p^(L-1)`. At the
origin this is the first step of Algorithm 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from nsjax.networks import HomogeneousNeurons, ProductNeurons, activation_degree


def chain_norms(p: int, depth: int) -> tuple[float, ...]:
    """Norms of the layers of a unit chain: squares as `p^(L-1) : ... : p : 1` (Lemma 9)."""
    squares = [float(p) ** (depth - 1 - layer) for layer in range(depth)]
    return tuple((square / sum(squares)) ** 0.5 for square in squares)


@dataclass(frozen=True)
class ProductChains(ProductNeurons):
    """Chains of products: of the inputs first, then powers of the one neuron before.

    Their later neurons have `order` equal factors, up to the sign that is the first one's.
    """

    depth: int = 2

    @property
    def degree(self) -> jax.Array:
        """`n^(L-1)`, an int32 scalar."""
        return jnp.asarray(self.order ** (self.depth - 1), jnp.int32)

    def signs(self, columns: int, dtype: jnp.dtype) -> jax.Array:
        """Signs `(L - 2, columns)` of the first factor of every later neuron."""
        return hidden_signs(self.depth, columns, dtype)

    def value_factor(self) -> float:
        """N* over phi; the norm of a later neuron is shared by its factors."""
        shared = self.order ** (-0.5 * self.order)
        later = sum(self.order**i for i in range(self.depth - 2))
        return chain_value(self.order, self.depth) * shared**later

    def _product(self, projections: jax.Array) -> jax.Array:
        layer = super()._product(projections)
        for signs in self.signs(layer.shape[1], layer.dtype):
            layer = signs * layer**self.order
        return layer


def hidden_signs(depth: int, columns: int, dtype: jnp.dtype) -> jax.Array:
    """Every pattern of signs `(L - 2, columns)` in turn."""
    bits = jnp.arange(columns) >> jnp.arange(depth - 2)[:, None]
    return (1 - 2 * (bits & 1)).astype(dtype)


def chain_value(p: int, depth: int) -> float:
    """The product of a unit chain's norms, each to the power it enters the outputs with."""
    norms = chain_norms(p, depth)
    return math.prod(norm ** (p ** (depth - 1 - layer)) for layer, norm in enumerate(norms))


@dataclass(frozen=True)
class Chains(HomogeneousNeurons):
    """Chains through a network of `depth` layers, as a neuron family.

    Every pattern of signs is met in turn: in column j, the hidden weight after layer l is negative
    if bit l of j is set.
    """

    depth: int = 2

    @property
    def degree(self) -> jax.Array:
        """`p^(L-1)`, an int32 scalar."""
        return jnp.asarray(activation_degree(self.activation) ** (self.depth - 1), jnp.int32)

    def signs(self, columns: int, dtype: jnp.dtype) -> jax.Array:
        """Signs `(L - 2, columns)` of the hidden weights."""
        return hidden_signs(self.depth, columns, dtype)

    def response(
        self, incoming: jax.Array, features: jax.Array, width: jax.Array | None = None
    ) -> jax.Array:
        """Responses `(n, m)` of chains whose first weights are the columns of `incoming`."""
        return self._through(features @ incoming)

    def response_vjp(
        self,
        incoming: jax.Array,
        features: jax.Array,
        transposed: jax.Array,
        width: jax.Array | None = None,
    ) -> tuple[jax.Array, Callable[[jax.Array], jax.Array]]:
        """Responses, and the map from their cotangents to those of `incoming`."""
        response, back = jax.vjp(self._through, features @ incoming)
        return response, lambda cotangent: transposed @ back(cotangent)[0]

    def norms(self) -> tuple[float, ...]:
        """Norms of the layers of a unit chain, see `chain_norms`."""
        return chain_norms(activation_degree(self.activation), self.depth)

    def value_factor(self) -> float:
        """N* over phi."""
        return chain_value(activation_degree(self.activation), self.depth)

    def _through(self, pre: jax.Array) -> jax.Array:
        layer = self.activation(pre)
        for signs in self.signs(pre.shape[1], pre.dtype):
            layer = self.activation(signs * layer)
        return layer
