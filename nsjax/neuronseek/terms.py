"""The terms of a CP-polynomial neuron one by one: their names, sizes and contributions.

A term is a power of the pure stream with all its weights, one product of projections of the
interaction stream, or one basis function of a projection. Arrays over the L terms of a neuron go
through powers, then interactions by order, then bases by name. Functions take neurons of NumPy or
of JAX arrays, and answer alike: on the host nothing needs to be compiled.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from nsjax.networks import cp
from nsjax.networks.bases import basis
from nsjax.networks.cp import CPNeuron, CPTerms
from nsjax.neuronseek.parts import raised

if TYPE_CHECKING:
    from jax.typing import ArrayLike
    from jaxtyping import Array, Bool, Float, Int


def streams(neuron: CPNeuron) -> list[tuple[str, Any, int]]:
    """Kind, order or name, and number of terms of every stream, in the order of the terms."""
    return [
        *(("power", k, 1) for k in sorted(neuron.powers)),
        *(
            ("interaction", n, neuron.interactions[n].factors.shape[-2])
            for n in sorted(neuron.interactions)
        ),
        *(("basis", name, neuron.bases[name].factors.shape[-2]) for name in sorted(neuron.bases)),
    ]


def labels(neuron: CPNeuron) -> tuple[str, ...]:
    """Names of its terms: `"x^2"`, `"I3.1"` (the first interaction of order 3), `"sine.1"`.

    >>> terms = CPTerms(np.ones((1, 2)), np.ones((2, 2, 3)))
    >>> labels(CPNeuron(np.zeros(1), {1: np.ones((1, 3))}, {2: terms}, {}))
    ('x', 'I2.1', 'I2.2')
    """
    names: list[str] = []
    for kind, which, count in streams(neuron):
        if kind == "power":
            names.append(raised("x", which))
        else:
            stem = f"I{which}" if kind == "interaction" else which
            names += [f"{stem}.{r + 1}" for r in range(count)]
    return tuple(names)


def orders(neuron: CPNeuron) -> Int[np.ndarray, " L"]:
    """Index of the stream that each term belongs to."""
    return np.repeat(*np.transpose([(i, s[2]) for i, s in enumerate(streams(neuron))]))


def scaled(neuron: CPNeuron, by: ArrayLike, *, factors: bool = False) -> CPNeuron:
    """The neuron with every term multiplied by its own number, `by` of shape `(L,)`.

    With `factors`, its factors are multiplied too, so that the term's whole block of weights is.
    """
    at, numbers = 0, {}
    for kind, which, count in streams(neuron):
        numbers[kind, which] = by[at : at + count]  # type: ignore[index]
        at += count

    def times(kind: str, family: dict[Any, CPTerms]) -> dict[Any, CPTerms]:
        return {
            which: CPTerms(
                each.coefficients * numbers[kind, which],
                each.factors * numbers[kind, which][:, None] if factors else each.factors,
            )
            for which, each in family.items()
        }

    return CPNeuron(
        neuron.bias,
        {k: weights * numbers["power", k] for k, weights in neuron.powers.items()},
        times("interaction", neuron.interactions),
        times("basis", neuron.bases),
    )


def selected(neuron: CPNeuron, keep: Bool[np.ndarray, " L"]) -> CPNeuron:
    """The neuron without the terms that are not kept; on the host, as its shapes change."""
    keep = np.asarray(keep, bool)
    at, powers = 0, {}
    families: dict[str, dict[Any, CPTerms]] = {"interaction": {}, "basis": {}}
    for kind, which, count in streams(neuron):
        kept = np.flatnonzero(keep[at : at + count])
        at += count
        if kind == "power":
            if len(kept):
                powers[which] = neuron.powers[which]
        elif len(kept):
            terms = (neuron.interactions if kind == "interaction" else neuron.bases)[which]
            families[kind][which] = CPTerms(
                np.asarray(terms.coefficients)[:, kept], np.asarray(terms.factors)[:, kept]
            )
    return CPNeuron(neuron.bias, powers, families["interaction"], families["basis"])


def outputs(neuron: CPNeuron, x: Any) -> Float[Array, "c n"]:
    """Outputs for x `(n, d)`, samples last: one matrix product for projections of all orders.

    The same as `cp.apply` transposed, in the layout that training is fastest in.
    """
    features, weights = _features(neuron, x)
    if not features:
        return neuron.bias[:, None] + _module(x).zeros((1, len(x)), x.dtype)
    xp = _module(x)
    return xp.concatenate(weights, axis=1) @ xp.concatenate(features) + neuron.bias[:, None]


def contributions(neuron: CPNeuron, x: Any) -> Float[Array, " L"]:
    """Standard deviation over data x `(n, d)` of what each term adds to the outputs.

    Variances are summed over outputs, so that a square over the targets' variance is a share of it.
    """
    features, weights = _features(neuron, x)
    xp, variances = _module(x), []
    for (kind, _, _), rows, weight in zip(streams(neuron), features, weights, strict=True):
        centred = rows - xp.mean(rows, axis=1, keepdims=True)
        if kind == "power":
            variances.append(xp.sum(xp.mean((weight @ centred) ** 2, axis=1))[None])
        else:
            variances.append(xp.mean(centred**2, axis=1) * xp.sum(weight**2, axis=0))
    return xp.sqrt(xp.concatenate(variances))


def stream_variances(neuron: CPNeuron, x: Any) -> Float[Array, " streams"]:
    """Variance over data x `(n, d)` of what each stream adds, summed over outputs."""
    xp = _module(x)
    return xp.stack(
        [
            xp.sum(xp.var(weight @ rows, axis=1))
            for rows, weight in zip(*_features(neuron, x), strict=True)
        ]
    )


def sizes(neuron: CPNeuron) -> Float[Array, " L"]:
    """Norm over outputs of each term's coefficient, or of a power's weights.

    Only in the gauge of `cp.normalize` do they mean anything for interactions.
    """
    xp = _module(neuron.bias)
    return xp.concatenate(
        [
            *(xp.linalg.norm(neuron.powers[k])[None] for k in sorted(neuron.powers)),
            *(xp.linalg.norm(each.coefficients, axis=0) for _, each in _products(neuron)),
        ]
    )


def block_norms(neuron: CPNeuron) -> tuple[Float[Array, " L"], Int[np.ndarray, " L"]]:
    """Norm of all weights of each term, factors too, and how many they are."""
    xp, squares, counts = _module(neuron.bias), [], []
    for k in sorted(neuron.powers):
        squares.append(xp.sum(neuron.powers[k] ** 2)[None])
        counts.append(neuron.powers[k].size)
    for _, each in _products(neuron):
        rank = each.factors.shape[1]
        squares.append(xp.sum(each.coefficients**2, axis=0) + xp.sum(each.factors**2, (0, 2)))
        counts += [(each.coefficients.size + each.factors.size) // rank] * rank
    total = xp.concatenate(squares)
    # The square root has no derivative at 0, and a block that is 0 stays there.
    return xp.where(total > 0, xp.sqrt(xp.where(total > 0, total, 1)), 0), np.array(counts)


def free_numbers(neuron: CPNeuron) -> int:
    """Number of parameters without the norms of interactions' factors, which the gauge fixes."""
    fixed = sum(
        each.factors.shape[0] * each.factors.shape[1] for each in neuron.interactions.values()
    )
    return cp.parameters(neuron) - fixed


