"""The pursuit ablation, small: every start in every sweep, run folder, figure and resume."""

import json

import numpy as np
import pytest

from experiments import pursuit_ablation
from nsjax import runs


@pytest.fixture
def config(tmp_path):
    """A quadratic form in three variables and two layers; two programs."""
    return pursuit_ablation.Config(
        tasks=("dense",),
        inputs="gaussian",
        dimension=3,
        samples=(50,),
        fixed=50,
        searches=(20,),
        lengths=(60,),
        default_search=20,
        default_length=60,
        depth=2,
        seeds=1,
        max_rounds=3,
        test=100,
        root=tmp_path,
    )


def test_run_and_resume(config, capsys, monkeypatch, forbid):
    """Starts are told apart; a rerun computes nothing again."""
    every = pursuit_ablation.starts(config)
    two = {name: every[name] for name in ("aligned, norm searched", "random, large")}
    monkeypatch.setattr(pursuit_ablation, "starts", lambda _: two)
    folder = pursuit_ablation.main(config)
    results = runs.from_json(json.loads((folder / "results.json").read_text())["values"])
    assert len(results) == 2 + 1 + 2
    errors = {key: np.ravel(value["errors"])[0] for key, value in results.items()}
    assert len({errors[f"dense/samples/{name}"] for name in two}) == 2
    # The same settings in another sweep are the same pursuit.
    assert errors["dense/samples/random, large"] == errors["dense/lengths/random, large"]
    assert (folder / "figures" / "pursuit_ablation.png").stat().st_size > 5000
    assert "aligned, norm searched" in capsys.readouterr().out

    forbid(pursuit_ablation, "measure")
    assert pursuit_ablation.main(config) == folder


def test_one_lane_and_one_thing_varied():
    """No point of the full preset has lanes or pruning; every cell has a name of its own."""
    full = runs.parse(pursuit_ablation.Config, pursuit_ablation.PRESETS, ["--preset", "full"])
    points = list(pursuit_ablation.points(full))
    assert all(point.settings.lanes == 1 and not point.settings.prune for point in points)
    assert len({point[:3] for point in points}) == len(points)
    lengths = [point for point in points if point.sweep == "lengths"]
    assert {point.settings.steps for point in lengths} == set(full.lengths)
    assert {point.settings.search_steps for point in lengths} == {full.default_search}
    large = [point.settings for point in points if point.start == "random, large"]
    assert {(s.new_neurons, s.insertion, s.delta) for s in large} == {("random", "fixed", 1.0)}
