"""KKT points of one new neuron against closed forms and brute force."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from nsjax import PolyLeakyReLU, kkt, networks, objectives
from nsjax.kkt import blocks, clarke, multistart
from nsjax.kkt.neuron import NeuronLandscape

QUADRATIC = PolyLeakyReLU(2, 1.0)
EMPTY = (jnp.zeros((1, 4)), jnp.zeros((1, 1)))  # a network that computes nothing, d = 4, c = 1
RNG = np.random.default_rng(0)
X, Z = RNG.normal(size=(20, 4)), RNG.normal(size=(20, 1))


def phi(u, x, z, p, slope):
    """`||B^T s(G u)||` at unit u, in NumPy."""
    t = x @ (u / np.linalg.norm(u))
    return np.linalg.norm(np.where(t > 0, t, slope * t) ** p @ z)


def best_of_scipy(x, z, p, slope, tries=8):
    """The largest phi that Nelder-Mead finds from random starts."""
    rng = np.random.default_rng(7)
    options = {"xatol": 1e-9, "fatol": 1e-12, "maxiter": 3000, "maxfev": 3000}
    return -min(
        scipy.optimize.minimize(
            lambda u: -phi(u, x, z, p, slope),
            rng.normal(size=x.shape[1]),
            method="Nelder-Mead",
            options=options,
        ).fun
        for _ in range(tries)
    )


def check_blocks(found, p):
    """Lemma 9: squared norms `p/(p+1)` and `1/(p+1)`; multiplier `(p+1) N`; best first."""
    incoming, outgoing = found.points
    np.testing.assert_allclose(np.sum(incoming**2, axis=1), p / (p + 1), rtol=1e-12)
    np.testing.assert_allclose(np.sum(outgoing**2, axis=1), 1 / (p + 1), rtol=1e-12)
    np.testing.assert_allclose(found.multipliers, (p + 1) * found.values, rtol=1e-12, atol=1e-14)
    assert np.all(np.diff(found.values) <= 0)


def check_eigenvectors(found, order):
    """Of t^2 with one output: the eigenvectors of `sum z x x^T` in this order, v by sign."""
    eigenvalues, vectors = np.linalg.eigh((X.T * Z[:, 0]) @ X)
    np.testing.assert_allclose(
        found.values, 2 / (3 * 3**0.5) * np.abs(eigenvalues[order]), rtol=1e-12
    )
    incoming, outgoing = found.points
    for row, k in enumerate(order):
        along = np.asarray(incoming[row]) @ vectors[:, k]
        np.testing.assert_allclose(abs(along), (2 / 3) ** 0.5, rtol=1e-12)
        np.testing.assert_allclose(outgoing[row, 0], np.sign(eigenvalues[k]) / 3**0.5, rtol=1e-12)
    check_blocks(found, 2)


def test_quadratic_neuron_finds_the_ends_of_the_spectrum():
    """p = 2, slope 1, one output: values `2/(3 sqrt 3) |l_k|`, `u = sqrt(2/3) q_k`, v by sign.

    Maxima are the largest and the smallest eigenvalue of `sum z x x^T`, if of either sign.
    """
    found = kkt.search_neuron(
        jax.random.key(0), EMPTY, 1, X, Z, QUADRATIC, starts=32, method="ascent"
    )
    eigenvalues = np.linalg.eigvalsh((X.T * Z[:, 0]) @ X)
    assert eigenvalues[0] < 0 < eigenvalues[-1]
    ends = sorted([0, 3], key=lambda k: -abs(eigenvalues[k]))
    check_eigenvectors(found, ends)
    assert found.is_maximum.tolist() == [True, True]
    assert found.signs.tolist() == [1, 1]
    assert int(found.counts.sum()) == 32
    assert float(jnp.max(found.residuals)) < 1e-13
    assert not np.any(found.kinked)
    assert found.result == 0
    assert "reached the residual" in found.message


def test_exact_points_are_all_eigenvectors():
    """The fast path: every eigenvector, saddles too; the ascent's maxima, from the same starts
    with the same basins."""
    found = kkt.search_neuron(jax.random.key(0), EMPTY, 1, X, Z, QUADRATIC, starts=64)
    eigenvalues = np.linalg.eigvalsh((X.T * Z[:, 0]) @ X)
    order = np.argsort(-np.abs(eigenvalues))
    check_eigenvectors(found, order)
    assert found.is_maximum.tolist() == [k in (0, 3) for k in order]
    assert float(jnp.max(found.residuals)) < 1e-13
    assert (found.steps, found.result) == (0, 0)
    climbed = kkt.search_neuron(
        jax.random.key(0), EMPTY, 1, X, Z, QUADRATIC, starts=64, method="ascent"
    )
    maxima = np.asarray(found.is_maximum)
    np.testing.assert_array_equal(found.counts[maxima], climbed.counts)
    np.testing.assert_allclose(found.values[maxima], climbed.values, rtol=1e-12)
    assert int(found.counts.sum()) == 64
    best = kkt.search_neuron(jax.random.key(0), EMPTY, 1, X, Z, QUADRATIC, k=1)
    np.testing.assert_allclose(best.values, found.values[:1], rtol=1e-14)


def test_exact_points_of_special_forms():
    """A definite form has one maximum, where all starts end; `|t|^2` is `t^2`; zero is said."""
    found = kkt.search_neuron(jax.random.key(0), EMPTY, 1, X, -np.abs(Z), PolyLeakyReLU(2, -1.0))
    assert found.is_maximum.tolist() == [True, False, False, False]
    assert found.shares.tolist() == [1, 0, 0, 0]
    assert float(found.points[1][0, 0]) < 0
    nothing = kkt.search_neuron(jax.random.key(0), EMPTY, 1, X, 0 * Z, QUADRATIC, starts=8)
    assert (nothing.values.tolist(), nothing.counts.tolist(), nothing.result) == ([0], [8], 2)


def test_exact_points_of_small_eigenvalue_are_kept():
    """Spectrum (1, .5, .3, -1e-6): the last one is the second maximum, however low."""
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0]
    x, z = np.tile(rotation.T, (5, 1)), np.tile([[1.0], [0.5], [0.3], [-1e-6]], (5, 1)) / 5
    found = kkt.search_neuron(jax.random.key(0), EMPTY, 1, x, z, QUADRATIC)
    np.testing.assert_allclose(27**0.5 / 2 * found.values, [1, 0.5, 0.3, 1e-6], rtol=1e-9)
    assert found.is_maximum.tolist() == [True, False, False, True]
    assert int(found.counts.sum()) == 256


@pytest.mark.parametrize("method", ["exact", "ascent"])
def test_max_cosine_holds_for_either_method(method):
    """Contributions of different eigenvectors overlap: only the best one is left."""
    found = kkt.search_neuron(
        jax.random.key(0), EMPTY, 1, X, Z, QUADRATIC, max_cosine=0.1, method=method
    )
    assert len(found.values) == 1


@pytest.mark.parametrize(("dtype", "scale"), [("float64", 1e80), ("float64", 1e-90),
                                              ("float32", 1e5), ("float32", 1e-6)])  # fmt: skip
def test_units_of_the_data_do_not_matter(dtype, scale):
    """Values scale as `x^p`; squares of them would be out of range. Too large ones are refused."""
    activation, p = (
        PolyLeakyReLU(4 if dtype == "float32" else 2, 0.5),
        4 if dtype == "float32" else 2,
    )
    saddle, x, z = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), (EMPTY, X, Z))
    plain = kkt.search_neuron(jax.random.key(0), saddle, 1, x, z, activation, starts=32)
    found = kkt.search_neuron(jax.random.key(0), saddle, 1, scale * x, z, activation, starts=32)
    rtol = 1e-9 if dtype == "float64" else 1e-4
    np.testing.assert_allclose(
        np.asarray(found.values, float) / scale**p, np.asarray(plain.values, float), rtol=rtol
    )
    np.testing.assert_array_equal(found.is_maximum, plain.is_maximum)
    assert found.result == 0
    if scale == 1e5:
        with pytest.raises(ValueError, match="values of the NCF that fit into float32"):
            kkt.search_neuron(jax.random.key(0), saddle, 1, 1e20 * x, z, activation, starts=32)


@pytest.mark.parametrize(
    ("activation", "outputs"), [(PolyLeakyReLU(2, 0.5), 1), (PolyLeakyReLU(2, 1.0), 2)]
)
def test_exact_points_are_refused_where_there_are_none(activation, outputs):
    """`method="exact"` is for t^2 and one output alone."""
    saddle = (jnp.zeros((1, 4)), jnp.zeros((outputs, 1)))
    with pytest.raises(ValueError, match=r"method='exact' needs the activation t\^2 and a single"):
        kkt.search_neuron(
            jax.random.key(0), saddle, 1, X, np.ones((20, outputs)), activation, method="exact"
        )


def test_the_dominant_point_is_found_in_each_of_100_random_problems():
    """Quadratic neurons, by ascent: the largest |eigenvalue| to 1e-8 of it and its vector to 1e-6,
    and the other maximum wherever a start lies in its basin."""
    rng = np.random.default_rng(5)
    for seed in range(100):
        x, z = rng.normal(size=(20, 4)), rng.normal(size=(20, 1))
        problem = (jax.random.key(seed), EMPTY, 1, x, z, QUADRATIC)
        found = kkt.search_neuron(*problem, starts=32, method="ascent")
        eigenvalues, vectors = np.linalg.eigh((x.T * z[:, 0]) @ x)
        top = int(np.argmax(np.abs(eigenvalues)))
        np.testing.assert_allclose(
            found.values[0], 2 / 27**0.5 * np.abs(eigenvalues[top]), rtol=1e-8
        )
        along = np.asarray(found.points[0][0]) @ vectors[:, top]
        np.testing.assert_allclose(abs(along), (2 / 3) ** 0.5, rtol=1e-6)
        exact = kkt.search_neuron(*problem, starts=32)
        np.testing.assert_allclose(found.values, exact.values[exact.counts > 0], rtol=1e-8)


def test_search_neuron_compiles_once(compiled):
    """Not one compilation more for another key and other data, also where more points are found."""
    keys = [jax.random.key(i) for i in range(4)]
    rngs = [np.random.default_rng(i) for i in range(3)]
    problems = [(rng.normal(size=(20, 4)), rng.normal(size=(20, 1))) for rng in rngs]
    # A definite form has one maximum, an indefinite one two.
    problems.append((problems[0][0], np.abs(problems[0][1])))
    kkt.search_neuron(keys[0], EMPTY, 1, *problems[0], QUADRATIC, starts=32, method="ascent")
    compiled.clear()
    counts = set()
    for key, problem in zip(keys, problems, strict=True):
        found = kkt.search_neuron(
            key, EMPTY, 1, *problem, QUADRATIC, starts=32, tol=1e-7, method="ascent"
        )
        counts.add(len(found.values))
    assert compiled == []
    assert len(counts) > 1


def modular_addition(m):
    """Full table: one-hot summands, centred one-hot sums, and an empty network for them."""
    a, b = (index.ravel() for index in np.meshgrid(range(m), range(m), indexing="ij"))
    x = np.concatenate([np.eye(m)[a], np.eye(m)[b]], axis=1)
    return x, np.eye(m)[(a + b) % m] - 1 / m, (jnp.zeros((1, 2 * m)), jnp.zeros((m, 1)))


@pytest.mark.parametrize(("m", "starts"), [(7, 32), pytest.param(59, 64, marks=pytest.mark.slow)])
def test_modular_addition_on_the_full_centred_table(m, starts):
    """Odd modulus, x^2: at least 95 % of the starts reach `sqrt(m/2) sqrt(4/27)` to 1e-6, each with
    one frequency in both summands and in the output. Phases are free: a continuum of maxima."""
    x, y, saddle = modular_addition(m)
    found = kkt.search_neuron(jax.random.key(0), saddle, 1, x, y, QUADRATIC, starts=starts)
    top = (m / 2) ** 0.5 * (4 / 27) ** 0.5
    best = np.abs(np.asarray(found.values) / top - 1) < 1e-8
    assert float(found.shares[best].sum()) >= 0.95
    assert bool(jnp.all(found.is_maximum[best]))
    assert float(jnp.max(found.residuals)) < 1e-10
    incoming, outgoing = found.points
    parts = np.stack([incoming[:, :m], incoming[:, m:], outgoing])[:, best]
    power = np.abs(np.fft.rfft(parts, axis=2)) ** 2
    share = power / power.sum(axis=2, keepdims=True)
    assert share.max(axis=2).min() >= 0.999
    assert np.all(share.argmax(axis=2) == share.argmax(axis=2)[0])


def test_several_distinct_neurons_for_several_outputs():
    """Of the continuum `k = 3` are kept whose contributions differ: other frequencies or phases."""
    x, y, saddle = modular_addition(7)
    found = kkt.search_neuron(
        jax.random.key(0), saddle, 1, x, y, QUADRATIC, starts=64, k=3, max_cosine=0.3
    )
    np.testing.assert_allclose(found.values, (3.5 * 4 / 27) ** 0.5, rtol=1e-8)
    incoming, outgoing = map(np.asarray, found.points)
    added = (x @ incoming.T).T[:, :, None] ** 2 * outgoing[:, None, :]
    rows = added.reshape(3, -1)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    assert np.max(np.abs(rows @ rows.T - np.eye(3))) <= 0.3 + 1e-12


def test_several_outputs_against_scipy():
    """p = 2, slope 0.3, two outputs: no direction is better, v is parallel to `B^T s(G u)`."""
    x, z = X[:, :3], RNG.normal(size=(20, 2))
    saddle = (jnp.zeros((1, 3)), jnp.zeros((2, 1)))
    activation = PolyLeakyReLU(2, 0.3)
    found = kkt.search_neuron(jax.random.key(1), saddle, 1, x, z, activation, starts=32)
    factor = 2 / 3**1.5
    best = factor * best_of_scipy(x, z, 2, 0.3)
    np.testing.assert_allclose(found.values[0], best, rtol=1e-9)
    check_blocks(found, 2)
    ncf = objectives.neuron_ncf(saddle, 1, x, z, activation)
    for u, v, value in zip(*map(np.asarray, (*found.points, found.values)), strict=True):
        np.testing.assert_allclose(value, factor * phi(u, x, z, 2, 0.3), rtol=1e-12)
        np.testing.assert_allclose(value, float(ncf(u, v)), rtol=1e-12)
        t = x @ u
        pull = np.maximum(t, 0.3 * t) ** 2 @ z
        np.testing.assert_allclose(v / np.linalg.norm(v), pull / np.linalg.norm(pull), rtol=1e-9)
        assert float(kkt.residual(lambda w: ncf(*w), (u, v))) < 1e-7
    assert bool(found.is_maximum[0])


def test_deeper_layer_sees_the_features_of_the_saddle():
    """Layer 2 of three: the neuron is judged on `g_1` and on the residual itself, `B_3 = r`."""
    first = networks.init(jax.random.key(2), (3, 4))[0]
    saddle = (first, jnp.zeros((1, 4)), jnp.zeros((1, 1)))
    features = np.asarray(X[:, :3] @ first.T) ** 2
    found = kkt.search_neuron(jax.random.key(0), saddle, 2, X[:, :3], Z, QUADRATIC, starts=32)
    eigenvalues = np.linalg.eigvalsh((features.T * Z[:, 0]) @ features)
    top = np.abs(eigenvalues).max()
    np.testing.assert_allclose(found.values[0], 2 / (3 * 3**0.5) * top, rtol=1e-12)


def clarke_residual(u, x, z, slope):
    """Least tangent generalised gradient at u over the size of that gradient, by SciPy.

    Bounded least squares over the slopes of the samples whose kink u lies on.
    """
    into = x @ u
    pull = np.where(into > 0, into, slope * into) @ z
    weights = z @ (pull / np.linalg.norm(pull))
    on_kink = np.abs(into) <= 1e-12 * np.linalg.norm(x, axis=1)
    slopes = np.where(into > 0, 1, slope)
    normal = x - np.outer(x @ u, u)
    fixed = normal[~on_kink].T @ (weights * slopes)[~on_kink]
    if on_kink.any():
        columns = (weights[on_kink, None] * normal[on_kink]).T
        solved = scipy.optimize.lsq_linear(columns, -fixed, bounds=(slope, 1), tol=1e-15)
        fixed = fixed + columns @ solved.x
    return np.linalg.norm(fixed) / np.linalg.norm(pull), int(on_kink.sum())


@pytest.mark.parametrize(("slope", "outputs"), [(0.0, 1), (0.5, 2), (-1.0, 2)])
def test_kinked_neurons_by_value_and_generalised_residual(slope, outputs):
    """p = 1 with a kink: maxima sit on kinks, where no gradient vanishes.

    The best value is not below what Nelder-Mead finds; every point has a generalised gradient along
    it, by a bounded least squares of SciPy; and no random step nearby raises the value.
    """
    z = np.random.default_rng(3).normal(size=(20, outputs))
    saddle = (jnp.zeros((1, 4)), jnp.zeros((outputs, 1)))
    activation = PolyLeakyReLU(1, slope)
    found = kkt.search_neuron(jax.random.key(0), saddle, 1, X, z, activation, starts=64)
    check_blocks(found, 1)
    assert found.result == 0
    assert float(jnp.max(found.residuals)) <= 1e-10
    assert np.any(found.kinked)
    assert float(found.values[0]) >= (1 - 1e-8) * best_of_scipy(X, z, 1, slope) / 2
    rng = np.random.default_rng(1)
    for point, value, maximum, kinked in zip(
        found.points[0], found.values, found.is_maximum, found.kinked, strict=True
    ):
        u = np.asarray(point) * 2**0.5
        np.testing.assert_allclose(value, phi(u, X, z, 1, slope) / 2, rtol=1e-12)
        left, kinks = clarke_residual(u, X, z, slope)
        assert left < 1e-8
        assert (kinks > 0) == bool(kinked)
        near = u + 1e-4 * rng.normal(size=(300, 4))
        if maximum:
            assert max(phi(other, X, z, 1, slope) for other in near) / 2 <= value * (1 + 1e-12)


def test_a_point_that_is_no_kkt_point_has_a_large_generalised_residual():
    """Control: the certificate does not call a random point, put on the kink of a sample, one."""
    z = np.random.default_rng(3).normal(size=(20, 1))
    u = np.random.default_rng(4).normal(size=4)
    u -= X[0] * (X[0] @ u) / (X[0] @ X[0])
    settled = clarke._residual(
        PolyLeakyReLU(1, 0.0),
        jnp.asarray(u / np.linalg.norm(u)),
        jnp.arange(20) == 0,
        jnp.where(X @ u > 0, 1.0, 0.0).at[0].set(0.5),
        jnp.asarray(z[:, 0]),
        jnp.asarray(X),
    )
    assert settled > 0.1


def test_duplicates_put_many_samples_on_one_kink():
    """On the corners of a cube every kink is that of many samples; still certified."""
    x = np.array(np.meshgrid(*[[-1.0, 1.0]] * 4)).reshape(4, -1).T
    x = np.concatenate([x, x])
    z = np.random.default_rng(0).normal(size=(32, 1))
    found = kkt.search_neuron(jax.random.key(0), EMPTY, 1, x, z, PolyLeakyReLU(1, 0.0), starts=64)
    assert float(jnp.max(found.residuals)) <= 1e-10
    counts = [clarke_residual(np.asarray(u) * 2**0.5, x, z, 0.0)[1] for u in found.points[0]]
    assert max(counts) > 3  # more than can be in general position
    assert float(found.values[0]) >= (1 - 1e-8) * best_of_scipy(x, z, 1, 0.0) / 2


@pytest.mark.parametrize(("p", "slope"), [(1, 0.0), (2, 0.0)])
def test_float32(p, slope):
    """The same points in float32, to its rounding."""
    z = np.random.default_rng(3).normal(size=(20, 2))
    saddle = (jnp.zeros((1, 4)), jnp.zeros((2, 1)))
    activation = PolyLeakyReLU(p, slope)
    exact = kkt.search_neuron(jax.random.key(0), saddle, 1, X, z, activation, starts=64)
    small = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), (saddle, X, z))
    found = kkt.search_neuron(jax.random.key(0), small[0], 1, *small[1:], activation, starts=64)
    assert found.values.dtype == found.residuals.dtype == jnp.float32
    assert found.result == 0
    np.testing.assert_allclose(found.values[0], exact.values[0], rtol=1e-5)
    np.testing.assert_allclose(found.points[0][0], exact.points[0][0], atol=1e-3)


def test_a_budget_of_memory_bounds_the_lanes_and_changes_nothing():
    """4,096 starts on 20,000 samples would take gigabytes at once; the program's own account of
    its temporary arrays stays within the budget, and what is found is the same."""
    rng = np.random.default_rng(0)
    x, z = jnp.asarray(rng.normal(size=(20_000, 3))), jnp.asarray(rng.normal(size=(20_000, 1)))
    landscape = NeuronLandscape(networks.HomogeneousNeurons(PolyLeakyReLU(3, 0.0)))
    args = (x, jnp.array(x.T), z)
    starts = jax.ShapeDtypeStruct((4096, 3), x.dtype)
    each = blocks.working_bytes(landscape.climb, jax.ShapeDtypeStruct((3, 1), x.dtype), *args)
    for budget in (2**24, 2**22):
        lanes = blocks.lanes(4096, each, budget)
        program = multistart._ascend.lower(landscape, lanes, starts, None, args, 1e-8, 100)
        stored = 4096 * 8 * 8
        used = program.compile().memory_analysis().temp_size_in_bytes
        assert used <= budget + stored, (budget, lanes)
        batch = blocks.batch(3, each, budget)
        polish = multistart._polish.lower(landscape, batch, starts, 3, None, args, 1e-10)
        used = polish.compile().memory_analysis().temp_size_in_bytes
        assert used <= budget + stored, (budget, batch)
    problem = (EMPTY, 1, X, Z, PolyLeakyReLU(3, 0.0))
    few = kkt.search_neuron(jax.random.key(0), *problem, starts=64, memory=100)  # one at a time
    many = kkt.search_neuron(jax.random.key(0), *problem, starts=64)
    np.testing.assert_allclose(few.values, many.values, rtol=1e-12)
    np.testing.assert_array_equal(few.counts, many.counts)


@pytest.mark.parametrize(
    ("activation", "outputs"),
    [(QUADRATIC, 1), (PolyLeakyReLU(3, 0.0), 1), (PolyLeakyReLU(1, 0.0), 2)],
)
def test_nothing_to_find_is_said_and_never_nan(activation, outputs):
    """A zero residual, zero inputs and a single start: readable results."""
    saddle = (jnp.zeros((1, 4)), jnp.zeros((outputs, 1)))
    z = np.repeat(Z, outputs, axis=1)
    for x, residual in [(X, 0 * z), (0 * X, z)]:
        found = kkt.search_neuron(jax.random.key(0), saddle, 1, x, residual, activation, starts=4)
        assert found.values.tolist() == [0]
        assert found.counts.tolist() == [4]
        assert found.signs.tolist() == [0]
        assert "zero or constant" in found.message
        assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(found))
    one = kkt.search_neuron(
        jax.random.key(0), saddle, 1, X, z, activation, starts=1, method="ascent"
    )
    assert one.shares.tolist() == [1]
    assert one.result == 0


def test_dead_saddle_has_value_zero():
    """A residual orthogonal to every product `x_i x_j` has an NCF of zero: values at rounding,
    sign 0; a residual of zeros gives exactly zero and no NaN."""
    products = np.stack([X[:, i] * X[:, j] for i in range(4) for j in range(i, 4)], axis=1)
    dead = Z - products @ np.linalg.lstsq(products, Z, rcond=None)[0]
    assert np.linalg.norm(dead) > 1
    for residual, bound in [(dead, 1e-13), (np.zeros_like(Z), 0.0)]:
        found = kkt.search_neuron(jax.random.key(0), EMPTY, 1, X, residual, QUADRATIC, starts=32)
        assert float(jnp.max(jnp.abs(found.values))) <= bound
        assert not np.any(found.signs)
        assert int(found.counts.sum()) == 32
        for leaf in jax.tree.leaves(found):
            assert np.all(np.isfinite(leaf))


def test_too_few_steps_are_said():
    """One step cannot converge: the result code and its words say so.

    More features than there are dense Hessians for, so that no Newton step makes up for it.
    """
    rng = np.random.default_rng(0)
    x, z = rng.normal(size=(10, 600)), rng.normal(size=(10, 1))
    saddle = (jnp.zeros((1, 600)), jnp.zeros((1, 1)))
    found = kkt.search_neuron(
        jax.random.key(0), saddle, 1, x, z, PolyLeakyReLU(2, 0.5), starts=4, max_steps=1
    )
    assert found.result == 1
    assert "max_steps was reached" in found.message
    assert found.steps == 1


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"x": X[:5]},
            ValueError,
            "x and residual must have one row per sample, got 5 rows in x and 20",
        ),
        ({"x": X[:, :2]}, ValueError, r"x must have 4 columns, got shape \(20, 2\)"),
        ({"x": np.where(X > 2, np.inf, X)}, ValueError, "x must be finite"),
        ({"residual": Z[:, 0]}, ValueError, "residual must be a matrix of rank 2"),
        ({"residual": np.ones((20, 2))}, ValueError, "residual must have 1 columns"),
        ({"layer": 2}, ValueError, "layer must be a hidden layer, 1 to 1, got 2"),
        ({"activation": jnp.tanh}, TypeError, "activation must be homogeneous"),
        ({"params": EMPTY[:1]}, ValueError, "params must have at least two weight matrices"),
        ({"starts": 0}, ValueError, "starts must be a positive integer, got 0"),
        ({"max_steps": 1.5}, TypeError, "max_steps must be a positive integer, got 1.5"),
        ({"tol": -1.0}, ValueError, "tol must be a positive finite number, got -1.0"),
        ({"k": 0}, ValueError, "k must be a positive integer, got 0"),
        ({"max_cosine": 0}, ValueError, "max_cosine must be a positive finite number, got 0"),
        ({"method": "best"}, ValueError, "method must be one of 'auto', 'ascent', 'exact'"),
        ({"memory": 0.5}, TypeError, "memory must be a positive integer, got 0.5"),
    ],
)
def test_bad_input_is_refused(change, error, message):
    """The message names the argument, what came and what was wanted."""
    good = {"params": EMPTY, "layer": 1, "x": X, "residual": Z, "activation": QUADRATIC}
    with pytest.raises(error, match=message):
        kkt.search_neuron(jax.random.key(0), **{**good, **change})
