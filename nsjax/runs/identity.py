"""What tells one config from another, and where two of them differ."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from nsjax.runs.storage import to_json


def config_hash(config: Any, *, seed: int | None = None) -> str:
    """A hash of a config that stays the same from process to process.

    Configs that compare equal have equal hashes: the integer 1 and the float 1.0 count as the
    same, and fields declared with `field(compare=False)` are left out.

    Args:
        config: a dataclass of what `to_json` takes; it may hold further dataclasses.
        seed: seed that belongs to the config, if it has no such field.

    Returns:
        64 hexadecimal digits.

    Raises:
        TypeError: for what is no dataclass object, or holds what `to_json` does not take.
    """
    if not dataclasses.is_dataclass(config) or isinstance(config, type):
        raise TypeError(f"config must be a dataclass object, got {config!r}")
    text = json.dumps([identity(config), seed], sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def differences(wanted: Any, found: Any, place: str = "") -> list[str]:
    """Every place at which what is found is not what is wanted, in words."""
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        lines = []
        for key, value in wanted.items():
            inner = f"{place}.{key}" if place else key
            lines += differences(value, found.get(key), inner)
        return lines
    return [] if wanted == found else [f"{place} is {found!r} there and {wanted!r} here"]


def identity(value: Any, *, nested: bool = False) -> Any:
    """What tells one config from another, as JSON data."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [f for f in dataclasses.fields(value) if f.compare]
        record = {f.name: identity(getattr(value, f.name), nested=True) for f in fields}
        # Python allows no field called `class`, so this key is free.
        return {"class": type(value).__name__, **record} if nested else record
    if isinstance(value, Mapping):
        return {k: identity(v, nested=True) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [identity(v, nested=True) for v in value]
    plain = to_json(value, where="config", words=True)
    if isinstance(plain, float) and plain.is_integer() and abs(plain) < 2**53:
        return int(plain)
    return plain


def without_class(value: Any) -> Any:
    """The same without the names of classes, as manifests hold it."""
    if isinstance(value, dict):
        return {k: without_class(v) for k, v in value.items() if k != "class"}
    return [without_class(v) for v in value] if isinstance(value, list) else value
