"""Plots of Łojasiewicz constants: log axes, the limit, and legends that fit into the figure."""

import numpy as np
import pytest

from nsjax import plots
from nsjax.diagnostics import Pointwise


def labels(figure):
    """The legend's words, after checking that it lies within the figure."""
    figure.canvas.draw()
    (legend,) = figure.legends
    box, outer = legend.get_window_extent(), figure.bbox
    assert box.x0 >= outer.x0
    assert box.x1 <= outer.x1
    return [text.get_text() for text in legend.get_texts()]


def test_pointwise():
    values = np.logspace(0, -8, 9)
    result = Pointwise(np.arange(9.0), values, np.linspace(1, 2, 9), 0.5, 1.0, 1.0, 2.0)
    figure = plots.plot_pointwise({"3 neurons": result, "5 neurons": result}, mus={"3 neurons": 1})
    ax = figure.axes[0]
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert ax.get_xlim()[0] > ax.get_xlim()[1]
    assert len(labels(figure)) == 3


def test_constants_with_those_not_measured():
    nan = np.nan
    figure = plots.plot_constants(
        [1, 3],
        alpha=[0.5, nan],
        alpha_interval=[(0.49, 0.51), (nan, nan)],
        mu=[1.0, nan],
        mu_interval=[(0.9, 1.1), (nan, nan)],
        hessian_mu=[1.0, 0.3],
        largest_alpha=0.75,
    )
    assert any("0.75" in label for label in labels(figure))
    left, right = figure.axes
    assert right.get_yscale() == "log"
    assert any(np.allclose(line.get_ydata(), 0.75) for line in left.get_lines())


def test_lengths_leave_out_what_was_not_measured():
    nan = np.nan
    curves = {
        "whole flow": ([2.0, 3.0], [20.0, 30.0]),
        "where $\\mu$ of the Hessian holds": ([1.0, nan], [1.5, nan]),
        "within the envelope's radius": ([nan, nan], [nan, nan]),
    }
    figure = plots.plot_length_bounds([1, 3], curves)
    found = labels(figure)
    assert found == [*list(curves)[:2], "measured", "bound"]
    assert figure.axes[0].get_yscale() == "log"
    assert figure.axes[0].get_xticks().tolist() == [1, 3]


def test_flows_with_as_many_neurons_stand_side_by_side():
    figure = plots.plot_length_bounds([1, 3, 3], {"whole flow": ([2.0, 3.0, 3.0], [4.0, 9.0, 9.0])})
    first, second, third = figure.axes[0].get_lines()[0].get_xdata()
    assert first == 1
    assert second < 3 < third
    assert second + third == pytest.approx(6)
