"""One round of pursuit, compiled in two programs: growth (search and insertion), and the refit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from nsjax._flat import Layout
from nsjax.networks import activation_degree
from nsjax.networks.balance import balanced
from nsjax.networks.homogeneous import Activation, Params, apply
from nsjax.objectives import LOSSES, residual
from nsjax.pursuit.candidates import Candidates, Neurons, place, search
from nsjax.pursuit.config import Config
from nsjax.pursuit.minimisers import MINIMISERS, Fit, Objective
from nsjax.pursuit.problem import Problem, Units, prediction_error, reference_loss

_NOT_COMPILED = (
    "lanes",
    "steps",
    "l2",
    "rescue",
    "max_neurons",
    "max_share",
    "max_rounds",
    "attempts",
    "capacity",
    "tol",
    "patience",
    "prune",
)
"""Settings that no program depends on, but for the shapes of its arguments."""


@dataclass(frozen=True)
class Method:
    """What is static of a pursuit; settings that no program depends on are left at their defaults.

    So a change of those compiles nothing again.
    """

    activation: Activation
    loss: str
    config: Config

    @classmethod
    def of(cls, activation: Activation, loss: str, config: Config) -> Method:
        """The method of these settings."""
        plain = {name: getattr(Config, name) for name in _NOT_COMPILED}
        # The first penalty is also that of the short refits.
        l2 = config.l2[:1]
        room = max(config.per_round, Config.capacity)
        return cls(activation, loss, replace(config, **plain | {"l2": l2, "capacity": room}))

    @property
    def p(self) -> int:
        """Degree of the activation."""
        return activation_degree(self.activation)

    def objective(self, params: Params) -> Objective:
        """The objective of networks shaped like `params`."""
        return Objective(self.activation, self.loss, Layout.of(params))

    def refit(
        self, objective: Objective, w: jax.Array, problem: Problem, l2: jax.Array, steps: jax.Array
    ) -> Fit:
        """The minimiser from `w`."""
        return MINIMISERS[self.config.minimiser](
            objective,
            w,
            problem,
            l2=l2,
            steps=steps,
            target=jnp.asarray(problem.target, w.dtype),
            learning_rate=self.config.learning_rate,
        )


class Measured(NamedTuple):
    """How well the networks of all lanes do on the data as given, `(B,)` each.

    Attributes:
        loss: relative training loss.
        error: prediction error on the training data.
        validation, test: the same on those data; NaN without.
    """

    loss: jax.Array
    error: jax.Array
    validation: jax.Array
    test: jax.Array


class Given(NamedTuple):
    """The data as given, pairs `(x, y)`; those held out may be missing.

    Attributes:
        units: how working units come from the user's.
        data: for training.
        validation, test: see `Measured`.
    """

    units: Units
    data: tuple[jax.Array, jax.Array]
    validation: tuple[jax.Array, jax.Array] | None
    test: tuple[jax.Array, jax.Array] | None

    def measure(self, method: Method, params: Params) -> Measured:
        """How well one network in working units does."""
        params = self.units.back(params)

        def error(pair: tuple[jax.Array, jax.Array] | None) -> jax.Array:
            if pair is None:
                return jnp.full((), jnp.nan, params[0].dtype)
            outputs = apply(params, pair[0], method.activation)
            return prediction_error(method.loss, outputs, pair[1]).astype(outputs.dtype)

        x, y = self.data
        loss = LOSSES[method.loss](apply(params, x, method.activation), y)
        loss /= reference_loss(method.loss, y)
        return Measured(loss, *(error(pair) for pair in self[1:]))


class Grown(NamedTuple):
    """What growth did in every lane; see `state.Info`."""

    params: Params
    counts: jax.Array
    direction: Params
    added: jax.Array
    kind: jax.Array
    ncf: jax.Array
    relative_ncf: jax.Array
    kkt_residual: jax.Array
    scale: jax.Array
    descent: jax.Array
    inserted: jax.Array
    evaluations: jax.Array


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
def grow(
    method: Method,
    keys: jax.Array,
    number: jax.Array,
    params: Params,
    counts: jax.Array,
    live: jax.Array,
    first: jax.Array,
    stuck: jax.Array,
    problem: Problem,
) -> Grown:
    """New neurons in every live lane, if there is a positive KKT point.

    Args:
        method: static settings.
        keys: `(B,)` PRNG keys of all rounds.
        number: of this round.
        params, counts: of the lanes; there is room for `per_round` more neurons in each layer.
        live: `(B,)` bool, whether the lane takes part.
        first: `(B,)` bool, no neuron yet.
        stuck: `(B,)` bool, the last round gained too little: the rescue is due.
        problem: data.
    """
    activation, config = method.activation, method.config
    keys = jax.vmap(lambda key: jax.random.fold_in(key, number))(keys)
    outputs = jax.vmap(lambda *w: apply(w, problem.x, activation))(*params)
    # Of the relative loss, so that NCF values are changes of it.
    pull = jax.vmap(lambda h: residual(h, problem.y, loss=method.loss))(outputs) / problem.reference
    neurons = search(keys, params, counts, problem.x, pull, activation, config)
    lane = partial(_grow_lane, method)
    return jax.vmap(lane, in_axes=(*(0,) * 9, None))(
        keys, params, counts, live, first, stuck, outputs, pull, neurons, problem
    )


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


def _grow_lane(
    method: Method,
    key: jax.Array,
    params: Params,
    counts: jax.Array,
    live: jax.Array,
    first: jax.Array,
    stuck: jax.Array,
    outputs: jax.Array,
    pull: jax.Array,
    neurons: list[Neurons],
    problem: Problem,
) -> Grown:
    config = method.config
    objective = method.objective(params)
    depth, m = len(params), config.candidates
    kinds = place(neurons, params, counts, method.p, config)
    every: Candidates = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *kinds)
    kind = jnp.repeat(jnp.asarray([*range(depth), -1][: len(kinds)], jnp.int32), m)
    start_w = objective.layout.flat(params)
    directions = jax.vmap(objective.layout.flat)(every.directions)

    ncf = jnp.stack([each.values[0] for each in kinds[:depth]])
    relative = jnp.stack([each.relative[0] for each in kinds[:depth]])
    evaluations = jnp.zeros((), jnp.int32)
    if config.rule == "lookahead":
        # In the first round there is nothing for a single neuron to connect to; later a chain is
        # one candidate among the others.
        scales, inserted = _scaled(method, objective, start_w, directions, problem)
        trial = start_w + scales[:, None] * directions
        short = partial(
            method.refit,
            objective,
            problem=problem,
            l2=jnp.asarray(config.l2[0], start_w.dtype),
            steps=jnp.asarray(config.short_steps),
        )
        fits = jax.vmap(lambda w: short(w))(trial)
        evaluations = jnp.sum(fits.evaluations, dtype=jnp.int32)
        values = jax.vmap(lambda w: objective(w, (problem, jnp.asarray(config.l2[0])))[0])(fits.w)
        allowed = jnp.isfinite(values)
        if config.new_neurons == "kkt":
            allowed &= every.relative > config.ncf_tol
        noise = config.spread * jax.random.gumbel(key, values.shape, values.dtype)
        score = jnp.where(allowed, -jnp.log(jnp.where(allowed, values, 1)) + noise, -jnp.inf)
        index = jnp.argmax(score)
        w, scale, inserted = fits.w[index], scales[index], inserted[index]
    else:
        rule = (1 + jnp.argmax(ncf[1:])) * m if config.rule == "ncf" or depth == 2 else depth * m
        index = jnp.where(first | stuck, 0, rule)
        scales, inserted = _scaled(method, objective, start_w, directions[index][None], problem)
        scale, inserted = scales[0], inserted[0]
        w = start_w + scale * directions[index]
    chosen: Candidates = every.take(index)
    descent = _descent(method, params, chosen, kind[index], outputs, pull, scale, problem)
    grows = live & (jnp.any(relative > config.ncf_tol) | (config.new_neurons == "random"))
    added = jnp.where(grows, chosen.added, 0)
    return Grown(
        objective.layout.tree(jnp.where(grows, w, start_w)),
        counts + added,
        chosen.directions,
        added,
        kind[index],
        ncf,
        relative,
        chosen.residuals,
        scale,
        descent,
        inserted,
        evaluations,
    )


def _scaled(
    method: Method, objective: Objective, w: jax.Array, directions: jax.Array, problem: Problem
) -> tuple[jax.Array, jax.Array]:
    """Norm of every insertion `(m, P)`, and the loss after it."""
    config = method.config
    if config.insertion == "fixed":
        scales = jnp.full(len(directions), config.delta, w.dtype)
        return scales, jax.vmap(lambda d: objective.relative(w + config.delta * d, problem))(
            directions
        )
    smallest, largest, count = config.scales
    tried = jnp.geomspace(smallest, largest, count, dtype=w.dtype)

    def best(direction: jax.Array) -> tuple[jax.Array, jax.Array]:
        losses = jax.vmap(lambda scale: objective.relative(w + scale * direction, problem))(tried)
        losses = jnp.where(jnp.isfinite(losses), losses, jnp.inf)
        at = jnp.argmin(losses)
        return tried[at], losses[at]

    return jax.vmap(best)(directions)


def _descent(
    method: Method,
    params: Params,
    chosen: Candidates,
    kind: jax.Array,
    outputs: jax.Array,
    pull: jax.Array,
    scale: jax.Array,
    problem: Problem,
) -> jax.Array:
    """Change of the loss on insertion over `-scale^q N*`, of a single neuron or a chain.

    For the square loss `-<r, dH> + 1/2 ||dH||^2`, without the cancellation of two losses.
    """
    grown = jax.tree.map(lambda w, d: w + scale * d, params, chosen.directions)
    after = apply(grown, problem.x, method.activation)
    if method.loss == "square":
        moved = after - outputs
        change = -jnp.sum(pull * moved) + 0.5 * jnp.sum(moved**2) / problem.reference
    else:
        objective = method.objective(params)
        flat = objective.layout.flat
        change = objective.relative(flat(grown), problem) - objective.relative(
            flat(params), problem
        )
    total = sum(method.p**layer for layer in range(len(params)))
    predicted = scale ** jnp.where(kind == 0, total, method.p + 1) * chosen.values
    alone = (kind == 0) | (jnp.sum(chosen.added) == 1)
    return jnp.where(
        alone & (predicted > 0), -change / jnp.where(predicted > 0, predicted, 1), jnp.nan
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
