"""Baselines: what they fit, how they choose, their units and budgets, and bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsjax import PolyLeakyReLU, networks
from nsjax.pursuit import PRESETS, baselines

SQUARE = PolyLeakyReLU(2)


@pytest.fixture(scope="module")
def task():
    """Samples and fresh points of x1 x2, which two squares fit, far from unit size."""
    x = 3 * jax.random.normal(jax.random.key(0), (90, 4))
    y = 50 * x[:, :1] * x[:, 1:2]
    return (x[:60], y[:60]), (x[60:], y[60:])


def relative_error(params, x, y):
    """Plain NumPy: mean squared error of a network of squares, over the variance."""
    h = np.asarray(x)
    for weight in params[:-1]:
        h = (h @ np.asarray(weight).T) ** 2
    return np.mean((h @ np.asarray(params[-1]).T - y) ** 2) / np.var(y)


def test_tiny_restarts_fit_and_generalise(task):
    """The smallest rung fits at once; loss, error and widths are those of the network returned."""
    (x, y), fresh = task
    found = baselines.tiny_restarts(
        jax.random.key(1), x, y, activation=SQUARE, depth=2, restarts=4, normalise=False
    )
    assert found.fitted
    assert found.hidden == (2,) == (found.params[0].shape[0],)
    assert found.loss <= baselines.TOL == PRESETS["default"].tol
    assert found.loss == np.min(found.losses)
    np.testing.assert_allclose(found.error, relative_error(found.params, x, y), rtol=1e-6)
    np.testing.assert_allclose(found.loss, found.error, rtol=1e-6)
    assert relative_error(found.params, *fresh) < 1e-3
    assert found.trained == 4
    assert found.evaluations > 4
    assert found.seconds > 0


def test_the_ladder_keeps_to_its_budgets(task):
    """Rungs with too many parameters are left out; passes and seconds bound the batches."""
    (x, _), _ = task
    noise = jax.random.normal(jax.random.key(5), (60, 1))

    def batches(**budget):
        found = baselines.tiny_restarts(
            jax.random.key(1),
            x,
            noise,
            activation=SQUARE,
            depth=2,
            ladder=((2,), (3,), (30,)),
            restarts=4,
            steps=40,
            **budget,
        )
        assert not found.fitted
        assert found.hidden != (30,)  # 150 parameters for 60 samples
        return found.trained // 4

    assert batches() == 2
    assert batches(passes=2) == 4
    assert batches(passes=5, seconds=1e-9) == 1
    assert batches(passes=10**6, seconds=0.2) > 4


def test_half_of_the_starts_lean_to_the_second_moment():
    """Rows of the turned half keep their norm and point to the one direction of the target."""
    x = jax.random.normal(jax.random.key(0), (4000, 6))
    y = x[:, :1] ** 2
    problem, _ = baselines.prepare(x, y, loss="square", p=2, depth=2, normalise=False)
    objective = baselines._objective(SQUARE, "square", (6, 3, 1), x.dtype)
    starts = baselines._half_spectral(objective, jax.random.key(1), 8, (6, 3, 1), problem)
    first = np.asarray(starts)[:, :18].reshape(8, 3, 6)
    share = np.abs(first[..., 0]) / np.linalg.norm(first, axis=-1)
    assert np.median(share[4:]) > 0.95 > 0.6 > np.median(share[:4])
    plain = baselines._random_starts(
        objective, jax.random.split(jax.random.key(1))[0], 8, (6, 3, 1), jnp.ones(())
    )
    plain = np.asarray(plain)[:, :18].reshape(8, 3, 6)
    np.testing.assert_allclose(first[:4], plain[:4], rtol=1e-14)
    np.testing.assert_allclose(
        np.linalg.norm(first, axis=-1), np.linalg.norm(plain, axis=-1), rtol=1e-12
    )


def test_adam_takes_the_best_rate_of_its_grid(task):
    """By the training loss, or by the error on validation data; every rate is tried."""
    (x, y), fresh = task
    policy = {"activation": SQUARE, "hidden": (8,), "learning_rates": (1e-9, 3e-2), "steps": 300}
    found = baselines.train(jax.random.key(1), x, y, **policy)
    assert found.learning_rate == 3e-2
    assert found.trained == 2
    assert found.losses[1] == found.loss < 0.1 < found.losses[0]
    # On targets of the other sign the untrained network is the better one.
    against = baselines.train(jax.random.key(1), x, y, validation=(fresh[0], -fresh[1]), **policy)
    assert against.learning_rate == 1e-9
    np.testing.assert_array_equal(against.losses, found.losses)


def test_small_weights_are_the_standard_ones_scaled(task):
    """With next to no steps, the function is that of weights of the given size, in data units."""
    (x, y), _ = task
    policy = {"activation": SQUARE, "hidden": (8,), "minimiser": "gradient_descent", "steps": 1}
    large, small = (
        baselines.train(
            jax.random.key(1), x, y, scale=scale, learning_rates=(1e-12,), **policy
        ).params
        for scale in (1.0, 0.1)
    )
    for a, b in zip(large, small, strict=True):
        np.testing.assert_allclose(b, 0.1 * a, rtol=1e-6)
    outputs = networks.apply(large, x, SQUARE)
    assert 0.01 < float(jnp.std(outputs) / jnp.std(y)) < 100


def test_bad_input(task):
    """Named, before anything is compiled."""
    (x, y), _ = task
    key = jax.random.key(0)
    for match, error, policy in (
        ("hidden", TypeError, {"hidden": 3}),
        ("hidden", ValueError, {"hidden": (0,)}),
        ("minimiser", ValueError, {"hidden": (3,), "minimiser": "newton"}),
        ("learning_rates", ValueError, {"hidden": (3,), "learning_rates": ()}),
        ("l2", ValueError, {"hidden": (3,), "l2": ()}),
        ("scale", ValueError, {"hidden": (3,), "scale": 0.0}),
        ("validation", ValueError, {"hidden": (3,), "validation": (x[:, :2], y)}),
    ):
        with pytest.raises(error, match=match):
            baselines.train(key, x, y, activation=SQUARE, **policy)
    for match, policy in (
        ("depth", {"depth": 1}),
        ("ladder", {"depth": 3, "ladder": ((2,),)}),
        ("restarts", {"depth": 2, "restarts": 0}),
        ("seconds", {"depth": 2, "seconds": -1.0}),
    ):
        with pytest.raises(ValueError, match=match):
            baselines.tiny_restarts(key, x, y, activation=SQUARE, **policy)
    with pytest.raises(ValueError, match="y must vary"):
        baselines.tiny_restarts(key, x, jnp.ones_like(y), activation=SQUARE, depth=2)
    with pytest.raises(ValueError, match="one row per sample"):
        baselines.train(key, x, y[:-1], activation=SQUARE, hidden=(3,))
