"""One form for equal functions: pure powers first, few interactions, everything sorted."""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np

from nsjax.networks.bases import basis
from nsjax.networks.cp import CPNeuron, CPTerms
from nsjax.neuronseek import quadratic
from nsjax.neuronseek.merging import (
    directions,
    merged,
    nonzero,
    peaks,
    select,
    shared,
    signs,
    small_to_zero,
    summed,
    unit_factors,
)
from nsjax.neuronseek.negligible import Negligible, without_least
from nsjax.neuronseek.tensors import diagonal
from nsjax.neuronseek.terms import outputs
from nsjax.neuronseek.units import input_sizes, of_divided

_PROBES = 64


def canonical(neuron: CPNeuron, tol: float, small: Negligible | None = None) -> CPNeuron:
    """The same function in canonical form, see `Formula.canonical`.

    With `small` every order and basis may differ by what is negligible.
    """
    bias = neuron.bias.copy()
    bases = {}
    for name, terms in neuron.bases.items():
        constant, merged = _merged_basis(name, terms, tol)
        bias = bias + constant
        if merged.coefficients.shape[1]:
            bases[name] = merged
    powers, interactions = {}, {}
    for order in sorted(neuron.powers.keys() | neuron.interactions.keys()):
        pure = neuron.powers.get(order, np.zeros((len(bias), _inputs(neuron))))
        pure, kept = _canonical_order(order, pure, neuron.interactions.get(order), tol, small)
        if np.any(pure):
            powers[order] = pure
        if kept is not None and kept.coefficients.shape[1]:
            interactions[order] = kept
    found = CPNeuron(bias, powers, interactions, bases)
    return found if small is None else _thinned(found, neuron, small)


def resolved(neuron: CPNeuron, tol: float, x: np.ndarray, share: float) -> CPNeuron:
    """The canonical form without what adds less than a share of the outputs' variance on `x`.

    What is left out goes into the bias with its mean.
    """
    sizes = input_sizes(x)
    inner, x = of_divided(neuron, 1 / sizes), x / sizes
    given = outputs(inner, x)
    small = Negligible(x, share * float(np.sum(np.var(given, axis=1))))
    found = canonical(inner, tol, small)
    shift = np.mean(given - outputs(found, x), axis=1)
    found = of_divided(found._replace(bias=found.bias + shift), sizes)
    return found._replace(
        interactions={n: _sorted(unit_factors(t, tol)) for n, t in found.interactions.items()}
    )


def equal_bases(a: CPNeuron, b: CPNeuron, tol: float) -> bool:
    """Whether two canonical forms have the same terms of bases, in any order."""
    if a.bases.keys() != b.bases.keys():
        return False
    for name, terms in a.bases.items():
        rank = terms.coefficients.shape[1]
        left = [*zip(b.bases[name].coefficients.T, b.bases[name].factors[0], strict=True)]
        if len(left) != rank:
            return False
        size = np.linalg.norm(terms.coefficients)
        for c, u in zip(terms.coefficients.T, terms.factors[0], strict=True):
            gaps = [
                max(np.linalg.norm(c - k) / size, np.linalg.norm(u - v) / np.linalg.norm(u))
                for k, v in left
            ]
            nearest = int(np.argmin(gaps))
            if gaps[nearest] > tol:
                return False
            left.pop(nearest)
    return True


def cleaned(neuron: CPNeuron, tol: float) -> CPNeuron:
    """Factors of interactions with norm 1, and entries below `tol` zero; terms stay as they are."""
    powers = {k: small_to_zero(w, tol * peaks(w)) for k, w in neuron.powers.items() if np.any(w)}
    interactions = {}
    for n, terms in neuron.interactions.items():
        unit = unit_factors(terms, tol)
        kept = nonzero(unit, tol * np.abs(unit.coefficients).sum(axis=1))
        interactions[n] = kept
    bases = {}
    for name, terms in neuron.bases.items():
        factors = small_to_zero(terms.factors, tol * peaks(terms.factors))
        sizes = np.abs(terms.coefficients).sum(axis=1)
        bases[name] = nonzero(CPTerms(terms.coefficients, factors), tol * sizes)
    return CPNeuron(neuron.bias, powers, interactions, bases)


def _inputs(neuron: CPNeuron) -> int:
    arrays = [*neuron.powers.values(), *(t.factors for t in neuron.interactions.values())]
    return arrays[0].shape[-1]


def _thinned(found: CPNeuron, given: CPNeuron, small: Negligible) -> CPNeuron:
    """Without the least terms of every order and basis."""
    thin = CPNeuron(found.bias, {}, {}, {})
    names: set[int | str] = {*found.powers, *found.interactions, *found.bases}
    for which in names:
        kept = without_least(_only(found, which), _only(given, which), small)
        thin.powers.update(kept.powers)
        thin.interactions.update(kept.interactions)
        thin.bases.update(kept.bases)
    return thin


def _only(neuron: CPNeuron, which: int | str) -> CPNeuron:
    """One order or basis of a neuron, without bias."""
    return CPNeuron(
        np.zeros_like(neuron.bias),
        {k: weights for k, weights in neuron.powers.items() if k == which},
        {n: terms for n, terms in neuron.interactions.items() if n == which},
        {name: terms for name, terms in neuron.bases.items() if name == which},
    )


