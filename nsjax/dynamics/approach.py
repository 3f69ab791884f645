"""The start of an escape: settle the active weights, find the limit, judge the slow manifold."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nsjax import _check
from nsjax._flat import Layout
from nsjax.diagnostics import imbalance
from nsjax.dynamics import slow
from nsjax.dynamics.correlation import Correlation, climb, correlation_args
from nsjax.dynamics.measure import Measure, Reference, ReferencedLoss
from nsjax.dynamics.saddles import Blocks, Saddle
from nsjax.kkt import unit
from nsjax.networks import activation_degree
from nsjax.networks.homogeneous import Activation, Params
from nsjax.objectives import NetworkLoss

_SLOW_STEPS = 4096
DIED = 1e-3
"""The zero block has died out once its norm is below this share of its start."""
FLAT = 1e-6
"""Zero-valued: the NCF's gradient is below this share of `q N*`."""


class Approach(NamedTuple):
    """A perturbed saddle, ready for any of the methods.

    Attributes:
        start: `(P,)` perturbed weights.
        zero, labels, groups: the zero block and its neurons, see `saddles.Blocks`.
        start_ratio: norm of the zero block at the start over delta.
        layout, loss, measure, data: of the full flow.
        target, target_value, target_residual: `(P,)` KKT point that the zero block tends to, its
            NCF and its KKT residual.
        spec, problem, state: of the slow manifold.
        unsettled: relative error of the NCF's gradient at the start because the active weights
            have not settled, against the wait.
        model_error: relative error of the slow manifold at the start.
        value, degree, curvature, delta: N*, q, largest curvature, size of the perturbation.
    """

    start: jax.Array
    zero: jax.Array
    labels: jax.Array
    groups: int
    start_ratio: float
    layout: Layout
    loss: ReferencedLoss
    measure: Callable[..., dict[str, Any]]
    data: tuple[Any, ...]
    target: jax.Array
    target_value: float
    target_residual: float
    spec: slow.SlowSpec
    problem: slow.SlowProblem
    state: jax.Array
    unsettled: float
    model_error: float
    value: float
    degree: int
    curvature: float
    delta: float

    @property
    def error(self) -> float:
        """Relative error of the slow manifold at the start, settled or not."""
        return max(self.unsettled, self.model_error)

    def scale(self, weights: jax.Array) -> jax.Array:
        """Typical size `(P,)` of every weight: 1, in the zero block its neuron's norm.

        Neurons that are zero stay zero; any scale serves them.
        """
        norms = self.delta * slow.group_norms(weights / self.delta, self.labels, self.groups)
        size = self.delta * self.start_ratio
        norms = jnp.append(jnp.where(norms > 0, norms, size), size)
        return jnp.where(self.zero, norms[self.labels], 1)


def perturbation_blocks(
    perturbation: str | Params, key: jax.Array | None, params: Params, where: Blocks
) -> tuple[jax.Array, jax.Array] | None:
    """Flat `(n, z)` of a perturbation; None for "kkt", which needs the search.

    Raises:
        TypeError, ValueError: for an unknown name, "random" without a key, a pytree of another
            shape or not of unit norm, or one that leaves the zero block alone.
    """
    layout = Layout.of(params)
    zero = jnp.asarray(where.zero)
    dtype = params[0].dtype
    if isinstance(perturbation, str):
        _check.choice("perturbation", perturbation, ("kkt", "random"))
        if perturbation == "kkt":
            return None
        if key is None:
            raise ValueError("perturbation 'random' needs a key, got key=None")
        n_key, z_key = jax.random.split(key)
        n = jnp.where(zero, 0, jax.random.normal(n_key, (layout.size,), dtype))
        z = jnp.where(zero, jax.random.normal(z_key, (layout.size,), dtype), 0)
        return unit(n), unit(z)
    _check.tree_finite("perturbation", perturbation)
    shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves(perturbation)]
    if shapes != list(layout.shapes) or not isinstance(perturbation, tuple | list):
        raise ValueError(f"perturbation must be shaped like params, {layout.shapes}, got {shapes}")
    flat = layout.flat(jax.tree.map(jnp.asarray, perturbation)).astype(dtype)
    n, z = jnp.where(zero, 0, flat), jnp.where(zero, flat, 0)
    lengths = float(jnp.linalg.norm(flat)), float(jnp.linalg.norm(z))
    close = 1e-6 if dtype == jnp.float64 else 1e-4
    if min(abs(length - 1) for length in lengths) > close:
        raise ValueError(
            "perturbation must have norm 1, over all of it or over the zero block, got "
            f"{lengths[0]:.6g} and {lengths[1]:.6g}"
        )
    if lengths[1] == 0:
        raise ValueError("perturbation must be nonzero on the zero block, got zero there")
    return n, z


