"""Margins of sums of homogeneous units: KKT points at infinity, and the best margin there is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from nsjax import _check
from nsjax.networks.units import Units

if TYPE_CHECKING:
    from jaxtyping import Array, Float

_MOST_UNITS = 500
"""Units, and linear programs, that `best_margin` may take."""


class MarginPoint(NamedTuple):
    """How near a direction is to a KKT point of the largest margin on the sphere.

    Attributes:
        margin: `min_i y_i H(x_i) / ||w||^D`.
        gap: `<p, y H> / ||w||^D / margin - 1`: zero where the dual is on support vectors alone.
        residual: `||(I - w w^T) grad N_p|| / ||grad N_p||` at the unit w.
    """

    margin: float
    gap: float
    residual: float


def margin_point(
    units: Units,
    weights: Float[Array, "k m"],
    dual: Float[Array, " n"],
    x: Float[Array, "n d"],
    y: Float[Array, "n 1"],
) -> MarginPoint:
    """Margin and KKT conditions of a direction with a dual, `max min_i y_i H(x_i)` on the sphere.

    Args:
        units: units of one degree D.
        weights: `(k, m)`, of any size.
        dual: `(n,)`, non-negative, of sum one: `|r| / ||r||_1` of a flow.
        x, y: data, labels -1 and 1.

    Raises:
        TypeError, ValueError: for units of several degrees, weights of norm zero, labels that are
            not -1 and 1, or arrays that do not fit.

    >>> from nsjax.networks.units import DiagonalUnits
    >>> w, x, y = jnp.array([[2.0, 2.0]]), jnp.array([[1.0], [3.0]]), jnp.ones((2, 1))
    >>> [round(e, 6) for e in margin_point(DiagonalUnits(), w, jnp.array([1.0, 0.0]), x, y)]
    [0.5, 0.0, 0.0]
    """
    if not isinstance(units, Units):
        raise TypeError(f"units must be networks.Units, got {units!r}")
    weights = _check.matrix("weights", weights)
    x, y = _labelled(x, y)
    dual = _check.vector("dual", dual, len(x))
    if len(set(units.degrees(len(weights)))) != 1:
        raise ValueError("units must have one degree, got several")
    norm = jnp.linalg.norm(weights)
    if norm == 0:
        raise ValueError("weights must not be zero")
    unit, target = weights / norm, y[:, 0]
    shape = jax.eval_shape(units.responses, unit, x).shape
    if shape != (len(x), len(weights)):
        raise ValueError(
            f"units must give responses of shape {(len(x), len(weights))}, got {shape}"
        )
    margins = target * jnp.sum(units.responses(unit, x), axis=1)
    gradient = jax.grad(lambda w: jnp.sum((dual * target) @ units.responses(w, x)))(unit)
    tangent = gradient - jnp.sum(gradient * unit) * unit
    least = float(jnp.min(margins))
    residual = float(jnp.linalg.norm(tangent) / jnp.linalg.norm(gradient))
    return MarginPoint(least, float(dual @ margins) / least - 1, residual)


def _labelled(x: Any, y: Any) -> tuple[jax.Array, jax.Array]:
    """Inputs `(n, d)` and labels `(n, 1)`, checked."""
    x = _check.matrix("x", x)
    y = _check.matrix("y", y, rows=len(x), columns=1)
    _check.targets("logistic", "y", y)
    return x, y


class _Dominant(Protocol):
    def dominant(self, x: Any, z: Any) -> tuple[jax.Array, jax.Array]: ...


def best_margin(
    units: _Dominant, x: Float[Array, "n d"], y: Float[Array, "n 1"], *, tol: float = 1e-7
) -> tuple[float, np.ndarray]:
    """Largest normalised margin of any number of units of degree two, and its dual.

    With norms squared as a measure over directions it is a matrix game, `min_p max_u N_p(u)` over
    the simplex (Chizat and Bach, arXiv 2002.04486), solved by cutting planes: a linear program
    over the units that are there, and then the unit that answers its dual best.

    Args:
        units: units of degree two with `dominant`.
        x, y: data, labels -1 and 1.
        tol: relative gap of the two bounds at which to stop.

    Returns:
        The margin, not positive where the data cannot be separated, and p `(n,)`.

    Raises:
        TypeError, ValueError: for units without `dominant`, or labels that are not -1 and 1 or do
            not fit.
        RuntimeError: if the linear program fails, or 500 units are not enough.

    >>> from nsjax.networks.units import DiagonalUnits
    >>> margin, dual = best_margin(DiagonalUnits(), jnp.eye(2), jnp.ones((2, 1)))
    >>> round(margin, 6), dual.tolist()
    (0.25, [0.5, 0.5])
    """
    from scipy.optimize import linprog

    if not callable(getattr(units, "dominant", None)):
        raise TypeError(f"units must have a method `dominant`, got {units!r}")
    x, y = _labelled(x, y)
    tol = _check.positive("tol", tol)
    target = np.asarray(y, float)[:, 0]
    n = len(target)
    dual, columns = np.full(n, 1 / n), []
    least, answer, level = np.inf, dual, -np.inf
    for _ in range(_MOST_UNITS):
        value, responses = units.dominant(x, jnp.asarray(dual * target))
        if float(value) < least:
            least, answer = float(value), dual
        if least - level <= tol * abs(least):
            return least, answer
        columns.append(target * np.asarray(responses, float))
        rows = np.column_stack([np.array(columns), -np.ones(len(columns))])
        found = linprog(
            np.append(np.zeros(n), 1.0),
            A_ub=rows,
            b_ub=np.zeros(len(columns)),
            A_eq=np.append(np.ones(n), 0.0)[None, :],
            b_eq=[1.0],
            bounds=[(0, None)] * n + [(None, None)],
        )
        if not found.success:
            raise RuntimeError(f"the linear program of the margin failed: {found.message}")
        dual, level = found.x[:-1], found.x[-1]
    raise RuntimeError(f"the margin was not found with {_MOST_UNITS} units; raise tol")
