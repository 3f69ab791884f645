"""The look of all figures: signatures, sizes, colours that colour-blind readers tell apart."""

import inspect
import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import get_type_hints

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from nsjax import plots
from nsjax.plots import style

FUNCTIONS = sorted(name for name in plots.__all__ if name.startswith("plot_"))
# G. M. Machado, M. M. Oliveira and L. A. F. Fernandes, IEEE TVCG 15 (2009), severity 1, on
# linear RGB.
VISION = {
    "full": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}


def lab(color, vision="full"):
    """CIE L*a*b* (D65) of a colour as it is seen."""
    rgb = np.asarray(to_rgb(color))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(VISION[vision] @ linear, 0, 1)
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    t = to_xyz @ linear / np.array([0.9505, 1.0, 1.089])
    f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_plot_takes_axes_and_returns_the_figure(name):
    """A keyword `ax`, none by default, last but for nothing; a figure comes back."""
    function = getattr(plots, name)
    parameter = inspect.signature(function).parameters.get("ax")
    assert parameter is not None, f"{name} must take ax"
    assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
    assert parameter.default is None
    assert get_type_hints(function)["return"] is Figure


def test_every_plot_has_a_test():
    """The checks of sizes and fonts in conftest.py see what the tests of this folder draw."""
    texts = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    assert [name for name in FUNCTIONS if f"{name}(" not in texts] == []


def test_widths_are_those_of_a_paper():
    """One column or both, whatever was asked for, and the height as asked for."""
    assert 3.3 <= style.COLUMN <= 3.5
    assert 6.7 <= style.PAGE <= 7.0
    for wanted, width in ((1.0, style.COLUMN), (3.6, style.COLUMN), (4.6, style.PAGE)):
        assert style.axes(None, size=(wanted, 2.0))[0].get_size_inches() == pytest.approx(
            (width, 2.0)
        )
    for columns, width in ((1, style.COLUMN), (2, style.PAGE), (9, style.PAGE)):
        figure, panels = style.grid(3, columns, panel=(2.5, 1.0))
        assert panels.shape == (3, columns)
        assert figure.get_size_inches() == pytest.approx((width, 3.0))


def test_panels_can_be_given():
    """In any sequence, as many as are needed."""
    figure, given = plt.subplots(2, 3)
    same, panels = style.grid(2, 3, ax=given)
    assert same is figure
    assert (panels == given).all()
    assert style.grid(1, 2, ax=list(given[0, :2]))[1].shape == (1, 2)
    assert style.grid(1, 1, ax=given[0, 0])[1][0, 0] is given[0, 0]
    with pytest.raises(ValueError, match="ax must be 4 axes, one a panel, got 6"):
        style.grid(2, 2, ax=given)
    with pytest.raises(TypeError, match="ax must be matplotlib Axes, got str"):
        style.axes("left")
    added = np.geomspace(1e-3, 1, 3)
    series = {"sparse": {"seconds": added, "memory": added}}
    assert plots.plot_scaling([10, 20, 30], series, ax=given[0, :2]) is figure
    assert given[0, 0].get_xlabel() == "inputs $d$"
    assert not given[1, 0].get_xlabel()


@pytest.mark.parametrize("vision", VISION)
def test_categories_are_told_apart(vision):
    """Any two are 15 apart, seven times a just noticeable difference; signs much further."""
    for first, second in itertools.combinations(style.CATEGORIES, 2):
        apart = np.linalg.norm(lab(first, vision) - lab(second, vision))
        assert apart > 15, (first, second, apart)
    ends = [lab(style.SIGNED(end), vision) for end in (0.0, 1.0)]
    assert np.linalg.norm(ends[0] - ends[1]) > 40


def test_the_check_of_colours_can_fail():
    """Red and green of equal lightness, and a lighter grey beside purple, are found out."""
    for first, second in (("#c65b4e", "#8f7f45"), ("#CC79A7", "#999999")):
        assert np.linalg.norm(lab(first) - lab(second)) > 30
        assert np.linalg.norm(lab(first, "deuteranopia") - lab(second, "deuteranopia")) < 10


def test_ordered_colors_darken_in_order():
    """Also in grey: lightness rises by steps that can be seen."""
    light = [lab(color)[0] for color in style.ordered_colors(8)]
    assert min(np.diff(light)) > 3


def test_a_backend_that_is_interactive_stays_so(tmp_path):
    """Notebooks show a figure at a cell's end if it is; their backend is loaded with the first."""
    (tmp_path / "notebook.py").write_text(
        "import matplotlib\n"
        "from matplotlib.backends.backend_agg import FigureCanvasAgg as FigureCanvas\n"
        "matplotlib.interactive(True)\n"
    )
    code = (
        "import matplotlib; from nsjax import plots;"
        "plots.plot_claims({'a': [1.0]}, {}); assert matplotlib.is_interactive()"
    )
    environment = os.environ | {
        "MPLBACKEND": "module://notebook",
        "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path]),
    }
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=120)


@pytest.mark.parametrize("names", [3, 12])
def test_legends_have_as_many_columns_as_fit(names):
    """Three names stand in a row below and above; of twelve no row is wider than the figure."""
    figure, ax = style.axes(None)
    for i in range(names):
        ax.plot([0, 1], [i, i], label=f"a name of some length {i}" if names > 3 else str(i))
    style.legend_below(figure, columns=names)
    style.legend_above(ax, columns=names)
    (below,), above = figure.legends, ax.get_legend()
    for legend in (below, above):
        assert legend.get_window_extent().width <= figure.bbox.width
        assert len(legend.get_texts()) == names
    if names == 3:
        assert below.get_window_extent().height < 2 * figure.dpi * 8 / 72 * 1.5
