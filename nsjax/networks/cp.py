"""The CP-polynomial neuron: powers of the inputs, and products of their projections."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsjax import _check
from nsjax.networks.bases import basis

if TYPE_CHECKING:
    from jax.typing import DTypeLike
    from jaxtyping import Array, Float


class CPTerms(NamedTuple):
    """Terms `sum_r c_r prod_m (u_{m,r} . x)` of one order n, a CP decomposition of rank R.

    Attributes:
        coefficients: `c`, `(outputs, R)`.
        factors: `u`, `(n, R, d)`; for a basis n = 1 and the term is `c_r g(u_r . x)`.
    """

    coefficients: Any
    factors: Any


class CPNeuron(NamedTuple):
    """Parameters of a CP-polynomial neuron.

    Attributes:
        bias: `(outputs,)`.
        powers: the pure stream: weights `(outputs, d)` of the elementwise powers `x^k`, by k. Order
            1, the linear term, is counted here alone.
        interactions: the interaction stream: `CPTerms` by order n >= 2.
        bases: other functions of projections: `CPTerms` with one factor by the name of the basis.
    """

    bias: Any
    powers: dict[int, Any]
    interactions: dict[int, CPTerms]
    bases: dict[str, CPTerms]


@dataclass(frozen=True)
class Template:
    """Which terms a neuron has: frozen and hashable.

    Attributes:
        powers: orders k of the pure stream.
        interactions: orders n >= 2 of the interaction stream.
        rank: terms of every order and basis, R.
        bases: names of registered bases, see `register_basis`.

    Raises:
        TypeError, ValueError: for orders or a rank below 1, orders that repeat, interactions of
            order 1 (the linear term is a power), unknown bases, or no term at all.

    >>> Template(powers=(1, 3), interactions=(2,), rank=4).order
    3
    """

    powers: tuple[int, ...] = (1, 2, 3)
    interactions: tuple[int, ...] = (2, 3)
    rank: int = 5
    bases: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, least in (("powers", 1), ("interactions", 2)):
            orders = getattr(self, name)
            if isinstance(orders, str) or not isinstance(orders, Sequence):
                raise TypeError(f"{name} must be a tuple of orders, got {orders!r}")
            orders = tuple(_check.positive_integer(f"orders in {name}", order) for order in orders)
            if len(set(orders)) < len(orders):
                raise ValueError(f"{name} must not repeat an order, got {orders}")
            if orders and min(orders) < least:
                raise ValueError(
                    f"{name} must have orders >= {least} (order 1 is a power), got {orders}"
                )
            object.__setattr__(self, name, tuple(sorted(orders)))
        _check.positive_integer("rank", self.rank)
        if isinstance(self.bases, str) or not isinstance(self.bases, Sequence):
            raise TypeError(f"bases must be a tuple of names, got {self.bases!r}")
        for name in self.bases:
            basis(name)
        object.__setattr__(self, "bases", tuple(dict.fromkeys(self.bases)))
        if not (self.powers or self.interactions or self.bases):
            raise ValueError("a template must have powers, interactions or bases, got none")

    @property
    def order(self) -> int:
        """Largest order of its polynomial terms; 0 if it has none."""
        return max((*self.powers, *self.interactions), default=0)


def init(
    key: jax.Array,
    inputs: int,
    outputs: int = 1,
    *,
    template: Template | None = None,
    x: Any = None,
    dtype: DTypeLike | None = None,
) -> CPNeuron:
    """Draw a neuron each of whose streams, one for every order and basis, has unit variance.

    Args:
        key: PRNG key.
        inputs: d.
        outputs: c.
        template: which terms it has; the default `Template` if not given.
        x: inputs `(n, d)`, n >= 2, on which the variance of every stream is 1, summed over nothing:
            each output has it. Without them inputs are taken as standard normal, and the variance
            is 1 on average over the draw; for bases, up to the spread of `||u||` around 1.
        dtype: of the arrays; that of x, or JAX's default float, if not given.

    Returns:
        Factors with entries N(0, 1/d), so that projections of standardised inputs have unit
        variance at any d; coefficients scaled; zero bias.

    Raises:
        TypeError, ValueError: for sizes below 1 or bad inputs.

    >>> neuron = init(jax.random.key(0), 4, template=Template(powers=(1,), interactions=(2, 3)))
    >>> {order: terms.factors.shape for order, terms in neuron.interactions.items()}
    {2: (2, 5, 4), 3: (3, 5, 4)}
    """
    d = _check.positive_integer("inputs", inputs)
    c = _check.positive_integer("outputs", outputs)
    template = Template() if template is None else template
    if not isinstance(template, Template):
        raise TypeError(f"template must be a Template, got {type(template).__name__}")
    if x is not None:
        x = _check.matrix("x", x, columns=d)
        if len(x) < 2:
            raise ValueError(f"x must have at least 2 rows, for a variance, got {len(x)}")
    _check.key("key", key)
    dtype = _check.floating_dtype("dtype", x.dtype if dtype is None and x is not None else dtype)
    orders = {f"power {k}": k for k in template.powers}
    orders |= {f"interaction {n}": n for n in template.interactions}
    keys = iter(jax.random.split(key, 2 * (len(orders) + len(template.bases)) + 1))

    def normal(*shape: int) -> jax.Array:
        return jax.random.normal(next(keys), shape, dtype)

    def terms(order: int, variance: float) -> CPTerms:
        factors = normal(order, template.rank, d) / math.sqrt(d)
        return CPTerms(normal(c, template.rank) / math.sqrt(template.rank * variance), factors)

    neuron = CPNeuron(
        bias=jnp.zeros(c, dtype),
        powers={k: normal(c, d) / math.sqrt(d * _power_variance(k)) for k in template.powers},
        interactions={n: terms(n, _product_variance(n, d)) for n in template.interactions},
        bases={name: terms(1, _basis_variance(name)) for name in template.bases},
    )
    return neuron if x is None else _unit_variance(neuron, x.astype(dtype))


def apply(neuron: CPNeuron, x: Float[Array, "n d"]) -> Float[Array, "n c"]:
    """Outputs of the neuron, one matrix product per order; no tensor of order above 2 is formed.

    `h(x) = beta + sum_k w_k . x^k + sum_n sum_r c_{n,r} prod_m (u_{n,m,r} . x) + sum_g sum_r
    c_{g,r} g(u_{g,r} . x)`, with memory and work of order n R d for each order.

    Args:
        neuron: its parameters.
        x: inputs.

    Source: NeuronSeek (arXiv 2506.15715); `docs/mathematics.md`, section 7.

    >>> product = CPTerms(jnp.array([[2.0]]), jnp.array([[[1.0, 0.0]], [[0.0, 1.0]]]))
    >>> neuron = CPNeuron(jnp.zeros(1), {2: jnp.array([[1.0, 0.0]])}, {2: product}, {})
    >>> apply(neuron, jnp.array([[3.0, 4.0]])).tolist()  # x0^2 + 2 x0 x1
    [[33.0]]
    """
    return sum(streams(neuron, x).values(), neuron.bias + jnp.zeros((len(x), 1), x.dtype))


def streams(neuron: CPNeuron, x: Float[Array, "n d"]) -> dict[tuple[str, Any], jax.Array]:
    """What every stream adds to the outputs, `(n, outputs)`.

    Args:
        neuron, x: as in `apply`.

    Returns:
        Arrays by `("power", k)`, `("interaction", n)` and `("basis", name)`; with the bias they
        add up to `apply`.

    >>> neuron = CPNeuron(jnp.zeros(1), {1: jnp.array([[2.0]]), 2: jnp.array([[1.0]])}, {}, {})
    >>> {which: added.tolist() for which, added in streams(neuron, jnp.array([[3.0]])).items()}
    {('power', 1): [[6.0]], ('power', 2): [[9.0]]}
    """
    parts: dict[tuple[str, Any], jax.Array] = {}
    for k, weights in neuron.powers.items():
        parts["power", k] = jax.lax.integer_pow(x, k) @ weights.T
    for n, terms in neuron.interactions.items():
        parts["interaction", n] = products(terms, x) @ terms.coefficients.T
    for name, terms in neuron.bases.items():
        parts["basis", name] = products(terms, x, name) @ terms.coefficients.T
    return parts


def products(terms: CPTerms, x: Float[Array, "n d"], name: str | None = None) -> jax.Array:
    """Values of the terms without their coefficients, `(n, R)`.

    Args:
        terms: interactions of one order, or the terms of a basis.
        x: inputs `(n, d)`.
        name: that of the basis; None for interactions.

    >>> terms = CPTerms(jnp.ones((1, 1)), jnp.array([[[1.0, 0.0]], [[0.0, 1.0]]]))
    >>> products(terms, jnp.array([[3.0, 4.0]])).tolist()  # x0 x1
    [[12.0]]
    """
    order, rank, d = terms.factors.shape
    projections = x @ terms.factors.reshape(order * rank, d).T
    if name is not None:
        return basis(name).function(projections)
    return jnp.prod(projections.reshape(-1, order, rank), axis=1)


def normalize(neuron: CPNeuron) -> CPNeuron:
    """The function of `neuron` in a fixed gauge, in which a coefficient means something.

    Factors of interactions get norm 1 and a positive largest entry, and their norms and signs go
    into the coefficients. A term with a zero factor is zero: its coefficient becomes 0. The norm of
    a basis' factor is a frequency and stays; its sign moves into the coefficient where the basis is
    odd or even. Works under jit.

    >>> terms = CPTerms(jnp.array([[1.0]]), jnp.array([[[0.0, -2.0]], [[3.0, 0.0]]]))
    >>> fixed = normalize(CPNeuron(jnp.zeros(1), {}, {2: terms}, {})).interactions[2]
    >>> fixed.coefficients.tolist(), fixed.factors.tolist()
    ([[-6.0]], [[[0.0, 1.0]], [[1.0, 0.0]]])
    """
    return neuron._replace(
        interactions={n: _unit_factors(terms) for n, terms in neuron.interactions.items()},
        bases={name: _signed(terms, name) for name, terms in neuron.bases.items()},
    )


def parameters(neuron: CPNeuron) -> int:
    """Number of parameters, the gauge counted: `n R d + c R` for an order, `c d` for a power.

    Args:
        neuron: whose parameters.

    >>> parameters(CPNeuron(jnp.zeros(1), {1: jnp.ones((1, 5))}, {}, {}))  # with the bias
    6
    """
    return sum(leaf.size for leaf in jax.tree.leaves(neuron))


def _signs(factors: jax.Array) -> jax.Array:
    largest = jnp.argmax(jnp.abs(factors), axis=-1, keepdims=True)
    return jnp.where(jnp.take_along_axis(factors, largest, axis=-1) < 0, -1.0, 1.0).astype(
        factors.dtype
    )


def _unit_factors(terms: CPTerms) -> CPTerms:
    norms = jnp.linalg.norm(terms.factors, axis=-1, keepdims=True)
    sizes = norms * _signs(terms.factors)
    factors = terms.factors / jnp.where(norms > 0, sizes, 1)
    return CPTerms(terms.coefficients * jnp.prod(sizes[..., 0], axis=0), _plain_zeros(factors))


def _plain_zeros(array: jax.Array) -> jax.Array:
    """Negative zeros made positive; XLA would take away the addition of a zero."""
    return jnp.where(array == 0, 0, array)


def _signed(terms: CPTerms, name: str) -> CPTerms:
    odd = basis(name).odd
    if odd is None:
        return terms
    signs = _signs(terms.factors)
    coefficients = terms.coefficients * (signs[0, :, 0] if odd else 1)
    return CPTerms(coefficients, _plain_zeros(terms.factors * signs))


def _power_variance(k: int) -> float:
    """Variance of t^k for a standard normal t."""
    return math.prod(range(1, 2 * k, 2)) - (math.prod(range(1, k, 2)) ** 2 if k % 2 == 0 else 0)


def _product_variance(n: int, d: int) -> float:
    """Variance of a product of n projections of a standard normal x, on average over factors.

    Factors are N(0, 1/d): `E ||x||^(2n) / d^n` is the second moment. For even n the mean is a sum
    over the pairings of the factors, and two pairings have `d^(cycles of their union) / d^n`.
    """
    second = math.prod(1 + 2 * i / d for i in range(n))
    if n % 2:
        return second
    pairings = math.prod(range(1, n, 2))
    return second - pairings * math.prod((d + 2 * i) / d**2 for i in range(n // 2))


def _basis_variance(name: str) -> float:
    """Variance of a basis of a standard normal projection, by Gauss-Hermite quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(64)
    with jax.ensure_compile_time_eval():  # the neuron may be drawn under jit
        values = np.asarray(basis(name).function(jnp.asarray(nodes)), float)
    weights = weights / weights.sum()
    variance = float(weights @ values**2 - (weights @ values) ** 2)
    return variance if math.isfinite(variance) and variance > 0 else 1.0


def _unit_variance(neuron: CPNeuron, x: jax.Array) -> CPNeuron:
    spread = {place: jnp.std(part, axis=0)[:, None] for place, part in streams(neuron, x).items()}

    def scaled(weights: jax.Array, kind: str, which: Any) -> jax.Array:
        size = spread[kind, which]
        return weights / jnp.where(size > 0, size, 1)

    def terms(each: CPTerms, kind: str, which: Any) -> CPTerms:
        return each._replace(coefficients=scaled(each.coefficients, kind, which))

    return CPNeuron(
        neuron.bias,
        {k: scaled(weights, "power", k) for k, weights in neuron.powers.items()},
        {n: terms(each, "interaction", n) for n, each in neuron.interactions.items()},
        {name: terms(each, "basis", name) for name, each in neuron.bases.items()},
    )
