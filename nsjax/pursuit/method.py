"""What is static of a pursuit, and how its networks are measured on the data as given."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from nsjax._flat import Layout
from nsjax.networks import Products, activation_degree
from nsjax.networks.balance import balanced
from nsjax.networks.homogeneous import Activation, Params, apply
from nsjax.objectives import LOSSES
from nsjax.pursuit.config import Config
from nsjax.pursuit.minimisers import Objective
from nsjax.pursuit.plans import plans
from nsjax.pursuit.problem import Units, prediction_error, reference_loss

_NOT_COMPILED = (
    "lanes",
    "steps",
    "l2",
    "rescue",
    "max_neurons",
    "max_share",
    "max_rounds",
    "attempts",
    "capacity",
    "tol",
    "patience",
    "prune",
    "until",
    "margin",
)
"""Settings that no program depends on, but for the shapes of its arguments."""


@dataclass(frozen=True)
class Method:
    """What is static of a pursuit; settings that no program depends on are left at their defaults.

    So a change of those compiles nothing again. `judge` is the loss by whose error, see
    `prediction_error`, networks are judged: not its own where the square loss learns classes. Over
    the devices of `mesh` the lanes are split.
    """

    activation: Activation
    loss: str
    judge: str
    config: Config
    mesh: Mesh | None = None

    @classmethod
    def of(
        cls,
        activation: Activation,
        loss: str,
        outputs: int,
        config: Config,
        mesh: Mesh | None = None,
    ) -> Method:
        """The method of these settings, for so many outputs."""
        judge = loss
        if loss == "square" and config.until == "accuracy":
            judge = "logistic" if outputs == 1 else "cross_entropy"
        plain = {name: getattr(Config, name) for name in _NOT_COMPILED}
        # The first penalty is also that of the short refits.
        l2 = config.l2[:1]
        room = max(config.per_round, Config.capacity)
        compiled = replace(config, **plain | {"l2": l2, "capacity": room})
        return cls(activation, loss, judge, compiled, mesh)

    @property
    def factors(self) -> int:
        """Factors of a hidden neuron: 1, or room for those of products."""
        return getattr(self.activation, "factors", 1)

    def kinds(self, depth: int) -> np.ndarray:
        """Kinds of the candidates, as in `state.Info`, in the order of `candidates.place`."""
        names = [plan.layer for plan in plans(self.activation, depth)]
        if depth > 2 and self.config.rule != "ncf":
            names.append(-1)
        return np.repeat(np.asarray(names, np.int32), self.config.candidates)

    def degrees(self, depth: int) -> np.ndarray:
        """Degree of the NCF of every candidate in its weights; 0 of all layers together."""
        found = [plan.degree for plan in plans(self.activation, depth)]
        missing = len(self.kinds(depth)) // self.config.candidates - len(found)
        return np.repeat(np.asarray(found + [0] * missing), self.config.candidates)

    def parameters(self, params: Params, counts: np.ndarray) -> np.ndarray:
        """Weights `(...)` of networks that have `counts` `(..., L - 1)` neurons."""
        if isinstance(self.activation, Products):
            return self.activation.parameters(params)
        ends = np.pad(counts, [(0, 0)] * (np.ndim(counts) - 1) + [(1, 1)])
        ends[..., 0], ends[..., -1] = params[0].shape[-1], params[-1].shape[-2]
        return np.sum(ends[..., :-1] * ends[..., 1:], axis=-1)

    def handicap(self, params: Params, equations: int) -> Any:
        """What losses of networks of products `(...)` are multiplied by to compare them.

        `(1 - P / equations)^-2` of P free numbers: generalised cross-validation (Craven and Wahba
        1978). Infinite where there are as many as equations; 1 of other networks.
        """
        if not isinstance(self.activation, Products):
            return 1.0
        free = self.activation.parameters(params) - self.activation.scales(params)
        left = np.maximum(1 - free / equations, 0)
        return np.divide(1, left**2, where=left > 0, out=np.full(left.shape, np.inf))

    def balanced(self, params: Params) -> Params:
        """The same network with balanced neurons, traced."""
        if isinstance(self.activation, Products):
            return self.activation.balance(params)
        eps = 10 * float(jnp.finfo(params[0].dtype).eps)
        return balanced(params, activation_degree(self.activation), eps, 1000)

    def objective(self, params: Params) -> Objective:
        """The objective of networks shaped like `params`."""
        return Objective(self.activation, self.loss, Layout.of(params))


class Measured(NamedTuple):
    """How well the networks of all lanes do on the data as given, `(B,)` each.

    Attributes:
        loss: relative training loss.
        error: prediction error on the training data.
        validation, test: the same on those data; NaN without.
    """

    loss: jax.Array
    error: jax.Array
    validation: jax.Array
    test: jax.Array


class Given(NamedTuple):
    """The data as given, pairs `(x, y)`; those held out may be missing.

    Attributes:
        units: how working units come from the user's.
        data: for training.
        validation, test: see `Measured`.
    """

    units: Units
    data: tuple[jax.Array, jax.Array]
    validation: tuple[jax.Array, jax.Array] | None
    test: tuple[jax.Array, jax.Array] | None

    def measure(self, method: Method, params: Params) -> Measured:
        """How well one network in working units does."""
        params = self.units.back(params)

        def error(pair: tuple[jax.Array, jax.Array] | None) -> jax.Array:
            if pair is None:
                return jnp.full((), jnp.nan, params[0].dtype)
            outputs = apply(params, pair[0], method.activation)
            return prediction_error(outputs, pair[1], loss=method.judge).astype(outputs.dtype)

        x, y = self.data
        loss = LOSSES[method.loss](apply(params, x, method.activation), y)
        loss /= reference_loss(method.loss, y)
        return Measured(loss, *(error(pair) for pair in self[1:]))
