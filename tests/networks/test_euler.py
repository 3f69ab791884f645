"""Measured degrees against known ones; models that are not homogeneous are found out."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import nsjax
from nsjax import kkt, networks, objectives

KEY = jax.random.key(9)
X = np.random.default_rng(0).normal(size=(20, 3))


@pytest.mark.parametrize(("p", "depth"), [(1, 2), (2, 2), (3, 2), (2, 3)])
def test_degree_of_networks(p, depth):
    """`1 + p + ... + p^(L-1)`."""
    activation = nsjax.PolyLeakyReLU(p, 0.5)
    params = networks.init(jax.random.key(p), (3, *(4,) * (depth - 1), 2))
    found = networks.homogeneity(KEY, lambda w, x: networks.apply(w, x, activation), params, X)
    assert found.degree == pytest.approx(sum(p**k for k in range(depth)), rel=1e-10)
    assert found.holds(1e-10)


def test_tiny_weights_do_not_pass_for_homogeneous():
    """Tanh of tiny weights is nearly linear; a bias counts, though it starts at zero."""

    def curved(params, x):
        return jnp.tanh(x @ params[0]) @ params[1]

    params = (0.3 * jnp.ones((3, 4)), jnp.ones((4, 1)))
    assert not networks.homogeneity(KEY, curved, params, X).holds()
    model = nn.Sequential([nn.Dense(4, use_bias=False), nn.LayerNorm(use_bias=False), nn.Dense(1)])
    drawn = model.init(jax.random.key(0), X)
    assert not networks.homogeneity(KEY, model.apply, drawn, X).holds()
    with pytest.raises(ValueError, match="model must have finite outputs that are not all zero"):
        networks.homogeneity(KEY, lambda w, x: 0 * curved(w, x), params, X)
    with pytest.raises(ValueError, match="params must be finite and not all zero"):
        networks.homogeneity(KEY, curved, jax.tree.map(jnp.zeros_like, params), X)


def test_nnx_state_is_a_pytree_of_parameters():
    """The search of KKT points takes it as it is, and finds the closed form."""
    y = X[:, :1] ** 2 - X[:, 1:2]
    graph, state = nnx.split(nnx.Linear(3, 1, use_bias=False, rngs=nnx.Rngs(0)))

    def apply(state, x):
        return nnx.merge(graph, state)(x)

    assert networks.homogeneity(KEY, apply, state, X).degree == pytest.approx(1, abs=1e-5)

    def sample(key):
        return jax.tree.map(lambda w: jax.random.normal(key, w.shape), state)

    found = kkt.search(
        jax.random.key(0), objectives.ModelNCF(apply), sample, args=(X, y), starts=4, tol=1e-8
    )
    assert float(found.values[0]) == pytest.approx(np.linalg.norm(X.T @ y), rel=1e-7)
