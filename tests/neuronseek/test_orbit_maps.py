"""Maps, exact orbits and statistics of orbits, against closed forms, mpmath and NumPy."""

import dataclasses
from fractions import Fraction

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from nsjax import neuronseek
from nsjax.neuronseek import orbits

GRID = np.linspace(0, 1, 41)
CLOSED = {
    "tent": lambda x: 1 - np.abs(2 * x - 1),
    "logistic": lambda x: 4 * x * (1 - x),
    "cubic": lambda x: 1.5 * np.sqrt(3) * (x - x**3),
    "sine": lambda x: np.sin(np.pi * x),
    "sigmoid": lambda x: np.tanh(4 * x * (1 - x)) / np.tanh(1),
    "tanh": lambda x: np.tanh(8 * x * (1 - x)) / np.tanh(2),
    "softplus": lambda x: np.log((1 + np.exp(8 * x * (1 - x))) / 2) / np.log((1 + np.exp(2)) / 2),
}


@pytest.mark.parametrize("name", CLOSED)
def test_maps_are_what_they_are_called(name):
    np.testing.assert_allclose(orbits.MAPS[name](jnp.asarray(GRID)), CLOSED[name](GRID), atol=2e-15)


def test_coefficients_do_not_depend_on_the_precision_of_jax():
    """The library is imported before a script switches float64 on."""
    for name in ("sigmoid", "gelu"):
        with jax.enable_x64(False):
            made = orbits.full((8.0, -8.0), name)
        assert made == orbits.MAPS[name]
        top = made(jnp.array([0.0, 0.5, 1.0]))
        np.testing.assert_allclose(top, [0, 1, 0], atol=1e-15)


def test_a_task_driven_layer_applied_m_times_is_the_orbit():
    """The logistic map as a flax layer with powers one and two, and a ReLU."""
    layer = neuronseek.TaskDense(1, neuronseek.LayerTerms(powers=((1, 1.0), (2, 1.0))))
    start = jnp.array([[0.3]])
    params = layer.init(jax.random.key(0), start)
    assert sorted(leaf.size for leaf in jax.tree.leaves(params)) == [1, 2]
    params = jax.tree.map(
        lambda w: jnp.array([[4.0], [-4.0]], w.dtype) if w.size == 2 else 0 * w, params
    )
    x, seen = start, [0.3]
    for _ in range(5):
        x = jax.nn.relu(layer.apply(params, x))
        seen.append(float(x[0, 0]))
    orbit = orbits.float_orbits(orbits.LOGISTIC, start[0], 5)[0]
    np.testing.assert_allclose(seen, orbit, rtol=1e-5)


