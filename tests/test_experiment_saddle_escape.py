"""The saddle escape experiment, small: run folder, figures, resume, refusal in the same words."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from experiments import saddle_escape
from nsjax import runs


@pytest.fixture
def config(tmp_path):
    """One small network at two deltas."""
    return saddle_escape.Config(
        depths=(2,),
        degrees=(2,),
        linear=False,
        deltas=(1e-3, 1e-6),
        samples=30,
        dimension=3,
        teacher=3,
        inactive=2,
        attempts=3,
        root=tmp_path,
    )


def test_run_and_resume(config, capsys, monkeypatch, forbid):
    """It leaves a manifest, cells, results and figures; a rerun computes nothing again."""
    folder = saddle_escape.main(config)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["status"] == "finished"
    assert manifest["default_dtype"] == "float64"
    assert manifest["config"]["deltas"] == [1e-3, 1e-6]
    results = json.loads((folder / "results.json").read_text())
    text = json.dumps(results)
    assert "L2-p2-a1" in text
    for name in ("L2-p2-a1", "escape_times"):
        assert (folder / "figures" / f"{name}.png").stat().st_size > 5000
        pdf = (folder / "figures" / f"{name}.pdf").read_bytes()
        assert b"/Type0" in pdf
        assert b"/Type3" not in pdf
        assert "<text" in (folder / "figures" / f"{name}.svg").read_text()
    assert "slope" in capsys.readouterr().out

    with runs.open_run(config.root, "saddle_escape", config, seed=config.seed) as run:
        arrays, values = run.cell("L2-p2-a1-delta1e-06").load()
    assert values["result"] == 0
    assert np.all(np.isfinite(arrays["losses"]))

    # The cascade has tests of its own; here a made-up one, which is kept like a cell.
    turn = np.linspace(0, 1, 9)
    incoming = np.stack([np.cos(turn), np.sin(turn)], axis=1)[:, None]
    made_up = SimpleNamespace(
        ts=turn,
        snapshots=(incoming, np.ones((9, 1, 1))),
        message="a minimum",
        escape_times=np.array([0.5]),
    )
    monkeypatch.setattr(saddle_escape, "FRAMES", 3)
    monkeypatch.setattr(saddle_escape.dynamics, "cascade", lambda *_, **__: made_up)
    assert saddle_escape.main(dataclasses.replace(config, animate=True)) == folder
    with Image.open(folder / "figures" / "alignment.gif") as image:
        assert image.n_frames == 3
    assert not list((folder / "figures").glob(".*"))

    forbid(saddle_escape.dynamics, "escape")
    assert saddle_escape.main(config) == folder


def test_presets_and_the_command_line():
    """Presets differ; overrides win."""
    full = runs.parse(
        saddle_escape.Config, saddle_escape.PRESETS, ["--preset", "full", "--seed", "7"]
    )
    assert full.slopes == (0.0, 0.5, 1.0, -1.0)
    assert full.seed == 7
    networks = list(saddle_escape.sweep(full))
    assert len(networks) == 18
    assert len({network.name for network in networks}) == 18


def test_it_stops_on_what_is_no_saddle(config):
    """A teacher that the active neurons fit leaves nothing to escape to."""
    perfect = dataclasses.replace(config, teacher=1, attempts=2)
    with pytest.raises(SystemExit, match="no attempt ended at a saddle"):
        saddle_escape.main(perfect)
