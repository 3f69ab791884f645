"""Baselines that a pursuit is compared with: networks of fixed width, and many tiny restarts.

Both work on the same problem as a pursuit, in the same units, with the same minimisers, and accept
a fit by the same rule: a relative training loss of at most `Config.tol`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import count, pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsjax import _check
from nsjax._flat import Layout
from nsjax.networks import activation_degree, init
from nsjax.networks.homogeneous import Activation, Params, apply
from nsjax.objectives import LOSSES
from nsjax.pursuit.config import MINIMISERS as NAMES
from nsjax.pursuit.config import Config
from nsjax.pursuit.minimisers import Fit, Objective, fit_in_turn
from nsjax.pursuit.problem import Problem, Units, network_error, prediction_error, prepare
from nsjax.pursuit.results import MOST_PARAMETERS

TOL = Config().tol
"""Relative training loss at which a pursuit, and so a baseline, fits."""


class Baseline(NamedTuple):
    """A trained network of fixed width, the best of several.

    Attributes:
        params: L weight matrices, in the units of the data.
        hidden: widths of its hidden layers.
        fitted: whether its relative training loss is at most `tol`.
        loss: its relative training loss.
        error: its error on the training data: mean squared error over the variance, or the share
            of wrong classes.
        learning_rate: its learning rate.
        losses: `(T,)` relative training losses of all networks that were trained.
        trained: T, how many.
        evaluations: of the loss and its gradient, of all of them together.
        seconds: CPU time of all of them together, without compilation.
    """

    params: Params
    hidden: tuple[int, ...]
    fitted: bool
    loss: float
    error: float
    learning_rate: float
    losses: np.ndarray
    trained: int
    evaluations: int
    seconds: float


def train(
    key: jax.Array,
    x: Any,
    y: Any,
    *,
    activation: Activation,
    hidden: Sequence[int],
    scale: float = 1.0,
    minimiser: str = "adam",
    learning_rates: Sequence[float] = (1e-3, 3e-3, 1e-2),
    restarts: int = 1,
    steps: int = 2000,
    l2: Sequence[float] = (0.0,),
    loss: str = "square",
    normalise: bool = True,
    tol: float = TOL,
    validation: tuple[Any, Any] | None = None,
) -> Baseline:
    """Train networks of one width from random weights, in one batch, and return the best.

    Args:
        key: PRNG key of the initial weights.
        x: `(n, d)` inputs.
        y: `(n, c)` targets.
        activation: homogeneous activation of degree p.
        hidden: widths of the hidden layers.
        scale: factor on every weight of the fan-in initialisation; 1 is the standard one.
        minimiser: a name of `Config.minimiser`.
        learning_rates: grid of which the best is kept; every start is trained at each. L-BFGS and
            Levenberg-Marquardt have none, and take one run a start.
        restarts: starts.
        steps: evaluations of the loss and its gradient, at each weight of `l2`.
        l2: weights of `1/2 ||w||^2` beside the relative loss, one after the other.
        loss: `"square"`, `"logistic"` or `"cross_entropy"`.
        normalise: see `Config.normalise`.
        tol: relative training loss at which a network fits, and is trained no further.
        validation: held-out `(x, y)` on which the best is chosen; by default it is the one with
            the lowest training loss.

    Raises:
        TypeError, ValueError: for a bad argument, which is named.

    >>> from nsjax import PolyLeakyReLU
    >>> x = jax.random.normal(jax.random.key(0), (40, 3))
    >>> best = train(jax.random.key(1), x, x[:, :1] * x[:, 1:2], activation=PolyLeakyReLU(2),
    ...              hidden=(6,), minimiser="lbfgs", tol=1e-3)
    >>> best.fitted, best.trained
    (True, 1)
    """
    _check.key("key", key)
    if isinstance(learning_rates, str) or not isinstance(learning_rates, Iterable):
        raise TypeError(f"learning_rates must be a sequence of numbers, got {learning_rates!r}")
    x, y, problem, units = _prepared(x, y, activation, hidden, loss, normalise)
    hidden = tuple(_check.positive_integer(f"hidden[{i}]", k) for i, k in enumerate(hidden))
    _check.choice("minimiser", minimiser, NAMES)
    _check.positive_integer("steps", steps)
    _check.positive_integer("restarts", restarts)
    scale, tol = _check.positive("scale", scale), _check.positive("tol", tol)
    rates = [_check.positive(f"learning_rates[{i}]", r) for i, r in enumerate(learning_rates)]
    if not rates:
        raise ValueError("learning_rates must have at least one entry, got none")
    if minimiser in ("lbfgs", "levenberg_marquardt"):
        rates = rates[:1]
    if validation is None:
        held_x, held_y = x[:0], y[:0]
    else:
        if not isinstance(validation, tuple | list) or len(validation) != 2:
            raise TypeError(f"validation must be a pair (x, y), got {type(validation).__name__}")
        held_x = _check.matrix("validation[0]", validation[0], columns=x.shape[1])
        held_y = _check.matrix("validation[1]", validation[1], rows=len(held_x), columns=y.shape[1])
    penalties = _penalties(l2)
    widths = (x.shape[1], *hidden, y.shape[1])
    objective = _objective(activation, loss, widths, x.dtype)
    starts = _random_starts(objective, key, restarts, widths, scale)
    starts = jnp.repeat(starts, len(rates), axis=0)
    every_rate = jnp.tile(jnp.asarray(rates, x.dtype), restarts)
    fits, seconds = _timed_fit(
        objective, minimiser, starts, every_rate, problem, penalties, steps, tol
    )
    losses = np.where(np.isfinite(fits.loss), fits.loss, np.inf)
    judged = losses
    if validation is not None:
        held = held_x.astype(x.dtype), held_y.astype(x.dtype)
        judged = np.asarray(_held_out_errors(objective, jnp.asarray(units), fits.w, *held))
        judged = np.where(np.isfinite(judged), judged, np.inf)
    best = int(np.argmin(judged))
    network = units.back(objective.layout.tree(fits.w[best]))
    return Baseline(
        network,
        hidden,
        bool(losses[best] <= tol),
        float(losses[best]),
        float(network_error(network, x, y, activation, loss=loss)),
        float(every_rate[best]),
        losses,
        len(losses),
        int(np.sum(fits.evaluations)),
        seconds,
    )


def tiny_restarts(
    key: jax.Array,
    x: Any,
    y: Any,
    *,
    activation: Activation,
    depth: int,
    ladder: Sequence[Sequence[int]] | None = None,
    restarts: int = 12,
    passes: int = 1,
    seconds: float = float("inf"),
    minimiser: str = "lbfgs",
    steps: int = 600,
    l2: Sequence[float] = (2e-3, 0.0),
    loss: str = "square",
    normalise: bool = True,
    tol: float = TOL,
) -> Baseline:
    """Many tiny networks from random and spectral starts, until one fits the training data.

    Goes up a ladder of widths, a batch of `restarts` networks on each rung, again and again with
    new starts. Half of the starts are random; the first weights of the other half are turned
    towards the leading eigenvectors of `sum_i <y_i - mean y, b> x_i x_i^T`, with b random.

    Args:
        key: PRNG key of the initial weights.
        x: `(n, d)` inputs.
        y: `(n, c)` targets.
        activation: homogeneous activation of degree p.
        depth: number of layers L.
        ladder: hidden widths of the rungs; by default `tiny_ladder(depth)`. Those with more
            parameters than 0.8 of samples times outputs are left out, but for the first.
        restarts: networks in a batch.
        passes: bound on how often the ladder is gone up.
        seconds: CPU time after which no further batch is begun.
        minimiser, steps, l2, loss, normalise, tol: as in `train`.

    Returns:
        `Baseline`: the network with the lowest training loss of the first batch with one that fits,
        or of all. `seconds` is the CPU time spent.

    Raises:
        TypeError, ValueError: for a bad argument, which is named.

    >>> from nsjax import PolyLeakyReLU
    >>> x = jax.random.normal(jax.random.key(0), (40, 3))
    >>> best = tiny_restarts(jax.random.key(1), x, x[:, :1] * x[:, 1:2], tol=1e-3,
    ...                      activation=PolyLeakyReLU(2), depth=2, restarts=4)
    >>> best.fitted, best.hidden
    (True, (2,))
    """
    _check.key("key", key)
    _depth(depth)
    rungs = list(tiny_ladder(depth) if ladder is None else ladder)
    if not all(isinstance(rung, Iterable) for rung in rungs):
        raise TypeError(f"ladder must hold tuples of hidden widths, got {ladder!r}")
    rungs = [tuple(rung) for rung in rungs]
    if not rungs or any(len(rung) != depth - 1 for rung in rungs):
        raise ValueError(
            f"ladder must hold tuples of depth - 1 = {depth - 1} hidden widths, got {rungs}"
        )
    x, y, problem, units = _prepared(x, y, activation, rungs[0], loss, normalise)
    _check.choice("minimiser", minimiser, NAMES)
    for name, value in (("restarts", restarts), ("passes", passes), ("steps", steps)):
        _check.positive_integer(name, value)
    tol = _check.positive("tol", tol)
    if seconds != float("inf"):
        _check.positive("seconds", seconds)
    penalties = _penalties(l2)
    widths = [(x.shape[1], *rung, y.shape[1]) for rung in rungs]
    sizes = [sum(a * b for a, b in pairwise(w)) for w in widths]
    widths = [w for i, w in enumerate(widths) if i == 0 or sizes[i] <= MOST_PARAMETERS * np.size(y)]
    objectives = [_objective(activation, loss, w, x.dtype) for w in widths]
    rates = jnp.full(restarts, 1e-2, x.dtype)
    spent, evaluations, losses = 0.0, 0, []
    best, lowest = None, np.inf
    for batch in count():
        rung = batch % len(widths)
        if batch == passes * len(widths) or spent >= seconds or lowest <= tol:
            break
        objective = objectives[rung]
        begun = time.process_time()
        starts = _half_spectral(
            objective, jax.random.fold_in(key, batch), restarts, widths[rung], problem
        )
        drawn = time.process_time() - begun if batch >= len(widths) else 0.0  # else it compiles
        fits, took = _timed_fit(objective, minimiser, starts, rates, problem, penalties, steps, tol)
        spent += drawn + took
        evaluations += int(np.sum(fits.evaluations))
        losses.append(np.where(np.isfinite(fits.loss), fits.loss, np.inf))
        at = int(np.argmin(losses[-1]))
        if best is None or losses[-1][at] < lowest:
            lowest, best = float(losses[-1][at]), (rung, fits.w[at])
    assert best is not None
    rung, w = best
    network = units.back(objectives[rung].layout.tree(w))
    every = np.concatenate(losses)
    return Baseline(
        network,
        widths[rung][1:-1],
        bool(lowest <= tol),
        lowest,
        float(network_error(network, x, y, activation, loss=loss)),
        float("nan"),
        every,
        len(every),
        evaluations,
        spent,
    )


def tiny_ladder(depth: int) -> tuple[tuple[int, ...], ...]:
    """Hidden widths of `tiny_restarts`: 2 to 5 neurons in the last hidden layer, doubling below.

    Args:
        depth: number of layers L, at least 2.

    Raises:
        TypeError, ValueError: for another depth.

    >>> tiny_ladder(3)
    ((4, 2), (6, 3), (8, 4), (10, 5))
    """
    _depth(depth)
    return tuple(tuple(k * 2 ** (depth - 2 - i) for i in range(depth - 1)) for k in range(2, 6))


def _depth(depth: int) -> None:
    if _check.positive_integer("depth", depth) < 2:
        raise ValueError(f"depth must be at least 2, one hidden layer, got {depth}")


def _prepared(
    x: Any, y: Any, activation: Activation, hidden: Any, loss: str, normalise: bool
) -> tuple[jax.Array, jax.Array, Problem, Units]:
    """The data, and the same in working units."""
    _check.choice("loss", loss, tuple(LOSSES))
    if not isinstance(hidden, Iterable) or isinstance(hidden, str) or not tuple(hidden):
        raise TypeError(f"hidden must be a sequence of positive integers, got {hidden!r}")
    x, y = _check.matrix("x", x), _check.matrix("y", y)
    p, depth = activation_degree(activation), len(tuple(hidden)) + 1
    problem, units = prepare(x, y, loss=loss, p=p, depth=depth, normalise=normalise)
    return x, y.astype(x.dtype), problem, units


def _objective(activation: Activation, loss: str, widths: tuple[int, ...], dtype: Any) -> Objective:
    shapes = zip(widths[1:], widths[:-1], strict=True)
    tree = jax.eval_shape(lambda: tuple(jnp.zeros(shape, dtype) for shape in shapes))
    return Objective(activation, loss, Layout.of(tree))


def _penalties(l2: Sequence[float]) -> tuple[float, ...]:
    if not isinstance(l2, Iterable) or isinstance(l2, str):
        raise TypeError(f"l2 must be a sequence of numbers >= 0, got {l2!r}")
    weights = tuple(_check.non_negative(f"l2[{i}]", weight) for i, weight in enumerate(l2))
    if not weights:
        raise ValueError("l2 must have at least one weight, got none")
    return weights


@partial(jax.jit, static_argnums=(0, 2, 3))
def _random_starts(
    objective: Objective, key: jax.Array, many: int, widths: tuple[int, ...], scale: jax.Array
) -> jax.Array:
    """Flat weights `(many, P)` of the fan-in initialisation, times `scale`."""
    dtype = jnp.dtype(objective.layout.dtypes[0])

    def draw(key: jax.Array) -> jax.Array:
        return objective.layout.flat(init(key, widths, dtype=dtype))

    return jnp.asarray(scale, dtype) * jax.vmap(draw)(jax.random.split(key, many))


@partial(jax.jit, static_argnums=(0, 2, 3))
def _half_spectral(
    objective: Objective, key: jax.Array, many: int, widths: tuple[int, ...], problem: Problem
) -> jax.Array:
    """Random starts, the second half of them with first weights multiplied by the second moment.

    That stretches them along its leading eigenvectors; every row keeps its norm.
    """
    start_key, mix_key = jax.random.split(key)
    starts = _random_starts(objective, start_key, many, widths, jnp.ones(()))
    half = many - many // 2
    centred = problem.y - jnp.mean(problem.y, axis=0)
    mix = jax.random.normal(mix_key, (many - half, centred.shape[1]), centred.dtype)

    def turned(w: jax.Array, mix: jax.Array) -> jax.Array:
        first, *others = objective.layout.tree(w)
        moved = ((first @ problem.x.T) * (centred @ mix)) @ problem.x
        norms = jnp.linalg.norm(moved, axis=1, keepdims=True)
        moved = moved / jnp.where(norms > 0, norms, 1)
        moved = moved * jnp.linalg.norm(first, axis=1, keepdims=True)
        return objective.layout.flat((jnp.where(norms > 0, moved, first), *others))

    return starts.at[half:].set(jax.vmap(turned)(starts[half:], mix))


@partial(jax.jit, static_argnums=(0, 1))
def _fit(
    objective: Objective,
    minimiser: str,
    starts: jax.Array,
    rates: jax.Array,
    problem: Problem,
    l2: jax.Array,
    steps: jax.Array,
    tol: jax.Array,
) -> Fit:
    """The minimiser from every start `(B, P)`, at every weight of `l2` in turn."""

    def run(w: jax.Array, rate: jax.Array) -> Fit:
        return fit_in_turn(
            minimiser, objective, w, problem, l2=l2, steps=steps, target=tol, learning_rate=rate
        )

    return jax.vmap(run)(starts, rates)


@partial(jax.jit, static_argnums=0)
def _held_out_errors(
    objective: Objective, units: jax.Array, w: jax.Array, x: jax.Array, y: jax.Array
) -> jax.Array:
    """Prediction errors `(B,)` of flat weights `(B, P)` on data in the user's units."""
    back = Units(*units).back

    def error(w: jax.Array) -> jax.Array:
        outputs = apply(back(objective.layout.tree(w)), x, objective.activation)
        return prediction_error(outputs, y, loss=objective.loss)

    return jax.vmap(error)(w)


def _timed_fit(
    objective: Objective,
    minimiser: str,
    starts: jax.Array,
    rates: jax.Array,
    problem: Problem,
    l2: tuple[float, ...],
    steps: int,
    tol: float,
) -> tuple[Fit, float]:
    """`_fit` on the host, and its CPU time; without steps first, so that nothing is compiled."""
    dtype = starts.dtype
    arrays = starts, rates, problem, jnp.asarray(l2, dtype)
    limit = jnp.asarray(tol, dtype)
    jax.block_until_ready(_fit(objective, minimiser, *arrays, jnp.asarray(0), limit))
    begun = time.process_time()
    fits = _fit(objective, minimiser, *arrays, jnp.asarray(steps), limit)
    fits = jax.tree.map(np.asarray, fits)
    return fits, time.process_time() - begun
