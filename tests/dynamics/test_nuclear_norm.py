"""Nuclear norm fits: closed forms, SciPy on factors, and certificates that bound."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linprog
from scipy.optimize import minimize as scipy_minimize

from nsjax import data, dynamics, networks


def orthonormal(d):
    """An orthonormal basis of symmetric matrices."""
    basis = []
    for i in range(d):
        for j in range(i, d):
            each = np.zeros((d, d))
            each[i, j] = each[j, i] = 1.0 if i == j else 0.5**0.5
            basis.append(each)
    return jnp.asarray(basis)


@pytest.mark.parametrize("psd", [False, True])
def test_orthonormal_measurements_threshold_eigenvalues(psd):
    """With A orthonormal the minimum is soft-thresholding by n lam, in NumPy."""
    basis = orthonormal(3)
    matrix = np.array([[2.0, 0.5, 0.0], [0.5, -1.5, 0.3], [0.0, 0.3, 0.2]])
    fit = dynamics.nuclear_norm_fit(basis, jnp.einsum("nij,ij->n", basis, matrix), 0.05, psd=psd)
    values, vectors = np.linalg.eigh(matrix)
    kept = np.maximum(np.abs(values) - 6 * 0.05, 0) * np.sign(values)
    if psd:
        kept = np.maximum(kept, 0)
    np.testing.assert_allclose(fit.matrix, (vectors * kept) @ vectors.T, atol=1e-8)
    assert int(fit.rank) == np.sum(kept != 0) == (1 if psd else 2)
    assert fit.message == "the duality gap is below the tolerance"


def problem(samples=8, dimension=4, design="inputs"):
    measurements, y, matrix = data.matrix_sensing(
        jax.random.key(3), samples, dimension, 1, 1, design=design
    )
    return measurements, y + 0.1 * jax.random.normal(jax.random.key(4), y.shape), matrix


@pytest.mark.parametrize("psd", [False, True])
def test_scipy_on_factors_finds_the_same_minimum(psd):
    """L-BFGS-B over `M = U^T U - V^T V`, with the squares of the factors as penalty."""
    measurements, y, _ = problem()
    a, b, lam, d, n = np.asarray(measurements), np.asarray(y), 0.05, 4, 8

    def loss(flat):
        up, down = flat[: d * d].reshape(d, d), flat[d * d :].reshape(-1, d)
        residual = np.einsum("nij,ij->n", a, up.T @ up - down.T @ down) - b
        slope = np.einsum("n,nij->ij", residual, a) / n
        gradient = [2 * up @ slope + 2 * lam * up, -2 * down @ slope + 2 * lam * down]
        value = residual @ residual / (2 * n) + lam * flat @ flat
        return value, np.concatenate([each.ravel() for each in gradient])

    start = np.random.default_rng(0).normal(size=d * d * (1 if psd else 2))
    options = {"maxiter": 5000, "ftol": 1e-15, "gtol": 1e-10}
    theirs = scipy_minimize(loss, start, jac=True, method="L-BFGS-B", options=options)
    fit = dynamics.nuclear_norm_fit(measurements, y, lam, psd=psd, tol=1e-12)
    assert float(fit.value) == pytest.approx(theirs.fun, rel=1e-9)
    assert 0 <= float(fit.gap) <= 1e-12 * float(fit.value)


def test_the_gap_bounds_the_distance_when_stopped_early():
    measurements, y, _ = problem()
    best = float(dynamics.nuclear_norm_fit(measurements, y, 0.01, tol=1e-13).value)
    early = dynamics.nuclear_norm_fit(measurements, y, 0.01, tol=1e-13, max_steps=25)
    assert early.steps == 25
    assert early.message.startswith("max_steps")
    assert float(early.dual) <= best * (1 + 1e-12)
    assert 1e-6 * best < float(early.value) - best <= float(early.gap)


@pytest.mark.parametrize("psd", [False, True])
def test_a_large_penalty_leaves_nothing(psd):
    """From `|A^*(y)|_op / n` on, the minimum is zero; just below it is not."""
    measurements, y, _ = data.matrix_sensing(jax.random.key(3), 8, 4, 2)
    values = np.linalg.eigvalsh(np.einsum("n,nij->ij", y, measurements) / 8)
    edge = values[-1] if psd else np.abs(values).max()
    assert int(dynamics.nuclear_norm_fit(measurements, y, 1.001 * edge, psd=psd).rank) == 0
    assert int(dynamics.nuclear_norm_fit(measurements, y, 0.98 * edge, psd=psd).rank) == 1


@pytest.mark.parametrize("psd", [False, True])
def test_diagonal_interpolation_is_a_linear_programme(psd):
    """Diagonal measurements have a diagonal solution: least l1 norm, by SciPy's linprog."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(3, 5))
    y = rows @ np.array([1.0, 0, 0.5 if psd else -0.5, 0, 0])
    measurements = jnp.asarray([np.diag(row) for row in rows])
    found = dynamics.least_nuclear_norm(measurements, jnp.asarray(y), psd=psd)
    equations = rows if psd else np.concatenate([rows, -rows], axis=1)
    theirs = linprog(np.ones(equations.shape[1]), A_eq=equations, b_eq=y)
    assert float(found.value) == pytest.approx(theirs.fun, rel=1e-6)
    assert float(found.misfit) < 1e-12
    assert int(found.result) == 0


