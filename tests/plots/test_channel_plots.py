import numpy as np
import pytest

from nsjax import plots


def test_courses_and_their_slope():
    x = np.array([1.0, 10.0, 100.0])
    figure = plots.plot_channel_courses(
        {"tanh": [(x, 3 / x), (x, [np.nan, 0.0, 0.1])]}, slope=-1, xlabel="a", ylabel="b"
    )
    (panel,) = figure.axes
    first, second, line = panel.lines
    np.testing.assert_array_equal(first.get_ydata(), 3 / x)
    assert second.get_xdata().tolist() == [100.0]
    low, high = line.get_ydata()
    np.testing.assert_allclose(low / high, 100)
    assert [text.get_text() for text in panel.get_legend().get_texts()] == ["tanh", "slope -1"]
    with pytest.raises(ValueError, match="courses must hold a course"):
        plots.plot_channel_courses({"tanh": []}, slope=-1, xlabel="a", ylabel="b")


def test_shares_and_all_panels():
    shares = {"tanh": {"channel": (0.5, 0.2, 0.8), "finite": (0.25, 0.1, 0.5)}}
    (panel,) = plots.plot_channel_shares(shares).axes
    assert [bar.get_height() for bar in panel.patches] == [0.5, 0.25]
    with pytest.raises(ValueError, match="shares must hold"):
        plots.plot_channel_shares({})
    with pytest.raises(ValueError, match="each a bar"):
        plots.plot_channel_shares({"tanh": {}})
    some = {"tanh": [([1.0, 2.0], [3.0, 4.0])]}
    assert len(plots.plot_channels(some, some, some, shares).axes) == 4
