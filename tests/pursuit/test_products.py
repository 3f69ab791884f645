"""Pursuit whose neurons are products of projections, of one order or of the order they choose."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsjax import networks, neuronseek, pursuit
from nsjax.pursuit.candidates import _shares

SMALL = pursuit.Config(
    rule="normalised", lanes=2, candidates=1, starts=16, steps=200, capacity=4, attempts=1
)
MIXED = networks.Products((1, 2, 3))


def problem(n=200, d=5, seed=0):
    """A term of order 2 and a cube of a projection, Gaussian inputs."""
    x = jax.random.normal(jax.random.key(seed), (n, d))
    a = jnp.arange(1.0, d + 1) / jnp.linalg.norm(jnp.arange(1.0, d + 1))
    return x, x[:, :1] * x[:, 1:2] + (x @ a)[:, None] ** 3 / 6**0.5


def pursue(x, y, activation=MIXED, config=SMALL, **options):
    return pursuit.run(
        jax.random.key(1), x, y, activation=activation, depth=2, config=config, **options
    )


@pytest.mark.parametrize("rule", ["normalised", "lookahead"])
def test_every_neuron_chooses_its_order(rule):
    """Two neurons, of orders 2 and 3, which the formula says."""
    x, y = problem()
    fresh = problem(seed=9)
    found = pursue(x, y, config=replace(SMALL, rule=rule), test=fresh)
    assert found.result == pursuit.Stop.FITTED
    assert found.neurons == (2,)
    orders = np.sum(MIXED.present(found.params[0]), axis=1)
    assert sorted(orders.tolist()) == [2, 3]
    outputs = networks.apply(found.params, fresh[0], MIXED)
    assert float(jnp.mean((outputs - fresh[1]) ** 2) / jnp.var(fresh[1])) < 1e-4
    np.testing.assert_allclose(found.history.test[-1, found.lane], 0, atol=1e-4)
    formula = neuronseek.Formula.of(MIXED.to_cp(found.params))
    np.testing.assert_allclose(formula(fresh[0]), outputs, rtol=1e-8, atol=1e-8)
    # Factors that are not there are not counted.
    assert found.certificate.parameters == 5 * 5 + 2


def test_one_order_is_a_homogeneous_family():
    """Of degree 2, balanced, in units of the data whatever their size, and resumed to the bit."""
    x, y = problem()
    y = 1e3 * (x[:, :1] * x[:, 1:2] + x[:, 2:3] * x[:, 3:4])
    states = []
    config = replace(SMALL, balance=True)
    found = pursue(
        0.01 * x, y, networks.Products(2), config, on_round=lambda state, _: states.append(state)
    )
    assert found.result == pursuit.Stop.FITTED
    assert found.neurons == (2,)
    np.testing.assert_allclose(
        networks.apply(found.params, 0.01 * x, networks.Products(2)), y, atol=30
    )
    assert found.history.imbalance[-1, found.lane] < 1e-6
    again = pursue(0.01 * x, y, networks.Products(2), config, state=states[0])
    for one, other in zip(found.params, again.params, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_given_network_of_products_grows():
    x, y = problem()
    start = (jnp.zeros((1, 15)).at[0, 0].set(1.0).at[0, 6].set(1.0), jnp.ones((1, 1)))
    found = pursue(x, y, params=start)
    assert found.result == pursuit.Stop.FITTED
    assert found.history.neurons[0].min() == 2


def test_shares_are_what_least_squares_would_explain():
    """The fall of the squared residual when the response joins the columns that are there."""
    rng = np.random.default_rng(0)
    there, responses = rng.normal(size=(30, 3)), rng.normal(size=(30, 4))
    there[:, 2] = 0
    responses[:, 3] = there[:, 0]
    y = rng.normal(size=(30, 2))
    used = there[:, :2]
    residual = y - used @ np.linalg.lstsq(used, y)[0]
    before = np.sum(residual**2)
    shares = np.asarray(_shares(*map(jnp.asarray, (responses, residual, there))))
    for response, share in zip(responses.T[:3], shares, strict=False):
        columns = np.column_stack([used, response])
        left = np.sum((y - columns @ np.linalg.lstsq(columns, y)[0]) ** 2)
        np.testing.assert_allclose(share, 1 - left / before, rtol=1e-6)
    assert shares[3] == 0


def test_a_composition_is_grown_in_two_hidden_layers():
    """`(x0 x1 + x2) x3 x4 + ...`: three and two neurons of orders 1 and 2, from 300 samples."""

    def target(x):
        first, second = x[:, :1] * x[:, 1:2] + x[:, 2:3], x[:, 3:4] * x[:, 4:5]
        return first * second + 0.5 * first**2

    family = networks.Products((1, 2))
    x, fresh = (jax.random.normal(jax.random.key(seed), (300, 6)) for seed in (0, 5))
    found = pursuit.run(
        jax.random.key(1),
        x,
        target(x),
        activation=family,
        depth=3,
        config=pursuit.Config(rule="normalised", lanes=4, attempts=1),
    )
    assert found.result == pursuit.Stop.FITTED
    assert found.neurons == (3, 2)
    error = jnp.mean((networks.apply(found.params, fresh, family) - target(fresh)) ** 2)
    assert float(error / jnp.var(target(fresh))) < 1e-4
    orders = [np.sum(family.present(w), axis=1) for w in found.params[:-1]]
    assert [sorted(each.tolist()) for each in orders] == [[1, 2, 2], [2, 2]]
    # Five factors of six inputs, four of three neurons, and the outputs'.
    assert found.certificate.parameters == 5 * 6 + 4 * 3 + 2


def test_chains_and_neurons_of_deep_products_descend_as_their_ncf_says():
    """Of three layers: the change of the loss over `-delta^q N*`, for small deltas, is 1."""
    x = jax.random.normal(jax.random.key(0), (60, 4))
    y = x[:, :1] * x[:, 1:2] + x[:, 2:3] * x[:, 3:4] + x[:, :1] ** 4
    config = replace(SMALL, insertion="fixed", delta=1e-3, steps=1, max_rounds=1)
    for orders, rule in ((2, "each"), (3, "each"), ((1, 2), "normalised")):
        found = pursuit.run(
            jax.random.key(1),
            x,
            y,
            activation=networks.Products(orders),
            depth=3,
            config=replace(config, rule=rule),
        )
        assert np.all(found.history.kind[0] == 0)
        np.testing.assert_allclose(found.history.descent[0], 1, rtol=1e-4)


def test_what_deep_products_cannot_have_is_refused():
    x, y = problem()
    with pytest.raises(ValueError, match="balance must be False for products with depth > 2"):
        pursuit.run(
            jax.random.key(0), x, y, activation=MIXED, depth=3, config=replace(SMALL, balance=True)
        )
    start = (jnp.ones((2, 15)), jnp.ones((2, 2)), jnp.ones((1, 2)))
    with pytest.raises(ValueError, match=r"params\[1\] must have 6 columns"):
        pursuit.run(jax.random.key(0), x, y, activation=MIXED, depth=3, params=start, config=SMALL)
