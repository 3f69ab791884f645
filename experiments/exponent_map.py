"""A map of Łojasiewicz exponents at saddles over depth, degree, slope, width and data.

Assumption 2 of neuron pursuit (arXiv 2509.12154) asks for an exponent alpha in the open interval
(0, q / (2 (q - 1))) for the loss over the active weights w_n at a saddle (w_n, 0): below 1, 3/4,
2/3, 5/8 for p = 1, 2, 3, 4. Here alpha is measured by the lower envelope of the gradient norm at
minima over w_n. Trained ones: Gaussian teachers, sparse polynomials, noise, collinear and
duplicated inputs, modular addition, one neuron split in two. And those made to be degenerate, whose
exponent is known: few samples whose targets conflict, targets zero, directions tuned to a
higher order, a curved valley. A second verdict comes from ranks: with a Jacobian of constant rank
and a Hessian with the same kernel, alpha is 1/2. Controls: (abc)^2 at the origin, alpha = 5/6, held
against 3/4; tasks tuned to order two, alpha = 1/2. A rerun goes on where the last one stopped.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import nsjax
from nsjax import data, diagnostics, dynamics, networks, plots, runs
from nsjax.objectives import AnyPowerLoss


@dataclass(frozen=True)
class Config:
    """Settings of the map of exponents."""

    preset: Literal["quick", "full"] = "quick"
    """Which set of defaults the other settings start from."""
    shapes: tuple[str, ...] = ("2x1",)
    """Layers and active neurons in each hidden layer of the trained networks."""
    activations: tuple[str, ...] = ("2", "2:0")
    """Degree p, and after a colon the slope, 1 by default."""
    kinds: tuple[str, ...] = ("teacher", "collinear")
    """Data of the trained networks, of `TRAINED`."""
    fewer: tuple[str, ...] = ("2",)
    """Degrees and slopes of the shapes after the first, and of modular addition."""
    degenerate: tuple[str, ...] = ("2:2:1:conflict", "2:4:1:conflict", "2:3:1:contact-2")
    """Degenerate saddles: layers, degree, slope, and a key of `MADE`."""
    flows: tuple[str, ...] = ("2:4:1:conflict",)
    """Degenerate saddles, written like that, on whose data flows of one neuron a layer start."""
    flow_seeds: int = 2
    """Flows for each of them."""
    size: float = 0.3
    """Norm of the weights that a flow starts from."""
    horizon: float = 1e7
    """Time of a flow."""
    modulus: int = 3
    """Of modular addition."""
    samples: int = 24
    """Number of samples n; smaller sets are filled up with inputs zero, which change nothing."""
    dimension: int = 3
    """Inputs d, but for modular addition."""
    noise: float = 0.5
    """Standard deviation of noise on duplicated inputs, over that of the targets."""
    seeds: int = 1
    """Seeds of data, training and search."""
    attempts: int = 4
    """Starts of a training, of which the best minimum with every neuron alive is kept."""
    radius: float = 0.03
    """Radius of the envelope over the norm of w_n, where ranks say Morse-Bott."""
    wide: float = 0.1
    """The same elsewhere: orders m show only while radius^m is above rounding."""
    levels: int = 12
    """Levels of an envelope."""
    starts: int = 10
    """Starts of the search on each of them."""
    steps: int = 20
    """Most Newton steps of a search."""
    seed: int = 0
    """First seed."""
    root: Path = field(default=Path("runs"), compare=False)
    """Where run folders go."""


EVERY = ("1", "1:0", "2", "2:0.5", "2:0", "3", "3:0", "4")
DEGENERATE = tuple(
    f"{depth}:{p}:{slope}:{kind}"
    for kind, cases in {
        "conflict": (
            "2:2:1",
            "2:2:0",
            "2:3:0",
            "2:4:1",
            "2:4:0",
            "3:2:1",
            "3:2:0",
            "3:3:0",
            "4:2:1",
        ),
        "zeros": ("2:2:0", "2:3:0", "3:2:0"),
        "contact-1": ("2:2:1", "2:3:1", "2:4:1", "3:2:1"),
        "contact-2": ("2:2:1", "2:3:1", "2:4:1", "3:2:1"),
        "contact-3": ("2:4:1", "3:2:1"),
        "valley": ("2:2:1",),
        "origin": ("3:2:1",),
    }.items()
    for depth, p, slope in (case.split(":") for case in cases)
)
TRAINED = {
    "teacher": "Gaussian, teacher",
    "sparse": "Gaussian, sparse",
    "noise": "Gaussian, noise",
    "collinear": "collinear inputs",
    "duplicated": "duplicated inputs",
    "split": "teacher, neuron split",
    "modular": "modular addition",
}
MADE = {
    "conflict": "few samples, conflict",
    "zeros": "few samples, zeros",
    "contact-1": "tuned to order 2",
    "contact-2": "tuned to order 4",
    "contact-3": "tuned to order 6",
    "valley": "curved valley, order 8",
    "origin": "control: (abc)^2",
}
PRESETS = {
    "quick": Config(),
    "full": Config(
        preset="full",
        shapes=("2x1", "3x1", "2x2"),
        activations=EVERY,
        kinds=tuple(TRAINED),
        fewer=("1", "2", "2:0", "3"),
        degenerate=DEGENERATE,
        flows=("2:4:1:conflict", "2:3:0:conflict", "2:2:0:zeros"),
        flow_seeds=8,
    ),
}
LOSS = AnyPowerLoss()
HIGHEST = 4
"""Largest degree p."""
ALIVE = 1e-3
"""Least norm of a neuron that counts as active, over the largest."""
LEFT, FELT = 1e-10, 1e-3
"""Loss and NCF share above which a minimum over w_n counts as a saddle of the wider network."""
LATE = (1e-12, 1e-6)
"""Values of `f - f*`, over the loss of zero outputs, at which a flow's exponent is fitted."""
KINK = 0.05
"""Pre-activation, over the largest, up to which a sample counts as one turned away from."""
REST = 1e-10
"""Gradient norm up to which a training has come to rest."""
ORIGIN = "origin"
NOT_ASKED = "not asked"
"""Verdict where w_n is no minimum, or not at rest, or its network is dead on the data."""
NAN = float("nan")


