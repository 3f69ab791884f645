"""KKT points of the NCF of one new neuron, by its incoming weights alone.

For fixed incoming u the best outgoing v is parallel to `B^T s(G u)`, so only
`phi(u) = ||B^T s(G u)||` is left to maximise over unit u; at a KKT point the blocks have norms
`||u||^2 = p / (p + 1)` and `||v||^2 = 1 / (p + 1)`, and
`N* = phi(u / |u|) p^(p/2) / (p + 1)^((p + 1)/2)`.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsjax import _check
from nsjax.kkt.ascent import Ascent, ascend
from nsjax.kkt.certificate import (
    CONVERGED,
    UNCONVERGED,
    KKTPoints,
    cosines,
    distinct,
    first,
    gradient_residual,
    map_first,
    padded,
    signs,
    tangent_curvature,
)
from nsjax.kkt.sphere import dot
from nsjax.networks.family import HomogeneousNeurons, NeuronFamily
from nsjax.networks.homogeneous import (
    Activation,
    Params,
    activation_degree,
    check_layer,
    features,
    pullback,
)


def search_neuron(
    key: jax.Array,
    params: Params,
    layer: int,
    x: jax.Array,
    residual: jax.Array,
    activation: Activation,
    *,
    starts: int = 256,
    max_steps: int = 2000,
    tol: float = 1e-8,
) -> KKTPoints:
    """KKT points of the NCF of one new neuron in hidden layer `layer` at the saddle `params`.

    All starts climb together, one matrix product a step.

    Args:
        key: PRNG key of the starts.
        params: network at the saddle, L weight matrices.
        layer: hidden layer of the new neuron, 1 to L - 1.
        x: inputs `(n, d)`.
        residual: residual at the saddle `(n, c)`.
        activation: homogeneous activation of degree p.
        starts, max_steps, tol: as in `kkt.search`.

    Returns:
        `KKTPoints` with `points = (incoming, outgoing)` of shapes `(m, k_{layer-1})` and
        `(m, k_{layer+1})`, squared norms `p / (p + 1)` and `1 / (p + 1)`, best first. Points that
        give the same neuron, such as u and -u for even powers, count as one. Values are never
        negative, since v is chosen best; a value of zero is a saddle that is dead for this start.

    Raises:
        TypeError, ValueError: for bad input, before anything is compiled.

    Source: `docs/mathematics.md`, section 2; neuron pursuit (arXiv 2509.12154), Lemma 9.
    """
    params = _check.network("params", params)
    layer = check_layer(params, layer)
    x, residual = _check.samples(params, x, residual, target="residual")
    activation_degree(activation)
    before = features(params, x, activation)[layer - 1]
    after = pullback(params, x, residual, activation)[layer]
    return search_family(
        key,
        HomogeneousNeurons(activation),
        before,
        after,
        starts=starts,
        max_steps=max_steps,
        tol=tol,
    )


def search_family(
    key: jax.Array,
    family: NeuronFamily,
    features: jax.Array,
    pulled: jax.Array,
    *,
    starts: int = 256,
    max_steps: int = 2000,
    tol: float = 1e-8,
) -> KKTPoints:
    """The same for any neuron family, from features `(n, k)` and pulled-back residual `(n, c)`."""
    starts = _check.positive_integer("starts", starts)
    max_steps = _check.positive_integer("max_steps", max_steps)
    tol = _check.positive("tol", tol)
    tol = max(tol, 10 * float(jnp.finfo(features.dtype).eps))
    drawn = family.draw(key, starts, features.shape[1], features.dtype)
    state = _climb(family, drawn, features, pulled, tol, max_steps)
    same = np.asarray(_cosines(family, state.points, features, pulled))
    index, counts = distinct(np.asarray(state.values), same, tol)
    certified = _certify(family, state.points[padded(index, starts)], len(index), features, pulled)
    found = first(len(index), certified)
    scale = float(correlation_scale(family, features, pulled))
    zero = 1e3 * float(jnp.finfo(features.dtype).eps) * scale
    highest = 1e-6 * np.maximum(np.asarray(found.multipliers), zero)
    return KKTPoints(
        (found.incoming, found.outgoing),
        found.values,
        found.residuals,
        found.multipliers,
        jax.device_put(signs(np.asarray(found.values), zero)),
        jax.device_put(counts.astype(np.int32)),
        jax.device_put(np.asarray(found.curvature) <= highest),
        int(state.steps),
        CONVERGED if bool(jnp.all(state.finished)) else UNCONVERGED,
    )


def _correlation(
    family: NeuronFamily, incoming: jax.Array, features: jax.Array, pulled: jax.Array
) -> jax.Array:
    """`B^T s(G u)` of every row u: `(m, c)`."""
    return family.response(incoming, features) @ pulled


def _phi(
    incoming: jax.Array, family: NeuronFamily, features: jax.Array, pulled: jax.Array
) -> jax.Array:
    """`phi(u)` of one u, with gradient zero (not NaN) where it vanishes."""
    squared = jnp.sum(_correlation(family, incoming[None, :], features, pulled) ** 2)
    alive = squared > 0
    return jnp.where(alive, jnp.sqrt(jnp.where(alive, squared, 1)), 0)


@partial(jax.jit, static_argnums=0)
def _climb(
    family: NeuronFamily,
    starts: jax.Array,
    features: jax.Array,
    pulled: jax.Array,
    tol: float,
    max_steps: int,
) -> Ascent:
    def value_and_grad(points: jax.Array) -> tuple[jax.Array, jax.Array]:
        correlation, back = jax.vjp(lambda u: _correlation(family, u, features, pulled), points)
        phi = jnp.linalg.norm(correlation, axis=1)
        outgoing = correlation / jnp.where(phi > 0, phi, 1)[:, None]
        return phi, back(outgoing)[0]

    return ascend(value_and_grad, starts, jnp.asarray(tol, starts.dtype), jnp.asarray(max_steps))


@partial(jax.jit, static_argnums=0)
def _cosines(
    family: NeuronFamily, points: jax.Array, features: jax.Array, pulled: jax.Array
) -> jax.Array:
    """Cosines between what the neurons add to the outputs: blind to symmetries of their weights."""
    response = family.response(points, features)
    return cosines(response) * cosines(response @ pulled)


class _Certified(NamedTuple):
    incoming: jax.Array
    outgoing: jax.Array
    values: jax.Array
    residuals: jax.Array
    multipliers: jax.Array
    curvature: jax.Array


@partial(jax.jit, static_argnums=0)
def _certify(
    family: NeuronFamily, points: jax.Array, count: int, features: jax.Array, pulled: jax.Array
) -> _Certified:
    p = family.degree.astype(points.dtype)
    correlation = _correlation(family, points, features, pulled)
    phi = jnp.linalg.norm(correlation, axis=1, keepdims=True)
    one = jnp.zeros_like(correlation).at[:, 0].set(1)
    outgoing = jnp.where(phi > 0, correlation / jnp.where(phi > 0, phi, 1), one)
    incoming, outgoing = jnp.sqrt(p / (p + 1)) * points, jnp.sqrt(1 / (p + 1)) * outgoing

    def joint(neuron: tuple[jax.Array, jax.Array]) -> jax.Array:
        return family.ncf(neuron[0], neuron[1], features, pulled)

    def certify(neuron: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        value, gradient = jax.value_and_grad(joint)(neuron[:2])
        return (
            value,
            gradient_residual(neuron[:2], gradient),
            dot(neuron[:2], gradient),
            tangent_curvature(_phi, neuron[2], family, features, pulled),
        )

    neurons = (incoming, outgoing, points)
    return _Certified(incoming, outgoing, *map_first(certify, count, neurons))


@partial(jax.jit, static_argnums=0)
def correlation_scale(family: NeuronFamily, features: jax.Array, pulled: jax.Array) -> jax.Array:
    """A bound on `phi(u)` of the size it has where B and the responses line up.

    `||B||_F` times the root sum of squares of `||g(x_i)||^p`; a value far below it, at rounding, is
    a correlation that vanishes.
    """
    sizes = jnp.linalg.norm(features, axis=1) ** family.degree.astype(features.dtype)
    return jnp.linalg.norm(pulled) * jnp.linalg.norm(sizes)
