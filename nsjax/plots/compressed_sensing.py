"""Plots of sparse recovery: phase diagrams, and l1 norms."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nsjax.plots.style import RC, grid

CROWDED = 5
"""Numbers of samples beyond which their labels are turned."""
LONGEST = 20
"""Letters of a line of a title."""


def plot_recovery(
    panels: Mapping[str, Any],
    *,
    samples: Sequence[int],
    sparsities: Sequence[int],
    label: str = "sparsity $k$",
    columns: int = 4,
    ax: Sequence[Axes] | None = None,
) -> Figure:
    """Phase diagrams: share of instances recovered against samples and sparsity, a panel a method.

    Args:
        panels: title, broken at its comma, to shares `(K, N)`, of K sparsities and N numbers of
            samples; NaN where nothing was run.
        samples: the N numbers of samples.
        sparsities: the K sparsities, or what else is along the vertical axis.
        label: of that axis.
        columns: panels side by side.
        ax: where to draw, axes for full rows of panels; a new figure by default.

    Raises:
        ValueError: if shares do not fit.
    """
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    figure, places = grid(rows, columns, panel=(1.9, 2.0), ax=ax)
    for place in places.flat[len(panels) :]:
        place.set_visible(False)
    image = None
    for i, (place, (title, shares)) in enumerate(zip(places.flat, panels.items(), strict=False)):
        shares = np.asarray(shares, float)
        if shares.shape != (len(sparsities), len(samples)):
            raise ValueError(
                f"panels[{title!r}] must have shape {(len(sparsities), len(samples))}, got "
                f"{shares.shape}"
            )
        image = place.imshow(shares, origin="lower", aspect="auto", vmin=0, vmax=1, cmap="viridis")
        crowded = len(samples) > CROWDED
        place.set_xticks(
            range(len(samples)), [str(n) for n in samples], rotation=60 if crowded else 0
        )
        place.set_yticks(range(len(sparsities)), [str(k) for k in sparsities])
        place.grid(False)
        lines = [textwrap.fill(part, LONGEST) for part in title.replace(", ", ",\n").split("\n")]
        place.set_title("\n".join(lines), fontsize=RC["axes.titlesize"])
        if i + columns >= len(panels):
            place.set_xlabel("samples $n$")
        if i % columns == 0:
            place.set_ylabel(label)
    if image is not None:
        figure.colorbar(image, ax=places, label="share recovered", aspect=30)
    return figure
