"""Input laws: shapes, dtypes, moments, and one key, one data set."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsjax import data

KEY = jax.random.key(0)


@pytest.mark.parametrize("name", data.INPUTS)
def test_law_has_mean_zero_and_covariance_one(name):
    """Every law is centred with identity covariance, within 5 standard errors over 8,000 rows."""
    x = np.asarray(data.INPUTS[name](KEY, 8000, 4))
    assert x.shape == (8000, 4)
    assert x.dtype == np.float64
    assert np.abs(x.mean(axis=0)).max() < 5 / 8000**0.5
    assert np.abs(x.T @ x / 8000 - np.eye(4)).max() < 5 * (2 / 8000) ** 0.5


@pytest.mark.parametrize("name", data.INPUTS)
def test_one_key_gives_one_data_set(name):
    """The same key twice is the same data, another key is not; the dtype is the one asked for."""
    law = data.INPUTS[name]
    a, b, other = (law(k, 8000, 4) for k in (KEY, KEY, jax.random.key(1)))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, other)
    assert law(KEY, 3, 2, dtype=jnp.float32).dtype == jnp.float32


def test_sphere_has_its_radius():
    """Rows of norm sqrt(d), or of the radius given."""
    for radius, wanted in [(None, 2.0), (0.5, 0.5)]:
        x = np.asarray(data.sphere(KEY, 8000, 4, radius=radius))
        np.testing.assert_allclose(np.linalg.norm(x, axis=1), wanted, rtol=1e-14)


def test_hypercube_has_signs_alone_and_gaussian_the_fourth_moment_three():
    """Entries -1 and 1; `E x^4 = 3` within 5 standard errors (variance 96)."""
    assert set(np.unique(data.hypercube(KEY, 8000, 4))) == {-1.0, 1.0}
    x = np.asarray(data.gaussian(KEY, 8000, 4))
    assert abs(np.mean(x**4) - 3) < 5 * (96 / x.size) ** 0.5


@pytest.mark.parametrize("name", data.INPUTS)
@pytest.mark.parametrize(
    ("sizes", "error", "message"),
    [
        ((0, 3), ValueError, "samples must be a positive integer, got 0"),
        ((5, -1), ValueError, "dimension must be a positive integer, got -1"),
        ((5.0, 3), TypeError, "samples must be a positive integer, got 5.0"),
    ],
)
def test_bad_sizes_are_refused(name, sizes, error, message):
    """The message names the size and what came."""
    with pytest.raises(error, match=message):
        data.INPUTS[name](KEY, *sizes)


@pytest.mark.parametrize("radius", [0.0, -1.0, float("inf")])
def test_bad_radius_is_refused(radius):
    """A radius is positive and finite."""
    with pytest.raises(ValueError, match="radius must be a positive finite number, got"):
        data.sphere(KEY, 3, 2, radius=radius)
