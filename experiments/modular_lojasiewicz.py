"""Modular addition: the Łojasiewicz constant at every round's end, and the path length it bounds.

Neuron pursuit (arXiv 2509.12154, section 5.2.2) grows a two-layer network with t^2 on the sum of
two numbers modulo m, square loss. After every round the network is brought to a critical point
(w_n, 0), and gradient flow is followed from there with the next KKT neurons inserted, to where it
comes to rest. At that point, over the active weights w_n alone, alpha and mu of the Łojasiewicz
inequality are measured twice, by the lower envelope of the gradient norm (Assumption 2) and by the
Hessian, whose kernel has to be that of the network's symmetries; then the flow's length stands
against the bound, and `||grad f|| / (f - f*)^alpha` is followed along the whole flow.

Envelopes take about a minute at 60 weights, dense Hessians a thousand weights or some more; beyond,
f* is estimated, and there is a length and a pointwise constant but no mu: a larger modulus, such as
59, has all of it in its first rounds alone. A rerun goes on where the last one stopped.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

import nsjax
from nsjax import data, diagnostics, dynamics, networks, plots, pursuit, runs
from nsjax.objectives import NetworkLoss


@dataclass(frozen=True)
class Config:
    """Settings of the experiment on Łojasiewicz constants in modular addition."""

    preset: Literal["quick", "full"] = "quick"
    """Which set of defaults the other settings start from."""
    modulus: int = 7
    """The modulus m; a neuron has 3 m weights."""
    fractions: tuple[float, ...] = (0.7,)
    """Shares of all m^2 pairs that are seen."""
    seeds: int = 2
    """Seeds of the split and of everything random."""
    rounds: tuple[int, ...] = (1, 2, 3, 4, -1)
    """Rounds that are measured, from 1 on, negative ones from the end; none for all of them."""
    per_round: int = 2
    """Distinct KKT neurons that a round adds."""
    margin: float = 0.5
    """Neurons that are added once every training pair is right, over those there were."""
    max_rounds: int = 12
    """Bound on the rounds."""
    delta: float = 0.1
    """Norm of a new neuron at the start of a flow."""
    steps: int = 300
    """Evaluations of L-BFGS in each round of the pursuit."""
    starts: int = 64
    """Starts of the ascent of the NCF."""
    horizon: float = 1e5
    """Longest time of a flow, in the time of `dw/dt = -grad f`, f a sum over samples."""
    rtol: float = 1e-5
    """Relative tolerance of the integration; the absolute one is a thousandth of it."""
    rest: float = 1e-6
    """Gradient norm at which a flow has come to rest."""
    implicit: int = 320
    """Weights up to which flows are integrated implicitly; beyond they take explicit steps."""
    flow_steps: int = 1000
    """Most implicit steps of a flow; 20 times as many explicit ones."""
    saves: int = 4000
    """Points of a flow that are saved, log-spaced."""
    polish: int = 2000
    """Evaluations of L-BFGS that bring an end to its critical point; Newton steps come after."""
    dense: int = 1000
    """Weights up to which a dense Hessian is formed, for Newton steps and the eigenvalues."""
    envelope: int = 66
    """Weights up to which the envelope is measured."""
    levels: int = 10
    """Levels of an envelope."""
    envelope_starts: int = 8
    """Starts of the search on each of them."""
    radius: float = 0.03
    """Radius of the envelope over the norm of the weights."""
    seed: int = 0
    """First seed."""
    root: Path = field(default=Path("runs"), compare=False)
    """Where run folders go."""


PRESETS = {
    "quick": Config(),
    "full": Config(
        preset="full",
        fractions=(0.5, 0.7, 0.9),
        seeds=5,
        rounds=(),
        envelope=150,
        levels=16,
        envelope_starts=16,
    ),
}
ACTIVATION = nsjax.PolyLeakyReLU(2, 1.0)
LOSS = NetworkLoss(ACTIVATION)
PURSUIT = pursuit.Config(
    rule="ncf",
    lanes=1,
    candidates=1,
    attempts=1,
    capacity=32,
    l2=(0.0,),
    rescue=0.0,
    max_neurons=10_000,
    max_share=100.0,
    until="accuracy",
    tol=1e-12,
    prune=False,
)
"""Settings of every pursuit, beside those of `Config` by the same names."""
DEGREE = 3
"""q of a zero block of neurons with t^2."""
Weights = tuple[Any, Any]
"""Incoming weights `(k, 2 m)` and outgoing ones `(m, k)`."""
Cell = tuple[dict[str, Any], dict[str, Any]]
"""Arrays and values of a part of the run."""
INTERVALS = ("alpha_interval", "mu_interval")
ENVELOPE = ("alpha", "mu", *INTERVALS, "radius", "ball_mu", "top")
OUTCOME = ("message", "in_assumption2", "largest_alpha")
POINTWISE = ("alpha", "smallest", "at", "bound")
CURVE = ("values", "remaining", "bounds")
PART = ("length", "bound", "ratio", "holds", "since")
MEASURED = ("envelope", "hessian")
NAN = float("nan")


class Pairs(NamedTuple):
    """Pairs seen and unseen."""

    seen: tuple[jax.Array, jax.Array]
    unseen: tuple[jax.Array, jax.Array]
    key: jax.Array


class Point(NamedTuple):
    """One flow."""

    fraction: float
    seed: int
    number: int


def table(config: Config, fraction: float, seed: int) -> Pairs:
    """The pairs of one fraction and seed."""
    x, y = data.modular_addition(config.modulus)
    keys = jax.random.split(jax.random.key(seed))
    count = round(fraction * len(x))
    if not 1 < count < len(x):
        raise ValueError(
            f"fractions must leave pairs on both sides of the split, got {fraction:g} of {len(x)}"
        )
    return Pairs(*data.split(keys[0], x, y, count), keys[1])


def critical(config: Config, params: Any, pairs: tuple[jax.Array, jax.Array]) -> dynamics.Minimum:
    """The critical point that a network is close to."""
    return dynamics.minimize(LOSS, params, args=pairs, tol=1e-11, max_steps=config.polish)


def size(params: Any) -> int:
    """Number of weights."""
    return sum(weight.size for weight in params)


def accuracy(params: Any, pairs: tuple[jax.Array, jax.Array]) -> float:
    """Share of pairs whose largest output is the sum."""
    return 1 - float(pursuit.network_error(params, *pairs, ACTIVATION, loss="cross_entropy"))


def grow(config: Config, fraction: float, seed: int) -> Cell:
    """A pursuit whose every round ends at a critical point: the network, and what comes next."""
    pairs = table(config, fraction, seed)
    given = ("per_round", "starts", "steps", "max_rounds", "margin")
    settings = replace(PURSUIT, **{name: getattr(config, name) for name in given})
    task = pursuit.Task(*pairs.seen, activation=ACTIVATION, depth=2, config=settings)
    state = pursuit.init(pairs.key, task)
    d, c = pairs.seen[0].shape[1], pairs.seen[1].shape[1]
    arrays: dict[str, Any] = {"end0_0": np.zeros((0, d)), "end0_1": np.zeros((c, 0))}
    rounds: list[dict[str, Any]] = []
    while state.result[0] == pursuit.Stop.GROWING:
        state, info = pursuit.step(task, state)
        if not info.added[0, 0]:
            break
        k, number = int(state.counts[0, 0]), len(rounds) + 1
        params: Any = tuple(np.array(weight[0]) for weight in state.params)
        here = task.units.back((params[0][:k], params[1][:, :k]))
        if size(here) <= config.dense:
            here = critical(config, here, pairs.seen).params
            # The next neurons are those of the critical point.
            for padded, weight in zip(params, task.units.into(here), strict=True):
                padded[: weight.shape[0], : weight.shape[1]] = weight
            state = state._replace(params=tuple(weight[None] for weight in params))
        added = slice(k - int(info.added[0, 0]), k)
        new: Weights = np.asarray(state.new[0][0])[added], np.asarray(state.new[1][0])[:, added]
        arrays |= {f"new{number}_{i}": np.asarray(w) for i, w in enumerate(task.units.back(new))}
        arrays |= {f"end{number}_{i}": np.asarray(w) for i, w in enumerate(here)}
        rounds.append({"neurons": k, "loss": float(LOSS(here, *pairs.seen))})
    return arrays, {"rounds": rounds, "message": pursuit.MESSAGES[int(state.result[0])]}


def inserted(base: Weights, new: Weights, delta: float) -> Weights:
    """A network with new neurons, balanced and each of norm delta."""
    incoming, outgoing = (np.asarray(weight) for weight in networks.balance(new, ACTIVATION))
    norms = np.asarray(diagnostics.neuron_norms((incoming, outgoing))[0])
    first = np.concatenate([base[0], delta * incoming / norms[:, None]])
    return first, np.concatenate([base[1], delta * outgoing / norms], axis=1)


def measure(config: Config, fraction: float, seed: int, start: Weights) -> Cell:
    """Flow from a start to its critical point; constants there, and the length of the way."""
    pairs = table(config, fraction, seed)
    weights = size(start)
    method: Any = "implicit" if weights <= config.implicit else "explicit"
    flow = dynamics.gradient_flow(
        LOSS,
        tuple(jnp.asarray(weight) for weight in start),
        args=pairs.seen,
        t1=config.horizon,
        rtol=config.rtol,
        atol=1e-3 * config.rtol,
        saves=dynamics.Saves(config.saves, decades=7.0),
        events=dynamics.Event("grad_norm", below=config.rest),
        max_steps=config.flow_steps * (1 if method == "implicit" else 20),
        method=method,
    )
    end = critical(config, flow.params, pairs.seen)
    values: dict[str, Any] = {
        "neurons": start[0].shape[0],
        "weights": weights,
        "loss": end.loss,
        "share": end.loss / float(LOSS(tuple(jnp.zeros_like(w) for w in start), *pairs.seen)),
        "start": float(flow.losses[0]),
        "grad_norm": end.grad_norm,
        "moved": float(optax.tree.norm(jax.tree.map(jnp.subtract, end.params, flow.params))),
        "at_rest": bool(flow.result == dynamics.Stop.EVENT),
        "message": flow.message,
        "method": flow.method,
        "steps": flow.stats.steps,
        "time": float(flow.ts[-1]),
        "seen": accuracy(end.params, pairs.seen),
        "unseen": accuracy(end.params, pairs.unseen),
    }
    along = diagnostics.pointwise(flow, limit=end.loss)
    claims: dict[str, diagnostics.Lojasiewicz] = {}
    if weights <= config.dense:
        tangents = networks.symmetry_directions(end.params, ACTIVATION, x=pairs.seen[0])
        known = diagnostics.morse_bott(
            LOSS, end.params, args=pairs.seen, tangents=tangents, equations=pairs.seen[1].size
        )
        values["hessian"] = known._asdict() | {"message": known.message}
        reach = along.level(0.99 * known.mu) if known.conclusive else NAN
        if reach > 0:
            claims["hessian"] = known.up_to(reach, degree=DEGREE)
    if weights <= config.envelope:
        found = diagnostics.lojasiewicz(
            LOSS,
            end.params,
            key=jax.random.fold_in(pairs.key, weights),
            args=pairs.seen,
            degree=DEGREE,
            radius=config.radius * float(optax.tree.norm(end.params)),
            levels=config.levels,
            starts=config.envelope_starts,
            steps=20,
        )
        values["envelope"] = {part: getattr(found, part) for part in (*ENVELOPE, *OUTCOME)}
        if found.conclusive:
            claims["envelope"] = found
    whole = diagnostics.path_length(flow, limit=end.loss)
    values["length"] = {"total": whole.total, "error": whole.error}
    values["pointwise"] = {part: getattr(along, part) for part in POINTWISE}
    arrays: dict[str, Any] = {"ts": along.ts, "values": along.values, "ratios": along.ratios}
    for name, constants in claims.items():
        path = diagnostics.path_length(flow, lojasiewicz=constants)
        arrays |= {f"{name}_{part}": getattr(path, part) for part in CURVE}
        values["length"][name] = {part: getattr(path, part) for part in PART}
        values["length"][name]["top"] = constants.top
    return arrays, values


def chosen(config: Config, count: int) -> list[int]:
    """The rounds that are measured, of those there were."""
    if not config.rounds:
        return list(range(1, count + 1))
    picked = {number if number > 0 else count + 1 + number for number in config.rounds}
    return sorted(number for number in picked if 1 <= number <= count)


def flows(config: Config, run: runs.Run) -> Iterator[tuple[Point, Weights]]:
    """Every flow with its start."""
    seeds = range(config.seed, config.seed + config.seeds)
    splits = list(itertools.product(config.fractions, seeds))
    for (fraction, seed), arrays, values in run.sweep(
        splits,
        lambda each: "pursuit-f{:g}-s{}".format(*each),
        lambda each: grow(config, *each),
        description="pursuits",
    ):
        for number in chosen(config, len(values["rounds"])):
            base = arrays[f"end{number - 1}_0"], arrays[f"end{number - 1}_1"]
            new = arrays[f"new{number}_0"], arrays[f"new{number}_1"]
            yield Point(fraction, seed, number), inserted(base, new, config.delta)


def main(config: Config) -> Path:
    """Run the experiment; returns the run's folder."""
    runs.setup()
    with runs.refusals():
        for fraction in config.fractions:
            table(config, fraction, config.seed)
    with runs.open_run(config.root, "modular_lojasiewicz", config, seed=config.seed) as run:
        done: dict[Point, Cell] = {}
        for (point, _), *cell in run.sweep(
            list(flows(config, run)),
            lambda each: "flow-f{:g}-s{}-r{}".format(*each[0]),
            lambda each: measure(config, each[0].fraction, each[0].seed, each[1]),
            description="flows",
        ):
            done[point] = cell[0], cell[1]
        show(config, done)
        for fraction in config.fractions:
            draw(run, {p: cell for p, cell in done.items() if p.fraction == fraction}, config.seed)
        results = {f"f{p.fraction:g}-s{p.seed}-r{p.number}": cell[1] for p, cell in done.items()}
        run.save_results({}, results)
        print(f"results and figures: {run.path}")
    return run.path


