"""Layers of products of projections, `prod_j (u_j . g)`: CP terms as neurons.

A neuron's row of weights holds its factors `u_1 ... u_N` one after the other. Neurons of lower
order have zero factors at the end, which count as the number one and stay zero under any gradient;
a neuron whose factors are all zero is not there, and its response is zero.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from nsjax import _check
from nsjax.networks.cp import CPNeuron, CPTerms
from nsjax.networks.family import NeuronFamily
from nsjax.networks.homogeneous import Params, append_neuron, apply, check_layer

if TYPE_CHECKING:
    from jaxtyping import Array, Bool, Float


def by_factors(weight: Any, factors: int) -> Any:
    """Weights `(..., k, f w)` of JAX or NumPy as `(..., k, f, w)`."""
    return weight.reshape(*weight.shape[:-1], factors, weight.shape[-1] // factors)


@dataclass(frozen=True)
class Products:
    """Neurons that are products of projections, of one order or of several.

    It takes the place of an activation: `networks.apply(params, x, Products(3))` with `W_1` of
    shape `(k, 3 d)`, objectives, flows, KKT searches and pursuits of such networks.

    Args:
        orders: how many factors a neuron has: an integer, or several, increasing, of which every
            neuron has one.
        along: where the factors of a pursuit's new neurons point: `"any"` direction; `"axes"`, each
            along one input, so that neurons are monomials of the inputs; or `"both"`, whichever
            explains more. But for `"any"`, weights that are zero stay zero under any gradient.

    Raises:
        TypeError, ValueError: if `orders` are no positive integers that increase, or `along` is
            none of these.

    >>> x = jnp.array([[2.0, 3.0]])
    >>> weights = jnp.array([[1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 0.0, 0.0]])
    >>> apply((weights, jnp.eye(2)), x, Products((1, 2))).tolist()  # x0 x1, and x1 of order 1
    [[6.0, 3.0]]
    """

    orders: Any
    along: str = "any"

    def __post_init__(self) -> None:
        given = self.orders if isinstance(self.orders, tuple | list) else (self.orders,)
        if not given:
            raise ValueError(f"orders must name at least one, got {self.orders!r}")
        orders = tuple(_check.positive_integer("orders", order) for order in given)
        if any(b <= a for a, b in pairwise(orders)):
            raise ValueError(f"orders must increase, got {self.orders!r}")
        object.__setattr__(self, "orders", orders)
        _check.choice("along", self.along, ("any", "axes", "both"))

    @property
    def smooth(self) -> bool:
        """Products have no kinks."""
        return True

    @property
    def factors(self) -> int:
        """N, room for factors in a neuron's weights: the highest order."""
        return int(self.orders[-1])

    @property
    def degree(self) -> int:
        """Degree of homogeneity in the incoming weights.

        Raises:
            TypeError: if there are several orders: then it is each neuron's own.
        """
        if len(self.orders) > 1:
            raise TypeError(f"orders must be a single one for a degree, got {self.orders}")
        return self.factors

    def __call__(self, t: jax.Array) -> jax.Array:
        """`t^n`: what a neuron of one order responds where all of its projections are t."""
        return t**self.degree

    def split(self, weight: Float[Array, "... k w"]) -> Float[Array, "... k f d"]:
        """The factors of every neuron, from the `weight` matrix of a hidden layer."""
        return by_factors(weight, self.factors)

    def present(self, weight: Float[Array, "... k w"]) -> Bool[Array, "... k f"]:
        """Which factors in `weight` are not zero; their count is a neuron's order."""
        return jnp.any(self.split(weight) != 0, axis=-1)

    def project(self, weight: Float[Array, "k w"], before: Float[Array, "n d"]) -> jax.Array:
        """Pre-activations `(n, k N)`: projections of the features `before` on all of `weight`."""
        if self.along != "any":
            weight = jnp.where(weight != 0, weight, 0)
        return before @ weight.reshape(weight.shape[0] * self.factors, before.shape[1]).T

    def multiply(self, pre: Float[Array, "n f"], weight: Float[Array, "k w"]) -> jax.Array:
        """Responses `(n, k)` from the pre-activations `pre` of a layer with this `weight`."""
        there = self.present(weight)
        each = jnp.where(there, pre.reshape(len(pre), *there.shape), 1)
        product = reduce(jnp.multiply, (each[:, :, j] for j in range(self.factors)))
        return jnp.where(jnp.any(there, axis=1), product, 0)

    def parameters(self, params: Params) -> np.ndarray:
        """Weights of a network that are not zero, on the host; `(...)` of several networks."""
        return sum(np.count_nonzero(np.asarray(weight), axis=(-2, -1)) for weight in params)

    def scales(self, params: Params) -> np.ndarray:
        """Numbers of `parameters` that the others make up for: one for every factor there is."""
        return sum(
            np.count_nonzero(np.any(np.asarray(self.split(weight)) != 0, axis=-1), axis=(-2, -1))
            for weight in params[:-1]
        )

    def to_cp(self, params: Params) -> CPNeuron:
        """A network of two layers as a CP-polynomial neuron, terms by order, on the host.

        Its `neuronseek.Formula` is the network in words.

        >>> weights = (jnp.array([[1.0, 0.0, 0.0, 2.0]]), jnp.array([[3.0]]))
        >>> neuron = Products(2).to_cp(weights)
        >>> neuron.interactions[2].coefficients.tolist(), neuron.interactions[2].factors.shape
        ([[3.0]], (2, 1, 2))
        """
        parts, after = np.asarray(self.split(params[0])), np.asarray(params[1])
        counts = np.sum(np.any(parts != 0, axis=2), axis=1)
        linear = after[:, counts == 1] @ parts[counts == 1, 0]
        return CPNeuron(
            np.zeros(len(after), after.dtype),
            {1: linear} if np.any(counts == 1) else {},
            {
                int(n): CPTerms(after[:, counts == n], np.swapaxes(parts[counts == n, :n], 0, 1))
                for n in np.unique(counts[counts > 1])
            },
            {},
        )

    def balance(self, params: Params) -> Params:
        """A network of two layers with balanced neurons: all factors and the outgoing of one norm.

        At a KKT point each of the n factors has norm `1 / sqrt(n + 1)`, as have the outgoing
        weights. A neuron without outgoing weights stays as it is.
        """
        weight, after = params
        parts, there = self.split(weight), self.present(weight)
        sizes = jnp.linalg.norm(parts, axis=2)
        outgoing = jnp.linalg.norm(after, axis=0)
        order = jnp.sum(there, axis=1)
        alive = (order > 0) & (outgoing > 0)
        logs = jnp.sum(jnp.log(jnp.where(there, sizes, 1)), axis=1)
        logs += jnp.log(jnp.where(alive, outgoing, 1))
        common = jnp.exp(logs / (order + 1))
        scales = jnp.where(there & alive[:, None], common[:, None] / jnp.where(there, sizes, 1), 1)
        out = jnp.where(alive, common / jnp.where(alive, outgoing, 1), 1)
        return (parts * scales[:, :, None]).reshape(weight.shape), after * out


