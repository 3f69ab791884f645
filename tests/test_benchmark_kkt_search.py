"""The search benchmark, tiny and without PyTorch: steps against NumPy, verdicts, a whole run."""

import json

import numpy as np
import pytest

from benchmarks import kkt_search
from benchmarks.kkt_search import OURS, SQUARE, TORCH, TORCH_SQUARE, VMAP


@pytest.fixture
def config(tmp_path, monkeypatch):
    """A small problem, on a machine without PyTorch."""
    monkeypatch.setattr(kkt_search, "load_torch", lambda: None)
    monkeypatch.setattr(kkt_search, "_SQUARE", 16)
    return kkt_search.Config(
        starts=6,
        n=20,
        d=3,
        steps=8,
        many_starts=(6,),
        many_n=(20,),
        many_d=(3,),
        many_c=(1,),
        many_p=(2,),
        repeats=1,
        root=tmp_path,
    )


def test_plain_steps_agree_with_numpy(config):
    """`u <- unit(grad phi / |grad phi| + shift u)`, one start at a time."""
    features, pulled, starts = kkt_search.draw_problem(config, "float64")
    moved = kkt_search.plain_vmap(config, features, pulled, starts)
    for start, end in zip(starts, moved, strict=True):
        u = start
        for _ in range(config.steps):
            base = np.maximum(features @ u, 0)
            outgoing = pulled.T @ base**2
            gradient = features.T @ (2 * base * (pulled @ outgoing))
            u = gradient / np.linalg.norm(gradient) + config.shift * u
            u /= np.linalg.norm(u)
        np.testing.assert_allclose(end, u, rtol=1e-9, atol=1e-12)


def test_turns(monkeypatch):
    """Calls take turns, and the first turn, of which only the beginning is read, is left out."""
    clock = iter([0.0, 1.0, 20.0, 23.0, 30.0, 34.0, 40.0, 41.0, 50.0, 55.0])
    monkeypatch.setattr(kkt_search.time, "process_time", lambda: next(clock))
    said = []
    calls = {name: lambda name=name: said.append(name) or name for name in "ab"}
    assert kkt_search.time_all(calls, 2) == ({"a": 1.0, "b": 4.0}, {"a": "a", "b": "b"})
    assert "".join(said) == "ababab"


@pytest.mark.parametrize(("square", "least"), [(40.0, 10), (95.0, 5)])
def test_judge(square, least):
    """Ten times PyTorch, five where its product is as fast; not met is said plainly."""
    rates = {OURS: 60.0, SQUARE: 100.0, VMAP: 20.0, TORCH: 10.0, TORCH_SQUARE: square}
    rows = kkt_search.judge({"float32": rates, "float64": rates}, {OURS: 1.0, TORCH: 11.0})
    by_torch = "met" if least == 5 else "not met"
    assert [row[3] for row in rows] == ["met", "met", by_torch, "not met", "met", by_torch, "met"]
    assert [row[2] for row in rows] == [0.5, 2, least, 0.7, 2, least, least]
    assert [round(row[1], 9) for row in rows] == [0.6, 3, 6, 0.6, 3, 6, 11]


@pytest.mark.slow
def test_run_without_torch(config, capsys):
    """A run folder with results and a figure; PyTorch's rows say that it is not there."""
    folder = kkt_search.main(config)
    results = json.loads((folder / "results.json").read_text())["values"]
    for dtype in kkt_search.DTYPES:
        assert list(results["rates"][dtype]) == [SQUARE, OURS, kkt_search.PRODUCTS, VMAP]
    assert [row[3] for row in results["wanted"]].count(kkt_search.MISSING) == 3
    assert len(results["costs"]) == 10
    assert (folder / "figures" / "cost.png").stat().st_size > 5000
    assert kkt_search.MISSING in capsys.readouterr().out
