"""One look for every figure: colour-blind safe, and readable at the width of a paper's column."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from nsjax import _check

RC: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "legend.fontsize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "lines.linewidth": 1.4,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "savefig.dpi": 200,
    "figure.constrained_layout.use": True,
    # For those who save within `matplotlib.rc_context(plots.style.RC)`: letters stay letters.
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
}
COLUMN = 3.4
"""Width of a figure in one column of a two-column paper, inches."""
PAGE = 6.9
"""Width of a figure over both columns, inches."""
LARGEST_COLUMN = 4.2
"""Widths up to this one are drawn in one column, wider ones over both."""
CATEGORIES = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#000000",
    "#666666",
)
"""Colours of Okabe and Ito, and a grey, for unordered groups; viridis for ordered ones.

A lighter grey would be the purple one to those who lack the cones for green.
"""
# An odd number of colours: zero has one of its own.
SIGNED = LinearSegmentedColormap.from_list("signed", [CATEGORIES[0], "white", CATEGORIES[1]], N=257)
"""Colours of signed values, white at zero."""


def fit(width: float) -> float:
    """The width that a paper has: one column or two, so that no font shrinks in print."""
    return COLUMN if width <= LARGEST_COLUMN else PAGE


@contextmanager
def house() -> Iterator[None]:
    """Within it new figures have the look of `RC`."""
    # A notebook's backend switches interactive mode on when it is loaded, for which matplotlib
    # waits until the first figure. Loaded within the context, its end would switch that off again,
    # and later figures would not be shown.
    plt.draw_if_interactive()
    with plt.rc_context(RC):
        yield


def axes(ax: Axes | None, *, size: tuple[float, float] = (3.4, 2.6)) -> tuple[Figure, Axes]:
    """The given axes with their figure, or a new figure of one panel, its width by `fit`."""
    if ax is not None:
        if not isinstance(ax, Axes):
            raise TypeError(f"ax must be matplotlib Axes, got {type(ax).__name__}")
        figure = ax.get_figure(root=True)
        assert figure is not None
        return figure, ax
    with house():
        figure, ax = plt.subplots(figsize=(fit(size[0]), size[1]))
    return figure, ax


def grid(
    rows: int,
    columns: int,
    *,
    panel: tuple[float, float] = (2.5, 2.1),
    ax: Sequence[Axes] | None = None,
    **options: Any,
) -> tuple[Figure, Any]:
    """The given axes with their figure, or a new figure of `rows` x `columns` panels.

    Args:
        rows, columns: of the panels.
        panel: wanted size of each in inches; the figure's width is brought to that of a paper.
        ax: `rows * columns` axes, row by row, as any sequence or array.
        options: of `matplotlib.pyplot.subplots`.

    Returns:
        The figure, and an array `(rows, columns)` of axes.

    Raises:
        TypeError, ValueError: if `ax` is not as many axes.
    """
    if ax is not None:
        given = np.array([ax] if isinstance(ax, Axes) else ax, dtype=object).ravel()
        if given.size != rows * columns:
            raise ValueError(f"ax must be {rows * columns} axes, one a panel, got {given.size}")
        return axes(given[0])[0], given.reshape(rows, columns)
    size = (fit(panel[0] * columns), panel[1] * rows)
    with house():
        return plt.subplots(rows, columns, figsize=size, squeeze=False, **options)


def legend_below(figure: Figure, *entries: Any, columns: int, **options: Any) -> None:
    """A legend below all panels, in as many columns as fit the figure's width, at most `columns`.

    Args:
        figure: where to draw.
        entries: handles, or handles and labels; by default those of all panels.
        columns: the most, positive.
        options: of `Figure.legend`.
    """
    options = {"loc": "outside lower center", **LEGEND, **options}
    _fitted(figure.legend, entries, columns, figure.bbox.width, options)


def legend_above(ax: Axes, *entries: Any, columns: int = 4, **options: Any) -> None:
    """A legend above the axes, where no line runs, in columns that fit; see `legend_below`."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    # Up to the next panel, or the figure's edge: a tenth of the panel's width beyond it.
    room = 1.1 * ax.get_position().width * figure.bbox.width
    options = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderaxespad": 0.2, **options}
    _fitted(ax.legend, entries, columns, room, {**LEGEND, **options})


LEGEND: dict[str, Any] = {
    "frameon": False,
    "fontsize": RC["legend.fontsize"],
    "title_fontsize": RC["legend.fontsize"],
    "columnspacing": 1.2,
    "handlelength": 1.5,
}
"""The look of a legend."""


def _fitted(
    draw: Callable[..., Legend],
    entries: tuple[Any, ...],
    columns: int,
    room: float,
    options: dict[str, Any],
) -> None:
    named = {"handles": entries[0]} if len(entries) == 1 else {}
    placed = entries if len(entries) == 2 else ()
    for count in range(columns, 0, -1):
        drawn = draw(*placed, ncols=count, **named, **options)
        if count == 1 or drawn.get_window_extent().width <= room:
            return
        drawn.remove()


def drawable(name: str, value: Any, *wanted: str) -> Any:
    """Return `value` if it has the attributes of the result that is to be drawn.

    Raises:
        TypeError: if it lacks one.
    """
    for attribute in wanted:
        if not hasattr(value, attribute):
            raise TypeError(
                f"{name} must have {', '.join(wanted)}, got {type(value).__name__} without "
                f"{attribute}"
            )
    return value


def drawables(name: str, values: Any, *wanted: str) -> list[Any]:
    """Several such results; one alone is taken as a list of one.

    Raises:
        TypeError, ValueError: if there are none, or one of them lacks an attribute.
    """
    if all(hasattr(values, attribute) for attribute in wanted):
        return [values]
    if not isinstance(values, Iterable):
        return [drawable(name, values, *wanted)]
    found = [drawable(f"{name}[{i}]", value, *wanted) for i, value in enumerate(values)]
    if not found:
        raise ValueError(f"{name} must hold at least one result, got none")
    return found


def plain_ticks(axis: Axis) -> None:
    """Ticks 0.1, 0.2, 0.5, 1, ... of a log axis, in place of powers of ten."""
    low, high = axis.get_view_interval()
    # Over less than that LogLocator falls back on as many ticks as there is room for.
    few = MaxNLocator(5) if low > 0 and high < 5 * low else LogLocator(subs=(1.0, 2.0, 5.0))
    axis.set_major_locator(few)
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def narrow_ticks(axis: Axis) -> None:
    """Plain ticks on a log axis over less than a factor of ten, with one power of ten or none."""
    low, high = axis.get_view_interval()
    if axis.get_scale() == "log" and high < 10 * low:
        plain_ticks(axis)


def ordered_colors(count: int) -> list[Any]:
    """Colours for `count` ordered values, dark to light, without the palest yellow."""
    return [plt.get_cmap("viridis")(0.9 * i / max(count - 1, 1)) for i in range(count)]


def power_of_ten(value: float) -> str:
    r"""The positive number `value` as mathtext, `10^{-3}` or `2 10^{-3}`.

    Raises:
        TypeError, ValueError: for what is no positive number.

    >>> print(power_of_ten(2e-3))
    $2\cdot 10^{-3}$
    """
    value = _check.positive("value", value)
    exponent = int(np.floor(np.log10(value) + 1e-9))
    factor = value / 10.0**exponent
    power = f"10^{{{exponent}}}"
    return f"${power}$" if abs(factor - 1) < 1e-6 else f"${factor:.2g}\\cdot {power}$"
