"""Curvature on the sphere, and Newton steps to the last digits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsjax import kkt
from nsjax.kkt.newton import newton, tangent_curvature

M = np.diag([3.0, 1.0, 0.5, -2.0])  # eigenvectors are the axes


def neuron(point, scale=1.0):
    """`N(u, v) = v u^T M u`, a quadratic neuron with one output, on a flat point."""
    return scale * point[4] * point[:4] @ jnp.asarray(M) @ point[:4]


def kkt_point(k):
    """The KKT point of eigenvector k with positive value: `u = sqrt(2/3) q_k, v = +-1/sqrt 3`."""
    return np.append(np.sqrt(2 / 3) * np.eye(4)[k], np.sign(M[k, k]) / np.sqrt(3))


@pytest.mark.parametrize("scale", [1.0, 1e-60])
def test_curvature_at_every_eigenvector(scale):
    """Largest curvature `max(max_j (2/sqrt 3)(s_k l_j - |l_k|), -4 |l_k| / sqrt 3)`, j not k.

    So the two ends of the spectrum are maxima, and what lies between is a saddle of the sphere;
    the same for values near the smallest numbers, as those of deep networks are.
    """
    certify = jax.jit(lambda w: (tangent_curvature(neuron, w, scale), kkt.residual(neuron, w)))
    eigenvalues = np.diag(M)
    for k, eigenvalue in enumerate(eigenvalues):
        others = 2 / np.sqrt(3) * (np.sign(eigenvalue) * eigenvalues - abs(eigenvalue))
        wanted = max(np.delete(others, k).max(), -4 * abs(eigenvalue) / np.sqrt(3))
        measured, residual = certify(kkt_point(k))
        np.testing.assert_allclose(measured, scale * wanted, rtol=1e-12)
        assert (measured < 0) == (k in (0, 3))
        assert residual < 1e-15


def test_curvature_of_points_too_large_for_a_hessian():
    """600 entries, `sum d_i w_i^2` with two close tops: curvature `2 (max of the others - d_i)`.

    A saddle whose one way up is shallow against the spectrum must not pass for a maximum.
    """
    factors = jnp.asarray([1, 0.99, *np.linspace(-1, 0.989, 598)])
    largest = jax.jit(lambda w: tangent_curvature(lambda w: jnp.sum(factors * w**2), w))
    for place, wanted in [(0, -0.02), (1, 0.02), (300, 2 * (1 - factors[300]))]:
        measured = largest(jnp.zeros(600).at[place].set(1))
        np.testing.assert_allclose(measured, wanted, rtol=1e-6)


def test_newton_ends_an_ascent():
    """From 1e-2 off, a handful of steps reach the maximum to rounding, at no loss of value."""
    rng = np.random.default_rng(0)
    run = jax.jit(lambda w: newton(neuron, w, 1.0, tol=1e-13, max_steps=6))
    for k in (0, 3):
        start = kkt_point(k) + 1e-2 * rng.normal(size=5)
        start = jnp.asarray(start / np.linalg.norm(start))
        end = run(start)
        np.testing.assert_allclose(end, kkt_point(k), atol=1e-12)
        assert neuron(end) > neuron(start)


def test_newton_leaves_a_saddle_and_keeps_to_one():
    """Next to a saddle the value rises, away from it; at the saddle itself nothing moves."""
    saddle = jnp.asarray(kkt_point(1))
    np.testing.assert_array_equal(newton(neuron, saddle, 1.0, tol=1e-13), saddle)
    start = saddle + 1e-3 * jnp.eye(5)[0]
    end = newton(neuron, start / jnp.linalg.norm(start), 1.0, tol=1e-13, max_steps=60)
    np.testing.assert_allclose(jnp.abs(end), np.abs(kkt_point(0)), atol=1e-12)


def test_newton_converges_along_a_continuum_of_maxima():
    """`(w_1^2 + w_2^2) (1 + w_3)`: a circle of maxima, whose Hessian is singular along it."""
    run = jax.jit(lambda w: newton(lambda w: (w[0] ** 2 + w[1] ** 2) * w[2], w, tol=1e-14))
    for angle in np.linspace(0, 6, 7):
        start = jnp.array([np.cos(angle), np.sin(angle), 0.8])
        end = run(start / jnp.linalg.norm(start))
        np.testing.assert_allclose(end[2], 1 / 3**0.5, atol=1e-14)
        np.testing.assert_allclose(end[:2] @ jnp.array([np.cos(angle), np.sin(angle)]),
                                   (2 / 3) ** 0.5, atol=1e-6)  # fmt: skip


def test_nothing_to_climb():
    """A constant: no step, no NaN."""
    start = jnp.array([0.6, 0.8])
    np.testing.assert_array_equal(newton(lambda w: 0 * w[0], start, tol=1e-12), start)
    assert tangent_curvature(lambda w: 0 * w[0], start) == 0
