"""KKT points of the NCF of one new neuron, by its incoming weights alone.

For fixed incoming u the best outgoing v is parallel to `B^T s(G u)`, so only
`phi(u) = ||B^T s(G u)||` is left to maximise over unit u; at a KKT point the blocks have norms
`||u||^2 = p / (p + 1)` and `||v||^2 = 1 / (p + 1)`, and
`N* = phi(u / |u|) p^(p/2) / (p + 1)^((p + 1)/2)`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from nsjax import _check, _mesh
from nsjax.kkt import blocks, clarke
from nsjax.kkt.certificate import KKTPoints
from nsjax.kkt.multistart import multistart, thinned
from nsjax.kkt.quadratic import eigen_points, is_quadratic
from nsjax.networks.family import HomogeneousNeurons, NeuronFamily
from nsjax.networks.homogeneous import (
    Activation,
    Params,
    activation_degree,
    check_layer,
    features,
    pullback,
)
from nsjax.networks.products import ProductNeurons, Products

METHODS = ("auto", "ascent", "exact")
LEFT = 1e-3
"""Share of a response that is left beside given columns, below which nothing is."""


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
    tol: float = 1e-10,
    k: int | None = None,
    max_cosine: float = 1.0,
    method: str = "auto",
    memory: int = blocks.BUDGET,
    mesh: Mesh | None = None,
) -> KKTPoints:
    """KKT points of the NCF of one new neuron in hidden layer `layer` at the saddle `params`.

    All starts climb together, two matrix products a step.

    Args:
        key: PRNG key of the starts.
        params: network at the saddle, L weight matrices.
        layer: hidden layer of the new neuron, 1 to L - 1.
        x: inputs `(n, d)`.
        residual: residual at the saddle `(n, c)`.
        activation: homogeneous activation of degree p, or `networks.Products` of one order p.
        starts, max_steps, tol, memory: as in `kkt.search`.
        mesh: devices, with one or both of the axes "members", over which the starts are split, and
            "data", over which the samples are.
        k: how many points to keep, the best ones; all by default. The counts of those left out are
            left out too.
        max_cosine: largest |cosine| between what two points add to the outputs; below 1 it keeps
            neurons that differ, where maxima form a continuum.
        method: `"ascent"` from the starts; `"exact"`, the eigenvectors of a quadratic neuron (t^2)
            with one output, maxima and saddles alike; `"auto"` takes the exact one where it
            applies.

    Returns:
        `KKTPoints` with `points = (incoming, outgoing)` of shapes `(m, k_{layer-1})` and
        `(m, k_{layer+1})`, squared norms `p / (p + 1)` and `1 / (p + 1)`, best first. Points that
        give the same neuron, such as u and -u for even powers, count as one. Values are never
        negative, since v is chosen best; a value of zero is a saddle that is dead for this start.
        For activations with a kink (p = 1, slope below 1) tops sit on kinks; residuals there are
        those of the best generalised (Clarke) gradient found.

    Raises:
        TypeError, ValueError: for bad input, before anything is compiled.

    Source: `docs/mathematics.md`, section 2; neuron pursuit (arXiv 2509.12154), Lemma 9.
    """
    # Before the features are computed.
    best = _check_policy(key, starts, max_steps, tol, k, max_cosine, method, memory)
    mesh = _mesh.checked(mesh)
    p, factors = activation_degree(activation), getattr(activation, "factors", 1)
    params = _check.network("params", params, factors=factors)
    layer = check_layer(params, layer)
    x, residual = _check.samples(params, x, residual, target="residual", factors=factors)
    products = isinstance(activation, Products)
    family: NeuronFamily = ProductNeurons(p) if products else HomogeneousNeurons(activation)
    before = features(params, x, activation)[layer - 1]
    after = pullback(params, x, residual, activation)[layer]
    return _search(
        key, family, before, after, starts, max_steps, tol, best, max_cosine, method, memory, mesh
    )


def search_family(
    key: jax.Array,
    family: NeuronFamily,
    features: jax.Array,
    pulled: jax.Array,
    *,
    starts: int = 256,
    max_steps: int = 2000,
    tol: float = 1e-10,
    k: int | None = None,
    max_cosine: float = 1.0,
    method: str = "auto",
    memory: int = blocks.BUDGET,
    mesh: Mesh | None = None,
) -> KKTPoints:
    """KKT points of the NCF of one new neuron of any family, from what its layer sees.

    Args:
        key: PRNG key of the starts.
        family: what the neuron is, such as `networks.HomogeneousNeurons(activation)` or
            `networks.ProductNeurons(order)`.
        features: G, `(n, k)`, what comes into the layer (`networks.features`).
        pulled: B, `(n, c)`, the residual pulled back to the layer behind (`networks.pullback`).
        starts, max_steps, tol, memory: as in `kkt.search`.
        k, max_cosine, method, mesh: as in `kkt.search_neuron`.

    Returns:
        `KKTPoints` as of `kkt.search_neuron`, with `points = (incoming, outgoing)`.

    Raises:
        TypeError, ValueError: for bad input, before anything is compiled.

    Source: `docs/mathematics.md`, section 2; neuron pursuit (arXiv 2509.12154), Lemma 9.

    >>> from nsjax import PolyLeakyReLU
    >>> family = HomogeneousNeurons(PolyLeakyReLU(2))  # t^2: eigenvectors of sum_i r_i x_i x_i^T
    >>> found = search_family(jax.random.key(0), family, jnp.eye(2), jnp.array([[3.0], [1.0]]),
    ...                       starts=4, tol=1e-4)
    >>> [abs(round(float(u), 3)) for u in found.points[0][0]]  # of norm sqrt(2 / 3)
    [0.816, 0.0]
    """
    best = _check_policy(key, starts, max_steps, tol, k, max_cosine, method, memory)
    if not isinstance(family, NeuronFamily):
        raise TypeError(
            "family must be a NeuronFamily, such as networks.HomogeneousNeurons(activation), got "
            f"{family!r}"
        )
    features = _check.matrix("features", features)
    pulled = _check.matrix("pulled", pulled, rows=features.shape[0])
    return _search(
        key,
        family,
        features,
        pulled,
        starts,
        max_steps,
        tol,
        best,
        max_cosine,
        method,
        memory,
        _mesh.checked(mesh),
    )


def _search(
    key: jax.Array,
    family: NeuronFamily,
    features: jax.Array,
    pulled: jax.Array,
    starts: int,
    max_steps: int,
    tol: float,
    best: int | None,
    max_cosine: float,
    method: str,
    memory: int,
    mesh: Mesh | None,
) -> KKTPoints:
    """`search_family` of what has been checked; `best` is its `k`."""
    features, pulled = _mesh.samples_placed(mesh, "(x, residual)", (features, pulled))
    activation = family.activation if isinstance(family, HomogeneousNeurons) else None
    exact = is_quadratic(activation, pulled.shape[1])
    if method == "exact" and not exact:
        raise ValueError(
            "method='exact' needs the activation t^2 and a single output, got "
            f"{activation!r} and {pulled.shape[1]} outputs"
        )
    drawn = family.draw(key, starts, features.shape[1], features.dtype)
    # Of size one, whatever the units of the data: powers of large features are out of range.
    p = int(family.degree)
    sizes = _sizes(features, pulled)
    features, pulled = features / sizes[0], pulled / sizes[1]
    unit_value = float(sizes[0]) ** p * float(sizes[1]) * value_factor(p)
    landscape, args = NeuronLandscape(family), (features, jnp.array(features.T), pulled)
    if exact and method != "ascent":
        found = eigen_points(features, pulled, drawn, tol=tol)
        found = thinned(landscape, found, args, best=best, max_cosine=max_cosine)
    else:
        found = multistart(
            landscape,
            drawn,
            args,
            tol=tol,
            max_steps=max_steps,
            memory=memory,
            best=best,
            max_cosine=max_cosine,
            mesh=mesh,
        )
    points = jax.device_put(found.points)
    with np.errstate(over="ignore"):
        values = (unit_value * found.values.astype(float)).astype(found.values.dtype)
    if not np.all(np.isfinite(values)):
        raise ValueError(
            f"x and residual must give values of the NCF that fit into {values.dtype}, got up to "
            f"{unit_value:.3g} times {float(np.max(found.values)):.3g}"
        )
    zero = (
        1e3
        * float(jnp.finfo(features.dtype).eps)
        * float(correlation_scale(family, features, pulled))
    )
    highest = 1e-6 * np.maximum(found.multipliers, p * zero)
    # In the norm of (u, v) together the tangent is `1/|u|` of the one in u, the normal `p + 1`.
    across = (p / (p + 1)) ** 0.5 * found.residuals
    along = np.sqrt(np.clip(1 - found.residuals**2, 0, 1))
    neurons = (
        (p / (p + 1)) ** 0.5 * points,
        (1 / (p + 1)) ** 0.5 * _outgoing(family, points, features, pulled),
    )
    return found.report(
        neurons,
        values,
        across / np.hypot(across, along),
        (p + 1) * values,
        starts=starts,
        zero=zero,
        highest=highest,
    )


def _check_policy(
    key: jax.Array,
    starts: int,
    max_steps: int,
    tol: float,
    k: int | None,
    max_cosine: float,
    method: str,
    memory: int,
) -> int | None:
    """Raise for a bad key or setting of a search; how many points to keep."""
    _check.key("key", key)
    _check.positive_integer("starts", starts)
    _check.positive_integer("max_steps", max_steps)
    _check.positive("tol", tol)
    _check.share("max_cosine", max_cosine)
    _check.choice("method", method, METHODS)
    _check.positive_integer("memory", memory)
    return None if k is None else _check.positive_integer("k", k)


def value_factor(p: int) -> float:
    """`p^(p/2) / (p + 1)^((p + 1)/2)`, of N* over phi: the product of the block norms' powers."""
    return p ** (p / 2) / (p + 1) ** ((p + 1) / 2)


