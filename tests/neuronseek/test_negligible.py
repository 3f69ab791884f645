"""Structures of fitted formulas: what is below a share of the variance does not count."""

import numpy as np
import pytest

from nsjax import data
from nsjax.networks.cp import CPNeuron, CPTerms
from nsjax.neuronseek.formula import Formula
from nsjax.neuronseek.parts import Structure
from nsjax.neuronseek.recovery import recovery
from tests.neuronseek.formula_cases import formula

E = np.eye(4)


def fitted(x, y):
    """Least squares over all monomials of order 1 and 2, as a formula: powers and products."""
    n, d = x.shape
    i, j = np.triu_indices(d, 1)
    columns = np.concatenate([np.ones((n, 1)), x, x**2, x[:, i] * x[:, j]], axis=1)
    w = np.linalg.lstsq(columns, y, rcond=None)[0]
    terms = CPTerms(w[None, 1 + 2 * d :], np.stack([np.eye(d)[i], np.eye(d)[j]]))
    powers = {1: w[None, 1 : d + 1], 2: w[None, d + 1 : 2 * d + 1]}
    return Formula(CPNeuron(w[:1], powers, {2: terms}, {}))


def products(seed, rank, noise, d=10, n=2000):
    """Inputs, noisy targets and clean ones of so many products of order 2, of variance 1."""
    rng = np.random.default_rng(seed)
    x, (u, v) = rng.standard_normal((n, d)), rng.standard_normal((2, rank, d))
    clean = np.sum((x @ u.T) * (x @ v.T), axis=1)
    clean /= np.std(clean)
    return x, clean + noise * rng.standard_normal(n), clean


@pytest.mark.parametrize("rank", [1, 2, 3, 4])
def test_all_monomials_fitted_to_noise_have_the_rank_of_the_truth(rank):
    """The least eigenvalues are noise; numbers are those of n = 2,000, d = 10 and 1 % of it."""
    for seed in range(6):
        x, y, clean = products(seed, rank, noise=0.01)
        found = fitted(x, y)
        assert found.structure().interactions[0][1] >= 5
        share = 0.01**2 * 20 * 10 / 2000
        least = found.canonical(x=x, share=share)
        assert least.structure() == Structure((), ((2, rank),), ())
        # Within the share of each order of what was fitted, and no worse than it.
        moved = np.asarray(least(x) - found(x))
        assert np.var(moved) <= 2 * share
        assert abs(np.mean(moved)) < 1e-12
        error = np.mean((np.asarray(least(x))[:, 0] - clean) ** 2)
        assert error < np.mean((np.asarray(found(x))[:, 0] - clean) ** 2) + share


def test_the_units_of_the_inputs_do_not_matter():
    """Of inputs of any size: eigenvalues count in units of the inputs' spread."""
    x, y, _ = products(0, 4, noise=0.01)
    for sizes in (np.logspace(-3, 3, 10), np.logspace(3, -3, 10)):
        neuron = fitted(x, y).neuron
        divided = CPNeuron(
            neuron.bias,
            {k: w / sizes**k for k, w in neuron.powers.items()},
            {2: CPTerms(neuron.interactions[2].coefficients, neuron.interactions[2][1] / sizes)},
            {},
        )
        least = Formula(divided).canonical(x=x * sizes, share=1e-5).neuron
        assert not least.powers
        assert least.interactions[2].coefficients.shape == (1, 4)


def test_no_share_is_the_exact_form():
    x, y, _ = products(1, 2, noise=0.01)
    found = fitted(x, y)
    assert found.canonical(x=x, share=0) == found.canonical()
    assert found.canonical(x=x, share=1e-20).structure() == found.structure()


def test_least_terms_of_every_order_and_basis_go():
    """Shares of 1e-4 to 1e-2 of a variance of about 1, in order of their size."""
    x = np.random.default_rng(3).standard_normal((4000, 4))
    given = formula(
        4,
        bias=1.0,
        powers={1: E[0], 3: 0.003 * E[1]},
        products=[
            (0.1, E[0], E[1], E[2]),
            (0.01, E[1], E[3], E[3]),
            (0.01, E[0], E[1]),
            (0.1, E[2], E[3]),
        ],
        bases=[("bell", 0.03, E[0])],
    )
    whole = Structure((1, 3), ((2, 2), (3, 2)), (("bell", 1),))
    assert given.structure(x=x, share=1e-6) == whole
    assert given.structure(x=x, share=1e-3) == Structure((1,), ((2, 1), (3, 1)), ())
    assert given.structure(x=x, share=5e-2) == Structure((1,), (), ())
    constant = given.canonical(x=x, share=2)
    assert constant.structure() == Structure((), (), ())
    np.testing.assert_allclose(constant.neuron.bias, np.mean(given(x)), rtol=1e-12)


@pytest.mark.parametrize("order", [2, 3])
def test_a_product_that_is_nearly_a_power_is_one(order):
    factors = [E[1] + 1e-4 * np.roll(E[1], m + 1) for m in range(order)]
    given = formula(4, powers={1: E[0]}, products=[(3, *factors)])
    x = np.random.default_rng(4).standard_normal((500, 4))
    assert given.structure() == Structure((1,), ((order, 1),), ())
    assert given.structure(x=x, share=1e-6) == Structure((1, order), (), ())


def test_several_outputs_share_the_variance():
    """A term counts by what it adds to all outputs."""
    terms = CPTerms(np.array([[1.0, 0.01], [1.0, 0.0]]), np.stack([E[[0, 1]], E[[1, 2]]]))
    both = Formula(CPNeuron(np.zeros(2), {}, {2: terms}, {}))
    x = np.random.default_rng(5).standard_normal((500, 4))
    assert str(both.structure(x=x, share=1e-6)) == "2 I2"
    assert str(both.structure(x=x, share=1e-3)) == "I2"


def test_a_share_for_recovery():
    """What was found may have terms below the share; the truth keeps its own."""
    import jax

    truth = jax.device_get(data.polynomial_task(jax.random.key(0), "sparse", 40, 4).truth)
    neuron = CPNeuron(truth.bias, truth.powers | {4: 1e-4 * np.ones((1, 4))}, {}, {})
    x = np.random.default_rng(6).standard_normal((100, 4))
    assert not recovery(Formula(neuron), truth).structure
    assert recovery(Formula(neuron), truth, x=x, share=1e-5).structure
    assert not recovery(Formula(neuron), truth, x=x, share=0.9).structure


def test_bad_shares_are_refused():
    given = formula(4, powers={1: E[0]})
    with pytest.raises(ValueError, match="share must be a finite number >= 0, got -1"):
        given.structure(share=-1)
    with pytest.raises(TypeError, match="x must be"):
        given.structure(share=0.1)
    with pytest.raises(ValueError, match="x must have 4 columns"):
        given.structure(x=np.ones((3, 2)), share=0.1)
