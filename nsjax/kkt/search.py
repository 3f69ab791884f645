"""KKT points of any homogeneous objective on a pytree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from nsjax import _check, _mesh
from nsjax._flat import Layout
from nsjax.kkt import blocks
from nsjax.kkt.certificate import KKTPoints
from nsjax.kkt.multistart import multistart
from nsjax.kkt.newton import LARGEST_DENSE, newton
from nsjax.kkt.sphere import gradient_residual, norm, unit

Objective = Callable[..., jax.Array]


def search(
    key: jax.Array,
    objective: Objective,
    sample: Callable[[jax.Array], Any],
    *,
    args: tuple = (),
    starts: int = 64,
    max_steps: int = 2000,
    tol: float = 1e-10,
    k: int | None = None,
    max_cosine: float = 1.0,
    memory: int = blocks.BUDGET,
    mesh: Mesh | None = None,
) -> KKTPoints:
    """Maximise a homogeneous objective on the unit sphere from many starts at once.

    An objective may say more of itself by two methods. `signature(point, *args)` is what tells
    points apart up to symmetry (`objectives.NetworkNCF` gives the outputs); without it two points
    are the same only if they are parallel. `rounded(point, width, *args)` is the objective with its
    kinks rounded, and a true `kinked` says that it has some; without them a search can only stop
    where it meets a kink.

    Args:
        key: PRNG key of the starts.
        objective: pure function `(point, *args) -> scalar`, hashable; data belongs in `args`, so
            that new data does not compile again.
        sample: `sample(key)` draws one start, any pytree; it is scaled to norm 1.
        args: further arguments of the objective.
        starts: how many.
        max_steps: bound on the ascent steps of each.
        tol: KKT residual that every point is to reach; at least a hundred roundings, and on kinks a
            hundred roots of the rounding, 1.5e-6 in float64.
        k: how many points to keep, the best ones; all by default. The counts of those left out are
            left out too.
        max_cosine: largest |cosine| between the signatures of two points that are kept; 1 keeps
            every distinct one.
        memory: bytes that the working arrays of the ascent may take: as many starts climb at a
            time as fit, the others wait their turn. Of a mesh, on each device.
        mesh: devices, with one or both of the axes "members", over which the starts are split, and
            "data", over which the samples are: every array in `args` that has as many rows as the
            first one there.

    Returns:
        Distinct points, best first, see `KKTPoints`.

    Raises:
        TypeError, ValueError: for a bad `objective`, `sample`, `args`, `starts`, `max_steps`,
            `tol`, `k`, `max_cosine`, `memory` or `mesh`, or an objective that is not finite at a
            start.

    >>> points = search(jax.random.key(0), lambda w: w[0] ** 3 + 2 * w[1] ** 3,
    ...                 lambda key: jax.random.normal(key, (2,)), tol=1e-4)
    >>> round(float(points.values[0]), 4)
    2.0
    """
    _check.key("key", key)
    _check.hashable("objective", objective)
    _check.function("sample", sample)
    _check.data("args", args)
    starts = _check.positive_integer("starts", starts)
    max_steps = _check.positive_integer("max_steps", max_steps)
    tol = _check.positive("tol", tol)
    best = None if k is None else _check.positive_integer("k", k)
    max_cosine = _check.share("max_cosine", max_cosine)
    memory = _check.positive_integer("memory", memory)
    mesh = _mesh.checked(mesh)
    args = _mesh.samples_placed(mesh, "args", args)
    drawn = jax.vmap(lambda each: unit(sample(each)))(jax.random.split(key, starts))
    _check.tree_finite("sample(key)", drawn)
    one = jax.tree.map(lambda leaf: leaf[0], drawn)
    layout = Layout.of(one)
    flat = jax.vmap(layout.flat)(drawn)
    if not np.all(np.any(np.asarray(flat) != 0, axis=1)):
        raise ValueError("sample(key) must draw nonzero starts, got a pytree of zeros")
    _check.scalar_function("objective", objective, one, *args)
    found = multistart(
        ObjectiveLandscape(objective, layout),
        flat,
        args,
        tol=tol,
        max_steps=max_steps,
        memory=memory,
        best=best,
        max_cosine=max_cosine,
        mesh=mesh,
    )
    scale = float(np.max(np.abs(found.values)))
    zero = 1e3 * float(jnp.finfo(flat.dtype).eps) * scale
    highest = np.maximum(1e-6 * np.abs(found.multipliers), zero)
    return found.report(
        layout.trees(found.points),
        found.values,
        found.residuals,
        found.multipliers,
        starts=starts,
        zero=zero,
        highest=highest,
    )


@dataclass(frozen=True)
class ObjectiveLandscape:
    """An objective of pytrees as a function of flat points, see `multistart.Landscape`."""

    objective: Any
    layout: Layout

    @property
    def kinked(self) -> bool:
        """Whether the objective says so, and can be rounded."""
        return bool(getattr(self.objective, "kinked", False)) and hasattr(self.objective, "rounded")

    def climb(
        self, columns: jax.Array, *args: Any, width: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array]:
        """Values and gradients at the columns of a matrix."""
        single = jax.value_and_grad(lambda point: self.value(point, *args, width=width))
        return jax.vmap(single, in_axes=1, out_axes=(0, 1))(columns)

    def value(self, point: jax.Array, *args: Any, width: jax.Array | None = None) -> jax.Array:
        """The objective at a flat point."""
        tree = self.layout.tree(point)
        if width is None:
            return self.objective(tree, *args)
        return self.objective.rounded(tree, width, *args)

    def signature(self, point: jax.Array, *args: Any) -> jax.Array:
        """The objective's own signature, or the point."""
        if hasattr(self.objective, "signature"):
            return jnp.ravel(self.objective.signature(self.layout.tree(point), *args))
        return point

    def settle(
        self, point: jax.Array, width: jax.Array, *args: Any
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """The point, with the residual of the objective rounded at it.

        A point where the rounding changes the gradient lies on a kink; any other one goes on by
        Newton steps on the objective itself.
        """
        gradient = jax.grad(self.value)(point, *args)
        rounded = jax.grad(lambda w: self.value(w, *args, width=width))(point)
        kinked = norm(gradient - rounded) > 1e3 * width * norm(gradient)
        if point.size <= LARGEST_DENSE:
            polished = newton(self.value, point, *args, tol=1e-3 * width**1.5)
            point = jnp.where(kinked, point, polished)
        return point, gradient_residual(point, rounded), kinked
