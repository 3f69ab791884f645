"""Every figure that a test of this folder draws fits a two-column paper and can be read there."""

import matplotlib.pyplot as plt
import pytest
from matplotlib.legend import Legend
from matplotlib.text import Text

from nsjax.plots.style import COLUMN, PAGE, RC

SMALLEST_FONT = 7
"""Points, at the size of print."""


@pytest.fixture(autouse=True)
def _figures_fit_a_paper(monkeypatch):
    """Widths, fonts and legends of all figures whose size the house chose, and not the test."""
    make, drawn = plt.figure, []

    def figure(*args, **options):
        made = make(*args, **options)
        if "figsize" in options:
            drawn.append(made)
        return made

    monkeypatch.setattr(plt, "figure", figure)
    yield
    for each in drawn:
        width = each.get_size_inches()[0]
        assert width in (COLUMN, PAGE), f"figures are {COLUMN} or {PAGE} inches wide, not {width}"
        for text in each.findobj(Text):
            if text.get_text().strip() and text.get_visible():
                assert text.get_fontsize() >= SMALLEST_FONT, text
        for legend in each.findobj(Legend):
            assert legend.get_window_extent().width <= each.bbox.width, "a legend is cut off"
            for text in legend.get_texts():
                assert text.get_fontsize() <= RC["legend.fontsize"], text
