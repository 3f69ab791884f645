"""Residual networks for small images, plain or with task-driven convolutions."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import jax.numpy as jnp
from flax import linen as nn

from nsjax import _check
from nsjax.neuronseek.layers import LayerTerms, TaskConv

if TYPE_CHECKING:
    from jaxtyping import Array, Float

_HE = nn.initializers.variance_scaling(2.0, "fan_out", "truncated_normal")


class ResNet(nn.Module):
    """ResNet18 for CIFAR by default: a 3x3 first convolution, no pooling before the last layer.

    Attributes:
        classes: number of outputs.
        terms: those of the task-driven neurons; None for a plain network.
        where: `"first"`: the first convolution is task-driven; `"blocks"`: the first one of every
            block.
        width: channels of the first stage; each further one has twice as many, on half the size.
        blocks: residual blocks of every stage.
        dtype: of the computation; parameters and the statistics of batches are float32.

    Source: He et al. 2016 (arXiv 1512.03385); NeuronSeek (arXiv 2506.15715), second stage.
    """

    classes: int
    terms: LayerTerms | None = None
    where: Literal["first", "blocks"] = "first"
    width: int = 64
    blocks: tuple[int, ...] = (2, 2, 2, 2)
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "n h w d"], train: bool = False) -> Float[Array, "n c"]:
        """Logits, float32.

        Args:
            x: images `(n, h, w, d)`.
            train: whether batches are normalised by their own moments, which are then recorded.

        Raises:
            ValueError: for another `where`.
        """
        _check.choice("where", self.where, ("first", "blocks"))
        norm = partial(nn.BatchNorm, not train, momentum=0.9, dtype=self.dtype)
        conv = partial(nn.Conv, use_bias=False, kernel_init=_HE, dtype=self.dtype)

        def driven(place: str, features: int, strides: int = 1) -> nn.Module:
            if self.terms is None or self.where != place:
                return conv(features, (3, 3), strides=strides)
            return TaskConv(
                features,
                (3, 3),
                self.terms,
                strides=strides,
                use_bias=False,
                trainable=True,
                dtype=self.dtype,
            )

        x = nn.relu(norm()(driven("first", self.width)(x)))
        for stage, count in enumerate(self.blocks):
            features = self.width * 2**stage
            for block in range(count):
                strides = 2 if stage > 0 and block == 0 else 1
                y = nn.relu(norm()(driven("blocks", features, strides)(x)))
                y = norm(scale_init=nn.initializers.zeros_init())(conv(features, (3, 3))(y))
                if x.shape != y.shape:
                    x = norm()(conv(features, (1, 1), strides=strides)(x))
                x = nn.relu(x + y)
        x = jnp.mean(x.astype(jnp.float32), axis=(1, 2))
        return nn.Dense(self.classes)(x)
