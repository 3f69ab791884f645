"""Plots of compressed layers: what is lost against what is left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nsjax.plots.style import CATEGORIES, grid, legend_below, plain_ticks

STYLES = ("--", "-", ":", "-.")


def plot_compression(
    panels: Mapping[str, tuple[float, Mapping[str, Mapping[str, tuple[Any, Any, Any, Any]]]]],
    *,
    ax: Sequence[Axes] | None = None,
) -> Figure:
    """Output error of a layer and accuracies of the network against the parameters that are left.

    A column for each kind of network; a colour for each decomposition, a style of line for each
    norm; medians, with quartiles as bands.

    Args:
        panels: title to the accuracy of the whole network and curves: name of the decomposition to
            name of the norm to shares of parameters `(m,)`, output errors `(m, S)`, accuracies
            with one layer compressed `(m, S)` and with all of them `(m, S2)`.
        ax: where to draw, three axes a column, row by row; a new figure by default.

    Raises:
        ValueError: if there are none.
    """
    if not panels:
        raise ValueError("panels must hold at least one kind of network")
    figure, places = grid(3, len(panels), panel=(3.2, 2.0), ax=ax)
    quantities = ("relative output error", "right, one layer (%)", "right, all layers (%)")
    curves = [norms for _, methods in panels.values() for norms in methods.values()]
    every = list(dict.fromkeys(norm for norms in curves for norm in norms))
    handles: dict[str, Any] = {}
    order: dict[str, int] = {}
    for column, (title, (accuracy, methods)) in enumerate(panels.items()):
        for color, (method, norms) in zip(CATEGORIES, methods.items(), strict=False):
            for norm, (shares, *tables) in norms.items():
                name, number = f"{method}, {norm}", every.index(norm)
                order[name] = number
                positions = 100 * np.asarray(shares, float)
                for row, table in enumerate(tables):
                    values = np.asarray(table, float) * (100 if row else 1)
                    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75), axis=1)
                    panel = places[row, column]
                    (handles[name],) = panel.plot(
                        positions,
                        middle,
                        STYLES[number % len(STYLES)],
                        color=color,
                        marker="o",
                        markersize=3,
                    )
                    panel.fill_between(positions, low, high, color=color, alpha=0.1, linewidth=0)
        for row, quantity in enumerate(quantities):
            panel = places[row, column]
            panel.set_xscale("log")
            plain_ticks(panel.xaxis)
            if row == 0:
                panel.set_title(title)
                panel.set_yscale("log")
            else:
                panel.axhline(100 * accuracy, color="0.5", linestyle=":", linewidth=1)
                panel.set_ylim(0, 102)
            if row == 2:
                panel.set_xlabel("parameters left of a layer (%)")
            if column == 0:
                panel.set_ylabel(quantity)
    # Legends are filled column by column: one for each norm.
    named = sorted(handles, key=lambda each: order[each])
    columns = 1 + max(order.values())
    legend_below(figure, [handles[each] for each in named], named, columns=columns)
    return figure
