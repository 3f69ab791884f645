"""Compression in a norm of the data, against closed forms, gradients, and plain convolutions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from nsjax import networks
from nsjax.networks import alternating, compress


def weight_of(seed, m, condition=1e3):
    """A covariance of that condition, eigenvectors at random."""
    rng = np.random.default_rng(seed)
    turn = scipy.linalg.qr(rng.normal(size=(m, m)))[0]
    return turn * np.geomspace(1, 1 / condition, m) @ turn.T


def kernel_of(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


def truncated(kernel, weight, rank, ridge):
    """The best matrix `(m, c_out)` of that rank, by `S^(1/2)` and its inverse: SciPy alone."""
    m = len(weight)
    root = np.real(scipy.linalg.sqrtm(weight + ridge * np.trace(weight) / m * np.eye(m)))
    left, sizes, right = np.linalg.svd(root @ np.asarray(kernel).reshape(m, -1))
    best = np.linalg.solve(root, (left[:, :rank] * sizes[:rank]) @ right[:rank])
    return best.reshape(kernel.shape), np.sum(sizes[rank:] ** 2) / np.sum(sizes**2)


@pytest.mark.parametrize(("method", "rank"), [("cp", 3), ("tucker", (3, 3))])
def test_a_matrix_is_truncated_in_its_norm(method, rank):
    """kh = kw = 1: CP and Tucker are low rank, of which the truncated SVD is the best."""
    kernel, weight = kernel_of(0, 1, 1, 7, 6), weight_of(1, 7)
    found = compress(
        jax.random.key(0),
        kernel,
        rank,
        method=method,
        covariance=weight,
        ridge=1e-4,
        tol=1e-12,
        max_sweeps=2000,
    )
    best, error = truncated(kernel, weight, 3, 1e-4)
    np.testing.assert_allclose(found.error, error, rtol=1e-8)
    np.testing.assert_allclose(found.kernel, best, atol=2e-4)
    plain = truncated(kernel, np.eye(7), 3, 0)[0]
    assert np.max(np.abs(plain - best)) > 0.1  # the norm does matter here


def test_a_tucker_decomposition_of_the_outputs_alone_is_truncated():
    """With all other ranks full, the unfolding `(m, c_out)` is a matrix again."""
    kernel, weight = kernel_of(0, 2, 3, 4, 6), weight_of(1, 24)
    found = compress(
        jax.random.key(0), kernel, (2, 3, 4, 2), method="tucker", covariance=weight, ridge=1e-4
    )
    best, error = truncated(kernel, weight, 2, 1e-4)
    np.testing.assert_allclose(found.error, error, rtol=1e-10)
    np.testing.assert_allclose(found.kernel, best, atol=1e-9)
    assert found.parameters == 6 * 2 + 24 * 2


@pytest.mark.parametrize(
    ("method", "rank", "sweeps"),
    [("cp", 4, 4000), ("tucker", (2, 2, 2, 3), 500), ("tucker", (3, 2), 500)],
)
def test_the_error_never_rises_and_ends_where_its_gradient_is_zero(method, rank, sweeps):
    kernel, weight = kernel_of(2, 3, 3, 4, 5), weight_of(3, 36, 100)
    found = compress(
        jax.random.key(0),
        kernel,
        rank,
        method=method,
        covariance=weight,
        ridge=0,
        starts=0,
        tol=1e-13,
        max_sweeps=sweeps,
    )
    assert np.all(np.diff(found.history) < 1e-13)
    assert found.history[0] > 1.02 * found.error

    def error(unknowns):
        change = (kernel - alternating.expand(*unknowns)).reshape(36, 5)
        return jnp.einsum("mt,mn,nt->", change, weight, change)

    def slope(unknowns):
        return np.sqrt(
            sum(float(jnp.sum(g**2)) for g in jax.tree.leaves(jax.grad(error)(unknowns)))
        )

    unknowns = (found.core, found.factors)
    matrix = kernel.reshape(36, 5)
    total = jnp.einsum("mt,mn,nt->", matrix, weight, matrix)
    np.testing.assert_allclose(error(unknowns) / total, found.error, rtol=1e-9)
    nudged = jax.tree.map(lambda each: each + 0.01, unknowns)
    assert slope(unknowns) < 1e-4 * slope(nudged)


def test_an_update_is_the_least_squares_one():
    """Each factor in turn against `numpy.linalg.lstsq` on the explicit matrix of its unknowns."""
    kernel, weight = kernel_of(4, 2, 3, 2, 3), weight_of(5, 12, 10)
    factors = tuple(kernel_of(6 + n, d, 2) for n, d in enumerate(kernel.shape))
    root = np.linalg.cholesky(weight).T
    for n in range(4):
        found = alternating.alternate(
            kernel, jnp.asarray(weight), None, factors, modes=(n,), max_sweeps=1, tol=0.0
        )

        def outputs(factor, n=n):
            parts = (*factors[:n], factor.reshape(factors[n].shape), *factors[n + 1 :])
            made = np.einsum("ir,jr,sr,tr->ijst", *parts)
            return (root @ made.reshape(12, 3)).ravel()

        columns = np.stack([outputs(unit) for unit in np.eye(factors[n].size)], axis=1)
        target = (root @ np.asarray(kernel).reshape(12, 3)).ravel()
        _, residual, *_ = np.linalg.lstsq(columns, target)
        np.testing.assert_allclose(found.error, residual[0] / np.sum(target**2), rtol=1e-9)


def test_the_norm_of_the_identity_is_the_isotropic_one():
    kernel = kernel_of(0, 3, 3, 3, 4)
    for method, rank in (("cp", 2), ("tucker", (2, 2))):
        plain, weighted = (
            compress(jax.random.key(0), kernel, rank, method=method, covariance=each, max_sweeps=20)
            for each in (None, 5.0 * np.eye(27))
        )
        np.testing.assert_allclose(plain.kernel, weighted.kernel, atol=1e-10)


def test_what_the_data_never_show_costs_nothing():
    """A direction without variance is given up, and a start that is given bounds the error."""
    kernel = kernel_of(0, 1, 1, 4, 4)
    weight = np.diag([1.0, 1.0, 0.0, 0.0])
    plain = compress(jax.random.key(0), kernel, 2)
    found = compress(jax.random.key(0), kernel, 2, covariance=weight, given=(plain,))
    assert found.error < 1e-5
    assert networks.output_error(kernel, found.kernel, weight) < 1e-5
    assert networks.output_error(kernel, plain.kernel, weight) > 1e-2
    assert len(found.errors) == 3
    assert found.error == min(found.errors)


@pytest.mark.parametrize(
    ("method", "rank"), [("cp", 5), ("tucker", (2, 3)), ("tucker", (2, 1, 2, 2))]
)
@pytest.mark.parametrize(
    ("strides", "padding"), [(1, "SAME"), ((2, 1), "VALID"), (2, ((1, 0), (0, 2))), (1, 1)]
)
def test_the_chain_is_the_convolution_by_the_kernel(method, rank, strides, padding):
    kernel, x = kernel_of(0, 3, 2, 4, 6), kernel_of(1, 2, 7, 8, 4)
    found = compress(jax.random.key(0), kernel, rank, method=method, starts=0, max_sweeps=3)
    chain = networks.convolve(found, x, strides=strides, padding=padding)
    steps = (strides, strides) if isinstance(strides, int) else strides
    padding = ((1, 1), (1, 1)) if padding == 1 else padding
    whole = jax.lax.conv_general_dilated(
        x, found.kernel, steps, padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    np.testing.assert_allclose(chain, whole, atol=1e-10)


def test_costs_are_counted():
    """By hand, for 8 x 8 images, 3 x 3 kernels from 4 to 6 channels, with stride 2."""
    kernel = kernel_of(0, 3, 3, 4, 6)
    cp = compress(jax.random.key(0), kernel, 5, starts=0, max_sweeps=1)
    assert cp.parameters == 5 * (3 + 3 + 4 + 6)
    few, many = networks.multiplications(cp, (8, 8), strides=2)
    assert many == 16 * 9 * 4 * 6
    assert few == 64 * 4 * 5 + 5 * (4 * 8 * 3 + 16 * 3) + 16 * 5 * 6
    tucker = compress(jax.random.key(0), kernel, (2, 3), method="tucker", starts=0, max_sweeps=1)
    assert tucker.parameters == 9 * 2 * 3 + 4 * 2 + 6 * 3
    few, _ = networks.multiplications(tucker, (8, 8), strides=2)
    assert few == 64 * 4 * 2 + 16 * 9 * 2 * 3 + 16 * 3 * 6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kernel": np.ones((3, 3, 2))}, r"kernel must have shape \(kh, kw, c, c_out\)"),
        ({"kernel": "a"}, "kernel must be an array, got 'a'"),
        ({"given": (1,)}, r"given\[0\] must be a result of compress, got 1"),
        ({"rank": "22", "method": "tucker"}, "rank must have two or four numbers"),
        ({"kernel": np.zeros((3, 3, 2, 2))}, "kernel must not be zero"),
        ({"rank": 0}, "rank must be a positive integer, got 0"),
        ({"rank": 2, "method": "tucker"}, "rank must have two or four numbers"),
        ({"rank": (3, 1), "method": "tucker"}, r"rank of mode 2 .* between 1 and 2, got 3"),
        ({"rank": (1, 1, 2, 1), "method": "tucker"}, "rank of mode 2 must be at most the product"),
        ({"method": "svd"}, "method must be one of 'cp', 'tucker', got 'svd'"),
        ({"covariance": np.eye(17)}, "covariance must have 18 rows"),
        ({"covariance": -np.eye(18)}, "covariance must have a positive trace"),
        ({"covariance": np.triu(np.ones((18, 18)))}, "covariance must be symmetric"),
        ({"covariance": np.diag([-1.0] + [1.0] * 17)}, "covariance must have no negative eigen"),
        ({"covariance": np.diag([0.0] + [1.0] * 17), "ridge": 0}, "must be positive definite"),
        ({"ridge": -1}, "ridge must be a finite number >= 0"),
        ({"starts": -1}, "starts must be an integer >= 0"),
    ],
)
def test_bad_arguments_are_named(change, message):
    options = {"kernel": np.random.default_rng(0).normal(size=(3, 3, 2, 2)), "rank": 1} | change
    with pytest.raises((TypeError, ValueError), match=message):
        compress(jax.random.key(0), options.pop("kernel"), options.pop("rank"), **options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"approximation": np.ones((2, 3, 2, 2))}, "approximation must have shape"),
        ({"second": np.eye(17)}, "second must have 18 rows"),
        ({"kernel": np.zeros((3, 3, 2, 2))}, "kernel must not be zero"),
    ],
)
def test_bad_errors_are_named(change, message):
    kernel = kernel_of(0, 3, 3, 2, 2)
    given = {"kernel": kernel, "approximation": kernel, "second": np.eye(18)} | change
    with pytest.raises(ValueError, match=message):
        networks.output_error(**given)


def test_images_that_do_not_fit_are_named():
    found = compress(jax.random.key(0), kernel_of(0, 3, 3, 2, 2), 2, starts=0, max_sweeps=1)
    small = "kernel_size must fit into images of 2 x 2"
    with pytest.raises(ValueError, match=small):
        networks.convolve(found, np.ones((1, 2, 2, 2)), padding="VALID")
    with pytest.raises(ValueError, match=small):
        networks.multiplications(found, (2, 2), padding="VALID")
    with pytest.raises(ValueError, match=r"x must have shape \(n, h, w, 2\), got \(2,\)"):
        networks.convolve(found, [1.0, 2.0])
    with pytest.raises(TypeError, match="given must be a sequence of results"):
        compress(jax.random.key(0), kernel_of(0, 3, 3, 2, 2), 2, given=found)
    assert networks.multiplications(found, 8) == networks.multiplications(found, (8, 8))


def test_other_starts_must_fit():
    kernel = kernel_of(0, 3, 3, 2, 2)
    other = compress(jax.random.key(0), kernel, 2, starts=0, max_sweeps=1)
    with pytest.raises(ValueError, match=r"given\[0\] must have factors of shapes"):
        compress(jax.random.key(0), kernel, 3, given=(other,))
