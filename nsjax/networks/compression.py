"""CP and Tucker compression of the kernel of a convolution, in the norm of the data it sees."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsjax import _check
from nsjax.networks import alternating
from nsjax.networks.patches import explicit_padding, pair, places

if TYPE_CHECKING:
    from jaxtyping import Array, Float

RIDGE = 1e-6
"""Added to a covariance, over its mean eigenvalue."""
INDEFINITE = 1e-8
"""Most negative eigenvalue that counts as rounding, over the trace."""


class Compressed(NamedTuple):
    """A kernel of few numbers, `K~[i,j,s,t] = sum G[a,b,c,d] U_0[i,a] U_1[j,b] U_2[s,c] U_3[t,d]`.

    Attributes:
        core: G, `(r_0, r_1, r_2, r_3)`; None for CP, whose G is one on the diagonal.
        factors: `U_0` `(kh, r_0)` to `U_3` `(c_out, r_3)`. Of a Tucker decomposition their columns
            are orthonormal, and one of full rank is the identity.
        error: squared norm of the difference over that of the kernel, in the norm (with its ridge)
            that was asked for.
        history: that of the best start, before the first sweep and after each.
        errors: those of all starts: the HOSVD, random ones, those given.
        converged: whether the last sweep lowered the error by less than `tol`.
    """

    core: Any
    factors: tuple[Any, ...]
    error: float
    history: Any
    errors: Any
    converged: bool

    @property
    def kernel(self) -> Float[Array, "kh kw c c_out"]:
        """The kernel written out."""
        return alternating.expand(self.core, self.factors)

    @property
    def parameters(self) -> int:
        """Numbers in factors and core, the gauge counted; a factor that is the identity is free."""
        arrays = list(self.factors) if self.core is None else [self.core]
        if self.core is not None:
            arrays += [each for each in self.factors if each.shape[0] != each.shape[1]]
        return sum(int(each.size) for each in arrays)


def compress(
    key: Array,
    kernel: Float[Array, "kh kw c c_out"],
    rank: int | Sequence[int],
    *,
    method: Literal["cp", "tucker"] = "cp",
    covariance: Float[Array, "m m"] | None = None,
    ridge: float = RIDGE,
    starts: int = 1,
    given: Sequence[Compressed] = (),
    max_sweeps: int = 500,
    tol: float = 1e-5,
) -> Compressed:
    """The kernel of a low rank whose outputs differ least on the data: `min tr((K-K~)^T S (K-K~))`.

    Alternating least squares, every update exact, so the error never rises; from the factors of the
    HOSVD of the kernel, random ones, and those given. The best is returned: it need not be the
    global minimum. Work in float64: of a covariance with a null space the weight has a condition
    of `1 / ridge` or more.

    Args:
        key: PRNG key of the random starts.
        kernel: as in `flax.linen.Conv`.
        rank: number of CP terms. Of Tucker `(r_2, r_3)`, for the channels, or all of
            `(r_0, r_1, r_2, r_3)`.
        method: the decomposition.
        covariance: S, `(m, m)` with m = kh kw c in the order of `kernel.reshape(m, c_out)`, such as
            `moments.second` of `patch_moments`, or `moments.about(moments.mean)` for a layer whose
            bias is corrected by `(K - K~)^T mean`; the identity if not given, the isotropic norm.
        ridge: times the mean eigenvalue of S, added to its diagonal. In the null space of S (zero
            borders, pixels that are constant) the data say nothing; there it decides.
        starts: random ones, beside the HOSVD.
        given: earlier results of these ranks to start from, too: the error cannot be above theirs.
        max_sweeps, tol: sweeps end when one lowers the error by less than `tol` of it.

    Raises:
        TypeError, ValueError: for arrays and ranks that do not fit, and for a weight that is not
            positive (with its ridge, in the precision of the kernel).

    >>> kernel = jax.random.normal(jax.random.key(0), (3, 3, 4, 5))
    >>> found = compress(jax.random.key(1), kernel, (2, 2), method="tucker")
    >>> found.kernel.shape, found.parameters, found.error < 1
    ((3, 3, 4, 5), 54, True)
    """
    kernel = _check.not_zero("kernel", _kernel("kernel", kernel))
    _check.choice("method", method, ("cp", "tucker"))
    ranks = _ranks(rank, method, kernel.shape)
    _check.positive_integer("max_sweeps", max_sweeps)
    tol = _check.non_negative("tol", tol)
    starts = _check.non_negative_integer("starts", starts)
    weight = _weight(covariance, kernel, ridge)
    _check.key("key", key)
    begun = _starts(key, kernel, ranks, method, starts, given)
    # Modes of full rank are no unknowns: the core holds them.
    modes = tuple(n for n in range(4) if method == "cp" or ranks[n] < kernel.shape[n])
    fits = [
        alternating.alternate(
            kernel,
            weight,
            core,
            factors,
            modes=modes,
            max_sweeps=max_sweeps,
            tol=jnp.asarray(tol, kernel.dtype),
        )
        for core, factors in begun
    ]
    errors = np.array([float(fit.error) for fit in fits])
    if not np.any(np.isfinite(errors)):
        raise ValueError(
            f"covariance with ridge {ridge:g} must be positive definite in {kernel.dtype}: take a "
            "larger ridge, or float64"
        )
    best = int(np.nanargmin(errors))
    fit = fits[best]
    sweeps = int(fit.sweeps)
    return Compressed(
        fit.core,
        fit.factors,
        float(errors[best]),
        fit.history[: sweeps + 1],
        errors,
        sweeps < max_sweeps,
    )


def output_error(
    kernel: Float[Array, "kh kw c c_out"],
    approximation: Float[Array, "kh kw c c_out"],
    second: Float[Array, "m m"],
) -> float:
    """Mean squared change of the convolution's output over the mean square of the output.

    Args:
        kernel, approximation: the two kernels.
        second: moments of the patches, as of `patch_moments`, or about the mean on which a bias was
            corrected.

    Raises:
        TypeError, ValueError: for arrays that do not fit, and a kernel of zeros.
    """
    kernel = _check.not_zero("kernel", _kernel("kernel", kernel))
    approximation = _kernel("approximation", approximation)
    if approximation.shape != kernel.shape:
        raise ValueError(f"approximation must have shape {kernel.shape}, got {approximation.shape}")
    matrix = kernel.reshape(-1, kernel.shape[-1])
    second = _check.matrix("second", second, rows=len(matrix), columns=len(matrix))
    change = matrix - approximation.reshape(matrix.shape)
    return float(jnp.sum(change * (second @ change)) / jnp.sum(matrix * (second @ matrix)))


def convolve(
    found: Compressed,
    x: Float[Array, "n h w c"],
    *,
    strides: int | Sequence[int] = 1,
    padding: Any = "SAME",
) -> Float[Array, "n h2 w2 c_out"]:
    """The convolution by the compressed kernel, as a chain of small ones.

    CP: 1 x 1 to R channels, kh x 1 and 1 x kw in each of them, 1 x 1. Tucker: 1 x 1 to r_2
    channels, kh x kw to r_3, 1 x 1.

    Args:
        found: the compressed kernel, from `compress`.
        x: images `(n, h, w, c)`.
        strides, padding: as in `flax.linen.Conv`.

    Returns:
        `(n, h2, w2, c_out)`.

    Raises:
        TypeError, ValueError: for images that do not fit, and for bad strides and padding.
    """
    size, steps = [each.shape[0] for each in found.factors[:2]], pair("strides", strides)
    x = _check.array("x", x)
    if x.ndim != 4 or x.shape[-1] != found.factors[2].shape[0]:
        raise ValueError(f"x must have shape (n, h, w, {found.factors[2].shape[0]}), got {x.shape}")
    pads = explicit_padding(x.shape[1:3], size, steps, padding)
    places(x.shape[1:3], size, steps, pads)
    rows, columns, inputs, outputs = found.factors
    numbers = ("NHWC", "HWIO", "NHWC")
    x = x @ inputs
    if found.core is None:
        for kernel, at in ((rows[:, None, None], 0), (columns[None, :, None], 1)):
            strided = [steps[k] if k == at else 1 for k in range(2)]
            padded = [pads[k] if k == at else (0, 0) for k in range(2)]
            x = jax.lax.conv_general_dilated(
                x,
                kernel,
                strided,
                padded,
                dimension_numbers=numbers,
                feature_group_count=x.shape[-1],
            )
    else:
        kernel = jnp.einsum("abcd,ia,jb->ijcd", found.core, rows, columns)
        x = jax.lax.conv_general_dilated(x, kernel, steps, pads, dimension_numbers=numbers)
    return x @ outputs.T


def multiplications(
    found: Compressed,
    size: Sequence[int],
    *,
    strides: int | Sequence[int] = 1,
    padding: Any = "SAME",
) -> tuple[int, int]:
    """Multiplications of the chain of `convolve` for one image, and of the plain convolution.

    Args:
        found: the compressed kernel.
        size: height and width of the image.
        strides, padding: of the convolution.

    Raises:
        TypeError, ValueError: for bad sizes, strides and padding.

    >>> kernel = jax.random.normal(jax.random.key(0), (3, 3, 4, 5))
    >>> found = compress(jax.random.key(1), kernel, (2, 2), method="tucker", max_sweeps=1)
    >>> multiplications(found, (8, 8))  # 64 (4 2 + 9 2 2 + 2 5), and 64 9 4 5
    (3456, 11520)
    """
    kernel, steps = [each.shape[0] for each in found.factors], pair("strides", strides)
    size = pair("size", size)
    pads = explicit_padding(size, kernel[:2], steps, padding)
    high, wide = places(size, kernel[:2], steps, pads)
    ranks = [each.shape[1] for each in found.factors]
    plain = high * wide * math.prod(kernel)
    whole = size[0] * size[1] * kernel[2] * ranks[2]
    if found.core is None:
        whole += ranks[0] * (high * size[1] * kernel[0] + high * wide * kernel[1])
    else:
        whole += high * wide * kernel[0] * kernel[1] * ranks[2] * ranks[3]
    return whole + high * wide * ranks[3] * kernel[3], plain


def _kernel(name: str, value: Any) -> jax.Array:
    """Return `value` as a finite kernel, if it is floating and has four axes."""
    kernel = _check.array(name, value)
    if kernel.ndim != 4 or 0 in kernel.shape:
        raise ValueError(f"{name} must have shape (kh, kw, c, c_out), got {kernel.shape}")
    return kernel


def _ranks(rank: Any, method: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    if method == "cp":
        return (_check.positive_integer("rank", rank),) * 4
    if isinstance(rank, str) or np.ndim(rank) != 1 or len(rank) not in (2, 4):
        raise ValueError(f"rank must have two or four numbers for method 'tucker', got {rank!r}")
    ranks = tuple(_check.positive_integer("rank", each) for each in rank)
    if len(ranks) == 2:
        ranks = (*shape[:2], *ranks)
    for n in range(4):
        _check.limited(f"rank of mode {n} of a kernel {shape}", ranks[n], shape[n])
        if ranks[n] > math.prod(ranks) // ranks[n]:
            raise ValueError(f"rank of mode {n} must be at most the product of the others: {ranks}")
    return ranks


def _weight(covariance: Any, kernel: jax.Array, ridge: float) -> jax.Array:
    m = math.prod(kernel.shape[:3])
    ridge = _check.non_negative("ridge", ridge)
    if covariance is None:
        return jnp.eye(m, dtype=kernel.dtype)
    weight = _check.matrix("covariance", covariance, rows=m, columns=m).astype(kernel.dtype)
    trace = float(jnp.trace(weight))
    if not trace > 0:
        raise ValueError(f"covariance must have a positive trace, got {trace:g}")
    weight = _check.symmetric("covariance", weight)
    least = float(np.linalg.eigvalsh(np.asarray(weight))[0])
    if least < -max(INDEFINITE, 100 * float(jnp.finfo(weight.dtype).eps)) * trace:
        raise ValueError(f"covariance must have no negative eigenvalue, got {least:g}")
    return weight + ridge * trace / m * jnp.eye(m, dtype=weight.dtype)


def _starts(
    key: jax.Array,
    kernel: jax.Array,
    ranks: tuple[int, ...],
    method: str,
    starts: int,
    given: Sequence[Compressed],
) -> list[Any]:
    """Cores and factors to start from."""
    keys = jax.random.split(key, starts + 1)
    found = [_hosvd(keys[0], kernel, ranks, method)]
    for each in keys[1:]:
        drawn = [
            jax.random.normal(k, (d, r), kernel.dtype)
            for k, d, r in zip(jax.random.split(each, 4), kernel.shape, ranks, strict=True)
        ]
        if method == "tucker":
            drawn = [jnp.linalg.qr(each)[0] for each in drawn]
        found.append(_with_core(kernel, drawn, method))
    if not isinstance(given, list | tuple) or isinstance(given, Compressed):
        raise TypeError(f"given must be a sequence of results, got {type(given).__name__}")
    for i, other in enumerate(given):
        if not isinstance(other, Compressed):
            raise TypeError(f"given[{i}] must be a result of compress, got {other!r}")
        shapes = [(d, r) for d, r in zip(kernel.shape, ranks, strict=True)]
        got = [each.shape for each in other.factors]
        if got != shapes or (other.core is None) != (method == "cp"):
            raise ValueError(f"given[{i}] must have factors of shapes {shapes}, got {got}")
        found.append((other.core, tuple(other.factors)))
    return found


def _hosvd(key: jax.Array, kernel: jax.Array, ranks: tuple[int, ...], method: str) -> Any:
    """Leading singular vectors of every unfolding; of CP terms beyond them, random columns."""
    found = []
    for n, k in enumerate(jax.random.split(key, 4)):
        unfolded = jnp.moveaxis(kernel, n, 0).reshape(kernel.shape[n], -1)
        vectors = jnp.linalg.svd(unfolded, full_matrices=False)[0][:, : ranks[n]]
        lacking = ranks[n] - vectors.shape[1]
        more = jax.random.normal(k, (kernel.shape[n], lacking), kernel.dtype)
        found.append(jnp.concatenate([vectors, more / math.sqrt(kernel.shape[n])], axis=1))
    return _with_core(kernel, found, method)


def _with_core(kernel: jax.Array, factors: list[jax.Array], method: str) -> Any:
    if method == "cp":
        return None, tuple(factors)
    # A factor of full rank is the identity, whatever its vectors are.
    factors = [jnp.eye(len(u), dtype=u.dtype) if u.shape[0] == u.shape[1] else u for u in factors]
    return alternating.expand(kernel, [u.T for u in factors]), tuple(factors)
