"""Training of image classifiers: whole epochs are compiled, and devices share every batch.

Stochastic gradient descent with Nesterov momentum, decay and a cosine schedule. Images stay on the
device as bytes; they are shuffled, cropped, flipped and standardised there.
"""

from __future__ import annotations

import copy
import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import NamedSharding, PartitionSpec

from nsjax import _check
from nsjax.data.images import Images


@dataclass(frozen=True)
class ImageTraining:
    """Settings of the training. Frozen and hashable.

    Raises:
        TypeError, ValueError: on making one with a bad setting, which is named.
    """

    epochs: int = 50
    """Epochs; the learning rate falls to zero along a cosine over all of them."""
    batch: int = 128
    """Images of a minibatch, over all devices; the rest of an epoch is left out."""
    learning_rate: float = 0.1
    """Largest learning rate, after a linear rise over the first epoch."""
    momentum: float = 0.9
    """Of Nesterov's kind."""
    weight_decay: float = 5e-4
    """Weight of `1/2 ||w||^2`."""
    pad: int = 4
    """Images are moved by up to so many pixels; 0 for none."""
    flip: bool = True
    """Whether they are mirrored at random."""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch"):
            _check.positive_integer(name, getattr(self, name))
        _check.positive("learning_rate", self.learning_rate)
        _check.non_negative("weight_decay", self.weight_decay)
        if _check.non_negative("momentum", self.momentum) >= 1:
            raise ValueError(f"momentum must be below 1, got {self.momentum!r}")
        if self.pad != 0:
            _check.positive_integer("pad", self.pad)
        if not isinstance(self.flip, bool):
            raise TypeError(f"flip must be True or False, got {self.flip!r}")


class ImageState(NamedTuple):
    """Between two epochs; a pytree of arrays alone, to be saved as it is.

    Attributes:
        params: of the network.
        statistics: running means and variances of the batches.
        memory: of the optimiser.
        key: PRNG key data, uint32.
        epoch: epochs done.
    """

    params: Any
    statistics: Any
    memory: Any
    key: jax.Array
    epoch: jax.Array


class Samples(NamedTuple):
    """Images and classes on the device.

    Attributes:
        x: images `(n, h, w, c)`, bytes.
        y: classes `(n,)`, integers.
        mean, spread: of every channel over 255, `(c,)`, float32, as `moments` gives.
    """

    x: jax.Array
    y: jax.Array
    mean: jax.Array
    spread: jax.Array


