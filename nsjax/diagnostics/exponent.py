"""The Łojasiewicz exponent and constant of a function at a critical point."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nsjax import _check
from nsjax._flat import Layout
from nsjax.diagnostics.inequality import FEWEST_LEVELS, Lojasiewicz, conclude
from nsjax.diagnostics.ladder import Spectrum, draw_directions, measure
from nsjax.diagnostics.restricted import Place, Restricted, local
from nsjax.diagnostics.spectrum import LARGEST_DENSE


def lojasiewicz(
    f: Callable[..., jax.Array],
    point: Any,
    *,
    key: jax.Array,
    args: tuple = (),
    block: Any = None,
    degree: float | None = None,
    flow_points: Any = None,
    radius: float | None = None,
    levels: int = 20,
    starts: int = 24,
    steps: int = 40,
) -> Lojasiewicz:
    """Fit alpha and mu of the Łojasiewicz inequality to the lower envelope of `||grad f||`.

    On a ladder of levels `|f - f*|` the gradient norm is minimised over the level set, from the
    Hessian's null directions, random ones, flow points and the levels above. Random directions
    alone miss the minimum, which lies in a cone that shrinks with the level. The fit is
    extrapolated to level zero. Dense Hessians: at most 2048 entries may move, some hundred with
    patience.

    Args:
        f: pure function `(point, *args) -> scalar`, hashable; data belongs in `args`, so that new
            data does not compile again.
        point: critical point, any pytree.
        key: PRNG key of the random starts.
        args: further arguments of f.
        block: pytree of booleans shaped like `point`: the entries that move, the others stay as
            they are; all by default. Assumption 2 asks for the weights w_n.
        degree: q; `in_assumption2` then says whether alpha is less than `q / (2 (q - 1))`.
        flow_points: late points of flows towards the point, a pytree like `point` with a leading
            axis; they are further starts, the first `starts // 2` of them.
        radius: of the sample; a tenth of the norm of the entries that move by default, 0.1 if they
            are zero.
        levels: of the ladder.
        starts: of the search on each level.
        steps: most Newton steps of a search.

    Returns:
        `Lojasiewicz`; its `message` says why nothing is concluded, where that is so.

    Raises:
        TypeError, ValueError: for a bad argument, a block that holds still or is too large, or a
            function that is not finite at the point.

    Source: `docs/mathematics.md`, section 4; neuron pursuit (arXiv 2509.12154), Assumption 2.

    >>> found = lojasiewicz(lambda t: (t[0] ** 2 + t[1] ** 2) ** 2, jnp.zeros(2),
    ...                     key=jax.random.key(0), radius=1.0)
    >>> found.conclusive, abs(found.alpha - 0.75) < 0.02, abs(found.mu - 4) < 0.4
    (True, True, True)
    """
    _check.key("key", key)
    _check.hashable("f", f)
    point = _check.floating_tree("point", point)
    args = _check.data("args", args)
    levels = _count("levels", levels, FEWEST_LEVELS)
    starts = _count("starts", starts, 4)
    steps = _check.positive_integer("steps", steps)
    if degree is not None and not _check.positive("degree", degree) > 1:
        raise ValueError(f"degree must be greater than 1, got {degree!r}")
    _check.scalar_function("f", f, point, *args)
    layout = Layout.of(point)
    base = layout.flat(point)
    index = np.flatnonzero(_mask(block, point))
    if not 0 < index.size <= LARGEST_DENSE:
        raise ValueError(
            f"block must leave between 1 and {LARGEST_DENSE} entries to move, got {index.size}"
        )
    given = _given(flow_points, point, layout, base)[:, index]
    size = float(jnp.linalg.norm(base[index]))
    if radius is None:
        radius = 0.1 * size if size > 0 else 0.1
    radius = _check.positive("radius", radius)

    problem = Restricted(f, layout)
    zero, one = jnp.zeros((), base.dtype), jnp.ones((), base.dtype)
    place = Place(base, jnp.asarray(index), zero, one, args)
    value, gradient, hessian = local(problem, place)
    _check.finite("f(point)", value)
    _check.finite("the gradient of f at point", gradient)
    _check.finite("the Hessian of f at point", hessian)
    eigenvalues, basis = np.linalg.eigh(np.asarray(hessian))
    spectrum = Spectrum(float(jnp.linalg.norm(gradient)), eigenvalues, basis)
    directions = draw_directions(key, spectrum, starts, given)
    above, below = (
        measure(
            problem,
            place._replace(value=value, sign=sign),
            spectrum,
            directions,
            radius=radius,
            levels=levels,
            steps=steps,
        )
        for sign in (one, -one)
    )
    return conclude(above, below, spectrum.grad_norm, radius, float(value), degree)


def _mask(block: Any, point: Any) -> np.ndarray:
    """The entries that move, flat."""
    if block is None:
        return np.concatenate([np.ones(leaf.size, bool) for leaf in jax.tree.leaves(point)])
    _same_structure("block", block, point)
    masks = []
    pairs = zip(jax.tree.leaves(block), jax.tree.leaves(point), strict=True)
    for i, (mask, leaf) in enumerate(pairs):
        mask = np.asarray(mask)
        if mask.dtype != bool:
            raise TypeError(f"block (leaf {i}) must be boolean, got dtype {mask.dtype}")
        if mask.shape != leaf.shape:
            raise ValueError(f"block (leaf {i}) must have shape {leaf.shape}, got {mask.shape}")
        masks.append(mask.ravel())
    return np.concatenate(masks)


def _given(flow_points: Any, point: Any, layout: Layout, base: jax.Array) -> np.ndarray:
    """Displacements of the flow points `(k, all entries)`, those that are zero left out."""
    if flow_points is None:
        return np.zeros((0, layout.size))
    flow_points = _check.floating_tree("flow_points", flow_points)
    _same_structure("flow_points", flow_points, point)
    pairs = zip(jax.tree.leaves(flow_points), jax.tree.leaves(point), strict=True)
    for i, (leaf, like) in enumerate(pairs):
        if leaf.ndim != like.ndim + 1 or leaf.shape[1:] != like.shape:
            raise ValueError(
                f"flow_points (leaf {i}) must have shape (k, *{like.shape}), got {leaf.shape}"
            )
    rows = np.asarray(jax.vmap(layout.flat)(flow_points)) - np.asarray(base)
    return rows[np.any(rows != 0, axis=1)]


def _same_structure(name: str, tree: Any, point: Any) -> None:
    wanted: Any = jax.tree.structure(point)
    came: Any = jax.tree.structure(tree)
    if came != wanted:
        raise ValueError(f"{name} must have the structure of point, {wanted}, got {came}")


def _count(name: str, value: Any, least: int) -> int:
    number = _check.positive_integer(name, value)
    if number < least:
        raise ValueError(f"{name} must be at least {least}, got {number}")
    return number
