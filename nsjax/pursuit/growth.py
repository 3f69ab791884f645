"""Growth: search and insertion of new neurons, the first of a round's two compiled programs."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsjax import _mesh
from nsjax.networks.homogeneous import Params, apply
from nsjax.objectives import LOSSES, residual
from nsjax.pursuit.candidates import Candidates, Neurons, noise_width, place, search
from nsjax.pursuit.method import Given, Method
from nsjax.pursuit.minimisers import Objective
from nsjax.pursuit.problem import Problem
from nsjax.pursuit.refitting import Refitted, refit


class Proposals(NamedTuple):
    """Candidates of every lane, M of them each, of the kinds `Method.kinds`.

    Attributes:
        params: tuple of L arrays `(B, M, k_l, k_{l-1})`, weights after the insertion.
        candidates: see `candidates.Candidates`, with leading axes `(B, M)`.
        ncf, relative_ncf: `(B, L)` of the best chain and of the best neuron of every hidden layer.
        scale, inserted, descent: `(B, M)`, see `state.Info`.
    """

    params: Params
    candidates: Candidates
    ncf: jax.Array
    relative_ncf: jax.Array
    scale: jax.Array
    inserted: jax.Array
    descent: jax.Array


class Grown(NamedTuple):
    """What growth did in every lane; see `state.Info`."""

    params: Any
    counts: np.ndarray
    direction: Any
    added: np.ndarray
    kind: np.ndarray
    ncf: np.ndarray
    relative_ncf: np.ndarray
    kkt_residual: np.ndarray
    scale: np.ndarray
    descent: np.ndarray
    inserted: np.ndarray
    evaluations: np.ndarray
    alive: np.ndarray


def grow(
    method: Method,
    keys: jax.Array,
    number: int,
    params: Params,
    counts: np.ndarray,
    live: np.ndarray,
    rescue: np.ndarray,
    problem: Problem,
    given: Given,
) -> Grown:
    """New neurons in every live lane, if there is a positive KKT point.

    Args:
        method: static settings.
        keys: `(B,)` PRNG keys of all rounds.
        number: of this round.
        params, counts: of the lanes; there is room for `per_round` more neurons in each layer.
        live: `(B,)` bool, whether the lane takes part.
        rescue: `(B,)` bool, a chain is due: there is no neuron yet, or the last round gained too
            little. For `"lookahead"` a chain is always one of the candidates.
        problem, given: data, in working units and as given.
    """
    config = method.config
    kinds = method.kinds(len(params))
    width = noise_width(params, method.activation)
    normal, gumbel = _noise(keys, number, (config.starts, width), len(kinds))
    proposed = propose(method, normal.astype(params[0].dtype), params, counts, problem)
    ncf, relative = np.asarray(proposed.ncf), np.asarray(proposed.relative_ncf)
    lanes, evaluations = np.arange(len(live)), np.zeros(len(live), int)
    trials = proposed.params
    if config.rule == "lookahead":
        allowed = np.asarray(proposed.candidates.relative) > config.ncf_tol
        allowed |= config.new_neurons == "random"
        # At least one, which then is taken nowhere: shapes stay as they are.
        tried = np.flatnonzero(np.any(allowed & live[:, None], axis=0))
        tried = tried if len(tried) else np.arange(1)
        fits = [_short_refit(method, proposed, i, live, problem, given) for i in tried.tolist()]
        evaluations = np.sum([np.asarray(fit.evaluations) for fit in fits], axis=0)
        losses = np.full(allowed.shape, np.inf)
        losses[:, tried] = np.stack([np.asarray(fit.loss) for fit in fits], axis=1)
        trials = tuple(np.array(weights) for weights in proposed.params)
        for i, fit in zip(tried, fits, strict=True):
            for weights, refitted in zip(trials, fit.params, strict=True):
                weights[:, i] = refitted
        losses += 0.5 * config.l2[0] * sum(np.sum(w**2, axis=(2, 3)) for w in trials)
        allowed &= np.isfinite(losses)
        score = config.spread * gumbel
        score -= np.log(np.where(allowed, np.maximum(losses, 1e-300), 1))
        index = np.argmax(np.where(allowed, score, -np.inf), axis=1)
    else:
        alone = config.rule == "ncf" or len(params) == 2
        rule = 1 + np.argmax(ncf[:, 1:], axis=1) if alone else len(params)
        index = np.where(rescue, 0, rule * config.candidates)
    if config.rule == "normalised":
        index = np.argmax(np.asarray(proposed.candidates.shares), axis=1)

    def taken(leaf: Any) -> np.ndarray:
        return np.asarray(leaf)[lanes, index]

    # Whether what was to be taken has a positive NCF; random neurons have none to speak of.
    alive = np.any(relative > config.ncf_tol, axis=1)
    if config.rule != "lookahead":
        alive = taken(proposed.candidates.relative) > config.ncf_tol
    alive |= config.new_neurons == "random"
    grows = live & alive
    added = np.where(grows[:, None], taken(proposed.candidates.added), 0)
    return Grown(
        tuple(
            np.where(grows[:, None, None], taken(new), old)
            for new, old in zip(trials, params, strict=True)
        ),
        counts + added,
        tuple(taken(block) for block in proposed.candidates.directions),
        added,
        kinds[index],
        ncf,
        relative,
        taken(proposed.candidates.residuals),
        taken(proposed.scale),
        taken(proposed.descent),
        taken(proposed.inserted),
        evaluations,
        alive,
    )


def _short_refit(
    method: Method,
    proposed: Proposals,
    index: int,
    live: np.ndarray,
    problem: Problem,
    given: Given,
) -> Refitted:
    """The refit of one candidate in every lane: the compiled one of the rounds, cut short."""
    config = method.config
    params = tuple(weight[:, index] for weight in map(np.asarray, proposed.params))
    l2, steps = float(config.l2[0]), config.short_steps
    return refit(method, params, live, problem, given, l2, steps, params)


def _noise(
    keys: jax.Array, number: int, normal: tuple[int, int], gumbel: int
) -> tuple[np.ndarray, np.ndarray]:
    """Standard normal and Gumbel numbers that follow from the key of every lane and the round.

    Of NumPy, since random numbers of JAX take a second to compile.
    """
    words = np.asarray(jax.random.key_data(keys)).reshape(len(keys), -1)
    sources = [np.random.default_rng([*row, number]) for row in words.tolist()]
    return (
        np.stack([source.standard_normal(normal) for source in sources]),
        np.stack([source.gumbel(size=gumbel) for source in sources]),
    )


@partial(jax.jit, static_argnums=0)
def propose(
    method: Method,
    noise: jax.Array,
    params: Params,
    counts: jax.Array,
    problem: Problem,
) -> Proposals:
    """Search in every lane, and the insertion of each candidate at the norm that it gets."""
    return _mesh.over_members(
        method.mesh, partial(_propose, method), (noise, params, counts), problem
    )


def _propose(
    method: Method, noise: jax.Array, params: Params, counts: jax.Array, problem: Problem
) -> Proposals:
    activation, config = method.activation, method.config
    outputs = jax.vmap(lambda *w: apply(w, problem.x, activation))(*params)
    # Of the relative loss, so that NCF values are changes of it.
    pull = jax.vmap(lambda h: residual(h, problem.y, loss=method.loss))(outputs) / problem.reference
    neurons = search(noise, params, counts, problem.x, pull, activation, config)
    lane = partial(_propose_in_lane, method)
    return jax.vmap(lane, in_axes=(*(0,) * 5, None))(
        params, counts, outputs, pull, neurons, problem
    )


def _propose_in_lane(
    method: Method,
    params: Params,
    counts: jax.Array,
    outputs: jax.Array,
    pull: jax.Array,
    neurons: list[Neurons],
    problem: Problem,
) -> Proposals:
    config, depth = method.config, len(params)
    objective = method.objective(params)
    layers = method.kinds(depth)[:: config.candidates]
    kinds = place(neurons, params, counts, method.activation, config)
    every: Candidates = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *kinds)
    start, directions = objective.layout.flat(params), jax.vmap(objective.layout.flat)(every[0])
    scales, inserted = _scaled(method, objective, start, directions, problem)
    moved = start + scales[:, None] * directions
    descent = jax.vmap(partial(_descent, method, params, outputs, pull, problem))(
        moved,
        every,
        jnp.asarray(method.kinds(depth) == 0),
        jnp.asarray(method.degrees(depth)),
        scales,
    )
    return Proposals(
        jax.vmap(objective.layout.tree)(moved),
        every,
        _best_of_layers([each.values[0] for each in kinds], layers),
        _best_of_layers([each.relative[0] for each in kinds], layers),
        scales,
        inserted,
        descent,
    )


def _best_of_layers(values: list[jax.Array], layers: np.ndarray) -> jax.Array:
    """`(L,)` the largest value of a chain and of every hidden layer; of all together there is none.

    Values of several orders in a layer are each in its own units.
    """
    return jnp.stack(
        [
            jnp.max(jnp.stack([v for v, at in zip(values, layers, strict=True) if at == layer]))
            for layer in range(int(max(layers)) + 1)
        ]
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
    outputs: jax.Array,
    pull: jax.Array,
    problem: Problem,
    moved: jax.Array,
    chosen: Candidates,
    chain: jax.Array,
    degree: jax.Array,
    scale: jax.Array,
) -> jax.Array:
    """Change of the loss on insertion over `-scale^q N*`, of a single neuron or a chain.

    For the square loss `-<r, dH> + 1/2 ||dH||^2`, without the cancellation of two losses.
    """
    objective = method.objective(params)
    after = apply(objective.layout.tree(moved), problem.x, method.activation)
    if method.loss == "square":
        by = after - outputs
        change = -jnp.sum(pull * by) + 0.5 * jnp.sum(by**2) / problem.reference
    else:
        losses = [LOSSES[method.loss](each, problem.y) for each in (after, outputs)]
        change = (losses[0] - losses[1]) / problem.reference
    predicted = scale**degree * chosen.values
    alone = chain | (jnp.sum(chosen.added) == 1)
    return jnp.where(
        alone & (predicted > 0), -change / jnp.where(predicted > 0, predicted, 1), jnp.nan
    )
