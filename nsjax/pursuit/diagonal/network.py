"""The network `H(x; u, v) = sum_j u_j v_j x_j`: its NCF, and its minima.

Neuron j sees input j alone. With the residual r of a saddle its NCF is `c_j u_j v_j`, where
`c_j = <x_j, r>`; on the unit sphere that is at most `|c_j| / 2`, at `|u_j| = |v_j|`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import lineax as lx
import optimistix as optx

from nsjax import _check

if TYPE_CHECKING:
    from jaxtyping import Array, Float

_TOL = 1e-9
"""Relative change of weights and residuals below which a minimisation is done."""


def problem(x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Inputs `(n, d)` and targets `(n,)`, checked."""
    x = _check.matrix("x", x)
    return x, _check.vector("y", y, x.shape[0])


@dataclass(frozen=True)
class DiagonalNCF:
    """NCF of all neurons that are zero at a saddle, an objective for `kkt.search`."""

    def __call__(
        self, weights: tuple[jax.Array, jax.Array], correlations: Float[Array, " d"]
    ) -> Float[Array, ""]:
        """`sum_j c_j u_j v_j`.

        Args:
            weights: `(u, v)`, `(d,)` each.
            correlations: c, `(d,)`: of residual and inputs; zero for trained neurons.
        """
        u, v = weights
        return jnp.sum(correlations * u * v)


def weights(
    coefficients: Float[Array, "*m"], imbalance: jax.Array | float
) -> tuple[Float[Array, "*m"], Float[Array, "*m"]]:
    """The `(u, v)` with `u v = beta`, `u > 0`, `u^2 - v^2 = imbalance^2`, which the flow conserves.

    Exactly balanced neurons never change their sign under gradient flow.

    Args:
        coefficients: beta.
        imbalance: what the flow conserves.
    """
    half = 0.5 * imbalance**2
    larger = jnp.sqrt(jnp.hypot(coefficients, half) + half)
    return larger, coefficients / larger


def minimise(
    x: Float[Array, "n m"],
    y: Float[Array, " n"],
    coefficients: Float[Array, " m"],
    *,
    imbalance: float = 1.0,
    max_steps: int = 200,
) -> Float[Array, " m"]:
    """Coefficients `u v` at a minimum of `1/2 ||y - x (u v)||^2` over both layers.

    By Levenberg-Marquardt in (u, v). All critical points but the global minima, which are least
    squares, are strict saddles.

    Args:
        x: inputs of the m neurons.
        y: targets.
        coefficients: where to start.
        imbalance: of every neuron at the start, see `weights`; positive, so that no neuron starts
            in a saddle where both of its weights are zero.
        max_steps: bound on the steps.
    """

    def residuals(pair: tuple[jax.Array, jax.Array], _: None) -> jax.Array:
        return y - x @ (pair[0] * pair[1])

    solver: Any = optx.LevenbergMarquardt(
        rtol=_TOL, atol=_TOL, linear_solver=lx.Normal(lx.Cholesky())
    )
    found: Any = optx.least_squares(
        residuals, solver, weights(coefficients, imbalance), max_steps=max_steps, throw=False
    )
    u, v = found.value
    return u * v
