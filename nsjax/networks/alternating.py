"""Alternating least squares for a kernel in a weighted norm: CP and Tucker, factor by factor.

A kernel `K` `(kh, kw, c, c_out)`, as a matrix `(m, c_out)` with m = kh kw c, is approached by
`K~[i,j,s,t] = sum G[a,b,c,d] U_0[i,a] U_1[j,b] U_2[s,c] U_3[t,d]` in the norm
`tr(D^T S D)`, `D = K - K~`, S positive definite. Of CP, G is one on its diagonal and stays. With
all others at rest K~ is linear in one factor, so each update is a linear system whose matrix is the
other factors contracted with S. The core and the last factor of a Tucker decomposition have a
common minimum, by a truncated singular value decomposition.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

PROXIMAL = 1e3
"""Weight of `||change||^2` in an update, in units of rounding times the trace of its system: so
small that an update is the least squares one, and systems of parallel factors can be solved. Unlike
a penalty on the factor itself it never lets the error rise."""


class Fit(NamedTuple):
    """Where alternating least squares ended.

    Attributes:
        core: `(r_0, r_1, r_2, r_3)`; None for CP.
        factors: `U_0` to `U_3`, `(kh, r_0)`, `(kw, r_1)`, `(c, r_2)`, `(c_out, r_3)`.
        error: squared norm of the difference over that of the kernel.
        history: that before the first sweep and after each, NaN where there was none.
        sweeps: how many.
    """

    core: Any
    factors: Any
    error: Any
    history: Any
    sweeps: Any


def expand(core: Any, factors: Any, skip: int | None = None) -> jax.Array:
    """The kernel; with `skip` the tensor that this mode's factor still has to be applied to."""
    if core is None:
        letters = ["ir", "jr", "sr", "tr"]
        kept = [n for n in range(4) if n != skip]
        result = "".join("r" if n == skip else letters[n][0] for n in range(4))
        equation = ",".join(letters[n] for n in kept) + "->" + result
        return jnp.einsum(equation, *(factors[n] for n in kept))
    for n, factor in enumerate(factors):
        if n != skip:
            core = jnp.moveaxis(jnp.tensordot(factor, core, axes=(1, n)), 0, n)
    return core


@functools.partial(jax.jit, static_argnames=("modes", "max_sweeps"))
def alternate(
    kernel: jax.Array,
    weight: jax.Array,
    core: Any,
    factors: tuple[jax.Array, ...],
    *,
    modes: tuple[int, ...],
    max_sweeps: int,
    tol: jax.Array,
) -> Fit:
    """Sweeps over all factors, then the core, until one lowers the error by less than `tol` of it.

    Args:
        kernel: `(kh, kw, c, c_out)`.
        weight: S, `(m, m)`, positive definite.
        core, factors: of the start.
        modes: which factors are updated, in this order; the others stay.
        max_sweeps: how many at most.
        tol: relative fall of the error at which it stops.
    """
    root = jnp.linalg.cholesky(weight)
    total = _norm(root, kernel)
    arranged = {n: _arranged(weight, kernel.shape, n) for n in modes if n < 3}

    def error(core: Any, factors: Any) -> jax.Array:
        return _norm(root, kernel - expand(core, factors)) / total

    def sweep(core: Any, factors: Any) -> tuple[Any, Any]:
        for n in modes:
            if n < 3 or core is None:
                factors = _updated(kernel, weight, arranged.get(n), core, factors, n)
        if core is None:
            return None, _level(factors)
        core, factors = _orthonormal(core, factors, modes)
        return _core_and_last(kernel, weight, core, factors, modes)

    def go_on(carry: Any) -> jax.Array:
        history, count = carry[2:]
        now, before = history[count], history[jnp.maximum(count - 1, 0)]
        # An exact fit has an error of rounding, which need not fall.
        floor = 10 * jnp.finfo(kernel.dtype).eps ** 2 * kernel.size
        falls = (before - now > tol * before) & (now > floor)
        return (count < max_sweeps) & ((count == 0) | falls)

    def body(carry: Any) -> Any:
        core, factors, history, count = carry
        core, factors = sweep(core, factors)
        return core, factors, history.at[count + 1].set(error(core, factors)), count + 1

    history = jnp.full(max_sweeps + 1, jnp.nan, kernel.dtype).at[0].set(error(core, factors))
    core, factors, history, count = jax.lax.while_loop(
        go_on, body, (core, factors, history, jnp.zeros((), jnp.int32))
    )
    return Fit(core, factors, history[count], history, count)


