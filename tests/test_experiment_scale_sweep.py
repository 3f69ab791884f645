import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from experiments import scale_sweep
from nsjax import runs

SMALL = dataclasses.replace(
    scale_sweep.PRESETS["quick"],
    scales=(0.3, 1.0),
    seeds=5,
    samples=40,
    dimension=4,
    width=6,
    fit=1e-2,
    test=50,
    saves=20,
    max_steps=400,
    chunk=32,
)
SCRIPT = Path(scale_sweep.__file__)


def test_run_and_resume_with_the_same_bits(tmp_path, monkeypatch, capsys):
    """Stopped after its first chunks, it goes on from the state that was kept."""
    alone = scale_sweep.main(dataclasses.replace(SMALL, root=tmp_path / "alone"))
    assert "results and figures" in capsys.readouterr().out
    assert {path.name for path in (alone / "figures").iterdir()} == {
        f"{name}.{ending}"
        for name in ("errors", "directions", "losses")
        for ending in ("pdf", "png", "svg")
    }
    config = dataclasses.replace(SMALL, root=tmp_path / "stopped")
    save, states = runs.Checkpoints.save, []

    def stop(self, step, state):
        save(self, step, state)
        states.append(int(np.sum(state.members.steps)))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(runs.Checkpoints, "save", stop)
        with pytest.raises(KeyboardInterrupt):
            scale_sweep.main(config)
    folder = scale_sweep.main(config)
    assert 0 < states[0] <= SMALL.seeds * SMALL.chunk
    found, wanted = runs.load(folder), runs.load(alone)
    assert not list((folder / "checkpoints").iterdir())
    for name, (arrays, values) in wanted.cells.items():
        for key, array in arrays.items():
            np.testing.assert_array_equal(found.cells[name][0][key], array)
        assert found.cells[name][1] == values
    arrays = wanted.cells["scale0.3"][0]
    assert arrays["losses"].shape == (5, 21)
    assert np.all(arrays["ends"][arrays["results"] == 2] < SMALL.fit)


@pytest.mark.parametrize("words", [["--seeds", "0"], ["--scales", "0.1", "-1"]])
def test_bad_settings(words, tmp_path):
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *words], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 1
    assert "error: there must be a seed, and positive scales" in done.stderr


def test_the_monitor_of_channels_can_be_switched_on(tmp_path, capsys):
    """One number of pairs for each flow; off by default."""
    config = dataclasses.replace(SMALL, scales=(1.0,), channels=True, root=tmp_path)
    folder = scale_sweep.main(config)
    _, values = runs.load(folder).cells["scale1"]
    assert len(values["channels"]) == SMALL.seeds
    assert "flows end in a flat channel" in capsys.readouterr().err
    assert not SMALL.channels