CONSTANTS = (
    "fraction|seed|round|neurons|weights|f* / f(0)|right: seen, unseen|gradient|(n-, n0, n+)|"
    "symmetries|alpha (envelope)|mu (envelope)|mu (Hessian)|Assumption 2"
)
LENGTHS = (
    "fraction|seed|round|neurons|length|envelope: F / F0|length|bound / length|Hessian: F / F0|"
    "length|bound / length|smallest constant|at F / F0|bound / length|steps"
)


def show(config: Config, done: dict[Point, Cell]) -> None:
    """The critical points with their constants, and lengths beside their bounds."""
    cells = {point: values for point, (_, values) in done.items()}
    runs.print_table(
        f"Critical points, addition modulo {config.modulus} (symmetries: dimensions of the "
        "Hessian's kernel that they explain; with the whole of it, alpha = 1/2 and mu by the "
        "Hessian; Assumption 2: whether the envelope's alpha lies in (0, 3/4))",
        CONSTANTS.split("|"),
        [constants_row(*each) for each in cells.items()],
    )
    found = [values[name] for values in cells.values() for name in MEASURED if name in values]
    for message in sorted({each["message"] for each in found}):
        print(f"  {message}")
    runs.print_table(
        "Lengths of the flows (F = f - f*, F0 at the start; envelope: from its highest level on, "
        "with the constant of its radius; Hessian: from where the inequality holds with 0.99 mu; "
        "last: the whole flow, with the smallest |grad f| / F^(1/2) met on it)",
        LENGTHS.split("|"),
        [lengths_row(*each) for each in cells.items()],
    )


