"""Working units: homogeneity undone exactly, relative losses, prediction errors, bad data."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsjax import PolyLeakyReLU, networks
from nsjax.objectives import LOSSES
from nsjax.pursuit.problem import prediction_error, prepare, reference_loss

CASES = ((1, 2, 0.0), (2, 3, 1.0), (3, 2, 0.5), (2, 4, -1.0))
"""Degree, layers, slope."""


def problem(p, depth, slope, *, outputs=2, seed=0):
    """Inputs of sizes between 0.5 and 50, targets of a network of two neurons a layer."""
    keys = jax.random.split(jax.random.key(seed), 3)
    x = jax.random.normal(keys[0], (12, 3)) * jnp.geomspace(0.5, 50, 12)[:, None]
    params = networks.init(keys[1], (3, *(2,) * (depth - 1), outputs))
    activation = PolyLeakyReLU(p, slope)
    return x, networks.apply(params, x, activation), params, activation


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize(("p", "depth", "slope"), CASES)
def test_the_same_weights_fit(p, depth, slope, normalise):
    """What generated the targets fits them in working units, and the way back is exact."""
    x, y, params, activation = problem(p, depth, slope)
    working, units = prepare(x, y, loss="square", p=p, depth=depth, normalise=normalise)
    inside = units.into(params)
    size = float(jnp.max(jnp.abs(working.y)))
    outputs = networks.apply(inside, working.x, activation)
    np.testing.assert_allclose(outputs, working.y, rtol=1e-10, atol=1e-12 * size)
    for back, weight in zip(units.back(inside), params, strict=True):
        np.testing.assert_allclose(back, weight, rtol=1e-14)


@pytest.mark.parametrize(("p", "depth", "slope"), CASES)
def test_outputs_are_those_over_the_scale(p, depth, slope):
    """Without normalising samples: of any network, by the targets' root mean square."""
    x, y, _, activation = problem(p, depth, slope)
    others = networks.init(jax.random.key(7), (3, *(4,) * (depth - 1), 2))
    working, units = prepare(x, y, loss="square", p=p, depth=depth, normalise=False)
    scale = np.sqrt(np.mean(np.sum((y - np.mean(y, axis=0)) ** 2, axis=1)))
    np.testing.assert_allclose(
        networks.apply(units.into(others), working.x, activation),
        networks.apply(others, x, activation) / scale,
        rtol=1e-10,
        atol=1e-14,
    )
    np.testing.assert_allclose(working.y, y / scale, rtol=1e-12)
    np.testing.assert_allclose(np.mean(np.sum(working.x**2, axis=1)), 3, rtol=1e-12)


def test_normalised_samples_lie_on_a_sphere():
    """Of radius sqrt(d), but for short ones; unit variance; a sample at zero teaches nothing."""
    x, y, _, _ = problem(2, 3, 1.0)
    x, y = x.at[3].set(0), y.at[3].set(5.0)
    working, _ = prepare(x, y, loss="square", p=2, depth=3, normalise=True)
    norms = np.linalg.norm(working.x, axis=1)
    given = np.linalg.norm(x, axis=1)
    relative = given / np.sqrt(np.mean(given**2))
    shortest = 100 ** (-1 / 8)  # of weight 100, the outputs being of degree 4
    expected = 3**0.5 * np.minimum(relative / shortest, 1)
    np.testing.assert_allclose(norms, expected, rtol=1e-12)
    assert np.sum(relative > shortest) > 3
    assert norms[3] == working.y[3, 0] == 0
    spread = working.y - np.mean(working.y, axis=0)
    np.testing.assert_allclose(np.mean(np.sum(spread**2, axis=1)), 1, rtol=1e-12)
    np.testing.assert_allclose(working.reference, 6, rtol=1e-12)


@pytest.mark.parametrize("loss", ["logistic", "cross_entropy"])
def test_labels_are_left_as_they_are(loss):
    """Outputs keep their scale where the loss has one; samples keep their weights."""
    x = problem(2, 2, 1.0)[0]
    classes = np.arange(12) % 2
    y = np.eye(2)[classes] if loss == "cross_entropy" else 2.0 * classes[:, None] - 1
    params = networks.init(jax.random.key(3), (3, 2, y.shape[1]))
    working, units = prepare(x, y, loss=loss, p=2, depth=2, normalise=True)
    np.testing.assert_array_equal(working.y, y)
    activation = PolyLeakyReLU(2)
    np.testing.assert_allclose(
        networks.apply(units.into(params), working.x, activation),
        networks.apply(params, x, activation),
        rtol=1e-12,
    )
    np.testing.assert_allclose(working.reference, 12 * np.log(2), rtol=1e-12)


def test_reference_of_the_square_loss_is_the_best_constant():
    """Not that of zero outputs."""
    y = jnp.asarray(np.random.default_rng(0).normal(3, 1, (9, 2)))
    constants = np.mean(y, axis=0) + np.array([[0, 0], [1e-3, 0], [0, -1e-3]])
    losses = [float(LOSSES["square"](jnp.broadcast_to(c, y.shape), y)) for c in constants]
    assert np.argmin(losses) == 0
    np.testing.assert_allclose(reference_loss("square", y), losses[0], rtol=1e-12)


