"""JSON text that may come from anywhere: parsed within bounds, and read with words for each fault.

Every message names the place, what came and what was wanted.
"""

from __future__ import annotations

import json
import reprlib
from typing import Any

import numpy as np

from nsjax._check import limited, twice

MAX_BYTES = 64_000_000
MAX_DEPTH = 8
MAX_PARTS = 3_000_000
"""Lists and objects of one text."""
_MAX_DIGITS = 25


def parsed(text: Any) -> Any:
    """What a text holds; its size, depth and keys are bounded before anything is built.

    Args:
        text: ASCII str or bytes without backslashes.

    Raises:
        TypeError: for what is neither str nor bytes.
        ValueError: for what is no JSON, too large, too deep, or has a key twice.
    """
    if not isinstance(text, str | bytes):
        raise TypeError(f"text must be str or bytes, got {type(text).__name__}")
    bounded("text", text)
    try:
        raw = text.encode("ascii") if isinstance(text, str) else text
        text = raw.decode("ascii")
    except UnicodeError:
        raise ValueError("text must be ASCII, got other characters") from None
    bounded("text", raw)
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


def bounded(name: str, text: str | bytes) -> None:
    """Refuse long texts, and many empty containers, which take far more memory than their text."""
    if len(text) > MAX_BYTES:
        raise ValueError(f"{name} must fit {MAX_BYTES} bytes of JSON, got {len(text)}")
    if isinstance(text, bytes):
        limited(
            f"lists and objects of {name}", text.count(b"[") + text.count(b"{"), MAX_PARTS, least=0
        )


def _shallow(raw: bytes) -> None:
    """Refuse deep nesting before the recursive parser sees it, by one pass in chunks.

    Strings have no backslash, so that quotes alone tell what lies inside of strings.
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
    unique = dict(pairs)
    if len(unique) < len(pairs):
        raise ValueError(f"keys must differ, got {reprlib.repr(twice(k for k, _ in pairs))} twice")
    return unique


def fields(where: str, value: Any, keys: tuple[str, ...]) -> dict[str, Any]:
    """Return `value` if it is an object with just these keys."""
    if not isinstance(value, dict):
        raise ValueError(f"{where} must be an object, got {reprlib.repr(value)}")
    for key in value:
        if key not in keys:
            raise ValueError(f"{where} must have keys {', '.join(keys)}, got {reprlib.repr(key)}")
    for key in keys:
        if key not in value:
            raise ValueError(f"{where} must have the key {key!r}, which is missing")
    return value


def of_format(whole: dict[str, Any], name: str, version: int) -> None:
    """Raise unless the keys `format` and `version` say this."""
    if whole["format"] != name:
        raise ValueError(f"format must be {name!r}, got {reprlib.repr(whole['format'])}")
    if type(whole["version"]) is not int or whole["version"] != version:
        raise ValueError(f"version must be {version}, got {reprlib.repr(whole['version'])}")


def items(where: str, value: Any, size: int | None = None) -> list[Any]:
    """Return `value` if it is a list, of `size` entries if that is given."""
    if not isinstance(value, list):
        raise ValueError(f"{where} must be a list, got {reprlib.repr(value)}")
    if size is not None and len(value) != size:
        raise ValueError(f"{where} must have {size} entries, got {len(value)}")
    return value


def vector(where: str, value: Any, size: int) -> np.ndarray:
    """Return a list of `size` finite numbers as float64 `(size,)`."""
    numbers = items(where, value, size)
    for kind in set(map(type, numbers)) - {int, float}:
        bad = next(number for number in numbers if type(number) is kind)
        raise ValueError(f"{where} must be numbers, got {reprlib.repr(bad)}")
    array = np.array(numbers, np.float64)
    if not np.all(np.isfinite(array)):
        raise ValueError(f"{where} must be finite, got a number that is too large")
    return array
