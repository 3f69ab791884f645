"""Feed-forward networks without biases: parameters are a tuple of weight matrices.

`H(x; w) = W_L s(W_{L-1} ... s(W_1 x))`, with `W_l` of shape `(k_l, k_{l-1})`; a row of x is a
sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from nsjax import _check

if TYPE_CHECKING:
    from jax.typing import DTypeLike
    from jaxtyping import Array, Float

Params = tuple[jax.Array, ...]
Activation = Callable[[jax.Array], jax.Array]


def init(
    key: jax.Array, widths: Sequence[int], *, scale: float = 1.0, dtype: DTypeLike | None = None
) -> Params:
    r"""Draw weights `W_l ~ N(0, scale^2 / k_{l-1})`, the usual fan-in initialisation.

    Args:
        key: PRNG key.
        widths: `(d, k_1, ..., k_{L-1}, c)`, two layers or more.
        scale: factor on every weight, positive; it may be traced, and is not checked then.
        dtype: of the weights; JAX's default float if not given.

    Returns:
        Tuple of L matrices, the l-th of shape `(widths[l], widths[l - 1])`.

    Raises:
        TypeError: if `widths` are not integers, or `dtype` is no real floating type.
        ValueError: for fewer than two widths, a width below 1, a non-positive scale.

    >>> [w.shape for w in init(jax.random.key(0), (5, 3, 1))]
    [(3, 5), (1, 3)]
    """
    _check.key("key", key)
    if not isinstance(widths, Iterable) or isinstance(widths, str):
        raise TypeError(f"widths must be a sequence of positive integers, got {widths!r}")
    widths = tuple(widths)
    if len(widths) < 2:
        raise ValueError(f"widths must have at least two entries, got {widths}")
    for i, width in enumerate(widths):
        _check.positive_integer(f"widths[{i}]", width)
    dtype = _check.floating_dtype("dtype", dtype)
    scale = _check.positive_factor("scale", scale, dtype)
    keys = jax.random.split(key, len(widths) - 1)
    return tuple(
        scale / fan_in**0.5 * jax.random.normal(k, (fan_out, fan_in), dtype)
        for k, fan_in, fan_out in zip(keys, widths[:-1], widths[1:], strict=True)
    )


def apply(params: Params, x: Float[Array, "n d"], activation: Activation) -> Float[Array, "n c"]:
    """Output `H(x; w)` of the network, a row per sample, for any elementwise activation.

    Args:
        params: L weight matrices, `W_l` of shape `(k_l, k_{l-1})`.
        x: inputs `(n, d)`.
        activation: elementwise function s, or `networks.Products`.

    Returns:
        `(n, c)`.

    Raises:
        TypeError, ValueError: for params that are no matrices, or shapes that do not fit.

    >>> apply((jnp.ones((2, 3)), jnp.ones((1, 2))), jnp.ones((4, 3)), jnp.square).tolist()
    [[18.0], [18.0], [18.0], [18.0]]
    """
    before = features(params, x, activation)[-1]
    if jnp.shape(params[-1])[-1:] != before.shape[-1:]:
        raise _unfit(params, len(params) - 1, before, 1)
    return before @ params[-1].T


def rounded_layer(
    weight: Float[Array, "m k"],
    before: Float[Array, "n k"],
    activation: Activation,
    width: jax.Array | float,
) -> Float[Array, "n m"]:
    """A layer `s(G W^T)` whose activation has its kink rounded over `width` times the size of G.

    The size is the root mean square of `|g_i|`: hidden features of a single sample may be zero.
    The activation has to have a method `rounded(t, width)`, as `PolyLeakyReLU` does.
    """
    # The least number keeps the derivative of the norm finite at zero.
    squared = jnp.sum(before**2) / before.shape[0] + jnp.finfo(before.dtype).tiny
    return activation.rounded(before @ weight.T, width * jnp.sqrt(squared))  # type: ignore[attr-defined]


def has_kinks(activation: Activation) -> bool:
    """Whether the activation's derivative jumps, and `rounded_layer` can round it there."""
    return not getattr(activation, "smooth", True) and hasattr(activation, "rounded")


def features(params: Params, x: Float[Array, "n d"], activation: Activation) -> Params:
    """Activations `(g_0, ..., g_{L-1})` after each hidden layer, `g_0 = x`, `g_l` of `(n, k_l)`.

    Args:
        params, x, activation: as in `apply`.

    Raises:
        TypeError, ValueError: as `apply`.

    >>> g = features((jnp.ones((2, 3)), jnp.ones((1, 2))), jnp.ones((4, 3)), jnp.square)
    >>> [each.shape for each in g]
    [(4, 3), (4, 2)]
    """
    # Shapes and types alone, so that a program that is traced has nothing more to do.
    if not isinstance(params, tuple | list):
        raise TypeError(f"params must be a tuple of weight matrices, got {type(params).__name__}")
    _check.function("activation", activation)
    x = jnp.asarray(x)
    factors = getattr(activation, "factors", 1)
    layers = [x]
    for layer, weight in enumerate(params[:-1]):
        before = layers[-1]
        if before.ndim == 0 or jnp.shape(weight)[1:] != (before.shape[-1] * factors,):
            raise _unfit(params, layer, before, factors)
        layers.append(respond(weight, before, activation))
    return tuple(layers)


def _unfit(params: Params, layer: int, before: jax.Array, factors: int) -> ValueError:
    """What to raise where the weights of a layer, counted from 0, do not fit what comes in."""
    shape = jnp.shape(params[layer])
    if layer == 0 and len(shape) == 2:
        return ValueError(
            f"x must have {shape[1] // factors} columns, as params[0] wants, got shape "
            f"{before.shape}"
        )
    wanted = "a matrix" if layer == 0 else f"a matrix of {before.shape[-1] * factors} columns"
    return ValueError(f"params[{layer}] must be {wanted}, got shape {shape}")


