"""Plots of how often the structure that made the data is found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nsjax.plots.style import CATEGORIES, RC, grid, legend_below

_COLORS = (CATEGORIES[2], CATEGORIES[5], CATEGORIES[1])
_LABEL = "share of seeds"


def plot_structures(
    panels: Mapping[str, Mapping[str, Sequence[float]]],
    *,
    labels: Sequence[str] = ("exact", "all terms and more", "terms missing", "exact as pruned"),
    ax: Sequence[Axes] | None = None,
) -> Figure:
    """Shares of seeds by kind of structure: a panel for each target, a stacked bar for each method.

    Args:
        panels: title to methods, the same ones in each, from the top down; of a method the shares
            of three kinds that add up to one, and a fourth share, drawn as a line over the bar.
        labels: of the four shares.
        ax: where to draw, an axes for each panel; a new figure with a legend by default.

    Raises:
        ValueError: if there are no panels, or not four labels.
    """
    if not panels:
        raise ValueError("panels must hold at least one panel")
    if isinstance(labels, str) or len(labels) != 4:
        raise ValueError(f"labels must be four, one for each share, got {labels!r}")
    methods = list(next(iter(panels.values())))
    size = (1.15 + 1.6 / len(panels), 1.2 + 0.26 * len(methods))
    figure, places = grid(1, len(panels), panel=size, ax=ax, sharey=True)
    for place, (title, shares) in zip(places.flat, panels.items(), strict=True):
        table: Any = np.array([shares[method] for method in methods], float)
        left = np.zeros(len(methods))
        for bars, color, label in zip(table.T, _COLORS, labels, strict=False):
            place.barh(methods, bars, left=left, color=color, label=label)
            left += bars
        place.plot(table[:, 3], methods, "|", color="black", ms=9, mew=2, label=labels[3])
        place.set(xlim=(-0.04, 1.04), xticks=(0, 1))
        place.set_title(title, fontsize=RC["axes.titlesize"])
        place.grid(visible=False)
    places.flat[0].invert_yaxis()
    if ax is None:
        figure.supxlabel(_LABEL, fontsize=RC["axes.labelsize"])
        handles, texts = places.flat[0].get_legend_handles_labels()
        legend_below(figure, handles, texts, columns=4, loc="outside upper center")
    else:  # the rest of the caller's figure is left alone
        for place in places.flat:
            place.set_xlabel(_LABEL)
    return figure
