"""Saddles `(w_n, 0)`: which weights are in the zero block, how to make one, how to inspect one.

The zero block holds the in- and outgoing weights of the inactive hidden neurons. Near the saddle
the output splits into `H(w_n, 0) + H_1(w_n, w_z) + ...`, and what the zero block feels is the NCF
`<r, H_1>`, homogeneous of degree `q = p + 1` in it; at the origin everything is in the zero block
and `q = D`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsjax import _check
from nsjax._flat import Layout
from nsjax.dynamics.flow import largest_curvature
from nsjax.dynamics.integrate import LARGEST_DENSE
from nsjax.dynamics.results import Stop
from nsjax.networks import (
    activation_degree,
    degree,
)
from nsjax.networks.homogeneous import Activation, Params
from nsjax.objectives import LOSSES, NetworkLoss

Inactive = tuple[np.ndarray, ...]


def embed(params: Params, widths: Sequence[int]) -> tuple[Params, Inactive]:
    """A network widened by zero neurons: `(w_n, 0)` from the trained active weights `w_n`.

    Args:
        params: L weight matrices of the active network.
        widths: `(k_1, ..., k_{L-1})`, the hidden widths wanted, none below the active one.

    Returns:
        The widened parameters, active neurons first, and one boolean array `(k_l,)` per hidden
        layer
        that is True for the inactive neurons: what `escape` takes.

    Raises:
        TypeError, ValueError: for a wrong number of widths, or one below the active network's.

    >>> wide, inactive = embed((jnp.ones((1, 3)), jnp.ones((1, 1))), [2])
    >>> wide[0].shape, inactive[0].tolist()
    ((2, 3), [False, True])
    """
    params = _check.network("params", params)
    hidden = [weight.shape[0] for weight in params[:-1]]
    if isinstance(widths, str) or not isinstance(widths, Iterable):
        raise TypeError(f"widths must be a sequence of positive integers, got {widths!r}")
    widths = tuple(widths)
    if len(widths) != len(hidden):
        raise ValueError(
            f"widths must have {len(hidden)} entries, one a hidden layer, got {widths}"
        )
    for i, (wanted, active) in enumerate(zip(widths, hidden, strict=True)):
        if _check.positive_integer(f"widths[{i}]", wanted) < active:
            raise ValueError(
                f"widths[{i}] must be at least {active}, the active width, got {wanted}"
            )
    rows = (*widths, params[-1].shape[0])
    columns = (params[0].shape[1], *widths)
    wide = tuple(
        jnp.pad(weight, ((0, r - weight.shape[0]), (0, c - weight.shape[1])))
        for weight, r, c in zip(params, rows, columns, strict=True)
    )
    return wide, tuple(np.arange(k) >= active for k, active in zip(widths, hidden, strict=True))


class Blocks(NamedTuple):
    """Where the zero block lies, as flat arrays over all P weights; H hidden neurons in all.

    Attributes:
        zero: `(P,)` bool, True in the zero block.
        labels: `(P,)` int32, the group of every entry. A group is the in- and outgoing weights of
            one inactive neuron, whose NCF is homogeneous by itself; entries outside every group
            have label H.
        groups: H, the number of groups there can be.
        origin: whether every weight is in the zero block and several hidden layers couple its
            neurons, so that there are no groups.
    """

    zero: np.ndarray
    labels: np.ndarray
    groups: int
    origin: bool


def blocks(params: Params, inactive: Inactive) -> Blocks:
    """The zero block of a network and its groups.

    Weights between two inactive neurons are in the block but in no group: `H_1` does not depend on
    them, so that to leading order they stand still. (At the origin of a deep network all weights
    move together.)
    """
    groups = sum(weight.shape[0] for weight in params[:-1])
    ends = [np.zeros(params[0].shape[1], bool), *inactive, np.zeros(params[-1].shape[0], bool)]
    first = np.cumsum([0, *(weight.shape[0] for weight in params[:-1])])
    zero, labels = [], []
    for i in range(len(params)):
        below, above = ends[i], ends[i + 1]
        zero.append(above[:, None] | below[None, :])
        label = np.full(params[i].shape, groups)
        if i < len(params) - 1:
            label = np.where(
                above[:, None] & ~below[None, :], (first[i] + np.arange(len(above)))[:, None], label
            )
        if i > 0:
            label = np.where(
                below[None, :] & ~above[:, None],
                (first[i - 1] + np.arange(len(below)))[None, :],
                label,
            )
        labels.append(label)
    origin = coupled_origin(inactive)
    flat_labels = np.concatenate([label.ravel() for label in labels]).astype(np.int32)
    if origin:
        flat_labels = np.full_like(flat_labels, groups)
    return Blocks(np.concatenate([z.ravel() for z in zero]), flat_labels, groups, origin)


def coupled_origin(inactive: Inactive) -> bool:
    """Whether every neuron is inactive and there are several hidden layers.

    Only there do the neurons of the zero block not decouple: their NCF is that of the whole
    network. With one hidden layer the origin is a saddle like any other.
    """
    return len(inactive) > 1 and all(array.all() for array in inactive)


class Saddle(NamedTuple):
    """What an inspection of `(w_n, 0)` found.

    Attributes:
        loss: f at the saddle.
        grad_norm: `||grad f||` there.
        grad_scale: what it counts against, `curvature_max * ||w_n||`.
        grad_bound: the largest gradient norm that still passes for zero, `tol * grad_scale`.
        curvature_min, curvature_max: extreme eigenvalues of the Hessian over the active weights.
        curvature_min_positive: its smallest eigenvalue above the null band.
        null_directions: how many eigenvalues lie in the band, `|lambda| <= band`.
        band: half-width of the null band, `0.1 sqrt(eps) * curvature_max`.
        degree: q, the degree of homogeneity of the NCF.
        eigenvalues, eigenvectors: `(P,)` and `(P, P)`, of the Hessian over the active weights in
            the space of all P weights; eigenvalue zero for the directions of the zero block.
    """

    loss: float
    grad_norm: float
    grad_scale: float
    grad_bound: float
    curvature_min: float
    curvature_max: float
    curvature_min_positive: float
    null_directions: int
    band: float
    degree: int
    eigenvalues: jax.Array
    eigenvectors: jax.Array

    @property
    def stop(self) -> Stop | None:
        """`Stop.NOT_A_SADDLE` or `NOT_A_MINIMUM` if it is none, else None."""
        if not self.grad_norm <= self.grad_bound:
            return Stop.NOT_A_SADDLE
        if self.curvature_min < -max(1e-6 * self.curvature_max, self.band):
            return Stop.NOT_A_MINIMUM
        return None


def inspect(
    params: Params,
    inactive: Sequence[np.ndarray],
    x: jax.Array,
    y: jax.Array,
    activation: Activation,
    *,
    loss: str = "square",
    tol: float | None = None,
) -> Saddle:
    """Gradient, and the Hessian over the active weights, at `(w_n, 0)`.

    Args:
        params: network whose zero block is zero. Above 2,048 weights no dense Hessian is formed:
            the largest curvature comes from power steps, the others are NaN and go unchecked.
        inactive: one boolean array per hidden layer, True for inactive neurons.
        x, y: data `(n, d)`, `(n, c)`.
        activation: homogeneous activation.
        loss: "square", "logistic" or "cross_entropy".
        tol: relative gradient that still passes for zero; 1e-6, in float32 1e-4.

    Raises:
        TypeError, ValueError: for bad input, or a zero block that is not zero. Labels must be -1
            and 1 for the logistic loss, rows probabilities for cross-entropy.
    """
    params = _check.network("params", params)
    inactive = _check.inactive(params, inactive)
    x, y = _check.samples(params, x, y)
    activation_degree(activation)
    _check.choice("loss", loss, tuple(LOSSES))
    _check.targets(loss, "y", y)
    where = blocks(params, inactive)
    layout = Layout.of(params)
    flat = layout.flat(params)
    check_zero_block(flat, where)
    check_active(params, inactive)
    eps = float(jnp.finfo(flat.dtype).eps)
    tol = max(1e-6, 1e3 * eps) if tol is None else _check.positive("tol", tol)
    return inspect_block(NetworkLoss(activation, loss), layout, flat, where, x, y, tol)


def inspect_block(
    loss: NetworkLoss,
    layout: Layout,
    flat: jax.Array,
    where: Blocks,
    x: jax.Array,
    y: jax.Array,
    tol: float,
) -> Saddle:
    """The same on flat weights `(P,)` with a zero block that may be empty; nothing is checked."""
    p = activation_degree(loss.activation)
    q = degree(loss.activation, len(layout.shapes)) if where.origin else p + 1
    if layout.size > LARGEST_DENSE:
        return _inspect_large(loss, layout, flat, x, y, tol, q)
    eps = float(jnp.finfo(flat.dtype).eps)
    value, grad_norm, eigenvalues, vectors = _hessian(
        loss, layout, flat, jnp.asarray(where.zero), x, y
    )
    # The zero block's own directions were put below every other eigenvalue: they come first.
    inside = np.asarray(eigenvalues)[int(where.zero.sum()) :]
    largest = float(np.max(np.abs(inside), initial=0.0))
    band = 0.1 * eps**0.5 * largest
    positive = inside[inside > band]
    scale = largest * float(jnp.linalg.norm(flat)) if inside.size else 1.0
    return Saddle(
        loss=float(value),
        grad_norm=float(grad_norm),
        grad_scale=scale,
        grad_bound=tol * scale,
        curvature_min=float(np.min(inside)) if inside.size else 0.0,
        curvature_max=largest,
        curvature_min_positive=float(np.min(positive)) if positive.size else 0.0,
        null_directions=int(np.sum(np.abs(inside) <= band)),
        band=band,
        degree=q,
        eigenvalues=eigenvalues.at[: int(where.zero.sum())].set(0),
        eigenvectors=vectors,
    )


def _inspect_large(
    loss: NetworkLoss,
    layout: Layout,
    flat: jax.Array,
    x: jax.Array,
    y: jax.Array,
    tol: float,
    q: int,
) -> Saddle:
    value, gradient = jax.value_and_grad(lambda w: loss(layout.tree(w), x, y))(flat)
    largest = float(largest_curvature(loss, layout, flat, (x, y)))
    scale = largest * float(jnp.linalg.norm(flat)) if largest > 0 else 1.0
    return Saddle(
        loss=float(value),
        grad_norm=float(jnp.linalg.norm(gradient)),
        grad_scale=scale,
        grad_bound=tol * scale,
        curvature_min=float("nan"),
        curvature_max=largest,
        curvature_min_positive=float("nan"),
        null_directions=0,
        band=float("nan"),
        degree=q,
        eigenvalues=jnp.zeros((0,), flat.dtype),
        eigenvectors=jnp.zeros((flat.size, 0), flat.dtype),
    )


def check_active(params: Params, inactive: Inactive) -> None:
    """Raise if a neuron that counts as active is zero: it belongs to the zero block."""
    for layer, flags in enumerate(inactive):
        into = np.asarray(jnp.sum(params[layer] ** 2, axis=1))
        out = np.asarray(jnp.sum(params[layer + 1] ** 2, axis=0))
        idle = np.flatnonzero(~flags & (into == 0) & (out == 0))
        if idle.size:
            raise ValueError(
                f"inactive[{layer}] must be True for every neuron whose weights are all zero, got "
                f"False for neuron {idle[0]}"
            )


def check_zero_block(flat: jax.Array, where: Blocks) -> None:
    """Raise unless the zero block of the flat parameters is exactly zero."""
    largest = float(np.max(np.abs(np.asarray(flat))[where.zero], initial=0.0))
    if largest != 0:
        raise ValueError(
            "params must be zero on the in- and outgoing weights of inactive neurons, got an entry "
            f"of size {largest:.3g}; dynamics.embed makes such parameters"
        )


@partial(jax.jit, static_argnums=(0, 1))
def _hessian(
    loss: NetworkLoss, layout: Layout, flat: jax.Array, zero: jax.Array, x: jax.Array, y: jax.Array
) -> tuple[jax.Array, ...]:
    value, gradient = jax.value_and_grad(lambda w: loss(layout.tree(w), x, y))(flat)
    hessian = jax.hessian(lambda w: loss(layout.tree(w), x, y))(flat)
    active = ~zero
    hessian = jnp.where(active[:, None] & active[None, :], 0.5 * (hessian + hessian.T), 0)
    below = -2 * (1 + jnp.linalg.norm(hessian))
    eigenvalues, vectors = jnp.linalg.eigh(hessian + jnp.diag(jnp.where(zero, below, 0)))
    return value, jnp.linalg.norm(gradient), eigenvalues, vectors
