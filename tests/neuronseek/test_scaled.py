"""Formulas in original units: values, words, and texts that are refused."""

import json

import numpy as np
import pytest

from nsjax.data import Scaler
from nsjax.networks.cp import CPNeuron
from nsjax.neuronseek import ScaledFormula
from nsjax.neuronseek.formula import Formula
from tests.neuronseek.formula_cases import formula

X = np.random.default_rng(0).normal([2886, 6.8], [3153, 5.9], (40, 2))
Y = np.random.default_rng(1).normal([124.8], [6.9], (40, 1))


@pytest.fixture
def scaled():
    neuron = CPNeuron(
        [0.5], {1: [[1.0, 0.0]], 2: [[0.0, -2.0]]}, {}, {"sine": ([[1.0]], [[[0, 1.0]]])}
    )
    return ScaledFormula(Formula(neuron, ("frequency", "angle"), ("sound",)), Scaler.fit(X, Y))


def test_values_are_in_original_units(scaled):
    """As the equation says, from raw inputs."""
    z = (X - X.mean(0)) / X.std(0)
    h = 0.5 + z[:, :1] - 2 * z[:, 1:] ** 2 + np.sin(z[:, 1:])
    np.testing.assert_allclose(scaled(X), Y.mean() + Y.std() * h, rtol=1e-12)
    with pytest.raises(ValueError, match="x must have 2 columns"):
        scaled(X[:, :1])
    with pytest.raises(ValueError, match="x must be finite"):
        scaled(X * np.nan)


def test_the_text_says_how_it_is_read(scaled):
    given = ScaledFormula(
        scaled.formula, Scaler(*map(np.array, ([3.0, -1.5], [2.0, 4], [7.0], [9.0])))
    )
    assert str(given).splitlines() == [
        "h = 0.5 + z0 - 2 z1^2 + sin(z1)",
        "z0 = (frequency - 3) / 2",
        "z1 = (angle + 1.5) / 4",
        "sound = 7 + 9 h",
    ]
    assert given.to_text(1).splitlines()[2] == "z1 = (angle + 2) / 4"


def test_names_that_are_taken_are_left_alone(scaled):
    """Inputs and outputs may be called z0 or h; several outputs have numbers."""
    neuron = CPNeuron([0.0, 1.0], {1: [[1.0, 0.0], [0.0, 1.0]]}, {}, {})
    one = np.ones(2)
    given = ScaledFormula(Formula(neuron, ("z1", "b"), ("h", "u")), Scaler(one, one, one, one))
    lines = given.to_text().splitlines()
    assert lines[0] == "hh0 = zz0"
    assert lines[2] == "zz0 = (z1 - 1) / 1"
    assert lines[4:] == ["h = 1 + 1 hh0", "u = 1 + 1 hh1"]


def test_a_round_trip_keeps_every_bit(scaled):
    """Also of the deepest texts, those of products."""
    d = 9
    products = formula(d, products=[(1, np.eye(d)[0], np.eye(d)[1])])
    scaler = Scaler.fit(np.random.default_rng(2).normal(size=(9, d)), Y[:9])
    for each in (scaled, ScaledFormula(products, scaler)):
        again = ScaledFormula.from_json(each.to_json().encode())
        assert again.formula == each.formula
        assert all(map(np.array_equal, again.scaler, each.scaler))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda whole: whole.pop("scaler"), "the key 'scaler', which is missing"),
        (lambda whole: whole.update(code="1"), "must have keys .* got 'code'"),
        (
            lambda whole: whole.update(format="nsjax formula"),
            "format must be 'nsjax scaled formula'",
        ),
        (lambda whole: whole.update(version=2), "version must be 1, got 2"),
        (lambda whole: whole.update(formula=[]), "formula must be an object"),
        (lambda whole: whole.update(scaler="x"), "scaler must be an object"),
        (lambda whole: whole["formula"].update(bias=[]), "bias must have 1 entries"),
        (lambda whole: whole["scaler"].update(x_scale=[1.0, 0.0]), "x_scale must be positive"),
        (
            lambda whole: whole["scaler"].update(y_mean=[1, 2], y_scale=[1, 1]),
            "must have 1 targets",
        ),
        (lambda whole: whole["scaler"].update(x_mean=[1], x_scale=[1]), "must have 2 inputs"),
    ],
)
def test_hostile_texts_are_refused(scaled, change, message):
    whole = json.loads(scaled.to_json())
    change(whole)
    with pytest.raises(ValueError, match=message):
        ScaledFormula.from_json(json.dumps(whole))


def test_other_types_are_refused(scaled):
    with pytest.raises(TypeError, match="formula must be a Formula, got str"):
        ScaledFormula("y = x", scaled.scaler)
    with pytest.raises(TypeError, match="scaler must be a Scaler, got tuple"):
        ScaledFormula(scaled.formula, tuple(scaled.scaler))
    with pytest.raises(ValueError, match="text must nest at most 8"):
        ScaledFormula.from_json("[" * 100)
