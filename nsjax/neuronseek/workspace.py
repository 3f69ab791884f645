"""The samples of a search, and fits of models to them."""

from __future__ import annotations

import collections
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nsjax._threads import one_lapack_thread
from nsjax.neuronseek import fitting
from nsjax.neuronseek.config import Config
from nsjax.neuronseek.large import minimise
from nsjax.neuronseek.model import Model, design, outputs, pool, unpool
from nsjax.neuronseek.units import input_sizes
from nsjax.objectives import LOSSES
from nsjax.pursuit.problem import prediction_error

WRONG = 10.0
"""Loss of a sample of classes, over the largest of one under the best constant, beyond which it is
merely wrong: polynomials of a rare input may say anything of a class."""


@dataclass
class Workspace:
    """What a search works on, on the host; the fits are compiled.

    Attributes:
        x: inputs, `(n, d)`.
        y: targets, `(n, c)`.
        loss: name of the loss.
        config: settings.
        train: samples that fits see, boolean `(n,)`.
        hold: samples that judge candidates, boolean `(n,)`; none of them if there are too few.
        last: samples that the last fit sees, boolean `(n,)`.
        fresh: samples `(x, y)` for errors that nothing depends on.
        on_step: called with words on every step.
        exact: whether fits are compiled for the sizes of a model as they are, which pays if it does
            not grow; else for the next of a few sizes.
        evaluations: of normal equations or gradients so far.
        labels: how many terms of each kind there have been.
    """

    x: np.ndarray
    y: np.ndarray
    loss: str
    config: Config
    train: np.ndarray
    hold: np.ndarray
    last: np.ndarray
    fresh: tuple[np.ndarray, np.ndarray] | None = None
    on_step: Callable[[str], None] | None = None
    exact: bool = False
    evaluations: int = 0
    labels: collections.Counter[str] = field(default_factory=collections.Counter)
    _device: dict[str, jax.Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._device = {"x": jnp.asarray(self.x), "y": jnp.asarray(self.y)}

    @property
    def inputs(self) -> int:
        """Number of inputs d."""
        return self.x.shape[1]

    @property
    def judged(self) -> bool:
        """Whether there are samples to judge candidates on."""
        return bool(self.hold.any())

    @functools.cached_property
    def constant_losses(self) -> np.ndarray:
        """Losses of the best constant on the samples that fits see, `(m,)`."""
        y = self.y[self.train]
        if self.loss == "square":
            constant = y.mean(axis=0)
        elif self.loss == "logistic":
            p = np.clip((1 + y.mean(axis=0)) / 2, 1e-9, 1 - 1e-9)
            constant = np.log(p / (1 - p))
        else:
            constant = np.log(np.clip(y.mean(axis=0), 1e-9, None))
        return sample_losses(np.broadcast_to(constant, y.shape), y, self.loss)

    @functools.cached_property
    def target_range(self) -> np.ndarray:
        """`bounds` of the targets of all samples."""
        return bounds(self.y, self.loss)

    @functools.cached_property
    def reference(self) -> float:
        """Loss a sample, on those that fits see, of the best constant."""
        return float(np.mean(self.constant_losses))

    @property
    def rounding(self) -> float:
        """Relative loss that is rounding."""
        return float((2000 * np.finfo(self.x.dtype).eps) ** 2) if self.loss == "square" else 0.0

    def outputs(self, model: Model, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Outputs of a model on some of the samples, `(m, c)`."""
        return outputs(model, self.x[rows])

    def losses(self, model: Model, rows: np.ndarray) -> np.ndarray:
        """Loss of every sample of some, over `reference`, `(m,)`."""
        return sample_losses(self.outputs(model, rows), self.y[rows], self.loss) / self.reference

    def judged_losses(self, model: Model, rows: np.ndarray) -> np.ndarray:
        """The same to judge by: what a polynomial says of one sample far out decides nothing.

        Outputs are cut off at the targets seen, as in `Search.predict`; of classes no sample counts
        for more than being wrong.
        """
        cut = np.clip(self.outputs(model, rows), *self.target_range)
        found = sample_losses(cut, self.y[rows], self.loss) / self.reference
        if self.loss == "square":
            return found
        most = WRONG * float(np.max(self.constant_losses)) / self.reference
        return np.where(np.isfinite(found), np.minimum(found, most), found)

    def error(self, model: Model) -> float:
        """Mean squared error over the targets' variance, or share of wrong classes, held out."""
        if not self.judged:
            return float("nan")
        return self._error(model, self.x[self.hold], self.y[self.hold])

    def fresh_error(self, model: Model) -> float:
        """The same on the fresh samples."""
        return float("nan") if self.fresh is None else self._error(model, *self.fresh)

    def _error(self, model: Model, x: np.ndarray, y: np.ndarray) -> float:
        h = outputs(model, x)
        return float(prediction_error(jnp.asarray(h), jnp.asarray(y), loss=self.loss))

    def residual(self, model: Model) -> np.ndarray:
        """Minus the gradient of the loss in the outputs, of all samples, `(n, c)`."""
        h = self.outputs(model)
        if self.loss == "square":
            return self.y - h
        return np.asarray(_residual(jnp.asarray(h), self._device["y"], self.loss))

    def fit(
        self,
        model: Model,
        rows: np.ndarray | None = None,
        *,
        steps: int | None = None,
        tol: float = 1e-8,
        polish: bool = False,
        penalty: float | None = None,
    ) -> Model:
        """The model refitted to the samples for training, or to `rows`, boolean `(n,)`.

        Polished, it does not end where the loss is rounding beside that of a constant. The penalty
        is on weights of columns of size 1; without one given, it is that of the settings.
        """
        rows = self.train if rows is None else rows
        weights, pooled, samples, used = self._arrays(model, rows)
        size = fitting.flat(weights).size
        scale = np.ones((len(used), 1), self.x.dtype)
        if penalty is not None:
            scale[:, 0] = input_sizes(samples.columns[rows])
            samples = samples._replace(columns=samples.columns / scale[:, 0])
            weights = weights._replace(columns=weights.columns * scale)
        else:
            penalty = self.config.ridge if self.loss != "square" else 0.0
        # Below what is rounding, so that other samples than these are fitted to it as well.
        target = 0.0 if polish else 0.01 * self.rounding * self.reference * rows.sum()
        number = self.x.dtype.type
        limits = fitting.Limits(
            number(penalty), number(target), steps or self.config.steps, number(tol)
        )
        arguments = (weights, pooled, samples, used, limits)
        static: dict[str, Any] = {"bases": self.config.bases, "loss": self.loss}
        if size <= self.config.dense:
            with one_lapack_thread():
                fitted = jax.block_until_ready(fitting.fit_one(*arguments, **static))
        else:
            fitted = minimise(*arguments, steps=self.config.steps_large, **static)
        self.evaluations += int(fitted.evaluations)
        found = fitted.weights
        return replace(
            model,
            weights=(np.asarray(found.columns) / scale)[: model.columns],
            terms=unpool(model.terms, found.coefficients, found.factors),
        )

    def curvature(self, model: Model) -> tuple[np.ndarray, list[tuple[str, int, np.ndarray]]]:
        """`J^T H J` on the samples for training, without padding, and whose parameter is whose.

        Returns:
            The matrix `(P, P)`, columns by output first, then coefficients, then factors; and a
            list of `("column", i, places)`, `("coefficient", t, places)`, `("factors", t, places)`.
        """
        weights, pooled, samples, _ = self._arrays(model, self.train)
        matrix, _ = _equations(weights, pooled, samples, self.config.bases, self.loss)
        self.evaluations += 1
        q, c = weights.columns.shape
        most, d = len(pooled.used), self.inputs
        places: list[tuple[str, int, np.ndarray]] = [
            ("column", i, np.arange(i * c, (i + 1) * c)) for i in range(model.columns)
        ]
        at = q * c
        places += [
            ("coefficient", t, at + np.arange(t * c, (t + 1) * c)) for t in range(len(model.terms))
        ]
        at += most * c
        for t, term in enumerate(model.terms):
            size = term.order * d
            places.append(("factors", t, at + np.arange(size)))
            at += size
        keep = np.concatenate([where for _, _, where in places])
        moved = np.full(matrix.shape[0], -1)
        moved[keep] = np.arange(len(keep))
        renamed = [(kind, i, moved[where]) for kind, i, where in places]
        return np.asarray(matrix)[np.ix_(keep, keep)], renamed

    def _arrays(self, model: Model, rows: np.ndarray) -> tuple:
        d, c = self.x.shape[1], self.y.shape[1]
        if self.exact:
            q, sizes = model.columns, (max(len(model.terms), 1), max(model.factors, 1))
        else:
            q, sizes = bucket(model.columns), term_bucket(model.factors, d)
        pooled = pool(model.terms, sizes, d, c, self.config.bases)
        columns = np.zeros((len(self.x), q), self.x.dtype)
        columns[:, : model.columns] = design(model, self.x)
        start = np.zeros((q, c), self.x.dtype)
        start[: model.columns] = model.weights
        dtype = self.x.dtype
        pooled = pooled._replace(
            coefficients=pooled.coefficients.astype(dtype), factors=pooled.factors.astype(dtype)
        )
        weights = fitting.Weights(start, pooled.coefficients, pooled.factors)
        samples = fitting.Rows(
            columns, self._device["x"], self._device["y"], rows.astype(self.x.dtype)
        )
        return weights, pooled, samples, np.arange(q) < model.columns


_equations = jax.jit(fitting.normal_equations, static_argnames=("bases", "loss"))


@functools.partial(jax.jit, static_argnames="loss")
def _residual(h: jax.Array, y: jax.Array, loss: str) -> jax.Array:
    return -jax.grad(LOSSES[loss])(h, y)


def sample_losses(h: np.ndarray, y: np.ndarray, loss: str = "square") -> np.ndarray:
    """Loss of every sample, `(n,)`."""
    if loss == "square":
        return 0.5 * np.sum((h - y) ** 2, axis=1)
    if loss == "logistic":
        return np.sum(np.logaddexp(0, -y * h), axis=1)
    top = np.max(h, axis=1, keepdims=True)
    return -np.sum(y * (h - top - np.log(np.sum(np.exp(h - top), axis=1, keepdims=True))), axis=1)


def bounds(y: np.ndarray, loss: str) -> np.ndarray:
    """Least and largest target, `(2, c)`, between which predictions stay; of classes none."""
    far = np.full(y.shape[1], np.inf)
    return np.stack([y.min(axis=0), y.max(axis=0)] if loss == "square" else [-far, far])


def bucket(size: int) -> int:
    """The next of a few sizes, so that few programs are compiled."""
    return next(step for step in _steps() if size <= step)


def _steps() -> Iterator[int]:
    yield 16
    step = 64
    while True:
        yield from (step, step + step // 4, step + step // 2, step + 3 * step // 4)
        step *= 2


def term_bucket(factors: int, d: int) -> tuple[int, int]:
    """Room for terms and factors; padding costs little in few inputs, and much in many."""
    fine = (0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64, 96, 128)
    coarse = (0, 4, 10, 20, 40, 80, 128)
    room = next((size for size in (fine if d > 32 else coarse) if size >= factors), factors)
    return room, room
