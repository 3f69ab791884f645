"""Plots of Łojasiewicz constants from critical point to critical point, and along trajectories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from nsjax.plots.style import CATEGORIES, axes, grid, legend_below, ordered_colors

MOST_TICKS = 12
"""Numbers of neurons up to which each has a tick of its own."""


def plot_pointwise(
    results: Mapping[str, Any],
    *,
    mus: Mapping[str, float] | None = None,
    ax: Axes | None = None,
) -> Figure:
    """`||grad f|| / (f - f*)^alpha` against `f - f*`, log axes, time from left to right.

    Args:
        results: names to `nsjax.diagnostics.Pointwise`, in order.
        mus: the constant of the critical point that each goes to, by the same names: a dashed
            line each. Names may be missing.
        ax: where to draw; a new figure by default.
    """
    alone = ax is None
    figure, ax = axes(ax, size=(5.6, 3.6))
    colors = ordered_colors(len(results))
    for (name, result), color in zip(results.items(), colors, strict=True):
        ax.plot(result.values, result.ratios, color=color, linewidth=1.1, label=name)
        mu = np.nan if mus is None else mus.get(name, np.nan)
        if np.isfinite(mu):
            ends = [np.min(result.values), np.max(result.values)]
            ax.plot(ends, [mu, mu], "--", color=color, linewidth=0.8)
    if mus:
        ax.plot([], [], "--", color="0.3", linewidth=0.8, label=r"$\mu$ of its end")
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.invert_xaxis()
    ax.set_xlabel(r"$f - f^*$ (falls as time goes on)")
    exponent = next(iter(results.values())).alpha if results else 0.5
    ax.set_ylabel(rf"$\|\nabla f\| \,/\, (f - f^*)^{{{exponent:.3g}}}$")
    if alone:
        legend_below(figure, columns=3, fontsize=7)
    else:
        ax.legend(fontsize=7, frameon=False)
    return figure


def plot_constants(
    neurons: Sequence[float],
    *,
    alpha: Any,
    alpha_interval: Any,
    mu: Any,
    mu_interval: Any,
    hessian_mu: Any,
    largest_alpha: float,
    ax: Sequence[Axes] | None = None,
) -> Figure:
    """Alpha and mu at critical points of growing networks, with their intervals.

    Args:
        neurons: of each critical point, `(m,)`.
        alpha, mu: measured from envelopes, `(m,)`, NaN where they were not.
        alpha_interval, mu_interval: `(m, 2)`.
        hessian_mu: `sqrt(2 lambda)` of the Hessian, `(m,)`, NaN where inconclusive.
        largest_alpha: upper end of the interval of Assumption 2, a dashed line.
        ax: where to draw, two axes; a new figure by default.
    """
    figure, panels = grid(1, 2, panel=(3.2, 2.9), ax=ax)
    left, right = panels[0]
    x = np.asarray(neurons, float)
    for panel, middle, interval in ((left, alpha, alpha_interval), (right, mu, mu_interval)):
        middle, interval = np.asarray(middle, float), np.asarray(interval, float)
        bars = np.abs(interval.T - middle)
        panel.errorbar(
            x,
            middle,
            yerr=bars,
            fmt="o",
            color=CATEGORIES[0],
            markersize=4,
            capsize=3,
            linewidth=1,
            label="envelope, 90 % interval",
        )
        panel.set_xlabel("neurons")
    known = np.isfinite(np.asarray(hessian_mu, float))
    hollow: dict[str, Any] = {
        "linestyle": "none",
        "color": CATEGORIES[1],
        "markerfacecolor": "none",
        "markersize": 7,
    }
    left.plot(x[known], np.full(known.sum(), 0.5), "s", label="Hessian, Morse-Bott", **hollow)
    left.axhline(
        largest_alpha,
        color=CATEGORIES[2],
        linestyle="--",
        linewidth=1,
        label=f"limit of Assumption 2, {largest_alpha:.3g}",
    )
    left.set_ylim(0, 1)
    left.set_ylabel(r"exponent $\alpha$")
    right.plot(x, hessian_mu, "s", **hollow)
    right.set_yscale("log")
    right.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    right.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    right.yaxis.set_minor_formatter(NullFormatter())
    right.set_ylabel(r"constant $\mu$")
    for panel in (left, right):
        _counts(panel, np.unique(x[known | np.isfinite(np.asarray(mu, float))]))
    handles, labels = left.get_legend_handles_labels()
    legend_below(figure, handles, labels, columns=3, fontsize=7)
    return figure


def plot_length_bounds(
    neurons: Sequence[float],
    curves: Mapping[str, tuple[Any, Any]],
    *,
    quantity: str = "length",
    ax: Axes | None = None,
) -> Figure:
    """Measured lengths, filled, and their bounds, hollow, of the flows of growing networks.

    Args:
        neurons: of each flow, `(m,)`.
        curves: what part of the flow it is, to lengths and bounds, `(m,)` each; NaN for none.
        quantity: label of the vertical axis.
        ax: where to draw; a new figure by default.
    """
    figure, ax = axes(ax, size=(4.6, 3.6))
    x = np.asarray(neurons, float)
    places, counts = np.unique(x, return_counts=True)
    gap = float(np.min(np.diff(places), initial=2.0))
    # Flows with as many neurons stand side by side, the parts of a flow in a row of their own.
    rank = np.array([np.sum(x[:i] == x[i]) for i in range(len(x))])
    spread = rank - (counts[np.searchsorted(places, x)] - 1) / 2
    width = 0.7 * gap / max(1, len(curves))
    for index, (name, (lengths, bounds)) in enumerate(curves.items()):
        color = CATEGORIES[index % len(CATEGORIES)]
        lengths, bounds = np.asarray(lengths, float), np.asarray(bounds, float)
        at = x + width * (index - (len(curves) - 1) / 2 + 0.6 * spread / np.max(counts, initial=1))
        if not np.isfinite(lengths).any():
            continue
        look: dict[str, Any] = {"linestyle": "none", "color": color, "markersize": 3.5}
        ax.vlines(at, lengths, bounds, color=color, linewidth=0.6, alpha=0.5)
        ax.plot(at, lengths, "o", label=name, **look)
        ax.plot(at, bounds, "v", markerfacecolor="none", **look)
    for marker, fill, label in (("o", "0.4", "measured"), ("v", "none", "bound")):
        ax.plot([], [], marker, color="0.4", markerfacecolor=fill, markersize=3.5, label=label)
    ax.set_yscale("log")
    _counts(ax, places)
    ax.set_xlabel("neurons")
    ax.set_ylabel(quantity)
    legend_below(figure, columns=2, fontsize=7)
    return figure


def _counts(ax: Axes, places: np.ndarray) -> None:
    """Ticks at the numbers of neurons there are, if they are few."""
    if len(places) <= MOST_TICKS:
        ax.set_xticks(places)
        ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    else:
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
