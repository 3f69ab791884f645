"""One call for every search: checks, units of the data, the formula and what to think of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nsjax import _check
from nsjax.networks.cp import CPNeuron, CPTerms
from nsjax.neuronseek import pursuit, signatures, training
from nsjax.neuronseek.config import Config
from nsjax.neuronseek.formula import Formula
from nsjax.neuronseek.model import to_neuron
from nsjax.neuronseek.results import History, Search
from nsjax.neuronseek.training import Training
from nsjax.neuronseek.workspace import Workspace
from nsjax.objectives import LOSSES
from nsjax.pursuit.problem import check_targets, prediction_error

Pair = tuple[Any, Any]
LABELS = 20
"""Distinct integers up to which the targets of a regression look like classes."""
JUDGED = 10
"""Held-out samples from which on candidates are judged on them."""


def search(
    key: jax.Array,
    x: Any,
    y: Any,
    *,
    config: Config | Training | None = None,
    loss: str = "square",
    validation: Pair | None = None,
    test: Pair | None = None,
    inputs: tuple[str, ...] | None = None,
    targets: tuple[str, ...] | None = None,
    on_step: Callable[[str], None] | None = None,
) -> Any:
    """Find a task-driven neuron: a polynomial of the inputs, or of projections, as a formula.

    The default search, `Config`, adds candidates as long as held-out samples say that they are
    better than chance, fits all weights by Levenberg-Marquardt, takes out what is not needed and
    fits the rest to all samples. `Training` is the gradient training of NeuronSeek with its
    thresholds, and its kin.

    Args:
        key: PRNG key, or several, `(seeds,)`: then a list of results comes back.
        x: inputs `(n, d)`, best of about unit variance.
        y: targets `(n, c)` or `(n,)`. For `"cross_entropy"` one-hot rows or, as a vector, integer
            classes from 0.
        config: settings, and with them which search; `Config()` if not given.
        loss: `"square"`, `"logistic"` with labels -1 and 1, or `"cross_entropy"`.
        validation: samples `(x, y)` that judge candidates, and are never fitted, in place of a
            share of the samples given.
        test: samples `(x, y)` for the error at the end alone.
        inputs: names of the inputs, for the formula.
        targets: names of the targets.
        on_step: called with words on every step.

    Returns:
        `Search`, or a list of them.

    Raises:
        TypeError, ValueError: for bad arrays, NaN, targets that are constant or look like classes
            in a regression, fewer than 3 samples, bad names or settings, before anything is
            compiled.

    Source: NeuronSeek (arXiv 2506.15715); `docs/mathematics.md`, section 7.

    >>> x = jax.random.normal(jax.random.key(0), (300, 4))
    >>> found = search(jax.random.key(1), x, 2 * x[:, 0] - 3 * x[:, 1] * x[:, 2])
    >>> print(found.formula.to_text())
    y = 2 x0 - 3 x1 x2
    """
    config = Config() if config is None else config
    if not isinstance(config, Config | Training):
        raise TypeError(f"config must be a Config or a Training, got {type(config).__name__}")
    _check.choice("loss", loss, tuple(LOSSES))
    keys, several = _keys(key)
    train = _pair("x", "y", x, y, loss)
    shape = (train[0].shape[1], train[1].shape[1])
    held = None if validation is None else _pair("validation", None, *validation, loss, shape)
    fresh = None if test is None else _pair("test", None, *test, loss, shape)
    # Bad names are refused before any work.
    blank = Formula.of(_nothing(*shape), inputs=inputs, outputs=targets)
    names = {"inputs": blank.inputs, "outputs": blank.outputs}
    if isinstance(config, Training):
        trained = training.run(
            keys,
            *train,
            config=config,
            loss=loss,
            validation=held,
            test=fresh,
            on_epochs=None if on_step is None else lambda count, _: on_step(f"epoch {count}"),
        )
        found = [
            Search(
                Formula.of(each.neuron, **names, tol=_rounding()), *each, resolution=float("nan")
            )
            for each in trained
        ]
    else:
        found = [
            _by_candidates(each, train, held, fresh, config, loss, names, on_step) for each in keys
        ]
    return found if several else found[0]


def _by_candidates(
    key: jax.Array,
    train: tuple[np.ndarray, np.ndarray],
    held: tuple[np.ndarray, np.ndarray] | None,
    test: tuple[np.ndarray, np.ndarray] | None,
    config: Config,
    loss: str,
    names: dict[str, Any],
    on_step: Callable[[str], None] | None,
) -> Search:
    x, y = train
    n = len(x)
    rng = np.random.default_rng(np.asarray(jax.random.bits(key, (4,))).tolist())
    hold = np.zeros(n, bool)
    if held is not None:
        x, y = np.concatenate([x, held[0]]), np.concatenate([y, held[1]])
        hold = np.arange(len(x)) >= n
    else:
        count = round(config.holdout * n)
        if count >= JUDGED and n - count > x.shape[1]:
            hold[rng.permutation(n)[:count]] = True
    mean, scale = np.zeros(y.shape[1]), 1.0
    if loss == "square":
        mean, scale = y[~hold].mean(axis=0), float(np.sqrt(np.mean(np.var(y[~hold], axis=0))))
    # A share of the samples given comes back for the last fit; validation data do not.
    last = np.arange(len(x)) < n
    space = Workspace(x, (y - mean) / scale, loss, config, ~hold, hold, last, on_step=on_step)
    found = pursuit.search(space, rng)
    neuron = _in_units(to_neuron(found.model, x.shape[1]), mean, scale)
    formula = Formula.of(neuron, **names, tol=_rounding())
    noise = found.judged[0] if space.judged else found.log.train[-1]
    resolution = noise * max(
        4 * config.z**2 / max(int(hold.sum()), 1), 20 * x.shape[1] / int((~hold).sum())
    )
    return Search(
        formula,
        neuron,
        _history(found.log),
        found.result,
        _error(formula, train, loss),
        found.judged[1],
        float("nan") if test is None else _error(formula, test, loss),
        found.model.parameters,
        _warnings(formula, found, train, config),
        space.evaluations,
        resolution,
    )


def _warnings(
    formula: Formula, found: pursuit.Found, train: tuple[np.ndarray, np.ndarray], config: Config
) -> tuple[str, ...]:
    x, y = train
    largest = found.model.parameters
    return signatures.collect(
        signatures.everything_pruned(formula.neuron),
        signatures.near_linear(x, np.asarray(formula(x))),
        signatures.few_samples(largest, *x.shape, y.shape[1]),
    )


def _history(log: pursuit.Log) -> History:
    labels = tuple(dict.fromkeys(label for shares in log.shares for label in shares))
    table = np.array([[shares.get(label, 0.0) for label in labels] for shares in log.shares])
    return History(
        labels,
        table.reshape(len(log.shares), len(labels)),
        np.array(log.train),
        np.array(log.validation),
        tuple(log.actions),
    )


def _error(formula: Formula, pair: tuple[np.ndarray, np.ndarray], loss: str) -> float:
    outputs = formula(jnp.asarray(pair[0]))
    return float(prediction_error(loss, outputs, jnp.asarray(pair[1])))


def _in_units(neuron: CPNeuron, mean: np.ndarray, scale: float) -> CPNeuron:
    """A neuron of standardised targets in the units of the data."""

    def scaled(terms: CPTerms) -> CPTerms:
        return CPTerms(terms.coefficients * scale, terms.factors)

    bias = neuron.bias * scale + mean
    # What is left of the mean where it cancels is rounding.
    rounding = _rounding() * (np.abs(mean) + scale)
    return CPNeuron(
        np.where(np.abs(bias) > rounding, bias, 0.0),
        {k: weights * scale for k, weights in neuron.powers.items()},
        {n: scaled(terms) for n, terms in neuron.interactions.items()},
        {name: scaled(terms) for name, terms in neuron.bases.items()},
    )


def _rounding() -> float:
    """Share of the largest number of its kind below which a fitted one is zero."""
    return 1e4 * float(jnp.finfo(jnp.result_type(float)).eps)


def _nothing(d: int, c: int) -> CPNeuron:
    return CPNeuron(np.zeros(c), {1: np.zeros((c, d))}, {}, {})


def _keys(key: Any) -> tuple[jax.Array, bool]:
    wanted = "key must be a PRNG key, or an array of them, such as jax.random.split(key, 10)"
    if not isinstance(key, jax.Array) or not jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        raise TypeError(f"{wanted}, got {type(key).__name__}")
    if key.ndim > 1 or key.size == 0:
        raise ValueError(f"{wanted}, got shape {key.shape}")
    return key.reshape(-1), key.ndim == 1


def _pair(
    name: str, second: str | None, x: Any, y: Any, loss: str, shape: tuple[int, int] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets as matrices of JAX's default float, checked."""
    first, second = (name, second) if second is not None else (f"{name}[0]", f"{name}[1]")
    d, c = shape if shape is not None else (None, None)
    dtype = jnp.result_type(float)
    x = np.asarray(_check.matrix(first, x, columns=d), dtype)
    y = _targets(second, y, loss, c)
    if len(x) != len(y):
        raise ValueError(
            f"{first} and {second} must have one row per sample, got {len(x)} rows in {first} and "
            f"{len(y)} in {second}"
        )
    if shape is None:
        if len(x) < 3:
            raise ValueError(f"{first} must have at least 3 samples, got {len(x)}")
        check_targets(loss, np.asarray(y, np.float64), float(jnp.finfo(dtype).eps))
    return x, y


