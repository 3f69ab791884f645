"""Fourier modes: spectra sorted by frequency, phases that add up on the diagonal."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np

from nsjax import plots


def test_spectra_purities_and_phases():
    """Rows in order of frequency; each phase of the sum over that of the summands; given axes."""
    power = np.eye(3)[[2, 0, 1]]
    phase = np.array([[0.1, 0.2, 0.3], [3.0, 3.0, 6.0 - 2 * np.pi], [-1.0, 0.5, -0.5]])
    modes = SimpleNamespace(power=power, purity=np.ones(3), frequency=[3, 1, 2], phase=phase)
    _, given = plt.subplots(2, 2)
    for ax in (None, given):
        figure = plots.plot_fourier(modes, modes, ax=ax)
        spectra, _, purity, phases = figure.axes[:4]
        np.testing.assert_array_equal(spectra.images[0].get_array(), np.eye(3))
        assert sum(bar.get_height() for bar in purity.patches) == 6
        across, up = phases.lines[1].get_data()
        np.testing.assert_allclose(across, up, atol=1e-12)
    assert figure is given[0, 0].figure
