"""What a pursuit learns: checked data in working units, static settings, and limits."""

from __future__ import annotations

import zlib
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsjax import _check
from nsjax.networks import activation_degree
from nsjax.networks.homogeneous import Activation, Params, apply
from nsjax.objectives import LOSSES
from nsjax.pursuit.config import Config, chosen
from nsjax.pursuit.growth import Method
from nsjax.pursuit.problem import Units, prediction_error, prepare, reference_loss

FAMILIES = ("homogeneous",)


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


class Limits(NamedTuple):
    """What ends a lane, as numbers; see `Config`."""

    tol: float
    ncf_tol: float
    rescue: float
    max_neurons: int
    max_parameters: float
    max_rounds: int
    patience: int


class Task:
    """What a pursuit learns: checked data in working units, and static settings.

    Args:
        x: `(n, d)` inputs.
        y: `(n, c)` targets; for the logistic loss labels -1 and 1, for cross-entropy one-hot rows.
        activation: homogeneous activation of degree p.
        depth: number of layers L, at least 2.
        family: family of the neurons.
        loss: `"square"`, `"logistic"` or `"cross_entropy"`.
        params: a network to grow; by default one without hidden neurons.
        validation, test: `(x, y)`, see `run`.
        preset, config: settings; see `Config`.

    Raises:
        TypeError, ValueError: for a bad argument, which is named.
    """

    def __init__(
        self,
        x: Any,
        y: Any,
        *,
        activation: Activation,
        depth: int,
        family: str = "homogeneous",
        loss: str = "square",
        params: Params | None = None,
        validation: tuple[Any, Any] | None = None,
        test: tuple[Any, Any] | None = None,
        preset: str = "default",
        config: Config | None = None,
    ) -> None:
        p = activation_degree(activation)
        _check.choice("family", family, FAMILIES)
        _check.choice("loss", loss, tuple(LOSSES))
        self.depth = _check.positive_integer("depth", depth)
        if self.depth < 2:
            raise ValueError(f"depth must be at least 2, one hidden layer, got {depth}")
        self.config = chosen(preset, config)
        if self.config.minimiser == "levenberg_marquardt" and loss != "square":
            raise ValueError(
                f"minimiser 'levenberg_marquardt' needs the square loss, got loss={loss!r}"
            )
        self.method = Method.of(activation, loss, self.config)
        self.x, self.y = _check.matrix("x", x), _check.matrix("y", y)
        self.problem, units = prepare(
            self.x,
            self.y,
            loss=loss,
            p=p,
            depth=depth,
            normalise=self.config.normalise,
            tol=self.config.tol,
        )
        # Arrays, so that other data of one shape do not compile again.
        self.units = Units(*(jnp.asarray(factor, self.x.dtype) for factor in units))
        self.y = self.y.astype(self.x.dtype)
        self.params = None
        if params is not None:
            params = _check.network("params", params)
            if len(params) != depth:
                raise ValueError(f"params must have depth = {depth} matrices, got {len(params)}")
            _check.samples(params, self.x, self.y)
            self.params = tuple(w.astype(self.x.dtype) for w in params)
        self.validation, self.test = (
            self._held(name, pair) for name, pair in (("validation", validation), ("test", test))
        )

    def _held(self, name: str, pair: Any) -> tuple[jax.Array, jax.Array] | None:
        if pair is None:
            return None
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise TypeError(f"{name} must be a pair (x, y) of arrays, got {type(pair).__name__}")
        x = _check.matrix(f"{name}[0]", pair[0], columns=self.x.shape[1])
        y = _check.matrix(f"{name}[1]", pair[1], columns=self.y.shape[1])
        if len(x) != len(y):
            raise ValueError(
                f"{name} must have one row per sample in both, got {len(x)} and {len(y)}"
            )
        return x.astype(self.x.dtype), y.astype(self.x.dtype)

    @property
    def limits(self) -> Limits:
        """What ends a lane."""
        c = self.config
        # Random neurons have no NCF to speak of.
        ncf_tol = c.ncf_tol if c.new_neurons == "kkt" else -jnp.inf
        most = c.max_share * self.y.size
        return Limits(c.tol, ncf_tol, c.rescue, c.max_neurons, most, c.max_rounds, c.patience)

    def measure(self, params: Params) -> Measured:
        """How well networks in working units, with a leading axis, do on the data as given."""
        held = (self.validation, self.test)
        return _measure(self.method, params, self.units, (self.x, self.y), held)

    @property
    def fingerprint(self) -> int:
        """Checksum of the data."""
        return zlib.crc32(np.asarray(self.y).tobytes(), zlib.crc32(np.asarray(self.x).tobytes()))


@partial(jax.jit, static_argnums=0)
def _measure(
    method: Method,
    params: Params,
    units: Units,
    data: tuple[jax.Array, jax.Array],
    held: tuple[tuple[jax.Array, jax.Array] | None, ...],
) -> Measured:
    def one(*params: jax.Array) -> Measured:
        def error(pair: tuple[jax.Array, jax.Array] | None) -> jax.Array:
            if pair is None:
                return jnp.full((), jnp.nan, data[0].dtype)
            outputs = apply(params, pair[0], method.activation)
            return prediction_error(method.loss, outputs, pair[1])

        outputs = apply(params, data[0], method.activation)
        loss = LOSSES[method.loss](outputs, data[1]) / reference_loss(method.loss, data[1])
        return Measured(loss, error(data), *(error(pair) for pair in held))

    return jax.vmap(one)(*units.back(params))
