"""Conservation: gradient flow keeps `||W_l[j,:]||^2 - p ||W_{l+1}[:,j]||^2` of every hidden neuron.

S. Du, W. Hu and J. Lee (NeurIPS 2018) for p = 1; neuron pursuit (arXiv 2509.12154) for any p. The
output does not change when a neuron's incoming weights grow by t and its outgoing ones by t^-p, so
that the flow is orthogonal to that direction, for any data, loss and start. An integrator keeps the
imbalance up to its error: the largest drift on the way, over the neuron's size
`||W_l[j,:]||^2 + p ||W_{l+1}[:,j]||^2`, is measured at two tolerances, and has to fall with them.
With weight decay `lambda/2 ||w||^2` the imbalance is not kept but falls as `exp(-2 lambda t)`.

Controls, which must drift: weight decay; gradient descent with a large step; an activation that is
not homogeneous.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import nsjax
from nsjax import data, diagnostics, dynamics, networks, objectives
from theory_checks.verdict import Row, Verdict


@dataclass(frozen=True)
class Config:
    """Settings of the check of conservation."""

    degrees: tuple[int, ...] = (1, 2, 3)
    """Degrees p of the activation."""
    depths: tuple[int, ...] = (2, 3)
    """Numbers of layers L."""
    slopes: tuple[float, ...] = (1.0, 0.5, 0.0, -1.0)
    """Slopes a of the activation."""
    losses: tuple[str, ...] = ("square", "logistic")
    """Losses, one after the other over the networks."""
    full: bool = False
    """Every slope and loss for every p and L; else one of each, so that each is met."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of data and starts."""
    rtols: tuple[float, float] = (1e-5, 1e-9)
    """Relative tolerances of the integrator, loose and tight."""
    allowed: float = 10
    """Drift allowed, in units of the tight tolerance."""
    horizon: float = 5.0
    """Time of the flow, over the number of samples."""
    max_steps: int = 20_000
    """Steps after which a flow is left: one slides along a kink (p = 1), or grows stiff."""
    decay: float = 0.1
    """Weight decay lambda, times the number of samples."""
    samples: int = 20
    """Number of samples n."""
    dimension: int = 4
    """Input dimension d."""
    hidden: int = 3
    """Neurons in each hidden layer."""


_FALL = "fall of the drift with the tolerance"
_MOVED = 0.01
"""Change of some neuron's size below which the flows of a network show nothing."""


_ENDS = {dynamics.Stop.HORIZON, dynamics.Stop.MAX_STEPS}


@dataclass(frozen=True)
class Lopsided:
    """`t^2 + t`, which is not homogeneous but says that it is of degree 2."""

    degree: int = 2

    def __call__(self, t: jax.Array) -> jax.Array:
        return t**2 + t


