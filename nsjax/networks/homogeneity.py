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
    model: Callable[[Any, jax.Array], jax.Array],
    params: Any,
    x: Float[Array, "n d"],
) -> Homogeneity:
    r"""Measure the degree of a model in its parameters by Euler's identity `<w, grad H> = D H`.

    The NCF has KKT points on the sphere, and a flow has a saddle at the origin, for homogeneous
    models alone. A bias or a normalisation in a flax module breaks that silently; here it shows as
    a defect. One point of a model is looked at, at three sizes: with random `params` that is enough
    but for accidents, as it is no proof.

    Args:
        model: pure function `(params, x) -> outputs`, such as a flax module's `apply`.
        params: any pytree; random, such as a module's `init` draws.
        x: inputs, a row per sample.

    Raises:
        TypeError: if `model` is no function.
        ValueError: if the outputs are zero or not finite, so that nothing can be said.

    >>> import flax.linen as nn
    >>> x = jax.random.normal(jax.random.key(0), (20, 3))
    >>> for bias in (False, True):
    ...     model = nn.Sequential([nn.Dense(4, use_bias=bias), jnp.square, nn.Dense(1, bias)])
    ...     params = jax.tree.map(lambda w: w + 0.3, model.init(jax.random.key(1), x))
    ...     found = homogeneity(model.apply, params, x)
    ...     print(f"degree near 3: {abs(found.degree - 3) < 1e-4}, homogeneous: {found.holds()}")
    degree near 3: True, homogeneous: True
    degree near 3: False, homogeneous: False
    """
    _check.function("model", model)
    pairs = []
    for scale in SCALES:
        scaled = jax.tree.map(lambda leaf, c=scale: c * leaf, params)
        outputs, along = jax.jvp(lambda w: model(w, x), (scaled,), (scaled,))
        if not bool(jnp.all(jnp.isfinite(outputs))) or not bool(jnp.any(outputs != 0)):
            raise ValueError(
                f"model must have finite outputs that are not all zero at {scale:g} params"
            )
        pairs.append((outputs, along))
    degree = float(jnp.mean(jnp.stack([jnp.vdot(h, a) / jnp.vdot(h, h) for h, a in pairs])))
    defects = [jnp.linalg.norm(a - degree * h) / jnp.linalg.norm(h) for h, a in pairs]
    return Homogeneity(degree, float(jnp.max(jnp.stack(defects))))
