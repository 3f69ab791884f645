"""Rows of all benchmarks: ways timed in turn, medians, the spread of their ratio, one table.

A ratio is the time of the reference over ours: of each turn, where both ran in turn, and the median
of these. Its spread is that of the quartiles; where the two were timed apart, the lower quartile of
one over the upper of the other, and the reverse.
"""

from __future__ import annotations

import importlib.util
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import jax
import numpy as np

from nsjax.diagnostics import power_law
from nsjax.runs import print_table

COLUMNS = (
    "what",
    "size",
    "reference",
    "unit",
    "ours",
    "reference's",
    "ratio",
    "spread",
    "wanted",
    "outcome",
    "MB",
    "note",
)
Calls = Mapping[str, Callable[[], Any]]
FEWEST = 3
"""Turns that there are at least, where slow calls are repeated less often."""


@dataclass(frozen=True)
class Row:
    """One line of the table of benchmarks."""

    what: str
    """What was measured."""
    size: str
    """Of which problem."""
    reference: str | None = None
    """What ours is held against; None where a number stands for itself."""
    unit: str = "CPU ms"
    """Of both medians."""
    ours: float | None = None
    """Median."""
    theirs: float | None = None
    """Median of the reference."""
    ratio: float | None = None
    """Median of the reference over ours: how many times cheaper ours is."""
    spread: tuple[float, float] | None = None
    """Quartiles of the ratio, or of ours where there is no reference; of an exponent, its 95 %
    interval."""
    repeats: int = 1
    """How often both were measured."""
    least: float | None = None
    """Least ratio that is wanted."""
    most: float | None = None
    """The most of ours that is wanted, where there is no reference."""
    memory: float | None = None
    """The most memory that ours needs, in MB, where it was measured."""
    note: str = ""
    """How it was measured, if not as usual; or why it was skipped."""
    skipped: bool = False
    """Whether the reference is not there."""

    @property
    def outcome(self) -> str:
        """Whether what is wanted is met; nothing where nothing is."""
        if self.skipped:
            return "skipped"
        if self.least is not None and self.ratio is not None:
            return "met" if self.ratio >= self.least else "not met"
        if self.most is not None and self.ours is not None:
            return "met" if self.ours <= self.most else "not met"
        return ""


def against(
    what: str,
    size: str,
    reference: str,
    ours: Any,
    theirs: Any,
    *,
    paired: bool = True,
    scale: float = 1e3,
    **more: Any,
) -> Row:
    """A row of ours beside a reference.

    Args:
        what, size, reference: of the row.
        ours, theirs: seconds of every repeat; of as many, if they were measured in turn.
        paired: whether they were.
        scale: from seconds to the unit, milliseconds if nothing else is said.
        more: other fields of the row.

    Raises:
        ValueError: for times in turn that are not as many.
    """
    a, b = (np.atleast_1d(np.asarray(times, float)) for times in (ours, theirs))
    if paired:
        if a.shape != b.shape:
            raise ValueError(f"times in turn must be as many, got {len(a)} and {len(b)}")
        ratio = float(np.median(b / a))
        low, high = np.quantile(b / a, (0.25, 0.75))
    else:
        ratio = float(np.median(b) / np.median(a))
        low, high = np.quantile(b, (0.25, 0.75)) / np.quantile(a, (0.75, 0.25))
    return Row(
        what,
        size,
        reference,
        ours=float(np.median(a)) * scale,
        theirs=float(np.median(b)) * scale,
        ratio=ratio,
        spread=(float(low), float(high)) if min(len(a), len(b)) > 1 else None,
        repeats=min(len(a), len(b)),
        **more,
    )


def alone(what: str, size: str, values: Any, unit: str, **more: Any) -> Row:
    """A row of a number that stands for itself: the median of its values, with their quartiles."""
    found = np.atleast_1d(np.asarray(values, float))
    low, high = np.quantile(found, (0.25, 0.75))
    spread = (float(low), float(high)) if len(found) > 1 else None
    return Row(
        what,
        size,
        unit=unit,
        ours=float(np.median(found)),
        spread=spread,
        repeats=len(found),
        **more,
    )


