"""Compressed sensing: norms, sparsity, sizes, and refusals."""

import jax
import numpy as np
import pytest

from nsjax import data


def test_columns_targets_and_coefficients():
    """Columns of norm 1, k entries in [1/2, 3/2] with both signs, exact targets."""
    x, y, beta = data.compressed_sensing(jax.random.key(0), 10, 30, 12)
    np.testing.assert_allclose(np.linalg.norm(x, axis=0), 1, rtol=1e-12)
    np.testing.assert_allclose(y, x @ beta)
    kept = np.asarray(beta)[np.asarray(beta) != 0]
    assert kept.size == 12
    assert 0.5 <= np.abs(kept).min() < np.abs(kept).max() <= 1.5
    assert set(np.sign(kept)) == {-1.0, 1.0}


@pytest.mark.parametrize(
    ("sizes", "error", "message"),
    [
        ((5, 8, 9), ValueError, "sparsity must be at most the dimension 8, got 9"),
        ((5, 8, 0), ValueError, "sparsity must be a positive integer, got 0"),
        ((5.0, 8, 2), TypeError, "samples must be a positive integer"),
    ],
)
def test_bad_sizes_are_refused(sizes, error, message):
    """The message names the argument."""
    with pytest.raises(error, match=message):
        data.compressed_sensing(jax.random.key(0), *sizes)
