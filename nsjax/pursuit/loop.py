"""Neuron pursuit: `init` and `step` to drive it oneself, and `run`."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nsjax import _check
from nsjax.networks.homogeneous import Activation, Params
from nsjax.pursuit.config import Config
from nsjax.pursuit.growth import Grown, Refitted, grow, refit
from nsjax.pursuit.results import conclude
from nsjax.pursuit.state import Info, State, Stop, pad
from nsjax.pursuit.task import Limits, Measured, Task


def init(key: jax.Array, task: Task) -> State:
    """The state before the first round.

    Args:
        key: PRNG key, from which everything random follows; or `(S,)` of them, for S pursuits of
            `config.lanes` lanes each in one batch.
        task: what is to be learned.
    """
    seeds = 1 if jnp.ndim(_typed(key)) == 0 else len(key)
    keys = jax.vmap(lambda k: jax.random.split(k, task.config.lanes))(_typed(key).reshape(seeds))
    lanes, dtype = seeds * task.config.lanes, task.x.dtype
    d, c = task.x.shape[1], task.y.shape[1]
    if task.params is None:
        counts = (0,) * (task.depth - 1)
        widths = (d, *counts, c)
        params: Params = tuple(jnp.zeros((b, a), dtype) for a, b in pairwise(widths))
    else:
        params = task.units.into(task.params)
        counts = tuple(w.shape[0] for w in params[:-1])
    capacity = task.config.capacity
    while capacity < max(counts) + task.config.per_round:
        capacity *= 2
    params = pad(params, capacity)
    objective = task.method.objective(params)
    loss = objective.relative(objective.layout.flat(params), task.problem)
    done = jnp.where(loss <= task.config.tol, Stop.FITTED, Stop.GROWING)
    batched = jax.tree.map(lambda w: jnp.broadcast_to(w, (lanes, *w.shape)), params)
    neurons = jnp.broadcast_to(jnp.asarray(counts, jnp.int32), (lanes, task.depth - 1))
    return State(
        batched,
        neurons,
        jnp.full(lanes, loss),
        jnp.ones(lanes, dtype),
        jnp.full(lanes, done, jnp.int32),
        batched,
        neurons,
        jnp.full(lanes, jnp.inf, dtype),
        jnp.zeros(lanes, jnp.int32),
        jnp.zeros(lanes, jnp.int32),
        jnp.ones(lanes, jnp.int32),
        jnp.zeros((), jnp.int32),
        keys.reshape(lanes),
        jnp.asarray(task.fingerprint, jnp.uint32),
    )


def step(task: Task, state: State) -> tuple[State, Info]:
    """One round in every lane that is still growing: search, insertion, refit.

    A lane stops for itself; `run` also stops the others when one has fitted.

    Raises:
        ValueError: if the state is of other data, or of networks of another shape.
    """
    _check_state(task, state)
    config, method = task.config, task.method
    if int(jnp.max(state.counts)) + config.per_round > state.capacity:
        wider = 2 * state.capacity
        state = state._replace(params=pad(state.params, wider), best=pad(state.best, wider))
    live = state.result == Stop.GROWING
    first = jnp.all(state.counts == 0, axis=1)
    stuck = (state.gain < config.rescue) & ~first
    keys = jax.vmap(lambda key: jax.random.fold_in(key, state.round))(state.keys)
    grown = grow(method, keys, state.params, state.counts, live, first, stuck, task.problem)
    l2 = jnp.asarray(config.l2, task.x.dtype)
    fitted = refit(method, grown.params, live, task.problem, l2, config.steps)
    measured = task.measure(fitted.params)
    return advance(task.limits, state, live, stuck, grown, fitted, measured)


@jax.jit
def advance(
    limits: Limits,
    state: State,
    live: jax.Array,
    stuck: jax.Array,
    grown: Grown,
    fitted: Refitted,
    measured: Measured,
) -> tuple[State, Info]:
    """Codes of all lanes after a round, and what it did."""
    validated = ~jnp.isnan(measured.validation)
    score = jnp.where(validated, measured.validation, measured.loss)
    better = live & (score < state.best_error)
    waited = jnp.where(better, 0, state.waited + live)

    def kept(new: jax.Array, old: jax.Array) -> jax.Array:
        return jnp.where(better.reshape(-1, *(1,) * (old.ndim - 1)), new, old)

    loss = jnp.where(live, fitted.loss, state.loss)
    gain = jnp.where(live, 1 - loss / jnp.where(state.loss > 0, state.loss, 1), state.gain)
    falls = (gain > 0) & (gain >= limits.rescue)
    dead = jnp.all(grown.relative_ncf <= limits.ncf_tol, axis=1)
    ends = (
        (~jnp.isfinite(loss), Stop.NOT_FINITE),
        (measured.loss <= limits.tol, Stop.FITTED),
        (dead, Stop.NO_POSITIVE_KKT_POINT),
        (jnp.sum(grown.counts, axis=1) >= limits.max_neurons, Stop.MAX_NEURONS),
        ((stuck | (limits.rescue == 0)) & ~falls, Stop.STALLED),
        (_parameters(state, grown.counts) >= limits.max_parameters, Stop.MAX_PARAMETERS),
        (state.age + 1 >= limits.max_rounds, Stop.MAX_ROUNDS),
        (validated & (waited >= limits.patience), Stop.VALIDATION),
    )
    result = jnp.select([flag for flag, _ in ends], [int(code) for _, code in ends], Stop.GROWING)
    result = jnp.where(live, result, state.result).astype(jnp.int32)
    new = [d != 0 for d in grown.direction]
    size = jnp.sqrt(
        sum(
            jnp.sum(jnp.where(mask, w, 0) ** 2, axis=(1, 2))
            for mask, w in zip(new, fitted.params, strict=True)
        )
    )

    def lived(values: jax.Array) -> jax.Array:
        flags = live.reshape(-1, *(1,) * (values.ndim - 1))
        return jnp.where(flags, values, jnp.nan)

    info = Info(
        live,
        jnp.where(live, state.attempt, 0),
        grown.added,
        grown.counts,
        jnp.where(live, grown.kind, 0),
        lived(grown.ncf),
        lived(grown.relative_ncf),
        lived(grown.kkt_residual),
        lived(grown.scale),
        lived(grown.descent),
        lived(state.loss),
        lived(grown.inserted),
        lived(fitted.loss),
        lived(fitted.grad_norm),
        jnp.where(live, grown.evaluations + fitted.evaluations, 0),
        lived(fitted.imbalance),
        lived(size / grown.scale),
        lived(measured.error),
        lived(measured.validation),
        lived(measured.test),
    )
    after = State(
        fitted.params,
        grown.counts,
        loss,
        gain,
        result,
        jax.tree.map(kept, fitted.params, state.best),
        kept(grown.counts, state.best_counts),
        kept(score, state.best_error),
        waited,
        jnp.where(live, state.age + 1, state.age),
        state.attempt,
        state.round + 1,
        state.keys,
        state.fingerprint,
    )
    return after, info


def _parameters(state: State, counts: jax.Array) -> jax.Array:
    """Weights `(B,)` of the networks without padding."""
    ends = [jnp.full(len(counts), state.params[0].shape[2])]
    ends += [*counts.T, jnp.full(len(counts), state.params[-1].shape[1])]
    return sum((a * b for a, b in pairwise(ends)), jnp.zeros_like(ends[0]))


def restart(task: Task, key: jax.Array, state: State, lanes: jax.Array) -> State:
    """The state with the lanes where `lanes` `(B,)` is true put back to the beginning.

    What is random goes on from there, so that they do not repeat themselves.
    """
    fresh = init(key, task)
    again = fresh._replace(
        params=pad(fresh.params, state.capacity),
        best=state.best,
        best_counts=state.best_counts,
        best_error=state.best_error,
        attempt=state.attempt + 1,
        round=state.round,
        keys=state.keys,
    )

    def pick(new: jax.Array, old: jax.Array) -> jax.Array:
        return jnp.where(lanes.reshape(-1, *(1,) * (old.ndim - 1)), new, old) if old.ndim else old

    return jax.tree.map(pick, again, state)


def run(
    key: jax.Array,
    x: Any,
    y: Any,
    *,
    activation: Activation,
    depth: int,
    family: str = "homogeneous",
    loss: str = "square",
    params: Params | None = None,
    validation: tuple[Any, Any] | None = None,
    test: tuple[Any, Any] | None = None,
    preset: str = "default",
    config: Config | None = None,
    state: State | None = None,
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
        activation: homogeneous activation of degree p, such as `PolyLeakyReLU(2)`.
        depth: number of layers L, at least 2.
        family: family of the neurons, `"homogeneous"`.
        loss: `"square"`, `"logistic"` or `"cross_entropy"`.
        params: a network to grow, L matrices; by default there is none.
        validation: held-out `(x, y)`: its error ends lanes that no longer improve, picks the best
            network if none fits, and counts for the certificate.
        test: fresh `(x, y)`, of which the error is recorded and nothing follows.
        preset: `"default"`, or `"paper"` for Algorithm 1.
        config: settings in place of a preset's.
        state: a state to go on from, such as one that `on_round` has saved.
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
    'fitted: the relative training loss is below the tolerance'
    """
    task = Task(
        x,
        y,
        activation=activation,
        depth=depth,
        family=family,
        loss=loss,
        params=params,
        validation=validation,
        test=test,
        preset=preset,
        config=config,
    )
    if on_round is not None:
        _check.function("on_round", on_round)
    state = init(key, task) if state is None else state
    _check_state(task, state)
    lanes = task.config.lanes
    history: list[Info] = []
    while True:
        fitted = jnp.any((state.result == Stop.FITTED).reshape(-1, lanes), axis=1)
        growing = jnp.any((state.result == Stop.GROWING).reshape(-1, lanes), axis=1)
        left = jnp.max(state.attempt.reshape(-1, lanes), axis=1) < task.config.attempts
        again = ~growing & ~fitted & left
        if bool(jnp.any(again)):
            state = restart(task, key, state, jnp.repeat(again, lanes))
        if not bool(jnp.any(growing | again)):
            break
        state, info = step(task, state)
        fitted = jnp.any((state.result == Stop.FITTED).reshape(-1, lanes), axis=1)
        over = jnp.repeat(fitted, lanes) & (state.result == Stop.GROWING)
        state = state._replace(result=jnp.where(over, Stop.OTHER_FITTED, state.result))
        history.append(jax.tree.map(np.asarray, info))
        if on_round is not None:
            on_round(state, info)
    single = jnp.ndim(_typed(key)) == 0
    found = tuple(
        conclude(task, state, history, slice(s * lanes, (s + 1) * lanes))
        for s in range(len(state.loss) // lanes)
    )
    return found[0] if single else found


def _typed(key: Any) -> jax.Array:
    """A typed PRNG key of one made by `jax.random.PRNGKey`."""
    if not isinstance(key, jax.Array):
        raise TypeError(f"key must be a PRNG key, such as jax.random.key(0), got {key!r}")
    if jax.dtypes.issubdtype(key.dtype, jax.dtypes.prng_key):
        if key.ndim > 1 or key.size == 0:
            raise ValueError(f"key must be one PRNG key or a vector of them, got {key.shape}")
        return key
    return jax.random.wrap_key_data(key)


def _check_state(task: Task, state: State) -> None:
    if not isinstance(state, State):
        raise TypeError(f"state must be a pursuit.State, got {type(state).__name__}")
    if int(state.fingerprint) != task.fingerprint:
        raise ValueError("state must be of a pursuit on the same data, got one whose x or y differ")
    if len(state.params) != task.depth:
        raise ValueError(
            f"state must hold networks of depth {task.depth}, got depth {len(state.params)}"
        )
    if len(state.loss) % task.config.lanes:
        raise ValueError(
            f"state must hold a multiple of config.lanes = {task.config.lanes} lanes, got "
            f"{len(state.loss)}"
        )
