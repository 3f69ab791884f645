"""The neuron search experiment: formulas, files, figures, resume, names, refusals in words."""

import dataclasses
import json

import numpy as np
import pytest

from experiments import neuron_search
from nsjax import data, neuronseek, runs
from nsjax.networks.cp import Template
from nsjax.neuronseek.formula import Formula
from tests import search_stand_in


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.setattr(neuron_search.neuronseek, "search", search_stand_in.search)
    return neuron_search.Config(samples=80, dimension=3, test=50, seeds=2, root=tmp_path)


def test_run_and_resume(config, capsys, monkeypatch):
    """The formula is printed and saved, and said to be exact; a rerun searches nothing again."""
    folder = neuron_search.main(config)
    shown = capsys.readouterr().out
    for words in (
        "y = 2.5 x0 + 3 x1^2 - 1.2 x2^3",
        "LaTeX: y = 2.5 x_{0} + 3 x_{1}^{2} - 1.2 x_{2}^{3}",
        "found by 2 of 2 seeds",
        "warning: near-linear: try higher orders",
    ):
        assert words in shown
    results = json.loads((folder / "results.json").read_text())["values"]
    assert results["pursuit-seed0"]["recovery"]["exact"]
    assert results["pursuit-seed1"]["structure"] == "x + x^2 + x^3"
    formula = Formula.from_json((folder / "texts" / "formula-pursuit-seed0.json").read_bytes())
    np.testing.assert_allclose(formula([[1.0, 1.0, 1.0]]), [[4.3]], rtol=1e-6)
    assert "x_{0}" in (folder / "texts" / "formula-pursuit-seed0.txt").read_text()
    for name in ("pursuit-terms", "pursuit-shares", "pursuit-predictions", "stability"):
        assert (folder / "figures" / f"{name}.png").stat().st_size > 5000
    monkeypatch.delattr(neuron_search.neuronseek, "search")
    assert neuron_search.main(config) == folder


def test_columns_have_their_names_and_classes_a_confusion_matrix(config, capsys):
    """Those of scikit-learn, made fit for a formula, in formulas and figures."""
    wine = dataclasses.replace(config, data="wine", seeds=1)
    folder = neuron_search.main(wine)
    assert "alcohol" in capsys.readouterr().out
    assert (folder / "figures" / "pursuit-confusion.png").exists()
    assert not (folder / "figures" / "pursuit-predictions.png").exists()
    samples = neuron_search.prepare(wine, 0)
    assert samples.loss == "cross_entropy"
    assert samples.inputs[11] == "od280_od315_of_diluted_wines"
    assert len(samples.test[0]) == round(0.2 * 178)
    assert neuron_search.named("x0 x11^2", samples.inputs) == f"alcohol {samples.inputs[11]}^2"
    assert neuron_search.named("I2.1", samples.inputs) == "I2.1"
    three = neuron_search.prepare(dataclasses.replace(config, data="linnerud"), 0)
    assert three.outputs == ("Weight", "Waist", "Pulse")
    digits = neuron_search.prepare(dataclasses.replace(config, data="digits"), 0)
    assert digits.outputs is None
    assert digits.inputs[0] == "pixel_0_1"


def test_measured_sets_are_read_in_original_units(config, tmp_path, capsys):
    """Scaled by training samples alone; the saved formula gives targets from raw inputs."""
    rows = np.random.default_rng(0).uniform(1, 9, (1503, 6))
    np.savetxt(tmp_path / "airfoil_self_noise.dat", rows)
    given = dataclasses.replace(config, data="airfoil", data_dir=tmp_path, seeds=1)
    samples = neuron_search.prepare(given, 0)
    assert (samples.x.shape, samples.test[1].shape) == ((1202, 5), (301, 1))
    np.testing.assert_allclose([samples.x.mean(), samples.y.std()], [0, 1], atol=1e-12)
    assert abs(samples.test[0].mean()) > 1e-6
    folder = neuron_search.main(given)
    assert "sound_pressure = " in capsys.readouterr().out
    texts = folder / "texts"
    scaled = neuronseek.ScaledFormula.from_json(
        (texts / "formula-pursuit-seed0-scaled.json").read_bytes()
    )
    raw = samples.scaler.x_mean + samples.scaler.x_scale * np.asarray(samples.test[0])
    expected = samples.scaler.targets(scaled.formula(samples.test[0]))
    np.testing.assert_allclose(scaled(raw), expected)
    assert "z0 = (frequency - " in (texts / "formula-pursuit-seed0.txt").read_text()
    with pytest.raises(SystemExit, match=r"error: .*cal_housing\.data"):
        neuron_search.main(dataclasses.replace(given, data="california"))


