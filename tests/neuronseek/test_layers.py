import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from jax.test_util import check_grads

from nsjax.networks import cp
from nsjax.networks.cp import CPNeuron, CPTerms
from nsjax.neuronseek import Formula, LayerTerms, TaskConv, TaskDense
from nsjax.neuronseek.layers import Features

LINEAR = LayerTerms()
EVERYTHING = LayerTerms(
    powers=((1, 1.0), (2, -0.5), (5, 0.1)),
    interactions=((2, 3, 1.0), (3, 2, 0.7)),
    bases=(("cosine", 2, 0.3), ("sine", 2, 0.3)),
)


def drawn(seed, *shape, dtype=jnp.float64):
    return jax.random.normal(jax.random.key(seed), shape, dtype)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_linear_terms_are_a_dense_layer_to_the_last_bit(dtype):
    x = drawn(0, 7, 5, dtype=jnp.float32)
    layer, plain = TaskDense(4, LINEAR, dtype=dtype), nn.Dense(4, dtype=dtype)
    params = layer.init(jax.random.key(1), x)
    params = {"params": {"linear": {**params["params"]["linear"], "bias": drawn(2, 4) * 0.1}}}
    found = layer.apply(params, x)
    expected = plain.apply({"params": params["params"]["linear"]}, x)
    assert found.dtype == dtype
    assert jnp.array_equal(found, expected)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"strides": 2, "padding": "VALID"},
        {"padding": ((2, 1), (0, 3)), "kernel_dilation": 2, "use_bias": False},
        {"strides": (1, 2), "padding": "CIRCULAR", "dtype": jnp.bfloat16},
    ],
)
def test_linear_terms_are_a_convolution_to_the_last_bit(options):
    x = drawn(0, 2, 9, 8, 3, dtype=jnp.float32)
    layer, plain = TaskConv(4, (3, 3), LINEAR, **options), nn.Conv(4, (3, 3), **options)
    params = layer.init(jax.random.key(1), x)
    found = layer.apply(params, x)
    assert jnp.array_equal(found, plain.apply({"params": params["params"]["linear"]}, x))


@pytest.mark.parametrize("channels", [3, 11, 20])
def test_a_layer_has_one_kernel_for_every_term(channels):
    """Against a sum of plain convolutions of powers, products and sines; one to three blocks."""
    terms = LayerTerms(((1, 1.0), (3, 0.5)), ((2, 4, 2.0),), (("sine", 2, 0.25),))
    x = drawn(0, 2, 6, 6, channels)
    layer = TaskConv(5, (3, 3), terms, strides=2, limit=None, param_dtype=jnp.float64)
    params = jax.tree.map(lambda p: p + 0.02, layer.init(jax.random.key(1), x))["params"]
    factors = params["phi"]["factors_2"]
    parts = {
        (0, channels): x,
        (channels, 2 * channels): 0.5 * x**3,
        (2 * channels, 2 * channels + 4): 2.0 * (x @ factors[0]) * (x @ factors[1]),
        (2 * channels + 4, 2 * channels + 6): 0.25 * jnp.sin(x @ params["phi"]["factors_sine"][0]),
    }
    plain = nn.Conv(5, (3, 3), strides=2, use_bias=False)
    kernel = params["linear"]["kernel"]
    expected = params["linear"]["bias"] + sum(
        plain.apply({"params": {"kernel": kernel[:, :, low:high]}}, part)
        for (low, high), part in parts.items()
    )
    np.testing.assert_allclose(layer.apply({"params": params}, x), expected, rtol=1e-12)
    assert params["linear"]["kernel"].shape == (3, 3, sum(terms.widths(channels)), 5)


def test_a_dense_layer_can_be_the_formula():
    key = jax.random.key(0)
    template = cp.Template((1, 3), (2, 3), 2, bases=("sine",))
    neuron = cp.init(key, 4, 2, template=template, dtype=jnp.float64)
    formula = Formula.of(neuron)
    terms = LayerTerms.of(formula)
    assert [k for k, _ in terms.powers] == [1, 3]
    assert [each[:2] for each in terms.interactions] == [(2, 2), (3, 2)]
    assert max(terms.coefficients) == 1
    layer = TaskDense(2, terms, limit=None, param_dtype=jnp.float64)
    blocks = [*neuron.powers.values()]
    blocks += [each.coefficients for each in (*neuron.interactions.values(), neuron.bases["sine"])]
    kernel = [block.T / c for block, c in zip(blocks, terms.coefficients, strict=True)]
    phi = {
        f"factors_{name}": jnp.swapaxes(each.factors, 1, 2)
        for name, each in {**neuron.interactions, **neuron.bases}.items()
    }
    params = {"linear": {"kernel": jnp.concatenate(kernel), "bias": neuron.bias}, "phi": phi}
    x = drawn(3, 10, 4)
    np.testing.assert_allclose(layer.apply({"params": params}, x), formula(x), rtol=1e-12)


