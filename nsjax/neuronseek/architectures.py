"""Networks of task-driven layers, each with its plain counterpart: `terms=None`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from nsjax import _check
from nsjax.neuronseek.activations import activate
from nsjax.neuronseek.layers import LayerTerms, TaskDense

if TYPE_CHECKING:
    from jaxtyping import Array, Float


class TaskMLP(nn.Module):
    """A dense network whose first layers are task-driven.

    Attributes:
        hidden: widths of the hidden layers.
        outputs: c.
        terms: those of the neurons; None for plain layers.
        depth: how many of the hidden layers are task-driven; None for all.
        activation: a name of `activations.ACTIVATIONS`.
        limit, trainable, normalise: of the task-driven layers, see `TaskDense`.
        dtype, param_dtype: of all layers.
    """

    hidden: tuple[int, ...]
    outputs: int
    terms: LayerTerms | None = None
    depth: int | None = None
    activation: str = "gelu"
    limit: float | None = 3.0
    trainable: bool = True
    normalise: bool = False
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "n d"]) -> Float[Array, "n c"]:
        """Outputs; no activation after the last layer."""
        if self.depth is not None:
            _check.positive_integer("depth", self.depth)
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        for i, width in enumerate(self.hidden):
            if self.terms is None or (self.depth is not None and i >= self.depth):
                layer: nn.Module = nn.Dense(width, **types)
            else:
                layer = TaskDense(
                    width,
                    self.terms,
                    trainable=self.trainable,
                    limit=self.limit,
                    normalise=self.normalise,
                    **types,
                )
            x = activate(self.activation, layer(x))
        return nn.Dense(self.outputs, **types)(x)


def count_parameters(module: nn.Module, inputs: tuple[int, ...]) -> int:
    """Number of parameters for one sample of that shape; nothing is computed."""
    sample = jax.ShapeDtypeStruct((1, *inputs), jnp.float32)
    shapes = jax.eval_shape(module.init, jax.random.key(0), sample)
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(shapes["params"]))


def of_size(
    make: Callable[[int], nn.Module], inputs: tuple[int, ...], wanted: int, *, most: int = 1 << 16
) -> nn.Module:
    """The network `make(width)` whose number of parameters comes nearest to the one wanted.

    Args:
        make: a network of that width; wider ones have more parameters.
        inputs: shape of one sample.
        wanted: number of parameters.
        most: largest width.

    Raises:
        ValueError: if the network of width 1 has more than twice as many, or that of `most` fewer.
    """
    low, high = 1, most
    while high - low > 1:
        middle = (low + high) // 2
        enough = count_parameters(make(middle), inputs) >= wanted
        low, high = (low, middle) if enough else (middle, high)
    sizes = [count_parameters(make(width), inputs) for width in (1, most)]
    if sizes[0] > 2 * wanted or sizes[1] < wanted:
        raise ValueError(
            f"wanted must be parameters of a network of width 1 to {most}, which has {sizes[0]} to "
            f"{sizes[1]}, got {wanted}"
        )
    return min(
        (make(low), make(high)), key=lambda each: abs(count_parameters(each, inputs) - wanted)
    )


def flops(module: nn.Module, inputs: tuple[int, ...]) -> float:
    """Floating-point operations of one sample's outputs, as XLA counts them without compiling."""
    sample = jax.ShapeDtypeStruct((1, *inputs), jnp.float32)
    params = jax.eval_shape(module.init, jax.random.key(0), sample)
    # Of what is lowered for a GPU, XLA counts nothing.
    with jax.default_device(jax.local_devices(backend="cpu")[0]):
        counts = jax.jit(module.apply).lower(params, sample).cost_analysis()
    return float((counts or {}).get("flops", float("nan")))
