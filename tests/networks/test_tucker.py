"""Tucker neurons: against loops over entries of the cores, gauge, sizes, bad input."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsjax.networks import tucker

KEY = jax.random.key(0)


def plain(neuron, row):
    """Outputs of one sample, entry by entry."""
    outputs = np.array(neuron.bias + neuron.linear @ row)
    z = np.asarray(neuron.projections).T @ row
    for n, core in neuron.cores.items():
        for place in itertools.product(range(len(z)), repeat=n):
            outputs += np.asarray(core)[(slice(None), *place)] * math.prod(z[i] for i in place)
    return outputs


@pytest.mark.parametrize(("outputs", "orders"), [(1, (2, 3, 4)), (3, (3,)), (2, ())])
def test_outputs_are_sums_over_the_entries_of_the_cores(outputs, orders):
    neuron = tucker.init(KEY, 5, outputs, size=3, orders=orders)
    x = np.random.default_rng(0).normal(size=(4, 5))
    wanted = [plain(neuron, row) for row in x]
    np.testing.assert_allclose(tucker.apply(neuron, x), wanted, rtol=1e-10)
    count = outputs * (1 + 5 + sum(3**n for n in orders)) + 15
    assert tucker.parameters(neuron) == count


def test_normalize_keeps_the_function():
    """With orthonormal projections and symmetric cores, from any start."""
    neuron = tucker.init(KEY, 6, 2, size=3, orders=(2, 3))
    neuron = neuron._replace(projections=neuron.projections @ jnp.array(np.tri(3)) * 2)
    fixed = tucker.normalize(neuron)
    x = np.random.default_rng(0).normal(size=(20, 6))
    np.testing.assert_allclose(tucker.apply(fixed, x), tucker.apply(neuron, x), rtol=1e-9)
    np.testing.assert_allclose(fixed.projections.T @ fixed.projections, np.eye(3), atol=1e-12)
    for order in itertools.permutations((1, 2, 3)):
        np.testing.assert_allclose(
            fixed.cores[3], jnp.transpose(fixed.cores[3], (0, *order)), atol=1e-12
        )


def test_orders_of_a_drawn_neuron_are_of_order_one():
    """On standard normal inputs, on average over draws."""
    x = jax.random.normal(KEY, (500, 8))

    def spread(key):
        neuron = tucker.init(key, 8, size=4, orders=(2, 3))
        alone = neuron._replace(linear=0 * neuron.linear)
        return jnp.stack(
            [
                jnp.var(tucker.apply(alone._replace(cores={n: core}), x))
                for n, core in neuron.cores.items()
            ]
        )

    variances = jax.vmap(spread)(jax.random.split(KEY, 200)).mean(axis=0)
    assert np.all((np.asarray(variances) > 0.3) & (np.asarray(variances) < 3))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"size": 7}, ValueError, "size must be at most 6, .*, got 7"),
        ({"size": 1.5}, TypeError, "size must be a positive integer, got 1.5"),
        ({"orders": (1, 2)}, ValueError, r"orders must be at least 2 .*, got \[1, 2\]"),
        ({"orders": (2, 2)}, ValueError, r"must not repeat, got \[2, 2\]"),
        ({"outputs": 0}, ValueError, "outputs must be a positive integer, got 0"),
    ],
)
def test_bad_sizes_are_refused(change, error, message):
    arguments = {"inputs": 6, "size": 2} | change
    with pytest.raises(error, match=message):
        tucker.init(KEY, **arguments)
