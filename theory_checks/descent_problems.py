"""Random problems of descent: saddles, with a KKT point and a random direction at each.

Everything is traced for one problem, and a `vmap` over many of one network.
"""

from __future__ import annotations

import itertools
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import nsjax
from nsjax import kkt, networks, objectives
from nsjax._flat import Layout
from nsjax.data import sphere
from nsjax.kkt.ascent import ascend
from nsjax.kkt.neuron import NeuronLandscape, value_factor
from nsjax.networks import HomogeneousNeurons
from nsjax.networks.homogeneous import features, pullback
from nsjax.pursuit.minimisers import MINIMISERS, Objective
from nsjax.pursuit.problem import Problem, reference_loss
from nsjax.pursuit.state import pad

if TYPE_CHECKING:
    from theory_checks.pursuit_descent import Config


class Network(NamedTuple):
    """Layers, degree, slope, outputs, and how the active weights are made."""

    depth: int
    p: int
    slope: float
    outputs: int
    active: str
    """`"drawn"`, `"trained"`, or `"none"`: the origin."""

    @property
    def order(self) -> int:
        """Degree q of the NCF in the new weights."""
        if self.active != "none":
            return self.p + 1
        return networks.degree(self.activation, self.depth)

    @property
    def activation(self) -> nsjax.PolyLeakyReLU:
        """Its activation."""
        return nsjax.PolyLeakyReLU(self.p, self.slope)

    def __str__(self) -> str:
        active = {"none": "origin"}.get(self.active, self.active)
        return f"L={self.depth}, p={self.p}, a={self.slope:g}, c={self.outputs}, {active}"


class Drawn(NamedTuple):
    """m problems: saddles, KKT points and random unit directions of their zero block."""

    params: Any
    block: Any
    random: Any
    x: jax.Array
    residual: jax.Array
    value: jax.Array
    kkt_residual: jax.Array
    grad_norm: jax.Array


@partial(jax.jit, static_argnums=(0, 1))
def draw(network: Network, config: Config, keys: jax.Array) -> Drawn:
    """One problem for each of the keys."""
    return jax.vmap(partial(_draw_one, network, config))(keys)


def _draw_one(network: Network, config: Config, key: jax.Array) -> Drawn:
    x_key, y_key, w_key, layer_key, starts_key, random_key = jax.random.split(key, 6)
    n, d, c = config.samples, config.dimension, network.outputs
    activation = network.activation
    x = sphere(x_key, n, d)
    y = jax.random.normal(y_key, (n, c))
    grad_norm = jnp.zeros(())
    if network.active == "none":
        sizes = (d, *(1,) * (network.depth - 1), c)
        params = tuple(jnp.zeros((b, a)) for a, b in itertools.pairwise(sizes))
        block, value = _chain(network, config, starts_key, x, y)
        off = kkt.residual(objectives.NetworkNCF(activation), block, args=(x, y))
        random = kkt.random_unit(random_key, block)
        return Drawn(params, block, random, x, y, value, off, grad_norm)

    drawn = networks.init(w_key, (d, *(d - 1,) * (network.depth - 1), c))
    params = pad(unit_features(drawn, network.p), d)  # one zero neuron in every layer
    if network.active == "trained":
        objective = Objective(activation, "square", Layout.of(params))
        problem = Problem(x, y, reference_loss("square", y))
        fit = MINIMISERS["lbfgs"](
            objective,
            objective.layout.flat(params),
            problem,
            l2=jnp.zeros(()),
            steps=config.train_steps,
            target=jnp.zeros(()),
            learning_rate=0.0,
        )
        params = objective.layout.tree(fit.w)
        grad_norm = jnp.linalg.norm(jax.grad(objective.relative)(fit.w, problem))
    residual = y - networks.apply(params, x, activation)
    layer = jax.random.randint(layer_key, (), 0, network.depth - 1)
    # Every layer in one program: all have d features, of which those of the zero neurons vanish,
    # and at most d outputs.
    before = jnp.stack(features(params, x, activation)[:-1])[layer]
    pulled = pullback(params, x, residual, activation)[1:]
    after = jnp.stack([jnp.pad(b, ((0, 0), (0, d - b.shape[1]))) for b in pulled])[layer]
    incoming, outgoing, value, off = _neuron(config, activation, starts_key, before, after)
    used = jnp.any(before != 0, axis=0), jnp.any(after != 0, axis=0)
    drawn_pair = jax.random.normal(random_key, (2, d))
    random = kkt.unit(tuple(jnp.where(u, w, 0) for u, w in zip(used, drawn_pair, strict=True)))
    return Drawn(
        params,
        _placed(params, layer, incoming, outgoing),
        _placed(params, layer, *random),
        x,
        residual,
        value,
        off,
        grad_norm,
    )