class Point(NamedTuple):
    """One saddle."""

    kind: str
    depth: int
    active: int
    p: int
    slope: float
    seed: int

    @property
    def network(self) -> str:
        """Its activation and depth."""
        return f"L={self.depth} p={self.p}" + ("" if self.slope == 1 else f" a={self.slope:g}")

    @property
    def name(self) -> str:
        """Of its cell."""
        return f"{self.kind}-L{self.depth}-k{self.active}-p{self.p}-a{self.slope:g}-s{self.seed}"

    @property
    def row(self) -> str:
        """Of the map."""
        if self.kind in MADE:
            return MADE[self.kind]
        return f"{TRAINED[self.kind]}, {self.active} active"


def degenerate(text: str, seed: int) -> Point:
    """The degenerate saddle of a text of the settings."""
    depth, p, slope, kind = text.split(":")
    return Point(kind, int(depth), 1, int(p), float(slope), seed)


def points(config: Config) -> Iterator[Point]:
    """The saddles of a config."""
    seeds = range(config.seed, config.seed + config.seeds)
    for text in config.degenerate:
        for seed in seeds:
            yield degenerate(text, seed)
    for shape in config.shapes:
        depth, active = (int(part) for part in shape.split("x"))
        for kind in config.kinds:
            whole = shape == config.shapes[0] and kind != "modular"
            if (kind == "split" and shape != "2x2") or (kind == "modular" and shape != "2x1"):
                continue
            for text in config.activations if whole else config.fewer:
                p, slope = (*text.split(":"), "1")[:2]
                for seed in seeds:
                    yield Point(kind, depth, active, int(p), float(slope), seed)


def activation_of(point: Point) -> Any:
    """The activation of a point."""
    return nsjax.PolyLeakyReLU(point.p, point.slope)


