import json
from dataclasses import replace

import numpy as np
import pytest

from experiments import tabular_networks
from nsjax.neuronseek import LayerTerms

SMALL = tabular_networks.Config(
    data=("iris",), hidden=(4,), rates=(1e-2,), decays=(0.0, 0.1), epochs=10, splits=2
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tabular_networks, "TREES", 10)
        return tabular_networks.main(replace(SMALL, root=tmp_path_factory.mktemp("runs")))


def test_results_and_figures_are_there(folder):
    values = json.loads((folder / "results.json").read_text())["values"]
    assert set(values) == {f"iris, {kind}" for kind in tabular_networks.KINDS}
    for found in values.values():
        assert len(found["settings"]) == 2
        assert found["seconds"] >= 0
    assert (folder / "figures" / "iris-held-out.png").exists()


def test_a_rerun_computes_nothing(folder, monkeypatch):
    for name in ("train", "boost", "find"):
        monkeypatch.setattr(tabular_networks, name, None)
    tabular_networks.main(replace(SMALL, root=folder.parent.parent))


def test_a_constant_formula_makes_plain_neurons():
    config = tabular_networks.Config()
    rng = np.random.default_rng(0)
    noise = tabular_networks.Task(rng.normal(size=(40, 3)), rng.normal(size=(40, 1)), "square")
    split = tabular_networks.divide(config, noise, 0)
    terms, text = tabular_networks.find(config, noise, split, 1)
    assert "x" not in text
    assert terms == LayerTerms()


@pytest.mark.parametrize("name", ["linnerud", "breast_cancer", "wine"])
def test_errors_of_boosted_trees_after_every_tree(name, monkeypatch):
    """Several targets, two classes, three classes: the last ones by scikit-learn's own scores."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.metrics import r2_score

    monkeypatch.setattr(tabular_networks, "TREES", 5)
    config = tabular_networks.Config()
    task = tabular_networks.read(config, name)
    split = tabular_networks.divide(config, task, 0)
    held, test = tabular_networks.staged(task, split, learning_rate=0.2, min_samples_leaf=3)
    assert held.shape == test.shape == (5,)
    options = {"learning_rate": 0.2, "min_samples_leaf": 3, "max_iter": 5, "random_state": 0}
    x, y = split.train
    if task.loss == "square":
        fits = [HistGradientBoostingRegressor(**options).fit(x, each) for each in y.T]
        found = np.stack([fit.predict(split.test[0]) for fit in fits], axis=1)
        weighted = r2_score(split.test[1], found, multioutput="variance_weighted")
        assert test[-1] == pytest.approx(1 - weighted, rel=1e-5)
        return
    labels, expected = (
        each.argmax(axis=1) if each.shape[1] > 1 else (each[:, 0] > 0).astype(int)
        for each in (y, split.test[1])
    )
    model = HistGradientBoostingClassifier(**options, early_stopping=False).fit(x, labels)
    wrong = np.mean(model.predict(split.test[0]) != expected)
    assert test[-1] == pytest.approx(wrong, abs=1e-6)


def test_networks_have_equal_sizes():
    terms = LayerTerms(((1, 1.0), (2, 1.0)), ((2, 3, 1.0),))
    sizes = {
        kind: tabular_networks.architectures.count_parameters(
            tabular_networks.network(tabular_networks.Config(), kind, 1, 7, terms), (7,)
        )
        for kind in tabular_networks.KINDS[:3]
    }
    assert sizes["plain"] == pytest.approx(sizes["task-driven"], rel=0.03)
    assert sizes["plain, twice as many"] == pytest.approx(2 * sizes["task-driven"], rel=0.03)


@pytest.mark.parametrize("name", ["diabetes", "digits", "breast_cancer"])
def test_splits_are_standardised_and_have_no_row_twice(name):
    config = tabular_networks.Config()
    task = tabular_networks.read(config, name)
    numbered = task._replace(x=np.concatenate([task.x, np.arange(len(task.x))[:, None]], axis=1))
    split = tabular_networks.divide(config, numbered, 3)
    rows = np.concatenate([part[0][:, -1] for part in split])
    assert len(np.unique(rows)) == len(task.x)
    np.testing.assert_allclose(split.train[0].mean(axis=0), 0, atol=1e-12)
    assert len(split.train[0]) == round(0.64 * len(task.x))
    if task.loss == "square":
        np.testing.assert_allclose(split.train[1].std(axis=0), 1)
    else:
        assert set(np.unique(split.test[1])) <= {-1, 0, 1}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"data": ("mnist",)}, "data must be among"),
        ({"data": ()}, "a data set"),
        ({"splits": 1}, "two splits"),
        ({"rates": ()}, "a rate"),
        ({"rates": (-1.0,)}, "rates and decays"),
        ({"hidden": (0,)}, "hidden must be positive"),
        ({"epochs": 0}, "epochs"),
        ({"activation": "swoosh"}, "activation must be"),
    ],
)
def test_bad_settings_end_with_a_message(change, said, tmp_path):
    with pytest.raises(SystemExit, match=said):
        tabular_networks.main(replace(SMALL, root=tmp_path, **change))
