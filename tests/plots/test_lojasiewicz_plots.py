"""Plots of the Łojasiewicz inequality: log axes, the law in the legend, the bound."""

import matplotlib.pyplot as plt
import numpy as np

from nsjax import plots
from nsjax.diagnostics import Fitted, Lojasiewicz, Trajectory, path_length
from nsjax.diagnostics.ladder import Envelope


def result(*, below=False, degree=None, code=Fitted.FITTED):
    """A made-up envelope of `t^4`."""
    levels = np.logspace(-16, -4, 13)
    ball = np.logspace(-20, 0, 11)
    envelope = Envelope(
        levels, 4 * levels**0.75, levels**0.25, 2 * levels**0.25, ball, 3.9 * ball**0.75, 0.0
    )
    known = code == Fitted.FITTED
    return Lojasiewicz(
        0.75 if known else np.nan,
        4.0 if known else np.nan,
        (0.748, 0.752),
        (3.9, 4.1),
        0.1,
        3.9,
        1e-4,
        0.0,
        envelope,
        envelope._replace(gradients=5 * levels**0.75) if below else None,
        1,
        degree,
        code,
    )


def labels(figure):
    """The legend's words."""
    legend = figure.legends[0] if figure.legends else figure.axes[0].get_legend()
    return [text.get_text() for text in legend.get_texts()]


def test_envelope_with_its_law():
    """Points of both sides, alpha and mu, and the slope that Assumption 2 allows."""
    _, ax = plt.subplots()
    figure = plots.plot_lojasiewicz(result(below=True, degree=3), ax=ax)
    assert figure is ax.figure
    assert ax.get_xscale() == ax.get_yscale() == "log"
    assert labels(figure) == [
        "$f > f^*$",
        "$f < f^*$",
        r"$\alpha = 0.750 \pm 0.002$, $\mu = 4$",
        r"$q / (2(q-1)) = 0.750$",
    ]


def test_inconclusive_envelope():
    """The points stay, the law goes."""
    figure = plots.plot_lojasiewicz(result(code=Fitted.NO_POWER_LAW))
    assert figure.axes[0].get_title() == "inconclusive"
    assert labels(figure) == ["$f > f^*$"]


def test_path_length(tmp_path):
    """One line and one bound for each flow; claimed bounds are dashed."""
    ts = np.concatenate([[0.0], np.logspace(0, 8, 50)])
    w = 0.05 * (1 + 8 * 0.05**2 * ts) ** -0.5
    flow = Trajectory(ts, w**4, 4 * w**3)
    claimed = path_length(flow, lojasiewicz=result())
    assert claimed.holds
    figure = plots.plot_path_length({"claimed": claimed, "not": claimed._replace(holds=False)})
    styles = [line.get_linestyle() for line in figure.axes[0].lines]
    assert styles == ["-", "--", "-", ":"]
    assert labels(figure)[0].startswith("claimed, bound / length 1.0")
    figure.savefig(tmp_path / "lengths.pdf")
    assert (tmp_path / "lengths.pdf").stat().st_size > 1000
    assert plots.plot_path_length(claimed).axes[0].get_ylabel() == "length still to go"
