"""Hessian spectra: against dense matrices, SciPy, and the laws of random matrices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse.linalg
from flax import linen
from hypothesis import given
from hypothesis import strategies as st

import nsjax
from nsjax import diagnostics, networks, objectives
from nsjax.diagnostics import spectrum

KEY = jax.random.key(0)


def quadratic(w, matrix):
    """A loss whose Hessian is the (symmetric) matrix."""
    return 0.5 * w @ matrix @ w


def cubic(w):
    """A Hessian that depends on the weights: `6 w` on the diagonal."""
    return jnp.sum(w**3)


def wigner(n, seed=0):
    """Eigenvalues fill [-2, 2] by the semicircle law."""
    g = np.random.default_rng(seed).normal(size=(n, n))
    return (g + g.T) / np.sqrt(2 * n)


@given(st.integers(0, 10_000), st.floats(0, 1))
def test_dense_against_numpy(seed, band):
    """Eigenvalues, extremes and inertia of a matrix with a null space, at a given band."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.normal(size=(8, 8)))[0]
    values = np.sort(np.where(rng.uniform(size=8) < 0.3, 0, rng.normal(size=8)))
    matrix = basis @ np.diag(values) @ basis.T
    found = diagnostics.hessian_spectrum(quadratic, jnp.ones(8), args=(matrix,), band=band)
    np.testing.assert_allclose(found.eigenvalues, values, atol=1e-12)
    assert found.exact
    assert found.smallest == pytest.approx(values[0], abs=1e-12)
    assert found.largest == pytest.approx(values[-1], abs=1e-12)
    if np.min(np.abs(np.abs(values) - band)) > 1e-9:
        counts = (np.sum(values < -band), np.sum(np.abs(values) <= band), np.sum(values > band))
        assert found.inertia == counts
    assert np.trapezoid(found.density, found.grid) == pytest.approx(1, abs=1e-4)


def test_dense_of_a_network_and_of_a_block():
    """`jax.hessian` of the flat weights, all of it and the rows and columns of a block."""
    activation = nsjax.PolyLeakyReLU(2, 0.3)
    params = networks.init(KEY, (3, 4, 2))
    x, y = jax.random.normal(KEY, (7, 3)), jnp.ones((7, 2))
    loss = objectives.NetworkLoss(activation)
    flat, back = jax.flatten_util.ravel_pytree(params)
    hessian = np.asarray(jax.hessian(lambda w: loss(back(w), x, y))(flat))
    found = diagnostics.hessian_spectrum(loss, params, args=(x, y))
    values = np.linalg.eigvalsh(hessian)
    np.testing.assert_allclose(found.eigenvalues, values, rtol=1e-9, atol=1e-9)
    assert found.band == pytest.approx(0.1 * 2**-26 * np.max(np.abs(values)))
    flags = np.arange(4) < 2
    block = (np.broadcast_to(flags[:, None], (4, 3)), np.broadcast_to(flags, (2, 4)))
    inside = np.concatenate([part.ravel() for part in block])
    values = np.linalg.eigvalsh(hessian[np.ix_(inside, inside)])
    part = diagnostics.hessian_spectrum(loss, params, args=(x, y), block=block)
    np.testing.assert_allclose(part.eigenvalues, values, rtol=1e-9, atol=1e-9)
    first = diagnostics.hessian_spectrum(loss, params, args=(x, y), block=(True, False))
    np.testing.assert_allclose(
        first.eigenvalues, np.linalg.eigvalsh(hessian[:12, :12]), rtol=1e-9, atol=1e-9
    )


def test_lanczos_within_a_block():
    """Extremes and Ritz values stay within the block, here with more steps than it has weights."""
    matrix, block = wigner(40), np.arange(40) % 2 == 0
    found = diagnostics.hessian_spectrum(
        quadratic, jnp.ones(40), args=(matrix,), block=block, method="lanczos", key=KEY, probes=2
    )
    values = np.linalg.eigvalsh(matrix[np.ix_(block, block)])
    np.testing.assert_allclose(found.eigenvalues, np.repeat(values, 2), atol=1e-10)
    assert sum(found.inertia) == 20
    assert found.weights.sum() == pytest.approx(1)


def test_the_band_is_that_of_an_inspected_saddle():
    """One definition: `dynamics.inspect` over the active weights gives the same numbers."""
    activation = nsjax.PolyLeakyReLU(2)
    x = jax.random.normal(KEY, (9, 3))
    params, inactive = nsjax.dynamics.embed(networks.init(KEY, (3, 1, 1)), [2])
    y = networks.apply(params, x, activation)
    saddle = nsjax.dynamics.inspect(params, inactive, x, y, activation)
    block = ((~inactive[0])[:, None] & np.ones((2, 3), bool), (~inactive[0])[None, :])
    found = diagnostics.hessian_spectrum(
        objectives.NetworkLoss(activation), params, args=(x, y), block=block
    )
    assert found.band == pytest.approx(saddle.band, rel=1e-9)
    assert found.zero == saddle.null_directions == 1
    assert found.largest == pytest.approx(saddle.curvature_max, rel=1e-9)


