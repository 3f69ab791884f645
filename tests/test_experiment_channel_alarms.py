"""The experiment of alarms about channels, small: tables, resume."""

import dataclasses
import json

import numpy as np
import pytest

from experiments import channel_alarms


@pytest.fixture
def config(tmp_path):
    return channel_alarms.Config(
        activations=("tanh",), fits=(1, 0, 0, 0, 1), max_steps=1500, root=tmp_path
    )


def test_run_and_resume(config, capsys, forbid):
    """Channels are found alone, no alarm on a fit; a close pair looks like one and is refused."""
    folder = channel_alarms.main(config)
    found = json.loads((folder / "results.json").read_text())["values"]
    assert found["constructed"]["tanh"]["found"] == [True] * 6
    with np.load(folder / "results.npz", allow_pickle=False) as arrays:
        assert np.all(arrays["off_tanh"][arrays["eps"] <= 1e-2] < 1e-4)
    near, close = found["fits"]["near"], found["fits"]["close"]
    assert (near["looks"], near["confirmed"], near["alarmed"]) == (0, 0, 0)
    assert (close["looks"], close["confirmed"], close["refused"]) == (1, 0, 1)
    assert "Constructed channels" in capsys.readouterr().out

    forbid(channel_alarms, "constructed", "fit")
    assert channel_alarms.main(config) == folder


def test_bad_settings(config):
    for change, said in (
        ({"fits": (1, 1)}, "fits must be 5 numbers"),
        ({"fits": (1, 1, 1, 1, -1)}, "fits must be 5 numbers"),
        ({"activations": ()}, "at least one activation"),
    ):
        with pytest.raises(SystemExit, match=said):
            channel_alarms.main(dataclasses.replace(config, **change))
