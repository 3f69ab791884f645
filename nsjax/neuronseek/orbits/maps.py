"""Unimodal maps of [0, 1] made by polynomial neurons and a common activation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import special

from nsjax import _check
from nsjax.neuronseek.activations import golu

if TYPE_CHECKING:
    from jaxtyping import Array, Float

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "relu": jax.nn.relu,
    "sine": jnp.sin,
    "sigmoid": jax.nn.sigmoid,
    "tanh": jnp.tanh,
    "softplus": jax.nn.softplus,
    "silu": jax.nn.silu,
    "gelu": partial(jax.nn.gelu, approximate=False),
    "golu": golu,
}
"""Activations of the maps by name."""
_HOST: dict[str, Callable[[Any], Any]] = {
    "relu": lambda t: np.maximum(t, 0.0),
    "sine": np.sin,
    "sigmoid": special.expit,
    "tanh": np.tanh,
    "softplus": lambda t: np.logaddexp(0.0, t),
    "silu": lambda t: t * special.expit(t),
    "gelu": lambda t: t * special.ndtr(t),
    "golu": lambda t: t * np.exp(-np.exp(-t)),
}
"""The same in NumPy: coefficients are float64 whatever the precision of JAX, and at import nothing
runs on a device. With coefficients of float32 a map is not quite onto, and orbits are not dense."""
SMALLEST = 2.0**-50
"""Distance from 0 and 1 to which an orbit is put back: some roundings of a number near 1."""


@dataclass(frozen=True)
class NeuronMap:
    """A map of [0, 1]: `T(x) = offset + sum_j readout_j s(h_j(x))`, h_j polynomial neurons.

    T iterated m times is a network of depth m whose parameters are those of one layer. Frozen and
    hashable; applied elementwise to arrays.

    Attributes:
        neurons: of each neuron the coefficients `c_0, c_1, ...` of `h(x) = sum_k c_k x^k`.
        activation: name of s, one of `ACTIVATIONS`.
        peak: where T is largest.
        readout: a factor for each neuron.
        offset: added to all.

    Raises:
        TypeError, ValueError: for an unknown activation, no neuron, and a wrong number of factors.

    >>> print(NeuronMap(((0.0, 4.0, -4.0),), "relu", 0.5)(jnp.array(0.25)))
    0.75
    """

    neurons: tuple[tuple[float, ...], ...]
    activation: str
    peak: float
    readout: tuple[float, ...] = (1.0,)
    offset: float = 0.0

    def __post_init__(self) -> None:
        _check.choice("activation", self.activation, tuple(ACTIVATIONS))
        if not self.neurons or not all(self.neurons):
            raise ValueError(f"neurons must have coefficients each, got {self.neurons!r}")
        for name, numbers in (
            *((f"neurons[{i}]", each) for i, each in enumerate(self.neurons)),
            ("readout", self.readout),
            ("offset", (self.offset,)),
        ):
            if not isinstance(numbers, tuple):
                raise TypeError(f"{name} must be a tuple of numbers, got {numbers!r}")
            for number in numbers:
                _check.real(name, number)
        if len(self.readout) != len(self.neurons):
            raise ValueError(
                f"readout must have {len(self.neurons)} factors, one for each neuron, got "
                f"{len(self.readout)}"
            )
        if not 0 < _check.positive("peak", self.peak) < 1:
            raise ValueError(f"peak must lie between 0 and 1, got {self.peak!r}")

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """Values at x of any shape."""
        activation = ACTIVATIONS[self.activation]
        values = [
            factor * activation(polynomial(neuron, x))
            for factor, neuron in zip(self.readout, self.neurons, strict=True)
        ]
        return sum(values[1:], values[0]) + self.offset

    def slope(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """Derivative at x of any shape, by automatic differentiation."""
        return jnp.vectorize(jax.grad(self))(x)


def polynomial(coefficients: Sequence[float], x: Float[Array, "..."]) -> Float[Array, "..."]:
    """`sum_k c_k x^k` by Horner's rule."""
    value = jnp.full_like(x, coefficients[-1])
    for c in reversed(coefficients[:-1]):
        value = value * x + c
    return value


