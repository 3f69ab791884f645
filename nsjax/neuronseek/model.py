"""A neuron while it is searched for: linear columns, and products out of one pool of factors.

Every product term takes its factors from one pool `(K, d)`, whatever their orders: orders are data,
and a program is compiled for sizes, not for structures. Unused places of the pools are padding.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsjax.kkt.axes import column
from nsjax.kkt.triples import Monomial
from nsjax.networks.bases import basis
from nsjax.networks.cp import CPNeuron, CPTerms
from nsjax.neuronseek.parts import raised

LONGEST = 5
"""Room for the factors of a term grows in steps of this."""


@dataclass(frozen=True)
class Term:
    """A product `c prod_m (u_m . x)`, or a basis of one projection.

    Attributes:
        factors: `u`, `(order, d)`.
        coefficients: c, `(outputs,)`.
        basis: name of the basis; None for a product.
        free: which entries of the factors are not held at zero, `(order, d)`; None for all.
        label: what a history calls it.
    """

    factors: np.ndarray
    coefficients: np.ndarray
    basis: str | None = None
    free: np.ndarray | None = None
    label: str = ""

    @property
    def order(self) -> int:
        """Number of factors."""
        return len(self.factors)

    @property
    def mask(self) -> np.ndarray:
        """`free`, written out."""
        return np.ones(self.factors.shape, bool) if self.free is None else self.free

    def values(self, x: np.ndarray) -> np.ndarray:
        """The product or basis, without coefficients, `(n,)`."""
        projections = x @ self.factors.T
        if self.basis is None:
            return np.prod(projections, axis=1)
        return np.asarray(basis(self.basis).function(projections))[:, 0]


@dataclass(frozen=True)
class Model:
    """A neuron with separate linear columns.

    Attributes:
        powers: for every order k of the pure stream, which inputs it has, boolean `(d,)`.
        monomials: products of inputs.
        terms: products of projections, and bases.
        weights: of the columns: the bias, the powers by order and input, the monomials,
            `(q, outputs)`.
    """

    powers: dict[int, np.ndarray]
    monomials: tuple[Monomial, ...]
    terms: tuple[Term, ...]
    weights: np.ndarray

    @property
    def columns(self) -> int:
        """Number q of linear columns, the bias among them."""
        return 1 + sum(int(mask.sum()) for mask in self.powers.values()) + len(self.monomials)

    @property
    def factors(self) -> int:
        """Number K of factors of all terms."""
        return sum(term.order for term in self.terms)

    @property
    def parameters(self) -> int:
        """Free numbers, those of the gauge not counted.

        With one output, R products of order 2 are a symmetric matrix of rank 2 R: rotations among
        them count as gauge, too.
        """
        outputs = self.weights.shape[1]
        products, entries = 0, []
        for term in self.terms:
            own = int(term.mask.sum()) - (term.order if term.basis is None else 0) + outputs
            products += own
            if term.basis is None and term.order == 2:
                entries.append(own)
        if outputs == 1 and len(entries) > 1:
            rank = 2 * len(entries)
            products -= rank * (rank - 1) // 2 - len(entries)
        return self.columns * outputs + max(products, 0)

    def blocks(self) -> list[tuple[tuple[str, int], np.ndarray]]:
        """Linear columns by what they belong to: `("power", k)` or `("monomial", i)`."""
        at = 1
        found: list[tuple[tuple[str, int], np.ndarray]] = []
        for k in sorted(self.powers):
            size = int(self.powers[k].sum())
            found.append((("power", k), np.arange(at, at + size)))
            at += size
        for i in range(len(self.monomials)):
            found.append((("monomial", i), np.arange(at, at + 1)))
            at += 1
        return found

    def with_columns(self, powers: dict[int, np.ndarray], monomials: tuple[Monomial, ...]) -> Model:
        """The same with other linear columns; weights of columns that stay are kept."""
        new = dataclasses.replace(
            self, powers=powers, monomials=monomials, weights=np.zeros((1, self.weights.shape[1]))
        )
        old = dict(zip(_names(self), self.weights, strict=True))
        zero = np.zeros(self.weights.shape[1])
        weights = np.array([old.get(name, zero) for name in _names(new)])
        return dataclasses.replace(new, weights=weights)

    def with_terms(self, terms: tuple[Term, ...]) -> Model:
        """The same with other terms."""
        return dataclasses.replace(self, terms=terms)


def empty(outputs: int) -> Model:
    """The model that is a bias alone."""
    return Model({}, (), (), np.zeros((1, outputs)))


def _names(model: Model) -> list[Any]:
    names: list[Any] = ["bias"]
    for k in sorted(model.powers):
        names += [("power", k, int(j)) for j in np.flatnonzero(model.powers[k])]
    return names + [("monomial", monomial) for monomial in model.monomials]


def design(model: Model, x: np.ndarray) -> np.ndarray:
    """Linear columns, `(n, q)`: ones, powers, monomials."""
    parts = [np.ones((len(x), 1), x.dtype)]
    for k in sorted(model.powers):
        parts.append(x[:, model.powers[k]] ** k)
    parts += [column(monomial, x)[:, None] for monomial in model.monomials]
    return np.concatenate(parts, axis=1)


class Pool(NamedTuple):
    """Terms as arrays of fixed size, with padding.

    Attributes:
        coefficients: `(T, outputs)`.
        factors: `(K, d)`.
        term: which term each factor belongs to, ascending, `(K,)`; T for padding.
        members: the places of the factors of every term, `(T, N)` for orders up to N; K for none.
        kind: what is done with the projection: 0 nothing, i the i-th basis, `(K,)`.
        free: which entries of the factors move, `(K, d)`.
        used: which terms there are, `(T,)`.
    """

    coefficients: Any
    factors: Any
    term: Any
    members: Any
    kind: Any
    free: Any
    used: Any


def pool(
    terms: tuple[Term, ...], sizes: tuple[int, int], d: int, outputs: int, bases: tuple[str, ...]
) -> Pool:
    """Terms in a pool of `sizes`, T terms and K factors."""
    most, room = sizes
    coefficients, factors = np.zeros((most, outputs)), np.zeros((room, d))
    # Few sizes, so that few programs are compiled.
    longest = -(-max((each.order for each in terms), default=1) // LONGEST) * LONGEST
    members = np.full((most, longest), room, np.int32)
    term, kind = np.full(room, most, np.int32), np.zeros(room, np.int32)
    free, used = np.zeros((room, d), bool), np.zeros(most, bool)
    at = 0
    for i, each in enumerate(terms):
        part = slice(at, at + each.order)
        coefficients[i], factors[part], free[part] = each.coefficients, each.factors, each.mask
        term[part], used[i] = i, True
        members[i, : each.order] = np.arange(at, at + each.order)
        kind[part] = 0 if each.basis is None else 1 + bases.index(each.basis)
        at += each.order
    return Pool(coefficients, factors, term, members, kind, free, used)


def unpool(terms: tuple[Term, ...], coefficients: Any, factors: Any) -> tuple[Term, ...]:
    """Terms with the coefficients and factors of a pool."""
    coefficients, factors = np.asarray(coefficients), np.asarray(factors)
    at, new = 0, []
    for i, each in enumerate(terms):
        new.append(
            dataclasses.replace(
                each, coefficients=coefficients[i], factors=factors[at : at + each.order]
            )
        )
        at += each.order
    return tuple(new)


def products(pooled: Pool, x: jax.Array, bases: tuple[str, ...]) -> tuple[jax.Array, jax.Array]:
    """Values of all terms `(n, T)`, and of each term over one of its factors' projections.

    Returns:
        The terms without coefficients, `(n, T)`, zero where there is none; and their derivatives
        in the projection of every factor, `(n, K)`, zero for padding.
    """
    most = len(pooled.used)
    z = x @ pooled.factors.T
    value, slope = z, jnp.ones_like(z)
    for i, name in enumerate(bases, start=1):
        there, rise = jax.jvp(basis(name).function, (z,), (jnp.ones_like(z),))
        value = jnp.where(pooled.kind == i, there, value)
        slope = jnp.where(pooled.kind == i, rise, slope)
    real = pooled.term < most
    slope = jnp.where(real, slope, 0)
    # A place behind the last one stands for the factors that a term does not have.
    parts = jnp.pad(value, ((0, 0), (0, 1)), constant_values=1)[:, pooled.members]
    ones = jnp.ones_like(parts[:, :, :1])
    before = jnp.concatenate([ones, jnp.cumprod(parts[:, :, :-1], axis=2)], axis=2)
    after = jnp.cumprod(parts[:, :, :0:-1], axis=2)[:, :, ::-1]
    after = jnp.concatenate([after, ones], axis=2)
    terms = before[:, :, -1] * parts[:, :, -1] * pooled.used
    within = jnp.arange(len(pooled.term)) - jnp.searchsorted(pooled.term, pooled.term)
    others = (before * after)[:, jnp.minimum(pooled.term, most - 1), jnp.where(real, within, 0)]
    return terms, others * slope


def outputs(model: Model, x: np.ndarray) -> np.ndarray:
    """Outputs of a model, `(n, c)`."""
    h = design(model, x) @ model.weights
    for term in model.terms:
        h = h + term.values(x)[:, None] * term.coefficients
    return h


def contributions(model: Model, x: np.ndarray) -> dict[str, np.ndarray]:
    """What every power, monomial and term adds to the outputs, `(n, c)`, by its label."""
    columns, found = design(model, x), {}
    for (kind, which), at in model.blocks():
        label = power_label(which) if kind == "power" else monomial_label(model.monomials[which])
        found[label] = columns[:, at] @ model.weights[at]
    for term in model.terms:
        found[term.label] = term.values(x)[:, None] * term.coefficients
    return found


def power_label(k: int) -> str:
    """How a history calls a power of the pure stream."""
    return raised("x", k)


def monomial_label(monomial: Monomial) -> str:
    """The same for a monomial."""
    return " ".join(raised(f"x{i}", monomial.count(i)) for i in dict.fromkeys(monomial))


def to_neuron(model: Model, d: int) -> CPNeuron:
    """The model as a CP-polynomial neuron: monomials become interactions or powers."""
    outputs = model.weights.shape[1]
    powers = {k: np.zeros((outputs, d)) for k in sorted(model.powers)}
    interactions: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
    for (kind, which), columns in model.blocks():
        weights = model.weights[columns]
        if kind == "power":
            powers[which][:, model.powers[which]] = weights.T
            continue
        monomial = model.monomials[which]
        if len(set(monomial)) == 1:
            order = powers.setdefault(len(monomial), np.zeros((outputs, d)))
            order[:, monomial[0]] += weights[0]
        else:
            interactions.setdefault(len(monomial), []).append(
                (weights[0], np.eye(d)[list(monomial)])
            )
    bases: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for term in model.terms:
        pair = (term.coefficients, term.factors)
        if term.basis is None:
            interactions.setdefault(term.order, []).append(pair)
        else:
            bases.setdefault(term.basis, []).append(pair)
    return CPNeuron(
        model.weights[0],
        powers,
        {order: _stack(pairs) for order, pairs in sorted(interactions.items())},
        {name: _stack(pairs) for name, pairs in bases.items()},
    )


def _stack(pairs: list[tuple[np.ndarray, np.ndarray]]) -> CPTerms:
    coefficients, factors = zip(*pairs, strict=True)
    return CPTerms(np.stack(coefficients, axis=1), np.stack(factors, axis=1))
