"""Canonical forms: the same function, equal structure for equal polynomials, and closed cases."""

import hypothesis
import jax
import numpy as np
import pytest
from hypothesis import strategies as st

from nsjax.networks.cp import CPNeuron, CPTerms
from nsjax.neuronseek.formula import Formula
from nsjax.neuronseek.parts import Structure
from tests.neuronseek.formula_cases import axis, disguised, formula, neurons, values

X = np.random.default_rng(7).standard_normal((6, 5))
E = np.eye(5)


@hypothesis.settings(max_examples=80)
@hypothesis.given(neurons())
def test_the_canonical_form_is_the_same_function(given):
    """Plain loops over both; relative to the size of what they add up."""
    wanted, sizes = values(given, X[:, : given.d])
    got, _ = values(given.canonical(), X[:, : given.d])
    assert np.all(np.abs(got - wanted) <= 1e-9 * sizes + 1e-300)


@hypothesis.settings(max_examples=60)
@hypothesis.given(neurons(), st.integers(0, 1000))
def test_equal_functions_in_disguise_have_equal_structure(given, seed):
    """Scales, signs, orders of factors and terms, and split coefficients make no difference."""
    other = disguised(given, np.random.default_rng(seed))
    assert other.structure() == given.structure()
    assert other.equivalent(given)
    assert given.equivalent(other)


@hypothesis.settings(max_examples=60)
@hypothesis.given(neurons())
def test_a_canonical_form_is_its_own(given):
    """The structure stays, and so does the function."""
    once = given.canonical()
    assert once.canonical().structure() == once.structure()
    assert once.equivalent(once.canonical())


@hypothesis.settings(max_examples=50)
@hypothesis.given(neurons(sparse=True), st.integers(0, 1000))
def test_the_structure_is_found_under_noise(given, seed):
    """Every number of a disguised formula is off by about 1e-10, as after a fit."""
    rng = np.random.default_rng(seed)
    given = given.canonical()
    fitted = disguised(given, rng)
    noisy = jax.tree.map(
        lambda leaf: leaf + 1e-10 * np.abs(leaf).max() * rng.uniform(-1, 1, leaf.shape),
        fitted.neuron,
    )
    assert Formula(noisy, given.inputs).structure(tol=1e-6) == given.structure()


@hypothesis.settings(max_examples=40)
@hypothesis.given(neurons(outputs=(1,)))
def test_no_form_has_more_interactions_than_were_given(given):
    """Orders and bases lose terms or keep them."""
    ranks = {n: terms.coefficients.shape[1] for n, terms in given.neuron.interactions.items()}
    for order, rank in given.structure().interactions:
        assert rank <= ranks[order]


@pytest.mark.parametrize(
    ("given", "wanted", "structure"),
    [
        (formula(5, products=[(1, E[0] + E[1], E[0] - E[1])]), "x0^2 - x1^2", "x^2"),
        (formula(5, products=[(2, E[1], -E[1], E[1])]), "-2 x1^3", "x^3"),
        (formula(5, powers={3: E[0]}, products=[(-1, E[0], E[0], E[0])]), "0", "constant"),
        (formula(5, products=[(1, E[0], E[1]), (1, E[0], E[2])]), "x0 (x1 + x2)", "I2"),
        (
            formula(
                5,
                products=[
                    (0.5, E[0] + E[2], E[1] + E[3]),
                    (0.5, E[0] - E[2], E[1] - E[3]),
                ],
            ),
            "x0 x1 + x2 x3",
            "2 I2",
        ),
        (
            formula(5, powers={2: E[0]}, products=[(1, E[0] + E[1], E[0] - E[1]), (1, E[1], E[2])]),
            "2 x0^2 - x1^2 + x1 x2",
            "x^2 + I2",
        ),
        (
            formula(5, powers={2: axis(5, 0, 1)}, products=[(2, E[0], E[1])]),
            "(x0 + x1)^2",
            "I2",
        ),
        (
            formula(5, powers={2: np.ones(5)}, products=[(1, np.ones(5), np.ones(5))]),
            "x0^2 + x1^2 + x2^2 + x3^2 + x4^2 + (x0 + x1 + x2 + x3 + x4)^2",
            "x^2 + I2",
        ),
        (
            formula(
                5,
                products=[
                    (1, E[0] + E[1], E[0], E[2]),
                    (2, -E[0], E[2], -E[0] - E[1]),
                ],
            ),
            "3 x0 x2 (x0 + x1)",
            "I3",
        ),
        (formula(2, products=[(1, [1, 1], [1, 0], [1, 0])]), "x0^3 + x0^2 x1", "x^3 + I3"),
        (
            formula(5, products=[(1, E[0], E[1], E[2]), (2, E[3], E[0], E[1])]),
            "2 x0 x1 (0.5 x2 + x3)",
            "I3",
        ),
        (
            # Three terms with x0 and (x1 + x2), which add up to x0^2 (x1 + x2).
            formula(
                5,
                products=[
                    (1, E[0], E[1] + E[2], E[0] + E[3]),
                    (-1, E[1] + E[2], E[3] + E[4], E[0]),
                    (1, E[0], E[1] + E[2], E[4]),
                ],
            ),
            "x0^2 (x1 + x2)",
            "I3",
        ),
        (
            # Only after two steps is there a power to take out.
            formula(
                5,
                products=[
                    (1, E[0], E[0] + E[1], E[0] + E[2]),
                    (-1, E[0], E[0] + E[1], E[2]),
                ],
            ),
            "x0^3 + x0^2 x1",
            "x^3 + I3",
        ),
        (
            # The cube of a sum and of a difference: their mixed terms cancel in pairs.
            formula(
                2,
                products=[
                    (1, [1, 1], [1, 1], [1, 1]),
                    (1, [1, -1], [1, -1], [1, -1]),
                    (-6, [1, 0], [0, 1], [0, 1]),
                ],
            ),
            "2 x0^3",
            "x^3",
        ),
        (
            formula(5, bases=[("cosine", 1, E[0]), ("cosine", 2, -E[0]), ("cosine", 4, 0 * E[0])]),
            "4 + 3 cos(x0)",
            "cosine",
        ),
        (
            formula(5, bases=[("sine", 1, -E[0]), ("sine", 3, E[0]), ("sine", 4, 0 * E[0])]),
            "2 sin(x0)",
            "sine",
        ),
        (
            formula(5, bases=[("exponential", 1, -E[0]), ("exponential", 3, E[0])]),
            "exp(-x0) + 3 exp(x0)",
            "2 exponential",
        ),
    ],
)
def test_closed_cases(given, wanted, structure):
    """Worked by hand."""
    assert given.canonical().to_text() == f"y = {wanted}"
    assert str(given.structure()) == structure