def full(powers: Sequence[float], activation: str) -> NeuronMap:
    """The map of [0, 1] onto itself that one polynomial neuron and an activation make.

    `T(x) = (s(h(x)) - s(h(0))) / (s(h(c)) - s(h(0)))`, c where h is largest.

    Args:
        powers: coefficients `c_1, c_2, ...` of `h(x) = sum_k c_k x^k`; they sum to 0, so that
            h(0) = h(1), and h has one critical point between, a maximum.
        activation: name of s, one of `ACTIVATIONS`; it increases on the values of h.

    Raises:
        ValueError: if that is not so.

    >>> full((1.0, -1.0), "relu").readout
    (4.0,)
    """
    coefficients = (0.0, *(_check.real("powers", c) for c in powers))
    h: Any = np.polynomial.Polynomial(coefficients)
    if abs(h(1.0)) > 1e-12 * sum(map(abs, coefficients)):
        raise ValueError(f"powers must sum to 0, so that h(0) = h(1), got {tuple(powers)!r}")
    roots = h.deriv().roots()
    inside = [r.real for r in roots if abs(r.imag) < 1e-12 and 1e-9 < r.real < 1 - 1e-9]
    if len(inside) != 1 or h(inside[0]) <= 0:
        raise ValueError(
            f"powers must give one critical point in (0, 1), a maximum, got {tuple(powers)!r} "
            f"with critical points {inside}"
        )
    peak = float(inside[0])
    s = _HOST[_check.choice("activation", activation, tuple(ACTIVATIONS))]
    values = s(np.linspace(0.0, h(peak), 1001))
    if not (np.diff(values) > 0).all():
        raise ValueError(f"activation must increase on [0, {h(peak):g}], {activation!r} does not")
    scale = 1 / float(values[-1] - values[0])
    return NeuronMap((coefficients,), activation, peak, (scale,), -float(values[0]) * scale)


def check_map(map: Any) -> NeuronMap:
    """Return `map` if it is one."""
    if not isinstance(map, NeuronMap):
        raise TypeError(f"map must be a NeuronMap, got {map!r}")
    return map


def tent(slope: float = 2.0) -> NeuronMap:
    """`slope min(x, 1 - x)` by two ReLU neurons, `slope (relu(x) - 2 relu(x - 1/2))`.

    Raises:
        TypeError, ValueError: for a slope that is not positive.

    >>> tent()(jnp.array([0.25, 0.75])).tolist()
    [0.5, 0.5]
    """
    slope = _check.positive("slope", slope)
    return NeuronMap(((0.0, 1.0), (-0.5, 1.0)), "relu", 0.5, (slope, -2 * slope))


def logistic(rate: float = 4.0) -> NeuronMap:
    """`rate x (1 - x)`: one neuron of order two and a ReLU.

    Raises:
        TypeError, ValueError: for a rate that is not positive.

    >>> logistic()(jnp.array([0.25, 0.5])).tolist()
    [0.75, 1.0]
    """
    rate = _check.positive("rate", rate)
    return NeuronMap(((0.0, rate, -rate),), "relu", 0.5)


TENT = tent()
"""`1 - |2x - 1|`: exact orbits, uniform density."""
LOGISTIC = logistic()
"""`4x(1 - x)`: conjugate to the tent, exact orbits."""
MAPS: dict[str, NeuronMap] = {
    "tent": TENT,
    "logistic": LOGISTIC,
    "cubic": full((1.0, 0.0, -1.0), "relu"),
    "sine": NeuronMap(((0.0, float(np.pi)),), "sine", 0.5),
    "sigmoid": full((8.0, -8.0), "sigmoid"),
    "tanh": full((8.0, -8.0), "tanh"),
    "softplus": full((8.0, -8.0), "softplus"),
    "silu": full((8.0, -8.0), "silu"),
    "gelu": full((8.0, -8.0), "gelu"),
    "golu": full((8.0, -8.0), "golu"),
}
"""Maps of [0, 1] onto itself by name: the neurons of all but the tent, the cubic and the sine are
quadratic, with the peak at 1/2."""


