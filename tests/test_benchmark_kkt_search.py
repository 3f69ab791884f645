"""The search benchmark, tiny and without PyTorch: steps against NumPy, verdicts, a whole run."""

import json

import numpy as np
import pytest

from benchmarks import kkt_search
from benchmarks.kkt_search import BY_HAND, OURS, PRODUCTS, SQUARE, TORCH, TORCH_SQUARE, VMAP


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


@pytest.mark.parametrize(("square", "least"), [(40.0, 10), (95.0, 5)])
def test_aims(config, square, least):
    """Ten times PyTorch, five where its product is as fast; not met is said plainly."""
    rates = {OURS: 60.0, SQUARE: 100.0, VMAP: 20.0, TORCH: 10.0, TORCH_SQUARE: square}
    rates |= {PRODUCTS: 80.0, BY_HAND: 30.0}
    steps = {"float64": {name: [1 / rate] for name, rate in rates.items()}}
    search = {
        "seconds": {OURS: [1.0], TORCH: [11.0], BY_HAND: [3.0]},
        "ends": dict.fromkeys((OURS, TORCH, BY_HAND), ""),
        "compile_seconds": 1.0,
    }
    found = kkt_search.compared(config, steps, search, None)
    by_torch = "met" if least == 5 else "not met"
    outcomes = ["not met", "", "met", by_torch, "", "met", "", ""]
    assert [row.outcome for row in found] == outcomes
    assert [row.ratio for row in found[:5]] == pytest.approx([0.6, 0.75, 3, 6, 2])
    assert [row.least for row in found[:4]] == [0.7, None, 2, least]


@pytest.mark.slow
def test_run_without_torch(config, capsys):
    """A run folder with results and a figure; PyTorch's rows say that it is not there."""
    folder = kkt_search.main(config)
    results = json.loads((folder / "results.json").read_text())["values"]
    for dtype in kkt_search.DTYPES:
        assert set(results["steps"][dtype]) == {SQUARE, OURS, PRODUCTS, VMAP}
    assert [row["outcome"] for row in results["rows"]].count("skipped") == 6
    assert len(results["costs"]) == 10
    assert (folder / "figures" / "cost.png").stat().st_size > 5000
    assert "skipped" in capsys.readouterr().out
