"""Files that are either whole or absent: strict JSON and npz archives, written atomically."""

import contextlib
import dataclasses
import enum
import hashlib
import io
import json
import math
import os
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

_WORDS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.=+,\-]{0,119}")


class RunError(RuntimeError):
    """A run folder that cannot be used as it stands; the message says why."""


def check_name(kind: str, name: object) -> str:
    """Returns `name` if it is safe as a file name.

    Args:
        kind: what is being named, for the message, such as `"cell"`.
        name: letters, digits and `_ . = + , -`, at most 120, the first a letter, digit or `_`.

    Raises:
        ValueError: for anything else, path separators and `..` among it.

    >>> check_name("cell", "p=2_delta=1e-08")
    'p=2_delta=1e-08'
    """
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise ValueError(
            f"{kind} name {name!r}: wanted 1 to 120 letters, digits or _.=+,- "
            "with a letter, a digit or _ first"
        )
    return name


def to_json(value: Any, *, where: str = "value", words: bool = False) -> Any:
    """Turns numbers, arrays and containers into what strict JSON can hold.

    Args:
        value: None, bool, number, string, path, enum, dataclass, NumPy or JAX array or scalar,
            or a mapping with string keys, list, tuple or set of these.
        where: how error messages name the value.
        words: also accept the plain strings `"nan"`, `"inf"` and `"-inf"`. They stand for floats,
            so `from_json` would not give them back as strings.

    Returns:
        The same as None, bool, int, float, str, list and dict. Non-finite floats become the
        strings `"nan"`, `"inf"` and `"-inf"`.

    Raises:
        TypeError: for a value of any other type, named by its place.
        ValueError: for one of the three strings when `words` is false.

    >>> to_json({"loss": np.float32(0.5), "times": np.array([1.0, np.inf])})
    {'loss': 0.5, 'times': [1.0, 'inf']}
    """
    if isinstance(value, enum.Enum):
        return value.name
    if value is None or isinstance(value, bool | np.bool_):
        return None if value is None else bool(value)
    if isinstance(value, str):
        if value in _WORDS and not words:
            raise ValueError(f"{where}: the string {value!r} is kept for the float; rename it")
        return str(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return _float(float(value))
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        items = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return to_json(items, where=where, words=words)
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"{where}: keys must be strings, got {key!r}")
        return {k: to_json(v, where=f"{where}.{k}", words=words) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(v, where=f"{where}[{i}]", words=words) for i, v in enumerate(value)]
    if isinstance(value, set | frozenset):
        return sorted(to_json(v, where=f"an item of {where}", words=words) for v in value)
    if hasattr(value, "__array__"):
        array = np.asarray(value)
        if array.dtype.kind in "biufU":
            return to_json(array.tolist(), where=where, words=words)
        if array.dtype.kind == "V" and array.dtype.names is None:  # bfloat16 and its kin
            return to_json(array.astype(np.float64).tolist(), where=where, words=words)
        raise TypeError(f"{where}: JSON holds no array of dtype {array.dtype}")
    raise TypeError(f"{where}: JSON holds no {type(value).__name__}")


def _float(value: float) -> float | str:
    if math.isfinite(value):
        return value
    if math.isnan(value):
        return "nan"
    return "inf" if value > 0 else "-inf"


def from_json(value: Any) -> Any:
    """Turns the strings that `to_json` wrote for non-finite floats back into floats.

    Args:
        value: JSON that has been parsed.

    >>> from_json({"gap": "inf", "label": "quick"})
    {'gap': inf, 'label': 'quick'}
    """
    if isinstance(value, str):
        return _WORDS.get(value, value)
    if isinstance(value, list):
        return [from_json(item) for item in value]
    if isinstance(value, dict):
        return {key: from_json(item) for key, item in value.items()}
    return value


def write_atomic(path: Path, write: Callable[[IO[bytes]], Any]) -> None:
    """Writes a file that other readers see whole or not at all, also after a power cut.

    Args:
        path: where the file goes; its folder must exist.
        write: called with an open binary file.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        raise
    if os.name == "posix":  # the new name itself must reach the disk too
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Writes a value as strict JSON, atomically.

    Args:
        path: where the file goes; its folder must exist.
        value: what `to_json` has returned, or plain JSON data.
    """
    text = json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    write_atomic(Path(path), lambda file: file.write(text.encode()))


def read_json(path: Path) -> Any:
    """Reads a JSON file as it stands, the strings for non-finite floats included.

    Raises:
        RunError: if the file holds no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RunError(f"{path} is no valid JSON: {error}") from None


def pack_npz(arrays: Mapping[str, Any]) -> tuple[bytes, dict[str, Any]]:
    """Packs arrays as an npz archive; equal arrays give equal bytes.

    Args:
        arrays: NumPy or JAX arrays or numbers of any shape, by name.

    Returns:
        The content of the file, and the shape and dtype of each array.

    Raises:
        ValueError: for a bad array name.
        TypeError: for arrays of Python objects, and for dtypes that NumPy cannot read back.
    """
    host = {check_name("array", name): np.asarray(array) for name, array in arrays.items()}
    for name, array in host.items():
        if array.dtype.kind not in "biufcSU":
            raise TypeError(
                f"array {name!r} has dtype {array.dtype}, which an npz file cannot give back; "
                "cast it first, for example to float32"
            )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in host.items():
            # A fixed date: the bytes depend on the numbers only.
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            with archive.open(entry, "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)
    kinds = {n: {"shape": list(a.shape), "dtype": str(a.dtype)} for n, a in host.items()}
    return buffer.getvalue(), kinds


def save_pair(
    folder: Path,
    name: str,
    arrays: Mapping[str, Any],
    values: Mapping[str, Any],
    facts: Mapping[str, Any],
) -> None:
    """Writes `NAME.npz` and, last, `NAME.json` with the SHA-256 of the npz file.

    Args:
        folder: where the files go; it must exist.
        name: stem of both file names.
        arrays: what `pack_npz` takes.
        values: what `to_json` takes.
        facts: plain JSON data to stand in the JSON file as well.

    Raises:
        ValueError, TypeError: for what the two cannot hold; then nothing has been written.
    """
    plain = to_json(values, where=f"values of {name}")
    content, kinds = pack_npz(arrays)
    # Without its JSON file the pair counts as absent, whatever happens to the npz file meanwhile.
    (folder / f"{name}.json").unlink(missing_ok=True)
    write_atomic(folder / f"{name}.npz", lambda file: file.write(content))
    digest = hashlib.sha256(content).hexdigest()
    record = {**facts, "npz_sha256": digest, "arrays": kinds, "values": plain}
    write_json(folder / f"{name}.json", record)


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """Reads every array of an npz archive.

    Raises:
        RunError: if the file is no readable archive of plain arrays.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (ValueError, zipfile.BadZipFile, EOFError) as error:
        raise RunError(f"{path} is no readable npz archive: {error}") from None


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
