"""What a pursuit learns: checked data in working units, static settings, and limits."""

from __future__ import annotations

import zlib
from dataclasses import is_dataclass
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from nsjax import _check, _mesh
from nsjax.networks import Products, activation_degree
from nsjax.networks.homogeneous import Activation, Params
from nsjax.objectives import LOSSES
from nsjax.pursuit.config import Config, chosen
from nsjax.pursuit.method import Given, Method
from nsjax.pursuit.plans import plans
from nsjax.pursuit.problem import check_targets, prepare


class Limits(NamedTuple):
    """What ends a lane, as numbers; see `Config`."""

    tol: float
    rescue: float
    max_neurons: int
    max_parameters: float
    max_rounds: int
    patience: int
    until: str
    margin: float

    def fits(self, loss: Any, error: Any) -> Any:
        """Whether networks of that relative loss and error on the data as given fit, by `until`."""
        return error <= 0 if self.until == "accuracy" else loss <= self.tol


def _degree(activation: Activation) -> int | None:
    """Degree of the activation; None of products of several orders."""
    if isinstance(activation, Products) and len(activation.orders) > 1:
        return None
    return activation_degree(activation)


class Task:
    """What a pursuit learns: checked data in working units, and static settings.

    Args:
        x: `(n, d)` inputs.
        y: `(n, c)` targets; for the logistic loss labels -1 and 1, for cross-entropy one-hot rows.
        activation: homogeneous activation of degree p, or `networks.Products`.
        depth: number of layers L, at least 2.
        loss: `"square"`, `"logistic"` or `"cross_entropy"`.
        params: a network to grow; by default one without hidden neurons.
        validation, test: `(x, y)`, see `run`.
        preset, config: settings; see `Config`.
        mesh: devices, see `run`.

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
        loss: str = "square",
        params: Params | None = None,
        validation: tuple[Any, Any] | None = None,
        test: tuple[Any, Any] | None = None,
        preset: str = "default",
        config: Config | None = None,
        mesh: Mesh | None = None,
    ) -> None:
        p = _degree(activation)
        _check.choice("loss", loss, tuple(LOSSES))
        self.depth = _check.positive_integer("depth", depth)
        if self.depth < 2:
            raise ValueError(f"depth must be at least 2, one hidden layer, got {depth}")
        self.config = chosen(preset, config)
        if self.depth > 2 and self.config.balance and isinstance(activation, Products):
            raise ValueError(f"balance must be False for products with depth > 2, got {depth=}")
        along = getattr(activation, "along", "any")
        if along != "any" and (self.depth > 2 or self.config.new_neurons == "random"):
            raise ValueError(
                "activation must have along='any' with depth > 2 or new_neurons='random', got "
                f"along={along!r}, {depth=}, new_neurons={self.config.new_neurons!r}"
            )
        kinds = sum(plan.layer == 1 for plan in plans(activation, self.depth))
        if kinds > 1 and self.config.rule in ("ncf", "each"):
            raise ValueError(
                "rule must be 'lookahead' or 'normalised' where a layer has several kinds of new "
                f"neurons, got rule={self.config.rule!r} and {activation}"
            )
        if self.config.minimiser == "levenberg_marquardt" and loss != "square":
            raise ValueError(
                f"minimiser 'levenberg_marquardt' needs the square loss, got loss={loss!r}"
            )
        self.x, self.y = _check.matrix("x", x), _check.matrix("y", y)
        mesh = _mesh.checked(mesh)
        self.method = Method.of(activation, loss, self.y.shape[1], self.config, mesh)
        self.problem, self.units = prepare(
            self.x,
            self.y,
            loss=loss,
            p=p,
            depth=depth,
            normalise=self.config.normalise,
            tol=self.config.tol,
        )
        self.y = self.y.astype(self.x.dtype)
        self.problem, self.x, self.y = _mesh.samples_placed(
            mesh, "(x, y)", (self.problem, self.x, self.y)
        )
        self.params = None
        if params is not None:
            params = _check.network("params", params, factors=self.method.factors)
            if len(params) != depth:
                raise ValueError(f"params must have depth = {depth} matrices, got {len(params)}")
            _check.samples(params, self.x, self.y, factors=self.method.factors)
            params = tuple(w.astype(self.x.dtype) for w in params)
            self.params = _mesh.whole(mesh, params)
        # A checksum of the data and of what their units depend on.
        kind = repr(activation) if is_dataclass(activation) else type(activation).__name__
        words = (self.x.shape, self.y.shape, loss, kind, p, self.config.normalise)
        self.fingerprint = zlib.crc32(repr(words).encode())
        for array in (self.x, self.y):
            self.fingerprint = zlib.crc32(np.asarray(array).tobytes(), self.fingerprint)
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
        check_targets(self.method.loss, np.asarray(y, np.float64), 0.0, f"{name}[1]")
        pair = x.astype(self.x.dtype), y.astype(self.x.dtype)
        return _mesh.whole(self.method.mesh, pair)

    @property
    def limits(self) -> Limits:
        """What ends a lane."""
        c = self.config
        most = c.max_share * self.y.size
        return Limits(
            c.tol, c.rescue, c.max_neurons, most, c.max_rounds, c.patience, c.until, c.margin
        )

    @property
    def problem_is_weighed(self) -> bool:
        """Whether samples are weighed, see `Config.normalise`."""
        several = _degree(self.method.activation) is None
        return self.config.normalise and self.method.loss == "square" and not several

    @property
    def given(self) -> Given:
        """The data as given."""
        return Given(self.units, (self.x, self.y), self.validation, self.test)