def unit_features(params: Any, p: int) -> Any:
    """Weights with which features have size one: for standard normal t, t^p has sqrt((2p-1)!!)."""
    gain = float(np.prod(np.arange(2 * p - 1, 0, -2))) ** -0.5
    return (params[0], *(gain * weight for weight in params[1:]))


def _neuron(
    config: Config,
    activation: nsjax.PolyLeakyReLU,
    key: jax.Array,
    before: jax.Array,
    after: jax.Array,
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Incoming and outgoing weights of the best KKT point, its value and residual."""
    family, p = HomogeneousNeurons(activation), activation.p
    used = jnp.any(before != 0, axis=0)
    starts = jnp.where(used, jax.random.normal(key, (config.starts, len(used))), 0)
    args = before, before.T, after
    climbed = ascend(
        lambda columns: NeuronLandscape(family).climb(columns, *args),
        starts / jnp.linalg.norm(starts, axis=1, keepdims=True),
        1e-10,
        config.search_steps,
    )
    best = jnp.argmax(climbed.values)
    incoming = jnp.where(used, climbed.points[best], 0)
    correlation = after.T @ activation(before @ incoming)
    size = jnp.linalg.norm(correlation)
    outgoing = correlation / jnp.where(size > 0, size, 1) / (p + 1) ** 0.5
    incoming = (p / (p + 1)) ** 0.5 * incoming
    return incoming, outgoing, value_factor(p) * size, climbed.residuals[best]


def _chain(
    network: Network, config: Config, key: jax.Array, x: jax.Array, y: jax.Array
) -> tuple[Any, jax.Array]:
    """The best KKT point of a network of width one, and its value.

    Its links between hidden layers are numbers, of which only the signs are free: those of a row
    of starts are drawn, and `||y^T s(+-s( ... s(X u)))||` is left to climb.
    """
    p, depth, activation = network.p, network.depth, network.activation
    starts_key, sign_key = jax.random.split(key)
    starts = jax.random.normal(starts_key, (config.starts, x.shape[1]))
    signs = jax.random.rademacher(sign_key, (depth - 2, config.starts), x.dtype)

    def respond(columns: jax.Array) -> jax.Array:
        response = activation(x @ columns)
        for row in signs:
            response = activation(row * response)
        return response

    def climb(columns: jax.Array) -> tuple[jax.Array, jax.Array]:
        def values(columns: jax.Array) -> tuple[jax.Array, jax.Array]:
            correlation = y.T @ respond(columns)
            size = jnp.sum(correlation**2, axis=0)
            each = jnp.where(size > 0, jnp.sqrt(jnp.where(size > 0, size, 1)), 0)
            return jnp.sum(each), each

        gradients, each = jax.grad(values, has_aux=True)(columns)
        return each, gradients

    climbed = ascend(
        climb,
        starts / jnp.linalg.norm(starts, axis=1, keepdims=True),
        1e-10,
        config.search_steps,
    )
    best = jnp.argmax(climbed.values)
    # Squared norms of the layers as p^(L-1) : ... : p : 1 (Lemma 9).
    weights = [float(p) ** (depth - 1 - i) for i in range(depth)]
    norms = np.sqrt(np.array(weights) / sum(weights))
    links = [norm * row[best] for norm, row in zip(norms[1:-1], signs, strict=True)]
    outgoing = y.T @ respond(climbed.points.T)[:, best]
    outgoing = outgoing / jnp.linalg.norm(outgoing)
    block = (
        norms[0] * climbed.points[best][None],
        *(jnp.reshape(link, (1, 1)) for link in links),
        norms[-1] * outgoing[:, None],
    )
    return block, objectives.NetworkNCF(activation)(block, x, y)


def _placed(params: Any, layer: jax.Array, incoming: jax.Array, outgoing: jax.Array) -> Any:
    """The zero block with one neuron, in the last place of hidden layer `layer + 1`."""
    block = [jnp.zeros_like(weight) for weight in params]
    for i in range(len(params) - 1):
        here = layer == i
        rows = block[i + 1].shape[0]
        block[i] = block[i].at[-1].add(jnp.where(here, incoming, 0))
        block[i + 1] = block[i + 1].at[:, -1].add(jnp.where(here, outgoing[:rows], 0))
    return tuple(block)
