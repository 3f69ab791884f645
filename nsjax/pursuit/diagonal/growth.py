"""Pursuit of diagonal networks: by the best neuron, or by the one that a slow flow grows first."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from nsjax.pursuit.diagonal.network import minimise, problem

if TYPE_CHECKING:
    from jaxtyping import Array, Float, Int


class Growth(NamedTuple):
    """A network grown neuron by neuron.

    Attributes:
        coefficients: `beta_j = u_j v_j`, `(d,)`.
        order: the inputs of its neurons in the order in which they came, `(n,)`; d where none did.
        neurons: how many there are.
        loss: `||y - x beta||^2 / ||y||^2`.
    """

    coefficients: Float[Array, " d"]
    order: Int[Array, " n"]
    neurons: Int[Array, ""]
    loss: Float[Array, ""]


def grow(
    key: jax.Array,
    x: Float[Array, "n d"],
    y: Float[Array, " n"],
    *,
    delta: jax.Array | float = 0.0,
    tol: float = 1e-6,
) -> Growth:
    """Neuron pursuit of `H(x; u, v) = sum_j u_j v_j x_j` with the square loss.

    Every round adds one neuron, at the norm that lowers the loss most, and minimises the loss over
    all neurons that there are. With `delta = 0` it is the neuron with the largest NCF, rule `ncf`;
    on columns of norm 1 its choice is that of orthogonal matching pursuit. With `delta > 0` it is
    the one that the flow grows first, see `waits`, from a fresh random direction at every saddle.
    Traced: `jax.vmap` it over instances.

    Args:
        key: PRNG key of the random directions.
        x: inputs, columns of norm 1.
        y: targets.
        delta: norm of the small weights from which the flow starts, below 1; 0 for its limit.
        tol: the pursuit is over when the root of the relative loss is below; at most n neurons.
    """
    x, y = problem(x, y)
    n, d = x.shape
    padded = jnp.concatenate([x, jnp.zeros((n, 1), x.dtype)], axis=1)
    reference = jnp.linalg.norm(y)

    def unfinished(carry: tuple[jax.Array, ...]) -> jax.Array:
        *_, residual, count = carry
        return (jnp.linalg.norm(residual) > tol * reference) & (count < n)

    def add(carry: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        order, values, residual, count = carry
        correlations = (residual @ x).at[order].set(0, mode="drop")
        direction = small_direction(jax.random.fold_in(key, count), correlations)
        pick = jnp.argmin(waits(correlations, direction, delta))
        order = order.at[count].set(pick)
        values = values.at[count].set(correlations[pick])
        inputs = padded[:, order]
        values = minimise(inputs, y, values)
        return order, values, y - inputs @ values, count + 1

    start: tuple[jax.Array, ...] = (jnp.full(n, d), jnp.zeros(n, x.dtype), y, jnp.zeros((), int))
    order, values, residual, count = lax.while_loop(unfinished, add, start)
    coefficients = jnp.zeros(d, x.dtype).at[order].set(values, mode="drop")
    return Growth(coefficients, order, count, jnp.sum(residual**2) / reference**2)


def small_direction(key: jax.Array, correlations: Float[Array, " d"]) -> Float[Array, " d"]:
    """Growing parts `(u_j + sign(c_j) v_j) / sqrt(2)` of a random unit (u, v) of unused neurons.

    Args:
        key: PRNG key.
        correlations: c, `(d,)`; zero for neurons in use.
    """
    u, v = jax.random.normal(key, (2, *correlations.shape), correlations.dtype)
    unused = correlations != 0
    norm = jnp.sqrt(jnp.sum(jnp.where(unused, u * u + v * v, 0)))
    return jnp.where(unused, (u + jnp.sign(correlations) * v) / (2**0.5 * norm), 0)


def waits(
    correlations: Float[Array, " d"],
    direction: Float[Array, " d"],
    delta: jax.Array | float,
) -> Float[Array, " d"]:
    """Times after which the flow from `delta` times a direction has grown each neuron to norm 1.

    At a saddle `u_j' = c_j v_j`, `v_j' = c_j u_j`: the growing part `a_j` of neuron j is
    `delta |a_j| exp(|c_j| t)`, and the time `log(1 / (delta |a_j|)) / |c_j|`. For `delta = 0` it is
    the limit of the time over `log(1 / delta)`, `1 / |c_j|`. Infinite where c_j is zero.

    Args:
        correlations: c, `(d,)`.
        direction: a, `(d,)`, from `small_direction`.
        delta: size of the start, or 0.
    """
    sizes = delta * jnp.abs(direction)
    distance = jnp.where(delta > 0, -jnp.log(jnp.where(sizes > 0, sizes, 1)), 1.0)
    rates = jnp.abs(correlations)
    return jnp.where(rates > 0, distance / jnp.where(rates > 0, rates, 1), jnp.inf)
