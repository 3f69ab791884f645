"""Minimisers: known optima and SciPy, unused neurons stay bit-zero, and every way of stopping."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize as scipy_minimize

from nsjax import PolyLeakyReLU, networks
from nsjax._flat import Layout
from nsjax.pursuit.minimisers import MINIMISERS, Objective
from nsjax.pursuit.problem import Problem, reference_loss
from nsjax.pursuit.state import pad

NAMES = tuple(MINIMISERS)
STEPS = {"lbfgs": 300, "levenberg_marquardt": 100, "gradient_descent": 3000, "adam": 3000}


@partial(jax.jit, static_argnums=(0, 1))
def fit(name, objective, w, problem, l2, steps, target):
    """Every test of one minimiser and one problem shares this program."""
    return MINIMISERS[name](
        objective, w, problem, l2=l2, steps=steps, target=target, learning_rate=0.02
    )


def linear():
    """A two-layer network without a nonlinearity, and noisy targets: least squares."""
    keys = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(keys[0], (30, 3))
    y = x @ jnp.array([[1.0], [-2.0], [0.5]]) + 0.5 * jax.random.normal(keys[1], (30, 1))
    params = networks.init(keys[2], (3, 2, 1))
    objective = Objective(PolyLeakyReLU(1), "square", Layout.of(params))
    return objective, objective.layout.flat(params), Problem(x, y, reference_loss("square", y))


def padded(dtype, slope=0.5):
    """Three layers of degree 2 with room for 4 neurons in each: two used, one used."""
    keys = jax.random.split(jax.random.key(1), 3)
    x = jax.random.normal(keys[0], (30, 3), dtype)
    y = jax.random.normal(keys[1], (30, 2), dtype)
    wide = pad(networks.init(keys[2], (3, 2, 1, 2), dtype=dtype), 4)
    objective = Objective(PolyLeakyReLU(2, slope), "square", Layout.of(wide))
    unused = [np.ones(weight.shape, bool) for weight in wide]
    for flags, small in zip(unused, ((2, 3), (1, 2), (2, 1)), strict=True):
        flags[: small[0], : small[1]] = False
    flat = objective.layout.flat(wide)
    mask = np.concatenate([flags.ravel() for flags in unused])
    return objective, flat, Problem(x, y, reference_loss("square", y)), mask


def scalars(dtype, *values):
    return [jnp.asarray(value, dtype) for value in values]


@pytest.mark.parametrize("name", NAMES)
def test_least_squares(name):
    """A linear network fits as well as least squares does, not better."""
    objective, w, problem = linear()
    weights = np.linalg.lstsq(problem.x, problem.y)[0]
    best = 0.5 * np.sum((problem.x @ weights - problem.y) ** 2) / problem.reference
    l2, target = scalars(float, 0.0, 0.0)
    found = fit(name, objective, w, problem, l2, STEPS[name], target)
    np.testing.assert_allclose(found.loss, best, rtol=1e-6)
    assert found.loss >= best * (1 - 1e-12)
    np.testing.assert_allclose(found.loss, objective.relative(found.w, problem), rtol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_penalised_minimum_of_scipy(name):
    """With l2 the minimum is that of SciPy's L-BFGS-B; the loss is reported without the penalty."""
    objective, w, problem = linear()
    l2, target = scalars(float, 0.05, 0.0)
    value_and_grad = jax.jit(jax.value_and_grad(lambda w: objective(w, (problem, l2))[0]))
    theirs = scipy_minimize(
        value_and_grad, w, jac=True, method="L-BFGS-B", options={"ftol": 1e-15, "gtol": 1e-10}
    )
    found = fit(name, objective, w, problem, l2, STEPS[name], target)
    ours = objective(found.w, (problem, l2))[0]
    np.testing.assert_allclose(ours, theirs.fun, rtol=1e-6)
    np.testing.assert_allclose(ours - 0.5 * l2 * jnp.sum(found.w**2), found.loss, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NAMES)
def test_unused_neurons_stay_bit_zero(name, dtype):
    """Their weights and gradients, with and without l2; the used weights move, the loss falls."""
    objective, w, problem, unused = padded(dtype)
    for weight in (1e-2, 0.0):
        l2, target = scalars(dtype, weight, 0.0)
        found = fit(name, objective, w, problem, l2, 25, target)
        assert found.w.dtype == found.loss.dtype == dtype
        gradient = jax.grad(lambda w: objective(w, (problem, l2))[0])(found.w)  # noqa: B023
        assert not np.any(np.asarray(found.w)[unused])
        assert not np.any(np.asarray(gradient)[unused])
        assert np.all(np.asarray(found.w)[~unused] != np.asarray(w)[~unused])
        before, after = (objective(each, (problem, l2))[0] for each in (w, found.w))
        assert after < before
        w = found.w


@pytest.mark.parametrize("name", NAMES)
def test_stops(name):
    """At the target loss; before the first step where there is nothing to do; after `steps`."""
    objective, w, problem, _ = padded("float64")
    start = float(objective.relative(w, problem))
    l2, target, above = scalars(float, 0.0, 0.97 * start, start)
    found = fit(name, objective, w, problem, l2, 200, target)
    assert found.loss <= target
    assert 0 < found.evaluations < 200
    for steps, goal in ((200, above), (0, target)):
        found = fit(name, objective, w, problem, l2, steps, goal)
        assert found.evaluations == 0
        assert found.loss == start
        np.testing.assert_array_equal(found.w, w)
    assert fit(name, objective, w, problem, l2, 3, 0 * target).evaluations == 3


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("start", [np.nan, 1e200])
def test_starts_that_are_not_finite_end(name, start):
    """A NaN, or a loss out of range, ends within the budget and is reported as the loss."""
    objective, w, problem, _ = padded("float64")
    l2, target = scalars(float, 0.0, 0.0)
    found = fit(name, objective, w.at[0].set(start), problem, l2, 25, target)
    assert found.evaluations <= 25
    assert not np.isfinite(found.loss)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "adam"])
def test_no_step_left_is_the_end(name):
    """At a minimum, which the targets' network is, no minimiser spends its budget or moves away.

    Adam alone goes on, until its learning rate has fallen to zero.
    """
    objective, w, problem, _ = padded("float64")
    y = networks.apply(objective.layout.tree(w), problem.x, objective.activation)
    problem = Problem(problem.x, y, reference_loss("square", y))
    l2, target = scalars(float, 0.0, -1.0)
    found = fit(name, objective, w, problem, l2, 200, target)
    assert found.evaluations < 10
    np.testing.assert_allclose(found.w, w, rtol=0, atol=1e-12)


def test_objective_is_half_the_square_of_its_residuals():
    """Both against plain NumPy, with the penalty."""
    objective, w, problem, _ = padded("float64", slope=1.0)
    l2 = jnp.asarray(0.3)
    first, second, third = map(np.asarray, objective.layout.tree(w))
    x, y = np.asarray(problem.x), np.asarray(problem.y)
    outputs = ((x @ first.T) ** 2 @ second.T) ** 2 @ third.T
    loss = np.sum((outputs - y) ** 2) / np.sum((y - y.mean(axis=0)) ** 2)
    value, relative = objective(w, (problem, l2))
    np.testing.assert_allclose(relative, loss, rtol=1e-12)
    np.testing.assert_allclose(value, loss + 0.15 * np.sum(np.asarray(w) ** 2), rtol=1e-12)
    parts = objective.residuals(w, (problem, l2))
    np.testing.assert_allclose(0.5 * sum(np.sum(part**2) for part in parts), value, rtol=1e-12)
