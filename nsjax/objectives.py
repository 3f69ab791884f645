"""Losses with their residuals, and the neural correlation function (NCF) in its three forms.

Losses are sums over samples, not means, as in both papers; the residual of a loss is minus its
gradient in the outputs, so that `r = y - H` for the square loss.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from nsjax import _check
from nsjax.networks.homogeneous import (
    Activation,
    Params,
    apply,
    check_layer,
    features,
    has_kinks,
    pullback,
    rounded_layer,
)

if TYPE_CHECKING:
    from jaxtyping import Array, Float


def square(outputs: Float[Array, "n c"], y: Float[Array, "n c"]) -> Float[Array, ""]:
    """`1/2 ||H - y||_F^2`, a sum over samples.

    Args:
        outputs: H, `(n, c)`.
        y: targets of the same shape, or one number for all.

    Raises:
        TypeError, ValueError: for lists, or targets that do not have the outputs' shape.

    >>> float(square(jnp.array([[1.0]]), jnp.array([[3.0]])))
    2.0
    """
    _check.same_shape(outputs, y, number=True)
    return 0.5 * jnp.sum((outputs - y) ** 2)


def logistic(outputs: Float[Array, "n c"], y: Float[Array, "n c"]) -> Float[Array, ""]:
    """`sum log(1 + exp(-y H))` for labels `y` of -1 and 1.

    Args:
        outputs: H, `(n, c)`.
        y: targets of the same shape, or one number for all.

    Raises:
        TypeError, ValueError: for lists, or targets that do not have the outputs' shape.

    >>> round(float(logistic(jnp.array([[0.0]]), jnp.array([[1.0]]))), 4)  # log 2
    0.6931
    """
    _check.same_shape(outputs, y, number=True)
    return jnp.sum(jax.nn.softplus(-y * outputs))


def cross_entropy(outputs: Float[Array, "n c"], y: Float[Array, "n c"]) -> Float[Array, ""]:
    """`-sum_i <y_i, log softmax(H_i)>` for one-hot rows of `y`, or rows of probabilities.

    Args:
        outputs: H, `(n, c)`.
        y: targets of the same shape.

    Raises:
        TypeError, ValueError: for lists, or targets that do not have the outputs' shape.

    >>> round(float(cross_entropy(jnp.zeros((1, 2)), jnp.array([[1.0, 0.0]]))), 4)  # log 2
    0.6931
    """
    _check.same_shape(outputs, y)
    if not jnp.ndim(outputs):
        raise ValueError("outputs must have a last axis of classes, got one number")
    return -jnp.sum(y * jax.nn.log_softmax(outputs, axis=-1))


LOSSES: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {
    "square": square,
    "logistic": logistic,
    "cross_entropy": cross_entropy,
}


def residual(
    outputs: Float[Array, "n c"], y: Float[Array, "n c"], *, loss: str = "square"
) -> Float[Array, "n c"]:
    """Minus the gradient of the loss in the outputs; `y - H` for the square loss.

    Args:
        outputs: H, `(n, c)`.
        y: targets as the loss takes them.
        loss: "square", "logistic" or "cross_entropy".

    Raises:
        ValueError: for an unknown loss, or targets that do not have the outputs' shape.

    >>> residual(jnp.array([[1.0]]), jnp.array([[3.0]])).tolist()
    [[2.0]]
    """
    loss = _check.choice("loss", loss, tuple(LOSSES))
    outputs = jnp.asarray(outputs)
    if not jnp.issubdtype(outputs.dtype, jnp.inexact):
        outputs = outputs.astype(jnp.result_type(float))
    return -jax.grad(LOSSES[loss])(outputs, jnp.asarray(y))


@dataclass(frozen=True)
class NetworkLoss:
    """Training loss of a homogeneous network as a function `(params, x, y) -> scalar`.

    Frozen and hashable, so that two equal losses share one compiled program; the data comes in as
    arguments, so that new data of one shape does not compile again.

    Args:
        activation: elementwise activation, any that `networks.apply` takes.
        loss: "square", "logistic" or "cross_entropy".

    >>> loss = NetworkLoss(jnp.square)
    >>> params = (jnp.array([[1.0]]), jnp.array([[1.0]]))
    >>> float(loss(params, jnp.array([[2.0]]), jnp.array([[1.0]])))  # (2^2 - 1)^2 / 2
    4.5
    """

    activation: Activation
    loss: str = "square"

    def __post_init__(self) -> None:
        _check.function("activation", self.activation)
        _check.choice("loss", self.loss, tuple(LOSSES))

    def __call__(
        self, params: Params, x: Float[Array, "n d"], y: Float[Array, "n c"]
    ) -> Float[Array, ""]:
        """Loss, summed over samples."""
        return LOSSES[self.loss](apply(params, x, self.activation), y)

    def residual(
        self, params: Params, x: Float[Array, "n d"], y: Float[Array, "n c"]
    ) -> Float[Array, "n c"]:
        """Residual at the network's outputs, a row per sample."""
        return residual(apply(params, x, self.activation), y, loss=self.loss)


