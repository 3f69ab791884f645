"""One form for equal functions: pure powers first, few interactions, everything sorted."""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np

from nsjax.networks.bases import basis
from nsjax.networks.cp import CPNeuron, CPTerms
from nsjax.neuronseek import quadratic
from nsjax.neuronseek.tensors import diagonal

_PROBES = 64
_BLOCK = 256


def canonical(neuron: CPNeuron, tol: float) -> CPNeuron:
    """The same function in canonical form, see `Formula.canonical`."""
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
        pure, kept = _canonical_order(order, pure, neuron.interactions.get(order), tol)
        if np.any(pure):
            powers[order] = pure
        if kept is not None and kept.coefficients.shape[1]:
            interactions[order] = kept
    return CPNeuron(bias, powers, interactions, bases)


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
    powers = {k: _small_to_zero(w, tol * _peaks(w)) for k, w in neuron.powers.items() if np.any(w)}
    interactions = {}
    for n, terms in neuron.interactions.items():
        unit = unit_factors(terms, tol)
        kept = _nonzero(unit, tol * np.abs(unit.coefficients).sum(axis=1))
        interactions[n] = kept
    bases = {}
    for name, terms in neuron.bases.items():
        factors = _small_to_zero(terms.factors, tol * _peaks(terms.factors))
        sizes = np.abs(terms.coefficients).sum(axis=1)
        bases[name] = _nonzero(CPTerms(terms.coefficients, factors), tol * sizes)
    return CPNeuron(neuron.bias, powers, interactions, bases)


def unit_factors(terms: CPTerms, tol: float) -> CPTerms:
    """Terms whose factors have norm 1 and a positive largest entry, the first of equal ones.

    Entries below `tol` times the largest become 0; sizes and signs go into the coefficients.
    """
    factors = _small_to_zero(terms.factors, tol * _peaks(terms.factors))
    peaks = _peaks(factors)
    scaled = factors / np.where(peaks > 0, peaks, 1)  # squares of small entries do not underflow
    norms = np.linalg.norm(scaled, axis=-1, keepdims=True)
    signs = _signs(scaled)
    sizes = (peaks * norms * signs)[..., 0]
    unit = scaled / np.where(norms > 0, norms * signs, 1) + 0.0
    return CPTerms(terms.coefficients * np.prod(sizes, axis=0), unit)


def _inputs(neuron: CPNeuron) -> int:
    arrays = [*neuron.powers.values(), *(t.factors for t in neuron.interactions.values())]
    return arrays[0].shape[-1]


def _canonical_order(
    order: int, pure: np.ndarray, terms: CPTerms | None, tol: float
) -> tuple[np.ndarray, CPTerms | None]:
    """Pure weights and terms of one order."""
    sizes = np.abs(pure).max(axis=1)
    if terms is None:
        return _small_to_zero(pure, tol * sizes[:, None]), None
    terms = unit_factors(terms, tol)
    sizes = sizes + np.abs(terms.coefficients).sum(axis=1)
    terms = _merged(_nonzero(terms, tol * sizes), tol)
    pure, terms = _axes_to_powers(pure, _nonzero(terms, tol * sizes))
    if _is_diagonal(terms, tol * sizes):
        pure, terms = pure + diagonal(terms), _select(terms, [])
    rank = terms.coefficients.shape[1]
    if order == 2 and len(pure) == 1 and rank:
        form = quadratic.Quadratic(pure[0], terms.coefficients[0], terms.factors)
        form = quadratic.least(form, float(sizes[0]), tol)
        found = unit_factors(CPTerms(form.coefficients[None], form.factors), tol)
        pure, terms = _axes_to_powers(form.pure[None], found)
    return _small_to_zero(pure, tol * sizes[:, None]), _sorted(terms)


def _axes_to_powers(pure: np.ndarray, terms: CPTerms) -> tuple[np.ndarray, CPTerms]:
    """Products of one input with itself are powers."""
    axes = terms.factors != 0
    same = (axes.sum(axis=-1) == 1).all(axis=0) & (axes == axes[:1]).all(axis=(0, 2))
    return pure + diagonal(_select(terms, same)), _select(terms, ~same)