@dataclass(frozen=True)
class ProductNeurons(NeuronFamily):
    """Neurons `prod_j (u_j . g)` of one order, as a neuron family.

    Incoming weights are the n factors one after the other, `(n k,)`, of norm one together. The NCF
    of such a neuron is `<T, u_1 o ... o u_n>` with `T = sum_i (B_i . v) g_i^(o n)`, the moment
    tensor of the pulled-back residual, which is never formed: its KKT points are the singular
    vectors of T, all factors of norm `1 / sqrt n`, and an ascent step with the gradient is a
    shifted power step on all factors at once.

    Args:
        order: n.
    """

    order: int

    def __post_init__(self) -> None:
        _check.positive_integer("order", self.order)

    @property
    def kinked(self) -> bool:
        """Products have no kinks."""
        return False

    @property
    def degree(self) -> jax.Array:
        """The order, an int32 scalar."""
        return jnp.asarray(self.order, jnp.int32)

    def draw(self, key: jax.Array, count: int, size: int, dtype: jnp.dtype) -> jax.Array:
        """Factors uniform on the sphere of radius `1 / sqrt n`, see `NeuronFamily.draw`."""
        start = jax.random.normal(key, (count, self.order, size), dtype)
        start = start / jnp.linalg.norm(start, axis=2, keepdims=True) / self.order**0.5
        return start.reshape(count, -1)

    def response(
        self,
        incoming: Float[Array, "k m"],
        features: Float[Array, "n d"],
        width: jax.Array | None = None,
    ) -> Float[Array, "n m"]:
        """Products of the projections on the factors, see `NeuronFamily.response`."""
        return self._product(features @ self._columns(incoming))

    def response_vjp(
        self,
        incoming: Float[Array, "k m"],
        features: Float[Array, "n d"],
        transposed: Float[Array, "d n"],
        width: jax.Array | None = None,
    ) -> tuple[Float[Array, "n m"], Callable[[jax.Array], jax.Array]]:
        """Responses, and back from their cotangents, see `NeuronFamily.response_vjp`."""
        size, count = transposed.shape[0], incoming.shape[1]
        response, derivative = jax.vjp(self._product, features @ self._columns(incoming))

        def back(cotangent: jax.Array) -> jax.Array:
            gradient = transposed @ derivative(cotangent)[0]
            return jnp.swapaxes(gradient.reshape(size, self.order, count), 0, 1).reshape(
                self.order * size, count
            )

        return response, back

    def insert(
        self, params: Params, layer: int, incoming: jax.Array, outgoing: jax.Array
    ) -> Params:
        """Append the neuron, missing factors zero, see `networks.append_neuron`."""
        check_layer(params, layer)
        width = params[layer - 1].shape[1]
        return append_neuron(
            params, layer, jnp.pad(incoming, (0, width - incoming.shape[0])), outgoing
        )

    def balance(self, params: Params) -> Params:
        """Rescale every neuron, see `Products.balance`."""
        return Products(self.order).balance(params)

    def apply(self, params: Params, x: Float[Array, "n d"]) -> Float[Array, "n c"]:
        """Forward pass, see `networks.apply`."""
        return apply(params, x, Products(self.order))

    def _columns(self, incoming: jax.Array) -> jax.Array:
        """Factors as columns `(d, n m)`: all first ones, then all second ones."""
        parts = incoming.reshape(self.order, -1, incoming.shape[1])
        return jnp.swapaxes(parts, 0, 1).reshape(parts.shape[1], -1)

    def _product(self, projections: jax.Array) -> jax.Array:
        each = projections.reshape(len(projections), self.order, -1)
        return reduce(jnp.multiply, (each[:, j] for j in range(self.order)))
