"""The refit of a round: the minimiser in every lane, the second of its two compiled programs."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from nsjax.networks.balance import balanced
from nsjax.networks.homogeneous import Params
from nsjax.pursuit.method import Given, Measured, Method
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


@partial(jax.jit, static_argnums=0)
def refit(
    method: Method,
    params: Params,
    live: jax.Array,
    problem: Problem,
    given: Given,
    l2: jax.Array,
    steps: jax.Array | int,
    direction: Params,
) -> Refitted:
    """Minimise the loss in every live lane, with the penalties `l2` in turn, `steps` for each.

    `direction`, shaped like params, is not zero at new weights, whose size is reported.
    """
    lane = partial(_refit_lane, method)
    return jax.vmap(lane, in_axes=(0, 0, None, None, None, None, 0))(
        params, live, problem, given, l2, steps, direction
    )


def _refit_lane(
    method: Method,
    params: Params,
    live: jax.Array,
    problem: Problem,
    given: Given,
    l2: jax.Array,
    steps: jax.Array | int,
    direction: Params,
) -> Refitted:
    config = method.config
    objective = method.objective(params)
    start = objective.layout.flat(params)
    steps = jnp.where(live, steps, 0)

    def penalised(w: jax.Array, l2: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        fit = method.refit(objective, w, problem, l2, steps)
        return fit.w, (fit.loss, fit.evaluations)

    w, (_, evaluations) = lax.scan(penalised, start, l2)
    # A minimiser may run away: then the round has gained nothing.
    before, loss = objective.relative(start, problem), objective.relative(w, problem)
    w = jnp.where(loss < before, w, start)
    params = objective.layout.tree(w)
    if config.balance:
        params = balanced(params, method.p, 10 * float(jnp.finfo(w.dtype).eps), 1000)
    loss, gradient = jax.value_and_grad(objective.relative)(objective.layout.flat(params), problem)
    new = [jnp.sum(jnp.where(d != 0, w, 0) ** 2) for d, w in zip(direction, params, strict=True)]
    return Refitted(
        params,
        loss,
        jnp.linalg.norm(gradient),
        jnp.sum(evaluations, dtype=jnp.int32),
        _imbalance(params, method.p),
        jnp.sqrt(jnp.sum(jnp.stack(new))),
        given.measure(method, params),
    )


def _imbalance(params: Params, p: int) -> jax.Array:
    """Largest `|log(||w_in|| / (sqrt(p) ||w_out||))|` of the neurons that are not zero."""
    worst = jnp.zeros((), params[0].dtype)
    for before, after in pairwise(params):
        incoming = jnp.sum(before**2, axis=1)
        outgoing = p * jnp.sum(after**2, axis=0)
        alive = (incoming > 0) & (outgoing > 0)
        ratio = jnp.where(alive, incoming, 1) / jnp.where(alive, outgoing, 1)
        worst = jnp.maximum(worst, jnp.max(0.5 * jnp.abs(jnp.log(ratio))))
    return worst
