"""Plots of saddles at infinity: races of units, rates of growth, margins that climb."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nsjax.plots.style import (
    CATEGORIES,
    LEGEND,
    RC,
    axes,
    grid,
    legend_below,
    ordered_colors,
    power_of_ten,
)

_SEEN = 1e-12
"""Smallest ratio that is shown."""


def plot_races(
    panels: Mapping[str, Mapping[float, tuple[Any, Any]]], *, ax: Sequence[Axes] | None = None
) -> Figure:
    """What the tiny unit adds over what the separating ones do, against the loss, a panel a case.

    Args:
        panels: title to delta to `-log loss`, `(m,)`, and the ratio `||z||^q / ||w||^D`, `(m,)`.
        ax: where to draw, one a panel; a new figure by default.

    Raises:
        ValueError: if there is no panel.
    """
    if not panels:
        raise ValueError("panels must hold at least one case")
    figure, cells = grid(1, len(panels), panel=(2.6, 2.4), ax=ax)
    for panel, (title, courses) in zip(cells.ravel(), panels.items(), strict=True):
        ordered = sorted(courses.items(), reverse=True)
        for color, (delta, (depths, ratios)) in zip(
            ordered_colors(len(ordered)), ordered, strict=True
        ):
            seen = np.asarray(depths) > 0.5
            panel.plot(
                np.asarray(depths)[seen],
                np.asarray(ratios)[seen],
                color=color,
                label=rf"$\delta = $ {power_of_ten(delta)}",
            )
        panel.axhline(1.0, color="0.5", lw=0.8, ls="--")
        panel.set_xscale("log")
        panel.set_yscale("log")
        panel.set_ylim(_SEEN, 10.0)
        panel.set_title(title)
        panel.set_xlabel(r"$-\log$ loss  ($\approx \log t$)")
    handles, names = cells[0, 0].get_legend_handles_labels()
    if ax is None:
        legend_below(figure, handles, names, columns=len(names))
    else:
        cells[0, 0].legend(handles, names, **LEGEND)
    cells[0, 0].set_ylabel(r"tiny / separating, $\|z\|^q / \|w\|^D$")
    return figure


def plot_escape_exponents(
    groups: Mapping[str, tuple[Any, Any]], *, ax: Axes | None = None
) -> Figure:
    """Measured exponents of growth in the norm against `N* / gamma`, a colour a kind of unit.

    Args:
        groups: name to predicted and measured exponents, `(m,)` each.
        ax: where to draw; a new figure by default.
    """
    figure, ax = axes(ax)
    for color, (name, (predicted, measured)) in zip(CATEGORIES, groups.items(), strict=False):
        ax.plot(predicted, measured, "o", color=color, markersize=4, alpha=0.8, label=name)
    most = max(float(np.max(each)) for group in groups.values() for each in group)
    ax.plot([0, 1.05 * most], [0, 1.05 * most], color="0.5", lw=0.8)
    ax.axvline(1.0, color="0.5", lw=0.8, ls="--")
    ax.set_xlabel(r"$N^* / \gamma$ of the tiny unit; escape right of 1")
    ax.set_ylabel(r"$d \log \|z\| / d \log \|w\|$")
    ax.legend(fontsize=RC["legend.fontsize"])
    return figure


def plot_margins(
    courses: Mapping[float, tuple[Any, Any]], levels: Any, *, ax: Axes | None = None
) -> Figure:
    """Normalised margin against `log(-log loss) / log(1 / delta)`: a step for a saddle at infinity.

    Args:
        courses: delta to `-log loss`, `(m,)`, and the normalised margin, `(m,)`.
        levels: margins of KKT points, drawn as horizontal lines.
        ax: where to draw; a new figure by default.
    """
    figure, ax = axes(ax)
    ordered = sorted(courses.items(), reverse=True)
    for color, (delta, (depths, margins)) in zip(
        ordered_colors(len(ordered)), ordered, strict=True
    ):
        depths, margins = np.asarray(depths), np.asarray(margins)
        seen = (depths > 1.5) & (margins > 0)
        ax.plot(
            np.log(depths[seen]) / np.log(1 / delta),
            margins[seen],
            color=color,
            label=rf"$\delta = $ {power_of_ten(delta)}",
        )
    for level in np.atleast_1d(levels):
        ax.axhline(float(level), color="0.5", lw=0.8, ls="--")
    ax.set_xlim(0, 2)
    ax.set_xlabel(r"$\log(-\log\,\mathrm{loss})\ /\ \log(1/\delta)$")
    ax.set_ylabel(r"margin, $\min_i\, y_i H_i / \|w\|^2$")
    ax.legend(fontsize=RC["legend.fontsize"])
    return figure
