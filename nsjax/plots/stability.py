"""Plots of how stable methods are over their random starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from nsjax.plots.style import CATEGORIES, axes, grid, legend_below, plain_ticks


def plot_error_boxes(
    errors: Mapping[str, Any],
    *,
    quantity: str = "test error (MSE / variance)",
    ax: Axes | None = None,
) -> Figure:
    """Errors of all starts and splits, a box for each method, with every start as a dot.

    Args:
        errors: name of a method to its errors, `(S,)`. From the top down in this order.
        quantity: label of the axis.
        ax: where to draw; a new figure by default.

    Raises:
        ValueError: if there are none.
    """
    if not errors:
        raise ValueError("errors must hold at least one method")
    names = list(errors)
    figure, panel = axes(ax, size=(4.6, 0.7 + 0.28 * len(names)))
    values = [np.asarray(errors[name], float) for name in names]
    places = np.arange(len(names))[::-1]
    panel.boxplot(
        values,
        positions=places,
        orientation="horizontal",
        widths=0.6,
        showfliers=False,
        medianprops={"color": CATEGORIES[1]},
        boxprops={"color": "0.4"},
        whiskerprops={"color": "0.4"},
        capprops={"color": "0.4"},
    )
    rng = np.random.default_rng(0)
    for place, each in zip(places, values, strict=True):
        heights = place + rng.uniform(-0.18, 0.18, len(each))
        panel.plot(each, heights, ".", color=CATEGORIES[0], markersize=3, alpha=0.6)
    panel.set_yticks(places, names)
    panel.grid(axis="y", visible=False)
    panel.set_xscale("log")
    plain_ticks(panel.xaxis)
    panel.set_xlabel(quantity)
    return figure


def plot_courses(
    courses: Mapping[str, Sequence[Any]],
    *,
    label: str = "CPU seconds",
    ax: Sequence[Axes] | None = None,
) -> Figure:
    """Distinct structures, deviation and median of the test error against the work done.

    Args:
        courses: name of a method to one `neuronseek.stability.Course` for each split: each split
            is a faint line, the median of those that have begun a strong one.
        label: of the horizontal axis.
        ax: where to draw, three axes; a new figure by default.
    """
    figure, panels = grid(1, 3, panel=(2.6, 2.4), ax=ax)
    titles = ("distinct structures", "sd of the test error", "median test error")
    for color, (name, members) in zip(CATEGORIES, courses.items(), strict=False):
        low = max(float(member.work[0]) for member in members)
        high = max(float(member.work[-1]) for member in members)
        common = np.geomspace(low, high, 60)
        for panel, what in zip(
            panels.reshape(-1), ("structures", "deviation", "median"), strict=True
        ):
            lines = []
            for member in members:
                values = np.asarray(getattr(member, what), float)
                panel.step(member.work, values, where="post", color=color, alpha=0.25, lw=0.7)
                places = np.searchsorted(member.work, common * (1 + 1e-9), side="right") - 1
                lines.append(np.where(places >= 0, values[places], np.nan))
            stack = np.array(lines)
            if np.isfinite(stack).any():
                middle = np.median(stack, axis=0)
                panel.step(common, middle, where="post", color=color, label=name)
    for panel, title in zip(panels.reshape(-1), titles, strict=True):
        panel.set_title(title)
        panel.set_xscale("log")
        panel.set_xlabel(label)
        if title == titles[0]:
            panel.yaxis.set_major_locator(MaxNLocator(integer=True))
        else:
            panel.set_yscale("log")
            # Where all starts are still a constant, the deviation is rounding; above a few
            # variances an error says no more.
            low, high = panel.get_ylim()
            panel.set_ylim(max(low, 1e-3), min(high, 5.0))
            plain_ticks(panel.yaxis)
    handles, names = panels.reshape(-1)[0].get_legend_handles_labels()
    legend_below(figure, handles, names, columns=len(names))
    return figure
