"""Plots of kept sparsity: its share against delta, and the others' growth against their rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nsjax.diagnostics import (
    KEPT,
    REASONS,
    Departures,
    critical_rate,
    rival_growth,
    share_interval,
)
from nsjax.plots.style import CATEGORIES, RC, axes, grid

_MARKERS = "sD^vPX"
_RATIO = 0.1
"""Norm of the winner at departure over that on landing: the threshold of a cascade."""
_LEAST = 1e-8
"""Rates and growths below are drawn there."""
_BINS = np.array([1e-8, 1e-6, 1e-4, 1e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0])
"""Edges of the bins of chi; what lies below the first or above the last is in the outer ones."""


def plot_kept_shares(
    panels: Mapping[str, Mapping[str, Any]], *, ax: Sequence[Axes] | None = None
) -> Figure:
    """Share of escapes that keep sparsity against delta, with intervals, and what is predicted.

    Args:
        panels: title to name of a family to `(5, m)`: deltas, shares, lower and upper ends of their
            intervals, predicted shares (dashed).
        ax: where to draw, one a panel; a new figure by default.

    Raises:
        ValueError: without a panel.
    """
    if not panels:
        raise ValueError("panels must hold at least one panel")
    figure, places = grid(1, len(panels), panel=(2.9, 2.9), ax=ax)
    for place, (title, families) in zip(places.flat, panels.items(), strict=True):
        shift = np.linspace(-0.06, 0.06, len(families)) if len(families) > 1 else np.zeros(1)
        for color, move, (name, curve) in zip(CATEGORIES, shift, families.items(), strict=False):
            deltas, shares, low, high, predicted = np.asarray(curve, float)
            deltas = deltas * 10**move
            place.errorbar(
                deltas,
                shares,
                np.maximum([shares - low, high - shares], 0),
                fmt="o-",
                markersize=3.5,
                linewidth=1,
                elinewidth=0.8,
                color=color,
                label=name,
            )
            place.plot(deltas, predicted, "--", color=color, linewidth=0.9)
        place.set(xscale="log", ylim=(-0.03, 1.03), title=title, xlabel=r"$\delta$")
        place.legend(loc="lower left", frameon=False, fontsize=RC["legend.fontsize"])
    places.flat[0].set_ylabel("share of escapes kept")
    return figure


def plot_rival_growth(
    found: Departures, reasons: Sequence[str], *, factor: float, ax: Axes | None = None
) -> Figure:
    """Growth of the other that grows most against its rate at departure, by reason; the law's line.

    Args:
        found: escapes.
        reasons: of each, `diagnostics.break_reasons`.
        factor: growth that still counts as staying small.
        ax: where to draw; a new figure by default.

    Raises:
        ValueError: if there is not a reason for each escape.
    """
    if len(reasons) != len(found.rates):
        raise ValueError(
            f"reasons must be one for each of {len(found.rates)} escapes, got {len(reasons)}"
        )
    alone = ax is None
    figure, panel = axes(ax, size=(5.2, 3.4))
    rates = np.maximum(found.own_rates, _LEAST)
    grown = np.maximum(found.growth - 1, _LEAST)
    kinds = np.array(reasons)
    kept = kinds == KEPT
    panel.plot(rates[kept], grown[kept], ".", color="0.65", markersize=3, label=KEPT)
    for marker, color, reason in zip(_MARKERS, CATEGORIES, REASONS, strict=False):
        at = kinds == reason
        if at.any():
            panel.plot(
                rates[at],
                grown[at],
                marker,
                color=color,
                markersize=4,
                markerfacecolor="none",
                label=reason,
            )
    chi = np.geomspace(_LEAST, 0.999, 300)
    for style, q in zip(("-", "--", ":"), sorted({int(q) for q in found.degrees}), strict=False):
        law = rival_growth(chi, q, _RATIO) - 1
        panel.plot(chi, law, style, color="0.2", linewidth=1, label=f"one direction, $q = {q}$")
    panel.axhline(factor - 1, color="0.5", linewidth=0.8, linestyle="-.")
    panel.set(xscale="log", yscale="log", xlim=(0.6 * _LEAST, 3))
    panel.set_xlabel(r"rate of growth over the winner's at departure, $\chi$")
    panel.set_ylabel("growth until landing, minus 1")
    _legend(figure, panel, alone)
    return figure


def plot_break_curve(groups: Mapping[str, Any], *, factor: float, ax: Axes | None = None) -> Figure:
    """Share of escapes that break against the largest rate of another at departure.

    Args:
        groups: name to `(rates, broken, degrees)`, each `(e,)`: chi, whether the escape breaks, and
            q. Bars are Wilson's 95 % intervals.
        factor: growth that still counts as staying small: the critical chi are drawn for every q.
        ax: where to draw; a new figure by default.

    Raises:
        ValueError: without a group.
    """
    if not groups:
        raise ValueError("groups must hold at least one group of escapes")
    alone = ax is None
    figure, panel = axes(ax, size=(4.6, 2.9))
    edges = np.append(_BINS, 10.0)
    for color, (name, (rates, broken, _)) in zip(CATEGORIES, groups.items(), strict=False):
        rates, broken = np.asarray(rates, float), np.asarray(broken, bool)
        # No rival cannot grow.
        places = np.digitize(np.clip(np.nan_to_num(rates, nan=0.0), _BINS[0], 9.9), edges) - 1
        for k in np.unique(places):
            share, low, high = share_interval(broken[places == k])
            panel.errorbar(
                np.sqrt(edges[k] * edges[k + 1]),
                share,
                np.maximum([[share - low], [high - share]], 0),
                fmt="o",
                color=color,
                markersize=4,
                label=name if k == places.min() else None,
            )
    degrees = sorted({int(q) for *_, each in groups.values() for q in each})
    for style, q in zip(("-", "--", ":", "-."), degrees, strict=False):
        place = critical_rate(factor, q, _RATIO)
        panel.axvline(place, color="0.4", linewidth=0.9, linestyle=style, label=f"law, $q = {q}$")
    panel.set(xscale="log", ylim=(-0.03, 1.03))
    panel.set_xlabel(r"largest rate over the winner's at departure, $\chi$")
    panel.set_ylabel("share of escapes that break")
    _legend(figure, panel, alone)
    return figure


def _legend(figure: Figure, panel: Axes, alone: bool) -> None:
    """Beside a panel that has the figure for itself, within it otherwise."""
    if alone:
        figure.legend(loc="outside right upper", frameon=False, fontsize=RC["legend.fontsize"])
    else:
        panel.legend(frameon=False, fontsize=RC["legend.fontsize"])
