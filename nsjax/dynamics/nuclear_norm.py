"""Least squares with a nuclear norm penalty, solved to a duality gap that is measured.

    P(M) = 1/(2n) sum_i (y_i - <A_i, M>)^2 + lam |M|_*          over symmetric M, or M >= 0

by proximal gradient with momentum (FISTA) and restarts; the proximal step soft-thresholds
eigenvalues, and over M >= 0 cuts the negative ones off. The dual is

    D(nu) = <y, nu> - n/2 |nu|^2,   |sum_i nu_i A_i|_op <= lam   (M >= 0: lambda_max <= lam)

and `nu = s (y - A(M)) / n`, scaled until it is feasible, bounds the distance to the minimum:
`P(M) - min P <= P(M) - D(nu)`, whatever the iteration did.

A two-layer x^2 network with output weights fixed at +1 and -1, at least d of either sign, and
`lam sum_j |w_j|^2` has the same minimum with `A_i = x_i x_i^T` (`first_layer_loss`); with output
weights +1 alone, at least d, that over M >= 0.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from nsjax import _check

if TYPE_CHECKING:
    from jaxtyping import Array, Float, Int

CERTIFIED, MAX_STEPS, NO_FIT = 0, 1, 2
MESSAGES = {
    CERTIFIED: "the duality gap is below the tolerance",
    MAX_STEPS: "max_steps was reached before the duality gap was small enough",
    NO_FIT: "no matrix fits the targets: this one is of least norm among the least squares fits",
}
CHUNK = 25
"""Proximal steps between two looks at the gap."""
RANK_TOLERANCE = 1e-8
"""Eigenvalues below this share of the largest count as zero: thresholding leaves rounding."""


class NuclearNormFit(NamedTuple):
    """The minimum of a nuclear norm problem. Under `jax.vmap` every entry has the batch's axes.

    Attributes:
        matrix: M, `(d, d)`.
        value: P(M).
        dual: D(nu), a lower bound of the minimum.
        gap: `value - dual`.
        rank: number of eigenvalues of M that are not zero.
        steps: proximal steps done.
        result: int32 code; `message` is its text.
    """

    matrix: Float[Array, "d d"]
    value: Float[Array, ""]
    dual: Float[Array, ""]
    gap: Float[Array, ""]
    rank: Int[Array, ""]
    steps: Int[Array, ""]
    result: Int[Array, ""]

    @property
    def message(self) -> str:
        """Why it stopped, in words."""
        return MESSAGES[int(self.result)]


def first_layer_loss(
    incoming: Float[Array, "k d"],
    output: Float[Array, " k"],
    x: Float[Array, "n d"],
    y: Float[Array, " n"],
    penalty: float,
) -> Float[Array, ""]:
    """`1/(2n) sum_i (y_i - sum_j a_j (w_j . x_i)^2)^2 + lam sum_j |w_j|^2`, a given.

    The network is evaluated as a network, not by its matrix, so that a comparison means something.

    Args:
        incoming: `w_j`, `(k, d)`, that are trained.
        output: `a_j`, `(k,)`, that are fixed.
        x: inputs `(n, d)`.
        y: targets `(n,)`.
        penalty: lam.

    Raises:
        ValueError: for targets that are no vector: `(n, 1)` would spread over all samples.

    >>> one = jnp.ones(1)
    >>> float(first_layer_loss(one[None], one, 2 * one[None], one, 0.5))  # (1 - 4)^2 / 2 + 0.5
    5.0
    """
    return _mean_square(incoming, output, x, y) + penalty * jnp.sum(incoming**2)


def both_layers_loss(
    params: tuple[Float[Array, "k d"], Float[Array, " k"]],
    x: Float[Array, "n d"],
    y: Float[Array, " n"],
    penalty: float,
) -> Float[Array, ""]:
    """`1/(2n) sum_i (y_i - h(x_i))^2 + lam sum_j (a_j^2 + |w_j|^2)`, both layers trained.

    Args:
        params: `w_j`, `(k, d)`, and `a_j`, `(k,)`.
        x, y, penalty: as in `first_layer_loss`.

    Raises:
        ValueError: as `first_layer_loss`.

    >>> one = jnp.ones(1)
    >>> float(both_layers_loss((one[None], one), 2 * one[None], one, 0.5))
    5.5
    """
    incoming, output = params
    size = jnp.sum(incoming**2) + jnp.sum(output**2)
    return _mean_square(incoming, output, x, y) + penalty * size


def _mean_square(incoming: jax.Array, output: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
    outputs = (x @ incoming.T) ** 2 @ output
    if jnp.shape(y) != outputs.shape:
        raise ValueError(f"y must have shape {outputs.shape}, got {jnp.shape(y)}")
    return jnp.mean((y - outputs) ** 2) / 2


def nuclear_norm_fit(
    measurements: Float[Array, "n d d"],
    y: Float[Array, " n"],
    penalty: float,
    *,
    psd: bool = False,
    tol: float = 1e-10,
    max_steps: int = 100_000,
) -> NuclearNormFit:
    """Least squares with a nuclear norm penalty on a symmetric matrix, with a certificate.

    Args:
        measurements: symmetric matrices A_i, of a quadratic network `x_i x_i^T`
            (`data.measurement_matrices`).
        y: targets.
        penalty: lam.
        psd: whether M has to be positive semidefinite; its nuclear norm is the trace then.
        tol: duality gap over the value at which it stops.
        max_steps: bound on the proximal steps.

    Returns:
        `NuclearNormFit`; `jax.vmap` over measurements and targets gives a batch of them.

    Raises:
        TypeError, ValueError: for bad input.

    >>> fit = nuclear_norm_fit(jnp.array([[[1.0]]]), jnp.array([3.0]), 1.0, tol=1e-6)
    >>> round(float(fit.matrix[0, 0]), 3), int(fit.rank), fit.message
    (2.0, 1, 'the duality gap is below the tolerance')
    """
    measurements, y = check_measurements(measurements, y)
    psd = _check.flag("psd", psd)
    penalty = _check.positive("penalty", penalty)
    tol = _check.positive("tol", tol)
    max_steps = _check.positive_integer("max_steps", max_steps)
    return _fit(measurements, y, penalty, psd, tol, max_steps)


def check_measurements(measurements: Any, y: Any) -> tuple[jax.Array, jax.Array]:
    """Measurements `(n, d, d)` and targets `(n,)` as floats, if they fit."""
    measurements = _check.array("measurements", measurements)
    shape = measurements.shape
    if len(shape) != 3 or shape[1] != shape[2] or 0 in shape:
        raise ValueError(f"measurements must have shape (n, d, d), got {shape}")
    y = _check.vector("y", y, shape[0]).astype(measurements.dtype)
    return _check.symmetric("measurements", measurements), y


def shrink(matrix: jax.Array, threshold: Any, psd: bool) -> jax.Array:
    """Eigenvalue soft-thresholding, the proximal map of the nuclear norm; of the trace if `psd`."""
    values, vectors = jnp.linalg.eigh(matrix)
    kept = jnp.maximum(values - threshold, 0)
    if not psd:
        kept -= jnp.maximum(-values - threshold, 0)
    return (vectors * kept) @ vectors.T


def largest(matrix: jax.Array, psd: bool) -> jax.Array:
    """The norm dual to the nuclear norm, largest |eigenvalue|; the largest eigenvalue if `psd`."""
    values = jnp.linalg.eigvalsh(matrix)
    return values[-1] if psd else jnp.max(jnp.abs(values))


def rank_of(matrix: jax.Array) -> jax.Array:
    """Number of eigenvalues that are not zero."""
    values = jnp.abs(jnp.linalg.eigvalsh(matrix))
    return jnp.sum(values > RANK_TOLERANCE * jnp.max(values))


def _bounds(
    features: jax.Array, y: jax.Array, penalty: float, psd: bool, matrix: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """P(M), and D at the best multiple of the residual that is feasible."""
    n, d = y.shape[0], matrix.shape[0]
    residual = y - features @ matrix.ravel()
    squares = jnp.sum(residual**2)
    # M is what `shrink` returned: over M >= 0 its eigenvalues below zero are rounding.
    norm = jnp.sum(jnp.abs(jnp.linalg.eigvalsh(matrix)))
    steepest = largest((residual @ features).reshape(d, d), psd) / n
    tiny = jnp.finfo(y.dtype).tiny
    feasible = jnp.where(steepest > 0, penalty / jnp.maximum(steepest, tiny), jnp.inf)
    scale = jnp.clip((y @ residual) / jnp.maximum(squares, tiny), 0, feasible)
    dual = scale * (y @ residual) / n - scale**2 * squares / (2 * n)
    return squares / (2 * n) + penalty * norm, dual


@partial(jax.jit, static_argnames=("psd",))
def _fit(
    measurements: jax.Array,
    y: jax.Array,
    penalty: float,
    psd: bool,
    tol: float,
    max_steps: int,
) -> NuclearNormFit:
    n, d = measurements.shape[:2]
    features = measurements.reshape(n, d * d)
    step = n / jnp.linalg.norm(features, 2) ** 2

    def advance(carry: Any, _: None) -> tuple[Any, None]:
        matrix, ahead, momentum = carry
        gradient = -((y - features @ ahead.ravel()) @ features).reshape(d, d) / n
        moved = shrink(ahead - step * gradient, step * penalty, psd)
        change = moved - matrix
        # Momentum that points uphill is dropped (O'Donoghue and Candes 2015): without it FISTA
        # oscillates where the problem is strongly convex along the solution's manifold.
        momentum = jnp.where(jnp.sum((ahead - moved) * change) > 0, 1.0, momentum)
        following = (1 + jnp.sqrt(1 + 4 * momentum**2)) / 2
        return (moved, moved + (momentum - 1) / following * change, following), None

    def unfinished(carry: Any) -> jax.Array:
        _, count, value, dual = carry
        return (value - dual > tol * value) & (count < max_steps)

    def chunk(carry: Any) -> Any:
        state, count, _, _ = carry
        state, _ = lax.scan(advance, state, None, CHUNK)
        return state, count + CHUNK, *_bounds(features, y, penalty, psd, state[0])

    zero = jnp.zeros((d, d), y.dtype)
    start = (zero, zero, jnp.ones((), y.dtype)), jnp.zeros((), jnp.int32)
    carry = lax.while_loop(unfinished, chunk, (*start, *_bounds(features, y, penalty, psd, zero)))
    (matrix, _, _), count, value, dual = carry
    result = jnp.where(value - dual <= tol * value, CERTIFIED, MAX_STEPS).astype(jnp.int32)
    return NuclearNormFit(matrix, value, dual, value - dual, rank_of(matrix), count, result)