@dataclass(frozen=True)
class Decayed:
    """A loss with weight decay, `f + lambda/2 ||w||^2`."""

    loss: objectives.NetworkLoss
    decay: float

    def __call__(self, params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        return self.loss(params, x, y) + 0.5 * self.decay * sum(jnp.sum(w**2) for w in params)


def check(config: Config) -> Verdict:
    """Check the drift of all imbalances over p, L, slopes and losses."""
    rows: list[Row] = []
    for i, depth in enumerate(config.depths):
        for j, p in enumerate(config.degrees):
            pairs = [(a, loss) for a in config.slopes for loss in config.losses]
            if not config.full:
                k = i * len(config.degrees) + j
                pairs = [
                    (config.slopes[k % len(config.slopes)], config.losses[k % len(config.losses)])
                ]
            for slope, loss in pairs:
                rows += _network(config, nsjax.PolyLeakyReLU(p, slope), depth, loss)
    networks, falls = len(rows), [row for row in rows if row.claim.endswith(_FALL)]
    networks -= len(falls)
    if not falls:
        why = "no network drifts enough at the loose tolerance"
        rows.append(Row.at_least(f"any network: {_FALL}", why, np.nan, 1, met=False))
    rows.append(_decaying(config))
    hypotheses = (
        f"the flow moved: some neuron's size changed by more than {_MOVED:g} of it",
        "it ran to the horizon, or to max_steps, and no solver failed",
        f"the drift falls with the tolerance: tested on {len(falls)} of {networks} networks, the "
        "others' being below the bound at the loose one already",
    )
    statement = "Gradient flow conserves the imbalance of every hidden neuron"
    return Verdict.of(statement, hypotheses, rows, _controls(config))


def _problem(config: Config, depth: int, seed: int) -> tuple[Any, jax.Array, jax.Array]:
    """An unbalanced start; inputs on the sphere and random signs as targets."""
    x_key, y_key, w_key = jax.random.split(jax.random.key(seed), 3)
    x = data.sphere(x_key, config.samples, config.dimension) * config.dimension**0.5
    y = jnp.sign(jax.random.normal(y_key, (config.samples, 1)))
    widths = (config.dimension, *(config.hidden,) * (depth - 1), 1)
    return networks.init(w_key, widths), x, y


def _flow(
    config: Config, loss: Callable[..., jax.Array], depth: int, seed: int, rtol: float
) -> dynamics.Flow:
    params, x, y = _problem(config, depth, seed)
    return dynamics.gradient_flow(
        loss,
        params,
        args=(x, y),
        t1=config.horizon / config.samples,
        rtol=rtol,
        atol=1e-3 * rtol,
        saves=dynamics.Saves(count=50, decades=3, snapshots=True),
        max_steps=config.max_steps,
        method="explicit",
    )


def _drift(snapshots: Any, activation: Any) -> tuple[float, float]:
    """Largest change of an imbalance over its neuron's size, and largest change of a size."""
    drift, moved = 0.0, 0.0
    sizes = diagnostics.neuron_size(snapshots, activation)
    for off, size in zip(diagnostics.imbalance(snapshots, activation), sizes, strict=True):
        largest = np.max(np.asarray(size), axis=0)
        drift = max(drift, float(np.max(np.abs(np.asarray(off - off[0])) / largest)))
        moved = max(moved, float(np.max(np.abs(np.asarray(size - size[0])) / largest)))
    return drift, moved


def _network(config: Config, activation: nsjax.PolyLeakyReLU, depth: int, loss: str) -> list[Row]:
    drifts: dict[float, list[float]] = {rtol: [] for rtol in config.rtols}
    moves, stops = [], set()
    for seed in config.seeds:
        for rtol in config.rtols:
            model = objectives.NetworkLoss(activation, loss)
            flow = _flow(config, model, depth, seed, rtol)
            drift, moved = _drift(flow.snapshots, activation)
            drifts[rtol].append(drift)
            moves.append(moved)
            stops.add(int(flow.result))
    loose, tight = config.rtols
    name = f"p={activation.p}, L={depth}, a={activation.slope:g}, {loss}"
    hypothesis = f"sizes moved by {min(moves):.2g} to {max(moves):.2g}"
    met = max(moves) > _MOVED and stops <= _ENDS
    if stops != {dynamics.Stop.HORIZON}:
        hypothesis += f"; ended by {', '.join(dynamics.Stop(stop).name for stop in sorted(stops))}"
    allowed = config.allowed * tight
    fall = max(drifts[loose]) / max(*drifts[tight], np.finfo(float).eps)
    rows = [
        Row.at_most(
            f"{name}: drift / size at rtol {tight:g}",
            hypothesis,
            max(drifts[tight]),
            allowed,
            met=met,
        ),
    ]
    # Where both are as small as rounding there is nothing left to fall.
    if max(drifts[loose]) > allowed:
        claim = f"{name}, {loose:g} over {tight:g}: {_FALL}"
        rows.append(Row.at_least(claim, hypothesis, fall, (loose / tight) ** 0.5, met=met))
    return rows


def _decaying(config: Config) -> Row:
    """With weight decay the imbalance falls as `exp(-2 lambda t)`."""
    activation, decay = nsjax.PolyLeakyReLU(2, 0.5), config.decay * config.samples
    loss = Decayed(objectives.NetworkLoss(activation), decay)
    flow = _flow(config, loss, 3, config.seeds[0], config.rtols[1])
    times, worst = np.asarray(flow.ts)[:, None], 0.0
    offs = diagnostics.imbalance(flow.snapshots, activation)
    sizes = diagnostics.neuron_size(flow.snapshots, activation)
    for off, size in zip(offs, sizes, strict=True):
        predicted = np.asarray(off[0]) * np.exp(-2 * decay * times)
        error = np.abs(np.asarray(off) - predicted) / np.max(np.asarray(size), axis=0)
        worst = max(worst, float(np.max(error)))
    return Row.at_most(
        "weight decay: imbalance - exp(-2 lambda t) of it at the start, over size",
        f"p=2, L=3, lambda t to {decay * float(flow.ts[-1]):.2g}",
        worst,
        config.allowed * config.rtols[1],
        met=int(flow.result) in _ENDS,
    )


def _descent(config: Config, loss: Callable[..., jax.Array]) -> Any:
    """Snapshots of gradient descent with steps of a tenth of the inverse largest curvature."""
    params, x, y = _problem(config, 2, config.seeds[0])
    largest = diagnostics.hessian_spectrum(loss, params, args=(x, y)).largest
    step = jax.jit(
        lambda w: jax.tree.map(lambda a, g: a - 0.1 / largest * g, w, jax.grad(loss)(w, x, y))
    )
    snapshots = [params]
    for _ in range(50):
        snapshots.append(step(snapshots[-1]))
    return snapshots


def _controls(config: Config) -> list[Row]:
    square: Any = nsjax.PolyLeakyReLU(2, 0.5)
    lopsided: Any = Lopsided()
    seed, rtol = config.seeds[0], config.rtols[1]
    decayed = Decayed(objectives.NetworkLoss(square), config.decay * config.samples)
    cases = (
        ("weight decay", square, _flow(config, decayed, 2, seed, rtol).snapshots),
        ("large steps", square, _descent(config, objectives.NetworkLoss(square))),
        (
            "t^2 + t, not homogeneous",
            lopsided,
            _flow(config, objectives.NetworkLoss(lopsided), 2, seed, rtol).snapshots,
        ),
    )
    rows = []
    for name, activation, snapshots in cases:
        drift, moved = _drift(snapshots, activation)
        rows.append(
            Row.at_most(
                f"control: drift / size, {name}",
                f"p=2, L=2, sizes moved by {moved:.2g}",
                drift,
                config.allowed * rtol,
            )
        )
    return rows
