"""One call for every search: checks, units of the data, the formula and what to think of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from nsjax import _check, _mesh
from nsjax.networks import cp
from nsjax.neuronseek import pursuit, ridge, samples, signatures, training
from nsjax.neuronseek.config import Config
from nsjax.neuronseek.formula import Formula
from nsjax.neuronseek.log import Found, Log
from nsjax.neuronseek.model import to_neuron
from nsjax.neuronseek.results import History, Search
from nsjax.neuronseek.ridge import Ridge
from nsjax.neuronseek.shapes import checked_names
from nsjax.neuronseek.training import Training
from nsjax.neuronseek.units import Units
from nsjax.neuronseek.workspace import Workspace, bounds
from nsjax.objectives import LOSSES
from nsjax.pursuit.problem import prediction_error

Pair = tuple[Any, Any]
JUDGED = 8
"""Fewest held-out samples that candidates are judged on, and fewest that are fitted beside them."""


def search(
    key: jax.Array,
    x: Any,
    y: Any,
    config: Config | Training | Ridge | None = None,
    *,
    loss: str = "square",
    validation: Pair | None = None,
    test: Pair | None = None,
    inputs: tuple[str, ...] | None = None,
    targets: tuple[str, ...] | None = None,
    mesh: Mesh | None = None,
    on_step: Callable[[str], None] | None = None,
) -> Any:
    """Find a task-driven neuron: a polynomial of the inputs, or of projections, as a formula.

    The default search, `Config`, adds candidates as long as held-out samples say that they are
    better than chance, fits all weights by Levenberg-Marquardt, takes out what is not needed and
    fits the rest to all samples. `Ridge` fits a whole template with ridge and early stopping, for
    data that have no such formula. `Training` is the gradient training of NeuronSeek with its
    thresholds, and its kin.

    Args:
        key: PRNG key, or several, `(seeds,)`: then a list of results comes back.
        x: inputs `(n, d)`. Their sizes do not matter; far from 0, powers are hard to tell apart.
        y: targets `(n, c)` or `(n,)`. For `"cross_entropy"` one-hot rows or, in one column, classes
            that are whole numbers from 0.
        config: settings, and with them which search; `Config()` if not given.
        loss: `"square"`, `"logistic"` with labels -1 and 1, or `"cross_entropy"`.
        validation: samples `(x, y)` that judge candidates, and are never fitted, in place of a
            share of the samples given.
        test: samples `(x, y)` for the error at the end alone.
        inputs: names of the inputs, for the formula.
        targets: names of the targets.
        mesh: devices for `Training`, with one or both of the axes "members", over which the keys
            are split, and "data", over which the samples are (which pays for full batches). The
            other searches take one key after the other.
        on_step: called with words on every step.

    Returns:
        `Search`, or a list of them.

    Raises:
        TypeError, ValueError: for bad arrays, NaN, targets that are constant or look like classes
            in a regression, fewer than 3 samples, bad names, settings or mesh, before anything is
            compiled.

    Source: NeuronSeek (arXiv 2506.15715); `docs/mathematics.md`, section 7.

    >>> x = jax.random.normal(jax.random.key(0), (300, 4))
    >>> found = search(jax.random.key(1), x, 2 * x[:, 0] - 3 * x[:, 1] * x[:, 2])
    >>> print(found.formula.to_text())
    y = 2 x0 - 3 x1 x2
    """
    config = Config() if config is None else config
    if not isinstance(config, Config | Training | Ridge):
        raise TypeError(
            f"config must be a Config, a Ridge or a Training, got {type(config).__name__}"
        )
    _check.choice("loss", loss, tuple(LOSSES))
    if on_step is not None:
        _check.function("on_step", on_step)
    mesh = _mesh.checked(mesh)
    if mesh is not None and not isinstance(config, Training):
        raise ValueError(
            "mesh must be None for a search that goes from candidate to candidate; it is for "
            f"Training, got config={type(config).__name__}"
        )
    keys, several = samples.keys(key)
    train = samples.training(x, y, loss)
    shape = (train[0].shape[1], train[1].shape[1])
    held = None if validation is None else samples.further("validation", validation, loss, shape)
    fresh = None if test is None else samples.further("test", test, loss, shape)
    names = {
        "inputs": checked_names("inputs", inputs, shape[0], "x"),
        "outputs": checked_names("targets", targets, shape[1], "y"),
    }
    if isinstance(config, Training):
        trained = training.run(
            keys,
            *train,
            config=config,
            loss=loss,
            validation=held,
            test=fresh,
            mesh=mesh,
            on_epochs=None if on_step is None else lambda count, _: on_step(f"epoch {count}"),
        )
        found = [
            Search(
                Formula.of(each.neuron, **names, tol=_rounding()),
                *each,
                bounds=bounds(train[1], loss),
                resolution=float("nan"),
            )
            for each in trained
        ]
    else:
        found = [_by_fits(each, train, held, fresh, config, loss, names, on_step) for each in keys]
    return found if several else found[0]


def _by_fits(
    key: jax.Array,
    train: tuple[np.ndarray, np.ndarray],
    held: tuple[np.ndarray, np.ndarray] | None,
    test: tuple[np.ndarray, np.ndarray] | None,
    config: Config | Ridge,
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
        count = max(round(config.holdout * n), JUDGED)
        chosen = np.isin(np.arange(n), rng.permutation(n)[:count])
        enough = n - count >= max(JUDGED, x.shape[1] + 1)
        # Where few targets differ from the others, all of those may be among the chosen.
        if enough and np.any(np.ptp(y[~chosen], axis=0) > 0):
            hold = chosen
    units = Units.of(x[~hold], y[~hold], loss)
    # A share of the samples given comes back for the last fit; validation data do not.
    last = np.arange(len(x)) < n
    settings = config if isinstance(config, Config) else Config(bases=config.bases)
    space = Workspace(
        x / units.inputs,
        ((y - units.mean) / units.scale).astype(y.dtype),
        loss,
        settings,
        ~hold,
        hold,
        last,
        fresh=None
        if test is None
        else (test[0] / units.inputs, ((test[1] - units.mean) / units.scale).astype(y.dtype)),
        on_step=on_step,
        exact=isinstance(config, Ridge),
    )
    if isinstance(config, Ridge):
        found = ridge.search(space, config, rng)
    else:
        found = pursuit.search(space, rng)
    neuron = units.back(to_neuron(found.model, x.shape[1]))
    formula = Formula.of(neuron, **names, tol=_rounding())
    resolution = float("nan")
    if isinstance(config, Config):
        noise = found.judged[0] if space.judged else found.log.train[-1]
        resolution = noise * max(
            4 * config.z**2 / max(int(hold.sum()), 1), 20 * x.shape[1] / int((~hold).sum())
        )
    return Search(
        formula,
        cp.normalize(jax.tree.map(jnp.asarray, neuron)),
        _history(found.log),
        found.result,
        _error(formula, train, loss),
        found.judged[1],
        float("nan") if test is None else _error(formula, test, loss),
        found.model.parameters,
        _warnings(formula, found, train, int(hold.sum())),
        space.evaluations,
        bounds(y[:n], loss),
        resolution,
    )


def _warnings(
    formula: Formula, found: Found, train: tuple[np.ndarray, np.ndarray], held_out: int
) -> tuple[str, ...]:
    x, y = train
    return signatures.collect(
        signatures.everything_pruned(formula.neuron),
        signatures.near_linear(x, np.asarray(formula(x))),
        signatures.few_samples(found.model.parameters, len(x), x.shape[1], y.shape[1]),
        signatures.few_held_out(held_out),
    )


def _history(log: Log) -> History:
    labels = tuple(dict.fromkeys(label for shares in log.shares for label in shares))
    table = np.array([[shares.get(label, 0.0) for label in labels] for shares in log.shares])
    return History(
        labels,
        table.reshape(len(log.shares), len(labels)),
        np.array(log.train),
        np.array(log.validation),
        np.array(log.test),
        tuple(log.actions),
    )


def _error(formula: Formula, pair: tuple[np.ndarray, np.ndarray], loss: str) -> float:
    outputs = formula(jnp.asarray(pair[0]))
    return float(prediction_error(outputs, jnp.asarray(pair[1]), loss=loss))


def _rounding() -> float:
    """Share of the largest number of its kind below which a fitted one is zero."""
    return 1e4 * float(jnp.finfo(jnp.result_type(float)).eps)
