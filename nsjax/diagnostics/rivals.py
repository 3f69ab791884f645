r"""Who else grows while a neuron leaves a saddle: what a departure says of the fall that follows.

Two neurons of one direction see the same pull. At a saddle of degree q each grows by
`rho' = q N rho^(q-1)`, so that `rho_j^(2-q) - rho_k^(2-q)` keeps its value whatever the residual
does meanwhile. While the winner k grows from `rho` to `rho_end`, the rival j therefore grows by

    (1 - chi (1 - (rho / rho_end)^(q-2)))^(-1/(q-2)),   chi = (rho_j / rho)^(q-2),

and for q = 2 by `(rho_end / rho)^chi`. In general `chi` is the rival's rate of growth over the
winner's, both at departure; with the NCF of another KKT point it counts its value too. The slow
flow does not know delta: the times at which two neurons on their rays would escape differ by a
fixed number of units `delta^(2-q)`, so `1/chi - 1` goes with `delta^(2-q)` as delta changes.

Source: neuron pursuit (arXiv 2509.12154), section 4, where kept sparsity is observed; the law is
`docs/sparsity_map.md`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsjax import _check
from nsjax.diagnostics.kept import active_flags, between, trajectory
from nsjax.kkt import neuron_cosines
from nsjax.networks.homogeneous import Activation, Params
from nsjax.objectives import NetworkLoss

SAME_POINT = 0.95
"""Cosine of the incoming weights from which two neurons count as at one KKT point."""
ALIVE = 1e-12
"""Norm against the winner's below which a neuron is none: it is zero, or died out."""
SLACK = 1.01
"""Factor on the bound of growth, for what the flow is not resolved to."""
KEPT = "kept"
"""One neuron is new, as expected, none is lost, and no other grew."""
TWO_SAME, TWO_OTHER = "two at once, same point", "two at once, other points"
GREW_SAME, GREW_OTHER = "other grew, same point", "other grew, other point"
LONG_FALL, LOST = "long fall", "one lost"
NOT_LEFT = "left by active neurons"
"""Not an escape of a small neuron: none is new or lost, none grew."""
REASONS = (TWO_SAME, TWO_OTHER, GREW_SAME, GREW_OTHER, LONG_FALL, LOST)
"""How an escape breaks sparsity, in the order in which `break_reasons` asks."""


class Departures(NamedTuple):
    """What happens to the others over the e escapes of a trajectory.

    The winner of an escape is the largest neuron that is zero at the saddle, when the flow leaves
    it; at the origin of a deeper network there is one in each hidden layer. Rivals are the other
    neurons that are zero there. Of the rivals' own numbers the one is meant that grows most. NaN
    where there is no rival, and in what counts in the winner's rate where it does not grow.

    Attributes:
        degrees: `(e,)` int, q.
        expected: `(e,)` bool, whether one neuron is new (in each hidden layer, from the origin).
        new, lost: `(e,)` int, neurons that are new, and that were active and are not.
        rates: `(e,)`, chi: largest `d log rho / dt` of a rival over the winner's, at departure.
        growth: `(e,)`, largest growth of a rival's norm from departure to landing.
        own_rates, ratios, cosines: `(e,)`, of that rival: its chi; its norm over the winner's; the
            cosine between its incoming weights and the winner's in its layer.
        values: `(e,)`, of that rival: NCF of its direction over that of the winner's.
        falls: `(e,)`, time from departure to landing times the winner's rate at departure.
        winners: `(e,)`, growth of the winner's norm from departure to landing.
        later: `(e,)`, norm of that rival at the end of the trajectory over that on landing.
    """

    degrees: np.ndarray
    expected: np.ndarray
    new: np.ndarray
    lost: np.ndarray
    rates: np.ndarray
    growth: np.ndarray
    own_rates: np.ndarray
    ratios: np.ndarray
    cosines: np.ndarray
    values: np.ndarray
    falls: np.ndarray
    winners: np.ndarray
    later: np.ndarray


