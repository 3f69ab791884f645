from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsjax.networks import cp
from nsjax.neuronseek import terms

TEMPLATES = [
    cp.Template((1, 3), (2, 4), 3, ("tanh", "sine")),
    cp.Template((2,), (), 1),
    cp.Template((), (3,), 2),
    cp.Template((), (), 2, ("bell",)),
]


def drawn(template, outputs=2, d=4):
    rng = np.random.default_rng(1)

    def some(order):
        return cp.CPTerms(
            jnp.array(rng.normal(size=(outputs, template.rank))),
            jnp.array(rng.normal(size=(order, template.rank, d))),
        )

    return cp.CPNeuron(
        jnp.arange(1.0, outputs + 1),
        {k: jnp.array(rng.normal(size=(outputs, d))) for k in template.powers},
        {n: some(n) for n in template.interactions},
        {name: some(1) for name in template.bases},
    )


def inputs(n, d=4):
    return jnp.array(np.random.default_rng(2).normal(size=(n, d)))


def one_by_one(neuron):
    """Every term alone, without the bias."""
    count = len(terms.labels(neuron))
    for i in range(count):
        keep = np.arange(count) == i
        yield terms.selected(neuron._replace(bias=jnp.zeros_like(neuron.bias)), keep)


@pytest.mark.parametrize("template", TEMPLATES)
def test_outputs_are_those_of_apply(template):
    neuron = drawn(template)
    x = inputs(7)
    np.testing.assert_allclose(terms.outputs(neuron, x).T, cp.apply(neuron, x), rtol=1e-12)


def test_a_bias_alone():
    neuron = cp.CPNeuron(jnp.array([1.0, 2.0]), {}, {}, {})
    assert terms.outputs(neuron, jnp.ones((3, 2))).tolist() == [[1.0] * 3, [2.0] * 3]
    assert terms.labels(neuron) == ()
    assert terms.counts(neuron) == Counter()


@pytest.mark.parametrize("template", TEMPLATES)
def test_terms_add_up_and_their_spread_is_measured(template):
    neuron = drawn(template)
    x = inputs(30)
    alone = [cp.apply(each, x) for each in one_by_one(neuron)]
    assert len(alone) == len(terms.labels(neuron)) == len(terms.orders(neuron))
    np.testing.assert_allclose(sum(alone) + neuron.bias, cp.apply(neuron, x), rtol=1e-10)
    spread = [np.sqrt(np.sum(np.var(each, axis=0))) for each in alone]
    np.testing.assert_allclose(terms.contributions(neuron, x), spread, rtol=1e-10)


@pytest.mark.parametrize("template", TEMPLATES)
def test_scaling_and_blocks(template):
    neuron = drawn(template)
    x = inputs(5)
    by = jnp.linspace(0.5, 2.0, len(terms.labels(neuron)))
    alone = [cp.apply(each, x) for each in one_by_one(neuron)]
    wanted = sum(b * each for b, each in zip(by, alone, strict=True)) + neuron.bias
    np.testing.assert_allclose(cp.apply(terms.scaled(neuron, by), x), wanted, rtol=1e-10)
    norms, counts = terms.block_norms(neuron)
    blocks = [jax.tree.leaves(each._replace(bias=jnp.zeros(0))) for each in one_by_one(neuron)]
    np.testing.assert_allclose(
        norms, [np.sqrt(sum(np.sum(leaf**2) for leaf in block)) for block in blocks], rtol=1e-12
    )
    assert counts.tolist() == [sum(leaf.size for leaf in block) for block in blocks]
    np.testing.assert_allclose(
        terms.block_norms(terms.scaled(neuron, by, factors=True))[0], norms * by, rtol=1e-12
    )


def test_block_norms_have_a_derivative_at_zero():
    neuron = jax.tree.map(jnp.zeros_like, drawn(TEMPLATES[0]))
    slopes = jax.grad(lambda each: jnp.sum(terms.block_norms(each)[0]))(neuron)
    assert all(np.all(leaf == 0) for leaf in jax.tree.leaves(slopes))


def test_names_structure_and_free_numbers():
    neuron = drawn(cp.Template((1, 2), (2, 3), 2, ("sine",)))
    wanted = ("x", "x^2", "I2.1", "I2.2", "I3.1", "I3.2", "sine.1", "sine.2")
    assert terms.labels(neuron) == wanted
    less = terms.selected(neuron, [1, 0, 0, 0, 0, 1, 1, 1])
    assert terms.counts(less) == {"x": 1, "I3": 1, "sine": 2}
    np.testing.assert_array_equal(
        less.interactions[3].factors[:, 0], neuron.interactions[3].factors[:, 1]
    )
    assert terms.counts(terms.scaled(neuron, np.eye(8)[1])) == {"x^2": 1}
    # Two biases, 2 x 4 weights; 3 x 4 - 3 numbers in unit factors and 2 coefficients; 2 x (4 + 2).
    assert terms.free_numbers(less) == 2 + 8 + (9 + 2) + 12