def approach(
    params: Params,
    where: Blocks,
    x: jax.Array,
    y: jax.Array,
    activation: Activation,
    loss: str,
    saddle: Saddle,
    ncf: Correlation,
    value: float,
    direction: tuple[jax.Array, jax.Array],
    delta: float,
    observables: tuple[tuple[str, Callable[..., Any]], ...],
    *,
    smooth: bool,
    rtol: float,
    measure: Callable[..., dict[str, Any]] | None = None,
) -> Approach:
    """Everything that the phases of an escape need; `measure` replaces the usual `Measure`."""
    layout = Layout.of(params)
    flat = layout.flat(params)
    dtype = flat.dtype
    zero, labels = jnp.asarray(where.zero), jnp.asarray(where.labels)
    n, z = direction
    network_loss = NetworkLoss(activation, loss)
    p = activation_degree(activation)
    full_loss = ReferencedLoss(network_loss)
    measure = measure or Measure(ncf.function, layout, observables)
    reference = Reference(flat, zero, z, jnp.asarray(delta, dtype), ncf.args)
    data = (x, y, reference)
    norms = slow.group_norms(z, labels, where.groups)
    in_group = labels < where.groups
    loose = zero if where.origin else jnp.zeros_like(zero)
    frozen = jnp.where(in_group | loose, 0, jnp.where(zero, z, 0))
    start_ratio = float(jnp.linalg.norm(z))
    state = slow.start_state(jnp.where(in_group | loose, z, 0), labels, loose, where.groups)

    # What rounding has left of the active eigenvectors in the zero block would drown a tiny delta.
    vectors = jnp.where(zero[:, None], 0, saddle.eigenvectors)
    eigenvalues = saddle.eigenvalues
    relaxes = eigenvalues > saddle.band
    transient = jnp.where(relaxes, delta * (vectors.T @ n), 0)
    inverse = jnp.where(relaxes, 1 / jnp.where(relaxes, eigenvalues, 1), 0)
    settled = flat + delta * n - vectors @ transient
    if bool(jnp.any(n != 0)):
        settled = _settle(network_loss, layout, settled, zero, inverse, vectors, x, y)
    settled_args = correlation_args(network_loss, where.origin, layout.tree(settled), x, y)
    order = saddle.degree
    conserved = imbalance(layout.tree(flat + delta * (n + z)), activation)
    problem = slow.SlowProblem(
        settled,
        conserved,
        transient,
        jnp.where(relaxes, eigenvalues, 0),
        frozen,
        labels,
        norms > 0,
        loose,
        settled_args,
        data,
        zero,
        inverse,
        vectors,
        jnp.asarray(delta, dtype),
        jnp.asarray(order * value, dtype),
        jnp.asarray(order, dtype),
    )
    spec = slow.SlowSpec(ncf.function, full_loss, measure, layout, p, where.groups, _SLOW_STEPS)
    target, target_value, target_residual = _target(spec, problem, state, z, smooth, rtol)
    data = (x, y, reference._replace(target=target))
    problem = problem._replace(data=data)
    moved_args = correlation_args(network_loss, where.origin, layout.tree(flat + delta * n), x, y)
    waiting = saddle.curvature_min_positive / (order * value) * delta ** (2 - order)
    change, error = slow.start_errors(spec, problem, z, moved_args)
    return Approach(
        start=flat + delta * (n + z),
        zero=zero,
        labels=labels,
        groups=where.groups,
        start_ratio=start_ratio,
        layout=layout,
        loss=full_loss,
        measure=measure,
        data=data,
        target=target,
        target_value=target_value,
        target_residual=target_residual,
        spec=spec,
        problem=problem,
        state=state,
        unsettled=float(change) / max(1.0, waiting),
        model_error=float(error),
        value=value,
        degree=order,
        curvature=saddle.curvature_max,
        delta=delta,
    )


@partial(jax.jit, static_argnums=(0, 1))
def _settle(
    loss: NetworkLoss,
    layout: Layout,
    weights: jax.Array,
    zero: jax.Array,
    inverse: jax.Array,
    vectors: jax.Array,
    x: jax.Array,
    y: jax.Array,
) -> jax.Array:
    """Active weights brought to rest by two Newton steps with the Hessian at the saddle."""
    for _ in range(2):
        force = jax.grad(lambda w: loss(layout.tree(w), x, y))(weights)
        force = jnp.where(zero, 0, force)
        weights = weights - vectors @ (inverse * (vectors.T @ force))
    return weights


def _target(
    spec: slow.SlowSpec,
    problem: slow.SlowProblem,
    state: jax.Array,
    z: jax.Array,
    smooth: bool,
    rtol: float,
) -> tuple[jax.Array, float, float]:
    """Unit KKT point that the zero block tends to from z: the limit of the slow flow.

    An activation with a kink of degree 1 has no such flow; there a monotone ascent of the NCF
    stands in for it.
    """
    dtype = z.dtype
    tol = max(1e-8, 0.1 * rtol)
    start_ratio = float(jnp.linalg.norm(z))
    if smooth:
        span = 0.3 * math.log(float(jnp.finfo(dtype).max))
        limits = slow.SlowLimits(
            *(
                jnp.asarray(limit, dtype)
                for limit in (span, math.inf, tol, math.log(DIED * start_ratio), FLAT, math.inf)
            )
        )
        if float(_alignment(spec, problem, z)[0]) > tol:
            out, _, _ = slow.run(
                spec, state, problem, limits, jnp.asarray(rtol, dtype), jnp.asarray(rtol, dtype)
            )
            z = slow.zero_block(spec, problem, out.y)
        direction = unit(z)
    else:
        direction, _, _ = climb(spec.ncf, spec.layout, problem.zero, unit(z), problem.ncf_args)
    residual, value = _alignment(spec, problem, direction)
    return direction, float(value), float(residual)


@partial(jax.jit, static_argnums=0)
def _alignment(
    spec: slow.SlowSpec, problem: slow.SlowProblem, block: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """KKT residual and NCF of the direction of a zero block."""
    residual, _ = slow.kkt_residual(spec.ncf, spec.layout, problem, block)
    return residual, spec.ncf(spec.layout.tree(unit(block)), *problem.ncf_args)
