"""What makes a KKT point: residual, curvature, sign class and which points are the same."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsjax import kkt
from nsjax.kkt.certificate import cosines, distinct, signs, tangent_curvature

M = np.diag([3.0, 1.0, 0.5, -2.0])  # eigenvectors are the axes


def neuron(point):
    """`N(u, v) = v u^T M u`, a quadratic neuron with one output, on a flat point."""
    return point[4] * point[:4] @ jnp.asarray(M) @ point[:4]


def kkt_point(k):
    """The KKT point of eigenvector k with positive value: `u = sqrt(2/3) q_k, v = +-1/sqrt 3`."""
    return np.append(np.sqrt(2 / 3) * np.eye(4)[k], np.sign(M[k, k]) / np.sqrt(3))


def test_curvature_at_every_eigenvector():
    """Largest curvature `max(max_j (2/sqrt 3)(s_k l_j - |l_k|), -4 |l_k| / sqrt 3)`, j not k.

    So the two ends of the spectrum are maxima, and what lies between is a saddle of the sphere.
    """
    certify = jax.jit(lambda w: (tangent_curvature(neuron, w), kkt.residual(neuron, w)))
    eigenvalues = np.diag(M)
    for k, eigenvalue in enumerate(eigenvalues):
        others = 2 / np.sqrt(3) * (np.sign(eigenvalue) * eigenvalues - abs(eigenvalue))
        wanted = max(np.delete(others, k).max(), -4 * abs(eigenvalue) / np.sqrt(3))
        measured, residual = certify(kkt_point(k))
        np.testing.assert_allclose(measured, wanted, rtol=1e-12)
        assert (measured < 0) == (k in (0, 3))
        assert residual < 1e-15


def test_residual_is_the_sine_of_the_angle_to_the_gradient():
    """For `N = <a, w>` the residual is the sine between a and w, whatever the length of w."""
    a, w = np.array([1.0, 2.0, -1.0]), np.array([0.3, 0.1, 0.7])
    cosine = a @ w / np.linalg.norm(a) / np.linalg.norm(w)
    for factor in (1e-6, 1.0, 50.0):
        tree = (jnp.asarray(factor * w[:1]), jnp.asarray(factor * w[1:]))
        residual = kkt.residual(lambda t, a: kkt.dot(t, a), tree, args=((a[:1], a[1:]),))
        np.testing.assert_allclose(residual, np.sqrt(1 - cosine**2), rtol=1e-12)


def test_residual_is_zero_where_the_gradient_vanishes():
    """A point of vanishing gradient is a KKT point of value zero."""
    assert float(kkt.residual(neuron, jnp.asarray(np.eye(5)[4]))) == 0


@pytest.mark.parametrize(
    ("point", "error", "message"),
    [
        (np.zeros(5), ValueError, "point must be nonzero"),
        ((), ValueError, "point must have at least one array"),
        (np.array([1.0, np.nan, 0, 0, 0]), ValueError, "point must be finite, got 1 NaN"),
        (np.ones(5) * 1j, TypeError, "point must be real, got dtype complex128"),
    ],
)
def test_a_point_on_no_sphere_is_refused(point, error, message):
    """The message names the point."""
    with pytest.raises(error, match=message):
        kkt.residual(neuron, point)


def test_twins_are_merged_and_counted():
    """Equal values and parallel directions, of either sign, are one point; a negative one not."""
    rows = jnp.array([[1.0, 0], [0, 1], [-1, 1e-10], [1, 0], [0, 1]])
    values = np.array([1.0, 2.0, 1.0 + 1e-12, -1.0, 2.0])
    index, counts = distinct(values, np.asarray(cosines(rows)), 1e-8)
    assert index.tolist() == [1, 2, 3]
    assert counts.tolist() == [2, 2, 1]


def test_zero_rows_are_parallel_to_each_other_alone():
    """Directions of nothing at all count as one, and as different from every other."""
    table = np.asarray(cosines(jnp.array([[0.0, 0], [2, 0], [0, 0]])))
    assert table.tolist() == [[1, 0, 1], [0, 1, 0], [1, 0, 1]]


def test_sign_classes():
    """Within `zero` of zero is zero."""
    assert signs(np.array([2.0, 1e-9, -1e-9, -3.0]), 1e-8).tolist() == [1, 0, 0, -1]
