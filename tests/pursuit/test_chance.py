"""Terms on the axes, what noise explains by chance, and losses that orders are compared by."""

import itertools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsjax import PolyLeakyReLU, data, networks, neuronseek, pursuit
from nsjax.neuronseek.recovery import recovery
from nsjax.pursuit import axes, growth
from nsjax.pursuit.method import Method
from nsjax.pursuit.problem import prediction_error

AXES = networks.Products((1, 2, 3), along="axes")
ALONE = pursuit.Config(rule="normalised", lanes=1, attempts=1, shuffles=1)
SMALL = pursuit.Config(lanes=2, attempts=1, starts=16, search_steps=40, shuffles=2, max_share=0.4)


def test_points_are_the_monomials_that_go_best_with_the_residual():
    rng = np.random.default_rng(0)
    x, pull = rng.standard_normal((40, 3)), rng.standard_normal((40, 2))
    found = axes.points([1, 3], x, pull[None], 12, [rng])
    for order, points in zip((1, 3), found, strict=True):
        [points] = points
        factors = points.reshape(12, order, 3)
        monomials = list(itertools.combinations_with_replacement(range(3), order))
        columns = np.stack([np.prod(x[:, list(m)], axis=1) for m in monomials], axis=1)
        scores = np.sum((columns.T @ pull) ** 2, axis=1) / np.sum(columns**2, axis=0)
        best = [monomials[i] for i in np.argsort(-scores)]
        there = factors[: len(best)]
        assert [tuple(each) for each in np.argmax(there, axis=2)] == best
        np.testing.assert_allclose(np.max(there, axis=2), order**-0.5)
        np.testing.assert_allclose(np.linalg.norm(points[: len(best)], axis=1), 1)
        assert not np.any(factors[len(best) :])


def test_weights_that_are_zero_stay_zero_on_the_axes():
    """The function is that of products in any direction; only gradients differ."""
    x = jax.random.normal(jax.random.key(0), (20, 3))
    weights = (jnp.array([[2.0, 0, 0, 0, -1, 0, 0, 0, 0], [0.0, 0, 3, 0, 0, 0, 0, 0, 0]]),)
    weights = (*weights, jnp.array([[1.0, 0.5]]))
    anywhere = networks.Products((1, 2, 3))

    def loss(weights, family):
        return jnp.sum(networks.apply(weights, x, family) ** 2)

    assert loss(weights, AXES) == loss(weights, anywhere)
    ours, dense = (jax.grad(loss)(weights, family) for family in (AXES, anywhere))
    there = weights[0] != 0
    np.testing.assert_allclose(ours[0][there], dense[0][there], rtol=1e-12)
    assert not np.any(ours[0][~there])
    assert np.any(dense[0][~there])
    assert AXES.parameters(weights) == 5
    assert AXES.scales(weights) == 3


def test_monomials_are_found_in_noise_and_nothing_beside_them():
    task = data.monomial_task(jax.random.key(3), 5, 3, 200, 20, noise=0.05)
    found = pursuit.run(jax.random.key(4), task.x, task.y, activation=AXES, depth=2, config=ALONE)
    assert found.result == pursuit.Stop.CHANCE
    assert found.neurons == (5,)
    formula = neuronseek.Formula.of(AXES.to_cp(found.params))
    assert recovery(formula, task.truth, tol=0.05).exact
    # Orders, and an outgoing weight each.
    orders = np.sum(AXES.present(found.params[0]), axis=1)
    assert found.certificate.parameters == np.sum(orders) + 5
    assert np.all(np.count_nonzero(found.params[0], axis=1) == orders)
    assert found.certificate.certified
    assert "shuffled residuals" in found.certificate.reasons[0]
    assert np.all(found.history.share[:-1, 0] > found.history.chance[:-1, 0])
    assert found.history.share[-1, 0] <= found.history.chance[-1, 0]


def test_a_term_on_the_axes_beside_one_of_any_direction():
    task = data.two_order_task(jax.random.key(0), 1060, 10)
    family = networks.Products((1, 2, 3), along="both")
    config = replace(SMALL, lanes=4, max_share=0.9, shuffles=0)
    x, y, fresh = task.x[:60], task.y[:60], slice(60, None)
    found = pursuit.run(jax.random.key(1), x, y, activation=family, depth=2, config=config)
    assert found.result == pursuit.Stop.FITTED
    assert sorted(np.count_nonzero(found.params[0], axis=1).tolist()) == [2, 30]
    outputs = networks.apply(found.params, task.x[fresh], family)
    assert prediction_error(outputs, task.clean[fresh], loss="square") < 1e-3


