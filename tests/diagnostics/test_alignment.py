"""Alignment of the zero block: against one neuron at a time, finite differences, closed forms."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nsjax
from nsjax import diagnostics, kkt, networks, objectives

WIDTHS = (3, 4, 3, 2)
INACTIVE = (np.array([False, True, True, False]), np.array([True, False, False]))
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(9, 3)), RNG.normal(size=(9, 2))


def near_saddle(seed, delta=1e-3):
    """A network whose inactive neurons are small, and the network without them."""
    params = networks.init(jax.random.key(seed), WIDTHS)
    ends = [np.zeros(3, bool), *INACTIVE, np.zeros(2, bool)]
    block = [a[:, None] | b[None, :] for b, a in itertools.pairwise(ends)]
    near = tuple(jnp.where(b, delta * w, w) for w, b in zip(params, block, strict=True))
    saddle = tuple(jnp.where(b, 0, w) for w, b in zip(params, block, strict=True))
    return near, saddle


def neuron(params, layer, j, *, full=False):
    """In- and outgoing weights of a neuron, without those between inactive neurons."""
    incoming, outgoing = np.array(params[layer - 1][j]), np.array(params[layer][:, j])
    if not full:
        if layer == 2:
            incoming[INACTIVE[0]] = 0
        if layer == 1:
            outgoing[INACTIVE[1]] = 0
    return incoming, outgoing


@pytest.mark.parametrize(
    ("activation", "loss"),
    [
        (nsjax.PolyLeakyReLU(2, 0.3), "square"),
        (nsjax.PolyLeakyReLU(1, 1.0), "cross_entropy"),
    ],
)
def test_each_neuron_against_its_own_ncf(activation, loss):
    """Value by `neuron_ncf`, residual by its gradient, cosine and norm by hand."""
    params, saddle = near_saddle(1)
    y = Y if loss == "square" else np.eye(2)[RNG.integers(0, 2, 9)]
    target = networks.init(jax.random.key(7), WIDTHS)
    found = diagnostics.alignment(params, INACTIVE, X, y, activation, target=target, loss=loss)
    residual = objectives.NetworkLoss(activation, loss).residual(saddle, X, y)
    for layer in (1, 2):
        ncf = objectives.neuron_ncf(saddle, layer, X, residual, activation)
        for j, off in enumerate(INACTIVE[layer - 1]):
            measured = [
                float(part[layer - 1][j])
                for part in (found.cosine, found.kkt_residual, found.ncf, found.norm)
            ]
            if not off:
                assert np.isnan(measured).all()
                continue
            mine, wanted = neuron(params, layer, j), neuron(target, layer, j)
            size = np.linalg.norm(np.concatenate(mine))
            unit = jax.tree.map(lambda w, size=size: jnp.asarray(w / size), mine)
            cosine = np.dot(np.concatenate(mine), np.concatenate(wanted))
            cosine /= size * np.linalg.norm(np.concatenate(wanted))
            gradient = np.concatenate(jax.grad(ncf, (0, 1))(*unit))
            tangent = gradient - (gradient @ np.concatenate(unit)) * np.concatenate(unit)
            off = np.linalg.norm(tangent) / np.linalg.norm(gradient)
            expected = (cosine, off, float(ncf(*unit)), size)
            np.testing.assert_allclose(measured, expected, rtol=1e-9, atol=1e-12)


def test_the_block_against_the_change_of_the_output():
    """`N = <r, H(w_n, eps w_z)> / eps^q` as eps falls, its gradient by differences of that."""
    activation = nsjax.PolyLeakyReLU(2, 0.3)
    params, saddle = near_saddle(2)
    found = diagnostics.alignment(params, INACTIVE, X, Y, activation, target=params)
    residual = Y - networks.apply(saddle, X, activation)
    block = kkt.unit(jax.tree.map(jnp.subtract, params, saddle))
    flat = np.concatenate([np.ravel(w) for w in block])
    places = np.flatnonzero(flat)

    def ncf(vector, eps=1e-3):
        parts = np.split(vector, np.cumsum([w.size for w in params])[:-1])
        moved = tuple(w + eps * v.reshape(w.shape) for w, v in zip(saddle, parts, strict=True))
        change = networks.apply(moved, X, activation) - networks.apply(saddle, X, activation)
        return float(jnp.sum(residual * change)) / eps**3

    gradient = np.zeros_like(flat)
    for place in places:
        step = np.zeros_like(flat)
        step[place] = 1e-2
        gradient[place] = (ncf(flat + step) - ncf(flat - step)) / 2e-2
    tangent = gradient - (gradient @ flat) * flat
    wanted = np.linalg.norm(tangent) / np.linalg.norm(gradient)
    assert float(found.block_ncf) == pytest.approx(ncf(flat), rel=1e-2)
    assert float(found.block_kkt_residual) == pytest.approx(wanted, rel=1e-2)
    assert float(found.block_cosine) == pytest.approx(1)
    sizes = [np.linalg.norm(np.asarray(a - b)) for a, b in zip(params, saddle, strict=True)]
    assert float(found.block_norm) == pytest.approx(np.linalg.norm(sizes))


@given(st.integers(0, 1000), st.sampled_from([1e-2, 1e-8, 1e-120]))
def test_directions_do_not_depend_on_size(seed, delta):
    """Cosines, residuals and NCF are those of unit neurons, however near the saddle."""
    activation = nsjax.PolyLeakyReLU(2, 0.3)
    (params, saddle), (far, _) = near_saddle(seed, delta), near_saddle(seed, 1.0)
    found = diagnostics.alignment(params, INACTIVE, X, Y, activation, target=far, saddle=saddle)
    for layer, inactive in enumerate(INACTIVE):
        np.testing.assert_allclose(found.cosine[layer][inactive], 1, rtol=1e-12)
    wanted = diagnostics.alignment(far, INACTIVE, X, Y, activation, target=far, saddle=saddle)
    for name in ("block_cosine", "block_kkt_residual", "block_ncf"):
        np.testing.assert_allclose(getattr(found, name), getattr(wanted, name), rtol=1e-8)
    for mine, theirs in zip(found.kkt_residual, wanted.kkt_residual, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-8, atol=1e-12)


def dominant(residual):
    """The dominant KKT point of one neuron with x^2 and one output, by eigenvectors, and N*."""
    values, vectors = np.linalg.eigh(np.einsum("i,ij,ik->jk", residual, X, X))
    k = int(np.argmax(np.abs(values)))
    u, v = np.sqrt(2 / 3) * vectors[:, k], np.array([np.sign(values[k]) / np.sqrt(3)])
    return u, v, 2 / (3 * np.sqrt(3)) * abs(values[k])


def test_a_kkt_point_is_aligned_and_a_neuron_can_be_the_target():
    """Neuron 1 is the dominant KKT point, neuron 2 zero; as a `(layer, incoming, outgoing)`."""
    activation = nsjax.PolyLeakyReLU(2)
    saddle = (np.zeros((3, 3)), np.zeros((1, 3)))
    saddle[0][0], saddle[1][0, 0] = [0.3, 0.1, -0.2], 0.7
    u, v, value = dominant(Y[:, 0] - np.asarray(networks.apply(saddle, X, activation))[:, 0])
    params = (saddle[0].copy(), saddle[1].copy())
    params[0][1], params[1][0, 1] = 1e-4 * u, 1e-4 * v[0]
    inactive = [np.array([False, True, True])]

    def measure(*target):
        return diagnostics.alignment(params, inactive, X, Y[:, :1], activation, target=(1, *target))

    found = measure(2 * u, 2 * v)
    assert float(found.cosine[0][1]) == pytest.approx(1)
    assert float(found.kkt_residual[0][1]) < 1e-7
    assert float(found.ncf[0][1]) == pytest.approx(value)
    assert np.isnan([part[0][2] for part in (found.cosine, found.norm, found.kkt_residual)]).all()
    assert float(found.block_cosine) == pytest.approx(1)
    assert float(found.block_ncf) == pytest.approx(value)
    assert float(found.block_kkt_residual) < 1e-7
    # The same neuron by another sign, but the plain cosine: -2/3 + 1/3.
    assert float(measure(-u, v).cosine[0][1]) == pytest.approx(-1 / 3)


@pytest.mark.parametrize("depth", [2, 3])
def test_the_origin(depth):
    """Degree D: the eigenvector for x^2; for three linear layers `3^(-3/2) ||x^T y||`."""
    activation = nsjax.PolyLeakyReLU(2 if depth == 2 else 1)
    if depth == 2:
        u, v, value = dominant(Y[:, 0])
        best = (u[None, :], v[None, :])
    else:
        moment = X.T @ Y[:, 0]
        value = 3**-1.5 * np.linalg.norm(moment)
        best = (moment[None, :] / np.linalg.norm(moment), np.ones((1, 1)), np.ones((1, 1)))
        best = tuple(w / np.sqrt(3) for w in best)
    params = tuple(1e-5 * w for w in best)
    inactive = (np.ones(1, bool),) * (depth - 1)
    found = diagnostics.alignment(params, inactive, X, Y[:, :1], activation, target=best)
    assert float(found.block_ncf) == pytest.approx(value)
    assert float(found.block_kkt_residual) < 1e-7
    assert float(found.block_cosine) == pytest.approx(1)
    for layer in range(depth - 1):
        assert float(found.cosine[layer][0]) == pytest.approx(1)
        assert float(found.kkt_residual[layer][0]) < 1e-7
        assert np.isnan(found.ncf[layer][0]) == (depth == 3)


def test_snapshots_and_a_zero_block():
    """A trajectory gives what each snapshot gives; a zero block gives NaN; no target, no cosine."""
    activation = nsjax.PolyLeakyReLU(2, 0.3)
    each = [near_saddle(seed)[0] for seed in (1, 2)] + [near_saddle(3)[1]]
    many = diagnostics.alignment(each, INACTIVE, X, Y, activation)
    one = diagnostics.alignment(each[1], INACTIVE, X, Y, activation)
    assert many.kkt_residual[0].shape == (3, 4)
    for stacked, single in zip(jax.tree.leaves(many), jax.tree.leaves(one), strict=True):
        np.testing.assert_allclose(stacked[1], single, rtol=1e-9)
        assert np.isnan(stacked[2]).all() or stacked is many.block_ncf
    assert np.isnan(one.block_cosine)


def test_new_data_and_blocks_do_not_compile_again():
    """Other values of everything but shapes and settings use the compiled program."""
    from nsjax.diagnostics.alignment import _align

    activation = nsjax.PolyLeakyReLU(2, 0.3)
    diagnostics.alignment(near_saddle(1)[0], INACTIVE, X, Y, activation)
    before = _align._cache_size()
    other = (INACTIVE[0][::-1].copy(), ~INACTIVE[1])
    diagnostics.alignment(near_saddle(4)[0], other, X + 1, Y - 1, activation)
    assert _align._cache_size() == before


def bad(**change):
    params, saddle = near_saddle(1)
    good = {"params": params, "inactive": INACTIVE, "x": X, "y": Y, "saddle": saddle}
    return diagnostics.alignment(**{**good, "activation": nsjax.PolyLeakyReLU(2), **change})


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"params": jnp.eye(2)}, TypeError, "params must be a tuple"),
        ({"inactive": np.ones(4, bool)}, TypeError, "inactive must be a sequence"),
        ({"inactive": INACTIVE[:1]}, ValueError, "inactive must have one array for each of 2"),
        ({"inactive": (np.ones(4), INACTIVE[1])}, ValueError, r"inactive\[0\] must be a boolean"),
        ({"inactive": (np.zeros(4, bool), np.zeros(3, bool))}, ValueError, "at least one neuron"),
        ({"x": X[:, :2]}, ValueError, "x must have 3 columns"),
        ({"activation": jnp.tanh}, TypeError, "activation must be homogeneous"),
        ({"loss": "hinge"}, ValueError, "loss must be one of"),
        ({"saddle": near_saddle(1)[0]}, ValueError, "saddle must be zero on the weights"),
        ({"saddle": (jnp.eye(3), jnp.eye(3))}, ValueError, "saddle must have the shapes"),
        ({"target": (1, jnp.ones(2), jnp.ones(3))}, ValueError, "target's incoming weights"),
        ({"target": (3, jnp.ones(3), jnp.ones(3))}, ValueError, "layer must be a hidden layer"),
        ({"target": (jnp.eye(3), jnp.eye(3))}, ValueError, "target must have the shapes"),
    ],
)
def test_bad_input_is_refused(change, error, message):
    with pytest.raises(error, match=message):
        bad(**change)
