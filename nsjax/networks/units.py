"""Models that are sums of homogeneous units, a row of weights each: what the rescaled flow takes.

Written this way every unit has a size and a direction of its own, which is what the flow near a
saddle at infinity is about: some units grow without end, others stay tiny. Weights are a matrix
`(k, m)`, a row a unit; the output is the sum of the columns of `responses(weights, x)`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import jax
import jax.numpy as jnp

from nsjax import _check
from nsjax.networks.homogeneous import Activation, Params, activation_degree

if TYPE_CHECKING:
    from jaxtyping import Array, Float


@runtime_checkable
class Units(Protocol):
    """What a sum of units must offer. Implementations are frozen and hashable."""

    def degrees(self, count: int) -> tuple[int, ...]:
        """Degree of homogeneity of each of `count` units in its own weights."""
        ...

    def responses(
        self, weights: Float[Array, "k m"], x: Float[Array, "n d"]
    ) -> Float[Array, "n k"]:
        """Outputs of the units on the inputs x, a column each.

        Column j depends on row j of `weights` alone.
        """
        ...


def _check_columns(weights: jax.Array, wanted: int) -> None:
    if weights.shape[1] != wanted:
        raise ValueError(f"weights must have {wanted} columns, got shape {weights.shape}")


@dataclass(frozen=True)
class TwoLayerUnits:
    """Hidden neurons of a two-layer network with one output, `v s(u . x)`; rows are `(u, v)`.

    Args:
        activation: homogeneous activation s of degree p.
        skip: whether the first row is a linear term `a . x` of degree one, `(a, 0)`: a skip
            connection.

    >>> units = TwoLayerUnits(jnp.square, skip=True)
    >>> units.responses(jnp.array([[1.0, 0.0], [3.0, 2.0]]), jnp.array([[2.0]])).tolist()
    [[2.0, 72.0]]
    """

    activation: Activation
    skip: bool = False

    def degrees(self, count: int) -> tuple[int, ...]:
        """One more than the activation's, and 1 for the linear term, see `Units.degrees`."""
        degree = activation_degree(self.activation) + 1
        return tuple(1 if self.skip and j == 0 else degree for j in range(count))

    def responses(
        self, weights: Float[Array, "k m"], x: Float[Array, "n d"]
    ) -> Float[Array, "n k"]:
        """`v_j s(u_j . x)`, see `Units.responses`."""
        _check_columns(weights, x.shape[1] + 1)
        before, outgoing = x @ weights[:, :-1].T, weights[:, -1]
        after = self.activation(before) * outgoing
        return after.at[:, 0].set(before[:, 0]) if self.skip else after

    @staticmethod
    def of(params: Params) -> Float[Array, "k m"]:
        """The rows of a two-layer network with one output.

        Args:
            params: `(W_1, W_2)` of shapes `(k, d)` and `(1, k)`.

        Raises:
            TypeError, ValueError: for another network.

        >>> TwoLayerUnits.of((jnp.array([[1.0, 2.0]]), jnp.array([[3.0]]))).tolist()
        [[1.0, 2.0, 3.0]]
        """
        incoming, outgoing, *more = _check.network("params", params)
        if more:
            raise ValueError(f"params must have two layers, got {len(params)}")
        if outgoing.shape[0] != 1:
            raise ValueError(f"params must have one output, got {outgoing.shape[0]}")
        return jnp.concatenate([incoming, outgoing.T], axis=1)


@dataclass(frozen=True)
class DiagonalUnits:
    """Diagonal linear network: unit j is `x_j` times the product of its weights, one a layer.

    Args:
        depth: L, the number of layers.

    >>> DiagonalUnits().responses(jnp.array([[2.0, 3.0]]), jnp.array([[5.0]])).tolist()
    [[30.0]]
    """

    depth: int = 2

    def __post_init__(self) -> None:
        _check.positive_integer("depth", self.depth)

    def degrees(self, count: int) -> tuple[int, ...]:
        """The number of layers, see `Units.degrees`."""
        return (self.depth,) * count

    def responses(
        self, weights: Float[Array, "k m"], x: Float[Array, "n k"]
    ) -> Float[Array, "n k"]:
        """`x_j prod_l w_jl`, see `Units.responses`."""
        return x * jnp.prod(weights, axis=1)

    def dominant(
        self, x: Float[Array, "n d"], z: Float[Array, " n"]
    ) -> tuple[jax.Array, jax.Array]:
        """Largest NCF of a unit of norm one for x and a residual z, and its responses `(n,)`.

        On coordinate j it is `L^(-L/2) |sum_i z_i x_ij|`: equal weights maximise their product.

        >>> value, responses = DiagonalUnits().dominant(jnp.array([[3.0, -4.0]]), jnp.ones(1))
        >>> value.item(), responses.tolist()
        (2.0, [2.0])
        """
        pulled = x.T @ z
        best = jnp.argmax(jnp.abs(pulled))
        response = self.depth ** (-self.depth / 2) * jnp.sign(pulled[best]) * x[:, best]
        return response @ z, response


@dataclass(frozen=True)
class SignedSquares:
    """Two-layer x^2 network with outgoing weights fixed to signs: `a_j (w_j . x)^2`, degree two.

    Args:
        signs: `a_j`, -1 or 1 for every unit.

    >>> SignedSquares((1, -1)).responses(jnp.array([[2.0], [3.0]]), jnp.ones((1, 1))).tolist()
    [[4.0, -9.0]]
    """

    signs: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.signs or any(sign not in (-1, 1) for sign in self.signs):
            raise ValueError(f"signs must be -1 and 1, got {self.signs!r}")

    def degrees(self, count: int) -> tuple[int, ...]:
        """Two, see `Units.degrees`."""
        return (2,) * count

    def responses(
        self, weights: Float[Array, "k m"], x: Float[Array, "n d"]
    ) -> Float[Array, "n k"]:
        """`a_j (w_j . x)^2`, see `Units.responses`."""
        _check_columns(weights, x.shape[1])
        return jnp.asarray(self.signs, x.dtype) * (x @ weights.T) ** 2

    def dominant(
        self, x: Float[Array, "n d"], z: Float[Array, " n"]
    ) -> tuple[jax.Array, jax.Array]:
        """Largest NCF of a unit of norm one and either sign for x and z, and its responses `(n,)`.

        It is the largest absolute eigenvalue of `sum_i z_i x_i x_i^T`.

        >>> value, _ = SignedSquares((1,)).dominant(jnp.eye(2), jnp.array([1.0, -3.0]))
        >>> value.item()
        3.0
        """
        values, vectors = jnp.linalg.eigh((x * z[:, None]).T @ x)
        best = jnp.argmax(jnp.abs(values))
        return jnp.abs(values[best]), jnp.sign(values[best]) * (x @ vectors[:, best]) ** 2
