"""The experiments on families, orders and basis functions, small: tables, figures, resume."""

import dataclasses
import json

import pytest

from experiments import basis_functions, neuron_families, order_sweep
from tests import search_stand_in


@pytest.fixture(autouse=True)
def stand_in(monkeypatch):
    monkeypatch.setattr(neuron_families.neuronseek, "search", search_stand_in.search)


def values_of(folder):
    return json.loads((folder / "results.json").read_text())["values"]


def test_families(tmp_path, capsys, monkeypatch):
    """Structures are judged against the truth; the weak family has a noise more."""
    config = neuron_families.Config(
        families=("family-x2", "family-x3+weak-I2"),
        dimension=3,
        samples=100,
        test=50,
        noises=(0.1,),
        seeds=2,
        root=tmp_path,
    )
    assert len(neuron_families.points(config)) == 2 + 4
    folder = neuron_families.main(config)
    shown = capsys.readouterr().out
    assert "0/2" in shown
    assert "all together: 0 of 6 exact (0.00 to 0.39)" in shown
    found = values_of(folder)["family-x2, noise 0.1"]
    assert (found["exact"], found["seeds"]) == (0, 2)
    member = found["members"][0]
    assert member["over_noise"] == pytest.approx(member["test_error"] / 0.01)
    assert member["recovery"]["distance"] > 0
    assert (folder / "figures" / "families.png").stat().st_size > 5000
    monkeypatch.delattr(neuron_families.neuronseek, "search")
    assert neuron_families.main(config) == folder
    with pytest.raises(SystemExit, match=r"families must be among family-x2, .*, got 'sparse'"):
        neuron_families.main(dataclasses.replace(config, families=("sparse",)))
    assert len(neuron_families.PRESETS["quick"].families) == 16


def test_orders_ranks_and_forms(tmp_path, capsys):
    """Orders and ranks of what was found; both forms on both targets, with their costs."""
    config = order_sweep.Config(
        dimension=3,
        samples=60,
        test=40,
        noise=0.0,
        orders=(1, 2),
        rank_orders=(2,),
        ranks=(1,),
        target_rank=1,
        target_size=2,
        cp_ranks=(1,),
        tucker_sizes=(2,),
        starts=2,
        root=tmp_path,
    )
    folder = order_sweep.main(config)
    shown = capsys.readouterr().out
    for words in ("I1 + ... + I2", "1 I2", "CP terms, R = 1", "Tucker core, s = 2"):
        assert words in shown
    found = values_of(folder)
    assert found["orders-order1-size1-seed0"]["order"] == 1
    assert found["orders-order1-size1-seed0"]["recovery"]["structure"]
    assert found["ranks-order2-size1-seed0"]["rank"] == 0
    assert found["cp-on-cp-order3-size1-seed0"]["parameters"] == 1 + 3 + 1 + 9
    assert found["tucker-on-tucker-order3-size2-seed0"]["parameters"] == 1 + 3 + 6 + 8
    assert found["tucker-on-tucker-order3-size2-seed0"]["test_error"] < 1e-10
    assert all(each["evaluation"] >= 0 for name, each in found.items() if "-on-" in name)
    assert (folder / "figures" / "forms.png").stat().st_size > 5000
    with pytest.raises(SystemExit, match=r"error: tucker_sizes must be at most d, got \[9\]"):
        order_sweep.main(dataclasses.replace(config, tucker_sizes=(9,)))


def test_basis_functions(tmp_path, capsys):
    """A row for each target and template; a step has no true structure."""
    config = basis_functions.Config(
        targets=("sparse", "step", "sine"),
        templates=("polynomial", "sine"),
        dimension=3,
        samples=80,
        test=50,
        noise=0.0,
        root=tmp_path,
    )
    folder = basis_functions.main(config)
    shown = capsys.readouterr().out
    assert "sign(x0)" in shown
    assert "1/1" in shown
    found = values_of(folder)
    assert found["sparse, sine"][0]["exact"]
    assert found["step, sine"][0]["exact"] is None
    assert found["sine, sine"][0]["exact"] is False
    assert (folder / "figures" / "templates.png").stat().st_size > 5000
    with pytest.raises(SystemExit, match=r"error: targets must be among sparse, .*, got 'cube'"):
        basis_functions.main(dataclasses.replace(config, targets=("cube",)))
