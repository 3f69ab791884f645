"""Plots of saddle escapes: series against log time, and escape times against delta."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from nsjax.dynamics import time_scaling
from nsjax.plots.style import (
    CATEGORIES,
    PAGE,
    RC,
    axes,
    drawable,
    drawables,
    grid,
    legend_below,
    ordered_colors,
    power_of_ten,
)


class _Quantity(NamedTuple):
    label: str
    values: Callable[[Any], np.ndarray]
    log: bool


QUANTITIES: dict[str, _Quantity] = {
    "loss": _Quantity("loss $f$ (sum over samples)", lambda e: np.asarray(e.losses), True),
    "norm_ratio": _Quantity(r"$\|w_z\| / \delta$", lambda e: np.asarray(e.norm_ratio), True),
    "cosine": _Quantity(
        r"$1 - \cos(w_z,\ \mathrm{KKT\ point})$",
        lambda e: np.maximum(1 - np.asarray(e.cosine), 1e-16),
        True,
    ),
    "kkt_residual": _Quantity(
        "KKT residual of $w_z$", lambda e: np.maximum(np.asarray(e.kkt_residual), 1e-16), True
    ),
    "drift": _Quantity(
        r"drift $\|w_n(t) - w_n\|$", lambda e: np.maximum(np.asarray(e.drift), 1e-18), True
    ),
    "grad_norm": _Quantity(r"$\|\nabla f\|$", lambda e: np.asarray(e.grad_norms), True),
}
"""What `plot_series` can show of an escape."""


def plot_series(
    escapes: Sequence[Any], quantity: str, *, ax: Axes | None = None, legend: bool = True
) -> Figure:
    """One series of several escapes against log time, a line per delta, a dot at each escape.

    Args:
        escapes: one or several `nsjax.dynamics.Escape`, or anything with their attributes.
        quantity: a key of `QUANTITIES`.
        ax: where to draw; a new figure by default.
        legend: whether to name every delta.

    Raises:
        TypeError, ValueError: for an unknown quantity, no escapes, or what is none.
    """
    if quantity not in QUANTITIES:
        raise ValueError(f"quantity must be one of {sorted(QUANTITIES)}, got {quantity!r}")
    escapes = drawables("escapes", escapes, "delta", "ts", "escape_time")
    figure, ax = axes(ax)
    what = QUANTITIES[quantity]
    ordered = sorted(escapes, key=lambda escape: -escape.delta)
    for escape, color in zip(ordered, ordered_colors(len(ordered)), strict=True):
        times, values = np.asarray(escape.ts), what.values(escape)
        later = times > 0
        if not later.any():
            continue
        ax.plot(times[later], values[later], color=color, label=power_of_ten(escape.delta))
        if np.isfinite(escape.escape_time):
            at = int(np.argmin(np.abs(times - escape.escape_time)))
            ax.plot(times[at], values[at], "o", color=color, markersize=3.5)
    ax.set_xscale("log")
    first = [e.escape_time for e in ordered if np.isfinite(e.escape_time)]
    if first:
        ax.set_xlim(left=1e-5 * min(first))
    if what.log:
        ax.set_yscale("log")
    ax.set_xlabel("time $t$")
    ax.set_ylabel(what.label)
    if legend and ax.get_legend_handles_labels()[0]:
        ax.legend(title=r"$\delta$", ncols=2, frameon=False, fontsize=RC["legend.fontsize"])
    return figure


def plot_escape(
    escapes: Sequence[Any], *, title: str = "", ax: Sequence[Axes] | None = None
) -> Figure:
    """Loss, size, direction, KKT residual and drift of several escapes, and their times.

    Args:
        escapes: `nsjax.dynamics.Escape` results of one network at several deltas, or anything with
            their attributes.
        title: over the figure.
        ax: where to draw, six axes; a new figure by default.

    Raises:
        TypeError, ValueError: for no escapes, or what is none.
    """
    escapes = drawables("escapes", escapes, "delta", "ts", "escape_time")
    figure, panels = grid(2, 3, ax=ax)
    names = ("loss", "norm_ratio", "cosine", "kkt_residual", "drift")
    for name, panel in zip(names, panels.flat, strict=False):
        plot_series(escapes, name, ax=panel, legend=False)
    plot_escape_times({"measured": escapes}, ax=panels[1, 2])
    handles, labels = panels[0, 0].get_legend_handles_labels()
    handles.append(Line2D([], [], color="0.4", marker="o", linestyle="", markersize=3.5))
    labels.append("escape")
    legend_below(figure, handles, labels, columns=len(labels), title=r"start size $\delta$")
    if title:
        figure.suptitle(title, fontsize=10)
    return figure


def plot_escape_times(families: Mapping[str, Sequence[Any]], *, ax: Axes | None = None) -> Figure:
    r"""Escape time against delta on log axes, with the fitted slope and the predicted `-(q - 2)`.

    Args:
        families: name to escapes of one network at several deltas; results of
            `nsjax.dynamics.escape`, or anything with their attributes. The lines have the predicted
            slope and pass through the smallest delta; the fitted slope (`dynamics.time_scaling`) is
            in the legend.
        ax: where to draw; a new figure by default.

    Raises:
        TypeError: for a family that holds what is no escape.
    """
    for name, escapes in families.items():
        for i, escape in enumerate(escapes):
            drawable(f"families[{name!r}][{i}]", escape, "delta", "escape_time")
    single = len(families) == 1
    figure, panel = axes(ax, size=(3.4, 2.6) if single else (PAGE, 2.8 + 0.1 * len(families)))
    for index, (name, escapes) in enumerate(families.items()):
        color = CATEGORIES[index % len(CATEGORIES)]
        style = ("-", "--", ":", "-.")[index // len(CATEGORIES) % 4]
        marker = "osD^"[index // len(CATEGORIES) % 4]
        done = [e for e in sorted(escapes, key=lambda e: e.delta) if np.isfinite(e.escape_time)]
        if not done:
            continue
        deltas = np.array([e.delta for e in done])
        times = np.array([e.escape_time for e in done])
        slope = -(done[0].degree - 2)
        label = f"slope {time_scaling(done).exponent:.3f}, predicted {slope}"
        label = label if single else f"{name}: {label}"
        predicted = times[0] * (deltas / deltas[0]) ** slope
        panel.plot(deltas, predicted, style, color=color, label=label, linewidth=1)
        panel.plot(deltas, times, marker, color=color, markersize=3.5)
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.set_xlabel(r"start size $\delta$")
    panel.set_ylabel("escape time")
    handles, labels = panel.get_legend_handles_labels()
    if single and handles:
        panel.set_title(labels[0], fontsize=RC["axes.titlesize"])
        # A slope of zero would otherwise be drawn on an axis that magnifies the last digits.
        low, high = panel.get_ylim()
        if high < 10 * low:
            panel.set_ylim(low / 3, high * 3)
    elif handles and ax is None:
        columns = 1 if len(labels) < 7 else 2
        legend_below(figure, handles, labels, columns=columns, fontsize=7)
    return figure
