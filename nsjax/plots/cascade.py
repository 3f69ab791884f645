"""Plots of cascades: the staircase of the loss, weights at each saddle, neurons, sparsity kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from nsjax.diagnostics import neuron_norms
from nsjax.plots.style import (
    CATEGORIES,
    RC,
    SIGNED,
    axes,
    drawable,
    drawables,
    grid,
    legend_above,
    legend_below,
    ordered_colors,
    power_of_ten,
)

_STAY = CATEGORIES[7]
_TINY = 1e-16


def plot_cascade(cascades: Any, *, ax: Axes | None = None, floor: float = 1e-6) -> Figure:
    r"""Loss against log time, a dot at each escape; beside it against the time `delta^(q-2) t`.

    Args:
        cascades: a result of `nsjax.dynamics.cascade`, several of one network at several deltas, or
            anything with their attributes. One alone is drawn over its plateaus, every other one
            shaded.
        ax: where to draw the first panel alone; a new figure of two panels by default.
        floor: losses below this share of the largest are cut off.

    Raises:
        TypeError, ValueError: for no cascades, what is none, or a cascade without visits.
    """
    found = drawables("cascades", cascades, "visits", "delta", "ts", "losses")
    for each in found:
        if len(each.visits) == 0:
            raise ValueError("cascades must have visits, got one without any")
    ordered = sorted(found, key=lambda cascade: -cascade.delta)
    if ax is None:
        figure, panels = grid(1, 2, panel=(3.4, 2.6))
        first, second = panels[0]
    else:
        figure, first = axes(ax)
        second = None
    degree = ordered[0].visits[0].degree
    _staircases(first, ordered, [1.0] * len(ordered), floor)
    first.set_xlabel("time $t$")
    if len(ordered) == 1:
        _shade(first, ordered[0])
    if second is None:
        _delta_legend(first, ordered)
        return figure
    _staircases(second, ordered, [c.delta ** (degree - 2) for c in ordered], floor)
    power = {2: "", 3: r"\delta\, "}.get(degree, rf"\delta^{{{degree - 2}}}\, ")
    second.set_xlabel(f"rescaled time ${power}t$")
    second.set_ylabel("")
    handles = [
        Line2D([], [], color=color, label=power_of_ten(cascade.delta))
        for cascade, color in zip(ordered, ordered_colors(len(ordered)), strict=True)
    ]
    handles.append(_dot("0.4", "escape"))
    legend_below(figure, handles, columns=len(handles), title=r"start size $\delta$")
    return figure


def plot_visits(cascade: Any, *, title: str = "", ax: Sequence[Axes] | None = None) -> Figure:
    """The weight matrices at each saddle: a column per visit, a row per layer, zero in white.

    Neurons are sorted by when they became active, rows of one matrix and columns of the next alike;
    the matrix of one layer has one colour scale at all visits. The last matrix is transposed, so
    that its rows are neurons too.

    Args:
        cascade: a result of `nsjax.dynamics.cascade`, or anything with its `visits`.
        title: over the figure.
        ax: where to draw, an axes for each layer and visit, row by row; a new figure by default.

    Raises:
        TypeError, ValueError: for what is no cascade, or one without visits.
    """
    visits = drawable("cascade", cascade, "visits").visits
    escape_order(visits)  # refuses none
    networks = [_sorted_weights(visit.params, escape_order(visits)) for visit in visits]
    rows = len(networks[0])
    heights = [max(weight.shape[0], 2) for weight in networks[0]]
    figure, panels = grid(
        rows,
        len(visits),
        panel=(1.25 + 1.2 / len(visits), 0.9 / rows + min(sum(heights) * 0.16 / rows, 2.2)),
        ax=ax,
        height_ratios=heights,
    )
    for layer in range(rows):
        scale = max(float(np.max(np.abs(network[layer]))) for network in networks) or 1.0
        for column, network in enumerate(networks):
            panel = panels[layer, column]
            image = panel.imshow(
                network[layer],
                cmap=SIGNED,
                vmin=-scale,
                vmax=scale,
                aspect="auto",
                interpolation="nearest",
            )
            panel.set(xticks=[], yticks=[])
            panel.grid(False)
            panel.spines[["top", "right"]].set_visible(True)
        last = rows > 1 and layer == rows - 1
        name = rf"$W_{{{layer + 1}}}^\top$" if last else f"$W_{{{layer + 1}}}$"
        panels[layer, 0].set_ylabel(f"{name}\nneurons")
        bar = figure.colorbar(image, ax=panels[layer].tolist(), fraction=0.05, pad=0.02)
        bar.ax.tick_params(labelsize=RC["ytick.labelsize"])
    for column, visit in enumerate(visits):
        counts = ", ".join(str(int(np.sum(flags))) for flags in visit.active)
        panels[0, column].set_title(f"{counts} active\nloss {_short(visit.loss)}", fontsize=8)
    for column in range(len(visits)):
        panels[rows - 1, column].set_xlabel(f"visit {column + 1}")
    if title:
        figure.suptitle(title, fontsize=10)
    return figure


def plot_neuron_norms(cascade: Any, *, ax: Axes | None = None) -> Figure:
    """Norm of every hidden neuron against time, log-log, coloured by the escape it takes part in.

    Args:
        cascade: a result of `nsjax.dynamics.cascade` with snapshots, or anything with its `ts`,
            `snapshots`, `visits` and `threshold`.
        ax: where to draw; a new figure by default.

    Raises:
        TypeError, ValueError: for what is no cascade, or one without visits or snapshots.
    """
    drawable("cascade", cascade, "ts", "snapshots", "visits", "threshold")
    if cascade.snapshots is None:
        raise ValueError("cascade must hold snapshots, got None; run it with snapshots=True")
    figure, ax = axes(ax, size=(4.6, 2.8))
    times = np.asarray(cascade.ts)
    later = times > 0
    order = np.concatenate(escape_order(cascade.visits))
    norms = np.concatenate([np.asarray(norm) for norm in neuron_norms(cascade.snapshots)], axis=1)
    for neuron in np.argsort(-order):
        color = _escape_color(int(order[neuron]))
        ax.plot(times[later], norms[later, neuron], color=color, linewidth=1.1)
    ax.axhline(cascade.threshold, color="0.3", linestyle="--", linewidth=0.8)
    ax.annotate(
        "threshold",
        (0.02, cascade.threshold),
        xycoords=("axes fraction", "data"),
        xytext=(0, 2),
        textcoords="offset points",
        fontsize=7,
        color="0.3",
    )
    _mark_escapes(ax, cascade)
    ax.set(xscale="log", yscale="log", xlabel="time $t$", ylabel="norm of each neuron")
    ax.set_xlim(*_window(cascade))
    _escape_legend(ax, order)
    return figure


def plot_neuron_residuals(
    cascade: Any, ts: Sequence[Any], residuals: Sequence[Any], *, ax: Axes | None = None
) -> Figure:
    """KKT residual of the direction of every small neuron, visit by visit.

    Args:
        cascade: as in `plot_neuron_norms`.
        ts: for each visit, times `(m,)` of its saves.
        residuals: for each visit, `(m, k)` over the neurons of all hidden layers in order, NaN for
            active ones; `nsjax.diagnostics.alignment(...).kkt_residual`.
        ax: where to draw; a new figure by default.
    """
    figure, ax = axes(ax, size=(4.6, 2.8))
    order = np.concatenate(escape_order(cascade.visits))
    for times, values in zip(ts, residuals, strict=True):
        times, values = np.asarray(times), np.maximum(np.asarray(values), _TINY)
        later = times > 0
        for neuron in np.argsort(-order):
            color = _escape_color(int(order[neuron]))
            ax.plot(times[later], values[later, neuron], color=color, linewidth=1.1)
    _mark_escapes(ax, cascade)
    ax.set(xscale="log", yscale="log", xlabel="time $t$", ylabel="KKT residual of each neuron")
    ax.set_xlim(*_window(cascade))
    _escape_legend(ax, order)
    return figure


def plot_kept_sparsity(
    kept: Any, *, threshold: float | None = None, ax: Axes | None = None
) -> Figure:
    """Size of the neurons that stay small: on arrival, at departure and on landing, by escape.

    Shown is the largest of those that are zero at both saddles of an escape; above them, as a bar,
    the smallest active neuron on landing.

    Args:
        kept: `diagnostics.KeptSparsity`, or a mapping from labels to several, drawn dark to light
            in their order.
        threshold: norm from which a neuron counts as active; a line is drawn there.
        ax: where to draw; a new figure by default.
    """
    several = kept if isinstance(kept, Mapping) else {"": kept}
    colors = ordered_colors(len(several))
    figure, ax = axes(ax, size=(4.6, 2.9))
    for found, color in zip(several.values(), colors, strict=True):
        for i in range(len(found.growth)):
            sizes = np.array([found.arrival[i], found.departure[i], found.landing[i]])
            places = i + 1 + np.array([-0.25, 0.0, 0.25])
            ax.plot(places, sizes, "-", color=color, linewidth=1)
            for place, size, marker in zip(places, sizes, "o^s", strict=True):
                ax.plot(place, size, marker, color=color, markersize=3.5)
            ax.plot([i + 0.7, i + 1.3], [found.active[i]] * 2, color="0.2", linewidth=1.6)
    ax.set_yscale("log")
    ax.set(xlabel="escape", ylabel="norm of a neuron")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    handles = [
        Line2D([], [], color=color, label=str(label))
        for label, color in zip(several, colors, strict=True)
        if label != ""
    ]
    names = {"o": "on arrival", "^": "at departure", "s": "on landing"}
    handles += [
        Line2D([], [], color="0.4", marker=marker, linestyle="", markersize=3.5, label=name)
        for marker, name in names.items()
    ]
    handles.append(Line2D([], [], color="0.2", linewidth=1.6, label="smallest active"))
    if threshold is not None:
        line = ax.axhline(threshold, color="0.3", linestyle="--", linewidth=0.8, label="threshold")
        handles.append(line)
    _aside(ax, handles, title="largest other")
    return figure


def plot_descent(
    cascade: Any, descent: Any, *, floor: float = 1e-6, ax: Axes | None = None
) -> Figure:
    """Loss of a cascade and of plain gradient descent from the same start against log time.

    Args:
        cascade: a result of `nsjax.dynamics.cascade`, or anything with its attributes.
        descent: has `ts` (step size times number of steps), `losses`, `visits` and `gradients`.
        floor: losses below this share of the largest are cut off.
        ax: where to draw; a new figure by default.
    """
    figure, ax = axes(ax, size=(3.6, 3.2))
    label = f"cascade, {cascade.stats.gradients:,} gradients"
    _staircase(ax, cascade, 1.0, floor, color=CATEGORIES[0], label=label, linewidth=2.2)
    label = f"gradient descent, {descent.gradients:,} gradients"
    _staircase(ax, descent, 1.0, floor, color=CATEGORIES[1], label=label, linestyle="--")
    ax.set(xscale="log", yscale="log", xlabel="time $t$ (steps times step size)")
    ax.set_ylabel("loss $f$ (sum over samples)")
    left, right = _window(cascade)
    ax.set_xlim(left, min(right, 1.5 * float(np.asarray(descent.ts)[-1])))
    handles, _ = ax.get_legend_handles_labels()
    legend_above(ax, [*handles, _dot("0.4", "escape")], columns=1)
    return figure


def escape_order(visits: Sequence[Any]) -> tuple[np.ndarray, ...]:
    """Number of the escape that each neuron takes part in, from 1; -1 for none, 0 if active before.

    That is the escape before the first visit at which it is active; after the last visit, that of
    the visit it is said to escape from.

    Args:
        visits: of a `Cascade`, or from `saddle_visits`, one or more.

    Returns:
        One integer array `(k_l,)` per hidden layer.

    Raises:
        ValueError: for no visit.
    """
    if len(visits) == 0:
        raise ValueError("visits must hold at least one, got none")
    orders = [np.full(len(flags), -1) for flags in visits[0].active]
    for number, visit in enumerate(visits):
        for order, flags in zip(orders, visit.active, strict=True):
            order[(order < 0) & np.asarray(flags)] = number
    for layer, neuron in visits[-1].escaping:
        if orders[layer - 1][neuron] < 0:
            orders[layer - 1][neuron] = len(visits)
    return tuple(orders)


def _sorted_weights(params: Any, order: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Weight matrices with neurons in the order of their escapes, those that stay small last."""
    weights = [np.asarray(weight) for weight in params]
    for layer, numbers in enumerate(order):
        place = np.argsort(np.where(numbers < 0, np.iinfo(int).max, numbers), kind="stable")
        weights[layer] = weights[layer][place]
        weights[layer + 1] = weights[layer + 1][:, place]
    weights[-1] = weights[-1].T
    return weights


