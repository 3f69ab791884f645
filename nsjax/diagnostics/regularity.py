"""Whether a least-squares critical point is Morse-Bott because its network has constant rank there.

Let J be the Jacobian of the outputs in the weights. Where its rank is the same at all weights near
by, the outputs form a smooth surface and weights with equal outputs are manifolds with the tangents
ker J. Then `f = 1/2 ||H - y||^2` is a function on that surface, the squared distance to y, and
nondegenerate there for almost every y. So the kernel of the Hessian is ker J, which is Morse-Bott:
alpha = 1/2. What can go wrong is that the rank drops at the point, or that y is exceptional.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsjax import _check
from nsjax._flat import Layout
from nsjax.networks.homogeneous import Activation, Params, apply, pullback

if TYPE_CHECKING:
    from jaxtyping import Array, Float

BAND = 1e-8
"""Eigenvalues below this share of the largest one count as zero; singular values below its root."""
FAINT = 1e-11
"""The same for singular values near by: those of a flat direction grow with a high power."""
SPREAD = 0.1
"""Size of the steps to weights near by, over the norm of the weights."""
DRAWS = 8
"""Weights near by at which the rank is taken."""
CLOSE = 1e-5
"""Newton's step from the point has to be less than this share of the point's norm."""


class Regular(IntEnum):
    """What a critical point is. `REGULAR_MESSAGES[code]` is that in words."""

    MORSE_BOTT = 0
    FOCAL = 1
    SINGULAR = 2
    NOT_CRITICAL = 3


REGULAR_MESSAGES: dict[int, str] = {
    Regular.MORSE_BOTT: "Morse-Bott: constant rank, and the Hessian's kernel is the Jacobian's",
    Regular.FOCAL: (
        "focal: the Jacobian has constant rank, but the Hessian a wider kernel: the targets are "
        "exceptional"
    ),
    Regular.SINGULAR: "singular: the rank of the Jacobian is lower than at weights near by",
    Regular.NOT_CRITICAL: "the gradient at the point is not small enough",
}


class Regularity(NamedTuple):
    """Ranks and inertia at a critical point.

    Attributes:
        rank: of the Jacobian of the outputs at the point.
        generic: the largest rank at weights near by.
        inertia: `(n-, n0, n+)` of the Hessian of the loss.
        mu: `sqrt(2 min |lambda|)` over eigenvalues that are not zero: the Łojasiewicz constant if
            Morse-Bott, NaN else.
        gap: largest eigenvalue counted as zero over the smallest that is not, in size.
        value, grad_norm: of the loss.
        result: int32 code; `message` is its text.
    """

    rank: int
    generic: int
    inertia: tuple[int, int, int]
    mu: float
    gap: float
    value: float
    grad_norm: float
    result: int

    @property
    def message(self) -> str:
        """What the point is, in words."""
        return REGULAR_MESSAGES[int(self.result)]

    @property
    def minimum(self) -> bool:
        """Whether the Hessian has no negative eigenvalue."""
        return self.inertia[0] == 0


def regularity(
    outputs: Callable[..., jax.Array], point: Any, y: Any, *, key: jax.Array, args: tuple = ()
) -> Regularity:
    """Whether `1/2 ||outputs(point, *args) - y||^2` is Morse-Bott at a critical point.

    Ranks of polynomial networks are the same at almost all weights, so a few random steps show the
    generic one; what is faint at the point and there alike counts as a rank that drops. With kinks
    they are those of the pieces around the point: a neuron whose pre-activation is zero on a sample
    has pieces of several ranks.

    Args:
        outputs: pure function `(point, *args) -> array`, hashable.
        point: critical point of the loss, any pytree.
        y: targets, of the shape of the outputs.
        key: PRNG key of the steps.
        args: further arguments of outputs.

    Raises:
        TypeError, ValueError: for bad input.

    Source: J. Milnor, Morse Theory, section 6, on squared distances; `docs/exponents.md`.

    >>> found = regularity(lambda w: w[:1] * w[1:], jnp.array([2.0, 1.0]), jnp.array([2.0]),
    ...                    key=jax.random.key(0))
    >>> found.rank, found.generic, found.inertia, round(found.mu, 3)
    (1, 1, (0, 1, 1), 3.162)
    >>> regularity(lambda w: w[:1] * w[1:], jnp.zeros(2), jnp.array([0.0]),
    ...            key=jax.random.key(0)).message[:8]
    'singular'
    """
    _check.key("key", key)
    _check.hashable("outputs", outputs)
    point = _check.floating_tree("point", point)
    args = _check.data("args", args)
    layout = Layout.of(point)
    flat = layout.flat(point)
    shape = jax.eval_shape(outputs, point, *args).shape
    y = jnp.asarray(y, flat.dtype)
    if y.shape != shape:
        raise ValueError(f"y must have the outputs' shape {shape}, got {y.shape}")
    size = float(jnp.linalg.norm(flat)) or 1.0
    steps = jax.random.normal(key, (DRAWS, flat.size), flat.dtype)
    steps *= SPREAD * size / jnp.linalg.norm(steps, axis=1, keepdims=True)
    near = jnp.concatenate([flat[None], flat + steps])
    found = _local(outputs, layout, near, y, args)
    value, gradient, eigenvalues, singular = (np.asarray(each) for each in found)
    shares = singular / np.maximum(singular.max(axis=1, keepdims=True), np.finfo(float).tiny)
    rank, generic = int(np.sum(shares[0] > BAND**0.5)), int(np.max(np.sum(shares > FAINT, axis=1)))
    sizes = np.abs(eigenvalues)
    curved = sizes > BAND * sizes.max()
    smallest = float(np.min(sizes[curved])) if sizes.max() > 0 else np.nan
    inertia = (
        int(np.sum(curved & (eigenvalues < 0))),
        int(np.sum(~curved)),
        int(np.sum(curved & (eigenvalues > 0))),
    )
    grad_norm = float(np.linalg.norm(gradient))
    # Where nothing is curved, the largest singular value sets the scale.
    scale = smallest if smallest > 0 else float(singular.max()) ** 2
    if not grad_norm <= CLOSE * size * scale:
        result = Regular.NOT_CRITICAL
    elif rank < generic:
        result = Regular.SINGULAR
    else:
        result = Regular.MORSE_BOTT if inertia[1] == flat.size - rank else Regular.FOCAL
    return Regularity(
        rank,
        generic,
        inertia,
        float(np.sqrt(2 * smallest)) if result == Regular.MORSE_BOTT else float("nan"),
        float(np.max(sizes[~curved], initial=0.0)) / smallest,
        float(value),
        grad_norm,
        int(result),
    )


def ncf_share(
    params: Params,
    x: Float[Array, "n d"],
    y: Float[Array, "n c"],
    activation: Activation,
    *,
    key: jax.Array,
    draws: int = 256,
) -> float:
    """How much of the pulled-back residual one new neuron of the first layer could take up.

    The largest of `||B^T s(X u)|| / (||B|| ||s(X u)||)` over random directions u, between 0 and 1:
    a lower bound of the best. Zero, at a minimum over the other weights, where new neurons feel
    nothing: there is no saddle then.

    Args:
        params: L weight matrices.
        x, y: data.
        activation: of the network.
        key: PRNG key of the directions.
        draws: how many.

    Raises:
        TypeError, ValueError: for bad input.

    >>> from nsjax import PolyLeakyReLU
    >>> params, x = (jnp.zeros((1, 1)), jnp.ones((1, 1))), jnp.array([[1.0], [2.0]])
    >>> round(ncf_share(params, x, x**2, PolyLeakyReLU(2), key=jax.random.key(0)), 6)
    1.0
    """
    params = _check.network("params", params)
    x, y = _check.samples(params, x, y)
    _check.key("key", key)
    draws = _check.positive_integer("draws", draws)
    # What the second layer's pre-activations want: a neuron of the first layer adds to those.
    pulled = pullback(params, x, y - apply(params, x, activation), activation)[1]
    responses = activation(x @ jax.random.normal(key, (x.shape[1], draws), x.dtype))
    sizes = jnp.linalg.norm(responses, axis=0) * jnp.linalg.norm(pulled)
    shares = jnp.linalg.norm(pulled.T @ responses, axis=0) / jnp.where(sizes > 0, sizes, 1)
    return float(jnp.max(shares))


@partial(jax.jit, static_argnums=(0, 1))
def _local(
    outputs: Callable[..., jax.Array],
    layout: Layout,
    near: jax.Array,
    y: jax.Array,
    args: tuple,
) -> tuple[jax.Array, ...]:
    """Loss, gradient and eigenvalues at the first point; singular values `(m, min)` at all."""

    def residual(flat: jax.Array) -> jax.Array:
        return jnp.ravel(outputs(layout.tree(flat), *args) - y)

    def loss(flat: jax.Array) -> jax.Array:
        return 0.5 * jnp.sum(residual(flat) ** 2)

    value, gradient = jax.value_and_grad(loss)(near[0])
    hessian = jax.hessian(loss)(near[0])
    jacobians = jax.vmap(jax.jacfwd(residual))(near)
    singular = jnp.linalg.svd(jacobians, compute_uv=False)
    return value, gradient, jnp.linalg.eigvalsh(0.5 * (hessian + hessian.T)), singular
