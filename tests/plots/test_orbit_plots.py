import numpy as np
import pytest

from nsjax import plots


def test_depth_law_with_its_prediction():
    eps = {1: np.array([0.1, 0.01])}
    depths = {1: np.array([[4, 40], [5, 50], [6, -1]])}
    figure = plots.plot_depth_law(eps, depths, {1: np.array([5.0, 50.0])}, title="tent")
    (panel,) = figure.axes
    assert panel.get_xscale() == panel.get_yscale() == "log"
    np.testing.assert_array_equal(panel.lines[0].get_ydata(), [5, 50])
    assert panel.xaxis_inverted()
    assert [text.get_text() for text in panel.get_legend().get_texts()] == ["$K = 1$"]


def test_a_median_that_is_not_over_is_left_out():
    depths = {1: np.array([[4, -1], [5, -1], [6, 7]])}
    figure = plots.plot_depth_law({1: np.array([0.1, 0.01])}, depths, {1: np.array([5.0, 50.0])})
    assert len(figure.axes[0].lines[0].get_xdata()) == 1


def test_errors_against_budgets():
    errors = {2: np.array([[0.1, 0.01], [0.3, 0.03], [0.2, 0.02]])}
    figure = plots.plot_error_budget([10, 100], errors, {2: np.array([0.2, 0.02])})
    np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), [0.2, 0.02])


def test_density_integrates_to_one():
    figure = plots.plot_invariant_density(np.full(4, 0.25), np.linspace(0, 1, 9))
    (panel,) = figure.axes
    np.testing.assert_allclose(panel.lines[0].get_ydata(), 1)
    values = panel.patches[0].get_data().values
    np.testing.assert_allclose(values, 1)


def test_rounding_leaves_zeros_out():
    gaps = {"tent": np.array([[0.0, 1e-10, 1e-5]])}
    panel = plots.plot_rounding(gaps).axes[0]
    np.testing.assert_array_equal(panel.lines[0].get_xdata(), [1, 2])
    assert panel.lines[1].get_ydata()[-1] == 1


def test_shares_at_the_true_depth():
    panel = plots.plot_same_depth([1.0, 100.0], [1.0, 0.0], label="logistic").axes[0]
    np.testing.assert_array_equal(panel.lines[0].get_ydata(), [1, 0])


def test_nothing_to_draw_is_refused():
    for draw, said in (
        (lambda: plots.plot_depth_law({}, {}, {}), "eps must hold"),
        (lambda: plots.plot_error_budget([], {}, {}), "errors must hold"),
        (lambda: plots.plot_invariant_density([]), "shares must hold"),
        (lambda: plots.plot_rounding({}), "differences must hold"),
    ):
        with pytest.raises(ValueError, match=said):
            draw()
