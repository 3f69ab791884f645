"""Symmetry directions: outputs stand still along them, and they are as many as there should be."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nsjax
from nsjax import data, networks

KEY = jax.random.key(0)


@pytest.mark.parametrize(("p", "slope", "hidden"), [(2, 1.0, (3,)), (3, 0.2, (2, 3))])
def test_outputs_do_not_change_along_them(p, slope, hidden):
    activation = nsjax.PolyLeakyReLU(p, slope)
    x, _ = data.modular_addition(3)
    params = networks.init(KEY, (x.shape[1], *hidden, 2))
    directions = networks.symmetry_directions(params, activation, x=x)
    # One rescaling a hidden neuron; one-hot pairs leave one direction of inputs unseen.
    assert len(directions[0]) == sum(hidden) + hidden[0]

    def outputs(weights):
        return networks.apply(weights, x, activation)

    for i in range(len(directions[0])):
        _, change = jax.jvp(outputs, (params,), (tuple(leaf[i] for leaf in directions),))
        assert np.max(np.abs(change)) < 1e-12


def test_inputs_of_full_rank_leave_the_rescalings():
    params = networks.init(KEY, (3, 2, 1))
    x = data.sphere(KEY, 10, 3)
    for inputs in (x, None):
        found = networks.symmetry_directions(params, nsjax.PolyLeakyReLU(2), x=inputs)
        assert [leaf.shape for leaf in found] == [(2, 2, 3), (2, 1, 2)]


def test_inputs_that_do_not_fit_are_refused():
    params = (jnp.ones((1, 3)), jnp.ones((1, 1)))
    with pytest.raises(ValueError, match="x must have"):
        networks.symmetry_directions(params, nsjax.PolyLeakyReLU(2), x=jnp.ones((4, 2)))
