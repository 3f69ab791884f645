import numpy as np
import pytest

from nsjax.neuronseek import moments


def product(order, seed, d=30, n=6000):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, d))
    factors = rng.standard_normal((order, d))
    return x, factors, np.prod(x @ factors.T, axis=1, keepdims=True), rng


@pytest.mark.parametrize("order", [3, 4])
def test_directions_contain_the_factors_of_a_product(order):
    x, factors, r, rng = product(order, seed=order)
    found = moments.directions(x, r, 10, rng)
    assert found.shape[0] == 30
    assert order <= found.shape[1] <= 10
    space = np.linalg.qr(found)[0]
    cosines = np.linalg.svd(space.T @ np.linalg.qr(factors.T)[0])[1]
    assert np.min(cosines) > 0.9
    # Projections on them are uncorrelated and of unit variance.
    np.testing.assert_allclose(np.cov((x @ found).T, bias=True), np.eye(found.shape[1]), atol=1e-8)


def test_noise_has_no_directions():
    nothing = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        x, r = rng.standard_normal((2000, 30)), rng.standard_normal((2000, 1))
        nothing += moments.directions(x, r, 10, rng) is None
    assert nothing >= 7


def test_whitening_leaves_out_what_inputs_do_not_span():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((500, 3)) @ rng.standard_normal((3, 3)) * [1, 100, 0.01] + 5
    wide = np.concatenate([x, x[:, :1] + x[:, 1:2], np.ones((500, 1))], axis=1)
    for dtype, tol in ((float, 1e-6), (np.float32, 1e-2)):
        basis = moments.whitening(wide.astype(dtype))
        assert basis.shape == (5, 3 if dtype is float else basis.shape[1])
        white = (wide - wide.mean(axis=0)) @ basis
        np.testing.assert_allclose(white.T @ white / 500, np.eye(basis.shape[1]), atol=tol)


def test_there_are_no_directions_without_enough_samples_or_spread():
    rng = np.random.default_rng(0)
    few, r = rng.standard_normal((20, 30)), rng.standard_normal((20, 1))
    assert moments.directions(few, r, 10, rng) is None
    assert moments.directions(np.ones((20, 3)), r, 10, rng) is None


def test_transforms_do_not_mind_zeros():
    r = np.zeros((10, 2))
    r[0] = 1
    found = moments.transforms(r)
    assert found.shape == (4, 10)
    assert np.all(np.isfinite(found))
