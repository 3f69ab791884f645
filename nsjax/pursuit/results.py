"""What a pursuit returns: the network, why it stopped, and whether its fit can be trusted."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsjax.networks.homogeneous import Activation, Params, apply
from nsjax.objectives import LOSSES
from nsjax.pursuit.method import Method
from nsjax.pursuit.problem import prediction_error, reference_loss
from nsjax.pursuit.pruning import prune
from nsjax.pursuit.state import LEARNED, MESSAGES, Info, State, Stop, trim
from nsjax.pursuit.task import Task

MOST_PARAMETERS = 0.8
"""Parameters for each equation up to which a fit of the training data is no accident."""
AGREEMENT = 1e-2
"""Relative difference of two fitted lanes' outputs on new inputs up to which they agree."""
UNBALANCED = 1.0
"""Imbalance of a neuron, as a log of its norm ratio, beyond which it is said."""


class Certificate(NamedTuple):
    """Whether a small training error says anything about new inputs.

    Attributes:
        certified: with validation data, whether their error is at most 1e-2; else, whether it
            fitted with at most 0.8 parameters for each equation, and no other lane that fitted
            disagrees by more than 1e-2.
        reasons: what speaks for it and against, in words.
        parameters: weights of the network.
        equations: distinct samples, times outputs for the square loss.
        agreement: relative difference to the outputs of another fitted lane on inputs whose
            coordinates are each taken from one of two samples; NaN if no other fitted.
        validation: relative error on the validation data; NaN without.
    """

    certified: bool
    reasons: tuple[str, ...]
    parameters: int
    equations: int
    agreement: float
    validation: float


class Pursuit(NamedTuple):
    """Result of a pursuit.

    Attributes:
        params: the network, L weight matrices without padding, in the units of the data: that of
            the smallest lane that fitted, or else that `shuffles` ended, pruned; if there is none,
            the best of all rounds and attempts, by the validation error or else the training loss.
        history: `Info` of all rounds: arrays `(rounds, lanes, ...)`.
        result: int32 code, see `Stop`; `message` is its text.
        lane: the lane that the network is of.
        loss: relative training loss of the network on the data as given.
        error: its error there: mean squared error over the variance, which is the same, or the
            share of wrong classes, one minus the accuracy.
        unpruned: the network before pruning, in the same units.
        certificate: whether the fit can be trusted.
        warnings: what went wrong, or looks as if, in words.
        lanes: codes of all lanes, `(lanes,)`.
        state: where it stopped, all lanes.
    """

    params: Params
    history: Info
    result: int
    lane: int
    loss: float
    error: float
    unpruned: Params
    certificate: Certificate
    warnings: tuple[str, ...]
    lanes: np.ndarray
    state: State

    @property
    def message(self) -> str:
        """Why it stopped, in words."""
        return MESSAGES[int(self.result)]

    @property
    def neurons(self) -> tuple[int, ...]:
        """Neurons of every hidden layer."""
        return tuple(weight.shape[0] for weight in self.params[:-1])

    @property
    def grown(self) -> tuple[int, ...]:
        """The same before pruning."""
        return tuple(weight.shape[0] for weight in self.unpruned[:-1])


def conclude(task: Task, state: State, history: list[Info], lanes: slice) -> Pursuit:
    """The result of the pursuit whose lanes are `lanes`."""
    mine = jax.tree.map(lambda leaf: leaf[lanes] if leaf.ndim else leaf, state)
    rounds = [jax.tree.map(lambda leaf: leaf[lanes], info) for info in history]
    rounds = [info for info in rounds if info.live.any()]
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *rounds) if rounds else _empty(mine)
    codes = np.asarray(mine.result)
    fitted, ended = (np.flatnonzero(codes == code) for code in LEARNED)
    most = None
    if len(fitted):  # of several, the smallest
        sizes = np.sum(np.asarray(mine.counts), axis=1)
        lane = int(fitted[np.argmin(sizes[fitted])])
        weights, counts = mine.params, mine.counts
    elif len(ended):
        losses = mine.loss * task.method.handicap(mine.params, task.y.size)
        lane = int(ended[np.argmin(losses[ended])])
        weights, counts = mine.params, mine.counts
        # Without what explains no more than by chance, as the last round has it: of so few samples
        # that chance may explain all of them, nothing is taken out.
        chance = float(mine.chance[lane])
        most = float(mine.loss[lane]) / (1 - chance if chance < 1 else 1)
    else:
        lane = int(np.argmin(mine.best_error))
        weights, counts = mine.best, mine.best_counts
    grown = tuple(int(k) for k in counts[lane])
    # Small arrays, so on the host: JAX would compile a program for every operation.
    chosen: Any = tuple(np.asarray(w[lane]) for w in weights)
    unpruned = _given(task, trim(chosen, grown, task.method.factors))
    params = unpruned
    if (len(fitted) or most is not None) and task.config.prune:
        params = _given(task, prune(task, mine, lane, most))
    loss, error = map(float, _loss_and_error(task.method, params, task.x, task.y))
    result = int(codes[lane])
    certificate = _certify(task, mine, fitted, lane, params, result)
    return Pursuit(
        params,
        stacked,
        result,
        lane,
        loss,
        error,
        unpruned,
        certificate,
        _warnings(task, stacked, lane, certificate),
        codes,
        mine,
    )


def _given(task: Task, params: Params) -> Params:
    """Weights in the user's units, as arrays of JAX."""
    dtype = task.x.dtype
    host: Any = tuple(np.asarray(w) for w in params)
    back = task.units.back(host)
    return tuple(jnp.asarray(np.asarray(w, dtype)) for w in back)


