import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from nsjax.neuronseek.activations import ACTIVATIONS, Cauchy, activate, golu
from nsjax.neuronseek.architectures import TaskMLP, count_parameters, flops, of_size
from nsjax.neuronseek.layers import LayerTerms

TERMS = LayerTerms(((1, 1.0), (2, 1.0)), ((2, 3, 1.0),))


def test_without_terms_a_network_is_a_plain_one():
    class Plain(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.gelu(nn.Dense(5)(x))
            return nn.Dense(2)(x)

    x = jax.random.normal(jax.random.key(0), (4, 3))
    params = Plain().init(jax.random.key(1), x)
    assert jnp.array_equal(TaskMLP((5,), 2).apply(params, x), Plain().apply(params, x))


def test_parameters_are_counted():
    # Two powers of 3 inputs and 3 products of 2 projections make 9 features.
    first = 9 * 5 + 5 + 2 * 3 * 3 + 3
    assert count_parameters(TaskMLP((5,), 2, TERMS), (3,)) == first + 12
    assert count_parameters(TaskMLP((5, 4), 2, TERMS, depth=1), (3,)) == first + 24 + 10


@pytest.mark.parametrize("wanted", [50, 1234, 40_000])
def test_a_network_of_a_size_is_the_nearest_one(wanted):
    def make(width):
        return TaskMLP((width, width), 1)

    found = of_size(make, (5,), wanted)
    width = found.hidden[0]
    away = [abs(count_parameters(make(w), (5,)) - wanted) for w in (width - 1, width, width + 1)]
    assert away[1] == min(away)


def test_operations_are_those_of_matrix_products():
    found = flops(TaskMLP((64,), 1, activation="relu"), (32,))
    assert found == pytest.approx(2 * 64 * 32, rel=0.2)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_are_finite_with_their_gradients(name):
    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            return activate(name, x)

    # Of flax's own, some overflow in float16.
    own = (jnp.float16,) if name in ("golu", "cauchy") else ()
    for dtype in (jnp.float32, jnp.bfloat16, jnp.float64, *own):
        x = jnp.array([-1e4, -90.0, -1.0, 0.0, 1.0, 90.0, 1e4], dtype)
        params = Model().init(jax.random.key(0), x)
        value, slope = jax.value_and_grad(lambda x, p=params: jnp.sum(Model().apply(p, x)))(x)
        assert slope.dtype == dtype
        assert np.all(np.isfinite(np.asarray(slope, float)))
        assert np.isfinite(float(value))


def test_golu_is_the_gompertz_unit():
    x = np.linspace(-5, 5, 101)
    np.testing.assert_allclose(golu(jnp.asarray(x)), x * np.exp(-np.exp(-x)), rtol=1e-12)


def test_cauchy_has_three_numbers():
    x = jnp.linspace(-2, 2, 9)
    params = {"params": {"a": jnp.array(2.0), "b": jnp.array(-1.0), "c": jnp.array(0.5)}}
    found = Cauchy().apply(params, x)
    np.testing.assert_allclose(found, (2 * x - 1) / (x**2 + 0.25), rtol=1e-6)
    assert set(Cauchy().init(jax.random.key(0), x)["params"]) == set("abc")


def test_unknown_activations_are_named():
    with pytest.raises(ValueError, match="activation must be one of"):
        TaskMLP((3,), 1, activation="swoosh").init(jax.random.key(0), jnp.ones((1, 2)))
