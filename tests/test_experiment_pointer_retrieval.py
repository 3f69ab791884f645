"""Pointer value retrieval and balance ratios, small: folders, figures, resume, what they say."""

import dataclasses
import json

import numpy as np
import pytest

from experiments import balance_ratios, pointer_retrieval
from nsjax import pursuit, runs


@pytest.fixture
def config(tmp_path, monkeypatch):
    """Two pointer bits, 64 inputs; a short pursuit."""
    short = pursuit.Config(rule="each", starts=8, candidates=1, search_steps=20, prune=False)
    monkeypatch.setitem(pursuit.PRESETS, "default", short)
    return pointer_retrieval.Config(
        pointer_bits=2,
        samples=(48,),
        max_share=1.0,  # four neurons, which the target needs, are 32 weights
        methods=("balanced-single", "adam-small"),
        widths=(8,),
        rates=(1e-2,),
        small=(0.1,),
        steps=50,
        seeds=2,
        root=tmp_path,
    )


def test_accuracies(config, capsys, forbid):
    """Cells, results, table and figure; a rerun computes nothing again."""
    folder = pointer_retrieval.main(config)
    found = runs.from_json(json.loads((folder / "results.json").read_text())["values"])
    title = "window 1, relu, L = 2"
    grown = found[f"{title}, one lane, balanced, n = 48"]
    assert len(grown["accuracy"]) == 2
    # 16 unseen inputs.
    assert np.allclose(np.mod(16 * np.array(grown["accuracy"]), 1), 0)
    assert max(grown["accuracy"]) > 0.85
    assert f"{title}, Adam, small init, n = 48" in found
    assert (folder / "figures" / "pointer_retrieval.png").stat().st_size > 5000
    assert "Adam, small init" in capsys.readouterr().out

    forbid(pointer_retrieval, "measure")
    assert pointer_retrieval.main(config) == folder


def test_settings_and_bad_windows(config):
    """One lane, several lanes, and the paper's, balanced or not; an even majority is an error."""
    assert pointer_retrieval.settings(config, "balanced-single").lanes == 1
    several = pointer_retrieval.settings(config, "unbalanced")
    assert (several.lanes, several.balance) == (4, False)
    paper = pointer_retrieval.settings(config, "balanced-paper")
    assert (paper.minimiser, paper.balance) == ("gradient_descent", True)
    bad = dataclasses.replace(config, windows=(2,), aggregate="majority")
    with pytest.raises(SystemExit, match="window must be odd"):
        pointer_retrieval.main(bad)


def test_ratios(tmp_path, capsys):
    """Each round starts balanced; gradient flow keeps differences, descent by its step size."""
    config = balance_ratios.Config(
        pointer_bits=2,
        samples=48,
        minimisers=("lbfgs",),
        penalties=(0.0,),
        steps=100,
        max_rounds=3,
        grown=1,
        horizon=0.1,
        rates=(5e-4, 2.5e-4),
        seeds=2,
        root=tmp_path,
    )
    folder = balance_ratios.main(config)
    found = runs.from_json(json.loads((folder / "results.json").read_text())["values"])
    drifts = {name: each["drift"] for name, each in found["flow"].items()}
    assert all(each["start"] < 1e-12 for each in found["flow"].values())
    assert drifts["gradient flow"] < 1e-4
    assert drifts["gradient descent, h = 0.0005"] > 1.5 * drifts["gradient descent, h = 0.00025"]
    assert all(1 <= factor < np.inf for factor in found["L-BFGS, not balanced"]["factor"])
    for name in ("flow", "balance_ratios"):
        assert (folder / "figures" / f"{name}.png").stat().st_size > 5000
    assert "rank correlation" in capsys.readouterr().out