@partial(jax.jit, static_argnums=0)
def _loss_and_error(
    method: Method, params: Params, x: jax.Array, y: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Relative loss and prediction error."""
    outputs, name = apply(params, x, method.activation), method.loss
    loss = LOSSES[name](outputs, y) / reference_loss(name, y)
    return loss, prediction_error(outputs, y, loss=method.judge)


@partial(jax.jit, static_argnums=0)
def _outputs(activation: Activation, params: Params, x: jax.Array) -> jax.Array:
    return apply(params, x, activation)


def _empty(state: State) -> Any:
    lanes, layers = state.counts.shape
    shapes = {"added": (layers,), "neurons": (layers,)}
    shapes |= {"ncf": (layers + 1,), "relative_ncf": (layers + 1,)}
    return Info(*(jnp.zeros((0, lanes, *shapes.get(name, ()))) for name in Info._fields))


def crossover(x: Any) -> np.ndarray:
    """New inputs: every coordinate of a row is that of one of two rows of x, at random.

    They keep the law of every coordinate, and independent coordinates independent.
    """
    rng = np.random.default_rng(0)
    x = np.asarray(x)
    other = x[rng.permutation(len(x))]
    return np.where(rng.random(x.shape) < 0.5, x, other)


def _certify(
    task: Task, state: State, fitted: np.ndarray, lane: int, params: Params, result: int
) -> Certificate:
    activation, loss = task.method.activation, task.method.loss
    counts = np.asarray([weight.shape[0] for weight in params[:-1]])
    parameters = int(task.method.parameters(params, counts))
    # Samples that are there twice say nothing twice; a class is one statement, however it is coded.
    distinct = len(np.unique(np.asarray(task.x), axis=0))
    equations = distinct * (task.y.shape[1] if loss == "square" else 1)
    agreement = validation = float("nan")
    others = [i for i in fitted if i != lane]
    if others and result == Stop.FITTED:
        probes = jnp.asarray(crossover(task.x), task.x.dtype)
        one = _outputs(activation, params, probes)
        other = _outputs(
            activation, _given(task, tuple(w[others[0]] for w in state.params)), probes
        )
        judge = task.method.judge
        if judge == "square":
            agreement = float(jnp.sum((one - other) ** 2) / jnp.sum((one - jnp.mean(one, 0)) ** 2))
        else:
            labels = [h > 0 if judge == "logistic" else jnp.argmax(h, 1) for h in (one, other)]
            agreement = float(jnp.mean(labels[0] != labels[1]))
    if task.validation is not None:
        x, y = task.validation
        validation = float(_loss_and_error(task.method, params, x, y)[1])
    share = parameters / equations
    good, against = [], []
    if result == Stop.CHANCE:
        good.append("what is left is explained no better than shuffled residuals are")
    elif result != Stop.FITTED:
        against.append("not fitted")
    few = f"{share:.2g} parameters for each equation"
    if share <= MOST_PARAMETERS:
        good.append(few)
    else:
        against.append(f"{few}: near interpolation")
    if agreement <= AGREEMENT:
        good.append(f"another lane agrees on new inputs to {agreement:.1g}")
    elif agreement > AGREEMENT:
        against.append(f"another fitted lane differs by {agreement:.1g} on new inputs")
    held = f"error {validation:.1g} on validation data"
    if task.validation is None:
        certified = not against
    else:
        certified = validation <= AGREEMENT
        (good if certified else against).append(held)
    return Certificate(certified, (*good, *against), parameters, equations, agreement, validation)


def _warnings(task: Task, history: Info, lane: int, certificate: Certificate) -> tuple[str, ...]:
    """Break conditions that were met in the lane that is returned."""
    said: list[str] = []
    if not len(history.live):
        return ()
    # Of the last attempt alone.
    live = history.live[:, lane] & (history.attempt[:, lane] == history.attempt[:, lane].max())
    at = {name: getattr(history, name)[live, lane] for name in Info._fields}
    rises = np.flatnonzero(at["inserted"] > at["before"])
    if len(rises):
        said.append(f"the loss rose on insertion in rounds {(rises + 1).tolist()}: a smaller delta")
    came = np.sum(at["added"], axis=1) > 0
    still = np.flatnonzero(came & (at["moved"] < 2) & (at["loss"] > 0.999 * at["before"]))
    if len(still):
        said.append(
            f"new neurons of rounds {(still + 1).tolist()} stayed near the saddle: delta too "
            "small, or too few steps"
        )
    if at["imbalance"][-1] > UNBALANCED:
        said.append(
            f"unbalanced neurons: a norm ratio is a factor {np.exp(at['imbalance'][-1]):.2g} off "
            "that of a KKT point (balance=True rescales them)"
        )
    weighed = task.problem_is_weighed and task.method.judge == "square"
    if weighed and at["error"][-1] > 4 * max(at["loss"][-1], task.config.tol):
        said.append(
            f"the error on the data as given, {at['error'][-1]:.2g}, is far above that of the "
            f"weighed samples, {at['loss'][-1]:.2g}: for noisy targets, normalise=False"
        )
    if np.max(at["relative_ncf"][-1]) <= 10 * task.config.ncf_tol:
        said.append("the NCF is near zero")
    if certificate.parameters > MOST_PARAMETERS * certificate.equations:
        said.append(
            f"{certificate.parameters} parameters for {certificate.equations} equations: a small "
            "training error says little"
        )
    return tuple(said)