def fit(layer, x, y):
    """Mean squared error over variance after L-BFGS."""
    params = layer.init(jax.random.key(1), x)
    solver = optax.lbfgs()

    def loss(params):
        return jnp.mean((layer.apply(params, x) - y) ** 2) / jnp.var(y)

    @jax.jit
    def run(params):
        def step(carry, _):
            params, state = carry
            value, slope = optax.value_and_grad_from_state(loss)(params, state=state)
            updates, state = solver.update(
                slope, state, params, value=value, grad=slope, value_fn=loss
            )
            return (optax.apply_updates(params, updates), state), value

        return jax.lax.scan(step, (params, solver.init(params)), length=200)

    return float(run(params)[1][-1])


def test_a_known_polynomial_is_fitted_by_one_layer():
    x = jax.random.uniform(jax.random.key(0), (300, 4), jnp.float64, -1, 1)
    y = (x[:, 0] - 2 * x[:, 1] ** 3 + 3 * x[:, 2] * x[:, 3])[:, None]
    terms = LayerTerms(((1, 1.0), (3, 1.0)), ((2, 2, 1.0),))
    assert fit(TaskDense(1, terms, param_dtype=jnp.float64), x, y) < 1e-6
    # Plain neurons, as many numbers and more.
    plain = nn.Sequential([nn.Dense(10, param_dtype=jnp.float64), nn.Dense(1)])
    assert fit(plain, x, y) > 0.1


