"""Products of projections: against loops over factors, finite differences, and CP neurons."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsjax import diagnostics, kkt, networks, neuronseek, objectives
from nsjax.networks import cp

MIXED = networks.Products((1, 2, 3))


def drawn(seed=0, d=4):
    """Two layers: neurons of orders 3, 1, 2 and one that is not there."""
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(4, 3 * d))
    for neuron, order in enumerate((3, 1, 2, 0)):
        weight[neuron, order * d :] = 0
    return (
        jnp.asarray(weight),
        jnp.asarray(rng.normal(size=(2, 4))),
        jnp.asarray(rng.normal(size=(7, d))),
    )


def looped(weight, x):
    """Responses, one factor after the other."""
    columns = []
    for row in np.asarray(weight):
        factors = [u for u in row.reshape(3, -1) if u.any()]
        columns.append(np.prod([x @ u for u in factors], axis=0) if factors else 0 * x[:, 0])
    return np.stack(columns, axis=1)


def test_a_layer_is_the_products_of_its_factors():
    """Also the second of three, whose features are the first one's responses."""
    weight, after, x = drawn()
    np.testing.assert_allclose(
        networks.features((weight, after), x, MIXED)[1], looped(weight, x), rtol=1e-12
    )
    np.testing.assert_allclose(
        networks.apply((weight, after), x, MIXED), looped(weight, x) @ after.T, rtol=1e-12
    )
    deep = drawn(1)[0]
    np.testing.assert_allclose(
        networks.apply((weight, deep, after), x, MIXED),
        looped(deep, looped(weight, x)) @ after.T,
        rtol=1e-12,
    )
    # At zero inputs as elsewhere, though every projection is zero there.
    assert not np.any(networks.apply((weight, after), 0 * x, MIXED))


def test_missing_factors_have_no_gradient_and_pullbacks_give_it():
    """`dN/dW_l = B_l^T G_{l-1}`, factor by factor, and nothing where a factor is missing."""
    weight, after, x = drawn()
    params = (weight, drawn(1)[0], after)
    residual = jnp.asarray(np.random.default_rng(5).normal(size=(7, 2)))
    gradients = jax.grad(objectives.NetworkNCF(MIXED))(params, x, residual)
    pulled = networks.pullback(params, x, residual, MIXED)
    before = networks.features(params, x, MIXED)
    for layer in range(2):
        there = np.repeat(MIXED.present(params[layer]).ravel(), 4).reshape(4, -1)
        every = (pulled[layer].T @ before[layer]).reshape(4, -1)
        np.testing.assert_allclose(
            gradients[layer], np.where(there, every, 0), rtol=1e-10, atol=1e-12
        )


def test_balance_changes_no_output_and_ends_at_the_norms_of_a_kkt_point():
    weight, after, x = drawn()
    balanced = MIXED.balance((weight, after))
    np.testing.assert_allclose(
        networks.apply(balanced, x, MIXED), networks.apply((weight, after), x, MIXED), rtol=1e-12
    )
    sizes = np.linalg.norm(MIXED.split(balanced[0]), axis=2)
    outgoing = np.linalg.norm(balanced[1], axis=0)
    for neuron, order in enumerate((3, 1, 2)):
        np.testing.assert_allclose(sizes[neuron, :order], outgoing[neuron], rtol=1e-12)
    (ratios,) = diagnostics.balance_ratio(balanced, MIXED)
    np.testing.assert_allclose(ratios[:3], 1, rtol=1e-12)
    (kept,) = diagnostics.imbalance(balanced, MIXED)
    np.testing.assert_allclose(kept[:3], 0, atol=1e-12)


def test_balance_and_the_search_of_a_neuron_take_products():
    weight, after, x = drawn()
    for one, other in zip(
        networks.balance((weight, after), MIXED), MIXED.balance((weight, after)), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    empty, family = (jnp.zeros((1, 8)), jnp.zeros((2, 1))), networks.ProductNeurons(2)
    residual = jnp.asarray(np.random.default_rng(6).normal(size=(7, 2)))
    key = jax.random.key(0)
    found = kkt.search_neuron(key, empty, 1, x, residual, networks.Products(2), starts=16)
    wanted = kkt.search_family(key, family, x, residual, starts=16)
    np.testing.assert_array_equal(found.values, wanted.values)
    with pytest.raises(TypeError, match="orders must be a single one"):
        kkt.search_neuron(key, (weight, after), 1, x, residual, MIXED)


def test_a_network_is_a_cp_neuron_and_has_a_formula():
    weight, after, x = drawn()
    neuron = MIXED.to_cp((weight, after))
    assert set(neuron.powers) == {1}
    assert set(neuron.interactions) == {2, 3}
    outputs = networks.apply((weight, after), x, MIXED)
    np.testing.assert_allclose(cp.apply(neuron, x), outputs, rtol=1e-12)
    np.testing.assert_allclose(neuronseek.Formula.of(neuron)(x), outputs, rtol=1e-12)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_the_family_is_of_one_order(order):
    """Protocol, homogeneity, derivatives, and the network that has one more of them."""
    family = networks.ProductNeurons(order)
    assert isinstance(family, networks.NeuronFamily)
    assert hash(family) == hash(networks.ProductNeurons(order))
    assert (int(family.degree), family.kinked) == (order, False)
    weight, after, x = drawn()
    u = family.draw(jax.random.key(0), 3, 4, x.dtype)
    np.testing.assert_allclose(np.linalg.norm(u, axis=1), 1, rtol=1e-12)
    response, back = family.response_vjp(u.T, x, x.T)
    np.testing.assert_allclose(response, family.response(u.T, x), rtol=1e-14)
    np.testing.assert_allclose(family.response(2 * u.T, x), 2**order * response, rtol=1e-12)
    cotangent = jnp.asarray(np.random.default_rng(1).normal(size=response.shape))
    wanted = jax.grad(lambda u: jnp.sum(cotangent * family.response(u, x)))(u.T)
    np.testing.assert_allclose(back(cotangent), wanted, rtol=1e-12, atol=1e-14)
    v = jnp.array([0.5, -2.0])
    wider = family.insert((weight, after), 1, u[0], v)
    np.testing.assert_allclose(
        networks.apply(wider, x, MIXED) - networks.apply((weight, after), x, MIXED),
        response[:, :1] * v,
        rtol=1e-9,
        atol=1e-12,
    )
    one = (u, jnp.asarray(np.random.default_rng(2).normal(size=(2, 3))))
    np.testing.assert_allclose(
        family.apply(family.balance(one), x), family.apply(one, x), rtol=1e-12
    )
    pulled = jnp.asarray(np.random.default_rng(3).normal(size=(7, 2)))
    np.testing.assert_allclose(
        family.ncf(u[0], v, x, pulled), jnp.sum((pulled @ v) * response[:, 0]), rtol=1e-12
    )


@pytest.mark.parametrize(
    ("orders", "error", "message"),
    [
        ((), ValueError, "orders must name at least one"),
        (0, ValueError, "orders must be a positive integer, got 0"),
        ((2, 2), ValueError, r"orders must increase, got \(2, 2\)"),
        ("3", TypeError, "orders must be a positive integer"),
    ],
)
def test_bad_orders_are_refused(orders, error, message):
    with pytest.raises(error, match=message):
        networks.Products(orders)


def test_several_orders_have_no_common_degree():
    assert networks.degree(networks.Products(3), 2) == 4
    np.testing.assert_array_equal(networks.Products(3)(jnp.array([2.0])), [8.0])
    with pytest.raises(TypeError, match="orders must be a single one for a degree"):
        networks.degree(MIXED, 2)
