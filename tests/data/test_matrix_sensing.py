"""Measurements of a teacher's matrix: what they are, and their moments."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsjax import data


@pytest.mark.parametrize("design", data.DESIGNS)
def test_moments_of_the_designs(design):
    """Means I or zero; variance 2 on the diagonal and 1 off it, as x x^T has by Isserlis."""
    measurements, y, matrix = data.matrix_sensing(
        jax.random.key(0), 200_000, 3, 1, 1, design=design
    )
    np.testing.assert_allclose(y, np.einsum("nij,ij->n", measurements, matrix), atol=1e-12)
    mean = np.eye(3) if design in ("inputs", "shifted") else np.zeros((3, 3))
    np.testing.assert_allclose(np.mean(measurements, axis=0), mean, atol=0.02)
    np.testing.assert_allclose(np.var(measurements, axis=0), 1 + np.eye(3), atol=0.06)
    np.testing.assert_array_equal(measurements, np.swapaxes(measurements, 1, 2))
    ranks = np.linalg.matrix_rank(measurements[:5])
    assert np.all(ranks == (1 if design == "inputs" else 3))


def test_the_teacher_has_its_signs_and_unit_variance():
    matrix = data.matrix_sensing(jax.random.key(1), 2, 6, 3, 2)[2]
    values = np.linalg.eigvalsh(matrix)
    assert np.sum(values > 1e-10) == 3
    assert np.sum(values < -1e-10) == 2
    assert float(2 * jnp.sum(matrix**2)) == pytest.approx(1)


@pytest.mark.parametrize(
    ("arguments", "options", "said"),
    [
        ((5, 4, 5), {}, "positive \\+ negative must be between 1 and 4, got 5"),
        ((5, 4, 0), {}, "positive \\+ negative must be between"),
        ((5, 4, -1), {}, "positive must be an integer >= 0"),
        ((0, 4, 1), {}, "samples must be a positive integer"),
        ((5, 4, 1), {"dtype": int}, "dtype must be a real floating type"),
        ((5, 4, 1), {"design": "other"}, "design must be one of 'inputs'"),
    ],
)
def test_bad_arguments_are_named(arguments, options, said):
    with pytest.raises((TypeError, ValueError), match=said):
        data.matrix_sensing(jax.random.key(0), *arguments, **options)
