"""The benchmark of CP training, small: the styles train one model, and growth is measured."""

import json

import numpy as np
import pytest

from benchmarks import cp_training
from benchmarks.cp_training import Size

SMALL = Size(40, 4, 2, 2, 20)


def test_comparison_without_torch(tmp_path, capsys, monkeypatch):
    why = "torch is not installed"
    monkeypatch.setattr(cp_training.rows, "absent", lambda module, extra: why)
    monkeypatch.setattr(cp_training, "grow", lambda config: [])
    config = cp_training.Config(sizes=(SMALL,), pairs=2, epochs=2, root=tmp_path)
    run = cp_training.main(config)
    assert "PyTorch, without loader" in capsys.readouterr().out
    found = json.loads((run.path / "results.json").read_text())["values"]["rows"]
    assert [row["note"] for row in found] == [why, why, "float32"]
    assert found[2]["reference"] == "NumPy"
    assert found[2]["ratio"] > 0
    # The aim then is against NumPy.
    assert found[2]["least"] == cp_training.WANTED["speed"]


@pytest.mark.slow
def test_growth():
    config = cp_training.Config(pairs=2, growth=(1, 2), orders=(2, 3), base=SMALL)
    found = cp_training.grow(config)
    assert [row.unit.removeprefix("exponent of ") for row in found] == list(
        ("n", "d", "R", "sum of orders")
    )
    assert all(np.isfinite(row.ours) and row.memory > 0 for row in found)


def test_factors():
    assert Size(1, 2, 3, 4, 5).factors == 10


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
