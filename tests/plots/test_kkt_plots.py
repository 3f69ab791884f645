"""KKT plots: the kinds told apart, log axes, labels, and figures that can be saved."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest

from nsjax import plots


def landscape(shares=(0.5, 0.3, 0.15, 0.05)):
    """One point of every kind, best first."""
    return SimpleNamespace(
        values=np.array([4.0, 3.0, 2.0, 0.0]),
        signs=np.array([1, 1, 1, 0]),
        shares=np.asarray(shares),
        is_maximum=np.array([True, False, True, True]),
        kinked=np.array([False, False, True, False]),
    )


def path():
    """Two lines of three snapshots, the second born late; the first snapshot is at time zero."""
    nan = np.nan
    values = np.array([[4.0, nan], [3.0, nan], [1.0, 2.0], [0.5, 1.5]])
    return SimpleNamespace(
        ts=np.array([0.0, 0.1, 1.0, 10.0]),
        losses=np.array([10.0, 9.0, 3.0, 1.0]),
        values=values,
        signs=np.isfinite(values).astype(int),
        shares=np.where(np.isfinite(values), 0.5, nan),
        is_maximum=np.isfinite(values),
        kinked=np.array([[False, False]] * 3 + [[True, False]]),
    )


def legend(ax):
    return words(ax.get_legend())


def words(legend):
    return [text.get_text() for text in legend.get_texts()]


KINDS = ["maximum", "saddle", "on a kink", "dead"]


def test_kinds_have_their_own_markers():
    """One marker for each of the four kinds; only saddles and the dead are hollow."""
    _, ax = plt.subplots()
    assert plots.plot_kkt_points(landscape(), ax=ax) is ax.figure
    assert [line.get_marker() for line in ax.lines] == ["o", "^", "D", "s"]
    assert [line.get_markerfacecolor() == "white" for line in ax.lines] == [
        False,
        True,
        False,
        True,
    ]
    assert [line.get_xydata()[0].tolist() for line in ax.lines] == [[1, 4], [2, 3], [3, 2], [4, 0]]
    assert legend(ax) == KINDS
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("rank by value", "value $N$")
    sizes = [line.get_markersize() for line in ax.lines]
    assert sizes == sorted(sizes, reverse=True)


def test_values_against_shares_and_the_best_few():
    """Shares on a log axis; `most` cuts points and legend."""
    figure = plots.plot_kkt_points(landscape(), against="share", most=2)
    (ax,) = figure.axes
    assert ax.get_xscale() == "log"
    assert [line.get_xydata()[0].tolist() for line in ax.lines] == [[0.5, 4], [0.3, 3]]
    assert legend(ax) == KINDS[:2]


def test_unknown_axis():
    """The names that there are."""
    with pytest.raises(ValueError, match=r"against must be one of \['rank', 'share'\], got 'size'"):
        plots.plot_kkt_points(landscape(), against="size")


def test_landscape_shows_every_search(tmp_path):
    """Bars for the mean, a dot for each of two searches, one axis of ranks."""
    levels = landscape([[0.6, 0.2, 0.1, 0.1], [0.4, 0.4, 0.2, 0.0]])
    figure = plots.plot_landscape(levels, title="two searches")
    above, below = figure.axes
    np.testing.assert_allclose([bar.get_height() for bar in below.patches], [0.5, 0.3, 0.15, 0.05])
    assert [line.get_ydata().tolist() for line in below.lines] == levels.shares.tolist()
    assert above.get_xlim() == below.get_xlim()
    figure.savefig(tmp_path / "landscape.pdf")
    assert (tmp_path / "landscape.pdf").stat().st_size > 1000


def test_circle_marks_the_point_at_both_ends_of_the_turn():
    """A mark at 0 or just below 360 degrees is drawn at both."""
    angles = np.linspace(0, 2 * np.pi, 91)
    circle = SimpleNamespace(
        angles=angles,
        values=4 * np.cos(angles / 2) ** 2,
        marks=np.array([2 * np.pi - 1e-12, np.pi / 2]),
        which=np.array([0, 2]),
    )
    (ax,) = plots.plot_circle(circle, landscape()).axes
    marks = [(line.get_xdata()[0], line.get_marker()) for line in ax.lines[1:]]
    assert marks == [(0, "o"), (360, "o"), (90.0, "D")]
    assert legend(ax) == [KINDS[0], KINDS[2]]


def test_path_shares_its_time_axis_with_the_loss(tmp_path):
    """Log axes without the snapshot at time zero; the largest value over the lines."""
    figure = plots.plot_kkt_path(path(), title="a path")
    above, below = figure.axes
    for ax in figure.axes:
        assert ax.get_xscale() == ax.get_yscale() == "log"
        assert ax.get_ylabel()
    assert above.get_xlim() == below.get_xlim()
    assert words(figure.legends[0]) == ["largest", KINDS[0], KINDS[2]]
    np.testing.assert_array_equal(above.lines[-1].get_ydata(), [3.0, 2.0, 1.5])
    np.testing.assert_array_equal(below.lines[0].get_xdata(), [0.1, 1.0, 10.0])
    figure.savefig(tmp_path / "path.png")


def test_path_with_a_second_column_from_the_drop_on():
    """The time counts anew there; both columns have one scale of values and of losses."""
    figure = plots.plot_kkt_path(path(), since=1)
    left, right, loss_left, loss_right = figure.axes
    np.testing.assert_allclose(loss_left.lines[0].get_xdata(), [0.1])
    np.testing.assert_allclose(loss_right.lines[0].get_xdata(), [0.9, 9.9])
    assert left.get_ylim() == right.get_ylim()
    assert loss_left.get_ylim() == loss_right.get_ylim()
    assert loss_right.get_xlabel() == "$t - t_0$, $t_0 = $0.1"
    assert len(plots.plot_kkt_path(path(), since=3).axes) == 2


def test_path_into_given_axes():
    """The values alone."""
    _, ax = plt.subplots()
    assert plots.plot_kkt_path(path(), ax=ax) is ax.figure
    assert len(ax.figure.axes) == 1
    assert legend(ax) == ["largest", KINDS[0], KINDS[2]]
    assert ax.get_xlabel() == "time $t$"


def test_alignment_orders_the_neurons_alike_in_every_map():
    """By the point they are closest to in the last map but one, then by the cosine."""
    before = np.array([[0.2, 0.9], [0.8, -0.1], [0.95, 0.3]])
    stages = {"before": (before, [0.1, 0.2, 0.3]), "after": (before[:, ::-1], [1.0, 2.0, 3.0])}
    figure = plots.plot_alignment(stages, values=[2.0, 1.0], title="heat")
    first, second, bar = figure.axes
    np.testing.assert_array_equal(first.images[0].get_array(), before[[2, 1, 0]])
    np.testing.assert_array_equal(second.images[0].get_array(), before[[2, 1, 0], ::-1])
    assert [label.get_text() for label in first.get_yticklabels()] == ["0.3", "0.2", "0.1"]
    assert [label.get_text() for label in second.get_xticklabels()] == ["2", "1"]
    assert bar.get_ylabel() == "cosine"
    assert len(first.texts) == 6


def test_alignment_without_signs():
    """Absolute cosines have the scale 0 to 1, and say so."""
    figure = plots.plot_alignment({"only": (np.full((2, 1), 0.5), [1.0, 1.0])}, values=[1.0])
    assert figure.axes[0].images[0].get_clim() == (0, 1)
    assert figure.axes[-1].get_ylabel() == "|cosine|"


def test_dominant_is_relative_to_the_start():
    """Every line begins at (1, 1); the guide is the square root."""
    figure = plots.plot_dominant({"one": path(), "two": path()}, title="both")
    (ax,) = figure.axes
    assert ax.get_xscale() == ax.get_yscale() == "log"
    np.testing.assert_allclose(ax.lines[0].get_xydata()[[0, -1]], [[1, 1], [0.1, 0.375]])
    guide = ax.lines[-1].get_xydata()
    np.testing.assert_allclose(guide[:, 1] ** 2, guide[:, 0])
    assert words(figure.legends[0]) == ["one", "two", "square root of the loss"]


def test_shares_are_means_with_every_search():
    """A bar for the mean over searches, a dot for each."""
    figure = plots.plot_shares(SimpleNamespace(shares=[[0.5, 0.25], [0.3, 0.25]]))
    [ax] = figure.axes
    np.testing.assert_allclose([bar.get_height() for bar in ax.patches], [0.4, 0.25])
    assert [line.get_ydata().tolist() for line in ax.lines] == [[0.5, 0.25], [0.3, 0.25]]
