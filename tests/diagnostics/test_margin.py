"""Margins of units against linear programs and semidefinite bounds by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linprog, minimize

from nsjax import PolyLeakyReLU, data, diagnostics, kkt, networks


def test_best_margin_of_a_diagonal_network_is_the_l1_margin():
    """`max m, y (x beta) >= m, ||beta||_1 <= 1`, half of it."""
    x, y = data.coordinate_classes(jax.random.key(0), 10, 3)
    margin, dual = diagnostics.best_margin(networks.DiagonalUnits(), x, y)
    rows = np.asarray(x * y)
    found = linprog(
        [0] * 6 + [-1],
        A_ub=np.vstack([np.column_stack([-rows, rows, np.ones(10)]), [1] * 6 + [0]]),
        b_ub=[0] * 10 + [1],
        bounds=[(0, None)] * 6 + [(None, None)],
    )
    np.testing.assert_allclose(margin, -found.fun / 2, rtol=1e-6)
    np.testing.assert_allclose(dual.sum(), 1)


def test_best_margin_of_squares_is_the_least_operator_norm():
    """Over the simplex, by a solver that knows nothing of units."""
    x, y = data.quadric_classes(jax.random.key(1), 6, 2)
    margin, _ = diagnostics.best_margin(networks.SignedSquares((1,)), x, y)
    moments = np.einsum("i,ij,ik->ijk", y[:, 0], x, x)

    def norm(logits):
        p = np.exp(logits - np.max(logits))
        return np.max(np.abs(np.linalg.eigvalsh(np.tensordot(p / p.sum(), moments, 1))))

    starts = np.random.default_rng(0).normal(size=(8, 6))
    settings = {"xatol": 1e-9, "fatol": 1e-11, "maxiter": 6000}
    found = min(minimize(norm, s, method="Nelder-Mead", options=settings).fun for s in starts)
    assert margin <= found * (1 + 1e-6)
    np.testing.assert_allclose(margin, found, rtol=1e-2)


def test_kkt_conditions_hold_at_a_maximum_and_only_there():
    x, y = jnp.array([[1.0, 1.0], [3.0, 1.0]]), jnp.ones((2, 1))
    units, dual = networks.DiagonalUnits(), jnp.array([1.0, 0.0])
    point = diagnostics.margin_point(units, jnp.ones((2, 2)), dual, x, y)
    np.testing.assert_allclose([point.margin, point.gap, point.residual], [0.5, 0, 0], atol=1e-12)
    off = diagnostics.margin_point(units, jnp.array([[1.0, 0.5], [1.0, 1.0]]), dual, x, y)
    assert off.residual > 0.1
    mixed = networks.TwoLayerUnits(PolyLeakyReLU(2), skip=True)
    with pytest.raises(ValueError, match="one degree, got several"):
        diagnostics.margin_point(mixed, jnp.ones((2, 3)), dual, x, y)


def test_units_are_those_of_networks_and_their_dominant_ones_those_of_a_search():
    key = jax.random.key(2)
    x, z = jax.random.normal(key, (8, 3)), jax.random.normal(jax.random.key(3), (8,))
    square = PolyLeakyReLU(2)
    params = networks.init(key, (3, 4, 1))
    units = networks.TwoLayerUnits(square)
    outputs = units.responses(units.of(params), x).sum(axis=1)
    np.testing.assert_allclose(outputs, networks.apply(params, x, square)[:, 0], rtol=1e-12)
    empty = (jnp.zeros((1, 3)), jnp.zeros((1, 1)))
    found = kkt.search_neuron(key, empty, 1, x, z[:, None], square, starts=16)
    value, responses = networks.SignedSquares((1,)).dominant(x, z)
    np.testing.assert_allclose(found.values[0], 2 / 27**0.5 * value, rtol=1e-8)
    np.testing.assert_allclose(responses @ z, value, rtol=1e-10)
    with pytest.raises(ValueError, match="signs must be -1 and 1"):
        networks.SignedSquares((0,))
