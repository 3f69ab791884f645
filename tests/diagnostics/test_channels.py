"""Pairs in flat channels: their limit, what is one and what is none, and the monitor."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from nsjax import diagnostics, networks
from nsjax.diagnostics.channels import parity

EPS = (1e-2, 1e-3, 1e-4)


def built(eps, *, outputs=1, inputs=3, seed=0, others=2, lean=0.0):
    """A network whose last two neurons form a channel with known c, w, v; lopsided by `lean`."""
    rng = np.random.default_rng(seed)
    c, w, v = rng.normal(size=outputs), rng.normal(size=inputs), rng.normal(size=inputs)
    u = rng.normal(size=outputs)
    u /= np.linalg.norm(u)
    # Not the midpoint: w_1 is closer to w by a factor, as long as the first moment is v.
    first, second = 0.5 * c + u / (2 * eps), 0.5 * c - u / (2 * eps)
    pair = np.stack([w + (1 - lean * eps) * eps * v, w - (1 + lean * eps) * eps * v])
    incoming = np.concatenate([rng.normal(size=(others, inputs)), pair])
    outgoing = np.concatenate([rng.normal(size=(outputs, others)), np.stack([first, second], 1)], 1)
    return (jnp.asarray(incoming), jnp.asarray(outgoing)), (c, w, np.outer(u, v)), rng


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("name", sorted(networks.SMOOTH))
def test_a_constructed_channel_is_found_alone_and_its_limit_matches(name, outputs):
    activation = networks.SMOOTH[name]
    errors = []
    for eps in EPS:
        params, truth, rng = built(eps, outputs=outputs, lean=0.7)
        x = jnp.asarray(rng.normal(size=(30, 3)))
        seen = diagnostics.channels(params, x, activation)
        assert seen.pairs[seen.found].tolist() == [[2, 3]]
        limit = diagnostics.channel_limit(params, (2, 3), activation=activation)
        errors.append(
            max(
                np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in zip(limit, truth, strict=True)
            )
        )
        (place,) = np.flatnonzero(seen.found)
        np.testing.assert_allclose(seen.growth[place], 1 / eps, rtol=1e-9)
    assert errors[0] < 1e-2
    assert max(errors[1:]) < 1e-4
    assert errors[1] < 0.02 * errors[0]  # order eps^2


def test_pair_against_its_limit_with_fifty_digits():
    """The residual is what high precision says, of order eps^2."""
    for eps in (1e-2, 1e-3):
        params, _, _ = built(eps, inputs=2, seed=3)
        x = np.linspace(-1, 1, 8).reshape(4, 2)
        seen = diagnostics.channels(params, x, jnp.tanh)
        limit = diagnostics.channel_limit(params, (2, 3))
        (place,) = np.flatnonzero(seen.found)
        with mpmath.workdps(50):
            off, size = mpmath.mpf(0), mpmath.mpf(0)
            for row in x:
                dot = [mpmath.fdot(row, w) for w in np.asarray(params[0][2:])]
                outgoing = np.asarray(params[1][0, 2:])
                pair = sum(
                    mpmath.mpf(a) * mpmath.tanh(t) for a, t in zip(outgoing, dot, strict=True)
                )
                t = mpmath.fdot(row, np.asarray(limit.w))
                gate = mpmath.fdot(row, np.asarray(limit.v[0]))
                there = mpmath.mpf(float(limit.c[0])) * mpmath.tanh(t) + gate * mpmath.sech(t) ** 2
                off, size = off + (pair - there) ** 2, size + there**2
            wanted = float(mpmath.sqrt(off / size))
        np.testing.assert_allclose(seen.residual[place], wanted, rtol=1e-4)
        response = diagnostics.limit_response(limit, jnp.asarray(x), jnp.tanh)
        np.testing.assert_allclose(np.sum(np.asarray(response) ** 2), float(size), rtol=1e-10)
        assert wanted < 10 * eps**2


def test_second_moment_vanishes_at_the_point_of_expansion():
    params, _, _ = built(0.1, seed=5)
    limit = diagnostics.channel_limit(params, (2, 3))
    parts = np.asarray(params[0][2:] - limit.w)
    outgoing = np.asarray(params[1][0, 2:])
    second = np.einsum("j,ja,jb->ab", outgoing, parts, parts)
    assert np.max(np.abs(second)) < 1e-12
    np.testing.assert_allclose(outgoing @ parts, limit.v[0], rtol=1e-12)


@pytest.mark.parametrize(
    "outgoing",
    [(30.0, 30.0), (30.0, 0.0), (0.0, 0.0)],
    ids=["same sign", "one dead", "both dead"],
)
def test_pairs_of_one_sign_or_dead_are_none(outgoing):
    x = jnp.asarray(np.random.default_rng(0).normal(size=(20, 2)))
    params = (jnp.array([[1.0, 0.1], [1.0, 0.1001]]), jnp.array([outgoing]))
    assert not diagnostics.channels(params, x, jnp.tanh).found.any()


def test_copies_of_opposite_sign_are_a_line_of_equal_functions_and_none():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(20, 2)))
    params = (jnp.array([[1.0, 0.5], [1.0, 0.5]]), jnp.array([[1001.0, -1000.0]]))
    seen = diagnostics.channels(params, x, jnp.tanh)
    assert seen.share[0] == 0
    assert not seen.found.any()
    apart = (jnp.array([[1.0, 0.5], [1.0, 0.5 + 1e-3]]), params[1])
    assert diagnostics.channels(apart, x, jnp.tanh).found.all()


def test_mirrored_neurons_count_where_the_activation_is_odd_or_even():
    assert [parity(s) for s in (jnp.tanh, jnp.square, networks.gompertz)] == [-1, 1, 0]
    params, truth, rng = built(1e-3)
    x = jnp.asarray(rng.normal(size=(30, 3)))
    flipped = (params[0].at[3].multiply(-1), params[1].at[:, 3].multiply(-1))
    seen = diagnostics.channels(flipped, x, jnp.tanh)
    assert seen.pairs[seen.found].tolist() == [[2, 3]]
    limit = diagnostics.channel_limit(flipped, (2, 3), activation=jnp.tanh)
    np.testing.assert_allclose(limit.v, truth[2], rtol=1e-4)
    assert not diagnostics.channels(flipped, x, jax.nn.softplus).found.any()


def test_a_later_layer_of_a_deep_network():
    params, _, rng = built(1e-3, outputs=2)
    deep = (jnp.asarray(rng.normal(size=(3, 4))), *params, jnp.ones((1, 2)))
    x = jnp.asarray(rng.normal(size=(30, 4)))
    seen = diagnostics.channels(deep, x, jnp.tanh, layer=2)
    assert seen.pairs[seen.found].tolist() == [[2, 3]]
    assert not diagnostics.channels(deep, x, jnp.tanh, layer=1).found.any()


def course(eps, power=1.0, times=None):
    """What the monitor says of snapshots whose pair has these eps, and gaps like eps^power."""
    w, v = jnp.array([1.0, -0.5]), jnp.array([0.3, 1.0])
    eps = jnp.asarray(eps)
    gap = (0.05 * (eps / eps[0]) ** power)[:, None] * v
    incoming = jnp.stack([w + gap, w - gap, jnp.broadcast_to(v, gap.shape)], axis=1)
    outgoing = jnp.stack([0.4 + 0.5 / eps, 0.4 - 0.5 / eps, jnp.ones_like(eps)], axis=1)
    x = jnp.asarray(np.random.default_rng(1).normal(size=(20, 2)))
    return diagnostics.watch_channels((incoming, outgoing[:, None]), x, jnp.tanh, ts=times)


def test_monitor_hears_growth_that_goes_on_and_nothing_else():
    t = np.geomspace(1, 1e6, 40)
    grows = 0.05 * t**-0.25
    watch = course(grows, times=t)
    assert watch.pairs == [(0, 1)]
    np.testing.assert_allclose(watch.rate[-1, 0], 0.25, atol=1e-9)
    np.testing.assert_allclose(watch.exponent[-1, 0], -1, atol=1e-9)
    # The first save at which 1/eps is 1.5 times that of an earlier one.
    assert watch.first.tolist() == [int(np.argmax(t >= 1.5**4)), -1, -1]
    # Growth that ends at a finite value, alarmed on the way.
    ends = course(np.maximum(grows, 0.01), times=t)
    assert ends.pairs == []
    assert ends.first[0] > 0
    assert course(np.maximum(grows, 0.01)).pairs == [(0, 1)]  # without times it cannot know
    # A gap that does not shrink like eps, and eps that grows.
    assert course(grows, power=0.3, times=t).pairs == []
    assert course(grows[::-1], times=t).pairs == []
    assert course(np.full(40, 0.01), times=t).pairs == []


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"layer": 2}, ValueError, "layer must be a hidden layer"),
        ({"activation": "tanh"}, TypeError, "activation must be callable"),
        ({"rule": 0.1}, TypeError, "rule must be an nsjax.diagnostics.ChannelRule"),
        ({"x": np.ones((4, 2))}, ValueError, "x must have 3 columns"),
        ({"x": np.full((4, 3), np.nan)}, ValueError, "x must be finite"),
        ({"params": (jnp.ones((1, 3)), jnp.ones((1, 1)))}, ValueError, "two neurons or more"),
    ],
)
def test_bad_arguments(change, error, said):
    given = {"params": built(0.1)[0], "x": np.ones((4, 3)), "activation": jnp.tanh} | change
    with pytest.raises(error, match=said):
        diagnostics.channels(given.pop("params"), given.pop("x"), given.pop("activation"), **given)


def test_bad_pairs_rules_times_and_snapshots():
    params = built(0.1)[0]
    wrong_types = (3, "01", (0.0, 1.0), (True, False), (0, 1, 2), None)
    for pair, error in (
        ((0, 0), ValueError),
        ((0, 4), ValueError),
        *((p, TypeError) for p in wrong_types),
    ):
        with pytest.raises(error, match="pair must be two"):
            diagnostics.channel_limit(params, pair)
    assert diagnostics.channel_limit(params, np.array([2, 3])).c.shape == (1,)
    with pytest.raises(ValueError, match="before must have 3 columns"):
        diagnostics.limit_response(
            diagnostics.channel_limit(params, (2, 3)), np.ones((4, 2)), jnp.tanh
        )
    with pytest.raises(ValueError, match="growth must be above 1, got 1"):
        diagnostics.ChannelRule(growth=1)
    with pytest.raises(ValueError, match="distance must be a finite number >= 0"):
        diagnostics.ChannelRule(distance=-1.0)
    with pytest.raises(ValueError, match="one leading axis of saves"):
        diagnostics.watch_channels(params, np.ones((4, 3)), jnp.tanh)
    for ts, said in (
        ([0.0, 2.0, 1.0], "ts must be increasing times"),
        ([-1.0, 0.0, 1.0], "ts must be increasing times >= 0"),
        ([0.0, 1.0, np.inf], "ts must be finite"),
        ([0.0, 1.0], "ts must be 3 times"),
        ("abc", "ts must be an array"),
    ):
        with pytest.raises((TypeError, ValueError), match=said):
            diagnostics.watch_channels([params] * 3, np.ones((4, 3)), jnp.tanh, ts=ts)
