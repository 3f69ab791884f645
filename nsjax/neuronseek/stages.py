"""The stages of a search by gradient training, for all seeds at once: fit, prune, fit again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsjax.networks import cp
from nsjax.networks.cp import CPNeuron
from nsjax.neuronseek import epochs, penalties, signatures, terms, thresholds
from nsjax.neuronseek.results import History
from nsjax.pursuit.problem import prediction_error, reference_loss

if TYPE_CHECKING:
    from nsjax.neuronseek.training import Training

_CHUNK = 50
"""Most epochs of one call of the compiled program."""
_PROBE = 512
"""Most samples that the shares of terms are measured on after every epoch."""
TRAINED, UNSTABLE, PRUNED = 3, 4, 5
"""Codes of `results.MESSAGES`."""


class Trained(NamedTuple):
    """What one key gave: the parts of a `Search`, all but the formula.

    Attributes:
        neuron: pruned, gauge fixed, in the units of the data.
        history: a row for every epoch, those of refits included.
        result: int code, a key of `results.MESSAGES`.
        train_error, validation_error, test_error: as in `Search`.
        parameters: free numbers, without those that the gauge fixes.
        warnings: failure signatures with what to try.
        evaluations: gradients of minibatches.
    """

    neuron: CPNeuron
    history: History
    result: int
    train_error: float
    validation_error: float
    test_error: float
    parameters: int
    warnings: tuple[str, ...]
    evaluations: int


class Stages:
    """All seeds of one search, between calls of the compiled programs."""

    def __init__(
        self,
        config: Training,
        keys: jax.Array,
        x: jax.Array,
        y: jax.Array,
        loss: str,
        validation: Any,
        test: Any,
        on_epochs: Callable[[int, np.ndarray], None] | None,
    ) -> None:
        self.config, self.loss, self.on_epochs = config, loss, on_epochs
        self.pairs = {"train": (x, y), "validation": validation, "test": test}
        dtype = jnp.dtype(config.dtype or x.dtype)
        self.program = penalties.Program(
            template=config.template,
            rule=config.rule,
            grouping=config.grouping,
            loss=loss,
            inputs=x.shape[1],
            outputs=y.shape[1],
            batch=min(config.batch or len(x), len(x)),
            dtype=str(dtype),
        )
        values = np.asarray(y, np.float64)
        self.offset, self.size = np.zeros(y.shape[1]), 1.0
        if loss == "square":
            self.offset = values.mean(axis=0)
            self.size = float(np.sqrt(np.sum(values.var(axis=0))))
        self.data = self._prepare(x, y, validation, dtype)
        self.labels = terms.labels(self.program.shape)
        self.keep = np.ones((len(keys), len(self.labels)), bool)
        self.states = epochs.start(self.program, keys, self.data)
        self.strengths = self._strengths(config.epochs, penalised=True)
        self.records: list[epochs.Records] = []
        self.actions: list[list[str]] = [[] for _ in keys]
        self.pruned: list[str] = [""] * len(keys)
        self.negative: list[str | None] = [None] * len(keys)
        self.evaluations = 0

    def _prepare(self, x: jax.Array, y: jax.Array, held: Any, dtype: Any) -> penalties.Data:
        def units(targets: Any) -> np.ndarray:
            return (np.asarray(targets, np.float64) - self.offset) / self.size

        inner = units(y)
        held_x, held_y = (x[:0], inner[:0]) if held is None else (held[0], units(held[1]))
        # Of a held-out constant the variance is 0: its loss then counts as it is.
        held_reference = float(reference_loss(self.loss, held_y)) if len(held_y) else 1.0
        probe = np.asarray(x)[:: -(-len(x) // _PROBE)]
        values = (
            x,
            inner,
            reference_loss(self.loss, inner),
            held_x,
            held_y,
            held_reference or 1.0,
            probe,
            np.sum(inner.var(axis=0)),
        )
        return penalties.Data(*(jnp.asarray(np.asarray(value, dtype)) for value in values))

    def _strengths(self, count: int, *, penalised: bool) -> penalties.Strengths:
        config, weight = self.config, float(penalised)
        numbers = (
            config.learning_rate,
            np.inf if config.clip is None else config.clip,
            config.lam_c * weight,
            config.lam_u * weight,
            config.penalty * weight,
            count * self.program.steps(len(self.data.x)),
            weight,
        )
        return penalties.Strengths(*(jnp.asarray(each, self.data.x.dtype) for each in numbers))

    def train(self, count: int, what: str, *, penalised: bool) -> None:
        """Train all seeds for so many epochs; after the first time, as a refit."""
        if count == 0:
            return
        mask = jnp.asarray(self.keep, self.data.x.dtype)
        if self.records:
            self.states = epochs.restart(self.program, self.states, mask, self.strengths)
        self.strengths = self._strengths(count, penalised=penalised)
        # Chunks of one length; what goes beyond changes nothing, and is cut off.
        chunks = -(-count // _CHUNK)
        length = -(-count // chunks)
        parts = []
        for chunk in range(chunks):
            self.states, records = epochs.advance(
                self.program, length, self.states, mask, self.data, self.strengths
            )
            parts.append(jax.tree.map(np.asarray, records))
            if self.on_epochs is not None:
                done = min((chunk + 1) * length, count)
                self.on_epochs(done, parts[-1].train[:, (done - 1) % length])
        self.records.append(
            jax.tree.map(lambda *each: np.concatenate(each, axis=1)[:, :count], *parts)
        )
        for actions, pruned in zip(self.actions, self.pruned, strict=True):
            actions += [f"{pruned}{what} 1", *(f"{what} {i + 1}" for i in range(1, count))]
        self.evaluations += count * self.program.steps(len(self.data.x))

    def prune(self) -> None:
        """Take out terms by the rule."""
        judged = self.judge()
        before = self.keep.copy()
        for i in range(len(before)):
            mine = epochs.Judged(*jax.tree.map(lambda a, i=i: a[i], tuple(judged)))
            self.keep[i] &= self._kept(mine, i)
        for i, lost in enumerate(before & ~self.keep):
            gone = [label for label, out in zip(self.labels, lost, strict=True) if out]
            self.pruned[i] = f"pruned {', '.join(gone)}; " if gone else ""

    def judge(self) -> epochs.Judged:
        """All seeds' terms as they are, on the host."""
        mask = jnp.asarray(self.keep, self.data.x.dtype)
        judged = epochs.judge(self.program, self.states.weights, mask, self.data, self.strengths)
        return jax.tree.map(np.asarray, judged)

    def _kept(self, judged: epochs.Judged, seed: int) -> np.ndarray:
        rule, groups, alive = self.config.rule, self.program.groups, self.keep[seed]
        if rule == "hard_concrete":
            return np.asarray(thresholds.gate_open(judged.gates) > 0.5)[groups]
        if rule == "group_lasso":
            values = thresholds.grouped(judged.contributions, groups)
            return (values > 0)[groups]
        if rule == "paper" and self.config.gauge == "free":
            values = np.abs(np.asarray(judged.gates, np.float64))
        elif rule == "paper":
            values = thresholds.grouped(terms.sizes(judged.neuron), groups)
        else:
            values = thresholds.grouped(judged.contributions, groups)
        present = np.bincount(groups, weights=alive) > 0
        statistic = self.config.threshold
        if statistic is None:
            statistic = 0.05 if rule == "stridge" else "mean_minus_std"
        kept = np.zeros(len(values), bool)
        kept[present], cut = thresholds.above(values[present], statistic)
        self.negative[seed] = signatures.negative_threshold(cut, int(present.sum()))
        return kept[groups]

    def results(self) -> list[Trained]:
        """What every seed gave."""
        judged = self.judge()
        records = jax.tree.map(lambda *each: np.concatenate(each, axis=1), *self.records)
        x, y = (np.asarray(each) for each in self.pairs["train"])
        dtype = self.pairs["train"][0].dtype
        parameters = cp.parameters(self.program.shape)
        found = []
        for i, keep in enumerate(self.keep):
            neuron = jax.tree.map(lambda a, i=i: np.asarray(a[i], np.float64), judged.neuron)
            neuron = terms.scaled(neuron, np.full(len(keep), self.size))
            neuron = neuron._replace(bias=neuron.bias * self.size + self.offset)
            neuron = jax.tree.map(lambda a: jnp.asarray(a, dtype), terms.selected(neuron, keep))
            losses = records.train[i]
            first = signatures.unstable(losses[: self.config.epochs])
            broken = first or signatures.unstable(losses[self.config.epochs :])
            nothing = signatures.everything_pruned(neuron)
            errors = {name: self._error(neuron, name) for name in self.pairs}
            found.append(
                Trained(
                    neuron,
                    History(
                        self.labels,
                        records.shares[i],
                        losses,
                        records.validation[i],
                        tuple(self.actions[i]),
                    ),
                    UNSTABLE if broken else PRUNED if nothing else TRAINED,
                    errors["train"],
                    errors["validation"],
                    errors["test"],
                    terms.free_numbers(neuron),
                    signatures.collect(
                        broken,
                        nothing,
                        self.negative[i],
                        None if nothing else signatures.near_linear(x, judged.outputs[i]),
                        signatures.few_samples(parameters, len(x), x.shape[1], y.shape[1]),
                    ),
                    self.evaluations,
                )
            )
        return found

    def _error(self, neuron: CPNeuron, name: str) -> float:
        pair = self.pairs[name]
        if pair is None:
            return float("nan")
        return float(prediction_error(self.loss, terms.outputs(neuron, pair[0]).T, pair[1]))
