"""Smooth activations that are not homogeneous, by name."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

_GOMPERTZ_FLOOR = -6.0
"""Below it `exp(-exp(-t))` is under 1e-175; its derivative would be infinity times zero at -710."""


def gompertz(t: jax.Array) -> jax.Array:
    """Gompertz curve `exp(-exp(-t))`, elementwise: a sigmoid without a symmetry.

    >>> round(float(gompertz(jnp.array(0.0))), 6)
    0.367879
    """
    return jnp.exp(-jnp.exp(-jnp.maximum(t, _GOMPERTZ_FLOOR)))


SMOOTH: dict[str, Callable[[jax.Array], jax.Array]] = {
    "softplus": jax.nn.softplus,
    "tanh": jnp.tanh,
    "erf": jax.scipy.special.erf,
    "gompertz": gompertz,
}
"""Analytic activations by name; all but the Gompertz curve (flat below -6) on the whole line."""
