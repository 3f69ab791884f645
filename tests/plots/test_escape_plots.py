"""Escape plots: log axes, labels, a line for each delta, the fitted slope in words."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest

from nsjax import plots


def result(delta):
    """A made-up escape with time 2 / delta."""
    ts = np.concatenate([[0.0], np.logspace(-3, 0, 20) * 4 / delta])
    grown = 1 + ts * delta
    return SimpleNamespace(
        delta=delta,
        ts=ts,
        escape_time=2 / delta,
        degree=3,
        losses=1 / grown,
        norm_ratio=grown,
        cosine=1 - 1 / grown,
        kkt_residual=1 / grown,
        drift=delta * grown,
        grad_norms=1 / grown,
    )


def test_series_have_log_axes_and_a_line_for_each_delta():
    """Every quantity, drawn into given axes."""
    escapes = [result(delta) for delta in (1e-1, 1e-2, 2e-3)]
    for quantity in plots.escape.QUANTITIES:
        _, ax = plt.subplots()
        figure = plots.plot_series(escapes, quantity, ax=ax)
        assert figure is ax.figure
        assert ax.get_xscale() == ax.get_yscale() == "log"
        assert ax.get_xlabel() == "time $t$"
        assert ax.get_ylabel()
        labels = [text.get_text() for text in ax.get_legend().get_texts()]
        assert labels == ["$10^{-1}$", "$10^{-2}$", "$2\\cdot 10^{-3}$"]


def test_unknown_quantity():
    """The names that there are."""
    with pytest.raises(ValueError, match="quantity must be one of"):
        plots.plot_series([result(0.1)], "speed")


def test_times_show_the_fitted_and_the_predicted_slope():
    """Alone in the title, together in the legend."""
    escapes = [result(delta) for delta in (1e-2, 1e-3, 1e-4)]
    single = plots.plot_escape_times({"one": escapes})
    assert single.axes[0].get_title() == "slope -1.000, predicted -1"
    both = plots.plot_escape_times({"one": escapes, "two": escapes})
    texts = [text.get_text() for text in both.legends[0].get_texts()]
    assert texts == [f"{name}: slope -1.000, predicted -1" for name in ("one", "two")]


def test_overview_has_six_panels(tmp_path):
    """Five series and the times; it can be saved, also with a run that did not escape."""
    lost = result(1e-4)
    lost.escape_time = float("nan")
    figure = plots.plot_escape([result(1e-2), result(1e-3), lost], title="two layers")
    assert len(figure.axes) == 6
    assert all(ax.get_ylabel() for ax in figure.axes)
    figure.savefig(tmp_path / "escape.pdf")
    assert (tmp_path / "escape.pdf").stat().st_size > 1000
