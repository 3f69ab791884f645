"""Growth: search and insertion of new neurons, the first of a round's two compiled programs."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsjax import _mesh
from nsjax.networks.homogeneous import Params, apply
from nsjax.objectives import LOSSES, residual
from nsjax.pursuit import axes
from nsjax.pursuit.candidates import Candidates, Neurons, noise_widths, place, search
from nsjax.pursuit.method import Given, Method
from nsjax.pursuit.minimisers import Objective
from nsjax.pursuit.plans import plans
from nsjax.pursuit.problem import Problem
from nsjax.pursuit.refitting import Refitted, refit

LEVEL = 0.01
"""How often noise may pass for a neuron of some kind."""


class Proposals(NamedTuple):
    """Candidates of every lane, M of them each, of the kinds `Method.kinds`.

    Attributes:
        params: tuple of L arrays `(B, M, k_l, k_{l-1})`, weights after the insertion.
        candidates: see `candidates.Candidates`, with leading axes `(B, M)`.
        ncf, relative_ncf: `(B, L)` of the best chain and of the best neuron of every hidden layer.
        chance: `(B, M)` largest share of shuffled residuals that one of its kind explains, 0
            without.
        scale, inserted, descent: `(B, M)`, see `state.Info`.
    """

    params: Params
    candidates: Candidates
    ncf: jax.Array
    relative_ncf: jax.Array
    chance: jax.Array
    scale: jax.Array
    inserted: jax.Array
    descent: jax.Array


class Grown(NamedTuple):
    """What growth did in every lane; see `state.Info`.

    `alive` are lanes where a neuron was found that may be added, `noise` those where what was found
    is no better than chance.
    """

    params: Any
    counts: np.ndarray
    direction: Any
    added: np.ndarray
    kind: np.ndarray
    ncf: np.ndarray
    relative_ncf: np.ndarray
    kkt_residual: np.ndarray
    share: np.ndarray
    chance: np.ndarray
    scale: np.ndarray
    descent: np.ndarray
    inserted: np.ndarray
    evaluations: np.ndarray
    alive: np.ndarray
    noise: np.ndarray


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
    normal, shuffles, gumbel = _noise(method, keys, number, params, problem)
    proposed = propose(method, normal, shuffles, params, counts, problem)
    ncf, relative = np.asarray(proposed.ncf), np.asarray(proposed.relative_ncf)
    shares = np.asarray(proposed.candidates.shares)
    # Random neurons have no NCF to speak of.
    positive = np.asarray(proposed.candidates.relative) > config.ncf_tol
    positive |= config.new_neurons == "random"
    bound = _bounds(method, np.asarray(proposed.chance), problem)
    over = np.where(positive, shares - bound, -np.inf)
    allowed = over > 0 if config.shuffles else positive
    lanes, evaluations = np.arange(len(live)), np.zeros(len(live), int)
    trials = proposed.params
    if config.rule == "lookahead":
        index, alive, trials, evaluations = _lookahead(
            method, proposed, allowed, live, gumbel, problem, given
        )
        noise = np.any(positive, axis=1) & ~np.any(allowed, axis=1)
        # Of what is not added, the one that came closest.
        index = np.where(noise, np.argmax(over, axis=1), index)
    else:
        alone = config.rule == "ncf" or len(params) == 2
        rule = 1 + np.argmax(ncf[:, 1:], axis=1) if alone else len(params)
        index = np.where(rescue, 0, rule * config.candidates)
        if config.rule == "normalised":
            index = np.argmax(over, axis=1)
        alive, noise = allowed[lanes, index], (positive & ~allowed)[lanes, index]

    def taken(leaf: Any) -> np.ndarray:
        return np.asarray(leaf)[lanes, index]

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
        taken(shares),
        taken(bound),
        taken(proposed.scale),
        taken(proposed.descent),
        taken(proposed.inserted),
        evaluations,
        alive,
        noise,
    )


def _lookahead(
    method: Method,
    proposed: Proposals,
    allowed: np.ndarray,
    live: np.ndarray,
    gumbel: np.ndarray,
    problem: Problem,
    given: Given,
) -> tuple[np.ndarray, np.ndarray, Any, np.ndarray]:
    """Of the candidates allowed `(B, M)` the best of every lane after a short refit.

    Returns:
        Which one and whether there is one, `(B,)`; the weights of all of them after their refits,
        like `proposed.params`; and evaluations `(B,)`.
    """
    config = method.config
    # At least one, which then is taken nowhere: shapes stay as they are.
    tried = np.flatnonzero(np.any(allowed & live[:, None], axis=0))
    tried = tried if len(tried) else np.arange(1)
    fits = [_short_refit(method, proposed, i, live, problem, given) for i in tried.tolist()]
    evaluations = np.sum([np.asarray(fit.evaluations) for fit in fits], axis=0)
    losses = np.full(allowed.shape, np.inf)
    losses[:, tried] = np.stack([np.asarray(fit.loss) for fit in fits], axis=1)
    trials: Any = tuple(np.array(weights) for weights in proposed.params)
    for i, fit in zip(tried, fits, strict=True):
        for weights, refitted in zip(trials, fit.params, strict=True):
            weights[:, i] = refitted
    losses *= method.handicap(trials, problem.y.size)
    losses += 0.5 * config.l2[0] * sum(np.sum(w**2, axis=(2, 3)) for w in trials)
    allowed = allowed & np.isfinite(losses)
    score = config.spread * gumbel
    score -= np.log(np.where(allowed, np.maximum(losses, 1e-300), 1))
    index = np.argmax(np.where(allowed, score, -np.inf), axis=1)
    return index, np.any(allowed, axis=1), trials, evaluations


def _bounds(method: Method, chance: np.ndarray, problem: Problem) -> np.ndarray:
    """Shares of a residual `(B, M)` that noise alone seldom lets a new neuron explain.

    In units of one over the equations a chance share is chi-squared, of as many degrees as there
    are outputs. Of monomials it is known how many there are; of other neurons the largest of
    shuffled residuals, `chance` `(B, M)`, stands for the largest of all, beyond which the tail is
    the same, `exp(-z / 2)`. Zero if the settings ask for no such bound.
    """
    if method.config.shuffles == 0:
        return np.zeros_like(chance)
    (_, d), (n, c) = problem.x.shape, problem.y.shape
    # Here, as few pursuits need it: it takes a tenth of a second to import.
    from scipy.special import chdtri

    bound = chance - 2 * np.log(LEVEL) / (n * c)
    # Points on the axes are for networks of two layers.
    for t, plan in enumerate(plans(method.activation, 2)):
        if plan.axes:
            monomials = math.comb(d + plan.factors - 1, plan.factors)
            columns = slice(t * method.config.candidates, (t + 1) * method.config.candidates)
            bound[:, columns] = chdtri(c, LEVEL / monomials) / (n * c)
    return bound


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
    method: Method, keys: jax.Array, number: int, params: Params, problem: Problem
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What is random of a round: it follows from the key of every lane and the round.

    Of NumPy, since random numbers of JAX take a second to compile.

    Returns:
        For `candidates.search` `(B, 1 + P, starts, width)` standard normal numbers, and points on
        the axes, of the residual and, but for those, of P shuffled ones; their orders of the
        samples `(B, 1 + P, n)`; and Gumbel numbers `(B, M)`.
    """
    config, depth, n = method.config, len(params), len(problem.x)
    words = np.asarray(jax.random.key_data(keys)).reshape(len(keys), -1)
    sources = [np.random.default_rng([*row, number]) for row in words.tolist()]
    widths = noise_widths(params, method.activation)
    normal = [source.standard_normal((config.starts, sum(widths))) for source in sources]
    kinds = len(method.kinds(depth))
    gumbel = np.stack([source.gumbel(size=kinds) for source in sources])
    shuffles = np.stack(
        [
            [np.arange(n), *(source.permutation(n) for _ in range(config.shuffles))]
            for source in sources
        ]
    )
    noise = np.repeat(np.stack(normal)[:, None], 1 + config.shuffles, axis=1)
    noise = noise.astype(params[0].dtype)
    edges, every = np.cumsum([0, *widths]), plans(method.activation, depth)
    on_axes = [(plan, edges[2 * t], edges[2 * t + 1]) for t, plan in enumerate(every) if plan.axes]
    if on_axes:
        pulls, x = np.asarray(_residuals(method, params, problem)), np.asarray(problem.x)
        orders = [plan.factors for plan, _, _ in on_axes]
        found = axes.points(orders, x, pulls, config.starts, sources)
        for points, (_, start, stop) in zip(found, on_axes, strict=True):
            noise[..., start:stop] = 0
            noise[:, 0, :, start:stop] = points
    return noise, shuffles, gumbel


