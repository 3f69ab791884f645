import itertools

import jax
import numpy as np
import pytest

from nsjax import PolyLeakyReLU
from nsjax.diagnostics import effective_directions

P2 = PolyLeakyReLU(2)


def by_eigenvalues(params, p):
    """The definition: participation ratio of the eigenvalues of `sum_j m_j u_j u_j^T`."""
    found = []
    for first, second in itertools.pairwise(params):
        total = 0
        for row, column in zip(first, second.T, strict=True):
            size = np.linalg.norm(row)
            mass = size**p * np.linalg.norm(column)
            total = total + mass * np.outer(row, row) / size**2
        values = np.linalg.eigvalsh(total)
        found.append(np.sum(values) ** 2 / np.sum(values**2))
    return found


@pytest.mark.parametrize("p", [1, 2, 3])
def test_against_eigenvalues(p):
    rng = np.random.default_rng(p)
    params = [rng.normal(size=shape) for shape in ((4, 6), (3, 4), (2, 3))]
    found = effective_directions(tuple(params), PolyLeakyReLU(p))
    np.testing.assert_allclose(found, by_eigenvalues(params, p), rtol=1e-12)


def test_scale_and_splitting_of_neurons_do_not_matter():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(5, 4)), rng.normal(size=(1, 5))
    (whole,) = effective_directions((first, second), P2)
    # At 1e-110 the square of a norm is near the smallest number there is.
    tiny = 1e-110 * first, 1e-110 * second
    np.testing.assert_allclose(effective_directions(tiny, P2)[0], whole, rtol=1e-12)
    split = np.vstack([first, first[:1]]), np.hstack([second / [2, 1, 1, 1, 1], second[:, :1] / 2])
    np.testing.assert_allclose(effective_directions(split, P2)[0], whole, rtol=1e-12)


def test_of_snapshots_and_of_the_origin():
    first, second = np.eye(3)[None].repeat(2, 0), np.ones((2, 1, 3))
    first[1] = 0
    found = effective_directions((first, second), P2)[0]
    np.testing.assert_allclose(found, [3, np.nan])
    with pytest.raises(TypeError, match="degree"):
        effective_directions((first, second), jax.numpy.tanh)
