import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsjax.data import monomial_task
from nsjax.neuronseek.recovery import true_formula


def test_values_are_those_of_so_many_monomials():
    task = monomial_task(jax.random.key(3), 5, 3, 100, 40, noise=0.1)
    assert task.x.shape == (100, 40)
    np.testing.assert_allclose(task.clean, task.truth(task.x))
    noise = np.std(task.y - task.clean) / np.std(task.clean)
    assert 0.07 < noise < 0.13
    powers = sum(int(jnp.sum(weights != 0)) for weights in task.truth.powers.values())
    products = sum(c.shape[1] for c, _ in task.truth.interactions.values())
    assert powers + products == 5
    for order, (weights, factors) in task.truth.interactions.items():
        assert order <= 3
        assert set(np.unique(factors)) == {0, 1}
        np.testing.assert_array_equal(factors.sum(axis=2), 1)
        assert np.all((np.abs(weights) >= 0.5) & (np.abs(weights) <= 1.5))
    formula = true_formula(task.truth)
    np.testing.assert_allclose(formula(task.x), task.clean, rtol=1e-9, atol=1e-9)


def test_keys_decide():
    same = [monomial_task(jax.random.key(1), 3, 2, 10, 9) for _ in range(2)]
    np.testing.assert_array_equal(same[0].y, same[1].y)
    other = monomial_task(jax.random.key(2), 3, 2, 10, 9)
    assert not np.array_equal(same[0].y, other.y)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"monomials": 0}, "monomials"),
        ({"order": 1.5}, "order"),
        ({"samples": 1}, "samples must be at least 2"),
        ({"monomials": 10}, "at most the number of inputs, 9"),
        ({"noise": -1.0}, "noise"),
    ],
)
def test_bad_settings_are_named(change, message):
    settings = {"monomials": 3, "order": 2, "samples": 10, "dimension": 9} | change
    noise = settings.pop("noise", 0.0)
    with pytest.raises((TypeError, ValueError), match=message):
        monomial_task(jax.random.key(0), **settings, noise=noise)
