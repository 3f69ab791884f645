"""Plots of Łojasiewicz exponents over many critical points, against what Assumption 2 allows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from nsjax.plots.style import CATEGORIES, PAGE, RC, SIGNED, axes, legend_below

VERDICTS = ("within", "outside", "cannot be told")
"""What an interval of alpha says of Assumption 2."""
_MARKS = {"within": "", "outside": "×", "cannot be told": "?"}
_SHAPES = {"within": "o", "outside": "X", "cannot be told": "D"}
_REACH = 0.3
"""Distance from the bound at which the colours end."""


def plot_exponent_map(
    alphas: Any,
    bounds: Sequence[float],
    verdicts: Sequence[Sequence[str]],
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    ax: Axes | None = None,
) -> Figure:
    """A cell for every kind of data and network: the largest alpha, coloured by its distance.

    Blue is below the bound, white at it, red above. A cross marks cells whose interval lies above
    the bound, a question mark those whose interval contains it, or that have none. Cells without
    saddles are grey.

    Args:
        alphas: `(rows, columns)`, NaN for none.
        bounds: `q / (2 (q - 1))` of each column.
        verdicts: of each cell, one of `VERDICTS`, empty for none.
        rows, columns: names.
        ax: where to draw; a new figure by default.

    Raises:
        ValueError: if the shapes do not fit.
    """
    table = np.asarray(alphas, float)
    if table.shape != (len(rows), len(columns)) or len(bounds) != len(columns):
        raise ValueError(
            f"alphas must have shape {(len(rows), len(columns))} and bounds one entry a column, "
            f"got {table.shape} and {len(bounds)}"
        )
    figure, ax = axes(ax, size=(PAGE, 1.6 + 0.27 * len(rows)))
    off = np.ma.masked_invalid(table - np.asarray(bounds, float))
    colors = SIGNED.with_extremes(bad="0.9")
    image = ax.imshow(off, cmap=colors, vmin=-_REACH, vmax=_REACH, aspect="auto")
    ax.grid(False)
    for (i, j), alpha in np.ndenumerate(table):
        text = f"{alpha:.2f}" if np.isfinite(alpha) else ""
        text += _MARKS.get(verdicts[i][j], "")
        color = "white" if abs(alpha - bounds[j]) > 0.2 else "black"
        ax.text(j, i, text, ha="center", va="center", fontsize=7, color=color)
    ax.set_yticks(range(len(rows)), rows)
    pairs = zip(columns, bounds, strict=True)
    names = [f"< {bound:.3g}\n" + name.replace(" ", "\n") for name, bound in pairs]
    ax.set_xticks(range(len(columns)), names, fontsize=7)
    ax.set_xlabel("open upper end $q / (2(q-1))$ of Assumption 2, and network")
    bar = figure.colorbar(image, ax=ax, extend="both", aspect=30, pad=0.01)
    bar.set_label(r"largest $\alpha$ minus the end")
    bar.ax.tick_params(labelsize=RC["ytick.labelsize"])
    return figure


def plot_exponents(groups: Mapping[str, Mapping[str, Any]], *, ax: Axes | None = None) -> Figure:
    """Alpha of every critical point with its interval, against the bound: above the line it fails.

    Args:
        groups: name of a group to `alpha` `(m,)`, `interval` `(m, 2)`, `bound` `(m,)` and
            `verdict`, m of `VERDICTS`. Points of one bound are spread out sideways.
        ax: where to draw; a new figure by default.
    """
    alone = ax is None
    figure, ax = axes(ax, size=(5.6, 3.9))
    every = np.concatenate([np.asarray(group["bound"], float) for group in groups.values()])
    ends = np.unique(every)
    counts = dict.fromkeys(ends, 0)
    total = {end: int(np.sum(every == end)) for end in ends}
    place = {end: float(i) for i, end in enumerate(ends)}
    for color, group in zip(CATEGORIES, groups.values(), strict=False):
        zipped = zip(
            *(group[name] for name in ("alpha", "interval", "bound", "verdict")), strict=True
        )
        for alpha, (low, high), bound, verdict in zipped:
            x = place[bound] + 0.8 * ((counts[bound] + 0.5) / total[bound] - 0.5)
            counts[bound] += 1
            ax.plot([x, x], [low, high], color=color, linewidth=1)
            ax.plot(x, alpha, _SHAPES[verdict], color=color, markersize=3.5, markeredgewidth=0)
    for end in ends:
        ax.plot([place[end] - 0.45, place[end] + 0.45], [end, end], "--", color="0.2", linewidth=1)
    ax.set_xticks([place[end] for end in ends], [f"{end:.3g}" for end in ends])
    ax.grid(axis="x", visible=False)
    ax.set_xlabel("open upper end of Assumption 2, $q / (2(q-1))$ (dashed)")
    ax.set_ylabel(r"exponent $\alpha$, 90 % interval")
    handles = [
        Line2D([], [], color=color, marker="s", linestyle="none", label=name)
        for color, name in zip(CATEGORIES, groups, strict=False)
    ]
    handles += [
        Line2D([], [], color="0.3", marker=shape, linestyle="none", label=name)
        for name, shape in _SHAPES.items()
    ]
    if alone:
        legend_below(figure, handles, columns=3, fontsize=7)
    else:
        ax.legend(handles=handles, fontsize=7, frameon=False)
    return figure
