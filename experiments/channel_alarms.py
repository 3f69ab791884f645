"""Alarms about flat channels: those that must come, and those that must not.

Constructed channels are detected at every eps, and their limit units `c s(w.x) + (v.x) s'(w.x)`
recovered. Least-squares fits of teachers that end at a finite minimum must raise no alarm, also
where neurons are copies of each other, or dead. Control: a teacher with a close pair of opposite
signs looks like a channel by its weights; the loss at fixed eps says that it is none. How often
gradient flow enters a channel is measured by `flat_channels`. A rerun with the same settings goes
on where the last one stopped.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from experiments.flat_channels import DEFINITE, SIDE, STILL, Name, Residuals, watched
from nsjax import data, diagnostics, dynamics, networks, runs

KINDS = ("near", "random", "copy", "dead", "close")
"""Students that start near the teacher, at random, with a neuron twice, with a silent neuron; and
near a teacher that has itself a close pair of opposite signs."""
LOOKS = {
    "looks": "looks like one",
    "confirmed": "confirmed",
    "refused": "refused",
    "alarmed": "monitor",
}
"""Alarms on fits, and their columns."""


@dataclass(frozen=True)
class Config:
    """Settings of the experiment."""

    preset: Literal["quick", "full"] = "quick"
    """Which set of defaults the other settings start from."""
    activations: tuple[Name, ...] = ("softplus", "tanh", "erf", "gompertz")
    """Activations."""
    fits: tuple[int, ...] = (2, 2, 1, 1, 2)
    """Teachers of each kind: near, random, copy, dead, close; for each activation."""
    teacher: int = 4
    """Neurons of the teachers."""
    eps: tuple[float, ...] = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
    """Sizes of the constructed channels."""
    horizon: float = 1e8
    """Longest time of the flows from the same starts."""
    max_steps: int = 2000
    """Most attempted steps of a flow."""
    seed: int = 0
    """First seed."""
    root: Path = field(default=Path("runs"), compare=False)
    """Where run folders go."""


PRESETS = {"quick": Config(), "full": Config(preset="full", fits=(10, 7, 4, 4, 5))}


def constructed(config: Config, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Channels at several eps in a random network: found or not, and how far the limit is off."""
    activation = networks.SMOOTH[name]
    x, _ = data.smooth_task("wave", SIDE[2])
    rest = networks.init(jax.random.key(config.seed), (x.shape[1], 3, 1))
    keys = jax.random.split(jax.random.key(config.seed + 1), 2)
    w, v = (jax.random.normal(key, (x.shape[1],)) for key in keys)
    truth = dynamics.ChannelNetwork(rest, jnp.array([0.7]), jnp.ones(1), w, v)
    limit = diagnostics.ChannelLimit(truth.c, w, v[None])
    off, residual, found = [], [], []
    for eps in config.eps:
        params = dynamics.join_channel(truth, eps)
        seen = diagnostics.channels(params, x, activation)
        place = len(seen.pairs) - 1  # the pair comes last
        pair = seen.pairs[place]
        got = diagnostics.channel_limit(params, pair, activation=activation)
        off.append(
            max(
                float(jnp.linalg.norm(a - b) / jnp.linalg.norm(b))
                for a, b in zip(got, limit, strict=True)
            )
        )
        residual.append(float(seen.residual[place]))
        found.append(bool(seen.found[place]) and int(seen.found.sum()) == 1)
    return {"off": off, "residual": residual}, {"found": found}


def teacher(config: Config, key: jax.Array, kind: str, d: int) -> Any:
    """Weights of one teacher."""
    keys = jax.random.split(key, 3)
    signs = jnp.where(jax.random.bernoulli(keys[0], shape=(1, config.teacher)), 1.0, -1.0)
    incoming = 1.5 * jax.random.normal(keys[1], (config.teacher, d))
    params = (incoming, signs * jax.random.uniform(keys[2], signs.shape, minval=0.5, maxval=1.5))
    if kind != "close":
        return params
    network, _ = dynamics.split_channel(params, (0, 1))
    network = network._replace(c=jnp.array([1.0]), v=network.v / jnp.linalg.norm(network.v))
    return dynamics.join_channel(network, 0.1)


def students(key: jax.Array, kind: str, truth: Any) -> Any:
    """Starts of the student of one teacher: eight at random, otherwise one, with leading axis."""
    keys = jax.random.split(key, 8)
    k, d = truth[0].shape
    if kind == "random":
        return jax.vmap(lambda key: networks.init(key, (d, k, 1), scale=2.0))(keys)
    if kind in ("copy", "dead"):
        incoming, outgoing = truth
        half = 0.5 * outgoing[:, :1]
        if kind == "copy":
            first = jnp.concatenate([half, outgoing[:, 1:], half], axis=1)
            truth = jnp.concatenate([incoming, incoming[:1]]), first
        else:
            new = jax.random.normal(keys[0], (1, d))
            truth = jnp.concatenate([incoming, new]), jnp.pad(outgoing, ((0, 0), (0, 1)))
    size = 0.003 if kind == "close" else 0.03
    return tuple(
        (w + size * jax.random.normal(key, w.shape))[None]
        for w, key in zip(truth, keys[1:], strict=False)
    )


