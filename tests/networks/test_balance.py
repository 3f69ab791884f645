"""Balancing: every neuron at the ratio of a KKT point, the function unchanged."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsjax import PolyLeakyReLU, networks

X = np.random.default_rng(5).normal(size=(6, 3))


@pytest.mark.parametrize(
    ("widths", "activation"),
    [((3, 4, 2), PolyLeakyReLU(3, 0.3)), ((3, 4, 3, 2, 2), PolyLeakyReLU(2, 0.3))],
    ids=["two layers", "four layers"],
)
def test_ratios_reached_and_function_kept(widths, activation):
    """`||in||^2 = p ||out||^2` for all neurons at once, from weights of very unequal size."""
    factors = (30.0, 0.1, 2.0, 0.5)
    drawn = networks.init(jax.random.key(0), widths)
    params = tuple(c * w for c, w in zip(factors, drawn, strict=False))
    balanced = jax.tree.map(np.asarray, networks.balance(params, activation))
    for into, out in itertools.pairwise(balanced):
        incoming, outgoing = np.sum(into**2, axis=1), np.sum(out**2, axis=0)
        np.testing.assert_allclose(incoming, activation.p * outgoing, rtol=1e-10)
    np.testing.assert_allclose(
        networks.apply(balanced, X, activation),
        networks.apply(params, X, activation),
        rtol=1e-10,
    )


def test_zero_neurons_stay_as_they_are():
    """A neuron without incoming or without outgoing weights is left alone, the others are not."""
    into = jnp.array([[3.0, 4.0], [0.0, 0.0], [1.0, 2.0], [0.0, 0.0]])
    out = jnp.array([[1.0, 5.0, 0.0, 0.0]])
    first, second = networks.balance((into, out), PolyLeakyReLU(1))
    np.testing.assert_array_equal(first[1:], into[1:])
    np.testing.assert_array_equal(second[:, 1:], out[:, 1:])
    np.testing.assert_allclose(np.linalg.norm(first[0]), 5**0.5, rtol=1e-12)


def test_one_neuron_by_hand():
    """p = 2, ||in|| = 1, out = 4: `t^6 = 2 * 16`, so `in = 2^(5/6)` and `out = 4 * 2^(-5/3)`."""
    first, second = networks.balance((jnp.eye(1), 4 * jnp.eye(1)), PolyLeakyReLU(2))
    np.testing.assert_allclose(
        [first[0, 0], second[0, 0]], [2 ** (5 / 6), 2 ** (1 / 3)], rtol=1e-12
    )


def test_balance_inside_a_transformation():
    """It can be jitted by the user: only its shapes are checked there."""
    params = networks.init(jax.random.key(0), (3, 4, 2))
    activation = PolyLeakyReLU(3, 0.3)
    inside = jax.jit(lambda w: networks.balance(w, activation))(params)
    for a, b in zip(inside, networks.balance(params, activation), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"activation": jnp.tanh}, TypeError, "activation must be homogeneous"),
        ({"params": jnp.eye(2)}, TypeError, "params must be a tuple of weight matrices"),
        ({"params": (jnp.eye(2),)}, ValueError, "params must have at least two weight matrices"),
        ({"tol": 0.0}, ValueError, "tol must be a positive finite number, got 0.0"),
        ({"max_sweeps": 0}, ValueError, "max_sweeps must be a positive integer, got 0"),
    ],
)
def test_bad_input_is_refused(change, error, message):
    """The message names the argument."""
    good = {"params": (jnp.eye(2), jnp.eye(2)), "activation": PolyLeakyReLU(1)}
    with pytest.raises(error, match=message):
        networks.balance(**{**good, **change})
