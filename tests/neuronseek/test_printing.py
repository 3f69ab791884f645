"""Formulas as text, LaTeX and sympy expressions."""

import builtins

import numpy as np
import pytest

from nsjax.networks.cp import CPNeuron, CPTerms
from nsjax.neuronseek.formula import Formula
from tests.neuronseek.formula_cases import FUNCTIONS, axis, formula, values

E = np.eye(5)
EXAMPLE = formula(
    5,
    bias=0.5,
    powers={1: 2.5 * E[0], 2: 3 * E[1], 3: -1.2 * E[2]},
    products=[(1.5, E[0], E[3]), (0.7, [0.6, 0.8, 0, 0, 0], E[2] - 0.3 * E[4])],
    bases=[("sine", 0.2, 1.3 * E[0] - E[4])],
)


def test_text():
    """Every kind of term in its place."""
    assert str(EXAMPLE) == (
        "y = 0.5 + 2.5 x0 + 3 x1^2 - 1.2 x2^3 + 1.5 x0 x3 "
        "+ 0.56 (0.75 x0 + x1) (x2 - 0.3 x4) + 0.2 sin(1.3 x0 - x4)"
    )


def test_latex():
    assert EXAMPLE.to_latex() == (
        r"y = 0.5 + 2.5 x_{0} + 3 x_{1}^{2} - 1.2 x_{2}^{3} + 1.5 x_{0} x_{3} "
        r"+ 0.56 \left(0.75 x_{0} + x_{1}\right) \left(x_{2} - 0.3 x_{4}\right) "
        r"+ 0.2 \sin\left(1.3 x_{0} - x_{4}\right)"
    )


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (formula(2), "y = 0"),
        (formula(2, bias=-1.0), "y = -1"),
        (formula(2, powers={1: [-1, 1]}), "y = -x0 + x1"),
        (formula(2, powers={2: [0.99999, -0.00123456]}), "y = x0^2 - 0.001235 x1^2"),
        (formula(2, powers={1: [1e-20, 3e20]}), "y = 3e+20 x1"),
        (formula(2, products=[(-2, [1, 1], [1, 1])]), "y = -2 (x0 + x1)^2"),
        (formula(2, products=[(1, [2, 2], [-3, -3], [0, 1])]), "y = -6 x1 (x0 + x1)^2"),
        (formula(2, products=[(1, [1, 0], [0, 1], [1, 0])]), "y = x0^2 x1"),
        # Equal monomials are added up, those of the pure stream among them, and may cancel.
        (formula(2, products=[(1, [1, 0], [0, 1]), (2, [0, 1], [1, 0])]), "y = 3 x0 x1"),
        (formula(2, powers={2: [1, 1]}, products=[(-1, [1, 0], [1, 0])]), "y = x1^2"),
        (formula(2, products=[(0.1, [3, 0], [0, 1]), (-0.3, [0, 1], [1, 0])]), "y = 0"),
        # Small entries are not written, zero terms neither.
        (formula(2, products=[(1, [1, 1e-9], [1e-9, 1]), (0, [1, 1], [1, 2])]), "y = x0 x1"),
        (formula(2, products=[(1, [0, 0], [1, 1])]), "y = 0"),
        (formula(2, bases=[("bell", -1, [1, 2]), ("tanh", 1, [-1, 0])]),
         "y = -exp(-(x0 + 2 x1)^2) + tanh(-x0)"),
        (formula(2, bases=[("cosine", 2, [0, 0])]), "y = 2 cos(0)"),
    ],
)  # fmt: skip
def test_small_texts(given, wanted):
    assert given.to_text() == wanted


def test_the_text_does_not_depend_on_the_gauge():
    scaled = formula(3, products=[(-5, [0.2, 0.4, 0], [0.3, 0, -0.6])])
    assert scaled.to_text() == formula(3, products=[(0.6, [1, 2, 0], [-0.5, 0, 1])]).to_text()


