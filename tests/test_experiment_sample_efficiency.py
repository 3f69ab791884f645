"""The sample efficiency experiment, small: run folder, figure, resume, and what it counts."""

import json

import numpy as np
import pytest

from experiments import sample_efficiency
from nsjax import pursuit, runs


@pytest.fixture
def config(tmp_path, monkeypatch):
    """A quadratic form in four variables, which two layers learn; a short pursuit."""
    short = pursuit.Config(
        rule="each", lanes=1, starts=8, candidates=1, search_steps=20, steps=100, prune=False
    )
    monkeypatch.setitem(pursuit.PRESETS, "default", short)
    monkeypatch.setattr(sample_efficiency.baselines, "tiny_ladder", lambda depth: ((4,),))
    return sample_efficiency.Config(
        tasks=("dense",),
        inputs=("gaussian",),
        dimensions=(4,),
        samples=(80,),
        seeds=2,
        methods=("tiny", "pursuit", "adam-small"),
        depth=2,
        width=6,
        rates=(1e-2,),
        adam_steps=50,
        test=200,
        root=tmp_path,
    )


def test_run_and_resume(config, capsys, forbid):
    """Cells, results, table and figure; a rerun computes nothing again."""
    folder = sample_efficiency.main(config)
    results = json.loads((folder / "results.json").read_text())["values"]
    found = runs.from_json(results)
    row = found["dense-gaussian-d4-pursuit"]
    assert row["needed_all"] == 80
    assert row["successes"] == [2]
    assert np.max(row["errors"]) < 1e-3
    # Fifty steps from small weights fit nothing.
    assert found["dense-gaussian-d4-adam-small"]["needed_nine_of_ten"] is None
    assert (folder / "figures" / "sample_efficiency.png").stat().st_size > 5000
    table = capsys.readouterr().out
    assert "tiny restarts, same CPU time" in table
    assert "> 80" in table

    with runs.open_run(config.root, "sample_efficiency", config, seed=config.seed) as run:
        _, tiny = run.cell("dense-gaussian-d4-n80-s1-tiny").load()
        _, grown = run.cell("dense-gaussian-d4-n80-s1-pursuit").load()
    assert tiny["fitted"]
    assert tiny["hidden"] == [4]
    assert grown["seconds"] > 0

    forbid(sample_efficiency, "measure")
    assert sample_efficiency.main(config) == folder


def test_what_was_needed():
    """The smallest n from which on all succeed; an early success by chance does not count."""

    def at(*errors):
        return [{"error": error} for error in errors]

    done = {100: at(1e-4, 1e-4), 200: at(1.0, 1e-4), 400: at(1e-4, 1e-4), 800: at(1e-5, 1e-5)}
    assert sample_efficiency.needed(done, 1.0) == 400
    assert sample_efficiency.needed(done, 0.5) == 100
    assert sample_efficiency.needed({100: at(1.0)}, 0.5) is None
    assert sample_efficiency.solved(done, 2)
    assert not sample_efficiency.solved(done, 3)
    assert not sample_efficiency.solved(done, 0)


def test_presets_and_panels():
    """The first targets come under every law."""
    full = runs.parse(
        sample_efficiency.Config,
        sample_efficiency.PRESETS,
        ["--preset", "full", "--dimensions", "40"],
    )
    panels = list(sample_efficiency.panels(full))
    assert len(panels) == 2 * 3 + 2
    assert {panel.dimension for panel in panels} == {40}
    names = [sample_efficiency.label(method, full) for method in full.methods]
    assert len(set(names)) == len(names)
    assert "Adam, width 50, small init" in names
