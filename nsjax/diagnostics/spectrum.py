"""Spectrum of a loss's Hessian: extremes, inertia and density, dense or by Lanczos."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsjax import _check
from nsjax._flat import Layout
from nsjax.diagnostics.lanczos import Quadrature, hessian_product, lanczos, quadrature

LARGEST_DENSE = 2048
"""Most weights for which `method="auto"` forms the Hessian."""
_COLUMNS = 64
"""Columns of a dense Hessian computed at a time, to bound the memory."""
_BROADENING = 0.01
"""Width of the density's Gaussians, as a share of the spectrum's range."""


class HessianSpectrum(NamedTuple):
    """Spectrum of the Hessian over k weights, on the host; eigenvalues in the unit of the loss.

    Attributes:
        smallest, largest: extreme eigenvalues.
        smallest_error, largest_error: an eigenvalue lies within this of each, by the residual of
            the Ritz pair; 0 if exact. It says nothing about eigenvalues farther out, which Lanczos
            misses while no probe has picked up a component along them.
        negative, zero, positive: the inertia `(n-, n0, n+)`, which adds up to k: eigenvalues below
            `-band`, within `[-band, band]` and above. Rounded estimates unless exact.
        inertia_error: `(3,)` standard errors of the three over the probes, 0 if exact; NaN for a
            single probe. They know nothing of what Lanczos cannot resolve: eigenvalues closer to
            the edge of the band than about the range over `order`.
        band: half-width of the zero band.
        eigenvalues: `(m,)`, ascending: all k if exact, else the Ritz values of all probes.
        weights: `(m,)`, the share of the spectrum that each stands for; they add up to 1.
        broadening: standard deviation of the Gaussians in `density`.
        grid, density: `(g,)`, the share of eigenvalues per unit, of integral 1.
        exact: whether the eigenvalues are those of the dense Hessian.
        products: Hessian-vector products taken.
    """

    smallest: float
    largest: float
    smallest_error: float
    largest_error: float
    negative: int
    zero: int
    positive: int
    inertia_error: np.ndarray
    band: float
    eigenvalues: np.ndarray
    weights: np.ndarray
    broadening: float
    grid: np.ndarray
    density: np.ndarray
    exact: bool
    products: int

    @property
    def inertia(self) -> tuple[int, int, int]:
        """`(n-, n0, n+)`."""
        return self.negative, self.zero, self.positive


def hessian_spectrum(
    loss: Callable[..., jax.Array],
    params: Any,
    *,
    args: tuple = (),
    key: jax.Array | None = None,
    block: Any = None,
    method: str = "auto",
    band: float | None = None,
    order: int = 80,
    probes: int = 10,
    broadening: float | None = None,
    grid: Any = 512,
) -> HessianSpectrum:
    """Extreme eigenvalues, inertia and density of the Hessian of any loss at any pytree.

    Up to 2,048 weights the Hessian is formed and its eigenvalues are exact. Beyond, stochastic
    Lanczos quadrature takes `order * probes` Hessian-vector products and memory for `order` vectors
    of the size of `params`.

    Args:
        loss: pure function `(params, *args) -> scalar`, hashable; new data or parameters of the
            same shapes do not compile again.
        params: any pytree of float arrays, such as a flax module's parameters.
        args: further arguments of the loss.
        key: PRNG key of the probes, needed by Lanczos alone.
        block: pytree like `params` of booleans (arrays of the leaf's shape, or single ones): the
            Hessian over the weights that are True. All by default.
        method: "dense", "lanczos" or "auto".
        band: half-width of the zero band, in the unit of the eigenvalues. The default is that of
            `dynamics.inspect`, `0.1 sqrt(eps)` times the largest absolute eigenvalue, eps that of
            the dtype.
        order: steps of Lanczos, with full reorthogonalisation; k at most are taken.
        probes: random sign vectors to average over.
        broadening: standard deviation of the density's Gaussians; a hundredth of the range of the
            eigenvalues by default.
        grid: number of points of the density, or the points themselves.

    Raises:
        TypeError, ValueError: for bad input, before anything is compiled; and if the Hessian is not
            finite.

    Source: Z. Bai, M. Fahey and G. Golub (1996); B. Ghorbani, S. Krishnan and Y. Xiao, ICML 2019
    (arXiv 1901.10159); `docs/mathematics.md`.

    >>> found = hessian_spectrum(lambda w: w[0] ** 2 - w[1] ** 2 + w[2] ** 3, jnp.zeros(3))
    >>> found.eigenvalues.tolist(), found.inertia
    ([-2.0, 0.0, 2.0], (1, 1, 1))
    """
    _check.hashable("loss", loss)
    _check.choice("method", method, ("auto", "dense", "lanczos"))
    params = _check.floating_tree("params", params)
    _check.data("args", args)
    order = _check.positive_integer("order", order)
    probes = _check.positive_integer("probes", probes)
    band = None if band is None else _check.non_negative("band", band)
    broadening = None if broadening is None else _check.positive("broadening", broadening)
    points = _grid(grid)
    inside = _block(block, params)
    layout = Layout.of(params)
    if method == "auto":
        method = "dense" if layout.size <= LARGEST_DENSE else "lanczos"
    if method == "lanczos" and key is None:
        raise ValueError(f"key must be a PRNG key for Lanczos over {layout.size} weights, got None")
    if key is not None:
        _check.key("key", key)
    _check.scalar_function("loss", loss, params, *args)
    flat = layout.flat(params)
    where = jnp.asarray(inside)
    eps = float(jnp.finfo(flat.dtype).eps)
    size = int(inside.sum())
    if method == "dense":
        values = np.asarray(_eigenvalues(loss, layout, flat, where, args))[:size]
        shares = np.full((1, size), 1 / size)
        found = Quadrature(values[None, :], shares, (0.0, 0.0), True, layout.size)
    else:
        order = min(order, size)
        run = lanczos(loss, layout, order, probes, key, flat, where, args)
        found = quadrature(*run, eps=eps)
    if not np.all(np.isfinite(found.nodes)):
        raise ValueError("loss must have a finite Hessian at params, got NaN or infinity in it")
    return _summary(found, size, eps, band, broadening, points)


def _block(block: Any, params: Any) -> np.ndarray:
    """Which of all P weights the block holds, `(P,)`."""
    if block is None:
        return np.ones(Layout.of(params).size, bool)
    leaves, structure = jax.tree.flatten(params)
    given, given_structure = jax.tree.flatten(block)
    if given_structure != structure:  # type: ignore[operator]
        raise ValueError(
            f"block must have the structure of params, {structure}, got {given_structure}"
        )
    flags = []
    for leaf, flag in zip(leaves, given, strict=True):
        flag = np.asarray(flag)
        if flag.dtype != bool or flag.shape not in ((), leaf.shape):
            raise ValueError(
                f"block must hold booleans of the shapes of params, wanted {leaf.shape}, got "
                f"{flag.dtype} of shape {flag.shape}"
            )
        flags.append(np.broadcast_to(flag, leaf.shape).ravel())
    inside = np.concatenate(flags)
    if not inside.any():
        raise ValueError(f"block must name at least one weight, got none of {inside.size}")
    return inside


def _grid(grid: Any) -> int | np.ndarray:
    """The number of points of the density, or the points."""
    if np.ndim(grid) == 0:
        return _check.positive_integer("grid", grid)
    points = np.asarray(grid, float)
    if points.ndim != 1 or points.size == 0 or not np.all(np.isfinite(points)):
        raise ValueError(
            f"grid must be a number of points or a finite vector of them, got shape {points.shape}"
        )
    return points


@partial(jax.jit, static_argnums=(0, 1))
def _eigenvalues(
    loss: Callable[..., jax.Array],
    layout: Layout,
    flat: jax.Array,
    inside: jax.Array,
    args: tuple,
) -> jax.Array:
    """Eigenvalues `(P,)` of the Hessian within the block, ascending, and those outside put last."""
    product = hessian_product(loss, layout, inside)
    hessian = jax.lax.map(
        lambda column: product(column, flat, args),
        jnp.eye(layout.size, dtype=flat.dtype),
        batch_size=_COLUMNS,
    )
    above = 2 * jnp.linalg.norm(hessian) + 1
    return jnp.linalg.eigvalsh(
        0.5 * (hessian + hessian.T) + jnp.diag(jnp.where(inside, 0, above).astype(flat.dtype))
    )


def _summary(
    found: Quadrature,
    size: int,
    eps: float,
    band: float | None,
    broadening: float | None,
    points: int | np.ndarray,
) -> HessianSpectrum:
    nodes, weights, errors, exact, products = found
    smallest, largest = float(nodes.min()), float(nodes.max())
    extent = max(abs(smallest), abs(largest))
    band = 0.1 * eps**0.5 * extent if band is None else band
    kinds = [nodes < -band, np.abs(nodes) <= band, nodes > band]
    each = np.stack([size * np.sum(np.where(kind, weights, 0), axis=1) for kind in kinds])
    negative, positive = (round(float(each[i].mean())) for i in (0, 2))
    if exact:
        spread = np.zeros(3)
    else:
        probes = each.shape[1]
        spread = each.std(axis=1, ddof=1) / probes**0.5 if probes > 1 else np.full(3, np.nan)
    if broadening is None:
        # A spectrum of a single value still needs a width; a Hessian that is zero has no unit.
        broadening = max(_BROADENING * (largest - smallest), 1e-2 * _BROADENING * extent) or 1.0
    if isinstance(points, int):
        points = np.linspace(smallest - 5 * broadening, largest + 5 * broadening, points)
    order = np.argsort(nodes, axis=None)
    values, shares = nodes.ravel()[order], weights.ravel()[order] / len(nodes)
    kept = shares > 0
    return HessianSpectrum(
        smallest=smallest,
        largest=largest,
        smallest_error=float(errors[0]),
        largest_error=float(errors[1]),
        negative=negative,
        zero=max(size - negative - positive, 0),
        positive=positive,
        inertia_error=spread,
        band=float(band),
        eigenvalues=values[kept],
        weights=shares[kept],
        broadening=float(broadening),
        grid=points,
        density=_density(points, values[kept], shares[kept], broadening),
        exact=exact,
        products=products,
    )


def _density(
    points: np.ndarray, values: np.ndarray, shares: np.ndarray, width: float
) -> np.ndarray:
    """Gaussians of the given width around the values, at the points."""
    distance = (points[:, None] - values[None, :]) / width
    return np.exp(-0.5 * distance**2) @ shares / (width * (2 * np.pi) ** 0.5)