@dataclass(frozen=True)
class AnyPowerLoss:
    """Square loss of networks whose slope and degree are data, `(params, x, y, slope, powers)`.

    The activation is `sum_j powers[j] max(t, slope t)^(j + 1)`: with a row of the identity that of
    `PolyLeakyReLU`. One compiled program serves every degree and slope, where a map over many of
    them would spend its time on compiling.

    >>> loss = AnyPowerLoss()
    >>> params = (jnp.array([[2.0]]), jnp.array([[1.0]]))
    >>> x, y, square = jnp.ones((1, 1)), jnp.zeros((1, 1)), jnp.array([0.0, 1.0])
    >>> float(loss(params, x, y, jnp.array(1.0), square))
    8.0
    """

    def outputs(
        self,
        params: Params,
        x: Float[Array, "n d"],
        slope: Float[Array, ""],
        powers: Float[Array, " m"],
    ) -> Float[Array, "n c"]:
        """Outputs of the network."""

        def activation(t: jax.Array) -> jax.Array:
            base = jnp.maximum(t, slope * t)
            total = jnp.zeros_like(base)
            for weight in powers[::-1]:
                total = base * (weight + total)
            return total

        return apply(params, x, activation)

    def __call__(
        self,
        params: Params,
        x: Float[Array, "n d"],
        y: Float[Array, "n c"],
        slope: Float[Array, ""],
        powers: Float[Array, " m"],
    ) -> Float[Array, ""]:
        """Loss, summed over samples."""
        return square(self.outputs(params, x, slope, powers), y)


def ncf(
    model: Callable[[Any, jax.Array], jax.Array], params: Any, x: jax.Array, z: jax.Array
) -> Float[Array, ""]:
    """Neural correlation function `N_z(w) = <z, H(x; w)>` of any model.

    Args:
        model: pure function `(params, x) -> outputs`; a flax module's `apply` fits as it is.
        params: any pytree.
        x: inputs, a row per sample.
        z: what the outputs are correlated with, of the outputs' shape: targets, or a residual.

    Raises:
        ValueError: if the outputs do not have the shape of z.

    Source: neuron pursuit (arXiv 2509.12154), section 2; `docs/mathematics.md`, section 2.

    >>> x, z = jnp.array([[1.0, 2.0]]), jnp.array([[10.0]])
    >>> float(ncf(lambda w, x: x @ w, jnp.ones((2, 1)), x, z))
    30.0
    """
    return _correlation(_check.function("model", model)(params, x), z)


def _correlation(outputs: jax.Array, z: jax.Array) -> jax.Array:
    z = jnp.asarray(z)
    if jnp.shape(outputs) != z.shape:
        raise ValueError(f"z must have the outputs' shape {jnp.shape(outputs)}, got {z.shape}")
    return jnp.sum(outputs * z)


@dataclass(frozen=True)
class ModelNCF:
    """NCF of any model, `(params, x, z) -> <z, model(params, x)>`, for `kkt.search`.

    Points whose outputs are parallel count as one there, so that symmetries of the weights, such as
    the order of neurons, need not be known.

    Args:
        model: pure function `(params, x) -> outputs`, hashable; a flax module's `apply` fits.

    >>> model = ModelNCF(lambda w, x: x @ w)
    >>> model(jnp.ones((2, 1)), jnp.array([[1.0, 2.0]]), jnp.array([[10.0]])).item()
    30.0
    """

    model: Callable[[Any, jax.Array], jax.Array]

    def __post_init__(self) -> None:
        _check.function("model", self.model)

    def __call__(self, params: Any, x: jax.Array, z: jax.Array) -> Float[Array, ""]:
        """`<z, model(params, x)>`; refuses outputs of another shape than z, see `ncf`."""
        return ncf(self.model, params, x, z)

    def signature(self, params: Any, x: jax.Array, z: jax.Array) -> jax.Array:
        """The outputs."""
        return self.model(params, x)


