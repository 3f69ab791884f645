"""Minimisers of a refit behind one interface: fixed budgets, traced, one network at a time.

Each takes an `Objective` and starts, and stops when the training loss is at the target, when no
step lowers the objective any more, or after a number of evaluations. Weights of unused neurons,
whose gradient is exactly zero, stay exactly zero.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import optax
import optimistix as optx
from jax import lax

from nsjax._flat import Layout
from nsjax.networks.homogeneous import Activation, apply
from nsjax.objectives import NetworkLoss
from nsjax.pursuit.problem import Problem


@dataclass(frozen=True)
class Objective:
    """Relative training loss of flat weights, plus `1/2 l2 ||w||^2`."""

    activation: Activation
    loss: str
    layout: Layout

    def relative(self, w: jax.Array, problem: Problem) -> jax.Array:
        """Training loss over its reference."""
        loss = NetworkLoss(self.activation, self.loss)
        return loss(self.layout.tree(w), problem.x, problem.y) / problem.reference

    def cast(self, dtype: Any) -> Objective:
        """The same of weights of another dtype."""
        layout = self.layout
        dtypes = (str(jnp.dtype(dtype)),) * len(layout.dtypes)
        return replace(self, layout=Layout(layout.structure, layout.shapes, dtypes))

    def __call__(
        self, w: jax.Array, args: tuple[Problem, jax.Array]
    ) -> tuple[jax.Array, jax.Array]:
        """The objective, and the relative loss in it."""
        problem, l2 = args
        loss = self.relative(w, problem)
        return loss + 0.5 * l2 * jnp.sum(w * w), loss

    def residuals(self, w: jax.Array, args: tuple[Problem, jax.Array]) -> Any:
        """For the square loss: what half of whose sum of squares is the objective."""
        problem, l2 = args
        outputs = apply(self.layout.tree(w), problem.x, self.activation)
        return (outputs - problem.y) / jnp.sqrt(problem.reference), jnp.sqrt(l2) * w


class Fit(NamedTuple):
    """Where a minimiser ended.

    Attributes:
        w: flat weights.
        loss: relative training loss, without the penalty.
        evaluations: of the loss and its gradient.
    """

    w: jax.Array
    loss: jax.Array
    evaluations: jax.Array


Minimiser = Callable[..., Fit]


def _loop(
    start: Any,
    advance: Callable[[Any], tuple[Any, jax.Array, jax.Array]],
    loss: jax.Array,
    steps: jax.Array | int,
    target: jax.Array,
) -> tuple[Any, jax.Array]:
    """`advance` until its loss is at the target, it says that it is over, or `steps` are done."""

    def unfinished(carry: tuple[Any, jax.Array, jax.Array, jax.Array]) -> jax.Array:
        _, loss, over, count = carry
        return (loss > target) & ~over & (count < steps)

    def body(carry: tuple[Any, jax.Array, jax.Array, jax.Array]) -> Any:
        state, _, _, count = carry
        return (*advance(state), count + 1)

    over, count = jnp.zeros((), bool), jnp.zeros((), jnp.int32)
    state, _, _, count = lax.while_loop(unfinished, body, (start, loss, over, count))
    return state, count


def _optimistix(solver: Any, function: Callable[[Objective], Callable[..., Any]]) -> Minimiser:
    """A solver of optimistix, one step after the other, so that it can stop at a training loss.

    Args:
        solver: any of its minimisers or least-squares solvers.
        function: what it is to minimise, of an objective: `(w, args) -> value, relative loss`.
    """

    def minimise(
        objective: Objective,
        w: jax.Array,
        problem: Problem,
        *,
        l2: jax.Array,
        steps: jax.Array | int,
        target: jax.Array,
        learning_rate: float,
    ) -> Fit:
        del learning_rate
        # Some of its arrays are of JAX's default float, whatever that of the weights.
        dtype, wide = w.dtype, jnp.result_type(float)
        objective = objective.cast(wide)
        w, problem, l2, target = jax.tree.map(
            lambda leaf: jnp.asarray(leaf, wide), (w, problem, l2, target)
        )
        value, args, tags = function(objective), (problem, l2), frozenset[object]()
        state = solver.init(value, w, args, {}, *jax.eval_shape(value, w, args), tags)
        arrays, rest = eqx.partition(state, eqx.is_array)

        def advance(carry: Any) -> Any:
            w, arrays = carry
            state = eqx.combine(arrays, rest)
            w, state, _ = solver.step(value, w, args, {}, state, tags)
            over, _ = solver.terminate(value, w, args, {}, state, tags)
            # `aux` is that of the last accepted weights: their relative loss.
            return (w, eqx.filter(state, eqx.is_array)), state.aux, over

        start = objective.relative(w, problem)
        (w, _), count = _loop((w, arrays), advance, start, steps, target)
        return Fit(w.astype(dtype), objective.relative(w, problem).astype(dtype), count)

    return minimise


def _least_squares(objective: Objective) -> Callable[..., Any]:
    def residuals(w: jax.Array, args: tuple[Problem, jax.Array]) -> Any:
        return objective.residuals(w, args), objective.relative(w, args[0])

    return residuals


def _descend(
    objective: Objective,
    w: jax.Array,
    problem: Problem,
    *,
    l2: jax.Array,
    steps: jax.Array | int,
    target: jax.Array,
    learning_rate: float,
) -> Fit:
    """Gradient descent; a step that does not lower the objective enough is halved."""
    value_and_grad = jax.value_and_grad(objective, has_aux=True)
    (value, loss), gradient = value_and_grad(w, (problem, l2))
    start = (w, value, loss, gradient, jnp.asarray(learning_rate, w.dtype))

    eps = jnp.finfo(w.dtype).eps

    def advance(carry: Any) -> Any:
        w, value, loss, gradient, h = carry
        square = jnp.sum(gradient * gradient)
        moved = w - h * gradient
        (there, loss_there), gradient_there = value_and_grad(moved, (problem, l2))
        noise = 4 * eps * jnp.abs(value)
        # Near a saddle the fall is below rounding; the slope at the new place still tells it
        # (the approximate Wolfe condition of Hager and Zhang, 2005). Both are false for NaN.
        falls = there <= value - 0.5 * h * square
        good = falls | ((there <= value + noise) & (jnp.sum(gradient_there * gradient) >= 0))
        new = (moved, there, loss_there, gradient_there, 1.2 * h)
        carry = jax.tree.map(
            lambda a, b: jnp.where(good, a, b), new, (w, value, loss, gradient, 0.5 * h)
        )
        # Near a saddle the predicted fall is below rounding too, but steps pass, and grow.
        spent = ~good & (0.5 * h * square <= eps * jnp.abs(value))
        flat = jnp.sqrt(square * jnp.sum(w * w)) <= eps * jnp.abs(value)
        return carry, carry[2], spent | flat

    (w, _, loss, _, _), count = _loop(start, advance, loss, steps, target)
    return Fit(w, loss, count)


def _adam(
    objective: Objective,
    w: jax.Array,
    problem: Problem,
    *,
    l2: jax.Array,
    steps: jax.Array | int,
    target: jax.Array,
    learning_rate: float,
) -> Fit:
    """Adam with the learning rate falling to zero along a cosine; keeps the best weights met."""
    value_and_grad = jax.value_and_grad(objective, has_aux=True)
    solver = optax.adam(1.0)
    loss = objective.relative(w, problem)
    infinite = jnp.full((), jnp.inf, w.dtype)
    start = (w, solver.init(w), (w, infinite, loss), jnp.zeros((), jnp.int32))

    def advance(carry: Any) -> Any:
        w, state, (best, lowest, lowest_loss), count = carry
        (value, loss), gradient = value_and_grad(w, (problem, l2))
        better = value < lowest
        kept = jax.tree.map(
            lambda a, b: jnp.where(better, a, b), (w, value, loss), (best, lowest, lowest_loss)
        )
        updates, state = solver.update(gradient, state, w)
        rate = 0.5 * learning_rate * (1 + jnp.cos(jnp.pi * count / steps))
        return (w + rate * updates, state, kept, count + 1), kept[2], ~jnp.isfinite(value)

    (_, _, (best, _, loss), _), count = _loop(start, advance, loss, steps, target)
    return Fit(best, loss, count)


_TINY = 1e-15
"""Relative change of weights and objective below which a solver of optimistix is done."""

MINIMISERS: dict[str, Minimiser] = {
    "lbfgs": _optimistix(optx.LBFGS(rtol=_TINY, atol=_TINY), lambda objective: objective),
    "levenberg_marquardt": _optimistix(
        optx.LevenbergMarquardt(rtol=_TINY, atol=_TINY, linear_solver=lx.Normal(lx.Cholesky())),
        _least_squares,
    ),
    "gradient_descent": _descend,
    "adam": _adam,
}
"""By the names of `Config.minimiser`."""


def fit_in_turn(
    minimiser: str,
    objective: Objective,
    w: jax.Array,
    problem: Problem,
    *,
    l2: jax.Array,
    steps: jax.Array | int,
    target: jax.Array | float,
    learning_rate: jax.Array | float,
) -> Fit:
    """The minimiser of that name at every weight of `l2` `(m,)` in turn, `steps` for each."""
    target = jnp.asarray(target, w.dtype)

    def penalised(w: jax.Array, weight: jax.Array) -> tuple[jax.Array, tuple[Any, Any]]:
        fit = MINIMISERS[minimiser](
            objective,
            w,
            problem,
            l2=weight,
            steps=steps,
            target=target,
            learning_rate=learning_rate,
        )
        return fit.w, (fit.loss, fit.evaluations)

    w, (losses, evaluations) = lax.scan(penalised, w, l2)
    return Fit(w, losses[-1], jnp.sum(evaluations, dtype=jnp.int32))
