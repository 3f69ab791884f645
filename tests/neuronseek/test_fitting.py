import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from nsjax.neuronseek import fitting, large
from nsjax.neuronseek.fitting import Limits
from tests.neuronseek import model_cases as cases

BASES = ("sine",)
LOSSES = ("square", "logistic", "cross_entropy")


normal_equations = jax.jit(fitting.normal_equations, static_argnames=("bases", "loss"))


def problem(loss="square", outputs=2, n=60, seed=0, bases=BASES, **kwargs):
    rng = np.random.default_rng(seed)
    model = cases.model(rng, outputs=outputs, monomials=((0, 1), (0, 0, 2)), bases=bases, **kwargs)
    x = rng.standard_normal((n, 4))
    y = cases.targets(rng, loss, n, outputs)
    weight = rng.integers(0, 2, n).astype(float)
    return cases.arrays(model, x, y, weight=weight, bases=bases)


def gauss_newton(weights, pooled, rows, loss):
    """`J^T H J` and `J^T r` by forward differentiation and the loss's own second derivative."""

    def outputs(vector):
        at = fitting.unflat(vector, weights)
        return fitting.outputs(at, pooled, rows, BASES)

    vector = fitting.flat(weights)
    jacobians = jax.jit(jax.jacfwd(outputs))(vector)
    h = jax.jit(outputs)(vector)

    def one(h, y):
        return fitting.LOSSES[loss](h[None], y[None])

    curvatures = jax.jit(jax.vmap(jax.hessian(one)))(h, rows.y)
    slopes = jax.jit(jax.vmap(jax.grad(one)))(h, rows.y)
    by_weight = rows.weight[:, None, None] * np.asarray(jacobians)
    matrix = np.einsum("nop,noq,nqr->pr", by_weight, curvatures, jacobians, optimize=True)
    return matrix, -np.einsum("nop,no->p", by_weight, slopes)


@pytest.mark.parametrize(
    ("loss", "outputs"),
    [*((loss, 2) for loss in LOSSES), ("logistic", 1), ("square", 1), ("square", 3)],
)
def test_normal_equations_are_those_of_the_jacobian(loss, outputs):
    weights, pooled, rows, _ = problem(loss, outputs, n=60)
    matrix, gradient = normal_equations(weights, pooled, rows, BASES, loss)
    expected, slope = gauss_newton(weights, pooled, rows, loss)
    np.testing.assert_allclose(matrix, expected, rtol=1e-9, atol=1e-9 * np.max(expected))
    np.testing.assert_allclose(gradient, slope, rtol=1e-9, atol=1e-9 * np.max(np.abs(slope)))


@pytest.mark.parametrize(
    ("loss", "outputs"), [("square", 1), ("square", 2), ("logistic", 1), ("cross_entropy", 2)]
)
def test_blocks_of_rows_add_up(monkeypatch, loss, outputs):
    weights, pooled, rows, _ = problem(loss, outputs, n=300)
    whole = normal_equations(weights, pooled, rows, BASES, loss)
    monkeypatch.setattr(fitting, "BLOCK", 1)  # 64 rows, and padding in the last block
    again = jax.jit(fitting.normal_equations, static_argnums=(3, 4))
    parts = again(weights, pooled, rows, BASES, loss)
    for a, b in zip(whole, parts, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-9)


def test_masked_rows_and_padding_do_not_count():
    weights, pooled, rows, used = problem(n=60)
    there = np.asarray(rows.weight) > 0
    fewer = fitting.Rows(*(leaf[there] for leaf in rows))
    for a, b in zip(
        normal_equations(weights, pooled, rows, BASES, "square"),
        normal_equations(weights, pooled, fewer, BASES, "square"),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)
    matrix, gradient = normal_equations(weights, pooled, rows, BASES, "square")
    padding = ~np.asarray(fitting.free_parameters(pooled, used, 2))
    assert not np.any(matrix[padding])
    assert not np.any(gradient[padding])


def test_flat_and_unflat():
    weights, *_ = problem()
    back = fitting.unflat(fitting.flat(weights), weights)
    assert all(np.array_equal(a, b) for a, b in zip(weights, back, strict=True))


def quadratic(seed=3, n=80, noise=0.1):
    """A linear part and one product in four inputs, with noise; a start near by."""
    rng = np.random.default_rng(seed)
    truth = cases.model(rng, outputs=1, powers=(1,), orders=(2,))
    x = rng.standard_normal((n, 4))
    weights, pooled, rows, used = cases.arrays(truth, x, np.zeros((n, 1)))
    y = np.asarray(fitting.outputs(weights, pooled, rows, ()))
    rows = rows._replace(y=y + noise * rng.standard_normal(y.shape))
    start = jax.tree.map(lambda leaf: leaf + 0.1 * (leaf != 0), weights)
    return start, pooled, rows, used