def test_prediction_errors():
    """Mean squared error over the variance; shares of wrong classes, of outputs 0 too."""
    y, outputs = jnp.array([[1.0], [3.0]]), jnp.array([[1.0], [2.0]])
    assert float(prediction_error(outputs, y, loss="square")) == 0.5
    labels = jnp.array([[1.0], [-1.0], [1.0], [-1.0]])
    assert (
        float(prediction_error(jnp.array([[2.0], [3], [0], [-1]]), labels, loss="logistic")) == 0.5
    )
    classes = jnp.eye(3)[jnp.array([0, 1, 2])]
    assert float(prediction_error(2 * classes, classes, loss="cross_entropy")) == 0
    wrong = jnp.roll(classes, 1, axis=0).at[0].set(classes[0])
    assert float(prediction_error(wrong, classes, loss="cross_entropy")) == pytest.approx(2 / 3)


def ones(*shape):
    return np.ones(shape)


RANDOM = np.random.default_rng(0).normal(size=(6, 2))
SIGNS = np.array([[1.0], [-1.0]] * 3)
BAD = {
    "one sample": (RANDOM[:1], RANDOM[:1], "square", "x must have at least 2 samples, got 1"),
    "rows": (RANDOM, RANDOM[:5], "square", "6 rows in x and 5 in y"),
    "vector": (RANDOM, RANDOM[:, 0], "square", "y must"),
    "NaN in x": (np.where(RANDOM > 1, np.nan, RANDOM), RANDOM, "square", "x must"),
    "NaN in y": (RANDOM, np.where(RANDOM > 1, np.nan, RANDOM), "square", "y must"),
    "infinite": (RANDOM, np.where(RANDOM > 1, np.inf, RANDOM), "square", "y must"),
    "zero x": (0 * RANDOM, RANDOM, "square", "x must not be zero"),
    "zero y": (RANDOM, 0 * RANDOM, "square", "y must vary.* zero targets"),
    "constant y": (RANDOM, np.full((6, 2), 0.1), "square", "y must vary.* constant targets"),
    "labels 0, 1": (RANDOM, (SIGNS + 1) / 2, "logistic", "labels -1 and 1"),
    "one label": (RANDOM, ones(6, 1), "logistic", "y must vary.* one class"),
    "one column": (RANDOM, ones(6, 1), "cross_entropy", "column for each class.* got 1"),
    "no probabilities": (RANDOM, ones(6, 2), "cross_entropy", "probabilities"),
    "negative": (RANDOM, ones(6, 2) * [2, -1], "cross_entropy", "probabilities"),
    "one class": (RANDOM, ones(6, 2) * [1, 0], "cross_entropy", "y must vary.* one class"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_data(name):
    """Refused with the argument's name, what came and what was wanted."""
    x, y, loss, message = BAD[name]
    with pytest.raises((TypeError, ValueError), match=message):
        prepare(x, y, loss=loss, p=2, depth=2, normalise=True)


def test_rounding_is_no_variation():
    """Targets that are constant but for rounding, in either precision."""
    y = np.full((6, 1), 0.1) * (1 + 1e-16 * np.arange(6)[:, None])
    for dtype in ("float32", "float64"):
        with pytest.raises(ValueError, match="constant"):
            prepare(RANDOM.astype(dtype), y, loss="square", p=2, depth=2, normalise=False)


def test_float32_stays():
    """Problem and weights keep the dtype of the inputs."""
    x, y, params, _ = problem(2, 3, 1.0)
    x, small = x.astype("float32"), tuple(w.astype("float32") for w in params)
    working, units = prepare(x, y, loss="square", p=2, depth=3, normalise=True)
    kinds = {leaf.dtype for leaf in (*working, *units.into(small), *units.back(small))}
    assert kinds == {jnp.dtype("float32")}


def test_targets_of_any_size_are_taken():
    """Squares of small and large targets are out of range, they are not."""
    x, y, _, _ = problem(2, 3, 1.0)
    expected, _ = prepare(x, y, loss="square", p=2, depth=3, normalise=True)
    for size in (1e-200, 1e200):
        working, units = prepare(x, size * y, loss="square", p=2, depth=3, normalise=True)
        np.testing.assert_allclose(working.y, expected.y, rtol=1e-10)
        assert np.isfinite(units.every)
        assert units.every > 0
    far, _ = prepare(1e200 * x, y, loss="square", p=2, depth=3, normalise=True)
    np.testing.assert_allclose(far.x, expected.x, rtol=1e-10)


def test_targets_constant_on_the_sphere_stay_as_they_are():
    """|x|^4 is one value there: samples are then not put on it."""
    x, _, _, _ = problem(2, 3, 1.0)
    y = jnp.sum(x**2, axis=1, keepdims=True) ** 2
    working, _ = prepare(x, y, loss="square", p=2, depth=3, normalise=True)
    assert np.ptp(np.linalg.norm(working.x, axis=1)) > 0.1
    assert np.max(np.abs(working.y)) < 10