def departures(
    flow: Any,
    visits: Sequence[Any],
    x: jax.Array,
    y: jax.Array,
    activation: Activation,
    *,
    loss: str = "square",
) -> Departures:
    """Rates of growth when the flow leaves each saddle, and what the others did until the next.

    Args:
        flow: a trajectory with snapshots, as in `kept_sparsity`.
        visits: its saddle visits in order, each with `degree` as well.
        x, y: data `(n, d)`, `(n, c)`.
        activation, loss: of the training loss.

    Raises:
        TypeError, ValueError: as `kept_sparsity`, and for data that do not fit.

    Source: the module's docstring.
    """
    ts, losses, weights = trajectory(flow)
    x, y = _check.samples(tuple(weight[0] for weight in weights), x, y)
    widths = [weight.shape[1] for weight in weights[:-1]]
    layers = active_flags(visits, widths)
    rows = []
    for i, (visit, after) in enumerate(pairwise(visits)):
        left, landed = between(ts, losses, visit, after)
        states = [tuple(np.asarray(w[at]) for w in weights) for at in (left, landed, -1)]
        pulls = _rates(NetworkLoss(activation, loss), tuple(map(jnp.asarray, states[0])), x, y)
        rows.append(
            (
                visit.degree,
                *_turnover(layers[i], layers[i + 1]),
                *_rivalry(layers[i], states, pulls, visit.degree, activation),
                ts[landed] - ts[left],
            )
        )
    columns = np.array(rows, float).reshape(len(visits) - 1, 14).T
    degrees, expected, new, lost, rates, growth, own, ratios, cosines, values = columns[:10]
    winners, later, paces, durations = columns[10:]
    return Departures(
        degrees=degrees.astype(int),
        expected=expected.astype(bool),
        new=new.astype(int),
        lost=lost.astype(int),
        rates=rates,
        growth=growth,
        own_rates=own,
        ratios=ratios,
        cosines=cosines,
        values=values,
        falls=durations * paces,
        winners=winners,
        later=later,
    )


@partial(jax.jit, static_argnums=0)
def _rates(loss: NetworkLoss, params: Params, x: jax.Array, y: jax.Array) -> tuple[jax.Array, ...]:
    """`d log rho / dt` of every hidden neuron, `-<grad_j f, w_j> / rho_j^2`; 0 of zero ones."""
    gradient = jax.grad(loss)(params, x, y)
    pulls = [-part * weight for part, weight in zip(gradient, params, strict=True)]
    squares = [weight**2 for weight in params]
    rates = []
    for (into, out), (size_in, size_out) in zip(pairwise(pulls), pairwise(squares), strict=True):
        size = jnp.sum(size_in, axis=1) + jnp.sum(size_out, axis=0)
        pull = jnp.sum(into, axis=1) + jnp.sum(out, axis=0)
        rates.append(pull / jnp.where(size > 0, size, 1))
    return tuple(rates)


def _norms(params: tuple[np.ndarray, ...]) -> list[np.ndarray]:
    # On the host: the program of `neuron_norms` would be compiled for every number of saves.
    return [
        np.hypot(np.linalg.norm(into, axis=1), np.linalg.norm(out, axis=0))
        for into, out in pairwise(params)
    ]


def _turnover(before: list[np.ndarray], after: list[np.ndarray]) -> tuple[bool, int, int]:
    """Whether the new neurons are as expected, how many they are, and how many were lost."""
    new = [int(np.sum(b & ~a)) for a, b in zip(before, after, strict=True)]
    lost = sum(int(np.sum(a & ~b)) for a, b in zip(before, after, strict=True))
    origin = not any(flags.any() for flags in before)
    return (all(n == 1 for n in new) if origin else sum(new) == 1), sum(new), lost