def constants_row(point: Point, values: dict[str, Any]) -> list[Any]:
    """A critical point and its constants."""
    rest = "" if values["at_rest"] else " (not at rest)"
    cells = [*point, values["neurons"], values["weights"], f"{values['share']:.3g}"]
    cells += [f"{values['seen']:.2f}, {values['unseen']:.2f}", f"{values['grad_norm']:.0e}{rest}"]
    hessian, envelope = values.get("hessian", {}), values.get("envelope", {})
    cells += [str(tuple(hessian["inertia"])), hessian["tangents"]] if hessian else ["-"] * 2
    for name in ("alpha", "mu"):
        low, high = envelope[f"{name}_interval"] if envelope else (NAN, NAN)
        shown = f"{envelope[name]:.4f} ± {(high - low) / 2:.4f}" if high >= low else "inconclusive"
        cells.append(shown if envelope else "-")
    mu = f"{hessian['mu']:.4g}" if hessian and hessian["mu"] > 0 else "inconclusive"
    words = {True: "yes", False: "no", None: "open"}
    within = words[envelope["in_assumption2"]] if envelope else "-"
    return [*cells, mu if hessian else "-", within]


def lengths_row(point: Point, values: dict[str, Any]) -> list[Any]:
    """A flow's length beside its bounds."""
    length, along = values["length"], values["pointwise"]
    height = values["start"] - values["loss"]
    cells = [*point, values["neurons"], f"{length['total']:.3f} ± {length['error']:.0e}"]
    for name in MEASURED:
        part = length.get(name)
        if part is None or not np.isfinite(part["length"]):
            cells += ["-", "-", "-"]
            continue
        # A flow that does not rest has a length of steps that jitter, to which no bound applies.
        claimed = "" if part["holds"] and values["at_rest"] else " (not claimed)"
        cells += [f"{part['top'] / height:.1e}", f"{part['length']:.3g}"]
        cells.append(f"{part['ratio']:.3f}{claimed}")
    cells += [f"{along['smallest']:.2g}", f"{along['at'] / height:.1e}"]
    cells.append(f"{along['bound'] / length['total']:.3g}")
    return [*cells, f"{values['method']}, {values['steps']}"]


