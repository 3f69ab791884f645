"""Plots of cost against size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nsjax.plots.style import CATEGORIES, RC, grid


def plot_scaling(
    dimensions: Sequence[int],
    series: Mapping[str, Mapping[str, Any]],
    *,
    ax: Sequence[Axes] | None = None,
) -> Figure:
    """CPU time and largest memory against the number of inputs, on log axes.

    Args:
        dimensions: `(m,)`, ascending.
        series: name of a kind of data to its `"seconds"` and `"memory"` in GB, each `(m,)`.
        ax: where to draw, two axes; a new figure by default.

    Raises:
        ValueError: if lengths do not fit.
    """
    figure, panels = grid(1, 2, panel=(2.9, 2.4), ax=ax)
    for panel, what, label in zip(
        panels.reshape(-1),
        ("seconds", "memory"),
        ("CPU seconds", "largest memory [GB]"),
        strict=True,
    ):
        for color, (name, values) in zip(CATEGORIES, series.items(), strict=False):
            table = np.asarray(values[what], float)
            if table.shape != (len(dimensions),):
                raise ValueError(
                    f"series[{name!r}][{what!r}] must have {len(dimensions)} values, got shape "
                    f"{table.shape}"
                )
            panel.plot(dimensions, table, "o-", color=color, markersize=3, label=name)
        panel.set_xscale("log")
        panel.set_yscale("log")
        panel.set_xlabel("inputs $d$")
        panel.set_ylabel(label)
    panels.reshape(-1)[0].legend(frameon=False, fontsize=RC["legend.fontsize"])
    return figure
