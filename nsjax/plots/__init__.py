"""Figures: a result in, a matplotlib Figure out."""

from nsjax.plots.escape import plot_escape, plot_escape_times, plot_series

__all__ = ["plot_escape", "plot_escape_times", "plot_series"]
