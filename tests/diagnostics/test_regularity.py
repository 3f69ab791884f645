"""Ranks and inertia at critical points, against NumPy and cases in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nsjax
from nsjax import data, networks
from nsjax.diagnostics import Regular, ncf_share, regularity
from nsjax.objectives import AnyPowerLoss

SQUARE = (jnp.asarray(1.0), jnp.array([0.0, 1.0]))


def product(factors):
    """A matrix of rank two at most."""
    return factors[0] @ factors[1].T


def symmetric_gap(matrix, wanted):
    """Balanced factors of the best approximation of rank one or two."""
    left, sizes, right = np.linalg.svd(wanted)
    root = np.sqrt(sizes[:2]) * np.array([1, matrix])
    return jnp.asarray(left[:, :2] * root), jnp.asarray(right[:2].T * root)


def test_full_and_deficient_factors():
    """At factors of full rank the manifold's dimension is that of rank-two matrices, r (m+n-r)."""
    wanted = np.random.default_rng(0).normal(size=(4, 3))
    found = regularity(product, symmetric_gap(1, wanted), wanted, key=jax.random.key(0))
    assert found.result == Regular.MORSE_BOTT
    assert found.rank == found.generic == 2 * (4 + 3 - 2)
    assert found.inertia == (0, 14 - 10, 10)
    assert found.minimum
    # With the second factor zero the rank drops to r (m+n-r) of rank one, and f falls further.
    found = regularity(product, symmetric_gap(0, wanted), wanted, key=jax.random.key(0))
    assert found.result == Regular.SINGULAR
    assert (found.rank, found.generic) == (4 + 3 - 1, 10)
    assert not found.minimum


def test_mu_is_that_of_the_smallest_curvature():
    """f = ((|w|^2 - 1)^2) / 2 has curvature 4 across the circle."""
    found = regularity(
        lambda w: jnp.sum(w**2)[None], jnp.array([0.6, 0.8]), jnp.ones(1), key=jax.random.key(0)
    )
    assert found.mu == pytest.approx(np.sqrt(8.0))
    assert found.grad_norm < 1e-12


def test_tuned_targets_are_focal():
    """The rank is constant, but the Hessian vanishes along the turn of u; order two is regular."""
    kinds = []
    for contact in (1, 2):
        task = data.contact_task(jax.random.key(0), 24, 2, contact)
        params = (task.incoming[None], jnp.ones((1, 1)))
        found = regularity(
            AnyPowerLoss().outputs, params, task.y, key=jax.random.key(1), args=(task.x, *SQUARE)
        )
        kinds.append(found.result)
        assert found.rank == found.generic == 2
        assert found.inertia == (0, contact, 3 - contact)
    assert kinds == [Regular.MORSE_BOTT, Regular.FOCAL]


def test_not_critical():
    found = regularity(lambda w: w, jnp.ones(2), jnp.zeros(2), key=jax.random.key(0))
    assert found.result == Regular.NOT_CRITICAL
    assert "not small enough" in found.message


def test_targets_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="y must have the outputs' shape"):
        regularity(lambda w: w, jnp.ones(2), jnp.zeros(3), key=jax.random.key(0))


def test_share_of_a_new_neuron():
    """One over what a neuron fits by itself, zero for what is orthogonal to all of its kind."""
    x = jax.random.normal(jax.random.key(0), (40, 2))
    x = jnp.concatenate([x, -x])
    params = (jnp.zeros((1, 2)), jnp.ones((1, 1)))
    activation = nsjax.PolyLeakyReLU(2)
    fitted = networks.apply((jnp.array([[1.0, 0.2]]), jnp.ones((1, 1))), x, activation)
    share = ncf_share(params, x, fitted, activation, key=jax.random.key(1))
    assert 0.99 < share <= 1
    odd = x[:, :1] ** 3
    assert ncf_share(params, x, odd, activation, key=jax.random.key(1)) < 1e-12
