"""Plots of diagnostics: balance, alignment of the zero block, and spectra.

What comes from snapshots is drawn against their times, what comes from one network by neuron.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from nsjax import _check
from nsjax.plots.layers import layer_lines, neuron_dots, tables_of, times_of
from nsjax.plots.style import CATEGORIES, RC, axes, drawable, grid, legend_above

ALIGNMENTS = {
    "kkt_residual": "KKT residual",
    "cosine": "1 - cosine to the target",
    "ncf": "NCF $N$ of the unit direction",
    "norm": "norm",
}
"""What `plot_neuron_alignment` can show."""

_IMBALANCE = r"imbalance $\|w_{in}\|^2 - p\,\|w_{out}\|^2$"
_LEAST = 1e-17
"""Smallest value drawn on a log axis: below rounding."""


def plot_imbalance(
    imbalances: Sequence[Any],
    *,
    sizes: Sequence[Any] | None = None,
    ts: Any = None,
    ax: Axes | None = None,
) -> Figure:
    """Imbalances along a trajectory, or how far they drift; a colour per layer, a line per neuron.

    Of one network, a dot per neuron.

    Args:
        imbalances: of `diagnostics.imbalance`, `(m, k_l)` per hidden layer on m snapshots, `(k_l,)`
            of one network.
        sizes: of `diagnostics.neuron_size` on the same snapshots: then the drift from the start is
            drawn, as a share of each neuron's largest size, on a log axis.
        ts: `(m,)` times of the snapshots; their numbers by default.
        ax: where to draw; a new figure by default.

    Raises:
        ValueError: for arrays of other shapes, sizes of one network, or times of another length.
    """
    tables = tables_of("imbalances", imbalances)
    if tables[0].ndim == 1:
        if sizes is not None:
            raise ValueError("sizes must be None for one network, which has no drift to be shown")
        figure, ax = axes(ax)
        ax.axhline(0, color="0.4", linewidth=0.8, linestyle="--")
        neuron_dots(ax, tables, "hidden neuron")
        legend_above(ax)
        ax.set_ylabel(_IMBALANCE)
        return figure
    times, label, log = times_of(ts, len(tables[0]))
    if sizes is not None:
        largest = [np.max(size, axis=0) for size in tables_of("sizes", sizes)]
        tables = [
            np.maximum(np.abs(off - off[0]) / np.where(size > 0, size, np.nan), _LEAST)
            for off, size in zip(tables, largest, strict=True)
        ]
    figure, ax = axes(ax)
    # Nothing has drifted at the start.
    layer_lines(ax, times, tables, log, skip=sizes is not None)
    ax.set_xlabel(label)
    if sizes is None:
        ax.set_ylabel(_IMBALANCE)
    else:
        ax.set_yscale("log")
        ax.set_ylabel("drift of imbalance / size")
    return figure


def plot_balance_ratio(ratios: Sequence[Any], *, ts: Any = None, ax: Axes | None = None) -> Figure:
    """Balance ratios along a trajectory on a log axis, with the line at 1 of a KKT point.

    Of one network, a dot per neuron.

    Args:
        ratios: of `diagnostics.balance_ratio`, `(m, k_l)` per hidden layer on m snapshots, `(k_l,)`
            of one network.
        ts: `(m,)` times of the snapshots; their numbers by default.
        ax: where to draw; a new figure by default.

    Raises:
        ValueError: for arrays of other shapes, or times of another length.
    """
    tables = tables_of("ratios", ratios)
    figure, ax = axes(ax)
    ax.axhline(1, color="0.4", linewidth=0.8, linestyle="--")
    tables = [np.where(np.isfinite(table) & (table > 0), table, np.nan) for table in tables]
    if tables[0].ndim == 1:
        neuron_dots(ax, tables, "hidden neuron")
        if ax.get_legend_handles_labels()[0]:
            legend_above(ax)
    else:
        times, label, log = times_of(ts, len(tables[0]))
        layer_lines(ax, times, tables, log)
        ax.set_xlabel(label)
    ax.set_yscale("log")
    ax.set_ylabel(r"$\|w_{in}\|^2 \,/\, p\,\|w_{out}\|^2$")
    return figure


def plot_balance_panels(
    panels: Mapping[str, tuple[Any, Any]],
    *,
    label: str = "round",
    columns: int = 3,
    ax: Sequence[Axes] | None = None,
) -> Figure:
    """Balance ratios of one hidden layer along several trajectories, on one scale.

    Args:
        panels: title to `(ts, ratios)`: `(m,)` rounds or times, and `(m, k)` of
            `diagnostics.balance_ratio`, NaN where a neuron is not there.
        label: of the horizontal axes.
        columns: panels side by side.
        ax: where to draw, axes for full rows of panels; a new figure by default.

    Raises:
        ValueError: for arrays of other shapes.
    """
    columns = min(columns, len(panels))
    figure, places = grid(-(-len(panels) // columns), columns, panel=(2.4, 2.1), ax=ax)
    for place in places.flat[len(panels) :]:
        place.set_visible(False)
    for i, (place, (title, (ts, ratios))) in enumerate(
        zip(places.flat, panels.items(), strict=False)
    ):
        plot_balance_ratio([ratios], ts=ts, ax=place)
        place.get_legend().remove()
        place.sharey(places.flat[0])
        place.set_title(title, fontsize=RC["axes.titlesize"])
        place.set_xlabel(label)
        place.xaxis.set_major_locator(MaxNLocator(4, integer=bool(np.ptp(ts) > 2)))
        if i % columns:
            place.set_ylabel("")
    shown = np.concatenate([np.ravel(np.asarray(ratios, float)) for _, ratios in panels.values()])
    shown = shown[np.isfinite(shown) & (shown > 0)]
    # An axis around 1 would otherwise magnify rounding.
    reach = max(1.3 * float(np.exp(np.max(np.abs(np.log(shown)), initial=0.0))), 2.0)
    places.flat[0].set_ylim(1 / reach, reach)
    return figure


def plot_neuron_alignment(
    found: Any, quantity: str = "kkt_residual", *, ts: Any = None, ax: Axes | None = None
) -> Figure:
    """One measure of the zero block: its neurons, and in black the whole block.

    Args:
        found: `diagnostics.Alignment`, of m snapshots (lines over time) or one network (a dot for
            each neuron, a line for the block).
        quantity: "kkt_residual", "cosine", "ncf" or "norm".
        ts: `(m,)` times of the snapshots; their numbers by default.
        ax: where to draw; a new figure by default.

    Raises:
        ValueError: for an unknown quantity, or times of another length.
    """
    _check.choice("quantity", quantity, tuple(ALIGNMENTS))
    neurons = [np.asarray(each, float) for each in getattr(found, quantity)]
    block = np.asarray(getattr(found, f"block_{quantity}"), float)
    if quantity == "cosine":
        neurons, block = [1 - each for each in neurons], 1 - block
    if quantity != "ncf":
        neurons, block = [np.maximum(e, _LEAST) for e in neurons], np.maximum(block, _LEAST)
    figure, ax = axes(ax)
    if block.ndim == 0:
        neuron_dots(ax, neurons, "neuron of the zero block")
        ax.axhline(float(block), color="black", label="zero block")
    else:
        times, label, log = times_of(ts, len(block))
        layer_lines(ax, times, neurons, log, legend=False)
        ax.plot(times, block, color="black", linewidth=2, label="zero block")
        ax.set_xlabel(label)
    handles, names = ax.get_legend_handles_labels()
    legend_above(ax, handles, names)
    if quantity != "ncf":
        ax.set_yscale("log")
    ax.set_ylabel(ALIGNMENTS[quantity])
    return figure


def plot_spectrum(found: Any, *, ax: Axes | None = None) -> Figure:
    """Density of a Hessian's eigenvalues on a log axis, its band, extremes and inertia.

    Ticks below the curve are the eigenvalues; of Lanczos, the Ritz values.

    Args:
        found: `diagnostics.HessianSpectrum`.
        ax: where to draw; a new figure by default.

    Raises:
        TypeError: for what is none.
    """
    drawable("found", found, "grid", "density", "eigenvalues", "band")
    figure, ax = axes(ax)
    grid, density = np.asarray(found.grid), np.asarray(found.density)
    floor = max(float(np.max(density)) * 1e-6, np.finfo(float).tiny)
    ax.axvspan(-found.band, found.band, color=CATEGORIES[4], alpha=0.4, linewidth=0)
    ax.fill_between(grid, floor, np.maximum(density, floor), color=CATEGORIES[0], alpha=0.25)
    ax.plot(grid, np.maximum(density, floor), color=CATEGORIES[0])
    ax.set_yscale("log")
    ax.set_ylim(floor / 4, 3 * float(np.max(density)))
    ax.plot(
        found.eigenvalues,
        np.full(len(found.eigenvalues), floor / 2),
        "|",
        color=CATEGORIES[1],
        markersize=6,
        markeredgewidth=0.6,
    )
    counts = " / ".join(str(count) for count in (found.negative, found.zero, found.positive))
    about = "" if found.exact else r"$\approx$ "
    ax.set_title(
        f"$n_-$ / $n_0$ / $n_+$: {about}{counts}, band {found.band:.1e}",
        fontsize=RC["axes.titlesize"],
    )
    ax.set_xlabel("eigenvalue of the Hessian")
    ax.set_ylabel("density")
    return figure
