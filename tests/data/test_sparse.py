"""Sparse targets: against plain NumPy, represented by a small network, and bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nsjax
from nsjax import data, networks

KEY = jax.random.key(0)
FORMULAS = {
    "sparse-f1": lambda a, b, c, d: (a * b + c) ** 2,
    "sparse-f2": lambda a, b, c, d: a * b + b * c * d,
    "sparse-f3": lambda a, b, c, d: a + a * b + a * b * c,
    "sparse-f4": lambda a, b, c, d: a * b + a * b * c * d,
}
# The two factors of each target, as sums of products of inputs; the fifth input is the constant.
FACTORS = {
    "sparse-f1": ([(0, 1), (2, 4)], [(0, 1), (2, 4)]),
    "sparse-f2": ([(1, 4)], [(0, 4), (2, 3)]),
    "sparse-f3": ([(0, 4)], [(4, 4), (1, 4), (1, 2)]),
    "sparse-f4": ([(0, 1)], [(4, 4), (2, 3)]),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_values_of_the_first_inputs_alone(name):
    """The formula in NumPy; the last input is 1."""
    x, y = data.sparse_task(KEY, name, 50, 6, "gaussian")
    assert (x.shape, y.shape) == ((50, 7), (50, 1))
    np.testing.assert_array_equal(x[:, 6], 1)
    np.testing.assert_allclose(y[:, 0], FORMULAS[name](*np.asarray(x).T[:4]), rtol=1e-12)


@pytest.mark.parametrize("name", FORMULAS)
def test_a_small_network_represents_it(name):
    """The quadratic forms of A + B and A - B, diagonal in at most six squares each."""
    x, y = data.sparse_task(KEY, name, 50, 4, "gaussian")
    forms = []
    for factor in FACTORS[name]:
        form = np.zeros((5, 5))
        for i, j in factor:
            form[i, j] += 0.5
            form[j, i] += 0.5
        forms.append(form)
    first, second = [], []
    for form in (forms[0] + forms[1], forms[0] - forms[1]):
        values, vectors = np.linalg.eigh(form)
        kept = np.abs(values) > 1e-12
        first.append(vectors[:, kept].T)
        second.append(values[kept])
    rows = np.zeros((2, sum(map(len, second))))
    rows[0, : len(second[0])] = second[0]
    rows[1, len(second[0]) :] = second[1]
    params = tuple(map(jnp.asarray, (np.concatenate(first), rows, np.array([[0.25, -0.25]]))))
    outputs = networks.apply(params, x, nsjax.PolyLeakyReLU(2))
    np.testing.assert_allclose(outputs, y, atol=1e-12 * float(jnp.max(jnp.abs(y))))


@pytest.mark.parametrize("name", data.SPARSE)
def test_it_uses_the_inputs_it_says(name):
    """The gradient is zero in the other inputs, and only there."""
    target = data.SPARSE[name]
    x = data.gaussian(KEY, 20, 6)
    gradient = jax.grad(lambda x: jnp.sum(target.values(x)))(x)
    used = np.any(np.asarray(gradient) != 0, axis=0)
    np.testing.assert_array_equal(np.flatnonzero(used), np.arange(target.inputs or 6))


def test_the_dense_target_is_one_form_for_all_samples():
    """Quadratic, of full rank, of order one; the same for other keys and in other precision."""
    x, y = data.sparse_task(KEY, "dense", 1000, 5, "gaussian", constant=False)
    assert x.shape == (1000, 5)
    products = np.asarray(x[:, :, None] * x[:, None, :]).reshape(1000, 25)
    form, *_ = np.linalg.lstsq(products, np.asarray(y[:, 0]), rcond=None)
    assert np.linalg.matrix_rank(form.reshape(5, 5), tol=1e-3) == 5
    other, z = data.sparse_task(jax.random.key(1), "dense", 30, 5, dtype=jnp.float32)
    assert other.dtype == z.dtype == jnp.float32
    other = np.asarray(other[:, :5], float)
    predicted = np.einsum("ni,ij,nj->n", other, form.reshape(5, 5), other)
    np.testing.assert_allclose(z[:, 0], predicted, rtol=1e-3, atol=1e-4)
    assert 0.1 < float(jnp.std(y)) < 10


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"name": "sparse"}, ValueError, "name must be one of 'sparse-f1', .*, got 'sparse'"),
        ({"inputs": "cube"}, ValueError, "inputs must be one of 'sphere', .*, got 'cube'"),
        ({"dimension": 3}, ValueError, "dimension must be at least 4, .* sparse-f2 uses, got 3"),
        ({"dimension": 4.0}, TypeError, "dimension must be a positive integer, got 4.0"),
        ({"samples": 0}, ValueError, "samples must be a positive integer, got 0"),
        ({"constant": 1}, TypeError, "constant must be True or False, got 1"),
    ],
)
def test_bad_arguments_are_refused(change, error, message):
    """The message names the argument, what came and what was wanted."""
    arguments = {"name": "sparse-f2", "samples": 5, "dimension": 6} | change
    with pytest.raises(error, match=message):
        data.sparse_task(KEY, **arguments)