@dataclass(frozen=True)
class NetworkNCF:
    """NCF of a whole homogeneous network, `(params, x, z) -> <z, H(x; params)>`, of degree D.

    At the origin, where every weight is in the zero block, this is the saddle's NCF with z the
    residual at H = 0.

    Args:
        activation: elementwise activation, any that `networks.apply` takes.

    >>> ncf = NetworkNCF(jnp.square)
    >>> params = (jnp.array([[1.0, 1.0]]), jnp.array([[2.0]]))
    >>> float(ncf(params, jnp.array([[1.0, 2.0]]), jnp.array([[10.0]])))  # 10 * 2 (1 + 2)^2
    180.0
    """

    activation: Activation

    def __post_init__(self) -> None:
        _check.function("activation", self.activation)

    def __call__(
        self, params: Params, x: Float[Array, "n d"], z: Float[Array, "n c"]
    ) -> Float[Array, ""]:
        """`<z, H(x; params)>`; refuses outputs of another shape than z, see `ncf`."""
        return _correlation(apply(params, x, self.activation), z)

    @property
    def kinked(self) -> bool:
        """Whether the activation has a kink, so that KKT points may sit on it."""
        return has_kinks(self.activation)

    def rounded(
        self, params: Params, width: jax.Array, x: Float[Array, "n d"], z: Float[Array, "n c"]
    ) -> Float[Array, ""]:
        """The same with kinks rounded over `width` (`networks.homogeneous.rounded_layer`)."""
        layer = x
        for weight in params[:-1]:
            layer = rounded_layer(weight, layer, self.activation, width)
        return _correlation(layer @ params[-1].T, z)

    def signature(
        self, params: Params, x: Float[Array, "n d"], z: Float[Array, "n c"]
    ) -> Float[Array, "n c"]:
        """The outputs: equal for networks that differ by a symmetry of the weights."""
        return apply(params, x, self.activation)


@dataclass(frozen=True)
class TensorNCF:
    """NCF of a product of projections with its moment tensor T given, `<T, u_1 o ... o u_n>`.

    With `T = sum_i r_i x_i^(o n)` it is that of `networks.ProductNeurons(n)` on the samples, which
    needs no tensor. Its KKT points of nonzero value are the singular vectors of T, all factors of
    norm `1 / sqrt n`; the largest value times `n^(n/2)` is T's largest singular value.

    >>> TensorNCF()(jnp.array([[1.0, 0.0], [0.0, 2.0]]), jnp.array([[0.0, 3.0], [0.0, 0.0]])).item()
    6.0
    """

    def __call__(self, factors: Float[Array, "n d"], tensor: jax.Array) -> Float[Array, ""]:
        """`<T, u_1 o ... o u_n>`, for T with n axes of length d."""
        for factor in factors[::-1]:
            tensor = tensor @ factor
        return tensor

    def signature(self, factors: Float[Array, "n d"], tensor: jax.Array) -> jax.Array:
        """`u_1 o ... o u_n`: blind to signs that cancel."""
        outer = factors[0]
        for factor in factors[1:]:
            outer = outer[..., None] * factor
        return outer.ravel()


