"""Polynomials of which every term is known: powers of the inputs, and products of projections."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp

from nsjax import _check
from nsjax.data.synthetic import gaussian, uniform

if TYPE_CHECKING:
    from jax.typing import DTypeLike
    from jaxtyping import Array, Float

LAWS = {"gaussian": gaussian, "uniform": uniform}
FUNCTIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "sine": jnp.sin,
    "cosine": jnp.cos,
    "bell": lambda t: jnp.exp(-(t**2)),
    "absolute": jnp.abs,
    "step": jnp.sign,
}
"""Functions of one projection in `POLYNOMIALS`; "absolute" and "step" are no bases of a neuron."""


class Polynomial(NamedTuple):
    """A known function, laid out as the parameters of a CP-polynomial neuron are; callable.

    `h(x) = bias + sum_k w_k . x^k + sum_n sum_r c_{n,r} prod_m (u_{n,m,r} . x) + sum_g sum_r
    c_{g,r} g(u_{g,r} . x)`

    Attributes:
        bias: `(c,)`.
        powers: weights `(c, d)` of the elementwise powers `x^k`, by k.
        interactions: by order n >= 2, coefficients `(c, R)` and factors `(n, R, d)` of norm 1.
        bases: by name of a function of one projection, coefficients `(c, R)` and factors
            `(1, R, d)`, whose norms are frequencies.
    """

    bias: Any
    powers: dict[int, Any]
    interactions: dict[int, tuple[Any, Any]]
    bases: dict[str, tuple[Any, Any]]

    def __call__(self, x: Float[Array, "n d"]) -> Float[Array, "n c"]:
        """Values without noise, also on inputs that were not drawn with it."""
        values = self.bias + jnp.zeros((len(x), 1), x.dtype)
        for k, weights in self.powers.items():
            values += jax.lax.integer_pow(x, k) @ weights.T
        for coefficients, factors in self.interactions.values():
            products = jnp.prod(jnp.einsum("id,mrd->imr", x, factors), axis=1)
            values += products @ coefficients.T
        for name, (coefficients, factors) in self.bases.items():
            values += FUNCTIONS[name](x @ factors[0].T) @ coefficients.T
        return values


@dataclass(frozen=True)
class Recipe:
    """How a polynomial of `POLYNOMIALS` is made.

    Attributes:
        formula: in words of the field; `Ik` is a product of k random projections of norm 1.
        powers: by order k, the weight of every `x_i^k`; or weights of some inputs, by their number;
            or None for a random direction of norm 1 times a random coefficient, see below.
        interactions: by order n, the coefficient of each term and the rank, the number of terms;
            None for a random coefficient, of either sign and uniform in [1/2, 3/2] in size.
        bases: by name of a function g, coefficient and frequency f of the term `g(f u . x)`, u a
            random direction of norm 1 or, without a frequency (None), `g(x0)`.
        inputs: law of the inputs: standard normal or uniform on [-1, 1].
        standardised: whether the values are given mean 0 and standard deviation 1.
    """

    formula: str
    powers: Mapping[int, float | Mapping[int, float] | None] = field(default_factory=dict)
    interactions: Mapping[int, tuple[float | None, int]] = field(default_factory=dict)
    bases: Mapping[str, tuple[float, float | None]] = field(default_factory=dict)
    inputs: str = "gaussian"
    standardised: bool = True

    @property
    def least(self) -> int:
        """Smallest number of inputs: those that it names, or 1."""
        named = [max(each) for each in self.powers.values() if isinstance(each, Mapping)]
        return 1 + max(named, default=0)


class PolynomialData(NamedTuple):
    """Samples of a known polynomial.

    Attributes:
        x: inputs `(n, d)`.
        y: targets `(n, c)`, with noise; or labels.
        clean: the same without noise.
        truth: the polynomial; of labels, that of the scores.
    """

    x: Any
    y: Any
    clean: Any
    truth: Polynomial


def _family(
    formula: str,
    powers: Mapping[int, float] | None = None,
    interactions: Mapping[int, float] | None = None,
) -> Recipe:
    terms = {order: (coefficient, 1) for order, coefficient in (interactions or {}).items()}
    return Recipe(formula, dict(powers or {}), terms)


POLYNOMIALS: Mapping[str, Recipe] = MappingProxyType(
    {
        "sparse": Recipe(
            "2.5 x0 + 3 x1^2 - 1.2 x2^3",
            powers={1: {0: 2.5}, 2: {1: 3.0}, 3: {2: -1.2}},
            inputs="uniform",
            standardised=False,
        ),
        "low-rank": Recipe(
            "c1 I1 + c2 I2 + c3 I3",
            powers={1: None},
            interactions={2: (None, 1), 3: (None, 1)},
            inputs="uniform",
            standardised=False,
        ),
        "dense": Recipe(
            "sum x + 1/2 sum x^2 + 1/4 sum x^3",
            powers={1: 1.0, 2: 0.5, 3: 0.25},
            inputs="uniform",
            standardised=False,
        ),
        "family-x2": _family("5 sum x^2", {2: 5.0}),
        "family-x3": _family("5 sum x^3", {3: 5.0}),
        "family-x1+x2": _family("10 sum x + 0.5 sum x^2", {1: 10.0, 2: 0.5}),
        "family-x2+x4": _family("5 sum x^2 + 0.5 sum x^4", {2: 5.0, 4: 0.5}),
        "family-x5": _family("5 sum x^5", {5: 5.0}),
        "family-I2": _family("5 I2", interactions={2: 5.0}),
        "family-I2+I3": _family("5 I2 + 5 I3", interactions={2: 5.0, 3: 5.0}),
        "family-I2+weak-I3": _family("8 I2 + 0.5 I3", interactions={2: 8.0, 3: 0.5}),
        "family-I2+I4": _family("5 I2 + 5 I4", interactions={2: 5.0, 4: 5.0}),
        "family-I4": _family("5 I4", interactions={4: 5.0}),
        "family-I5": _family("5 I5", interactions={5: 5.0}),
        "family-x2+I2": _family("5 sum x^2 + 5 I2", {2: 5.0}, {2: 5.0}),
        "family-x1+I2": _family("5 sum x + 5 I2", {1: 5.0}, {2: 5.0}),
        "family-x3+weak-I2": _family("5 sum x^3 + 0.5 I2", {3: 5.0}, {2: 0.5}),
        "family-weak-x2+I3": _family("0.5 sum x^2 + 5 I3", {2: 0.5}, {3: 5.0}),
        "family-x2+I3": _family("5 sum x^2 + 5 I3", {2: 5.0}, {3: 5.0}),
        "sine": Recipe("sin(3 u . x)", bases={"sine": (1.0, 3.0)}),
        "sine+polynomial": Recipe(
            "sin(3 u . x) + x0 + 0.5 x1^2",
            powers={1: {0: 1.0}, 2: {1: 0.5}},
            bases={"sine": (1.0, 3.0)},
        ),
        "cosine": Recipe("cos(2 u . x)", bases={"cosine": (1.0, 2.0)}),
        "bell": Recipe("exp(-(2 u . x)^2)", bases={"bell": (1.0, 2.0)}),
        "absolute": Recipe("|x0|", bases={"absolute": (1.0, None)}),
        "step": Recipe("sign(x0)", bases={"step": (1.0, None)}),
    }
)
"""Polynomials by name. The first three are those on which NeuronSeek (arXiv 2506.15715) is checked
first; the 15 families are the synthetic ones of its second version, and `family-I5` is one more;
the last six are functions of one projection, the last two of which no neuron has as a basis."""
FAMILIES = tuple(name for name in POLYNOMIALS if name.startswith("family-"))
"""Names of the 16 families, standardised, of standard normal inputs."""


def polynomial_task(
    key: jax.Array,
    name: str,
    samples: int,
    dimension: int,
    *,
    noise: float = 0.0,
    outputs: int = 1,
    dtype: DTypeLike | None = None,
) -> PolynomialData:
    """Samples of a polynomial of `POLYNOMIALS`.

    Args:
        key: PRNG key of inputs, random directions and noise.
        name: a key of `POLYNOMIALS`.
        samples: n.
        dimension: d, at least the number of inputs that the polynomial names.
        noise: standard deviation of normal noise, as a share of that of the values.
        outputs: c; with more than one, every output multiplies the coefficients by normal numbers
            of its own, and the directions are shared.
        dtype: of all arrays; JAX's default float if not given.

    Raises:
        TypeError, ValueError: for an unknown name, noise below 0, or sizes that are too small or no
            integers.

    >>> task = polynomial_task(jax.random.key(0), "sparse", 5, 4)
    >>> task.x.shape, task.y.shape, bool(jnp.allclose(task.truth(task.x), task.y))
    ((5, 4), (5, 1), True)
    """
    recipe = POLYNOMIALS[_check.choice("name", name, tuple(POLYNOMIALS))]
    return _samples(
        key, recipe, samples, dimension, what=name, noise=noise, outputs=outputs, dtype=dtype
    )


def interaction_task(
    key: jax.Array,
    ranks: Mapping[int, int],
    samples: int,
    dimension: int,
    *,
    noise: float = 0.0,
    dtype: DTypeLike | None = None,
) -> PolynomialData:
    """Interactions of given orders and ranks on standard normal inputs, each order of equal size.

    `sum_n s_n sum_r +-prod_m (u_{n,m,r} . x)` with random directions of norm 1 and random signs;
    every order's sum has standard deviation 1 on the samples, and so have the values.

    Args:
        key: PRNG key of inputs, random directions and noise.
        ranks: number of terms by order n; order 1 is the linear term, of rank 1.
        samples: n.
        dimension: d; from `2 R` on, R products of two random directions have rank R.
        noise, dtype: see `polynomial_task`.

    Raises:
        TypeError, ValueError: for no order, orders or ranks that are no positive integers, order 1
            of another rank than 1, and as `polynomial_task` does.

    >>> task = interaction_task(jax.random.key(0), {1: 1, 3: 2}, 50, 4)
    >>> task.truth.powers[1].shape, task.truth.interactions[3][1].shape
    ((1, 4), (3, 2, 4))
    """
    if not isinstance(ranks, Mapping) or not ranks:
        raise TypeError(f"ranks must be a mapping of orders to ranks, not empty, got {ranks!r}")
    for order, rank in ranks.items():
        _check.positive_integer("orders in ranks", order)
        _check.positive_integer(f"ranks[{order}]", rank)
    if ranks.get(1, 1) != 1:
        raise ValueError(f"ranks[1] must be 1, the linear term has no other, got {ranks[1]}")
    recipe = Recipe(
        formula=" + ".join(f"I{order}" for order in sorted(ranks)),
        powers={1: None} if 1 in ranks else {},
        interactions={order: (None, ranks[order]) for order in sorted(ranks) if order > 1},
    )
    return _samples(
        key, recipe, samples, dimension, what="ranks", noise=noise, dtype=dtype, equal=True
    )


def check_sizes(key: Any, samples: Any, dimension: Any, noise: Any, least: int, what: str) -> float:
    """The noise, if there are a key, samples and inputs enough for the target called `what`."""
    _check.key("key", key)
    if _check.positive_integer("dimension", dimension) < least:
        raise ValueError(
            f"dimension must be at least {least}, the inputs that {what} uses, got {dimension}"
        )
    if _check.positive_integer("samples", samples) < 2:
        raise ValueError(f"samples must be at least 2, to have a deviation, got {samples}")
    return _check.non_negative("noise", noise)


def noisy(key: jax.Array, x: jax.Array, truth: Polynomial, noise: float) -> PolynomialData:
    """Samples at x, with normal noise of this share of the values' standard deviation."""
    clean = truth(x)
    size = noise * jnp.std(clean, axis=0)
    y = clean + size * jax.random.normal(key, clean.shape, clean.dtype)
    return PolynomialData(x, y, clean, truth)


