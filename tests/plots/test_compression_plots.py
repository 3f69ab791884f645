"""Curves of compressed layers: what is drawn where."""

import numpy as np
import pytest

from nsjax import plots


def curve(seed):
    rng = np.random.default_rng(seed)
    return np.array([0.1, 0.5]), *(rng.uniform(0.1, 1, (2, size)) for size in (6, 6, 3))


def test_medians_are_drawn_for_every_norm_and_the_legend_names_them():
    curves = {"CP": {"isotropic": curve(0), "data": curve(1)}, "Tucker": {"data": curve(2)}}
    figure = plots.plot_compression({"plain": (0.9, curves), "task": (0.8, curves)})
    assert len(figure.axes) == 6
    first = figure.axes[0].get_lines()[0]
    np.testing.assert_allclose(first.get_xdata(), [10, 50])
    np.testing.assert_allclose(first.get_ydata(), np.median(curve(0)[1], axis=1))
    one = figure.axes[2].get_lines()[1]
    np.testing.assert_allclose(one.get_ydata(), 100 * np.median(curve(1)[2], axis=1))
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["CP, isotropic", "CP, data", "Tucker, data"]
    assert figure.axes[4].get_xlabel() == "parameters left of a layer (%)"


def test_nothing_to_draw_is_refused():
    with pytest.raises(ValueError, match="panels must hold at least one"):
        plots.plot_compression({})