def _staircases(ax: Axes, cascades: Sequence[Any], factors: Sequence[float], floor: float) -> None:
    for cascade, factor, color in zip(
        cascades, factors, ordered_colors(len(cascades)), strict=True
    ):
        _staircase(ax, cascade, factor, floor, color=color, label=power_of_ten(cascade.delta))
    starts = [_window(c)[0] * factor for c, factor in zip(cascades, factors, strict=True)]
    ends = [_window(c)[1] * factor for c, factor in zip(cascades, factors, strict=True)]
    ax.set(xscale="log", yscale="log", ylabel="loss $f$ (sum over samples)")
    ax.set_xlim(min(starts), max(ends))


def _staircase(ax: Axes, cascade: Any, factor: float, floor: float, **style: Any) -> None:
    """One loss curve with a dot at each escape, and the last loss held to the right."""
    times, losses = np.asarray(cascade.ts), np.asarray(cascade.losses)
    shown = (times > 0) & (losses >= floor * losses[0])
    ax.plot(times[shown] * factor, losses[shown], **style)
    for visit in cascade.visits:
        escape = visit.start + visit.duration
        if np.isfinite(escape) and escape > 0:
            level = np.interp(escape, times, losses)
            ax.plot(escape * factor, level, "o", color=style["color"], markersize=3.5)