def test_shape_of_maps():
    """Schwarzian derivatives in closed form: `-6 / (1 - 2x)^2`, `-pi^2 (1 + 3/2 tan^2)`."""
    logistic, sine = orbits.shape(orbits.LOGISTIC), orbits.shape(orbits.MAPS["sine"])
    assert logistic.schwarzian == pytest.approx(-6 / (1 - 1e-3) ** 2)
    # The grid point next to the peak is half a step away from it.
    expected = -(np.pi**2) * (1 + 1.5 * np.tan(np.pi * 0.5 / 1000) ** 2)
    assert sine.schwarzian == pytest.approx(expected, rel=1e-6)
    assert all(orbits.shape(T).dense for T in orbits.MAPS.values())
    sink = orbits.NeuronMap(((0.0, 0.0, 27 / 4, -27 / 4),), "relu", 2 / 3)
    assert orbits.shape(sink).monotone
    assert orbits.shape(sink).top < 1e-12
    assert not orbits.shape(sink).dense  # T'(0) = 0
    assert not orbits.shape(orbits.logistic(3.2)).dense  # not onto
    assert not orbits.shape(orbits.tent(1.3)).dense


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: orbits.full((1.0, -0.5), "relu"), "powers must sum to 0"),
        (lambda: orbits.full((-1.0, 1.0), "relu"), "one critical point"),
        (lambda: orbits.full((20.0, -20.0), "sine"), "activation must increase"),
        (lambda: orbits.full((1.0, -1.0), "step"), "activation must be one of"),
        (lambda: orbits.NeuronMap((), "relu", 0.5), "neurons must have"),
        (lambda: orbits.NeuronMap(((0.0, 1.0),), "relu", 0.5, (1.0, 2.0)), "readout must have 1"),
        (lambda: orbits.NeuronMap(((0.0, 1.0),), "relu", 1.5), "peak must lie"),
        (lambda: orbits.float_orbits(orbits.TENT, jnp.array([1.5]), 3), "starts must lie"),
        (lambda: orbits.draw_orbits(jax.random.key(0), "none", 1, 3), "name must be one of"),
        (lambda: orbits.NeuronMap((("a",),), "relu", 0.5), r"neurons\[0\] must be a number"),
        (lambda: orbits.NeuronMap(((np.nan,),), "relu", 0.5), r"neurons\[0\] must be a finite"),
        (lambda: orbits.NeuronMap(([0.0, 1.0],), "relu", 0.5), r"neurons\[0\] must be a tuple"),
        (lambda: orbits.full("ab", "relu"), "powers must be a number"),
        (lambda: orbits.shape("tent"), "map must be a NeuronMap"),
        (lambda: orbits.float_orbits(lambda x: x, [0.1], 3), "map must be a NeuronMap"),
        (lambda: orbits.transitions(orbits.logistic(4.5), 8), "map must be 0 at 0 and 1"),
        (lambda: orbits.stationary(np.ones((2, 2))), "rows that sum to 1"),
        (lambda: orbits.mixing(np.eye(2), -1), "steps must be an integer >= 0"),
        (lambda: orbits.cell_masses([], 4), "orbit must have points"),
        (lambda: orbits.cell_masses([1.5], 4), "orbit must have points"),
        (lambda: orbits.tent_fractions(0.3, 3), "start must be a Fraction"),
        (lambda: orbits.precise_orbit(orbits.TENT, 7, 3, bits=64), "start must be a number from 0"),
        (lambda: orbits.start_of(np.zeros((1, 4), np.uint32)), "uint32 with 1 axes"),
        (lambda: orbits.horizon(np.ones(3), np.ones((4, 1))), "orbits of one length"),
    ],
)
def test_bad_maps_are_refused(call, said):
    with pytest.raises((TypeError, ValueError), match=said):
        call()


def test_starts_may_be_integers():
    np.testing.assert_array_equal(
        orbits.float_orbits(orbits.LOGISTIC, [0, 1], 2, inside=False), [[0, 0, 0], [1, 0, 0]]
    )


def test_windows_are_the_orbit_in_integers():
    words = orbits.random_words(jax.random.key(1), 500, count=3)
    fast = orbits.tent_orbits(words, 500)
    for each, orbit in zip(words, fast, strict=True):
        x = orbits.start_of(each)
        assert x.denominator.bit_length() > 500
        for seen in orbit:  # fractions, by the definition of the map
            assert abs(float(x) - seen) < 2**-52
            x = 1 - abs(2 * x - 1)
    np.testing.assert_allclose(
        orbits.tent_fractions(orbits.start_of(words[0]), 500), fast[0], atol=2**-52
    )


def test_logistic_orbit_beside_mpmath():
    words = orbits.random_words(jax.random.key(2), 1000)
    exact = orbits.logistic_orbits(words, 1000)[0]
    start = orbits.start_of(words[0])
    with mpmath.workprec(1200):
        x = mpmath.sin(mpmath.pi * start.numerator / start.denominator / 2) ** 2
        for seen in exact:
            assert abs(float(x) - seen) < 1e-14
            x = 4 * x * (1 - x)
    slow = orbits.as_floats(orbits.logistic_fractions(start, 1000))
    np.testing.assert_allclose(slow, exact, atol=1e-14)


@pytest.mark.parametrize("name", orbits.MAPS)
def test_precise_orbits_are_those_of_the_map(name):
    """A few steps, in which float64 loses a few digits."""
    precise = orbits.as_floats(orbits.precise_orbit(orbits.MAPS[name], 0.3, 8, bits=100))
    rounded = orbits.float_orbits(orbits.MAPS[name], jnp.array([0.3]), 8)[0]
    np.testing.assert_allclose(precise, rounded, atol=1e-12)


def test_bad_words_are_refused():
    with pytest.raises(TypeError, match="uint32 with 2 axes, got 'int64 of shape"):
        orbits.tent_orbits(np.zeros((1, 9), np.int64), 3)
    with pytest.raises(ValueError, match="more than 400 bits"):
        orbits.tent_orbits(np.zeros((1, 9), np.uint32), 400)


