import numpy as np
import pytest

from nsjax import plots
from nsjax.neuronseek.stability import Course


def test_boxes_from_the_top_down_with_every_start():
    errors = {"first": np.array([0.1, 0.2, 0.4]), "second": np.array([0.5])}
    (panel,) = plots.plot_error_boxes(errors).axes
    assert [label.get_text() for label in panel.get_yticklabels()] == ["first", "second"]
    assert panel.get_yticks()[0] > panel.get_yticks()[1]
    dots = np.concatenate([line.get_xdata() for line in panel.lines if line.get_marker() == "."])
    assert sorted(dots) == [0.1, 0.2, 0.4, 0.5]
    assert panel.get_xscale() == "log"
    with pytest.raises(ValueError, match="at least one"):
        plots.plot_error_boxes({})


def test_courses_show_each_split_and_their_median():
    work = np.array([1.0, 2.0, 4.0])
    splits = [
        Course(work, np.array([1, 2, 3]), np.array([np.nan, 0.1, 0.2]), np.array([0.9, 0.5, 0.4])),
        Course(work, np.array([1, 4, 5]), np.array([np.nan, 0.3, 0.4]), np.array([0.7, 0.5, 0.2])),
    ]
    figure = plots.plot_courses({"method": splits})
    structures, deviation, median = figure.axes
    assert len(structures.lines) == 3
    strong = structures.lines[-1]
    assert strong.get_label() == "method"
    assert strong.get_ydata()[-1] == 4
    assert median.lines[-1].get_ydata()[-1] == pytest.approx(0.3)
    assert median.get_yscale() == deviation.get_yscale() == "log"
    assert structures.get_xlabel() == "CPU seconds"


def test_scaling_on_log_axes():
    values = {"seconds": [1.0, 10.0], "memory": [0.5, 0.6]}
    figure = plots.plot_scaling([10, 100], {"sparse": values})
    assert [panel.get_ylabel() for panel in figure.axes] == ["CPU seconds", "largest memory [GB]"]
    assert all(panel.get_xscale() == panel.get_yscale() == "log" for panel in figure.axes)
    np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), [1.0, 10.0])
    with pytest.raises(ValueError, match="must have 3 values"):
        plots.plot_scaling([1, 2, 3], {"sparse": values})
