"""How stable a method is over its random starts: one definition for all methods."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nsjax.neuronseek.results import History

if TYPE_CHECKING:
    from jaxtyping import Float, Int


class Stability(NamedTuple):
    """Several starts of one method on the same training and test samples.

    Attributes:
        mean, deviation: of the test errors, the latter with one degree of freedom less.
        median, best, worst: of the test errors.
        chosen: test error of the start that has the least held-out error, of four starts: the mean
            over all choices of four.
        structures: distinct structures.
        disagreement: variance of the predictions over starts, averaged over test points, over the
            variance of the targets. It does not ask how a formula is written.
    """

    mean: float
    deviation: float
    median: float
    best: float
    worst: float
    chosen: float
    structures: int
    disagreement: float


def stability(
    errors: Any,
    held: Any,
    structures: Sequence[Any],
    predictions: Any = None,
    variance: float = 1.0,
    *,
    of: int = 4,
) -> Stability:
    """How much S starts differ.

    Args:
        errors: test errors, `(S,)`.
        held: held-out errors, by which one start is chosen, `(S,)`.
        structures: hashable, S of them.
        predictions: on the test points, `(S, k)`, if the disagreement is wanted.
        variance: of the targets there.
        of: starts among which one is chosen.

    Raises:
        ValueError: if there are not as many of each, or fewer than two.

    >>> stability([0.1, 0.3], [0.2, 0.1], ["a", "b"]).structures
    2
    """
    errors, held = np.asarray(errors, float), np.asarray(held, float)
    if errors.ndim != 1 or len(errors) < 2 or not len(errors) == len(held) == len(structures):
        raise ValueError(
            "errors, held and structures must be of the same starts, two or more, got "
            f"{errors.shape}, {held.shape} and {len(structures)}"
        )
    if predictions is None:
        disagreement = float("nan")
    else:
        disagreement = float(np.mean(np.var(np.asarray(predictions, float), axis=0)) / variance)
    return Stability(
        float(np.mean(errors)),
        float(np.std(errors, ddof=1)),
        float(np.median(errors)),
        float(np.min(errors)),
        float(np.max(errors)),
        best_of(errors, held, min(of, len(errors))),
        len(set(structures)),
        disagreement,
    )


def best_of(errors: Float[np.ndarray, " S"], held: Float[np.ndarray, " S"], k: int) -> float:
    """Mean test error of the best by held-out error of k starts, over all choices of k out of S.

    The start of rank i (from 0, by held-out error) is the best of those chosen in
    `C(S - 1 - i, k - 1)` choices.

    Args:
        errors, held: test errors and held-out errors of S starts, `(S,)`.
        k: how many are chosen, 1 to S.

    >>> best_of(np.array([1.0, 2.0, 3.0]), np.array([0.3, 0.2, 0.1]), 3)
    3.0
    """
    ranked = np.asarray(errors, float)[np.argsort(held, kind="stable")]
    count = len(ranked)
    weights = np.array([comb(count - 1 - i, k - 1) for i in range(count)], float)
    return float(weights @ ranked / comb(count, k))


def interval(
    errors: Float[np.ndarray, "splits starts"],
    other: Float[np.ndarray, "splits starts"] | None = None,
    *,
    of: str = "mean",
    level: float = 0.95,
    resamples: int = 2000,
) -> tuple[float, float]:
    """Bootstrap interval of the mean error, or of how much higher it is than another method's.

    Splits are drawn anew, the same for both methods, and in each its starts: starts on one split
    share its samples, so they are no independent measurements.

    Args:
        errors: of one method.
        other: of another one on the same splits, whose value is subtracted.
        of: "mean", or "deviation": the standard deviation over the starts of a split, mean over
            splits.
        level: share of the resamples between the ends.
        resamples: how many.

    Raises:
        ValueError: for another name of what is wanted.
    """
    if of not in ("mean", "deviation"):
        raise ValueError(f"of must be 'mean' or 'deviation', got {of!r}")
    rng = np.random.default_rng(0)
    splits = len(errors)
    rows = rng.integers(splits, size=(resamples, splits))

    def drawn(table: Any) -> np.ndarray:
        table = np.asarray(table, float)
        starts = table.shape[1]
        columns = rng.integers(starts, size=(resamples, splits, starts))
        values = table[rows[:, :, None], columns]
        if of == "mean":
            return values.mean(axis=(1, 2))
        # Values drawn with repetitions have a variance smaller by one more factor (n - 1) / n.
        correction = np.sqrt(starts / (starts - 1))
        return correction * values.std(axis=2, ddof=1).mean(axis=1)

    found = drawn(errors) if other is None else drawn(errors) - drawn(other)
    low, high = np.quantile(found, ((1 - level) / 2, (1 + level) / 2))
    return float(low), float(high)


def leaders(held: Float[np.ndarray, " m"]) -> Int[np.ndarray, " m"]:
    """For every step the one up to it with the least held-out error, the later one of equals.

    >>> leaders(np.array([0.5, 0.2, 0.3, 0.2])).tolist()
    [0, 1, 1, 3]
    """
    places = np.arange(len(held))
    return np.maximum.accumulate(np.where(held <= np.minimum.accumulate(held), places, 0))


class Course(NamedTuple):
    """Stability along the work done.

    Attributes:
        work: g amounts of it, such as CPU-seconds.
        structures: distinct structures among the starts that had one by then, `(g,)`.
        deviation: standard deviation of their test errors, `(g,)`; NaN for fewer than two.
        median: of their test errors, `(g,)`; NaN for none.
    """

    work: np.ndarray
    structures: np.ndarray
    deviation: np.ndarray
    median: np.ndarray


def course(
    work: Sequence[Any], structures: Sequence[Sequence[Any]], errors: Sequence[Any], grid: Any
) -> Course:
    """How much S starts differ when so much work was done: what each had last, on a grid.

    Args:
        work: of each start, ascending, after every step.
        structures: of each start, hashable, as many as there is work.
        errors: test errors of each start, as many.
        grid: amounts of work, `(g,)`.

    >>> steps, names, errors = [[1.0, 2.0], [1.0]], [["a", "b"], ["a"]], [[0.2, 0.1], [0.3]]
    >>> found = course(steps, names, errors, [0.5, 1.0, 9.0])
    >>> found.structures.tolist(), found.median.tolist()
    ([0, 1, 2], [nan, 0.25, 0.2])
    """
    grid = np.asarray(grid, float)
    distinct = np.zeros(len(grid), int)
    deviation, median = np.full((2, len(grid)), np.nan)
    for g, amount in enumerate(grid):
        places = [int(np.searchsorted(np.asarray(each), amount, side="right")) - 1 for each in work]
        begun = [i for i, place in enumerate(places) if place >= 0]
        distinct[g] = len({structures[i][places[i]] for i in begun})
        now = np.array([errors[i][places[i]] for i in begun], float)
        if len(now):
            median[g] = np.median(now)
        if len(now) > 1:
            deviation[g] = np.std(now, ddof=1)
    return Course(grid, distinct, deviation, median)


def step_structures(history: History) -> tuple[str, ...]:
    """What kinds of terms a neuron had after each step, how many of each.

    >>> history = History(("x", "I2.1", "I2.2"), np.array([[0.5, 0.0, 0.1], [0.5, 0.1, 0.1]]),
    ...                   np.zeros(2), np.zeros(2), np.zeros(2), ("", ""))
    >>> step_structures(history)
    ('I2 + x', '2 I2 + x')
    """
    kinds = [label.rsplit(".", 1)[0] for label in history.labels]
    found = []
    for row in history.shares:
        counts: dict[str, int] = {}
        for kind, share in zip(kinds, row, strict=True):
            if share > 0:
                counts[kind] = counts.get(kind, 0) + 1
        parts = [kind if n == 1 else f"{n} {kind}" for kind, n in sorted(counts.items())]
        found.append(" + ".join(parts))
    return tuple(found)