def _merged(terms: CPTerms, tol: float) -> CPTerms:
    """Terms with the same set of factors become one; parallel factors become equal."""
    order, rank, d = terms.factors.shape
    flat = terms.factors.reshape(order * rank, d)
    places, signs = _directions(flat, tol)
    keys = places.reshape(order, rank)
    coefficients = terms.coefficients * np.prod(signs.reshape(order, rank), axis=0)
    factors = flat[places].reshape(order, rank, d)
    return _summed([tuple(sorted(column)) for column in keys.T], coefficients, factors)


def _merged_basis(name: str, terms: CPTerms, tol: float) -> tuple[np.ndarray, CPTerms]:
    """What a basis adds as a constant, and its terms with equal frequencies merged and sorted."""
    odd = basis(name).odd
    factors = _small_to_zero(terms.factors, tol * _peaks(terms.factors))
    coefficients = terms.coefficients
    if odd is not None:
        signs = _signs(factors)
        factors = factors * signs + 0.0
        coefficients = coefficients * (signs[0, :, 0] if odd else 1)
    sizes = np.abs(coefficients).sum(axis=1)
    silent = ~np.any(factors[0] != 0, axis=1)
    at_zero = float(basis(name).function(jnp.zeros(()))) if np.any(silent) else 0.0
    constant = coefficients[:, silent].sum(axis=1) * at_zero
    kept = _select(CPTerms(coefficients, factors), ~silent)
    places, signs = _directions(kept.factors[0], tol, both=odd is not None)
    coefficients = kept.coefficients * (signs if odd else 1)
    keys: list[tuple[int, ...]] = [(int(place),) for place in places]
    kept = _summed(keys, coefficients, kept.factors[:, places])
    return constant, _sorted(_nonzero(kept, tol * sizes))


def _directions(
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


def _summed(keys: list[tuple[int, ...]], coefficients: np.ndarray, factors: np.ndarray) -> CPTerms:
    """Terms with equal keys added up, in the order in which they come first."""
    firsts: dict[tuple[int, ...], int] = {}
    for r, key in enumerate(keys):
        firsts.setdefault(key, r)
    slots = {key: slot for slot, key in enumerate(firsts)}
    total = np.zeros((len(coefficients), len(firsts)))
    for key, column in zip(keys, coefficients.T, strict=True):
        total[:, slots[key]] += column
    return CPTerms(total, factors[:, list(firsts.values())])


def _is_diagonal(terms: CPTerms, tol: np.ndarray) -> bool:
    """Whether a sum of products is a sum of powers, up to `tol` in every output.

    Probed at normal points: there a form of order n has a mean square of at least n! times the
    squared norm of its symmetric tensor, and rounding stays linear in the size of the terms.
    """
    order, rank, _ = terms.factors.shape
    if not rank:
        return False
    active = np.flatnonzero(np.any(terms.factors != 0, axis=(0, 1)))
    x = np.random.default_rng(0).standard_normal((_PROBES, len(active)))
    values = np.prod(x @ terms.factors[:, :, active].swapaxes(1, 2), axis=0) @ terms.coefficients.T
    rest = values - x**order @ diagonal(terms)[:, active].T
    return bool(np.all(np.sqrt(np.mean(rest**2, axis=0) / math.factorial(order)) <= tol))


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


def _select(terms: CPTerms, which: np.ndarray | list[int]) -> CPTerms:
    return CPTerms(terms.coefficients[:, which], terms.factors[:, which])


def _nonzero(terms: CPTerms, tol: np.ndarray) -> CPTerms:
    """Coefficients of every output below its `tol` zero, and terms without any dropped."""
    coefficients = _small_to_zero(terms.coefficients, tol[:, None])
    return _select(CPTerms(coefficients, terms.factors), np.any(coefficients != 0, axis=0))


def _small_to_zero(array: np.ndarray, tol: np.ndarray) -> np.ndarray:
    return np.where(np.abs(array) <= tol, 0.0, array)


def _peaks(array: np.ndarray) -> np.ndarray:
    return np.abs(array).max(axis=-1, keepdims=True)


def _signs(factors: np.ndarray) -> np.ndarray:
    """Sign of the largest entry, the first of those that rounding cannot tell apart."""
    sizes = np.abs(factors)
    first = np.argmax(sizes >= (1 - 1e-6) * _peaks(factors), axis=-1, keepdims=True)
    return np.where(np.take_along_axis(factors, first, axis=-1) < 0, -1.0, 1.0)