def test_float64_orbits_of_the_tent_map_end_at_zero():
    starts = jax.random.uniform(jax.random.key(3), (64,))
    orbit = np.asarray(orbits.float_orbits(orbits.TENT, starts, 60, inside=False))
    assert np.all(orbit[:, 55:] == 0)
    assert np.mean(orbit[:, 45] > 0) > 0.9


def test_a_bit_is_lost_a_step():
    words = orbits.random_words(jax.random.key(4), 100, count=64)
    exact = orbits.logistic_orbits(words, 100)
    rounded = np.asarray(orbits.float_orbits(orbits.LOGISTIC, jnp.asarray(exact[:, 0]), 100))
    gaps = np.median(np.log2(np.abs(rounded - exact)[:, 10:40]), axis=0)
    assert np.polyfit(np.arange(30), gaps, 1)[0] == pytest.approx(1, abs=0.05)
    horizons = [orbits.horizon(*pair) for pair in zip(rounded, exact, strict=True)]
    assert 40 <= np.median(horizons) <= 53
    assert orbits.horizon(exact[0], exact[0]) == -1


def test_lyapunov_exponents():
    """log 2 for the full logistic map; an attracting cycle's in closed form."""
    exact = orbits.draw_orbits(jax.random.key(5), "logistic", 1, 2**16)[0]
    full = orbits.lyapunov(orbits.LOGISTIC, jnp.asarray(exact))
    assert full.exponent == pytest.approx(np.log(2), rel=0.01)
    assert abs(full.exponent - np.log(2)) < 5 * full.error
    cycle = orbits.logistic(3.2)
    orbit = orbits.float_orbits(cycle, jnp.array([0.3]), 2000)[0, 1001:]
    # The multiplier of the cycle of period two is 4 + 2r - r^2.
    expected = 0.5 * np.log(abs(4 + 2 * 3.2 - 3.2**2))
    assert orbits.lyapunov(cycle, orbit).exponent == pytest.approx(expected, abs=1e-6)
    with pytest.raises(ValueError, match="orbit must have"):
        orbits.lyapunov(cycle, orbit[:5])


def test_distances_grow_by_a_bit_a_step():
    start = Fraction(int(mpmath.floor(mpmath.ldexp(mpmath.mpf("0.3141"), 53))), 2**53)
    gaps = orbits.bits_of_gaps(orbits.LOGISTIC, start, 300)
    assert gaps[0] == -332
    assert (gaps[-1] - gaps[0]) / 300 == pytest.approx(1, abs=0.02)


def test_transitions_are_shares_of_points():
    """Shares of many points of each cell, and rows that sum to one."""
    T = orbits.MAPS["cubic"]
    matrix = orbits.transitions(T, 8)
    x = (np.arange(80_000) + 0.5) / 80_000
    seen = np.histogram2d(x, np.asarray(T(jnp.asarray(x))), bins=8, range=[[0, 1]] * 2)[0] / 10_000
    np.testing.assert_allclose(matrix, seen, atol=3e-4)
    goal = orbits.stationary(matrix)
    np.testing.assert_allclose(goal @ matrix, goal, atol=1e-12)
    np.testing.assert_allclose(goal.sum(), 1)


def test_the_tent_map_mixes_dyadic_cells_in_finite_time():
    spread = orbits.mixing(orbits.transitions(orbits.TENT, 16), 6)
    np.testing.assert_allclose(spread, [15 / 16, 14 / 16, 12 / 16, 8 / 16, 0, 0, 0], atol=1e-12)
    swapped = orbits.mixing(orbits.transitions(orbits.tent(1.3), 200), 60)
    assert swapped[-1] > 0.4  # two intervals in turn


def test_densities():
    x = orbits.draw_orbits(jax.random.key(6), "logistic", 1, 2**16)
    masses = np.diff(orbits.arcsine(np.linspace(0, 1, 17)))
    np.testing.assert_allclose(orbits.cell_masses(x, 16), masses, atol=4e-3)
    cdf = orbits.empirical(x)
    np.testing.assert_allclose(cdf(GRID), orbits.arcsine(GRID), atol=5e-3)
    assert dataclasses.asdict(orbits.TENT)["readout"] == (2.0, -4.0)
