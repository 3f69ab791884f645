"""Residual networks with task-driven convolutions, beside plain ones: CIFAR-10, or digits.

A formula for the classes is searched for on shrunk training images (NeuronSeek, arXiv 2506.15715),
and its terms become those of the first convolution of a ResNet18, or of the first one of every
block. A wider plain network has about as many parameters as the last. Several
seeds on one split; accuracy, parameters and FLOPs; training curves. Every epoch is kept, and a run
that was stopped goes on with the next one.

`--preset tiny` runs the whole path in minutes on a CPU, with few images and a small net, also with
`--data cifar10`: its accuracy means nothing. `digits` compares small networks on all 1,797 digits,
in earnest. `full` is CIFAR-10 for 50 epochs, for accelerators. CIFAR-10 is read from `--data-dir`,
a folder with the binary batches or an npz file.
"""

from __future__ import annotations

import functools
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from nsjax import data, neuronseek, plots, runs
from nsjax.data import Images
from nsjax.neuronseek import LayerTerms, architectures
from nsjax.neuronseek.image_training import ImageTraining, Program
from nsjax.neuronseek.resnet import ResNet

Kind = Literal["plain", "first", "blocks", "wide"]
NAMES = {
    "plain": "plain",
    "first": "first convolution task-driven",
    "blocks": "first of every block task-driven",
    "wide": "plain, wider",
}


@dataclass(frozen=True)
class Config:
    """Settings of the comparison on images."""

    preset: Literal["tiny", "digits", "full"] = "tiny"
    """Which set of defaults the other settings start from."""
    data: Literal["cifar10", "digits"] = "digits"
    """Which images."""
    data_dir: Path | None = field(default=None, compare=False)
    """Folder with CIFAR-10's binary batches, or an npz file."""
    kinds: tuple[Kind, ...] = ("plain", "first", "blocks", "wide")
    """Plain networks, those whose first convolution, or first of every block, is task-driven, and
    plain ones with about as many parameters as the last."""
    images: int | None = 256
    """Most training images; None for all. As many again at most are tested on."""
    width: int = 8
    """Channels of the first stage."""
    blocks: tuple[int, ...] = (1, 1)
    """Residual blocks of every stage; (2, 2, 2, 2) makes a ResNet18."""
    epochs: int = 3
    """Epochs of training."""
    batch: int = 64
    """Images of a minibatch, over all devices."""
    learning_rate: float = 0.1
    """Largest learning rate."""
    half: bool = False
    """Whether networks compute in bfloat16."""
    formula: Path | None = None
    """A formula as JSON in place of the search."""
    searched: int = 1000
    """Most images of the search."""
    least: float = 0.02
    """Terms whose coefficient is below this share of the largest are left out."""
    seeds: int = 1
    """Number of seeds, from `seed` on."""
    seed: int = 0
    """First seed."""
    root: Path = field(default=Path("runs"), compare=False)
    """Where run folders go."""


PRESETS = {
    "tiny": Config(),
    "digits": Config(
        preset="digits", images=None, width=16, epochs=20, learning_rate=0.05, seeds=5
    ),
    "full": Config(
        preset="full",
        data="cifar10",
        images=None,
        width=64,
        blocks=(2, 2, 2, 2),
        epochs=50,
        batch=128,
        half=True,
        seeds=3,
    ),
}
SIDE = 4
"""Height and width of the images of the search."""
PRODUCTS = 4
"""Most products that the search may find."""


def read(config: Config) -> Images:
    """The images, as many as asked for."""
    if config.data == "digits":
        found = data.digits(config.seed)
    elif config.data_dir is None:
        raise ValueError("data_dir must name a folder with CIFAR-10, or an npz file")
    else:
        found = data.cifar10(config.data_dir)
    if config.images is None:
        return found
    rng = np.random.default_rng(config.seed)
    rows = rng.permutation(len(found.x_train))[: config.images]
    test = rng.permutation(len(found.x_test))[: config.images]
    return Images(
        found.x_train[rows],
        found.y_train[rows],
        found.x_test[test],
        found.y_test[test],
        found.classes,
    )


