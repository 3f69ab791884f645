"""Modular addition: every pair once, the right sum, centred columns, and the known best neuron."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsjax import PolyLeakyReLU, data, kkt


@pytest.mark.parametrize("modulus", [2, 3, 7])
def test_table_holds_every_pair_and_its_sum(modulus):
    """Against a loop over the pairs."""
    x, y = data.modular_addition(modulus, centred=False)
    assert x.shape == (modulus**2, 2 * modulus)
    assert y.shape == (modulus**2, modulus)
    row = 0
    for a in range(modulus):
        for b in range(modulus):
            assert np.flatnonzero(x[row]).tolist() == [a, modulus + b]
            assert np.flatnonzero(y[row]).tolist() == [(a + b) % modulus]
            row += 1


def test_centred_targets_differ_by_one_over_m_and_have_mean_zero():
    """Columns and rows alike; inputs stay as they are."""
    x, y = data.modular_addition(5)
    plain_x, plain_y = data.modular_addition(5, centred=False)
    np.testing.assert_array_equal(x, plain_x)
    np.testing.assert_allclose(plain_y - y, 0.2, rtol=1e-15)
    np.testing.assert_allclose(y.mean(axis=0), 0, atol=1e-15)
    np.testing.assert_allclose(y.sum(axis=1), 0, atol=1e-14)


def test_dtype():
    """Float64 as switched on by the tests, or the one asked for."""
    assert {part.dtype for part in data.modular_addition(3)} == {np.dtype("float64")}
    wanted = data.modular_addition(3, dtype=jnp.float32)
    assert {part.dtype for part in wanted} == {np.dtype("float32")}


def test_best_neuron_has_the_value_of_the_closed_form():
    """`N* = sqrt(m / 2) sqrt(4 / 27)` for odd m and x^2 neurons, which every start reaches."""
    modulus = 5
    x, y = data.modular_addition(modulus)
    zero = (jnp.zeros((1, 2 * modulus)), jnp.zeros((modulus, 1)))
    points = kkt.search_neuron(jax.random.key(0), zero, 1, x, y, PolyLeakyReLU(2), starts=16)
    levels = kkt.levels([points])
    assert len(levels.values) == 1
    assert levels.shares.tolist() == [[1.0]]
    np.testing.assert_allclose(levels.values, (modulus / 2) ** 0.5 * (4 / 27) ** 0.5, rtol=1e-9)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"modulus": 1}, ValueError, "modulus must be at least 2, got 1"),
        ({"modulus": 0}, ValueError, "modulus must be a positive integer, got 0"),
        ({"modulus": 5.0}, TypeError, "modulus must be a positive integer, got 5.0"),
        ({"modulus": 5, "centred": 1}, TypeError, "centred must be True or False, got 1"),
        ({"modulus": 5, "dtype": int}, TypeError, "dtype must be a real floating type"),
    ],
)
def test_bad_input_is_refused(arguments, error, message):
    """The message names the argument and what came."""
    with pytest.raises(error, match=message):
        data.modular_addition(**arguments)
