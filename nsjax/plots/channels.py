"""Plots of flat channels to infinity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nsjax.plots.style import CATEGORIES, RC, axes, grid


def plot_channel_courses(
    courses: Mapping[str, Sequence[tuple[Any, Any]]],
    *,
    slope: float,
    xlabel: str,
    ylabel: str,
    anchor: tuple[float, float] | None = None,
    named: bool = True,
    ax: Axes | None = None,
) -> Figure:
    """Courses on log axes, a thin line each, coloured by group, beside a line of a given slope.

    Args:
        courses: name of a group to `(x, y)` of each member, `(m,)`; what is not positive and finite
            is left out.
        slope: power of the dashed line.
        xlabel, ylabel: of the axes.
        anchor: point that the dashed line goes through; by default the middle of the last points.
        named: whether the legend names the groups, or the dashed line alone.
        ax: where to draw; a new figure by default.

    Raises:
        ValueError: if there is nothing to draw.
    """
    figure, panel = axes(ax)
    kept: list[tuple[np.ndarray, np.ndarray]] = []
    for color, (name, members) in zip(CATEGORIES, courses.items(), strict=False):
        label: str | None = name if named else None
        for x, y in members:
            x, y = np.asarray(x, float), np.asarray(y, float)
            good = np.isfinite(x) & np.isfinite(y) & (x > 0) & (y > 0)
            if not good.any():
                continue
            panel.plot(x[good], y[good], color=color, lw=0.8, alpha=0.7, label=label)
            label = None
            kept.append((x[good], y[good]))
    if not kept:
        raise ValueError("courses must hold a course with positive points, got none")
    xs = np.concatenate([x for x, _ in kept])
    ends = np.array([xs.min(), xs.max()])
    last = np.log([(x[-1], y[-1]) for x, y in kept])
    at = np.exp(np.mean(last, axis=0)) if anchor is None else anchor
    line = at[1] * (ends / at[0]) ** slope
    panel.plot(ends, line, color="0.3", ls="--", lw=1, label=f"slope {slope:g}")
    panel.set(xscale="log", yscale="log", xlabel=xlabel, ylabel=ylabel)
    panel.legend(frameon=False, fontsize=RC["legend.fontsize"])
    return figure


def plot_channel_shares(
    shares: Mapping[str, Mapping[str, tuple[float, float, float]]],
    *,
    quantity: str = "share of the flows",
    ax: Axes | None = None,
) -> Figure:
    """Shares with intervals, a group of bars for each activation.

    Args:
        shares: name of a group to name of a bar to `(share, low, high)`.
        quantity: label of the axis.
        ax: where to draw; a new figure by default.

    Raises:
        ValueError: if there are none.
    """
    if not shares or not all(shares.values()):
        raise ValueError("shares must hold at least one group, and each a bar, got none")
    figure, panel = axes(ax)
    bars = list(dict.fromkeys(name for each in shares.values() for name in each))
    width = 0.8 / len(bars)
    places = np.arange(len(shares))
    for i, (color, bar) in enumerate(zip(CATEGORIES, bars, strict=False)):
        table = np.array([each.get(bar, (np.nan,) * 3) for each in shares.values()])
        errors = np.maximum(np.stack([table[:, 0] - table[:, 1], table[:, 2] - table[:, 0]]), 0)
        panel.bar(
            places + (i - (len(bars) - 1) / 2) * width,
            table[:, 0],
            width,
            yerr=errors,
            color=color,
            error_kw={"lw": 0.8, "capsize": 1.5},
            label=bar,
        )
    panel.set_xticks(places, list(shares))
    panel.grid(axis="x", visible=False)
    panel.set(ylim=(0, 1), ylabel=quantity)
    panel.legend(frameon=False, fontsize=RC["legend.fontsize"])
    return figure


def plot_channels(
    gaps: Mapping[str, Sequence[tuple[Any, Any]]],
    times: Mapping[str, Sequence[tuple[Any, Any]]],
    falls: Mapping[str, Sequence[tuple[Any, Any]]],
    shares: Mapping[str, Mapping[str, tuple[float, float, float]]],
    *,
    ax: Sequence[Axes] | None = None,
) -> Figure:
    """Four panels: gap against growth, growth against time, loss along the channel, shares.

    Args:
        gaps: `(1/eps, ||w_1 - w_2||)` of each flow, by activation.
        times: `(t, 1/eps / (16 k)^(1/4))` of each flow.
        falls: `(eps, L(eps) - L_inf)` of each channel.
        shares: as `plot_channel_shares`.
        ax: where to draw, four axes; a new figure by default.
    """
    figure, panels = grid(2, 2, panel=(3.5, 2.7), ax=ax)
    plot_channel_courses(
        gaps,
        slope=-1,
        xlabel=r"$1/\varepsilon = |a_1 - a_2|$",
        ylabel=r"gap $\|w_1 - w_2\|$",
        ax=panels[0, 0],
    )
    plot_channel_courses(
        times,
        slope=0.25,
        xlabel="time $t$",
        ylabel=r"$\varepsilon^{-1} / (16 k)^{1/4}$",
        anchor=(1.0, 1.0),
        named=False,
        ax=panels[0, 1],
    )
    plot_channel_courses(
        falls,
        slope=2,
        xlabel=r"$\varepsilon$",
        ylabel=r"$L(\varepsilon) - L_\infty$",
        named=False,
        ax=panels[1, 0],
    )
    plot_channel_shares(shares, ax=panels[1, 1])
    return figure