def _targets(name: str, y: Any, loss: str, c: int | None) -> np.ndarray:
    raw = np.asarray(y)
    if raw.dtype.kind in "USO":
        raise TypeError(
            f"{name} must be an array of numbers, got dtype {raw.dtype}; for classes, give "
            'integers from 0 with loss="cross_entropy"'
        )
    if raw.ndim == 1 and raw.dtype.kind in "biu" and loss == "cross_entropy":
        classes = int(raw.max()) + 1 if c is None else c
        if raw.min() < 0 or raw.max() >= classes:
            raise ValueError(f"{name} must hold classes from 0 to {classes - 1}, got {raw.max()}")
        raw = np.eye(classes)[raw.astype(int)]
    if loss == "square" and raw.dtype.kind in "biu":
        distinct = len(np.unique(raw))
        if distinct <= LABELS and 2 * distinct <= len(raw):
            raise ValueError(
                f"{name} must hold real targets for a regression, got {distinct} distinct values "
                f'of dtype {raw.dtype}, which look like classes: use loss="cross_entropy" or '
                '"logistic", or make them floats if they are quantities'
            )
    matrix = _check.matrix(name, raw[:, None] if raw.ndim == 1 else raw, columns=c)
    return np.asarray(matrix, jnp.result_type(float))
