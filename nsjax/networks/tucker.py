"""Polynomials of few projections: a Tucker core for every order, in place of CP terms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp

from nsjax import _check

if TYPE_CHECKING:
    from jax.typing import DTypeLike
    from jaxtyping import Array, Float


class TuckerNeuron(NamedTuple):
    """Parameters of `h(x) = bias + w . x + sum_n <G_n, z o ... o z>` with `z = V^T x`.

    `V -> V A` and `G_n -> (A^-1, ..., A^-1) G_n` is the same function for every invertible A:
    `normalize` fixes V to orthonormal columns, which leaves rotations. Of a core only the
    symmetric part counts.

    Attributes:
        bias: `(outputs,)`.
        linear: `w`, `(outputs, d)`.
        projections: `V`, `(d, s)`, shared by all orders and outputs.
        cores: `G_n`, `(outputs, s, ..., s)`, by order n >= 2.
    """

    bias: Any
    linear: Any
    projections: Any
    cores: dict[int, Any]


def init(
    key: jax.Array,
    inputs: int,
    outputs: int = 1,
    *,
    size: int,
    orders: Sequence[int] = (2, 3),
    dtype: DTypeLike | None = None,
) -> TuckerNeuron:
    """Random projections and cores, such that every order has a variance of about 1.

    Args:
        key: PRNG key.
        inputs: d.
        outputs: c.
        size: s, the number of projections, at most d.
        orders: orders n >= 2 that have a core of `s^n` numbers for each output.
        dtype: of the arrays; JAX's default float if not given.

    Raises:
        TypeError, ValueError: for sizes below 1, a size above d, or orders below 2 or that repeat.

    >>> neuron = init(jax.random.key(0), 6, size=2, orders=(2, 3))
    >>> {order: core.shape for order, core in neuron.cores.items()}
    {2: (1, 2, 2), 3: (1, 2, 2, 2)}
    """
    d = _check.positive_integer("inputs", inputs)
    c = _check.positive_integer("outputs", outputs)
    s = _check.positive_integer("size", size)
    if s > d:
        raise ValueError(f"size must be at most {d}, the number of inputs, got {s}")
    orders = [_check.positive_integer("orders", order) for order in orders]
    if len(set(orders)) < len(orders) or min(orders, default=2) < 2:
        raise ValueError(f"orders must be at least 2 and must not repeat, got {orders}")
    _check.key("key", key)
    dtype = _check.floating_dtype("dtype", dtype)
    keys = jax.random.split(key, len(orders) + 2)
    drawn = jax.random.normal(keys[0], (d, s), dtype)
    cores = {
        # |z|^2 of s standard normal projections has the n-th moment s (s + 2) ... (s + 2 n - 2).
        n: jax.random.normal(each, (c,) + (s,) * n, dtype)
        / math.sqrt(math.prod(s + 2 * i for i in range(n)))
        for n, each in zip(sorted(orders), keys[2:], strict=True)
    }
    return TuckerNeuron(
        bias=jnp.zeros(c, dtype),
        linear=jax.random.normal(keys[1], (c, d), dtype) / math.sqrt(d),
        projections=jnp.linalg.qr(drawn)[0],
        cores=cores,
    )


def apply(neuron: TuckerNeuron, x: Float[Array, "n d"]) -> Float[Array, "n c"]:
    """Outputs of the neuron; a core is contracted with z one mode after the other.

    One sample costs `d s + c s^n` multiplications for the largest order n.

    Args:
        neuron: its parameters.
        x: inputs `(n, d)`.

    >>> eye = jnp.eye(2)
    >>> core = jnp.array([[[0.0, 1.0], [0.0, 0.0]]])
    >>> neuron = TuckerNeuron(jnp.zeros(1), jnp.zeros((1, 2)), eye, {2: core})
    >>> apply(neuron, jnp.array([[3.0, 4.0]])).tolist()  # x0 x1
    [[12.0]]
    """
    z = x @ neuron.projections
    outputs = neuron.bias + x @ neuron.linear.T
    for n, core in neuron.cores.items():
        # The last mode is the same matrix product for all samples; the others are one each.
        value = jnp.tensordot(z, core, axes=(1, n))
        for _ in range(n - 1):
            value = jnp.einsum("i...s,is->i...", value, z)
        outputs = outputs + value
    return outputs


def normalize(neuron: TuckerNeuron) -> TuckerNeuron:
    """The function of `neuron` with orthonormal projections and symmetric cores."""
    orthonormal, upper = jnp.linalg.qr(neuron.projections)
    cores = {}
    for n, core in neuron.cores.items():
        for mode in range(1, n + 1):
            core = jnp.moveaxis(jnp.tensordot(upper, core, axes=(1, mode)), 0, mode)
        cores[n] = _symmetric(core)
    return neuron._replace(projections=orthonormal, cores=cores)


def parameters(neuron: TuckerNeuron) -> int:
    """Number of parameters of `neuron`, the gauge counted: `d s`, `c s^n` an order, `c d + c`.

    >>> parameters(init(jax.random.key(0), 6, size=2, orders=(2,)))  # 12 + 4 + 6 + 1
    23
    """
    return sum(leaf.size for leaf in jax.tree.leaves(neuron))


def _symmetric(core: jax.Array) -> jax.Array:
    """Mean over all orders of the modes, the outputs apart."""
    n = core.ndim - 1
    total, count = core, 1
    # Symmetric in the first modes; then the next one is exchanged with each of them.
    for mode in range(2, n + 1):
        swaps = [jnp.swapaxes(total, mode, other) for other in range(1, mode)]
        total, count = sum(swaps, total), count * mode
    return total / count
