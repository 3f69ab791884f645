import json
from pathlib import Path

import numpy as np
import pytest

from experiments import real_data
from nsjax import data, neuronseek
from nsjax.networks import cp
from nsjax.neuronseek.symbolic_regression import GPLearn

SMALL = {
    "ridge": tuple(neuronseek.Ridge((1, 2), (2,), rank, penalties=(0.3,)) for rank in (1, 2)),
    "paper": (neuronseek.Training(template=cp.Template((1,), (2,), 1), epochs=5, refit_epochs=2),),
    "gplearn": (GPLearn(population=50),),
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    config = real_data.Config(
        methods=("gplearn", "ridge", "paper"),
        splits=1,
        starts=2,
        tuning=1,
        root=tmp_path_factory.mktemp("runs"),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(real_data, "SETTINGS", SMALL)
        return config, real_data.main(config)


def test_results_and_figures_are_there(finished):
    _, folder = finished
    found = json.loads((folder / "results.json").read_text())
    methods = found["values"]["methods"]
    assert set(methods) == {"ridge", "paper", "gplearn"}
    for values in methods.values():
        low, high = values["interval"]
        assert low <= values["mean"] <= high
        assert 1 <= values["structures"] <= 2
    assert {path.name for path in (folder / "figures").glob("*.png")} == {
        "errors.png",
        "diversity.png",
    }
    assert found["values"]["references"][0]["linear"] < 1
    cells = {path.stem for path in (folder / "cells").glob("*.json")}
    assert {"tuning-ridge-1-start0", "ridge-split0-start1", "gplearn-split0-start0"} <= cells
    # Genetic programming had what the neuron with ridge took.
    seconds = [
        json.loads(path.read_text())["values"]["seconds"]
        for path in (folder / "cells").glob("ridge-*.json")
    ]
    assert json.loads((folder / "cells/gplearn-split0-start0.json").read_text())["values"][
        "seconds"
    ] >= float(np.median(seconds))


def test_formulas_are_in_original_units(finished):
    config, folder = finished
    text = (folder / "texts" / "formula-ridge-split0-start1.json").read_text()
    scaled = neuronseek.ScaledFormula.from_json(text)
    table = data.load("diabetes")
    samples = real_data.prepare(config, table, config.seed)
    x, y = samples.test
    raw_x = x * samples.scaler.x_scale + samples.scaler.x_mean
    expected = samples.scaler.targets(scaled.formula(x))
    np.testing.assert_allclose(scaled(raw_x), expected, rtol=1e-8)
    assert scaled.formula.inputs == table.inputs
    assert real_data.relative(np.asarray(scaled.formula(x)), y) < 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": "nothing"}, "airfoil"),
        ({"data": "linnerud"}, "one target"),
        ({"data": "airfoil", "data_dir": Path("/nowhere")}, "data_dir"),
        ({"starts": 1}, "two starts"),
        ({"methods": ("gplearn",)}, "seconds"),
        ({"share": 1.0}, "share"),
    ],
)
def test_bad_settings_end_with_a_message(tmp_path, change, message):
    with pytest.raises(SystemExit, match=message):
        real_data.main(real_data.Config(**{"root": tmp_path, **change}))
    assert not list(tmp_path.iterdir())
