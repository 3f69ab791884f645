"""What the convolutions of a network see, against the network itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from nsjax import networks
from nsjax.neuronseek import LayerTerms, TaskConv
from nsjax.neuronseek.convolutions import convolutions, with_kernels


class Small(nn.Module):
    """A plain convolution, then a task-driven one."""

    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(3, (3, 3))(x))
        terms = LayerTerms(powers=((1, 1.0), (2, 1.0)))
        kernel = nn.initializers.normal(0.1)
        return TaskConv(4, (3, 3), terms, strides=2, limit=None, kernel_init=kernel)(x)


@pytest.fixture(scope="module")
def network():
    x = jax.random.normal(jax.random.key(0), (7, 6, 6, 2))
    module = Small()
    return module, module.init(jax.random.key(1), x), x


def test_a_task_driven_kernel_sees_powers(network):
    module, variables, x = network
    found = convolutions(module, variables, x, batch=3)
    assert set(found) == {"Conv_0", "TaskConv_0/linear"}
    first = nn.Conv(3, (3, 3)).apply({"params": variables["params"]["Conv_0"]}, x)
    hidden = jnp.maximum(first.astype(float), 0)
    layer = found["TaskConv_0/linear"]
    for channels, power in ((slice(0, 3), hidden), (slice(3, 6), hidden**2)):
        expected = networks.patch_moments(power, (3, 3), strides=2)
        seen = layer.moments.channels(channels, 6)
        np.testing.assert_allclose(seen.second, expected.second, rtol=1e-5, atol=1e-6)
    assert layer.kernel.shape == (3, 3, 6, 4)
    assert layer.size == (6, 6)


def test_the_output_error_is_that_of_the_network_with_another_kernel(network):
    module, variables, x = network
    layer = convolutions(module, variables, x)["TaskConv_0/linear"]
    kernel = jnp.asarray(layer.kernel, float)
    found = networks.compress(
        jax.random.key(0), kernel, 3, covariance=layer.moments.second, starts=0, max_sweeps=20
    )
    other = with_kernels(variables, {"TaskConv_0/linear": found.kernel})
    before, after = (module.apply(each, x) for each in (variables, other))  # the bias is zero
    change = jnp.sum((after - before) ** 2) / jnp.sum(before**2)
    error = networks.output_error(kernel, found.kernel, layer.moments.second)
    np.testing.assert_allclose(change, error, rtol=1e-4)
    np.testing.assert_allclose(found.error, error, rtol=1e-3)
    assert 1e-3 < error < 0.5


def test_bad_arguments_are_named(network):
    _, variables, x = network
    with pytest.raises(ValueError, match=r"kernels\['Conv_0'\] of shape"):
        with_kernels(variables, {"Conv_0": jnp.ones((1, 1, 2, 3))})
    with pytest.raises(ValueError, match=r"kernels\['Dense_0'\] .*none"):
        with_kernels(variables, {"Dense_0": jnp.ones((1, 1, 2, 3))})
    dilated = nn.Conv(3, (3, 3), kernel_dilation=2)
    with pytest.raises(ValueError, match="must have no dilation"):
        convolutions(dilated, dilated.init(jax.random.key(0), x), x)
    with pytest.raises(ValueError, match="images must have shape"):
        convolutions(dilated, {}, x[0])
    dense = nn.Dense(3)
    with pytest.raises(ValueError, match="module must have convolutions"):
        convolutions(dense, dense.init(jax.random.key(0), x), x)
