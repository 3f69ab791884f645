"""Plots of a neuron search: what each shows of a made-up search, and bad input."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest

from nsjax import plots


class Formula:
    """Stands in for a formula: outputs, shares and a structure that were made up."""

    def __init__(self, outputs=lambda x: x[:, :1], shares=(), structure="a"):
        self.outputs, self.named, self.kind = outputs, dict(shares), structure

    def __call__(self, x):
        return self.outputs(np.asarray(x))

    def shares(self, _):
        return self.named

    def structure(self):
        return self.kind


def search(structure="a", test_error=1e-3, **history):
    """Four steps: x0 comes and goes, I2.1 and x^2 stay, x3 was never there."""
    made = {
        "labels": ("x^2", "x0", "x3", "I2.1"),
        "shares": np.array(
            [[0, 0.6, 0, 0], [0, 0.5, 0, 0.3], [0.5, 0.1, 0, 0.4], [0.5, 0, 0, 0.5]]
        ),
        "train": np.array([0.5, 0.2, 1e-3, 1e-20]),
        "validation": np.array([0.6, 0.3, 2e-3, 2e-3]),
        "actions": ("adds x0", "adds I2.1", "adds x^2", "drops x0"),
    } | history
    formula = Formula(shares={"x^2": 0.5, "I2.1": 0.3, "x0": 1e-6}, structure=structure)
    return SimpleNamespace(formula=formula, history=SimpleNamespace(**made), test_error=test_error)


def ticks(labels):
    return [label.get_text() for label in labels]


def test_terms_enter_and_leave_in_their_order():
    """A row for each term that ever was there, white while it is not; errors on a log axis."""
    upper, lower, _ = plots.plot_terms(search()).axes
    assert ticks(upper.get_yticklabels()) == ["x0", "I2.1", "x^2"]
    (image,) = upper.collections
    shown = np.ma.filled(image.get_array().astype(float), 0).reshape(3, 4)
    np.testing.assert_allclose(shown, [[0.6, 0.5, 0.1, 0], [0, 0.3, 0.4, 0.5], [0, 0, 0.5, 0.5]])
    assert upper.yaxis_inverted()
    assert lower.get_yscale() == "log"
    assert lower.get_xlabel() == "step"
    assert ticks(lower.get_legend().get_texts()) == ["training", "held out"]
    np.testing.assert_allclose(lower.lines[0].get_ydata(), [0.5, 0.2, 1e-3, 1e-17])
    assert lower.get_xlim()[0] < 1


def test_terms_of_training_are_over_epochs_and_without_held_out_samples():
    """Nothing is drawn that is not there; an axis given has the upper panel alone."""
    trained = search(
        validation=np.full(4, np.nan), actions=tuple(f"epoch {i}" for i in range(1, 5))
    )
    _, lower, _ = plots.plot_terms(trained).axes
    assert lower.get_xlabel() == "epoch"
    assert ticks(lower.get_legend().get_texts()) == ["training"]
    _, ax = plt.subplots()
    assert plots.plot_terms(trained, ax=ax) is ax.figure
    assert ax.get_xlabel() == "epoch"
    assert not ax.lines


def test_of_many_terms_the_largest_are_shown():
    """The title says how many there are; names that are long are cut."""
    shares = np.arange(1, 41)[None, :] / 100.0
    labels = tuple(f"x{i} " * 12 + "end" for i in range(40))
    many = search(
        labels=labels, shares=shares, train=[0.1], validation=[0.2], actions=("adds them",)
    )
    upper = plots.plot_terms(many).axes[0]
    assert upper.get_title() == "the largest 24 of 40 terms"
    names = ticks(upper.get_yticklabels())
    assert names[0].startswith("x39 x39")
    assert max(map(len, names)) <= 28
    assert all(name.endswith("x16 end"[-7:]) or name.endswith("end") for name in names)


def test_a_search_without_terms_is_refused():
    with pytest.raises(ValueError, match=r"steps and terms, got shares of shape \(0, 2\)"):
        plots.plot_terms(search(shares=np.zeros((0, 2))))


def test_a_neuron_that_never_had_a_term_is_drawn():
    """All shares zero: an empty panel, not an error."""
    assert len(plots.plot_terms(search(shares=np.zeros((4, 4)))).axes) == 3


def test_shares_are_bars_largest_first():
    """Of a search or of its formula; tiny ones are written as powers of ten."""
    x = np.zeros((3, 2))
    for result in (search(), search().formula):
        ax = plots.plot_term_shares(result, x).axes[0]
        assert ticks(ax.get_yticklabels()) == ["x^2", "I2.1", "x0"]
        np.testing.assert_allclose([bar.get_width() for bar in ax.patches], [0.5, 0.3, 1e-6])
        assert [text.get_text() for text in ax.texts] == ["50 %", "30 %", "1e-04 %"]
    with pytest.raises(ValueError, match="must have a formula with terms, got none"):
        plots.plot_term_shares(Formula(), x)


@pytest.mark.parametrize("samples", [50, 4000])
def test_predictions_lie_on_the_diagonal_of_their_panel(samples):
    """Points of both parts, or the density of many; equal axes; a panel and a name per output."""
    rng = np.random.default_rng(0)
    x, other = rng.normal(size=(samples, 2)), rng.normal(size=(20, 2))
    formula = Formula(outputs=lambda x: x)
    figure = plots.plot_predictions(formula, x, x, held_out=(other, other), names=("a", "b"))
    for ax, name in zip(figure.axes, "ab", strict=True):
        assert ax.get_xlim() == ax.get_ylim()
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("true", "predicted")
        if samples == 50:
            assert ax.get_title() == name
            assert [line.get_label() for line in ax.lines[1:]] == ["fitted", "held out"]
            np.testing.assert_array_equal(ax.lines[1].get_xdata(), ax.lines[1].get_ydata())
        else:
            assert ax.get_title() == f"{name}: 20 points held out"
            assert ax.collections[0].get_array().sum() == 20


def test_predictions_of_a_vector_of_targets_in_a_given_panel():
    _, ax = plt.subplots()
    x = np.array([[0.0], [1.0]])
    assert plots.plot_predictions(search(), x, x[:, 0], ax=ax) is ax.figure
    np.testing.assert_array_equal(ax.lines[1].get_xdata(), [0, 1])
    with pytest.raises(ValueError, match="names must have one for each of 1 outputs, got 2"):
        plots.plot_predictions(search(), x, x, names=("a", "b"))
    pair = Formula(outputs=lambda x: np.hstack([x, x]))
    with pytest.raises(ValueError, match="ax must be None for several outputs, got 2"):
        plots.plot_predictions(pair, x, np.hstack([x, x]), ax=ax)


def test_confusion_counts_labels():
    """Rows are true classes; signs, and the largest output of one-hot rows."""
    x = np.array([[-1.0], [2.0], [-3.0], [4.0]])
    ax = plots.plot_confusion(Formula(), x, [[-1], [-1], [-1], [1]], names=("no", "yes")).axes[0]
    assert {text.get_position(): text.get_text() for text in ax.texts} == {
        (0, 0): "2",
        (1, 0): "1",
        (1, 1): "1",
    }
    assert ticks(ax.get_yticklabels()) == ["no", "yes"]
    assert ax.get_title() == "25.0% of 4 wrong"
    three = Formula(outputs=lambda x: np.hstack([x, 0 * x, -x]))
    ax = plots.plot_confusion(three, x, np.eye(3)[[2, 0, 1, 0]]).axes[0]
    assert {text.get_position(): text.get_text() for text in ax.texts} == {
        (2, 2): "1",
        (0, 0): "2",
        (2, 1): "1",
    }
    with pytest.raises(ValueError, match="names must have one for each of 3 classes, got 1"):
        plots.plot_confusion(three, x, np.eye(3)[[2, 0, 1, 0]], names=("a",))


def test_stability_counts_structures():
    """Errors on a log axis with their median; bars of structures by how often each was found."""
    searches = {
        "pursuit": [search("a", 1e-3), search("a", 0.0), search("a", 1e-1)],
        "training": [search("a", 1e-2), search("b", 1e-2), search("b", np.nan)],
    }
    left, right = plots.plot_stability(searches).axes
    assert left.get_xscale() == "log"
    assert ticks(left.get_yticklabels()) == ["pursuit", "training"]
    np.testing.assert_array_equal(left.lines[0].get_xdata(), [1e-3, 1e-17, 1e-1])
    np.testing.assert_array_equal(left.lines[1].get_xdata(), [1e-3, 1e-3])
    assert len(left.lines[2].get_xdata()) == 2
    assert [bar.get_width() for bar in right.patches] == [3, 2, 1]
    assert [text.get_text() for text in right.texts] == ["all alike", "2 distinct"]
    assert len(plots.plot_stability([search()]).axes) == 2
    for nothing in ({}, [], {"a": []}):
        with pytest.raises(ValueError, match="at least one search"):
            plots.plot_stability(nothing)


def test_exactness_fills_what_is_exact():
    """A row for each task, a colour for each series; all are filled where there is no truth."""
    rows = {
        "I2": {"1 %": ([0.1, 0.2], [True, False]), "10 %": ([0.3, 0.0], [True, True])},
        "I3": {"10 %": ([1e-3], None)},
    }
    figure = plots.plot_exactness(rows, label="error")
    (ax,) = figure.axes
    assert ticks(ax.get_yticklabels()) == ["I2", "I3"]
    assert (ax.get_xscale(), ax.get_xlabel()) == ("log", "error")
    points = [line for line in ax.lines if len(line.get_xdata())]
    open_ones = [line for line in points if line.get_markerfacecolor() == "white"]
    assert [line.get_xdata().tolist() for line in open_ones] == [[0.2]]
    assert sorted(x for line in points for x in line.get_xdata()) == [1e-17, 1e-3, 0.1, 0.2, 0.3]
    assert ticks(figure.legends[0].get_texts()) == ["1 %", "10 %", "another structure"]
    with pytest.raises(ValueError, match="rows must have at least one task, got none"):
        plots.plot_exactness({})
