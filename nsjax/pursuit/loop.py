"""Neuron pursuit: `init` and `step` to drive it oneself, and `run`."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from nsjax import _check
from nsjax.networks.homogeneous import Activation, Params, apply
from nsjax.objectives import LOSSES
from nsjax.pursuit.config import Config
from nsjax.pursuit.growth import Grown, grow
from nsjax.pursuit.packing import packed, put_back, taken
from nsjax.pursuit.problem import reference_loss
from nsjax.pursuit.refitting import Refitted, refit_in_turn
from nsjax.pursuit.results import conclude
from nsjax.pursuit.state import LEARNED, Info, State, Stop, pad
from nsjax.pursuit.task import Limits, Task


def init(key: jax.Array, task: Task) -> State:
    """The state before the first round.

    Args:
        key: PRNG key, from which everything random follows; or `(S,)` of them, for S pursuits of
            `config.lanes` lanes each in one batch.
        task: what is to be learned.

    Raises:
        TypeError, ValueError: for a bad key, or what is no `Task`.

    >>> from nsjax import PolyLeakyReLU
    >>> x = jax.random.normal(jax.random.key(0), (40, 3))
    >>> task = Task(x, x[:, :1] ** 2, activation=PolyLeakyReLU(2), depth=2, config=Config(lanes=2))
    >>> init(jax.random.key(1), task).counts.tolist()  # neurons of either lane
    [[0], [0]]
    """
    if not isinstance(task, Task):
        raise TypeError(f"task must be a pursuit.Task, got {type(task).__name__}")
    key = _check.keys("key", key)
    lanes, dtype = task.config.lanes, task.x.dtype
    keys = jax.random.split(key, lanes) if key.ndim == 0 else _split(key, lanes)
    room = task.method.factors
    d, c = room * task.x.shape[1], task.y.shape[1]
    if task.params is None:
        counts = (0,) * (task.depth - 1)
        widths = (d, *counts, c)
        params: Any = tuple(np.zeros((b, a), dtype) for a, b in pairwise(widths))
    else:
        params = task.units.into(task.params)
        counts = tuple(w.shape[0] for w in params[:-1])
    capacity = task.config.capacity
    while capacity < max(counts) + task.config.per_round:
        capacity *= 2
    score, loss, fitted = _before(task, params)
    b = len(keys)
    batched = tuple(np.broadcast_to(w, (b, *w.shape)) for w in pad(params, capacity, room))
    neurons = np.broadcast_to(np.asarray(counts, np.int32), (b, task.depth - 1))
    return State(
        batched,
        neurons,
        np.full(b, loss, dtype),
        np.ones(b, dtype),
        np.full(b, Stop.FITTED if fitted else Stop.GROWING, np.int32),
        batched,
        neurons,
        np.full(b, score, dtype),
        np.full(b, np.inf, dtype),
        np.zeros(b, np.int32),
        np.zeros(b, np.int32),
        np.zeros(b, dtype),
        jax.tree.map(np.zeros_like, batched),
        np.zeros(b, np.int32),
        np.ones(b, np.int32),
        np.zeros((), np.int32),
        keys,
        np.asarray(task.fingerprint, np.uint32),
    )


def _before(task: Task, params: Any) -> tuple[float, float, bool]:
    """Error that the first network is judged by, its working loss, and whether it fits already."""
    name, problem = task.method.loss, task.problem
    if task.params is None and task.validation is None:
        # Outputs of zero, without a program.
        working, given = np.asarray(problem.y), np.asarray(task.y)
        if name != "square":
            return 1.0, 1.0, False
        return (
            float(0.5 * np.sum(given**2) / reference_loss(name, given)),
            float(0.5 * np.sum(working**2) / problem.reference),
            False,
        )
    measured = task.given.measure(task.method, params)
    outputs = apply(params, problem.x, task.method.activation)
    loss = float(LOSSES[name](outputs, problem.y) / problem.reference)
    score = measured.loss if task.validation is None else measured.validation
    return float(score), loss, bool(task.limits.fits(measured.loss, measured.error))


def step(task: Task, state: State) -> tuple[State, Info]:
    """One round in every lane that is still growing: search, insertion, refit.

    A lane stops for itself; `run` also stops the others when one has fitted.

    Args:
        task: what is to be learned.
        state: from `init` or the round before.

    Returns:
        The state after the round, and what the round did, see `Info`.

    Raises:
        TypeError: for what is no `Task` or no `State`.
        ValueError: if the state is of other data, or of networks of another shape.
    """
    if not isinstance(task, Task):
        raise TypeError(f"task must be a pursuit.Task, got {type(task).__name__}")
    _check_state(task, state)
    if int(np.max(state.counts)) + task.config.per_round > state.capacity:
        wider = {
            name: pad(getattr(state, name), 2 * state.capacity, task.method.factors)
            for name in ("params", "best", "new")
        }
        state = state._replace(**wider)
    rows = packed(np.asarray(state.result) == Stop.GROWING)
    if len(rows) == len(state.loss):
        return _round(task, state)
    return put_back(state, *_round(task, taken(state, rows)), rows)


def _round(task: Task, state: State) -> tuple[State, Info]:
    """One round of all lanes of the state; those that have stopped stay as they are."""
    config, method = task.config, task.method
    if method.mesh is not None:
        # Whatever devices they come from.
        state = state._replace(params=jax.tree.map(np.asarray, state.params))
    live = np.asarray(state.result) == Stop.GROWING
    first = np.all(np.asarray(state.counts) == 0, axis=1)
    stuck = (np.asarray(state.gain) < config.rescue) & ~first
    grown = grow(
        method,
        state.keys,
        int(state.round),
        state.params,
        np.asarray(state.counts),
        live,
        first | stuck,
        task.problem,
        task.given,
    )
    spent = _spent(task, state, grown)
    fitted = refit_in_turn(
        method,
        grown.params,
        live,
        task.problem,
        task.given,
        config.l2,
        config.steps,
        grown.direction,
        (1 - config.rescue) * np.asarray(state.loss),
        np.any([flag for flag, _ in spent], axis=0),
    )
    return _advance(task.limits, state, live, stuck, grown, fitted, spent)


def _advance(
    limits: Limits,
    state: State,
    live: np.ndarray,
    stuck: np.ndarray,
    grown: Grown,
    fitted: Refitted,
    spent: tuple[tuple[np.ndarray, Stop], ...],
) -> tuple[State, Info]:
    """Codes of all lanes after a round, and what it did: little, so on the host."""
    counts = grown.counts
    given = jax.tree.map(np.asarray, fitted.given)
    validated = ~np.isnan(given.validation)
    score = np.where(validated, given.validation, given.loss)
    better = live & (score < state.best_error)
    ahead = live & (score < state.attempt_error)
    waited = np.where(ahead, 0, state.waited + live).astype(np.int32)

    def kept(new: Any, old: Any) -> np.ndarray:
        flags = better.reshape(-1, *(1,) * (np.ndim(old) - 1))
        return np.where(flags, np.asarray(new), np.asarray(old))

    before = np.asarray(state.loss)
    loss = np.where(live, np.asarray(fitted.loss), before)
    gain = np.where(live, 1 - loss / np.where(before > 0, before, 1), state.gain)
    falls = (gain > 0) & (gain >= limits.rescue)
    neurons = np.sum(counts, axis=1)
    right = np.where(live & (state.right == 0) & (given.error <= 0), neurons, state.right)
    fits = limits.fits(given.loss, given.error)
    if limits.until == "accuracy":
        fits &= neurons >= (1 + limits.margin) * right
    ends = (
        (~np.isfinite(loss), Stop.NOT_FINITE),
        (fits, Stop.FITTED),
        *spent,
        ((stuck | (limits.rescue == 0)) & ~falls, Stop.STALLED),
        (validated & (waited >= limits.patience), Stop.VALIDATION),
    )
    result = np.select([flag for flag, _ in ends], [int(code) for _, code in ends], Stop.GROWING)

    def lived(values: Any) -> np.ndarray:
        values = np.asarray(values)
        return np.where(live.reshape(-1, *(1,) * (values.ndim - 1)), values, np.nan)

    info = Info(
        live=live,
        attempt=np.where(live, state.attempt, 0),
        added=grown.added,
        neurons=counts,
        kind=np.where(live, grown.kind, 0),
        ncf=lived(grown.ncf),
        relative_ncf=lived(grown.relative_ncf),
        kkt_residual=lived(grown.kkt_residual),
        share=lived(grown.share),
        chance=lived(grown.chance),
        scale=lived(grown.scale),
        descent=lived(grown.descent),
        before=lived(before),
        inserted=lived(grown.inserted),
        loss=lived(fitted.loss),
        grad_norm=lived(fitted.grad_norm),
        evaluations=np.where(live, grown.evaluations + np.asarray(fitted.evaluations), 0),
        imbalance=lived(fitted.imbalance),
        moved=lived(np.asarray(fitted.moved) / grown.scale),
        error=lived(given.error),
        validation=lived(given.validation),
        test=lived(given.test),
    )
    after = State(
        params=fitted.params,
        counts=counts,
        loss=loss,
        gain=gain,
        result=np.where(live, result, state.result).astype(np.int32),
        best=tuple(kept(w, old) for w, old in zip(fitted.params, state.best, strict=True)),
        best_counts=kept(counts, state.best_counts),
        best_error=kept(score, state.best_error),
        attempt_error=np.where(ahead, score, state.attempt_error),
        waited=waited,
        right=right.astype(np.int32),
        chance=np.where(live, grown.chance, state.chance),
        new=grown.direction,
        age=(state.age + live).astype(np.int32),
        attempt=state.attempt,
        round=state.round + np.int32(1),
        keys=state.keys,
        fingerprint=state.fingerprint,
    )
    return after, info


def _spent(task: Task, state: State, grown: Grown) -> tuple[tuple[np.ndarray, Stop], ...]:
    """Lanes that this round is the last of, whatever its refit does, and why."""
    limits = task.limits
    parameters = task.method.parameters(grown.params, grown.counts)
    return (
        (grown.noise, Stop.CHANCE),
        (~grown.alive, Stop.NO_POSITIVE_KKT_POINT),
        (np.sum(grown.counts, axis=1) >= limits.max_neurons, Stop.MAX_NEURONS),
        (parameters >= limits.max_parameters, Stop.MAX_PARAMETERS),
        (np.asarray(state.age) + 1 >= limits.max_rounds, Stop.MAX_ROUNDS),
    )


_RESTARTED = (
    "params",
    "counts",
    "loss",
    "gain",
    "result",
    "attempt_error",
    "waited",
    "right",
    "age",
    "attempt",
)


def restart(task: Task, key: jax.Array, state: State, lanes: np.ndarray) -> State:
    """The state with the lanes where `lanes` `(B,)` is true put back to the beginning.

    What is random goes on from there, so that they do not repeat themselves.
    """
    fresh = init(key, task)
    wide = pad(fresh.params, state.capacity, task.method.factors)
    again = fresh._replace(params=wide, attempt=state.attempt + 1)
    changed = {
        name: jax.tree.map(
            lambda new, old: np.where(
                lanes.reshape(-1, *(1,) * (np.ndim(old) - 1)), new, np.asarray(old)
            ),
            getattr(again, name),
            getattr(state, name),
        )
        for name in _RESTARTED
    }
    return state._replace(**changed)


def run(
    key: jax.Array,
    x: Any,
    y: Any,
    *,
    activation: Activation,
    depth: int,
    loss: str = "square",
    params: Params | None = None,
    validation: tuple[Any, Any] | None = None,
    test: tuple[Any, Any] | None = None,
    preset: str = "default",
    config: Config | None = None,
    mesh: Mesh | None = None,
    state: State | None = None,
    history: Info | None = None,
    on_round: Callable[[State, Info], None] | None = None,
) -> Any:
    """Neuron pursuit: grow a network neuron by neuron until it fits.

    Each round searches the KKT points of the NCF of a new neuron in every hidden layer, adds the
    one that the rule picks, small and aligned, and minimises the loss from there. Lanes differ by
    their random starts; the first that fits ends the run.

    Args:
        key: PRNG key; or `(S,)` of them, for S pursuits in one batch.
        x: `(n, d)` inputs. Networks have no biases: append a column of ones if the target is not
            homogeneous.
        y: `(n, c)` targets; for the logistic loss labels -1 and 1, for cross-entropy one-hot rows.
        activation: what the neurons are: a homogeneous activation of degree p, such as
            `PolyLeakyReLU(2)`, or products of projections, `networks.Products(orders)`.
        depth: number of layers L, at least 2.
        loss: `"square"`, `"logistic"` or `"cross_entropy"`.
        params: a network to grow, L matrices; by default there is none.
        validation: held-out `(x, y)`: its error ends lanes that no longer improve, picks the best
            network if none fits, and counts for the certificate.
        test: fresh `(x, y)`, of which the error is recorded and nothing follows.
        preset: `"default"`, or `"paper"` for Algorithm 1.
        config: settings in place of a preset's.
        mesh: devices, with one or both of the axes "members", over which the lanes of all pursuits
            are split, and "data", over which the samples are.
        state: a state to go on from, such as one that `on_round` has saved. One that ended at a
            budget goes on under a larger one.
        history: of the rounds before `state`, arrays `(rounds, B, ...)` of all lanes, with which
            the history of the result begins; else it is that of the rounds from there.
        on_round: called after every round with the state and what the round did.

    Returns:
        `Pursuit`, or a tuple of S of them for S keys.

    Raises:
        TypeError, ValueError: for a bad argument, which is named, before anything is compiled.

    Source: neuron pursuit (arXiv 2509.12154), Algorithm 1; `docs/mathematics.md`, section 6.

    >>> from nsjax import PolyLeakyReLU
    >>> x = jax.random.normal(jax.random.key(0), (40, 3))
    >>> config = Config(lanes=2, starts=8, candidates=1, steps=100, tol=1e-3)
    >>> found = run(jax.random.key(1), x, x[:, :1] * x[:, 1:2], activation=PolyLeakyReLU(2),
    ...             depth=2, config=config)
    >>> found.message
    'fitted: the training data are learned, as `until` and `tol` say'
    """
    task = Task(
        x,
        y,
        activation=activation,
        depth=depth,
        loss=loss,
        params=params,
        validation=validation,
        test=test,
        preset=preset,
        config=config,
        mesh=mesh,
    )
    if on_round is not None:
        _check.function("on_round", on_round)
    key = _check.keys("key", key)
    lanes = task.config.lanes
    if state is None:
        state = init(key, task)
    _check_state(task, state, key)
    state = _reopened(task, state)
    past = [] if history is None else _rounds(history, state)
    while True:
        codes = np.asarray(state.result).reshape(-1, lanes)
        growing = np.any(codes == Stop.GROWING, axis=1)
        left = np.max(np.asarray(state.attempt).reshape(-1, lanes), axis=1) < task.config.attempts
        again = ~growing & ~np.any(np.isin(codes, LEARNED), axis=1) & left
        if np.any(again):
            state = restart(task, key, state, np.repeat(again, lanes))
        if not np.any(growing | again):
            break
        state, info = step(task, state)
        codes = np.asarray(state.result)
        fitted = np.any(codes.reshape(-1, lanes) == Stop.FITTED, axis=1)
        over = np.repeat(fitted, lanes) & (codes == Stop.GROWING)
        state = state._replace(result=np.where(over, np.int32(Stop.OTHER_FITTED), codes))
        past.append(info)
        if on_round is not None:
            on_round(state, info)
    single = key.ndim == 0
    found = tuple(
        conclude(task, state, past, slice(s * lanes, (s + 1) * lanes))
        for s in range(len(state.loss) // lanes)
    )
    return found[0] if single else found


def _rounds(history: Info, state: State) -> list[Info]:
    """A history round by round."""
    if not isinstance(history, Info):
        raise TypeError(f"history must be a pursuit.Info, got {type(history).__name__}")
    shapes = {np.shape(leaf)[:2] for leaf in history}
    if len(shapes) != 1 or min(shapes)[1:] != (len(state.loss),):
        raise ValueError(
            f"history must have arrays (rounds, {len(state.loss)}, ...) like the state's lanes, "
            f"got shapes that begin with {sorted(shapes)}"
        )
    return [Info(*(np.asarray(leaf)[i] for leaf in history)) for i in range(min(shapes)[0])]


def _split(keys: jax.Array, lanes: int) -> jax.Array:
    """Keys `(S lanes,)` of every lane of S pursuits; each the same as for its key alone."""
    return jnp.concatenate([jax.random.split(key, lanes) for key in keys])


def _reopened(task: Task, state: State) -> State:
    """A state that has ended at a budget, opened again: the budget may have been raised."""
    codes = np.asarray(state.result)
    done = np.isin(codes, (Stop.GROWING, *LEARNED)).any()
    if done or np.min(state.attempt) < task.config.attempts:
        return state
    budgets = (Stop.MAX_NEURONS, Stop.MAX_ROUNDS, Stop.MAX_PARAMETERS)
    again = np.where(np.isin(codes, budgets), np.int32(Stop.GROWING), codes)
    return state._replace(result=again)


def _check_state(task: Task, state: State, key: jax.Array | None = None) -> None:
    if not isinstance(state, State):
        raise TypeError(f"state must be a pursuit.State, got {type(state).__name__}")
    if int(state.fingerprint) != task.fingerprint:
        raise ValueError(
            "state must be of a pursuit on the same data, loss, activation and normalisation, got "
            "another"
        )
    if len(state.params) != task.depth:
        raise ValueError(
            f"state must hold networks of depth {task.depth}, got depth {len(state.params)}"
        )
    lanes = task.config.lanes
    wanted = lanes if key is None or key.ndim == 0 else lanes * len(key)
    if len(state.loss) % lanes or (key is not None and len(state.loss) != wanted):
        raise ValueError(
            f"state must hold {wanted} lanes, config.lanes for each key, got {len(state.loss)}"
        )
