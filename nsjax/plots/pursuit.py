"""Plots of neuron pursuit: errors as the network grows, NCF values, insertions, weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from nsjax.diagnostics import balance_ratio, neuron_norms
from nsjax.networks.homogeneous import Activation, activation_degree
from nsjax.plots.layers import layer_color, neuron_dots
from nsjax.plots.style import CATEGORIES, RC, SIGNED, axes, drawable, grid, legend_above

_LEAST = 1e-17
_OTHERS = "0.75"
_CHAIN = "black"


def plot_growth(
    result: Any, *, against: str = "neurons", held_out: str = "validation", ax: Axes | None = None
) -> Figure:
    """Training and held-out error of every lane on a log axis, the one returned in colour.

    Of a lane that began anew, the last attempt is the one returned, and the others are shown too.

    A marker on it, coloured by layer, says where each round put its new neurons.

    Args:
        result: a `pursuit.Pursuit`, or anything with its `history` and `lane`.
        against: `"neurons"`, hidden neurons of all layers, or `"rounds"`.
        held_out: what the held-out error is called.
        ax: where to draw; a new figure by default.

    Raises:
        ValueError: for another `against`, or a pursuit without rounds.
    """
    if against not in ("neurons", "rounds"):
        raise ValueError(f"against must be 'neurons' or 'rounds', got {against!r}")
    history = _history(result)
    figure, ax = axes(ax, size=(4.2, 3.0))
    lane, lanes = result.lane, np.shape(history.live)[1]
    errors = np.maximum(np.asarray(history.error, float), _LEAST)
    tested = np.any(np.isfinite(np.asarray(history.test, float)))
    held = history.test if tested else history.validation
    others = np.maximum(np.asarray(held, float), _LEAST)
    sizes = np.sum(np.asarray(history.neurons), axis=-1)

    def places(at: np.ndarray, lane: int) -> np.ndarray:
        return sizes[at, lane] if against == "neurons" else 1 + np.arange(len(at))

    at = _attempts(history, lane)[-1]
    rest = 0
    for other in range(lanes):
        for course in _attempts(history, other):
            if other != lane or course[0] != at[0]:
                rest += 1
                ax.plot(
                    places(course, other),
                    errors[course, other],
                    color=_OTHERS,
                    linewidth=0.7,
                    zorder=1,
                )
    mine = places(at, lane)
    kinds = np.asarray(history.kind)[at, lane].astype(int)
    layers = np.asarray(history.neurons).shape[-1]
    handles = []
    curves: Any = ((errors, "-", "training"), (others, "--", held_out))
    for values, style, name in curves:
        shown = values[at, lane]
        if np.any(np.isfinite(shown)):
            ax.plot(mine, shown, style, color="0.25", zorder=2)
            handles.append(Line2D([], [], color="0.25", linestyle=style, label=name))
    for kind in sorted(set(kinds.tolist()), key=lambda kind: (kind < 1, -kind)):
        marker, color, name = _kind(kind)
        chosen = kinds == kind
        for values in (errors, others):
            ax.plot(
                mine[chosen],
                values[at, lane][chosen],
                marker,
                color=color,
                markersize=4.5,
                linestyle="",
                zorder=3,
            )
        handles.append(Line2D([], [], color=color, marker=marker, linestyle="", label=name))
    if rest:
        handles.append(Line2D([], [], color=_OTHERS, linewidth=0.7, label="other lanes, training"))
    ax.set_yscale("log")
    ax.set_ylabel("relative error")
    ax.set_xlabel(
        "round" if against == "rounds" else f"hidden neurons{' of all layers' * (layers > 1)}"
    )
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend_above(ax, handles, columns=2)
    return figure


def plot_ncf(result: Any, *, relative: bool = False, ax: Axes | None = None) -> Figure:
    """Best NCF of a chain and of every hidden layer, round by round, the one taken in a ring.

    Args:
        result: as in `plot_growth`.
        relative: whether values are shares of what they would be if residual and responses lined
            up, which can be compared between layers.
        ax: where to draw; a new figure by default.

    Raises:
        ValueError: for a pursuit without rounds.
    """
    history = _history(result)
    figure, ax = axes(ax, size=(4.2, 2.9))
    at = _attempts(history, result.lane)[-1]
    rounds = 1 + np.arange(len(at))
    table = np.asarray(history.relative_ncf if relative else history.ncf, float)[at, result.lane]
    table = np.where(table > 0, table, np.nan)
    kinds = np.asarray(history.kind)[at, result.lane].astype(int)
    for kind in range(table.shape[1]):
        marker, color, name = _kind(kind)
        ax.plot(
            rounds,
            table[:, kind],
            marker,
            color=color,
            markersize=3.5,
            linestyle="-",
            linewidth=1,
            label=name,
        )
        # All layers together take the best of each.
        taken = (kinds == kind) | ((kinds < 0) & (kind > 0))
        ax.plot(rounds[taken], table[taken, kind], "o", markersize=9, mfc="none", mec=color)
    handles, _ = ax.get_legend_handles_labels()
    handles.append(
        Line2D([], [], marker="o", markersize=9, mfc="none", mec="0.3", linestyle="", label="taken")
    )
    ax.set_yscale("log")
    ax.set_xlabel("round")
    ax.set_ylabel("NCF, share of the most possible" if relative else "best NCF of a unit neuron")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend_above(ax, handles)
    return figure


def plot_insertions(result: Any, *, ax: Sequence[Axes] | None = None) -> Figure:
    """What insertions do to the loss: before, after, and after the refit; and Lemma 12.

    The second panel has, for every lane and round that added one neuron or one chain, the change of
    the loss over its leading order `-delta^q N*` against the norm delta of the new weights: 1 as
    delta goes to 0.

    Args:
        result: as in `plot_growth`.
        ax: where to draw, two axes; a new figure by default.

    Raises:
        ValueError: for a pursuit without rounds.
    """
    history = _history(result)
    figure, panels = grid(1, 2, panel=(3.4, 2.8), ax=ax)
    first, second = panels[0]
    at = _attempts(history, result.lane)[-1]
    rounds = 1 + np.arange(len(at))
    names = {"before": "before the round", "inserted": "on insertion", "loss": "after the refit"}
    for (field, name), color, marker in zip(names.items(), CATEGORIES, "o^s", strict=False):
        values = np.maximum(np.asarray(getattr(history, field), float)[at, result.lane], _LEAST)
        first.plot(rounds, values, marker, color=color, markersize=4, linestyle="-", label=name)
    first.set(yscale="log", xlabel="round", ylabel="relative training loss")
    first.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend_above(first, columns=2)
    ratios, scales = np.asarray(history.descent, float), np.asarray(history.scale, float)
    kinds = np.asarray(history.kind).astype(int)
    second.axhline(1, color="0.4", linewidth=0.8, linestyle="--", label="leading order")
    for kind in range(np.asarray(history.ncf).shape[-1]):
        shown = np.asarray(history.live, bool) & (kinds == kind) & np.isfinite(ratios)
        if shown.any():
            marker, color, name = _kind(kind)
            second.plot(
                scales[shown],
                ratios[shown],
                marker,
                color=color,
                markersize=4,
                linestyle="",
                label=name,
            )
    second.set(xscale="log", xlabel=r"norm $\delta$ of the new weights")
    second.set_ylabel(r"change of the loss $/\,(-\delta^q N^*)$")
    finite = scales[np.isfinite(ratios)]
    if finite.size and finite.max() < 10 * finite.min():
        second.set_xlim(finite.min() / 10, finite.max() * 10)
    low, high = second.get_ylim()
    if low < -2:
        second.set_yscale("symlog", linthresh=1)
    second.set_ylim(min(low, 0), max(high, 1.1))
    legend_above(second, columns=2)
    return figure


def plot_balance(params: Any, activation: Activation, *, ax: Axes | None = None) -> Figure:
    """Ratio of the norms of in- and outgoing weights of every neuron, 1 at a KKT point (Lemma 9).

    Args:
        params: L weight matrices, or a result that has them as `params`.
        activation: homogeneous activation of degree p.
        ax: where to draw; a new figure by default.

    Raises:
        TypeError, ValueError: if the activation has no degree, or `params` is no network.
    """
    p = activation_degree(activation)
    ratios = [np.sqrt(np.asarray(r)) for r in balance_ratio(_params(params), activation)]
    figure, ax = axes(ax, size=(3.8, 2.7))
    ax.axhline(1, color="0.4", linewidth=0.8, linestyle="--")
    neuron_dots(ax, [np.where(r > 0, r, np.nan) for r in ratios], "hidden neuron")
    ax.set_yscale("log")
    # An axis around 1 would otherwise magnify small differences.
    finite = [np.abs(np.log(r[np.isfinite(r) & (r > 0)])) for r in ratios]
    reach = max([float(np.max(each)) for each in finite if each.size], default=0.0)
    reach = max(1.3 * float(np.exp(reach)), 10.0)
    ax.set_ylim(1 / reach, reach)
    root = r"\sqrt{p}\," if p > 1 else ""
    ax.set_ylabel(rf"$\|w_{{in}}\| \,/\, {root}\|w_{{out}}\|$")
    if ax.get_legend_handles_labels()[0]:
        legend_above(ax)
    return figure


def plot_weights(
    params: Any,
    *,
    inputs: Sequence[str] | None = None,
    constant: bool = False,
    title: str = "",
    ax: Sequence[Axes] | None = None,
) -> Figure:
    """The weight matrices as images, zero in white, each with its own colour scale.

    Args:
        params: L weight matrices, or a result that has them as `params`.
        inputs: names of the d inputs; their numbers from 1 by default.
        constant: whether the last input is a constant, which is then named "c".
        title: over the figure.
        ax: where to draw, one axes a matrix; a new figure by default.

    Raises:
        ValueError: if there is not one name per input.
    """
    weights = [np.asarray(weight) for weight in _params(params)]
    labels = _labels(inputs, weights[0].shape[1], constant)
    sizes = [max(weight.shape[1], 3) for weight in weights]
    tallest = max(weight.shape[0] for weight in weights)
    figure, panels = grid(
        1,
        len(weights),
        panel=(1.6 + 0.17 * sum(sizes) / len(sizes), 1.5 + 0.17 * max(tallest, 4)),
        ax=ax,
        width_ratios=[size + 3 for size in sizes],
    )
    for i, (panel, weight) in enumerate(zip(panels[0], weights, strict=True)):
        scale = float(np.max(np.abs(weight), initial=0.0)) or 1.0
        image = panel.imshow(
            weight,
            cmap=SIGNED,
            vmin=-scale,
            vmax=scale,
            aspect="auto",
            interpolation="nearest",
        )
        panel.grid(False)
        panel.spines[["top", "right"]].set_visible(True)
        panel.set_title(f"$W_{{{i + 1}}}$")
        last = i == len(weights) - 1
        panel.set_ylabel("output" if last else f"neuron of layer {i + 1}")
        panel.set_xlabel(_input(constant) if i == 0 else f"neuron of layer {i}")
        _ticks(panel, 1, [str(j + 1) for j in range(weight.shape[0])])
        names = labels if i == 0 else [str(j + 1) for j in range(weight.shape[1])]
        # The first matrix is the wide one; the others have a few columns' room.
        _ticks(panel, 0, names, 13)
        bar = figure.colorbar(image, ax=panel, fraction=0.08, pad=0.03)
        bar.ax.tick_params(labelsize=RC["ytick.labelsize"])
    if title:
        figure.suptitle(title, fontsize=10)
    return figure


def plot_used(
    params: Any,
    *,
    used: Sequence[int] | None = None,
    inputs: Sequence[str] | None = None,
    constant: bool = False,
    ax: Sequence[Axes] | None = None,
) -> Figure:
    """Norms of the columns of `W_1`, one an input, and of every hidden neuron, on log axes.

    Args:
        params: L weight matrices, or a result that has them as `params`.
        used: the inputs that the target depends on, from 0, to be coloured.
        inputs: names of the inputs; their numbers from 1 by default.
        constant: whether the last input is a constant, which is then named "c" and coloured too.
        ax: where to draw, two axes; a new figure by default.

    Raises:
        ValueError: if there is not one name per input.
    """
    weights = _params(params)
    columns = np.linalg.norm(np.asarray(weights[0]), axis=0)
    labels = _labels(inputs, len(columns), constant)
    figure, ((first, second),) = grid(1, 2, panel=(3.4, 2.7), ax=ax, width_ratios=[3, 2])
    marked = np.zeros(len(columns), bool)
    marked[list(used or ())] = True
    marked[-1] |= constant and used is not None
    groups = {"inputs of the target": marked, "others": ~marked} if used else {"": marked | True}
    for (name, group), color in zip(groups.items(), (CATEGORIES[1], "0.55"), strict=False):
        shown = np.flatnonzero(group & (columns > 0))
        color = color if name else CATEGORIES[0]
        first.plot(shown, columns[shown], "o", color=color, markersize=4, label=name)
    first.set_yscale("log")
    _ticks(first, 0, labels, 15)
    first.set(xlabel=_input(constant), ylabel="norm of its column of $W_1$")
    if used:
        legend_above(first)
    norms = [np.asarray(norm) for norm in neuron_norms(weights)]
    neuron_dots(second, [np.where(norm > 0, norm, np.nan) for norm in norms], "hidden neuron")
    second.set(yscale="log", ylabel="norm of the neuron")
    legend_above(second, columns=2)
    for panel in (first, second):
        _decades(panel)
    return figure


def _history(found: Any) -> Any:
    history = drawable("result", found, "history", "lane").history
    if np.asarray(history.live).size == 0:
        raise ValueError("result must have at least one round in its history, got none")
    return history


def _attempts(history: Any, lane: int) -> list[np.ndarray]:
    """Rounds of every attempt of a lane; the last one is that of its network."""
    live = np.flatnonzero(np.asarray(history.live, bool)[:, lane])
    attempt = np.asarray(history.attempt)[live, lane]
    return [live[attempt == number] for number in np.unique(attempt)]


def _params(params: Any) -> Any:
    return getattr(params, "params", params)


def _kind(kind: int) -> tuple[str, str, str]:
    """Marker, colour and name of what a round adds: a hidden layer from 1, 0 a chain, -1 all."""
    if kind == 0:
        return "D", _CHAIN, "chain"
    if kind < 0:
        return "*", CATEGORIES[3], "one in every layer"
    return "os^v"[(kind - 1) % 4], layer_color(kind - 1), f"layer {kind}"


def _labels(inputs: Sequence[str] | None, count: int, constant: bool) -> list[str]:
    if inputs is None:
        names = [str(j + 1) for j in range(count)]
        return [*names[:-1], "c"] if constant else names
    if len(inputs) != count:
        raise ValueError(f"inputs must hold {count} names, one per input, got {len(inputs)}")
    return [str(name) for name in inputs]


def _input(constant: bool) -> str:
    return "input (c: the constant)" if constant else "input"


def _ticks(ax: Axes, axis: int, names: Sequence[str], most: int = 25) -> None:
    """A tick for every name, or for some where there are too many."""
    stride = 1 + (len(names) - 1) // most
    places = list(range(0, len(names), stride))
    if places[-1] != len(names) - 1:
        places[-1] = len(names) - 1
    which = ax.xaxis if axis == 0 else ax.yaxis
    words = any(len(names[j]) > 2 for j in places)
    which.set_ticks(places, [names[j] for j in places])
    if axis == 0 and words:
        ax.tick_params(axis="x", rotation=90)


def _decades(ax: Axes) -> None:
    """Whole decades on a log axis, which would otherwise magnify the last digits."""
    low, high = ax.get_ylim()
    if high < 30 * low:
        ax.set_ylim(10.0 ** np.floor(np.log10(low)), 10.0 ** np.ceil(np.log10(high)))
