"""The experiment of flat channels, small: tables, figure, resume."""

import dataclasses
import json

import numpy as np
import pytest

from experiments import flat_channels


@pytest.fixture
def config(tmp_path):
    return flat_channels.Config(
        activations=("tanh",),
        tasks=("bump",),
        seeds=1,
        control=1,
        max_steps=1500,
        root=tmp_path,
    )


def test_run_and_resume(config, capsys, forbid):
    """A channel that the flow enters; none with weight decay."""
    folder = flat_channels.main(config)
    found = json.loads((folder / "results.json").read_text())["values"]
    flow, control = found["flows"]["tanh-bump-w4"], found["control"]["tanh-bump-w4"]
    assert (flow["alarmed"], flow["confirmed"], flow["finite"]) == (1, 1, 0)
    assert (control["alarmed"], control["finite"]) == (0, 1)
    slope, rate, exponent, factor, monotone = found["laws"]["tanh"][0]
    np.testing.assert_allclose([slope, rate, exponent, factor], [-1, 0.25, 2, 1], rtol=0.03)
    assert monotone == 1
    assert (folder / "figures" / "flat_channels.png").stat().st_size > 5000
    assert "Shares of all flows" in capsys.readouterr().out

    forbid(flat_channels, "follow")
    assert flat_channels.main(config) == folder


def test_an_interval_of_a_share():
    """Clopper and Pearson: none of n is at most 1 - 0.025^(1/n)."""
    assert flat_channels.share(0, 10)[:2] == (0.0, 0.0)
    np.testing.assert_allclose(flat_channels.share(0, 10)[2], 1 - 0.025**0.1, rtol=1e-9)


def test_bad_settings(config):
    with pytest.raises(SystemExit, match="at least one activation, task, width and seed"):
        flat_channels.main(dataclasses.replace(config, tasks=()))
