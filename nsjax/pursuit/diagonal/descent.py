"""Gradient flow of diagonal networks, by its n dual variables.

From `u = alpha`, `v = 0` the flow of `1/2 ||y - x (u v)||^2` keeps `u +- v = alpha exp(+-x^T q)`
with `q' = r`, so that `beta = u v = alpha^2 / 2 sinh(2 x^T q)`: n equations whatever d, exactly.
It is the gradient flow of a convex function of q, whose minimum is the interpolator at which it
ends.

Source: B. Woodworth et al., Kernel and Rich Regimes in Overparametrized Models (COLT 2020).
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
from jax import lax

from nsjax import _check
from nsjax.pursuit.diagonal.network import problem

if TYPE_CHECKING:
    from jaxtyping import Array, Float, Int

_RATIO = 10**0.25
"""Largest factor between the alpha of one Newton solution and the next, its start."""


def coefficients(
    x: Float[Array, "n d"], dual: Float[Array, " n"], alpha: jax.Array | float
) -> Float[Array, " d"]:
    """`beta = alpha^2 / 2 sinh(2 x^T q)`.

    Args:
        x: inputs `(n, d)`.
        dual: q, `(n,)`, the integral of the residual over time.
        alpha: size of the start, of every neuron.
    """
    return 0.5 * alpha**2 * jnp.sinh(2 * (dual @ x))


class Flow(NamedTuple):
    """Gradient flow from one initialisation to where it fits.

    Attributes:
        coefficients: at the end, `(d,)`.
        births: times at which the size of each first comes to a threshold, `(d,)`; infinite where
            it never does.
        time: of the end.
        residual: `||r|| / ||y||` there.
        steps: of the solver.
    """

    coefficients: Float[Array, " d"]
    births: Float[Array, " d"]
    time: Float[Array, ""]
    residual: Float[Array, ""]
    steps: Int[Array, ""]


def flow(
    x: Float[Array, "n d"],
    y: Float[Array, " n"],
    *,
    alpha: jax.Array | float,
    birth: float = 1e-2,
    tol: float = 1e-5,
    rtol: float = 1e-6,
    max_steps: int = 6144,
) -> Flow:
    """Gradient flow from `u = alpha`, `v = 0`, integrated until it fits. Traced: `vmap` it.

    Args:
        x: inputs.
        y: targets.
        alpha: initial scale.
        birth: size of a coefficient that counts as born.
        tol: the flow is over when `||r||` is below tol times `||y||`.
        rtol: relative tolerance of the integration in q; the absolute one is a hundredth of it.
        max_steps: of the solver; it saves every one.
    """
    x, y = problem(x, y)

    def residual(dual: jax.Array) -> jax.Array:
        return y - x @ coefficients(x, dual, alpha)

    limit = tol * jnp.linalg.norm(y)

    def fits(t: jax.Array, y: jax.Array, args: None, **_: object) -> jax.Array:
        return jnp.linalg.norm(residual(y)) < limit

    solved = diffrax.diffeqsolve(
        diffrax.ODETerm(lambda t, dual, args: residual(dual)),
        diffrax.Kvaerno5(),
        0.0,
        jnp.inf,
        1e-3,
        jnp.zeros_like(y),
        stepsize_controller=diffrax.PIDController(rtol=rtol, atol=1e-2 * rtol),
        saveat=diffrax.SaveAt(steps=True),
        event=diffrax.Event(fits),
        max_steps=max_steps,
        throw=False,
    )
    times, duals = solved.ts, solved.ys
    assert times is not None
    assert duals is not None
    # Log-sizes are nearly linear in time between steps, coefficients are not.
    sizes = jnp.abs(duals @ x)
    level = 0.5 * jnp.arcsinh(2 * birth / alpha**2)
    crossed = (sizes[1:] >= level) & (sizes[:-1] < level) & jnp.isfinite(times[1:])[:, None]
    part = (level - sizes[:-1]) / jnp.where(crossed, sizes[1:] - sizes[:-1], 1)
    at = times[:-1, None] + part * jnp.diff(times)[:, None]
    births = jnp.min(jnp.where(crossed, at, jnp.inf), axis=0)
    last = jnp.sum(jnp.isfinite(times)) - 1
    beta = coefficients(x, duals[last], alpha)
    end = jnp.linalg.norm(y - x @ beta) / jnp.linalg.norm(y)
    return Flow(beta, births, times[last], end, solved.stats["num_steps"])


def flow_limit(
    x: Float[Array, "n d"], y: Float[Array, " n"], alphas: tuple[float, ...], *, tol: float = 1e-10
) -> tuple[Float[Array, "m d"], Float[Array, " m"]]:
    """Where gradient flow from each of the scales ends, without integrating it. Traced.

    The minimum of `alpha^2 / 4 sum_j cosh(2 <x_j, q>) - <y, q>` by damped Newton steps, from large
    to small alpha, each from the last.

    Args:
        x: inputs, of rank n.
        y: targets.
        alphas: initial scales, falling.
        tol: bound on `||y - x beta|| / ||y||`.

    Returns:
        Coefficients `(m, d)`, and `||y - x beta|| / ||y||` `(m,)`.

    Raises:
        ValueError: if `alphas` do not fall, or one is not positive.
    """
    x, y = problem(x, y)
    for alpha in alphas:
        _check.positive("alphas", alpha)
    if any(later >= alpha for alpha, later in itertools.pairwise(alphas)):
        raise ValueError(f"alphas must fall, got {alphas}")
    dual, before, found = jnp.zeros_like(y), max(1.0, *alphas), []
    for alpha in alphas:
        count = max(1, math.ceil(math.log(before / alpha) / math.log(_RATIO)))
        ladder = before * (alpha / before) ** (jnp.arange(1, count + 1) / count)
        dual, _ = lax.scan(lambda q, a: (_newton(x, y, q, a, tol), None), dual, ladder)
        found.append(coefficients(x, dual, alpha))
        before = alpha
    solutions = jnp.stack(found)
    return solutions, jnp.linalg.norm(y - solutions @ x.T, axis=1) / jnp.linalg.norm(y)


def _newton(x: jax.Array, y: jax.Array, dual: jax.Array, alpha: jax.Array, tol: float) -> jax.Array:
    """Minimum of the convex function whose gradient is minus the residual."""
    limit, eps = tol * jnp.linalg.norm(y), jnp.finfo(x.dtype).eps

    def value(dual: jax.Array) -> jax.Array:
        return 0.25 * alpha**2 * jnp.sum(jnp.cosh(2 * (dual @ x))) - y @ dual

    def unfinished(carry: tuple[jax.Array, ...]) -> jax.Array:
        _, residual, _, count = carry
        return (jnp.linalg.norm(residual) > limit) & (count < 100)

    def step(carry: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        dual, residual, scale, count = carry
        stiffness = (x * (alpha**2 * jnp.cosh(2 * (dual @ x)))) @ x.T
        # Inputs that stay tiny leave directions in which nothing is to be decided.
        ridge = 10 * eps * jnp.trace(stiffness) * jnp.eye(len(y), dtype=x.dtype)
        move = jax.scipy.linalg.solve(stiffness + ridge, residual, assume_a="pos")
        there = dual + scale * move
        good = value(there) <= value(dual) - 1e-4 * scale * (residual @ move) + 10 * eps * (
            jnp.abs(y) @ jnp.abs(dual)
        )
        dual = jnp.where(good, there, dual)
        residual = y - x @ coefficients(x, dual, alpha)
        return dual, residual, jnp.where(good, 1.0, 0.5 * scale), count + 1

    residual, count = y - x @ coefficients(x, dual, alpha), jnp.zeros((), int)
    start: tuple[jax.Array, ...] = (dual, residual, jnp.ones((), x.dtype), count)
    return lax.while_loop(unfinished, step, start)[0]