def exponent(what: str, name: str, sizes: Sequence[float], times: Any, **more: Any) -> Row:
    """How a cost grows: the exponent of a power law through the medians, with its 95 % interval.

    What bends from a power law widens the interval, as noise does.

    Args:
        what: core that was timed.
        name: of what grows.
        sizes: `(k,)`, how large it is.
        times: seconds, `(repeats, k)`.
        more: other fields of the row.
    """
    seconds = np.asarray(times, float)
    medians = np.median(seconds, axis=0)
    law = power_law(sizes, medians)
    shown = ", ".join(f"{1e3 * s:.3g}" for s in medians)
    return Row(
        what,
        f"{name} = {', '.join(f'{size:g}' for size in sizes)}",
        unit=f"exponent of {name}",
        ours=law.exponent,
        spread=law.interval() if len(sizes) > 2 else None,
        repeats=len(seconds),
        note=f"CPU ms: {shown}",
        **more,
    )


def skipped(what: str, size: str, reference: str, why: str) -> Row:
    """A row whose reference is not there."""
    return Row(what, size, reference, note=why, skipped=True)


def absent(module: str, extra: str) -> str | None:
    """Why a reference cannot run; None where its module is installed."""
    if importlib.util.find_spec(module) is not None:
        return None
    return f"{module} is not installed: pip install 'nsjax[{extra}]'"


class Turns(NamedTuple):
    """Seconds of every call by name, `(repeats,)` each, and what each returned last."""

    seconds: dict[str, np.ndarray]
    results: dict[str, Any]


def turns(
    calls: Calls,
    repeats: int,
    *,
    clock: Callable[[], float] = time.process_time,
    patience: float = math.inf,
) -> Turns:
    """All calls in turn, so that a busy moment hits all alike; a turn before the first compiles.

    After `patience` seconds of turns there are no more than `FEWEST`.
    """
    results = {name: jax.block_until_ready(call()) for name, call in calls.items()}
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(repeats):
        if turn >= FEWEST and sum(map(sum, seconds.values())) > patience:
            break
        for name, call in calls.items():
            begun = clock()
            results[name] = jax.block_until_ready(call())
            seconds[name].append(clock() - begun)
    return Turns({name: np.array(taken) for name, taken in seconds.items()}, results)


def show(title: str, found: Iterable[Row]) -> None:
    """Prints rows; columns that say nothing are left out."""
    show_all(title, {"": list(found)})


def show_all(title: str, found: Mapping[str, Sequence[Row]]) -> None:
    """Prints the rows of several benchmarks in one table."""
    lines = [[name, *_cells(row)] for name, some in found.items() for row in some]
    names = ("benchmark", *COLUMNS)
    kept = [i for i in range(len(names)) if any(line[i] for line in lines)]
    print_table(title, [names[i] for i in kept], [[line[i] for i in kept] for line in lines])


def _cells(row: Row) -> list[Any]:
    wanted = f">= {row.least:.3g}" if row.least is not None else ""
    if row.most is not None:
        wanted = f"<= {row.most:.3g}"
    spread = "" if row.spread is None else " .. ".join(map(_number, row.spread))
    numbers = [_number(value) for value in (row.ours, row.theirs, row.ratio)]
    memory = _number(row.memory)
    reference = row.reference or ""
    head = [row.what, row.size, reference, "" if row.skipped else row.unit, *numbers]
    return [*head, spread, wanted, row.outcome, memory, row.note]


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if 100 <= abs(value) < 1e7 else f"{value:.3g}"


def to_json(found: Iterable[Row]) -> list[dict[str, Any]]:
    """Rows as plain data."""
    return [asdict(row) | {"outcome": row.outcome} for row in found]


def from_json(values: Iterable[Mapping[str, Any]]) -> list[Row]:
    """Rows of what `to_json` made."""
    kept = [{k: v for k, v in value.items() if k != "outcome"} for value in values]
    return [Row(**value | {"spread": _pair(value["spread"])}) for value in kept]


def _pair(value: Any) -> tuple[float, float] | None:
    return None if value is None else (float(value[0]), float(value[1]))