def test_digits():
    given = formula(1, bias=1 / 3, powers={1: [200 / 3]})
    assert given.to_text(2) == "y = 0.33 + 67 x0"
    assert given.to_text(17) == "y = 0.33333333333333331 + 66.666666666666671 x0"
    assert given.to_latex(1) == r"y = 0.3 + 7 \cdot 10^{1} x_{0}"
    for bad, error in [(0, ValueError), (18, ValueError), (2.0, TypeError), (True, TypeError)]:
        with pytest.raises(error, match="digits must be"):
            given.to_text(bad)
    with pytest.raises(ValueError, match="max_entries must be a positive integer, got 0"):
        given.to_text(max_entries=0)
    with pytest.raises(ValueError, match="tol must be a finite number >= 0"):
        given.to_text(tol=-1)


def test_long_sums_are_abbreviated():
    """The largest entries stay, in the order of the inputs, and the others are counted."""
    weights = np.linspace(0.5, 0.6, 100)
    weights[[40, 2]] = -7, 3
    given = formula(100, powers={2: weights}, products=[(2, weights, axis(100, 5))])
    assert given.to_text(max_entries=2) == (
        "y = 3 x2^2 - 7 x40^2 + ... (98 more) "
        "- 14 x5 (-0.4286 x2 + x40 + ... (98 more))"
    )  # fmt: skip
    assert r"- 7 x_{40}^{2} + \cdots \text{ (98 more)}" in given.to_latex(max_entries=2)
    many = formula(12, products=[(r + 1, axis(12, 0, r), axis(12, 1, r)) for r in range(2, 12)])
    assert (
        many.to_text(max_entries=1)
        == "y = 12 (x0 + ... (1 more)) (x1 + ... (1 more)) + ... (9 more)"
    )


def test_names_in_latex():
    names = ("x", "x1", "x_12", "chord_length", "Re", "alpha_2")
    given = Formula(CPNeuron([0.0], {1: [[1] * 6]}, {}, {}), inputs=names, outputs=("sound_level",))
    assert given.to_latex() == (
        r"\mathrm{sound\_level} = x + x_{1} + x_{12} + \mathrm{chord\_length} + \mathrm{Re} "
        r"+ \mathrm{alpha}_{2}"
    )
    assert given.to_text() == "sound_level = x + x1 + x_12 + chord_length + Re + alpha_2"


def test_several_outputs_take_a_line_each():
    terms = CPTerms(np.array([[1.0, 0.0], [2.0, 1e-9]]), np.array([[[1.0, 0], [0, 1]]] * 3))
    given = Formula(CPNeuron([0, 1], {1: [[1, 0], [0, 1]]}, {3: terms}, {}))
    assert given.to_text() == "y0 = x0 + x0^3\ny1 = 1 + x1 + 2 x0^3"
    assert given.to_latex() == (
        "y_{0} = x_{0} + x_{0}^{3} \\\\\ny_{1} = 1 + x_{1} + 2 x_{0}^{3}"
    )  # fmt: skip


def test_sympy_has_the_same_values():
    """Substituted in 30 digits, against plain loops; every basis, two outputs."""
    rng = np.random.default_rng(0)
    neuron = CPNeuron(
        rng.standard_normal(2),
        {2: rng.standard_normal((2, 3))},
        {3: CPTerms(rng.standard_normal((2, 2)), rng.standard_normal((3, 2, 3)))},
        {
            name: CPTerms(rng.standard_normal((2, 1)), rng.standard_normal((1, 1, 3)))
            for name in FUNCTIONS
        },
    )
    given = Formula(neuron, inputs=("a", "sin", "E"))  # symbols, whatever their names
    found = given.to_sympy()
    x = rng.standard_normal((3, 3))
    wanted, _ = values(given, x)
    symbols = {symbol.name: symbol for each in found for symbol in each.free_symbols}
    assert set(symbols) == {"a", "sin", "E"}
    for sample, row in zip(x, wanted, strict=True):
        at = {symbols[name]: value for name, value in zip(given.inputs, sample, strict=True)}
        got = [float(each.evalf(30, subs=at)) for each in found]
        np.testing.assert_allclose(got, row, rtol=1e-12)


def test_sympy_of_nothing():
    assert [str(each) for each in formula(2).to_sympy()] == ["0"]


def test_without_sympy_the_error_says_how_to_get_it(monkeypatch):
    importing = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "sympy":
            raise ImportError(name)
        return importing(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"pip install 'nsjax\[sympy\]'"):
        formula(1).to_sympy()