def shrunk(x: np.ndarray) -> np.ndarray:
    """Means over squares of pixels, `(n, SIDE * SIDE * channels)`, standardised."""
    n, h, w, c = x.shape
    high, wide = h // SIDE * SIDE, w // SIDE * SIDE
    parts = x[:, :high, :wide].reshape(n, SIDE, high // SIDE, SIDE, wide // SIDE, c)
    means = parts.mean(axis=(2, 4)).reshape(n, -1) / 255
    return np.asarray(data.standardised("images", means[:, np.ptp(means, axis=0) > 0]))


def find(config: Config, images: Images) -> dict[str, Any]:
    """A formula for the classes from shrunk images, as stored."""
    if config.formula is not None:
        text = config.formula.read_text(encoding="utf-8")
        return {"json": neuronseek.Formula.from_json(text).to_json(), "seconds": 0.0}
    rows = np.random.default_rng(config.seed).permutation(len(images.x_train))[: config.searched]
    begun = time.process_time()
    found = neuronseek.search(
        jax.random.key(config.seed),
        shrunk(images.x_train)[rows],
        images.y_train[rows].astype(float)[:, None],
        neuronseek.Config(powers=(1, 2, 3), interactions=(2,), max_terms=PRODUCTS),
        loss="cross_entropy",
    )
    return {
        "json": found.formula.to_json(),
        "wrong": found.validation_error,
        "seconds": time.process_time() - begun,
    }


def network(config: Config, kind: str, images: Images, terms: LayerTerms) -> Any:
    """A network of one kind."""

    def of(width: int, terms: LayerTerms | None, where: Any = "first") -> ResNet:
        dtype = jnp.bfloat16 if config.half else jnp.float32
        return ResNet(images.classes, terms, where, width, config.blocks, dtype)

    if kind == "plain":
        return of(config.width, None)
    if kind == "first":
        return of(config.width, terms)
    driven = of(config.width, terms, "blocks")
    if kind == "blocks":
        return driven
    size = images.x_train.shape[1:]
    wanted = architectures.count_parameters(driven, size)
    return architectures.of_size(lambda width: of(width, None), size, wanted, most=4096)


def name_of(point: tuple[str, int]) -> str:
    """Name of the cell of a kind and seed."""
    return "{}-seed{}".format(*point)


def train(run: runs.Run, config: Config, program: Program, kind: str, seed: int) -> np.ndarray:
    """One network: its curves, `(5, epochs)`."""
    state = program.start(jax.random.key(seed))
    # Loss and share of right ones on training images, the same on test images, seconds.
    curves = np.full((5, config.epochs), np.nan)
    with run.checkpoints(name_of((kind, seed))) as kept:
        saved = kept.restore({"state": state, "curves": curves})
        if saved is not None:
            state, curves = saved["state"], np.array(saved["curves"])
        for epoch in range(int(state.epoch), config.epochs):
            begun = time.perf_counter()
            state, trained = program.train(state)
            curves[:, epoch] = (*trained, *program.test(state), time.perf_counter() - begun)
            kept.save(epoch + 1, {"state": state, "curves": curves})
            run.log(
                f"{kind}, seed {seed}, epoch {epoch + 1}: {curves[3, epoch]:.1%} right", echo=True
            )
    return curves


def main(config: Config) -> Path:
    """Run the experiment; returns the run's folder."""
    runs.setup()
    with runs.refusals():
        images = read(config)
        settings = ImageTraining(
            epochs=config.epochs,
            batch=config.batch,
            learning_rate=config.learning_rate,
            pad=images.x_train.shape[1] // 8,
            flip=config.data != "digits",
        )
        if min(images.x_train.shape[1:3]) < SIDE:
            raise ValueError(f"images must have {SIDE} x {SIDE} pixels or more")
        if config.seeds < 1 or not config.kinds or min(config.blocks, default=0) < 1:
            raise ValueError("there must be a seed, a kind and a stage of blocks, at least")
        program = Program(network(config, "plain", images, LayerTerms()), images, settings)
        if config.formula is not None:
            find(config, images)
    # The settings only name files.
    contents = images._asdict()
    if config.formula is not None:
        contents["formula"] = config.formula.read_bytes()
    with runs.open_run(
        config.root, "resnet_cifar10", config, seed=config.seed, data=contents
    ) as run:
        _, values = run.once("formula", lambda: ({}, find(config, images)))
        formula = neuronseek.Formula.from_json(values["json"])
        # Of a constant, plain neurons.
        terms = LayerTerms.of(formula, least=config.least) if formula.terms() else LayerTerms()
        run.save_text(formula.to_json(), "formula.json")
        run.log(f"terms: {terms}", echo=True)
        modules = {kind: network(config, kind, images, terms) for kind in config.kinds}
        points = [(kind, config.seed + i) for kind in modules for i in range(config.seeds)]
        built = functools.cache(lambda kind: program.of(modules[kind]))
        done: dict[Kind, list[Any]] = {}
        for (kind, _), arrays, _ in run.sweep(
            points,
            name_of,
            lambda point: ({"curves": train(run, config, built(point[0]), *point)}, {}),
            description="networks",
        ):
            done.setdefault(kind, []).append(arrays["curves"])
        summarise(run, config, images, modules, done)
    return run.path


def summarise(
    run: runs.Run,
    config: Config,
    images: Images,
    modules: dict[Kind, Any],
    done: dict[Kind, list[np.ndarray]],
) -> None:
    """Table, results and figures."""
    rows: list[tuple[str, ...]] = []
    results: dict[str, dict[str, Any]] = {}
    curves: dict[str, np.ndarray] = {}
    size = images.x_train.shape[1:]
    for kind, cells in done.items():
        curves[NAMES[kind]] = table = np.stack(cells)
        found = table[:, 3, -1]
        results[kind] = {
            "accuracies": found,
            "parameters": architectures.count_parameters(modules[kind], size),
            "flops": architectures.flops(modules[kind], size),
            # The first epoch compiles.
            "seconds an epoch": float(np.median(table[:, 4, min(1, config.epochs - 1) :])),
        }
        rows.append(
            (
                NAMES[kind],
                f"{100 * np.mean(found):.2f}",
                f"{100 * np.std(found, ddof=1):.2f}" if len(found) > 1 else "-",
                f"{results[kind]['parameters']:,}",
                f"{results[kind]['flops']:.3g}",
                f"{results[kind]['seconds an epoch']:.1f}",
            )
        )
    run.save_results({}, results)
    losses = {name: each[:, 0] for name, each in curves.items()}
    figure = plots.plot_learning_curves(losses, quantity="training loss (nats)")
    run.save_figure(figure, "training")
    wrong = {name: 1 - each[:, 3] for name, each in curves.items()}
    log = min(np.nanmin(each) for each in wrong.values()) > 0
    figure = plots.plot_learning_curves(wrong, quantity="share of wrong test images", log=log)
    run.save_figure(figure, "curves")
    runs.print_table(
        f"{config.data}: {len(images.x_train)} images to train on, {len(images.x_test)} to test "
        f"on, {config.epochs} epochs, {config.seeds} seeds",
        ("network", "right (%)", "sd", "parameters", "FLOPs an image", "s an epoch"),
        rows,
    )
    if config.preset == "tiny":
        print("This preset shows that everything runs; its accuracy means nothing.")
    print(f"results and figures: {run.path}")


if __name__ == "__main__":
    sys.exit(runs.script(main, Config, PRESETS, description=__doc__))