def _rivalry(
    active: list[np.ndarray],
    states: list[tuple[np.ndarray, ...]],
    rates: Sequence[jax.Array],
    degree: int,
    activation: Activation,
) -> tuple[float, ...]:
    """Everything from `rates` on in `Departures`, with the winner's rate in place of `falls`."""
    departing, landing, end = (_norms(state) for state in states)
    alive = [np.where(norms > 0, norms, 1) for norms in landing]
    small = [np.where(flags, 0, norms) for flags, norms in zip(active, departing, strict=True)]
    largest = np.array([norms.max() for norms in small])
    origin = not any(flags.any() for flags in active)
    layers = range(len(small)) if origin else [int(np.argmax(largest))]
    winners = {layer: int(np.argmax(small[layer])) for layer in layers}
    growth = [
        landing[layer][j] / departing[layer][j] if departing[layer][j] else np.nan
        for layer, j in winners.items()
    ]
    pace = float(np.mean([rates[layer][j] for layer, j in winners.items()]))
    # Where the largest of the small neurons does not grow there is no winner to compare with.
    pace = pace if pace > 0 else np.nan
    found = []
    for layer, norms in enumerate(small):
        # A winner in another layer has no direction to compare with.
        j = winners.get(layer)
        size = norms[j] if j is not None else float(largest.max())
        rivals = norms > ALIVE * size
        if j is not None:
            rivals[j] = False
        places = np.flatnonzero(rivals)
        if not len(places):
            continue
        cosines = np.full(len(places), np.nan)
        if j is not None:
            incoming = states[0][layer]
            cosines = neuron_cosines(incoming[places], incoming[j : j + 1], activation)[:, 0]
        chi = np.asarray(rates[layer])[places] / pace
        ratios = norms[places] / size
        found.append(
            np.stack(
                [
                    chi,
                    landing[layer][places] / norms[places],
                    ratios,
                    cosines,
                    chi * ratios ** (2 - degree),
                    end[layer][places] / alive[layer][places],
                ]
            )
        )
    if not found:
        return (*[np.nan] * 6, float(np.max(growth)), np.nan, pace)
    chi, grown, ratios, cosines, values, later = np.concatenate(found, axis=1)
    k = int(np.argmax(grown))
    return (
        float(np.max(chi)),
        grown[k],
        chi[k],
        ratios[k],
        cosines[k],
        values[k],
        float(np.max(growth)),
        later[k],
        pace,
    )


def rival_growth(rate: Any, degree: int, ratio: float) -> np.ndarray:
    """Growth of a rival of the winner's direction, while the winner grows by `1 / ratio`.

    Args:
        rate: chi, the rival's rate over the winner's at departure; below 1.
        degree: q >= 2.
        ratio: the winner's norm at departure over that on landing, in (0, 1).

    Returns:
        Array like `rate`.

    Raises:
        ValueError: for a degree below 2, a ratio outside (0, 1), or rates of 1 or more.

    Source: the module's docstring.

    >>> float(rival_growth(0.5, 3, 0.5)), float(rival_growth(0.5, 2, 0.25))
    (1.3333333333333333, 2.0)
    """
    degree, ratio = _check_law(degree, ratio)
    rate = np.asarray(rate, float)
    if np.any(rate >= 1):
        raise ValueError(f"rate must be below 1, got {float(np.max(rate)):.3g}")
    if degree == 2:
        return np.asarray(ratio**-rate)
    power = degree - 2
    return np.asarray((1 - rate * (1 - ratio**power)) ** (-1 / power))


def fall_growth(rate: Any, fall: Any, degree: int) -> np.ndarray:
    """Growth of a rival whose pull stays what it was at departure, `rho' = q N rho^(q-1)`.

    An upper bound where the fall does not raise the NCF of its direction.

    Args:
        rate: chi, at departure.
        fall: time of the fall times the winner's rate at departure, like `rate`.
        degree: q >= 2.

    Returns:
        `(1 - (q - 2) chi fall)^(-1/(q-2))`, for q = 2 `exp(chi fall)`; infinite where the rival
        would escape within the fall.

    Raises:
        ValueError: for a degree below 2.

    >>> fall_growth([0.1, 0.5], 2.0, 3).tolist()
    [1.25, inf]
    """
    if _check.positive_integer("degree", degree) < 2:
        raise ValueError(f"degree must be at least 2, got {degree!r}")
    grown = np.asarray(rate, float) * np.asarray(fall, float)
    if degree == 2:
        return np.asarray(np.exp(grown))
    left = 1 - (degree - 2) * grown
    power = np.where(left > 0, left, 1) ** (-1 / (degree - 2))
    return np.asarray(np.where(left > 0, power, np.inf))


def within_fall(found: Departures) -> np.ndarray:
    """Which escapes with a rival keep the bound `fall_growth` of a pull that does not rise.

    Args:
        found: e escapes. Those without a rival are left out.

    Returns:
        `(r,)` bool. A rival that shrinks is bounded by its norm at departure; the bound counts with
        `SLACK`.
    """
    pairs = zip(found.own_rates, found.falls, found.degrees, strict=True)
    bound = np.array([float(fall_growth(rate, fall, int(q))) for rate, fall, q in pairs])
    return (found.growth <= SLACK * np.maximum(bound, 1))[np.isfinite(found.growth)]


