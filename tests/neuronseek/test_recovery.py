"""Recovery: the truth itself is exact in any gauge; other structures and numbers are not."""

import jax
import numpy as np
import pytest

from nsjax import data
from nsjax.networks.cp import CPNeuron, CPTerms
from nsjax.neuronseek.formula import Formula
from nsjax.neuronseek.recovery import has_formula, recovery, true_formula

KEY = jax.random.key(0)


def truth_of(name):
    return jax.device_get(data.polynomial_task(KEY, name, 40, 4).truth)


@pytest.mark.parametrize("name", ["sparse", "low-rank", "family-x3+weak-I2", "sine+polynomial"])
def test_the_truth_is_exact(name):
    """Its formula computes its values, and is recovered whatever the gauge."""
    truth = truth_of(name)
    formula = true_formula(truth)
    x = np.random.default_rng(0).normal(size=(7, 4))
    np.testing.assert_allclose(formula(x), truth(x), rtol=1e-12)
    scaled = {
        n: CPTerms(terms.coefficients * 2.0**-n, -2 * terms.factors)
        for n, terms in formula.neuron.interactions.items()
    }
    signs = {n: (-1.0) ** n for n in scaled}
    scaled = {n: CPTerms(signs[n] * terms[0], terms[1]) for n, terms in scaled.items()}
    found = recovery(Formula(formula.neuron._replace(interactions=scaled)), truth)
    assert found.structure
    assert found.exact
    assert found.distance < 1e-10


def test_other_numbers_and_other_terms_are_not_exact():
    """The structure alone is right for the first; neither for the second."""
    truth = truth_of("sparse")
    neuron = true_formula(truth).neuron
    near = neuron._replace(powers=neuron.powers | {2: 1.01 * neuron.powers[2]})
    found = recovery(Formula(near), truth)
    assert (found.structure, found.exact) == (True, False)
    np.testing.assert_allclose(found.distance, 0.01 / 1.01, rtol=1e-6)
    assert recovery(Formula(near), truth, tol=0.1).exact
    for bias, exact in ((1e-9, True), (1e-3, False)):
        assert recovery(Formula(neuron._replace(bias=np.array([bias]))), truth).exact == exact
    more = neuron._replace(powers=neuron.powers | {4: [[1e-3, 0, 0, 0]]})
    found = recovery(Formula(more), truth)
    assert (found.structure, found.exact) == (False, False)
    assert found.distance == 1


def test_what_has_no_formula_is_named():
    truth = truth_of("step")
    assert not has_formula(truth)
    assert has_formula(truth_of("bell"))
    with pytest.raises(ValueError, match=r"functions among sine, .*, got step"):
        true_formula(truth)
    with pytest.raises(TypeError, match=r"truth must be a data.Polynomial, got int"):
        true_formula(3)
    formula = Formula(CPNeuron(np.zeros(1), {1: np.ones((1, 4))}, {}, {}))
    with pytest.raises(TypeError, match="formula must be a Formula, got CPNeuron"):
        recovery(formula.neuron, truth_of("sparse"))
    with pytest.raises(ValueError, match="tol must be a positive"):
        recovery(formula, truth_of("sparse"), tol=0)


def test_a_constant_is_no_recovery():
    """Of a search that found nothing: no input is named by any term."""
    constant = Formula.of(CPNeuron(np.ones(1), {}, {}, {}), inputs=("x0", "x1", "x2", "x3"))
    found = recovery(constant, truth_of("sparse"))
    assert not found.structure
    assert not found.exact
