"""Minimise a loss to a tiny gradient: L-BFGS, then damped Newton steps."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from nsjax import _check
from nsjax._flat import Layout
from nsjax.dynamics.integrate import LARGEST_DENSE

CONVERGED, MAX_STEPS = 0, 1
MESSAGES = {CONVERGED: "the gradient is below the tolerance", MAX_STEPS: "max_steps was reached"}


class Minimum(NamedTuple):
    """A minimiser.

    Attributes:
        params: pytree.
        loss, grad_norm: there.
        steps: L-BFGS steps and Newton steps together.
        result: int32 code; `message` is its text.
    """

    params: Any
    loss: float
    grad_norm: float
    steps: int
    result: int

    @property
    def message(self) -> str:
        """Why it stopped, in words."""
        return MESSAGES[int(self.result)]


class Minima(NamedTuple):
    """Minimisers from S starts.

    Attributes:
        params: pytree whose leaves have a leading axis of S.
        losses, grad_norms: `(S,)`, there.
        converged: `(S,)`, whether the gradient is below the tolerance.
    """

    params: Any
    losses: jax.Array
    grad_norms: jax.Array
    converged: jax.Array


def minimize_starts(
    loss: Callable[..., jax.Array],
    starts: Any,
    *,
    args: tuple = (),
    tol: float = 1e-10,
    max_steps: int = 5000,
) -> Minima:
    """Minimise `loss(params, *args)` from many starts in one program; see `minimize`.

    Args:
        loss: pure, hashable function `(params, *args) -> scalar`.
        starts: pytree of start points, stacked along a leading axis.
        args: data, the same for all.
        tol: gradient norm to reach.
        max_steps: bound on the L-BFGS steps.

    Raises:
        TypeError, ValueError: for bad input.

    >>> starts = jnp.array([[2.0], [-3.0]])
    >>> found = minimize_starts(lambda w: jnp.sum((w**2 - 1) ** 2), starts, tol=1e-4)
    >>> [round(float(w[0]), 3) for w in found.params]
    [1.0, -1.0]
    """
    _check.hashable("loss", loss)
    tol = _check.positive("tol", tol)
    max_steps = _check.positive_integer("max_steps", max_steps)
    _check.data("args", args)
    starts = _check.floating_tree("starts", starts)
    _check.members("starts", starts)
    first = jax.tree.map(lambda leaf: leaf[0], starts)
    _check.scalar_function("loss", loss, first, *args)
    layout = Layout.of(first)
    flat = jax.vmap(layout.flat)(starts)
    points, losses, norms, _ = jax.vmap(
        lambda start: _minimum(loss, layout, start, args, tol, max_steps)
    )(flat)
    return Minima(jax.vmap(layout.tree)(points), losses, norms, norms <= tol)


def minimize(
    loss: Callable[..., jax.Array],
    params: Any,
    *,
    args: tuple = (),
    tol: float = 1e-10,
    max_steps: int = 5000,
) -> Minimum:
    """Minimise `loss(params, *args)` from `params`.

    L-BFGS (optax) brings the gradient down; with at most 2,048 parameters, Newton steps on the
    dense Hessian, damped until the loss does not rise, then bring it to `tol`, which a first-order
    method near a degenerate minimum does not reach.

    Args:
        loss: pure, hashable function `(params, *args) -> scalar`.
        params: pytree to start from.
        args: data.
        tol: gradient norm to reach.
        max_steps: bound on the L-BFGS steps.

    Returns:
        `Minimum`.

    Raises:
        TypeError, ValueError: for bad input.

    >>> m = minimize(lambda w: jnp.sum((w - 2.0) ** 2), jnp.zeros(3), tol=1e-5)
    >>> [round(float(v), 4) for v in m.params], m.message
    ([2.0, 2.0, 2.0], 'the gradient is below the tolerance')
    """
    _check.hashable("loss", loss)
    tol = _check.positive("tol", tol)
    max_steps = _check.positive_integer("max_steps", max_steps)
    _check.data("args", args)
    params = _check.floating_tree("params", params)
    _check.scalar_function("loss", loss, params, *args)
    layout = Layout.of(params)
    flat, value, norm, steps = _minimum(loss, layout, layout.flat(params), args, tol, max_steps)
    grad_norm = float(norm)
    return Minimum(
        layout.tree(flat),
        float(value),
        grad_norm,
        int(steps),
        CONVERGED if grad_norm <= tol else MAX_STEPS,
    )


@partial(jax.jit, static_argnums=(0, 1))
def _minimum(
    loss: Callable[..., jax.Array],
    layout: Layout,
    start: jax.Array,
    args: tuple,
    tol: float,
    max_steps: int,
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """A minimiser, the loss and the size of its gradient there, and the steps of both kinds."""
    point, steps = _lbfgs(loss, layout, start, args, tol, max_steps)
    if layout.size <= LARGEST_DENSE:
        point, more = _newton(loss, layout, point, args, tol)
        steps += more
    value, gradient = jax.value_and_grad(lambda w: loss(layout.tree(w), *args))(point)
    return point, value, jnp.linalg.norm(gradient), steps


def _lbfgs(
    loss: Callable[..., jax.Array],
    layout: Layout,
    start: jax.Array,
    args: tuple,
    tol: float,
    max_steps: int,
) -> tuple[jax.Array, jax.Array]:
    def value(w: jax.Array) -> jax.Array:
        return loss(layout.tree(w), *args)

    solver = optax.lbfgs(memory_size=20)
    value_and_grad = optax.value_and_grad_from_state(value)

    def unfinished(carry: tuple[jax.Array, Any, jax.Array, jax.Array]) -> jax.Array:
        _, _, count, size = carry
        return (size > tol) & (count < max_steps) & jnp.isfinite(size)

    def step(carry: tuple[jax.Array, Any, jax.Array, jax.Array]) -> tuple:
        w, state, count, _ = carry
        here, gradient = value_and_grad(w, state=state)
        updates, state = solver.update(
            gradient, state, w, value=here, grad=gradient, value_fn=value
        )
        moved = optax.apply_updates(w, updates)
        moved = jnp.where(jnp.all(jnp.isfinite(moved)), moved, w)
        size = jnp.linalg.norm(optax.tree.get(state, "grad"))
        # No step left in the line search: Newton goes on from here.
        return moved, state, count + 1, jnp.where(jnp.all(moved == w), 0, size)

    carry = (start, solver.init(start), jnp.zeros((), jnp.int32), jnp.full((), jnp.inf))
    # The stored gradient is infinite before the first step, so the test of finiteness starts after.
    carry = step(carry)
    w, _, count, _ = lax.while_loop(unfinished, step, carry)
    return w, count


def _newton(
    loss: Callable[..., jax.Array], layout: Layout, start: jax.Array, args: tuple, tol: float
) -> tuple[jax.Array, jax.Array]:
    def value(w: jax.Array) -> jax.Array:
        return loss(layout.tree(w), *args)

    gradient_of = jax.grad(value)
    eps = jnp.finfo(start.dtype).eps

    def unfinished(state: tuple[jax.Array, ...]) -> jax.Array:
        _, damping, count, size = state
        return (size > tol) & (count < 100) & (damping < 1e6)

    def step(state: Any) -> Any:
        w, damping, count, size = state
        gradient = gradient_of(w)
        eigenvalues, vectors = jnp.linalg.eigh(jax.hessian(value)(w))
        largest = jnp.max(jnp.abs(eigenvalues))
        # Absolute eigenvalues: downhill along directions of negative curvature too. The floor keeps
        # directions of exactly flat valleys still.
        curvature = jnp.abs(eigenvalues) + (damping + jnp.sqrt(eps) * 1e-2) * largest
        moved = w - vectors @ ((vectors.T @ gradient) / curvature)
        there = jnp.linalg.norm(gradient_of(moved))
        here, ahead = value(w), value(moved)
        good = (ahead < here) | ((ahead <= here + 8 * eps * jnp.abs(here)) & (there < size))
        return (
            jnp.where(good, moved, w),
            jnp.where(good, jnp.where(damping < 1e-9, 0, 0.1 * damping), 10 * damping + 1e-6),
            count + 1,
            jnp.where(good, there, size),
        )

    size = jnp.linalg.norm(gradient_of(start))
    state = (start, jnp.zeros((), start.dtype), jnp.zeros((), jnp.int32), size)
    w, _, count, _ = lax.while_loop(unfinished, step, state)
    return w, count
