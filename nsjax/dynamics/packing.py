"""The members of an ensemble on the host: packed into lanes, brought back, and started again."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from nsjax import _check, _mesh
from nsjax.dynamics.flow import Loss
from nsjax.dynamics.lanes import advance, begin, pick
from nsjax.dynamics.members import RUNNING, EnsembleState, Given, LaneState, Saved, Spec
from nsjax.dynamics.results import Stop

BLOCK = 16
"""Lanes that step together on a CPU. Fewer do not pay for the fixed cost of a step's operations;
with more, activations outgrow the cache, and more lanes wait for the last of their block."""

_VECTORS = 20
"""Vectors of parameters that a step of a lane holds at once: 7 stages, twice for a copy, and a few
more."""


def run(
    spec: Spec,
    state: EnsembleState,
    given: Given,
    args: tuple,
    members: np.ndarray,
    *,
    chunk: int,
    max_steps: int,
    on_chunk: Callable[[EnsembleState], Any] | None,
) -> None:
    """Run some members to their ends, a chunk at a time, and write them into the state.

    Which lanes a chunk has depends only on who has not stopped, so that a run that is continued has
    the lanes of one that was not interrupted.
    """
    bounds = jnp.int32(chunk), jnp.int32(max_steps)
    begun = np.all(state.members.made[members])
    members = members[state.members.code[members] == RUNNING]
    if not members.size:
        return
    rows = _padded(spec, members)
    lanes, theirs = jax.tree.map(lambda a: a[np.maximum(rows, 0)], (state.members, given))
    lanes = lanes._replace(code=np.where(rows < 0, np.int32(Stop.HORIZON), lanes.code))
    lanes, theirs = _mesh.members_placed(spec.mesh, (lanes, theirs))
    if not begun:
        lanes = begin(spec, lanes, theirs, args)
    while members.size:
        lanes, spent = advance(spec, lanes, theirs, args, *bounds)
        state.spent[...] += np.sum(np.asarray(spent), dtype=np.int64)
        going = np.asarray(lanes.code)[: members.size] == RUNNING
        if on_chunk is not None:
            _keep(spec, state, lanes, members, np.ones_like(going))
            on_chunk(copied(state))
        elif not going.all():
            _keep(spec, state, lanes, members, ~going)
        members = members[going]
        if members.size and not going.all():
            picked = pick((lanes, theirs), _padded(spec, *np.nonzero(going)))
            lanes, theirs = _mesh.members_placed(spec.mesh, picked)


def _keep(
    spec: Spec, state: EnsembleState, lanes: LaneState, members: np.ndarray, which: np.ndarray
) -> None:
    """Write some lanes into the state on the host."""
    rows = np.flatnonzero(which)
    if not which.all():
        lanes, _ = pick((lanes, ()), _padded(spec, rows))

    def put(kept: np.ndarray, found: jax.Array) -> None:
        kept[members[which]] = np.asarray(found)[: rows.size]

    jax.tree.map(put, state.members, lanes)


def _padded(spec: Spec, rows: np.ndarray) -> np.ndarray:
    """Rows filled up with -1 to a number of lanes for which there are few programs."""
    least = (spec.block or BLOCK) * _mesh.parts(spec.mesh)
    lanes = least * _power_of_two(math.ceil(rows.size / least))
    return np.concatenate([rows, np.full(lanes - rows.size, -1)])


def _power_of_two(least: int) -> int:
    return 1 << max(least - 1, 0).bit_length()


def fresh(spec: Spec, y: np.ndarray, one: tuple[Any, tuple], args: tuple) -> EnsembleState:
    """Members that have not begun: nothing but their starts."""
    params, member_args = one
    size, m, dtype = len(y), len(spec.fractions), y.dtype

    def room(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        return np.full(shape, np.nan if jnp.issubdtype(dtype, jnp.inexact) else 0, dtype)

    observables = {}
    for name, function in spec.observables:
        _check.traces(f"observable {name!r}", function, params, *member_args, *args)
        found = jax.eval_shape(function, params, *member_args, *args)
        observables[name] = jax.tree.map(lambda a: room((size, m, *a.shape), a.dtype), found)
    saved = Saved(
        ts=np.full((size, m), np.inf, dtype),
        losses=room((size, m), dtype),
        grad_norms=room((size, m), dtype),
        observables=observables,
        snapshots=room((size, m if spec.snapshots else 0, y.shape[1]), dtype),
    )
    zeros, counts = np.zeros(size, dtype), np.zeros(size, np.int32)
    members = LaneState(
        y=y,
        slope=np.zeros_like(y),
        t=zeros,
        t_next=zeros,
        made=counts,
        code=np.full_like(counts, RUNNING),
        steps=counts,
        rejected=counts,
        saved=saved,
    )
    return copied(EnsembleState(members, np.zeros((), np.int64)))


def copied(state: EnsembleState) -> EnsembleState:
    """A state that shares no memory with this one."""
    return jax.tree.map(np.array, state)


def continued(start: Any, fresh: EnsembleState) -> EnsembleState:
    """A copy of the state to start from, if it is one of such a call."""
    if not isinstance(start, EnsembleState):
        raise TypeError(f"start must be an nsjax.dynamics.EnsembleState, got {start!r:.80}")
    came_as: Any = jax.tree.structure(start)
    if came_as != jax.tree.structure(fresh):
        raise ValueError(
            "start must come from a call with the same observables, got "
            f"{', '.join(start.members.saved.observables) or 'none'}"
        )
    for (path, wanted), came in zip(
        jax.tree_util.tree_leaves_with_path(fresh), jax.tree.leaves(start), strict=True
    ):
        if (wanted.shape, wanted.dtype) != (np.shape(came), np.asarray(came).dtype):
            raise ValueError(
                f"start{jax.tree_util.keystr(path)} must be {wanted.dtype} of shape "
                f"{wanted.shape}, got {np.asarray(came).dtype} of shape {np.shape(came)}: start "
                "must come from a call with the same arguments"
            )
    return copied(start)


def group_size(
    spec: Spec,
    state: EnsembleState,
    given: Given,
    one: tuple[Any, tuple],
    args: tuple,
    memory: int,
) -> int:
    """How many members run at once."""
    size, entries = state.members.y.shape
    rows = jax.tree.leaves((state.members, given))
    kept = 2 * sum(a.nbytes // size for a in rows)  # blocks are copied out and in
    work = _VECTORS * entries * state.members.y.itemsize + _intermediates(spec.loss, one, args)
    block = spec.block or BLOCK
    need = block * (kept + work)
    if need > memory:
        raise ValueError(
            f"memory must be at least {need} bytes for {block} members at once, with the saves and "
            f"the arrays of the loss, got {memory}; raise it, lower saves.count (now {spec.saves})"
            ", leave out snapshots and large observables, or give fewer members"
        )
    lanes = block
    while 2 * lanes * kept + (block if spec.block else 2 * lanes) * work <= memory:
        lanes *= 2
    return lanes * _mesh.parts(spec.mesh)


def _intermediates(loss: Loss, one: tuple[Any, tuple], args: tuple) -> int:
    """Bytes of all that the operations of a member's gradient put out: more than live at once."""
    leaves, tree = jax.tree.flatten((one[0], *one[1], *args))
    return _outputs(loss, tree, tuple((leaf.shape, leaf.dtype) for leaf in leaves))


@lru_cache(maxsize=64)
def _outputs(loss: Loss, tree: Any, leaves: tuple[tuple[tuple[int, ...], Any], ...]) -> int:
    # Tracing the loss takes longer than all else that a call does on the host.
    inputs = jax.tree.unflatten(tree, [jax.ShapeDtypeStruct(*leaf) for leaf in leaves])
    gradient = jax.make_jaxpr(jax.grad(loss))(*inputs)
    outputs = [v.aval for equation in gradient.jaxpr.eqns for v in equation.outvars]
    return sum(a.size * a.dtype.itemsize for a in outputs if hasattr(a, "size"))


def block_size(mesh: Mesh | None, size: int) -> int:
    """Lanes that step together; 0, for all, where a kernel takes as long for one as for many."""
    platform = jax.default_backend() if mesh is None else mesh.devices.flat[0].platform
    if platform != "cpu":
        return 0
    return min(BLOCK, _power_of_two(math.ceil(size / _mesh.parts(mesh))))
