import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsjax.data import Images
from nsjax.neuronseek import LayerTerms
from nsjax.neuronseek.architectures import count_parameters
from nsjax.neuronseek.image_training import ImageTraining, Program, augmented, moments
from nsjax.neuronseek.resnet import ResNet

TERMS = LayerTerms(((1, 1.0), (2, 1.0)), ((2, 2, 1.0),))


def bars(n=96, seed=0):
    """Images of one bright row or column: two classes that a small network tells apart."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 60, (n, 8, 8, 1)).astype(np.uint8)
    y = rng.integers(0, 2, n).astype(np.int32)
    for image, kind, place in zip(x, y, rng.integers(0, 8, n), strict=True):
        image[place, :] += 150 * (1 - kind).astype(np.uint8)
        image[:, place] += 150 * kind.astype(np.uint8)
    return x, y


def images():
    return Images(*bars(96, 0), *bars(50, 1), 2)


SHORT = ImageTraining(epochs=6, batch=32, learning_rate=0.1, pad=1, flip=True)


def small(terms=TERMS, **options):
    return ResNet(2, terms, width=4, blocks=(1,), **options)


@pytest.fixture(scope="module")
def program():
    return Program(small(), images(), SHORT)


def test_classes_are_learned_and_a_run_can_go_on(program):
    """Six epochs at once, and three and three with the state through NumPy in between."""
    state = program.start(jax.random.key(0))
    first = None
    for epoch in range(6):
        state, (loss, right) = program.train(state)
        if epoch == 2:
            first = jax.tree.map(np.array, state)
    assert int(state.epoch) == 6
    assert program.test(state)[1] > 0.8
    assert right > 0.8
    again = jax.tree.map(jnp.asarray, first)
    for _ in range(3):
        again, (other, _) = program.train(again)
    assert other == pytest.approx(loss, rel=1e-4)


def test_the_test_set_counts_every_image_once(program):
    """50 images in batches of 32: what fills up the last one does not count."""
    state = program.start(jax.random.key(1))
    x = (program.images.x_test.astype(np.float32) / 255 - np.asarray(program.test_samples.mean)) / (
        np.asarray(program.test_samples.spread)
    )
    variables = {"params": state.params, "batch_stats": state.statistics}
    logits = np.asarray(program.module.apply(variables, x), float)
    y = program.images.y_test
    top = logits.max(axis=1)
    logs = logits - (top + np.log(np.sum(np.exp(logits - top[:, None]), axis=1)))[:, None]
    loss, right = program.test(state)
    assert loss == pytest.approx(-np.mean(logs[np.arange(50), y]), rel=1e-4)
    assert right == pytest.approx(np.mean(logits.argmax(axis=1) == y))


def test_means_of_many_pixels_are_right():
    """Sums of float32 would stick at 2^24, with a mean of a third here."""
    x = np.broadcast_to(np.array([0, 255], np.uint8)[:, None, None, None], (2, 6000, 6000, 1))
    mean, spread = moments(x)
    np.testing.assert_allclose([mean, spread], 0.5)
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (9, 5, 4, 3), np.uint8)
    np.testing.assert_allclose(moments(x)[0], x.mean(axis=(0, 1, 2)) / 255, rtol=1e-6)
    np.testing.assert_allclose(moments(x)[1], x.std(axis=(0, 1, 2)) / 255, rtol=1e-6)


def test_images_are_moved_and_mirrored():
    x = jnp.arange(1, 1 + 3 * 5 * 5, dtype=jnp.uint8).reshape(3, 5, 5, 1)
    key = jax.random.key(0)
    assert jnp.array_equal(augmented(key, x, pad=0, flip=False), x)
    seen = set()
    for i in range(60):
        found = np.asarray(augmented(jax.random.key(i), x, pad=1, flip=True))[0, :, :, 0]
        wide = np.pad(np.asarray(x)[0, :, :, 0], 1)
        moves = {
            (r, c, f): wide[r : r + 5, c : c + 5][:, :: -1 if f else 1]
            for r in range(3)
            for c in range(3)
            for f in (False, True)
        }
        seen |= {place for place, each in moves.items() if np.array_equal(each, found)}
    assert len(seen) == 18


def test_a_resnet18_has_its_number_of_parameters():
    """As counted by others for CIFAR-10; and kernels of 64 channels for each further term."""
    plain = count_parameters(ResNet(10), (32, 32, 3))
    assert plain == 11_173_962
    driven = count_parameters(ResNet(10, LayerTerms(((1, 1.0), (2, 1.0)))), (32, 32, 3))
    assert driven == plain + 9 * 3 * 64 + 2
    blocks = ResNet(10, LayerTerms(((1, 1.0), (2, 1.0))), "blocks")
    kernels = 2 * 64 * 64 + 64 * 128 + 128 * 128 + 128 * 256 + 256 * 256 + 256 * 512 + 512 * 512
    assert count_parameters(blocks, (32, 32, 3)) == plain + 9 * kernels + 2 * 8


def test_half_precision_keeps_parameters_and_logits_whole():
    module = small(dtype=jnp.bfloat16)
    variables = module.init(jax.random.key(0), jnp.ones((2, 8, 8, 1), jnp.float32))
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    assert module.apply(variables, jnp.ones((2, 8, 8, 1), jnp.float32)).dtype == jnp.float32
    program = Program(module, images(), SHORT)
    state = program.start(jax.random.key(0))
    for _ in range(SHORT.epochs):
        state, (_, right) = program.train(state)
    assert right > 0.9
    assert {leaf.dtype for leaf in jax.tree.leaves(state.params)} == {jnp.dtype("float32")}


SHARDED = """
import jax, numpy as np
from tests.neuronseek.test_image_training import images, small, SHORT
from nsjax.neuronseek.image_training import Program
assert jax.device_count() == 2
losses = []
for devices in (jax.devices(), jax.devices()[:1]):
    program = Program(small(), images(), SHORT, devices=devices)
    state, (loss, _) = program.train(program.start(jax.random.key(0)))
    losses.append((loss, program.test(state)[0]))
np.testing.assert_allclose(losses[0], losses[1], rtol=1e-3)
"""


def test_a_place_that_is_none_is_named():
    with pytest.raises(ValueError, match="where must be one of"):
        ResNet(2, TERMS, "block").init(jax.random.key(0), jnp.ones((1, 8, 8, 1)))


def test_two_devices_train_as_one():
    flags = "--xla_force_host_platform_device_count=2"
    environment = {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-c", SHARDED], check=True, env=environment, timeout=300)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"batch": 0}, "batch"),
        ({"learning_rate": 0}, "learning_rate"),
        ({"pad": 1.5}, "pad"),
        ({"momentum": 1.0}, "momentum"),
        ({"flip": "no"}, "flip"),
    ],
)
def test_bad_settings_are_named(settings, said):
    with pytest.raises((TypeError, ValueError), match=said):
        ImageTraining(**settings)


def test_a_batch_must_not_be_larger_than_the_data():
    with pytest.raises(ValueError, match="batch must be at most 96"):
        Program(small(), images(), ImageTraining(batch=128))
    with pytest.raises(TypeError, match="config"):
        Program(small(), images(), 3)