@pytest.mark.parametrize("d", [6, 450])
def test_the_rank_of_a_quadratic_form_is_the_least(d):
    """Random forms of signature (p, q) need max(p, q) products, however they are written.

    For d = 450 the matrix is not formed; with a pure part it is not absorbed.
    """
    rng = np.random.default_rng(d)
    for p, q in [(1, 0), (1, 1), (2, 1), (1, 3), (0, 2)]:
        vectors = np.linalg.qr(rng.standard_normal((d, p + q)))[0].T
        signs = np.array([1.0] * p + [-1.0] * q) * (1 + np.arange(p + q))
        mixing = rng.standard_normal((5, 5))
        matrix = vectors.T @ np.diag(signs) @ vectors
        # S = sum_r a_r b_r^T with random a in its range: more terms than are needed.
        left = rng.standard_normal((7, p + q)) @ vectors
        right = np.linalg.pinv(left.T) @ matrix
        terms = CPTerms(np.ones((1, 7)), np.stack([left, right]))
        del mixing
        given = Formula(CPNeuron(np.zeros(1), {}, {2: terms}, {}))
        assert given.structure() == Structure((), ((2, max(p, q)),), ())
        x = rng.standard_normal((4, d))
        np.testing.assert_allclose(
            values(given.canonical(), x)[0][:, 0], np.einsum("ni,ij,nj->n", x, matrix, x), rtol=1e-9
        )


def test_least_products_under_an_exact_form():
    """x0 x1 + x0 x2 + x1 x2 has eigenvalues 1, -1/2, -1/2: two products, one square among them."""
    given = formula(3, products=[(1, *E[:2, :3]), (1, *E[[0, 2], :3]), (1, *E[1:3, :3])])
    assert given.structure() == Structure((), ((2, 2),), ())


def test_small_entries_become_zero():
    """Weights of a power, entries of a factor and coefficients, each beside its largest."""
    given = formula(
        3,
        powers={1: [1.0, 1e-12, 0.0], 3: [1e-12, 0, 0]},
        products=[
            (1, [1, 1e-12, 0], [0, 1, 1e-12], [0, 0, 1]),
            (1e-12, E[0, :3], [1, 0, 1], [1, 1, 1]),
        ],
    )
    found = given.canonical().neuron
    assert found.powers[1].tolist() == [[1, 0, 0]]
    assert list(found.powers) == [1]  # 1e-12 x0^3 beside x0 x1 x2
    assert found.interactions[3].factors[:, 0].tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert given.structure(tol=1e-13) == Structure((1, 3), ((3, 2),), ())


def test_several_outputs_share_a_diagonal_order():
    """Every output's tensor has to be diagonal; then all become weights of a power."""
    coefficients = np.array([[1.0, 0], [0, 2]])
    factors = np.array([[[1.0, 1], [1, 1]], [[1, -1], [1, -1]]])
    both = Formula(CPNeuron(np.zeros(2), {}, {2: CPTerms(coefficients, factors)}, {}))
    assert str(both.structure()) == "x^2"
    assert both.canonical().neuron.powers[2].tolist() == [[1, -1], [2, -2]]
    factors[0, 1, 1] = 0.5
    one = Formula(CPNeuron(np.zeros(2), {}, {2: CPTerms(coefficients, factors)}, {}))
    assert str(one.structure()) == "2 I2"


def test_several_outputs_give_powers_to_the_pure_stream():
    """x0 (x0 + 2 x1), once and twice."""
    terms = CPTerms(np.array([[1.0], [2.0]]), np.array([[[1.0, 0]], [[1, 2]]]))
    given = Formula(CPNeuron(np.zeros(2), {}, {2: terms}, {})).canonical()
    assert given.to_text() == "y0 = x0^2 + 2 x0 x1\ny1 = 2 x0^2 + 4 x0 x1"


def test_ten_thousand_inputs():
    """No array of d x d."""
    rng = np.random.default_rng(0)
    d = 10_000
    terms = {n: CPTerms(np.ones((1, 2)), rng.standard_normal((n, 2, d))) for n in (2, 3)}
    given = Formula(CPNeuron(np.zeros(1), {2: rng.standard_normal((1, d))}, terms, {}))
    assert given.structure() == Structure((2,), ((2, 2), (3, 2)), ())
    assert given.equivalent(disguised(given, rng), tol=1e-9)


def test_tolerances_are_checked():
    with pytest.raises(ValueError, match="tol must be a positive finite number, got 0"):
        formula(1).canonical(tol=0)
