"""Plots of quadratic networks as matrix sensing: test errors, and where they fall to zero."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nsjax.plots.style import CATEGORIES, RC, axes, grid, ordered_colors

FLOOR = 1e-10
"""Errors below are drawn there: exact recoveries would squeeze all others together."""
MARKERS = "osD^vP"


class ErrorCurve(NamedTuple):
    """Test errors against samples.

    Attributes:
        samples: `(N,)`.
        errors: `(N, S)`, of S seeds.
        threshold: predicted number of samples at which they fall to zero.
    """

    samples: Any
    errors: Any
    threshold: float


class Threshold(NamedTuple):
    """A predicted and a measured number of samples.

    Attributes:
        predicted, measured: numbers of samples.
        low, high: where the share recovered passes 1/4 and 3/4.
    """

    predicted: float
    measured: float
    low: float
    high: float


def plot_sensing_errors(
    curves: Mapping[str, ErrorCurve],
    *,
    dimension: int,
    dots: Mapping[str, ErrorCurve] | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Median test error against `n / d^2`, with a dotted line at every predicted threshold.

    Args:
        curves: label to its errors, in the order of the colours.
        dimension: d.
        dots: the same of other runs, as crosses.
        ax: axes to draw on.

    Raises:
        ValueError: if there are no curves.
    """
    if not curves:
        raise ValueError("curves must hold at least one curve")
    figure, ax = axes(ax)
    for color, (label, curve) in zip(ordered_colors(len(curves)), curves.items(), strict=True):
        low, middle, high = np.quantile(
            np.maximum(np.asarray(curve.errors, float), FLOOR), (0.25, 0.5, 0.75), axis=1
        )
        ratios = np.asarray(curve.samples) / dimension**2
        ax.plot(ratios, middle, "o-", color=color, markersize=2.5, label=label)
        ax.fill_between(ratios, low, high, color=color, alpha=0.15, linewidth=0)
        ax.axvline(curve.threshold / dimension**2, color=color, linestyle=":")
    for label, curve in (dots or {}).items():
        middle = np.median(np.maximum(np.asarray(curve.errors, float), FLOOR), axis=1)
        ratios = np.asarray(curve.samples) / dimension**2
        ax.plot(ratios, middle, "x", color=CATEGORIES[1], markersize=5, label=label, zorder=5)
    ax.set_yscale("log")
    ax.set_xlim(left=0)
    ax.set_xlabel("samples over $d^2$ (dotted: predicted)")
    ax.set_ylabel("test error / variance of the target")
    _legend(ax)
    return figure


def plot_sensing_thresholds(
    groups: Mapping[str, list[Threshold]], *, ax: Axes | None = None
) -> Figure:
    """Samples for half of the seeds over the predicted number; bars from a quarter to three.

    Args:
        groups: label to its thresholds, a colour and marker each.
        ax: axes to draw on.

    Raises:
        ValueError: if there are no groups.
    """
    if not groups:
        raise ValueError("groups must hold at least one group")
    figure, ax = axes(ax)
    ax.axhline(1, color="0.6", linewidth=0.8, zorder=0)
    styles = zip(CATEGORIES, MARKERS, groups.items(), strict=False)
    for i, (color, marker, (label, points)) in enumerate(styles):
        predicted, measured, low, high = np.array(points, float).T
        # A little to the side, for designs share their predictions.
        shifted = predicted + 0.01 * np.max(predicted) * (i - len(groups) / 2)
        bars = np.array([measured - low, high - measured]) / predicted
        ax.errorbar(
            shifted,
            measured / predicted,
            bars,
            fmt=marker,
            color=color,
            markersize=3.5,
            lw=0.9,
            label=label,
        )
    ax.set_xlabel("predicted number of samples")
    ax.set_ylabel("measured / predicted")
    _legend(ax)
    return figure


def _legend(ax: Axes) -> None:
    """Below the axes, where it hides nothing."""
    size = RC["legend.fontsize"]
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), frameon=False, fontsize=size)


def plot_sensing(
    panels: Mapping[str, Mapping[str, ErrorCurve]],
    groups: Mapping[str, list[Threshold]],
    *,
    dimension: int,
    dots: Mapping[str, ErrorCurve] | None = None,
    ax: Sequence[Axes] | None = None,
) -> Figure:
    """Panels of test errors, the last with thresholds.

    Args:
        panels: title to curves, see `plot_sensing_errors`.
        groups: see `plot_sensing_thresholds`.
        dimension: d.
        dots: crosses of the first panel.
        ax: where to draw, an axes for each of the panels and one more; a new figure by default.
    """
    figure, places = grid(1, len(panels) + 1, panel=(2.9, 3.8), ax=ax)
    for i, (place, (title, curves)) in enumerate(zip(places.flat, panels.items(), strict=False)):
        plot_sensing_errors(curves, dimension=dimension, dots=None if i else dots, ax=place)
        place.set_title(title, fontsize=RC["axes.titlesize"])
        if i:
            place.set_ylabel("")
    plot_sensing_thresholds(groups, ax=places.flat[len(panels)])
    title = "samples for half of the seeds"
    places.flat[len(panels)].set_title(title, fontsize=RC["axes.titlesize"])
    return figure
