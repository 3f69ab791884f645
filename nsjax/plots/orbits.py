"""Plots of orbits of unimodal maps: depth laws, invariant densities, what rounding does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nsjax.plots.style import CATEGORIES, axes


def _legend(panel: Axes, **options: Any) -> None:
    panel.legend(frameon=False, fontsize=7, handlelength=1.2, **options)


def _something(name: str, values: Any) -> None:
    if not len(values):
        raise ValueError(f"{name} must hold something to draw, got none")


def plot_depth_law(
    eps: Mapping[int, Any],
    depths: Mapping[int, Any],
    predicted: Mapping[int, Any],
    *,
    title: str = "",
    ax: Axes | None = None,
) -> Figure:
    """Median smallest depth against the distance, for each number of points, with its prediction.

    Args:
        eps: distances `(E,)` for each K.
        depths: first visits `(R, E)` for each K; -1 for none, drawn as beyond all others.
        predicted: predicted medians `(E,)` for each K.
        title: of the panel.
        ax: where to draw.

    Raises:
        ValueError: if there is nothing to draw.
    """
    _something("eps", eps)
    figure, panel = axes(ax)
    for color, (k, near) in zip(CATEGORIES, eps.items(), strict=False):
        near, values = np.asarray(near), np.asarray(depths[k], float)
        values = np.where(values < 0, np.inf, values)
        low, middle, high = (
            np.quantile(values, q, axis=0, method="higher") for q in (0.25, 0.5, 0.75)
        )
        over = np.isfinite(middle)
        panel.plot(near[over], middle[over], "o", ms=3, color=color, label=f"$K = {k}$")
        band = np.isfinite(high)
        panel.fill_between(near[band], low[band], high[band], color=color, alpha=0.15, lw=0)
        panel.plot(near, predicted[k], "-", lw=1, color=color)
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.invert_xaxis()
    panel.set_xlabel(r"distance $\varepsilon$")
    panel.set_ylabel("smallest depth $m$")
    panel.set_title(title)
    _legend(panel, loc="lower right")
    return figure


def plot_error_budget(
    budgets: Any,
    errors: Mapping[int, Any],
    predicted: Mapping[int, Any],
    *,
    title: str = "",
    ax: Axes | None = None,
) -> Figure:
    """Median error against the budget of depth, for each number of points, with its prediction.

    Args:
        budgets: depths `(B,)`.
        errors: smallest errors `(R, B)` for each K.
        predicted: predicted medians `(B,)` for each K.
        title: of the panel.
        ax: where to draw.

    Raises:
        ValueError: if there is nothing to draw.
    """
    _something("errors", errors)
    figure, panel = axes(ax)
    budgets = np.asarray(budgets, float)
    for color, (k, each) in zip(CATEGORIES, errors.items(), strict=False):
        low, middle, high = np.quantile(np.asarray(each), (0.25, 0.5, 0.75), axis=0)
        panel.plot(budgets, middle, "o", ms=3, color=color, label=f"$K = {k}$")
        panel.fill_between(budgets, low, high, color=color, alpha=0.15, lw=0)
        panel.plot(budgets, predicted[k], "-", lw=1, color=color)
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.set_xlabel("depth budget $M$")
    panel.set_ylabel(r"error $\max_k |T^m(x_k) - y_k|$")
    panel.set_title(title)
    _legend(panel, loc="lower left", ncols=2, columnspacing=0.8)
    return figure


def plot_invariant_density(
    shares: Any,
    distribution: Any = None,
    *,
    label: str = "orbit",
    truth: str = "invariant density",
    title: str = "",
    ax: Axes | None = None,
) -> Figure:
    """Density of an orbit by cells, beside the invariant one.

    Args:
        shares: share of the orbit in equal cells of [0, 1], `(C,)`.
        distribution: distribution function of the invariant measure, at the `C + 1` borders or as
            many equal steps of [0, 1] as there are numbers; None for none.
        label: of the orbit.
        truth: of the invariant density.
        title: of the panel.
        ax: where to draw.

    Raises:
        ValueError: if there is nothing to draw.
    """
    _something("shares", shares)
    figure, panel = axes(ax)
    shares = np.asarray(shares)
    panel.stairs(
        shares * len(shares), np.linspace(0, 1, len(shares) + 1), color=CATEGORIES[0], label=label
    )
    if distribution is not None:
        reached = np.asarray(distribution)
        edges = np.linspace(0, 1, len(reached))
        heights = np.diff(reached) * (len(reached) - 1)
        panel.plot(
            (edges[1:] + edges[:-1]) / 2, heights, "--", color=CATEGORIES[1], lw=1, label=truth
        )
    panel.set_xlabel("$x$")
    panel.set_ylabel("density")
    panel.set_ylim(0, None)
    panel.set_title(title)
    _legend(panel)
    return figure


def plot_rounding(
    differences: Mapping[str, Any], *, bits: int = 53, ax: Axes | None = None
) -> Figure:
    """Distance of float64 orbits from the exact ones against depth, median over encodings.

    Args:
        differences: name to distances `(k, steps + 1)`.
        bits: of the format; the line is `2^(m - bits)`.
        ax: where to draw.

    Raises:
        ValueError: if there is nothing to draw.
    """
    _something("differences", differences)
    figure, panel = axes(ax)
    for color, (name, each) in zip(CATEGORIES, differences.items(), strict=False):
        middle = np.median(np.asarray(each), axis=0)
        seen = middle > 0  # a log axis has no zero
        panel.plot(np.flatnonzero(seen), middle[seen], "-", color=color, label=name)
    steps = np.arange(bits + 1)
    panel.plot(steps, 2.0 ** (steps - bits), "k:", lw=1, label=f"$2^{{m - {bits}}}$")
    panel.set_yscale("log")
    panel.set_xlabel("depth $m$")
    panel.set_ylabel("float64 against exact")
    _legend(panel)
    return figure


def plot_same_depth(
    depths: Sequence[float], shares: Any, *, label: str = "", ax: Axes | None = None
) -> Figure:
    """Share of first visits of float64 orbits at the true depth, against the predicted depth.

    Args:
        depths: predicted median depths, `(E,)`.
        shares: from `neuronseek.orbits.same_depth`, `(E,)`.
        label: of the line.
        ax: axes to draw into; new ones if not given.
    """
    figure, panel = axes(ax)
    panel.plot(depths, shares, "o-", ms=3, color=CATEGORIES[0], label=label)
    panel.axvline(53, color="0.5", lw=1, ls=":", label="53 steps")
    panel.set_xscale("log")
    panel.set_xlabel(r"median depth, $\log 2 / 2 \varepsilon$")
    panel.set_ylabel("share at the true depth")
    panel.set_ylim(-0.03, 1.03)
    _legend(panel)
    return figure
