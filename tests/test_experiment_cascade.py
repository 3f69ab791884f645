"""The cascade experiment, small: run folder, figures, resume, gradient descent beside it."""

import dataclasses
import json

import numpy as np
import pytest

from experiments import cascade
from nsjax import runs


@pytest.fixture
def config(tmp_path):
    """A narrow network at two deltas, gradient descent at the larger."""
    return cascade.Config(
        hidden=(4,),
        deltas=(1e-2, 1e-4),
        descent=1e-2,
        samples=30,
        dimension=3,
        teacher=2,
        starts=16,
        root=tmp_path,
    )


@pytest.mark.slow
def test_run_and_resume(config, capsys, forbid):
    """Results, figures, descent that passes the same saddles; a rerun computes nothing again."""
    folder = cascade.main(config)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["status"] == "finished"
    results = runs.read_results(folder)[1]
    small, large = results["delta=0.0001"], results["delta=0.01"]
    assert len(small["escape_times"]) == len(large["escape_times"]) > 0
    np.testing.assert_allclose(
        1e-4 * np.array(small["escape_times"]), 1e-2 * np.array(large["escape_times"]), rtol=0.2
    )
    assert results["descent"]["gradients"] > 0
    np.testing.assert_allclose(results["descent"]["escape_times"], large["escape_times"], rtol=0.02)
    for name in ("staircase", "visits", "neurons", "directions", "kept_sparsity", "descent"):
        assert (folder / "figures" / f"{name}.png").stat().st_size > 5000
        assert (folder / "figures" / f"{name}.pdf").exists()
    assert "Gradient descent at delta 0.01" in capsys.readouterr().out

    forbid(cascade.dynamics, "cascade", "gradient_descent")
    assert cascade.main(config) == folder


@pytest.mark.slow
def test_without_an_escape_there_is_no_descent(config, tmp_path):
    """Targets of zero: nothing escapes from the origin, which the log says."""
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "zero.npz", x=rng.normal(size=(10, 3)), y=np.zeros((10, 1)))
    folder = cascade.main(dataclasses.replace(config, data=f"npz:{tmp_path / 'zero.npz'}"))
    assert "descent" not in runs.read_results(folder)[1]
    assert not (folder / "figures" / "descent.png").exists()
    assert "no gradient descent" in (folder / "log.txt").read_text()


def test_presets_and_the_command_line():
    """Presets differ; overrides win."""
    full = runs.parse(cascade.Config, cascade.PRESETS, ["--preset", "full", "--seed", "7"])
    assert (full.outputs, full.seed) == (2, 7)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"descent": 0.3}, "descent must be 0 or one of deltas"),
        ({"deltas": ()}, "deltas"),
        ({"data": "nowhere"}, "data must be one of teacher, diabetes, linnerud"),
        ({"data": "npz:nowhere.npz"}, "nowhere.npz"),
    ],
)
def test_bad_settings_end_in_one_line(config, changes, words):
    """Before anything is compiled."""
    with pytest.raises(SystemExit, match=words):
        cascade.main(dataclasses.replace(config, **changes))
