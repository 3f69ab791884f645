"""KKT points side by side: levels against hand-made searches, matches, lines with births."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsjax import PolyLeakyReLU, data, kkt

CUBE = PolyLeakyReLU(3, 0.0)


def made(angles, values, shares=None):
    """A search that found neurons in the plane at these angles (degrees)."""
    m = len(angles)
    turn = np.deg2rad(np.asarray(angles, float))
    incoming = 0.8 * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    shares = np.full(m, 1 / m) if shares is None else np.asarray(shares)
    return kkt.KKTPoints(
        points=(incoming, np.ones((m, 1))),
        values=np.asarray(values, float),
        residuals=np.full(m, 1e-9),
        multipliers=np.asarray(values, float),
        signs=np.sign(values).astype(int),
        counts=np.ones(m, int),
        is_maximum=np.ones(m, bool),
        steps=1,
        result=0,
        shares=shares,
        kinked=np.zeros(m, bool),
    )


def test_levels_join_equal_values_of_all_searches():
    """Two searches; the second misses the lowest value and finds the highest twice."""
    one = made([0, 40, 90], [3.0, 2.0, 1.0], [0.5, 0.3, 0.2])
    two = made([0, 10, 40], [3.0, 3.0 - 1e-9, 2.0], [0.25, 0.35, 0.4])
    two = two._replace(kinked=np.array([False, True, False]), residuals=np.array([0, 1e-3, 0]))
    levels = kkt.levels([one, two])
    assert levels.values.tolist() == [3.0, 2.0, 1.0]
    assert levels.signs.tolist() == [1, 1, 1]
    np.testing.assert_allclose(levels.shares, [[0.5, 0.3, 0.2], [0.6, 0.4, 0.0]])
    assert levels.sizes.tolist() == [2, 1, 1]
    assert levels.kinked.tolist() == [True, False, False]
    assert levels.residuals.tolist() == [1e-3, 1e-9, 1e-9]
    assert levels.labels.tolist() == [0, 1, 2, 0, 0, 1]


def test_levels_of_dead_searches():
    """All dead points are one level, whatever rounding left of their values."""
    dead = made([0, 10], [3e-16, 1e-16])._replace(signs=np.zeros(2, int))
    levels = kkt.levels([dead])
    assert levels.values.tolist() == [0.0]
    assert levels.signs.tolist() == [0]
    assert levels.shares.tolist() == [[1.0]]


def test_highest_levels_of_a_quadratic_are_its_extreme_eigenvalues():
    """One x^2 neuron climbs to the largest or the smallest eigenvalue of `sum y x x^T`."""
    x = data.gaussian(jax.random.key(0), 60, 5)
    y = x[:, :1] ** 2 - x[:, 1:2] ** 2
    zero = (jnp.zeros((1, 5)), jnp.zeros((1, 1)))
    found = [
        kkt.search_neuron(jax.random.key(seed), zero, 1, x, y, PolyLeakyReLU(2), starts=32)
        for seed in range(2)
    ]
    levels = kkt.levels(found)
    eigenvalues = np.linalg.eigvalsh(np.asarray((x * y).T @ x))
    wanted = sorted([eigenvalues[-1], -eigenvalues[0]], reverse=True)
    tops = levels.values[levels.is_maximum]
    np.testing.assert_allclose(tops, 2 / 27**0.5 * np.asarray(wanted), rtol=1e-9)
    np.testing.assert_allclose(levels.shares.sum(axis=1), 1)


@pytest.mark.parametrize("slope", [1.0, -1.0, 0.0, 0.5, -2.0])
def test_mirrored_neurons_are_the_same_where_the_activation_is_even_or_odd(slope):
    """The sign of a cosine counts unless |s(-t)| = |s(t)|; zero weights have cosine zero."""
    first = jnp.array([[2.0, 0.0], [0.0, 0.0]])
    second = jnp.array([[-1.0, 0.0], [3.0, 4.0]])
    found = kkt.neuron_cosines(first, second, PolyLeakyReLU(3, slope))
    sign = 1 if abs(slope) == 1 else -1
    np.testing.assert_allclose(found, [[sign, 0.6], [0, 0]], atol=1e-15)


@given(st.integers(0, 5), st.integers(0, 5), st.integers(0, 1000))
def test_match_pairs_one_to_one_and_closest_first(rows, columns, seed):
    """No pair below the limit, none twice, and none left that both sides could still take."""
    cosines = np.random.default_rng(seed).uniform(-1, 1, (rows, columns))
    pairs = kkt.match(cosines, least=0.2)
    kept = pairs[pairs >= 0]
    assert len(pairs) == rows
    assert len(set(kept)) == len(kept)
    assert all(cosines[row, column] >= 0.2 for row, column in enumerate(pairs) if column >= 0)
    free_rows, free_columns = pairs < 0, ~np.isin(np.arange(columns), kept)
    assert np.max(cosines[np.ix_(free_rows, free_columns)], initial=-1) < 0.2
    if rows and columns and cosines.max() >= 0.2:
        row, column = np.unravel_index(cosines.argmax(), cosines.shape)
        assert pairs[row] == column


def test_lines_are_followed_through_turns_gaps_births_and_deaths():
    """One point turns, one is missed once, one dies, one is born."""
    searches = [
        made([0, 90, 200], [5.0, 4.0, 3.0]),
        made([85, 15], [4.5, 4.0]),
        made([82, 30, 150, 201], [4.6, 3.0, 2.0, 1.0]),
        made([80, 40, 145], [4.7, 2.5, 2.2]),
    ]
    track = kkt.track(searches, CUBE, least=np.cos(np.deg2rad(20)))
    nan = np.nan
    np.testing.assert_array_equal(
        track.values,
        [
            [5.0, 4.0, 3.0, nan],
            [4.0, 4.5, nan, nan],
            [3.0, 4.6, 1.0, 2.0],
            [2.5, 4.7, nan, 2.2],
        ],
    )
    assert track.which.tolist() == [[0, 1, 2, -1], [1, 0, -1, -1], [1, 0, 3, 2], [1, 0, -1, 2]]
    assert (track.births, track.deaths) == (1, 1)
    np.testing.assert_array_equal(np.isnan(track.shares), np.isnan(track.values))
    np.testing.assert_array_equal(track.is_maximum, np.isfinite(track.values))
    np.testing.assert_array_equal(track.signs, np.isfinite(track.values))


def test_a_line_of_the_snapshot_before_goes_first():
    """A line that was missed for a while does not take the point of one that is there."""
    searches = [
        made([0, 12], [2.0, 1.0]),
        made([12], [1.0]),  # the point at 0 is missed
        made([5], [1.5]),  # closer to the missed one
    ]
    track = kkt.track(searches, CUBE, least=0.9)
    assert track.which.tolist() == [[0, 1], [-1, 0], [-1, 0]]


@pytest.mark.parametrize("function", [kkt.levels, lambda found: kkt.track(found, CUBE)])
def test_no_search_is_refused(function):
    """There has to be one."""
    with pytest.raises(ValueError, match="found must hold at least one search, got none"):
        function([])


def test_bad_tables_are_refused():
    """Cosines are a matrix, incoming weights have one width, a tolerance is positive."""
    with pytest.raises(ValueError, match=r"cosines must be a matrix of rank 2, got shape \(3,\)"):
        kkt.match(np.zeros(3))
    with pytest.raises(ValueError, match="second must have 2 columns"):
        kkt.neuron_cosines(np.ones((1, 2)), np.ones((1, 3)), CUBE)
    with pytest.raises(ValueError, match="tol must be a positive finite number"):
        kkt.levels([made([0], [1.0])], tol=0)
