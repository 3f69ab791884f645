"""Departures: rates by finite differences, the law by SciPy, classes by hand."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

import nsjax
from nsjax import diagnostics

ACTIVATION = nsjax.PolyLeakyReLU(2, 1.0)
EMPTY = np.zeros(3, bool)


def network(sizes):
    """Three x^2 neurons: the first two along one direction, the third across; `(W_1, W_2)`."""
    directions = np.array([[0.8, 0.6], [0.8, 0.6], [-0.6, 0.8]])
    incoming = np.sqrt(2 / 3) * directions * np.asarray(sizes)[:, None]
    return incoming, np.asarray(sizes)[None, :] / np.sqrt(3)


@pytest.fixture
def trajectory():
    """Left at save 1, landed at save 2, ended at save 3: neuron 0 wins, neuron 1 doubles."""
    sizes = [(1e-3, 1e-4, 1e-4), (0.1, 0.02, 1e-3), (1.0, 0.04, 2e-3), (1.0, 0.01, 2e-3)]
    states = [network(each) for each in sizes]
    flow = SimpleNamespace(
        ts=np.array([0.0, 5.0, 6.0, 9.0]),
        losses=np.array([1.0, 0.99, 0.1, 0.1]),
        snapshots=tuple(np.stack(column) for column in zip(*states, strict=True)),
    )
    visits = [
        SimpleNamespace(start=0.0, duration=5.0, loss=1.0, degree=3, active=(EMPTY,)),
        SimpleNamespace(
            start=5.0, duration=np.inf, loss=0.1, degree=3, active=(np.array([True, False, False]),)
        ),
    ]
    x = jax.random.normal(jax.random.key(0), (20, 2))
    y = 2 * (x @ jnp.array([[0.8], [0.6]])) ** 2 + 0.3 * x[:, :1] * x[:, 1:]
    return flow, visits, x, y


def test_rates_are_those_of_a_short_step_of_descent(trajectory):
    """`d log rho / dt` at departure, by a step along minus the gradient of a plain loss."""
    flow, visits, x, y = trajectory
    found = diagnostics.departures(flow, visits, x, y, ACTIVATION)
    weights = [np.asarray(w[1]) for w in flow.snapshots]
    data, targets = np.asarray(x), np.asarray(y)
    step, rates = 1e-7, np.zeros(3)
    residual = targets - (data @ weights[0].T) ** 2 @ weights[1].T
    for j in range(3):
        pre = data @ weights[0][j]
        out = weights[1][0, j] + step * float(residual[:, 0] @ pre**2)
        into = weights[0][j] + step * 2 * weights[1][0, j] * (residual[:, 0] * pre) @ data
        before = np.sum(weights[0][j] ** 2) + weights[1][0, j] ** 2
        rates[j] = np.log((np.sum(into**2) + out**2) / before) / (2 * step)
    np.testing.assert_allclose(found.rates, [max(rates[1:]) / rates[0]], rtol=1e-4)
    np.testing.assert_allclose(found.own_rates, [rates[1] / rates[0]], rtol=1e-4)
    np.testing.assert_allclose(found.falls, [rates[0] * 1.0], rtol=1e-4)
    # Neurons of one direction: chi is the ratio of their norms to the power q - 2.
    np.testing.assert_allclose(found.own_rates, [0.2], rtol=1e-9)
    np.testing.assert_allclose(found.values, [1.0], rtol=1e-9)


def test_growth_of_the_rivals(trajectory):
    found = diagnostics.departures(*trajectory, ACTIVATION)
    assert found.expected.tolist() == [True]
    assert (found.new.tolist(), found.lost.tolist(), found.degrees.tolist()) == ([1], [0], [3])
    for name, value in {"growth": 2.0, "winners": 10.0, "ratios": 0.2, "later": 0.25}.items():
        np.testing.assert_allclose(getattr(found, name), [value], rtol=1e-12, err_msg=name)
    np.testing.assert_allclose(found.cosines, [1.0], rtol=1e-12)
    assert diagnostics.break_reasons(found, factor=1.1) == ["other grew, same point"]
    assert diagnostics.break_reasons(found, factor=2.5) == [diagnostics.KEPT]


def test_without_rivals_there_is_nothing_to_break(trajectory):
    flow, visits, x, y = trajectory
    zero = tuple(np.array(w) for w in flow.snapshots)
    zero[0][:, 1:] = 0
    zero[1][:, :, 1:] = 0
    flow.snapshots = zero
    found = diagnostics.departures(flow, visits, x, y, ACTIVATION)
    assert np.isnan(found.rates).all()
    assert np.isnan(found.growth).all()
    assert diagnostics.break_reasons(found, factor=1.1) == [diagnostics.KEPT]
    assert not diagnostics.predicted_breaks(found.rates, found.degrees, factor=1.1).any()


@pytest.mark.parametrize("q", [2, 3, 4, 7])
def test_law_of_one_direction_whatever_the_residual_does(q):
    """Two norms under `rho' = q N(t) rho^(q-1)`, N falling as the winner fits, by SciPy."""

    def field(t, rho):
        return q * (1 - (rho[0] / 1.1) ** (q + 2)) * (1 + 0.5 * np.sin(7 * t)) * rho ** (q - 1)

    start, end = np.array([0.2, 0.15]), 1.0

    def there(t, rho):
        return rho[0] - end

    there.terminal = True
    run = solve_ivp(field, (0, 1e4), start, rtol=1e-11, atol=1e-13, events=there)
    chi = (start[1] / start[0]) ** (q - 2)
    growth = run.y_events[0][0, 1] / start[1]
    np.testing.assert_allclose(
        diagnostics.rival_growth(chi, q, 0.2) if q > 2 else 5.0, growth, rtol=1e-7
    )
    if q > 2:
        assert diagnostics.critical_rate(growth, q, 0.2) == pytest.approx(chi, rel=1e-7)


@pytest.mark.parametrize("q", [2, 3, 4])
def test_growth_under_a_pull_that_stays(q):
    run = solve_ivp(lambda t, r: q * 0.7 * r ** (q - 1), (0, 0.5), [0.4], rtol=1e-11, atol=1e-13)
    rate = q * 0.7 * 0.4 ** (q - 2)
    grown = diagnostics.fall_growth(rate / 3, 0.5 * 3, q)
    np.testing.assert_allclose(grown, run.y[0, -1] / 0.4, rtol=1e-8)


def test_escapes_within_the_bound_of_their_fall():
    """By hand: exp(0.5) for q = 2, 1.25 for q = 3, one that shrinks, and none without a rival."""
    growth = [1.6, 1.7, 1.25, 0.5, np.nan]
    empty = diagnostics.Departures(*[np.zeros(5)] * 13)
    found = empty._replace(
        degrees=np.array([2, 2, 3, 3, 3]),
        growth=np.array(growth),
        own_rates=np.array([0.25, 0.25, 0.1, -0.1, np.nan]),
        falls=np.full(5, 2.0),
    )
    assert diagnostics.within_fall(found).tolist() == [True, False, True, True]


@pytest.mark.parametrize("q", [3, 4])
def test_rescaled_rates_are_those_of_two_rays_from_another_delta(q):
    """Two neurons of unlike values, each on its ray; the winner leaves at norm 0.1."""
    values, sizes = np.array([1.0, 0.6]), np.array([0.5, 0.6])

    def chi(delta):
        # rho^(2-q) falls at the rate q (q-2) N.
        time = ((delta * sizes[0]) ** (2 - q) - 0.1 ** (2 - q)) / values[0]
        rival = (delta * sizes[1]) ** (2 - q) - values[1] * time
        return values[1] / values[0] / (rival * 0.1 ** (q - 2))

    found = diagnostics.rescaled_rates([chi(1e-4)], [q], 100.0)
    np.testing.assert_allclose(found, chi(1e-2), rtol=1e-7)
    assert chi(1e-2) > 10 * chi(1e-4)


def departure(**changes):
    row = {name: 0.0 for name in diagnostics.Departures._fields}
    row |= {"degrees": 3, "expected": True, "new": 1, "growth": 1.0, "cosines": 0.1} | changes
    return {name: np.array([value]) for name, value in row.items()}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, "kept"),
        ({"growth": np.nan, "cosines": np.nan}, "kept"),
        ({"growth": 1.2, "rates": 0.5}, "other grew, other point"),
        ({"growth": 1.2, "rates": 0.5, "cosines": 0.99}, "other grew, same point"),
        ({"growth": 1.2, "rates": 0.01}, "long fall"),
        ({"expected": False, "new": 2}, "two at once, other points"),
        ({"expected": False, "new": 2, "cosines": 0.99}, "two at once, same point"),
        ({"expected": False, "new": 0}, "left by active neurons"),
        ({"expected": False, "new": 0, "growth": 3.0, "rates": 0.5}, "other grew, other point"),
        ({"lost": 1}, "one lost"),
    ],
)
def test_reasons(changes, reason):
    found = diagnostics.Departures(**departure(**changes))
    assert diagnostics.break_reasons(found, factor=1.1) == [reason]


def test_bad_input_is_refused(trajectory):
    flow, visits, x, y = trajectory
    with pytest.raises(ValueError, match=r"factor must be above 1, got 0\.9"):
        diagnostics.critical_rate(0.9, 3, 0.1)
    with pytest.raises(ValueError, match="degree must be at least 2, got 1"):
        diagnostics.rival_growth(0.1, 1, 0.1)
    with pytest.raises(ValueError, match="ratio must lie between 0 and 1, got 2"):
        diagnostics.rival_growth(0.1, 3, 2.0)
    with pytest.raises(ValueError, match=r"rate must be below 1, got 1\.5"):
        diagnostics.rival_growth([0.1, 1.5], 3, 0.1)
    with pytest.raises(ValueError, match="ratio must be a positive"):
        diagnostics.rescaled_rates([0.1], [3], 0.0)
    with pytest.raises(ValueError, match="rows"):
        diagnostics.departures(flow, visits, x, y[:5], ACTIVATION)
