"""The refit of a round: the minimiser in every lane, the second of its two compiled programs."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsjax import _mesh
from nsjax.diagnostics import balance_ratio
from nsjax.networks.homogeneous import Activation, Params
from nsjax.pursuit.method import Given, Measured, Method
from nsjax.pursuit.minimisers import MINIMISERS
from nsjax.pursuit.problem import Problem


class Refitted(NamedTuple):
    """What the refit did in every lane; see `state.Info`."""

    params: Params
    loss: jax.Array
    grad_norm: jax.Array
    evaluations: jax.Array
    imbalance: jax.Array
    moved: jax.Array
    given: Measured


def refit_in_turn(
    method: Method,
    params: Params,
    live: np.ndarray,
    problem: Problem,
    given: Given,
    l2: tuple[float, ...],
    steps: int,
    direction: Params,
    wanted: np.ndarray,
    last: np.ndarray,
) -> Refitted:
    """The refit of a round with the penalties `l2` in turn, as far as each pays.

    A penalty gives way to the next where it is all that holds the loss up, the loss being below it;
    where the loss is above `wanted` `(B,)`, so that the lane is at a dead end; and where the round
    is the `last` `(B,)` of its lane. Elsewhere there is more to learn from another neuron, and the
    small weights that the penalty leaves are the better ones to grow from.
    """
    evaluations = np.zeros(len(live), int)
    for i, weight in enumerate(l2):
        fitted = refit(method, params, live, problem, given, float(weight), steps, direction)
        evaluations += np.asarray(fitted.evaluations)
        params, loss = fitted.params, np.asarray(fitted.loss)
        if method.mesh is not None:  # as they came, or the program would be compiled again
            params = jax.tree.map(np.asarray, params)
        penalty = 0.5 * weight * sum(np.sum(np.asarray(w) ** 2, axis=(1, 2)) for w in params)
        live = live & ((loss <= penalty) | (loss > wanted) | last)
        if i + 1 == len(l2) or not np.any(live):
            break
    return fitted._replace(evaluations=evaluations)


@partial(jax.jit, static_argnums=0)
def refit(
    method: Method,
    params: Params,
    live: jax.Array,
    problem: Problem,
    given: Given,
    l2: jax.Array | float,
    steps: jax.Array | int,
    direction: Params,
) -> Refitted:
    """Minimise the loss with the penalty `1/2 l2 ||w||^2` in every live lane.

    `direction`, shaped like params, is not zero at new weights, whose size is reported.
    """
    lanes = jax.vmap(partial(_refit_lane, method), in_axes=(0, 0, 0, None, None, None, None))
    penalty = jnp.asarray(l2, params[0].dtype)
    return _mesh.over_members(
        method.mesh, lanes, (params, live, direction), problem, given, penalty, steps
    )


def _refit_lane(
    method: Method,
    params: Params,
    live: jax.Array,
    direction: Params,
    problem: Problem,
    given: Given,
    l2: jax.Array,
    steps: jax.Array | int,
) -> Refitted:
    config = method.config
    objective = method.objective(params)
    start = objective.layout.flat(params)
    steps = jnp.where(live, steps, 0)

    w, _, evaluations = MINIMISERS[config.minimiser](
        objective,
        start,
        problem,
        l2=l2,
        steps=steps,
        target=problem.target,
        learning_rate=config.learning_rate,
    )
    # A minimiser may run away: then the refit has gained nothing.
    before, after = (objective(each, (problem, l2))[0] for each in (start, w))
    w = jnp.where(after < before, w, start)
    params = objective.layout.tree(w)
    if config.balance:
        params = method.balanced(params)
    loss, gradient = jax.value_and_grad(objective.relative)(objective.layout.flat(params), problem)
    new = [jnp.sum(jnp.where(d != 0, w, 0) ** 2) for d, w in zip(direction, params, strict=True)]
    return Refitted(
        params,
        loss,
        jnp.linalg.norm(gradient),
        evaluations,
        _imbalance(params, method.activation),
        jnp.sqrt(jnp.sum(jnp.stack(new))),
        given.measure(method, params),
    )


def _imbalance(params: Params, activation: Activation) -> jax.Array:
    """Largest `|log(||w_in|| / (sqrt(p) ||w_out||))|` of the neurons with weights on both sides."""
    ratios = jnp.concatenate(balance_ratio(params, activation))
    whole = jnp.isfinite(ratios) & (ratios > 0)
    return jnp.max(0.5 * jnp.abs(jnp.log(jnp.where(whole, ratios, 1))))