def counts(neuron: CPNeuron) -> Counter[str]:
    """How many terms it has of every kind and order, as it stands: `{"x^2": 1, "I3": 2}`.

    Powers whose weights are all zero do not count, nor do terms with a zero coefficient.
    """
    found: Counter[str] = Counter()
    present = np.asarray(sizes(neuron)) > 0 if streams(neuron) else np.zeros(0, bool)
    for label, there in zip(labels(neuron), present, strict=True):
        found[label.split(".")[0]] += int(there)
    return +found


def _features(neuron: CPNeuron, x: Float[Array, "n d"]) -> tuple[list[jax.Array], list[jax.Array]]:
    """Powers of the inputs and products of projections, samples last, with their weights."""
    xp, transposed = _module(x), x.T
    features, weights = [], []
    for k in sorted(neuron.powers):
        features.append(transposed**k)
        weights.append(neuron.powers[k])
    terms = _products(neuron)
    if not terms:
        return features, weights
    rows = xp.concatenate([each.factors.reshape(-1, x.shape[1]) for _, each in terms])
    projections, at = rows @ transposed, 0
    for name, each in terms:
        order, rank, _ = each.factors.shape
        # One factor after another: the derivative of `jnp.prod` costs several times as much.
        value = projections[at : at + rank]
        for m in range(1, order):
            value = value * projections[at + m * rank : at + (m + 1) * rank]
        at += order * rank
        features.append(value if name is None else xp.asarray(basis(name).function(value)))
        weights.append(each.coefficients)
    return features, weights


def _products(neuron: CPNeuron) -> list[tuple[str | None, CPTerms]]:
    """Interactions and bases, the latter with their names, in the order of the terms."""
    return [
        *((None, neuron.interactions[n]) for n in sorted(neuron.interactions)),
        *((name, neuron.bases[name]) for name in sorted(neuron.bases)),
    ]


def _module(array: Any) -> Any:
    return np if isinstance(array, np.ndarray) else jnp
