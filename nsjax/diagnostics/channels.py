"""Flat channels to infinity: pairs of neurons that merge while their outgoing weights diverge.

Two neurons of one layer with incoming weights `w_1, w_2` and outgoing weights `a_1, a_2` of
opposite signs go along a channel when `a_1 + a_2` stays finite, `|a_1 - a_2| = 1/eps` grows and
`w_1 - w_2` shrinks like eps. Their response tends to that of a gated unit,

    a_1 s(w_1.x) + a_2 s(w_2.x)  ->  c s(w.x) + (v.x) s'(w.x),

which no finite pair can give. What is here looks at weights; `nsjax.dynamics.follow_channel` asks
the loss whether a pair that looks like one is on its way to infinity.

Source: F. Martinelli et al., Flat channels to infinity in neural loss landscapes, NeurIPS 2025
(arXiv 2506.14951). `docs/flat_channels.md` has the expansion and the laws.
"""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsjax import _check
from nsjax.diagnostics.snapshots import weights_of
from nsjax.networks.homogeneous import Activation, Params, check_layer, features

if TYPE_CHECKING:
    from jaxtyping import Array, Float

_PARITY_POINTS = (0.3, 1.1, 2.7)
"""Where an activation is compared with its mirror image."""


@dataclass(frozen=True)
class ChannelRule:
    """When a pair counts as one in a channel.

    Attributes:
        distance: most `2 ||w_1 - w_2|| / (||w_1|| + ||w_2||)`.
        cancellation: most `||a_1 + a_2|| / (||a_1|| + ||a_2||)`.
        residual: most relative distance of the pair's response to the limit's, on the data.
        share: least share of the response that is the limit's derivative part `(v.x) s'(w.x)`.
            Copies of one neuron have none: with opposite signs they are a line of equal functions,
            and no channel.
        growth: least factor by which `1/eps` has grown, for the alarm of `watch_channels`.
        slope: most distance to -1 of the power of `||w_1 - w_2||` against `1/eps` over that growth.
        rate: least power of time by which `1/eps` still grows. Gradient flow in a channel has 1/4;
            on the way to a finite minimum the rate tends to zero.

    Raises:
        TypeError, ValueError: for what is no non-negative number, or a growth of at most 1.
    """

    distance: float = 0.2
    cancellation: float = 0.2
    residual: float = 0.05
    share: float = 0.05
    growth: float = 1.5
    slope: float = 0.3
    rate: float = 0.05

    def __post_init__(self) -> None:
        for name in ("distance", "cancellation", "residual", "share", "growth", "slope", "rate"):
            _check.non_negative(name, getattr(self, name))
        if self.growth <= 1:
            raise ValueError(f"growth must be above 1, got {self.growth!r}")


class ChannelLimit(NamedTuple):
    """The unit `c s(w.x) + (V x) s'(w.x)` that a pair tends to.

    Attributes:
        c: `(o,)`, sum of the outgoing weights.
        w: `(i,)`, where the incoming weights meet.
        v: `(o, i)`, one row for each output.
    """

    c: jax.Array
    w: jax.Array
    v: jax.Array


class Channels(NamedTuple):
    """Statistics of all P pairs of a layer; leading axes are those of the snapshots.

    Attributes:
        pairs: `(P, 2)`, neurons of the layer.
        distance: `(..., P)`, `2 ||w_1 - w_2|| / (||w_1|| + ||w_2||)`.
        gap: `(..., P)`, `||w_1 - w_2||`.
        growth: `(..., P)`, `1/eps = ||a_1 - a_2||`.
        cancellation: `(..., P)`, `||a_1 + a_2|| / (||a_1|| + ||a_2||)`.
        opposite: `(..., P)`, whether `<a_1, a_2> < 0`.
        residual: `(..., P)`, of the pair's response against that of its limit, relative.
        share: `(..., P)`, norm of the limit's derivative part over that of both parts.
        found: `(..., P)`, whether the pair meets the rule.
    """

    pairs: np.ndarray
    distance: np.ndarray
    gap: np.ndarray
    growth: np.ndarray
    cancellation: np.ndarray
    opposite: np.ndarray
    residual: np.ndarray
    share: np.ndarray
    found: np.ndarray