def test_levenberg_marquardt_reaches_the_minimum_of_scipy():
    start, pooled, rows, used = quadratic()
    fitted = fitting.fit_one(
        start, pooled, rows, used, Limits(0.0, 0.0, 100, 1e-14), bases=(), loss="square"
    )
    free = np.asarray(fitting.free_parameters(pooled, used, 1))
    vector = np.asarray(fitting.flat(start))

    @jax.jit
    def residuals(moving):
        at = fitting.unflat(jnp.asarray(vector).at[np.flatnonzero(free)].set(moving), start)
        return (fitting.outputs(at, pooled, rows, ()) - rows.y)[:, 0]

    expected = scipy.optimize.least_squares(residuals, vector[free], xtol=1e-14, ftol=1e-14)
    np.testing.assert_allclose(float(fitted.loss), expected.cost, rtol=1e-9)
    assert 2 <= int(fitted.evaluations) < 30
    # From the same start, quasi-Newton steps come to the same minimum.
    found = large.minimise(
        start, pooled, rows, used, Limits(0.0, 0.0, 1, 1e-10), steps=300, bases=(), loss="square"
    )
    np.testing.assert_allclose(float(found.loss), expected.cost, rtol=1e-7)
    for fit in (fitted, found):
        np.testing.assert_array_equal(np.asarray(fitting.flat(fit.weights))[~free], vector[~free])


def test_a_fit_from_many_starts_is_the_fits_from_each():
    start, pooled, rows, used = quadratic()
    several = jax.tree.map(lambda leaf: np.stack([leaf, 0.5 * leaf]), start)
    pools = jax.tree.map(lambda leaf: np.stack([leaf, leaf]), pooled)
    limits = Limits(0.0, 0.0, 100, 1e-12)
    many = fitting.fit_many(several, pools, rows, used, limits, bases=(), loss="square")
    for i, factor in enumerate((1, 0.5)):
        one = fitting.fit_one(
            jax.tree.map(lambda leaf, by=factor: by * leaf, start),
            pooled,
            rows,
            used,
            limits,
            bases=(),
            loss="square",
        )
        np.testing.assert_allclose(float(many.loss[i]), float(one.loss), rtol=1e-8)


def test_entries_held_at_zero_stay_there():
    start, pooled, rows, used = quadratic()
    free = np.array(pooled.free)
    free[0, :2] = False
    factors = np.array(start.factors) * free
    start = start._replace(factors=factors)
    fitted = fitting.fit_one(
        start,
        pooled._replace(free=free),
        rows,
        used,
        Limits(0.0, 0.0, 50, 1e-10),
        bases=(),
        loss="square",
    )
    found = np.asarray(fitted.weights.factors)
    assert np.all(found[~free] == 0)
    assert np.all(found[free] != factors[free])
    assert np.all(np.asarray(fitted.weights.columns)[~used] == 0)


def test_a_penalty_is_minimised_too():
    start, pooled, rows, used = quadratic()
    rows = rows._replace(y=np.sign(rows.y))
    fitted = fitting.fit_one(
        start, pooled, rows, used, Limits(0.5, 0.0, 200, 1e-13), bases=(), loss="logistic"
    )

    def value(weights):
        return fitting.total_loss(weights, pooled, rows, 0.5, (), "logistic")

    slope = np.asarray(fitting.flat(jax.jit(jax.grad(value))(fitted.weights)))
    free = np.asarray(fitting.free_parameters(pooled, used, 1))
    assert np.max(np.abs(slope[free])) < 1e-4
    assert float(fitted.loss) < float(value(start))


def test_a_fit_ends_where_it_is_told_to():
    start, pooled, rows, used = quadratic(noise=0.0)

    def fit(target, steps):
        return fitting.fit_one(
            start, pooled, rows, used, Limits(0.0, target, steps, 0.0), bases=(), loss="square"
        )

    assert int(fit(0.0, 3).evaluations) == 3
    early = fit(1e-4, 60)
    assert float(early.loss) <= 1e-4
    assert int(early.evaluations) < 10
    assert float(fit(1e-24, 60).loss) <= 1e-24


def test_a_start_that_is_not_finite_stays():
    start, pooled, rows, used = quadratic()
    start = start._replace(factors=np.where(start.factors != 0, 1e200, 0))
    for fit in (
        fitting.fit_one(
            start, pooled, rows, used, Limits(0.0, 0.0, 100, 1e-14), bases=(), loss="square"
        ),
        large.minimise(
            start,
            pooled,
            rows,
            used,
            Limits(0.0, 0.0, 1, 1e-10),
            steps=300,
            bases=(),
            loss="square",
        ),
    ):
        np.testing.assert_array_equal(fit.weights.factors, start.factors)
