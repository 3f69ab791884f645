"""Convolutions of digit networks, compressed in the norm of their data and in the isotropic one.

Trains small residual networks on the 1,797 digits, plain ones and ones whose first convolution of
every block is task-driven, with powers x and x^2. Then each of their 3 x 3 convolutions, and each
power's kernel alone, gets a CP or Tucker decomposition of several ranks, once by the distance of
kernels, once by that of the outputs on the training images, and nothing is trained again. What
counts are held-out images: the change of the layer's output, and the network's accuracy with one
layer replaced, or all of them. Controls have the second moment of white noise, and that of the data
with its entries permuted.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsjax import data, networks, plots, runs
from nsjax.neuronseek import LayerTerms
from nsjax.neuronseek.convolutions import Convolution, convolutions, with_kernels
from nsjax.neuronseek.image_training import ImageTraining, Program, standardised
from nsjax.neuronseek.resnet import ResNet

Kind = Literal["plain", "task"]
Method = Literal["cp", "channels", "tucker"]
KINDS = {"plain": "plain", "task": "task-driven"}
METHODS = {"cp": "CP", "channels": "Tucker, channels", "tucker": "Tucker, all modes"}
NORMS = {"isotropic": "isotropic", "data": "data"}
CONTROLS = {
    "centred": "data, centred",
    "white": "white noise",
    "permuted": "data, permuted",
}
"""Further second moments: about the mean, for layers whose bias is corrected; of white noise; that
of the data with its entries in another order."""
WHITE = 4000
"""Images of white noise of the control, for a second moment close to the identity."""


@dataclass(frozen=True)
class Config:
    """Settings of the compression."""

    preset: Literal["quick", "full"] = "quick"
    """Which set of defaults the other settings start from."""
    kinds: tuple[Kind, ...] = ("plain", "task")
    """Plain networks, or those with task-driven convolutions."""
    methods: tuple[Method, ...] = ("cp", "channels", "tucker")
    """CP; Tucker with all rows and columns; Tucker with two of the three, too."""
    ranks: tuple[int, ...] = (2, 8)
    """Numbers of CP terms."""
    shares: tuple[float, ...] = (0.25, 0.5)
    """Ranks of Tucker decompositions over the numbers of channels; as many as `ranks`."""
    orders: tuple[int, ...] = (1, 2)
    """Powers of the task-driven convolutions."""
    width: int = 8
    """Channels of the first stage."""
    epochs: int = 40
    """Epochs of training."""
    ridge: float = networks.compression.RIDGE
    """Added to a second moment, over its mean eigenvalue."""
    sweeps: int = 300
    """Most sweeps of alternating least squares."""
    controls: bool = True
    """Whether further norms are tried, for whole layers with CP and Tucker of the channels."""
    seeds: int = 1
    """Seeds of splits and networks."""
    seed: int = 0
    """First seed."""
    root: Path = field(default=Path("runs"), compare=False)
    """Where run folders go."""


PRESETS = {
    "quick": Config(),
    "full": Config(preset="full", ranks=(2, 4, 8, 16), shares=(0.125, 0.25, 0.5, 0.75), seeds=3),
}


class Target(NamedTuple):
    """A kernel to be compressed, a whole one or that of one power.

    Attributes:
        path: of the convolution.
        part: name of the power, "" for the whole.
        kernel: `(kh, kw, c, c_out)`, float64.
        channels: where its channels lie in the whole.
        whole: the whole kernel.
        train, test: moments of its patches.
        layer: the convolution.
    """

    path: str
    part: str
    kernel: Any
    channels: slice
    whole: Any
    train: Any
    test: Any
    layer: Convolution

    def replaced(self, kernel: Any) -> dict[str, Any]:
        """The whole kernel with this one in its place, by its path."""
        return {self.path: self.whole.at[:, :, self.channels].set(kernel)}


def targets(config: Config, train: dict[str, Any], test: dict[str, Any]) -> Iterator[Target]:
    """All convolutions larger than a pixel with several inputs, and the kernels of their powers."""
    for path, layer in train.items():
        kernel = jnp.asarray(layer.kernel, float)
        kh, kw, channels, _ = kernel.shape
        if kh == kw == 1 or channels == 1:
            continue
        parts = {"": slice(0, channels)}
        if path.endswith("linear") and len(config.orders) > 1:
            width = channels // len(config.orders)
            for i, order in enumerate(sorted(config.orders)):
                parts[f"x^{order}"] = slice(i * width, (i + 1) * width)
        for part, block in parts.items():
            seen = layer.moments.channels(block, channels)
            held = test[path].moments.channels(block, channels)
            yield Target(path, part, kernel[:, :, block], block, kernel, seen, held, layer)


def ranks_of(config: Config, method: str, level: int, kernel: Any) -> Any:
    """The ranks of one level."""
    if method == "cp":
        return config.ranks[level]
    channels = tuple(max(1, round(config.shares[level] * c)) for c in kernel.shape[2:])
    return channels if method == "channels" else (2, 2, *channels)


def moments_of(key: jax.Array, target: Target, norm: str) -> Any:
    """The second moment that a norm has."""
    if norm == "isotropic":
        return None
    if norm == "data":
        return target.train.second
    if norm == "centred":
        return target.train.about(target.train.mean)
    kh, kw, channels, _ = target.kernel.shape
    if norm == "white":
        images = jax.random.normal(key, (WHITE, 8, 8, channels))
        return networks.patch_moments(images, (kh, kw), padding="VALID").second
    order = jax.random.permutation(key, len(target.train.mean))
    return target.train.second[order][:, order]


def compressed(
    config: Config, key: jax.Array, target: Target, method: str, level: int, controls: bool
) -> dict[str, networks.Compressed]:
    """One kernel of one rank in all norms."""
    found: dict[str, networks.Compressed] = {}
    for i, norm in enumerate([*NORMS, *(CONTROLS if controls else ())]):
        draw, start = jax.random.split(jax.random.fold_in(key, i))
        found[norm] = networks.compress(
            start,
            target.kernel,
            ranks_of(config, method, level, target.kernel),
            method="cp" if method == "cp" else "tucker",
            covariance=moments_of(draw, target, norm),
            ridge=config.ridge,
            # Two starts in every norm: what is isotropic starts from a random point, the others
            # from where that ended.
            starts=1 if norm == "isotropic" else 0,
            given=() if norm == "isotropic" else (found["isotropic"],),
            max_sweeps=config.sweeps,
        )
    return found


def learn(config: Config, kind: str, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """One network and all its compressions."""
    images = data.digits(seed)
    settings = ImageTraining(epochs=config.epochs, batch=64, learning_rate=0.05, pad=1, flip=False)
    terms = LayerTerms(powers=tuple((k, 1.0) for k in config.orders)) if kind == "task" else None
    module = ResNet(images.classes, terms, "blocks", config.width, (1, 1))
    program = Program(module, images, settings)
    state = program.start(jax.random.key(seed))
    for _ in range(config.epochs):
        state, _ = program.train(state)
    variables = {"params": state.params, "batch_stats": state.statistics}
    train, test = (
        convolutions(module, variables, standardised(samples.x, samples), train=False)
        for samples in (program.train_samples, program.test_samples)
    )

    def judged(kernels: dict[str, Any]) -> dict[str, float]:
        params = with_kernels(variables, kernels)["params"]
        loss, right = program.test(state._replace(params=params))
        return {"loss": loss, "accuracy": right}

    key, rows = jax.random.key(seed), []
    wholes: dict[tuple[str, int, str], dict[str, Any]] = {}
    for number, target in enumerate(targets(config, train, test)):
        for method in config.methods if not target.part else config.methods[:2]:
            for level in range(len(config.ranks)):
                own = jax.random.fold_in(jax.random.fold_in(key, number), level)
                controls = config.controls and not target.part and method != "tucker"
                each = compressed(config, own, target, method, level, controls)
                for norm, found in each.items():
                    kernels = target.replaced(found.kernel)
                    if not target.part:
                        wholes.setdefault((method, level, norm), {}).update(kernels)
                    plain, size = target.layer, target.layer.size
                    few, many = networks.multiplications(
                        found, size, strides=plain.strides, padding=plain.padding
                    )
                    error = functools.partial(networks.output_error, target.kernel, found.kernel)
                    rows.append(
                        {
                            "path": target.path,
                            "part": target.part,
                            "method": method,
                            "level": level,
                            "norm": norm,
                            "shape": list(target.kernel.shape),
                            "train": error(target.train.second),
                            "test": error(target.test.second),
                            "corrected": error(target.test.about(target.train.mean)),
                            "kernel": error(jnp.eye(len(target.train.mean))),
                            "parameters": found.parameters / target.kernel.size,
                            "multiplications": few / many,
                            "sweeps": len(found.history) - 1,
                            "converged": found.converged,
                            **judged(kernels),
                        }
                    )
    whole = [
        {"method": method, "level": level, "norm": norm, **judged(kernels)}
        for (method, level, norm), kernels in wholes.items()
    ]
    return {}, {"rows": rows, "whole": whole, "network": judged({})}


def name_of(point: tuple[str, int]) -> str:
    """Name of the cell of a kind and seed."""
    return "{}-seed{}".format(*point)


def main(config: Config) -> Path:
    """Run the experiment; returns the run's folder."""
    runs.setup()
    with runs.refusals():
        if len(config.ranks) != len(config.shares) or not config.ranks:
            raise ValueError("there must be as many ranks as shares, one at least")
        if config.seeds < 1 or not config.kinds or not config.methods:
            raise ValueError("there must be a seed, a kind and a method, at least")
        if not all(0 < share <= 1 for share in config.shares):
            raise ValueError(f"shares must be above 0 and at most 1, got {config.shares}")
    with runs.open_run(config.root, "kernel_compression", config, seed=config.seed) as run:
        points = [(kind, config.seed + i) for kind in config.kinds for i in range(config.seeds)]
        done: dict[str, list[dict[str, Any]]] = {}
        for (kind, _), _, values in run.sweep(
            points, name_of, lambda point: learn(config, *point), description="networks"
        ):
            done.setdefault(kind, []).append(values)
        summarise(run, config, done)
    return run.path


