"""Balance of neurons, and fitted power laws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nsjax
from nsjax import diagnostics, networks


def test_imbalance_ratio_and_size_against_a_loop():
    """Each neuron by hand, two hidden layers."""
    params = networks.init(jax.random.key(0), (3, 4, 2, 1))
    activation = nsjax.PolyLeakyReLU(3, 0.2)
    for layer, width in enumerate((4, 2)):
        for j in range(width):
            incoming = float(jnp.sum(params[layer][j] ** 2))
            outgoing = 3 * float(jnp.sum(params[layer + 1][:, j] ** 2))
            found = (
                diagnostics.imbalance(params, activation)[layer][j],
                diagnostics.balance_ratio(params, activation)[layer][j],
                diagnostics.neuron_size(params, activation)[layer][j],
            )
            expected = (incoming - outgoing, incoming / outgoing, incoming + outgoing)
            np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_power_law_recovers_slope_and_error():
    """Exact data give the law, noisy data an error that covers it; NaN points are left out."""
    x = np.logspace(-8, -1, 15)
    law = diagnostics.power_law(x, 2.5 * x**-1.5)
    assert law.exponent == pytest.approx(-1.5, abs=1e-12)
    assert law.factor == pytest.approx(2.5)
    noise = np.exp(0.05 * np.random.default_rng(0).normal(size=15))
    noisy = diagnostics.power_law(x, 2.5 * x**-1.5 * noise)
    assert abs(noisy.exponent + 1.5) < 4 * noisy.error
    y = 2.5 * x**-1.5
    y[3] = np.nan
    assert diagnostics.power_law(x, y).points == 14


def test_power_law_refuses_what_has_no_logarithm():
    """Zero, negative values, unequal lengths; fewer than two points give NaN."""
    with pytest.raises(ValueError, match="y must be positive"):
        diagnostics.power_law([1.0, 2.0], [1.0, 0.0])
    with pytest.raises(ValueError, match="one length"):
        diagnostics.power_law([1.0, 2.0], [1.0])
    assert np.isnan(diagnostics.power_law([1.0], [2.0]).exponent)
