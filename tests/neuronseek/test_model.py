import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsjax.networks import cp
from nsjax.neuronseek import model as models
from nsjax.neuronseek.model import Model, Term
from tests.neuronseek import model_cases as cases

MONOMIALS = ((0,), (1, 1), (0, 2), (0, 0, 3), (2, 2, 2), (0, 1, 2, 3))


@st.composite
def random_models(draw):
    return cases.model(
        np.random.default_rng(draw(st.integers(0, 2**32 - 1))),
        outputs=draw(st.integers(1, 3)),
        powers=sorted(draw(st.sets(st.integers(1, 4)))),
        monomials=draw(st.lists(st.sampled_from(MONOMIALS), unique=True)),
        orders=draw(st.lists(st.integers(2, 4), max_size=3)),
        bases=draw(st.lists(st.sampled_from(["sine", "bell"]), max_size=2)),
    )


def plain(model, x):
    """Outputs by loops over samples and terms."""
    found = []
    for sample in x:
        columns = [1.0]
        for k in sorted(model.powers):
            columns += [sample[j] ** k for j in range(len(sample)) if model.powers[k][j]]
        columns += [np.prod([sample[j] for j in monomial]) for monomial in model.monomials]
        h = np.array(columns) @ model.weights
        for term in model.terms:
            z = [u @ sample for u in term.factors]
            value = {"sine": np.sin, "bell": lambda t: np.exp(-(t**2)), None: np.prod}[term.basis](
                z if term.basis is None else z[0]
            )
            h = h + value * term.coefficients
        found.append(h)
    return np.array(found)


@given(random_models())
def test_a_model_computes_what_it_says_and_so_does_its_neuron(model):
    x = np.random.default_rng(0).standard_normal((5, 4))
    expected = plain(model, x)
    np.testing.assert_allclose(models.outputs(model, x), expected, rtol=1e-9, atol=1e-9)
    neuron = models.to_neuron(model, 4)
    np.testing.assert_allclose(cp.apply(neuron, jnp.asarray(x)), expected, rtol=1e-9, atol=1e-9)
    parts = models.contributions(model, x)
    if len(parts) == len(model.blocks()) + len(model.terms):
        np.testing.assert_allclose(
            sum(parts.values(), 0 * expected) + model.weights[0], expected, rtol=1e-9, atol=1e-9
        )


@given(random_models(), st.data())
def test_columns_that_stay_keep_their_weights(model, data):
    x = np.random.default_rng(0).standard_normal((5, 4))
    powers = {k: np.array([True, False, True, True]) for k in data.draw(st.sets(st.integers(1, 4)))}
    monomials = tuple(data.draw(st.lists(st.sampled_from(MONOMIALS), unique=True)))
    new = model.with_columns(powers, monomials)
    assert new.weights.shape == (new.columns, model.weights.shape[1])
    assert new.terms is model.terms
    np.testing.assert_array_equal(new.weights[0], model.weights[0])
    # The same columns: the same function. More of them: still the same.
    again = new.with_columns(model.powers, model.monomials)
    more = model.with_columns(
        {k: np.ones(4, bool) for k in range(1, 5)}, tuple(dict.fromkeys((*model.monomials, (1, 3))))
    )
    np.testing.assert_allclose(models.outputs(more, x), models.outputs(model, x))
    for key, at in model.blocks():
        kept = key[0] == "monomial" and model.monomials[key[1]] in monomials
        expected = model.weights[at] if kept else None
        if expected is not None:
            np.testing.assert_array_equal(again.weights[at], expected)


@given(random_models())
def test_a_pool_holds_the_terms(model):
    outputs = model.weights.shape[1]
    bases = ("sine", "bell")
    pooled = models.pool(model.terms, (6, 16), 4, outputs, bases)
    back = models.unpool(model.terms, pooled.coefficients, pooled.factors)
    for term, other in zip(model.terms, back, strict=True):
        np.testing.assert_array_equal(term.factors, other.factors)
        np.testing.assert_array_equal(term.coefficients, other.coefficients)
        assert (term.basis, term.label) == (other.basis, other.label)
    assert pooled.used.sum() == len(model.terms)
    x = np.random.default_rng(0).standard_normal((5, 4))
    values, slopes = models.products(pooled, jnp.asarray(x), bases)
    at = 0
    for t, term in enumerate(model.terms):
        np.testing.assert_allclose(values[:, t], term.values(x), rtol=1e-9, atol=1e-12)
        # A slope is the change of the term with one projection.
        for m in range(term.order):
            z = x @ term.factors.T
            step = np.zeros_like(z)
            step[:, m] = 1e-6
            rise = [_value(term, z + sign * step) for sign in (1, -1)]
            np.testing.assert_allclose(
                slopes[:, at + m], (rise[0] - rise[1]) / 2e-6, rtol=1e-5, atol=1e-6
            )
        at += term.order
    assert not np.any(values[:, len(model.terms) :])
    assert not np.any(slopes[:, at:])


def _value(term, z):
    if term.basis is None:
        return np.prod(z, axis=1)
    return {"sine": np.sin, "bell": lambda t: np.exp(-(t**2))}[term.basis](z[:, 0])


def test_parameters_are_the_free_numbers():
    term = Term(np.ones((2, 3)), np.ones(2), free=np.array([[1, 1, 0], [1, 1, 1]], bool))
    model = Model({1: np.array([True, False, True])}, ((0, 1),), (term,), np.zeros((4, 2)))
    # Bias, two powers and a monomial; five entries, of which two are scale; the coefficients.
    assert model.parameters == 4 * 2 + 5 - 2 + 2
    sine = Term(np.ones((1, 3)), np.ones(2), "sine")
    assert model.with_terms((sine,)).parameters == 4 * 2 + 3 + 2


@pytest.mark.parametrize(
    ("monomial", "label"), [((0,), "x0"), ((1, 1, 1), "x1^3"), ((0, 0, 3), "x0^2 x3")]
)
def test_labels(monomial, label):
    assert models.monomial_label(monomial) == label
    assert models.power_label(1) == "x"
    assert models.power_label(4) == "x^4"
