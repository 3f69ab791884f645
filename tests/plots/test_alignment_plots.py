"""Neurons that align: one frame, its marks, and the animation as a GIF."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from nsjax import plots
from nsjax.diagnostics import NeuronCourse
from nsjax.plots.style import CATEGORIES


def course(frames=4):
    """Two neurons that turn to the maxima of a landscape `cos(2 t)`, one of them growing."""
    turn = np.linspace(1, 0.1, frames)
    angles = np.linspace(0, 2 * np.pi, 181)
    places = np.stack(
        [
            np.stack([np.cos(turn), np.sin(turn)], axis=1),
            np.stack([-np.sin(turn), np.cos(turn)], axis=1),
        ],
        axis=1,
    )
    norms = np.stack([np.geomspace(1e-4, 1, frames), np.full(frames, 1e-4)], axis=1)
    return NeuronCourse(
        np.geomspace(1, 1e3, frames),
        np.linspace(0, 2, frames),
        np.geomspace(1, 1e-2, frames),
        places,
        norms,
        np.tile([1.0, -1.0], (frames, 1)),
        angles,
        np.tile(np.cos(2 * angles), (frames, 1)),
        np.arange(frames),
    )


def test_a_frame_shows_neurons_and_maxima():
    """Angle and radius of the neurons, their colours; triangles at 0, 90, 180 and 270 degrees."""
    _, ax = plt.subplots()
    figure = plots.plot_alignment_frame(course(), ax=ax)
    assert figure is ax.figure
    neurons = [line for line in ax.lines if line.get_marker() == "o"]
    assert [line.get_color() for line in neurons] == [CATEGORIES[1], CATEGORIES[0]]
    spots = np.array([line.get_xydata()[0] for line in neurons])
    radii = np.linalg.norm(spots, axis=1)
    np.testing.assert_allclose(radii, [1.0, plots.alignment.INNER])
    assert np.arctan2(*spots[0][::-1]) == pytest.approx(0.1)
    marks = [line for line in ax.lines if isinstance(line.get_marker(), tuple)]
    degrees = sorted(np.rad2deg(np.arctan2(*line.get_xydata()[0][::-1])) % 360 for line in marks)
    np.testing.assert_allclose(degrees, [0, 90, 180, 270], atol=1e-9)
    assert plots.plot_alignment_frame(course(), 0).axes[0].get_title() == "$t$ = 1"
    with pytest.raises(ValueError, match="frame must be one of 4 frames, got 4"):
        plots.plot_alignment_frame(course(), 4)


def test_the_animation_has_its_frames(tmp_path):
    """A GIF by Pillow alone, whose pictures differ."""
    animation = plots.animate_alignment(course(3))
    animation.save(tmp_path / "a.gif", writer="pillow", fps=5, dpi=30)
    with Image.open(tmp_path / "a.gif") as image:
        assert image.n_frames == 3
        first = np.asarray(image.convert("L"), float)
        image.seek(2)
        assert np.mean(np.abs(np.asarray(image.convert("L"), float) - first)) > 0.5
