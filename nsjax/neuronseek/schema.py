"""Formulas as JSON text: written exactly, read through a schema that trusts nothing."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Callable
from typing import Any

import numpy as np

from nsjax import _json
from nsjax._check import limited
from nsjax.networks.cp import CPNeuron, CPTerms
from nsjax.neuronseek.shapes import (
    MAX_ENTRIES,
    MAX_INPUTS,
    MAX_ORDER,
    MAX_OUTPUTS,
    MAX_RANK,
)

FORMAT = "nsjax formula"
VERSION = 1


def write(neuron: CPNeuron, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> str:
    """JSON text of checked arrays and names; every float is written so that it reads back equal.

    A row of d numbers with few non-zero ones is written as their places and values.

    Raises:
        ValueError: if the text would be larger than what `read` accepts.
    """
    whole = {
        "format": FORMAT,
        "version": VERSION,
        "inputs": list(inputs),
        "outputs": list(outputs),
        "bias": neuron.bias.tolist(),
        "powers": [
            {"order": k, "weights": [_row(row) for row in weights]}
            for k, weights in neuron.powers.items()
        ],
        "interactions": [
            {
                "order": n,
                "coefficients": terms.coefficients.tolist(),
                "factors": [[_row(row) for row in factor] for factor in terms.factors],
            }
            for n, terms in neuron.interactions.items()
        ],
        "bases": [
            {
                "name": name,
                "coefficients": terms.coefficients.tolist(),
                "factors": [[_row(row) for row in factor] for factor in terms.factors],
            }
            for name, terms in neuron.bases.items()
        ],
    }
    text = json.dumps(whole, allow_nan=False)
    _json.bounded("formula", text.encode())
    return text


def read(text: Any) -> tuple[CPNeuron, tuple[str, ...], tuple[str, ...]]:
    """Arrays and names from JSON text; names and bases are for `Formula` to check.

    Raises:
        TypeError: for what is neither str nor bytes.
        ValueError: for anything that `write` would not have written; it names the place.
    """
    return read_value(_json.parsed(text))


def read_value(value: Any) -> tuple[CPNeuron, tuple[str, ...], tuple[str, ...]]:
    """As `read`, from what `_json.parsed` gave for the text or for a part of a longer one."""
    whole = _json.fields(
        "formula",
        value,
        ("format", "version", "inputs", "outputs", "bias", "powers", "interactions", "bases"),
    )
    _json.of_format(whole, FORMAT, VERSION)
    inputs, outputs = (
        _names("inputs", whole["inputs"], MAX_INPUTS),
        _names("outputs", whole["outputs"], MAX_OUTPUTS),
    )
    reader = _Reader(len(outputs), len(inputs))
    neuron = CPNeuron(
        reader.vector("bias", whole["bias"], len(outputs)),
        _keyed("powers", whole["powers"], reader.power),
        _keyed("interactions", whole["interactions"], reader.interaction),
        _keyed("bases", whole["bases"], reader.basis),
    )
    return neuron, inputs, outputs


class _Reader:
    """Reads streams of c outputs and d inputs, and counts the numbers so far."""

    def __init__(self, c: int, d: int) -> None:
        self.c, self.d, self.entries = c, d, 0

    def power(self, where: str, value: Any) -> tuple[int, np.ndarray]:
        fields = _json.fields(where, value, ("order", "weights"))
        order = _integer(f"order of {where}", fields["order"], 1, MAX_ORDER)
        self.count(self.c * self.d)
        weights = np.empty((self.c, self.d))
        self.fill(weights, f"weights of {where}", fields["weights"])
        return order, weights

    def interaction(self, where: str, value: Any) -> tuple[int, CPTerms]:
        fields = _json.fields(where, value, ("order", "coefficients", "factors"))
        order = _integer(f"order of {where}", fields["order"], 2, MAX_ORDER)
        return order, self.terms(where, fields, order)

    def basis(self, where: str, value: Any) -> tuple[str, CPTerms]:
        fields = _json.fields(where, value, ("name", "coefficients", "factors"))
        if not isinstance(fields["name"], str):
            raise ValueError(f"name of {where} must be text, got {reprlib.repr(fields['name'])}")
        return fields["name"], self.terms(where, fields, 1)

    def terms(self, where: str, fields: dict[str, Any], order: int) -> CPTerms:
        name = f"coefficients of {where}"
        rows = _json.items(name, fields["coefficients"], self.c)
        rank = limited(f"rank of {where}", len(_json.items(f"{name}[0]", rows[0])), MAX_RANK)
        coefficients = [self.vector(f"{name}[{i}]", row, rank) for i, row in enumerate(rows)]
        name = f"factors of {where}"
        stacks = _json.items(name, fields["factors"], order)
        # Before anything is allocated: short texts can stand for long rows of zeros.
        self.count(order * rank * self.d)
        factors = np.empty((order, rank, self.d))
        for m, stack in enumerate(stacks):
            self.fill(factors[m], f"{name}[{m}]", stack)
        return CPTerms(np.stack(coefficients), factors)

    def fill(self, rows: np.ndarray, where: str, value: Any) -> None:
        for i, row in enumerate(_json.items(where, value, len(rows))):
            rows[i] = self.row(f"{where}[{i}]", row)

    def row(self, where: str, value: Any) -> np.ndarray:
        if not isinstance(value, dict):
            return _json.vector(where, value, self.d)
        fields = _json.fields(where, value, ("at", "values"))
        places = _json.items(f"at of {where}", fields["at"])
        values = _json.vector(f"values of {where}", fields["values"], len(places))
        previous = -1
        for place in places:
            previous = _integer(f"at of {where}", place, previous + 1, self.d - 1)
        row = np.zeros(self.d)
        row[np.array(places, dtype=np.int64)] = values
        return row

    def vector(self, where: str, value: Any, size: int) -> np.ndarray:
        self.count(size)
        return _json.vector(where, value, size)

    def count(self, entries: int) -> None:
        self.entries += entries
        limited("numbers of a formula", self.entries, MAX_ENTRIES, least=0)


def _row(row: np.ndarray) -> Any:
    kept = np.flatnonzero((row != 0) | np.signbit(row))  # a negative zero is kept as it is
    if 2 * kept.size < row.size:
        return {"at": kept.tolist(), "values": row[kept].tolist()}
    return row.tolist()


def _names(where: str, value: Any, most: int) -> tuple[str, ...]:
    names = _json.items(where, value)
    limited(where, len(names), most)
    for name in names:
        if not isinstance(name, str):
            raise ValueError(f"{where} must be names, got {reprlib.repr(name)}")
    return tuple(names)


def _keyed(where: str, value: Any, read: Callable[[str, Any], tuple[Any, Any]]) -> dict[Any, Any]:
    streams: dict[Any, Any] = {}
    for i, each in enumerate(_json.items(where, value)):
        key, stream = read(f"{where}[{i}]", each)
        if key in streams:
            raise ValueError(f"{where} must not repeat a stream, got {reprlib.repr(key)} twice")
        streams[key] = stream
    return streams


def _integer(where: str, value: Any, least: int, most: int) -> int:
    if type(value) is not int:  # neither a boolean nor 2.0
        raise ValueError(f"{where} must be an integer, got {reprlib.repr(value)}")
    return limited(where, value, most, least=least)
