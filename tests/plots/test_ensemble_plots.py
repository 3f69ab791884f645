import matplotlib.pyplot as plt
import numpy as np
import pytest

from nsjax import plots


def test_a_median_and_a_faint_line_for_each_member():
    ts = np.array([[0.0, 1, 10, 100], [0, 1, 10, 100], [0, 1, 10, np.inf]])
    losses = np.array([[1, 0.9, 0.5, 0.1], [1, 0.8, 0.3, 0.2], [1, 0.7, 0.1, np.nan]])
    figure = plots.plot_loss_bands({0.1: (ts, losses), 0.0001: (ts, losses)}, title="scale")
    [ax] = figure.axes
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["$10^{-4}$", "0.1"]
    assert len(ax.lines) == 8
    np.testing.assert_allclose(ax.lines[3].get_xdata(), [1, 10, 100])
    np.testing.assert_allclose(ax.lines[3].get_ydata(), [0.8, 0.3, 0.15])
    np.testing.assert_allclose(ax.lines[2].get_xdata(), [1, 10])
    given = plt.figure().add_subplot()
    assert plots.plot_loss_bands({1.0: (ts, losses)}, ax=given) is given.get_figure()
    with pytest.raises(ValueError, match="at least one ensemble"):
        plots.plot_loss_bands({})
