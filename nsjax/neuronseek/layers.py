"""Layers of task-driven neurons: flax modules whose neurons have the terms of a formula.

A layer of such neurons is a plain layer of more features: powers of the inputs, products of
projections and functions of projections, `phi(x)`. All terms together are one matrix product, or a
convolution, of `phi(x)`, whose kernel has a block for every term. A convolution of many channels
costs more than in proportion, for they leave the cache, so it is a sum over blocks of terms.
"""

from __future__ import annotations

import functools
import math
import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from nsjax import _check
from nsjax.networks.bases import basis
from nsjax.neuronseek.canonical import unit_factors
from nsjax.neuronseek.formula import Formula

if TYPE_CHECKING:
    from jaxtyping import Array, Float

HIGHER = 1e-3
"""Standard deviation of the first kernels of all terms but the linear one."""
CHANNELS = 16
"""Channels at which a block of neighbouring terms is full: the next begin another convolution."""


@dataclass(frozen=True)
class LayerTerms:
    """Which terms the neurons of a layer have: frozen and hashable.

    Attributes:
        powers: pairs `(k, c_k)` of orders of elementwise powers `c_k W_k x^k`.
        interactions: triples `(n, R, c)` of orders n >= 2 of products of n projections, how many of
            them the neurons of the layer share, and their coefficient.
        bases: triples `(name, R, c)` of registered functions of R projections.

    Raises:
        TypeError, ValueError: for bad orders, ranks, coefficients and names, and for no term.

    >>> LayerTerms(powers=((1, 1.0), (2, 0.5))).count
    2
    """

    powers: tuple[tuple[int, float], ...] = ((1, 1.0),)
    interactions: tuple[tuple[int, int, float], ...] = ()
    bases: tuple[tuple[str, int, float], ...] = ()

    def __post_init__(self) -> None:
        powers = [
            (_check.positive_integer("orders in powers", k), _coefficient(c))
            for k, c in _tuples("powers", self.powers, 2)
        ]
        interactions = [
            (
                _check.positive_integer("orders in interactions", n),
                _check.positive_integer("ranks in interactions", r),
                _coefficient(c),
            )
            for n, r, c in _tuples("interactions", self.interactions, 3)
        ]
        bases = [
            (basis(name).name, _check.positive_integer("ranks in bases", r), _coefficient(c))
            for name, r, c in _tuples("bases", self.bases, 3)
        ]
        if any(n < 2 for n, _, _ in interactions):
            raise ValueError(f"interactions must have orders >= 2, got {self.interactions}")
        for name, found in (("powers", powers), ("interactions", interactions), ("bases", bases)):
            if len({each[0] for each in found}) < len(found):
                raise ValueError(f"{name} must not repeat a term, got {getattr(self, name)}")
            object.__setattr__(self, name, tuple(sorted(found)))
        if not self.count:
            raise ValueError("a layer must have powers, interactions or bases, got none")

    @classmethod
    def of(cls, formula: Formula, *, least: float = 0.0) -> LayerTerms:
        """The terms of a formula, for layers with any numbers of inputs and features.

        Coefficients are the norms of the formula's weights for each power, and of its coefficients
        for each order of products and each function, over the largest of them: kernels are new, and
        what is left of a formula is how its terms compare. A formula in standardised units says
        most. Ranks are those of the formula.

        Args:
            formula: such as that of a `Search`.
            least: terms whose coefficient is below are left out.

        Raises:
            ValueError: for a formula without terms.
        """
        least = _check.non_negative("least", least)
        neuron = formula.neuron
        size: dict[tuple[str, Any], Any] = {
            **{("power", k): np.linalg.norm(w) for k, w in neuron.powers.items()},
            **{
                ("product", n): np.linalg.norm(unit_factors(t, 0.0).coefficients)
                for n, t in neuron.interactions.items()
            },
            **{("basis", g): np.linalg.norm(t.coefficients) for g, t in neuron.bases.items()},
        }
        largest = max(size.values(), default=0.0)
        if not largest > 0:
            raise ValueError(f"formula must have terms, got {formula}")
        shares = {place: float(each / largest) for place, each in size.items()}

        def kept(kind: str, streams: dict[Any, Any]) -> list[Any]:
            return [k for k in streams if shares[kind, k] > 0 and shares[kind, k] >= least]

        return cls(
            tuple((k, shares["power", k]) for k in kept("power", neuron.powers)),
            tuple(
                (n, neuron.interactions[n].factors.shape[1], shares["product", n])
                for n in kept("product", neuron.interactions)
            ),
            tuple(
                (g, neuron.bases[g].factors.shape[1], shares["basis", g])
                for g in kept("basis", neuron.bases)
            ),
        )

    def equal(self) -> LayerTerms:
        """The same terms with coefficients 1."""
        return LayerTerms(
            tuple((k, 1.0) for k, _ in self.powers),
            tuple((n, r, 1.0) for n, r, _ in self.interactions),
            tuple((name, r, 1.0) for name, r, _ in self.bases),
        )

    @property
    def count(self) -> int:
        """Number of terms, each with a kernel of its own."""
        return len(self.powers) + len(self.interactions) + len(self.bases)

    @property
    def coefficients(self) -> tuple[float, ...]:
        """Coefficients of all terms, powers first."""
        together: tuple[Any, ...] = (*self.powers, *self.interactions, *self.bases)
        return tuple(each[-1] for each in together)

    def widths(self, inputs: int) -> tuple[int, ...]:
        """Numbers of features of all terms, powers first, for d inputs."""
        return (
            *(inputs for _ in self.powers),
            *(r for _, r, _ in self.interactions),
            *(r for _, r, _ in self.bases),
        )