def _pulls(method: Method, params: Params, problem: Problem) -> tuple[jax.Array, jax.Array]:
    """Outputs and residuals `(B, n, c)`, in units of the relative loss."""
    outputs = jax.vmap(lambda *w: apply(w, problem.x, method.activation))(*params)
    # Of the relative loss, so that NCF values are changes of it.
    pulls = jax.vmap(lambda h: residual(h, problem.y, loss=method.loss))(outputs)
    return outputs, pulls / problem.reference


@partial(jax.jit, static_argnums=0)
def _residuals(method: Method, params: Params, problem: Problem) -> jax.Array:
    return _pulls(method, params, problem)[1]


@partial(jax.jit, static_argnums=0)
def propose(
    method: Method,
    noise: jax.Array,
    shuffles: jax.Array,
    params: Params,
    counts: jax.Array,
    problem: Problem,
) -> Proposals:
    """Search in every lane, and the insertion of each candidate at the norm that it gets."""
    return _mesh.over_members(
        method.mesh, partial(_propose, method), (noise, shuffles, params, counts), problem
    )


def _propose(
    method: Method,
    noise: jax.Array,
    shuffles: jax.Array,
    params: Params,
    counts: jax.Array,
    problem: Problem,
) -> Proposals:
    activation, config = method.activation, method.config
    outputs, pull = _pulls(method, params, problem)
    lanes, times = shuffles.shape[:2]
    # The residual of every lane and its shuffled ones search side by side, as so many lanes.
    pulls, networks, numbers = pull, params, counts
    if times > 1:
        pulls = jax.vmap(lambda r, order: r[order])(pull, shuffles).reshape(-1, *pull.shape[1:])
        networks, numbers = jax.tree.map(
            partial(jnp.repeat, repeats=times, axis=0), (params, counts)
        )
    noise = noise.reshape(lanes * times, *noise.shape[2:])
    neurons = search(noise, networks, numbers, problem.x, pulls, activation, config)
    every = jax.tree.map(lambda leaf: leaf.reshape(lanes, times, *leaf.shape[1:]), neurons)
    neurons = jax.tree.map(lambda leaf: leaf[:, 0], every)
    chance = [jnp.max(each.shares[:, 1:], axis=(1, 2), initial=0) for each in every]
    if len(chance) * config.candidates < len(method.kinds(len(params))):
        chance.append(jnp.max(jnp.stack(chance), axis=0))  # of all layers together
    lane = partial(_propose_in_lane, method)
    return jax.vmap(lane, in_axes=(*(0,) * 6, None))(
        params,
        counts,
        outputs,
        pull,
        neurons,
        jnp.repeat(jnp.stack(chance, axis=1), config.candidates, axis=1),
        problem,
    )


def _propose_in_lane(
    method: Method,
    params: Params,
    counts: jax.Array,
    outputs: jax.Array,
    pull: jax.Array,
    neurons: list[Neurons],
    chance: jax.Array,
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
        chance,
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
