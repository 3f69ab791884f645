"""Pursuit plots: what each shows of a made-up pursuit, and bad input."""

from types import SimpleNamespace

import numpy as np
import pytest

import nsjax
from nsjax import plots

ACTIVATION = nsjax.PolyLeakyReLU(2)


@pytest.fixture
def result():
    """Two lanes and three rounds: a chain, a neuron of layer 1, both layers; lane 1 stops first."""
    nan = np.nan
    history = SimpleNamespace(
        live=np.array([[True, True], [True, True], [True, False]]),
        attempt=np.array([[1, 1], [1, 1], [1, 0]]),
        kind=np.array([[0, 0], [1, 2], [-1, 0]]),
        neurons=np.array([[[1, 1], [1, 1]], [[2, 1], [1, 2]], [[3, 2], [1, 2]]]),
        error=np.array([[0.5, 0.6], [0.1, 0.4], [1e-6, nan]]),
        validation=np.array([[0.7, 0.8], [0.3, 0.5], [1e-5, nan]]),
        test=np.full((3, 2), nan),
        ncf=np.array([[[1.0, 0, 0]] * 2, [[0.1, 0.4, 0.2]] * 2, [[0.2, 0.3, 0.1]] * 2]),
        relative_ncf=np.array([[[0.9, 0, 0]] * 2, [[0.2, 0.3, 0.4]] * 2, [[0.1, 0.2, 0.3]] * 2]),
        before=np.array([[1.0, 1], [0.5, 0.6], [0.1, nan]]),
        inserted=np.array([[0.9, 0.9], [0.4, 0.5], [0.05, nan]]),
        loss=np.array([[0.5, 0.6], [0.1, 0.4], [1e-6, nan]]),
        descent=np.array([[0.99, 0.98], [0.9, -30.0], [nan, nan]]),
        scale=np.array([[0.1, 0.2], [0.5, 0.3], [0.5, nan]]),
    )
    params = (np.array([[1.0, 0, -2], [1, 1, 1]]), np.array([[0.5, 1]]), np.array([[-1.0]]))
    return SimpleNamespace(history=history, lane=0, params=params)


