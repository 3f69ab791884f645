import sys

import numpy as np
import pytest

from nsjax.neuronseek.symbolic_regression import GPLearn, Operon, evolve

ENGINES = [
    pytest.param(
        Operon(population=50, length=20, symbols="add,sub,mul,constant,variable"),
        # pyoperon has wheels for Linux alone.
        marks=pytest.mark.skipif(sys.platform != "linux", reason="pyoperon is for Linux"),
        id="pyoperon",
    ),
    pytest.param(GPLearn(population=200, functions=("add", "sub", "mul")), id="gplearn"),
]


def samples(seed, n=200):
    x = np.random.default_rng(seed).standard_normal((n, 3))
    return x, x[:, 0] * x[:, 1] + x[:, 2]


@pytest.mark.parametrize("settings", ENGINES)
def test_a_small_expression_is_found(settings):
    x, y = samples(0)
    found = evolve(
        3, x, y, settings, seconds=1.0, validation=samples(1), test=samples(2), bounds=(-9, 9)
    )
    steps = found.steps
    assert steps.test[found.chosen] < 0.2
    assert found.chosen == int(np.argmin(steps.held))
    assert np.all(np.diff(steps.seconds) > 0)
    assert steps.seconds[-1] >= 1.0
    if len(steps.seconds) > 1:  # the budget is passed by one generation at most
        assert steps.seconds[-2] < 1.0
    fresh, targets = samples(2)
    error = np.mean((found.predict(fresh) - targets) ** 2) / np.var(targets)
    # An engine may go on with the expression that it returned.
    assert error == pytest.approx(steps.test[found.chosen], rel=1e-6)
    assert found.nodes >= 1
    assert "X" in found.text


def test_predictions_are_cut_off():
    x, y = samples(0)
    found = evolve(0, x, y, GPLearn(population=50), seconds=0.01, bounds=(-0.5, 0.5))
    assert np.max(np.abs(found.predict(100 * x))) <= 0.5
    assert len(found.steps.seconds) == 1
    assert np.isnan(found.steps.held[0])


def test_bad_input_is_named(monkeypatch):
    x, y = samples(0)
    with pytest.raises(TypeError, match=r"settings must be an Operon or a GPLearn, got str"):
        evolve(0, x, y, "gplearn", seconds=1.0)
    with pytest.raises(ValueError, match="seconds"):
        evolve(0, x, y, GPLearn(), seconds=0.0)
    monkeypatch.setitem(sys.modules, "gplearn.genetic", None)
    with pytest.raises(ImportError, match=r"needs gplearn: pip install 'nsjax\[baselines\]'"):
        evolve(0, x, y, GPLearn(), seconds=1.0)