def fit(config: Config, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Fits of teachers that end at a finite minimum, and every kind of alarm on them."""
    activation = networks.SMOOTH[name]
    x, _ = data.smooth_task("wave", SIDE[2])
    residuals = Residuals(activation)
    values: dict[str, Any] = {}
    for kind, count in zip(KINDS, config.fits, strict=True):
        records: list[dict[str, Any]] = []
        number = tried = 0
        while len(records) < count and number < 5 * count:
            keys = jax.random.split(jax.random.key(config.seed + number), 3)
            number += 1
            truth = teacher(config, keys[0], kind, x.shape[1])
            y = networks.apply(truth, x, activation)
            starts = students(keys[1], kind, truth)
            found = dynamics.least_squares(residuals, starts, args=(x, y), max_steps=1000)
            low, high = found.curvatures.T
            # With a copy or a silent neuron minima come in families: at rest and bounded.
            family = kind in ("copy", "dead")
            isolated = low > DEFINITE * high
            size = np.max([np.max(np.abs(w), axis=(1, 2)) for w in found.params], axis=0)
            finite = (found.grad_norms < STILL) & np.where(family, size < 50, isolated)
            tried += len(finite)
            if not finite.any():
                continue
            at = int(np.argmax(finite))
            start, end = (
                jax.tree.map(lambda w, at=at: w[at], tree) for tree in (starts, found.params)
            )
            records.append(
                {
                    "loss": float(found.losses[at]),
                    "grad_norm": float(found.grad_norms[at]),
                    "curvature": float(low[at] / high[at]),
                    "largest": float(size[at]),
                    **alarms(config, activation, start, end, x, y),
                }
            )
        values[kind] = {"tried": tried, "records": records}
    return {}, values


def alarms(config: Config, activation: Any, start: Any, end: Any, x: Any, y: Any) -> dict[str, Any]:
    """What is said of a fit: by its weights, by the loss, and by the monitor on its flow."""

    def asked(params: Any, pairs: Any) -> list[int]:
        paths = [dynamics.follow_channel(params, pair, x, y, activation) for pair in pairs]
        return [path.result for path in paths]

    seen = diagnostics.channels(end, x, activation)
    said = asked(end, seen.pairs[seen.found])
    flow, watch = watched(
        Residuals(activation), start, x, y, horizon=config.horizon, max_steps=config.max_steps
    )
    return {
        "looks": len(said),
        "confirmed": said.count(0),
        "refused": said.count(1),
        "rest": float(flow.grad_norms[-1]) < STILL,
        "alarmed": len(watch.pairs),
        "real": asked(flow.params, watch.pairs).count(0),
        "ever": int(np.sum(watch.first >= 0)),
    }


def main(config: Config) -> Path:
    """Run the experiment; returns the run's folder."""
    runs.setup()
    with runs.refusals():
        if not config.activations:
            raise ValueError("there must be at least one activation")
        if len(config.fits) != len(KINDS) or min(config.fits) < 0:
            raise ValueError(f"fits must be {len(KINDS)} numbers, one a kind, got {config.fits}")
    with runs.open_run(config.root, "channel_alarms", config, seed=config.seed) as run:

        def all_of(what: str, compute: Any) -> dict[str, Any]:
            return {
                name: cell
                for name, *cell in run.sweep(
                    config.activations, lambda name: f"{what}-{name}", compute, description=what
                )
            }

        built = all_of("constructed", lambda name: constructed(config, name))
        fits = all_of("fits", lambda name: fit(config, name))
        summarise(run, config, built, fits)
    return run.path


def summarise(run: runs.Run, config: Config, built: Any, fits: Any) -> None:
    """Tables and results."""
    arrays: dict[str, Any] = {"eps": np.asarray(config.eps)}
    results: dict[str, Any] = {"constructed": {}, "fits": {}}
    for name, (errors, values) in built.items():
        arrays |= {f"{what}_{name}": errors[what] for what in errors}
        results["constructed"][name] = values
    runs.print_table(
        "Constructed channels: largest relative error of the limit's c, w, v, and found or not",
        ("activation", *(f"eps {eps:g}" for eps in config.eps), "found alone"),
        [
            (
                name,
                *(f"{off:.1e}" for off in errors["off"]),
                f"{sum(values['found'])} of {len(values['found'])}",
            )
            for name, (errors, values) in built.items()
        ],
    )
    rows = []
    for kind in KINDS:
        records = [each for _, v in fits.values() for each in v[kind]["records"]]
        if not records:
            continue
        table = {what: sum(each[what] > 0 for each in records) for what in LOOKS}
        tried = sum(v[kind]["tried"] for _, v in fits.values())
        worst = max(each["grad_norm"] for each in records)
        rest = [each for each in records if each["rest"]]
        false = sum(
            each["alarmed"] > 0 and not each["real"] for each in records if not each["rest"]
        )
        results["fits"][kind] = table | {
            "fits": len(records),
            "tried": tried,
            "worst": worst,
            "rest": len(rest),
            "alarmed at rest": sum(each["alarmed"] > 0 for each in rest),
            "false elsewhere": false,
        }
        rows.append(
            (
                kind,
                f"{len(records)} of {tried}",
                f"{worst:.0e}",
                f"{min(each['curvature'] for each in records):.0e}",
                f"{max(each['largest'] for each in records):.3g}",
                *table.values(),
                f"{sum(each['alarmed'] > 0 for each in rest)} of {len(rest)}",
                f"{false} of {len(records) - len(rest)}",
            )
        )
    runs.print_table(
        "Fits of teachers at a finite minimum: what looks like a channel by its weights, what the "
        "loss says of it, and the monitor on gradient flow from the same start: where that comes "
        "to rest too; and, where it does not, alarms that the loss does not confirm",
        (
            "student",
            "finite",
            "gradient",
            "curvature",
            "largest weight",
            *LOOKS.values(),
            "at rest",
            "elsewhere, refused",
        ),
        rows,
    )
    run.save_results(arrays, results)
    print(f"results: {run.path}")


if __name__ == "__main__":
    sys.exit(runs.script(main, Config, PRESETS, description=__doc__))
