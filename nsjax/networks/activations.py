"""Positively homogeneous activations."""

from __future__ import annotations

import numbers
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import lax


@dataclass(frozen=True)
class PolyLeakyReLU:
    r"""Polynomial leaky ReLU, `s(t) = max(t, a t)^p`, elementwise on an array of any shape.

    `slope = 1` gives the monomial `t^p`, `0` the polynomial ReLU, `-1` the power `|t|^p` of the
    absolute value. Positively homogeneous of degree p: `s(c t) = c^p s(t)` for `c > 0`. The object
    is frozen and hashable, so it is a static argument that never retraces by accident.

    Args:
        p: degree, a positive integer.
        slope: `a <= 1`, the slope of the base for negative inputs.

    Raises:
        TypeError: if `p` is no integer or `slope` no real number.
        ValueError: if `p < 1`, or `slope` is above 1 or not finite.

    Source: neuron pursuit (arXiv 2509.12154), section 2.

    >>> PolyLeakyReLU(2, -1.0)(jnp.array([-2.0, 3.0])).tolist()
    [4.0, 9.0]
    >>> PolyLeakyReLU(3).degree
    3
    """

    p: int = 1
    slope: float = 1.0

    def __post_init__(self) -> None:
        if isinstance(self.p, bool) or not isinstance(self.p, numbers.Integral):
            raise TypeError(f"p must be a positive integer, got {self.p!r}")
        if self.p < 1:
            raise ValueError(f"p must be a positive integer, got {self.p!r}")
        if isinstance(self.slope, bool) or not isinstance(self.slope, numbers.Real):
            raise TypeError(f"slope must be a real number, at most 1, got {self.slope!r}")
        if not -float("inf") < float(self.slope) <= 1:
            raise ValueError(f"slope must be finite and at most 1, got {self.slope!r}")
        object.__setattr__(self, "p", int(self.p))
        object.__setattr__(self, "slope", float(self.slope))

    @property
    def degree(self) -> int:
        """The degree of homogeneity, p."""
        return self.p

    @property
    def smooth(self) -> bool:
        """Whether the derivative is Lipschitz: only `p = 1` with slope below 1 has a kink."""
        return self.p > 1 or self.slope == 1.0

    @property
    def analytic(self) -> bool:
        """Whether it is a polynomial: no derivative of any order jumps at zero."""
        return self.slope == 1.0 or (self.slope == -1.0 and self.p % 2 == 0)

    def __call__(self, t: jax.Array) -> jax.Array:
        """Apply the activation elementwise."""
        base = t if self.slope == 1.0 else jnp.maximum(t, self.slope * t)
        return lax.integer_pow(base, self.p)

    def rounded(self, t: jax.Array, width: jax.Array | float) -> jax.Array:
        """The same with the kink at zero rounded over `width > 0`, smooth and still zero at zero.

        `((1 + a) t + (1 - a) (sqrt(t^2 + width^2) - width))^p / 2^p`, whose derivative for p = 1
        lies between the slopes a and 1: a generalised (Clarke) gradient at a distance of about
        `width`.
        """
        # The least number keeps the root's derivative finite where t and width are both zero.
        root = jnp.sqrt(t**2 + width**2 + jnp.finfo(t.dtype).tiny)
        base = (1 + self.slope) * t + (1 - self.slope) * (root - width)
        return lax.integer_pow(0.5 * base, self.p)