def polynomial_classes(
    key: jax.Array,
    name: str,
    samples: int,
    dimension: int,
    *,
    classes: int = 2,
    noise: float = 0.0,
    dtype: DTypeLike | None = None,
) -> PolynomialData:
    """Labels that a polynomial of `POLYNOMIALS` decides.

    Args:
        key, name, samples, dimension, dtype: see `polynomial_task`.
        classes: 2: labels -1 and 1, `(n, 1)`, the sign of the polynomial, standardised. More:
            one-hot rows `(n, classes)` of the largest of as many standardised outputs.
        noise: standard deviation of normal noise on the polynomial before labels are taken, as a
            share of its own.

    Raises:
        TypeError, ValueError: for fewer than two classes, and as `polynomial_task` does.

    >>> task = polynomial_classes(jax.random.key(0), "family-I2", 6, 3, classes=3)
    >>> task.y.shape, task.y.sum(axis=1).tolist()
    ((6, 3), [1.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    """
    recipe = POLYNOMIALS[_check.choice("name", name, tuple(POLYNOMIALS))]
    if _check.positive_integer("classes", classes) < 2:
        raise ValueError(f"classes must be at least 2, got {classes}")
    outputs = 1 if classes == 2 else classes
    task = _samples(
        key,
        recipe,
        samples,
        dimension,
        what=name,
        noise=noise,
        outputs=outputs,
        dtype=dtype,
        standardise=True,
    )

    def labels(scores: jax.Array) -> jax.Array:
        if outputs == 1:
            return jnp.where(scores < 0, -1, 1).astype(scores.dtype)
        return jax.nn.one_hot(jnp.argmax(scores, axis=1), classes, dtype=scores.dtype)

    return task._replace(y=labels(task.y), clean=labels(task.clean))


