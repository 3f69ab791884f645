"""Homogeneity, Euler's identity and the scaling of the NCF, over random networks."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nsjax import PolyLeakyReLU, networks, objectives

SAMPLES = 3


@st.composite
def cases(draw, depths=(2, 4)):
    """Activation, weights, inputs, a cotangent and a factor; the numbers are drawn by NumPy."""
    p = draw(st.integers(1, 3))
    slope = draw(st.sampled_from([-1.0, 0.0, 0.3, 0.5, 1.0]))
    depth = draw(st.integers(*depths))
    # Two sizes only: every new shape compiles every operation anew.
    widths = draw(st.lists(st.sampled_from([1, 3]), min_size=depth + 1, max_size=depth + 1))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    params = tuple(rng.normal(size=(k, j)) for j, k in itertools.pairwise(widths))
    x, z = rng.normal(size=(SAMPLES, widths[0])), rng.normal(size=(SAMPLES, widths[-1]))
    return PolyLeakyReLU(p, slope), params, x, z, draw(st.floats(0.5, 2.0))


def forward(params, x, p, slope):
    """The network in NumPy, one sample at a time."""
    rows = []
    for row in x:
        for weight in params[:-1]:
            t = weight @ row
            row = np.where(t > 0, t, slope * t) ** p
        rows.append(params[-1] @ row)
    return np.array(rows)


def size(params, x, p):
    """A bound on every output, and on the sums inside it: no sign cancels."""
    return forward([np.abs(w) for w in params], np.abs(x), p, -1.0).max()


@settings(max_examples=15)
@given(cases())
def test_network_is_homogeneous_of_its_degree(case):
    """`H(x; c w) = c^D H(x; w)`, with H itself equal to a plain NumPy forward pass."""
    activation, params, x, _, c = case
    outputs = networks.apply(params, x, activation)
    bound = size(params, x, activation.p)
    plain = forward(params, x, activation.p, activation.slope)
    np.testing.assert_allclose(outputs, plain, rtol=0, atol=1e-13 * bound)
    power = c ** networks.degree(activation, len(params))
    scaled = networks.apply([c * w for w in params], x, activation)
    np.testing.assert_allclose(scaled / power, outputs, rtol=0, atol=1e-12 * bound)


@settings(max_examples=15)
@given(cases())
def test_euler_and_the_scaling_of_ncf_and_gradient(case):
    """`<w, grad N> = D N`, `N(c w) = c^D N(w)`, `grad N(c w) = c^(D-1) grad N(w)`.

    N is `<z, H>`; for z with a single nonzero entry these are the identities of that output of H.
    """
    activation, params, x, z, c = case
    params = jax.tree.map(jnp.asarray, params)
    depth = len(params)
    degree = sum(activation.p**layer for layer in range(depth))
    assert networks.degree(activation, depth) == degree

    def correlation(weights):
        return objectives.ncf(lambda w, x: networks.apply(w, x, activation), weights, x, z)

    value, gradient = jax.value_and_grad(correlation)(params)
    bound = size(params, x, activation.p) * np.abs(z).sum() * degree
    euler = sum(float(jnp.sum(w * g)) for w, g in zip(params, gradient, strict=True))
    np.testing.assert_allclose(euler, degree * value, rtol=0, atol=1e-12 * bound)
    np.testing.assert_allclose(
        objectives.NetworkNCF(activation)(params, x, z), value, rtol=0, atol=1e-13 * bound
    )
    scaled, scaled_gradient = jax.value_and_grad(correlation)(tuple(c * w for w in params))
    np.testing.assert_allclose(scaled / c**degree, value, rtol=0, atol=1e-12 * bound)
    for before, after in zip(gradient, scaled_gradient, strict=True):
        top = float(jnp.max(jnp.abs(before)))
        np.testing.assert_allclose(after / c ** (degree - 1), before, rtol=1e-10, atol=1e-10 * top)


@settings(max_examples=12)
@given(cases(depths=(2, 3)))
def test_saddle_ncf_is_homogeneous_and_a_sum_over_neurons(case):
    """At a saddle the NCF of the zero block has degree p + 1 and decouples over its neurons.

    The first neuron of every hidden layer is active, all others form the zero block; the sum of
    `neuron_ncf` over them is the whole.
    """
    activation, drawn, x, z, c = case
    masks = [np.arange(w.shape[0]) > 0 for w in drawn[:-1]]  # True: inactive
    masks = [np.zeros(x.shape[1], bool), *masks, np.zeros(z.shape[1], bool)]
    inside = [after[:, None] | before[None, :] for before, after in itertools.pairwise(masks)]
    saddle = tuple(jnp.where(block, 0, w) for block, w in zip(inside, drawn, strict=True))
    zero_block = tuple(jnp.where(block, w, 0) for block, w in zip(inside, drawn, strict=True))
    features = networks.features(saddle, x, activation)
    pulled = networks.pullback(saddle, x, jnp.asarray(z), activation)
    ncf = objectives.SaddleNCF(activation)
    total = float(ncf(zero_block, features, pulled))
    parts = 0.0
    for layer in range(1, len(drawn)):
        single = objectives.neuron_ncf(saddle, layer, x, z, activation)
        for j in np.flatnonzero(masks[layer]):
            parts += float(single(zero_block[layer - 1][j], zero_block[layer][:, j]))
    bound = size(drawn, x, activation.p) * np.abs(z).sum() + size(drawn[-2:], features[-2], 1)
    np.testing.assert_allclose(parts, total, rtol=1e-11, atol=1e-12 * bound)
    scaled = float(ncf(tuple(c * w for w in zero_block), features, pulled))
    np.testing.assert_allclose(scaled / c ** (activation.p + 1), total, rtol=1e-11, atol=1e-13)
