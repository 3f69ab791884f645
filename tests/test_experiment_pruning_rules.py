"""The experiment on pruning rules, small: kinds of structures, table, figure, resume."""

import json
from collections import Counter

import pytest

from experiments import pruning_rules
from experiments.pruning_rules import PURSUIT, RULES, Config


def test_kinds():
    truth = Counter({"x": 1, "I2": 1})
    assert pruning_rules.kind(Counter({"x": 1, "I2": 1}), truth) == "exact"
    assert pruning_rules.kind(Counter({"x": 1, "I2": 3, "I3": 1}), truth) == "more"
    assert pruning_rules.kind(Counter({"x": 1, "I3": 4}), truth) == "missing"
    assert pruning_rules.kind(Counter(), truth) == "missing"


def test_settings_hold_the_penalties_that_are_tried():
    for rule, (_, field, grid) in RULES.items():
        tried = pruning_rules.settings(Config(rank=3), rule)
        assert len(tried) == len(grid) == 3
        name = "lam_u" if field == "lam" else field
        assert [getattr(each, name) for each in tried.values()] == list(grid)
        assert all(each.template.rank == 3 for each in tried.values())


def test_the_best_penalty_is_the_one_with_most_exact_structures():
    def member(kind, error):
        return {
            "kind": kind,
            "as_pruned": "more",
            "test_error": error,
            "extra": 0,
            "missing": 0,
            "seconds": 1.0,
        }

    config = Config(rules=("group lasso",), targets=("sparse",), dimensions=(5,), seeds=2)
    done = {
        point: {"0.1": member("more", 1e-9), "0.3": member(kind, 1e-3)}
        for point, kind in zip(pruning_rules.points(config), ("exact", "missing"), strict=True)
    }
    found = pruning_rules.summarise(config, done)["group lasso"]
    assert found["penalty"] == "0.3"
    assert found["targets"]["sparse, d = 5"]["exact"] == 1
    assert found["targets"]["sparse, d = 5"]["missing"] == 1
    assert found["targets"]["sparse, d = 5"][pruning_rules.AS_PRUNED] == 0


def test_a_small_run_and_its_resume(tmp_path, capsys, monkeypatch):
    config = Config(
        rules=("ridge and thresholds", PURSUIT),
        targets=("sparse",),
        dimensions=(3,),
        samples=200,
        test=50,
        seeds=1,
        rank=1,
        epochs=200,
        refit_epochs=50,
        root=tmp_path,
    )
    folder = pruning_rules.main(config)
    shown = capsys.readouterr().out
    assert "ridge and thresholds: 0.001, 0.01, 0.03" in shown
    summary = json.loads((folder / "results.json").read_text())["values"]["summary"]
    found = {rule: row["targets"]["sparse, d = 3"] for rule, row in summary.items()}
    assert found[PURSUIT]["exact"] == found[PURSUIT][pruning_rules.AS_PRUNED] == 1
    trained = found["ridge and thresholds"]
    assert sum(trained[kind] for kind in pruning_rules.KINDS) == 1
    assert trained["worst error"] < 1e-6
    assert (folder / "figures" / "pruning-rules.png").stat().st_size > 5000
    monkeypatch.delattr(pruning_rules.neuronseek, "search")
    assert pruning_rules.main(config) == folder


@pytest.mark.parametrize("wrong", [{"rules": ("lasso",)}, {"targets": ("cubic",)}])
def test_unknown_names_are_refused(tmp_path, wrong):
    with pytest.raises(SystemExit, match="must be among"):
        pruning_rules.main(Config(root=tmp_path, **wrong))
