"""Random models for the tests, and their pieces as a fit takes them."""

import numpy as np

from nsjax.neuronseek import fitting
from nsjax.neuronseek.model import Model, Term, design, pool


def model(rng, *, d=4, outputs=2, powers=(1, 3), monomials=(), orders=(2, 3), bases=()):
    """Random weights; power k has the inputs from k - 1 on, at least the last one."""
    masks = {k: np.arange(d) >= min(k - 1, d - 1) for k in powers}
    terms = [
        Term(rng.standard_normal((n, d)), rng.standard_normal(outputs), label=f"I{n}")
        for n in orders
    ]
    terms += [
        Term(rng.standard_normal((1, d)), rng.standard_normal(outputs), name, label=name)
        for name in bases
    ]
    columns = 1 + sum(int(mask.sum()) for mask in masks.values()) + len(monomials)
    return Model(masks, tuple(monomials), tuple(terms), rng.standard_normal((columns, outputs)))


def arrays(model, x, y, *, sizes=(4, 8), columns=16, weight=None, bases=()):
    """Weights, pool, rows and which columns are used, with padding."""
    d, outputs = x.shape[1], y.shape[1]
    pooled = pool(model.terms, sizes, d, outputs, bases)
    padded = np.zeros((len(x), columns))
    padded[:, : model.columns] = design(model, x)
    start = np.zeros((columns, outputs))
    start[: model.columns] = model.weights
    weights = fitting.Weights(start, pooled.coefficients, pooled.factors)
    weight = np.ones(len(x)) if weight is None else weight
    return weights, pooled, fitting.Rows(padded, x, y, weight), np.arange(columns) < model.columns


def targets(rng, loss, n, outputs):
    """Random targets of a loss, `(n, outputs)`."""
    if loss == "square":
        return rng.standard_normal((n, outputs))
    if loss == "logistic":
        return rng.choice([-1.0, 1.0], (n, outputs))
    return np.eye(outputs)[rng.integers(outputs, size=n)]
