"""The unit sphere of a pytree: the same functions on an array, a tuple and a nested tree."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsjax import kkt

TREES = {
    "array": np.array([1.0, -2.0, 0.5]),
    "tuple": (np.array([[1.0, 2.0], [0.0, -1.0]]), np.array([3.0])),
    "nested": {"a": np.array(2.0), "b": [np.array([1.0, 1.0]), {"c": np.array([[-1.0]])}]},
}


def flat(tree):
    """All entries as one NumPy vector."""
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


@pytest.mark.parametrize("name", TREES)
def test_functions_agree_with_flat_vectors(name):
    """Inner product, norm, unit and tangent part are those of the concatenated entries."""
    tree = jax.tree.map(jnp.asarray, TREES[name])
    other = jax.tree.map(lambda leaf: jnp.cos(leaf) + 1, tree)
    w, d = flat(tree), flat(other)
    np.testing.assert_allclose(kkt.dot(tree, other), w @ d, rtol=1e-14)
    np.testing.assert_allclose(kkt.norm(tree), np.linalg.norm(w), rtol=1e-14)
    unit = kkt.unit(tree)
    assert jax.tree.structure(unit) == jax.tree.structure(tree)
    np.testing.assert_allclose(flat(unit), w / np.linalg.norm(w), rtol=1e-14)
    direction = w / np.linalg.norm(w)
    tangent = flat(kkt.tangent(unit, other))
    np.testing.assert_allclose(tangent, d - (direction @ d) * direction, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("name", TREES)
def test_random_unit_has_the_structure_asked_for(name):
    """Norm 1, shapes and dtypes of `like`, and another key gives another point."""
    like = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), TREES[name])
    a, b = (kkt.random_unit(jax.random.key(i), like) for i in range(2))
    assert jax.tree.structure(a) == jax.tree.structure(like)
    for leaf, wanted in zip(jax.tree.leaves(a), jax.tree.leaves(like), strict=True):
        assert (leaf.shape, leaf.dtype) == (wanted.shape, wanted.dtype)
    np.testing.assert_allclose(np.linalg.norm(flat(a)), 1, rtol=1e-6)
    assert abs(flat(a) @ flat(b)) < 0.999


def test_random_unit_prefers_no_direction():
    """The second moment over 4,000 draws is I/4 within 5 standard errors, across leaves."""
    like = (jnp.zeros(1), jnp.zeros((1, 3)))
    drawn = jax.jit(jax.vmap(lambda key: kkt.random_unit(key, like)))(
        jax.random.split(jax.random.key(0), 4000)
    )
    w = np.concatenate([np.asarray(drawn[0]), np.asarray(drawn[1])[:, 0]], axis=1)
    assert np.abs(w.T @ w / 4000 - np.eye(4) / 4).max() < 5 * (0.07 / 4000) ** 0.5


def test_unit_of_zeros_is_zero_and_so_is_its_gradient():
    """No NaN: neither in the value nor in a derivative, which would poison everything after it."""
    zeros = {"a": jnp.zeros(2), "b": jnp.zeros((1, 2))}
    assert np.all(flat(kkt.unit(zeros)) == 0)
    gradient = jax.grad(lambda tree: kkt.dot(kkt.unit(tree), zeros) + kkt.norm(tree))(zeros)
    assert np.all(flat(gradient) == 0)


def test_derivative_of_unit_is_the_scaled_projector():
    """`d unit(w) = (I - w w^T / |w|^2) / |w|`."""
    w = TREES["array"]
    length = np.linalg.norm(w)
    wanted = (np.eye(3) - np.outer(w, w) / length**2) / length
    np.testing.assert_allclose(jax.jacobian(kkt.unit)(jnp.asarray(w)), wanted, rtol=1e-13)
