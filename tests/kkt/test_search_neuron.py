"""KKT points of one new neuron against closed forms and brute force."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from nsjax import PolyLeakyReLU, kkt, networks, objectives

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


def test_quadratic_neuron_finds_the_ends_of_the_spectrum():
    """p = 2, slope 1, one output: values `2/(3 sqrt 3) |l_k|`, `u = sqrt(2/3) q_k`, v by sign.

    Maxima are the largest and the smallest eigenvalue of `sum z x x^T`, if of either sign.
    """
    found = kkt.search_neuron(jax.random.key(0), EMPTY, 1, X, Z, QUADRATIC, starts=32)
    eigenvalues, vectors = np.linalg.eigh((X.T * Z[:, 0]) @ X)
    assert eigenvalues[0] < 0 < eigenvalues[-1]
    ends = sorted([0, 3], key=lambda k: -abs(eigenvalues[k]))
    np.testing.assert_allclose(
        found.values, 2 / (3 * 3**0.5) * np.abs(eigenvalues[ends]), rtol=1e-12
    )
    incoming, outgoing = found.points
    for row, k in enumerate(ends):
        along = np.asarray(incoming[row]) @ vectors[:, k]
        np.testing.assert_allclose(abs(along), (2 / 3) ** 0.5, rtol=1e-12)
        np.testing.assert_allclose(outgoing[row, 0], np.sign(eigenvalues[k]) / 3**0.5, rtol=1e-12)
    check_blocks(found, 2)
    assert found.is_maximum.tolist() == [True, True]
    assert found.signs.tolist() == [1, 1]
    assert int(found.counts.sum()) == 32
    assert float(jnp.max(found.residuals)) < 1e-7
    assert found.result == 0
    assert "every start" in found.message


def test_search_neuron_compiles_once(compiled):
    """Not one compilation more for another key and other data, also where more points are found."""
    keys = [jax.random.key(i) for i in range(4)]
    rngs = [np.random.default_rng(i) for i in range(3)]
    problems = [(rng.normal(size=(20, 4)), rng.normal(size=(20, 1))) for rng in rngs]
    # A definite form has one maximum, an indefinite one two.
    problems.append((problems[0][0], np.abs(problems[0][1])))
    kkt.search_neuron(keys[0], EMPTY, 1, *problems[0], QUADRATIC, starts=32)
    compiled.clear()
    counts = set()
    for key, problem in zip(keys, problems, strict=True):
        found = kkt.search_neuron(key, EMPTY, 1, *problem, QUADRATIC, starts=32, tol=1e-7)
        counts.add(len(found.values))
    assert compiled == []
    assert len(counts) > 1


def test_modular_addition_on_the_full_centred_table():
    """Modulus 7, x^2, one-hot summands and centred one-hot sums: every maximum has value
    `sqrt(m/2) sqrt(4/27)`, and one frequency in both summands and in the output."""
    m = 7
    a, b = (index.ravel() for index in np.meshgrid(range(m), range(m), indexing="ij"))
    x = np.concatenate([np.eye(m)[a], np.eye(m)[b]], axis=1)
    y = np.eye(m)[(a + b) % m] - 1 / m
    saddle = (jnp.zeros((1, 2 * m)), jnp.zeros((m, 1)))
    found = kkt.search_neuron(jax.random.key(0), saddle, 1, x, y, QUADRATIC, starts=32)
    np.testing.assert_allclose(found.values, (m / 2) ** 0.5 * (4 / 27) ** 0.5, rtol=1e-10)
    assert bool(jnp.all(found.is_maximum))
    incoming, outgoing = found.points
    parts = np.stack([incoming[:, :m], incoming[:, m:], outgoing])
    power = np.abs(np.fft.rfft(parts, axis=2)) ** 2
    share = power / power.sum(axis=2, keepdims=True)
    np.testing.assert_allclose(share.max(axis=2), 1, rtol=1e-6)
    assert np.all(share.argmax(axis=2) == share.argmax(axis=2)[0])


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


@pytest.mark.parametrize("slope", [0.0, -1.0])
def test_kinked_neurons_by_value(slope):
    """p = 1 with a kink: maxima sit on kinks, where no residual is small; so judge by value.

    The best value is not below any of 5,000 random directions, and reaches what Nelder-Mead finds
    to 1e-3: the ascent may stop where it meets a kink, a little below the top.
    """
    x, z = X[:12], Z[:12]
    found = kkt.search_neuron(jax.random.key(0), EMPTY, 1, x, z, PolyLeakyReLU(1, slope), starts=64)
    check_blocks(found, 1)
    directions = np.random.default_rng(1).normal(size=(5000, 4))
    best = float(found.values[0])
    assert best >= max(phi(u, x, z, 1, slope) for u in directions) / 2
    assert best >= (1 - 1e-3) * best_of_scipy(x, z, 1, slope) / 2
    incoming = np.asarray(found.points[0][0])
    np.testing.assert_allclose(best, phi(incoming, x, z, 1, slope) / 2, rtol=1e-12)


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
    """One step cannot converge: the result code and its words say so."""
    found = kkt.search_neuron(jax.random.key(0), EMPTY, 1, X, Z, QUADRATIC, starts=32, max_steps=1)
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
    ],
)
def test_bad_input_is_refused(change, error, message):
    """The message names the argument, what came and what was wanted."""
    good = {"params": EMPTY, "layer": 1, "x": X, "residual": Z, "activation": QUADRATIC}
    with pytest.raises(error, match=message):
        kkt.search_neuron(jax.random.key(0), **{**good, **change})
