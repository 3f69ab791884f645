"""Section 4 of neuron pursuit: neurons that are zero at a saddle stay small until the next saddle.

arXiv 2509.12154, section 4; observed there, not proved. A network with `x^p`, p >= 2, is started at
norm delta, and gradient flow followed from saddle to saddle. Put to the test, over many seeds, on
every escape that leads to another saddle or to a minimum:

1. Exactly one neuron is new at the next saddle (in a deeper network from the origin, one in each
   hidden layer).
2. Every other neuron that was zero lands at the next saddle at no more than a given factor times
   its norm at departure. In the limit of small delta it should not grow at all: small neurons move
   at a speed of order `delta^(q-1)`, and the fall from a saddle to the next takes a time that does
   not grow as delta falls.
3. Its norm on landing is of the order of delta: the same multiple of it at both deltas, to that
   factor.

Counted are shares, of the escapes and of the runs (one holds if it reaches a minimum with 1 and 2
so at every escape), since the claim is for generic starts: two neurons that climb to KKT points of
like values may come out of a wait at norms as close as one likes. For three layers delta can only
be moderate, their first wait being of order `delta^-(D-2)` (D = 7 for x^2), and the share is less;
at delta = 1e-2 others grew by up to 1.38, in 3 of 19 escapes by more than 1.1.

Controls: linear networks (p = 1, q = 2), where the neurons grow together, and a start that is not
small.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np

import nsjax
from nsjax import data, diagnostics, dynamics, networks
from theory_checks.verdict import Row, Verdict


@dataclass(frozen=True)
class Config:
    """Settings of the check of kept sparsity."""

    seeds: int = 12
    """Number of seeds of data, teacher and start, for two layers."""
    deep_seeds: int = 4
    """The same for three, whose deltas can only be moderate."""
    first: int = 0
    """The first of them."""
    large: float = 0.5
    """The start that is not small, as a share of the threshold."""
    samples: int = 60
    """Number of samples n."""
    dimension: int = 4
    """Input dimension d."""
    width: int = 6
    """Hidden neurons."""
    teacher: int = 3
    """Hidden neurons of the teacher."""
    factor: float = 1.1
    """Growth from departure to landing that still counts as staying small."""
    pairs: int = 5
    """Escapes in the same order at both deltas that it takes to compare their sizes."""


class Network(NamedTuple):
    """One network of the check.

    Attributes:
        depth: number of layers.
        p, slope: of the activation.
        outputs: number of outputs.
        deltas: norms of the start.
        share: of the escapes for which a claim has to be so.
        runs: share of the runs that have to reach a minimum with claims 1 and 2 so at every escape.
    """

    depth: int
    p: int
    slope: float
    outputs: int
    deltas: tuple[float, float] = (1e-4, 1e-8)
    share: float = 0.9
    runs: float = 0.75

    @property
    def name(self) -> str:
        """In short."""
        return f"L={self.depth}, p={self.p}, a={self.slope:g}, c={self.outputs}"


NETWORKS = (
    Network(2, 2, 1.0, 1),
    Network(2, 2, 0.5, 1),
    Network(2, 2, 1.0, 2),
    Network(2, 3, 1.0, 1),
    Network(3, 2, 1.0, 1, (3e-3, 1e-3), 0.75, 0.5),
)
LINEAR = Network(2, 1, 1.0, 3)
"""The linear network of the control."""


class _Escape(NamedTuple):
    """What one escape did to the neurons that took no part in it.

    Attributes:
        expected: whether it added one neuron, at the origin of a deeper network one in each layer.
        waited, growth: growth of the others over the wait, and from departure to landing.
        size: of the largest other on landing, in units of delta.
        gap: smallest active neuron over the largest other, on landing.
        escaping: which neurons crossed the threshold.
    """

    expected: bool
    waited: float
    growth: float
    size: float
    gap: float
    escaping: tuple[tuple[int, int], ...]


class _Runs(NamedTuple):
    """The escapes of every seed at one delta, why each cascade ended, and how many neurons died."""

    escapes: list[list[_Escape]]
    ends: list[dynamics.Stop]
    lost: int

    @property
    def unfinished(self) -> int:
        """Cascades that reached no minimum."""
        return sum(end is not dynamics.Stop.MINIMUM for end in self.ends)


def check(config: Config) -> Verdict:
    """Follow cascades from small starts, and from one that is not small."""
    rows: list[Row] = []
    for network in NETWORKS:
        rows += _rows(config, network)
    statement = "Neurons that are zero at a saddle stay small after the escape until the next one"
    hypotheses = (
        "p >= 2, a generic start of norm delta",
        "escapes counted: those that lead to a saddle or a minimum",
    )
    return Verdict.of(statement, hypotheses, rows, _controls(config))


def _rows(config: Config, network: Network) -> list[Row]:
    runs = [_follow(config, network, delta) for delta in network.deltas]
    rows = []
    for delta, found in zip(network.deltas, runs, strict=True):
        rows += _claims(config, network, f"{network.name}, delta {delta:.0e}", found)
    pairs = [
        (one.size, other.size)
        for small, smaller in zip(runs[0].escapes, runs[1].escapes, strict=True)
        if [e.escaping for e in small] == [e.escaping for e in smaller]
        for one, other in zip(small, smaller, strict=True)
        if np.isfinite(one.size)
    ]
    ratios = np.array([other / one for one, other in pairs])
    same = np.abs(np.log(ratios)) <= np.log(config.factor)
    rows.append(
        Row.at_least(
            f"{network.name}: size on landing / delta the same at both, within {config.factor:g}",
            f"{len(pairs)} escapes in the same order at both; median ratio {_median(ratios):.3f}",
            np.mean(same) if len(pairs) else np.nan,
            network.share,
            met=len(pairs) >= config.pairs,
        )
    )
    return rows


def _claims(config: Config, network: Network, name: str, found: _Runs) -> list[Row]:
    escapes = [escape for run in found.escapes for escape in run]
    others = [escape for escape in escapes if np.isfinite(escape.growth)]
    growth = np.array([escape.growth for escape in others])
    waited = np.array([escape.waited for escape in others])
    gaps = np.array([escape.gap for escape in others])
    alone = np.array([escape.expected for escape in escapes])
    # Without others nothing grows.
    kept = [
        bool(run) and all(e.expected and not e.growth > config.factor for e in run)
        for run in found.escapes
    ]
    held = [
        each and end is dynamics.Stop.MINIMUM for each, end in zip(kept, found.ends, strict=True)
    ]
    at = f"{len(escapes)} escapes, {found.unfinished} runs without end, {found.lost} neurons lost"
    sizes = (
        f"growth median {_median(growth):.4f}, largest {np.max(growth, initial=0):.3g}; over the "
        f"wait {_median(waited):.3g}, {np.max(waited, initial=0):.3g}; active / other at least "
        f"{np.min(gaps, initial=np.inf):.2g}"
    )
    return [
        Row.at_least(
            f"{name}: share of escapes with exactly one new neuron",
            at,
            np.mean(alone) if len(alone) else np.nan,
            network.share,
        ),
        Row.at_least(
            f"{name}: share where the others grow at most {config.factor:g}-fold",
            sizes,
            np.mean(growth <= config.factor) if len(growth) else np.nan,
            network.share,
        ),
        Row.at_least(
            f"{name}: share of runs that reach a minimum and hold at every escape",
            f"{len(held)} runs, {sum(kept)} hold at every escape, {found.unfinished} without end",
            np.mean(held) if held else np.nan,
            network.runs,
        ),
    ]


def _follow(config: Config, network: Network, delta: float, *, share: bool = False) -> _Runs:
    """Cascades of every seed; `delta` counts in the threshold where it is a `share` of it."""
    escapes, ends, lost = [], [], 0
    seeds = config.seeds if network.depth == 2 else config.deep_seeds
    for seed in range(config.first, config.first + seeds):
        params, x, y, activation = _problem(config, network, seed)
        size = delta
        if share:
            small = dynamics.cascade(params, x, y, activation, delta=1e-4, max_visits=1)
            size = delta * small.threshold
        found = dynamics.cascade(params, x, y, activation, delta=size, snapshots=True)
        ends.append(dynamics.Stop(int(found.result)))
        visits = [v for v in found.visits if v.saddle.stop is not dynamics.Stop.NOT_A_SADDLE]
        kept = diagnostics.kept_sparsity(found, visits)
        lost += int(np.sum(kept.lost))
        escapes.append(_escapes(visits, kept, size))
    return _Runs(escapes, ends, lost)


def _escapes(
    visits: Sequence[dynamics.Visit], kept: diagnostics.KeptSparsity, delta: float
) -> list[_Escape]:
    found = []
    for i, new in enumerate(kept.new):
        origin = not any(flags.any() for flags in visits[i].active)
        expected = bool(np.all(new == 1)) if origin else bool(np.sum(new) == 1)
        found.append(
            _Escape(
                expected,
                float(kept.departure[i] / kept.arrival[i]),
                float(kept.growth[i]),
                float(kept.landing[i] / delta),
                float(kept.active[i] / kept.landing[i]),
                visits[i].escaping,
            )
        )
    return found


def _problem(config: Config, network: Network, seed: int) -> tuple[Any, ...]:
    """Direction of the start, data, and activation."""
    depth, p, slope, outputs, *_ = network
    keys = jax.random.split(jax.random.key(seed), 3)
    activation = nsjax.PolyLeakyReLU(p, slope)
    x = data.sphere(keys[0], config.samples, config.dimension)
    hidden = (config.teacher,) * (depth - 1)
    y = networks.teacher_targets(keys[1], x, activation, hidden=hidden, outputs=outputs)
    widths = (config.dimension, *(config.width,) * (depth - 1), outputs)
    return networks.init(keys[2], widths), x, y, activation


def _median(values: np.ndarray) -> float:
    return float(np.median(values)) if len(values) else float("nan")


def _controls(config: Config) -> list[Row]:
    linear = _follow(config, LINEAR, LINEAR.deltas[0])
    large = _follow(config, NETWORKS[0], config.large, share=True)
    name = f"control: {NETWORKS[0].name}, delta {config.large:g} of the threshold"
    return [
        _claims(config, LINEAR, f"control: {LINEAR.name}, delta {LINEAR.deltas[0]:.0e}", linear)[0],
        _claims(config, NETWORKS[0], name, large)[1],
    ]
