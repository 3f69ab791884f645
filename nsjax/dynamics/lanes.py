"""Gradient flows side by side: the members of an ensemble as lanes of one compiled program.

Every lane has its own time, step size and saves. The lanes of a block take their attempted steps
together, so that their gradients are one matrix product with the data they share. Everything here
is traced by its callers; nothing is validated and nothing touches the host.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
from jax import lax

from nsjax import _mesh
from nsjax.dynamics.integrate import error_norm
from nsjax.dynamics.members import RUNNING, Given, LaneState, Saved, Spec
from nsjax.dynamics.results import COLLAPSE, Stop

# JAX's own loop over the stages: diffrax's default is made for derivatives of a solution, which
# are not taken here, and is slower.
_SOLVER = diffrax.Tsit5(scan_kind="lax")

_FIRST_STEP = 0.01
"""Share of the horizon that is tried first, as diffrax does in `gradient_flow`."""


class _Queue(NamedTuple):
    """Saves that are still to be measured, as many as there are lanes, of any of them.

    Attributes:
        y: flat parameters `(b, P)`.
        t: `(b,)` shares of the horizon.
        lane, place: `(b,)` where they belong; place m, outside of the saves, if there is none.
        length: how many there are.
    """

    y: jax.Array
    t: jax.Array
    lane: jax.Array
    place: jax.Array
    length: jax.Array


class _Block(NamedTuple):
    """A block's functions, and how it saves."""

    spec: Spec
    given: Given
    args: tuple

    def loss(self, y: jax.Array, given: Given) -> jax.Array:
        """Loss of one lane."""
        value = self.spec.loss(self.spec.layout.tree(y), *given.args, *self.args)
        return value.astype(y.dtype)

    def losses(self, y: jax.Array) -> jax.Array:
        """`(b,)` losses of all lanes."""
        return jax.vmap(self.loss)(y, self.given)

    def slopes(self, y: jax.Array) -> jax.Array:
        """`(b, P)` minus the gradients of all lanes, in shares of the horizon."""
        gradients = jax.vmap(jax.grad(self.loss))(y, self.given)
        return -self.given.horizon[:, None] * gradients

    def past(self, y: jax.Array, slope: jax.Array) -> jax.Array:
        """`(b,)` whether a lane is below one of its thresholds."""
        found = jnp.zeros(y.shape[:1], bool)
        if self.spec.stop_loss:
            found |= self.losses(y) < self.given.stop_loss
        if self.spec.stop_grad_norm:
            least = self.given.stop_grad_norm * self.given.horizon
            found |= jnp.linalg.norm(slope, axis=1) < least
        return found

    def step(self, state: LaneState) -> tuple[Any, Any, Any, Any]:
        """An attempted step of every lane: what came out, the next times, and dense output."""
        # With a time for every lane the solver's step is one for all of them.
        term = diffrax.ODETerm(lambda t, y, args: self.slopes(y))
        y1, error, dense, last, _ = _SOLVER.step(
            term,
            state.t[:, None],
            state.t_next[:, None],
            state.y,
            None,
            (jnp.zeros((), bool), state.slope),
            False,
        )
        _, slope = last  # type: ignore[misc]
        order: Any = _SOLVER.error_order(term)

        def adapt(t: Any, t_next: Any, y: Any, y1: Any, error: Any, rtol: Any, atol: Any) -> Any:
            control = diffrax.PIDController(rtol, atol, norm=error_norm)
            before: Any = jnp.ones_like(t), jnp.ones_like(t), False
            return control.adapt_step_size(t, t_next, y, y1, None, error, order, before)[:3]

        keep, t, t_next = jax.vmap(adapt)(
            state.t, state.t_next, state.y, y1, error, self.given.rtol, self.given.atol
        )
        # As diffrax ends an integration: at 1 exactly, without a last step of a few roundings.
        t = jnp.minimum(t, 1)
        near = t_next > 1 - 100 * jnp.finfo(t.dtype).epsneg
        t_next = jnp.where(near, jnp.where(keep, 1, t + 0.5 * (1 - t)), t_next)
        return (y1, slope), keep, (t, t_next), dense["k"]

    def measured(self, saved: Saved, queue: _Queue) -> tuple[Saved, _Queue]:
        """What is in the queue, measured and saved; and an empty queue."""
        given = jax.tree.map(lambda a: a[queue.lane], self.given)
        value, gradient = jax.vmap(jax.value_and_grad(self.loss))(queue.y, given)

        def observe(y: jax.Array, given: Given) -> dict[str, Any]:
            params = self.spec.layout.tree(y)
            return {name: f(params, *given.args, *self.args) for name, f in self.spec.observables}

        found = Saved(
            queue.t * given.horizon,
            value,
            jnp.linalg.norm(gradient, axis=1),
            jax.vmap(observe)(queue.y, given),
            queue.y,
        )

        def put(series: jax.Array, new: jax.Array) -> jax.Array:
            return series.at[queue.lane, queue.place].set(new, mode="drop")

        # A series without saves is that of the snapshots, if there are none.
        saved = jax.tree.map(lambda s, n: put(s, n) if s.shape[1] else s, saved, found)
        return saved, self.emptied(queue)

    def emptied(self, queue: _Queue) -> _Queue:
        """Places outside of the saves, and no length."""
        outside = jnp.full_like(queue.place, len(self.spec.fractions))
        return queue._replace(place=outside, length=jnp.zeros_like(queue.length))

    def save(
        self, old: LaneState, state: LaneState, ks: jax.Array, queue: _Queue
    ) -> tuple[LaneState, _Queue]:
        """Queue the saves within the last step, and the end of a lane that stops.

        Of a block of lanes few have a save in the same step, and one may have many. They are
        measured when the queue is full, so that no gradients are for nothing.
        """
        b, m = state.saved.ts.shape
        fractions = jnp.asarray(self.spec.fractions, state.t.dtype)
        slots = jnp.arange(b, dtype=state.made.dtype)

        def due(made: jax.Array) -> jax.Array:
            """`(b,)` how many saves of each lane there are up to its time."""
            inside = jnp.sum(fractions <= state.t[:, None], axis=1, dtype=made.dtype)
            # The end is a save too, unless it coincides with the last one.
            short = (inside < m) & (fractions[inside - 1] < state.t)
            ends = (old.code == RUNNING) & (state.code != RUNNING) & short
            return jnp.where(old.code == RUNNING, inside + ends - made, 0)

        def append(carry: tuple[Saved, _Queue, jax.Array]) -> tuple[Saved, _Queue, jax.Array]:
            saved, queue, made = carry
            saved, queue = lax.cond(
                queue.length == b, self.measured, lambda s, q: (s, q), saved, queue
            )
            # The next free slots, filled with the saves of one lane after the other.
            count = due(made)
            upto = jnp.cumsum(count, dtype=count.dtype)
            free = b - queue.length
            lane = jnp.searchsorted(upto, slots, side="right", method="scan_unrolled")
            lane = jnp.minimum(lane, b - 1).astype(made.dtype)
            place = made[lane] + slots - (upto - count)[lane]
            at = jnp.where(slots < jnp.minimum(upto[-1], free), queue.length + slots, b)
            t0, t1, t = old.t[lane], old.t_next[lane], state.t[lane]
            moment = jnp.minimum(fractions[jnp.minimum(place, m - 1)], t)

            def dense(y: jax.Array, k: jax.Array, share: jax.Array) -> jax.Array:
                return _SOLVER.interpolation_cls(t0=0.0, t1=1.0, y0=y, y1=y, k=k).evaluate(share)

            share = jnp.where(t1 > t0, (moment - t0) / (t1 - t0), 0)
            y = jax.vmap(dense, in_axes=(0, 1, 0))(old.y[lane], ks[:, lane], share)
            y = jnp.where((moment == t)[:, None], state.y[lane], y)
            taken = jnp.clip(free - (upto - count), 0, count)

            def put(series: jax.Array, new: jax.Array) -> jax.Array:
                return series.at[at].set(new, mode="drop")

            queue = _Queue(
                put(queue.y, y),
                put(queue.t, moment),
                put(queue.lane, lane),
                put(queue.place, place),
                queue.length + jnp.minimum(upto[-1], free),
            )
            return saved, queue, made + taken

        saved, queue, made = lax.while_loop(
            lambda carry: jnp.any(due(carry[2]) > 0), append, (state.saved, queue, state.made)
        )
        return state._replace(saved=saved, made=made), queue


