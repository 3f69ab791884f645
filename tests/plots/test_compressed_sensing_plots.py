"""Phase diagrams: one panel a method, labelled axes, and shapes that must fit."""

import numpy as np
import pytest

from nsjax import plots


def test_recovery_has_a_panel_a_method():
    """Shares as given, sizes on the axes."""
    shares = np.array([[1.0, 1.0], [0.0, 0.5], [0.0, 0.0]])
    figure = plots.plot_recovery(
        {"one": shares, "two": shares}, samples=(10, 20), sparsities=(2, 4, 6)
    )
    panels = [ax for ax in figure.axes if ax.get_title()]
    assert [ax.get_title() for ax in panels] == ["one", "two"]
    np.testing.assert_array_equal(panels[0].images[0].get_array(), shares)
    assert [label.get_text() for label in panels[0].get_xticklabels()] == ["10", "20"]
    with pytest.raises(ValueError, match=r"panels\['one'\] must have shape \(3, 2\)"):
        plots.plot_recovery({"one": shares.T}, samples=(10, 20), sparsities=(2, 4, 6))
