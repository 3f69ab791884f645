"""Fits from random starts: a linear model in one step, a product, and refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsjax.networks import tucker
from nsjax.neuronseek.restarts import fit_from_starts

KEY = jax.random.key(0)
X = np.random.default_rng(0).normal(size=(60, 3))


def linear(w, x):
    return x @ w


def start(key):
    return jax.random.normal(key, (3, 1))


def test_a_linear_model_is_least_squares():
    """The error over the variance of the targets, from every start."""
    y = X[:, :1] ** 2 + X[:, 1:2]
    found = fit_from_starts(KEY, linear, start, X, y, starts=3)
    wanted = np.linalg.lstsq(X, y, rcond=None)[0]
    np.testing.assert_allclose(found.params, wanted, atol=1e-6)
    error = np.mean((X @ wanted - y) ** 2) / y.var()
    np.testing.assert_allclose(found.errors, [error] * 3, rtol=1e-8)
    assert found.error == min(found.errors)
    assert found.steps >= 3
    assert found.seconds > 0


def test_a_core_finds_a_product_and_stops():
    """At the first start that is right to rounding; a single one has no time without compiling."""
    y = 1 + X[:, :1] * X[:, 1:2]
    found = fit_from_starts(
        KEY, tucker.apply, lambda key: tucker.init(key, 3, size=2, orders=(2,)), X, y, starts=5
    )
    assert found.error < 1e-16
    assert len(found.errors) < 5
    np.testing.assert_allclose(tucker.apply(found.params, X), y, atol=1e-6)
    assert np.isnan(fit_from_starts(KEY, linear, start, X, y, starts=1).seconds)


def test_bad_input_is_refused():
    y = X[:, :1]
    with pytest.raises(ValueError, match="y must have 60 rows"):
        fit_from_starts(KEY, linear, start, X, y[:5])
    with pytest.raises(ValueError, match="y must vary over the samples"):
        fit_from_starts(KEY, linear, start, X, jnp.ones((60, 1)))
    with pytest.raises(TypeError, match="sample must be callable"):
        fit_from_starts(KEY, linear, None, X, y)
    with pytest.raises(ValueError, match="starts must be a positive integer, got 0"):
        fit_from_starts(KEY, linear, start, X, y, starts=0)
