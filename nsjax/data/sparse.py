"""Targets that few of the inputs decide, and a dense one beside them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

from nsjax import _check
from nsjax.data.synthetic import INPUTS

if TYPE_CHECKING:
    from jax.typing import DTypeLike
    from jaxtyping import Array, Float


@dataclass(frozen=True)
class Target:
    """A polynomial of the inputs.

    Attributes:
        formula: in words of the field.
        values: function of inputs `(n, d)` that returns `(n,)`.
        inputs: how many of the inputs it depends on, the first ones; None for all.
    """

    formula: str
    values: Callable[[jax.Array], jax.Array]
    inputs: int | None


def _dense(x: jax.Array) -> jax.Array:
    d = x.shape[1]
    # One form for each dimension, whatever the precision: test points must have it too.
    form = jax.random.normal(jax.random.key(d), (d, d), "float32").astype(x.dtype)
    return jnp.sum((x @ form) * x, axis=1) / d


SPARSE: dict[str, Target] = {
    "sparse-f1": Target("(x1 x2 + x3)^2", lambda x: (x[:, 0] * x[:, 1] + x[:, 2]) ** 2, 3),
    "sparse-f2": Target(
        "x1 x2 + x2 x3 x4", lambda x: x[:, 0] * x[:, 1] + x[:, 1] * x[:, 2] * x[:, 3], 4
    ),
    "sparse-f3": Target(
        "x1 + x1 x2 + x1 x2 x3", lambda x: x[:, 0] * (1 + x[:, 1] * (1 + x[:, 2])), 3
    ),
    "sparse-f4": Target(
        "x1 x2 + x1 x2 x3 x4", lambda x: x[:, 0] * x[:, 1] * (1 + x[:, 2] * x[:, 3]), 4
    ),
    "dense": Target("x^T A x / d with a random A", _dense, None),
}
"""Targets by name. Of the sparse ones, all of degree 3 or 4, each is the product `A B` of two
polynomials of degree 2, so a network with `L = 3`, `p = 2`, slope 1 and a constant input represents
it with one or two neurons in the second hidden layer (`4 A B = (A + B)^2 - (A - B)^2`) and at most
six in the first. "dense" has no few inputs and no few neurons: its form has full rank d."""


def sparse_task(
    key: jax.Array,
    name: str,
    samples: int,
    dimension: int,
    inputs: str = "sphere",
    *,
    constant: bool = True,
    dtype: DTypeLike | None = None,
) -> tuple[Float[Array, "n k"], Float[Array, "n 1"]]:
    """Inputs of a simple law and a target of `SPARSE` on them.

    Args:
        key: PRNG key of the inputs; the target of a name and dimension is always the same.
        name: a key of `SPARSE`.
        samples: n.
        dimension: d, at least the number of inputs that the target uses.
        inputs: a key of `INPUTS`.
        constant: whether a last input, always 1, is appended, so that `k = d + 1`: a network
            without biases, of even degree in its inputs, is even in x without it.
        dtype: of both arrays; JAX's default float if not given.

    Raises:
        TypeError, ValueError: for an unknown name or law, or sizes that are too small or no
            integers.

    >>> x, y = sparse_task(jax.random.key(0), "sparse-f2", 5, 4, "hypercube")
    >>> x.shape, y.shape, sorted(set(abs(y[:, 0]).tolist()))
    ((5, 5), (5, 1), [0.0, 2.0])
    """
    target = SPARSE[_check.choice("name", name, tuple(SPARSE))]
    law = INPUTS[_check.choice("inputs", inputs, tuple(INPUTS))]
    least = target.inputs or 1
    if _check.positive_integer("dimension", dimension) < least:
        raise ValueError(
            f"dimension must be at least {least}, the inputs that {name} uses, got {dimension}"
        )
    if not isinstance(constant, bool):
        raise TypeError(f"constant must be True or False, got {constant!r}")
    x = law(key, samples, dimension, dtype=dtype)
    y = target.values(x)[:, None]
    if constant:
        x = jnp.concatenate([x, jnp.ones((samples, 1), x.dtype)], axis=1)
    return x, y