def _samples(
    key: jax.Array,
    recipe: Recipe,
    samples: int,
    dimension: int,
    *,
    what: str,
    noise: float,
    outputs: int = 1,
    dtype: DTypeLike | None = None,
    equal: bool = False,
    standardise: bool = False,
) -> PolynomialData:
    outputs = _check.positive_integer("outputs", outputs)
    noise = check_sizes(key, samples, dimension, noise, recipe.least, what)
    keys = jax.random.split(key, 4)
    x = LAWS[recipe.inputs](keys[0], samples, dimension, dtype=dtype)
    truth = _draw(keys[1], recipe, dimension, x.dtype)
    if equal:
        truth = _equal_orders(truth, x)
    if outputs > 1:
        truth = _for_outputs(keys[2], truth, outputs)
    if recipe.standardised or standardise:
        truth = _standardised(truth, x)
    return noisy(keys[3], x, truth, noise)


def _draw(key: jax.Array, recipe: Recipe, d: int, dtype: Any) -> Polynomial:
    """The polynomial of a recipe, with one output."""

    def at(*place: int) -> jax.Array:
        # A term's random numbers do not depend on which others there are.
        inner = key
        for number in place:
            inner = jax.random.fold_in(inner, number)
        return inner

    def directions(place: int, *shape: int) -> jax.Array:
        drawn = jax.random.normal(at(place, 0), (*shape, d), dtype)
        return drawn / jnp.linalg.norm(drawn, axis=-1, keepdims=True)

    def coefficients(place: int, given: float | None, rank: int) -> jax.Array:
        if given is not None:
            return jnp.full((1, rank), given, dtype)
        signs = jax.random.rademacher(at(place, 1), (1, rank), dtype)
        return signs * jax.random.uniform(at(place, 2), (1, rank), dtype, 0.5, 1.5)

    powers = {}
    for k, weights in recipe.powers.items():
        if weights is None:
            powers[k] = coefficients(k, None, 1) * directions(k, 1)
        elif isinstance(weights, Mapping):
            row = [weights.get(i, 0.0) for i in range(d)]
            powers[k] = jnp.array([row], dtype)
        else:
            powers[k] = jnp.full((1, d), weights, dtype)
    interactions = {
        n: (coefficients(100 + n, given, rank), directions(100 + n, n, rank))
        for n, (given, rank) in recipe.interactions.items()
    }
    bases = {}
    for i, (name, (size, frequency)) in enumerate(recipe.bases.items()):
        if frequency is None:
            factor = jnp.eye(1, d, dtype=dtype)[None]
        else:
            factor = frequency * directions(200 + i, 1, 1)
        bases[name] = (jnp.full((1, 1), size, dtype), factor)
    return Polynomial(jnp.zeros(1, dtype), powers, interactions, bases)