class Features(nn.Module):
    """`phi(x)`: what every term makes of the inputs, side by side along the last axis.

    Attributes:
        terms: which terms.
        trainable: whether coefficients are parameters; else they stay as the terms say.
        limit: size of an input up to which its powers are what they say, and of a projection up to
            which a product is. Beyond it growth is linear: of `x^k` all factors but one are cut off
            at the limit; a product of projections whose largest is s times the limit is s times
            that of the projections over s. None for no limit. Functions have none.
        normalise: whether the features of each term are divided by their root mean square; of a
            single feature the sign is left.
        dtype: of the computation; that of inputs and parameters by default.
        param_dtype: of the parameters.
    """

    terms: LayerTerms
    trainable: bool = False
    limit: float | None = 3.0
    normalise: bool = False
    dtype: Any = None
    param_dtype: Any = jnp.float32
    precision: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, "... d"]) -> Float[Array, "... m"]:
        """Features `(..., m)` of inputs `(..., d)`."""
        if not isinstance(self.terms, LayerTerms):
            raise TypeError(f"terms must be LayerTerms, got {self.terms!r}")
        if self.limit is not None:
            _check.positive("limit", self.limit)
        d, terms = x.shape[-1], self.terms
        start = nn.initializers.normal(1 / math.sqrt(d))
        factors = [
            self.param(f"factors_{name}", start, (order, d, rank), self.param_dtype)
            for name, order, rank in (
                *((f"{n}", n, rank) for n, rank, _ in terms.interactions),
                *((name, 1, rank) for name, rank, _ in terms.bases),
            )
        ]
        coefficients = jnp.asarray(terms.coefficients, self.param_dtype)
        if self.trainable:
            coefficients = self.param("coefficients", lambda _, c=coefficients: c)
        x, coefficients, *factors = nn.dtypes.promote_dtype(
            x, coefficients, *factors, dtype=self.dtype
        )
        cut = x if self.limit is None else jnp.clip(x, -self.limit, self.limit)
        found = [x if k == 1 else x * cut ** (k - 1) for k, _ in terms.powers]
        count = len(terms.interactions)
        for each in factors[:count]:
            projections = [jnp.matmul(x, u, precision=self.precision) for u in each]
            found.append(_product(projections, self.limit))
        for (name, _, _), each in zip(terms.bases, factors[count:], strict=True):
            projection = jnp.matmul(x, each[0], precision=self.precision)
            found.append(basis(name).function(projection))
        if self.normalise:
            found = [_normalised(each) for each in found]
        if self.trainable or set(terms.coefficients) != {1.0}:
            found = [each * c for each, c in zip(found, coefficients, strict=True)]
        return found[0] if len(found) == 1 else jnp.concatenate(found, axis=-1)