def _queue(state: LaneState) -> _Queue:
    """Where every lane is, as its first save."""
    lane = jnp.arange(len(state.t), dtype=state.made.dtype)
    return _Queue(state.y, state.t, lane, jnp.zeros_like(lane), jnp.asarray(len(lane), lane.dtype))


def _begin(spec: Spec, state: LaneState, given: Given, args: tuple) -> LaneState:
    """Lanes at time 0: the slope, and the first save."""
    block = _Block(spec, given, args)
    slope = block.slopes(state.y)
    finite = jnp.all(jnp.isfinite(slope), axis=1) & jnp.isfinite(block.losses(state.y))
    already = block.past(state.y, slope)
    code = jnp.where(finite, jnp.where(already, Stop.EVENT, RUNNING), Stop.FAILED)
    saved, _ = block.measured(state.saved, _queue(state))
    return state._replace(
        slope=slope,
        t_next=jnp.full_like(state.t, _FIRST_STEP),
        made=jnp.ones_like(state.made),
        code=jnp.where(state.code == RUNNING, code, state.code).astype(state.code.dtype),
        saved=saved,
    )


def _advance(
    spec: Spec,
    state: LaneState,
    given: Given,
    args: tuple,
    chunk: jax.Array,
    max_steps: jax.Array,
) -> tuple[LaneState, jax.Array]:
    """A block by `chunk` attempted steps, fewer if all its lanes stop; and the count, a lane."""
    block = _Block(spec, given, args)

    def unfinished(carry: tuple[LaneState, _Queue, jax.Array]) -> jax.Array:
        return (carry[2] < chunk) & jnp.any(carry[0].code == RUNNING)

    def attempt(carry: tuple[LaneState, _Queue, jax.Array]) -> tuple[LaneState, _Queue, jax.Array]:
        old, queue, count = carry
        active = old.code == RUNNING
        (y, slope), keep, (t, t_next), ks = block.step(old)
        keep &= active

        def where(which: jax.Array, new: jax.Array, old: jax.Array) -> jax.Array:
            return jnp.where(which if new.ndim == 1 else which[:, None], new, old)

        steps, rejected = old.steps + active, old.rejected + (active & ~keep)
        # A step that rounding keeps from becoming shorter, or from moving on.
        stuck = (t_next <= t) | (~keep & (t_next >= old.t_next))
        ran_out = jnp.where(rejected > COLLAPSE * steps, Stop.FAILED, Stop.MAX_STEPS)
        code = jnp.select(
            [keep & block.past(y, slope), t >= 1, steps >= max_steps, stuck],
            [Stop.EVENT, Stop.HORIZON, ran_out, Stop.FAILED],
            RUNNING,
        )
        state = old._replace(
            y=where(keep, y, old.y),
            slope=where(keep, slope, old.slope),
            t=where(active, t, old.t),
            t_next=where(active, t_next, old.t_next),
            code=where(active, code, old.code).astype(old.code.dtype),
            steps=steps,
            rejected=rejected,
        )
        return *block.save(old, state, ks, queue), count + 1

    first = state, block.emptied(_queue(state)), jnp.zeros_like(chunk)
    state, queue, count = lax.while_loop(unfinished, attempt, first)
    saved, _ = lax.cond(queue.length > 0, block.measured, lambda s, q: (s, q), state.saved, queue)
    return state._replace(saved=saved), jnp.broadcast_to(count, state.t.shape)


