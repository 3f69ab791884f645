"""Along a channel: the pair's own coordinates, no cancellation, the least loss at every eps."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from scipy import optimize

from nsjax import dynamics, networks
from nsjax.dynamics.channels import FINITE, TO_INFINITY, channel_apply


def network(outputs=1, seed=0):
    rng = np.random.default_rng(seed)
    draw = lambda *shape: jnp.asarray(rng.normal(size=shape))  # noqa: E731
    u = draw(outputs)
    return dynamics.ChannelNetwork(
        (draw(2, 3), draw(outputs, 2)), draw(outputs), u / jnp.linalg.norm(u), draw(3), draw(3)
    ), draw(20, 3)


@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("eps", [2.0, 0.3, 0.01])
def test_coordinates_are_one_to_one_and_the_function_the_same(outputs, eps):
    own, x = network(outputs)
    params = dynamics.join_channel(own, eps)
    back, again = dynamics.split_channel(params, (2, 3))
    np.testing.assert_allclose(again, eps, rtol=1e-12)
    for a, b in zip(jax.tree.leaves(own), jax.tree.leaves(back), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    for name in ("tanh", "softplus"):
        plain = networks.apply(params, x, networks.SMOOTH[name])
        np.testing.assert_allclose(
            channel_apply(own, eps, x, networks.SMOOTH[name], layer=1),
            plain,
            rtol=1e-10,
            atol=1e-11,
        )
        # To exchange the neurons is to change the sign of eps.
        turned = channel_apply(own, -eps, x, networks.SMOOTH[name], layer=1)
        np.testing.assert_allclose(turned, plain, rtol=1e-10, atol=1e-11)


def test_nothing_cancels_at_tiny_eps():
    """Against fifty digits; the plain network has lost eight at eps = 1e-9."""
    rest = (jnp.zeros((1, 1)), jnp.zeros((1, 1)))
    one = jnp.ones(1)
    own, eps = dynamics.ChannelNetwork(rest, 0.3 * one, one, 0.7 * one, 1.3 * one), 1e-9
    got = float(channel_apply(own, eps, jnp.array([[1.1]]), jnp.tanh, layer=1)[0, 0])
    with mpmath.workdps(50):
        t, h = (
            mpmath.mpf(0.7) * mpmath.mpf(1.1),
            mpmath.mpf(eps) * mpmath.mpf(1.3) * mpmath.mpf(1.1),
        )
        up, down = mpmath.tanh(t + h), mpmath.tanh(t - h)
        wanted = mpmath.mpf(0.3) * (up + down) / 2 + (up - down) / (2 * mpmath.mpf(eps))
    assert abs(got / float(wanted) - 1) < 1e-14
    plain = networks.apply(dynamics.join_channel(own, eps), jnp.array([[1.1]]), jnp.tanh)
    assert abs(float(plain[0, 0]) / float(wanted) - 1) > 1e-10


def test_a_later_layer():
    own, x = network(2)
    deep = dynamics.ChannelNetwork((jnp.eye(3), *own.rest, jnp.ones((1, 2))), *own[1:])
    params = dynamics.join_channel(deep, 0.2, layer=2)
    np.testing.assert_allclose(
        channel_apply(deep, 0.2, x, jnp.tanh, layer=2),
        networks.apply(params, x, jnp.tanh),
        rtol=1e-10,
    )


def task():
    """A bump of one input, which no pair of sigmoids fits, and a pair to start from."""
    t = np.linspace(-2, 2, 25)
    x = jnp.asarray(np.stack([t, np.ones_like(t)], axis=1))
    y = jnp.asarray(np.exp(-((t - 0.2) ** 2)) + 0.02 * np.cos(4 * t))[:, None]
    return x, y, (jnp.array([[1.1, 0.5], [1.0, -0.6]]), jnp.array([[3.0, -3.2]]))


def test_least_losses_agree_with_scipy_and_fall_like_eps_squared():
    x, y, start = task()
    ladder = (0.1, 0.03, 0.01)
    path = dynamics.follow_channel(start, (0, 1), x, y, jnp.tanh, eps=ladder)
    assert path.result == TO_INFINITY, path
    assert np.all(np.diff(path.losses) < 0)

    def residuals(z, eps):
        # The plain weights, with a_1 - a_2 held at 1/eps.
        c, w, v = z[0], z[1:3], z[3:5]
        first, second = np.asarray(x) @ (w + eps * v), np.asarray(x) @ (w - eps * v)
        pair = (c / 2 + 0.5 / eps) * np.tanh(first) + (c / 2 - 0.5 / eps) * np.tanh(second)
        return pair - np.asarray(y)[:, 0]

    for i, eps in enumerate(ladder):
        own = jax.tree.map(lambda leaf, i=i: np.asarray(leaf[i]), path.networks)
        near = np.concatenate([own.c, own.w, own.v * own.u]) + 1e-3
        found = optimize.least_squares(residuals, near, args=(eps,), xtol=1e-15, ftol=1e-15)
        np.testing.assert_allclose(path.losses[i], found.cost, rtol=1e-7)
    fall = path.losses[:-1] - path.losses[-1]
    np.testing.assert_allclose(np.log10(fall[0] / fall[2]), 2, atol=0.1)
    # The limit is the network with the gated unit in place of the pair.
    c, _, w, v = (np.asarray(part) for part in path.limit[1:])
    t = np.asarray(x) @ w
    u = float(path.limit.u[0] / abs(path.limit.u[0]))
    out = c * np.tanh(t) + u * (np.asarray(x) @ v) / np.cosh(t) ** 2
    np.testing.assert_allclose(0.5 * np.sum((out - np.asarray(y)[:, 0]) ** 2), path.losses[-1])


def test_a_finite_minimum_with_a_close_pair_is_refused():
    """The teacher itself: zero loss where it is, none at infinity."""
    x, _, _ = task()
    pair = (jnp.array([[1.1, 0.3], [1.0, 0.2]]), jnp.array([[5.5, -4.5]]))
    y = networks.apply(pair, x, jnp.tanh)
    path = dynamics.follow_channel(pair, (0, 1), x, y, jnp.tanh)
    assert path.start < 1e-25
    assert path.losses[-1] > 1e-10
    assert path.result == FINITE
    assert path.message.startswith("no channel")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"eps": (0.1, 0.2)}, "eps must be decreasing positive numbers"),
        ({"eps": (0.1, 0.0)}, "eps must be decreasing positive numbers"),
        ({"eps": ()}, "eps must be decreasing positive numbers"),
        ({"eps": (np.inf, 0.1)}, "eps must be finite"),
        ({"eps": (np.nan,)}, "eps must be finite"),
        ({"pair": (0, 2)}, "pair must be two different neurons from 0 to 1"),
        ({"layer": 3}, "layer must be a hidden layer"),
        ({"y": np.ones((3, 1))}, "one row per sample"),
    ],
)
def test_bad_arguments(change, said):
    x, y, start = task()
    given = {"params": start, "pair": (0, 1), "x": x, "y": y, "activation": jnp.tanh} | change
    with pytest.raises(ValueError, match=said):
        dynamics.follow_channel(**given)


def test_a_pair_of_equal_outgoing_weights_has_no_eps():
    with pytest.raises(ValueError, match="outgoing weights that differ"):
        dynamics.split_channel((jnp.ones((2, 1)), jnp.ones((1, 2))), (0, 1))


def test_a_pair_far_down_a_channel_is_followed_from_there():
    """At an eps below the last one of the default ladder."""
    x, y, start = task()
    path = dynamics.follow_channel(start, (0, 1), x, y, jnp.tanh, eps=(0.1, 1e-3))
    far = dynamics.join_channel(path.limit, 1e-7)
    again = dynamics.follow_channel(far, (0, 1), x, y, jnp.tanh)
    np.testing.assert_allclose(again.eps[[0, -2, -1]], [1e-7, 1e-8, 0], rtol=1e-3)
    np.testing.assert_allclose(again.losses, path.losses[-1], rtol=1e-9)


def test_networks_that_do_not_fit_are_refused():
    own = network()[0]
    with pytest.raises(ValueError, match="layer must be a hidden layer"):
        dynamics.join_channel(own, 0.1, layer=2)
    with pytest.raises(TypeError, match="network must be a ChannelNetwork, got tuple"):
        dynamics.join_channel(own.rest, 0.1)


def test_least_squares_against_scipy():
    """Two starts on a curve fit with a residual left."""
    t = np.linspace(0, 2, 12)
    y = np.exp(-1.3 * t) + 0.1 * np.sin(5 * t)
    starts = jnp.array([[1.0, 1.0], [0.5, 2.0]])
    got = dynamics.least_squares(_decay, starts, args=(jnp.asarray(t), jnp.asarray(y)))
    for i, start in enumerate(np.asarray(starts)):
        found = optimize.least_squares(
            lambda z: z[0] * np.exp(-z[1] * t) - y, start, xtol=1e-15, ftol=1e-15, gtol=1e-15
        )
        np.testing.assert_allclose(got.params[i], found.x, rtol=1e-6)
        np.testing.assert_allclose(got.losses[i], found.cost, rtol=1e-10)
    assert np.all(got.grad_norms < 1e-7)
    assert np.all(got.curvatures[:, 0] > 0)
    with pytest.raises(ValueError, match="one leading axis of members"):
        dynamics.least_squares(_decay, (jnp.ones(2), jnp.ones(3)), args=(t, y))


def _decay(z, t, y):
    return z[0] * jnp.exp(-z[1] * t) - y