@pytest.mark.parametrize("scale", [1.0, 10.0])
@pytest.mark.parametrize("options", [{}, {"normalise": True}, {"limit": None}])
def test_gradients_agree_with_finite_differences(scale, options):
    x = scale * drawn(0, 2, 4, 4, 3)
    layer = TaskConv(2, (2, 2), EVERYTHING, trainable=True, param_dtype=jnp.float64, **options)
    params = layer.init(jax.random.key(1), x)
    check_grads(layer.apply, (params, x), order=1, modes=["fwd", "rev"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("sparse", [False, True])
def test_large_inputs_do_not_explode(dtype, sparse):
    """At scale 10, and with single entries of 100 among zeros, outputs are as large as inputs."""
    x = 10 * drawn(0, 500, 6, 6, 20, dtype=jnp.float32)
    if sparse:
        x = 100.0 * (drawn(1, *x.shape) > 2.5)
    terms = LayerTerms(tuple((k, 1.0) for k in range(1, 6)), ((3, 4, 1.0), (5, 4, 1.0)))

    def size(terms, **options):
        layer = TaskConv(50, (3, 3), terms, dtype=dtype, **options)
        outputs = layer.apply(layer.init(jax.random.key(1), x), x)
        return float(jnp.std(outputs.astype(jnp.float32)))

    assert size(terms) < 20
    assert size(terms, normalise=True) < 20
    assert size(terms, limit=None) > 1000


def test_terms_are_what_they_say_up_to_the_limit():
    x = jax.random.uniform(jax.random.key(0), (50, 3), jnp.float64, -0.7, 0.7)
    layer = TaskDense(2, EVERYTHING, param_dtype=jnp.float64)
    free = TaskDense(2, EVERYTHING, param_dtype=jnp.float64, limit=None)
    params = jax.tree.map(lambda p: p + 0.1, layer.init(jax.random.key(1), x))
    np.testing.assert_allclose(layer.apply(params, x), free.apply(params, x), 1e-10)
    assert not np.allclose(layer.apply(params, 9 * x), free.apply(params, 9 * x), 1e-2)
    steep = TaskDense(1, LayerTerms(((3, 1.0),)), use_bias=False, param_dtype=jnp.float64)
    params = {"params": {"linear": {"kernel": jnp.ones((1, 1))}}}
    found = steep.apply(params, jnp.array([[-2.0], [3.0], [4.0], [-8.0]]))
    np.testing.assert_allclose(found[:, 0], [-8, 27, 36, -72])


def test_normalised_features_are_of_size_one_and_smooth_at_zero():
    x = 1e3 * drawn(0, 20, 6)
    layer = TaskDense(2, EVERYTHING, normalise=True, limit=None, param_dtype=jnp.float64)
    params = layer.init(jax.random.key(1), x)
    slope = jax.grad(lambda x: jnp.sum(layer.apply(params, x)))(jnp.zeros((2, 6)))
    assert float(jnp.max(jnp.abs(slope))) < 1e3
    phi = Features(LayerTerms(((2, 1.0),)), normalise=True)
    found = phi.apply({}, x)
    np.testing.assert_allclose(jnp.mean(found**2, axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "said"),
    [({"limit": 0}, "limit"), ({"limit": -1.0}, "limit"), ({"terms": "x^2"}, "terms must be")],
)
def test_bad_settings_of_layers_are_named(options, said):
    with pytest.raises((TypeError, ValueError), match=said):
        TaskDense(2, **({"terms": EVERYTHING} | options)).init(jax.random.key(0), jnp.ones((1, 3)))


def test_coefficients_are_trained_if_asked():
    x = drawn(0, 3, 4)
    fixed, free = (TaskDense(2, EVERYTHING, trainable=each) for each in (False, True))
    assert "coefficients" not in fixed.init(jax.random.key(0), x)["params"]["phi"]
    params = free.init(jax.random.key(0), x)
    np.testing.assert_allclose(params["params"]["phi"]["coefficients"], EVERYTHING.coefficients)
    slope = jax.grad(lambda p: jnp.sum(free.apply(p, x) ** 2))(params)
    assert np.all(np.asarray(slope["params"]["phi"]["coefficients"]) != 0)
    np.testing.assert_allclose(fixed.apply(params, x), free.apply(params, x), rtol=1e-6)


def test_start_is_the_papers():
    layer = TaskConv(400, (3, 3), LayerTerms(((1, 1.0), (2, 1.0)), ((2, 6, 1.0),)))
    params = layer.init(jax.random.key(0), jnp.ones((1, 5, 5, 8)))["params"]
    kernel = params["linear"]["kernel"]
    assert float(kernel[:, :, :8].std()) == pytest.approx((32 * 3 * 72) ** -0.5, rel=0.03)
    assert float(kernel[:, :, 8:].std()) == pytest.approx(0.001, rel=0.03)
    assert float(params["phi"]["factors_2"].std()) == pytest.approx(8**-0.5, rel=0.2)


def test_layers_map_and_work_in_a_model():
    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.gelu(TaskConv(4, (3, 3), EVERYTHING, dtype=jnp.bfloat16)(x))
            return TaskDense(2, EVERYTHING, dtype=jnp.bfloat16)(x.reshape(x.shape[0], -1))

    x = drawn(0, 3, 5, 5, 2, dtype=jnp.float32)
    params = jax.vmap(Model().init, (0, None))(jax.random.split(jax.random.key(0), 2), x)
    found = jax.jit(jax.vmap(Model().apply, (0, None)))(params, x)
    assert found.shape == (2, 3, 2)
    assert found.dtype == jnp.bfloat16
    assert np.all(np.isfinite(np.asarray(found, float)))


SHARDED = """
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from nsjax.neuronseek import LayerTerms, TaskConv
assert jax.device_count() == 4
layer = TaskConv(4, (3, 3), LayerTerms(((1, 1.0), (2, 1.0)), ((2, 3, 1.0),)))
x = jax.random.normal(jax.random.key(0), (8, 6, 6, 20))
params = layer.init(jax.random.key(1), x)
step = jax.jit(jax.grad(lambda p, x: jnp.sum(layer.apply(p, x) ** 2)))
mesh = jax.make_mesh((4,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))
rows = jax.device_put(x, NamedSharding(mesh, PartitionSpec("batch")))
same = jax.device_put(params, NamedSharding(mesh, PartitionSpec()))
found, expected = step(same, rows), step(params, x)
jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), found, expected)
"""


def test_samples_may_lie_on_several_devices():
    environment = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-c", SHARDED], check=True, env=environment, timeout=300)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"powers": ()}, "must have powers, interactions or bases"),
        ({"powers": ((0, 1.0),)}, "positive"),
        ({"powers": ((1, 1.0), (1, 2.0))}, "must not repeat"),
        ({"powers": ((1, np.nan),)}, "finite"),
        ({"powers": (1, 2)}, "tuples of 2"),
        ({"powers": "12"}, "tuple of tuples"),
        ({"interactions": ((1, 2, 1.0),)}, "orders >= 2"),
        ({"interactions": ((2, 0, 1.0),)}, "ranks"),
        ({"bases": (("zigzag", 1, 1.0),)}, "bases must be among"),
    ],
)
def test_bad_terms_are_named(settings, said):
    with pytest.raises((TypeError, ValueError), match=said):
        LayerTerms(**settings)


def test_formulas_without_terms_are_refused():
    with pytest.raises(ValueError, match="must have terms"):
        LayerTerms.of(Formula(CPNeuron([1.0], {1: [[0.0, 0.0]]}, {}, {})))


def test_weak_terms_can_be_left_out():
    product = CPTerms([[2.0]], [[[3.0, 0.0]], [[0.0, 1.0]]])
    formula = Formula(CPNeuron([1.0], {1: [[0.75, 0.0]]}, {2: product}, {}))
    assert LayerTerms.of(formula) == LayerTerms(((1, 0.125),), ((2, 1, 1.0),))
    assert LayerTerms.of(formula, least=0.2) == LayerTerms((), ((2, 1, 1.0),))