def task(config: Config, point: Point, key: jax.Array) -> tuple[Any, Any]:
    """Inputs and targets of a kind of trained network."""
    keys = jax.random.split(key, 3)
    n, d, kind = config.samples, config.dimension, point.kind
    if kind == "modular":
        return data.modular_addition(config.modulus)
    if kind == "sparse":
        return data.sparse_task(keys[0], "sparse-f3", n, d)
    if kind == "collinear":
        x = data.collinear_inputs(keys[0], n, d)
    else:
        x = data.gaussian(keys[0], n // 2 if kind == "duplicated" else n, d)
    if kind == "noise":
        return x, jax.random.normal(keys[1], (n, 1))
    y = networks.teacher_targets(keys[1], x, activation_of(point), hidden=(4,) * (point.depth - 1))
    if kind == "duplicated":
        x, y = jnp.concatenate([x, x]), jnp.concatenate([y, y])
    if kind in ("duplicated", "collinear"):
        # Else a single neuron fits targets of its own kind, and nothing is left over.
        y = y + config.noise * jax.random.normal(keys[2], y.shape)
    return x, y


def powers(point: Point) -> tuple[jax.Array, jax.Array]:
    """Slope and degree as data."""
    return jnp.asarray(point.slope), jnp.eye(HIGHEST)[point.p - 1]


def train(config: Config, point: Point, key: jax.Array, x: Any, y: Any) -> Any:
    """The best minimum over active weights of some starts, with every neuron alive."""
    best: Any = None
    hidden = (point.active,) * (point.depth - 1)
    for start_key in jax.random.split(key, config.attempts):
        start = networks.init(start_key, (x.shape[1], *hidden, y.shape[1]))
        start = networks.balance(start, activation_of(point))
        found = dynamics.minimize(LOSS, start, args=(x, y, *powers(point)), tol=1e-12)
        norms = np.concatenate(diagnostics.neuron_norms(found.params))
        alive = np.min(norms) > ALIVE * np.max(norms)
        # Trainings that do not come to rest end last in the order.
        rank = (not alive, found.grad_norm > 1e-6, found.loss)
        if best is None or rank < best[0]:
            best = rank, networks.balance(found.params, activation_of(point))
    return best[1]


def special(config: Config, point: Point, key: jax.Array) -> data.DegenerateTask:
    """Data of a degenerate saddle."""
    power = point.p ** (point.depth - 1)
    if point.kind == "valley":
        return data.valley_task(key)
    if point.kind.startswith("contact"):
        contact = int(point.kind.removeprefix("contact-"))
        return data.contact_task(key, config.samples, power, contact)
    sizes = 0.0 if point.kind == "zeros" else 1.0
    return data.conflict_task(key, config.dimension, power, conflicting=sizes)


def made(config: Config, point: Point, key: jax.Array) -> tuple[Any, Any, Any, float]:
    """Data, weights and exponent of a degenerate saddle."""
    d = config.dimension
    if point.kind == ORIGIN:
        x, y, incoming, alpha = jnp.eye(1, d), jnp.zeros((1, 1)), jnp.zeros(d), 5 / 6
    else:
        found = special(config, point, key)
        (x, y, incoming), alpha = found[:3], found.alpha
    n = config.samples - x.shape[0]
    x = jnp.pad(x, ((0, n), (0, d - x.shape[1])))
    y, incoming = jnp.pad(y, ((0, n), (0, 0))), jnp.pad(incoming, (0, d - incoming.size))
    ones = () if point.kind == ORIGIN else (jnp.ones((1, 1)),) * (point.depth - 1)
    if point.kind == ORIGIN:
        return x, y, (incoming[None], *(jnp.zeros((1, 1)),) * (point.depth - 1)), alpha
    return x, y, networks.balance((incoming[None], *ones), activation_of(point)), alpha


def prepare(config: Config, point: Point) -> tuple[Any, Any, Any, float]:
    """Data and weights of a saddle, and its exponent where it is known."""
    keys = jax.random.split(jax.random.key(point.seed))
    if point.kind in MADE:
        return made(config, point, keys[0])
    if point.kind != "split":
        x, y = task(config, point, keys[0])
        return x, y, train(config, point, keys[1], x, y), NAN
    whole = point._replace(kind="teacher", active=1)
    x, y, params, _ = prepare(config, whole)
    incoming, outgoing = params
    halves = jnp.concatenate([incoming] * 2), jnp.concatenate([outgoing / 2] * 2, axis=1)
    return x, y, networks.balance(halves, activation_of(point)), NAN


def measure(config: Config, point: Point) -> tuple[dict[str, Any], dict[str, Any]]:
    """Exponent and ranks at one saddle."""
    x, y, params, exact = prepare(config, point)
    control = point.kind == ORIGIN
    args, key = (x, *powers(point)), jax.random.key(point.seed)
    if control:
        # Three linear layers, held against the bound of p = 2.
        args = (x, jnp.asarray(1.0), jnp.eye(HIGHEST)[0])
    ranks = diagnostics.regularity(LOSS.outputs, params, y, key=key, args=args)
    regular = ranks.result == diagnostics.Regular.MORSE_BOTT
    size = float(np.sqrt(sum(np.sum(np.asarray(w) ** 2) for w in params)))
    found = diagnostics.lojasiewicz(
        LOSS,
        params,
        key=key,
        args=(args[0], y, *args[1:]),
        degree=point.p + 1,
        radius=1.0 if control else (config.radius if regular else config.wide) * size,
        levels=config.levels,
        starts=config.starts,
        steps=config.steps,
    )
    below = found.below is not None and len(found.below.levels) > 0
    share = NAN if control else diagnostics.ncf_share(params, x, y, activation_of(point), key=key)
    values = {
        "exact": exact,
        "alpha": found.alpha,
        "alpha_interval": found.alpha_interval,
        "mu": found.mu,
        "message": found.message,
        "bound": found.largest_alpha,
        "in_assumption2": found.in_assumption2,
        "rank": ranks.rank,
        "generic": ranks.generic,
        "inertia": ranks.inertia,
        "gap": ranks.gap,
        "regularity": diagnostics.Regular(ranks.result).name,
        "hessian_mu": ranks.mu,
        "loss": ranks.value,
        "grad_norm": ranks.grad_norm,
        "ncf_share": share,
        "minimum": ranks.minimum and not below,
    }
    return {f"w{i}": np.asarray(w) for i, w in enumerate(params)}, values


def is_saddle(values: dict[str, Any]) -> bool:
    """Whether something is left over, and a new neuron would feel it."""
    return bool(values["loss"] > LEFT and values["ncf_share"] > FELT)


def follow(config: Config, point: Point) -> tuple[dict[str, Any], dict[str, Any]]:
    """Gradient flow of one neuron a layer from small weights, on data of a degenerate saddle."""
    keys = jax.random.split(jax.random.key(point.seed), 2)
    x, y, params, _ = made(config, point, keys[0])
    args = (x, y, *powers(point))
    start = networks.init(keys[1], (x.shape[1], *(1,) * (point.depth - 1), 1))
    start = networks.balance(start, activation_of(point))
    # The other sign would fit the other targets.
    start = (start[0], *(jnp.abs(weight) for weight in start[1:]))
    size = config.size / float(jnp.sqrt(sum(jnp.sum(weight**2) for weight in start)))
    flow = dynamics.gradient_flow(
        LOSS,
        tuple(size * weight for weight in start),
        args=args,
        t1=config.horizon,
        rtol=1e-8,
        saves=dynamics.Saves(400, decades=10.0),
        method="implicit",
    )
    limit, whole = float(LOSS(params, *args)), 0.5 * float(jnp.sum(y**2))
    ts, remaining = np.asarray(flow.ts), np.asarray(flow.losses) - limit
    fitted = (remaining < LATE[1] * whole) & (remaining > LATE[0] * whole)
    law = diagnostics.power_law(remaining[fitted], np.asarray(flow.grad_norms)[fitted])
    # On the samples that conflict; those that fill up the others have responses of zero.
    seen = np.any(np.asarray(x) != 0, axis=1)
    pre = np.abs(np.asarray(x @ flow.params[0].T))[seen, 0]
    values = {
        "limit": limit,
        "end": float(remaining[-1]),
        "arrived": abs(float(remaining[-1])) < LATE[1] * whole,
        "turn": float(np.max(pre[np.asarray(y)[seen, 0] <= 0]) / np.max(pre)),
        "alpha": law.exponent,
        "points": law.points,
        "message": flow.message,
    }
    return {"ts": ts, "remaining": remaining}, values


def verdict(values: dict[str, Any]) -> str:
    """What the interval of alpha says of Assumption 2, empty where it asks nothing."""
    dead = values["generic"] == 0
    moving = values["regularity"] == "NOT_CRITICAL" or values["grad_norm"] > REST
    if dead or moving or not values["minimum"]:
        return ""
    words = {True: "within", False: "outside", None: "cannot be told"}
    return words[values["in_assumption2"]]


def main(config: Config) -> Path:
    """Run the experiment; returns the run's folder."""
    runs.setup()
    with runs.refusals():
        check(config)
    with runs.open_run(config.root, "exponent_map", config, seed=config.seed) as run:
        done: dict[Point, dict[str, Any]] = {}
        for point, _, values in run.sweep(
            points(config),
            lambda point: point.name,
            lambda point: measure(config, point),
            description="saddles",
        ):
            done[point] = values
        visits: dict[str, list[Any]] = {}
        seeds = range(config.seed, config.seed + config.flow_seeds)
        for (text, _), *cell in run.sweep(
            [(text, seed) for text in config.flows for seed in seeds],
            lambda each: f"flow-{degenerate(*each).name}",
            lambda each: follow(config, degenerate(*each)),
            description="flows",
        ):
            visits.setdefault(text, []).append(cell)
        show(done)
        show_flows(config, visits)
        draw(run, done)
        results = {
            point.name: values | {"verdict": verdict(values)} for point, values in done.items()
        }
        flows = {text: [values for _, values in cells] for text, cells in visits.items()}
        run.save_results({}, results | {"flows": flows})
        print(f"results and figures: {run.path}")
    return run.path


def check(config: Config) -> None:
    """Refuse settings of saddles that do not exist."""
    runs.among("kinds", config.kinds, TRAINED)
    runs.among("degenerate", (text.split(":")[-1] for text in config.degenerate), MADE)
    for point in points(config):
        activation_of(point)
        if not (point.depth >= 2 and point.active >= 1 and point.p <= HIGHEST):
            raise ValueError(
                f"shapes and activations must have 2 layers or more, 1 neuron or more and degrees "
                f"up to {HIGHEST}, got {point.name}"
            )


COLUMNS = (
    "data|network|active|seed|f*|gradient|rank, generic|(n-, n0, n+)|ranks say|NCF share|"
    "alpha (envelope)|exact|end|verdict|mu / sqrt(2 lambda)"
)


def show(done: dict[Point, dict[str, Any]]) -> None:
    """Every saddle, and how many of each kind have which verdict."""
    runs.print_table(
        "Minima over the active weights (NCF share: what one new neuron could take up of the "
        "residual, at least; end: q / (2 (q - 1)); not asked: see the page)",
        COLUMNS.split("|"),
        [row(*each) for each in done.items()],
    )
    counts: dict[tuple[str, str], Counter[str]] = {}
    for point, values in done.items():
        kind = (TRAINED | MADE)[point.kind]
        for key in ((kind, point.network), ("all trained" if point.kind in TRAINED else "", "")):
            counts.setdefault(key, Counter())[verdict(values) or NOT_ASKED] += 1
    words = (*plots.VERDICTS, NOT_ASKED)
    runs.print_table(
        "Verdicts on Assumption 2",
        ("data", "network", *words),
        [
            (*key, *(count[word] for word in words))
            for key, count in sorted(counts.items())
            if key[0]
        ],
    )
    judged = [v for point, v in done.items() if point.kind in TRAINED and verdict(v)]
    regular = [v for v in done.values() if v["regularity"] == "MORSE_BOTT" and v["alpha"] > 0]
    off = [abs(values["alpha"] - 0.5) for values in regular]
    ratio = [abs(values["mu"] / values["hessian_mu"] - 1) for values in regular]
    exact = [abs(v["alpha"] - v["exact"]) for v in done.values() if v["exact"] > 0 < v["alpha"]]
    print(
        f"trained: {len(judged)} minima, {sum(map(is_saddle, judged))} of them saddles (loss above "
        f"{LEFT:g}, NCF share above {FELT:g})"
    )
    if off:
        print(
            f"ranks say Morse-Bott and the envelope concludes: {len(off)} saddles, largest "
            f"|alpha - 1/2| {max(off):.4f}, mu off sqrt(2 lambda) by {np.median(ratio):.1%} "
            f"(median), {max(ratio):.1%} (largest)"
        )
    if exact:
        print(f"exact alpha known: {len(exact)} saddles, off by {max(exact):.4f} at most")


def show_flows(config: Config, visits: dict[str, list[Any]]) -> None:
    """How many flows come to the degenerate saddle, and how fast."""
    rows = []
    for text, cells in visits.items():
        point = degenerate(text, config.seed)
        task = special(config, point, jax.random.key(config.seed))
        arrived = [values for _, values in cells if values["arrived"]]
        turned = [values["alpha"] for values in arrived if values["turn"] < KINK]
        shown = f"{min(turned):.4f} to {max(turned):.4f}" if turned else "-"
        numbers = f"{len(arrived)} of {len(cells)}", len(turned), shown, f"{task.alpha:.4f}"
        rows.append((MADE[point.kind], point.network, *numbers))
    runs.print_table(
        "Gradient flow from small random weights: to the loss of the degenerate saddle, with "
        "pre-activations zero on the samples in conflict, and the exponent of ||grad f|| in f - f* "
        "on the way there",
        ("data", "network", "to its loss", "pre-activations zero", "alpha on the way", "exact"),
        rows,
    )


def row(point: Point, values: dict[str, Any]) -> list[Any]:
    """A saddle."""
    low, high = values["alpha_interval"]
    shown = f"{values['alpha']:.4f} ± {(high - low) / 2:.4f}" if high >= low else "inconclusive"
    kind = (TRAINED | MADE)[point.kind]
    ratio = values["mu"] / values["hessian_mu"]
    return [
        *(kind, point.network, point.active, point.seed),
        *(f"{values['loss']:.3g}", f"{values['grad_norm']:.0e}"),
        f"{values['rank']}, {values['generic']}",
        str(tuple(values["inertia"])),
        values["regularity"].lower().replace("_", "-"),
        f"{values['ncf_share']:.2f}",
        shown,
        f"{values['exact']:.4f}" if values["exact"] > 0 else "-",
        f"{values['bound']:.4f}",
        verdict(values) or NOT_ASKED,
        f"{ratio:.3f}" if ratio > 0 else "-",
    ]


def draw(run: runs.Run, done: dict[Point, dict[str, Any]]) -> None:
    """The map, and every saddle against its bound."""
    judged = {point: values for point, values in done.items() if verdict(values)}
    shown = {point: values for point, values in judged.items() if values["alpha"] > 0}
    if not shown:
        return
    names = list(dict.fromkeys(point.row for point in judged))
    order = sorted({(p.depth, p.p, -p.slope, p.network, v["bound"]) for p, v in judged.items()})
    columns = [each[3] for each in order]
    alphas = np.full((len(names), len(columns)), np.nan)
    words = [[""] * len(columns) for _ in names]
    for point, values in judged.items():
        i, j = names.index(point.row), columns.index(point.network)
        if not (values["alpha"] <= alphas[i, j] or (np.isnan(values["alpha"]) and words[i][j])):
            alphas[i, j], words[i][j] = values["alpha"], verdict(values)
    bounds = [each[-1] for each in order]
    figure = plots.plot_exponent_map(alphas, bounds, words, rows=names, columns=columns)
    run.save_figure(figure, "map")
    plt.close(figure)
    groups: dict[str, dict[str, list[Any]]] = {}
    for point, values in shown.items():
        name = "trained" if point.kind in TRAINED else MADE[point.kind]
        group = groups.setdefault(name, {})
        for part in ("alpha", "bound"):
            group.setdefault(part, []).append(values[part])
        group.setdefault("interval", []).append(values["alpha_interval"])
        group.setdefault("verdict", []).append(verdict(values))
    figure = plots.plot_exponents(groups)
    run.save_figure(figure, "exponents")
    plt.close(figure)


if __name__ == "__main__":
    sys.exit(runs.script(main, Config, PRESETS, description=__doc__))
