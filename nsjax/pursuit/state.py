"""The state of a pursuit, what a round records, and networks padded with zero neurons."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsjax.networks.homogeneous import Params
from nsjax.networks.products import by_factors


class Stop(IntEnum):
    """Why a lane, or a pursuit, stopped. `MESSAGES[code]` is the reason in words."""

    GROWING = 0
    FITTED = 1
    MAX_NEURONS = 2
    MAX_ROUNDS = 3
    NO_POSITIVE_KKT_POINT = 4
    STALLED = 5
    NOT_FINITE = 6
    OTHER_FITTED = 7
    MAX_PARAMETERS = 8
    VALIDATION = 9
    CHANCE = 10


LEARNED = (Stop.FITTED, Stop.CHANCE)
"""Ends at which there is no more to learn."""


MESSAGES: dict[int, str] = {
    Stop.GROWING: "still growing",
    Stop.FITTED: "fitted: the training data are learned, as `until` and `tol` say",
    Stop.MAX_NEURONS: "the budget of neurons is spent (max_neurons)",
    Stop.MAX_ROUNDS: "the budget of rounds is spent (max_rounds)",
    Stop.NO_POSITIVE_KKT_POINT: (
        "no positive KKT point: the NCF of a new neuron is zero in every layer, to ncf_tol of its "
        "natural size, so no small neuron lowers the loss at leading order"
    ),
    Stop.STALLED: (
        "the loss is not falling: two rounds in a row gained less than `rescue`, the second with "
        "a chain of one neuron in every layer taken, or tried"
    ),
    Stop.NOT_FINITE: "the loss is not finite; smaller scales of insertion or a smaller step help",
    Stop.OTHER_FITTED: "another lane fitted first",
    Stop.MAX_PARAMETERS: (
        "as many parameters as max_share allows for these samples: a fit would say little"
    ),
    Stop.VALIDATION: "the validation error has not fallen for `patience` rounds",
    Stop.CHANCE: (
        "what is left looks like noise: no new neuron explains more of it than by chance (shuffles)"
    ),
}
"""What the codes of `Stop` mean, in words."""


Array = Any
"""An array of NumPy or JAX: what is small is kept on the host."""


class State(NamedTuple):
    """Where a pursuit is: arrays alone, B lanes along the first axis.

    Attributes:
        params: padded weights in working units, L arrays `(B, k_l, k_{l-1})`; unused neurons zero.
        counts: `(B, L - 1)` int32, used neurons of every hidden layer, which come first.
        loss: `(B,)` relative training loss that is minimised: of weighed samples if
            `config.normalise`.
        gain: `(B,)` share of the loss that the last round took away; 1 before the first.
        result: `(B,)` int32, see `Stop`.
        best: padded weights of the best round of all attempts, like `params`.
        best_counts: `(B, L - 1)`.
        best_error: `(B,)` error of that round: on the validation data, if there are any, else the
            relative training loss on the data as given.
        attempt_error: `(B,)` the lowest such error of this attempt.
        waited: `(B,)` int32, rounds since then.
        right: `(B,)` int32, neurons when no training sample was wrong for the first time in this
            attempt; 0 before.
        chance: `(B,)` share of the residual that the last round's neuron had to be above, see
            `Info`.
        new: weights that the last round added, before the refit: directions, padded like `params`.
        age: `(B,)` int32, rounds since the lane began, or began anew.
        attempt: `(B,)` int32, how often it has begun.
        round: rounds done in all.
        keys: `(B,)` PRNG keys, of which those of every round are made.
        fingerprint: checksum of the data, which a later round has to match.
    """

    params: Any
    counts: Array
    loss: Array
    gain: Array
    result: Array
    best: Any
    best_counts: Array
    best_error: Array
    attempt_error: Array
    waited: Array
    right: Array
    chance: Array
    new: Any
    age: Array
    attempt: Array
    round: Array
    keys: Array
    fingerprint: Array

    @property
    def capacity(self) -> int:
        """Neurons that each hidden layer has room for."""
        return self.params[0].shape[1]


class Info(NamedTuple):
    """What one round did in every lane; NaN, or 0, in those that had stopped before.

    In `Pursuit.history` each array has the rounds along a further first axis.

    Attributes:
        live: `(B,)` bool, whether the lane took part.
        attempt: `(B,)` which attempt of the lane this was, from 1 on.
        added: `(B, L - 1)` neurons added to every hidden layer.
        neurons: `(B, L - 1)` neurons after the round.
        kind: `(B,)` int32: hidden layer of the new neurons, -1 for all layers together, 0 for a
            chain.
        ncf: `(B, L)` the best NCF value of a chain and of every hidden layer, in working units,
            where the loss is relative.
        relative_ncf: `(B, L)` the same over what it would be if residual and responses lined up.
        kkt_residual: `(B,)` of the neuron taken; 0 of one on the axes, where each monomial is a KKT
            point.
        share: `(B,)` of the residual that it would explain by itself; 0 unless the settings ask.
        chance: `(B,)` what it had to be above, see `Config.shuffles`; where nothing was, and the
            lane ended, of the neuron that came closest.
        scale: `(B,)` norm of the new weights on insertion.
        descent: `(B,)` change of the loss on insertion over `-scale^q N*` (Lemma 12).
        before: `(B,)` relative training loss before the round.
        inserted: `(B,)` relative training loss after the insertion.
        loss: `(B,)` relative training loss that is minimised, after the refit.
        grad_norm: `(B,)` size of its gradient there.
        evaluations: `(B,)` of the loss and its gradient.
        imbalance: `(B,)` largest `|log(||w_in||^2 / (p ||w_out||^2))| / 2` over the neurons.
        moved: `(B,)` size of the new weights after the refit over that on insertion.
        error: `(B,)` relative error on the training data as given: mean squared error over the
            variance, or the share of wrong classes.
        validation, test: `(B,)` the same on those data; NaN without.
    """

    live: Array
    attempt: Array
    added: Array
    neurons: Array
    kind: Array
    ncf: Array
    relative_ncf: Array
    kkt_residual: Array
    share: Array
    chance: Array
    scale: Array
    descent: Array
    before: Array
    inserted: Array
    loss: Array
    grad_norm: Array
    evaluations: Array
    imbalance: Array
    moved: Array
    error: Array
    validation: Array
    test: Array


def pad(params: Params, capacity: int, factors: int = 1) -> Any:
    """Weights `(..., k_l, k_{l-1})` with zero neurons up to `capacity` in every hidden layer.

    Of products, hidden layers have so many `factors`, and room for each.
    """
    padded: list[Any] = []
    for i, weight in enumerate(params):
        rows = 0 if i == len(params) - 1 else capacity - weight.shape[-2]
        parts = by_factors(weight, factors if 0 < i < len(params) - 1 else 1)
        columns = 0 if i == 0 else capacity - parts.shape[-1]
        widths = [(0, 0)] * (weight.ndim - 2) + [(0, rows), (0, 0), (0, columns)]
        wider = (jnp if isinstance(weight, jax.Array) else np).pad(parts, widths)
        padded.append(wider.reshape(*wider.shape[:-2], wider.shape[-2] * wider.shape[-1]))
    return tuple(padded)


def trim(params: Params, counts: tuple[int, ...], factors: int = 1) -> Params:
    """One network without its unused neurons; `factors` as in `pad`."""
    trimmed = []
    for i, weight in enumerate(params):
        rows = weight.shape[0] if i == len(params) - 1 else counts[i]
        parts = by_factors(weight, factors if 0 < i < len(params) - 1 else 1)
        columns = parts.shape[-1] if i == 0 else counts[i - 1]
        kept = parts[:rows, :, :columns]
        trimmed.append(kept.reshape(rows, kept.shape[1] * kept.shape[2]))
    return tuple(trimmed)
