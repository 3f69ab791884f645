"""Fourier modes of neurons on a cyclic group."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nsjax
from nsjax import data, kkt
from nsjax.diagnostics import fourier_modes


@pytest.mark.parametrize("m", [7, 12])
def test_waves_are_read_off(m):
    rng = np.random.default_rng(0)
    f, phases = rng.integers(1, (m + 1) // 2, 20), rng.uniform(-3, 3, (20, 3))
    a = np.arange(m)
    waves = np.cos(2 * np.pi * f[:, None, None] * a / m + phases[:, :, None])
    modes = fourier_modes(np.concatenate([waves[:, 0], waves[:, 1]], axis=1), 5 * waves[:, 2].T)
    assert modes.frequency.tolist() == f.tolist()
    np.testing.assert_allclose(modes.purity, 1, atol=1e-12)
    np.testing.assert_allclose(modes.phase, phases, atol=1e-12)
    np.testing.assert_allclose(
        np.exp(1j * modes.mismatch), np.exp(1j * (phases @ [1, 1, -1])), atol=1e-12
    )


def test_shares_are_those_of_parseval():
    """Of mixtures, against the squared norms of the parts; means do not count."""
    m, a = 11, np.arange(11)
    parts = [np.cos(2 * np.pi * a / m), 0.5 * np.sin(2 * np.pi * 3 * a / m)]
    mixed = sum(parts) + 4
    modes = fourier_modes(np.concatenate([mixed, mixed])[None], mixed[:, None])
    shares = np.array([np.sum(part**2) for part in parts])
    shares /= shares.sum()
    expected = np.zeros(5)
    expected[[0, 2]] = shares
    np.testing.assert_allclose(modes.power[0], expected, atol=1e-12)


def test_the_kkt_points_of_the_full_table_are_single_frequency():
    m = 11
    x, y = data.modular_addition(m)
    params = (jnp.zeros((1, 2 * m)), jnp.zeros((m, 1)))
    found = kkt.search_neuron(
        jax.random.key(0), params, 1, x, y / len(x), nsjax.PolyLeakyReLU(2, 1.0), starts=16
    )
    incoming, outgoing = found.points
    modes = fourier_modes(incoming, outgoing.T)
    assert np.min(modes.purity) > 1 - 1e-8
    # The square turns the sum of two waves into one of the sum of their phases.
    np.testing.assert_allclose(modes.mismatch, 0, atol=1e-5)


@pytest.mark.parametrize(
    ("incoming", "outgoing", "words"),
    [
        (jnp.ones((2, 6)), jnp.ones((3, 4)), "incoming must have shape"),
        (jnp.ones((2, 4)), jnp.ones((2, 2)), "outgoing must have at least 3 rows"),
        (jnp.ones(6), jnp.ones((3, 1)), "incoming"),
    ],
)
def test_what_does_not_fit_is_named(incoming, outgoing, words):
    with pytest.raises(ValueError, match=words):
        fourier_modes(incoming, outgoing)
