"""Error bands: log axes, medians and dots, one colour for both starts of a method, one legend."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from nsjax import plots

SAMPLES = (100, 200, 400)


def curve(factor, missing=()):
    """Errors of three seeds that fall as n^-3."""
    errors = factor * np.array([0.5, 1.0, 3.0]) * np.array(SAMPLES)[:, None] ** -3.0
    errors[list(missing)] = np.nan
    return SAMPLES, errors


def test_bands_show_medians_and_leave_out_what_is_missing():
    """A row without a number is no point; the threshold is a line."""
    _, ax = plt.subplots()
    curves = {"pursuit": curve(1e4), "Adam": curve(1e6, missing=(0,))}
    figure = plots.plot_error_bands(curves, threshold=1e-3, ax=ax)
    assert figure is ax.figure
    assert ax.get_xscale() == ax.get_yscale() == "log"
    assert ax.get_xlabel() == "samples $n$"
    assert "test error" in ax.get_ylabel()
    lines = {line.get_label(): line for line in ax.lines}
    np.testing.assert_allclose(lines["pursuit"].get_ydata(), 1e4 * np.array(SAMPLES) ** -3.0)
    np.testing.assert_array_equal(lines["Adam"].get_xdata(), SAMPLES[1:])
    assert any(set(np.asarray(line.get_ydata())) == {1e-3} for line in ax.lines)


def test_an_axis_that_shows_zero():
    """Errors of zero are drawn where the axis is linear; its label is the one asked for."""
    panels = {"one": {"pursuit": (SAMPLES, np.array([[0.1], [0.01], [0.0]]))}}
    figure = plots.plot_sample_efficiency(panels, quantity="share wrong", linear_below=1e-3)
    ax = figure.axes[0]
    assert ax.get_yscale() == "symlog"
    assert ax.get_ylabel() == "share wrong"
    assert ax.get_ylim()[0] < 0
    line = next(line for line in ax.lines if line.get_label() == "pursuit")
    np.testing.assert_array_equal(line.get_ydata(), [0.1, 0.01, 0.0])


def test_small_starts_share_the_colour_dashed():
    """In every panel, whatever other curves it has; the legend names each method once."""
    panels = {
        "one": {"pursuit": curve(1), "Adam": curve(2), "Adam, small init": curve(3)},
        "two": {"Adam, small init": curve(3), "pursuit": curve(1)},
    }
    figure = plots.plot_sample_efficiency(panels, label={"one": "samples $n$", "two": "steps"})
    first, second = figure.axes
    one, two = ({line.get_label(): line for line in ax.lines} for ax in (first, second))
    small = one["Adam, small init"]
    assert small.get_color() == one["Adam"].get_color() == two["Adam, small init"].get_color()
    assert (small.get_linestyle(), one["Adam"].get_linestyle()) == ("--", "-")
    assert one["pursuit"].get_color() == two["pursuit"].get_color() != small.get_color()
    assert [ax.get_title() for ax in figure.axes] == ["one", "two"]
    assert second.get_xlabel() == "steps"
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["pursuit", "Adam", "Adam, small init"]


def test_shapes_that_do_not_fit():
    """The curve is named."""
    with pytest.raises(ValueError, match=r"curves\['pursuit'\] must be positions"):
        plots.plot_error_bands({"pursuit": (SAMPLES, np.ones(3))})