def respond(
    weight: Float[Array, "k w"], before: Float[Array, "n d"], activation: Activation
) -> Float[Array, "n k"]:
    """Responses `s(G W^T)` of a layer, or the products of its projections (`Products`)."""
    return _activate(_project(weight, before, activation), weight, activation)


def _project(weight: jax.Array, before: jax.Array, activation: Activation) -> jax.Array:
    project = getattr(activation, "project", None)
    return before @ weight.T if project is None else project(weight, before)


def _activate(pre: jax.Array, weight: jax.Array, activation: Activation) -> jax.Array:
    multiply = getattr(activation, "multiply", None)
    return activation(pre) if multiply is None else multiply(pre, weight)


def pullback(
    params: Params, x: Float[Array, "n d"], residual: Float[Array, "n c"], activation: Activation
) -> Params:
    """Residual pulled back to every layer, `B_l(x) = J_l(x)^T r(x)`.

    Args:
        params, x, activation: as in `apply`.
        residual: r, of the outputs' shape `(n, c)`.

    Returns:
        `(B_1, ..., B_L)`, `B_l` of shape `(n, k_l)`: the gradient of `<r, H>` in the
        pre-activations of layer l; `B_L = r`. Of products it is `(n, k_l N)`, a pre-activation for
        every factor.

    Raises:
        TypeError, ValueError: as `apply`, and for a residual of another shape.

    Source: `docs/mathematics.md`, section 2.

    >>> params, x = (jnp.ones((1, 1)), 2 * jnp.ones((1, 1))), 3 * jnp.ones((1, 1))
    >>> [b.item() for b in pullback(params, x, jnp.ones((1, 1)), jnp.square)]  # 2 * 2 * 3, r
    [12.0, 1.0]
    """
    hidden = features(params, x, activation)
    wanted = (*hidden[0].shape[:-1], *jnp.shape(params[-1])[:1])
    if jnp.shape(residual) != wanted:
        raise ValueError(
            f"residual must have the outputs' shape {wanted}, got {jnp.shape(residual)}"
        )
    pulled = [residual]
    for weight, below, into in zip(params[:0:-1], params[-2::-1], hidden[-2::-1], strict=True):
        pre = _project(below, into, activation)
        _, derivative = jax.vjp(lambda h, w=below: _activate(h, w, activation), pre)
        # Of products, every factor takes its share from the features before it.
        rows = weight.reshape(pulled[-1].shape[1], below.shape[0])
        pulled.append(derivative(pulled[-1] @ rows)[0])
    return tuple(reversed(pulled))


def degree(activation: Any, depth: int) -> int:
    """Degree of homogeneity in all weights, `D = 1 + p + ... + p^(L-1)`.

    Args:
        activation: a homogeneous activation with an integer attribute `degree`.
        depth: L, the number of weight matrices.

    Raises:
        TypeError: if the activation has no degree.

    >>> from nsjax import PolyLeakyReLU
    >>> degree(PolyLeakyReLU(2), depth=3)
    7
    """
    depth = _check.positive_integer("depth", depth)
    return sum(activation_degree(activation) ** layer for layer in range(depth))


def activation_degree(activation: Any) -> int:
    """The degree p of a homogeneous activation.

    Raises:
        TypeError: if it has no integer attribute `degree`.

    >>> from nsjax import PolyLeakyReLU
    >>> activation_degree(PolyLeakyReLU(3))
    3
    """
    p = getattr(activation, "degree", None)
    if isinstance(p, bool) or not isinstance(p, int):
        raise TypeError(
            "activation must be homogeneous with an integer attribute 'degree', such as "
            f"nsjax.PolyLeakyReLU(p, slope), got {activation!r}"
        )
    return _check.positive_integer("activation.degree", p)


def append_neuron(
    params: Params, layer: int, incoming: Float[Array, " in"], outgoing: Float[Array, " out"]
) -> Params:
    """One neuron more in hidden layer `layer`, with weights `incoming` and `outgoing`.

    Args:
        params: the network, L weight matrices.
        layer: hidden layer, 1 to L - 1.
        incoming: `(k_{layer-1},)`, the new row of `W_layer`.
        outgoing: `(k_{layer+1},)`, the new column of `W_{layer+1}`.

    Raises:
        ValueError: if there is no such hidden layer, or a weight vector does not fit, or is not
            finite.

    >>> wider = append_neuron((jnp.ones((2, 3)), jnp.ones((1, 2))), 1, jnp.zeros(3), jnp.zeros(1))
    >>> [w.shape for w in wider]
    [(3, 3), (1, 3)]
    """
    params = _check.network("params", params)
    check_layer(params, layer)
    before, after = params[layer - 1], params[layer]
    incoming = _check.vector("incoming", incoming, before.shape[1])
    outgoing = _check.vector("outgoing", outgoing, after.shape[0])
    before = jnp.concatenate([before, incoming[None, :].astype(before.dtype)], axis=0)
    after = jnp.concatenate([after, outgoing[:, None].astype(after.dtype)], axis=1)
    return (*params[: layer - 1], before, after, *params[layer + 1 :])


def check_layer(params: Params, layer: int) -> int:
    """Return `layer` if it is a hidden layer of the network, 1 to L - 1."""
    layer = _check.positive_integer("layer", layer)
    if layer >= len(params):
        raise ValueError(f"layer must be a hidden layer, 1 to {len(params) - 1}, got {layer}")
    return layer
