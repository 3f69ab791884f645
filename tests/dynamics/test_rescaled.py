"""The rescaled flow against closed forms, SciPy in real time, and bad input."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from nsjax import PolyLeakyReLU, dynamics, networks

DIAGONAL = networks.DiagonalUnits()


def test_one_unit_and_one_sample_against_quadrature_in_real_time():
    """x u v with u = v = a: `rho' = rho sigma(-x rho^2 / 2)`, t by the integral of its inverse."""
    flow = dynamics.rescaled_flow(
        DIAGONAL, jnp.full((1, 2), 0.1), jnp.ones((1, 1)), jnp.ones((1, 1)), depth=12.0, rtol=1e-9
    )
    assert flow.result == dynamics.Stop.EVENT
    first, last = np.exp(flow.log_size[[0, -1]])
    size = np.linspace(math.log(first), math.log(last), 200_001)
    inverse = 1 + np.exp(np.exp(2 * size) / 2)
    time = np.trapezoid(inverse, size)
    assert math.isclose(math.expm1(flow.log_time[-1]), time, rel_tol=1e-5)
    assert math.isclose(flow.depth[-1], 12.0, abs_tol=1e-6)
    np.testing.assert_allclose(np.log(last / first), flow.tau[-1], rtol=1e-6)


def test_against_scipy_in_real_time():
    """A linear term and x^2 neurons: weights at the same real time."""
    units = networks.TwoLayerUnits(PolyLeakyReLU(2), skip=True)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(6, 2)), np.where(np.arange(6) % 2, 1.0, -1.0)[:, None]
    start = 0.5 * rng.normal(size=(3, 3))
    start[0, 2] = 0.0

    def field(_, flat):
        w = flat.reshape(3, 3)
        before = x @ w[:, :2].T
        responses, slopes = before**2 * w[:, 2], 2 * before * w[:, 2]
        outer = before**2
        responses[:, 0], slopes[:, 0], outer[:, 0] = before[:, 0], 1.0, 0.0
        r = y[:, 0] / (1 + np.exp(y[:, 0] * responses.sum(axis=1)))
        return np.column_stack([(slopes * r[:, None]).T @ x, outer.T @ r]).ravel()

    flow = dynamics.rescaled_flow(
        units, jnp.asarray(start), jnp.asarray(x), jnp.asarray(y), horizon=3.0, rtol=1e-9
    )
    assert flow.result == dynamics.Stop.HORIZON
    time = math.expm1(flow.log_time[-1])
    ours = np.exp(flow.log_norms[-1])[:, None] * flow.directions[-1]
    theirs = solve_ivp(field, (0, time), start.ravel(), rtol=1e-10, atol=1e-12).y[:, -1]
    np.testing.assert_allclose(flow.end, ours / np.linalg.norm(ours), rtol=1e-12)
    np.testing.assert_allclose(ours, theirs.reshape(3, 3), rtol=1e-4, atol=1e-5)


def test_closed_forms_agree_with_each_other():
    """Freezing: all the pull of the separating unit, given to the tiny one."""
    size, margin, value = 2.0, 0.3, 1.2
    for degree in (3, 4):
        limit = dynamics.critical_size(size, margin, value, degree)
        pull = dynamics.pull_left(size, margin, degree)
        assert math.isinf(dynamics.ray_size(1.001 * limit, value, degree, pull))
        assert math.isfinite(dynamics.ray_size(0.999 * limit, value, degree, pull))
        time = dynamics.ray_time(0.1, 0.2, value, degree)
        assert math.isclose(dynamics.ray_size(0.1, value, degree, time), 0.2)
    # Degree two: rho = (rho_0 / delta)^(gamma / (N* - gamma)) by equating both sizes.
    delta = 1e-3
    tau = math.log(1 / delta) / (2 * (value - margin))
    depth = margin * dynamics.ray_size(1.0, margin, 2, tau) ** 2
    exponent = dynamics.escape_depth_exponent(margin, value)
    assert math.isclose(depth, margin * delta**-exponent)


def test_log_logistic_at_any_margin():
    margins = np.array([-700.0, -1.0, 0.0, 19.99, 20.01, 30.0])
    with np.errstate(over="ignore"):
        exact = np.log(np.log1p(np.exp(-margins)))
    np.testing.assert_allclose(
        dynamics.log_logistic(jnp.asarray(margins)), exact, rtol=1e-12, atol=1e-12
    )
    assert bool(jnp.isfinite(jax.grad(lambda m: dynamics.log_logistic(m).sum())(jnp.ones(2))).all())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": jnp.array([[0.5]])}, "y must hold labels -1 and 1"),
        ({"weights": jnp.zeros((1, 2))}, "weights must have no zero row, got one at 0"),
        ({"x": jnp.ones((1, 3))}, r"responses of shape \(1, 1\), got \(1, 3\)"),
        ({"depth": -1.0}, "depth must be a positive"),
    ],
)
def test_bad_input(change, message):
    given = {"weights": jnp.ones((1, 2)), "x": jnp.ones((1, 1)), "y": jnp.ones((1, 1))} | change
    depth = given.pop("depth", 2.0)
    with pytest.raises(ValueError, match=message):
        dynamics.rescaled_flow(DIAGONAL, *given.values(), depth=depth)


def test_bad_closed_forms():
    with pytest.raises(ValueError, match="degree must be above 2, got 2"):
        dynamics.critical_size(1.0, 1.0, 1.0, 2)
    with pytest.raises(ValueError, match="start must be a positive"):
        dynamics.ray_size(0.0, 1.0, 3, 1.0)
