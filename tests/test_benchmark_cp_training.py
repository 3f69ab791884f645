"""The benchmark of CP training, small: the styles train one model, and growth is measured."""

import json

import numpy as np
import pytest

from benchmarks import cp_training
from benchmarks.cp_training import Size

SMALL = Size(40, 4, 2, 2, 20)


def test_comparison_and_growth(tmp_path, capsys, monkeypatch):
    # PyTorch need not be there.
    monkeypatch.setattr(cp_training.importlib.util, "find_spec", lambda name: None)
    config = cp_training.Config(
        sizes=(SMALL,),
        pairs=2,
        epochs=2,
        growth=(1, 2),
        orders=(2, 3),
        base=SMALL,
        root=tmp_path,
    )
    monkeypatch.setattr(cp_training, "grow", lambda config: [row])
    row = {"grows": "n", "slope": 1.2, "memory slope": 0.1}
    run = cp_training.main(config)
    shown = capsys.readouterr().out
    assert "PyTorch: skipped" in shown
    values = json.loads((run.path / "results.json").read_text())["values"]
    (compared,) = values["compared"]
    assert compared["reference"] == "NumPy"
    assert compared["ratio"] > 0
    assert values["wanted"][1][3] == "not met"


@pytest.mark.slow
def test_growth():
    config = cp_training.Config(pairs=2, growth=(1, 2), orders=(2, 3), base=SMALL)
    rows = cp_training.grow(config)
    assert [row["grows"] for row in rows] == ["n", "d", "R", "sum of orders"]
    assert all(np.isfinite(row["slope"]) and row["memory, MB"][0] > 0 for row in rows)


def test_factors_and_judgement():
    assert Size(1, 2, 3, 4, 5).factors == 10
    fast = {"reference": "PyTorch", "ratio": 30.0, "n, d, R, N, batch": "1, 2, 3, 4, 5"}
    slow = fast | {"reference": "NumPy", "ratio": 2.0}
    rows = cp_training.judge([fast, slow], [{"grows": "d", "slope": 1.0}])
    assert [row[3] for row in rows] == ["met", "met"]


def test_the_loop_by_hand_descends_as_the_compiled_one():
    size = Size(300, 4, 2, 3, 50)
    program, state, others = cp_training.program_of(size, 0)
    _, records = cp_training.epochs.advance(program, 30, state, *others)
    losses = np.asarray(records.train[0])
    assert losses[-1] < 0.7 * losses[0]
    run = cp_training.numpy_epoch(size, 0)
    weights = dict(zip(run.__code__.co_freevars, run.__closure__, strict=True))["weights"]
    before = [w.copy() for w in weights.cell_contents]
    run()
    assert all(np.any(w != b) for w, b in zip(weights.cell_contents, before, strict=True))
