"""Figures: a result in, a matplotlib Figure out."""

from nsjax.plots.escape import plot_escape, plot_escape_times, plot_series
from nsjax.plots.kkt import (
    plot_alignment,
    plot_circle,
    plot_dominant,
    plot_kkt_path,
    plot_kkt_points,
    plot_landscape,
    plot_shares,
)

__all__ = [
    "plot_alignment",
    "plot_circle",
    "plot_dominant",
    "plot_escape",
    "plot_escape_times",
    "plot_kkt_path",
    "plot_kkt_points",
    "plot_landscape",
    "plot_series",
    "plot_shares",
]
