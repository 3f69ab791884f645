"""Known polynomials: against plain NumPy loops, shares of noise, labels, and bad input."""

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsjax import data

KEY = jax.random.key(0)
SIMPLE = {
    "sine": np.sin,
    "cosine": np.cos,
    "bell": lambda t: np.exp(-t * t),
    "absolute": abs,
    "step": np.sign,
}
# Weights of sums of powers, then coefficients of interactions, as published.
FAMILIES = {
    "family-x2": ({2: 5}, {}),
    "family-x3": ({3: 5}, {}),
    "family-x1+x2": ({1: 10, 2: 0.5}, {}),
    "family-x2+x4": ({2: 5, 4: 0.5}, {}),
    "family-x5": ({5: 5}, {}),
    "family-I2": ({}, {2: 5}),
    "family-I2+I3": ({}, {2: 5, 3: 5}),
    "family-I2+weak-I3": ({}, {2: 8, 3: 0.5}),
    "family-I2+I4": ({}, {2: 5, 4: 5}),
    "family-I4": ({}, {4: 5}),
    "family-I5": ({}, {5: 5}),
    "family-x2+I2": ({2: 5}, {2: 5}),
    "family-x1+I2": ({1: 5}, {2: 5}),
    "family-x3+weak-I2": ({3: 5}, {2: 0.5}),
    "family-weak-x2+I3": ({2: 0.5}, {3: 5}),
    "family-x2+I3": ({2: 5}, {3: 5}),
}


@functools.cache
def made(name, outputs=1):
    """Forty samples of four inputs."""
    return jax.device_get(data.polynomial_task(KEY, name, 40, 4, outputs=outputs))


def plain(truth, row, output):
    """Value of one output at one input, term by term."""
    value = float(truth.bias[output])
    for k, weights in truth.powers.items():
        value += sum(float(w) * float(t) ** k for w, t in zip(weights[output], row, strict=True))
    for n, (coefficients, factors) in truth.interactions.items():
        for r in range(coefficients.shape[1]):
            product = math.prod(float(np.dot(factors[m, r], row)) for m in range(n))
            value += float(coefficients[output, r]) * product
    for name, (coefficients, factors) in truth.bases.items():
        for r in range(coefficients.shape[1]):
            value += float(coefficients[output, r]) * SIMPLE[name](np.dot(factors[0, r], row))
    return value


@pytest.mark.parametrize(
    ("name", "outputs"),
    [(name, 2 if name in ("sparse", "sine", "family-x2+I3") else 1) for name in data.POLYNOMIALS],
)
def test_values_are_those_of_the_truth(name, outputs):
    """Term by term; factors have norm 1, and so has every direction."""
    task = made(name, outputs)
    assert (task.x.shape, task.y.shape) == ((40, 4), (40, outputs))
    np.testing.assert_array_equal(task.y, task.clean)
    x = np.asarray(task.x)
    for i, output in itertools.product(range(5), range(outputs)):
        np.testing.assert_allclose(task.y[i, output], plain(task.truth, x[i], output), rtol=1e-10)
    for _, factors in task.truth.interactions.values():
        np.testing.assert_allclose(np.linalg.norm(factors, axis=-1), 1, rtol=1e-12)
    if data.POLYNOMIALS[name].standardised:
        np.testing.assert_allclose(task.clean.mean(axis=0), 0, atol=1e-12)
        np.testing.assert_allclose(task.clean.std(axis=0), 1, rtol=1e-12)


def test_first_targets_in_numpy():
    """Their formulas; inputs uniform on [-1, 1], values as they are."""
    task = made("sparse")
    x = np.asarray(task.x)
    assert np.abs(x).max() <= 1
    wanted = 2.5 * x[:, 0] + 3 * x[:, 1] ** 2 - 1.2 * x[:, 2] ** 3
    np.testing.assert_allclose(task.y[:, 0], wanted, rtol=1e-10)
    task = made("dense")
    x = np.asarray(task.x)
    wanted = np.sum(x + x**2 / 2 + x**3 / 4, axis=1)
    np.testing.assert_allclose(task.y[:, 0], wanted, rtol=1e-10)
    truth = made("low-rank").truth
    sizes = [np.linalg.norm(truth.powers[1])]
    sizes += [abs(float(c[0, 0])) for c, _ in truth.interactions.values()]
    assert sorted(truth.interactions) == [2, 3]
    assert all(0.5 <= size <= 1.5 for size in sizes)


def test_the_families_are_those_published():
    """Up to the one factor that standardises them."""
    assert set(data.FAMILIES) == set(FAMILIES)
    for name, (powers, interactions) in FAMILIES.items():
        truth = made(name).truth
        found = {("power", k): np.asarray(weights) for k, weights in truth.powers.items()}
        found |= {("interaction", n): np.asarray(c) for n, (c, _) in truth.interactions.items()}
        wanted = {("power", k): weight for k, weight in powers.items()}
        wanted |= {("interaction", n): weight for n, weight in interactions.items()}
        assert set(found) == set(wanted)
        factors = np.concatenate([found[which].ravel() / wanted[which] for which in wanted])
        np.testing.assert_allclose(factors, factors[0], rtol=1e-12)


