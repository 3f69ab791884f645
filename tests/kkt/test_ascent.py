"""The ascent climbs: no step lowers a value, on smooth objectives and on kinked ones."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsjax.kkt.ascent import ascend

RNG = np.random.default_rng(2)
X, Z = jnp.asarray(RNG.normal(size=(12, 4))), jnp.asarray(RNG.normal(size=12))
STARTS = RNG.normal(size=(8, 4))
STARTS = jnp.asarray(STARTS / np.linalg.norm(STARTS, axis=1, keepdims=True))


def quadratic(u):
    """`sum z (x . u)^2`, whose maximum on the sphere is an eigenvalue."""
    return jnp.dot(Z, (X @ u) ** 2)


def kinked(u):
    """`sum z max(x . u, 0)`."""
    return jnp.dot(Z, jnp.maximum(X @ u, 0))


@partial(jax.jit, static_argnums=0)
def climb(objective, starts, max_steps):
    """A bounded number of steps."""
    value_and_grad = jax.vmap(jax.value_and_grad(objective))
    return ascend(value_and_grad, starts, jnp.asarray(1e-8), max_steps)


@pytest.mark.parametrize("objective", [quadratic, kinked])
def test_values_never_decrease_and_points_stay_on_the_sphere(objective):
    """Step by step: fall at most 8 roundings of the value, where the residual decides instead."""
    before = climb(objective, STARTS, jnp.asarray(0))
    np.testing.assert_array_equal(before.points, STARTS)
    for steps in range(1, 60):
        state = climb(objective, STARTS, jnp.asarray(steps))
        slack = 8 * np.finfo(float).eps * np.abs(before.values)
        assert np.all(state.values >= before.values - slack), steps
        assert int(state.steps) <= steps
        np.testing.assert_allclose(np.linalg.norm(state.points, axis=1), 1, rtol=1e-14)
        before = state
    values = jax.vmap(objective)(state.points)
    np.testing.assert_allclose(state.values, values, rtol=1e-13)
    assert np.all(state.values > jax.vmap(objective)(STARTS))


def test_every_start_reaches_the_largest_eigenvalue():
    """For a quadratic form only the top eigenvector is a maximum; all starts end there."""
    state = climb(quadratic, STARTS, jnp.asarray(5000))
    eigenvalues, vectors = np.linalg.eigh(np.asarray((X.T * Z) @ X))
    assert bool(jnp.all(state.finished))
    assert float(jnp.max(state.residuals)) <= 1e-8
    np.testing.assert_allclose(state.values, eigenvalues[-1], rtol=1e-12)
    np.testing.assert_allclose(np.abs(state.points @ vectors[:, -1]), 1, rtol=1e-12)


def test_a_finished_start_does_not_move_any_more():
    """More steps leave a converged state as it is, bit for bit."""
    a, b = (climb(quadratic, STARTS, jnp.asarray(steps)) for steps in (5000, 6000))
    assert int(a.steps) == int(b.steps) < 5000
    np.testing.assert_array_equal(a.points, b.points)


def test_a_flat_objective_stops_at_once():
    """A gradient of zero is a KKT point: no step, no NaN."""
    state = climb(quadratic_of_nothing, STARTS, jnp.asarray(100))
    assert int(state.steps) == 0
    np.testing.assert_array_equal(state.points, STARTS)


def quadratic_of_nothing(u):
    """Zero everywhere."""
    return 0.0 * jnp.sum(u**2)
