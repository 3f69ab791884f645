"""The NCF on a circle: the quadratic's closed form, and the marks where it has its tops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsjax import PolyLeakyReLU, data, kkt, networks


def search(x, y, activation, params=None, layer=1):
    if params is None:
        params = (jnp.zeros((1, x.shape[1])), jnp.zeros((y.shape[1], 1)))
    points = kkt.search_neuron(jax.random.key(1), params, layer, x, y, activation, starts=32)
    return points, kkt.circle(params, layer, x, y, activation, points, count=361)


def test_plane_of_a_quadratic():
    """In two dimensions `N = 2/(3 sqrt 3) |u^T M u|`, turned to start at the best eigenvector."""
    x = data.gaussian(jax.random.key(0), 40, 2)
    y = x[:, :1] ** 2 - x[:, 1:2] ** 2
    points, circle = search(x, y, PolyLeakyReLU(2))
    eigenvalues = np.linalg.eigvalsh(np.asarray((x * y).T @ x))
    best, other = sorted(eigenvalues, key=abs, reverse=True)
    angles = np.asarray(circle.angles)
    wanted = 2 / 27**0.5 * np.abs(best * np.cos(angles) ** 2 + other * np.sin(angles) ** 2)
    np.testing.assert_allclose(circle.values, wanted, atol=1e-6 * wanted.max())
    assert len(points.values) == 2
    marks = sorted(zip(np.rad2deg(circle.marks) % 359.9999, circle.which, strict=True))
    np.testing.assert_allclose([mark for mark, _ in marks], [0, 90, 180, 270], atol=1e-4)
    assert [which for _, which in marks] == [0, 1, 0, 1]


def test_marks_lie_on_the_curve_and_off_plane_points_are_left_out():
    """Every mark's value is the curve's there; a slope of 1/2 has no mirrored twins."""
    x = data.sphere(jax.random.key(3), 60, 4)
    y = jnp.sin(3 * x[:, :1]) + x[:, 1:2] * x[:, 2:3]
    points, circle = search(x, y, PolyLeakyReLU(2, 0.5))
    assert len(set(circle.which)) == len(circle.which)
    assert circle.which[0] == 0
    at = np.interp(circle.marks, circle.angles, circle.values)
    np.testing.assert_allclose(at, np.asarray(points.values)[circle.which], rtol=1e-3)


def test_one_point_alone_has_a_circle_too():
    """A linear neuron with one output has one KKT point; the circle is a cosine."""
    x = data.gaussian(jax.random.key(0), 30, 3)
    points, circle = search(x, x @ jnp.array([[1.0], [2.0], [0.5]]), PolyLeakyReLU(1))
    assert len(points.values) == 1
    wanted = float(points.values[0]) * np.abs(np.cos(np.asarray(circle.angles)))
    np.testing.assert_allclose(circle.values, wanted, atol=1e-6 * wanted.max())


def test_second_hidden_layer():
    """Features and pulled-back residual of a deeper network are its own."""
    activation = PolyLeakyReLU(2, 0.0)
    params = networks.init(jax.random.key(0), (3, 4, 2, 1))
    x = data.gaussian(jax.random.key(1), 30, 3)
    points, circle = search(x, x[:, :1], activation, params, layer=2)
    np.testing.assert_allclose(circle.values[0], points.values[0], rtol=1e-6)


def test_one_dimension_is_refused():
    """There is no circle in it."""
    x = data.gaussian(jax.random.key(0), 10, 1)
    with pytest.raises(ValueError, match="points must have at least two incoming weights"):
        search(x, x, PolyLeakyReLU(2))
