import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nsjax
from nsjax import networks, objectives


@pytest.mark.parametrize(
    ("widths", "larger"), [((3, 2, 1), (4, 5, 2)), ((2, 3, 2, 1), (2, 4, 4, 1))]
)
def test_padding_changes_no_output_and_no_gradient(widths, larger):
    params = networks.init(jax.random.key(0), widths)
    padded = networks.pad(params, larger)
    assert [w.shape for w in padded] == list(zip(larger[1:], larger[:-1], strict=True))
    activation = nsjax.PolyLeakyReLU(2, 1.0)
    x = jax.random.normal(jax.random.key(1), (7, widths[0]))
    wide = jnp.pad(x, ((0, 0), (0, larger[0] - widths[0])))
    out = networks.apply(padded, wide, activation)
    plain = networks.apply(params, x, activation)
    np.testing.assert_allclose(out[:, : widths[-1]], plain, rtol=1e-12)
    np.testing.assert_array_equal(out[:, widths[-1] :], 0)
    y = jnp.zeros((7, widths[-1]))
    wide_y = jnp.zeros((7, larger[-1]))
    loss = objectives.NetworkLoss(activation)
    gradient = jax.grad(loss)(padded, wide, wide_y)
    expected = networks.pad(jax.grad(loss)(params, x, y), larger)
    for found, wanted in zip(gradient, expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("widths", [(3, 1, 1), (3, 2), (3, 2, 1, 1)])
def test_bad_widths_are_refused(widths):
    params = networks.init(jax.random.key(0), (3, 2, 1))
    with pytest.raises(ValueError, match=r"widths must be 3 of at least \(3, 2, 1\)"):
        networks.pad(params, widths)
