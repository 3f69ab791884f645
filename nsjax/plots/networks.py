"""Plots of the training of networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nsjax.plots.style import CATEGORIES, COLUMN, RC, axes, narrow_ticks


def plot_learning_curves(
    curves: Mapping[str, Any],
    *,
    quantity: str = "held-out loss",
    log: bool = True,
    ax: Axes | None = None,
) -> Figure:
    """Medians over networks against epochs, with bands from the lower to the upper quartile.

    Args:
        curves: name to losses `(L, E)`; NaN after the end of a network, which keeps its last value.
        quantity: label of the axis.
        log: whether that axis is logarithmic.
        ax: where to draw; a new figure if not given.

    Raises:
        ValueError: if there are none, or more than there are colours.
    """
    if not 0 < len(curves) <= len(CATEGORIES):
        raise ValueError(f"curves must hold 1 to {len(CATEGORIES)} entries, got {len(curves)}")
    figure, panel = axes(ax, size=(COLUMN, 2.8))
    for (name, table), color in zip(curves.items(), CATEGORIES, strict=False):
        table = _carried(np.atleast_2d(np.asarray(table, float)))
        low, middle, high = np.nanquantile(table, (0.25, 0.5, 0.75), axis=0)
        epochs = np.arange(1, len(middle) + 1)
        panel.fill_between(epochs, low, high, color=color, alpha=0.2, linewidth=0)
        panel.plot(epochs, middle, color=color, label=name)
    panel.set(xscale="log", yscale="log" if log else "linear", xlabel="epoch", ylabel=quantity)
    narrow_ticks(panel.xaxis)
    narrow_ticks(panel.yaxis)
    panel.legend(frameon=False, fontsize=RC["legend.fontsize"])
    return figure


def _carried(table: np.ndarray) -> np.ndarray:
    places = np.where(np.isfinite(table), np.arange(table.shape[1]), 0)
    return np.take_along_axis(table, np.maximum.accumulate(places, axis=1), axis=1)