class ChannelWatch(NamedTuple):
    """What the monitor saw along m saves.

    Attributes:
        channels: statistics of every pair at every save, `(m, P)`.
        exponent: `(m, P)`, power of the gap against the growth since it was `rule.growth` times
            smaller; NaN where it never was, and for pairs that meet the rule at no save.
        rate: `(m, P)`, power of time by which the growth rose lately; NaN without times, and for
            pairs that meet the rule at no save.
        alarm: `(m, P)`, whether a pair is in a channel at that save.
        first: `(P,)`, first save of an alarm, -1 if there is none.
    """

    channels: Channels
    exponent: np.ndarray
    rate: np.ndarray
    alarm: np.ndarray
    first: np.ndarray

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Pairs that are in a channel at the last save."""
        return [(int(i), int(j)) for i, j in self.channels.pairs[self.alarm[-1]]]


def derivative(activation: Activation, t: Float[Array, " *shape"]) -> Float[Array, " *shape"]:
    """`s'(t)`, elementwise."""
    return jax.jvp(activation, (t,), (jnp.ones_like(t),))[1]


def parity(activation: Activation) -> int:
    """1 for an even activation, -1 for an odd one, 0 for neither, at three points.

    >>> parity(jnp.tanh), parity(jnp.square), parity(jax.nn.softplus)
    (-1, 1, 0)
    """
    t = jnp.asarray(_PARITY_POINTS)
    there, back = np.asarray(activation(t)), np.asarray(activation(-t))
    size = 8 * np.finfo(there.dtype).eps * np.max(np.abs(there))
    for sign in (1, -1):
        if np.max(np.abs(back - sign * there)) <= size:
            return sign
    return 0


def channel_limit(
    params: Any, pair: Any, *, layer: int = 1, activation: Activation | None = None
) -> ChannelLimit:
    r"""The gated unit that a pair tends to, in closed form.

    With `c = a_1 + a_2` and the expansion taken at
    `w = (sqrt|a_1| w_1 + sqrt|a_2| w_2) / (sqrt|a_1| + sqrt|a_2|)` the second moment
    `sum_j a_j (w_j - w)(w_j - w)^T` vanishes where the `a_j` have opposite signs, so that the pair
    differs from the limit by the third moment, of order eps^2. For one output
    `v = sign(a_1) sqrt|a_1 a_2| (w_1 - w_2)`: nothing cancels but the two weights themselves.

    Args:
        params: L weight matrices.
        pair: two different neurons of the layer.
        layer: hidden layer, 1 to L - 1.
        activation: if it is odd or even, a second neuron that points away from the first is
            mirrored, which changes nothing in the network.

    Raises:
        TypeError, ValueError: for bad input.

    >>> w = (jnp.array([[1.125, 0.0], [0.875, 0.0]]), jnp.array([[4.0, -4.0]]))
    >>> limit = channel_limit(w, (0, 1))
    >>> [float(e[0].sum()) for e in (limit.c, limit.w[None], limit.v)]
    [0.0, 1.0, 1.0]
    """
    params = _check.network("params", params)
    check_layer(params, layer)
    first, second = check_pair(pair, params[layer - 1].shape[0])
    mirror = 0 if activation is None else parity(_check.function("activation", activation))
    outgoing, incoming = oriented(params, layer, np.array([first]), np.array([second]), mirror)
    c, w, parts = _moments(outgoing, incoming)
    v = [jnp.outer(a[0], part[0]) for a, part in zip(outgoing, parts, strict=True)]
    return ChannelLimit(c[0], w[0], v[0] + v[1])


def limit_response(
    limit: ChannelLimit, before: Float[Array, "n i"], activation: Activation
) -> Float[Array, "n o"]:
    """Response `c s(w.g) + (V g) s'(w.g)` of a limit, to the features before its layer.

    Args:
        limit: the gated unit, from `channel_limit`.
        before: features g, `(n, i)`.
        activation: elementwise activation s.

    Returns:
        `(n, o)`.

    Raises:
        TypeError, ValueError: if `before` is no finite matrix of i columns.

    >>> limit = ChannelLimit(jnp.array([2.0]), jnp.array([1.0]), jnp.array([[3.0]]))
    >>> limit_response(limit, jnp.array([[2.0]]), jnp.square).tolist()
    [[32.0]]
    """
    before = _check.matrix("before", before, columns=limit.w.shape[0])
    t = before @ limit.w
    return activation(t)[:, None] * limit.c + derivative(activation, t)[:, None] * (
        before @ limit.v.T
    )


def channels(
    params: Any,
    x: Any,
    activation: Activation,
    *,
    layer: int = 1,
    rule: ChannelRule | None = None,
) -> Channels:
    """Statistics of all pairs of neurons of a layer, and which look like one in a channel.

    One network says where a pair is, not where it goes: a finite minimum may hold a close pair of
    opposite signs. `watch_channels` looks at the way there and `dynamics.follow_channel` asks the
    loss.

    Args:
        params: L weight matrices, or snapshots of them: a leading axis, as `Flow.snapshots`, or a
            sequence of networks.
        x: `(n, d)` inputs, at which responses are compared.
        activation: elementwise, differentiable.
        layer: hidden layer, 1 to L - 1.
        rule: thresholds, `ChannelRule()` by default.

    Raises:
        TypeError, ValueError: for bad input.

    >>> w = (jnp.array([[1.01, 0.1], [0.99, -0.1], [0.0, 2.0]]), jnp.array([[50.0, -50.0, 1.0]]))
    >>> seen = channels(w, jnp.eye(2), jnp.tanh)
    >>> seen.pairs[seen.found].tolist()
    [[0, 1]]
    """
    _check.function("activation", activation)
    rule = _rule(rule)
    weights = weights_of("params", params)
    one = jax.tree.map(lambda w: w.reshape(-1, *w.shape[-2:])[0], weights)
    check_layer(one, layer)
    size = one[layer - 1].shape[0]
    if size < 2:
        raise ValueError(f"layer must have two neurons or more, got {size} in layer {layer}")
    x = _check.matrix("x", x, columns=one[0].shape[1]).astype(one[0].dtype)
    first, second = np.triu_indices(size, 1)
    leading = weights[0].shape[:-2]
    stacked = jax.tree.map(lambda w: w.reshape(-1, *w.shape[-2:]), weights)
    found = _statistics(stacked, x, activation, layer, parity(activation))
    values = {
        name: np.asarray(value).reshape(*leading, len(first)) for name, value in found.items()
    }
    met = (
        values["opposite"]
        & (values["distance"] <= rule.distance)
        & (values["cancellation"] <= rule.cancellation)
        & (values["residual"] <= rule.residual)
        & (values["share"] >= rule.share)
    )
    return Channels(pairs=np.stack([first, second], axis=1), found=met, **values)


def watch_channels(
    snapshots: Any,
    x: Any,
    activation: Activation,
    *,
    ts: Any = None,
    layer: int = 1,
    rule: ChannelRule | None = None,
) -> ChannelWatch:
    """The monitor: which pairs are on their way along a channel, at every save of a trajectory.

    The alarm of a pair is on at a save where it meets the rule (`channels`) and, since its growth
    `1/eps` was `rule.growth` times smaller, the growth has not fallen, the signs stayed opposite,
    and the gap fell like `eps`; with times, where the growth also still rises as a power of time.
    One line in any experiment: `diagnostics.watch_channels(flow.snapshots, x, activation,
    ts=flow.ts)`.

    Args:
        snapshots: weight matrices with one leading axis of length m, or a sequence of networks.
        x, activation, layer, rule: as `channels`.
        ts: `(m,)` times of the saves, or numbers of steps; increasing.

    Raises:
        TypeError, ValueError: for bad input.

    >>> eps = 0.1 / (1 + jnp.arange(6.0))
    >>> turn = jnp.array([0.0, 1.0]) * eps[:, None]
    >>> incoming = jnp.stack([jnp.array([1.0, 0.0]) + turn, jnp.array([1.0, 0.0]) - turn], axis=1)
    >>> outgoing = jnp.stack([0.5 + 0.5 / eps, 0.5 - 0.5 / eps], axis=1)[:, None, :]
    >>> seen = watch_channels((incoming, outgoing), jnp.eye(2), jnp.tanh)
    >>> seen.pairs, seen.first.tolist(), [round(float(e), 3) for e in seen.exponent[-1]]
    ([(0, 1)], [1], [-1.0])
    """
    rule, times = _rule(rule), None if ts is None else _times(ts)
    seen = channels(snapshots, x, activation, layer=layer, rule=rule)
    if seen.growth.ndim != 2:
        raise ValueError(
            "snapshots must have one leading axis of saves, got leading axes "
            f"{seen.growth.shape[:-1]}"
        )
    if times is not None and len(times) != len(seen.growth):
        raise ValueError(f"ts must be {len(seen.growth)} times, one a save, got {len(times)}")
    exponent, rate = np.full((2, *seen.growth.shape), np.nan)
    # Of a wide layer with thousands of pairs few meet the rule at any save.
    some = np.flatnonzero(seen.found.any(axis=0))
    tiny = np.finfo(seen.growth.dtype).tiny
    growth, gap = (np.log(each[:, some] + tiny) for each in (seen.growth, seen.gap))
    exponent[:, some] = _exponent(growth, gap, seen.opposite[:, some], np.log(rule.growth))
    with np.errstate(invalid="ignore"):
        alarm = seen.found & (np.abs(exponent + 1) <= rule.slope)
        if times is not None:
            rate[:, some] = _rate(times, growth)
            alarm &= rate >= rule.rate
    first = np.where(alarm.any(axis=0), np.argmax(alarm, axis=0), -1)
    return ChannelWatch(seen, exponent, rate, alarm, first)


def _exponent(growth: np.ndarray, gap: np.ndarray, opposite: np.ndarray, rise: float) -> np.ndarray:
    """Power of the gap against the growth since that was lower by `rise`, all in logarithms.

    NaN where it was not, in the present run of saves with opposite signs and growth that does not
    fall.
    """
    saves = np.arange(len(growth))[:, None]
    rising = np.diff(growth, axis=0) >= -1e-6
    good = np.concatenate([opposite[:1], rising & opposite[1:] & opposite[:-1]])
    since = np.maximum.accumulate(np.where(good, 0, saves), axis=0)
    allowed = (growth[None] <= growth[:, None] - rise) & (saves[None] >= since[:, None])
    allowed &= saves[None] < saves[:, None]
    start = np.max(np.where(allowed, saves[None], -1), axis=1)
    before = np.maximum(start, 0)
    risen = growth - np.take_along_axis(growth, before, axis=0)
    fallen = gap - np.take_along_axis(gap, before, axis=0)
    return np.where(start >= 0, fallen / np.where(start >= 0, risen, 1), np.nan)


def check_pair(pair: Any, size: int) -> tuple[int, int]:
    """Return `pair` as two different neurons of a layer of that size."""
    wanted = f"pair must be two neurons, integers from 0 to {size - 1}, got {pair!r}"
    if isinstance(pair, str) or np.shape(pair) != (2,):
        raise TypeError(wanted)
    if any(isinstance(i, bool) or not isinstance(i, numbers.Integral) for i in np.asarray(pair)):
        raise TypeError(wanted)
    first, second = (int(i) for i in pair)
    if first == second or not (0 <= first < size and 0 <= second < size):
        raise ValueError(f"pair must be two different neurons from 0 to {size - 1}, got {pair!r}")
    return first, second


def _rule(rule: Any) -> ChannelRule:
    if rule is not None and not isinstance(rule, ChannelRule):
        raise TypeError(f"rule must be an nsjax.diagnostics.ChannelRule, got {rule!r}")
    return ChannelRule() if rule is None else rule


def _times(ts: Any) -> np.ndarray:
    """Times of saves as a vector of floats."""
    times = np.asarray(_check.vector("ts", ts, np.size(ts)), float)
    if np.any(np.diff(times) <= 0) or np.any(times < 0):
        raise ValueError(f"ts must be increasing times >= 0, got {ts!r}")
    return times


def _rate(ts: np.ndarray, growth: np.ndarray) -> np.ndarray:
    """Power of time by which the growth rose since half the time, `(m, P)`."""
    before = np.searchsorted(ts, ts / 2, side="right") - 1
    good = (before >= 0) & (ts[np.maximum(before, 0)] > 0)
    before = np.where(good, before, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = (growth - growth[before]) / np.log(ts / ts[before])[:, None]
    return np.where(good[:, None], rate, np.nan)


def oriented(
    params: Params, layer: int, first: Any, second: Any, mirror: int
) -> tuple[tuple[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]:
    """Outgoing `(P, o)` and incoming `(P, i)` weights of pairs, mirrored to point the same way."""
    incoming, outgoing = params[layer - 1], params[layer].T
    w, u = incoming[first], incoming[second]
    a, b = outgoing[first], outgoing[second]
    if mirror:
        away = (jnp.sum(w * u, axis=-1) < 0)[:, None]
        u, b = jnp.where(away, -u, u), jnp.where(away, mirror * b, b)
    return (a, b), (w, u)


def _moments(
    outgoing: tuple[jax.Array, jax.Array], incoming: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array, tuple[jax.Array, jax.Array]]:
    """c, w, and the distances of both incoming weights to w, for P pairs."""
    a, b = outgoing
    first, second = incoming
    roots = [jnp.sqrt(jnp.linalg.norm(each, axis=-1, keepdims=True)) for each in outgoing]
    total = roots[0] + roots[1]
    share = jnp.where(total > 0, roots[1] / jnp.where(total > 0, total, 1), 0.5)
    gap = first - second
    # Distances to w from the gap itself: first - w would cancel once more.
    return a + b, first - share * gap, (share * gap, (share - 1) * gap)


@partial(jax.jit, static_argnums=(2, 3, 4))
def _statistics(
    stacked: Params, x: jax.Array, activation: Activation, layer: int, mirror: int
) -> dict[str, jax.Array]:
    first, second = np.triu_indices(stacked[layer - 1].shape[-2], 1)

    def one(params: Params) -> dict[str, jax.Array]:
        before = features(params, x, activation)[layer - 1]
        outgoing, incoming = oriented(params, layer, first, second, mirror)
        (a, b), (w, u) = outgoing, incoming
        c, at, parts = _moments(outgoing, incoming)
        norm = partial(jnp.linalg.norm, axis=-1)
        # All at once, (n, P, o): what the pair answers, and the two parts of its limit.
        response = [activation(before @ each.T)[:, :, None] for each in (w, u, at)]
        slope = derivative(activation, before @ at.T)[:, :, None]
        pair = response[0] * a + response[1] * b
        plain = response[2] * c
        gated = slope * sum(
            (before @ part.T)[:, :, None] * each for part, each in zip(parts, outgoing, strict=True)
        )

        def size(values: jax.Array) -> jax.Array:
            return jnp.sqrt(jnp.sum(values**2, axis=(0, 2)))

        tiny = jnp.finfo(x.dtype).tiny
        return {
            "distance": 2 * norm(w - u) / (norm(w) + norm(u) + tiny),
            "gap": norm(w - u),
            "growth": norm(a - b),
            "cancellation": norm(c) / (norm(a) + norm(b) + tiny),
            "opposite": jnp.sum(a * b, axis=-1) < 0,
            "residual": size(pair - plain - gated) / (size(plain + gated) + tiny),
            "share": size(gated) / (jnp.hypot(size(plain), size(gated)) + tiny),
        }

    # One network at a time: (n, P, o) values of each are many in a wide layer.
    return jax.lax.map(one, stacked)
