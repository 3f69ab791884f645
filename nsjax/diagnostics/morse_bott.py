"""Łojasiewicz constants in closed form where the critical set is a valley that is known."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsjax import _check
from nsjax._flat import Layout
from nsjax.diagnostics.inequality import Fitted, Lojasiewicz
from nsjax.diagnostics.spectrum import hessian_spectrum

CLOSE = 1e-5
"""Newton's step from the point has to be less than this share of the point's norm."""


class Valley(IntEnum):
    """Outcomes of `morse_bott`. `VALLEY_MESSAGES[code]` is the outcome in words."""

    MORSE_BOTT = 0
    INTERPOLATION = 1
    WIDER_KERNEL = 2
    NOT_CRITICAL = 3
    NOT_TANGENT = 4


VALLEY_MESSAGES: dict[int, str] = {
    Valley.MORSE_BOTT: "Morse-Bott: the Hessian's kernel is spanned by the tangents given",
    Valley.INTERPOLATION: (
        "Morse-Bott: the residual is zero, and the Hessian has as many positive eigenvalues as "
        "there are equations, so that the zeros are a manifold whose tangents are the kernel"
    ),
    Valley.WIDER_KERNEL: (
        "inconclusive: the Hessian's kernel has more dimensions than the tangents given; along the "
        "others f may be of a higher order, which second derivatives do not show"
    ),
    Valley.NOT_CRITICAL: "inconclusive: the gradient at the point is not small enough",
    Valley.NOT_TANGENT: (
        "inconclusive: the tangents given span more dimensions than the Hessian's kernel has"
    ),
}


class MorseBott(NamedTuple):
    """Łojasiewicz constants of a critical point, from the eigenvalues of its Hessian.

    Attributes:
        alpha: 1/2; NaN if inconclusive.
        mu: `sqrt(2 |lambda|)` with the eigenvalue of smallest size outside the zero band, the
            constant in the limit of small radius; NaN if inconclusive.
        smallest: that size; NaN if there is none.
        largest: the largest size.
        inertia: `(n-, n0, n+)`.
        tangents: dimensions that the given tangents span.
        band: half-width of the zero band.
        value: f at the point.
        grad_norm: `||grad f||` there.
        result: int32 code; `message` is its text.
    """

    alpha: float
    mu: float
    smallest: float
    largest: float
    inertia: tuple[int, int, int]
    tangents: int
    band: float
    value: float
    grad_norm: float
    result: int

    @property
    def message(self) -> str:
        """The outcome in words."""
        return VALLEY_MESSAGES[int(self.result)]

    @property
    def conclusive(self) -> bool:
        """Whether there are an alpha and a mu."""
        return self.result in (Valley.MORSE_BOTT, Valley.INTERPOLATION)

    def up_to(self, top: float, *, degree: float | None = None) -> Lojasiewicz:
        """The constants as a `Lojasiewicz` for `path_length`, to be tried up to a level.

        The constants hold in the limit; whether they do at `top` is for a path to show, which
        `path_length` checks at every save. No envelope stands behind them.

        Args:
            top: largest `f - f*`.
            degree: q of Assumption 2.

        Raises:
            ValueError: if inconclusive, or for a level or degree that is not positive.
        """
        if not self.conclusive:
            raise ValueError(f"up_to needs constants, got none: {self.message}")
        top = _check.positive("top", top)
        return Lojasiewicz(
            alpha=self.alpha,
            mu=self.mu,
            alpha_interval=(self.alpha, self.alpha),
            mu_interval=(self.mu, self.mu),
            radius=float("nan"),
            ball_mu=self.mu,
            top=top,
            value=self.value,
            above=None,
            below=None,
            side=0,
            degree=None if degree is None else _check.positive("degree", degree),
            result=int(Fitted.FITTED),
        )


def morse_bott(
    f: Callable[..., jax.Array],
    point: Any,
    *,
    args: tuple = (),
    tangents: Any = None,
    equations: int | None = None,
    band: float | None = None,
) -> MorseBott:
    """Alpha and mu of the Łojasiewicz inequality by the Hessian, if its kernel is accounted for.

    If the critical points near by form a manifold whose tangent space is the kernel, then f is in
    some coordinates `f* + 1/2 sum lambda_i t_i^2`, so that alpha = 1/2 and mu = `sqrt(2 min
    |lambda|)`. Two ways to know this are taken: symmetries of f, whose tangents span the whole
    kernel; or a least-squares f with a residual of zero, whose Jacobian has full row rank. The
    Hessian is dense: its eigenvalues cost the third power of the number of entries.

    Args:
        f: pure function `(point, *args) -> scalar`, hashable.
        point: critical point, any pytree.
        args: further arguments of f.
        tangents: pytree like `point` with a leading axis: directions along which the point can be
            moved without f changing at all, such as `networks.symmetry_directions`.
        equations: for `f = 1/2 ||residual||^2`, the number of residuals.
        band: half-width of the zero band of `hessian_spectrum`, and its default.

    Returns:
        `MorseBott`; its `message` says on what it rests.

    Raises:
        TypeError, ValueError: for bad input.

    Source: P.-A. Absil, R. Mahony and B. Andrews, SIAM J. Optim. 16 (2005); Q. Rebjock and N.
    Boumal, Math. Program. 213 (2025); `docs/mathematics.md`, section 4.

    >>> def ring(w):
    ...     return (w @ w - 1) ** 2
    >>> found = morse_bott(ring, jnp.array([0.0, 1.0]), tangents=jnp.array([[1.0, 0.0]]))
    >>> found.alpha, round(found.mu, 6), found.inertia
    (0.5, 4.0, (0, 1, 1))
    """
    _check.hashable("f", f)
    point = _check.floating_tree("point", point)
    args = _check.data("args", args)
    layout = Layout.of(point)
    known = _rank(tangents, point, layout)
    if equations is not None:
        equations = _check.positive_integer("equations", equations)
    spectrum = hessian_spectrum(f, point, args=args, method="dense", band=band, grid=2)
    value, gradient = jax.value_and_grad(f)(point, *args)
    value, grad_norm = float(value), float(jnp.linalg.norm(layout.flat(gradient)))
    sizes = np.abs(spectrum.eigenvalues)
    curved = sizes[sizes > spectrum.band]
    smallest = float(np.min(curved)) if curved.size else np.nan
    size = float(jnp.linalg.norm(layout.flat(point))) or 1.0
    if not (curved.size and grad_norm <= CLOSE * size * smallest):
        result = Valley.NOT_CRITICAL
    elif spectrum.zero == known:
        result = Valley.MORSE_BOTT
    elif spectrum.zero < known:
        result = Valley.NOT_TANGENT
    elif (
        equations == spectrum.positive
        and spectrum.negative == 0
        and 0 <= 2 * value <= spectrum.band**2
    ):
        result = Valley.INTERPOLATION
    else:
        result = Valley.WIDER_KERNEL
    good = result in (Valley.MORSE_BOTT, Valley.INTERPOLATION)
    return MorseBott(
        0.5 if good else np.nan,
        float(np.sqrt(2 * smallest)) if good else np.nan,
        smallest,
        float(np.max(sizes)),
        spectrum.inertia,
        known,
        spectrum.band,
        value,
        grad_norm,
        int(result),
    )


def _rank(tangents: Any, point: Any, layout: Layout) -> int:
    """Dimensions that the tangents span."""
    if tangents is None:
        return 0
    tangents = _check.floating_tree("tangents", tangents)
    wanted: Any = jax.tree.structure(point)
    came: Any = jax.tree.structure(tangents)
    if came != wanted:
        raise ValueError(f"tangents must have the structure of point, {wanted}, got {came}")
    pairs = zip(jax.tree.leaves(tangents), jax.tree.leaves(point), strict=True)
    for i, (leaf, like) in enumerate(pairs):
        if leaf.ndim != like.ndim + 1 or leaf.shape[1:] != like.shape:
            raise ValueError(
                f"tangents (leaf {i}) must have shape (s, *{like.shape}), got {leaf.shape}"
            )
    rows = np.asarray(jax.vmap(layout.flat)(tangents))
    norms = np.linalg.norm(rows, axis=1)
    rows = rows[norms > 0] / norms[norms > 0, None]
    if not len(rows):
        return 0
    gram = np.linalg.eigvalsh(rows @ rows.T)
    return int(np.sum(gram > 1e-10 * gram[-1]))