def _over_devices(
    spec: Spec, function: Callable[..., Any], lanes: tuple, args: tuple, *more: jax.Array
) -> Any:
    """`function(spec, *lanes, args, *more)` block by block, on every device its share of them."""

    def blocks(lanes: tuple, args: tuple, *more: Any) -> Any:
        every = jax.tree.leaves(lanes)[0].shape[0]
        if spec.block in (0, every):
            return function(spec, *lanes, args, *more)
        folded = jax.tree.map(
            lambda a: a.reshape(every // spec.block, spec.block, *a.shape[1:]), lanes
        )
        out = lax.map(lambda lanes: function(spec, *lanes, args, *more), folded)
        return jax.tree.map(lambda a: a.reshape(every, *a.shape[2:]), out)

    return _mesh.over_members(spec.mesh, blocks, (lanes,), args, *more)


@partial(jax.jit, static_argnums=0, donate_argnums=1)
def begin(spec: Spec, state: LaneState, given: Given, args: tuple) -> LaneState:
    """Lanes that have not begun, at time 0 with their first save made."""
    return _over_devices(spec, _begin, (state, given), args)


@partial(jax.jit, static_argnums=0, donate_argnums=1)
def advance(
    spec: Spec,
    state: LaneState,
    given: Given,
    args: tuple,
    chunk: jax.Array,
    max_steps: jax.Array,
) -> tuple[LaneState, jax.Array]:
    """Every lane by at most `chunk` attempted steps, and `(L,)` steps that its block has taken."""
    return _over_devices(spec, _advance, (state, given), args, chunk, max_steps)


@jax.jit
def pick(lanes: tuple[LaneState, Given], rows: jax.Array) -> tuple[LaneState, Given]:
    """Some rows of all arrays; a negative row is padding: a copy of row 0 that has stopped."""
    state, given = jax.tree.map(lambda a: jnp.take(a, jnp.maximum(rows, 0), axis=0), lanes)
    return state._replace(code=jnp.where(rows < 0, Stop.HORIZON, state.code)), given