class TaskDense(nn.Module):
    """A dense layer of neurons `sum_k c_k W_k x^k + sum_n c_n V_n prod_m (U_nm x) + b`.

    Functions g add `c_g V_g g(U_g x)`. Like `flax.linen.Dense`, which it is for the terms of a
    linear formula.

    Attributes:
        features: number of neurons.
        terms: which terms they have, such as `LayerTerms.of(formula)`.
        use_bias: whether b is added.
        trainable: whether coefficients are trained; else they are fixed.
        limit: see `Features`.
        normalise: see `Features`.
        dtype, param_dtype, precision: as in flax.
        kernel_init, bias_init: in place of the initialisation below.

    Kernels of linear terms start with the variance `1 / (32 k n)`, with k the number of terms and n
    the fan-in of one; kernels of all others with a standard deviation of 0.001.

    Source: NeuronSeek (arXiv 2506.15715), second stage.

    >>> layer = TaskDense(4, LayerTerms(powers=((1, 1.0), (2, 1.0)), interactions=((2, 3, 1.0),)))
    >>> params = layer.init(jax.random.key(0), jnp.ones((1, 5)))["params"]
    >>> params["linear"]["kernel"].shape, params["phi"]["factors_2"].shape
    ((13, 4), (2, 5, 3))
    """

    features: int
    terms: LayerTerms
    use_bias: bool = True
    trainable: bool = False
    limit: float | None = 3.0
    normalise: bool = False
    dtype: Any = None
    param_dtype: Any = jnp.float32
    precision: Any = None
    kernel_init: Any = None
    bias_init: Any = nn.initializers.zeros_init()

    @nn.compact
    def __call__(self, x: Float[Array, "... d"]) -> Float[Array, "... features"]:
        """Outputs `(..., features)` of inputs `(..., d)`.

        Raises:
            TypeError, ValueError: for settings that are none, or inputs without an axis.
        """
        _check.positive_integer("features", self.features)
        if jnp.ndim(x) < 1:
            raise ValueError("x must have a last axis of inputs, got a scalar")
        return nn.Dense(self.features, **_linear(self, x.shape[-1]))(_features(self, x))


class TaskConv(nn.Module):
    """A convolution of task-driven neurons: powers of the channels, a kernel for every term.

    Products are of 1x1 convolutions, functions of such ones. Like `flax.linen.Conv`, which it is
    for the terms of a linear formula; without groups, masks and dilation of its inputs.

    Attributes:
        features: number of output channels.
        kernel_size, strides, padding, kernel_dilation: as in `flax.linen.Conv`.
        terms, use_bias, trainable, limit, normalise, dtype, param_dtype, precision, kernel_init,
            bias_init: as in `TaskDense`. What is padded is `phi(x)`: where padding is of zeros, a
            cosine sees 0 there, not 1.

    Source: NeuronSeek (arXiv 2506.15715), second stage.

    >>> layer = TaskConv(8, (3, 3), LayerTerms(powers=((1, 1.0), (3, 1.0))), strides=2)
    >>> jax.eval_shape(layer.init_with_output, jax.random.key(0), jnp.ones((1, 8, 8, 3)))[0].shape
    (1, 4, 4, 8)
    """

    features: int
    kernel_size: int | Sequence[int]
    terms: LayerTerms
    strides: int | Sequence[int] | None = 1
    padding: Any = "SAME"
    kernel_dilation: int | Sequence[int] | None = 1
    use_bias: bool = True
    trainable: bool = False
    limit: float | None = 3.0
    normalise: bool = False
    dtype: Any = None
    param_dtype: Any = jnp.float32
    precision: Any = None
    kernel_init: Any = None
    bias_init: Any = nn.initializers.zeros_init()

    @nn.compact
    def __call__(self, x: Float[Array, "... h w d"]) -> Float[Array, "... h2 w2 features"]:
        """Outputs of images `(..., height, width, channels)`.

        Raises:
            TypeError, ValueError: for settings that are none, or images of another rank than the
                kernel's.
        """
        _check.positive_integer("features", self.features)
        kernel = self.kernel_size
        sizes = kernel if isinstance(kernel, Sequence) else (kernel,)
        for size in sizes:
            _check.positive_integer("kernel_size", size)
        if jnp.ndim(x) <= len(sizes):
            raise ValueError(
                f"x must have {len(sizes)} axes of the kernel and one of channels, got shape "
                f"{jnp.shape(x)}"
            )
        return nn.Conv(
            self.features,
            self.kernel_size,
            strides=self.strides,
            padding=self.padding,
            kernel_dilation=self.kernel_dilation,
            conv_general_dilated=functools.partial(
                _convolution, _blocks(self.terms.widths(x.shape[-1]))
            ),
            **_linear(self, x.shape[-1]),
        )(_features(self, x))


