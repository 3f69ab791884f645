"""KKT points of products of projections: singular vectors of tensors, given or not formed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsjax import kkt, networks, objectives
from nsjax.kkt.ascent import ascend
from nsjax.kkt.neuron import NeuronLandscape, ShareLandscape


def orthogonal(size, seed=0):
    """Orthonormal rows and weights with signs, no two of one size."""
    rng = np.random.default_rng(seed)
    vectors = np.linalg.qr(rng.normal(size=(size, size)))[0]
    weights = rng.permutation(np.linspace(1.0, 2.0, size)) * rng.choice([-1, 1], size)
    return jnp.asarray(vectors), jnp.asarray(weights)


def sigma(found, order):
    """Singular values, of the largest NCF values `(n/(n+1))^(n/2) (n+1)^(-1/2) n^(-n/2) sigma`."""
    return np.asarray(found.values) * (order + 1) ** ((order + 1) / 2)


@pytest.mark.parametrize(("order", "size", "starts"), [(3, 5, 128), (3, 20, 2048), (4, 10, 512)])
def test_every_component_of_an_orthogonal_tensor_is_found(order, size, starts):
    """From random starts in one search: maxima are the components, weights to 1e-8."""
    vectors, weights = orthogonal(size)
    found = kkt.search_family(
        jax.random.key(0),
        networks.ProductNeurons(order),
        vectors,
        weights[:, None],
        starts=starts,
    )
    top = np.asarray(found.is_maximum)
    np.testing.assert_allclose(
        np.sort(sigma(found, order)[top]), np.sort(np.abs(weights)), rtol=1e-8
    )
    factors = np.asarray(found.points[0]).reshape(-1, order, size)
    sizes = np.linalg.norm(factors, axis=2)
    np.testing.assert_allclose(sizes, (order + 1) ** -0.5, rtol=1e-8)
    cosines = np.abs(factors[top] @ vectors.T).max(axis=2) * (order + 1) ** 0.5
    np.testing.assert_allclose(cosines, 1, rtol=1e-8)


def test_a_tensor_that_is_formed_has_the_same_points():
    """`TensorNCF` on `sum_i r_i x_i^(o 3)` against products on the samples."""
    rng = np.random.default_rng(1)
    x, r = rng.normal(size=(30, 4)), rng.normal(size=30)
    tensor = jnp.asarray(np.einsum("i,ia,ib,ic->abc", r, x, x, x))
    formed = kkt.search(
        jax.random.key(0),
        objectives.TensorNCF(),
        lambda key: jax.random.normal(key, (3, 4)),
        args=(tensor,),
        starts=64,
    )
    found = kkt.search_family(
        jax.random.key(0),
        networks.ProductNeurons(3),
        jnp.asarray(x),
        jnp.asarray(r)[:, None],
        starts=64,
    )
    np.testing.assert_allclose(sigma(found, 3)[0], 3**1.5 * formed.values[0], rtol=1e-10)
    np.testing.assert_allclose(np.linalg.norm(formed.points[0], axis=1), 3**-0.5, rtol=1e-8)


def test_the_ascent_is_monotone():
    """Of every start, step by step, on random residuals with two outputs."""
    rng = np.random.default_rng(2)
    x, r = jnp.asarray(rng.normal(size=(30, 4))), jnp.asarray(rng.normal(size=(30, 2)))
    family = networks.ProductNeurons(3)
    landscape = NeuronLandscape(family)
    starts = family.draw(jax.random.key(0), 16, 4, x.dtype)
    values = np.stack(
        [
            ascend(lambda u: landscape.climb(u, x, x.T, r), starts, 1e-12, steps).values
            for steps in range(12)
        ]
    )
    assert np.all(np.diff(values, axis=0) >= -1e-13 * values[:-1])
    assert np.all(values[-1] > values[0])


@pytest.mark.parametrize("outputs", [1, 2])
def test_the_normalised_ncf_is_what_a_fit_beside_columns_explains(outputs):
    """Its square against least squares with the neuron and without, its gradient against JAX's."""
    rng = np.random.default_rng(5)
    order, d, n = 3, 4, 40
    x, y = rng.normal(size=(n, d)), rng.normal(size=(n, outputs))
    columns = np.concatenate([np.ones((n, 1)), x**2], axis=1)
    beside = np.pad(np.linalg.qr(columns)[0], ((0, 0), (0, 2)))
    pulled = y - beside @ (beside.T @ y)
    points = rng.normal(size=(order * d, 6))
    points /= np.linalg.norm(points, axis=0)
    args = jnp.asarray(x), jnp.asarray(x.T), jnp.asarray(pulled), jnp.asarray(beside)
    landscape = ShareLandscape(networks.ProductNeurons(order))
    values, gradients = landscape.climb(jnp.asarray(points), *args)
    for point, value in zip(points.T, values, strict=True):
        response = np.prod(x @ point.reshape(order, d).T, axis=1, keepdims=True)
        both = np.concatenate([columns, response], axis=1)
        left = [
            np.sum((y - each @ np.linalg.lstsq(each, y, rcond=None)[0]) ** 2)
            for each in (columns, both)
        ]
        np.testing.assert_allclose(value**2, left[0] - left[1], rtol=1e-10)
    expected = jax.grad(lambda at: jnp.sum(landscape.climb(at, *args)[0]))(jnp.asarray(points))
    # Off the sphere it is continued with the degree of the NCF: Euler's identity.
    expected += order * points * np.asarray(values)
    np.testing.assert_allclose(gradients, expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(np.sum(points * gradients, axis=0), order * values, atol=1e-12)


def test_the_normalised_ncf_of_a_product_among_the_columns_is_zero():
    x = np.random.default_rng(6).normal(size=(30, 2))
    beside = np.linalg.qr(x[:, :1] * x[:, 1:])[0]
    point = jnp.asarray([[1.0], [0.0], [0.0], [1.0]])
    pulled = x[:, :1] - beside @ (beside.T @ x[:, :1])
    args = jnp.asarray(x), jnp.asarray(x.T), jnp.asarray(pulled), jnp.asarray(beside)
    values, gradients = ShareLandscape(networks.ProductNeurons(2)).climb(point, *args)
    assert values[0] == 0
    assert not np.any(gradients)


def test_the_normalised_ncf_is_largest_at_a_product_of_different_factors_and_the_ncf_is_not():
    """Of `x0 x1 x2` the moment tensor is symmetric, and its best term is a cube."""
    x = np.random.default_rng(7).normal(size=(4000, 3))
    target = np.prod(x, axis=1, keepdims=True)
    truth = np.eye(3).reshape(-1)
    cube = np.ones(9) / 3**0.5
    points = jnp.asarray(np.stack([truth, cube], axis=1) / 3**0.5)
    args = jnp.asarray(x), jnp.asarray(x.T), jnp.asarray(target)
    family = networks.ProductNeurons(3)
    raw = NeuronLandscape(family).climb(points, *args)[0]
    share = ShareLandscape(family).climb(points, *args, jnp.zeros((len(x), 1)))[0]
    assert raw[0] < raw[1]
    np.testing.assert_allclose(share[0], np.linalg.norm(target))
    assert share[1] < 0.5 * share[0]
