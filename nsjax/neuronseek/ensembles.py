"""Training of flax networks, many of them at once: seeds, splits and settings are lanes.

Adam with decoupled weight decay and a cosine schedule, in minibatches that are shuffled on the
device; early stopping by held-out samples. Whole epochs are compiled, and the learning rate and the
decay are arrays, so that a grid of settings is one program, too.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from nsjax import _check, _mesh
from nsjax.objectives import LOSSES

_CHUNK = 25
"""Most epochs of one call of the compiled program."""


@dataclass(frozen=True)
class EnsembleTraining:
    """Settings of the training of networks. Frozen and hashable.

    Raises:
        TypeError, ValueError: on making one with a bad setting, which is named.
    """

    epochs: int = 500
    """Most epochs; the learning rate falls to zero along a cosine over all of them."""
    batch: int = 64
    """Samples of a minibatch; the last one of an epoch, if it is smaller, is left out."""
    patience: int = 100
    """Epochs without a lower held-out loss after which a network is done."""
    clip: float = 1.0
    """Largest norm of a gradient."""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch", "patience"):
            _check.positive_integer(name, getattr(self, name))
        _check.positive("clip", self.clip)


class Ensemble(NamedTuple):
    """L trained networks.

    Attributes:
        params: of every network the parameters of the least held-out loss, leaves `(L, ...)`.
        train, validation: mean loss a sample after every epoch, `(L, E)`; NaN after the end.
        least: the least held-out loss, `(L,)`; infinity if there was none.
        best: its epoch, from 1, `(L,)`; 0 if there was none.
        epochs: that each network was trained, `(L,)`.
    """

    params: Any
    train: np.ndarray
    validation: np.ndarray
    least: np.ndarray
    best: np.ndarray
    epochs: np.ndarray


class _State(NamedTuple):
    params: Any
    optimiser: Any
    key: jax.Array
    epoch: jax.Array
    kept: Any
    least: jax.Array
    best: jax.Array


class _Samples(NamedTuple):
    x: jax.Array
    y: jax.Array
    held_x: jax.Array
    held_y: jax.Array


def train_ensemble(
    keys: jax.Array,
    module: Any,
    train: tuple[Any, Any],
    validation: tuple[Any, Any],
    *,
    learning_rate: Any = 3e-3,
    weight_decay: Any = 0.0,
    config: EnsembleTraining | None = None,
    loss: str = "square",
    mesh: Mesh | None = None,
    on_epochs: Callable[[int, np.ndarray], None] | None = None,
) -> Ensemble:
    """Train L networks of one architecture together.

    Args:
        keys: a PRNG key for every network, `(L,)`.
        module: flax module from inputs `(n, ...)` to outputs `(n, c)`, without mutable state.
        train: samples of every network, `(L, n, ...)` and `(L, n, c)`.
        validation: held-out samples, `(L, m, ...)` and `(L, m, c)`.
        learning_rate: at the start, a number or `(L,)`.
        weight_decay: decoupled, a number or `(L,)`.
        config: further settings.
        loss: `"square"`, `"logistic"` or `"cross_entropy"`.
        mesh: devices with an axis "members", over which the networks are split.
        on_epochs: called with the number of epochs and the least held-out losses `(L,)`, now and
            then.

    Raises:
        TypeError, ValueError: for arrays whose sizes do not fit, and bad settings.
    """
    config = EnsembleTraining() if config is None else config
    if not isinstance(config, EnsembleTraining):
        raise TypeError(f"config must be an EnsembleTraining, got {type(config).__name__}")
    _check.choice("loss", loss, tuple(LOSSES))
    mesh = _mesh.checked(mesh)
    if mesh is not None and mesh.axis_names != ("members",):
        raise ValueError(f"mesh must have the axis 'members' alone, got {mesh.axis_names}")
    keys = _check.keys("keys", keys)
    if keys.ndim != 1:
        raise ValueError(
            "keys must be a vector of PRNG keys, one for each network, got a single key"
        )
    lanes = len(keys)
    samples = _Samples(*map(_floating, (*train, *validation)))
    for name, each in samples._asdict().items():
        if each.ndim < 3 or len(each) != lanes or not bool(jnp.all(jnp.isfinite(each))):
            raise ValueError(
                f"{name} must be finite, with a row of samples for each of {lanes} keys, got shape "
                f"{each.shape}"
            )
    pairs = ((samples.x, samples.y), (samples.held_x, samples.held_y))
    if any(x.shape[1] != y.shape[1] for x, y in pairs):
        raise ValueError(
            "there must be as many targets as inputs, got shapes "
            + ", ".join(str(each.shape) for each in samples)
        )
    rates = [
        _lanes("learning_rate", learning_rate, lanes).astype(samples.x.dtype),
        _lanes("weight_decay", weight_decay, lanes).astype(samples.x.dtype),
    ]
    program = _Program(module, loss, config, samples.x.shape[1])
    states = _start(program, keys, samples, *rates)
    samples = _mesh.members_placed(mesh, samples)
    records: list[tuple[np.ndarray, np.ndarray]] = []
    done = 0
    while done < config.epochs:
        states = _mesh.members_placed(mesh, states)
        states, record = _advance(program, mesh, states, samples)
        records.append(jax.tree.map(np.asarray, record))
        done += program.chunk
        if on_epochs is not None:
            on_epochs(min(done, config.epochs), np.asarray(states.least))
        if bool(jnp.all(_over(program, states))):
            break
    losses, held = (
        np.concatenate(part, axis=1)[:, : config.epochs] for part in zip(*records, strict=True)
    )
    ends = (np.asarray(each) for each in (states.least, states.best, states.epoch))
    return Ensemble(states.kept, losses, held, *ends)


def _floating(array: Any) -> jax.Array:
    array = jnp.asarray(array)
    # Half precision is the module's matter, by its dtype.
    return array.astype(jnp.promote_types(array.dtype, jnp.float32))


def _lanes(name: str, value: Any, lanes: int) -> np.ndarray:
    found = np.asarray(value, float)
    if found.shape not in ((), (lanes,)) or not np.all(np.isfinite(found)) or np.any(found < 0):
        raise ValueError(f"{name} must be a number >= 0, or {lanes} of them, got {value!r}")
    return np.broadcast_to(found, lanes)


@dataclass(frozen=True)
class _Program:
    """What a compiled program depends on, beside shapes."""

    module: Any
    loss: str
    config: EnsembleTraining
    count: int

    @property
    def batch(self) -> int:
        return min(self.config.batch, self.count)

    @property
    def chunk(self) -> int:
        return min(_CHUNK, self.config.epochs)

    @property
    def steps(self) -> int:
        return self.count // self.batch

    @property
    def optimiser(self) -> Any:
        def make(learning_rate: Any, weight_decay: Any) -> Any:
            schedule = optax.cosine_decay_schedule(1.0, self.config.epochs * self.steps)
            return optax.chain(
                optax.clip_by_global_norm(self.config.clip),
                optax.scale_by_adam(),
                optax.add_decayed_weights(weight_decay),
                optax.scale_by_schedule(schedule),
                optax.scale(-learning_rate),
            )

        return optax.inject_hyperparams(make)

    def mean_loss(self, params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        return LOSSES[self.loss](self.module.apply(params, x), y) / len(x)


@functools.partial(jax.jit, static_argnums=0)
def _start(
    program: _Program, keys: jax.Array, samples: _Samples, rate: jax.Array, decay: jax.Array
) -> _State:
    def one(key: jax.Array, x: jax.Array, rate: jax.Array, decay: jax.Array) -> _State:
        first, key = jax.random.split(key)
        params = program.module.init(first, x[:1])
        optimiser = program.optimiser(learning_rate=rate, weight_decay=decay).init(params)
        zero = jnp.zeros((), jnp.int32)
        return _State(params, optimiser, key, zero, params, jnp.asarray(jnp.inf, x.dtype), zero)

    return jax.vmap(one)(keys, samples.x, rate, decay)


def _over(program: _Program, state: _State) -> jax.Array:
    late = state.epoch - state.best >= program.config.patience
    return late | (state.epoch >= program.config.epochs)


@functools.partial(jax.jit, static_argnums=(0, 1), donate_argnums=2)
def _advance(
    program: _Program, mesh: Mesh | None, states: _State, samples: _Samples
) -> tuple[_State, tuple[jax.Array, jax.Array]]:
    def epoch(state: _State, samples: _Samples) -> tuple[_State, tuple[jax.Array, jax.Array]]:
        key, shuffle = jax.random.split(state.key)
        rows = jax.random.permutation(shuffle, program.count)[: program.steps * program.batch]
        optimiser = program.optimiser(learning_rate=0.0, weight_decay=0.0)

        def step(carry: Any, rows: jax.Array) -> tuple[Any, jax.Array]:
            params, memory = carry
            loss, slope = jax.value_and_grad(program.mean_loss)(
                params, samples.x[rows], samples.y[rows]
            )
            updates, memory = optimiser.update(slope, memory, params)
            return (optax.apply_updates(params, updates), memory), loss

        (params, memory), losses = jax.lax.scan(
            step, (state.params, state.optimiser), rows.reshape(program.steps, program.batch)
        )
        held = program.mean_loss(params, samples.held_x, samples.held_y)
        held = held.astype(state.least.dtype)
        over, better = _over(program, state), held < state.least

        def keep(flag: jax.Array, new: Any, old: Any) -> Any:
            return jax.tree.map(lambda a, b: jnp.where(flag, a, b), new, old)

        after = _State(
            params,
            memory,
            key,
            state.epoch + 1,
            keep(better, params, state.kept),
            jnp.where(better, held, state.least),
            jnp.where(better, state.epoch + 1, state.best),
        )
        nothing = jnp.where(over, jnp.nan, 0.0)
        return keep(~over, after, state), (jnp.mean(losses) + nothing, held + nothing)

    def lane(state: _State, samples: _Samples) -> Any:
        return jax.lax.scan(lambda s, _: epoch(s, samples), state, length=program.chunk)

    return _mesh.over_members(mesh, jax.vmap(lane), (states, samples))
