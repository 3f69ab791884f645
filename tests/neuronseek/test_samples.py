import jax
import numpy as np
import pytest

from nsjax.networks.cp import CPNeuron, CPTerms, apply
from nsjax.neuronseek import Config, samples, search
from nsjax.neuronseek.units import Units

RNG = np.random.default_rng(0)
X = RNG.standard_normal((40, 3))
Y = RNG.standard_normal(40)
KEY = jax.random.key(0)


def put(array, value):
    array = np.array(array, float)
    array[3] = value
    return array


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"x": put(X, np.nan)}, "x must be finite"),
        ({"x": put(X, np.inf)}, "x must be finite"),
        ({"x": X[:, 0]}, "x must be a matrix"),
        ({"x": X[:39]}, "x and y must have one row per sample, got 39 rows in x and 40"),
        ({"x": X[:1], "y": Y[:1]}, "x must have at least 3 samples, got 1"),
        ({"x": X[:0], "y": Y[:0]}, "x must not be empty"),
        ({"x": "data"}, "x must be an array"),
        ({"y": put(Y, np.nan)}, "y must be finite"),
        ({"y": np.full(40, 2.0)}, "y must vary over the samples, got constant"),
        ({"y": np.zeros(40)}, "y must vary over the samples, got zero"),
        ({"y": RNG.integers(0, 3, 40)}, "y must hold real targets.*3 distinct values of dtype int"),
        ({"y": Y > 0}, "y must hold real targets for a regression, got 2 distinct"),
        ({"y": np.where(Y > 0, "a", "b")}, "y must be an array of numbers, got dtype <U1"),
        ({"y": [[1.0], [1.0, 2.0]]}, "y must be an array of numbers"),
        ({"y": Y + 1j}, "y must be real"),
        ({"y": Y, "loss": "logistic"}, "y must hold labels -1 and 1"),
        ({"y": np.ones(40), "loss": "logistic"}, "y must vary"),
        ({"y": Y, "loss": "cross_entropy"}, "y must hold whole numbers for classes, or a column"),
        ({"y": put(Y * 0, np.inf), "loss": "cross_entropy"}, "y must hold whole numbers"),
        ({"y": np.arange(40) - 1, "loss": "cross_entropy"}, "y must hold classes from 0 to"),
        ({"y": np.arange(40) * 10**6, "loss": "cross_entropy"}, "y must hold classes.*no more"),
        ({"loss": "hinge"}, "loss must be one of"),
        ({"key": 0}, "key must be a PRNG key"),
        ({"key": jax.random.split(KEY, (2, 2))}, "key must be a PRNG key"),
        ({"config": "fast"}, "config must be a Config, a Ridge or a Training, got str"),
        ({"inputs": ("a", "b")}, "inputs must have 3 names"),
        ({"inputs": ("a", "b", "c d")}, "inputs must be names"),
        ({"targets": ("y", "z")}, "targets must have 1 names"),
        ({"on_step": "print"}, "on_step must be callable"),
        ({"validation": X}, "validation must be a pair"),
        ({"validation": (X[:, :2], Y)}, r"validation\[0\] must have 3 columns"),
        ({"test": (X, Y[:4])}, r"test\[0\] and test\[1\] must have one row per sample"),
        ({"test": (X, put(Y, np.nan))}, r"test\[1\] must be finite"),
    ],
)
def test_bad_input_is_refused(change, said):
    given = {"key": KEY, "x": X, "y": Y} | change
    with pytest.raises((TypeError, ValueError), match=said):
        search(**given)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"powers": (0,)}, "powers must be a positive integer"),
        ({"powers": 3}, "powers must be a tuple of orders"),
        ({"interactions": (1,)}, "interactions must have orders >= 2"),
        ({"interactions": (2, 2)}, "interactions must not repeat"),
        ({"bases": ("square",)}, "bases must be among"),
        ({"bases": "sine"}, "bases must be a tuple"),
        ({"sources": "powers"}, "sources must be a tuple"),
        ({"sources": ()}, "sources must be a tuple"),
        ({"sources": ("magic",)}, "sources must be one of"),
        ({"max_terms": 0}, "max_terms must be a positive integer"),
        ({"starts": 2.5}, "starts must be a positive integer"),
        ({"holdout": 1.0}, "holdout must lie between 0 and 1"),
        ({"holdout": 0}, "holdout must be a positive"),
        ({"z": -1.0}, "z must be a finite number >= 0"),
        ({"gain": float("nan")}, "gain must be a finite number >= 0"),
        ({"ridge": "none"}, "ridge must be a number >= 0"),
    ],
)
def test_bad_settings_are_refused(change, said):
    with pytest.raises((TypeError, ValueError), match=said):
        Config(**change)


@pytest.mark.parametrize("column", [np.array([0, 2, 1, 2]), np.array([[0.0], [2], [1], [2]])])
def test_classes_become_one_hot_rows(column):
    """Whole numbers in one column, floats as well, as files may hold them."""
    _, y = samples.training(X[:4], column, "cross_entropy")
    np.testing.assert_array_equal(y, np.eye(3)[[0, 2, 1, 2]])
    assert y.dtype == X.dtype
    _, more = samples.further("test", (X[:2], np.array([1, 0])), "cross_entropy", (3, 3))
    np.testing.assert_array_equal(more, np.eye(3)[[1, 0]])


def test_units_are_undone():
    rng = np.random.default_rng(1)
    x, y = X * [1e3, 1e-3, 0.0] + [0, 1, 0], 1e5 * rng.standard_normal((40, 2)) + 3e4
    units = Units.of(x, y, "square")
    exponents = np.log2(units.inputs)
    np.testing.assert_array_equal(exponents, np.round(exponents))
    np.testing.assert_allclose(np.mean(np.var((y - units.mean) / units.scale, axis=0)), 1)
    terms = CPTerms(rng.standard_normal((2, 2)), rng.standard_normal((2, 2, 3)))
    one = CPTerms(rng.standard_normal((2, 1)), rng.standard_normal((1, 1, 3)))
    neuron = CPNeuron(np.ones(2), {2: rng.standard_normal((2, 3))}, {2: terms}, {"tanh": one})
    expected = apply(neuron, x / units.inputs) * units.scale + units.mean
    np.testing.assert_allclose(apply(units.back(neuron), x), expected, rtol=1e-10)
    assert Units.of(x, y, "logistic").scale == 1