def _escapes(cascade: Any) -> list[float]:
    ends = [visit.start + visit.duration for visit in cascade.visits]
    return [end for end in ends if np.isfinite(end) and end > 0]


def _window(cascade: Any) -> tuple[float, float]:
    """From well before the first escape to well after the last."""
    escapes, times = _escapes(cascade), np.asarray(cascade.ts)
    if not escapes:
        positive = times[times > 0]
        # A cascade that stops where it starts has none.
        return (float(positive[0]), float(positive[-1])) if len(positive) else (1.0, 10.0)
    return 0.03 * escapes[0], 3 * max(escapes[-1], escapes[0])


def _mark_escapes(ax: Axes, cascade: Any) -> None:
    for escape in _escapes(cascade):
        ax.axvline(escape, color="0.75", linewidth=0.7, zorder=0)


def _shade(ax: Axes, cascade: Any) -> None:
    """Every other plateau in grey."""
    left, right = _window(cascade)
    for i, visit in enumerate(cascade.visits):
        begin, end = max(visit.start, left), min(visit.start + visit.duration, right)
        if end > begin and i % 2 == 0:
            ax.axvspan(begin, end, color="0.93", zorder=0)


def _delta_legend(ax: Axes, cascades: Sequence[Any]) -> None:
    if len(cascades) > 1:
        ax.legend(title=r"$\delta$", ncols=2, frameon=False, fontsize=RC["legend.fontsize"])


def _escape_color(order: int) -> Any:
    return _STAY if order < 0 else "black" if order == 0 else CATEGORIES[(order - 1) % 6]


def _escape_legend(ax: Axes, order: np.ndarray) -> None:
    numbers = [int(number) for number in np.unique(order) if number >= 0]
    handles = [
        Line2D(
            [], [], color=_escape_color(number), label=f"escape {number}" if number else "active"
        )
        for number in numbers
    ]
    if np.any(order < 0):
        handles.append(Line2D([], [], color=_STAY, label="none"))
    _aside(ax, handles)


def _aside(ax: Axes, handles: Sequence[Line2D], title: str = "") -> None:
    """A legend to the right of the axes, where no curve runs."""
    ax.legend(
        handles=handles,
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
        title=title or None,
        fontsize=RC["legend.fontsize"],
        title_fontsize=RC["legend.fontsize"],
        frameon=False,
    )


def _dot(color: str, label: str) -> Line2D:
    return Line2D([], [], color=color, marker="o", linestyle="", markersize=3.5, label=label)


def _short(value: float) -> str:
    return f"{value:.3g}" if value >= 1e-3 or value == 0 else f"{value:.0e}"