def test_lanczos_extremes_against_scipy():
    """Largest and smallest eigenvalue of 3,000 weights with ARPACK, within the stated error."""
    n = 3000
    diagonal = np.concatenate([[-3.0, -2.5], np.linspace(0, 4, n - 4), [7.0, 9.0]])
    vector = np.sin(np.arange(n)) / np.sqrt(n / 2)

    def loss(w, diagonal, vector):
        return 0.5 * jnp.sum(diagonal * w**2) + (vector @ w) ** 2

    operator = scipy.sparse.linalg.LinearOperator(
        (n, n), lambda w: diagonal * w.ravel() + 2 * vector * (vector @ w.ravel()), dtype=float
    )
    ends = scipy.sparse.linalg.eigsh(operator, k=2, which="BE", return_eigenvectors=False)
    found = diagnostics.hessian_spectrum(
        loss, jnp.ones(n), args=(diagonal, vector), key=KEY, order=60, probes=3
    )
    assert not found.exact
    assert found.products == 180
    assert abs(found.smallest - min(ends)) <= found.smallest_error + 1e-10
    assert abs(found.largest - max(ends)) <= found.largest_error + 1e-10
    assert max(found.smallest_error, found.largest_error) < 1e-5


@pytest.mark.parametrize("method", ["dense", "lanczos"])
def test_semicircle_law(method):
    """Density of a Wigner matrix, `sqrt(4 - t^2) / (2 pi)`; half of its eigenvalues negative."""
    n = 400
    grid = np.linspace(-1.8, 1.8, 41)
    found = diagnostics.hessian_spectrum(
        quadratic,
        jnp.ones(n),
        args=(wigner(n),),
        key=KEY,
        method=method,
        probes=20,
        broadening=0.15,
        grid=grid,
    )
    # Lanczos: 20 probes see about 50 eigenvalues under each Gaussian, 4% at one standard error.
    law = np.sqrt(4 - grid**2) / (2 * np.pi)
    np.testing.assert_allclose(found.density, law, atol=0.02 if method == "dense" else 0.04)
    np.testing.assert_allclose([found.smallest, found.largest], [-2, 2], atol=0.1)
    assert sum(found.inertia) == n
    error = 4 * found.inertia_error[0] + 5
    assert abs(found.negative - n / 2) <= error < 40


def test_marchenko_pastur_law_and_rank():
    """A covariance of 150 samples in 300 dimensions: half zero, the rest by the law."""
    n, samples = 300, 150
    g = np.random.default_rng(1).normal(size=(n, samples))
    covariance = g @ g.T / samples
    ratio = n / samples
    low, high = (1 - ratio**0.5) ** 2, (1 + ratio**0.5) ** 2
    grid = np.linspace(low + 0.5, high - 0.5, 31)
    law = np.sqrt((high - grid) * (grid - low)) / (2 * np.pi * ratio * grid)
    options = {"args": (covariance,), "key": KEY, "grid": grid, "broadening": 0.2, "probes": 20}
    dense = diagnostics.hessian_spectrum(quadratic, jnp.ones(n), **options)
    lanczos = diagnostics.hessian_spectrum(quadratic, jnp.ones(n), method="lanczos", **options)
    assert dense.inertia == (0, 150, 150)
    np.testing.assert_allclose(dense.density, law, atol=0.01)
    np.testing.assert_allclose(lanczos.density, law, atol=0.03)
    # Zero is a gap away from the rest, so that Lanczos counts it up to its probes' error.
    assert lanczos.negative == 0
    assert abs(lanczos.zero - 150) <= 4 * lanczos.inertia_error[1] + 1
    assert 0 < lanczos.inertia_error[1] < 10


