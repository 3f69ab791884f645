import json
from dataclasses import replace

import numpy as np
import pytest

from experiments import resnet_cifar10
from nsjax.networks.cp import CPNeuron, CPTerms
from nsjax.neuronseek import Formula


@pytest.fixture
def config(tmp_path):
    product = CPTerms([[1.0]], [[[1.0, 0.0]], [[0.0, 1.0]]])
    formula = tmp_path / "formula.json"
    formula.write_text(Formula(CPNeuron([0.0], {1: [[1.0, 0.0]]}, {2: product}, {})).to_json())
    return resnet_cifar10.Config(
        kinds=("plain", "blocks"),
        images=64,
        width=4,
        blocks=(1,),
        epochs=2,
        batch=32,
        formula=formula,
        root=tmp_path / "runs",
    )


def test_a_run_that_was_stopped_goes_on(config, monkeypatch, capsys):
    real, epochs = resnet_cifar10.Program.train, []

    def stopping(self, state):
        epochs.append(int(state.epoch))
        if len(epochs) == 4:
            raise KeyboardInterrupt
        return real(self, state)

    monkeypatch.setattr(resnet_cifar10.Program, "train", stopping)
    with pytest.raises(KeyboardInterrupt):
        resnet_cifar10.main(config)
    folder = resnet_cifar10.main(config)
    assert epochs == [0, 1, 0, 1, 1]
    values = json.loads((folder / "results.json").read_text())["values"]
    assert set(values) == {"plain", "blocks"}
    assert values["blocks"]["parameters"] > values["plain"]["parameters"]
    assert (folder / "figures" / "curves.png").exists()
    shown = capsys.readouterr().out
    assert "accuracy means nothing" in shown
    monkeypatch.setattr(resnet_cifar10, "train", None)
    resnet_cifar10.main(config)  # every cell is there


def test_the_formula_is_searched_for_on_shrunk_images(config, monkeypatch):
    search = resnet_cifar10.neuronseek.search

    def quick(key, x, y, settings, **options):
        return search(key, x, y, replace(settings, sources=("powers",)), **options)

    monkeypatch.setattr(resnet_cifar10.neuronseek, "search", quick)
    images = resnet_cifar10.read(replace(config, images=200))
    assert resnet_cifar10.shrunk(images.x_train).shape == (200, 16)
    found = resnet_cifar10.find(replace(config, formula=None, searched=120), images)
    formula = Formula.from_json(found["json"])
    assert (formula.d, formula.c) == (16, 10)
    assert 0 <= found["wrong"] < 0.9


def test_images_are_shrunk_to_means():
    x = np.arange(2 * 8 * 8 * 3, dtype=np.uint8).reshape(2, 8, 8, 3)
    found = resnet_cifar10.shrunk(x)
    means = x[:, :2, :2].mean(axis=(1, 2)) / 255
    expected = (means - means.mean(axis=0)) / means.std(axis=0)
    np.testing.assert_allclose(found[:, :3], expected)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"data": "cifar10"}, "data_dir must name"),
        ({"batch": 100}, "batch must be at most 64"),
        ({"kinds": ()}, "a kind"),
        ({"epochs": 0}, "epochs"),
    ],
)
def test_bad_settings_end_with_a_message(config, change, said):
    with pytest.raises(SystemExit, match=said):
        resnet_cifar10.main(replace(config, **change))


def test_missing_files_are_named(config, tmp_path):
    with pytest.raises(SystemExit, match="no CIFAR-10 in"):
        resnet_cifar10.main(replace(config, data="cifar10", data_dir=tmp_path / "nowhere"))
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(SystemExit, match="error"):
        resnet_cifar10.main(replace(config, formula=tmp_path / "bad.json"))
