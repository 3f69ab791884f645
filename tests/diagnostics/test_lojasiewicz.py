"""Łojasiewicz constants against closed forms, coverage of the intervals, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsjax import diagnostics
from nsjax.diagnostics import Fitted
from nsjax.diagnostics.envelope import follow
from tests.diagnostics import polynomials

KEY = jax.random.key(0)


def measure_plane(powers, factors, slope=0.0, **kwargs):
    """The constants of `polynomials.plane` at 0; one compiled program for all of them."""
    args = (jnp.array(powers), jnp.array(factors), jnp.asarray(slope))
    return diagnostics.lojasiewicz(polynomials.plane, jnp.zeros(2), key=KEY, args=args, **kwargs)


def covers(interval, value):
    """Whether the value lies in the interval."""
    return interval[0] <= value <= interval[1]


@pytest.mark.parametrize(
    ("powers", "factors"), [((2, 2), (1.0, 30.0)), ((4, 2), (0.2, 5.0)), ((6, 6), (1.0, 3.0))]
)
def test_powers_of_coordinates(powers, factors):
    """alpha = 1 - 1 / m, mu = m c^(1 / m), and what the ball gave is no larger."""
    found = measure_plane(powers, factors)
    alpha, mu = polynomials.law(np.array(powers), np.array(factors))
    assert found.conclusive
    assert found.message.startswith("fitted")
    assert abs(found.alpha - alpha) < 1e-3
    assert found.mu == pytest.approx(mu, rel=0.01)
    assert covers(found.alpha_interval, alpha)
    assert covers(found.mu_interval, mu)
    assert found.ball_mu <= found.mu_interval[1]
    assert found.radius == 0.1
    assert found.side == 1
    assert found.below is None


def test_saddle_takes_the_flatter_side():
    """`t^2 - s^4`: the exponent comes from below; the other way round from above."""
    below = measure_plane((2, 4), (1.0, -2.0))
    assert below.side == -1
    assert abs(below.alpha - 0.75) < 1e-3
    assert below.mu == pytest.approx(4 * 2**0.25, rel=0.01)
    above = measure_plane((4, 2), (2.0, -1.0))
    assert above.side == 1
    assert above.mu == pytest.approx(below.mu, rel=1e-3)


def test_assumption_2():
    """Below, on and above the end of the open interval; None where nothing is known."""
    assert measure_plane((2, 2), (1.0, 2.0), degree=3).in_assumption2 is True
    assert measure_plane((4, 2), (1.0, 2.0), degree=3).in_assumption2 is None
    assert measure_plane((6, 2), (1.0, 2.0), degree=3).in_assumption2 is False
    assert measure_plane((6, 2), (1.0, 2.0)).in_assumption2 is None
    assert np.isnan(measure_plane((6, 2), (1.0, 2.0)).largest_alpha)


@pytest.mark.parametrize(
    ("powers", "factors", "slope", "result"),
    [
        ((2, 2), (0.0, 0.0), 0.0, Fitted.CONSTANT),
        ((2, 2), (1.0, 1.0), 1.0, Fitted.NOT_CRITICAL),
        ((0, 2), (1.0, 1.0), 0.0, Fitted.NO_POWER_LAW),
    ],
)
def test_inconclusive(powers, factors, slope, result):
    """A constant, a slope, a function that is flat to all orders: words, and no numbers."""
    found = measure_plane(powers, factors, slope, radius=0.5, degree=2)
    assert found.result == result
    assert found.message.startswith("inconclusive")
    assert np.isnan(found.alpha)
    assert np.isnan(found.mu)
    assert np.isnan(found.alpha_interval).all()
    assert found.in_assumption2 is None


def test_new_data_do_not_compile_again():
    """One program for one function and one shape."""
    measure_plane((2, 2), (1.0, 1.0))
    size = follow._cache_size()
    measure_plane((4, 6), (3.0, 1.0), radius=0.3)
    assert follow._cache_size() == size


def valley(w, curvature):
    """A valley of minima along `w["b"]`, curved, whose stiffness falls along it."""
    across = w["a"] - w["b"][0] ** 2
    return curvature * across**2 * (1 + w["b"][0]) + w["c"] ** 2


def test_valley_of_minima():
    """A Morse-Bott minimum: 1/2 and sqrt(2 lambda_min+), not what lies further down the valley."""
    point = {"a": jnp.array(0.0), "b": jnp.zeros(1), "c": jnp.array(0.0)}
    found = diagnostics.lojasiewicz(valley, point, key=KEY, args=(0.3,))
    assert abs(found.alpha - 0.5) < 1e-3
    assert found.mu == pytest.approx(np.sqrt(2 * 0.6), rel=0.01)
    # Within the whole radius 0.1 the valley is softer by a tenth.
    assert found.ball_mu == pytest.approx(np.sqrt(2 * 0.6 * 0.9), rel=0.02)


def test_block_and_flow_points():
    """Only the entries of the block move; the exponent is the block's."""

    def both(w):
        return w["n"][0] ** 2 + 2 * w["n"][1] ** 2 + 3 * w["z"] ** 4

    point = {"n": jnp.zeros(2), "z": jnp.array(0.5)}
    block = {"n": np.array([True, True]), "z": np.array(False)}
    late = {"n": 1e-2 * jnp.ones((3, 2)), "z": 0.5 * jnp.ones(3)}
    found = diagnostics.lojasiewicz(both, point, key=KEY, block=block, flow_points=late)
    assert abs(found.alpha - 0.5) < 1e-3
    assert found.mu == pytest.approx(2, rel=0.01)
    assert found.value == pytest.approx(3 / 16)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"f": 1.0}, "f must be callable"),
        ({"f": lambda w: w}, "f must return a scalar"),
        ({"point": jnp.array([jnp.nan])}, "point must be finite"),
        ({"block": (np.array([True]),)}, "block must have the structure of point"),
        ({"block": np.array([1])}, "must be boolean"),
        ({"block": np.array([True, True])}, "must have shape"),
        ({"block": np.array([False])}, "between 1 and 2048 entries to move, got 0"),
        ({"degree": 1.0}, "degree must be greater than 1"),
        ({"levels": 3}, "levels must be at least 8"),
        ({"radius": 0.0}, "radius must be a positive"),
        ({"flow_points": jnp.zeros(1)}, "flow_points"),
        ({"args": 1}, "args must be a tuple"),
        ({"f": lambda w: 1 / jnp.sum(w)}, "must be finite"),
    ],
)
def test_refused(change, message):
    """Each bad argument by name."""
    given = {"f": lambda w: jnp.sum(w**2), "point": jnp.zeros(1), **change}
    f, point = given.pop("f"), given.pop("point")
    with pytest.raises((TypeError, ValueError), match=message):
        diagnostics.lojasiewicz(f, point, key=KEY, **given)


