"""The neuron pursuit experiment, small: run folder, figures, resume, refusals in words."""

import dataclasses
import json

import numpy as np
import pytest

from experiments import neuron_pursuit
from nsjax import pursuit, runs

FIGURES = ("growth", "ncf", "insertions", "balance", "weights", "used")


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Two layers, two lanes, few starts, and what compiles fastest."""
    monkeypatch.setitem(
        pursuit.PRESETS,
        "default",
        pursuit.Config(rule="ncf", lanes=2, starts=8, candidates=1, steps=100, prune=False),
    )
    return neuron_pursuit.Config(
        samples=60,
        dimension=4,
        depth=2,
        test=50,
        tol=1e-2,
        max_neurons=3,
        seeds=2,
        root=tmp_path,
    )


def test_run_and_resume(small, capsys, forbid):
    """Cells, results, figures and a line per round; a rerun computes nothing again."""
    folder = neuron_pursuit.main(small)
    shown = capsys.readouterr()
    assert "[1/2] sparse-f1-sphere-seed0: round 1: 2 lanes; the best has" in shown.err
    for words in ("why it stopped", "Over 2 seeds", "largest other"):
        assert words in shown.out
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["status"] == "finished"
    results = json.loads((folder / "results.json").read_text())["values"]
    assert sorted(results) == ["sparse-f1-sphere-seed0", "sparse-f1-sphere-seed1"]
    for kind in FIGURES:
        assert (folder / "figures" / f"sparse-f1-sphere-seed0-{kind}.png").stat().st_size > 5000
    with runs.open_run(small.root, "neuron_pursuit", small, seed=0) as run:
        found = neuron_pursuit.stored(*run.cell("sparse-f1-sphere-seed0").load())
    assert found.params[0].shape == (found.neurons[0], 5)
    assert found.history.error.shape == (found.rounds, 2)
    # The test error of a network that was not pruned is that after its last round.
    last = found.history.test[:, found.lane]
    np.testing.assert_allclose(last[np.isfinite(last)][-1], found.test_error, rtol=1e-6)

    forbid(neuron_pursuit.pursuit, "run")
    assert neuron_pursuit.main(small) == folder


def test_a_file_is_split_in_three(small, tmp_path):
    """Rows are for training, validation or the test; the cell is named after the contents."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(75, 4))
    np.savez(tmp_path / "mine.npz", x=x, y=x[:, 0] * x[:, 1])
    task = f"npz:{tmp_path / 'mine.npz'}"
    config = dataclasses.replace(small, tasks=(task,), inputs=("cube", "sphere"), seeds=1)
    (point,) = neuron_pursuit.sweep(config)
    learned = neuron_pursuit.prepare(config, point)
    parts = [learned.x, learned.validation[0], learned.test[0]]
    assert [part.shape for part in parts] == [(45, 5), (15, 5), (15, 5)]
    rows = np.concatenate(parts)[:, :4]
    np.testing.assert_allclose(np.sort(rows, axis=0), np.sort(x, axis=0), rtol=1e-6)
    folder = neuron_pursuit.main(config)
    ((name, found),) = json.loads((folder / "results.json").read_text())["values"].items()
    assert name.startswith("npz-")
    # Two parts of the rows, and two errors.
    assert 0 < found["certificate"]["validation"] != found["test_error"] > 0
    np.savez(tmp_path / "mine.npz", x=x, y=x[:, 0])
    with pytest.raises(runs.RunError, match=r"data\.npz:.*mine\.npz"):
        neuron_pursuit.main(config)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tasks": ("sparse-f9",)}, "tasks must be one of sparse-f1, .*, got 'sparse-f9'"),
        ({"tasks": ()}, "at least one task"),
        ({"tasks": ("npz:none.npz",)}, "no data file none.npz"),
        ({"dimension": 2}, "dimension must be at least 3"),
        ({"depth": 1}, "depth must be at least 2"),
        ({"loss": "logistic"}, "labels -1 and 1"),
        ({"lanes": 0}, "lanes must be a positive integer, got 0"),
        ({"tasks": ("linnerud",), "holdout": 1.0}, "holdout must leave samples"),
    ],
)
def test_bad_settings_are_refused_before_a_run_folder_is_made(small, change, message):
    """In the library's own words."""
    with pytest.raises(SystemExit, match=message):
        neuron_pursuit.main(dataclasses.replace(small, **change))
    assert not (small.root / "neuron_pursuit").exists()


def test_presets_and_the_command_line():
    """None leaves a setting of the pursuit; a delta is a fixed one."""
    words = ["--preset", "paper", "--tasks", "sparse-f2", "--inputs", "cube", "hypercube"]
    paper = runs.parse(neuron_pursuit.Config, neuron_pursuit.PRESETS, [*words, "--delta", "0.2"])
    assert neuron_pursuit.sweep(paper) == [("sparse-f2", "hypercube", 0)]
    wanted = dataclasses.replace(pursuit.PRESETS["paper"], delta=0.2, insertion="fixed")
    assert neuron_pursuit.settings(paper) == wanted
    full = neuron_pursuit.PRESETS["full"]
    assert len(neuron_pursuit.sweep(full)) == 4 * 3 * 5
    assert neuron_pursuit.settings(full) == pursuit.PRESETS["default"]
