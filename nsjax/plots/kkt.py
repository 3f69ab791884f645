"""Plots of KKT points: values and basins, a slice, lines along training, alignment of neurons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from nsjax.plots.style import (
    CATEGORIES,
    PAGE,
    RC,
    SIGNED,
    axes,
    drawable,
    grid,
    legend_above,
    legend_below,
)

KINDS: dict[str, tuple[str, str, bool]] = {
    "maximum": ("o", CATEGORIES[0], True),
    "saddle": ("^", CATEGORIES[1], False),
    "on a kink": ("D", CATEGORIES[2], True),
    "dead": ("s", CATEGORIES[7], False),
}
"""Marker, colour and whether it is filled, for each kind of KKT point."""

AGAINST = {"rank": "rank by value", "share": "share of the starts"}
"""What `plot_kkt_points` can show values against."""


def _kinds(points: Any) -> np.ndarray:
    """The kind of every point, a key of `KINDS`."""
    smooth = np.where(np.asarray(points.is_maximum), "maximum", "saddle")
    alive = np.where(np.asarray(points.kinked), "on a kink", smooth)
    return np.where(np.asarray(points.signs) == 0, "dead", alive)


def _shares(points: Any) -> np.ndarray:
    """Shares of one search, or the mean over several."""
    return np.atleast_2d(np.asarray(points.shares)).mean(axis=0)


def _marker(kind: str, size: float) -> dict[str, Any]:
    marker, color, filled = KINDS[kind]
    return {
        "marker": marker,
        "markersize": size,
        "color": color,
        "markerfacecolor": color if filled else "white",
        "linestyle": "",
    }


def _legend(ax: Axes, handles: Sequence[Line2D]) -> None:
    """Above the axes, four entries in two rows of two."""
    legend_above(ax, handles, columns=3 if len(handles) != 4 else 2, handletextpad=0.5)


def _keys(kinds: np.ndarray) -> list[Line2D]:
    """What the legend says of the kinds that there are."""
    return [Line2D([], [], label=kind, **_marker(kind, 5)) for kind in KINDS if kind in kinds]


def _log(ax: Axes, which: str) -> None:
    """A log axis that has plain numbers where it spans less than two decades."""
    axis: Axis = getattr(ax, f"{which}axis")
    getattr(ax, f"set_{which}scale")("log")
    low, high = sorted(getattr(ax, f"get_{which}lim")())
    if high < 100 * low:
        narrow = high < 3 * low
        axis.set_major_locator(MaxNLocator(4) if narrow else LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(FuncFormatter(_number))
    axis.set_minor_formatter(NullFormatter())


def _number(value: float, _: int) -> str:
    if 1e-3 <= value < 1e4:
        return f"{value:g}"
    factor, exponent = f"{value:.2e}".split("e")
    return f"${float(factor):g}\\cdot 10^{{{int(exponent)}}}$"


def plot_kkt_points(
    points: Any, *, against: str = "rank", most: int = 20, ax: Axes | None = None
) -> Figure:
    """Values of KKT points; the marker says which kind, its area how many starts came there.

    Args:
        points: `nsjax.kkt.KKTPoints` or `nsjax.kkt.Levels`, or anything with their attributes.
        against: a key of `AGAINST`.
        most: how many to show, best first.
        ax: where to draw; a new figure by default.

    Raises:
        TypeError, ValueError: for an unknown `against`, or what holds no KKT points.
    """
    if against not in AGAINST:
        raise ValueError(f"against must be one of {sorted(AGAINST)}, got {against!r}")
    drawable("points", points, "values", "shares", "signs")
    figure, ax = axes(ax)
    values, shares, kinds = np.asarray(points.values), _shares(points), _kinds(points)
    across = shares if against == "share" else 1 + np.arange(len(values))
    for i in range(min(most, len(values))):
        ax.plot(across[i], values[i], **_marker(kinds[i], 3 + 9 * shares[i] ** 0.5), alpha=0.85)
    if against == "share":
        _log(ax, "x")
    else:
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set_xlim(0.4, max(min(most, len(values)), 2) + 0.6)
    crowded = len(values) > 1 and np.min(values[:most]) > 0.8 * np.max(values[:most])
    if np.min(values[:most]) >= 0 and not crowded:
        highest = float(np.max(values[:most])) or 1.0
        ax.set_ylim(-0.05 * highest, 1.15 * highest)
    else:
        ax.margins(y=0.2)
    ax.set_xlabel(AGAINST[against])
    ax.set_ylabel("value $N$")
    _legend(ax, _keys(kinds[:most]))
    return figure


def plot_shares(levels: Any, *, most: int = 20, ax: Axes | None = None) -> Figure:
    """Share of the starts that reached each value, a bar for the mean, a dot for every search.

    Args:
        levels: `nsjax.kkt.Levels`, or anything with its `shares`.
        most: how many levels to show, best first.
        ax: where to draw; a new figure by default.
    """
    figure, ax = axes(ax)
    shares = np.atleast_2d(np.asarray(levels.shares))[:, :most]
    ranks = 1 + np.arange(shares.shape[1])
    ax.bar(ranks, shares.mean(axis=0), width=0.7, color=CATEGORIES[5], alpha=0.6)
    spread = 0.4 * (np.arange(len(shares)) / max(len(shares) - 1, 1) - 0.5)
    for row, offset in zip(shares, spread, strict=True):
        ax.plot(ranks + offset, row, ".", color="0.2", markersize=3)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlim(0.4, max(len(ranks), 2) + 0.6)
    ax.set_ylim(bottom=0)
    ax.set_xlabel(AGAINST["rank"])
    ax.set_ylabel(AGAINST["share"])
    return figure


def plot_landscape(levels: Any, *, title: str = "", ax: Sequence[Axes] | None = None) -> Figure:
    """Values over basin shares, with one axis of ranks.

    Args:
        levels: `nsjax.kkt.Levels`, or anything with its attributes.
        title: over the figure.
        ax: where to draw, two axes; a new figure by default.
    """
    figure, panels = grid(2, 1, panel=(3.6, 2.0), ax=ax)
    plot_kkt_points(levels, ax=panels[0, 0])
    plot_shares(levels, ax=panels[1, 0])
    panels[0, 0].set_xlabel("")
    panels[0, 0].tick_params(labelbottom=False)
    panels[1, 0].set_xlim(panels[0, 0].get_xlim())
    if title:
        figure.suptitle(title, fontsize=RC["axes.titlesize"])
    return figure


def plot_circle(circle: Any, points: Any, *, ax: Axes | None = None) -> Figure:
    """The NCF of one neuron on a circle of incoming weights, with the KKT points on it.

    Args:
        circle: `nsjax.kkt.Circle`, or anything with its attributes.
        points: the `nsjax.kkt.KKTPoints` it was made from.
        ax: where to draw; a new figure by default.
    """
    figure, ax = axes(ax, size=(3.6, 2.6))
    ax.plot(np.rad2deg(np.asarray(circle.angles)), np.asarray(circle.values), color="0.4")
    values, shares, kinds = np.asarray(points.values), _shares(points), _kinds(points)
    for angle, i in zip(np.rad2deg(circle.marks), circle.which, strict=True):
        size = 3 + 9 * shares[i] ** 0.5
        at_seam = min(angle, 360 - angle) < 1e-6
        for turned in (0, 360) if at_seam else (angle,):
            ax.plot(turned, values[i], **_marker(kinds[i], size), clip_on=False, zorder=3)
    ax.set_xlim(0, 360)
    ax.set_xticks(range(0, 361, 90))
    ax.set_ylim(bottom=0)
    ax.set_xlabel("angle of the incoming weights (degrees)")
    ax.set_ylabel("value $N$")
    _legend(ax, _keys(kinds[circle.which]))
    return figure


def plot_kkt_path(
    path: Any, *, since: int | None = None, ax: Axes | None = None, title: str = ""
) -> Figure:
    """Values of the KKT points of one new neuron along training, on log axes.

    A thin line for every point that was followed from snapshot to snapshot; markers say the kind,
    their areas the share of the starts; the largest value of each snapshot is black. A new figure
    has the loss beneath.

    Args:
        path: anything with `ts` `(s,)`, `losses` `(s,)` and the attributes of `nsjax.kkt.Track`.
        since: snapshot at which a new figure starts a second column, whose time counts from there:
            after a long wait the loss falls fast.
        ax: where to draw the values alone, with one time axis; a new figure by default.
        title: over the figure.
    """
    ts = np.asarray(path.ts)
    if ax is not None:
        _plot_lines(path, ts, ts > 0, ax)
        _legend(ax, _path_keys(path))
        ax.set_xlabel("time $t$")
        return axes(ax)[0]
    spans = [(ts, ts > 0, "time $t$")]
    if since is not None and ts[-1] > ts[since]:
        spans = [
            (ts, (ts > 0) & (ts <= ts[since]), "time $t$"),
            (ts - ts[since], ts > ts[since], f"$t - t_0$, $t_0 = ${ts[since]:.3g}"),
        ]
    figure, panels = grid(2, len(spans), panel=(PAGE / len(spans), 2.0))
    panels[0, 0].get_gridspec().set_width_ratios((1, 2)[: len(spans)])
    for column, (times, shown, label) in zip(panels.T, spans, strict=True):
        above, below = column
        for panel, first in zip(column, panels[:, 0], strict=True):
            if panel is not first:
                panel.sharey(first)
                panel.tick_params(labelleft=False)
        _plot_lines(path, times, shown, above)
        above.set_ylabel("")
        below.plot(
            times[shown],
            np.asarray(path.losses)[shown],
            color="black",
            linewidth=1.4,
            marker=".",
            markersize=3,
        )
        _log(below, "x")
        _log(below, "y")
        below.set_xlim(above.get_xlim())
        above.tick_params(labelbottom=False)
        below.set_xlabel(label)
    panels[0, 0].set_ylabel("value $N$ of a new neuron")
    panels[1, 0].set_ylabel("loss $f$")
    legend_below(figure, _path_keys(path), columns=5)
    if title:
        figure.suptitle(title, fontsize=RC["axes.titlesize"])
    return figure


def _path_keys(path: Any) -> list[Line2D]:
    largest = Line2D([], [], color="black", linewidth=1.4, label="largest")
    return [largest, *_keys(_kinds(path)[np.asarray(path.signs) > 0])]


def _plot_lines(path: Any, times: np.ndarray, shown: np.ndarray, ax: Axes) -> None:
    ts, values = times[shown], np.asarray(path.values)[shown]
    values = np.where(np.asarray(path.signs)[shown] > 0, values, np.nan)
    shares, kinds = np.asarray(path.shares)[shown], _kinds(path)[shown]
    ax.plot(ts, values, color="0.65", linewidth=0.8)
    best = np.max(np.nan_to_num(values), axis=1, initial=0)
    ax.plot(ts, np.where(best > 0, best, np.nan), color="black", linewidth=1.4)
    for kind, (marker, color, filled) in KINDS.items():
        here = np.isfinite(values) & (kinds == kind)
        ax.scatter(
            np.broadcast_to(ts[:, None], values.shape)[here],
            values[here],
            s=2 + 26 * shares[here],
            marker=marker,
            facecolors=color if filled else "white",
            edgecolors=color,
            linewidths=0 if filled else 0.8,
            zorder=3,
        )
    _log(ax, "x")
    _log(ax, "y")
    # One range for both columns of a figure; without a floor, saddles would reach down to zero.
    positive = np.where(np.asarray(path.signs) > 0, np.asarray(path.values), 0)
    best = np.max(positive, axis=1, initial=0)
    if np.any(best > 0):
        floor = 0.02 * float(np.min(best[best > 0]))
        lowest = float(np.min(positive[positive > 0]))
        ax.set_ylim(max(0.8 * lowest, floor), 1.25 * float(np.max(best)))
    ax.set_ylabel("value $N$ of a new neuron")


def plot_alignment(
    stages: Mapping[str, tuple[Any, Any]],
    *,
    values: Sequence[float],
    title: str = "",
    ax: Sequence[Axes] | None = None,
) -> Figure:
    """Cosines between the neurons of a network (rows) and KKT points (columns), a map per stage.

    The neurons are in one order in every map: by the point they are closest to in the last but one,
    then by their cosine.

    Args:
        stages: name to cosines `(neurons, points)` and norms of the neurons `(neurons,)`.
        values: `(points,)`, the columns' names.
        title: over the figure.
        ax: where to draw, as many axes as stages; a new figure by default.
    """
    tables = [np.asarray(cosines, float) for cosines, _ in stages.values()]
    guide = tables[max(len(tables) - 2, 0)]
    order = np.lexsort((-guide.max(axis=1), guide.argmax(axis=1)))
    signed = min(float(table.min()) for table in tables) < 0
    rows, columns = guide.shape
    panel = (max(0.36 * columns + 0.7, 1.6), 0.17 * rows + 0.9)
    figure, panels = grid(1, len(stages), panel=panel, ax=ax)
    for (name, (_, sizes)), table, place in zip(stages.items(), tables, panels[0], strict=True):
        _heat_map(table[order], place, signed=signed)
        place.set_xticks(range(columns), [f"{value:.3g}" for value in values], rotation=60)
        place.set_yticks(range(rows), [f"{size:.1g}" for size in np.asarray(sizes)[order]])
        place.set_title(name, fontsize=RC["axes.titlesize"])
    panels[0, 0].set_ylabel("neuron, by its norm")
    figure.supxlabel("KKT point at the origin, by its value $N$", fontsize=RC["axes.labelsize"])
    bar = figure.colorbar(panels[0, -1].images[0], ax=panels)
    bar.set_label("cosine" if signed else "|cosine|", fontsize=RC["axes.labelsize"])
    bar.ax.tick_params(labelsize=RC["ytick.labelsize"])
    if title:
        figure.suptitle(title, fontsize=RC["axes.titlesize"])
    return figure


def _heat_map(table: np.ndarray, ax: Axes, *, signed: bool) -> None:
    ax.imshow(
        table, cmap=SIGNED if signed else "viridis", vmin=-1 if signed else 0, vmax=1, aspect="auto"
    )
    ax.grid(False)
    # Numbers only where they can be read: two digits take a third of an inch.
    width = ax.get_window_extent().width / ax.figure.dpi / table.shape[1]
    if width >= 0.33 and table.size <= 200:
        for (row, column), cosine in np.ndenumerate(table):
            white = abs(cosine) > 0.7 if signed else cosine < 0.7
            ax.text(
                column,
                row,
                f"{cosine:.2f}",
                ha="center",
                va="center",
                fontsize=7,
                color="white" if white else "black",
            )


def plot_dominant(paths: Mapping[str, Any], *, title: str = "", ax: Axes | None = None) -> Figure:
    """The largest value of the NCF against the loss along training, both relative to the start.

    For networks of two layers, where the NCF of a new neuron is linear in the residual and depends
    on nothing else: the dashed line, the square root of the loss, is that of a residual that
    shrinks and keeps its shape.

    Args:
        paths: name to path, as for `plot_kkt_path`.
        title: over the axes.
        ax: where to draw; a new figure by default.
    """
    figure, panel = axes(ax, size=(PAGE, 3.0 + 0.06 * len(paths)))
    lowest = 1.0
    for i, (name, path) in enumerate(paths.items()):
        style = ("-", ":", "-.", "--")[i // len(CATEGORIES) % 4]
        best = np.nanmax(np.asarray(path.values), axis=1)
        losses = np.asarray(path.losses) / path.losses[0]
        panel.plot(
            losses,
            best / best[0],
            style,
            color=CATEGORIES[i % len(CATEGORIES)],
            marker=".",
            markersize=3,
            linewidth=1,
            label=name,
        )
        lowest = min(lowest, float(np.min(losses)))
    guide = np.geomspace(lowest, 1, 50)
    panel.plot(guide, guide**0.5, "--", color="0.5", linewidth=1, label="square root of the loss")
    panel.invert_xaxis()
    _log(panel, "x")
    _log(panel, "y")
    panel.set_xlabel("loss, relative to the start")
    panel.set_ylabel("largest $N$, relative to the start")
    if title:
        panel.set_title(title, fontsize=RC["axes.titlesize"])
    if ax is None:
        legend_below(figure, columns=3, fontsize=7)
    return figure