def _scaled(truth: Polynomial, size: Any) -> Polynomial:
    """All coefficients times `size`, a number or one for each output, `(c, 1)`."""

    def terms(all_: Mapping[Any, Any]) -> dict[Any, Any]:
        return {which: (size * c, factors) for which, (c, factors) in all_.items()}

    powers = {k: size * weights for k, weights in truth.powers.items()}
    return truth._replace(
        powers=powers, interactions=terms(truth.interactions), bases=terms(truth.bases)
    )


def _equal_orders(truth: Polynomial, x: jax.Array) -> Polynomial:
    """Every order's sum with standard deviation 1 on the samples."""
    alone = Polynomial(truth.bias, {}, {}, {})
    powers, interactions = {}, {}
    for k, weights in truth.powers.items():
        powers[k] = weights / jnp.std(alone._replace(powers={k: weights})(x))
    for n, (coefficients, factors) in truth.interactions.items():
        coefficients = jnp.sign(coefficients)
        size = jnp.std(alone._replace(interactions={n: (coefficients, factors)})(x))
        interactions[n] = (coefficients / size, factors)
    return truth._replace(powers=powers, interactions=interactions)


def _for_outputs(key: jax.Array, truth: Polynomial, outputs: int) -> Polynomial:
    """Several outputs, each with its own random share of every coefficient."""
    count = len(truth.powers) + len(truth.interactions) + len(truth.bases)
    keys = iter(jax.random.split(key, count))

    def own(coefficients: jax.Array) -> jax.Array:
        shape = (outputs, coefficients.shape[1])
        return coefficients * jax.random.normal(next(keys), shape, coefficients.dtype)

    return Polynomial(
        jnp.zeros(outputs, truth.bias.dtype),
        {k: own(weights) for k, weights in truth.powers.items()},
        {n: (own(c), factors) for n, (c, factors) in truth.interactions.items()},
        {name: (own(c), factors) for name, (c, factors) in truth.bases.items()},
    )


def _standardised(truth: Polynomial, x: jax.Array) -> Polynomial:
    values = truth(x)
    mean, spread = jnp.mean(values, axis=0), jnp.std(values, axis=0)
    if not bool(jnp.all(spread > 0)) or not math.isfinite(float(jnp.sum(spread))):
        raise ValueError(
            f"the polynomial must vary over the {len(x)} samples, got standard deviations "
            f"{spread.tolist()}"
        )
    return _scaled(truth, 1 / spread[:, None])._replace(bias=(truth.bias - mean) / spread)
