"""What is no escape: bad input refused before compiling, and outcomes that are results."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nsjax
from nsjax import networks
from nsjax.dynamics import Stop, embed, escape
from tests.dynamics.saddle_cases import saddle


def test_a_point_that_is_no_saddle_says_how_large_the_gradient_is():
    """Weights off the minimum by 1e-2."""
    case = saddle()
    moved = (case.params[0].at[0].add(1e-2), case.params[1])
    result = escape(moved, *case.problem[1:], delta=1e-3)
    assert result.result == Stop.NOT_A_SADDLE
    assert f"{result.saddle.grad_norm:.3g}" in result.message
    assert np.isnan(result.escape_time)
    assert result.ts.size == 0


def test_active_weights_that_are_no_minimum():
    """A critical point that is a saddle of its own active weights: w_n = 0 counted as active."""
    x = jax.random.normal(jax.random.key(0), (30, 3))
    y = x[:, :1]
    params = (jnp.zeros((2, 3)), jnp.zeros((1, 2)))
    inactive = (np.array([False, True]),)
    with pytest.raises(ValueError, match="True for every neuron whose weights are all zero"):
        escape(params, inactive, x, y, nsjax.PolyLeakyReLU(1), delta=1e-3)
    # The second output's direction, learned first: a saddle of the active weights themselves.
    y = jnp.linalg.qr(x)[0][:, :2] * jnp.array([3.0, 1.0])
    second = jnp.linalg.lstsq(x, y[:, 1:])[0].T
    params = (
        jnp.concatenate([second, jnp.zeros((1, 3))]),
        jnp.array([[0.0, 0.0], [1.0, 0.0]]),
    )
    result = escape(params, inactive, x, y, nsjax.PolyLeakyReLU(1), delta=1e-3)
    assert result.result == Stop.NOT_A_MINIMUM
    assert "curvature" in result.message


def test_dead_saddles():
    """Residual zero (a global minimum), and an exact bottleneck of deep linear layers."""
    activation = nsjax.PolyLeakyReLU(2)
    x = jax.random.normal(jax.random.key(0), (30, 3))
    teacher = (jax.random.normal(jax.random.key(1), (1, 3)), jnp.ones((1, 1)))
    params, inactive = embed(teacher, (3,))
    perfect = escape(
        params, inactive, x, networks.apply(teacher, x, activation), activation, delta=1e-3
    )
    assert perfect.result == Stop.DEAD_SADDLE
    assert "identically zero" in perfect.message

    left, strengths, right = jnp.linalg.svd(
        jax.random.normal(jax.random.key(2), (2, 3)), full_matrices=False
    )
    x = jnp.linalg.qr(jax.random.normal(jax.random.key(3), (30, 3)))[0]
    y = x @ (left * strengths @ right).T
    root = strengths[0] ** (1 / 3)
    rank_one = (root * right[:1], root * jnp.ones((1, 1)), root * left[:, :1])
    params, inactive = embed(rank_one, (2, 2))
    narrow = escape(params, inactive, x, y, nsjax.PolyLeakyReLU(1), delta=1e-3)
    assert narrow.result == Stop.DEAD_SADDLE


def negative_origin():
    """The origin with M = sum y x x^T negative definite, and a unit incoming direction."""
    keys = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(keys[0], (40, 3))
    y = -jax.random.uniform(keys[1], (40, 1), minval=0.5, maxval=1.5)
    u = jax.random.normal(keys[2], (3,))
    problem = (
        (jnp.zeros((1, 3)), jnp.zeros((1, 1))),
        (np.array([True]),),
        x,
        y,
        nsjax.PolyLeakyReLU(2),
    )
    return problem, u / jnp.linalg.norm(u)


def test_a_balanced_start_with_negative_ncf_dies_out():
    """N < 0 and M definite: the zero block shrinks, and the limit is a negative KKT point."""
    problem, u = negative_origin()
    start = (jnp.sqrt(2 / 3) * u[None, :], jnp.full((1, 1), 3**-0.5))
    result = escape(*problem, delta=1e-4, perturbation=start, horizon=1e12)
    assert result.result == Stop.DIED_OUT
    assert result.norm_ratio[-1] == pytest.approx(1e-3, rel=1e-3)
    assert result.target_value < 0


def test_a_heavy_outgoing_start_ends_at_a_zero_valued_limit():
    """u -> 0 while v stays: ||w_z|| / delta tends to sqrt(|v|^2 - |u|^2 / p) by conservation."""
    problem, u = negative_origin()
    start = (0.4 * u[None, :], jnp.full((1, 1), (1 - 0.4**2) ** 0.5))
    result = escape(*problem, delta=1e-4, perturbation=start, horizon=1e12)
    assert result.result == Stop.ZERO_VALUED
    assert result.norm_ratio[-1] == pytest.approx((1 - 0.4**2 - 0.4**2 / 2) ** 0.5, rel=1e-5)


def test_a_horizon_that_is_too_short():
    """A tenth of the predicted time."""
    case = saddle()
    predicted = escape(*case.problem, delta=1e-5).predicted_time
    result = escape(*case.problem, delta=1e-5, horizon=0.1 * predicted)
    assert result.result == Stop.HORIZON
    assert result.ts[-1] == pytest.approx(0.1 * predicted, rel=1e-6)


BAD = [
    ({"delta": 0.0}, ValueError, "delta must be a positive"),
    ({"delta": -1e-3}, ValueError, "delta must be a positive"),
    ({"delta": "small"}, TypeError, "delta must be a positive number"),
    ({"threshold": 1e-4}, ValueError, "threshold must be above"),
    ({"rtol": -1.0}, ValueError, "rtol must be a positive"),
    ({"rtol": 1e-17}, ValueError, "rtol must be at least"),
    ({"slow_tol": 0.0}, ValueError, "slow_tol must be a positive"),
    ({"horizon": -1.0}, ValueError, "horizon must be a positive"),
    ({"follow": -1.0}, ValueError, "follow must be a finite number >= 0"),
    ({"method": "euler"}, ValueError, "method must be one of"),
    ({"loss": "hinge"}, ValueError, "loss must be one of"),
    ({"perturbation": "up"}, ValueError, "perturbation must be one of"),
    ({"perturbation": "random"}, ValueError, "needs a key"),
    ({"perturbation": (jnp.ones((3, 4)), jnp.ones((1, 3)))}, ValueError, "must have norm 1"),
    ({"perturbation": (jnp.ones((2, 4)), jnp.ones((1, 2)))}, ValueError, "shaped like params"),
    ({"inactive": (np.zeros(3, bool),)}, ValueError, "at least one neuron"),
    ({"inactive": (np.zeros(2, bool),)}, ValueError, r"inactive\[0\] must be a boolean array"),
    ({"inactive": (np.array([0, 1, 1]),)}, ValueError, r"inactive\[0\] must be a boolean array"),
    ({"inactive": np.array([False, True, True])}, TypeError, "sequence of boolean arrays"),
    ({"x": jnp.full((40, 4), jnp.nan)}, ValueError, "x must be finite"),
    ({"y": jnp.full((40, 1), jnp.inf)}, ValueError, "y must be finite"),
    ({"x": jnp.ones(40)}, ValueError, "x must be a matrix"),
    ({"x": jnp.ones((40, 5))}, ValueError, "x must have 4 columns"),
    ({"y": jnp.ones((39, 1))}, ValueError, "one row per sample, got 40 rows in x and 39 in y"),
    ({"y": jnp.ones((40, 2))}, ValueError, "y must have 1 columns"),
    ({"params": (jnp.ones((3, 4)),)}, ValueError, "at least two weight matrices"),
    ({"params": (jnp.ones((3, 4)), jnp.ones((1, 2)))}, ValueError, "must have 3 columns"),
    ({"params": (jnp.ones((3, 4)), jnp.ones((1, 3)))}, ValueError, "params must be zero on"),
    ({"activation": jnp.tanh}, TypeError, "activation must be homogeneous"),
]


@pytest.mark.parametrize(("change", "error", "match"), BAD)
def test_bad_input_is_refused(change, error, match):
    """Every argument is named, with what came and what was wanted."""
    case = saddle()
    arguments = case._asdict() | {"delta": 1e-3} | change
    positional = [arguments.pop(name) for name in case._fields]
    with pytest.raises(error, match=match):
        escape(*positional, **arguments)
