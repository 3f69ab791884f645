"""The convolutions of a flax network: what each sees, and the network with other kernels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np
from flax import linen as nn
from flax import traverse_util

from nsjax import _check
from nsjax.networks.patches import PatchMoments, patch_moments

if TYPE_CHECKING:
    from jaxtyping import Array, Float

BATCH = 512
"""Images that go through a network together."""


class Convolution(NamedTuple):
    """A convolution of a network, and moments of the patches it sees.

    Attributes:
        kernel: `(kh, kw, c, c_out)`; of a task-driven layer c counts its features.
        strides, padding: its own.
        size: height and width of its inputs.
        moments: of the patches of its inputs; of a task-driven layer, of its features.
    """

    kernel: Any
    strides: Any
    padding: Any
    size: tuple[int, int]
    moments: PatchMoments


def convolutions(
    module: nn.Module,
    variables: Any,
    images: Float[Array, "n h w c"],
    *,
    batch: int = BATCH,
    **options: Any,
) -> dict[str, Convolution]:
    """All convolutions of a network by their path, with the moments of what they see.

    Args:
        module: such as `resnet.ResNet`. Its convolutions must have no dilation and no groups.
        variables: of the module, with the collection `params`.
        images: as the module takes them.
        batch: images at a time.
        options: further arguments of the module.

    Raises:
        ValueError: for a network without convolutions, or with one of another kind.
    """
    _check.positive_integer("batch", batch)
    images = _check.array("images", images)
    if images.ndim != 4 or not len(images):
        raise ValueError(f"images must have shape (n, h, w, c), got {images.shape}")
    layers: dict[str, nn.Conv] = {}

    @jax.jit
    def seen(variables: Any, x: jax.Array) -> dict[str, jax.Array]:
        found: dict[str, jax.Array] = {}

        def keep(following: Any, args: Any, rest: Any, context: Any) -> Any:
            layer = context.module
            if isinstance(layer, nn.Conv) and context.method_name == "__call__":
                path = "/".join(layer.path)
                found[path], layers[path] = args[0], layer
            return following(*args, **rest)

        with nn.intercept_methods(keep):
            module.apply(variables, x, **options)
        return found

    sums: dict[str, list[Any]] = {}
    sizes: dict[str, tuple[int, int]] = {}
    for start in range(0, len(images), batch):
        for path, x in seen(variables, images[start : start + batch]).items():
            layer = layers[path]
            if (
                _many(layer.kernel_dilation)
                or _many(layer.input_dilation)
                or _many(layer.feature_group_count)
            ):
                raise ValueError(f"{path} must have no dilation and no groups, got {layer}")
            # Float32 sums would give a covariance negative eigenvalues, where float64 is on.
            x = x.astype(jax.dtypes.canonicalize_dtype(float))
            part = patch_moments(
                x, layer.kernel_size, strides=layer.strides or 1, padding=layer.padding
            )
            sizes[path] = x.shape[1:3]
            sums.setdefault(path, []).append(part)
    if not sums:
        raise ValueError("module must have convolutions, got none")
    params = traverse_util.flatten_dict(variables["params"], sep="/")
    return {
        path: Convolution(
            params[f"{path}/kernel"],
            layers[path].strides or 1,
            layers[path].padding,
            sizes[path],
            _together(parts),
        )
        for path, parts in sums.items()
    }


def with_kernels(variables: Any, kernels: dict[str, Any]) -> Any:
    """The variables with other kernels, by the paths of `convolutions`.

    Raises:
        ValueError: for a path that has no kernel, or one of another shape.
    """
    params = traverse_util.flatten_dict(variables["params"], sep="/")
    for path, kernel in kernels.items():
        old = params.get(f"{path}/kernel")
        if old is None or old.shape != kernel.shape:
            there = "none" if old is None else str(old.shape)
            raise ValueError(f"kernels[{path!r}] of shape {kernel.shape} must replace one, {there}")
        params[f"{path}/kernel"] = kernel.astype(old.dtype)
    return {**variables, "params": traverse_util.unflatten_dict(params, sep="/")}


def _many(value: Any) -> bool:
    return value is not None and bool(np.any(np.asarray(value) != 1))


def _together(parts: Sequence[PatchMoments]) -> PatchMoments:
    count = sum(each.patches for each in parts)
    mean, second = (
        sum(getattr(each, name) * (each.patches / count) for each in parts)
        for name in ("mean", "second")
    )
    return PatchMoments(mean, second, count)