def test_interpolation_is_the_limit_of_small_penalties():
    """And rows of zeros ask for nothing; a batch is the problems one by one."""
    measurements, y, _ = data.matrix_sensing(jax.random.key(0), 12, 5, 1)
    found = dynamics.least_nuclear_norm(measurements, y)
    fit = dynamics.nuclear_norm_fit(measurements, y, 1e-6)
    np.testing.assert_allclose(found.matrix, fit.matrix, atol=1e-4)
    padded = jnp.concatenate([measurements, 0 * measurements]), jnp.concatenate([y, 0 * y])
    batch = jax.tree.map(lambda leaf: jnp.stack([leaf, 2 * leaf]), padded)
    both = jax.vmap(dynamics.least_nuclear_norm)(batch[0], batch[1])
    # Twice the measurements and twice the targets: the same matrix.
    for matrix in both.matrix:
        np.testing.assert_allclose(matrix, found.matrix, atol=1e-6)


def test_a_network_ends_at_the_convex_minimum():
    measurements, y, _ = problem(10, 3)
    x = jnp.linalg.eigh(measurements)[1][:, :, -1]
    x *= jnp.sqrt(jnp.trace(measurements, axis1=1, axis2=2))[:, None]
    output = jnp.array([1.0, 1, 1, -1, -1, -1])
    starts = jax.random.normal(jax.random.key(0), (2, 6, 3))
    args = output, x, y, 0.05
    found = dynamics.minimize_starts(dynamics.first_layer_loss, starts, args=args)
    best = float(dynamics.nuclear_norm_fit(measurements, y, 0.05).value)
    np.testing.assert_allclose(found.losses, best, rtol=1e-9)
    assert np.all(found.converged)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"measurements": jnp.ones((3, 2, 4))}, r"measurements must have shape \(n, d, d\)"),
        ({"measurements": jnp.ones((3, 2))}, r"measurements must have shape \(n, d, d\)"),
        ({"measurements": jnp.array([[[0.0, 1.0], [0.0, 0.0]]])}, "measurements must be symmetric"),
        ({"measurements": "a"}, "measurements must be an array, got 'a'"),
        ({"y": jnp.ones(2)}, r"y must have shape \(1,\)"),
        ({"y": jnp.array([jnp.nan])}, "y must be finite"),
        ({"penalty": 0.0}, "penalty must be a positive"),
        ({"tol": -1.0}, "tol must be a positive"),
        ({"max_steps": 0}, "max_steps must be a positive integer"),
    ],
)
def test_bad_arguments_are_named(change, said):
    good = {"measurements": jnp.eye(2)[None], "y": jnp.ones(1), "penalty": 1.0}
    with pytest.raises((TypeError, ValueError), match=said):
        dynamics.nuclear_norm_fit(**{**good, **change})
    if "penalty" not in change:
        good.pop("penalty")
        with pytest.raises((TypeError, ValueError), match=said):
            dynamics.least_nuclear_norm(**{**good, **change})


def test_targets_that_no_matrix_fits_are_said_to_be_none():
    same = jnp.eye(2)[None] * jnp.ones((2, 1, 1))
    found = dynamics.least_nuclear_norm(same, jnp.array([1.0, 3.0]))
    assert found.message.startswith("no matrix fits")
    np.testing.assert_allclose(found.matrix, jnp.eye(2), atol=1e-7)  # tr M = 2, the mean
    assert dynamics.least_nuclear_norm(0 * same, jnp.array([1.0, 3.0])).result == 2
    assert dynamics.least_nuclear_norm(same, jnp.array([2.0, 2.0])).result == 0


def test_a_word_is_no_flag():
    for solve in (
        dynamics.least_nuclear_norm,
        lambda *args, **options: dynamics.nuclear_norm_fit(*args, 1.0, **options),
    ):
        with pytest.raises(TypeError, match="psd must be True or False, got 'no'"):
            solve(jnp.eye(2)[None], jnp.ones(1), psd="no")


def test_losses_are_scalars():
    for minimise in (dynamics.minimize, dynamics.minimize_starts):
        with pytest.raises(ValueError, match="loss must return a scalar, got shape"):
            minimise(lambda w: w[..., None] * w, jnp.ones((2, 2)))


def test_starts_need_one_leading_axis():
    with pytest.raises(ValueError, match="starts must have leaves with one leading axis"):
        dynamics.minimize_starts(jnp.sum, (jnp.ones((2, 3)), jnp.ones((3, 3))))


def test_factors_give_the_matrix_back():
    matrix = problem()[2]
    for factors in (networks.first_layer_factors, networks.both_layers_factors):
        np.testing.assert_allclose(networks.quadratic_form(*factors(matrix)), matrix, atol=1e-12)