def test_lanczos_where_the_krylov_space_is_exhausted():
    """A zero Hessian, the identity, three distinct eigenvalues, fewer weights than steps."""
    options = {"key": KEY, "method": "lanczos", "probes": 4}
    zero = diagnostics.hessian_spectrum(
        quadratic, jnp.ones(30), args=(np.zeros((30, 30)),), **options
    )
    assert zero.inertia == (0, 30, 0)
    assert (zero.smallest, zero.largest, zero.band) == (0, 0, 0)
    assert np.isfinite(zero.density).all()
    one = diagnostics.hessian_spectrum(quadratic, jnp.ones(30), args=(np.eye(30),), **options)
    assert one.inertia == (0, 0, 30)
    assert one.largest == pytest.approx(1)
    values = np.repeat([-1.0, 0.0, 2.0], 10)
    three = diagnostics.hessian_spectrum(
        quadratic, jnp.ones(30), args=(np.diag(values),), **options
    )
    # Sign probes see the three shares of a diagonal matrix without error.
    assert three.inertia == (10, 10, 10)
    assert np.all(three.inertia_error < 1e-9)
    few = diagnostics.hessian_spectrum(cubic, jnp.array([1.0, -2.0, 3.0]), **options)
    np.testing.assert_allclose([few.smallest, few.largest], [-12, 18])


def test_one_probe_has_no_standard_error():
    found = diagnostics.hessian_spectrum(
        quadratic, jnp.ones(30), args=(wigner(30),), key=KEY, method="lanczos", probes=1
    )
    assert np.isnan(found.inertia_error).all()


class Small(linen.Module):
    @linen.compact
    def __call__(self, x):
        return linen.Dense(1)(linen.tanh(linen.Dense(3)(x)))


def test_a_flax_module_in_float32():
    """Its parameters as they are; dense and Lanczos agree to single precision."""
    model, x = Small(), jax.random.normal(KEY, (20, 2), jnp.float32)
    params = model.init(KEY, x)

    def loss(params, x):
        return jnp.sum((model.apply(params, x) - jnp.sum(x, axis=1, keepdims=True)) ** 2)

    dense = diagnostics.hessian_spectrum(loss, params, args=(x,))
    lanczos = diagnostics.hessian_spectrum(loss, params, args=(x,), method="lanczos", key=KEY)
    assert sum(dense.inertia) == 13
    assert dense.band == pytest.approx(
        0.1 * 2**-11.5 * max(-dense.smallest, dense.largest), rel=1e-3
    )
    assert lanczos.largest == pytest.approx(dense.largest, rel=1e-4)
    assert lanczos.smallest == pytest.approx(dense.smallest, abs=1e-4 * dense.largest)


def test_new_parameters_and_blocks_do_not_compile_again():
    matrix = wigner(12)
    diagnostics.hessian_spectrum(quadratic, jnp.ones(12), args=(matrix,))
    before = spectrum._eigenvalues._cache_size()
    for count in (3, 12):
        block = np.arange(12) < count
        found = diagnostics.hessian_spectrum(
            quadratic, jnp.zeros(12), args=(2 * matrix,), block=block
        )
        wanted = np.linalg.eigvalsh(2 * matrix[:count, :count])
        np.testing.assert_allclose(found.eigenvalues, wanted, atol=1e-12)
    assert spectrum._eigenvalues._cache_size() == before


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"loss": 3}, TypeError, "loss must be callable"),
        ({"loss": lambda w: w}, ValueError, r"loss must return a scalar, got shape \(3,\)"),
        ({"params": jnp.array([jnp.nan])}, ValueError, "params must be finite"),
        ({"params": ()}, ValueError, "params must have at least one array"),
        ({"args": [1]}, TypeError, "args must be a tuple"),
        ({"method": "power"}, ValueError, "method must be one of"),
        ({"method": "lanczos"}, ValueError, "key must be a PRNG key for Lanczos over 3 weights"),
        ({"order": 0}, ValueError, "order must be a positive integer"),
        ({"probes": 1.5}, TypeError, "probes must be a positive integer"),
        ({"band": -1.0}, ValueError, "band must be a finite number >= 0"),
        ({"broadening": 0.0}, ValueError, "broadening must be a positive"),
        ({"grid": np.ones((2, 2))}, ValueError, "grid must be a number of points or"),
        ({"block": np.zeros(3, bool)}, ValueError, "block must name at least one weight"),
        ({"block": np.ones(3)}, ValueError, "block must hold booleans"),
        ({"block": (True,)}, ValueError, "block must have the structure of params"),
        (
            {"loss": lambda w: jnp.sum(jnp.abs(w) ** 1.5)},
            ValueError,
            "loss must have a finite Hess",
        ),
    ],
)
def test_bad_input_is_refused(change, error, message):
    good = {"loss": cubic, "params": jnp.zeros(3)}
    with pytest.raises(error, match=message):
        diagnostics.hessian_spectrum(**{**good, **change})


def test_a_hessian_that_is_not_finite_is_refused_by_lanczos_too():
    with pytest.raises(ValueError, match="loss must have a finite Hessian"):
        diagnostics.hessian_spectrum(
            lambda w: jnp.sum(jnp.abs(w) ** 1.5), jnp.zeros(3), method="lanczos", key=KEY
        )