def critical_rate(factor: float, degree: int, ratio: float) -> float:
    """The chi at which a rival of the winner's direction grows by `factor`: `rival_growth` solved.

    Args:
        factor: growth of the rival, above 1.
        degree: q >= 2.
        ratio: the winner's norm at departure over that on landing, in (0, 1).

    Raises:
        ValueError: as `rival_growth`, and for a factor of 1 or less.

    >>> round(critical_rate(4 / 3, 3, 0.5), 12)
    0.5
    """
    degree, ratio = _check_law(degree, ratio)
    if _check.positive("factor", factor) <= 1:
        raise ValueError(f"factor must be above 1, got {factor!r}")
    if degree == 2:
        return float(np.log(factor) / -np.log(ratio))
    power = degree - 2
    return float((1 - factor**-power) / (1 - ratio**power))


def _check_law(degree: int, ratio: float) -> tuple[int, float]:
    if _check.positive_integer("degree", degree) < 2:
        raise ValueError(f"degree must be at least 2, got {degree!r}")
    if not 0 < _check.positive("ratio", ratio) < 1:
        raise ValueError(f"ratio must lie between 0 and 1, got {ratio!r}")
    return degree, ratio


def rescaled_rates(rates: Any, degrees: Any, ratio: float) -> np.ndarray:
    """What chi would be from a start `ratio` times as large: `1/chi - 1` goes with `delta^(2-q)`.

    Args:
        rates: chi at some delta; those of 0 or less, of 1 or more, and NaN stay as they are.
        degrees: q, like `rates`.
        ratio: the other delta over this one.

    Raises:
        ValueError: for a ratio that is not positive.

    >>> rescaled_rates([1e-3, 0.5, -1.0], [3, 3, 4], 10.0).round(4).tolist()
    [0.0099, 0.9091, -1.0]
    """
    ratio = _check.positive("ratio", ratio)
    rates, degrees = np.asarray(rates, float), np.asarray(degrees)
    inside = (rates > 0) & (rates < 1)
    left = (1 / np.where(inside, rates, 0.5) - 1) * ratio ** (2.0 - degrees)
    return np.where(inside, 1 / (1 + left), rates)


def break_reasons(found: Departures, *, factor: float, ratio: float = 0.1) -> list[str]:
    """How every escape breaks sparsity: one of `REASONS`, `KEPT`, or `NOT_LEFT`.

    Kept is an escape with the expected new neurons, none lost, and no rival that grew by more than
    `factor`. A break of growth whose chi lies below `critical_rate` is a long fall: the rival had
    more time than the winner's growth takes. Where no neuron is new or lost and none grew by more
    than `factor`, the flow went from one saddle of the active neurons to another.

    Args:
        found: of a trajectory.
        factor: growth that still counts as staying small, above 1.
        ratio: the winner's norm at departure over that on landing, where it is not known.

    Raises:
        TypeError, ValueError: for what is no `Departures`, and as `critical_rate`.
    """
    if not isinstance(found, Departures):
        raise TypeError(f"found must be a diagnostics.Departures, got {type(found).__name__}")
    critical_rate(factor, 3, ratio)  # refuses bad arguments even where there are no escapes
    reasons = []
    for row in zip(*found, strict=True):
        each = Departures(*row)
        same = bool(each.cosines >= SAME_POINT)
        if each.lost > 0:
            reasons.append(LOST)
        elif each.new == 0 and not each.growth > factor:
            reasons.append(NOT_LEFT)
        elif each.new > 0 and not each.expected:
            reasons.append(TWO_SAME if same else TWO_OTHER)
        elif not each.growth > factor:
            reasons.append(KEPT)
        elif each.rates < critical_rate(factor, int(each.degrees), ratio):
            reasons.append(LONG_FALL)
        else:
            reasons.append(GREW_SAME if same else GREW_OTHER)
    return reasons


def predicted_breaks(rates: Any, degrees: Any, *, factor: float, ratio: float = 0.1) -> np.ndarray:
    """Which escapes the law of one direction says to break: chi above `critical_rate`.

    Args:
        rates, degrees: chi and q of the escapes; no rival (NaN) breaks nothing.
        factor, ratio: see `break_reasons`.

    Raises:
        ValueError: as `critical_rate`.

    >>> predicted_breaks([0.05, 0.15, 0.15], [3, 3, 4], factor=1.1).tolist()
    [False, True, False]
    """
    rates, degrees = np.asarray(rates, float), np.asarray(degrees)
    critical = [critical_rate(factor, int(q), ratio) for q in degrees]
    return np.greater(rates, np.asarray(critical, float))
