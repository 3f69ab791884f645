"""The stages of a search by gradient training, for all seeds at once: fit, prune, fit again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from nsjax import _mesh
from nsjax.networks import cp
from nsjax.networks.cp import CPNeuron
from nsjax.neuronseek import epochs, penalties, signatures, terms, thresholds
from nsjax.neuronseek.canonical import unit_factors
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
        mesh: Mesh | None,
    ) -> None:
        self.config, self.loss, self.on_epochs, self.mesh = config, loss, on_epochs, mesh
        pairs = {"train": (x, y), "validation": validation, "test": test}
        self.dtype = x.dtype
        self.pairs: dict[str, Any] = {
            name: pair and tuple(np.asarray(each, np.float64) for each in pair)
            for name, pair in pairs.items()
        }
        dtype = jnp.dtype(config.dtype or x.dtype)
        self.program = penalties.Program(
            template=config.template,
            # The two are trained alike.
            rule="paper" if config.rule == "contribution" else config.rule,
            grouping=config.goes,
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
        self.data = _mesh.samples_placed(mesh, "(x, y)", self._prepare(dtype))
        self.labels = terms.labels(self.program.shape)
        self.keep = np.ones((len(keys), len(self.labels)), bool)
        self.states = epochs.start(self.program, keys, self.data)
        self.weights = np.array(self.states.weights)
        self.strengths = self._strengths(config.epochs, penalised=True)
        self.records: list[epochs.Records] = []
        self.actions: list[list[str]] = [[] for _ in keys]
        self.pruned: list[str] = [""] * len(keys)
        self.negative: list[str | None] = [None] * len(keys)
        self.evaluations = 0

    def _prepare(self, dtype: Any) -> penalties.Data:
        x, y = self.pairs["train"]
        inner = (y - self.offset) / self.size
        held_x, held_y = self.pairs["validation"] or (x[:0], y[:0])
        held = (held_y - self.offset) / self.size
        # Of a held-out constant the variance is 0: its loss then counts as it is.
        held_reference = float(reference_loss(self.loss, held)) if len(held) else 1.0
        values = (
            x,
            inner,
            reference_loss(self.loss, inner),
            held_x,
            held,
            held_reference or 1.0,
            x[:: -(-len(x) // _PROBE)],
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

    def _chunk(self) -> int:
        """Epochs of one call, the same in all stages: few calls, and few epochs too many."""
        config = self.config
        stages = [config.epochs, config.refit_epochs]

        def cost(length: int) -> int:
            calls = [-(-count // length) for count in stages]
            return sum(calls) * length + sum(calls)

        return min(range(1, min(_CHUNK, max(stages)) + 1), key=cost)

    def train(self, count: int, what: str, *, penalised: bool) -> None:
        """Train all seeds for so many epochs; after the first time, as a refit."""
        if count == 0:
            return
        if self.records:
            rows = [self._flat(i) for i in range(len(self.keep))]
            self.states = epochs.fresh(np.array(rows, self.program.dtype), self.states.key)
        self.strengths = self._strengths(count, penalised=penalised)
        # What goes beyond the last epoch changes nothing, and is cut off.
        mask, length, parts = jnp.asarray(self.keep, self.data.x.dtype), self._chunk(), []
        for done in range(length, count + length, length):
            self.states, mask = _mesh.members_placed(self.mesh, (self.states, mask))
            self.states, records = epochs.advance(
                self.program,
                length,
                self.states,
                mask,
                self.data,
                self.strengths,
                mesh=self.mesh,
            )
            parts.append(jax.tree.map(np.asarray, records))
            if self.on_epochs is not None:
                last = min(done, count)
                self.on_epochs(last, parts[-1].train[:, (last - 1) % length])
        self._settle()
        self.records.append(
            jax.tree.map(lambda *each: np.concatenate(each, axis=1)[:, :count], *parts)
        )
        for actions, pruned in zip(self.actions, self.pruned, strict=True):
            actions += [f"{pruned}{what} 1", *(f"{what} {i + 1}" for i in range(1, count))]
        self.evaluations += count * self.program.steps(len(self.data.x))

    def _parameters(self, seed: int) -> penalties.Parameters:
        return self.program.layout.tree(self.weights[seed])

    def _settle(self) -> None:
        """Take the weights that there are, or those before if their last step broke them."""
        self.weights = np.array(self.states.weights)
        for seed, safe in enumerate(np.asarray(self.states.safe)):
            with np.errstate(all="ignore"):
                outputs = terms.outputs(self._neuron(seed), np.asarray(self.data.probe))
                whole = np.all(np.isfinite(outputs.astype(self.program.dtype)))
            if not whole:
                self.weights[seed] = safe

    def _neuron(self, seed: int) -> CPNeuron:
        """One seed's neuron as it is, gates and mask in its coefficients, in double precision."""
        parameters = self._parameters(seed)
        neuron = penalties.gated(
            self.program, parameters, self.keep[seed].astype(float), self.strengths, None
        )
        return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), neuron)

    def _flat(self, seed: int) -> np.ndarray:
        gates = np.ones(self.program.gates)
        return epochs.flat(penalties.Parameters(self._neuron(seed), gates))

    def prune(self) -> None:
        """Take out terms by the rule."""
        for i, before in enumerate(self.keep.copy()):
            self.keep[i] &= self._kept(i)
            lost = before & ~self.keep[i]
            gone = [label for label, out in zip(self.labels, lost, strict=True) if out]
            self.pruned[i] = f"pruned {', '.join(gone)}; " if gone else ""

    def _kept(self, seed: int) -> np.ndarray:
        rule, groups = self.config.rule, self.program.groups
        gates = self._parameters(seed).gates
        if rule == "hard_concrete":
            return np.asarray(thresholds.gate_open(gates) > 0.5)[groups]
        neuron = self._neuron(seed)
        if rule == "group_lasso":
            return thresholds.grouped(terms.block_norms(neuron)[0], groups)[groups] > 0
        if rule == "paper" and self.config.gauge == "free":
            values = np.abs(np.asarray(gates, np.float64))
        elif rule == "paper":
            values = thresholds.grouped(terms.sizes(_gauge_fixed(neuron)), groups)
        else:
            each = terms.contributions(neuron, np.asarray(self.data.x))
            values = thresholds.grouped(each, groups)
        present = np.bincount(groups, weights=self.keep[seed]) > 0
        statistic = self.config.threshold
        if statistic is None:
            statistic = 0.05 if rule == "stridge" else "mean_minus_std"
        kept = np.zeros(len(values), bool)
        kept[present], cut = thresholds.above(values[present], statistic)
        self.negative[seed] = signatures.negative_threshold(cut, int(present.sum()))
        return kept[groups]

    def results(self) -> list[Trained]:
        """What every seed gave."""
        return [self._result(seed) for seed in range(len(self.keep))]

    def _result(self, seed: int) -> Trained:
        neuron = terms.selected(_gauge_fixed(self._neuron(seed)), self.keep[seed])
        neuron = terms.scaled(neuron, np.full(len(terms.labels(neuron)), self.size))
        neuron = neuron._replace(bias=neuron.bias * self.size + self.offset)
        x, y = self.pairs["train"]
        losses, held, shares = (
            np.concatenate([part[seed] for part in parts])
            for parts in zip(*self.records, strict=True)
        )
        # Each stage by itself: pruning may raise the loss.
        ends = np.cumsum([part.train.shape[1] for part in self.records])[:-1]
        broken = next(filter(None, map(signatures.unstable, np.split(losses, ends))), None)
        nothing = signatures.everything_pruned(neuron)
        linear = None if nothing else signatures.near_linear(x, terms.outputs(neuron, x).T)
        count = cp.parameters(self.program.shape)
        few = signatures.few_samples(count, len(x), x.shape[1], y.shape[1])
        dtype = self.dtype
        return Trained(
            jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), neuron),
            History(
                self.labels,
                shares,
                losses,
                held,
                np.full(len(held), np.nan),
                tuple(self.actions[seed]),
            ),
            UNSTABLE if broken else PRUNED if nothing else TRAINED,
            self._error(neuron, "train"),
            self._error(neuron, "validation"),
            self._error(neuron, "test"),
            terms.free_numbers(neuron),
            signatures.collect(broken, nothing, self.negative[seed], linear, few),
            self.evaluations,
        )

    def _error(self, neuron: CPNeuron, name: str) -> float:
        if self.pairs[name] is None:
            return float("nan")
        x, y = self.pairs[name]
        return float(prediction_error(terms.outputs(neuron, x).T, y, loss=self.loss))


def _gauge_fixed(neuron: CPNeuron) -> CPNeuron:
    """`cp.normalize` on the host."""
    bases = neuron.bases
    if bases:
        alone = cp.normalize(CPNeuron(neuron.bias, {}, {}, bases)).bases
        bases = jax.tree.map(np.asarray, alone)
    interactions = {n: unit_factors(each, 0.0) for n, each in neuron.interactions.items()}
    return neuron._replace(interactions=interactions, bases=bases)
