"""Plots of many flows at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nsjax.plots.style import COLUMN, RC, axes, ordered_colors, power_of_ten


def plot_loss_bands(
    flows: Mapping[float, tuple[Any, Any]],
    *,
    title: str = "",
    quantity: str = "training loss",
    ax: Axes | None = None,
) -> Figure:
    """Losses of ensembles against log time: a faint line per member, the median strong.

    Args:
        flows: value of the setting that tells ensembles apart, such as the scale of the start, to
            `(ts, losses)`, both `(M, m)`, not finite after a member's stop.
        title: of the legend.
        quantity: label of the vertical axis.
        ax: where to draw; a new figure by default.

    Raises:
        ValueError: if there are none.
    """
    if not flows:
        raise ValueError("flows must hold at least one ensemble, got none")
    figure, panel = axes(ax, size=(COLUMN, 2.8))
    ordered = sorted(flows.items())
    for (value, (ts, losses)), color in zip(ordered, ordered_colors(len(ordered)), strict=True):
        ts, losses = np.atleast_2d(np.asarray(ts, float)), np.atleast_2d(np.asarray(losses, float))
        for times, values in zip(ts, losses, strict=True):
            shown = np.isfinite(times) & (times > 0)
            panel.plot(times[shown], values[shown], color=color, alpha=0.12, linewidth=0.6)
        # At equal numbers of saves: members of one ensemble have one horizon, as a rule.
        live = np.isfinite(ts) & (ts > 0)
        columns = np.flatnonzero(live.sum(axis=0) > len(ts) / 2)
        middle = [np.median(losses[live[:, i], i]) for i in columns]
        times = [np.median(ts[live[:, i], i]) for i in columns]
        name = f"{value:g}" if value >= 1e-3 else power_of_ten(value)
        panel.plot(times, middle, color=color, label=name)
    panel.set(xscale="log", yscale="log", xlabel="time $t$", ylabel=quantity)
    panel.legend(title=title or None, ncols=2, frameon=False, fontsize=RC["legend.fontsize"])
    return figure
