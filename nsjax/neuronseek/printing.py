"""Formulas as plain text and as LaTeX."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from nsjax import _check
from nsjax.networks.bases import Basis, basis
from nsjax.networks.cp import CPNeuron, CPTerms


class Linear(NamedTuple):
    """A sum `sum_i values[i] x[inputs[i]]`, largest entries first."""

    inputs: tuple[int, ...]
    values: tuple[float, ...]


class Product(NamedTuple):
    """A coefficient times powers of inputs, linear forms, or a basis of one linear form."""

    coefficient: float
    factors: tuple[tuple[int | Linear | tuple[str, Linear], int], ...]


@dataclass(frozen=True)
class Style:
    """How the parts are written."""

    number: Callable[[float], str]
    name: Callable[[str], str]
    power: Callable[[str, int], str]
    group: str
    basis: Callable[[Basis], str]
    more: str


def text_style(digits: int) -> Style:
    """Plain text, numbers with so many significant digits."""
    _digits(digits)
    return Style(
        number=lambda value: f"{value:.{digits}g}",
        name=lambda name: name,
        power=lambda base, exponent: f"{base}^{exponent}",
        group="({})",
        basis=lambda each: each.text,
        more="... ({} more)",
    )


def latex_style(digits: int) -> Style:
    """LaTeX for math mode, numbers with so many significant digits."""
    _digits(digits)

    def number(value: float) -> str:
        mantissa, _, exponent = f"{value:.{digits}g}".partition("e")
        return rf"{mantissa} \cdot 10^{{{int(exponent)}}}" if exponent else mantissa

    return Style(
        number=number,
        name=latex_name,
        power=lambda base, exponent: f"{base}^{{{exponent}}}",
        group=r"\left({}\right)",
        basis=lambda each: each.latex,
        more=r"\cdots \text{{ ({} more)}}",
    )


def _digits(digits: int) -> None:
    if _check.positive_integer("digits", digits) > 17:
        raise ValueError(f"digits must be at most 17, all that a float has, got {digits}")


def latex_name(name: str) -> str:
    r"""A name in math mode: trailing digits are an index, longer words are upright.

    >>> latex_name("x12"), latex_name("y"), latex_name("chord_length")
    ('x_{12}', 'y', '\\mathrm{chord\\_length}')
    """
    found = re.fullmatch(r"(.*[A-Za-z])_?(\d+)", name)
    stem, index = found.groups() if found else (name, "")
    stem = stem.replace("_", r"\_")
    stem = stem if len(stem) == 1 else rf"\mathrm{{{stem}}}"
    return f"{stem}_{{{index}}}" if index else stem


def lines(
    neuron: CPNeuron,
    inputs: tuple[str, ...],
    outputs: tuple[str, ...],
    style: Style,
    *,
    max_entries: int,
    tol: float,
) -> list[str]:
    """One line `name = sum` for every output.

    Raises:
        TypeError, ValueError: for `max_entries` below 1 or a negative `tol`.
    """
    _check.positive_integer("max_entries", max_entries)
    _check.non_negative("tol", tol)
    names = [style.name(name) for name in inputs]
    return [
        f"{style.name(output)} = {_sum(_sums(neuron, o, tol), names, style, max_entries)}"
        for o, output in enumerate(outputs)
    ]


def _sums(neuron: CPNeuron, output: int, tol: float) -> list[list[Product]]:
    """Sums to be written one after another: bias, monomials, products, bases."""
    bias = float(neuron.bias[output])
    pure: list[list[Product]] = []
    mixed: list[list[Product]] = []
    products: list[list[Product]] = []
    for order in sorted(neuron.powers.keys() | neuron.interactions.keys()):
        monomials, rest = _order(neuron, order, output, tol)
        pure.append([each for each in monomials if len(each.factors) == 1])
        mixed.append([each for each in monomials if len(each.factors) > 1])
        products.append(rest)
    bases = [_basis_terms(name, terms, output, tol) for name, terms in neuron.bases.items()]
    constant = [[Product(bias, ())]] if bias else []
    return [part for part in (*constant, *pure, *mixed, *products, *bases) if part]


def _order(
    neuron: CPNeuron, order: int, output: int, tol: float
) -> tuple[list[Product], list[Product]]:
    """Monomials of one order, equal ones added up, and products that are none."""
    sums: dict[tuple[int, ...], float] = {}
    size = 0.0
    if order in neuron.powers:
        weights = neuron.powers[order][output]
        size = float(np.abs(weights).max())
        sums = {(int(j),) * order: float(weights[j]) for j in np.flatnonzero(weights)}
    rest: list[Product] = []
    if order in neuron.interactions:
        for coefficient, term in _columns(neuron.interactions[order], output):
            forms = [_linear(factor, tol) for factor in term]
            if not all(form.inputs for form in forms):
                continue
            peaks = [float(form.values[0]) for form in forms]
            coefficient *= float(np.prod(peaks))
            size = max(size, abs(coefficient))
            if all(len(form.inputs) == 1 for form in forms):
                key = tuple(sorted(form.inputs[0] for form in forms))
                sums[key] = sums.get(key, 0.0) + coefficient
            else:
                scaled = [
                    Linear(form.inputs, tuple(v / peak for v in form.values))
                    for form, peak in zip(forms, peaks, strict=True)
                ]
                bases = [f if len(f.inputs) > 1 else f.inputs[0] for f in scaled]
                rest.append(Product(coefficient, _counted(sorted(bases, key=_place))))
    kept = [
        Product(value, _counted(list(key)))
        for key, value in sorted(sums.items())
        if abs(value) > tol * size
    ]
    return kept, [each for each in rest if abs(each.coefficient) > tol * size]


def _basis_terms(name: str, terms: CPTerms, output: int, tol: float) -> list[Product]:
    columns = list(_columns(terms, output))
    size = max((abs(coefficient) for coefficient, _ in columns), default=0.0)
    return [
        Product(coefficient, (((name, _linear(term[0], tol)), 1),))
        for coefficient, term in columns
        if abs(coefficient) > tol * size
    ]


def _columns(terms: CPTerms, output: int) -> list[tuple[float, np.ndarray]]:
    kept = np.flatnonzero(terms.coefficients[output])
    return [(float(terms.coefficients[output, r]), terms.factors[:, r]) for r in kept]


def _linear(factor: np.ndarray, tol: float) -> Linear:
    """Entries above `tol` times the largest, the largest first; equal ones by input."""
    sizes = np.abs(factor)
    kept = np.flatnonzero((sizes > tol * sizes.max()) & (sizes > 0))
    rounded = [float(f"{sizes[j]:.6e}") for j in kept]
    kept = kept[np.lexsort((kept, -np.array(rounded)))]
    return Linear(tuple(kept.tolist()), tuple(factor[kept].tolist()))


def _place(base: int | Linear) -> tuple[int, ...]:
    return (1, base) if isinstance(base, int) else (2, *sorted(base.inputs))


def _counted(bases: Sequence[int | Linear]) -> tuple[tuple[int | Linear, int], ...]:
    """Bases with their number of occurrences, in the order in which they come."""
    counts: dict[int | Linear, int] = {}
    for base in bases:
        near = next((other for other in counts if _equal(other, base)), base)
        counts[near] = counts.get(near, 0) + 1
    return tuple(counts.items())


def _equal(a: int | Linear, b: int | Linear) -> bool:
    if isinstance(a, int) or isinstance(b, int):
        return a == b
    first, second = (dict(zip(each.inputs, each.values, strict=True)) for each in (a, b))
    return first.keys() == second.keys() and all(abs(first[j] - second[j]) <= 1e-9 for j in first)


def _sum(sums: list[list[Product]], names: list[str], style: Style, most: int) -> str:
    parts: list[tuple[bool, str]] = []
    for products in sums:
        sizes = np.array([abs(each.coefficient) for each in products])
        for i in sorted(np.argsort(-sizes, kind="stable")[:most].tolist()):
            parts.append(_product(products[i], names, style, most))
        if len(products) > most:
            parts.append((False, style.more.format(len(products) - most)))
    return _joined(parts)


def _joined(parts: list[tuple[bool, str]]) -> str:
    """Signed parts as a sum."""
    if not parts:
        return "0"
    (minus, first), *others = parts
    return ("-" if minus else "") + first + "".join(f" {'-' if m else '+'} {p}" for m, p in others)


def _product(product: Product, names: list[str], style: Style, most: int) -> tuple[bool, str]:
    """Whether it is negative, and its text without the sign."""
    pieces = [_power(base, count, names, style, most) for base, count in product.factors]
    number = style.number(abs(product.coefficient))
    if number != "1" or not pieces:
        pieces.insert(0, number)
    return product.coefficient < 0, " ".join(pieces)


def _power(
    base: int | Linear | tuple[str, Linear], count: int, names: list[str], style: Style, most: int
) -> str:
    if isinstance(base, int):
        text = names[base]
    elif isinstance(base, Linear):
        text = style.group.format(_linear_text(base, names, style, most))
    else:
        name, form = base
        pattern = style.basis(basis(name))
        text = pattern.replace("{}", _linear_text(form, names, style, most))
    return text if count == 1 else style.power(text, count)


def _linear_text(form: Linear, names: list[str], style: Style, most: int) -> str:
    """The largest entries, in the order of the inputs."""
    entries = sorted(zip(form.inputs, form.values, strict=True))
    if len(entries) > most:
        entries = sorted(zip(form.inputs[:most], form.values[:most], strict=True))
    parts = [_product(Product(value, ((j, 1),)), names, style, most) for j, value in entries]
    if len(form.inputs) > most:
        parts.append((False, style.more.format(len(form.inputs) - most)))
    return _joined(parts)
