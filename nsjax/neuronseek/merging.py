"""Products in a fixed gauge, and those that can be written as one."""

from __future__ import annotations

import numpy as np

from nsjax.networks.cp import CPTerms

_BLOCK = 256


def unit_factors(terms: CPTerms, tol: float) -> CPTerms:
    """Terms whose factors have norm 1 and a positive largest entry, the first of equal ones.

    Entries below `tol` times the largest become 0; sizes and signs go into the coefficients.
    """
    factors = small_to_zero(terms.factors, tol * peaks(terms.factors))
    largest = peaks(factors)
    # First by the largest entry: squares of small ones would underflow.
    scaled = factors / np.where(largest > 0, largest, 1)
    norms = np.linalg.norm(scaled, axis=-1, keepdims=True)
    flips = signs(scaled)
    sizes = (largest * norms * flips)[..., 0]
    unit = scaled / np.where(norms > 0, norms * flips, 1) + 0.0
    return CPTerms(terms.coefficients * np.prod(sizes, axis=0), unit)


def merged(terms: CPTerms, tol: float) -> CPTerms:
    """Terms with the same set of factors become one; parallel factors become equal."""
    order, rank, d = terms.factors.shape
    flat = terms.factors.reshape(order * rank, d)
    places, signs = directions(flat, tol)
    keys = places.reshape(order, rank)
    coefficients = terms.coefficients * np.prod(signs.reshape(order, rank), axis=0)
    factors = flat[places].reshape(order, rank, d)
    return summed([tuple(sorted(column)) for column in keys.T], coefficients, factors)


def shared(terms: CPTerms, tol: float) -> CPTerms:
    """Terms that differ in one factor become one, their coefficients in that factor's sum.

    For one output, of terms that `merged` gave. The largest group goes first, and equal ones in the
    order of the terms. The least number of terms is not promised: that is the rank of a tensor,
    which is hard to find.
    """
    while True:
        order, rank, d = terms.factors.shape
        places, _ = directions(terms.factors.reshape(order * rank, d), tol)
        groups: dict[tuple[int, ...], list[tuple[int, int]]] = {}
        for r, key in enumerate(places.reshape(order, rank).T):
            for m in {int(place): m for m, place in enumerate(key)}.values():
                common = tuple(sorted(np.delete(key, m).tolist()))
                groups.setdefault(common, []).append((r, m))
        members = max(groups.values(), key=len, default=[])
        if len(members) < 2:
            return terms
        ranks = [r for r, _ in members]
        first, slot = members[0]
        factors = terms.factors[:, first].copy()
        factors[slot] = sum(terms.coefficients[0, r] * terms.factors[m, r] for r, m in members)
        one = unit_factors(CPTerms(np.ones((1, 1)), factors[:, None]), tol)
        rest = select(terms, np.setdiff1d(np.arange(rank), ranks))
        terms = merged(
            CPTerms(
                np.concatenate([rest.coefficients, one.coefficients], axis=1),
                np.concatenate([rest.factors, one.factors], axis=1),
            ),
            tol,
        )


def directions(
    vectors: np.ndarray, tol: float, *, both: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """For each vector the first one that it equals up to sign, and that sign."""
    places, signs = np.arange(len(vectors)), np.ones(len(vectors))
    norms = np.linalg.norm(vectors, axis=1)
    for start in range(0, len(vectors), _BLOCK):
        stop = min(start + _BLOCK, len(vectors))
        products = vectors[start:stop] @ vectors[:stop].T
        for i, row in enumerate(products, start):
            # Cosines resolve angles above 1e-8 only; the distance then decides.
            near = np.abs(row[:i]) >= (1 - 1e-6 - tol**2) * norms[:i] * norms[i]
            for j in np.flatnonzero(near & (places[:i] == np.arange(i))):
                sign = 1.0 if row[j] >= 0 or not both else -1.0
                if np.linalg.norm(vectors[i] - sign * vectors[j]) <= tol * norms[i]:
                    places[i], signs[i] = j, sign
                    break
    return places, signs


def summed(keys: list[tuple[int, ...]], coefficients: np.ndarray, factors: np.ndarray) -> CPTerms:
    """Terms with equal keys added up, in the order in which they come first."""
    firsts: dict[tuple[int, ...], int] = {}
    for r, key in enumerate(keys):
        firsts.setdefault(key, r)
    slots = {key: slot for slot, key in enumerate(firsts)}
    total = np.zeros((len(coefficients), len(firsts)))
    for key, column in zip(keys, coefficients.T, strict=True):
        total[:, slots[key]] += column
    return CPTerms(total, factors[:, list(firsts.values())])


def select(terms: CPTerms, which: np.ndarray | list[int]) -> CPTerms:
    """Some of the terms."""
    return CPTerms(terms.coefficients[:, which], terms.factors[:, which])


def nonzero(terms: CPTerms, tol: np.ndarray) -> CPTerms:
    """Coefficients of every output below its `tol` zero, and terms without any dropped."""
    coefficients = small_to_zero(terms.coefficients, tol[:, None])
    return select(CPTerms(coefficients, terms.factors), np.any(coefficients != 0, axis=0))


def small_to_zero(array: np.ndarray, tol: np.ndarray) -> np.ndarray:
    """Entries of at most `tol` made 0."""
    return np.where(np.abs(array) <= tol, 0.0, array)


def peaks(array: np.ndarray) -> np.ndarray:
    """Largest absolute entry along the last axis, which is kept."""
    return np.abs(array).max(axis=-1, keepdims=True)


def signs(factors: np.ndarray) -> np.ndarray:
    """Sign of the largest entry, the first of those that rounding cannot tell apart."""
    sizes = np.abs(factors)
    first = np.argmax(sizes >= (1 - 1e-6) * peaks(factors), axis=-1, keepdims=True)
    return np.where(np.take_along_axis(factors, first, axis=-1) < 0, -1.0, 1.0)
