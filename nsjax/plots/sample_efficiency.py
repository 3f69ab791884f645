"""Plots of errors over seeds: against the number of samples, or against a setting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nsjax.plots.style import CATEGORIES, RC, axes, grid, legend_below, narrow_ticks, plain_ticks

_ERROR = "test error (MSE / variance)"
SMALL = ", small init"
"""A curve whose name is that of another one and this has its colour, dashed."""


def plot_error_bands(
    curves: Mapping[str, tuple[Sequence[float], Any]],
    *,
    label: str = "samples $n$",
    threshold: float | None = None,
    names: Sequence[str] | None = None,
    quantity: str = _ERROR,
    linear_below: float | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Median error on log axes, with the quartiles over seeds as a band and every seed as a dot.

    Args:
        curves: name to `(values, errors)`: positions `(m,)` and errors `(m, S)` of S seeds, NaN
            where there are less.
        label: of the horizontal axis.
        threshold: error below which a run counts as a success, drawn as a line.
        names: all names that a figure shows, which fix the colours; those of `curves` by default.
        quantity: label of the vertical axis.
        linear_below: error below which that axis is linear, so that it shows zero.
        ax: where to draw; a new figure with a legend by default.

    Raises:
        ValueError: if positions and errors do not fit.
    """
    figure, panel = axes(ax, size=(4.6, 3.2))
    looks = _looks(list(curves) if names is None else names)
    for name, (values, errors) in curves.items():
        positions, errors = np.asarray(values, float), np.asarray(errors, float)
        if errors.ndim != 2 or positions.shape != errors.shape[:1]:
            raise ValueError(
                f"curves[{name!r}] must be positions (m,) and errors (m, S), got shapes "
                f"{positions.shape} and {errors.shape}"
            )
        kept = np.isfinite(errors).any(axis=1)
        if not kept.any():
            continue
        positions, errors = positions[kept], errors[kept]
        low, middle, high = np.nanquantile(errors, (0.25, 0.5, 0.75), axis=1)
        color, style, marker = looks[name]
        panel.plot(positions, middle, style, color=color, marker=marker, markersize=3, label=name)
        panel.fill_between(positions, low, high, color=color, alpha=0.13, linewidth=0)
        dots = np.broadcast_to(positions[:, None], errors.shape)
        panel.plot(dots.ravel(), errors.ravel(), ".", color=color, markersize=1.5, alpha=0.5)
    if threshold is not None:
        panel.axhline(threshold, color="0.5", linestyle=":", linewidth=1)
    panel.set_xscale("log")
    if linear_below is None:
        panel.set_yscale("log")
    else:
        panel.set_yscale("symlog", linthresh=linear_below)
        panel.set_ylim(bottom=-0.1 * linear_below)
    plain_ticks(panel.xaxis)
    narrow_ticks(panel.yaxis)
    panel.set_xlabel(label)
    panel.set_ylabel(quantity)
    if ax is None and panel.get_legend_handles_labels()[0]:
        panel.legend(frameon=False, fontsize=RC["legend.fontsize"])
    return figure


def plot_sample_efficiency(
    panels: Mapping[str, Mapping[str, tuple[Sequence[float], Any]]],
    *,
    label: str | Mapping[str, str] = "samples $n$",
    threshold: float | None = 1e-3,
    quantity: str = _ERROR,
    linear_below: float | None = None,
    columns: int = 3,
    title: str = "",
    ax: Sequence[Axes] | None = None,
) -> Figure:
    """Errors of several methods, one panel for each task, with one legend.

    Args:
        panels: title to the curves of `plot_error_bands`.
        label: of the horizontal axes, or one for each panel.
        threshold: error below which a run counts as a success.
        quantity, linear_below: of the vertical axes, see `plot_error_bands`.
        columns: panels side by side.
        title: over the figure.
        ax: where to draw, axes for full rows of panels; a new figure by default.
    """
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    names = list(dict.fromkeys(name for curves in panels.values() for name in curves))
    legend_columns = min(len(names), 4)
    lines = -(-len(names) // legend_columns)
    wide = max(2.9, 6.4 / columns)
    figure, places = grid(rows, columns, panel=(wide, 2.5 + 0.2 * (lines + 1) / rows), ax=ax)
    for place in places.flat[len(panels) :]:
        place.set_visible(False)
    handles: dict[str, Any] = {}
    for i, (place, (heading, curves)) in enumerate(zip(places.flat, panels.items(), strict=False)):
        below = label if isinstance(label, str) else label[heading]
        plot_error_bands(
            curves,
            label=below,
            threshold=threshold,
            names=names,
            quantity=quantity,
            linear_below=linear_below,
            ax=place,
        )
        place.set_title(heading, fontsize=RC["axes.titlesize"])
        if i % columns:
            place.set_ylabel("")
        drawn, said = place.get_legend_handles_labels()
        handles |= dict(zip(said, drawn, strict=True))
    shown = [name for name in names if name in handles]
    legend_below(figure, [handles[name] for name in shown], shown, columns=legend_columns)
    if title:
        figure.suptitle(title, fontsize=10)
    return figure


def _looks(names: Sequence[str]) -> dict[str, tuple[str, str, str]]:
    """Colour, line style and marker of every name."""
    looks: dict[str, tuple[str, str, str]] = {}
    plain = [
        name
        for name in names
        if name.removesuffix(SMALL) == name or name[: -len(SMALL)] not in names
    ]
    for i, name in enumerate(plain):
        style = ("-", "-.", ":")[i // len(CATEGORIES) % 3]
        looks[name] = (CATEGORIES[i % len(CATEGORIES)], style, "osD^v"[i % 5])
    for name in names:
        if name not in looks:
            color, _, marker = looks[name.removesuffix(SMALL)]
            looks[name] = (color, "--", marker)
    return looks