def words(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_growth_shows_errors_of_all_lanes_and_the_layer_of_each_round(result):
    """Against neurons of all layers, or rounds; the lane returned in front."""
    ax = plots.plot_growth(result, held_out="test").axes[0]
    assert ax.get_yscale() == "log"
    assert ax.get_xlabel() == "hidden neurons of all layers"
    assert words(ax) == [
        "training",
        "test",
        "layer 1",
        "chain",
        "one in every layer",
        "other lanes, training",
    ]
    other, training, test, *_ = ax.get_lines()
    np.testing.assert_array_equal(other.get_xydata(), [[2, 0.6], [3, 0.4]])
    np.testing.assert_array_equal(training.get_xydata(), [[2, 0.5], [3, 0.1], [5, 1e-6]])
    np.testing.assert_array_equal(test.get_ydata(), [0.7, 0.3, 1e-5])
    rounds = plots.plot_growth(result, against="rounds").axes[0]
    np.testing.assert_array_equal(rounds.get_lines()[1].get_xdata(), [1, 2, 3])
    with pytest.raises(ValueError, match="against must be 'neurons' or 'rounds', got 'layers'"):
        plots.plot_growth(result, against="layers")


def test_the_last_attempt_of_a_lane_is_in_front(result):
    """A lane that began anew in round 2: its first round is drawn with the others."""
    result.history.attempt = np.array([[1, 1], [2, 1], [2, 0]])
    first, training, *_ = plots.plot_growth(result, against="rounds").axes[0].get_lines()
    np.testing.assert_array_equal(first.get_xydata(), [[1, 0.5]])
    other, training = training, plots.plot_growth(result).axes[0].get_lines()[2]
    np.testing.assert_array_equal(other.get_xydata(), [[1, 0.6], [2, 0.4]])
    np.testing.assert_array_equal(training.get_xydata(), [[3, 0.1], [5, 1e-6]])
    chain = plots.plot_ncf(result).axes[0].get_lines()[0]
    np.testing.assert_array_equal(chain.get_xydata(), [[1, 0.1], [2, 0.2]])
    before = plots.plot_insertions(result).axes[0].get_lines()[0]
    np.testing.assert_array_equal(before.get_ydata(), [0.5, 0.1])


def test_growth_without_validation(result):
    """No curve of what was not measured."""
    result.history.validation = np.full((3, 2), np.nan)
    ax = plots.plot_growth(result).axes[0]
    assert "validation" not in words(ax)


@pytest.mark.parametrize("relative", [False, True])
def test_ncf_of_every_layer_with_a_ring_around_what_was_taken(result, relative):
    """A chain first, then layer 1, then the best of both layers."""
    ax = plots.plot_ncf(result, relative=relative).axes[0]
    assert ax.get_yscale() == "log"
    assert words(ax) == ["chain", "layer 1", "layer 2", "taken"]
    table = result.history.relative_ncf if relative else result.history.ncf
    rings = [line for line in ax.get_lines() if line.get_linestyle() == "None"]
    wanted = [[(1, 0)], [(2, 1), (3, 1)], [(3, 2)]]
    for ring, taken in zip(rings, wanted, strict=True):
        points = [(number, table[number - 1, 0, kind]) for number, kind in taken]
        np.testing.assert_allclose(ring.get_xydata(), points)


def test_insertions_show_single_neurons_and_chains_against_their_size(result):
    """A rise of the loss far below 1 does not hide the rest."""
    first, second = plots.plot_insertions(result).axes
    assert words(first) == ["before the round", "on insertion", "after the refit"]
    np.testing.assert_array_equal(first.get_lines()[1].get_ydata(), [0.9, 0.4, 0.05])
    assert words(second) == ["leading order", "chain", "layer 1", "layer 2"]
    points = np.concatenate([line.get_xydata() for line in second.get_lines()[1:]])
    np.testing.assert_array_equal(points, [[0.1, 0.99], [0.2, 0.98], [0.5, 0.9], [0.3, -30]])
    assert second.get_yscale() == "symlog"


def test_balance_of_every_neuron(result):
    """Ratios of norms, `||w_in|| / (sqrt(2) ||w_out||)`, around the line at 1."""
    figure = plots.plot_balance(result, ACTIVATION)
    line, *layers = figure.axes[0].get_lines()
    np.testing.assert_array_equal(line.get_ydata(), [1, 1])
    found = np.concatenate([dots.get_ydata() for dots in layers])
    wanted = [5**0.5 / (2**0.5 * 0.5), 3**0.5 / 2**0.5, 1.25**0.5 / 2**0.5]
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
    low, high = figure.axes[0].get_ylim()
    assert low <= 0.1
    assert high >= 10


def test_weights_are_images_around_zero_with_the_constant_named(result):
    """One image a layer with its own bar; names of the inputs."""
    figure = plots.plot_weights(result, constant=True, title="f")
    figure.canvas.draw()
    panels = figure.axes[:3]
    for i, (panel, weight) in enumerate(zip(panels, result.params, strict=True)):
        image = panel.get_images()[0]
        np.testing.assert_array_equal(image.get_array(), weight)
        assert -image.norm.vmin == image.norm.vmax == np.max(np.abs(weight))
        assert panel.get_title() == f"$W_{{{i + 1}}}$"
    assert [tick.get_text() for tick in panels[0].get_xticklabels()] == ["1", "2", "c"]
    named = plots.plot_weights(result.params, inputs=["age", "size", "mass"]).axes[0]
    assert [tick.get_text() for tick in named.get_xticklabels()] == ["age", "size", "mass"]
    with pytest.raises(ValueError, match="inputs must hold 3 names, one per input, got 2"):
        plots.plot_weights(result, inputs=["a", "b"])


def test_used_inputs_and_neurons(result):
    """Norms of columns of the first matrix, those of the target in a colour; norms of neurons."""
    first, second = plots.plot_used(result, used=[0], constant=True).axes
    mine, others = first.get_lines()
    np.testing.assert_allclose(mine.get_xydata(), [[0, 2**0.5], [2, 5**0.5]])
    np.testing.assert_allclose(others.get_xydata(), [[1, 1]])
    assert words(first) == ["inputs of the target", "others"]
    assert words(second) == ["layer 1", "layer 2"]
    norms = np.concatenate([line.get_ydata() for line in second.get_lines()])
    np.testing.assert_allclose(norms, [5.25**0.5, 2, 1.5], rtol=1e-6)
    assert plots.plot_used(result).axes[0].get_legend() is None


def test_many_inputs_have_some_ticks_alone():
    """First and last among them."""
    params = (np.ones((2, 200)), np.ones((1, 2)))
    for plot in (plots.plot_weights, plots.plot_used):
        ticks = [tick.get_text() for tick in plot(params).axes[0].get_xticklabels()]
        assert len(ticks) <= 26
        assert (ticks[0], ticks[-1]) == ("1", "200")


def test_a_pursuit_without_rounds_is_refused(result):
    """There is nothing to draw."""
    result.history.live = np.zeros((0, 2), bool)
    for plot in (plots.plot_growth, plots.plot_ncf, plots.plot_insertions):
        with pytest.raises(ValueError, match="at least one round"):
            plot(result)
