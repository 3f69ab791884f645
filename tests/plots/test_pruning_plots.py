import matplotlib.pyplot as plt
import numpy as np
import pytest

from nsjax import plots


def test_a_stacked_bar_for_each_method_and_a_line_at_its_fourth_share():
    panels = {
        "sparse\nd = 5": {"gates": (0.7, 0.2, 0.1, 0.6), "lasso": (0.0, 1.0, 0.0, 0.0)},
        "dense\nd = 5": {"lasso": (0.5, 0.0, 0.5, 0.25), "gates": (1.0, 0.0, 0.0, 1.0)},
    }
    figure = plots.plot_structures(panels)
    first, second = figure.axes
    assert [label.get_text() for label in first.get_yticklabels()] == ["gates", "lasso"]
    assert first.yaxis_inverted()
    # Bars kind by kind; in the second panel the methods stand in the order of the first.
    wanted = np.array([list(panels["dense\nd = 5"][name]) for name in ("gates", "lasso")])
    widths = np.array([bar.get_width() for bar in second.patches]).reshape(3, 2).T
    np.testing.assert_allclose(widths, wanted[:, :3])
    ends = [bar.get_x() + bar.get_width() for bar in second.patches[-2:]]
    np.testing.assert_allclose(ends, 1)
    np.testing.assert_allclose(second.lines[0].get_xdata(), wanted[:, 3])
    assert second.get_title() == "dense\nd = 5"
    (legend,) = figure.legends
    assert legend.get_texts()[0].get_text() == "exact as pruned"
    with pytest.raises(ValueError, match="at least one panel"):
        plots.plot_structures({})


def test_the_figure_of_the_caller_is_left_alone():
    """Bars keep their labels, for a legend of the caller's own."""
    figure, places = plt.subplots(1, 2)
    shares = {"gates": (0.7, 0.2, 0.1, 0.6)}
    assert plots.plot_structures({"a": shares, "b": shares}, ax=places) is figure
    assert (figure.legends, figure.get_supxlabel()) == ([], "")
    assert places[1].get_xlabel() == "share of seeds"
    assert len(places[0].get_legend_handles_labels()[1]) == 4


@pytest.mark.parametrize("labels", [("exact", "more", "missing"), "four"])
def test_every_share_has_a_label(labels):
    with pytest.raises(ValueError, match="labels must be four, one for each share, got"):
        plots.plot_structures({"a": {"gates": (0.7, 0.2, 0.1, 0.6)}}, labels=labels)
