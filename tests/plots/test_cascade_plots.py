"""Cascade plots: log axes, a line for each delta, white where weights are zero, legends."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np

from nsjax import plots
from nsjax.diagnostics import kept_sparsity


def visit(start, duration, loss, active, escaping):
    """A visit of a network of three neurons of two inputs and one output."""
    flags = np.array([neuron in active for neuron in range(3)])
    incoming = np.where(flags[:, None], np.array([[1.0, -2.0]]), 0.0)
    return SimpleNamespace(
        start=start,
        duration=duration,
        loss=loss,
        active=(flags,),
        escaping=tuple((1, neuron) for neuron in escaping),
        params=(incoming, np.where(flags[None, :], 1.0, 0.0)),
        degree=3,
    )


def result(delta):
    """A made-up cascade: neuron 2 escapes at 1 / delta, neuron 0 at 3 / delta, neuron 1 never."""
    first, second = 1 / delta, 3 / delta
    visits = (
        visit(0.0, first, 10.0, (), (2,)),
        visit(first, second - first, 1.0, (2,), (0,)),
        visit(second, np.inf, 1e-20, (0, 2), ()),
    )
    near = np.linspace(0, 2, 40)
    waits = np.linspace(0, 1, 20, endpoint=False)
    ts = np.unique(np.concatenate([waits * first, first + near, second * waits, second + near]))
    losses = np.select([ts < first + 1, ts < second + 1], [10.0, 1.0], 1e-20)
    sizes = np.stack(
        [
            np.where(ts > second, 1.0, delta),
            np.full_like(ts, 0.5 * delta),
            np.where(ts > first, 2.0, delta),
        ],
        axis=1,
    )
    return SimpleNamespace(
        delta=delta,
        threshold=0.1,
        ts=ts,
        losses=losses,
        visits=visits,
        snapshots=(sizes[:, :, None] * np.ones(2), sizes[:, None, :]),
        stats=SimpleNamespace(gradients=12345),
    )


def test_staircase():
    """A line and its escapes for every delta, on log axes; the second panel in delta t."""
    cascades = [result(delta) for delta in (1e-4, 1e-2)]
    figure = plots.plot_cascade(cascades)
    left, right = figure.axes
    for panel in (left, right):
        assert panel.get_xscale() == panel.get_yscale() == "log"
        assert sum(len(line.get_xdata()) > 1 for line in panel.lines) == 2
        assert sum(line.get_marker() == "o" for line in panel.lines) == 4
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "$10^{-2}$",
        "$10^{-4}$",
        "escape",
    ]
    dots = [float(line.get_xdata()[0]) for line in right.lines if line.get_marker() == "o"]
    np.testing.assert_allclose(dots, [1, 3, 1, 3])
    assert "delta" in right.get_xlabel()


def test_one_cascade_into_given_axes():
    """Its plateaus are shaded."""
    _, ax = plt.subplots()
    assert plots.plot_cascade(result(1e-3), ax=ax) is ax.figure
    assert len(ax.patches) == 2
    assert ax.get_legend() is None


def test_escape_order():
    """By the visit that a neuron leaves; -1 for the one that stays."""
    (order,) = plots.escape_order(result(1e-3).visits)
    assert order.tolist() == [2, -1, 1]


def test_weights_in_the_order_of_escapes():
    """A column per visit, a row per layer; the first neuron to escape comes first."""
    figure = plots.plot_visits(result(1e-3), title="weights")
    images = [panel.images[0] for panel in figure.axes if panel.images and panel.get_title()]
    assert [image.axes.get_title().split("\n")[0] for image in images] == [
        "0 active",
        "1 active",
        "2 active",
    ]
    np.testing.assert_array_equal(images[0].get_array(), np.zeros((3, 2)))
    np.testing.assert_array_equal(images[1].get_array(), [[1, -2], [0, 0], [0, 0]])
    assert images[1].norm.vmin == -2
    assert images[1].norm.vmax == 2
    np.testing.assert_array_equal(images[1].cmap(images[1].norm(0.0))[:3], np.ones(3))


def test_norms_and_residuals_have_a_line_for_each_neuron():
    """Log axes, the threshold, the escapes in the legend."""
    cascade = result(1e-3)
    figure = plots.plot_neuron_norms(cascade)
    ax = figure.axes[0]
    assert ax.get_xscale() == ax.get_yscale() == "log"
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts == ["escape 1", "escape 2", "none"]
    assert sum(len(line.get_xdata()) == np.sum(cascade.ts > 0) for line in ax.lines) == 3
    residuals = [np.full((5, 3), 0.1)] * 3
    times = [np.linspace(v.start, v.start + min(v.duration, 10), 5) for v in cascade.visits]
    _, ax = plt.subplots()
    assert plots.plot_neuron_residuals(cascade, times, residuals, ax=ax) is ax.figure
    assert ax.get_yscale() == "log"
    assert "KKT" in ax.get_ylabel()


def test_kept_sparsity():
    """Three sizes at each escape, those of the neurons that stay small."""
    cascades = {rf"$10^{{-{k}}}$": result(10.0**-k) for k in (2, 4)}
    kept = {label: kept_sparsity(found, found.visits) for label, found in cascades.items()}
    figure = plots.plot_kept_sparsity(kept, threshold=0.1)
    ax = figure.axes[0]
    landed = [float(line.get_ydata()[0]) for line in ax.lines if line.get_marker() == "s"]
    norm = np.sqrt(3)
    # Neurons 0 and 1 at the first escape, 1 alone at the second.
    np.testing.assert_allclose(landed, norm * np.array([1e-2, 0.5e-2, 1e-4, 0.5e-4]))
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts[:2] == ["$10^{-2}$", "$10^{-4}$"]
    assert texts[2:5] == ["on arrival", "at departure", "on landing"]
    assert texts[5:] == ["smallest active", "threshold"]


def test_kept_sparsity_of_one_cascade_into_given_axes():
    """No label, and no threshold that was not given."""
    found = result(1e-3)
    _, ax = plt.subplots()
    assert plots.plot_kept_sparsity(kept_sparsity(found, found.visits), ax=ax) is ax.figure
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts == ["on arrival", "at departure", "on landing", "smallest active"]


def test_descent(tmp_path):
    """Both curves with what they cost; the figure can be saved."""
    cascade = result(1e-2)
    descent = SimpleNamespace(**vars(cascade) | {"gradients": 7654321})
    figure = plots.plot_descent(cascade, descent)
    texts = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert texts == [
        "cascade, 12,345 gradients",
        "gradient descent, 7,654,321 gradients",
        "escape",
    ]
    figure.savefig(tmp_path / "descent.pdf")
    assert (tmp_path / "descent.pdf").stat().st_size > 1000