@pytest.mark.parametrize("name", ["sparse", "family-I2"])
def test_noise_is_a_share_of_the_deviation(name):
    """Of each output; without noise the same samples are clean."""
    noisy = data.polynomial_task(KEY, name, 20_000, 3, noise=0.1, outputs=2)
    clean = data.polynomial_task(KEY, name, 20_000, 3, outputs=2)
    np.testing.assert_array_equal(noisy.clean, clean.y)
    errors = np.asarray(noisy.y - noisy.clean)
    np.testing.assert_allclose(errors.std(axis=0) / noisy.clean.std(axis=0), 0.1, rtol=0.03)
    assert abs(np.corrcoef(errors.T)[0, 1]) < 0.03


def test_directions_differ_with_the_key_and_not_with_the_number_of_samples():
    """Truth and seeds are explicit."""
    first, again, other = (
        data.polynomial_task(key, "low-rank", n, 4).truth.interactions[2][1]
        for key, n in ((KEY, 40), (KEY, 20), (jax.random.key(1), 40))
    )
    np.testing.assert_array_equal(first, again)
    assert float(jnp.max(jnp.abs(first - other))) > 0.1


@pytest.mark.parametrize("rank", [1, 3])
def test_orders_of_an_interaction_task_are_of_equal_size(rank):
    """The matrix of order 2 has the rank asked for, as products; the values have deviation 1."""
    task = data.interaction_task(KEY, {1: 1, 2: rank, 4: 1}, 500, 8)
    x, truth = np.asarray(task.x), task.truth
    parts = [x @ truth.powers[1].T]
    for coefficients, factors in truth.interactions.values():
        projections = np.einsum("id,mrd->imr", x, factors)
        parts.append(projections.prod(axis=1) @ coefficients.T)
    deviations = [part.std() for part in parts]
    np.testing.assert_allclose(deviations, deviations[0], rtol=1e-10)
    np.testing.assert_allclose(task.y.std(), 1, rtol=1e-12)
    coefficients, factors = truth.interactions[2]
    matrix = np.einsum("r,ri,rj->ij", coefficients[0], *factors)
    values = np.linalg.eigvalsh(matrix + matrix.T)
    assert (np.sum(values > 1e-10), np.sum(values < -1e-10)) == (rank, rank)
    assert set(truth.interactions) == {2, 4}


@pytest.mark.parametrize("classes", [2, 4])
def test_labels_are_signs_or_the_largest_output(classes):
    """Noise changes some of them; every class occurs."""
    task = data.polynomial_classes(KEY, "family-x2+I3", 400, 5, classes=classes, noise=0.2)
    scores = np.asarray(task.truth(task.x))
    if classes == 2:
        np.testing.assert_array_equal(task.clean, np.where(scores < 0, -1, 1))
        labels = np.asarray(task.y)[:, 0]
    else:
        np.testing.assert_array_equal(task.clean.argmax(axis=1), scores.argmax(axis=1))
        np.testing.assert_array_equal(np.sort(task.y, axis=1)[:, -2:], [[0, 1]] * 400)
        labels = np.asarray(task.y).argmax(axis=1)
    assert len(set(labels)) == classes
    wrong = np.any(np.asarray(task.y != task.clean), axis=1).mean()
    assert 0 < wrong < 0.2


def test_dtype_is_followed():
    """Also by the truth."""
    task = data.polynomial_task(KEY, "sine+polynomial", 10, 3, noise=0.1, dtype=jnp.float32)
    assert {leaf.dtype for leaf in jax.tree.leaves(task)} == {jnp.dtype("float32")}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"name": "family-I9"}, ValueError, "name must be one of 'sparse', .*, got 'family-I9'"),
        ({"dimension": 2}, ValueError, "dimension must be at least 3, .* sparse uses, got 2"),
        ({"dimension": 4.0}, TypeError, "dimension must be a positive integer, got 4.0"),
        ({"samples": 1}, ValueError, "samples must be at least 2, .*, got 1"),
        ({"noise": -0.1}, ValueError, "noise must be a finite number >= 0, got -0.1"),
        ({"outputs": 0}, ValueError, "outputs must be a positive integer, got 0"),
    ],
)
def test_bad_arguments_are_refused(change, error, message):
    arguments = {"name": "sparse", "samples": 5, "dimension": 6} | change
    with pytest.raises(error, match=message):
        data.polynomial_task(KEY, **arguments)


@pytest.mark.parametrize(
    ("ranks", "error", "message"),
    [
        ({}, TypeError, "ranks must be a mapping of orders to ranks, not empty, got {}"),
        ({1: 2}, ValueError, r"ranks\[1\] must be 1, .*, got 2"),
        ({0: 1}, ValueError, "orders in ranks must be a positive integer, got 0"),
        ({2: 1.5}, TypeError, r"ranks\[2\] must be a positive integer, got 1.5"),
    ],
)
def test_bad_ranks_are_refused(ranks, error, message):
    with pytest.raises(error, match=message):
        data.interaction_task(KEY, ranks, 10, 4)


def test_values_that_do_not_vary_and_too_few_classes_are_refused():
    with pytest.raises(ValueError, match="classes must be at least 2, got 1"):
        data.polynomial_classes(KEY, "sparse", 10, 4, classes=1)
    # Two inputs of the same sign.
    keys = [jax.random.key(seed) for seed in range(20)]
    signs = [jnp.sign(data.gaussian(jax.random.split(key, 4)[0], 2, 1)) for key in keys]
    key = next(key for key, pair in zip(keys, signs, strict=True) if pair[0] == pair[1])
    with pytest.raises(ValueError, match="must vary over the 2 samples"):
        data.polynomial_task(key, "step", 2, 1)
