"""The neuron-family protocol, and homogeneous neurons as its first member."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsjax import PolyLeakyReLU, networks

ACTIVATION = PolyLeakyReLU(2, 0.3)
FAMILY = networks.HomogeneousNeurons(ACTIVATION)


def test_homogeneous_neurons_satisfy_the_protocol_and_hash_by_value():
    """Search and growth see a family through the protocol alone, and compile once per family."""
    assert isinstance(FAMILY, networks.NeuronFamily)
    assert not isinstance(ACTIVATION, networks.NeuronFamily)
    assert hash(FAMILY) == hash(networks.HomogeneousNeurons(PolyLeakyReLU(2, 0.3)))
    assert networks.HomogeneousNeurons(PolyLeakyReLU(2, 0.5)) != FAMILY
    assert FAMILY.degree.dtype == jnp.int32
    assert int(FAMILY.degree) == 2


def test_a_family_needs_a_degree():
    """An activation without one is refused when the family is made."""
    with pytest.raises(TypeError, match="activation must be homogeneous"):
        networks.HomogeneousNeurons(jnp.tanh)


def test_draws_are_unit_vectors_without_a_preferred_direction():
    """Over 2,000 draws the mean is 0 and the second moment I/3, within 5 standard errors."""
    drawn = np.asarray(FAMILY.draw(jax.random.key(0), 2000, 3, jnp.float64))
    np.testing.assert_allclose(np.linalg.norm(drawn, axis=1), 1, rtol=1e-14)
    assert np.abs(drawn.mean(axis=0)).max() < 5 * (1 / 3 / 2000) ** 0.5
    assert np.abs(drawn.T @ drawn / 2000 - np.eye(3) / 3).max() < 5 * (0.09 / 2000) ** 0.5
    assert FAMILY.draw(jax.random.key(0), 2, 3, jnp.float32).dtype == jnp.float32


def test_response_is_homogeneous_and_insert_adds_it():
    """`r_{c u} = c^p r_u`, and the network with (u, v) inserted gains exactly `v r_u`."""
    rng = np.random.default_rng(1)
    params = networks.init(jax.random.key(2), (3, 2, 2))
    x, u, v = jnp.asarray(rng.normal(size=(4, 3))), rng.normal(size=3), rng.normal(size=2)
    incoming = jnp.stack([u, 2 * u], axis=1)
    response = FAMILY.response(incoming, x)
    assert response.shape == (4, 2)
    np.testing.assert_allclose(response[:, 1], 4 * response[:, 0], rtol=1e-14)
    gained = FAMILY.apply(FAMILY.insert(params, 1, u, v), x) - FAMILY.apply(params, x)
    np.testing.assert_allclose(gained, response[:, :1] * v, rtol=0, atol=1e-14)


def test_insert_apply_and_balance_are_those_of_networks():
    """The family's methods are the functions of `networks`, with its activation."""
    params = networks.init(jax.random.key(2), (3, 2, 2))
    x, u, v = jnp.ones((1, 3)), jnp.arange(3.0), jnp.arange(2.0)
    for ours, theirs in [
        (FAMILY.insert(params, 1, u, v), networks.append_neuron(params, 1, u, v)),
        (FAMILY.balance(params), networks.balance(params, ACTIVATION)),
        (FAMILY.apply(params, x), networks.apply(params, x, ACTIVATION)),
    ]:
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(a, b)