class Shape(NamedTuple):
    """What of a map the theorems on dense orbits assume.

    Attributes:
        ends: the larger of |T(0)| and |T(1)|.
        top: `|T(peak) - 1|`.
        monotone: whether T increases up to its peak and decreases beyond, on a grid.
        slope: T'(0).
        schwarzian: largest `T'''/T' - 3/2 (T''/T')^2` on the grid.
        least: smallest |T'| on the grid.
    """

    ends: float
    top: float
    monotone: bool
    slope: float
    schwarzian: float
    least: float

    @property
    def dense(self) -> bool:
        """Whether almost every orbit is dense: see `shape`."""
        onto = max(self.ends, self.top) < 1e-12 and self.monotone
        return onto and self.slope > 1 and (self.schwarzian < 0 or self.least > 1)


def shape(map: NeuronMap, *, points: int = 1000) -> Shape:
    """Measure what the theorems on unimodal maps assume.

    Let `T(0) = T(1) = 0` and `T(peak) = 1`. If |T'| stays above 1 the map is exact, and so mixing,
    for an invariant density (Lasota and Yorke). If T is C^3 with negative Schwarzian derivative and
    T'(0) > 1, it is conjugate to the tent map (Guckenheimer) and has an invariant density
    (Misiurewicz: the critical orbit ends in the repelling fixed point 0), for which it is exact,
    too. A grid shows the sign of the Schwarzian derivative, and does not prove it.

    Args:
        map: the map.
        points: size of the grid.

    Raises:
        TypeError, ValueError: for what is no `NeuronMap`, and a bad size.
    """
    check_map(map)
    points = _check.positive_integer("points", points)
    values = np.asarray(map(jnp.array([0.0, 1.0, map.peak])))
    grid = (np.arange(points) + 0.5) / points
    grid = grid[np.abs(grid - map.peak) > 1e-6]
    first, second, third = (np.asarray(jax.vmap(f)(jnp.asarray(grid))) for f in _derivatives(map))
    return Shape(
        ends=float(np.max(np.abs(values[:2]))),
        top=float(abs(values[2] - 1)),
        monotone=bool(np.where(grid < map.peak, first > 0, first < 0).all()),
        slope=float(map.slope(jnp.asarray(SMALLEST))),  # at 0 itself a ReLU has none
        schwarzian=float(np.max(third / first - 1.5 * (second / first) ** 2)),
        least=float(np.min(np.abs(first))),
    )


def _derivatives(map: NeuronMap) -> tuple[Callable, Callable, Callable]:
    first = jax.grad(map)
    second = jax.grad(first)
    return first, second, jax.grad(second)


@partial(jax.jit, static_argnames=("map", "steps", "inside"))
def _orbit(map: NeuronMap, starts: jax.Array, steps: int, inside: bool) -> jax.Array:
    def step(x: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
        x = map(x)
        x = jnp.clip(x, SMALLEST, 1 - SMALLEST) if inside else x
        return x, x

    return jax.lax.scan(step, starts, length=steps, unroll=8)[1]


def float_orbits(
    map: NeuronMap, starts: Float[Array, " k"], steps: int, *, inside: bool = True
) -> Float[Array, "k m"]:
    """Orbits `x, T x, ..., T^steps x` in floating point, `(k, steps + 1)`.

    An expanding map doubles a rounding error at every step: after 52 steps of float64 this is an
    orbit with noise, and no more that of its start.

    Args:
        map: the map.
        starts: where the orbits begin.
        steps: number of steps.
        inside: keep points away from 0 and 1 by `SMALLEST`. A point that is rounded to 1 would be 0
            ever after.

    Raises:
        TypeError, ValueError: for starts that are no vector in [0, 1], and bad steps.
    """
    check_map(map)
    starts = _check.vector("starts", starts, np.size(starts))
    if not bool(((starts >= 0) & (starts <= 1)).all()):
        raise ValueError("starts must lie in [0, 1], got a start outside")
    rest = _orbit(map, starts, _check.positive_integer("steps", steps), inside)
    return jnp.concatenate([starts[:, None], rest.T], axis=1)
