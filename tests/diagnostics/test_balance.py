"""Balance along trajectories, and balancing of hard cases: zero and half-dead neurons, depth."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nsjax
from nsjax import diagnostics, networks

MEASURES = (diagnostics.imbalance, diagnostics.balance_ratio, diagnostics.neuron_size)


def network(seed, widths=(3, 4, 2, 1), scale=1.0):
    return networks.init(jax.random.key(seed), widths, scale=scale)


@pytest.mark.parametrize("measure", MEASURES)
def test_a_trajectory_is_its_snapshots(measure):
    """A leading axis, a sequence of networks, two leading axes: what each network gives."""
    activation = nsjax.PolyLeakyReLU(2, 0.2)
    each = [network(seed) for seed in range(6)]
    wanted = [measure(params, activation) for params in each]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)
    twice = jax.tree.map(lambda leaf: leaf.reshape(2, 3, *leaf.shape[1:]), stacked)
    for layer, width in enumerate((4, 2)):
        rows = np.stack([found[layer] for found in wanted])
        np.testing.assert_allclose(measure(stacked, activation)[layer], rows, rtol=1e-14)
        np.testing.assert_allclose(measure(each, activation)[layer], rows, rtol=1e-14)
        assert measure(twice, activation)[layer].shape == (2, 3, width)
        np.testing.assert_allclose(
            measure(twice, activation)[layer].reshape(6, width), rows, rtol=1e-14
        )


def test_zero_and_half_dead_neurons():
    """Zero: imbalance 0, ratio NaN. No incoming weights: 0; no outgoing: infinity."""
    params = (jnp.array([[0.0], [0.0], [2.0]]), jnp.array([[0.0, 1.0, 0.0]]))
    activation = nsjax.PolyLeakyReLU(3)
    assert diagnostics.imbalance(params, activation)[0].tolist() == [0, -3, 4]
    np.testing.assert_array_equal(
        diagnostics.balance_ratio(params, activation)[0], [np.nan, 0, np.inf]
    )
    assert diagnostics.neuron_size(params, activation)[0].tolist() == [0, 3, 4]


@pytest.mark.parametrize("measure", MEASURES)
def test_inside_a_transformation(measure):
    """Under jit and vmap only shapes are looked at."""
    activation = nsjax.PolyLeakyReLU(2)
    params = network(0)
    stacked = jax.tree.map(lambda leaf: leaf[None], params)
    found = jax.jit(jax.vmap(lambda w: measure(w, activation)))(stacked)
    for inside, outside in zip(found, measure(params, activation), strict=True):
        np.testing.assert_allclose(inside[0], outside, rtol=1e-14)


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        (jnp.eye(2), TypeError, "params must be a tuple of weight matrices"),
        ((jnp.eye(2),), ValueError, "params must have at least two weight matrices, got 1"),
        ((jnp.eye(2), jnp.eye(3)), ValueError, r"params\[1\] must have 2 columns"),
        ((jnp.eye(2), jnp.ones(2)), ValueError, r"params\[1\] must be a matrix of rank 2"),
        ((jnp.eye(2), "weights"), TypeError, r"params\[1\] must be an array, got str"),
        ((jnp.eye(2), jnp.full((2, 2), jnp.nan)), ValueError, r"params\[1\] must be finite"),
        ((jnp.ones((3, 2, 2)), jnp.ones((4, 2, 2))), ValueError, "leading axes"),
        (
            [(jnp.eye(2), jnp.eye(2)), (jnp.eye(2), jnp.ones((3, 2)))],
            ValueError,
            r"params\[1\] must have the shapes of params\[0\]",
        ),
    ],
)
def test_bad_networks_are_refused(params, error, message):
    with pytest.raises(error, match=message):
        diagnostics.imbalance(params, nsjax.PolyLeakyReLU(2))


def test_an_activation_without_degree_is_refused():
    with pytest.raises(TypeError, match="activation must be homogeneous"):
        diagnostics.balance_ratio(network(0), jnp.tanh)


@given(st.integers(0, 10_000), st.integers(1, 3))
def test_balancing_deep_networks_with_dead_neurons(seed, p):
    """Five layers at unequal scales, neurons without in- or outgoing weights, one wholly zero.

    The function stays, the living are balanced, the dead keep what they have of their own.
    """
    rng = np.random.default_rng(seed)
    params = [np.array(w) for w in network(seed, (3, 4, 3, 4, 3, 2))]
    params = [w * 10.0 ** rng.uniform(-1, 1, (w.shape[0], 1)) for w in params]
    params[0][0] = params[1][:, 0] = 0  # zero
    params[1][1] = 0  # no incoming weights
    params[3][:, 2] = 0  # no outgoing weights
    params = tuple(jnp.asarray(w) for w in params)
    activation = nsjax.PolyLeakyReLU(p, 0.5)
    balanced = networks.balance(params, activation)
    x = rng.normal(size=(5, 3))
    np.testing.assert_allclose(
        networks.apply(balanced, x, activation), networks.apply(params, x, activation), rtol=1e-8
    )
    for into, out in itertools.pairwise(balanced):
        incoming, outgoing = np.sum(into**2, axis=1), p * np.sum(out**2, axis=0)
        alive = (incoming > 0) & (outgoing > 0)
        np.testing.assert_allclose(incoming[alive], outgoing[alive], rtol=1e-9)
    assert not np.any(balanced[0][0])
    assert not np.any(balanced[1][:, 0])


def test_balancing_weights_whose_squares_underflow():
    """Weights of 1e-200 and 1e-205 are balanced as their multiples are."""
    activation = nsjax.PolyLeakyReLU(2)
    into, out = network(0, (3, 4, 2))
    tiny = networks.balance((1e-200 * into, 1e-205 * out), activation)
    wanted = networks.balance((1e-5 * into, 1e-10 * out), activation)
    for found, expected in zip(tiny, wanted, strict=True):
        np.testing.assert_allclose(1e195 * found, expected, rtol=1e-10)
