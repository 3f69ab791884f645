"""Neurons that align near saddles: one frame, and an animation in nonlinear time."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.animation import FuncAnimation
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from nsjax.plots.style import CATEGORIES, SIGNED, axes, grid, power_of_ten

RING = (1.06, 1.24)
"""Radii of the ring that shows the landscape, in units of the disc of neurons."""
INNER = 0.25
"""Radius of the smallest neuron: directions must be told apart there, too."""
LABELS = -np.pi / 4
"""Angle at which radii are labelled."""
LEAST = 1e-7
"""Losses below this share of the largest are drawn there."""
TRAIL = 12
"""Frames that a neuron's trail goes back."""


def plot_alignment_frame(course: Any, frame: int = -1, *, ax: Axes | None = None) -> Figure:
    """Neurons in the plane of their incoming weights: angle their direction, radius the log norm.

    The ring around them shows the NCF of a new unit neuron by the angle of its weights, orange
    where its outgoing weight should be positive, blue where negative; triangles mark its maxima
    outside the ring. Neurons have the colour of the sign of their own outgoing weight.

    Args:
        course: a `diagnostics.NeuronCourse`.
        frame: which of its frames, the last by default.
        ax: where to draw; a new figure by default.

    Raises:
        ValueError: if there is no such frame.
    """
    count = len(course.ts)
    if not -count <= frame < count:
        raise ValueError(f"frame must be one of {count} frames, got {frame}")
    figure, ax = axes(ax, size=(3.4, 3.4))
    _draw(ax, course, frame % count)
    return figure


def animate_alignment(course: Any) -> FuncAnimation:
    """An animation of `plot_alignment_frame`, beside the loss against nonlinear time.

    Args:
        course: a `diagnostics.NeuronCourse`. Its frames are equally spaced in `course_length`, so
            that long waits take few of them.

    Returns:
        The animation; `animation.save("alignment.gif", writer="pillow", fps=12, dpi=80)` writes it.
    """
    figure, ((left, right),) = grid(1, 2, panel=(3.45, 3.3))

    def draw(frame: int) -> list[Any]:
        left.clear()
        right.clear()
        _draw(left, course, frame)
        top = float(np.max(course.losses))
        losses = np.maximum(course.losses, LEAST * top)
        right.plot(course.lengths, losses, color="0.6")
        right.plot(course.lengths[frame], losses[frame], "o", color="black", markersize=5)
        right.set(yscale="log", ylabel="loss $f$ (sum over samples)")
        right.set_xlabel("nonlinear time: length of the neurons' paths")
        right.set_ylim(0.5 * float(np.min(losses)), 2 * top)
        return []

    draw(0)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # once is enough, or panels would move from frame to frame
    # `init_func` draws nothing: the first frame would be drawn twice.
    return FuncAnimation(figure, draw, frames=len(course.ts), init_func=list, repeat=False)


def _draw(ax: Axes, course: Any, frame: int) -> None:
    angles, values = np.asarray(course.angles), np.asarray(course.landscape)[frame]
    strength = float(np.max(np.abs(values))) or 1.0
    ax.set_aspect("equal")
    ax.set(xlim=(-1.5, 1.5), ylim=(-1.5, 1.5), xticks=[], yticks=[])
    ax.grid(False)
    for side in ax.spines.values():
        side.set_visible(False)
    edges = np.array(RING)[:, None]
    ring = (edges * np.cos(angles), edges * np.sin(angles))
    shade = np.stack([values, values]) / strength
    ax.pcolormesh(*ring, shade, cmap=SIGNED, vmin=-1, vmax=1, shading="gouraud", rasterized=True)
    for at in _maxima(np.abs(values)):
        color = CATEGORIES[1] if values[at] > 0 else CATEGORIES[0]
        place = 1.34 * np.array([np.cos(angles[at]), np.sin(angles[at])])
        turned = np.rad2deg(angles[at]) + 90
        ax.plot(*place, marker=(3, 0, turned), color=color, markersize=7, linestyle="")
    low, high = _range(course.norms)

    def radius(logs: Any) -> Any:
        return np.clip(INNER + (1 - INNER) * (logs - low) / (high - low), 0, None)

    first = int(np.ceil(low - 1e-9))
    for decade in range(first, int(np.floor(high + 1e-9)) + 1):
        ax.add_patch(
            Circle((0, 0), radius(decade), fill=False, color="0.88", linewidth=0.6, zorder=0)
        )
        if decade > first and (decade - first) % 2 == 0:
            ax.annotate(
                power_of_ten(10.0**decade),
                (radius(decade) * np.cos(LABELS), radius(decade) * np.sin(LABELS)),
                fontsize=7,
                color="0.45",
                ha="center",
                va="center",
            )
    past = slice(max(0, frame - TRAIL), frame + 1)
    logs = np.log10(np.maximum(np.asarray(course.norms)[past], 10.0**low))
    spots = np.asarray(course.places)[past] * radius(logs)[..., None]
    positive = np.asarray(course.signs)[frame] >= 0
    for chosen, color in ((positive, CATEGORIES[1]), (~positive, CATEGORIES[0])):
        for trail in np.moveaxis(spots[:, chosen], 1, 0):
            ax.plot(trail[:, 0], trail[:, 1], color=color, linewidth=0.8, alpha=0.5)
        ax.plot(
            spots[-1, chosen, 0],
            spots[-1, chosen, 1],
            "o",
            color=color,
            markersize=4.5,
            markeredgecolor="white",
            markeredgewidth=0.5,
        )
    ax.set_title(f"$t$ = {course.ts[frame]:.5g}")
    ax.set_xlabel("angle: direction, radius: norm; ring: NCF")


def _maxima(values: np.ndarray) -> np.ndarray:
    """Local maxima on a circle whose two ends are one point."""
    ring = values[:-1]
    if not np.ptp(ring):
        return np.array([], int)
    return np.flatnonzero((ring >= np.roll(ring, 1)) & (ring > np.roll(ring, -1)))


def _range(norms: Any) -> tuple[float, float]:
    """Logarithms of the smallest and largest positive norm of all frames, at least a decade."""
    positive = np.asarray(norms)[np.asarray(norms) > 0]
    if not positive.size:
        return -1.0, 0.0
    low = float(np.log10(positive.min()))
    return low, max(float(np.log10(positive.max())), low + 1)
