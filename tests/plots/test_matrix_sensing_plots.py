"""Plots of sensing: what is drawn where."""

import numpy as np
import pytest

from nsjax import plots
from nsjax.plots.matrix_sensing import FLOOR

CURVE = plots.ErrorCurve([10, 20, 40], [[1.0, 0.5], [0.1, 0.3], [0.0, 0.0]], 25.0)


def test_errors_are_medians_over_the_ratio_with_the_threshold():
    dots = plots.ErrorCurve([20], [[1e-3, 1e-3]], 0.0)
    figure = plots.plot_sensing_errors({"width 1": CURVE}, dimension=10, dots={"trained": dots})
    (ax,) = figure.axes
    line, threshold, crosses = ax.lines
    np.testing.assert_allclose(line.get_xdata(), [0.1, 0.2, 0.4])
    np.testing.assert_allclose(line.get_ydata(), [0.75, 0.2, FLOOR])
    assert threshold.get_xdata()[0] == pytest.approx(0.25)
    np.testing.assert_allclose(crosses.get_ydata(), [1e-3])
    assert ax.get_yscale() == "log"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["width 1", "trained"]


def test_thresholds_stand_at_their_measured_numbers():
    groups = {"one": [plots.Threshold(20, 22, 20, 25), plots.Threshold(40, 41, 39, 42)]}
    figure = plots.plot_sensing({"title": {"width 1": CURVE}}, groups, dimension=10)
    errors, thresholds = figure.axes
    assert errors.get_title() == "title"
    points = next(line for line in thresholds.lines if line.get_marker() == "o")
    np.testing.assert_allclose(points.get_ydata(), [22 / 20, 41 / 40])
    np.testing.assert_allclose(points.get_xdata(), [20, 40], rtol=0.03)


def test_nothing_to_draw_is_refused():
    with pytest.raises(ValueError, match="curves must hold"):
        plots.plot_sensing_errors({}, dimension=3)
    with pytest.raises(ValueError, match="groups must hold"):
        plots.plot_sensing_thresholds({})
