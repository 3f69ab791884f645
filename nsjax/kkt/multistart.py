"""From many starts to the distinct KKT points of a landscape: climb, merge, polish, certify.

Starts climb together (`ascent`); where several have come to one point, one of them goes on by
Newton steps (`newton`) to the last digits. Where the landscape has kinks, tops sit on them, and no
ascent by gradients arrives there: so the starts climb with the kinks rounded, and each top is
followed while the rounding shrinks to nothing, and then put on its kinks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from nsjax import _mesh
from nsjax.kkt import blocks
from nsjax.kkt.ascent import Ascent, ascend
from nsjax.kkt.certificate import (
    CONVERGED,
    FLAT,
    STALLED,
    UNCONVERGED,
    KKTPoints,
    distinct,
    signs,
    spread,
)
from nsjax.kkt.newton import LARGEST_DENSE, newton, tangent_curvature
from nsjax.kkt.sphere import gradient_residual, norm, tangent

_FIRST_WIDTH = 1e-2
"""Rounding of the kinks, against the size of what they cut, from which a top is followed."""

_FEWEST, _ENTRIES = 64, 4096
"""Entries of a signature that are compared, if it has more: at least, and at most."""


class Landscape(Protocol):
    """A function on the unit sphere of flat points. Implementations are frozen and hashable.

    `width` is that of the rounding of kinks; None for the function itself.
    """

    def __hash__(self) -> int: ...

    @property
    def kinked(self) -> bool:
        """Whether there are kinks that can be rounded."""
        ...

    def climb(
        self, columns: jax.Array, *args: Any, width: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array]:
        """Values `(m,)` and gradients `(k, m)` at the columns of a matrix."""
        ...

    def value(self, point: jax.Array, *args: Any, width: jax.Array | None = None) -> jax.Array:
        """Value at one point `(k,)`, twice differentiable."""
        ...

    def signature(self, point: jax.Array, *args: Any) -> jax.Array:
        """What tells points apart: parallel at points that are the same up to symmetry."""
        ...

    def settle(
        self, point: jax.Array, width: jax.Array, *args: Any
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """The point put on its kinks, its generalised residual, and whether there are any."""
        ...


class Found(NamedTuple):
    """Distinct points, best first: flat `(r, k)`, the others `(r,)`, as NumPy arrays."""

    points: np.ndarray
    values: np.ndarray
    residuals: np.ndarray
    multipliers: np.ndarray
    curvatures: np.ndarray
    kinked: np.ndarray
    counts: np.ndarray
    steps: int
    result: int

    def report(
        self,
        points: Any,
        values: np.ndarray,
        residuals: np.ndarray,
        multipliers: np.ndarray,
        *,
        starts: int,
        zero: float,
        highest: np.ndarray,
    ) -> KKTPoints:
        """What a user gets, in the user's variables.

        Args:
            points: pytree with a leading axis of length r.
            values, residuals, multipliers: `(r,)`.
            starts: how many there were.
            zero: size of the landscape's values up to which they count as zero.
            highest: `(r,)` curvatures up to which a point counts as a maximum.
        """
        put = jax.device_put
        return KKTPoints(
            points,
            put(values),
            put(residuals),
            put(multipliers),
            put(signs(self.values, zero)),
            put(self.counts.astype(np.int32)),
            put(self.curvatures <= highest),
            self.steps,
            self.result,
            put((self.counts / starts).astype(self.values.dtype)),
            put(self.kinked),
        )


def multistart(
    landscape: Landscape,
    starts: jax.Array,
    args: tuple,
    *,
    tol: float,
    max_steps: int,
    memory: int,
    best: int | None = None,
    max_cosine: float = 1.0,
    mesh: Mesh | None = None,
) -> Found:
    """The distinct points that the starts `(m, k)`, unit rows, reach.

    Args:
        landscape: the function, hashable.
        starts: `(m, k)`, rows of norm 1.
        args: further arguments of the landscape, arrays.
        tol: KKT residual.
        max_steps: bound on the ascent steps of each start.
        memory: bytes that the working arrays may take.
        best: how many points to keep; all by default.
        max_cosine: largest |cosine| between the signatures of two points that are kept.
        mesh: devices, checked, over which the starts are split; on which the arguments lie.

    Raises:
        ValueError: if the objective is not finite at a start.
    """
    m, k = starts.shape
    eps = float(jnp.finfo(starts.dtype).eps)
    tol = max(tol, 100 * eps)
    # How near the ascent has to come, where Newton steps go on from there: 5e-7 in float64.
    near = max(tol, eps ** (0.25 if landscape.kinked else 0.4)) if k <= LARGEST_DENSE else tol
    width = jnp.asarray(_FIRST_WIDTH, starts.dtype) if landscape.kinked else None
    each = _bytes_each(landscape, _Abstract.of((width, starts[:1].T, *args)))
    lanes = blocks.lanes(math.ceil(m / _mesh.parts(mesh)), each, memory)
    batch = blocks.batch(k, each, memory)
    columns = min(_ENTRIES, max(_FEWEST, memory // (2 * m * starts.dtype.itemsize)))
    later = args
    if mesh is not None:
        # Few points are left for what comes after the ascent: one device does it, if it can.
        starts = _mesh.members_placed(mesh, np.asarray(starts))
        if "data" not in mesh.axis_names:
            later = jax.device_put(args, mesh.devices.flat[0])
    state = _ascend(landscape, lanes, starts, width, args, near, max_steps, mesh=mesh)
    state = _together(mesh, state)
    if not np.all(np.isfinite(state.values)):
        bad = int(np.sum(~np.isfinite(state.values)))
        raise ValueError(f"objective must be finite at its starts, got {bad} of {m} that are not")
    steps = int(np.max(state.steps))
    spread_of_values = float(np.ptp(state.values))
    level = 1e3 * eps * float(np.max(np.abs(state.values)))
    flat = steps == 0 and spread_of_values <= level

    def signatures(points: jax.Array) -> np.ndarray:
        return np.asarray(_signatures(landscape, columns, batch, points, later))

    index, group = distinct(np.asarray(state.values), signatures(state.points), 0.1 * eps**0.2)
    found = len(index)
    points = state.points[_padded(index, m)]
    if k <= LARGEST_DENSE:
        points = _polish(landscape, batch, points, found, width, later, tol)
    elif width is not None:
        for narrower in _widths(starts.dtype):
            climbed = _ascend(landscape, lanes, points, narrower, args, near, max_steps, mesh=mesh)
            points = _together(mesh, climbed.points)
    certified = _certify(landscape, batch, points, found, width, later)
    rows = signatures(certified.points)[:found]
    certified = jax.tree.map(lambda leaf: np.asarray(leaf)[:found], certified)

    # Points that the ascent left too far apart to be one may have become so.
    index, again = distinct(certified.values, rows, min(tol**0.5, 0.1 * eps**0.2))
    counts = np.bincount(again[group], minlength=len(index))
    kept = spread(rows[index], best, max_cosine)
    counts = counts[kept]
    certified = jax.tree.map(lambda leaf: leaf[index[kept]], certified)
    residuals = _judged(certified)
    reach = np.where(certified.kinked, max(tol, 100 * eps**0.5), tol)
    result = CONVERGED
    flat &= found > 1 or level == 0
    if not np.all(residuals <= reach):
        result = UNCONVERGED if np.any(state.steps >= max_steps) else STALLED
    return Found(
        certified.points,
        certified.values,
        residuals,
        certified.multipliers,
        certified.curvatures,
        certified.kinked,
        counts,
        steps,
        FLAT if flat and result == CONVERGED else result,
    )


def _together(mesh: Mesh | None, found: Any) -> Any:
    """What has been climbed on several devices, on none of them."""
    return found if mesh is None else jax.tree.map(np.asarray, found)


def thinned(
    landscape: Landscape, found: Found, args: tuple, *, best: int | None, max_cosine: float
) -> Found:
    """The best of given points whose signatures differ, see `multistart`."""
    points = jnp.asarray(found.points)
    rows = np.asarray(_signatures(landscape, _ENTRIES, 64, points, args))
    kept = spread(rows, best, max_cosine)
    return found._replace(**{name: getattr(found, name)[kept] for name in Found._fields[:-2]})


def _judged(certified: _Certified) -> np.ndarray:
    """Residuals; where the value vanishes, so should the gradient: against the largest multiplier.

    There its direction is one of rounding, and the residual of no meaning.
    """
    largest = np.max(np.abs(certified.multipliers))
    zero = 1e3 * np.finfo(certified.values.dtype).eps * np.max(np.abs(certified.values))
    vanishing = certified.tangents / (largest if largest > 0 else 1)
    return np.where(np.abs(certified.values) <= zero, vanishing, certified.residuals)


@dataclass(frozen=True)
class _Abstract:
    """Arguments without their values: hashable, so that what is known of them can be kept."""

    structure: Any
    leaves: tuple[jax.ShapeDtypeStruct, ...]

    @classmethod
    def of(cls, args: tuple) -> _Abstract:
        leaves, structure = jax.tree.flatten(jax.eval_shape(lambda *each: each, *args))
        return cls(structure, tuple(leaves))


@lru_cache(maxsize=256)
def _bytes_each(landscape: Landscape, abstract: _Abstract) -> int:
    """Working memory of one start."""
    width, *args = jax.tree.unflatten(abstract.structure, abstract.leaves)

    def climb(width: jax.Array | None, *args: Any) -> tuple[jax.Array, jax.Array]:
        return landscape.climb(*args, width=width)

    return blocks.working_bytes(climb, width, *args)


@partial(jax.jit, static_argnums=(0, 1), static_argnames="mesh")
def _ascend(
    landscape: Landscape,
    lanes: tuple[int, ...],
    starts: jax.Array,
    width: jax.Array | None,
    args: tuple,
    tol: float,
    max_steps: int,
    *,
    mesh: Mesh | None = None,
) -> Ascent:
    def climb(
        starts: jax.Array, width: jax.Array | None, args: tuple, tol: float, max_steps: int
    ) -> Ascent:
        return ascend(
            lambda columns: landscape.climb(columns, *args, width=width),
            starts,
            tol,
            max_steps,
            lanes=lanes,
        )

    return _mesh.over_members(mesh, climb, (starts,), width, args, tol, max_steps)


@partial(jax.jit, static_argnums=(0, 1, 2))
def _signatures(
    landscape: Landscape, columns: int, batch: int, points: jax.Array, args: tuple
) -> jax.Array:
    """Signatures of the rows of `points`; longer ones summed with random signs into `columns`.

    Such a sketch keeps lengths and angles, also of signatures that are mostly zero.
    """

    def thinned(point: jax.Array) -> jax.Array:
        whole = landscape.signature(point, *args)
        if whole.size <= columns:
            return whole
        rng = np.random.default_rng(0)
        bucket, sign = rng.integers(columns, size=whole.size), rng.choice([-1.0, 1.0], whole.size)
        return (
            jnp.zeros(columns, whole.dtype).at[bucket].add(jnp.asarray(sign, whole.dtype) * whole)
        )

    return jax.lax.map(thinned, points, batch_size=min(len(points), batch))


def _widths(dtype: Any) -> jax.Array:
    """Widths of the rounding, falling to the root of the rounding error."""
    last = float(jnp.finfo(dtype).eps) ** 0.5
    count = int(2 * np.log10(_FIRST_WIDTH / last)) + 2
    return jnp.geomspace(_FIRST_WIDTH, last, count, dtype=dtype)


@partial(jax.jit, static_argnums=(0, 1))
def _polish(
    landscape: Landscape,
    batch: int,
    points: jax.Array,
    count: int,
    width: jax.Array | None,
    args: tuple,
    tol: float,
) -> jax.Array:
    def plain(point: jax.Array) -> jax.Array:
        return newton(landscape.value, point, *args, tol=0.01 * tol, batch=batch)

    def follow(point: jax.Array) -> jax.Array:
        def narrow(point: jax.Array, width: jax.Array) -> tuple[jax.Array, None]:
            rounded = partial(landscape.value, width=width)
            return newton(rounded, point, *args, tol=0.1 * width, batch=batch), None

        return jax.lax.scan(narrow, point, _widths(point.dtype))[0]

    return _map_first(plain if width is None else follow, count, points)


class _Certified(NamedTuple):
    points: jax.Array
    values: jax.Array
    residuals: jax.Array
    multipliers: jax.Array
    tangents: jax.Array
    curvatures: jax.Array
    kinked: jax.Array


@partial(jax.jit, static_argnums=(0, 1))
def _certify(
    landscape: Landscape,
    batch: int,
    points: jax.Array,
    count: int,
    width: jax.Array | None,
    args: tuple,
) -> _Certified:
    last = None if width is None else _widths(points.dtype)[-1]

    def certify(point: jax.Array) -> _Certified:
        rounded = partial(landscape.value, width=last)
        curvature = tangent_curvature(rounded, point, *args, batch=batch)
        kinked, residual = jnp.zeros((), bool), None
        if last is not None:
            point, residual, kinked = landscape.settle(point, last, *args)
        value, gradient = jax.value_and_grad(landscape.value)(point, *args)
        along = jnp.dot(point, gradient)
        plain = gradient_residual(point, gradient)
        across = norm(tangent(point, gradient))
        return _Certified(
            point,
            value,
            plain if residual is None else jnp.where(kinked, residual, plain),
            along,
            across,
            curvature,
            kinked,
        )

    return _map_first(certify, count, points)


def _padded(index: np.ndarray, size: int) -> np.ndarray:
    """`index` with zeros behind it up to length `size`: the number found then shapes no program."""
    return np.concatenate([index, np.zeros(size - len(index), int)])


def _map_first(function: Callable[[Any], Any], count: int, rows: Any) -> Any:
    """`jax.lax.map(function, rows)` over the first `count` rows alone; the others come as zeros."""

    def row(numbered: tuple[jax.Array, Any]) -> Any:
        number, inputs = numbered
        nothing = jax.tree.map(
            lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(function, inputs)
        )
        return jax.lax.cond(number < count, function, lambda _: nothing, inputs)

    return jax.lax.map(row, (jnp.arange(len(jax.tree.leaves(rows)[0])), rows))
