"""What plots of layers share: times, a colour per layer, a line per neuron."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from nsjax.plots.style import CATEGORIES, RC

LEGEND: dict[str, Any] = {
    "frameon": False,
    "fontsize": RC["legend.fontsize"],
    "loc": "lower left",
    "bbox_to_anchor": (0, 1),
    "borderaxespad": 0.2,
    "ncols": 4,
    "columnspacing": 1.2,
    "handlelength": 1.5,
}
"""Above the axes, where no line runs."""


def layer_color(layer: int) -> str:
    """Colour of a layer, counted from 0."""
    return CATEGORIES[layer % len(CATEGORIES)]


def tables_of(name: str, tables: Sequence[Any]) -> list[np.ndarray]:
    """One `(m, k)` array per hidden layer."""
    arrays = [np.asarray(table, float) for table in tables]
    for i, array in enumerate(arrays):
        if array.ndim != 2 or len(array) != len(arrays[0]):
            raise ValueError(
                f"{name}[{i}] must have shape (snapshots, neurons), as on a trajectory, got "
                f"{array.shape}"
            )
    return arrays


def times_of(ts: Any, count: int) -> tuple[np.ndarray, str, bool]:
    """Times, the name of their axis, and whether it is a log axis."""
    if ts is None:
        return np.arange(count, dtype=float), "snapshot", False
    times = np.asarray(ts, float)
    if times.shape != (count,):
        raise ValueError(f"ts must have shape ({count},), one time a snapshot, got {times.shape}")
    later = times[times > 0]
    log = later.size > 1 and later.max() > 100 * later.min()
    return times, "time $t$", log


def layer_lines(
    ax: Axes,
    times: np.ndarray,
    tables: Sequence[np.ndarray],
    log: bool,
    *,
    legend: bool = True,
    skip: bool = False,
) -> None:
    """A thin line for every neuron, coloured and named by its layer."""
    first = 1 if skip else 0
    for i, table in enumerate(tables):
        shown = [column for column in table.T if np.any(np.isfinite(column))]
        for column in shown:
            ax.plot(times[first:], column[first:], color=layer_color(i), linewidth=0.9, alpha=0.8)
        if shown:
            ax.plot([], [], color=layer_color(i), label=f"layer {i + 1}")
    if log:
        ax.set_xscale("log")
    if legend and ax.get_legend_handles_labels()[0]:
        ax.legend(**LEGEND)
