"""What makes a KKT point: residual, sign class and which points are the same."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsjax import kkt
from nsjax.kkt.certificate import distinct, signs, spread


def neuron(point):
    """`v |u|^2`, of degree 3."""
    return point[4] * jnp.sum(point[:4] ** 2)


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
    rows = np.array([[1.0, 0], [0, 1], [-1, 1e-10], [1, 0], [0, 1]])
    values = np.array([1.0, 2.0, 1.0 + 1e-12, -1.0, 2.0])
    index, group = distinct(values, rows, 1e-8)
    assert index.tolist() == [1, 2, 3]
    assert group.tolist() == [1, 0, 1, 2, 0]


def test_zero_rows_are_parallel_to_each_other_alone():
    """Signatures of nothing at all count as one, and as different from every other."""
    index, group = distinct(np.zeros(3), np.array([[0.0, 0], [2, 0], [0, 0]]), 1e-8)
    assert index.tolist() == [0, 1]
    assert group.tolist() == [0, 1, 0]


def test_many_points_are_merged_as_few_are():
    """More points than are compared at a time: 40 directions, each 25 times, of either sign."""
    rng = np.random.default_rng(0)
    directions, which = rng.normal(size=(40, 6)), rng.permutation(np.repeat(np.arange(40), 25))
    rows = directions[which] * rng.choice([-2.0, 1.0], size=(1000, 1))
    index, group = distinct(which.astype(float), rows, 1e-8)
    assert which[index].tolist() == list(range(39, -1, -1))
    np.testing.assert_array_equal(which[index][group], which)


def test_points_kept_are_spread():
    """The first of every bundle of directions, the best first, and no more than asked for."""
    rows = np.array([[1.0, 0, 0], [1, 0.1, 0], [0, 2, 0], [-1, 0, 0.1], [0, 0, 1], [1, 1, 0]])
    assert spread(rows, None, 1.0).tolist() == [0, 1, 2, 3, 4, 5]
    assert spread(rows, None, 0.5).tolist() == [0, 2, 4]
    assert spread(rows, None, 0.75).tolist() == [0, 2, 4, 5]
    assert spread(rows, 2, 0.5).tolist() == [0, 2]
    assert spread(rows, 4, 1.0).tolist() == [0, 1, 2, 3]


def test_sign_classes():
    """Within `zero` of zero is zero."""
    assert signs(np.array([2.0, 1e-9, -1e-9, -3.0]), 1e-8).tolist() == [1, 0, 0, -1]


def norm_squared(w, scale=1.0):
    return jnp.sum(scale * w**2)


def test_a_point_of_integers_is_scaled_to_the_sphere():
    """Every point is a KKT point of `|w|^2`."""
    assert float(kkt.residual(norm_squared, np.array([1, 2]))) < 1e-12


@pytest.mark.parametrize("point", [np.array([1, 2]), jnp.array([1.0, 2.0])])
def test_a_point_may_be_known_where_the_data_are_traced(point):
    scales = jnp.array([[1.0, 1.0], [1.0, 3.0]])
    found = jax.jit(jax.vmap(lambda s: kkt.residual(norm_squared, point, args=(s,))))(scales)
    # The sine between (1, 2) and the gradient, (1, 2) and (1, 6).
    np.testing.assert_allclose(found, [0, 4 / np.sqrt(5 * 37)], atol=1e-12)
    with pytest.raises(ValueError, match="point must be nonzero"):
        jax.jit(lambda s: kkt.residual(norm_squared, 0 * np.asarray(point), args=(s,)))(1.0)