def select(records: list[dict[str, Any]], table: str, name: str, **wanted: Any) -> np.ndarray:
    """One column of the rows of all seeds that have these values."""
    return np.array(
        [
            row[name]
            for each in records
            for row in each[table]
            if all(row[key] == value for key, value in wanted.items())
        ]
    )


def spread(values: np.ndarray, scale: float = 1.0) -> str:
    """Median, and in brackets least and largest."""
    middle, low, high = np.median(values) * scale, values.min() * scale, values.max() * scale
    return f"{middle:.3g} ({low:.3g}-{high:.3g})"


def summarise(run: runs.Run, config: Config, done: dict[str, list[dict[str, Any]]]) -> None:
    """Tables, results and the figure."""
    levels = range(len(config.ranks))
    panels: dict[str, Any] = {}
    errors, accuracies, powers, controls = [], [], [], []
    below = total = 0
    worst = 0.0
    for kind, records in done.items():
        panel: dict[str, Any] = {}
        for method in config.methods:
            curves = {norm: [[], [], [], []] for norm in NORMS}  # type: ignore[var-annotated]
            for level in levels:
                title = (
                    KINDS[kind],
                    METHODS[method],
                    f"R = {config.ranks[level]}" if method == "cp" else f"{config.shares[level]:g}",
                )
                at: dict[str, Any] = {"method": method, "level": level}
                for norm in NORMS:
                    layers = at | {"norm": norm, "part": ""}
                    for column, values in zip(
                        curves[norm],
                        (
                            np.median(select(records, "rows", "parameters", **layers)),
                            select(records, "rows", "test", **layers),
                            select(records, "rows", "accuracy", **layers),
                            select(records, "whole", "accuracy", **at, norm=norm),
                        ),
                        strict=True,
                    ):
                        column.append(values)
                for part in ("", *(f"x^{k}" for k in config.orders)):
                    own = at | {"part": part}
                    plain, driven = (
                        select(records, "rows", "test", **own, norm=norm) for norm in NORMS
                    )
                    if not len(plain):
                        continue
                    below, total = below + int(np.sum(driven < plain)), total + len(plain)
                    worst = max(worst, float(np.max(driven / plain)))
                    row = (spread(plain), spread(driven), spread(driven / plain))
                    if part:
                        powers.append((f"{part.replace('^1', '')}", *title[1:], *row))
                    else:
                        share = spread(select(records, "rows", "parameters", **own), 100)
                        work = select(records, "rows", "multiplications", **own)
                        errors.append((*title, share, spread(work, 100), *row))
                accuracies.append(
                    (
                        *title,
                        *(
                            spread(np.asarray(curves[norm][i][-1]), 100)
                            for i in (2, 3)
                            for norm in NORMS
                        ),
                    )
                )
                if config.controls and method != "tucker":
                    own = at | {"part": ""}
                    base = select(records, "rows", "test", **own, norm="isotropic")
                    centre = select(records, "rows", "corrected", **own, norm="isotropic")
                    controls.append(
                        (
                            *title,
                            *(
                                spread(select(records, "rows", "test", **own, norm=norm) / base)
                                for norm in ("data", "white", "permuted")
                            ),
                            spread(
                                select(records, "rows", "corrected", **own, norm="centred") / centre
                            ),
                        )
                    )
            panel[METHODS[method]] = {NORMS[norm]: tuple(curves[norm]) for norm in NORMS}
        network = np.array([each["network"]["accuracy"] for each in records])
        panels[KINDS[kind]] = (float(np.median(network)), panel)
        print(f"{KINDS[kind]} networks, not compressed: {spread(network, 100)} % right")
    run.save_results({}, {"networks": done, "below": below, "total": total, "worst_ratio": worst})
    run.save_figure(plots.plot_compression(panels), "kernel_compression")
    named = ("network", "method", "rank")
    brackets = "median (least-largest)"
    runs.print_table(
        f"Relative output error of a layer on held-out images, {config.seeds} seeds, {brackets}",
        (*named, "parameters %", "multiplications %", "isotropic", "data", "ratio"),
        errors,
    )
    runs.print_table(
        f"Right test images in %, nothing trained again, {brackets}",
        (*named, "one layer: isotropic", "data", "all layers: isotropic", "data"),
        accuracies,
    )
    if powers:
        runs.print_table(
            f"The kernel of one power alone, held-out output error of that term, {brackets}",
            ("kernel", "method", "rank", "isotropic", "data", "ratio"),
            powers,
        )
    if controls:
        runs.print_table(
            "Held-out error over that of the isotropic norm, for other second moments; the last "
            f"with a corrected bias on both sides, {brackets}",
            (*named, "data", "white noise", "permuted", "centred"),
            controls,
        )
    print(
        f"the data's norm has the lower held-out error in {below} of {total} compressions, "
        f"the largest ratio is {worst:.3g}"
    )
    print(f"results and figures: {run.path}")


if __name__ == "__main__":
    sys.exit(runs.script(main, Config, PRESETS, description=__doc__))