class Program:
    """Compiled programs of one network, data set and setting.

    Args:
        module: flax module `(images, train) -> logits` with the collection `batch_stats`.
        images: the data.
        config: settings.
        devices: that share every batch; all of this process if not given. Their number must divide
            the batch.

    Raises:
        TypeError, ValueError: for other settings, and for fewer images than a batch.
    """

    def __init__(
        self,
        module: Any,
        images: Images,
        config: ImageTraining | None = None,
        *,
        devices: Any = None,
    ) -> None:
        self.config = ImageTraining() if config is None else config
        if not isinstance(self.config, ImageTraining):
            raise TypeError(f"config must be an ImageTraining, got {type(config).__name__}")
        devices = jax.local_devices() if devices is None else list(devices)
        if self.config.batch % len(devices) or self.config.batch > len(images.x_train):
            raise ValueError(
                f"batch must be at most {len(images.x_train)}, the images, and a multiple of "
                f"{len(devices)}, the devices, got {self.config.batch}"
            )
        self.module, self.images = module, images
        mesh = jax.sharding.Mesh(np.array(devices), ("batch",))
        self.everywhere = NamedSharding(mesh, PartitionSpec())
        self.split = NamedSharding(mesh, PartitionSpec("batch"))
        mean, spread = moments(images.x_train)

        def put(x: np.ndarray, y: np.ndarray) -> Samples:
            parts = map(jnp.asarray, (x, y, mean, spread))
            return jax.device_put(Samples(*parts), self.everywhere)

        self.train_samples = put(images.x_train, images.y_train)
        self.test_samples = put(images.x_test, images.y_test)
        self.steps = len(images.x_train) // self.config.batch
        self._compile()

    def _compile(self) -> None:
        self._epoch = jax.jit(self._train_epoch, donate_argnums=0)
        self._evaluate = jax.jit(self._test)

    def of(self, module: Any) -> Program:
        """The same for another network; both share the images on the devices."""
        other = copy.copy(self)
        other.module = module
        other._compile()
        return other

    def start(self, key: jax.Array) -> ImageState:
        """The state before the first epoch, all of whose random numbers follow from the `key`.

        Raises:
            TypeError, ValueError: for a bad key.
        """
        _check.key("key", key)
        first, rest = jax.random.split(key)
        shape = (1, *self.images.x_train.shape[1:])

        def init(key: jax.Array) -> tuple[Any, Any, Any]:
            variables = self.module.init(key, jnp.zeros(shape, jnp.float32), train=False)
            params = variables["params"]
            return params, variables.get("batch_stats", {}), self._optimiser().init(params)

        params, statistics, memory = jax.jit(init)(first)
        zero = jnp.zeros((), jnp.int32)
        state = ImageState(params, statistics, memory, jax.random.key_data(rest), zero)
        return jax.device_put(state, self.everywhere)

    def train(self, state: ImageState) -> tuple[ImageState, tuple[float, float]]:
        """One epoch from `state`; with the mean loss and the share of right classes on the way."""
        state, record = self._epoch(state, self.train_samples)
        return state, (float(record[0]), float(record[1]))

    def test(self, state: ImageState) -> tuple[float, float]:
        """Mean loss and share of right classes on the test images, at `state`."""
        loss, right = self._evaluate(state, self.test_samples)
        return float(loss), float(right)

    def _optimiser(self) -> Any:
        config = self.config
        schedule = optax.warmup_cosine_decay_schedule(
            0.0,
            config.learning_rate,
            min(self.steps, max(config.epochs * self.steps - 1, 1)),
            max(config.epochs * self.steps, 2),
        )
        return optax.chain(
            optax.add_decayed_weights(config.weight_decay),
            optax.sgd(schedule, momentum=config.momentum, nesterov=True),
        )

    def _train_epoch(self, state: ImageState, samples: Samples) -> Any:
        config, optimiser = self.config, self._optimiser()
        shuffle, turn, rest = jax.random.split(jax.random.wrap_key_data(state.key), 3)
        rows = jax.random.permutation(shuffle, len(samples.x))[: self.steps * config.batch]

        def loss(params: Any, statistics: Any, x: jax.Array, y: jax.Array) -> Any:
            logits, changed = self.module.apply(
                {"params": params, "batch_stats": statistics},
                x,
                train=True,
                mutable=["batch_stats"],
            )
            each = optax.softmax_cross_entropy_with_integer_labels(logits, y)
            right = jnp.mean(jnp.argmax(logits, axis=1) == y)
            return jnp.mean(each), (changed.get("batch_stats", statistics), right)

        def step(carry: Any, inputs: tuple[jax.Array, jax.Array]) -> Any:
            params, statistics, memory = carry
            rows, key = inputs
            rows = jax.lax.with_sharding_constraint(rows, self.split)
            x = augmented(key, samples.x[rows], pad=config.pad, flip=config.flip)
            x = jax.lax.with_sharding_constraint(standardised(x, samples), self.split)
            y = jax.lax.with_sharding_constraint(samples.y[rows], self.split)
            (value, (statistics, right)), slope = jax.value_and_grad(loss, has_aux=True)(
                params, statistics, x, y
            )
            updates, memory = optimiser.update(slope, memory, params)
            return (optax.apply_updates(params, updates), statistics, memory), (value, right)

        (params, statistics, memory), records = jax.lax.scan(
            step,
            (state.params, state.statistics, state.memory),
            (rows.reshape(self.steps, config.batch), jax.random.split(turn, self.steps)),
        )
        after = ImageState(params, statistics, memory, jax.random.key_data(rest), state.epoch + 1)
        return after, jax.tree.map(jnp.mean, records)

    def _test(self, state: ImageState, samples: Samples) -> tuple[jax.Array, jax.Array]:
        n, batch = len(samples.x), self.config.batch
        count = -(-n // batch)
        # The last batch is filled up with the first images, which then count nothing.
        rows = jnp.arange(count * batch) % n

        def one(rows: jax.Array) -> tuple[jax.Array, jax.Array]:
            x = standardised(samples.x[rows], samples)
            x = jax.lax.with_sharding_constraint(x, self.split)
            variables = {"params": state.params, "batch_stats": state.statistics}
            logits = self.module.apply(variables, x, train=False)
            y = samples.y[rows]
            each = optax.softmax_cross_entropy_with_integer_labels(logits, y)
            return each, jnp.argmax(logits, axis=1) == y

        losses, right = jax.lax.map(one, rows.reshape(count, batch))
        return jnp.mean(losses.ravel()[:n]), jnp.mean(right.ravel()[:n])


def moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means and standard deviations of the channels of x, over 255, float32; 1 for no spread.

    From counts of the 256 values: sums of a few million float32 numbers would be wrong.

    Args:
        x: bytes `(..., c)`.

    Returns:
        Two arrays `(c,)`.
    """
    channels = x.reshape(-1, x.shape[-1]).T
    counts = np.stack([np.bincount(each, minlength=256) for each in channels]) / channels.shape[1]
    values = np.arange(256) / 255
    mean = counts @ values
    spread = np.sqrt(np.sum(counts * (values - mean[:, None]) ** 2, axis=1))
    return mean.astype(np.float32), np.where(spread > 0, spread, 1).astype(np.float32)


@functools.partial(jax.jit, static_argnames=("pad", "flip"))
def augmented(key: jax.Array, x: jax.Array, *, pad: int, flip: bool) -> jax.Array:
    """Images, each moved at random, zeros coming in, and mirrored with probability one half.

    Args:
        key: PRNG key.
        x: images `(n, h, w, c)`.
        pad: pixels by which they are moved at most; 0 for none.
        flip: whether any are mirrored.
    """
    n, h, w, c = x.shape
    move, turn = jax.random.split(key)
    if pad:
        places = jax.random.randint(move, (n, 2), 0, 2 * pad + 1)
        wide = jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
        x = jax.vmap(lambda image, at: jax.lax.dynamic_slice(image, (at[0], at[1], 0), (h, w, c)))(
            wide, places
        )
    if flip:
        mirrored = jax.random.bernoulli(turn, shape=(n, 1, 1, 1))
        x = jnp.where(mirrored, x[:, :, ::-1], x)
    return x


def standardised(x: jax.Array, samples: Samples) -> jax.Array:
    """Bytes x as a network gets them: over 255, less the mean, over the spread of the channel.

    Mean and spread are those of `samples`.
    """
    return (x.astype(jnp.float32) / 255 - samples.mean) / samples.spread
