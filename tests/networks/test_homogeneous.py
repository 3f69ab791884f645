"""Draw, apply, look inside and widen a network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsjax import PolyLeakyReLU, networks

WIDTHS = (3, 4, 2, 2)


@pytest.fixture(scope="module")
def problem():
    """A three-layer network with inputs and a cotangent."""
    rng = np.random.default_rng(0)
    params = networks.init(jax.random.key(0), WIDTHS)
    return params, jnp.asarray(rng.normal(size=(5, 3))), jnp.asarray(rng.normal(size=(5, 2)))


def test_init_has_the_shapes_and_dtype_asked_for():
    """`W_l` is `(widths[l], widths[l-1])`, in JAX's default float unless another is asked for."""
    params = networks.init(jax.random.key(0), WIDTHS)
    assert isinstance(params, tuple)
    assert [w.shape for w in params] == [(4, 3), (2, 4), (2, 2)]
    assert {str(w.dtype) for w in params} == {"float64"}
    half = networks.init(jax.random.key(0), (2, 2), dtype=jnp.float32)
    assert half[0].dtype == jnp.float32


def test_init_has_variance_one_over_fan_in_and_scales():
    """The variance over 40,000 weights of fan-in 100 is 1/100 within 5 standard errors."""
    wide = np.asarray(networks.init(jax.random.key(1), (100, 400))[0])
    assert wide.shape == (400, 100)
    assert abs(np.mean(wide**2) * 100 - 1) < 5 * (2 / 40_000) ** 0.5
    scaled = networks.init(jax.random.key(1), (100, 400), scale=1e-3)[0]
    np.testing.assert_allclose(scaled, 1e-3 * wide, rtol=1e-14)
    other = np.asarray(networks.init(jax.random.key(2), (100, 400))[0])
    assert abs(np.mean(other * wide)) * 100 < 5 / 200


@pytest.mark.parametrize(
    ("widths", "error", "message"),
    [
        ((3,), ValueError, r"widths must have at least two entries, got \(3,\)"),
        ((), ValueError, "widths must have at least two entries"),
        ((3, 0, 1), ValueError, r"widths\[1\] must be a positive integer, got 0"),
        ((3, -2), ValueError, r"widths\[1\] must be a positive integer, got -2"),
        ((2.5, 1), TypeError, r"widths\[0\] must be a positive integer, got 2.5"),
        ((True, 1), TypeError, r"widths\[0\] must be a positive integer, got True"),
        (5, TypeError, "widths must be a sequence of positive integers, got 5"),
        ("34", TypeError, "widths must be a sequence of positive integers, got '34'"),
    ],
)
def test_bad_widths_are_refused(widths, error, message):
    """The message names the entry and what came."""
    with pytest.raises(error, match=message):
        networks.init(jax.random.key(0), widths)


@pytest.mark.parametrize("dtype", [complex, int, bool])
def test_weights_are_real_floats(dtype):
    """No other dtype can be asked for."""
    with pytest.raises(TypeError, match="dtype must be a real floating type, got"):
        networks.init(jax.random.key(0), (2, 1), dtype=dtype)


def test_a_bad_scale_is_refused():
    """A scale is positive and finite."""
    for scale in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="scale must be a positive finite number, got"):
            networks.init(jax.random.key(0), (2, 1), scale=scale)


@pytest.mark.parametrize("slope", [1.0, 0.3])
def test_features_and_pullback_are_those_of_the_truncated_network(problem, slope):
    """`g_l` feeds the rest of the network to the same output; `B_l` is the vjp of that rest."""
    params, x, z = problem
    activation = PolyLeakyReLU(2, slope)
    features = networks.features(params, x, activation)
    pulled = networks.pullback(params, x, z, activation)
    outputs = networks.apply(params, x, activation)
    assert [g.shape for g in features] == [(5, 3), (5, 4), (5, 2)]
    assert [b.shape for b in pulled] == [(5, 4), (5, 2), (5, 2)]
    np.testing.assert_array_equal(features[0], x)
    np.testing.assert_array_equal(pulled[-1], z)
    for layer in range(len(params)):
        # From the pre-activation of layer `layer + 1` to the output.
        def rest(t, layer=layer):
            for weight in params[layer + 1 :]:
                t = activation(t) @ weight.T
            return t

        before = features[layer] @ params[layer].T
        after, pull = jax.vjp(rest, before)
        np.testing.assert_allclose(after, outputs, rtol=1e-13, atol=1e-14)
        np.testing.assert_allclose(pulled[layer], pull(z)[0], rtol=1e-12, atol=1e-14)


