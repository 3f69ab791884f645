"""Diagonal networks against closed forms, scikit-learn, SciPy, and gradient descent itself."""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsjax import data, kkt
from nsjax.pursuit import diagonal


def batch(samples=12, dimension=24, sparsity=4, count=8):
    keys = jax.random.split(jax.random.key(1), count)
    return jax.vmap(lambda key: data.compressed_sensing(key, samples, dimension, sparsity))(keys)


def test_kkt_search_finds_the_best_input():
    """The largest NCF is `max |<x_j, r>| / 2`, on one input, with balanced weights."""
    x, y = (part[0] for part in batch()[:2])
    correlations = x.T @ y
    points = kkt.search(
        jax.random.key(0),
        diagonal.DiagonalNCF(),
        lambda key: tuple(jax.random.normal(key, (2, x.shape[1]))),
        args=(correlations,),
        starts=4,
        tol=1e-8,
    )
    best = int(np.argmax(np.abs(correlations)))
    np.testing.assert_allclose(points.values[0], np.abs(correlations[best]) / 2, rtol=1e-10)
    u, v = (np.asarray(part[0]) for part in points.points)
    half = np.zeros(x.shape[1])
    half[best] = 0.5**0.5
    np.testing.assert_allclose(np.abs([u, v]), [half, half], atol=1e-7)


def test_minimising_over_both_layers_is_least_squares():
    """Also where coefficients have to change their sign."""
    x, y, _ = batch()
    x = x[:, :, :6]
    found = jax.vmap(diagonal.minimise)(x, y, -jnp.einsum("bnm,bn->bm", x, y))
    wanted = [np.linalg.lstsq(a, b)[0] for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(found, wanted, atol=1e-7)


def test_pursuit_takes_the_inputs_that_omp_takes():
    """In the same order, to the same solution."""
    x, y, _ = batch()
    grown = jax.vmap(diagonal.grow)(jax.random.split(jax.random.key(0), len(x)), x, y)
    for i in range(len(x)):
        beta, order = diagonal.orthogonal_matching_pursuit(x[i], y[i])
        assert grown.order[i, : grown.neurons[i]].tolist() == order.tolist()
        np.testing.assert_allclose(grown.coefficients[i], beta, atol=1e-6)


def test_waits_are_those_of_the_integrated_flow():
    """Every neuron's growing part comes to 1 after its wait; a dead one never does."""
    correlations = jnp.array([1.0, -0.7, 0.0])
    key = jax.random.key(2)
    u, v = jax.random.normal(key, (2, 3))
    start = 1e-3 * jnp.stack([u, v])[:, :2] / jnp.sqrt(jnp.sum(u[:2] ** 2 + v[:2] ** 2))
    direction = diagonal.small_direction(key, correlations)
    times = diagonal.waits(correlations, direction, 1e-3)
    assert times[2] == jnp.inf
    for j in range(2):
        flow = diffrax.diffeqsolve(
            diffrax.ODETerm(lambda t, w, args: correlations[:2] * w[::-1]),
            diffrax.Tsit5(),
            0.0,
            times[j],
            0.1,
            start,
            stepsize_controller=diffrax.PIDController(rtol=1e-9, atol=1e-12),
        )
        np.testing.assert_allclose(np.linalg.norm(flow.ys[0, :, j]), 1, rtol=1e-4)
    limit = diagonal.waits(correlations, direction, 0.0)
    np.testing.assert_allclose(limit[:2], [1, 1 / 0.7])


def test_flow_with_memory_ends_at_the_least_l1_norm():
    """The linear program's solution; the first neuron is that of OMP, at time `1 / max |c|`."""
    for x, y, _ in zip(*batch(sparsity=8), strict=True):
        visited = diagonal.successive_saddles(x, y)
        np.testing.assert_allclose(
            visited.coefficients[-1], diagonal.basis_pursuit(x, y), atol=1e-8
        )
        correlations = np.abs(x.T @ y)
        assert visited.order[0] == np.argmax(correlations)
        np.testing.assert_allclose(visited.times[0], 1 / np.max(correlations))
    with pytest.raises(RuntimeError, match="max_saddles = 1"):
        diagonal.successive_saddles(x, y, max_saddles=1)


def test_gradient_descent_ends_at_the_limit_of_the_dual_flow():
    """Plain gradient descent on (u, v), the integrated flow, and Newton's solution."""
    x, y, _ = (part[0] for part in batch(6, 10, 2))
    alpha, rate = 0.3, 2e-3
    u, v = jnp.full(10, alpha), jnp.zeros(10)

    def step(_, pair):
        u, v = pair
        c = x.T @ (y - x @ (u * v))
        return u + rate * v * c, v + rate * u * c

    u, v = jax.lax.fori_loop(0, 200_000, step, (u, v))
    limit, residual = diagonal.flow_limit(x, y, (alpha, 1e-9))
    flow = diagonal.flow(x, y, alpha=alpha)
    assert residual.max() < 1e-9
    np.testing.assert_allclose(flow.coefficients, limit[0], atol=1e-4)
    np.testing.assert_allclose(u * v, limit[0], atol=2e-3)
    np.testing.assert_allclose(limit[1], diagonal.basis_pursuit(x, y), atol=1e-3)
    with pytest.raises(ValueError, match="alphas must fall"):
        diagonal.flow_limit(x, y, (1e-3, 1e-2))


def test_weights_have_the_imbalance_and_the_product():
    """Whatever the sign."""
    beta = jnp.array([-2.0, 0.0, 0.5])
    u, v = diagonal.weights(beta, 0.3)
    np.testing.assert_allclose(u * v, beta, atol=1e-15)
    np.testing.assert_allclose(u**2 - v**2, 0.09, rtol=1e-12)


def test_comparison_counts():
    """Tiny coefficients are outside the support; intervals hold their estimate."""
    one, other = np.array([[1.0, 1e-4], [1.0, 0.5]]), np.array([[2.0, 0.0], [1.0, 0.0]])
    assert diagonal.same_support(one, other).tolist() == [True, False]
    assert diagonal.recovered(one, other).tolist() == [False, False]
    assert diagonal.recovered(other, other).all()
