"""Plots of saddles at infinity say what they show."""

import numpy as np
import pytest

from nsjax import plots


def test_races_and_margins_and_exponents():
    depths = np.geomspace(0.1, 1e3, 20)
    figure = plots.plot_races({"D": {1e-2: (depths, depths / 1e4), 1e-1: (depths, depths / 1e3)}})
    panel = figure.axes[0]
    assert panel.get_xscale() == panel.get_yscale() == "log"
    assert len(panel.lines) == 3
    assert np.min(panel.lines[0].get_xdata()) > 0.5
    margins = plots.plot_margins({1e-2: (depths, np.ones(20))}, [0.5, 1.0]).axes[0]
    np.testing.assert_allclose(np.max(margins.lines[0].get_xdata()), np.log(1e3) / np.log(1e2))
    dots = plots.plot_escape_exponents({"a": ([1.0, 2.0], [1.1, 2.1])}).axes[0]
    np.testing.assert_array_equal(dots.lines[0].get_ydata(), [1.1, 2.1])
    with pytest.raises(ValueError, match="at least one case"):
        plots.plot_races({})
