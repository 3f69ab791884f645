"""Blocks, inspection, NCF and dominant KKT point of a saddle; training to one; minimisers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize as scipy_minimize

import nsjax
from nsjax import _check, networks, objectives
from nsjax.dynamics import embed, inspect, minimize, train_saddle
from nsjax.dynamics.correlation import correlation, dominant
from nsjax.dynamics.saddles import blocks
from tests.dynamics.saddle_cases import saddle

INACTIVE = (np.array([False, True, True]), np.array([False, True]))


def deep():
    """A three-layer network with zero neurons in both hidden layers."""
    keys = jax.random.split(jax.random.key(0), 5)
    small = networks.init(keys[0], (4, 1, 1, 2))
    params, inactive = embed(small, (3, 2))
    x, residual = jax.random.normal(keys[1], (20, 4)), jax.random.normal(keys[2], (20, 2))
    return params, inactive, x, residual, keys[3]


def test_embed_pads_with_zero_neurons():
    """The function stays, and the flags name the new neurons."""
    params, inactive, x, _, _ = deep()
    small = (params[0][:1], params[1][:1, :1], params[2][:, :1])
    activation = nsjax.PolyLeakyReLU(2, 0.5)
    np.testing.assert_allclose(
        networks.apply(params, x, activation), networks.apply(small, x, activation), rtol=1e-12
    )
    for ours, wanted in zip(inactive, INACTIVE, strict=True):
        np.testing.assert_array_equal(ours, wanted)


def test_blocks_cover_the_weights_of_inactive_neurons():
    """Every entry of an inactive row or column is zero-block; two inactive ends are in no group."""
    params = deep()[0]
    where = blocks(params, INACTIVE)
    zero = [np.zeros(w.shape, bool) for w in params]
    zero[0][1:] = True
    zero[1][1:, :] = zero[1][:, 1:] = True
    zero[2][:, 1:] = True
    np.testing.assert_array_equal(where.zero, np.concatenate([z.ravel() for z in zero]))
    middle = where.labels[12:18].reshape(2, 3)
    assert middle[0, 0] == 5, "active to active: no group"
    assert list(middle[0, 1:]) == [1, 2], "outgoing of the first layer's inactive neurons"
    assert middle[1, 0] == 4, "incoming of the second layer's"
    assert list(middle[1, 1:]) == [5, 5], "inactive to inactive: no group"


def test_saddle_ncf_is_the_leading_term_of_the_outputs():
    """<r, H(w_n, s z)> - <r, H(w_n, 0)> = s^(p+1) N(z) + higher order, by halving s."""
    params, inactive, x, residual, key = deep()
    for activation in (nsjax.PolyLeakyReLU(2), nsjax.PolyLeakyReLU(3, 0.5)):
        features = networks.features(params, x, activation)
        pulled = networks.pullback(params, x, residual, activation)
        flat = jnp.where(
            jnp.asarray(blocks(params, inactive).zero), jax.random.normal(key, (22,)), 0
        )
        block = nsjax._flat.Layout.of(params).tree(flat)
        leading = objectives.SaddleNCF(activation)(block, features, pulled)
        model = objectives.NetworkNCF(activation)

        def error(s, activation=activation, block=block, leading=leading, model=model):
            moved = jax.tree.map(lambda w, z: w + s * z, params, block)
            change = model(moved, x, residual) - model(params, x, residual)
            return abs(float(change / s ** (activation.p + 1) - leading))

        assert error(1e-2) < 0.1 * abs(float(leading))
        assert error(5e-3) < 0.6 * error(1e-2)


def test_inspection_against_numpy():
    """Gradient, extreme curvatures and null directions against a dense Hessian of w_n alone."""
    case = saddle()
    active = (case.params[0][:1], case.params[1][:, :1])
    loss = objectives.NetworkLoss(case.activation)

    def value(flat):
        return loss((flat[:4].reshape(1, 4), flat[4:].reshape(1, 1)), case.x, case.y)

    flat = jnp.concatenate([active[0].ravel(), active[1].ravel()])
    eigenvalues = np.linalg.eigvalsh(np.asarray(jax.hessian(value)(flat)))
    found = inspect(*case.problem)
    assert found.curvature_max == pytest.approx(eigenvalues[-1], rel=1e-9)
    assert found.curvature_min == pytest.approx(eigenvalues[0], abs=1e-9 * eigenvalues[-1])
    assert found.null_directions == 1, "rescaling of the one active neuron"
    assert found.curvature_min_positive == pytest.approx(eigenvalues[1], rel=1e-6)
    assert found.grad_norm < 1e-9
    assert found.degree == 3
    assert found.stop is None


def test_dominant_is_the_exact_eigenvector():
    """Two layers, x^2, one output: N* = 2 / (3 sqrt 3) max |lambda| of M = sum r x x^T."""
    case = saddle()
    ncf = correlation(case.params, False, case.x, case.y, case.activation)
    best = dominant(jax.random.key(0), case.params, case.inactive, ncf, case.activation)
    r = case.y - networks.apply(case.params, case.x, case.activation)
    eigenvalues = np.linalg.eigvalsh(np.asarray((case.x * r).T @ case.x))
    exact = 2 / (3 * 3**0.5) * np.abs(eigenvalues).max()
    assert best.value == pytest.approx(exact, rel=1e-8)
    assert best.neuron == (1, 1)
    assert float(ncf.function(best.direction, *ncf.args)) == pytest.approx(exact, rel=1e-8)


def test_inactive_flags_are_checked():
    """A wrong count of layers."""
    with pytest.raises(ValueError, match="2 hidden layers, got 1"):
        _check.inactive(deep()[0], INACTIVE[:1])


def test_minimize_against_scipy():
    """A regression with the cross-entropy: SciPy's BFGS finds the same minimum."""
    x = jax.random.normal(jax.random.key(0), (30, 3))
    y = jax.nn.one_hot(jax.random.randint(jax.random.key(1), (30,), 0, 2), 2)

    def loss(w, x, y):
        return objectives.cross_entropy(x @ w, y) + 0.5 * jnp.sum(w**2)

    found = minimize(loss, jnp.zeros((3, 2)), args=(x, y), tol=1e-10)
    peer = scipy_minimize(
        lambda w: float(loss(jnp.asarray(w).reshape(3, 2), x, y)), np.zeros(6), tol=1e-6
    )
    assert found.result == 0
    assert found.grad_norm <= 1e-10
    assert found.loss == pytest.approx(peer.fun, rel=1e-6)


def test_training_to_the_origin_and_to_nothing():
    """active = 0 gives the origin; a teacher that one neuron fits leaves no saddle."""
    x = jax.random.normal(jax.random.key(0), (30, 3))
    activation = nsjax.PolyLeakyReLU(2)
    y = (x @ jnp.array([1.0, 2.0, 0.0]))[:, None] ** 2
    origin = train_saddle(jax.random.key(1), x, y, activation, active=(0,), widths=(2,))
    assert origin.result == 0
    assert float(nsjax.kkt.norm(origin.params)) == 0
    assert all(flags.all() for flags in origin.inactive)
    fitted = train_saddle(jax.random.key(1), x, y, activation, active=(1,), widths=(2,), attempts=1)
    assert fitted.result == 1
    assert "no attempt" in fitted.message
    with pytest.raises(ValueError, match="active must be positive"):
        train_saddle(jax.random.key(1), x, y, activation, active=(-1,), widths=(2,))
    with pytest.raises(ValueError, match="equal lengths"):
        train_saddle(jax.random.key(1), x, y, activation, active=(1, 1), widths=(2,))
