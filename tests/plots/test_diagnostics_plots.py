"""Plots of diagnostics: axes, labels, legends and thresholds, on made-up results."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest

from nsjax import plots

TS = np.array([0.0, 0.1, 1.0, 10.0, 100.0])
RNG = np.random.default_rng(0)


def layers(*widths):
    """Positive numbers for every neuron of every layer and snapshot."""
    return [0.5 + RNG.uniform(size=(len(TS), width)) for width in widths]


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def drawn(ax):
    """Lines with points: not those made for the legend."""
    return [line for line in ax.lines if len(line.get_xdata()) > 0]


def test_imbalance_has_a_line_per_neuron_and_a_name_per_layer():
    """Against time on a log axis; the start, at time zero, is off it."""
    _, ax = plt.subplots()
    assert plots.plot_imbalance(layers(3, 2), ts=TS, ax=ax) is ax.figure
    assert len(drawn(ax)) == 5
    assert legend(ax) == ["layer 1", "layer 2"]
    assert ax.get_xscale() == "log"
    assert ax.get_yscale() == "linear"
    assert ax.get_xlabel() == "time $t$"


def test_drift_is_a_share_of_the_size_on_a_log_axis():
    """|off - off_0| over the largest size, without the start; zero neurons are left out."""
    (off,), (size,) = layers(3), layers(3)
    size[:, 2] = 0
    (ax,) = plots.plot_imbalance([off], sizes=[size]).axes
    assert ax.get_yscale() == "log"
    assert ax.get_xlabel() == "snapshot"
    assert len(drawn(ax)) == 2
    expected = np.abs(off[1:, 0] - off[0, 0]) / size[:, 0].max()
    np.testing.assert_allclose(drawn(ax)[0].get_ydata(), expected)


def test_balance_ratio_marks_one_and_leaves_out_what_has_none():
    """NaN (zero neurons), 0 and infinity have no place on a log axis."""
    (ratio,) = layers(4)
    ratio[:, 0], ratio[:, 1], ratio[:, 2] = np.nan, 0, np.inf
    (ax,) = plots.plot_balance_ratio([ratio], ts=TS).axes
    assert len(drawn(ax)) == 2
    assert list(drawn(ax)[0].get_ydata()) == [1, 1]
    assert ax.get_yscale() == "log"


def test_balance_panels_share_a_scale():
    """Round one scale with 1 in its middle; a neuron's line begins where it is there."""
    ratios = np.array([[4.0, np.nan], [2.0, 1.0], [1.0, 0.5]])
    rounds = np.arange(1, 4)
    panels = {"a": (rounds, ratios), "b": (rounds, np.ones((3, 1)))}
    figure = plots.plot_balance_panels(panels, columns=2)
    first, second = figure.axes
    assert [first.get_title(), second.get_title()] == ["a", "b"]
    assert first.get_ylim() == second.get_ylim()
    np.testing.assert_allclose(np.prod(first.get_ylim()), 1, rtol=1e-12)
    assert first.get_ylim()[1] > 4
    assert {first.get_xlabel(), second.get_xlabel()} == {"round"}
    np.testing.assert_array_equal(drawn(first)[2].get_ydata(), [np.nan, 1.0, 0.5])


def dots(ax):
    return [line.get_ydata().tolist() for line in ax.lines if line.get_marker() == "o"]


def test_imbalance_and_balance_ratio_of_one_network():
    """A dot per neuron, layer after layer; ratios without a place on a log axis are left out."""
    (ax,) = plots.plot_imbalance([np.array([1.0, -2.0]), np.array([0.5])]).axes
    assert dots(ax) == [[1.0, -2.0], [0.5]]
    assert legend(ax) == ["layer 1", "layer 2"]
    _, ax = plt.subplots()
    ratios = [np.array([2.0, np.nan]), np.array([0.0])]
    assert plots.plot_balance_ratio(ratios, ax=ax) is ax.figure
    assert dots(ax) == [[2.0]]
    assert legend(ax) == ["layer 1"]
    assert ax.get_yscale() == "log"


def aligned(snapshots):
    shape = (snapshots,) if snapshots else ()
    each = (np.full((*shape, 3), 0.5), np.full((*shape, 2), np.nan))
    each[0][..., 0] = np.nan
    block = np.full(shape, 1.0)
    names = ("cosine", "kkt_residual", "ncf", "norm")
    found = dict.fromkeys(names, each) | {f"block_{name}": block for name in names}
    return SimpleNamespace(**found)


@pytest.mark.parametrize("quantity", ["kkt_residual", "cosine", "ncf", "norm"])
def test_neuron_alignment_of_a_trajectory(quantity):
    """Two neurons of layer 1 and the block; active neurons and layers without any are left out."""
    (ax,) = plots.plot_neuron_alignment(aligned(5), quantity, ts=TS).axes
    assert len(drawn(ax)) == 3
    assert legend(ax) == ["layer 1", "zero block"]
    assert ax.get_yscale() == ("linear" if quantity == "ncf" else "log")
    assert np.isfinite(drawn(ax)[-1].get_ydata()).all()