def kernel_init(terms: LayerTerms, inputs: int) -> Any:
    """Initialisation of kernels `(..., m, features)` of the features of d inputs.

    The block of the linear term has the standard deviation `sqrt(1 / (32 k n))`, with k the number
    of terms and n its fan-in; the others `HIGHER`. The paper leaves k and n undefined.
    """

    def init(key: jax.Array, shape: Sequence[int], dtype: Any = jnp.float32) -> jax.Array:
        fan_in = inputs * math.prod(shape[:-2])
        linear = math.sqrt(1 / (32 * terms.count * fan_in))
        orders = [k for k, _ in terms.powers] + [0] * (terms.count - len(terms.powers))
        sizes = [linear if order == 1 else HIGHER for order in orders]
        scale = np.repeat(sizes, terms.widths(inputs))
        return jax.random.normal(key, shape, dtype) * jnp.asarray(scale[:, None], dtype)

    return init


def _linear(layer: Any, inputs: int) -> dict[str, Any]:
    """What dense layers and convolutions have in common."""
    names = ("use_bias", "dtype", "param_dtype", "precision", "bias_init")
    start = layer.kernel_init or kernel_init(layer.terms, inputs)
    return {name: getattr(layer, name) for name in names} | {"kernel_init": start, "name": "linear"}


def _blocks(widths: Sequence[int]) -> tuple[int, ...]:
    """Channels of blocks of neighbouring terms, each of at least `CHANNELS` but for the last."""
    sizes = [0]
    for width in widths:
        if sizes[-1] >= CHANNELS:
            sizes.append(0)
        sizes[-1] += width
    return tuple(sizes)


def _convolution(
    blocks: tuple[int, ...], images: jax.Array, kernel: jax.Array, *args: Any, **options: Any
) -> jax.Array:
    """`lax.conv_general_dilated`, summed over blocks of channels."""
    edges = np.cumsum(blocks)[:-1]
    parts = zip(jnp.split(images, edges, -1), jnp.split(kernel, edges, -2), strict=True)
    sums = [jax.lax.conv_general_dilated(*each, *args, **options) for each in parts]
    return functools.reduce(jnp.add, sums)


def _features(layer: Any, x: jax.Array) -> jax.Array:
    names = ("terms", "trainable", "limit", "normalise", "dtype", "param_dtype", "precision")
    return Features(**{name: getattr(layer, name) for name in names}, name="phi")(x)


def _product(factors: Sequence[jax.Array], limit: float | None) -> jax.Array:
    """Their product, of linear growth where the largest of them is beyond the limit."""
    if limit is None:
        return math.prod(factors[1:], start=factors[0])
    largest = functools.reduce(jnp.maximum, [jnp.abs(each) for each in factors])
    excess = jnp.maximum(1, largest / limit)
    return excess * math.prod(each / excess for each in factors)


def _normalised(x: jax.Array) -> jax.Array:
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    square = jnp.mean(wide**2, axis=-1, keepdims=True)
    return (wide / jnp.sqrt(square + 1e-6)).astype(x.dtype)


def _coefficient(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
        raise ValueError(f"coefficients must be finite numbers, got {value!r}")
    return float(value)


def _tuples(name: str, value: Any, length: int) -> list[tuple]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise TypeError(f"{name} must be a tuple of tuples, got {value!r}")
    found = []
    for each in value:
        if not isinstance(each, Sequence) or isinstance(each, str) or len(each) != length:
            raise ValueError(f"{name} must have tuples of {length}, got {each!r}")
        found.append(tuple(each))
    return found
