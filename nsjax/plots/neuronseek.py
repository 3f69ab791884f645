"""Plots of a search for a task-driven neuron: its terms, their shares, predictions, stability."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullFormatter

from nsjax.plots.style import (
    CATEGORIES,
    COLUMN,
    PAGE,
    RC,
    axes,
    drawable,
    grid,
    house,
    legend_below,
    ordered_colors,
)

_LEAST = 1e-17
_MOST_TERMS = 24
_MANY = 3000
_LONGEST = 28
_FEW_STEPS = 40
_LEGEND: Any = {"fontsize": RC["legend.fontsize"], "frameon": False}
_TITLE: Any = {"fontsize": RC["axes.titlesize"]}


def plot_terms(search: Any, *, ax: Axes | None = None) -> Figure:
    """Terms entering and leaving the neuron, step by step, and the errors below.

    A row of the upper panel is a term, its colour its share of the variance of the targets, on a
    log scale; it is white while the term is not part of the neuron. Of many terms the largest are
    shown. The lower panel has the relative error on training and held-out samples.

    Args:
        search: a `neuronseek.Search`, or anything with its `history`.
        ax: where to draw the upper panel, without the lower one; a new figure by default.

    Raises:
        TypeError, ValueError: for what is no search, or one without steps or terms.
    """
    history = drawable("search", search, "history").history
    shares = np.asarray(history.shares, float)
    if shares.ndim != 2 or not shares.size:
        raise ValueError(f"search must have steps and terms, got shares of shape {shares.shape}")
    rows = _rows(shares)
    kept = np.where(shares[:, rows] > 0, shares[:, rows], np.nan).T
    steps = 1 + np.arange(len(shares))
    if ax is None:
        height = 1.2 + 0.17 * len(rows)
        with house():
            figure, (upper, lower) = plt.subplots(
                2,
                1,
                sharex=True,
                figsize=(PAGE, height + 1.7),
                height_ratios=(height, 1.5),
            )
    else:
        figure, upper = axes(ax)
        lower = None
    finite = kept[np.isfinite(kept)]
    top = float(finite.max()) if finite.size else 1.0
    least = max(float(finite.min()) if finite.size else 0.1, 1e-8 * top)
    # Whole decades, so that the colour bar has labels.
    low = float(10 ** np.floor(np.log10(min(least, top / 3))))
    norm = LogNorm(low, float(10 ** np.ceil(np.log10(top))))
    image = upper.pcolormesh(
        np.append(steps, steps[-1] + 1) - 0.5,
        np.arange(len(rows) + 1) - 0.5,
        np.maximum(kept, low),
        norm=norm,
        cmap="viridis_r",
        edgecolors="white" if len(steps) <= _FEW_STEPS else "none",
        linewidth=0.5,
        rasterized=True,
    )
    upper.grid(False)
    upper.set_yticks(range(len(rows)), [_short(history.labels[i]) for i in rows])
    upper.invert_yaxis()
    upper.tick_params(axis="y", length=0)
    hidden = int(np.sum(np.any(shares > 0, axis=0))) - len(rows)
    if hidden > 0:
        upper.set_title(f"the largest {len(rows)} of {len(rows) + hidden} terms", **_TITLE)
    bar = figure.colorbar(image, ax=upper, pad=0.02)
    bar.set_label("share of variance", fontsize=RC["axes.labelsize"])
    bar.ax.tick_params(labelsize=RC["ytick.labelsize"])
    bar.ax.yaxis.set_minor_formatter(NullFormatter())
    last = upper if lower is None else lower
    last.set_xlabel("epoch" if _is_training(history) else "step")
    last.xaxis.set_major_locator(MaxNLocator(integer=True))
    if lower is not None:
        _errors(lower, steps, history)
    return figure


def plot_term_shares(result: Any, x: Any, *, ax: Axes | None = None) -> Figure:
    """Share of the variance of the outputs that each term of the formula has, as bars.

    Shares need not add up to 1: terms that depend on each other add or cancel.

    Args:
        result: a `neuronseek.Formula`, or anything that has one as `formula`.
        x: inputs `(n, d)` over which variances are taken.
        ax: where to draw; a new figure by default.

    Raises:
        ValueError: for a formula without terms.
    """
    formula = getattr(result, "formula", result)
    shares = {str(name): float(value) for name, value in dict(formula.shares(x)).items()}
    if not shares:
        raise ValueError("result must have a formula with terms, got none")
    ordered = sorted(shares, key=lambda name: -shares[name])
    shown = ordered[:_MOST_TERMS]
    figure, ax = axes(ax, size=(COLUMN, 1.0 + 0.21 * len(shown)))
    values = [shares[name] for name in shown]
    bars = ax.barh(range(len(shown)), values, color=CATEGORIES[0], height=0.7)
    ax.bar_label(bars, [_percent(value) for value in values], padding=3, fontsize=7)
    ax.set_yticks(range(len(shown)), [_short(name) for name in shown])
    ax.invert_yaxis()
    ax.grid(False, axis="y")
    ax.tick_params(axis="y", length=0)
    ax.set_xlim(0, 1.18 * max(*values, 1e-12))
    ax.set_xlabel("share of the variance of the outputs")
    if len(ordered) > len(shown):
        ax.set_title(f"the largest {len(shown)} of {len(ordered)} terms", **_TITLE)
    return figure


def plot_predictions(
    result: Any,
    x: Any,
    y: Any,
    *,
    held_out: tuple[Any, Any] | None = None,
    names: Sequence[str] | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Predicted against true values, one panel for each output.

    Of more than 3,000 points the density is shown, of those held out if there are any.

    Args:
        result: a formula, or anything that has one as `formula`.
        x, y: inputs `(n, d)` and targets `(n, c)` that it was fitted to.
        held_out: inputs and targets that it was not fitted to, drawn on top.
        names: of the c outputs.
        ax: where to draw the panel of a single output; a new figure by default.

    Raises:
        ValueError: if there is not one name for each output, or an `ax` for several outputs.
    """
    formula = getattr(result, "formula", result)
    parts = [("fitted", x, y)] + ([("held out", *held_out)] if held_out is not None else [])
    pairs = [(said, _matrix(targets), _matrix(formula(inputs))) for said, inputs, targets in parts]
    outputs = pairs[0][1].shape[1]
    if names is not None and len(names) != outputs:
        raise ValueError(f"names must have one for each of {outputs} outputs, got {len(names)}")
    if ax is not None and outputs > 1:
        raise ValueError(f"ax must be None for several outputs, got {outputs} of them")
    if ax is None:
        columns = min(outputs, 3)
        figure, panels = grid(-(-outputs // columns), columns, panel=(3.0, 2.8))
        places = list(panels.flat)
    else:
        figure, only = axes(ax)
        places = [only]
    for place in places[outputs:]:
        place.set_visible(False)
    for output, place in enumerate(places[:outputs]):
        _scatter(place, [(said, true[:, output], got[:, output]) for said, true, got in pairs])
        if names is not None:
            place.set_title(": ".join(filter(None, (names[output], place.get_title()))), **_TITLE)
    if places[0].get_legend_handles_labels()[0]:
        places[0].legend(loc="upper left", markerscale=1.5, handletextpad=0.2, **_LEGEND)
    return figure


def plot_confusion(
    result: Any, x: Any, y: Any, *, names: Sequence[str] | None = None, ax: Axes | None = None
) -> Figure:
    """How many samples of each class were given each label.

    Args:
        result: a formula, or anything that has one as `formula`.
        x: inputs `(n, d)`.
        y: labels -1 and 1, `(n, 1)`, or one-hot rows `(n, c)`.
        names: of the classes, that of label -1 first.
        ax: where to draw; a new figure by default.

    Raises:
        ValueError: if there is not one name for each class.
    """
    formula = getattr(result, "formula", result)
    labels, outputs = _matrix(y), _matrix(formula(x))
    if labels.shape[1] == 1:
        count = 2
        true, given = (labels[:, 0] > 0).astype(int), (outputs[:, 0] > 0).astype(int)
    else:
        count = labels.shape[1]
        true, given = labels.argmax(axis=1), outputs.argmax(axis=1)
    if names is not None and len(names) != count:
        raise ValueError(f"names must have one for each of {count} classes, got {len(names)}")
    table = np.zeros((count, count), int)
    np.add.at(table, (true, given), 1)
    figure, ax = axes(ax, size=(max(2.8, 1.4 + 0.42 * count), max(2.2, 1.2 + 0.38 * count)))
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    ax.grid(False)
    for i, j in zip(*np.nonzero(table), strict=True):
        color = "white" if shares[i, j] > 0.6 else "black"
        ax.text(j, i, str(table[i, j]), ha="center", va="center", color=color, fontsize=7)
    shown = [str(i) for i in range(count)] if names is None else [_short(name) for name in names]
    turned = max(map(len, shown)) > 5
    ax.set_xticks(
        range(count), shown, rotation=40 if turned else 0, ha="right" if turned else "center"
    )
    ax.set_yticks(range(count), shown)
    ax.set_xlabel("predicted")
    ax.set_ylabel("true")
    wrong = 1 - np.trace(table) / max(table.sum(), 1)
    ax.set_title(f"{wrong:.1%} of {table.sum()} wrong", **_TITLE)
    return figure


def plot_stability(
    searches: Mapping[str, Sequence[Any]] | Sequence[Any],
    *,
    quantity: str = "test error",
    ax: Sequence[Axes] | None = None,
) -> Figure:
    """Over seeds: the test error of every search, and how often each structure was found.

    Args:
        searches: searches that differ by their seed, with `formula` and `test_error`; by name of
            the method or data, or of one alone.
        quantity: label of the errors.
        ax: where to draw, two axes; a new figure by default.

    Raises:
        ValueError: for no search.
    """
    named = dict(searches) if isinstance(searches, Mapping) else {"": list(searches)}
    if not named or not all(len(each) for each in named.values()):
        raise ValueError("searches must hold at least one search for each name, got none")
    height = 1.4 + 0.42 * len(named)
    figure, ((left, right),) = grid(1, 2, panel=(3.2, height), ax=ax, sharey=True)
    for row, each in enumerate(named.values()):
        errors = np.array([float(search.test_error) for search in each])
        errors = np.maximum(errors[np.isfinite(errors)], _LEAST)
        spread = (
            0.22 * np.linspace(-1, 1, len(errors)) if len(errors) > 1 else np.zeros(len(errors))
        )
        left.plot(errors, row + spread, "o", color=CATEGORIES[0], markersize=4, alpha=0.7)
        if errors.size:
            middle = float(np.median(errors))
            left.plot([middle, middle], [row - 0.32, row + 0.32], color=CATEGORIES[1])
        counts = [
            n for _, n in Counter(search.formula.structure() for search in each).most_common()
        ]
        colors = ordered_colors(max(len(counts), 2))
        right.barh(
            [row] * len(counts),
            counts,
            left=np.cumsum([0, *counts[:-1]]),
            color=colors[: len(counts)],
            edgecolor="white",
            height=0.6,
        )
        said = "all alike" if len(counts) == 1 else f"{len(counts)} distinct"
        said = said if len(each) > 1 else ""
        right.annotate(
            said,
            (sum(counts), row),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=7,
        )
    most = max(len(each) for each in named.values())
    left.set_xscale("log")
    # An axis around errors that agree would magnify their last digits.
    low, high = left.get_xlim()
    if high < 10 * low:
        left.set_xlim(low / 10, high * 10)
    left.set_xlabel(f"{quantity} (line: median)")
    left.set_yticks(range(len(named)), [_short(name) for name in named])
    left.set_ylim(len(named) - 0.4, -0.6)
    left.tick_params(axis="y", length=0)
    right.tick_params(axis="y", length=0)
    right.set_xlim(0, 1.35 * most)
    right.xaxis.set_major_locator(MaxNLocator(integer=True))
    right.set_xlabel("seeds, by the structure found")
    for place in (left, right):
        place.grid(False, axis="y")
    return figure


def plot_exactness(
    rows: Mapping[str, Mapping[str, tuple[Any, Any]]],
    *,
    label: str = "test error (MSE / variance)",
    ax: Axes | None = None,
) -> Figure:
    """Errors of many tasks, a row each; filled where the structure found is the true one.

    Args:
        rows: by task and by series, such as a level of noise: values `(S,)` of S seeds, and whether
            each found the true structure, `(S,)`, or None where there is no truth.
        label: of the values, on a log axis.
        ax: where to draw; a new figure with a legend by default.

    Raises:
        ValueError: if there is no row.
    """
    if not rows:
        raise ValueError("rows must have at least one task, got none")
    series = list(dict.fromkeys(name for each in rows.values() for name in each))
    figure, panel = axes(ax, size=(5.2, 1.4 + 0.27 * len(rows) * max(1, len(series) / 3)))
    step = 0.7 / max(len(series), 1)
    for place, each in enumerate(rows.values()):
        if place % 2:
            panel.axhspan(place - 0.5, place + 0.5, color="0.96", zorder=0)
        for name, (values, exact) in each.items():
            values = np.maximum(np.asarray(values, float), _LEAST)
            filled = np.ones(len(values), bool) if exact is None else np.asarray(exact, bool)
            color = CATEGORIES[series.index(name) % len(CATEGORIES)]
            marker = "osD^vP"[series.index(name) % 6]
            at = np.full(len(values), place + step * (series.index(name) - (len(series) - 1) / 2))
            for which, face in ((filled, color), (~filled, "white")):
                panel.plot(
                    values[which],
                    at[which],
                    marker,
                    color=color,
                    markerfacecolor=face,
                    markersize=4,
                    alpha=0.8,
                    linestyle="",
                )
    panel.set_xscale("log")
    panel.set_xlabel(label)
    panel.set_yticks(range(len(rows)), [_short(name) for name in rows])
    panel.set_ylim(len(rows) - 0.5, -0.5)
    panel.grid(False, axis="y")
    panel.tick_params(axis="y", length=0)
    if ax is None:
        handles = [
            Line2D([], [], color=CATEGORIES[i % len(CATEGORIES)], marker="osD^vP"[i % 6], ls="")
            for i in range(len(series))
        ]
        handles.append(Line2D([], [], color="0.3", marker="o", markerfacecolor="white", ls=""))
        names = [*series, "another structure"]
        legend_below(figure, handles, names, columns=4, loc="outside upper center")
    return figure


def _rows(shares: np.ndarray) -> list[int]:
    """Terms to show, in the order in which they first came in."""
    present = shares > 0
    ever = np.flatnonzero(present.any(axis=0))
    if not ever.size:
        return list(range(min(shares.shape[1], _MOST_TERMS)))
    largest = ever[np.argsort(-shares[:, ever].max(axis=0), kind="stable")][:_MOST_TERMS]
    entered = present.argmax(axis=0)
    return sorted(largest.tolist(), key=lambda i: (entered[i], -shares[:, i].max()))


def _is_training(history: Any) -> bool:
    """Whether steps are epochs: a search by candidates says what each of its steps did."""
    actions = tuple(getattr(history, "actions", ()))
    return bool(actions) and all("epoch" in str(action) for action in actions)


def _errors(ax: Axes, steps: np.ndarray, history: Any) -> None:
    curves = (("training", history.train, "-"), ("held out", history.validation, "--"))
    marker = "o" if len(steps) <= _FEW_STEPS else ""
    for (name, values, style), color in zip(curves, CATEGORIES, strict=False):
        values = np.asarray(values, float)
        if np.any(np.isfinite(values)):
            ax.plot(
                steps,
                np.maximum(values, _LEAST),
                style,
                marker=marker,
                markersize=3,
                color=color,
                label=name,
            )
    ax.set_yscale("log")
    ax.set_ylabel("relative error")
    ax.legend(ncols=2, **_LEGEND)


def _scatter(ax: Axes, parts: Sequence[tuple[str, np.ndarray, np.ndarray]]) -> None:
    everything = np.concatenate([np.concatenate(pair) for _, *pair in parts])
    everything = everything[np.isfinite(everything)]
    low, high = float(everything.min()), float(everything.max())
    margin = 0.05 * (high - low or 1.0)
    low, high = low - margin, high + margin
    ax.plot([low, high], [low, high], color="0.5", linewidth=0.8, linestyle=":", zorder=0)
    if max(len(values) for _, values, _ in parts) > _MANY:
        said, true, got = parts[-1]
        ax.hexbin(true, got, gridsize=45, bins="log", mincnt=1, cmap="viridis_r", rasterized=True)
        ax.set_title(f"{len(true)} points {said}", **_TITLE)
    else:
        for (said, true, got), color in zip(parts, CATEGORIES, strict=False):
            alpha = min(1.0, max(0.25, 60 / max(len(true), 1) ** 0.7))
            style: dict[str, Any] = {
                "markersize": 5,
                "markeredgewidth": 0,
                "rasterized": len(true) > 500,
            }
            ax.plot(true, got, ".", color=color, alpha=alpha, label=said, **style)
    ax.set_xlim(low, high)
    ax.set_ylim(low, high)
    ax.set_aspect("equal")
    ax.set_xlabel("true")
    ax.set_ylabel("predicted")


def _matrix(values: Any) -> np.ndarray:
    array = np.asarray(values, float)
    return array[:, None] if array.ndim == 1 else array


def _percent(value: float) -> str:
    return f"{100 * value:.3g} %" if value >= 1e-4 else f"{100 * value:.0e} %"


def _short(name: str) -> str:
    """A name without mathematics mode, cut in the middle if it is long."""
    name = str(name).replace("$", r"\$")
    if len(name) <= _LONGEST:
        return name
    return f"{name[: _LONGEST - 8]}…{name[-7:]}"