def draw(run: runs.Run, done: dict[Point, Cell], seed: int) -> None:
    """Figures of one fraction: single flows of one seed, critical points of all."""
    if not done:
        return
    along, mus, paths = {}, {}, {}
    for arrays, values in (cell for point, cell in done.items() if point.seed == seed):
        name = f"{values['neurons']} neuron{'s' if values['neurons'] > 1 else ''}"
        saved = {part: arrays[part] for part in ("ts", "values", "ratios")}
        mu = values.get("hessian", {}).get("mu")
        if mu is None or np.isfinite(mu):  # Else the constant of the end is open.
            along[name] = diagnostics.Pointwise(**saved, **values["pointwise"])
            mus[name] = NAN if mu is None else mu
        part = values["length"].get("hessian")
        if part is not None:
            curves = {key: arrays[f"hessian_{key}"] for key in CURVE}
            paths[name] = SimpleNamespace(**curves, ratio=part["ratio"], holds=part["holds"])
    cells = [values for _, values in done.values()]
    neurons = [values["neurons"] for values in cells]

    def column(where: str, part: str, empty: Any = NAN) -> list[Any]:
        return [values.get(where, {}).get(part, empty) for values in cells]

    lengths = {"whole flow": (column("length", "total"), column("pointwise", "bound"))}
    for label, name in (
        ("where $\\mu$ of the Hessian holds", "hessian"),
        ("within the envelope's radius", "envelope"),
    ):
        found = column("length", name, empty={})
        length, bound = ([each.get(part, NAN) for each in found] for part in ("length", "bound"))
        lengths[label] = length, bound
    figures = {
        "constants": plots.plot_constants(
            neurons,
            **{name: column("envelope", name) for name in ("alpha", "mu")},
            **{name: column("envelope", name, empty=(NAN, NAN)) for name in INTERVALS},
            hessian_mu=column("hessian", "mu"),
            largest_alpha=DEGREE / (2 * (DEGREE - 1)),
        ),
        "lengths": plots.plot_length_bounds(neurons, lengths),
    }
    if along:
        figures["pointwise"] = plots.plot_pointwise(along, mus=mus)
    if paths:
        figures["remaining"] = plots.plot_path_length(paths)
    for name, figure in figures.items():
        run.save_figure(figure, f"{name}-f{next(iter(done)).fraction:g}")
        plt.close(figure)


if __name__ == "__main__":
    sys.exit(runs.script(main, Config, PRESETS, description=__doc__))