@dataclass(frozen=True)
class SaddleNCF:
    """NCF of the zero block of a saddle `(w_n, 0)`: the leading term `<r, H_1>`, of degree p + 1.

    `N(w_z) = sum_l sum_i B_{l+1}(x_i)^T V_l s(U_l g_{l-1}(x_i))`, where `U_l` and `V_l` hold the
    in- and outgoing weights of the inactive neurons of hidden layer l. It takes the zero block as a
    tuple of full weight matrices, zero outside the block: features of inactive neurons and what is
    pulled back to them vanish at the saddle, so no index is needed and the neurons decouple by
    themselves.

    Args:
        activation: homogeneous activation of degree p.

    >>> ncf = SaddleNCF(jnp.square)
    >>> block = (jnp.array([[1.0, 1.0]]), jnp.array([[2.0]]))
    >>> x, residual = jnp.array([[1.0, 2.0]]), jnp.array([[10.0]])
    >>> float(ncf(block, (x, jnp.zeros((1, 1))), (jnp.zeros((1, 1)), residual)))
    180.0
    """

    activation: Activation

    def __post_init__(self) -> None:
        _check.function("activation", self.activation)

    def __call__(self, zero_block: Params, features: Params, pulled: Params) -> Float[Array, ""]:
        """Correlation of the zero block.

        Args:
            zero_block: L matrices `(k_l, k_{l-1})`.
            features: `(g_0, ..., g_{L-1})` at the saddle, `(n, k_l)` each.
            pulled: `(B_1, ..., B_L)` at the saddle, `(n, k_l)` each.
        """
        return self._sum(zero_block, features, pulled, lambda u, g: self.activation(g @ u.T))

    @property
    def kinked(self) -> bool:
        """Whether the activation has a kink, so that KKT points may sit on it."""
        return has_kinks(self.activation)

    def rounded(
        self, zero_block: Params, width: jax.Array, features: Params, pulled: Params
    ) -> Float[Array, ""]:
        """The same with kinks rounded over `width`, see `SaddleNCF.__call__`.

        `networks.homogeneous.rounded_layer` says how.
        """
        return self._sum(
            zero_block,
            features,
            pulled,
            lambda u, g: rounded_layer(u, g, self.activation, width),
        )

    def signature(
        self, zero_block: Params, features: Params, pulled: Params
    ) -> Float[Array, " entries"]:
        """What `zero_block` adds to every layer: blind to the order and signs of its neurons."""
        added = [
            self.activation(before @ incoming.T) @ outgoing.T
            for incoming, outgoing, before in zip(
                zero_block[:-1], zero_block[1:], features[:-1], strict=True
            )
        ]
        return jnp.concatenate([jnp.ravel(each) for each in added])

    def _sum(
        self,
        zero_block: Params,
        features: Params,
        pulled: Params,
        response: Callable[[jax.Array, jax.Array], jax.Array],
    ) -> jax.Array:
        total = jnp.zeros((), zero_block[0].dtype)
        for incoming, outgoing, before, after in zip(
            zero_block[:-1], zero_block[1:], features[:-1], pulled[1:], strict=True
        ):
            total += jnp.sum((after @ outgoing) * response(incoming, before))
        return total


def neuron_ncf(
    params: Params,
    layer: int,
    x: Float[Array, "n d"],
    residual: Float[Array, "n c"],
    activation: Activation,
) -> Callable[[Float[Array, " in"], Float[Array, " out"]], Float[Array, ""]]:
    """NCF of one new neuron of hidden layer `layer` at the saddle `params`.

    Args:
        params: L weight matrices.
        layer: hidden layer of the neuron, 1 to L - 1.
        x: inputs.
        residual: residual at the saddle.
        activation: elementwise activation.

    Returns:
        `N(incoming, outgoing) = sum_i (B_{l+1}(x_i) . outgoing) s(incoming . g_{l-1}(x_i))`, for
        `incoming` of shape `(k_{l-1},)` and `outgoing` of shape `(k_{l+1},)`.

    Raises:
        TypeError, ValueError: if there is no such layer, the activation is no function, or the data
            do not fit the network; when it is called, for weights of another shape.

    Source: `docs/mathematics.md`, section 2.

    >>> saddle = (jnp.zeros((1, 2)), jnp.zeros((1, 1)))  # the origin: the residual is y
    >>> N = neuron_ncf(saddle, 1, jnp.array([[1.0, 2.0]]), jnp.array([[10.0]]), jnp.square)
    >>> float(N(jnp.ones(2), jnp.array([2.0])))  # 10 * 2 (1 + 2)^2
    180.0
    """
    _check.function("activation", activation)
    params = _check.network("params", params)
    check_layer(params, layer)
    x, residual = _check.samples(params, x, residual, target="residual")
    before = features(params, x, activation)[layer - 1]
    after = pullback(params, x, residual, activation)[layer]

    def correlation(incoming: jax.Array, outgoing: jax.Array) -> jax.Array:
        incoming, outgoing = jnp.asarray(incoming), jnp.asarray(outgoing)
        for name, weights, features_ in (
            ("incoming", incoming, before),
            ("outgoing", outgoing, after),
        ):
            if weights.shape != features_.shape[1:]:
                raise ValueError(
                    f"{name} must have shape {features_.shape[1:]}, got {weights.shape}"
                )
        return jnp.dot(after @ outgoing, activation(before @ incoming))

    return correlation
