import json
from dataclasses import replace

import numpy as np
import pytest

from experiments import resnet_cifar10
from nsjax.networks.cp import CPNeuron, CPTerms
from nsjax.neuronseek import Formula, LayerTerms
from nsjax.neuronseek.architectures import count_parameters


@pytest.fixture
def config(tmp_path):
    product = CPTerms([[1.0]], [[[1.0, 0.0]], [[0.0, 1.0]]])
    formula = tmp_path / "formula.json"
    formula.write_text(Formula(CPNeuron([0.0], {1: [[1.0, 0.0]]}, {2: product}, {})).to_json())
    return resnet_cifar10.Config(
        kinds=("plain", "wide", "blocks"),
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
        if len(epochs) == 6:
            raise KeyboardInterrupt
        return real(self, state)

    monkeypatch.setattr(resnet_cifar10.Program, "train", stopping)
    with pytest.raises(KeyboardInterrupt):
        resnet_cifar10.main(config)
    folder = resnet_cifar10.main(config)
    assert epochs == [0, 1, 0, 1, 0, 1, 1]
    values = json.loads((folder / "results.json").read_text())["values"]
    assert set(values) == {"plain", "wide", "blocks"}
    assert values["blocks"]["parameters"] > values["plain"]["parameters"]
    assert (folder / "figures" / "curves.png").exists()
    shown = capsys.readouterr().out
    assert "accuracy means nothing" in shown
    # What was kept is what would have been: the same to the last bit, but for the clock.
    monkeypatch.setattr(resnet_cifar10.Program, "train", real)
    whole = resnet_cifar10.main(replace(config, root=config.root / "whole"))
    for kind in config.kinds:
        first, second = (
            np.load(each / "cells" / f"{kind}-seed0.npz")["curves"] for each in (folder, whole)
        )
        np.testing.assert_array_equal(first[:4], second[:4])
    monkeypatch.setattr(resnet_cifar10, "train", None)
    resnet_cifar10.main(config)  # every cell is there


def test_a_wider_plain_network_has_about_as_many_parameters(config):
    config = replace(config, width=16, blocks=(1, 1))
    images = resnet_cifar10.read(config)
    terms = LayerTerms(powers=((1, 1.0), (2, 1.0)))
    sizes = {
        kind: count_parameters(resnet_cifar10.network(config, kind, images, terms), (8, 8, 1))
        for kind in ("plain", "blocks", "wide")
    }
    assert sizes["blocks"] > 1.3 * sizes["plain"]
    assert sizes["wide"] == pytest.approx(sizes["blocks"], rel=0.05)


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