def _norm(root: jax.Array, difference: jax.Array) -> jax.Array:
    return jnp.sum((root.T @ _matrix(difference)) ** 2)


def _matrix(kernel: jax.Array) -> jax.Array:
    return kernel.reshape(-1, kernel.shape[-1])


def _arranged(weight: jax.Array, shape: tuple[int, ...], n: int) -> jax.Array:
    """S with the indices of mode n first, those of the two others last: `(d, d, o, o)`."""
    six = weight.reshape(shape[:3] * 2)
    others = [k for k in range(3) if k != n]
    order = [n, n + 3, *others, *(k + 3 for k in others)]
    d = shape[n]
    return jnp.transpose(six, order).reshape(d, d, len(weight) // d, len(weight) // d)


def _updated(
    kernel: jax.Array, weight: jax.Array, arranged: Any, core: Any, factors: Any, n: int
) -> tuple[jax.Array, ...]:
    """The factors with that of mode n at its minimum."""
    others = expand(core, factors, skip=n)
    # Solved for the change: its right side is the gradient, so rounding does not add up.
    slope = weight @ _matrix(kernel - expand(core, factors))
    if n == 3:
        matrix = others.reshape(len(weight), -1)
        change = _solve(matrix.T @ weight @ matrix, matrix.T @ slope).T
    else:
        d, r, outputs = kernel.shape[n], others.shape[n], kernel.shape[3]
        others = jnp.moveaxis(others, n, 0).reshape(r, -1, outputs)
        slope = jnp.moveaxis(slope.reshape(kernel.shape), n, 0).reshape(d, -1, outputs)
        products = jnp.einsum("aot,bpt->abop", others, others)
        system = jnp.einsum("deop,abop->daeb", arranged, products).reshape(d * r, d * r)
        right = jnp.einsum("dot,aot->da", slope, others).reshape(d * r)
        change = _solve(system, right).reshape(d, r)
    return (*factors[:n], factors[n] + change, *factors[n + 1 :])


def _core_and_last(
    kernel: jax.Array, weight: jax.Array, core: Any, factors: Any, modes: tuple[int, ...]
) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    """Core and last factor at their common minimum: a truncated singular value decomposition.

    With the first three factors at rest, `K~ = Q X`, X of rank r_3. With `Q^T S Q = C C^T` the
    error is a constant and `||C^T X - C^-1 Q^T S K||^2`.
    """
    first = jnp.einsum("ia,jb,sc->ijsabc", *factors[:3]).reshape(len(weight), -1)
    lower = jnp.linalg.cholesky(first.T @ weight @ first)
    wanted = first.T @ (weight @ _matrix(kernel))
    wanted = jax.scipy.linalg.solve_triangular(lower, wanted, lower=True)
    last = factors[3]
    if 3 in modes:
        left, sizes, right = jnp.linalg.svd(wanted, full_matrices=False)
        r = core.shape[3]
        wanted, last = left[:, :r] * sizes[:r], right[:r].T
    core = jax.scipy.linalg.solve_triangular(lower, wanted, lower=True, trans=1).reshape(core.shape)
    return core, (*factors[:3], last)


def _solve(system: jax.Array, right: jax.Array) -> jax.Array:
    small = PROXIMAL * jnp.finfo(system.dtype).eps * jnp.trace(system)
    system = system + small * jnp.eye(len(system), dtype=system.dtype)
    return jax.scipy.linalg.solve(system, right, assume_a="pos")


def _level(factors: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
    """The same CP terms with factors of one norm in each."""
    sizes = [jnp.linalg.norm(each, axis=0) for each in factors]
    alive = jnp.all(jnp.stack(sizes) > 0, axis=0)
    sizes = [jnp.where(alive, size, 1) for size in sizes]
    mean = jnp.exp(sum(jnp.log(size) for size in sizes) / len(sizes))
    return tuple(each * (mean / size) for each, size in zip(factors, sizes, strict=True))


def _orthonormal(
    core: jax.Array, factors: Any, modes: tuple[int, ...]
) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    """The same kernel with orthonormal columns."""
    found = list(factors)
    for n in modes:
        columns, upper = jnp.linalg.qr(factors[n])
        core = jnp.moveaxis(jnp.tensordot(upper, core, axes=(1, n)), 0, n)
        found[n] = columns
    return core, tuple(found)