def quartic_and_squares(w):
    """`t_1^4 + sum of squares`."""
    return w[0] ** 4 + jnp.sum(w[1:] ** 2)


def test_one_quartic_direction_among_twenty():
    """Random directions give 0.5; the truth is 3/4."""
    found = diagnostics.lojasiewicz(quartic_and_squares, jnp.zeros(20), key=KEY)
    assert abs(found.alpha - 0.75) < 0.02
    assert found.mu == pytest.approx(4, rel=0.1)


def test_curved_valleys():
    """Two sextic directions, a quartic one and five squares, all curved: down to the rounding."""
    args = polynomials.draw(np.random.default_rng(5007), 8)
    alpha, mu = polynomials.law(args[1], args[2])
    found = diagnostics.lojasiewicz(polynomials.mixture, jnp.zeros(8), key=KEY, args=args)
    assert sorted(args[1]) == [2, 2, 2, 2, 2, 4, 6, 6]
    assert found.conclusive
    assert abs(found.alpha - alpha) < 1e-3
    assert found.mu == pytest.approx(mu, rel=0.01)
    assert covers(found.alpha_interval, alpha)
    assert covers(found.mu_interval, mu)


@pytest.mark.slow
def test_coverage_on_random_polynomials():
    """1 to 20 dimensions, mixed degeneracy, curved coordinates; a third of them on a value of 1.

    Of 100 cases no conclusion is wrong, alpha by 0.02 or mu by a tenth, and both intervals cover in
    at least 85; an inconclusive case covers nothing.
    """
    covered = np.zeros(2, int)
    wrong, inconclusive = [], []
    for case in range(100):
        rng = np.random.default_rng(5000 + case)
        size = 1 + case % 20
        args = polynomials.draw(rng, size, offset=float(case % 3 == 2))
        found = diagnostics.lojasiewicz(
            polynomials.mixture, jnp.zeros(size), key=jax.random.key(case), args=args
        )
        alpha, mu = polynomials.law(args[1], args[2])
        covered += [covers(found.alpha_interval, alpha), covers(found.mu_interval, mu)]
        if not found.conclusive:
            inconclusive.append((case, found.message))
        elif not (abs(found.alpha - alpha) < 0.02 and abs(found.mu / mu - 1) < 0.1):
            wrong.append((case, found.alpha, alpha, found.mu, mu))
    print(f"covered of 100: alpha {covered[0]}, mu {covered[1]}")
    print(f"wrong: {wrong}; inconclusive: {inconclusive}")
    assert wrong == []
    assert covered.min() >= 85
