import itertools

import numpy as np
import pytest

from nsjax.neuronseek import stability
from nsjax.neuronseek.results import History


def test_the_best_of_four_is_the_mean_over_all_fours():
    rng = np.random.default_rng(0)
    errors, held = rng.random((2, 7))
    chosen = [
        errors[list(four)][np.argmin(held[list(four)])]
        for four in itertools.combinations(range(7), 4)
    ]
    assert stability.best_of(errors, held, 4) == pytest.approx(np.mean(chosen))
    assert stability.best_of(errors, held, 7) == errors[np.argmin(held)]
    assert stability.best_of(errors, held, 1) == pytest.approx(errors.mean())


def test_starts_that_agree_and_starts_that_do_not():
    predictions = np.array([[1.0, 2.0], [1.0, 4.0]])
    found = stability.stability([0.1, 0.3], [0.5, 0.2], ["a", "a"], predictions, variance=2.0)
    assert found.mean == pytest.approx(0.2)
    assert found.deviation == pytest.approx(np.std([0.1, 0.3], ddof=1))
    assert (found.best, found.worst, found.chosen, found.structures) == (0.1, 0.3, 0.3, 1)
    assert found.disagreement == pytest.approx((0 + 1) / 2 / 2)
    same = stability.stability([0.1] * 3, [0.5] * 3, ["a", "b", "c"], predictions[[0, 0, 0]])
    assert (same.deviation, same.disagreement, same.structures) == (pytest.approx(0), 0, 3)


@pytest.mark.parametrize(
    "bad", [([0.1], [0.1], ["a"]), ([0.1, 0.2], [0.1], ["a", "b"]), ([0.1, 0.2], [0.1, 0.2], ["a"])]
)
def test_bad_starts_are_named(bad):
    with pytest.raises(ValueError, match="two or more"):
        stability.stability(*bad)


def test_the_interval_is_wider_where_splits_differ():
    rng = np.random.default_rng(1)
    starts = rng.normal(size=(5, 200))
    low, high = stability.interval(1 + 0.1 * starts)
    assert low < 1 < high
    assert high - low < 0.1
    apart = stability.interval(1 + 0.1 * starts + np.arange(5)[:, None])
    assert apart[1] - apart[0] > 1
    # Between methods on the same splits, what the splits differ by cancels.
    shifted = 0.2 + 0.1 * rng.normal(size=(5, 200)) + np.arange(5)[:, None]
    low, high = stability.interval(shifted, 0.1 * starts + np.arange(5)[:, None])
    assert 0.18 < low < 0.2 < high < 0.22


def test_what_leads_is_the_least_so_far():
    held = np.array([3.0, 1.0, 2.0, 1.0, 0.5])
    assert stability.leaders(held).tolist() == [0, 1, 1, 3, 4]


def test_a_course_takes_what_was_last():
    work = [[1.0, 3.0], [2.0]]
    found = stability.course(work, [["a", "b"], ["b"]], [[0.4, 0.2], [0.6]], [0.0, 1.0, 2.0, 3.0])
    assert found.structures.tolist() == [0, 1, 2, 1]
    np.testing.assert_allclose(found.median, [np.nan, 0.4, 0.5, 0.4])
    expected = [np.nan, np.nan, np.std([0.4, 0.6], ddof=1), np.std([0.2, 0.6], ddof=1)]
    np.testing.assert_allclose(found.deviation, expected)


def test_steps_are_told_apart_by_kinds_not_by_names():
    nothing = np.zeros(3)
    shares = np.array([[0.0, 0.0, 0.0], [0.5, 0.1, 0.0], [0.5, 0.0, 0.1]])
    labels = ("x", "I2.1", "I2.2")
    history = History(labels, shares, nothing, nothing, nothing, ("",) * 3)
    assert stability.step_structures(history) == ("", "I2 + x", "I2 + x")


def test_the_interval_of_the_deviation_covers_it():
    """Of 200 tables of normal errors with standard deviation 2, about 95 % of the intervals do."""
    rng = np.random.default_rng(3)
    tables = 2 * rng.normal(size=(200, 5, 10)) + rng.normal(size=(200, 5, 1))
    ends = np.array([stability.interval(t, of="deviation", resamples=300) for t in tables])
    covered = np.mean((ends[:, 0] <= 2) & (ends[:, 1] >= 2))
    assert 0.85 <= covered <= 0.99
    with pytest.raises(ValueError, match="of must be 'mean' or 'deviation', got 'median'"):
        stability.interval(tables[0], of="median")
