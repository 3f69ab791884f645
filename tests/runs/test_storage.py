import enum
import json
import math
from dataclasses import dataclass
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsjax.runs import RunError, from_json, to_json
from nsjax.runs.storage import check_name, pack_npz, read_npz, save_pair, write_atomic, write_json


class Colour(enum.Enum):
    RED = 1


@dataclass(frozen=True)
class Point:
    x: float
    y: tuple[int, ...] = (1, 2)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (jnp.asarray(2.0), 2.0),
        (jnp.arange(3), [0, 1, 2]),
        (jnp.asarray([1.5], dtype=jnp.bfloat16), [1.5]),
        (np.array([[1.0, math.inf], [-math.inf, 0.0]]), [[1.0, "inf"], ["-inf", 0.0]]),
        (math.nan, "nan"),
        ({"a": (1, None), "b": "text"}, {"a": [1, None], "b": "text"}),
        (Point(math.inf), {"x": "inf", "y": [1, 2]}),
        (Colour.RED, "RED"),
        (Path("a") / "b", str(Path("a") / "b")),
        ({3, 1, 2}, [1, 2, 3]),
    ],
)
def test_to_json_gives_plain_data(value, wanted):
    plain = to_json(value)
    assert plain == wanted
    json.dumps(plain, allow_nan=False)


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.just("text")
nested = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=12
)


@given(nested)
def test_values_come_back_through_strict_json(value):
    text = json.dumps(to_json(value), allow_nan=False)
    assert from_json(json.loads(text)) == value


def test_nan_comes_back():
    assert math.isnan(from_json(to_json({"a": [math.nan]}))["a"][0])


@pytest.mark.parametrize("word", ["nan", "inf", "-inf"])
def test_words_kept_for_floats_are_refused_as_strings(word):
    with pytest.raises(ValueError, match=r"value\.norm.*kept for the float"):
        to_json({"norm": word})
    assert to_json({"norm": word}, words=True) == {"norm": word}


@pytest.mark.parametrize("value", [object(), lambda x: x, 1j, np.array([1j]), b"bytes"])
def test_what_json_cannot_hold_is_named(value):
    with pytest.raises(TypeError, match=r"value\.deep\[1\]"):
        to_json({"deep": [0, value]})


def test_keys_must_be_strings():
    with pytest.raises(TypeError, match="keys must be strings, got 1"):
        to_json({1: 2})


@pytest.mark.parametrize("name", ["a", "p=2_slope=-1,delta=1e-08", "0.5", "_x", "a" * 120])
def test_good_names(name):
    assert check_name("cell", name) == name


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../a", "a/b", "a\\b", "/etc", ".a", "-a", "a b", "a\n", "é", "a" * 121, 3],
)
def test_bad_names(name):
    with pytest.raises(ValueError, match="cell name"):
        check_name("cell", name)


def test_npz_round_trip_and_equal_bytes(tmp_path):
    arrays = {
        "file": np.arange(6.0).reshape(2, 3),
        "scalar": 3,
        "jax": jnp.ones((2,), dtype=jnp.float32),
        "complex": np.array([1j]),
        "empty": np.zeros((0, 4)),
    }
    content, kinds = pack_npz(arrays)
    assert content == pack_npz(arrays)[0]
    assert kinds["jax"] == {"shape": [2], "dtype": "float32"}
    (tmp_path / "a.npz").write_bytes(content)
    found = read_npz(tmp_path / "a.npz")
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], np.asarray(array), strict=True)


@pytest.mark.parametrize(
    "array", [np.array([object()]), np.array([None, 1]), jnp.ones(2, dtype=jnp.bfloat16)]
)
def test_arrays_that_npz_cannot_give_back_are_refused(array):
    with pytest.raises(TypeError, match="array 'a' has dtype"):
        pack_npz({"a": array})


def test_pickled_arrays_are_not_read(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.array([{"x": 1}], dtype=object))
    with pytest.raises(RunError, match=r"no readable npz archive.*allow_pickle"):
        read_npz(tmp_path / "a.npz")


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, [1])

    def broken(file):
        file.write(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomic(path, broken)
    assert json.loads(path.read_text()) == [1]
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_refused_save_leaves_the_old_pair(tmp_path):
    save_pair(tmp_path, "a", {"x": np.ones(2)}, {"loss": 1.0}, {})
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with pytest.raises(TypeError, match="array 'x'"):
        save_pair(tmp_path, "a", {"x": np.array([None])}, {}, {})
    with pytest.raises(TypeError, match="values of a"):
        save_pair(tmp_path, "a", {"x": np.ones(2)}, {"loss": object()}, {})
    assert before == {p.name: p.read_bytes() for p in tmp_path.iterdir()}
