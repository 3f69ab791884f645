"""What plots of layers share: times, a colour per layer, a line per neuron."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from nsjax.plots.style import CATEGORIES, legend_above


def layer_color(layer: int) -> str:
    """Colour of a layer, counted from 0."""
    return CATEGORIES[layer % len(CATEGORIES)]


def tables_of(name: str, tables: Sequence[Any]) -> list[np.ndarray]:
    """One array per hidden layer: `(m, k)` of m snapshots, or `(k,)` of one network."""
    arrays = [np.asarray(table, float) for table in tables]
    if not arrays:
        raise ValueError(f"{name} must have one array for each hidden layer, got none")
    for i, array in enumerate(arrays):
        if array.ndim not in (1, 2) or array.shape[:-1] != arrays[0].shape[:-1]:
            raise ValueError(
                f"{name}[{i}] must have shape (snapshots, neurons), or (neurons,) of one network, "
                f"the same for every layer, got {array.shape}"
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


def neuron_dots(ax: Axes, tables: Sequence[np.ndarray], label: str) -> None:
    """A dot for every neuron of one network, layer after layer, coloured and named by its layer."""
    start = 0
    for i, values in enumerate(tables):
        kept = np.flatnonzero(np.isfinite(values))
        if kept.size:
            places = start + np.arange(kept.size)
            ax.plot(
                places,
                values[kept],
                "o",
                color=layer_color(i),
                markersize=4,
                label=f"layer {i + 1}",
            )
            start += kept.size + 1
    ax.set_xticks([])
    ax.set_xlabel(label)


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
        legend_above(ax)
