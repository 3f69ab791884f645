"""Is a model homogeneous in its parameters, and of which degree: Euler's identity, measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp

from nsjax import _check

if TYPE_CHECKING:
    from jaxtyping import Array, Float

SCALES = (0.5, 1.0, 2.0)
"""Multiples of the parameters at which Euler's identity is looked at: at a single size a model
such as tanh of small weights cannot be told from a homogeneous one."""

NOISE = 0.3
"""Noise on the parameters, over their root mean square."""


class Homogeneity(NamedTuple):
    """What `homogeneity` measured.

    Attributes:
        degree: D, the mean over scales of `<H, dH[w]> / <H, H>`.
        defect: largest of `||dH[w] - D H|| / ||H||` over the scales, 0 for a homogeneous model.
    """

    degree: float
    defect: float

    def holds(self, tol: float | None = None) -> bool:
        """Whether the defect is rounding: below `tol`, by default a thousand float32 roundings."""
        return self.defect <= (1e-4 if tol is None else tol)


def homogeneity(
    key: jax.Array,
    model: Callable[[Any, jax.Array], jax.Array],
    params: Any,
    x: Float[Array, "n d"],
) -> Homogeneity:
    r"""Measure the degree of a model in its parameters by Euler's identity `<w, grad H> = D H`.

    The NCF has KKT points on the sphere, and a flow has a saddle at the origin, for homogeneous
    models alone. A bias behind the first layer or a normalisation breaks that silently; here it
    shows as a defect. (A bias of the first layer is a constant input and does not.) Noise is added
    to `params` first, for biases that start at zero would not be seen. One point is looked at, at
    three sizes: that is enough but for accidents, and no proof.

    Args:
        key: PRNG key of the noise.
        model: pure function `(params, x) -> outputs`, such as a flax module's `apply`.
        params: any pytree of floating arrays, such as a module's `init` gives.
        x: inputs, a row per sample.

    Raises:
        TypeError: if `key` is no PRNG key or `model` no function.
        ValueError: if `params` are zero or not finite, or the outputs are, so that nothing can be
            said.

    >>> import flax.linen as nn
    >>> x = jax.random.normal(jax.random.key(0), (20, 3))
    >>> for bias in (False, True):
    ...     model = nn.Sequential([nn.Dense(4), jnp.square, nn.Dense(1, use_bias=bias)])
    ...     params = model.init(jax.random.key(1), x)
    ...     found = homogeneity(jax.random.key(2), model.apply, params, x)
    ...     print(f"degree 3: {abs(found.degree - 3) < 1e-4}, homogeneous: {found.holds()}")
    degree 3: True, homogeneous: True
    degree 3: False, homogeneous: False
    """
    _check.key("key", key)
    _check.function("model", model)
    flat, tree = jax.tree.flatten(_check.floating_tree("params", params))
    size = jnp.sqrt(sum(jnp.sum(w**2) for w in flat) / max(sum(w.size for w in flat), 1))
    if not 0 < float(size) < jnp.inf:
        raise ValueError("params must be finite and not all zero")
    keys = jax.random.split(key, len(flat))
    drawn = [
        leaf + NOISE * size.astype(leaf.dtype) * jax.random.normal(each, leaf.shape, leaf.dtype)
        for each, leaf in zip(keys, flat, strict=True)
    ]
    point = jax.tree.unflatten(tree, drawn)
    pairs = []
    for scale in SCALES:
        scaled = jax.tree.map(lambda leaf, c=scale: c * leaf, point)
        outputs, along = jax.jvp(lambda w: model(w, x), (scaled,), (scaled,))
        if not bool(jnp.all(jnp.isfinite(outputs))) or not bool(jnp.any(outputs != 0)):
            raise ValueError(
                f"model must have finite outputs that are not all zero at {scale:g} params"
            )
        pairs.append((outputs, along))
    degree = float(jnp.mean(jnp.stack([jnp.vdot(h, a) / jnp.vdot(h, h) for h, a in pairs])))
    defects = [jnp.linalg.norm(a - degree * h) / jnp.linalg.norm(h) for h, a in pairs]
    return Homogeneity(degree, float(jnp.max(jnp.stack(defects))))
