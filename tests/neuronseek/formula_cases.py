"""Formulas for the tests, and what they compute by plain loops."""

import math

import numpy as np
from hypothesis import strategies as st

from nsjax.networks.cp import CPNeuron, CPTerms
from nsjax.neuronseek.formula import Formula

FUNCTIONS = {
    "sine": math.sin,
    "cosine": math.cos,
    "tanh": math.tanh,
    "bell": lambda t: math.exp(-(t**2)),
    "exponential": math.exp,
}


def axis(d, *inputs):
    """The sum of some unit vectors."""
    vector = np.zeros(d)
    for j in inputs:
        vector[j] += 1
    return vector


def formula(d, *, bias=0.0, powers=None, products=(), bases=()):
    """One output: weights by order, (coefficient, factor, factor, ...), (name, coefficient, u)."""
    interactions, functions = {}, {}
    for coefficient, *factors in products:
        interactions.setdefault(len(factors), []).append((coefficient, np.array(factors)))
    for name, coefficient, u in bases:
        functions.setdefault(name, []).append((coefficient, np.array(u)[None]))

    def stacked(terms):
        return CPTerms(
            np.array([[c for c, _ in terms]]), np.array([f for _, f in terms]).swapaxes(0, 1)
        )

    neuron = CPNeuron(
        np.array([bias]),
        {k: np.array(weights)[None] for k, weights in (powers or {}).items()},
        {n: stacked(terms) for n, terms in interactions.items()},
        {name: stacked(terms) for name, terms in functions.items()},
    )
    return Formula(neuron, inputs=tuple(f"x{i}" for i in range(d)))


def values(formula, x):
    """Outputs and the sum of the sizes of all that was added, one sample and term at a time."""
    neuron = formula.neuron
    outputs = np.zeros((len(x), formula.c))
    sizes = np.zeros((len(x), formula.c))
    for i, sample in enumerate(x):
        for o in range(formula.c):
            parts = [neuron.bias[o]]
            for k, weights in neuron.powers.items():
                parts += [weights[o, j] * sample[j] ** k for j in range(formula.d)]
            for terms in neuron.interactions.values():
                for r, c in enumerate(terms.coefficients[o]):
                    parts.append(c * np.prod([factor @ sample for factor in terms.factors[:, r]]))
            for name, terms in neuron.bases.items():
                for r, c in enumerate(terms.coefficients[o]):
                    parts.append(c * FUNCTIONS[name](terms.factors[0, r] @ sample))
            outputs[i, o] = math.fsum(parts)
            sizes[i, o] = math.fsum(map(abs, parts))
    return outputs, sizes


SMALL = st.sampled_from([0.0, 0.0, 0.0, 1.0, -1.0, 2.0, 0.5])


@st.composite
def neurons(draw, *, outputs=(1, 2), sparse=None):
    """Neurons of few inputs, sparse or dense, with repeated factors now and then."""
    d = draw(st.integers(1, 5))
    c = draw(st.sampled_from(outputs))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sparse = draw(st.booleans()) if sparse is None else sparse

    def array(*shape):
        if not sparse:
            return rng.standard_normal(shape)
        return rng.choice([0, 0, 0, 1, -1, 2, 0.5], size=shape)

    def terms(order):
        rank = draw(st.integers(1, 5))
        factors = array(order, rank, d)
        for m in range(order):
            if draw(st.booleans()):
                factors[m] = factors[0] * rng.choice([-1.0, 0.25, 3.0], size=(rank, 1))
        return CPTerms(array(c, rank), factors)

    powers = draw(st.sets(st.integers(1, 4), max_size=3))
    orders = draw(st.sets(st.integers(2, 4), max_size=3))
    names = draw(st.sets(st.sampled_from(sorted(FUNCTIONS)), max_size=2))
    return Formula(
        CPNeuron(
            array(c),
            {k: array(c, d) for k in powers},
            {n: terms(n) for n in orders},
            {name: terms(1) for name in names},
        ),
        inputs=tuple(f"x{i}" for i in range(d)),
    )


def disguised(formula, rng):
    """The same function with other scales, signs, orders and split coefficients."""
    neuron = formula.neuron

    def terms(each, gauge):
        order, rank, _ = each.factors.shape
        part = rng.standard_normal(rank)
        coefficients = np.concatenate([each.coefficients * p for p in (part, 1 - part)], axis=1)
        factors = np.concatenate([each.factors, each.factors], axis=1)
        if gauge:
            sizes = np.exp(rng.standard_normal((order, 2 * rank)))
            sizes = sizes * rng.choice([-1, 1], size=sizes.shape)
            factors = factors * sizes[:, :, None]
            coefficients = coefficients / np.prod(sizes, axis=0)
            for r in range(2 * rank):
                factors[:, r] = factors[rng.permutation(order), r]
        ranks = rng.permutation(2 * rank)
        return CPTerms(coefficients[:, ranks], factors[:, ranks])

    return Formula(
        CPNeuron(
            neuron.bias,
            neuron.powers,
            {n: terms(each, True) for n, each in neuron.interactions.items()},
            {name: terms(each, False) for name, each in neuron.bases.items()},
        ),
        formula.inputs,
        formula.outputs,
    )
