import jax
import numpy as np
import pytest

from nsjax import data


def test_tied_coordinates_are_equal_for_the_data():
    """The moment tensor of order 4 of the data does not change when coordinates are exchanged."""
    x, y = (np.asarray(a) for a in data.tied_task(jax.random.key(0), 2, 4, degree=3, terms=2))
    assert x.shape == (64, 4)
    assert np.std(y) == pytest.approx(1)
    # The NCF of an x^3 neuron along either coordinate.
    first, second = (float(y[:, 0] @ x[:, i] ** 3) for i in (0, 1))
    assert first == pytest.approx(second, rel=1e-12)
    np.testing.assert_allclose(np.sum(x**2, axis=1), 4, rtol=1e-12)


@pytest.mark.parametrize("gap", [0.0, 0.1])
def test_quadratic_ties_are_a_multiple_of_the_identity(gap):
    x, y = (
        np.asarray(a) for a in data.tied_task(jax.random.key(1), 2, 4, degree=2, terms=2, gap=gap)
    )
    moment = (x * y).T @ x
    np.testing.assert_allclose(moment - np.diag(np.diag(moment)), 0, atol=1e-12)
    ratio = moment[1, 1] / moment[0, 0]
    assert (ratio == pytest.approx(1, rel=1e-12)) == (gap == 0)


def test_bad_arguments_are_refused():
    with pytest.raises(
        ValueError, match="must vary over the inputs, got degree 2 and 3 terms of 3"
    ):
        data.tied_task(jax.random.key(0), 1, 3, degree=2, terms=3)
    with pytest.raises(ValueError, match="terms must be between 1 and 3, got 4"):
        data.tied_task(jax.random.key(0), 1, 3, degree=3, terms=4)
    with pytest.raises(ValueError, match="gap must be a finite number >= 0"):
        data.tied_task(jax.random.key(0), 1, 3, degree=3, terms=2, gap=-1.0)