def test_neuron_alignment_of_one_network():
    """A dot per neuron, a line for the block."""
    (ax,) = plots.plot_neuron_alignment(aligned(0), "cosine").axes
    dots = [line for line in ax.lines if line.get_marker() == "o"]
    np.testing.assert_allclose(dots[0].get_ydata(), [0.5, 0.5])
    assert legend(ax) == ["layer 1", "zero block"]


@pytest.mark.parametrize("exact", [True, False])
def test_spectrum_shows_band_ticks_and_inertia(exact):
    """Counts in the title, marked as estimates where they are; a log axis; a tick a value."""
    values = np.array([-1.0, 0.0, 0.0, 2.0])
    grid = np.linspace(-2, 3, 50)
    found = SimpleNamespace(
        grid=grid,
        density=np.exp(-(grid**2)),
        eigenvalues=values,
        band=0.1,
        negative=1,
        zero=2,
        positive=1,
        exact=exact,
    )
    (ax,) = plots.plot_spectrum(found).axes
    assert "1 / 2 / 1" in ax.get_title()
    assert "band 1.0e-01" in ax.get_title()
    assert ("approx" in ax.get_title()) != exact
    assert ax.get_yscale() == "log"
    np.testing.assert_array_equal(ax.lines[-1].get_xdata(), values)


def test_sparsity_over_time_and_of_one_network():
    """A line per matrix, or a bar."""
    names = ("small", "hoyer", "rows", "columns", "stable_rank", "effective_rank")
    many = SimpleNamespace(**dict.fromkeys(names, RNG.uniform(size=(5, 3))))
    (ax,) = plots.plot_sparsity(many, ts=TS).axes
    assert legend(ax) == ["$W_1$", "$W_2$", "$W_3$"]
    one = SimpleNamespace(**dict.fromkeys(names, np.array([1.0, np.nan, 3.0])))
    (ax,) = plots.plot_sparsity(one, "stable_rank").axes
    assert len(ax.patches) == 3
    assert ax.get_ylabel() == "stable rank"


def test_activity_as_a_map_and_as_bars(tmp_path):
    """Snapshots by neurons with the layers divided; bars with the threshold; silent layers kept."""
    scores = layers(3, 2)
    scores[1][0] = np.nan
    many = SimpleNamespace(scores=scores, gradients=scores, tau=0.025)
    figure = plots.plot_activity(many, ts=TS)
    ax = figure.axes[0]
    assert ax.collections[0].get_array().shape == (5, 5)
    assert [line.get_ydata()[0] for line in ax.lines] == [2.5]
    figure.savefig(tmp_path / "map.png")
    one = SimpleNamespace(scores=[s[0] for s in scores], gradients=[], tau=0.025)
    (ax,) = plots.plot_activity(one).axes
    assert len(ax.patches) == 5
    assert ax.lines[0].get_ydata()[0] == 0.025
    assert legend(ax) == ["layer 1", "layer 2"]
    figure = plots.plot_activity(many, "gradients")
    assert figure.axes[0].get_xlabel() == "snapshot"


def test_active_neurons_as_a_map_and_as_bars(tmp_path):
    """Snapshots by neurons with the layers divided; how many of each layer are active."""
    first = np.array([[False, False], [True, False]])
    second = np.array([[False] * 3, [True, True, False]])
    figure = plots.plot_active_neurons([first, second], ts=[0.0, 2.0])
    (ax,) = figure.axes
    drawn_map = np.asarray(ax.collections[0].get_array())
    np.testing.assert_array_equal(drawn_map, np.hstack([first, second]).T)
    assert [line.get_ydata()[0] for line in ax.lines] == [1.5]
    assert ax.get_xlabel() == "time $t$"
    figure.savefig(tmp_path / "map.png")
    (ax,) = plots.plot_active_neurons([first[1], second[1]]).axes
    assert [bar.get_height() for bar in ax.patches] == [2, 3, 1, 2]
    assert ax.get_ylabel() == "active neurons"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plots.plot_imbalance([np.ones((1, 1, 3))]), r"imbalances\[0\] must have shape"),
        (lambda: plots.plot_imbalance([np.ones(3), np.ones((2, 3))]), r"imbalances\[1\] must have"),
        (lambda: plots.plot_imbalance([np.ones(3)], sizes=[np.ones(3)]), "sizes must be None"),
        (lambda: plots.plot_active_neurons([]), "active must have one array for each hidden"),
        (lambda: plots.plot_balance_ratio(layers(2), ts=[1.0]), r"ts must have shape \(5,\)"),
        (lambda: plots.plot_neuron_alignment(aligned(5), "angle"), "quantity must be one of"),
        (lambda: plots.plot_sparsity(SimpleNamespace(), "gini"), "quantity must be one of"),
        (lambda: plots.plot_activity(SimpleNamespace(), "norms"), "quantity must be one of"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
