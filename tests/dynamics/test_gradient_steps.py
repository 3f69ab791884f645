"""Gradient descent with steps of one size: closed forms, and what it does to balance."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsjax import PolyLeakyReLU, data, diagnostics, dynamics, networks
from nsjax.objectives import NetworkLoss


def quadratic(w, scales):
    """A separable quadratic."""
    return 0.5 * jnp.sum(scales * w**2)


def test_quadratic_has_the_closed_form():
    """`w_k = (1 - h s)^k w_0`."""
    start, scales = jnp.array([1.0, -2.0]), jnp.array([1.0, 3.0])
    found = dynamics.gradient_descent(
        quadratic, start, args=(scales,), learning_rate=0.1, steps=21, saves=4
    )
    done = 5 * np.arange(5)
    wanted = start * (1 - 0.1 * scales) ** done[:, None]
    np.testing.assert_allclose(found.snapshots, wanted, rtol=1e-12)
    np.testing.assert_allclose(found.ts, 0.1 * done, rtol=1e-12)
    np.testing.assert_allclose(found.params, wanted[-1], rtol=1e-12)
    np.testing.assert_allclose(found.losses, 0.5 * np.sum(scales * wanted**2, axis=1), rtol=1e-12)
    sizes = np.linalg.norm(scales * wanted, axis=1)
    np.testing.assert_allclose(found.grad_norms, sizes, rtol=1e-12)


def test_imbalance_drifts_in_proportion_to_the_step():
    """A step adds `h^2 (||g_in||^2 - p ||g_out||^2)` to a neuron's imbalance, flow nothing."""
    activation = PolyLeakyReLU(1, 0.0)
    x, y = data.pointer_value_retrieval(2)
    params = networks.balance(networks.init(jax.random.key(0), (7, 3, 1)), activation)
    loss = NetworkLoss(activation)
    drifts = []
    for rate in (1e-4, 5e-5):
        found = dynamics.gradient_descent(
            loss, params, args=(x, y), learning_rate=rate, steps=round(0.1 / rate), saves=1
        )
        drifts.append(np.asarray(diagnostics.imbalance(found.params, activation)[0]))
    np.testing.assert_allclose(drifts[0] / drifts[1], 2, rtol=0.05)
    one = dynamics.gradient_descent(loss, params, args=(x, y), learning_rate=1e-3, steps=1, saves=1)
    into, out = jax.grad(loss)(params, x, y)
    wanted = 1e-6 * (jnp.sum(into**2, axis=1) - jnp.sum(out**2, axis=0))
    np.testing.assert_allclose(
        diagnostics.imbalance(one.params, activation)[0], wanted, rtol=1e-6, atol=1e-14
    )


def test_bad_arguments():
    """Errors name the argument."""
    with pytest.raises(ValueError, match="steps must be at least saves = 100, got 5"):
        dynamics.gradient_descent(quadratic, jnp.ones(2), learning_rate=0.1, steps=5)
    with pytest.raises(ValueError, match="learning_rate must be"):
        dynamics.gradient_descent(quadratic, jnp.ones(2), learning_rate=0.0, steps=5)


def test_learning_rates_may_be_traced():
    """One program for all of them."""
    rates = jnp.array([0.1, 0.2])
    found = jax.vmap(
        lambda rate: dynamics.gradient_descent(
            quadratic, jnp.ones(2), args=(jnp.ones(2),), learning_rate=rate, steps=2, saves=1
        )
    )(rates)
    np.testing.assert_allclose(found.params[:, 0], (1 - rates) ** 2, rtol=1e-12)
    np.testing.assert_allclose(found.ts[:, 1], 2 * rates, rtol=1e-12)