@pytest.mark.parametrize(
    "activation",
    [AXES, networks.Products((1, 2)), PolyLeakyReLU(2)],
    ids=["axes", "any", "squares"],
)
def test_noise_has_no_neurons(activation):
    keys = jax.random.split(jax.random.key(5))
    x, y = jax.random.normal(keys[0], (120, 5)), jax.random.normal(keys[1], (120, 1))
    config = ALONE if activation is AXES else replace(SMALL, normalise=False)
    found = pursuit.run(keys[0], x, y, activation=activation, depth=2, config=config)
    assert found.result == pursuit.Stop.CHANCE
    assert found.neurons == (0,)
    assert found.warnings == ()


def test_noise_ends_the_growth_of_a_network_without_held_out_data():
    """Of three neurons and noise of 10 % of the standard deviation."""
    keys = jax.random.split(jax.random.key(6), 3)
    x = jax.random.normal(keys[0], (200, 6))
    clean = jnp.sum(jax.nn.relu(x @ jax.random.normal(keys[1], (6, 3))) ** 2, axis=1)[:, None]
    y = clean + 0.1 * jnp.std(clean) * jax.random.normal(keys[2], clean.shape)
    config = replace(SMALL, normalise=False, lanes=4)
    found = pursuit.run(keys[0], x, y, activation=PolyLeakyReLU(2, 0.0), depth=2, config=config)
    assert found.result == pursuit.Stop.CHANCE
    assert 2 <= found.neurons[0] <= 4
    outputs = networks.apply(found.params, x, PolyLeakyReLU(2, 0.0))
    assert prediction_error(outputs, clean, loss="square") < 0.004


def test_orders_are_compared_by_generalised_cross_validation():
    method = Method.of(networks.Products((1, 2)), "square", 1, SMALL)
    one = jnp.zeros((2, 8)).at[0, :4].set(1.0), jnp.zeros((1, 2)).at[0, 0].set(1.0)
    two = jnp.zeros((2, 8)).at[0].set(1.0), one[1]
    both = jax.tree.map(lambda *each: jnp.stack(each), one, two)
    # Of 5 and 9 weights one and two are scales that the outgoing one makes up for.
    expected = [(1 - 4 / 20) ** -2, (1 - 7 / 20) ** -2]
    np.testing.assert_allclose(method.handicap(both, 20), expected)
    assert np.isinf(method.handicap(both, 7)[1])
    assert Method.of(PolyLeakyReLU(2), "square", 1, SMALL).handicap(both, 7) == 1


def test_bounds_are_those_of_the_largest_of_so_many_chances():
    """Of noise, the largest share of all monomials of an order passes in a few of a hundred."""
    rng = np.random.default_rng(7)
    n, d, passed = 150, 4, 0
    method = Method.of(AXES, "square", 1, ALONE)
    for _ in range(300):
        x, r = rng.standard_normal((n, d)), rng.standard_normal((n, 1))
        problem = growth.Problem(x, r, 1.0)
        bound = growth._bounds(method, np.zeros((1, 8)), problem)[0, 2::2]
        for order, most in zip((1, 2, 3), bound, strict=True):
            monomials = itertools.combinations_with_replacement(range(d), order)
            columns = np.stack([np.prod(x[:, list(m)], axis=1) for m in monomials], axis=1)
            shares = (columns.T @ r[:, 0]) ** 2 / np.sum(columns**2, axis=0) / np.sum(r**2)
            passed += np.max(shares) > most
    assert passed <= 3 * 300 * growth.LEVEL + 3 * 3  # three standard deviations
    assert passed > 0


@pytest.mark.parametrize(
    ("change", "depth", "message"),
    [
        ({}, 3, "along='any' with depth > 2"),
        ({"new_neurons": "random"}, 2, "new_neurons='random'"),
        ({"rule": "each"}, 2, "rule must be 'lookahead' or 'normalised'"),
    ],
)
def test_what_is_not_for_terms_on_the_axes_is_refused(change, depth, message):
    x = jnp.ones((20, 3)).at[0].set(2.0)
    y = jnp.arange(20.0)[:, None]
    with pytest.raises(ValueError, match=message):
        pursuit.run(
            jax.random.key(0),
            x,
            y,
            activation=AXES,
            depth=depth,
            config=replace(ALONE, **change),
        )


@pytest.mark.parametrize("shuffles", [-1, 1.5, True])
def test_bad_numbers_of_shuffles_are_refused(shuffles):
    with pytest.raises((TypeError, ValueError), match="shuffles must be"):
        pursuit.Config(shuffles=shuffles)


def test_a_direction_that_is_none_is_refused():
    with pytest.raises(ValueError, match="along must be one of"):
        networks.Products(2, along="axis")
