"""Where the new neurons of a round may point: KKT points of the NCF, in every layer and as chains.

The starts of all lanes, layers and chains climb together, as columns of one matrix. Directions have
norm one over all new weights, shared as at a KKT point (Lemma 9).
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from nsjax.kkt.ascent import ValueAndGrad, ascend_together
from nsjax.kkt.neuron import NeuronLandscape, correlation_scale
from nsjax.networks.homogeneous import Activation, Params, features, pullback
from nsjax.networks.products import by_factors
from nsjax.pursuit.chains import Chains, ProductChains, chain_norms
from nsjax.pursuit.config import Config
from nsjax.pursuit.plans import Plan, plans


class Neurons(NamedTuple):
    """Distinct new neurons of one kind, best first, in one lane; s of them.

    Attributes:
        incoming: `(s, k)` unit weights.
        outgoing: `(s, c)` unit weights.
        signs: `(s, L - 2)` signs of the hidden weights of chains; ones otherwise.
        values: `(s,)` NCF values N*.
        relative: `(s,)` the same against what it would be if residual and responses lined up.
        residuals: `(s,)` KKT residuals.
        shares: `(s,)` of the pulled-back residual that the neuron would explain by itself: what is
            left of its response when the neurons of its layer have been projected out, over its
            size. So neurons of several orders compare; zero unless the settings ask for it.
        fresh: `(s,)` bool, false where there were fewer that differ: those are zero.
    """

    incoming: jax.Array
    outgoing: jax.Array
    signs: jax.Array
    values: jax.Array
    relative: jax.Array
    residuals: jax.Array
    shares: jax.Array
    fresh: jax.Array


class Candidates(NamedTuple):
    """Sets of new neurons; m of one kind.

    Attributes:
        directions: tuple of L arrays `(m, k_l, k_{l-1})`, zero but for the new neurons' weights.
        added: `(m, L - 1)` int32, how many each adds to every hidden layer.
        values, relative, residuals, shares: `(m,)` of the set's first neuron, see `Neurons`.
    """

    directions: Params
    added: jax.Array
    values: jax.Array
    relative: jax.Array
    residuals: jax.Array
    shares: jax.Array


class _Kind(NamedTuple):
    """One kind of new neurons in all lanes: its plan, and what its NCF is made of.

    Attributes:
        plan: static.
        unit: `(B,)` what phi is multiplied by: features and residual are brought to size one here,
            since their powers may be out of range.
        before: `(B, n, k)` features.
        after: `(B, n, c)` pulled-back residual.
        there: `(B, n, w)` responses of the neurons of its layer, zero of unused ones.
        used: `(B, k)` bool, features of neurons that are there.
    """

    plan: Plan
    unit: jax.Array
    before: jax.Array
    after: jax.Array
    there: jax.Array
    used: jax.Array


def search(
    noise: jax.Array,
    params: Params,
    counts: jax.Array,
    x: jax.Array,
    pull: jax.Array,
    activation: Activation,
    config: Config,
) -> list[Neurons]:
    """The best distinct new neurons of every kind: chains, and one for each hidden layer.

    Args:
        noise: `(B, starts, sum(noise_widths))` standard normal numbers; for kinds on the axes, in
            place of those for starts, their points.
        params: padded networks `(B, k_l, k_{l-1})`, whose unused neurons are zero.
        counts: `(B, L - 1)` used neurons.
        x: `(n, d)`.
        pull: `(B, n, c)` residuals.
        activation, config: static.
    """
    kinds = _kinds(params, counts, x, pull, activation)
    drawn = _shared_out(noise, noise_widths(params, activation))
    points = [
        mine[0]
        if kind.plan.axes
        else jax.vmap(partial(_starts, config))(*mine, kind.before, kind.after, kind.used)
        for mine, kind in zip(drawn, kinds, strict=True)
    ]
    values = residuals = [jnp.ones(each.shape[:2], x.dtype) for each in points]
    if config.new_neurons == "kkt":
        points, values, residuals = _climbed(kinds, points, config)
    responses = [
        jax.vmap(lambda u, g, family=kind.plan.family: family.response(u.T, g))(at, kind.before)
        for kind, at in zip(kinds, points, strict=True)
    ]
    shares = [jnp.zeros_like(each) for each in values]
    if config.measured or any(kind.plan.axes for kind in kinds):
        shares = [
            jax.vmap(_shares)(response, kind.after, kind.there)
            for kind, response in zip(kinds, responses, strict=True)
        ]
    # Points on the axes are not told apart by their NCF, but by what they explain.
    ranks = [
        share if kind.plan.axes else value
        for kind, value, share in zip(kinds, values, shares, strict=True)
    ]
    # The same for every kind, so that it is compiled once.
    count = config.candidates * config.per_round
    pick = partial(_spread, count=count, max_cosine=config.max_cosine)
    chosen, fresh = jax.vmap(jax.vmap(pick))(jnp.stack(ranks), jnp.stack(responses))
    found = []
    for t, kind in enumerate(kinds):

        def describe(
            chosen: jax.Array,
            fresh: jax.Array,
            unit: jax.Array,
            points: jax.Array,
            residuals: jax.Array,
            response: jax.Array,
            mixing: jax.Array,
            before: jax.Array,
            after: jax.Array,
            share: jax.Array,
            kind: _Kind = kind,
        ) -> Neurons:
            correlation = response[:, chosen].T @ after
            along = mixing[:count] if config.new_neurons == "random" else correlation
            outgoing = _unit(along)
            values = jnp.sum(correlation * outgoing, axis=1)
            scale = correlation_scale(kind.plan.family, before, after)
            signs = jnp.ones((len(points), 0), points.dtype)
            if isinstance(kind.plan.family, Chains | ProductChains):
                signs = kind.plan.family.signs(len(points), points.dtype).T
            # One more of a neuron that is there would never part from it.
            values = jnp.where(fresh, values, 0)
            return Neurons(
                jnp.where(fresh[:, None], points[chosen], 0),
                jnp.where(fresh[:, None], outgoing, 0),
                signs[chosen],
                kind.plan.factor * unit * values,
                values / jnp.where(scale > 0, scale, 1),
                residuals[chosen],
                jnp.where(fresh, share[chosen], 0),
                fresh,
            )

        found.append(
            jax.vmap(describe)(
                chosen[t],
                fresh[t],
                kind.unit,
                points[t],
                residuals[t],
                responses[t],
                drawn[t][1],
                kind.before,
                kind.after,
                shares[t],
            )
        )
    return found


def place(
    neurons: list[Neurons],
    params: Params,
    counts: jax.Array,
    activation: Activation,
    config: Config,
) -> list[Candidates]:
    """The new neurons of one lane as changes of its weights, in its first unused places.

    Chains first, then every hidden layer; with several, at last all layers together.
    """
    depth, every = len(params), plans(activation, len(params))
    kinds = [
        _placed_chains(each, params, counts, plan, config)
        if plan.layer == 0
        else _placed(each, params, counts, plan, config)
        for each, plan in zip(neurons, every, strict=True)
    ]
    if depth > 2 and config.rule != "ncf":
        # Of several orders, the highest of every layer.
        last = {plan.layer: kind for plan, kind in zip(every, kinds, strict=True) if plan.layer}
        kinds.append(_jointly(list(last.values())))
    return kinds


def _kinds(
    params: Params, counts: jax.Array, x: jax.Array, pull: jax.Array, activation: Activation
) -> list[_Kind]:
    lanes = len(pull)
    hidden = jax.vmap(lambda *w: features(w, x, activation))(*params)
    pulled = jax.vmap(lambda w, r: pullback(w, x, r, activation))(params, pull)
    inputs = jnp.ones((lanes, x.shape[1]), bool)
    kinds = []
    for plan in plans(activation, len(params)):
        if plan.layer == 0:
            kinds.append(_kind(plan, hidden[0], pull, hidden[-1], inputs))
            continue
        i = plan.layer - 1
        width = hidden[i].shape[2]
        used = inputs if i == 0 else jnp.arange(width) < counts[:, i - 1, None]
        kinds.append(_kind(plan, hidden[i], pulled[i + 1], hidden[i + 1], used))
    return kinds


def _kind(
    plan: Plan, before: jax.Array, after: jax.Array, there: jax.Array, used: jax.Array
) -> _Kind:
    sizes = [jnp.max(jnp.abs(each), axis=(1, 2)) for each in (before, after)]
    sizes = [jnp.where(size > 0, size, 1) for size in sizes]
    unit = sizes[0] ** plan.family.degree * sizes[1]
    before, after = before / sizes[0][:, None, None], after / sizes[1][:, None, None]
    return _Kind(plan, unit, before, after, there, jnp.tile(used, (1, plan.factors)))


def noise_widths(params: Params, activation: Activation) -> list[int]:
    """How many random numbers each start of `search` takes.

    Of every kind in turn those for its incoming and for its outgoing weights.
    """
    widths = []
    for plan in plans(activation, len(params)):
        i = max(plan.layer - 1, 0)
        room = getattr(activation, "factors", 1)
        incoming = params[i].shape[-1] // room * plan.factors
        after = len(params) - 1 if plan.layer == 0 else i + 1
        # A hidden neuron goes into every factor of the next layer's.
        outgoing = params[after].shape[-2] * (room if after < len(params) - 1 else 1)
        widths += [incoming, outgoing]
    return widths


def _shared_out(noise: jax.Array, widths: list[int]) -> list[tuple[jax.Array, jax.Array]]:
    """The random numbers of every kind: `(B, m, k)` for starts, `(B, m, c)` for outputs."""
    parts = jnp.split(noise, np.cumsum(widths)[:-1], axis=2)
    return list(zip(parts[::2], parts[1::2], strict=True))


def _starts(
    config: Config,
    drawn: jax.Array,
    mixing: jax.Array,
    before: jax.Array,
    after: jax.Array,
    used: jax.Array,
) -> jax.Array:
    """Unit starts `(m, k)` in one lane, half of them spectral."""
    starts = _unit(jnp.where(used, drawn, 0))
    if config.spectral and config.new_neurons == "kkt":
        half = config.starts // 2
        size = before.shape[1]
        # Of a product, every factor by itself.
        for j in range(0, starts.shape[1], size):
            leaning = _spectral(mixing[:half], starts[:half, j : j + size], before, after)
            starts = starts.at[:half, j : j + size].set(leaning)
        starts = starts if starts.shape[1] == size else _unit(starts)
    return starts


def _climbed(
    kinds: list[_Kind], starts: list[jax.Array], config: Config
) -> tuple[list[jax.Array], list[jax.Array], list[jax.Array]]:
    """Points, values and KKT residuals `(B, m, ...)` of every kind.

    Those on the axes stay: each is a KKT point there. Their values are not known.
    """
    still = [jnp.zeros(each.shape[:2], each.dtype) for each in starts]
    points, values, residuals = list(starts), list(still), list(still)
    moving = [t for t, kind in enumerate(kinds) if not kind.plan.axes]
    if moving:
        climbed = _climb([kinds[t] for t in moving], [starts[t] for t in moving], config)
        for t, *each in zip(moving, *climbed, strict=True):
            points[t], values[t], residuals[t] = each
    return points, values, residuals


def _climb(
    kinds: list[_Kind], starts: list[jax.Array], config: Config
) -> tuple[list[jax.Array], list[jax.Array], list[jax.Array]]:
    """Points, values and KKT residuals `(B, m, ...)` of every kind, all climbing at once."""
    m, lanes = config.starts, len(starts[0])

    def climbing(kind: _Kind) -> ValueAndGrad:
        climb = NeuronLandscape(kind.plan.family).climb
        every = jax.vmap(lambda u, g, b: climb(u, g, g.T, b), in_axes=(1, 0, 0), out_axes=(0, 1))

        def columns_of_lanes(columns: jax.Array) -> tuple[jax.Array, jax.Array]:
            blocks = columns.reshape(len(columns), lanes, m)
            value, gradient = every(blocks, kind.before, kind.after)
            return value.reshape(-1), gradient.reshape(columns.shape)

        return columns_of_lanes

    done = ascend_together(
        list(map(climbing, kinds)),
        [each.reshape(lanes * m, -1) for each in starts],
        config.search_tol,
        config.search_steps,
    )
    return (
        [
            jnp.where(kind.used[:, None], each.points.reshape(lanes, m, -1), 0)
            for kind, each in zip(kinds, done, strict=True)
        ],
        [jnp.where(jnp.isfinite(each.values), each.values, 0).reshape(lanes, m) for each in done],
        [each.residuals.reshape(lanes, m) for each in done],
    )


def _placed(
    neurons: Neurons, params: Params, counts: jax.Array, plan: Plan, config: Config
) -> Candidates:
    """Sets of `per_round` neurons of the plan's hidden layer."""
    m, k, p, i = config.candidates, config.per_round, plan.p, max(plan.layer - 1, 0)
    # Each neuron with squared norms p : 1, and norm one over the whole set.
    incoming = (p / (p + 1) / k) ** 0.5 * neurons.incoming.reshape(m, k, -1)
    outgoing = (1 / (p + 1) / k) ** 0.5 * neurons.outgoing.reshape(m, k, -1)
    places = counts[i] + jnp.arange(k)
    directions = [jnp.zeros((m, *weight.shape), weight.dtype) for weight in params]
    # A product of lower order leaves the last factors zero.
    directions[i] = directions[i].at[:, places, : incoming.shape[2]].set(incoming)
    after = directions[i + 1]
    parts = by_factors(after, after.shape[2] // params[i].shape[0])
    columns = jnp.moveaxis(outgoing, 1, 2).reshape(*parts.shape[:3], k)
    directions[i + 1] = parts.at[..., places].set(columns).reshape(after.shape)
    return Candidates(
        tuple(directions),
        jnp.zeros((m, len(params) - 1), jnp.int32)
        .at[:, i]
        .set(jnp.sum(neurons.fresh.reshape(m, k), axis=1, dtype=jnp.int32)),
        *(each.reshape(m, k)[:, 0] for each in neurons[3:7]),
    )


def _placed_chains(
    chains: Neurons, params: Params, counts: jax.Array, plan: Plan, config: Config
) -> Candidates:
    m, depth = config.candidates, len(params)
    norms = chain_norms(plan.p, depth)
    directions = []
    for i, weight in enumerate(params):
        block = jnp.zeros((m, *weight.shape), weight.dtype)
        if i == 0:
            block = block.at[:, counts[0]].set(norms[0] * chains.incoming[:m])
        elif i < depth - 1:
            parts = by_factors(block, weight.shape[1] // params[i - 1].shape[0])
            factors = parts.shape[2]
            size = norms[i] / factors**0.5
            parts = parts.at[:, counts[i], :, counts[i - 1]].set(size)
            parts = parts.at[:, counts[i], 0, counts[i - 1]].set(size * chains.signs[:m, i - 1])
            block = parts.reshape(block.shape)
        else:
            block = block.at[:, :, counts[-1]].set(norms[-1] * chains.outgoing[:m])
        directions.append(block)
    return Candidates(
        tuple(directions),
        jnp.ones((m, depth - 1), jnp.int32),
        *(each[:m] for each in chains[3:7]),
    )


def _jointly(layers: list[Candidates]) -> Candidates:
    """The sets of all layers added together, each at an equal share of the norm.

    The r-th takes the r-th set of the first layer with the best of the others.
    """
    first, *others = layers
    for other in others:
        first = Candidates(
            jax.tree.map(lambda a, b: a + b[:1], first.directions, other.directions),
            first.added + other.added[:1],
            *(jnp.maximum(a, b[0]) for a, b in zip(first[2:], other[2:], strict=True)),
        )
    share = len(layers) ** -0.5
    return first._replace(directions=jax.tree.map(lambda leaf: share * leaf, first.directions))


def _spectral(
    mixing: jax.Array, start: jax.Array, before: jax.Array, after: jax.Array
) -> jax.Array:
    """Two steps of power iteration with the second moment `sum_i (B_i . b) g_i g_i^T`, random b.

    Starts that lean to its leading eigenvectors, without an eigendecomposition. Where it vanishes,
    the random start is left.
    """
    weights = after @ _unit(mixing).T
    leaning = start
    leaning = lax.fori_loop(
        0, 2, lambda _, u: _unit((weights * (before @ u.T)).T @ before), leaning
    )
    return jnp.where(jnp.any(leaning != 0, axis=1, keepdims=True), leaning, start)


def _spread(
    values: jax.Array, responses: jax.Array, count: int, max_cosine: float
) -> tuple[jax.Array, jax.Array]:
    """Indices of the `count` best whose responses differ, and whether there are as many.

    The traced sibling of `kkt.certificate.spread`, of values `(m,)` and responses `(n, m)`.
    """
    signatures = _unit(responses.T)
    cosines = jnp.abs(signatures @ signatures.T)

    def pick(left: jax.Array, _: None) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        i = jnp.argmax(jnp.where(left, values, -jnp.inf))
        fresh = left[i]
        left = left & (cosines[i] <= max_cosine) & (jnp.arange(len(values)) != i)
        return left, (i, fresh)

    return lax.scan(pick, jnp.ones(len(values), bool), None, length=count)[1]


def _shares(responses: jax.Array, after: jax.Array, there: jax.Array) -> jax.Array:
    """See `Neurons.shares`; of responses `(n, s)`, residuals `(n, c)` and columns `(n, w)`."""
    sizes = jnp.linalg.norm(there, axis=0)
    columns = there / jnp.where(sizes > 0, sizes, 1)
    gram = columns.T @ columns
    # Of columns that nearly agree: at the root of rounding they are one.
    ridge = jnp.finfo(gram.dtype).eps ** 0.5 * jnp.eye(len(gram), dtype=gram.dtype)
    rest = responses - columns @ jnp.linalg.solve(gram + ridge, columns.T @ responses)
    left = jnp.sum(rest**2, axis=0)
    worth = left > 1e-6 * jnp.sum(responses**2, axis=0)
    explained = jnp.sum((rest.T @ after) ** 2, axis=1) / jnp.where(worth, left, 1)
    whole = jnp.sum(after**2)
    return jnp.where(worth & (whole > 0), explained / jnp.where(whole > 0, whole, 1), 0)


def _unit(rows: jax.Array) -> jax.Array:
    size = jnp.linalg.norm(rows, axis=-1, keepdims=True)
    return rows / jnp.where(size > 0, size, 1)