@dataclass(frozen=True)
class NeuronLandscape:
    """`phi(u) = ||B^T s(G u)||` of a neuron family, see `multistart.Landscape`.

    Its arguments are the features `(n, k)`, the same transposed `(k, n)`, and B, `(n, c)`.
    """

    family: NeuronFamily

    @property
    def kinked(self) -> bool:
        """Whether the family's response has kinks."""
        return self.family.kinked

    def climb(
        self,
        columns: jax.Array,
        *args: jax.Array,
        width: jax.Array | None = None,
    ) -> tuple[jax.Array, jax.Array]:
        """Values and gradients at columns u, by matrix products over all of them."""
        features, transposed, pulled = args
        response, back = self.family.response_vjp(columns, features, transposed, width)
        if pulled.shape[1] == 1 and width is None:
            # By Euler's identity the gradient gives the value: the response is never computed.
            gradients = back(jnp.broadcast_to(pulled, response.shape))
            values = jnp.sum(columns * gradients, axis=0) / self.family.degree
            return jnp.abs(values), jnp.where(values < 0, -1, 1) * gradients
        correlation = pulled.T @ response
        values = jnp.linalg.norm(correlation, axis=0)
        gradients = back(pulled @ (correlation / jnp.where(values > 0, values, 1)))
        # The part along u, by Euler's identity: for a rounded response `back` leaves it open.
        missing = self.family.degree * values - jnp.sum(columns * gradients, axis=0)
        return values, gradients + missing * columns

    def value(
        self, point: jax.Array, *args: jax.Array, width: jax.Array | None = None
    ) -> jax.Array:
        """`phi(u)`, with gradient zero (not NaN) where it vanishes."""
        features, _, pulled = args
        correlation = pulled.T @ self.family.response(point[:, None], features, width)[:, 0]
        squared = jnp.sum(correlation**2)
        alive = squared > 0
        return jnp.where(alive, jnp.sqrt(jnp.where(alive, squared, 1)), 0)

    def signature(self, point: jax.Array, *args: jax.Array) -> jax.Array:
        """What the neuron adds to the outputs, `v s(u . g_i)`: blind to symmetries of its weights.

        `(c n,)`, sample by sample.
        """
        features, _, pulled = args
        response = self.family.response(point[:, None], features)
        correlation = response.T @ pulled
        size = jnp.linalg.norm(correlation)
        return jnp.ravel(response * (correlation / jnp.where(size > 0, size, 1)))

    def settle(
        self, point: jax.Array, width: jax.Array, *args: jax.Array
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """On its kinks, with the Clarke residual, see `clarke.settle`."""
        features, _, pulled = args
        return clarke.settle(self.family.activation, point, width, features, pulled)  # type: ignore[attr-defined]


@dataclass(frozen=True)
class ShareLandscape:
    """`||B^T P r_u|| / ||P r_u||`: the root of what one neuron explains of B beside given columns.

    P projects them out; B is orthogonal to them already. Its arguments are those of
    `NeuronLandscape` and an orthonormal basis of the columns, `(n, q)`, zero where there are fewer.
    The NCF itself prefers neurons that are large on the data: of products of any order n > 2 the
    powers of one projection, whatever the target.
    """

    family: NeuronFamily

    def climb(
        self, columns: jax.Array, *args: jax.Array, width: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array]:
        """Values and gradients at columns u; zero where nothing but rounding is left of a neuron.

        Scaling u changes no value: continued off the sphere with the degree of the NCF, so that KKT
        residuals mean the same.
        """
        features, transposed, pulled, beside = args
        response, back = self.family.response_vjp(columns, features, transposed, width)
        rest = response - beside @ (beside.T @ response)
        size = jnp.linalg.norm(rest, axis=0)
        worth = size > LEFT * jnp.linalg.norm(response, axis=0)
        rest = rest / jnp.where(worth, size, 1)
        correlation = jnp.where(worth, pulled.T @ rest, 0)
        values = jnp.linalg.norm(correlation, axis=0)
        toward = pulled @ (correlation / jnp.where(values > 0, values, 1)) - values * rest
        tangent = back(jnp.where(worth, toward / jnp.where(worth, size, 1), 0))
        return values, tangent + self.family.degree * values * columns


@jax.jit
def _sizes(features: jax.Array, pulled: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The largest entries, 1 for matrices of zeros."""
    largest = jnp.max(jnp.abs(features)), jnp.max(jnp.abs(pulled))
    return jax.tree.map(lambda size: jnp.where(size > 0, size, 1), largest)


@partial(jax.jit, static_argnums=0)
def _outgoing(
    family: NeuronFamily, points: jax.Array, features: jax.Array, pulled: jax.Array
) -> jax.Array:
    """Unit `B^T s(G u)` of every row u; the first axis where it vanishes."""
    correlation = family.response(points.T, features).T @ pulled
    size = jnp.linalg.norm(correlation, axis=1, keepdims=True)
    first = jnp.zeros_like(correlation).at[:, 0].set(1)
    return jnp.where(size > 0, correlation / jnp.where(size > 0, size, 1), first)


@partial(jax.jit, static_argnums=0)
def correlation_scale(family: NeuronFamily, features: jax.Array, pulled: jax.Array) -> jax.Array:
    """A bound on `phi(u)` of the size it has where B and the responses line up.

    `||B||_F` times the root sum of squares of `||g(x_i)||^p`; a value far below it, at rounding, is
    a correlation that vanishes.
    """
    sizes = jnp.linalg.norm(features, axis=1) ** family.degree.astype(features.dtype)
    return jnp.linalg.norm(pulled) * jnp.linalg.norm(sizes)
