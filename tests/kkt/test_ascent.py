"""The ascent climbs: no step lowers a value, on smooth objectives, kinked ones and cycling ones."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsjax.kkt.ascent import ascend, ascend_together

RNG = np.random.default_rng(2)
X, Z = jnp.asarray(RNG.normal(size=(12, 4))), jnp.asarray(RNG.normal(size=12))


def unit_rows(m, k, seed=3):
    """`m` random unit rows."""
    rows = np.random.default_rng(seed).normal(size=(m, k))
    return jnp.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


STARTS = unit_rows(8, 4)


def quadratic(u):
    """`sum z (x . u)^2`, whose maximum on the sphere is an eigenvalue."""
    return jnp.dot(Z, (X @ u) ** 2)


def kinked(u):
    """`sum z max(x . u, 0)`."""
    return jnp.dot(Z, jnp.maximum(X @ u, 0))


def joint(w):
    """`v u^T M u` in both: the plain power step never settles, as |u|/|v| goes to and fro."""
    return w[3] * w[:3] @ jnp.diag(jnp.array([3.0, 1.0, -2.0])) @ w[:3]


def cosines(w):
    """NCF of modular addition, modulus 5, two summands and an output: even blocks cycle."""
    table = jnp.asarray([[[float((a + b) % 5 == c) for c in range(5)] for b in range(5)]
                         for a in range(5)]) - 1 / 5  # fmt: skip
    into = w[:5, None] + w[None, 5:10]
    return jnp.sum(table * into[:, :, None] ** 2 * w[10:])


def columns(objective):
    """Values and gradients at columns."""
    return jax.vmap(jax.value_and_grad(objective), in_axes=1, out_axes=(0, 1))


@partial(jax.jit, static_argnums=(0, 3))
def climb(objective, starts, max_steps, lanes=None, tol=1e-8):
    """A bounded number of steps."""
    return ascend(columns(objective), starts, tol, max_steps, lanes=lanes)


@pytest.mark.parametrize(("objective", "size"), [(joint, 4), (cosines, 15)])
def test_the_plain_power_step_cycles_here(objective, size):
    """Control of the next test: `w <- unit(grad N)` lowers the value again and again."""
    points, falls = unit_rows(8, size), 0
    step = jax.jit(jax.vmap(jax.value_and_grad(objective)))
    values, gradients = step(points)
    for _ in range(60):
        points = gradients / jnp.linalg.norm(gradients, axis=1, keepdims=True)
        before, (values, gradients) = values, step(points)
        falls += int(np.sum(np.asarray(values) < np.asarray(before) - 1e-6))
    assert falls > 20


@pytest.mark.parametrize(
    ("objective", "size"), [(quadratic, 4), (kinked, 4), (joint, 4), (cosines, 15)]
)
def test_values_never_decrease_and_points_stay_on_the_sphere(objective, size):
    """Step by step: fall at most 8 roundings of the value, where the residual decides instead."""
    starts = unit_rows(8, size)
    before = climb(objective, starts, 0)
    np.testing.assert_allclose(before.points, starts, rtol=1e-15)
    assert not np.any(before.steps)
    for steps in range(1, 60):
        state = climb(objective, starts, steps)
        slack = 8 * np.finfo(float).eps * np.abs(before.values)
        assert np.all(state.values >= before.values - slack), steps
        assert np.max(state.steps) <= steps
        np.testing.assert_allclose(np.linalg.norm(state.points, axis=1), 1, rtol=1e-14)
        before = state
    values = jax.vmap(objective)(state.points)
    np.testing.assert_allclose(state.values, values, rtol=1e-13)
    assert np.all(state.values > jax.vmap(objective)(starts))


def test_every_start_reaches_the_largest_eigenvalue():
    """For a quadratic form only the top eigenvector is a maximum; all starts end there."""
    state = climb(quadratic, STARTS, 5000)
    eigenvalues, vectors = np.linalg.eigh(np.asarray((X.T * Z) @ X))
    assert float(jnp.max(state.residuals)) <= 1e-8
    np.testing.assert_allclose(state.values, eigenvalues[-1], rtol=1e-12)
    np.testing.assert_allclose(np.abs(state.points @ vectors[:, -1]), 1, rtol=1e-12)


def test_a_finished_start_does_not_move_any_more():
    """More steps leave a converged state as it is, bit for bit."""
    a, b = (climb(quadratic, STARTS, steps) for steps in (5000, 6000))
    assert np.max(a.steps) < 5000
    np.testing.assert_array_equal(a.points, b.points)


@pytest.mark.parametrize("lanes", [(1,), (3,), (16, 5), (37, 8, 2)])
def test_the_number_of_lanes_changes_nothing(lanes):
    """37 starts in a queue for fewer lanes end where they end all at once."""
    starts = unit_rows(37, 4)
    together, queued = climb(quadratic, starts, 500), climb(quadratic, starts, 500, lanes)
    np.testing.assert_allclose(queued.points, together.points, atol=1e-7)
    np.testing.assert_allclose(queued.values, together.values, rtol=1e-12)
    assert np.max(queued.residuals) <= 1e-8


def test_a_start_that_is_over_costs_nothing_more():
    """One start of 32 takes much longer: the columns evaluated follow its own steps.

    With all starts waiting for the slowest, 32 times its steps would be evaluated.
    """
    evaluated = []

    def slow_last(points):
        evaluated.append(points.shape[1])
        values, gradients = columns(quadratic)(points)
        return values, gradients

    starts = np.array(climb(quadratic, unit_rows(32, 4), 5000).points)
    starts[-1] = STARTS[0]
    with jax.disable_jit():
        state = ascend(slow_last, jnp.asarray(starts), 1e-8, 24, lanes=(16, 1))
    steps = np.asarray(state.steps)
    assert steps[-1] > 8
    assert np.max(steps[:-1]) == 0
    # 16 lanes for two fills of four steps each, then one lane for the last start.
    assert sum(evaluated) <= 3 * 4 * 16 + steps[-1] + 4
    assert evaluated[-1] == 1


def test_a_flat_objective_stops_at_once():
    """A gradient of zero is a KKT point: no step, no NaN."""
    state = climb(nothing, STARTS, 100)
    assert not np.any(state.steps)
    np.testing.assert_allclose(state.points, STARTS, rtol=1e-15)
    assert not np.any(state.residuals)


def nothing(u):
    """Zero everywhere."""
    return 0.0 * jnp.sum(u**2)


def test_an_objective_without_a_value_is_said_so():
    """NaN at a start: its value is minus infinity, and the others are not harmed."""
    state = climb(root, jnp.asarray([[1.0, 0], [-0.6, 0.8], [0.6, 0.8]]), 50)
    assert np.isfinite(np.asarray(state.values)).tolist() == [True, False, True]
    np.testing.assert_allclose(state.values[0], 1, rtol=1e-12)


def root(u):
    """Real for a positive first entry alone."""
    return jnp.sqrt(u[0])


def test_functions_that_climb_together_end_where_each_does_alone():
    def climbing(function):
        return jax.vmap(jax.value_and_grad(function), in_axes=1, out_axes=(0, 1))

    functions = [quadratic, lambda u: jnp.dot(jnp.arange(1.0, 4), u**3)]
    starts = [unit_rows(8, 4), unit_rows(5, 3)]
    together = ascend_together(list(map(climbing, functions)), starts, 1e-8, 500)
    for function, start, found in zip(functions, starts, together, strict=True):
        alone = ascend(climbing(function), start, 1e-8, 500)
        assert found.points.shape == start.shape
        np.testing.assert_allclose(found.points, alone.points, atol=1e-6)
        np.testing.assert_allclose(found.values, alone.values, rtol=1e-12)
