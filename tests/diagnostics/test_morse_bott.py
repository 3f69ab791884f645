"""Constants by the Hessian against closed forms, and the kernels that say nothing."""

import jax.numpy as jnp
import numpy as np
import pytest

import nsjax
from nsjax import networks
from nsjax.diagnostics import Trajectory, Valley, morse_bott, path_length, pointwise
from nsjax.objectives import NetworkLoss


def quadratic(w):
    """Eigenvalues 6, -2 and, along the third entry, 0."""
    return 3 * w[0] ** 2 - w[1] ** 2 + 5.0


def quartic(w):
    return w[0] ** 2 + w[1] ** 4


def residuals(w):
    return jnp.array([w[0] + w[1] - 1, 2 * w[1] + w[2] ** 2])


def least_squares(w):
    return 0.5 * jnp.sum(residuals(w) ** 2)


def test_a_saddle_with_a_valley():
    """mu is of the smallest size of an eigenvalue outside the band, whatever its sign."""
    found = morse_bott(quadratic, jnp.zeros(3), tangents=jnp.array([[0.0, 0.0, 2.0]]))
    assert found.result == Valley.MORSE_BOTT
    assert found.inertia == (1, 1, 1)
    assert found.mu == pytest.approx(2)
    assert (found.alpha, found.smallest, found.largest) == (0.5, 2, 6)
    assert found.value == 5


def test_interpolation():
    """Two equations in three unknowns: a curve of zeros, the Hessian is J'J."""
    point = jnp.array([1.0, 0.0, 0.0])
    found = morse_bott(least_squares, point, equations=2)
    jacobian = np.array([[1, 1, 0], [0, 2, 0]])
    assert found.result == Valley.INTERPOLATION
    smallest = np.linalg.svd(jacobian, compute_uv=False)[-1] ** 2
    assert found.mu == pytest.approx(np.sqrt(2 * smallest))


def test_a_network_of_one_neuron():
    """f = (v u^2 - 1)^2 / 2 at u = v = 1: J = (2, 1), lambda = 5, and one rescaling."""
    activation = nsjax.PolyLeakyReLU(2, 1.0)
    params, x = (jnp.ones((1, 1)), jnp.ones((1, 1))), jnp.ones((1, 1))
    tangents = networks.symmetry_directions(params, activation, x=x)
    found = morse_bott(NetworkLoss(activation), params, args=(x, x), tangents=tangents)
    assert found.result == Valley.MORSE_BOTT
    assert found.mu == pytest.approx(np.sqrt(10))


@pytest.mark.parametrize(
    ("f", "point", "tangents", "result"),
    [
        (quartic, [0.0, 0.0], None, Valley.WIDER_KERNEL),
        (quartic, [0.1, 0.0], [[0.0, 1.0]], Valley.NOT_CRITICAL),
        (quartic, [0.0, 0.0], [[0.0, 1.0], [1.0, 0.0]], Valley.NOT_TANGENT),
        (least_squares, [1.0, 0.0, 0.0], None, Valley.WIDER_KERNEL),
    ],
)
def test_nothing_is_concluded(f, point, tangents, result):
    tangents = None if tangents is None else jnp.array(tangents)
    found = morse_bott(f, jnp.array(point), tangents=tangents)
    assert found.result == result
    assert not found.conclusive
    assert np.isnan(found.mu)
    assert found.message.startswith("inconclusive")
    with pytest.raises(ValueError, match="up_to needs constants"):
        found.up_to(1.0)


def test_the_bound_of_a_path():
    """One mode of f = 3 t^2: the bound is the length, but for the percent of slack."""
    found = morse_bott(lambda t: 3 * t[0] ** 2, jnp.zeros(1))
    t = np.linspace(0, 2, 41)
    flow = Trajectory(t, 3 * np.exp(-12 * t), 6 * np.exp(-6 * t))
    path = path_length(flow, lojasiewicz=found.up_to(3.0, degree=3))
    assert path.holds
    assert path.since == 0
    assert path.ratio == pytest.approx(1 / 0.99, rel=1e-4)
    assert found.up_to(3.0, degree=3).in_assumption2


def test_tangents_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"tangents \(leaf 0\) must have shape"):
        morse_bott(quartic, jnp.zeros(2), tangents=jnp.zeros(2))
    with pytest.raises(ValueError, match="tangents must have the structure"):
        morse_bott(quartic, jnp.zeros(2), tangents=(jnp.zeros((1, 2)),))


def two_modes():
    """The flow of `(t^2 + 100 s^2) / 2` from (1, 1)."""
    ts = np.concatenate([[0.0], np.logspace(-4, 1, 200)])
    t, s = np.exp(-ts), np.exp(-100 * ts)
    return Trajectory(ts, (t**2 + 100 * s**2) / 2, np.sqrt(t**2 + 1e4 * s**2))


def test_pointwise_tends_to_the_constant():
    """From sqrt(2 * 100) to sqrt(2)."""
    found = pointwise(two_modes(), limit=0.0)
    assert found.ratios[0] == pytest.approx(np.sqrt(2 * 10001 / 101))
    assert found.smallest == pytest.approx(np.sqrt(2))
    assert found.bound == pytest.approx(2 * np.sqrt(101 / 2) / np.sqrt(2))
    assert found.level(0.99 * np.sqrt(2)) == found.values[0]
    assert found.level(2.0) is not None
    assert np.isnan(found.level(2.0))


def test_pointwise_near_a_saddle_on_the_way():
    """Where the gradient dips, the ratio does, and the constant holds from there on only."""
    values = np.array([1.0, 0.5, 0.1, 0.01])
    flow = Trajectory(np.arange(4.0), values, np.array([2.0, 1e-3, 1.0, 0.3]))
    found = pointwise(flow, limit=0.0)
    assert found.at == 0.5
    assert found.level(1.0) == 0.1
    assert pointwise(flow, limit=0.0, floor=0.05).values[-1] == 0.1


def test_bad_input_of_pointwise():
    with pytest.raises(ValueError, match="alpha must be less than 1"):
        pointwise(two_modes(), limit=0.0, alpha=1.0)
    with pytest.raises(ValueError, match="flow must have two saves above"):
        pointwise(two_modes(), limit=1e3)
