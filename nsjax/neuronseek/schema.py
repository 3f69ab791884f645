"""Formulas as JSON text: written exactly, read through a schema that trusts nothing."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Callable
from typing import Any

import numpy as np

from nsjax.networks.cp import CPNeuron, CPTerms
from nsjax.neuronseek.shapes import (
    MAX_ENTRIES,
    MAX_INPUTS,
    MAX_ORDER,
    MAX_OUTPUTS,
    MAX_RANK,
    limited,
    twice,
)

FORMAT = "nsjax formula"
VERSION = 1
MAX_BYTES = 64_000_000
MAX_DEPTH = 8
MAX_PARTS = 3_000_000
"""Lists and objects of one text."""
_MAX_DIGITS = 25


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
    _bounded("formula", text.encode())
    return text


def read(text: Any) -> tuple[CPNeuron, tuple[str, ...], tuple[str, ...]]:
    """Arrays and names from JSON text; names and bases are for `Formula` to check.

    Raises:
        TypeError: for what is neither str nor bytes.
        ValueError: for anything that `write` would not have written; it names the place.
    """
    whole = _object(
        "formula",
        _parsed(text),
        ("format", "version", "inputs", "outputs", "bias", "powers", "interactions", "bases"),
    )
    if whole["format"] != FORMAT:
        raise ValueError(f"format must be {FORMAT!r}, got {reprlib.repr(whole['format'])}")
    if type(whole["version"]) is not int or whole["version"] != VERSION:
        raise ValueError(f"version must be {VERSION}, got {reprlib.repr(whole['version'])}")
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
        fields = _object(where, value, ("order", "weights"))
        order = _integer(f"order of {where}", fields["order"], 1, MAX_ORDER)
        self.count(self.c * self.d)
        weights = np.empty((self.c, self.d))
        self.fill(weights, f"weights of {where}", fields["weights"])
        return order, weights

    def interaction(self, where: str, value: Any) -> tuple[int, CPTerms]:
        fields = _object(where, value, ("order", "coefficients", "factors"))
        order = _integer(f"order of {where}", fields["order"], 2, MAX_ORDER)
        return order, self.terms(where, fields, order)

    def basis(self, where: str, value: Any) -> tuple[str, CPTerms]:
        fields = _object(where, value, ("name", "coefficients", "factors"))
        if not isinstance(fields["name"], str):
            raise ValueError(f"name of {where} must be text, got {reprlib.repr(fields['name'])}")
        return fields["name"], self.terms(where, fields, 1)

    def terms(self, where: str, fields: dict[str, Any], order: int) -> CPTerms:
        name = f"coefficients of {where}"
        rows = _list(name, fields["coefficients"], self.c)
        rank = limited(f"rank of {where}", len(_list(f"{name}[0]", rows[0])), MAX_RANK)
        coefficients = [self.vector(f"{name}[{i}]", row, rank) for i, row in enumerate(rows)]
        name = f"factors of {where}"
        stacks = _list(name, fields["factors"], order)
        # Before anything is allocated: short texts can stand for long rows of zeros.
        self.count(order * rank * self.d)
        factors = np.empty((order, rank, self.d))
        for m, stack in enumerate(stacks):
            self.fill(factors[m], f"{name}[{m}]", stack)
        return CPTerms(np.stack(coefficients), factors)

    def fill(self, rows: np.ndarray, where: str, value: Any) -> None:
        for i, row in enumerate(_list(where, value, len(rows))):
            rows[i] = self.row(f"{where}[{i}]", row)

    def row(self, where: str, value: Any) -> np.ndarray:
        if not isinstance(value, dict):
            return _vector(where, value, self.d)
        fields = _object(where, value, ("at", "values"))
        places = _list(f"at of {where}", fields["at"])
        values = _vector(f"values of {where}", fields["values"], len(places))
        previous = -1
        for place in places:
            previous = _integer(f"at of {where}", place, previous + 1, self.d - 1)
        row = np.zeros(self.d)
        row[np.array(places, dtype=np.int64)] = values
        return row

    def vector(self, where: str, value: Any, size: int) -> np.ndarray:
        self.count(size)
        return _vector(where, value, size)

    def count(self, entries: int) -> None:
        self.entries += entries
        limited("numbers of a formula", self.entries, MAX_ENTRIES, least=0)


def _row(row: np.ndarray) -> Any:
    kept = np.flatnonzero((row != 0) | np.signbit(row))  # a negative zero is kept as it is
    if 2 * kept.size < row.size:
        return {"at": kept.tolist(), "values": row[kept].tolist()}
    return row.tolist()


def _parsed(text: Any) -> Any:
    if not isinstance(text, str | bytes):
        raise TypeError(f"text must be str or bytes, got {type(text).__name__}")
    _bounded("text", text)
    try:
        raw = text.encode("ascii") if isinstance(text, str) else text
        text = raw.decode("ascii")
    except UnicodeError:
        raise ValueError("text must be ASCII, got other characters") from None
    _bounded("text", raw)
    _shallow(raw)
    try:
        return json.loads(
            text,
            parse_constant=_no_constant,
            parse_int=_short_integer,
            object_pairs_hook=_no_duplicates,
        )
    except json.JSONDecodeError as error:
        raise ValueError(f"text must be JSON, got {error.msg} at character {error.pos}") from None


def _bounded(name: str, text: str | bytes) -> None:
    """Refuse long texts, and many empty containers, which take far more memory than their text."""
    if len(text) > MAX_BYTES:
        raise ValueError(f"{name} must fit {MAX_BYTES} bytes of JSON, got {len(text)}")
    if isinstance(text, bytes):
        limited(
            f"lists and objects of {name}", text.count(b"[") + text.count(b"{"), MAX_PARTS, least=0
        )


def _shallow(raw: bytes) -> None:
    """Refuse deep nesting before the recursive parser sees it, by one pass in chunks.

    No string of a formula has a backslash, so that quotes alone tell what lies inside of strings.
    """
    if b"\\" in raw:
        raise ValueError("text must not have backslashes, got one")
    inside, depth = 0, 0
    for start in range(0, len(raw), 2**20):
        chunk = np.frombuffer(raw, np.uint8, min(2**20, len(raw) - start), start)
        quoted = (np.cumsum(chunk == ord('"'), dtype=np.int32) + inside) % 2 == 1
        up = (chunk == ord("[")) | (chunk == ord("{"))
        down = (chunk == ord("]")) | (chunk == ord("}"))
        steps = np.where(quoted, 0, up.astype(np.int32) - down)
        depths = depth + np.cumsum(steps, dtype=np.int32)
        if depths.max() > MAX_DEPTH:
            raise ValueError(f"text must nest at most {MAX_DEPTH} deep, got more")
        inside, depth = int(quoted[-1]), int(depths[-1])


def _no_constant(word: str) -> Any:
    raise ValueError(f"numbers must be finite, got {word}")


def _short_integer(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise ValueError(f"integers must have at most {_MAX_DIGITS} digits, got {len(digits)}")
    return int(digits)


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError(f"keys must differ, got {reprlib.repr(twice(k for k, _ in pairs))} twice")
    return fields


def _object(where: str, value: Any, keys: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{where} must be an object, got {reprlib.repr(value)}")
    for key in value:
        if key not in keys:
            raise ValueError(f"{where} must have keys {', '.join(keys)}, got {reprlib.repr(key)}")
    for key in keys:
        if key not in value:
            raise ValueError(f"{where} must have the key {key!r}, which is missing")
    return value


def _list(where: str, value: Any, size: int | None = None) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{where} must be a list, got {reprlib.repr(value)}")
    if size is not None and len(value) != size:
        raise ValueError(f"{where} must have {size} entries, got {len(value)}")
    return value


def _names(where: str, value: Any, most: int) -> tuple[str, ...]:
    names = _list(where, value)
    limited(where, len(names), most)
    for name in names:
        if not isinstance(name, str):
            raise ValueError(f"{where} must be names, got {reprlib.repr(name)}")
    return tuple(names)


def _keyed(where: str, value: Any, read: Callable[[str, Any], tuple[Any, Any]]) -> dict[Any, Any]:
    streams: dict[Any, Any] = {}
    for i, each in enumerate(_list(where, value)):
        key, stream = read(f"{where}[{i}]", each)
        if key in streams:
            raise ValueError(f"{where} must not repeat a stream, got {reprlib.repr(key)} twice")
        streams[key] = stream
    return streams


def _integer(where: str, value: Any, least: int, most: int) -> int:
    if type(value) is not int:  # neither a boolean nor 2.0
        raise ValueError(f"{where} must be an integer, got {reprlib.repr(value)}")
    return limited(where, value, most, least=least)


def _vector(where: str, value: Any, size: int) -> np.ndarray:
    numbers = _list(where, value, size)
    for kind in set(map(type, numbers)) - {int, float}:
        bad = next(number for number in numbers if type(number) is kind)
        raise ValueError(f"{where} must be numbers, got {reprlib.repr(bad)}")
    vector = np.array(numbers, np.float64)
    if not np.all(np.isfinite(vector)):
        raise ValueError(f"{where} must be finite, got a number that is too large")
    return vector
