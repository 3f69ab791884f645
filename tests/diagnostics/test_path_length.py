"""Path lengths against closed forms and fine trajectories, and the bound that they must keep."""

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest

import nsjax
from nsjax import data, diagnostics, dynamics, networks
from nsjax.diagnostics import Trajectory, path_length
from nsjax.objectives import NetworkLoss
from tests.diagnostics import polynomials

KEY = jax.random.key(0)


def power_flow(m, ts):
    """The flow of `f = t^m` from 1 in one dimension."""
    w = np.exp(-2 * ts) if m == 2 else (1 + m * (m - 2) * ts) ** (-1 / (m - 2))
    return w, Trajectory(ts, w**m, m * w ** (m - 1))


@pytest.mark.parametrize("m", [2, 4, 6])
def test_one_power_on_sparse_saves(m):
    """The length is the distance gone, exactly, with two saves for each decade of time."""
    ts = np.concatenate([[0.0], np.logspace(-3, 1 if m == 2 else 12, 12 if m == 2 else 31)])
    w, flow = power_flow(m, ts)
    found = path_length(flow, limit=0.0)
    assert found.length == pytest.approx(1 - w[-1], rel=1e-12)
    assert found.remaining[0] == pytest.approx(found.length, rel=1e-12)
    assert found.error < 1e-12
    assert np.isnan(found.bound)
    assert not found.holds


def test_two_modes_against_a_fine_trajectory():
    """`0.5 t^2 + 10 s^2`, log-spaced saves against a sum over many points."""

    def flow(ts):
        t, s = np.exp(-ts), np.exp(-20 * ts)
        losses = 0.5 * t**2 + 10 * s**2
        return Trajectory(ts, losses, np.sqrt(t**2 + 400 * s**2)), np.stack([t, s])

    _, points = flow(np.linspace(0, 30, 400001))
    fine = np.sum(np.linalg.norm(np.diff(points), axis=0))
    coarse, _ = flow(np.concatenate([[0.0], np.logspace(-4, np.log10(30), 120)]))
    found = path_length(coarse, limit=0.0)
    assert found.length == pytest.approx(fine, rel=1e-3)
    assert abs(found.length - fine) < 3 * found.error


def test_values_below_rounding_of_the_limit():
    """f* = 1: where f no longer falls, the gradient norm is followed in time."""
    ts = np.linspace(0, 25, 501)
    flow = Trajectory(ts, 1 + 0.5 * np.exp(-2 * ts), np.exp(-ts))
    for limit in (1.0, None):
        assert path_length(flow, limit=limit).length == pytest.approx(1, abs=1e-6)


def test_bound_of_a_flow_near_a_degenerate_minimum():
    """The part within the measured levels is bounded, and by little more than its length."""
    args = (jnp.array([4, 2]), jnp.array([1.0, 2.0]), jnp.asarray(0.0))
    constants = diagnostics.lojasiewicz(
        polynomials.plane, jnp.zeros(2), key=KEY, args=args, radius=0.3
    )
    start = jnp.array([0.2, 0.1])
    flow = dynamics.gradient_flow(polynomials.plane, start, args=args, t1=1e8, rtol=1e-8)
    found = path_length(flow, lojasiewicz=constants)
    assert found.holds
    assert found.length <= found.bound <= 3 * found.length
    assert np.all(found.remaining <= found.bounds)
    assert found.ratio == pytest.approx(found.bound / found.length)
    assert found.mu == pytest.approx(4, rel=0.05)
    assert found.total >= found.length
    assert found.tail == pytest.approx(found.bounds[-1])
    # A constant that is too large is not claimed.
    assert not path_length(flow, lojasiewicz=constants._replace(ball_mu=5.0)).holds
    # Neither is one measured on levels that the flow never comes to.
    outside = path_length(flow, lojasiewicz=constants._replace(top=1e-40))
    assert not outside.holds
    assert np.isnan(outside.length)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"losses": None}, "flow.losses must be floating"),
        ({"ts": np.array([0.0, 0.0])}, "flow.ts must rise"),
        ({"ts": np.array([0.0, 1.0, 2.0])}, "must have shape"),
        ({"grad_norms": np.array([1.0, np.nan])}, "flow.grad_norms must be finite"),
        ({"grad_norms": np.array([1.0, -1.0])}, "flow.grad_norms must be >= 0"),
    ],
)
def test_refused(change, message):
    """Each bad array by name."""
    good = Trajectory(np.array([0.0, 1.0]), np.array([1.0, 0.5]), np.array([1.0, 0.7]))
    with pytest.raises((TypeError, ValueError), match=message):
        path_length(good._replace(**change))


def test_refused_arguments():
    """A flow without saves, constants that are none, a limit that is not finite."""
    good = Trajectory(np.array([0.0, 1.0]), np.array([1.0, 0.5]), np.array([1.0, 0.7]))
    with pytest.raises(TypeError, match="flow must have ts, losses and grad_norms"):
        path_length((1, 2))
    with pytest.raises(TypeError, match="lojasiewicz must be a Lojasiewicz"):
        path_length(good, lojasiewicz=0.5)
    with pytest.raises(ValueError, match="limit"):
        path_length(good, limit=np.inf)


def flows(cases=range(100)):
    """Flows from half the sample radius: of 100, 60 of two-layer networks, 40 of polynomials."""
    for case in cases:
        keys = jax.random.split(jax.random.key(case), 5)
        if case < 60:
            p, slope = ((1, 1.0), (2, 1.0), (2, 0.0))[case % 3]
            activation = nsjax.PolyLeakyReLU(p, slope)
            f = NetworkLoss(activation)
            x = data.sphere(keys[0], 40, 3)
            args = (x, networks.apply(networks.init(keys[1], (3, 2, 1)), x, activation))
            start = networks.init(keys[2], (3, 2, 1))
            point = dynamics.minimize(f, start, args=args, tol=1e-12).params
        else:
            size = (2, 4, 8, 12)[case % 4]
            f, point = polynomials.mixture, jnp.zeros(size)
            args = polynomials.draw(np.random.default_rng(case), size)
        layout = jax.flatten_util.ravel_pytree(point)
        norm = float(jnp.linalg.norm(layout[0]))
        radius = 0.03 * norm if norm else 0.1
        away = jax.random.normal(keys[4], layout[0].shape)
        start = layout[1](layout[0] + 0.5 * radius * away / jnp.linalg.norm(away))
        yield case, f, point, args, radius, start, keys[3]


@pytest.mark.slow
def test_bound_on_a_hundred_flows():
    """Constants claimed for at least 80, the bound kept wherever claimed, median ratio <= 3."""
    ratios, broken, reasons = [], [], []
    for case, f, point, args, radius, start, key in flows():
        constants = diagnostics.lojasiewicz(f, point, key=key, args=args, radius=radius)
        flow = dynamics.gradient_flow(
            f,
            start,
            args=args,
            t1=1e6,
            rtol=1e-8,
            events=dynamics.Event("grad_norm", below=1e-10),
        )
        found = path_length(flow, lojasiewicz=constants)
        if not found.holds:
            reasons.append((case, constants.message))
            continue
        ratios.append(found.ratio)
        if not found.length <= found.bound:
            broken.append((case, found.length, found.bound))
    print(f"claimed {len(ratios)}, median {np.median(ratios):.3f}, not claimed: {reasons}")
    assert broken == []
    assert len(ratios) >= 80
    assert np.median(ratios) <= 3
