"""Moments of the patches that a convolution sees: what its output error is measured by."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsjax import _check

if TYPE_CHECKING:
    from jaxtyping import Array, Float

BATCH = 256
"""Images whose patches are in memory together."""


class PatchMoments(NamedTuple):
    """First and second moments of patches, m = kh kw c numbers in the order of a kernel's.

    Attributes:
        mean: `(m,)`.
        second: `E[p p^T]`, `(m, m)`, not centred.
        patches: how many there were.
    """

    mean: Any
    second: Any
    patches: int

    def about(self, point: Float[Array, " m"]) -> Float[Array, "m m"]:
        """`E[(p - point)(p - point)^T]`; about the mean the covariance.

        About the mean of the data that a bias was corrected on, it gives the output error that is
        left on these.

        Raises:
            TypeError, ValueError: if `point` is no finite vector of that size.
        """
        point = _check.vector("point", point, len(self.mean))
        cross = jnp.outer(self.mean, point)
        return self.second - cross - cross.T + jnp.outer(point, point)

    def channels(self, kept: slice, whole: int) -> PatchMoments:
        """The moments of some channels alone, as of the kernel of one power.

        Args:
            kept: those that stay.
            whole: how many channels there are.

        Raises:
            TypeError, ValueError: if the patches are not of so many channels.
        """
        if len(self.mean) % _check.positive_integer("whole", whole):
            raise ValueError(f"whole must divide {len(self.mean)}, the patches' size, got {whole}")
        positions = len(self.mean) // whole
        mean = self.mean.reshape(positions, whole)[:, kept].reshape(-1)
        second = self.second.reshape((positions, whole) * 2)[:, kept, :, kept]
        return PatchMoments(mean, second.reshape(len(mean), len(mean)), self.patches)


def patch_moments(
    images: Float[Array, "n h w c"],
    kernel_size: int | Sequence[int],
    *,
    strides: int | Sequence[int] = 1,
    padding: Any = "SAME",
    batch: int = BATCH,
) -> PatchMoments:
    """Moments of all patches of images, over batches, each patch as the kernel is flattened.

    A convolution with a kernel `(kh, kw, c, c_out)`, as a matrix `W` `(m, c_out)`, is `W^T p` for
    every patch p, so the mean squared output of a difference of kernels D is
    `tr(D^T E[p p^T] D)`. Padded zeros are part of the patches, as the kernel sees them.

    Args:
        images: what the kernel is applied to; of a task-driven layer, its features.
        kernel_size: `(kh, kw)`, or one number for both.
        strides, padding: of the convolution, as in `flax.linen.Conv`: `"SAME"`, `"VALID"`, a number
            of zeros, or a number or a pair of numbers for each edge.
        batch: images at a time.

    Raises:
        TypeError, ValueError: for images that are not `(n, h, w, c)`, and for bad sizes.

    >>> moments = patch_moments(jnp.ones((2, 4, 4, 1)), (3, 3), padding="VALID")
    >>> moments.second.shape, moments.patches, float(moments.second.min())
    ((9, 9), 8, 1.0)
    """
    size, steps = pair("kernel_size", kernel_size), pair("strides", strides)
    _check.positive_integer("batch", batch)
    images = _check.array("images", images)
    if images.ndim != 4 or 0 in images.shape:
        raise ValueError(f"images must have shape (n, h, w, c), got {images.shape}")
    pads = explicit_padding(images.shape[1:3], size, steps, padding)
    high, wide = places(images.shape[1:3], size, steps, pads)
    count = len(images) * high * wide
    mean, second = _sums(images, size, steps, pads, min(batch, len(images)))
    return PatchMoments(mean / count, second / count, count)


@functools.partial(jax.jit, static_argnums=(1, 2, 3, 4))
def _sums(images: jax.Array, size: Any, steps: Any, pads: Any, batch: int) -> Any:
    n, channels = len(images), images.shape[-1]
    m = size[0] * size[1] * channels
    # Images of zeros fill the last batch: their patches add nothing to either sum.
    images = jnp.pad(images, ((0, -n % batch), (0, 0), (0, 0), (0, 0)))

    def add(carry: Any, part: jax.Array) -> Any:
        found = jax.lax.conv_general_dilated_patches(
            part, size, steps, pads, dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        # They come channel by channel; a kernel is flattened with its channels last.
        found = found.reshape(-1, channels, size[0] * size[1])
        found = jnp.swapaxes(found, 1, 2).reshape(-1, m)
        mean, second = carry
        product = jnp.matmul(found.T, found, precision="highest")
        return (mean + jnp.sum(found, axis=0), second + product), None

    start = jnp.zeros(m, images.dtype), jnp.zeros((m, m), images.dtype)
    return jax.lax.scan(add, start, images.reshape(-1, batch, *images.shape[1:]))[0]


def explicit_padding(
    edges: Sequence[int], size: Sequence[int], strides: Sequence[int], padding: Any
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Numbers of zeros before and after, for both edges of an image."""
    if isinstance(padding, str):
        _check.choice("padding", padding, ("SAME", "VALID"))
        pads = jax.lax.padtype_to_pads(edges, size, strides, padding)
    else:
        each = (padding, padding) if np.ndim(padding) == 0 else tuple(padding)
        pads = [(p, p) if np.ndim(p) == 0 else tuple(p) for p in each]
        if len(pads) != 2 or any(len(p) != 2 for p in pads):
            raise ValueError(f"padding must have two pairs of numbers >= 0, got {padding!r}")
        for p in (*pads[0], *pads[1]):
            _check.non_negative_integer("padding", p)
    (top, bottom), (left, right) = pads
    return (int(top), int(bottom)), (int(left), int(right))


def places(
    edges: Sequence[int], size: Sequence[int], strides: Sequence[int], pads: Any
) -> tuple[int, int]:
    """How often a kernel fits along both edges of an image."""
    high, wide = (
        (edge + sum(pad) - k) // step + 1
        for edge, k, step, pad in zip(edges, size, strides, pads, strict=True)
    )
    if min(high, wide) < 1:
        raise ValueError(
            f"kernel_size must fit into images of {edges[0]} x {edges[1]}, got {tuple(size)}"
        )
    return high, wide


def pair(name: str, value: Any) -> tuple[int, int]:
    """Two positive integers, of one or two given."""
    values = (value, value) if np.ndim(value) == 0 else tuple(value)
    if len(values) != 2:
        raise ValueError(f"{name} must be one or two positive integers, got {value!r}")
    high, wide = (_check.positive_integer(name, each) for each in values)
    return high, wide
