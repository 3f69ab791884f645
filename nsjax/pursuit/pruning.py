"""Pruning: neurons are taken out of a fitted network as long as it fits again after a refit."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from nsjax.networks.homogeneous import Params
from nsjax.networks.products import by_factors
from nsjax.pursuit.refitting import Refitted, refit
from nsjax.pursuit.state import State, trim
from nsjax.pursuit.task import Task


def prune(task: Task, state: State, lane: int, most: float | None = None) -> Params:
    """The network of a lane with as few neurons as still fit, in working units.

    It fits as the task says, or with `most`, if its relative loss is no larger.

    In one batch as wide as there are lanes, networks without the k neurons that do the least harm,
    k = 1, 2, ...; the smallest that fits after a refit goes on. When none does, single neurons are
    tried. The refit is the compiled one of the rounds. No layer loses its last neuron.
    """
    best = jax.tree.map(lambda leaf: np.asarray(leaf[lane]), state.params)
    used = [np.arange(best[0].shape[0]) < int(k) for k in state.counts[lane]]
    single = False
    while True:
        order = _by_harm(task, best, used, len(state.loss))
        if not order:
            break
        sets = [[place] for place in order]
        if not single:
            sets = _nested(order, used)
        found = _smallest_fit(task, best, sets, len(state.loss), most)
        if found is None:
            if single:
                break
            single = True
            continue
        removed, best = found
        single = False
        for layer, j in removed:
            used[layer][j] = False
    # The used neurons first again.
    for layer, flags in enumerate(used):
        front = np.argsort(~flags, kind="stable")
        weights = list(best)
        weights[layer] = weights[layer][front]
        after = _outgoing(weights, layer)[..., front]
        weights[layer + 1] = after.reshape(weights[layer + 1].shape)
        best = tuple(weights)
    counts = tuple(int(flags.sum()) for flags in used)
    return trim(best, counts, task.method.factors)


Places = list[tuple[int, int]]


def _by_harm(task: Task, params: Params, used: list[np.ndarray], width: int) -> Places:
    """Places (hidden layer, index) of the used neurons, the least missed first."""
    places = [
        (layer, int(j))
        for layer, flags in enumerate(used)
        if flags.sum() > 1
        for j in np.flatnonzero(flags)
    ]
    harm: list[float] = []
    for start in range(0, len(places), width):
        sets = [[place] for place in places[start : start + width]]
        harm += np.asarray(_refitted(task, params, sets, width, steps=0).loss)[: len(sets)].tolist()
    return [places[i] for i in np.argsort(harm)]


def _nested(order: Places, used: list[np.ndarray]) -> list[Places]:
    """The first k of `order`, for every k, but for the last neuron of a layer."""
    left = [int(flags.sum()) for flags in used]
    taken: Places = []
    sets = []
    for layer, j in order:
        if left[layer] > 1:
            left[layer] -= 1
            taken = [*taken, (layer, j)]
            sets.append(taken)
    return sets


def _smallest_fit(
    task: Task, params: Params, sets: list[Places], width: int, most: float | None
) -> tuple[Places, Any] | None:
    """The largest of the sets of neurons without which the network fits after a refit."""
    fitting: list[tuple[Places, Any]] = []
    for start in range(0, len(sets), width):
        chunk = sets[start : start + width]
        fits = _refitted(task, params, chunk, width, steps=task.config.steps)
        learned = np.asarray(task.limits.fits(fits.given.loss, fits.given.error))
        if most is not None:
            learned = np.asarray(fits.loss) <= most
        fitting += [
            (places, tuple(np.asarray(weight[i]) for weight in fits.params))
            for i, places in enumerate(chunk)
            if learned[i]
        ]
    return max(fitting, key=lambda fit: len(fit[0])) if fitting else None


def _refitted(
    task: Task, params: Params, sets: list[Places], width: int, *, steps: int
) -> Refitted:
    """The networks without each of the sets of neurons, refitted, in a batch of that width."""
    trials = [_without(params, places) for places in sets]
    trials += trials[:1] * (width - len(trials))
    stacked = tuple(np.stack(weights) for weights in zip(*trials, strict=True))
    live = np.arange(width) < len(sets)
    # It fitted before, so there is no need of a penalty.
    return refit(task.method, stacked, live, task.problem, task.given, 0.0, steps, stacked)


def _without(params: Params, places: Places) -> Any:
    """The same network with the neurons at `places` zero."""
    weights: list[Any] = [np.array(w) for w in params]
    for layer, j in places:
        weights[layer][j] = 0
        _outgoing(weights, layer)[..., j] = 0
    return tuple(weights)


def _outgoing(weights: list[Any], layer: int) -> Any:
    """The next layer's weights with the neurons of this one along the last axis, not copied."""
    after, width = weights[layer + 1], weights[layer].shape[0]
    return by_factors(after, after.shape[1] // width)
