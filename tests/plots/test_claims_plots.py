import math
import warnings

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from nsjax import plots
from nsjax.plots.style import CATEGORIES

WRONG = to_rgb(CATEGORIES[1])


def test_claims_and_controls_on_their_lines():
    """Shares lie at their places; what came out the wrong way is orange, and nothing else is."""
    figure = plots.plot_claims({"a": [0.1, 3.0], "b": [0.0]}, {"c": [math.inf], "d": [0.5]})
    (ax,) = figure.axes
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == ["a", "b", "c (control)", "d (control)"]
    low, high = ax.get_xlim()
    dots = [
        (x, round(-y), to_rgb(line.get_color()) == WRONG)
        for line in ax.lines
        if line.get_marker() in "oD"
        for x, y in np.transpose(line.get_data())
    ]
    wanted = [(0.1, 0, False), (3.0, 0, True), (low, 1, False), (high, 2, False), (0.5, 3, True)]
    assert sorted(dots) == sorted(wanted)


def test_claims_alone():
    assert len(plots.plot_claims({"a": [0.5]}, {}).axes[0].get_yticks()) == 1


@pytest.mark.parametrize("share", [-1.0, math.nan])
def test_bad_shares(share):
    with pytest.raises(ValueError, match=r"shares must be non-negative, got .* for 'a'"):
        plots.plot_claims({"a": [share]}, {})


def test_nothing_that_can_be_drawn():
    """Limits of the axis still differ: matplotlib does not warn, which would be an error here."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = plots.plot_claims({}, {})
    assert figure.axes[0].get_yticks().size == 0
