"""Nonlinear time against arc lengths by SciPy; the landscape against a loop in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad

import nsjax
from nsjax import diagnostics, networks


def spiral(ts):
    """One neuron that turns by t^2 while its weights grow as exp(3 t), for t in [0, 1]."""
    size = np.exp(3 * ts)[:, None, None]
    incoming = np.stack([np.cos(ts**2), np.sin(ts**2)], axis=1)[:, None]
    return jnp.asarray(size * incoming), jnp.asarray(size * np.ones((len(ts), 1, 1)))


def test_length_is_that_of_the_path_at_any_speed():
    """`int sqrt((2 t)^2 + 9) dt`, with saves that crowd at either end or not, and at any scale."""
    want = quad(lambda t: np.hypot(2 * t, 3), 0, 1)[0]
    even = np.linspace(0, 1, 2001)
    for ts in (even, even**3, np.sin(even * np.pi / 2)):
        lengths = np.asarray(diagnostics.course_length(spiral(ts)))
        assert lengths[-1] == pytest.approx(want, rel=1e-5)
        assert np.all(np.diff(lengths) >= 0)
    tiny = jax.tree.map(lambda w: 1e-30 * w, spiral(even))
    assert float(diagnostics.course_length(tiny)[-1]) == pytest.approx(want, rel=1e-5)


def test_frames_are_equally_spaced_in_it():
    """A wait of a thousand saves in which nothing happens takes one frame."""
    ts = np.concatenate([np.zeros(1000), np.linspace(0, 1, 1000)])
    times = np.arange(2000.0)
    x, y = np.eye(2), np.ones((2, 1))
    activation = nsjax.PolyLeakyReLU(2, 1.0)
    course = diagnostics.neuron_course(spiral(ts), x, y, activation, ts=times, frames=11)
    assert len(course.ts) == 11
    np.testing.assert_allclose(np.diff(course.lengths), course.lengths[-1] / 10, rtol=0.02)
    assert course.ts[1] > 1000


@pytest.mark.parametrize("outputs", [1, 2])
def test_landscape_and_places(outputs):
    """The residual's correlation with one neuron, angle by angle, in a plane of three inputs."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(7, 3)), rng.normal(size=(7, outputs))
    params = (rng.normal(size=(2, 4, 3)), rng.normal(size=(2, outputs, 4)))
    plane = np.linalg.qr(rng.normal(size=(3, 3)))[0][:2]
    activation = nsjax.PolyLeakyReLU(2, 0.5)
    course = diagnostics.neuron_course(
        params, x, y, activation, ts=[0.0, 1.0], angles=5, plane=plane
    )
    for frame, which in enumerate(course.indices):
        hidden = np.maximum(x @ params[0][which].T, 0.5 * x @ params[0][which].T) ** 2
        r = y - hidden @ params[1][which].T
        assert course.losses[frame] == pytest.approx(0.5 * np.sum(r**2))
        for angle, value in zip(course.angles, course.landscape[frame], strict=True):
            t = x @ (np.cos(angle) * plane[0] + np.sin(angle) * plane[1])
            found = np.maximum(t, 0.5 * t) ** 2 @ r
            want = found[0] if outputs == 1 else np.linalg.norm(found)
            assert value == pytest.approx(want)
        unit = params[0][which] / np.linalg.norm(params[0][which], axis=1, keepdims=True)
        np.testing.assert_allclose(course.places[frame], unit @ plane.T)
        signs = np.sign(params[1][which][0]) if outputs == 1 else np.ones(4)
        np.testing.assert_array_equal(course.signs[frame], signs)


def test_bad_input_is_refused():
    """One network, one input, a plane that is none."""
    activation = nsjax.PolyLeakyReLU(2, 1.0)
    start = networks.fan(4, activation)
    with pytest.raises(ValueError, match="params must be snapshots"):
        diagnostics.course_length(start)
    moving = tuple(jnp.stack([w, w]) for w in start)
    with pytest.raises(ValueError, match="plane must have two orthonormal rows"):
        diagnostics.neuron_course(
            moving, np.eye(2), np.ones((2, 1)), activation, ts=[0, 1.0], plane=np.ones((2, 2))
        )