def _canonical_order(
    order: int, pure: np.ndarray, terms: CPTerms | None, tol: float, small: Negligible | None
) -> tuple[np.ndarray, CPTerms | None]:
    """Pure weights and terms of one order."""
    sizes = np.abs(pure).max(axis=1)
    if terms is None:
        return small_to_zero(pure, tol * sizes[:, None]), None
    terms = unit_factors(terms, tol)
    sizes = sizes + np.abs(terms.coefficients).sum(axis=1)
    terms = merged(nonzero(terms, tol * sizes), tol)
    pure, terms = _axes_to_powers(pure, nonzero(terms, tol * sizes))
    if _is_diagonal(terms, tol * sizes, small):
        pure, terms = pure + diagonal(terms), select(terms, [])
    one, rank = len(pure) == 1, terms.coefficients.shape[1]
    if order == 2 and one and rank:
        form = quadratic.Quadratic(pure[0], terms.coefficients[0], terms.factors)
        form = quadratic.least(form, float(sizes[0]), tol, small)
        found = unit_factors(CPTerms(form.coefficients[None], form.factors), tol)
        pure, terms = _axes_to_powers(form.pure[None], found)
    elif rank:
        pure, terms = _powers_taken_out(pure, terms, tol)
        while one:
            before = terms.coefficients.size
            terms = shared(_sorted(terms), tol)
            if terms.coefficients.size == before:
                break
            pure, terms = _powers_taken_out(*_axes_to_powers(pure, terms), tol)
    return small_to_zero(pure, tol * sizes[:, None]), _sorted(terms)


def _axes_to_powers(pure: np.ndarray, terms: CPTerms) -> tuple[np.ndarray, CPTerms]:
    """Products of one input with itself are powers."""
    axes = terms.factors != 0
    same = (axes.sum(axis=-1) == 1).all(axis=0) & (axes == axes[:1]).all(axis=(0, 2))
    return pure + diagonal(select(terms, same)), select(terms, ~same)


def _powers_taken_out(pure: np.ndarray, terms: CPTerms, tol: float) -> tuple[np.ndarray, CPTerms]:
    """`x_j^(n-1) (u . x)` without the power of x_j in it, which is one of the pure stream."""
    factors = terms.factors.copy()
    axes = factors != 0
    alone = axes.sum(axis=-1) == 1
    pure = pure.copy()
    for r in np.flatnonzero(alone.sum(axis=0) == len(factors) - 1):
        (m,) = np.flatnonzero(~alone[:, r])
        others = np.flatnonzero(np.delete(axes[:, r], m, axis=0).any(axis=0))
        if len(others) == 1:
            j = others[0]
            pure[:, j] += terms.coefficients[:, r] * np.prod(factors[:, r, j])
            factors[m, r, j] = 0
    taken = unit_factors(CPTerms(terms.coefficients, factors), tol)
    return pure, merged(taken, tol)


def _merged_basis(name: str, terms: CPTerms, tol: float) -> tuple[np.ndarray, CPTerms]:
    """What a basis adds as a constant, and its terms with equal frequencies merged and sorted."""
    odd = basis(name).odd
    factors = small_to_zero(terms.factors, tol * peaks(terms.factors))
    coefficients = terms.coefficients
    if odd is not None:
        flips = signs(factors)
        factors = factors * flips + 0.0
        coefficients = coefficients * (flips[0, :, 0] if odd else 1)
    sizes = np.abs(coefficients).sum(axis=1)
    silent = ~np.any(factors[0] != 0, axis=1)
    at_zero = float(basis(name).function(jnp.zeros(()))) if np.any(silent) else 0.0
    constant = coefficients[:, silent].sum(axis=1) * at_zero
    kept = select(CPTerms(coefficients, factors), ~silent)
    places, flips = directions(kept.factors[0], tol, both=odd is not None)
    coefficients = kept.coefficients * (flips if odd else 1)
    keys: list[tuple[int, ...]] = [(int(place),) for place in places]
    kept = summed(keys, coefficients, kept.factors[:, places])
    return constant, _sorted(nonzero(kept, tol * sizes))


def _is_diagonal(terms: CPTerms, tol: np.ndarray, small: Negligible | None) -> bool:
    """Whether a sum of products is a sum of powers, up to `tol` in every output or what is small.

    Probed at normal points: there a form of order n has a mean square of at least n! times the
    squared norm of its symmetric tensor, and rounding stays linear in the size of the terms.
    """
    order, rank, _ = terms.factors.shape
    if not rank:
        return False
    active = np.flatnonzero(np.any(terms.factors != 0, axis=(0, 1)))
    factors, powers = terms.factors[:, :, active].swapaxes(1, 2), diagonal(terms)[:, active]

    def off(x: np.ndarray) -> np.ndarray:
        """What is no power, `(c, n)`."""
        return terms.coefficients @ np.prod(x @ factors, axis=0).T - powers @ (x**order).T

    rest = off(np.random.default_rng(0).standard_normal((_PROBES, len(active))))
    if np.all(np.sqrt(np.mean(rest**2, axis=1) / math.factorial(order)) <= tol):
        return True
    return small is not None and small.holds(off(small.x[:, active]))


def _sorted(terms: CPTerms) -> CPTerms:
    """Factors sorted within every term, sparse ones first, and terms alike."""
    order, rank, _ = terms.factors.shape
    factors = terms.factors.copy()
    keys = []
    for r in range(rank):
        column = [_key(factor) for factor in terms.factors[:, r]]
        places = sorted(range(order), key=lambda m: column[m])
        factors[:, r] = terms.factors[places, r]
        keys.append(tuple(column[m] for m in places))
    ranks = sorted(range(rank), key=lambda r: (sum(k[0] for k in keys[r]), keys[r]))
    return CPTerms(terms.coefficients[:, ranks], factors[:, ranks])


def _key(factor: np.ndarray) -> tuple[int, tuple[int, ...], tuple[float, ...]]:
    support = np.flatnonzero(factor)
    return len(support), tuple(support.tolist()), tuple(np.round(factor[support], 6).tolist())
