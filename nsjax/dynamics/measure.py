"""What an escape records along its way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nsjax._flat import Layout
from nsjax.dynamics.slow import kkt_residual
from nsjax.networks.homogeneous import Params
from nsjax.objectives import NetworkLoss


class Reference(NamedTuple):
    """The saddle that an escape is measured against, as arrays.

    Attributes:
        saddle: `(P,)` its weights.
        zero: `(P,)` bool, the zero block.
        target: `(P,)` unit KKT point that the zero block tends to.
        delta: size of the perturbation.
        ncf_args: what the saddle's NCF takes.
    """

    saddle: jax.Array
    zero: jax.Array
    target: jax.Array
    delta: jax.Array
    ncf_args: Any


@dataclass(frozen=True)
class ReferencedLoss:
    """A network's loss that takes the reference along, unused, beside the data."""

    loss: NetworkLoss

    def __call__(
        self, params: Params, x: jax.Array, y: jax.Array, reference: Reference
    ) -> jax.Array:
        """`loss(params, x, y)`."""
        del reference
        return self.loss(params, x, y)


@dataclass(frozen=True)
class Measure:
    """Drift, size, direction and KKT residual of the zero block, and the user's observables.

    Frozen and hashable: part of what identifies a compiled program.
    """

    ncf: Callable[..., jax.Array]
    layout: Layout
    observables: tuple[tuple[str, Callable[..., Any]], ...] = ()

    def __call__(
        self, params: Params, x: jax.Array, y: jax.Array, reference: Reference
    ) -> dict[str, Any]:
        """Drift, norm ratio, KKT residual, cosine and NCF; "observables" by name."""
        flat = self.layout.flat(params)
        block = jnp.where(reference.zero, flat, 0) / reference.delta
        size = jnp.linalg.norm(block)
        direction = block / jnp.where(size > 0, size, 1)
        residual, _ = kkt_residual(self.ncf, self.layout, reference, block)
        return {
            "drift": jnp.linalg.norm(jnp.where(reference.zero, 0, flat - reference.saddle)),
            "norm_ratio": size,
            "kkt_residual": residual,
            "cosine": jnp.dot(direction, reference.target),
            "ncf": self.ncf(self.layout.tree(direction), *reference.ncf_args),
            "observables": {name: function(params, x, y) for name, function in self.observables},
        }


def zero_norm(params: Params, x: jax.Array, y: jax.Array, reference: Reference) -> jax.Array:
    """Norm of the zero block, for events."""
    del x, y
    flat = jnp.concatenate([jnp.ravel(weight) for weight in params])
    return jnp.linalg.norm(jnp.where(reference.zero, flat, 0))