def test_pullback_by_finite_differences(problem):
    """`B_1` is the derivative of `<r, H>` when one pre-activation of the first layer moves."""
    params, x, z = problem
    pulled = networks.pullback(params, x, z, PolyLeakyReLU(2, 0.3))
    w1, w2, w3 = map(np.asarray, params)

    def correlation(t):
        for weight in (w2, w3):
            t = np.maximum(t, 0.3 * t) ** 2 @ weight.T
        return np.sum(np.asarray(z) * t)

    t = np.asarray(x) @ w1.T
    step = 1e-6
    for sample, neuron in [(0, 0), (2, 3), (4, 1)]:
        shift = np.zeros_like(t)
        shift[sample, neuron] = step
        slope = (correlation(t + shift) - correlation(t - shift)) / (2 * step)
        np.testing.assert_allclose(pulled[0][sample, neuron], slope, rtol=1e-7, atol=1e-8)


def test_any_activation_can_be_applied_but_only_a_homogeneous_one_has_a_degree(problem):
    """`apply` takes tanh; `degree` names what it wants instead."""
    params, x, _ = problem
    plain = np.tanh(np.tanh(x @ params[0].T) @ params[1].T) @ params[2].T
    np.testing.assert_allclose(networks.apply(params, x, jnp.tanh), plain, rtol=1e-13)
    with pytest.raises(TypeError, match="activation must be homogeneous"):
        networks.degree(jnp.tanh, 2)


@pytest.mark.parametrize(("p", "depth", "degree"), [(1, 4, 4), (2, 2, 3), (2, 4, 15), (3, 3, 13)])
def test_degree_is_the_geometric_sum(p, depth, degree):
    """`D = 1 + p + ... + p^(L-1)`."""
    assert networks.degree(PolyLeakyReLU(p), depth) == degree
    with pytest.raises(ValueError, match="depth must be a positive integer, got 0"):
        networks.degree(PolyLeakyReLU(p), 0)


@pytest.mark.parametrize("layer", [1, 2])
def test_a_neuron_that_sends_nothing_keeps_the_function(problem, layer):
    """A new neuron with zero outgoing weights widens layer `layer` and changes no output."""
    params, x, _ = problem
    incoming = jnp.arange(1.0, 1 + params[layer - 1].shape[1])
    outgoing = jnp.zeros(params[layer].shape[0])
    wider = networks.append_neuron(params, layer, incoming, outgoing)
    assert wider[layer - 1].shape[0] == params[layer - 1].shape[0] + 1
    np.testing.assert_array_equal(wider[layer - 1][-1], incoming)
    activation = PolyLeakyReLU(2, 0.3)
    np.testing.assert_allclose(
        networks.apply(wider, x, activation), networks.apply(params, x, activation), rtol=1e-14
    )


def test_a_last_layer_neuron_adds_its_response_to_the_output(problem):
    """In the last hidden layer the outputs change by exactly `v s(u . g)`."""
    params, x, _ = problem
    u, v = np.array([0.3, -0.2, 0.1, 0.5]), np.array([1e-3, -2e-3])
    activation = PolyLeakyReLU(3, 0.3)
    wider = networks.append_neuron(params, 2, u, v)
    change = networks.apply(wider, x, activation) - networks.apply(params, x, activation)
    t = np.asarray(networks.features(params, x, activation)[1]) @ u
    added = np.maximum(t, 0.3 * t)[:, None] ** 3 * v
    np.testing.assert_allclose(change, added, rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("layer", "incoming", "outgoing", "error", "message"),
    [
        (0, np.ones(3), np.ones(2), ValueError, "layer must be a positive integer, got 0"),
        (3, np.ones(3), np.ones(2), ValueError, "layer must be a hidden layer, 1 to 2, got 3"),
        (1.0, np.ones(3), np.ones(2), TypeError, "layer must be a positive integer, got 1.0"),
        (1, np.ones(4), np.ones(2), ValueError, r"incoming must have shape \(3,\), got \(4,\)"),
        (1, np.ones(3), np.ones((2, 1)), ValueError, r"outgoing must have shape \(2,\), got"),
        (1, np.array([1, np.nan, 1]), np.ones(2), ValueError, "incoming must be finite, got 1 NaN"),
        (1, np.ones(3), np.ones(2) * 1j, TypeError, "outgoing must be real, got dtype complex128"),
    ],
)
def test_a_neuron_that_does_not_fit_is_refused(problem, layer, incoming, outgoing, error, message):
    """The message names the argument, what came and what was wanted."""
    with pytest.raises(error, match=message):
        networks.append_neuron(problem[0], layer, incoming, outgoing)
