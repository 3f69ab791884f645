import numpy as np
import pytest

from nsjax import plots
from nsjax.diagnostics import KEPT, REASONS, Departures


def found(count):
    columns = {name: np.ones(count) for name in Departures._fields}
    columns |= {"degrees": np.full(count, 3), "own_rates": np.geomspace(1e-4, 1, count)}
    return Departures(**columns | {"growth": 1 + np.geomspace(1e-4, 1, count)})


def test_every_reason_has_a_marker_and_every_degree_a_line():
    figure = plots.plot_rival_growth(found(8), [KEPT, KEPT, *REASONS], factor=1.1)
    (panel,) = figure.axes
    labels = [line.get_label() for line in panel.lines]
    assert {KEPT, *REASONS} <= set(labels)
    law = next(line for line in panel.lines if "q = 3" in line.get_label())
    x, y = law.get_data()
    np.testing.assert_allclose(1 / (1 - 0.9 * x) - 1, y, rtol=1e-6)
    assert (panel.get_xscale(), panel.get_yscale()) == ("log", "log")
    with pytest.raises(ValueError, match="one for each of 8 escapes, got 1"):
        plots.plot_rival_growth(found(8), [KEPT], factor=1.1)


def test_shares_are_drawn_with_their_prediction():
    curve = [[1e-4, 1e-2], [1.0, 0.5], [0.8, 0.3], [1.0, 0.7], [1.0, 0.6]]
    figure = plots.plot_kept_shares({"two layers": {"teacher": curve}})
    (panel,) = figure.axes
    dashed = [line for line in panel.lines if line.get_linestyle() == "--"]
    np.testing.assert_allclose(dashed[0].get_ydata(), [1.0, 0.6])
    assert panel.get_legend().get_texts()[0].get_text() == "teacher"
    with pytest.raises(ValueError, match="at least one panel"):
        plots.plot_kept_shares({})


def test_break_curve_has_a_point_for_every_bin_with_escapes():
    rates = np.array([np.nan, -1.0, 0.05, 0.06, 0.5, 5.0])
    broken = np.array([False, False, False, True, True, True])
    figure = plots.plot_break_curve({"map": (rates, broken, np.full(6, 3))}, factor=1.1)
    (panel,) = figure.axes
    shares = [c.lines[0].get_ydata()[0] for c in panel.containers]
    assert shares == [0.0, 0.5, 1.0, 1.0]
    with pytest.raises(ValueError, match="at least one group"):
        plots.plot_break_curve({}, factor=1.1)
