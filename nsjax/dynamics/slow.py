r"""The slow manifold of a saddle: what the zero block does while the active weights stand at rest.

Near `(w_n, 0)` the active weights relax fast and the zero block, of size delta, moves slowly: with
`u = w_z / delta` and `tau = delta^(q-2) t` it follows `du/dtau = grad N(u)`, an equation without
delta. Every neuron j of it is homogeneous by itself and is kept as a logarithmic norm `m_j` and a
unit direction `d_j`; in arc-length time, `ds = |u|^(q-2) dtau`, and with `G = grad N(u / |u|)`,

    m_j' = <G_j, d_j> |u| / |u_j|,   d_j' = (G_j - <G_j, d_j> d_j) |u| / |u_j|,   tau' = |u|^(2-q).

All of it stays of order one from delta to the escape, so that the count of steps does not depend on
delta. At the origin of a deep network the neurons do not decouple, and a weight between two of them
may change its sign: there every weight is kept as it is, `u' = |u| G`, and the count of steps grows
like the logarithm of the growth.

Source: `docs/mathematics.md`, section 3; neuron pursuit (arXiv 2509.12154), section 3.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsjax._flat import Layout
from nsjax.dynamics.integrate import Integration, integrate
from nsjax.dynamics.levels import restore_imbalance
from nsjax.networks.homogeneous import Activation

SOLVER = "dopri8"
LONGEST = 1e4
"""Horizon in units of arc length in which the dominant KKT point grows by a factor e."""
_FRACTIONS = np.concatenate(
    [[0.0], np.logspace(-18, -5, 132), np.linspace(1.5e-5, 6e-3, 400), np.logspace(-2.2, 0, 45)]
)

THRESHOLD, MODEL_ERROR, ALIGNED, DIED_OUT, ZERO_VALUED, HORIZON = range(6)
"""Index of each event of the slow phase."""


class SlowProblem(NamedTuple):
    """Everything the slow motion depends on, as arrays; sizes in units of delta.

    Attributes:
        settled: `(P,)` active weights after they have settled.
        imbalance: one array `(k_l,)` per hidden layer, conserved from the start.
        transient: `(P,)` what still relaxes at the start, in the Hessian's eigenvectors.
        eigenvalues: `(P,)` rates at which it does.
        frozen: `(P,)` entries of the zero block that stand still to leading order, over delta.
        labels: `(P,)` neuron of every entry, `groups` for none.
        alive: `(H,)` which neurons are not zero.
        loose: `(P,)` bool, entries that move and belong to no neuron.
        ncf_args: arguments of the NCF at the settled saddle.
        data: `(x, y, reference)`, what loss and measure take.
        zero: `(P,)` bool, the zero block.
        inverse: `(P,)` inverse eigenvalues of the Hessian over the active weights, 0 in the null
            band.
        eigenvectors: `(P, P)`.
        delta: size of the zero block at the start.
        rate: `q N*`, the growth rate in arc length of the dominant KKT point.
        order: q.
    """

    settled: jax.Array
    imbalance: tuple[jax.Array, ...]
    transient: jax.Array
    eigenvalues: jax.Array
    frozen: jax.Array
    labels: jax.Array
    alive: jax.Array
    loose: jax.Array
    ncf_args: Any
    data: tuple[Any, ...]
    zero: jax.Array
    inverse: jax.Array
    eigenvectors: jax.Array
    delta: jax.Array
    rate: jax.Array
    order: jax.Array


class SlowLimits(NamedTuple):
    """Where the slow motion stops; infinite (or minus infinite) limits never fire.

    Attributes:
        log_size: logarithm of the zero block's norm over delta, to stop above.
        model_error: relative error of the leading-order field, to stop above.
        residual: KKT residual of the direction, to stop below.
        log_floor: logarithm of the groups' norm over delta, to stop below: died out.
        flat: largest relative speed of a neuron, in arc length and against `rate`, to stop below:
            zero-valued.
        tau: rescaled time times `rate`, to stop above.
    """

    log_size: jax.Array
    model_error: jax.Array
    residual: jax.Array
    log_floor: jax.Array
    flat: jax.Array
    tau: jax.Array


class SlowSpec(NamedTuple):
    """What is static: the NCF, the loss, what is saved, the layout, p and two counts."""

    ncf: Callable[..., jax.Array]
    loss: Callable[..., jax.Array]
    measure: Callable[..., dict[str, jax.Array]]
    layout: Layout
    p: int
    groups: int
    max_steps: int


def default_rtol(activation: Activation, p: int) -> float:
    """Default tolerance of the slow motion: under a hundred steps for every activation.

    A method of order 8 crawls where samples cross a kink: the velocity's derivative jumps there for
    p = 2, its second derivative for p = 3.
    """
    if getattr(activation, "analytic", False):
        return 1e-8
    return 1e-5 if p == 2 else 1e-6


def start_state(
    zero_block: jax.Array, labels: jax.Array, loose: jax.Array, groups: int
) -> jax.Array:
    """State `(d, m, tau)` from the zero block `(P,)` over delta; zero groups have norm 1."""
    norms = group_norms(zero_block, labels, groups)
    safe = jnp.where(norms > 0, norms, 1)
    directions = zero_block / jnp.append(safe, jnp.inf)[labels]
    directions = jnp.where(loose, zero_block, directions)
    return jnp.concatenate([directions, jnp.log(safe), jnp.zeros((1,), zero_block.dtype)])


def zero_block(spec: SlowSpec, problem: SlowProblem, state: jax.Array) -> jax.Array:
    """The zero block over delta, `(P,)`."""
    return _moving(spec, problem, state) + problem.frozen


def _moving(spec: SlowSpec, problem: SlowProblem, state: jax.Array) -> jax.Array:
    entries = state[: spec.layout.size]
    sizes = jnp.append(jnp.exp(state[spec.layout.size : -1]), 0)[problem.labels]
    grouped = _unit_groups(spec, problem, entries) * sizes
    return jnp.where(problem.loose, entries, grouped)


def group_norms(vector: jax.Array, labels: jax.Array, groups: int) -> jax.Array:
    """Norm of every group of a flat vector, `(H,)`."""
    return jnp.sqrt(jax.ops.segment_sum(vector**2, labels, num_segments=groups + 1)[:-1])


def _unit_groups(spec: SlowSpec, problem: SlowProblem, directions: jax.Array) -> jax.Array:
    norms = group_norms(directions, problem.labels, spec.groups)
    return directions / jnp.append(jnp.where(norms > 0, norms, 1), jnp.inf)[problem.labels]


def _log_norm(problem: SlowProblem, state: jax.Array) -> jax.Array:
    """Logarithm of the norm of what moves."""
    size = problem.loose.size
    tiny = jnp.finfo(state.dtype).tiny
    loose = jnp.log(jnp.maximum(jnp.linalg.norm(jnp.where(problem.loose, state[:size], 0)), tiny))
    logs = jnp.where(problem.alive, state[size:-1], -jnp.inf)
    return 0.5 * jax.nn.logsumexp(2 * jnp.append(logs, loose))


def _relative_velocity(
    spec: SlowSpec, state: jax.Array, problem: SlowProblem
) -> tuple[jax.Array, jax.Array]:
    """`G |u| / |u_j|` in the entries of each neuron, `G |u|` in loose ones; and `log |u|`."""
    joint = _log_norm(problem, state)
    gradient = _ncf_gradient(spec, _moving(spec, problem, state) * jnp.exp(-joint), problem)
    ratio = jnp.where(problem.alive, jnp.exp(joint - state[spec.layout.size : -1]), 0)
    factor = jnp.append(ratio, 0)[problem.labels]
    return gradient * jnp.where(problem.loose, jnp.exp(joint), factor), joint


def field(spec: SlowSpec, state: jax.Array, problem: SlowProblem) -> jax.Array:
    """Velocity of `(d, m, tau * rate)` in arc length times `rate`."""
    velocity, joint = _relative_velocity(spec, state, problem)
    velocity = velocity / problem.rate
    directions = _unit_groups(spec, problem, state[: spec.layout.size])
    growth = jax.ops.segment_sum(
        velocity * directions, problem.labels, num_segments=spec.groups + 1
    )[:-1]
    turn = velocity - jnp.append(growth, 0)[problem.labels] * directions
    moves = jnp.where(problem.loose, velocity, turn)
    return jnp.concatenate([moves, growth, jnp.exp((2 - problem.order) * joint)[None]])


def _ncf_gradient(spec: SlowSpec, zero_block: jax.Array, problem: SlowProblem) -> jax.Array:
    return _gradient(spec.ncf, spec.layout, problem, zero_block)


def _gradient(
    ncf: Callable[..., jax.Array], layout: Layout, saddle: Any, block: jax.Array
) -> jax.Array:
    gradient = jax.grad(lambda w: ncf(layout.tree(w), *saddle.ncf_args))(block)
    return jnp.where(saddle.zero, gradient, 0)


def on_level(spec: SlowSpec, problem: SlowProblem, full: jax.Array) -> jax.Array:
    """All weights `(P,)`, the active ones rescaled to the conserved imbalances."""
    zero = Layout(spec.layout.structure, spec.layout.shapes, ("bool",) * len(spec.layout.shapes))
    restored = restore_imbalance(
        spec.layout.tree(full), zero.tree(problem.zero), problem.imbalance, spec.p
    )
    return spec.layout.flat(restored)


def displaced(
    spec: SlowSpec, problem: SlowProblem, block: jax.Array, relaxing: jax.Array | float = 0.0
) -> jax.Array:
    """All weights `(P,)`: the active ones at their quasi-equilibrium under `delta * block`.

    One Newton step with the Hessian at the saddle,
    `w_n - H^+ (grad_n f(w_n, w_z) - grad_n f(w_n, 0))`: the difference, so that what is left of the
    gradient at the saddle does not count as a force. It moves across the valley of minima; where
    along it they are, the conserved imbalances say. `relaxing` is what has not settled yet.
    """
    gradient = jax.grad(lambda w: spec.loss(spec.layout.tree(w), *problem.data))
    force = gradient(problem.settled + problem.delta * block) - gradient(problem.settled)
    force = jnp.where(problem.zero, 0, force)
    step = problem.eigenvectors @ (problem.inverse * (problem.eigenvectors.T @ force))
    moved = problem.settled - jnp.where(problem.zero, 0, step)
    return on_level(spec, problem, moved + problem.delta * block + relaxing)


def model_error(spec: SlowSpec, problem: SlowProblem, block: jax.Array) -> jax.Array:
    """Relative error of `grad N(w_z)` as the velocity of the zero block."""
    lead = _ncf_gradient(spec, block, problem) * problem.delta ** (problem.order - 1)
    full = displaced(spec, problem, block)
    exact = -jax.grad(lambda w: spec.loss(spec.layout.tree(w), *problem.data))(full)
    size = jnp.linalg.norm(lead)
    error = jnp.linalg.norm(jnp.where(problem.zero, exact - lead, 0))
    error = jnp.where(size > 0, error / jnp.where(size > 0, size, 1), 0)
    # Far beyond the escape the network itself overflows: as wrong as can be.
    return jnp.nan_to_num(error, nan=jnp.finfo(error.dtype).max)


@partial(jax.jit, static_argnums=0)
def start_errors(
    spec: SlowSpec, problem: SlowProblem, block: jax.Array, unsettled_args: Any
) -> tuple[jax.Array, jax.Array]:
    """How wrong the slow manifold is at the start, relative to the NCF's gradient.

    Returns:
        By how much the gradient changes while the active weights settle; and the model error.
    """
    settled = _ncf_gradient(spec, block, problem)
    unsettled = _ncf_gradient(spec, block, problem._replace(ncf_args=unsettled_args))
    size = jnp.linalg.norm(settled)
    change = jnp.linalg.norm(settled - unsettled) / jnp.where(size > 0, size, 1)
    return change, model_error(spec, problem, block)


def time(problem: SlowProblem, state: jax.Array) -> jax.Array:
    """Time of the flow, `tau / delta^(q-2)`."""
    return state[-1] / (problem.rate * problem.delta ** (problem.order - 2))


def parameters(spec: SlowSpec, problem: SlowProblem, state: jax.Array) -> jax.Array:
    """All weights `(P,)`: the active ones displaced and relaxing, the zero block slow."""
    block = zero_block(spec, problem, state)
    decay = jnp.exp(-problem.eigenvalues * time(problem, state))
    relaxing = problem.eigenvectors @ (problem.transient * decay)
    return displaced(spec, problem, block, relaxing)


def save(spec: SlowSpec, problem: SlowProblem, state: jax.Array) -> dict[str, jax.Array]:
    """What a run saves."""
    full = parameters(spec, problem, state)
    value, gradient = jax.value_and_grad(lambda w: spec.loss(spec.layout.tree(w), *problem.data))(
        full
    )
    measured = spec.measure(spec.layout.tree(full), *problem.data)
    return measured | {
        "t": time(problem, state),
        "loss": value,
        "grad_norm": jnp.linalg.norm(gradient),
    }


def kkt_residual(
    ncf: Callable[..., jax.Array], layout: Layout, saddle: Any, block: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """KKT residual of the zero block's direction, and the norm of the NCF's gradient there.

    Args:
        ncf: `(zero_block, *ncf_args) -> scalar`.
        layout: of the weights.
        saddle: has attributes `zero` and `ncf_args`.
        block: `(P,)` zero block, in any unit.
    """
    direction = block / jnp.maximum(jnp.linalg.norm(block), jnp.finfo(block.dtype).tiny)
    gradient = _gradient(ncf, layout, saddle, direction)
    size = jnp.linalg.norm(gradient)
    tangent = jnp.linalg.norm(gradient - jnp.dot(gradient, direction) * direction)
    return jnp.where(size == 0, 0, tangent / jnp.where(size == 0, 1, size)), size


def _largest_speed(spec: SlowSpec, problem: SlowProblem, state: jax.Array) -> jax.Array:
    """Largest `|u_j'| / |u_j|` of a neuron (over loose weights, of all of them) in arc length."""
    velocity, joint = _relative_velocity(spec, state, problem)
    loose = jnp.linalg.norm(jnp.where(problem.loose, velocity, 0)) * jnp.exp(-joint)
    return jnp.maximum(jnp.max(group_norms(velocity, problem.labels, spec.groups)), loose)


@partial(jax.jit, static_argnums=0)
def run(
    spec: SlowSpec,
    state: jax.Array,
    problem: SlowProblem,
    limits: SlowLimits,
    rtol: jax.Array,
    atol: jax.Array,
) -> tuple[Integration, jax.Array, dict[str, jax.Array]]:
    """Follow the slow motion from `state` to the first of the limits.

    What is saved is `measure(params, *data)` at the full parameters, with "t", "loss" and
    "grad_norm" beside it. Returns the integration, all weights at its end, and the saves there.
    """

    def margins(s: jax.Array, state: jax.Array, args: Any) -> jax.Array:
        del s
        problem, limits = args
        block = zero_block(spec, problem, state)
        residual, _ = kkt_residual(spec.ncf, spec.layout, problem, block)
        speed = _largest_speed(spec, problem, state)
        tiny = jnp.finfo(state.dtype).tiny
        error = model_error(spec, problem, block)
        return jnp.stack(
            [
                jnp.log(jnp.linalg.norm(block)) - limits.log_size,
                jnp.log(jnp.maximum(error, tiny)) - jnp.log(limits.model_error),
                jnp.log(jnp.maximum(limits.residual, tiny)) - jnp.log(jnp.maximum(residual, tiny)),
                limits.log_floor - _log_norm(problem, state),
                jnp.log(limits.flat * problem.rate) - jnp.log(jnp.maximum(speed, tiny)),
                jnp.log(jnp.maximum(state[-1], tiny)) - jnp.log(limits.tau),
            ]
        )

    out = integrate(
        lambda s, state, args: field(spec, state, args[0]),
        state,
        (problem, limits),
        horizon=jnp.asarray(LONGEST, state.dtype),
        fractions=_FRACTIONS,
        measure=lambda s, state, args: save(spec, args[0], state),
        margins=margins,
        rtol=rtol,
        atol=atol,
        solver=SOLVER,
        max_steps=spec.max_steps,
    )
    return out, parameters(spec, problem, out.y), save(spec, problem, out.y)
