"""Along a flat channel to infinity: the pair as (c, u, w, v) at fixed eps, all else at a minimum.

A pair of neurons is written as

    a_1 = c/2 + u/(2 eps),  a_2 = c/2 - u/(2 eps),  w_1 = w + eps v,  w_2 = w - eps v,   |u| = 1,

which is one to one for `1/eps = ||a_1 - a_2||`. Its response is
`c (s(t+h) + s(t-h))/2 + u (v.x) (s(t+h) - s(t-h))/(2h)` with `t = w.x`, `h = eps v.x`: smooth down
to `eps = 0`, where it is the limit unit. To change the sign of eps is to exchange the neurons, so
the least loss at fixed eps is even: `L(eps) = L_inf + k eps^2 + O(eps^4)`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsjax import _check
from nsjax._flat import Layout
from nsjax.diagnostics.channels import check_pair, derivative, oriented, parity
from nsjax.diagnostics.scaling import power_law
from nsjax.dynamics.least_squares import levenberg_marquardt
from nsjax.networks.homogeneous import Activation, Params, check_layer, features

if TYPE_CHECKING:
    from jaxtyping import Array, Float

LADDER = 13
"""Values of eps from where the pair is down to the last one."""
LAST_EPS = 1e-6
"""Smallest eps above zero of the ladder."""
RISE = 1e-6
"""Rise of the loss along the ladder that counts as rounding, over the whole fall."""
STATIONARY = 1e-5
"""Largest `||J^T r|| / (||J|| ||r||)` at a refit that counts as a minimum."""
FITTED = 1e-9
"""A refit with `||r||` below this times `||y||` counts as one, too: it is exact."""
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(6)
_SMALL = 0.1
"""Below it difference quotients are means of the derivative: their rounding is eps / h."""

TO_INFINITY, FINITE, UNFINISHED = 0, 1, 2
CHANNEL_MESSAGES = {
    TO_INFINITY: "a channel to infinity: the loss falls all the way to the limit unit",
    FINITE: "no channel: the loss rises somewhere on the way to infinity",
    UNFINISHED: "unclear: the refit did not reach a minimum on the way",
}
"""What the codes of `ChannelPath` mean."""


class ChannelNetwork(NamedTuple):
    """A network one of whose pairs is written as a unit of its own.

    Attributes:
        rest: L weight matrices without the pair.
        c: `(o,)`, sum of the outgoing weights.
        u: `(o,)`, direction of their difference; used as `u / |u|`.
        w: `(i,)`, mean of the incoming weights.
        v: `(i,)`, half their difference over eps.
    """

    rest: Params
    c: jax.Array
    u: jax.Array
    w: jax.Array
    v: jax.Array


class ChannelPath(NamedTuple):
    """The least loss at every eps, from large to zero.

    Attributes:
        eps: `(m,)`; the last is 0, the limit.
        losses: `(m,)`; the last is the loss at infinity.
        gradients: `(m,)`, `||J^T r|| / (||J|| ||r||)` in the channel's own coordinates: the
            cosine of the residual with what the parameters can change; zero where the fit is exact.
        networks: leaves with a leading axis of length m; the last is the refit with the limit unit.
        exponent, factor: of `L(eps) - L_inf = factor eps^exponent`, over the points that stand
            above rounding; NaN where there are fewer than three.
        start: loss of the network that was given, NaN if a `ChannelNetwork` was.
        result: code; `message` is its text.
    """

    eps: np.ndarray
    losses: np.ndarray
    gradients: np.ndarray
    networks: ChannelNetwork
    exponent: float
    factor: float
    start: float
    result: int

    @property
    def message(self) -> str:
        """What was found, in words."""
        return CHANNEL_MESSAGES[self.result]

    @property
    def limit(self) -> ChannelNetwork:
        """The network with the limit unit, at the loss at infinity."""
        return jax.tree.map(lambda leaf: leaf[-1], self.networks)


def split_channel(
    params: Any, pair: Any, *, layer: int = 1, activation: Activation | None = None
) -> tuple[ChannelNetwork, float]:
    """A pair written as (c, u, w, v) and eps; the function is the same.

    Args:
        params: L weight matrices.
        pair: two different neurons of the layer.
        layer: hidden layer, 1 to L - 1.
        activation: if it is odd or even, a second neuron that points away from the first is
            mirrored.

    Raises:
        TypeError, ValueError: for bad input, or outgoing weights that are equal.

    >>> w = (jnp.array([[1.01], [0.99]]), jnp.array([[51.0, -49.0]]))
    >>> network, eps = split_channel(w, (0, 1))
    >>> [round(float(e[0]), 3) for e in (network.c, network.w, network.v)], round(eps, 4)
    ([2.0, 1.0, 1.0], 0.01)
    """
    params = _check.network("params", params)
    check_layer(params, layer)
    first, second = check_pair(pair, params[layer - 1].shape[0])
    incoming, outgoing = params[layer - 1], params[layer]
    mirror = 0 if activation is None else parity(_check.function("activation", activation))
    (a, b), (w, q) = jax.tree.map(
        lambda rows: rows[0], oriented(params, layer, np.array([first]), np.array([second]), mirror)
    )
    size = float(jnp.linalg.norm(a - b))
    if size == 0:
        raise ValueError("pair must have outgoing weights that differ, got equal ones")
    keep = np.delete(np.arange(incoming.shape[0]), [first, second])
    rest = (*params[: layer - 1], incoming[keep], outgoing[:, keep], *params[layer + 1 :])
    u = (a - b) / size
    return ChannelNetwork(rest, a + b, u, (w + q) / 2, (w - q) * size / 2), 1 / size


def join_channel(network: ChannelNetwork, eps: float, *, layer: int = 1) -> Params:
    """The plain network of a `ChannelNetwork` at `eps > 0`; the pair comes last in its layer.

    Args:
        network: the one to write plainly.
        eps: half the distance of the pair's incoming weights, in units of `v`.
        layer: hidden layer of the pair, 1 to L - 1.

    Raises:
        TypeError, ValueError: for another network, a layer that it has not, or a bad eps.

    >>> w = (jnp.array([[3.0], [1.0], [0.5]]), jnp.array([[1.0, 6.0, -2.0]]))
    >>> [e.tolist() for e in join_channel(*split_channel(w, (1, 2)))]
    [[[3.0], [1.0], [0.5]], [[1.0, 6.0, -2.0]]]
    """
    if not isinstance(network, ChannelNetwork):
        raise TypeError(f"network must be a ChannelNetwork, got {type(network).__name__}")
    check_layer(network.rest, layer)
    eps = _check.positive("eps", eps)
    u = network.u / jnp.linalg.norm(network.u)
    incoming = jnp.stack([network.w + eps * network.v, network.w - eps * network.v])
    outgoing = jnp.stack([network.c / 2 + u / (2 * eps), network.c / 2 - u / (2 * eps)], axis=1)
    rest = network.rest
    return (
        *rest[: layer - 1],
        jnp.concatenate([rest[layer - 1], incoming]),
        jnp.concatenate([rest[layer], outgoing], axis=1),
        *rest[layer + 1 :],
    )


def channel_apply(
    network: ChannelNetwork,
    eps: Float[Array, ""] | float,
    x: Float[Array, "n d"],
    activation: Activation,
    *,
    layer: int = 1,
) -> Float[Array, "n c"]:
    """Output of a `ChannelNetwork`; `eps = 0` is the network with the limit unit.

    The difference quotient is taken as `integral s'(t + r h) dr / 2` over -1 to 1 where h is small,
    by Gauss-Legendre with six nodes (exact to rounding there), so nothing cancels.

    Args:
        network: the network, from `split_channel` or `follow_channel`.
        eps: 0 or more.
        x: inputs `(n, d)`.
        activation: elementwise activation.
        layer: hidden layer of the pair, 1 to L - 1.

    Returns:
        `(n, c)`.

    >>> w = (jnp.array([[1.2], [0.8]]), jnp.array([[51.0, -49.0]]))
    >>> network, eps = split_channel(w, (0, 1))
    >>> out = channel_apply(network, eps, jnp.ones((1, 1)), jnp.square)
    >>> bool(jnp.allclose(out, 51 * 1.44 - 49 * 0.64, rtol=1e-4))
    True
    """
    rest = network.rest
    before = features(rest[:layer], x, activation)[layer - 1]
    t, along = before @ network.w, before @ network.v
    h = eps * along
    nodes = jnp.asarray(_NODES, t.dtype)[:, None]
    mean = jnp.asarray(_WEIGHTS, t.dtype) @ derivative(activation, t + nodes * h) / 2
    small = jnp.abs(h) < _SMALL
    up, down = activation(t + h), activation(t - h)
    quotient = jnp.where(small, mean, (up - down) / (2 * jnp.where(small, 1, h)))
    u = network.u / jnp.linalg.norm(network.u)
    layers = activation(before @ rest[layer - 1].T) @ rest[layer].T
    layers += (0.5 * (up + down))[:, None] * network.c + (along * quotient)[:, None] * u
    for weight in rest[layer + 1 :]:
        layers = activation(layers) @ weight.T
    return layers


def follow_channel(
    params: Any,
    pair: Any,
    x: Any,
    y: Any,
    activation: Activation,
    *,
    layer: int = 1,
    eps: Any = None,
    tol: float = 1e-12,
    max_steps: int = 300,
) -> ChannelPath:
    """Ask the loss whether a pair is on its way to infinity.

    Minimises `1/2 ||H - y||^2` over all parameters but eps, from where the pair is down a ladder
    of eps to zero, each from the minimum before. A pair is in a channel if the loss falls all the
    way. At a finite minimum it rises at once; at a finite minimum further along it rises there.

    Args:
        params: L weight matrices.
        pair: two different neurons of the layer.
        x, y: data, for the square loss.
        activation: elementwise, smooth.
        layer: hidden layer, 1 to L - 1.
        eps: decreasing positive values to visit before zero. By default the pair's own, then
            log-spaced down to 1e-6, or to a tenth of it if that is less.
        tol, max_steps: of Levenberg-Marquardt at each eps.

    Raises:
        TypeError, ValueError: for bad input.

    >>> x = jnp.linspace(-2.0, 2.0, 20)[:, None]
    >>> y = 0.5 * jnp.tanh(x) + x * (1 - jnp.tanh(x) ** 2)  # a limit unit
    >>> w = (jnp.array([[1.2], [0.8]]), jnp.array([[3.0, -2.0]]))
    >>> path = follow_channel(w, (0, 1), x, y, jnp.tanh, eps=(0.5, 0.25), tol=1e-5)
    >>> bool(path.losses[0] > path.losses[1] > path.losses[2])
    True
    """
    _check.function("activation", activation)
    params = _check.network("params", params)
    x, y = _check.samples(params, x, y)
    tol = _check.positive("tol", tol)
    max_steps = _check.positive_integer("max_steps", max_steps)
    visited = None if eps is None else np.asarray(_check.vector("eps", eps, np.size(eps)), float)
    if visited is not None and (
        not len(visited) or visited[-1] <= 0 or np.any(np.diff(visited) >= 0)
    ):
        raise ValueError(f"eps must be decreasing positive numbers, got {eps!r}")
    network, own = split_channel(params, pair, layer=layer, activation=activation)
    if visited is None:
        visited = np.geomspace(own, min(LAST_EPS, 0.1 * own), LADDER)
    ladder = np.append(visited, 0.0)
    layout = Layout.of(network)
    flat, losses, grads = _follow(
        activation, layer, layout, max_steps, layout.flat(network), jnp.asarray(ladder), x, y, tol
    )
    losses, grads = np.asarray(losses), np.asarray(grads)
    exact = losses <= 0.5 * FITTED**2 * float(jnp.sum(y**2))
    grads = np.where(exact, 0.0, grads)
    start = 0.5 * float(jnp.sum((channel_apply(network, own, x, activation, layer=layer) - y) ** 2))
    law = _law(ladder, losses)
    return ChannelPath(
        ladder, losses, grads, layout.trees(flat), *law, start, _verdict(losses, grads)
    )


def _law(eps: np.ndarray, losses: np.ndarray) -> tuple[float, float]:
    """Power and factor of the loss above that at infinity, where it stands above rounding."""
    above = losses[:-1] - losses[-1]
    floor = max(1e-11 * losses[-1], 1e-22)
    # The leading power holds for small eps alone.
    good = (above > floor) & (eps[:-1] <= 0.1)
    if np.sum(good) < 3:
        return np.nan, np.nan
    law = power_law(eps[:-1][good], above[good])
    return law.exponent, law.factor


def _verdict(losses: np.ndarray, grads: np.ndarray) -> int:
    fall = losses[0] - losses[-1]
    allowed = RISE * max(fall, 0.0) + 1e-11 * abs(losses[0])
    if not np.all(np.isfinite(losses)) or np.max(grads) > STATIONARY:
        return UNFINISHED
    if fall > allowed and np.all(np.diff(losses) <= allowed):
        return TO_INFINITY
    return FINITE


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _follow(
    activation: Activation,
    layer: int,
    layout: Layout,
    max_steps: int,
    flat: jax.Array,
    ladder: jax.Array,
    x: jax.Array,
    y: jax.Array,
    tol: float,
) -> tuple[jax.Array, ...]:
    def residuals(w: jax.Array, eps: jax.Array) -> jax.Array:
        return jnp.ravel(channel_apply(layout.tree(w), eps, x, activation, layer=layer) - y)

    def step(w: jax.Array, eps: jax.Array) -> tuple[jax.Array, tuple[jax.Array, ...]]:
        w, _ = levenberg_marquardt(residuals, w, eps, tol=tol, max_steps=max_steps)
        r, jacobian = residuals(w, eps), jax.jacfwd(residuals)(w, eps)
        size = jnp.linalg.norm(jacobian) * jnp.linalg.norm(r) + jnp.finfo(w.dtype).tiny
        return w, (w, 0.5 * jnp.sum(r**2), jnp.linalg.norm(jacobian.T @ r) / size)

    return jax.lax.scan(step, flat, ladder)[1]
