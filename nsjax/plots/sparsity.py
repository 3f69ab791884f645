"""Plots of sparsity and activity: weight matrices and hidden neurons, over time or one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from nsjax import _check
from nsjax.plots.layers import layer_color, tables_of, times_of
from nsjax.plots.style import CATEGORIES, RC, axes, legend_above

SPARSITIES = {
    "small": "share of small entries",
    "hoyer": "Hoyer sparsity",
    "rows": "share of rows in use",
    "columns": "share of columns in use",
    "stable_rank": "stable rank",
    "effective_rank": "effective rank",
}
"""What `plot_sparsity` can show."""


_ON = ListedColormap(["white", CATEGORIES[0]])


def plot_sparsity(
    found: Any, quantity: str = "hoyer", *, ts: Any = None, ax: Axes | None = None
) -> Figure:
    """One measure of the sparsity of every weight matrix: over time, or a bar per matrix.

    Args:
        found: `diagnostics.WeightSparsity`, of m snapshots or one network.
        quantity: "small", "hoyer", "rows", "columns", "stable_rank" or "effective_rank".
        ts: `(m,)` times of the snapshots; their numbers by default.
        ax: where to draw; a new figure by default.

    Raises:
        ValueError: for an unknown quantity, or times of another length.
    """
    _check.choice("quantity", quantity, tuple(SPARSITIES))
    table = np.asarray(getattr(found, quantity), float)
    figure, ax = axes(ax)
    if table.ndim == 1:
        layers = np.arange(1, len(table) + 1)
        ax.bar(layers, table, color=[layer_color(i) for i in range(len(table))], width=0.6)
        ax.set_xticks(layers, [f"$W_{i}$" for i in layers])
        ax.set_xlabel("weight matrix")
    else:
        times, label, log = times_of(ts, len(table))
        for i, column in enumerate(table.T):
            ax.plot(times, column, color=layer_color(i), label=f"$W_{i + 1}$")
        if log:
            ax.set_xscale("log")
        ax.set_xlabel(label)
        legend_above(ax)
    if "rank" not in quantity:
        ax.set_ylim(-0.03, 1.03)
    else:
        ax.set_ylim(bottom=0)
    ax.set_ylabel(SPARSITIES[quantity])
    return figure


def plot_activity(
    found: Any, quantity: str = "scores", *, ts: Any = None, ax: Axes | None = None
) -> Figure:
    """Dormant or gradient scores of all hidden neurons, layer after layer.

    Of one network, a bar for each neuron, largest first in its layer, and the threshold tau; of
    snapshots, a map of neurons (rows, layers divided by lines) over snapshots, on a log scale,
    grey where the whole layer is silent.

    Args:
        found: `diagnostics.NeuronActivity`, of m snapshots or one network.
        quantity: "scores" or "gradients".
        ts: `(m,)` times of the snapshots; their numbers by default.
        ax: where to draw; a new figure by default.

    Raises:
        ValueError: for an unknown quantity, or times of another length.
    """
    _check.choice("quantity", quantity, ("scores", "gradients"))
    tables = [np.asarray(each, float) for each in getattr(found, quantity)]
    what = "dormant score" if quantity == "scores" else "gradient score"
    figure, ax = axes(ax)
    if tables[0].ndim == 1:
        start = 0
        for i, scores in enumerate(tables):
            ordered = -np.sort(-np.nan_to_num(scores))
            places = start + np.arange(len(scores))
            ax.bar(places, ordered, color=layer_color(i), width=0.8, label=f"layer {i + 1}")
            start += len(scores) + 1
        ax.axhline(found.tau, color="black", linestyle="--", linewidth=1)
        ax.text(
            1,
            found.tau,
            rf" $\tau$ = {found.tau:g}",
            transform=ax.get_yaxis_transform(),
            va="center",
            fontsize=7,
        )
        ax.set_xticks([])
        ax.set_xlabel("hidden neuron, by its score")
        ax.set_ylabel(f"{what} (layer's mean 1)")
        legend_above(ax)
        return figure
    floor = max(found.tau / 10, 1e-4)
    largest = max(float(np.nanmax(table, initial=1)) for table in tables)
    tables = [np.maximum(table, floor) for table in tables]
    color = _map(ax, ts, tables, norm=LogNorm(floor, max(largest, 10 * floor)), cmap="viridis")
    ax.set_facecolor("0.8")
    bar = figure.colorbar(color, ax=ax)
    bar.set_label(what, fontsize=RC["axes.labelsize"])
    bar.ax.axhline(found.tau, color="white", linewidth=1.5)
    bar.ax.tick_params(labelsize=RC["ytick.labelsize"])
    return figure


def plot_active_neurons(active: Sequence[Any], *, ts: Any = None, ax: Axes | None = None) -> Figure:
    """Which hidden neurons are active, layer after layer.

    Of snapshots, a map of neurons (rows, layers divided by lines) over snapshots, coloured where a
    neuron is active; of one network, a bar for each hidden layer: how many of its neurons are
    active, and in grey how many there are.

    Args:
        active: of `diagnostics.active_neurons`, booleans `(m, k_l)` per hidden layer on m
            snapshots, `(k_l,)` of one network.
        ts: `(m,)` times of the snapshots; their numbers by default.
        ax: where to draw; a new figure by default.

    Raises:
        ValueError: for arrays of other shapes, or times of another length.
    """
    tables = tables_of("active", active)
    figure, ax = axes(ax)
    if tables[0].ndim == 1:
        layers = np.arange(1, len(tables) + 1)
        ax.bar(layers, [len(table) for table in tables], color="0.9", width=0.6)
        colors = [layer_color(i) for i in range(len(tables))]
        ax.bar(layers, [int(np.sum(table)) for table in tables], color=colors, width=0.6)
        ax.set_xticks(layers)
        ax.yaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set_xlabel("hidden layer")
        ax.set_ylabel("active neurons")
        return figure
    _map(ax, ts, tables, line="black", cmap=_ON, vmin=0, vmax=1)
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def _map(
    ax: Axes, ts: Any, tables: Sequence[np.ndarray], *, line: str = "white", **style: Any
) -> QuadMesh:
    """A map of neurons over snapshots, layers divided by lines."""
    times, label, log = times_of(ts, len(tables[0]))
    table = np.concatenate(tables, axis=1).T
    mesh = ax.pcolormesh(
        _edges(times, log),
        np.arange(len(table) + 1) - 0.5,
        np.ma.masked_invalid(table),
        rasterized=True,
        **style,
    )
    ax.grid(False)
    for edge in np.cumsum([each.shape[1] for each in tables])[:-1]:
        ax.axhline(edge - 0.5, color=line, linewidth=1.5)
    if log:
        ax.set_xscale("log")
    ax.set_xlabel(label)
    ax.set_ylabel("hidden neuron")
    return mesh


def _edges(times: np.ndarray, log: bool) -> np.ndarray:
    """Bounds of the cells around the times."""
    if log:
        least = times[times > 0].min()
        times = np.log10(np.where(times > 0, times, least / 2))
    if len(times) == 1:
        edges = np.array([times[0] - 0.5, times[0] + 0.5])
    else:
        middle = 0.5 * (times[1:] + times[:-1])
        edges = np.concatenate([[2 * times[0] - middle[0]], middle, [2 * times[-1] - middle[-1]]])
    return 10**edges if log else edges
