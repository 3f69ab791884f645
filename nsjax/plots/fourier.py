"""Plots of the Fourier modes of neurons on a cyclic group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nsjax.plots.style import CATEGORIES, RC, grid


def plot_fourier(added: Any, final: Any, *, ax: Sequence[Axes] | None = None) -> Figure:
    """Neurons as they were added beside those of the finished network: spectra, purities, phases.

    Args:
        added, final: `diagnostics.FourierModes` of k neurons each; k may differ.
        ax: where to draw, four axes; a new figure by default.
    """
    figure, ((first, second), (purity, phases)) = grid(2, 2, panel=(3.4, 2.6), ax=ax)
    for panel, modes, title in ((first, added, "as added"), (second, final, "finished network")):
        power = np.asarray(modes.power)
        order = np.lexsort((-np.asarray(modes.purity), np.asarray(modes.frequency)))
        image = panel.imshow(
            power[order],
            aspect="auto",
            cmap="viridis",
            vmin=0,
            vmax=1,
            interpolation="nearest",
            extent=(0.5, power.shape[1] + 0.5, len(power) + 0.5, 0.5),
        )
        panel.set(title=title, xlabel="frequency", ylabel="neuron, sorted")
        panel.grid(visible=False)
    figure.colorbar(image, ax=second, label="share of power", fraction=0.08)
    bins = np.linspace(0, 1, 21).tolist()
    for modes, name, color in (
        (added, "as added", CATEGORIES[1]),
        (final, "finished", CATEGORIES[0]),
    ):
        purity.hist(np.asarray(modes.purity), bins, color=color, alpha=0.6, label=name)
    purity.set(xlabel="purity (share of the top frequency)", ylabel="neurons")
    purity.legend(frameon=False, loc="upper left", fontsize=RC["legend.fontsize"])
    angles = np.asarray(final.phase)
    turned = np.angle(np.exp(1j * (angles[:, 0] + angles[:, 1])))
    phases.plot([-np.pi, np.pi], [-np.pi, np.pi], color="0.6", linewidth=1)
    phases.plot(turned, angles[:, 2], ".", color=CATEGORIES[0], markersize=4)
    phases.set(
        xlabel=r"$\varphi_1 + \varphi_2$ of the summands",
        ylabel=r"$\varphi_3$ of the sum",
        title="phases",
        aspect="equal",
    )
    ticks, words = [-np.pi, 0, np.pi], [r"$-\pi$", "0", r"$\pi$"]
    phases.set_xticks(ticks, words)
    phases.set_yticks(ticks, words)
    return figure
