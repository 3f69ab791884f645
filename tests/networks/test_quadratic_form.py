"""Quadratic forms of x^2 networks: values, costs of factors, test error."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from nsjax import PolyLeakyReLU, data, networks


def test_a_network_is_its_quadratic_form():
    """`apply` of the library's x^2 network, sample by sample."""
    params = networks.init(jax.random.key(0), (4, 3, 1))
    x = data.gaussian(jax.random.key(1), 6, 4)
    matrix = networks.quadratic_form(params[0], params[1][0])
    outputs = networks.apply(params, x, PolyLeakyReLU(2))[:, 0]
    np.testing.assert_allclose(jnp.einsum("ni,ij,nj->n", x, matrix, x), outputs, rtol=1e-12)


def test_the_cost_of_one_neuron_is_the_least_over_its_gauge():
    """SciPy over `a` in `a^2 + |c| / |a|`."""
    for size in (0.3, 5.0):
        best = minimize_scalar(
            lambda a, size=size: a**2 + size / a,
            bounds=(1e-3, 10),
            method="bounded",
            options={"xatol": 1e-10},
        )
        incoming, output = networks.both_layers_factors(
            -size * jnp.outer(*[jnp.array([0.6, 0.8])] * 2)
        )
        cost = float(jnp.sum(incoming**2) + jnp.sum(output**2))
        assert cost == pytest.approx(best.fun, rel=1e-6)
        assert cost == pytest.approx(networks.BOTH_LAYERS * size ** (2 / 3), rel=1e-6)
        assert float(jnp.min(output)) == pytest.approx(-best.x, rel=1e-5)


def test_random_factorisations_cost_no_less():
    """Any weights cost at least the norm of their matrix, in both senses."""
    for seed in range(20):
        keys = jax.random.split(jax.random.key(seed))
        incoming = jax.random.normal(keys[0], (5, 3))
        signs = jnp.where(jax.random.bernoulli(keys[1], 0.5, (5,)), 1.0, -1.0)
        nuclear = networks.schatten(networks.quadratic_form(incoming, signs))
        assert float(jnp.sum(incoming**2)) >= float(nuclear) - 1e-12
        output = jax.random.normal(keys[1], (5,))
        quasi = networks.schatten(networks.quadratic_form(incoming, output), 2 / 3)
        cost = jnp.sum(incoming**2) + jnp.sum(output**2)
        assert float(cost) >= networks.BOTH_LAYERS * float(quasi) - 1e-12


def test_gaussian_error_against_samples():
    keys = jax.random.split(jax.random.key(0), 3)
    one, two = (data.matrix_sensing(key, 1, 4, 3)[2] for key in keys[:2])
    x = data.gaussian(keys[2], 100_000, 4)
    errors = jnp.einsum("ni,ij,nj->n", x, one - two, x) ** 2
    target = jnp.einsum("ni,ij,nj->n", x, two, x)
    wanted, spread = jnp.mean(errors), jnp.std(errors) / 100_000**0.5
    found = float(networks.gaussian_error(one, two))
    assert abs(found - float(wanted / jnp.var(target))) < 5 * float(spread) + 0.01
    assert float(jnp.var(target)) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (jnp.ones((2, 3)), "matrix must be square"),
        (jnp.array([[0.0, 1.0], [0.5, 0.0]]), "matrix must be symmetric"),
        (jnp.array([[jnp.inf]]), "matrix must be finite"),
    ],
)
def test_bad_matrices_are_refused(value, said):
    for function in (networks.schatten, networks.first_layer_factors, networks.both_layers_factors):
        with pytest.raises(ValueError, match=said):
            function(value)


def test_output_weights_have_to_fit():
    with pytest.raises(ValueError, match=r"output must have shape \(2,\)"):
        networks.quadratic_form(jnp.ones((2, 3)), jnp.ones(3))


def test_errors_need_a_target_of_their_shape():
    for matrix, target, said in (
        (jnp.eye(2), jnp.ones((1, 1)), r"matrix must have shape \(..., 1, 1\), got \(2, 2\)"),
        (jnp.eye(2), jnp.zeros((2, 2)), "target must not be zero"),
        (jnp.eye(2), jnp.ones((2, 3)), "target must be square"),
    ):
        with pytest.raises(ValueError, match=said):
            networks.gaussian_error(matrix, target)
    # Of a matrix that is not symmetric only the symmetric part is a quadratic form.
    turn = jnp.array([[0.0, 1.0], [-1.0, 0.0]])
    np.testing.assert_allclose(networks.gaussian_error(jnp.eye(2) + turn, jnp.eye(2)), 0)
