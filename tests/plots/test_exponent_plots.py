"""Plots of exponents mark what fails, and draw the ends of Assumption 2."""

import numpy as np
import pytest

from nsjax import plots


def test_map_needs_a_bound_for_each_column():
    with pytest.raises(ValueError, match="alphas must have shape"):
        plots.plot_exponent_map(
            np.ones((1, 2)), [0.75], [["within"] * 2], rows=["a"], columns=["b", "c"]
        )


def test_map_marks_what_fails():
    figure = plots.plot_exponent_map(
        [[0.5, 0.75], [np.nan, 2 / 3], [np.nan, np.nan]],
        [0.75, 0.625],
        [["within", "outside"], ["", "cannot be told"], ["", "cannot be told"]],
        rows=["a", "b", "c"],
        columns=["p=2", "p=4"],
    )
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts == ["0.50", "0.75×", "", "0.67?", "", "?"]


def test_every_exponent_stands_with_its_interval_over_its_end():
    group = {
        "alpha": [0.5, 0.75],
        "interval": [[0.49, 0.51], [0.74, 0.77]],
        "bound": [0.75, 0.625],
        "verdict": ["within", "outside"],
    }
    (panel,) = plots.plot_exponents({"made": group}).axes
    assert [label.get_text() for label in panel.get_xticklabels()] == ["0.625", "0.75"]
    heights = [tuple(line.get_ydata()) for line in panel.lines]
    assert {(0.49, 0.51), (0.74, 0.77), (0.625, 0.625), (0.75, 0.75)} <= set(heights)
