import numpy as np
import pytest
from matplotlib.figure import Figure

from nsjax import plots

NAN = np.nan


def test_curves_are_medians_with_quartiles_and_ended_networks_keep_their_last_value():
    table = np.array([[4.0, 2.0, NAN], [4.0, 3.0, 1.0], [4.0, 4.0, 2.0], [4.0, 5.0, 3.0]])
    panel = Figure().subplots()
    figure = plots.plot_learning_curves({"plain": table}, quantity="loss (nats)", ax=panel)
    assert figure is panel.figure
    (line,), (band,) = panel.lines, panel.collections
    np.testing.assert_allclose(line.get_xdata(), [1, 2, 3])
    np.testing.assert_allclose(line.get_ydata(), [4, 3.5, 2])
    ends = band.get_paths()[0].vertices
    at_end = ends[ends[:, 0] == 3][:, 1]
    np.testing.assert_allclose([at_end.min(), at_end.max()], [1.75, 2.25])
    assert panel.get_ylabel() == "loss (nats)"
    assert panel.get_xscale() == panel.get_yscale() == "log"
    assert [text.get_text() for text in panel.get_legend().get_texts()] == ["plain"]


def test_one_network_is_a_line_and_axes_may_be_linear():
    figure = plots.plot_learning_curves({"a": [0.5, 0.0], "b": [0.25, 0.125]}, log=False)
    panel = figure.axes[0]
    assert panel.get_yscale() == "linear"
    assert len(panel.lines) == 2
    assert len({line.get_color() for line in panel.lines}) == 2


def test_no_curves_and_too_many_are_refused():
    with pytest.raises(ValueError, match="curves must hold 1 to"):
        plots.plot_learning_curves({})
    with pytest.raises(ValueError, match="got 40"):
        plots.plot_learning_curves({str(i): [1.0] for i in range(40)})