@pytest.mark.parametrize(
    ("labels", "loss", "columns"),
    [
        (np.arange(30) % 3, "cross_entropy", ("class_0", "class_1", "class_2")),
        (5 * (np.arange(30) % 2), "cross_entropy", ("class_0", "class_5")),
        (2 * (np.arange(30) % 2) - 1, "logistic", None),
        (np.arange(30), "square", None),
        (np.arange(30) % 3 + 0.0, "square", None),
    ],
)
def test_integers_of_a_file_are_classes(config, tmp_path, labels, loss, columns):
    """Few distinct ones; floats and counts are quantities."""
    np.savez(tmp_path / "set.npz", x=np.random.default_rng(0).normal(size=(30, 2)), y=labels)
    given = dataclasses.replace(config, data=f"npz:{tmp_path / 'set.npz'}")
    samples = neuron_search.prepare(given, 0)
    assert (samples.loss, samples.outputs) == (loss, columns)
    assert samples.y.shape == (24, len(columns or "y"))
    asked = neuron_search.prepare(dataclasses.replace(given, loss="cross_entropy"), 0)
    assert asked.y.shape == (24, len(np.unique(labels)))


def test_generated_classes_and_targets(config):
    """Signs for two classes; test points without noise; data of its own for each seed if asked."""
    two = neuron_search.prepare(dataclasses.replace(config, data="family-I2", classes=2), 0)
    assert two.loss == "logistic"
    assert two.truth is None
    noisy = dataclasses.replace(config, data="synthetic-dense", noise=0.1)
    first, again = (neuron_search.prepare(noisy, seed) for seed in (0, 1))
    np.testing.assert_array_equal(first.x, again.x)
    np.testing.assert_allclose(first.truth(first.test[0]), first.test[1], rtol=1e-12)
    assert float(np.abs(first.truth(first.x) - first.y).max()) > 1e-3
    other = neuron_search.prepare(dataclasses.replace(noisy, resample=True), 1)
    assert not np.array_equal(first.x, other.x)


def test_settings_of_both_searches(config):
    """Orders are those of both streams; a rank is a bound or a start."""
    given = dataclasses.replace(config, orders=(1, 3), rank=4, bases=("sine",), epochs=7)
    assert neuron_search.settings(given, "pursuit") == neuronseek.Config(
        powers=(1, 3), interactions=(3,), bases=("sine",), max_terms=4
    )
    trained = neuron_search.settings(given, "paper")
    assert trained.template == Template((1, 3), (3,), 4, ("sine",))
    assert (trained.rule, trained.epochs) == ("paper", 7)
    assert neuron_search.settings(config, "pursuit") == neuronseek.Config()


def test_what_the_library_refuses_ends_in_words(config, tmp_path):
    """Constant targets, NaN, labels that are none, unknown data; no traceback."""
    x = np.arange(12.0).reshape(6, 2) % 5
    bad = {"constant": np.ones(6), "nan": np.array([1, 2, np.nan, 4, 5, 6])}
    messages = {"constant": "error: y must vary", "nan": "error: y of .* must be finite"}
    for name, y in bad.items():
        np.savez(tmp_path / f"{name}.npz", x=x, y=y)
        wrong = dataclasses.replace(config, data=f"npz:{tmp_path / f'{name}.npz'}")
        with pytest.raises(SystemExit, match=messages[name]):
            neuron_search.main(wrong)
    for change, message in (
        ({"data": "boston"}, "error: data must be one of synthetic-sparse, .*, got 'boston'"),
        ({"data": "npz:none.npz"}, "error: there is no data file none.npz"),
        ({"data": "diabetes", "holdout": 1.0}, "error: holdout must leave samples"),
        ({"dimension": 2}, "error: dimension must be at least 3"),
        ({"methods": ()}, "error: there must be at least one method"),
    ):
        with pytest.raises(SystemExit, match=message):
            neuron_search.main(dataclasses.replace(config, **change))


def test_presets_and_the_command_line():
    words = ["--data", "diabetes", "--methods", "pursuit", "paper", "--orders", "1", "2"]
    config = runs.parse(neuron_search.Config, neuron_search.PRESETS, words)
    assert (config.methods, config.orders) == (("pursuit", "paper"), (1, 2))
    assert neuron_search.known_as("low-rank") == "synthetic-low-rank"
    assert set(data.FAMILIES) < {neuron_search.known_as(name) for name in data.POLYNOMIALS}


def test_the_real_search_finds_the_sparse_target(config, capsys, monkeypatch):
    """Exact, with its steps in the log."""
    monkeypatch.undo()
    folder = neuron_search.main(dataclasses.replace(config, samples=150, seeds=1))
    results = json.loads((folder / "results.json").read_text())["values"]
    assert results["pursuit-seed0"]["recovery"]["exact"]
    assert results["pursuit-seed0"]["test_error"] < 1e-15
    assert "added x0" in (folder / "log.txt").read_text()
