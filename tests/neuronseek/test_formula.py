"""Formulas: what they accept, what they compute, their terms, and how they print."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsjax.networks import cp
from nsjax.networks.bases import BASES, Basis, register_basis
from nsjax.networks.cp import CPNeuron, CPTerms, Template
from nsjax.neuronseek.formula import Formula
from nsjax.neuronseek.parts import Structure
from tests.neuronseek.formula_cases import axis, formula, values

RNG = np.random.default_rng(3)
E = np.eye(5)
NEURON = CPNeuron(
    RNG.standard_normal(2),
    {k: RNG.standard_normal((2, 4)) for k in (1, 3)},
    {n: CPTerms(RNG.standard_normal((2, 3)), RNG.standard_normal((n, 3, 4))) for n in (2, 3)},
    {
        name: CPTerms(RNG.standard_normal((2, 2)), RNG.standard_normal((1, 2, 4)))
        for name in ("bell", "sine")
    },
)
X = RNG.standard_normal((7, 4))
EXAMPLE = formula(
    5,
    bias=0.5,
    powers={1: 2.5 * E[0], 2: 3 * E[1], 3: -1.2 * E[2]},
    products=[(1.5, E[0], E[3]), (0.7, [0.6, 0.8, 0, 0, 0], E[2] - 0.3 * E[4])],
    bases=[("sine", 0.2, 1.3 * E[0] - E[4])],
)


def test_values_by_plain_loops():
    """All streams and bases, two outputs; a sample alone, and under vmap and jit."""
    given = Formula(NEURON)
    wanted, _ = values(given, X)
    np.testing.assert_allclose(given(X), wanted, rtol=1e-12)
    np.testing.assert_allclose(given(X.tolist()), wanted, rtol=1e-12)
    np.testing.assert_allclose(jax.jit(given)(X), wanted, rtol=1e-12)
    np.testing.assert_allclose(jax.jit(jax.vmap(given))(X), wanted, rtol=1e-12)
    np.testing.assert_allclose(jax.jit(given)(X[2]), wanted[2], rtol=1e-12)


def test_derivatives():
    """Central differences of plain loops."""
    given = Formula(NEURON)
    jacobian = jax.jit(jax.jacobian(given))(X[0])
    for j in range(4):
        step = 1e-6 * np.eye(4)[j]
        (up, down), _ = values(given, np.stack([X[0] + step, X[0] - step]))
        np.testing.assert_allclose(jacobian[:, j], (up - down) / 2e-6, rtol=1e-6)


def test_the_dtype_follows_the_inputs():
    given = Formula(NEURON)
    for dtype in (jnp.float32, jnp.float64):
        assert jax.eval_shape(given, X.astype(dtype)).dtype == dtype
    single = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), NEURON)
    assert Formula.of(single).neuron.bias.tolist() == np.float32(NEURON.bias).tolist()
    low = Formula(CPNeuron(jnp.ones(1, jnp.bfloat16), {1: [[1, 2]]}, {}, {}))
    assert low([[1, 1]]).tolist() == [[4.0]]


def test_a_formula_is_frozen_and_owns_its_numbers():
    """Neither the attributes nor the arrays change, not even through the arrays it came from."""
    bias = np.ones(1)
    given = Formula(CPNeuron(bias, {1: np.ones((1, 2))}, {}, {}))
    bias[0] = 7
    assert given.neuron.bias[0] == 1
    with pytest.raises(AttributeError):
        given.inputs = ("a",)
    with pytest.raises(ValueError, match="read-only"):
        given.neuron.bias[0] = 2


def test_equality_is_of_names_and_numbers():
    same = formula(2, powers={1: [1.0, 2.0]})
    assert same == formula(2, powers={1: [1.0, 2.0]})
    assert len({same, formula(2, powers={1: [1.0, 2.0]})}) == 1
    assert same != formula(2, powers={1: [1.0, 2.5]})
    assert same != formula(2, powers={2: [1.0, 2.0]})
    assert same != Formula(same.neuron, inputs=("a", "b"))
    assert same != formula(3, powers={1: [1.0, 2.0, 0.0]})
    assert same != "y"


def test_empty_streams_are_left_out_and_the_others_sorted():
    none = CPTerms(np.zeros((1, 0)), np.zeros((2, 0, 3)))
    one = CPTerms(np.ones((1, 1)), np.ones((1, 1, 3)))
    given = Formula(
        CPNeuron([0], {3: [[1, 2, 3]], 1: [[1, 2, 3]]}, {2: none}, {"tanh": one, "bell": one})
    )
    assert list(given.neuron.powers) == [1, 3]
    assert given.neuron.interactions == {}
    assert list(given.neuron.bases) == ["bell", "tanh"]


def test_only_a_bias():
    given = Formula(CPNeuron([2.0, 3.0], {}, {}, {}), inputs=["a", "b"])
    assert given(np.ones((3, 2))).tolist() == [[2, 3]] * 3
    assert given.to_text() == "y0 = 2\ny1 = 3"
    assert str(given.structure()) == "constant"
    assert given.shares(X[:, :2]) == {}


TERMS = CPTerms(np.ones((1, 3)), np.ones((2, 3, 4)))
BAD = [
    ("neuron", TypeError, "neuron must be a CPNeuron, got str"),
    (CPNeuron(0.0, {}, {}, {}), ValueError, r"bias must have shape \(any\), got \(\)"),
    (CPNeuron([0.0], {}, {}, {}), ValueError, "inputs must be given"),
    (CPNeuron([], {1: [[1]]}, {}, {}), ValueError, "outputs must be between 1 and 10000, got 0"),
    (CPNeuron(["1"], {}, {}, {}), TypeError, "bias must be an array of real numbers, got"),
    (CPNeuron([1j], {}, {}, {}), TypeError, "got dtype complex128"),
    (CPNeuron([True], {}, {}, {}), TypeError, "got dtype bool"),
    (CPNeuron([np.nan], {}, {}, {}), ValueError, "bias must be finite"),
    (CPNeuron([None], {}, {}, {}), TypeError, "got dtype object"),
    (CPNeuron([0.0], [1], {}, {}), TypeError, "powers must be a dict, got list"),
    (CPNeuron([0.0], {0: [[1]]}, {}, {}), ValueError, "orders in powers must be between 1 and 64"),
    (CPNeuron([0.0], {65: [[1]]}, {}, {}), ValueError, "between 1 and 64, got 65"),
    (
        CPNeuron([0.0], {1.0: [[1]]}, {}, {}),
        TypeError,
        "in powers must be integers, got 1.0",
    ),
    (CPNeuron([0.0], {"x": [[1]]}, {}, {}), TypeError, "must be integers, got 'x'"),
    (CPNeuron([0.0], {1: [1]}, {}, {}), ValueError, r"powers\[1\] must have shape \(1, any\)"),
    (CPNeuron([0.0], {1: [[1], [2]]}, {}, {}), ValueError, r"shape \(1, any\), got \(2, 1\)"),
    (CPNeuron([0.0], {1: [[1], [2, 3]]}, {}, {}), TypeError, r"powers\[1\] must be an array, got"),
    (CPNeuron([0.0], {1: [[np.inf]]}, {}, {}), ValueError, r"powers\[1\] must be finite"),
    (
        CPNeuron([0.0], {1: [[1, 2, 3]]}, {2: TERMS}, {}),
        ValueError,
        r"3, 3\), got \(2, 3, 4\)",
    ),
    (CPNeuron([0.0], {}, {1: TERMS}, {}), ValueError, "orders in interactions must be between 2"),
    (CPNeuron([0.0], {}, {3: TERMS}, {}), ValueError, r"shape \(3, 3, any\), got \(2, 3, 4\)"),
    (CPNeuron([0.0, 0.0], {}, {2: TERMS}, {}), ValueError, r"shape \(2, any\), got \(1, 3\)"),
    (
        CPNeuron([0.0], {}, {2: [[1]]}, {}),
        TypeError,
        r"\[2\] must be CPTerms, got list",
    ),
    (CPNeuron([0.0], {}, {}, {"sinus": TERMS}), ValueError, "bases must be among sine"),
    (CPNeuron([0.0], {}, {}, {"sine": TERMS}), ValueError, r"\(1, 3, any\), got \(2, 3, 4\)"),
]


@pytest.mark.parametrize(("neuron", "error", "said"), BAD)
def test_neurons_that_are_refused(neuron, error, said):
    """The message names the argument, what came and what was wanted."""
    with pytest.raises(error, match=said):
        Formula.of(neuron)


@pytest.mark.parametrize(
    ("names", "error", "said"),
    [
        ("ab", TypeError, "inputs must be a sequence of names, got 'ab'"),
        (3, TypeError, "inputs must be a sequence of names, got 3"),
        (("a",), ValueError, "must have 1 columns|shape"),
        (("a", "a"), ValueError, "inputs must have different names, got 'a' twice"),
        (("a", "2b"), ValueError, "starting with a letter, got '2b'"),
        (("a", "_b"), ValueError, "got '_b'"),
        (("a", "b c"), ValueError, "got 'b c'"),
        (("a", "b\n"), ValueError, r"got 'b\\n'"),
        (("a", "ß"), ValueError, "got 'ß'"),
        (("a", "b" * 65), ValueError, "at most 64 letters"),
        (("a", None), ValueError, "got None"),
    ],
)
def test_names_that_are_refused(names, error, said):
    with pytest.raises(error, match=said):
        Formula.of(CPNeuron([0.0], {1: [[1, 2]]}, {}, {}), inputs=names)


def test_names_of_outputs_are_checked_too():
    neuron = CPNeuron([0.0, 1.0], {1: [[1], [2]]}, {}, {})
    assert Formula.of(neuron, outputs=["lift", "drag"]).to_text() == "lift = x0\ndrag = 1 + 2 x0"
    with pytest.raises(ValueError, match="outputs must have 2 names, got 1"):
        Formula.of(neuron, outputs=["lift"])


def test_inputs_that_are_refused():
    with pytest.raises(ValueError, match=r"x must have 4 columns, got shape \(2, 3\)"):
        Formula(NEURON)(np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"x must have shape \(4,\), got \(3,\)"):
        Formula(NEURON)(np.ones(3))
    with pytest.raises(ValueError, match="x must be finite"):
        Formula(NEURON)(np.full((2, 4), np.nan))


def test_small_numbers_are_dropped_on_request():
    """The number of terms stays unless a coefficient is small; the gauge is fixed."""
    neuron = CPNeuron(
        [1e-9],
        {1: [[1.0, 1e-9]], 2: [[0.0, 0.0]]},
        {2: CPTerms([[3.0, 1e-12]], [[[2.0, 1e-9], [1, 1]], [[0, 1], [1, 1]]])},
        {"sine": CPTerms([[1.0]], [[[1e-9, -4.0]]])},
    )
    assert Formula.of(neuron).neuron.powers[1].tolist() == [[1, 1e-9]]
    found = Formula.of(neuron, tol=1e-6).neuron
    assert found.bias[0] == 1e-9
    assert found.powers[1].tolist() == [[1, 0]]
    assert list(found.powers) == [1]
    assert found.interactions[2].coefficients.tolist() == [[6]]
    assert found.interactions[2].factors[:, 0].tolist() == [[1, 0], [0, 1]]
    assert found.bases["sine"].factors.tolist() == [[[0, -4]]]
    with pytest.raises(ValueError, match="tol must be a finite number >= 0, got -1"):
        Formula.of(neuron, tol=-1)


def test_terms_add_up():
    """Labels are those of the history of a search."""
    given = Formula(NEURON)
    total = sum(values(term.formula, X)[0] for term in given.terms()) + NEURON.bias
    np.testing.assert_allclose(total, values(given, X)[0], rtol=1e-12)
    labels = [term.label for term in given.terms()]
    assert labels[:8] == ["x", "x^3", "I2.1", "I2.2", "I2.3", "I3.1", "I3.2", "I3.3"]
    assert labels[8:10] == ["bell.1", "bell.2"]
    assert [term.label for term in EXAMPLE.terms()] == [
        *("x0", "x1^2", "x2^3", "x0 x3", "I2.2", "sine.1"),
    ]
    twice = formula(3, products=[(1, E[0, :3], E[1, :3]), (2, E[1, :3], E[0, :3])])
    assert [term.label for term in twice.terms()] == ["x0 x1", "I2.2"]
    square = formula(3, products=[(1, E[0, :3], E[1, :3], E[0, :3])])
    assert [term.label for term in square.terms()] == ["x0^2 x1"]


def test_shares_of_the_variance():
    """Independent terms of a full design: variances add up."""
    x = np.stack(np.meshgrid([-1.0, 1.0], [-2.0, 0.0, 2.0]), axis=-1).reshape(-1, 2)
    given = formula(2, bias=5.0, powers={1: [3.0, 0.0]}, products=[(1.0, [1, 0], [0, 1])])
    # Variances 9 * 1 and 1 * 8/3.
    assert given.shares(x) == pytest.approx({"x0": 27 / 35, "x0 x1": 8 / 35})
    assert given.shares(np.ones((3, 2))) == {"x0": 0.0, "x0 x1": 0.0}


def test_monomials():
    """(x0 + x1)^3 by binomials, and a bound."""
    given = formula(3, bias=1.0, powers={1: [0, 0, 2]}, products=[(2, *[axis(3, 0, 1)] * 3)])
    assert {key: float(value[0]) for key, value in given.monomials().items()} == {
        (): 1,
        ((2, 1),): 2,
        ((0, 3),): 2,
        ((0, 1), (1, 2)): 6,
        ((0, 2), (1, 1)): 6,
        ((1, 3),): 2,
    }
    assert len(given.monomials(max_terms=6)) == 6
    with pytest.raises(ValueError, match="monomials must be between 0 and"):
        given.monomials(max_terms=5)
    dense = CPTerms(np.ones((1, 1)), np.ones((8, 1, 300)))
    with pytest.raises(ValueError, match="monomials must be between"):
        Formula(CPNeuron([0.0], {}, {8: dense}, {})).monomials()


def test_its_repr_is_short():
    assert repr(formula(2, powers={1: [1, 2]})) == "Formula('y = x0 + 2 x1')"
    assert len(repr(formula(500, powers={k: np.ones(500) for k in range(1, 40)}))) < 220


def test_structures_are_small_and_hashable():
    assert EXAMPLE.structure() == EXAMPLE.canonical().structure()
    assert len({EXAMPLE.structure(), EXAMPLE.structure()}) == 1
    assert str(Structure((2,), ((2, 3),), (("bell", 2),))) == "x^2 + 3 I2 + 2 bell"


def test_a_registered_basis_travels_with_its_name():
    """And a formula with it is refused where it is not known."""
    root = Basis("cube_root", jnp.cbrt, "cbrt({})", r"\sqrt[3]{{}}", odd=True)
    try:
        register_basis(root)
        given = formula(1, bases=[("cube_root", 2.0, [1.0])])
        text = given.to_json()
        assert Formula.from_json(text)(np.array([[8.0]])).tolist() == [[4.0]]
        assert given.to_text() == "y = 2 cbrt(x0)"
        assert str(given.to_sympy()[0]) == "2.0*cube_root(1.0*x0)"
    finally:
        BASES.pop("cube_root")
    with pytest.raises(ValueError, match=r"bases must be among .*, got 'cube_root'"):
        Formula.from_json(text)


def test_a_fitted_neuron_becomes_a_formula():
    """As drawn by `cp.init`, under JAX."""
    drawn = cp.init(jax.random.key(0), 4, template=Template((2,), (), 1, ("sine",)))
    wanted = jax.jit(cp.apply)(drawn, jnp.asarray(X))
    np.testing.assert_allclose(values(Formula.of(drawn), X)[0], wanted, rtol=1e-12)
