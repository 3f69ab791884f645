"""Plots of the Łojasiewicz inequality: the envelope with its fit, and path lengths."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nsjax.plots.style import CATEGORIES, RC, axes, drawable, legend_below


def plot_lojasiewicz(result: Any, *, ax: Axes | None = None) -> Figure:
    """Smallest gradient norm against `|f - f*|` on log axes, with the fitted power law.

    Filled points are those fitted, hollow ones were found within the whole radius. The band is
    the interval of alpha and mu. With a degree, a dashed line has the largest slope that
    Assumption 2 allows.

    Args:
        result: an `nsjax.diagnostics.Lojasiewicz`.
        ax: where to draw; a new figure by default.

    Raises:
        TypeError: for what is none.
    """
    drawable("result", result, "above", "below")
    alone = ax is None
    figure, ax = axes(ax, size=(3.4, 3.1))
    sides = (
        (result.above, "$f > f^*$", CATEGORIES[0], "o"),
        (result.below, "$f < f^*$", CATEGORIES[1], "s"),
    )
    for envelope, label, color, marker in sides:
        if envelope is None:
            continue
        ax.plot(
            envelope.ball_levels,
            envelope.ball_gradients,
            marker,
            color=color,
            markersize=3.5,
            markerfacecolor="none",
            markeredgewidth=0.6,
            alpha=0.6,
            label=None if len(envelope.levels) else f"{label}, not fitted",
        )
        if len(envelope.levels):
            ax.plot(
                envelope.levels,
                envelope.gradients,
                marker,
                color=color,
                markersize=3.5,
                label=label,
            )
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel(r"level $|f - f^*|$")
    ax.set_ylabel(r"smallest $\|\nabla f\|$")
    if result.conclusive:
        _law(result, ax)
    else:
        ax.set_title("inconclusive", fontsize=RC["axes.titlesize"])
    _legend(figure, ax, alone)
    return figure


def _law(result: Any, ax: Axes) -> None:
    envelope = result.above if result.side > 0 else result.below
    levels = envelope.levels
    half = result.alpha_interval[1] - result.alpha
    ax.plot(
        levels,
        result.mu * levels**result.alpha,
        color="0.2",
        linewidth=1,
        label=rf"$\alpha = {result.alpha:.3f} \pm {max(half, 1e-3):.3f}$, $\mu = {result.mu:.3g}$",
    )
    ax.fill_between(
        levels,
        result.mu_interval[0] * levels**result.alpha,
        result.mu_interval[1] * levels**result.alpha,
        color="0.2",
        alpha=0.2,
        linewidth=0,
    )
    if result.degree is not None:
        anchor = levels[-1]
        steepest = result.mu * anchor**result.alpha * (levels / anchor) ** result.largest_alpha
        ax.plot(
            levels,
            steepest,
            "--",
            color=CATEGORIES[2],
            linewidth=1,
            label=rf"$q / (2(q-1)) = {result.largest_alpha:.3f}$",
        )


def plot_path_length(results: Mapping[str, Any] | Any, *, ax: Axes | None = None) -> Figure:
    """Length still to go against `f - f*` on log axes, with its bound.

    Lines are measured and dashed lines the bounds; a bound that is not claimed is dotted.

    Args:
        results: an `nsjax.diagnostics.PathLength`, or a mapping of names to several.
        ax: where to draw; a new figure by default.
    """
    alone = ax is None
    figure, ax = axes(ax, size=(3.4, 3.1))
    named = results if isinstance(results, Mapping) else {"measured": results}
    for index, (name, result) in enumerate(named.items()):
        color = CATEGORIES[index % len(CATEGORIES)]
        values, remaining = np.asarray(result.values), np.asarray(result.remaining)
        shown = (values > 0) & (remaining > 0)
        label = f"{name}, bound / length {result.ratio:.2f}" if result.ratio > 0 else name
        ax.plot(values[shown], remaining[shown], color=color, label=label)
        style = "--" if result.holds else ":"
        ax.plot(values[shown], np.asarray(result.bounds)[shown], style, color=color, linewidth=1)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel(r"$f - f^*$")
    ax.set_ylabel("length still to go")
    _legend(figure, ax, alone)
    return figure


def _legend(figure: Figure, ax: Axes, alone: bool) -> None:
    """Below a figure of one panel, where it hides no line; else inside the panel."""
    handles, labels = ax.get_legend_handles_labels()
    if not handles:
        return
    if alone:
        legend_below(figure, handles, labels, columns=1, fontsize=7)
    else:
        ax.legend(handles, labels, fontsize=7, frameon=False)
