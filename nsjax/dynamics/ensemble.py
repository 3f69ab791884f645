"""Gradient flow of many members at once: seeds, draws of data and settings are lanes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from nsjax import _check, _mesh
from nsjax._flat import Layout
from nsjax.diagnostics import Trajectory
from nsjax.dynamics.events import Saves
from nsjax.dynamics.flow import Loss
from nsjax.dynamics.members import EnsembleState, Given, Spec
from nsjax.dynamics.packing import block_size, continued, copied, fresh, group_size, run
from nsjax.dynamics.results import in_words
from nsjax.dynamics.tolerances import check_rtol, default_atol, is_coarse, smallest


class FlowEnsemble(NamedTuple):
    """Gradient flows of M members; m saves of each, of which the last is where it stopped.

    Attributes:
        ts: `(M, m)` times of the saves, from 0; infinite after a member's stop.
        observables: name to array with leading axes `(M, m)`; after a member's stop NaN, or 0 if it
            is no array of floats.
        losses, grad_norms: `(M, m)`; NaN after a member's stop.
        params: parameters at the end, leaves with a leading axis of length M.
        snapshots: parameters at every save, leaves with leading axes `(M, m)`, NaN after a member's
            stop; None unless asked for.
        t_end: `(M,)` times where it stopped.
        results: `(M,)` `Stop` codes; `messages` are their texts.
        steps, rejected: `(M,)` attempted steps, and those refused.
        coarse: `(M,)` whether `atol` lies above a tenth of the member's smallest nonzero row or
            column at the start, so that the tolerance cannot resolve its growth.
        lanes: lane-steps spent: attempted steps of members, and of idle lanes beside them.
    """

    ts: np.ndarray
    observables: dict[str, np.ndarray]
    losses: np.ndarray
    grad_norms: np.ndarray
    params: Any
    snapshots: Any
    t_end: np.ndarray
    results: np.ndarray
    steps: np.ndarray
    rejected: np.ndarray
    coarse: np.ndarray
    lanes: int

    @property
    def messages(self) -> list[str]:
        """Why each member stopped, in words."""
        return [
            in_words(code, coarse=coarse)
            for code, coarse in zip(self.results, self.coarse, strict=True)
        ]

    def member(self, index: int) -> Trajectory:
        """One member's trajectory up to where it stopped, as `saddle_visits` takes it.

        With snapshots that is the cascade of the member, as far as the plain flow resolves it.

        Args:
            index: of the member, 0 to M - 1.

        Raises:
            TypeError, ValueError: if there is no such member.
        """
        size = len(self.ts)
        if isinstance(index, bool) or not isinstance(index, int | np.integer):
            raise TypeError(f"index must be an integer, got {index!r}")
        if not 0 <= index < size:
            raise ValueError(f"index must be from 0 to {size - 1}, got {index}")
        made = np.isfinite(self.ts[index])
        return Trajectory(
            self.ts[index, made],
            self.losses[index, made],
            self.grad_norms[index, made],
            jax.tree.map(lambda leaf: leaf[index, made], self.snapshots),
        )

    @property
    def end_losses(self) -> np.ndarray:
        """`(M,)` losses where each member stopped: its last save."""
        last = np.sum(np.isfinite(self.ts), axis=1) - 1
        return np.take_along_axis(self.losses, last[:, None], axis=1)[:, 0]


def flow_ensemble(
    loss: Loss,
    params: Any,
    *,
    args: tuple = (),
    member_args: tuple = (),
    t1: Any,
    rtol: Any = 1e-6,
    atol: Any = None,
    saves: Saves | None = None,
    stop_loss: Any = None,
    stop_grad_norm: Any = None,
    max_steps: int = 100_000,
    chunk: int = 64,
    mesh: Mesh | None = None,
    memory: int = 2**30,
    start: EnsembleState | Callable[[EnsembleState], EnsembleState | None] | None = None,
    on_chunk: Callable[[EnsembleState], Any] | None = None,
) -> FlowEnsemble:
    """Follow gradient flow of M members, each with its own step sizes, for a time `t1` each.

    Explicit (Tsit5), with the step-size control of `gradient_flow`: a member ends within the
    tolerances of where that ends, whatever members it is run with: they do not enter into its
    arithmetic, except for rounding, which the choice of step sizes can magnify. After every `chunk`
    attempted steps those that have stopped are dropped, and the others packed into fewer lanes.

    On more than one device, `flow_ensemble(..., mesh=jax.make_mesh((8,), ("members",)))`.

    Args:
        loss: pure function `(params, *member_args, *args) -> scalar`, hashable, with the member's
            own entries of `member_args`.
        params: pytree of float arrays with a leading axis of length M.
        args: arguments of the loss that all members share, such as data.
        member_args: arrays with a leading axis of length M: draws of data, hyper-parameters.
        t1: horizon, in the time of `dw/dt = -grad f`; a number, or `(M,)`.
        rtol, atol: relative and absolute tolerance of the step-size control, per entry; numbers, or
            `(M,)`. `atol` defaults to `rtol / 100` times the norm of the smallest nonzero row or
            column of the member's parameters.
        saves: what to save and when, each member by its own horizon, see `Saves`; observables are
            called as `(params, *member_args, *args)`. 200 log-spaced times by default.
        stop_loss, stop_grad_norm: stop a member (`Stop.EVENT`) where its loss, or the norm of its
            gradient, is below this; a number, or `(M,)`. Looked at after every step, which for the
            loss costs one more evaluation of it, and not bisected: a member stops at the end of
            the first accepted step past the value.
        max_steps: bound on the attempted steps of a member.
        chunk: attempted steps between two packings.
        mesh: devices, with one or both of the axes "members", over which the lanes are split, and
            "data", over which the samples are: every array in `args` that has as many rows as the
            first one there.
        memory: bytes on one device for the working arrays, about; members that do not fit at once
            run in groups.
        start: continue from this state, or from what a function returns when it is given the state
            before the first step, if that is not None: `runs.Checkpoints.restore` is such a
            function. The state is one that `on_chunk` was given in a call with the same
            arguments; it ends with the same bits as if it had not been interrupted.
        on_chunk: called with an `EnsembleState` after every chunk, for checkpoints and progress.

    Raises:
        TypeError, ValueError: for bad input, or if `memory` is too small for one block of lanes;
            before anything is compiled.

    >>> ends = flow_ensemble(
    ...     lambda w, rate: 0.5 * rate * jnp.sum(w ** 2),
    ...     jnp.ones((3, 1)),
    ...     member_args=(jnp.array([0.0, 1.0, 2.0]),),
    ...     t1=1.0,
    ...     rtol=1e-4,
    ... )
    >>> [f"{w:.3f}" for w in ends.params[:, 0]], ends.messages[0]
    (['1.000', '0.368', '0.135'], 'the horizon was reached')
    """
    _check.hashable("loss", loss)
    params = _check.floating_tree("params", params)
    size = _check.members("params", params)
    _check.data("args", args)
    args = jax.tree.map(jnp.asarray, args)
    member_args = _member_args(member_args, size)
    saves = Saves() if saves is None else saves
    if not isinstance(saves, Saves):
        raise TypeError(f"saves must be an nsjax.dynamics.Saves, got {saves!r}")
    max_steps = _check.positive_integer("max_steps", max_steps)
    chunk = _check.positive_integer("chunk", chunk)
    memory = _check.positive_integer("memory", memory)
    if on_chunk is not None:
        _check.function("on_chunk", on_chunk)

    one = jax.eval_shape(lambda t: jax.tree.map(lambda a: a[0], t), (params, member_args))
    _check.scalar_function("loss", loss, one[0], *one[1], *args)
    layout = Layout.of(one[0])
    leaves = [np.asarray(leaf).reshape(size, -1) for leaf in jax.tree.leaves(params)]
    y = np.concatenate(leaves, axis=1)
    least = smallest(params)
    horizon = _per_member("t1", t1, size, y.dtype, least=0.0)
    rtol = _per_member("rtol", rtol, size, y.dtype, least=0.0)
    check_rtol(float(np.min(rtol)), y.dtype)
    if atol is None:
        atol = default_atol(rtol, least)
    given = Given(
        horizon,
        rtol,
        _per_member("atol", atol, size, y.dtype, least=0.0),
        _per_member("stop_loss", 0.0 if stop_loss is None else stop_loss, size, y.dtype),
        _per_member(
            "stop_grad_norm",
            1.0 if stop_grad_norm is None else stop_grad_norm,
            size,
            y.dtype,
            least=0.0,
        ),
        member_args,
    )
    mesh = _mesh.checked(mesh)
    args = _mesh.samples_placed(mesh, "args", args)
    spec = Spec(
        loss,
        layout,
        tuple(saves.observables.items()),
        saves.count,
        saves.decades,
        saves.snapshots,
        stop_loss is not None,
        stop_grad_norm is not None,
        block_size(mesh, size),
        mesh,
    )
    state = fresh(spec, y, one, args)
    group = group_size(spec, state, given, one, args, memory)
    if callable(start):
        start = start(copied(state))
    if start is not None:
        state = continued(start, state)
    for first in range(0, size, group):
        members = np.arange(first, min(first + group, size))
        run(
            spec,
            state,
            given,
            args,
            members,
            chunk=chunk,
            max_steps=max_steps,
            on_chunk=on_chunk,
        )
    ends, saved = state.members, state.members.saved
    snapshots = None
    if saves.snapshots:
        flat = layout.trees(saved.snapshots.reshape(-1, layout.size))
        snapshots = jax.tree.map(lambda a: a.reshape(size, -1, *a.shape[1:]), flat)
    return FlowEnsemble(
        saved.ts,
        saved.observables,
        saved.losses,
        saved.grad_norms,
        layout.trees(ends.y),
        snapshots,
        ends.t * horizon,
        ends.code,
        ends.steps,
        ends.rejected,
        is_coarse(given.atol, least),
        int(state.spent),
    )


def _member_args(member_args: Any, size: int) -> tuple[np.ndarray, ...]:
    _check.data("member_args", member_args)
    for i, array in enumerate(member_args):
        if np.shape(array)[:1] != (size,):
            raise ValueError(
                f"member_args[{i}] must have a leading axis of {size} members, got "
                + (f"shape {np.shape(array)}" if np.ndim(array) else repr(array))
            )
    return tuple(np.asarray(jnp.asarray(array)) for array in member_args)


def _per_member(
    name: str, value: Any, size: int, dtype: Any, *, least: float = -math.inf
) -> np.ndarray:
    """`(M,)` finite numbers above `least`, of one or of M."""
    above = "positive numbers" if least == 0 else "finite numbers"
    try:
        array = np.asarray(value)
        numbers = array.astype(dtype)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be one or {size} {above}, got {value!r}") from error
    if array.dtype == bool or array.shape not in ((), (size,)):
        raise TypeError(f"{name} must be one or {size} {above}, got {value!r}")
    if not np.all(np.isfinite(numbers) & (numbers > least)):
        raise ValueError(f"{name} must be {above}, got {value!r}")
    return np.broadcast_to(numbers, size)
