"""JSON of formulas: exact round trips, and texts that are refused with a reason."""

import copy
import json
import time

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from nsjax import _json
from nsjax.networks.cp import CPNeuron, CPTerms
from nsjax.neuronseek.formula import Formula
from tests.neuronseek.formula_cases import axis, formula, neurons

GOOD = {
    "format": "nsjax formula",
    "version": 1,
    "inputs": ["a", "b"],
    "outputs": ["y"],
    "bias": [0.5],
    "powers": [{"order": 2, "weights": [[1.0, -0.0]]}],
    "interactions": [{"order": 2, "coefficients": [[2.0]], "factors": [[[1.0, 0.5]], [[0, 1]]]}],
    "bases": [{"name": "sine", "coefficients": [[1.0]], "factors": [[[1.5, 2]]]}],
}


def bits(formula):
    neuron = formula.neuron
    arrays = [neuron.bias, *neuron.powers.values()]
    for terms in (*neuron.interactions.values(), *neuron.bases.values()):
        arrays += [terms.coefficients, terms.factors]
    return [(array.shape, array.tobytes()) for array in arrays]


@hypothesis.settings(max_examples=60)
@hypothesis.given(neurons(), st.booleans())
def test_a_round_trip_keeps_every_bit(given, as_bytes):
    """Names, keys and arrays."""
    text = given.to_json()
    back = Formula.from_json(text.encode() if as_bytes else text)
    assert back == given
    assert hash(back) == hash(given)
    assert bits(back) == bits(given)
    assert back.to_json() == text


def test_awkward_floats_come_back():
    """Subnormal, huge, negative zero, and what has no short decimal."""
    values = [5e-324, -2.2250738585072014e-308, 1.7976931348623157e308, -0.0, 0.1 + 0.2, 1 / 3]
    given = Formula(CPNeuron([-0.0], {1: [values], 2: [axis(6) * -1]}, {}, {}))
    assert bits(Formula.from_json(given.to_json())) == bits(given)


def test_few_numbers_of_many_are_written_sparsely():
    """The text of a term with two inputs does not grow with d; memory is what n R d takes."""
    d = 5_000
    terms = CPTerms(np.ones((1, 20)), np.zeros((2, 20, d)))
    terms.factors[0, :, 7], terms.factors[1, :, -1] = 0.1, -0.0
    given = Formula(CPNeuron(np.zeros(1), {1: axis(d, 3)[None]}, {2: terms}, {}))
    text = given.to_json()
    assert len(text) < 12 * d  # the names of the inputs
    assert bits(Formula.from_json(text)) == bits(given)


def test_numbers_may_be_integers_and_text_may_be_spaced():
    """What a person writes by hand."""
    found = Formula.from_json(json.dumps(GOOD, indent=4))
    assert found.to_text() == "y = 0.5 + a^2 + 2 b (a + 0.5 b) + sin(1.5 a + 2 b)"


def test_files(tmp_path):
    given = formula(3, bias=1.0, powers={2: [0.1, 0, 3]})
    given.save(tmp_path / "formula.json")
    assert Formula.load(tmp_path / "formula.json") == given
    assert [path.name for path in tmp_path.iterdir()] == ["formula.json"]
    (tmp_path / "bad.json").write_text("[]")
    with pytest.raises(ValueError, match=r"bad.json: formula must be an object, got \[\]"):
        Formula.load(tmp_path / "bad.json")
    with pytest.raises(FileNotFoundError):
        Formula.load(tmp_path / "none.json")
    with pytest.raises(FileNotFoundError):
        given.save(tmp_path / "none" / "formula.json")


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    """And nothing else."""
    given = formula(1, bias=1.0)
    given.save(tmp_path / "formula.json")

    def refuse(*args):
        raise OSError("no space left")

    monkeypatch.setattr("os.replace", refuse)
    with pytest.raises(OSError, match="no space"):
        formula(1, bias=2.0).save(tmp_path / "formula.json")
    assert Formula.load(tmp_path / "formula.json") == given
    assert [path.name for path in tmp_path.iterdir()] == ["formula.json"]


TEXTS = [
    ("", "must be JSON"),
    ("{", "must be JSON"),
    (json.dumps(GOOD)[:-7], "must be JSON"),
    (json.dumps(GOOD) + "x", "must be JSON, got Extra data"),
    ("[" * 3000 + "]" * 3000, "nest at most 8 deep"),
    ('{"a":' * 3000 + "1" + "}" * 3000, "nest at most 8 deep"),
    ("[" * 2_000_000, "nest at most 8 deep"),
    ("[" + "{}," * 3_000_000 + "{}]", "lists and objects of text must be between 0 and 3000000"),
    ("null", "formula must be an object, got None"),
    ("[]", "formula must be an object"),
    ("3", "formula must be an object"),
    ('"' + "[" * 100 + '"', "formula must be an object"),
    ('{"a\\u0062": 1}', "backslashes"),
    ('{"é": 1}', "must be ASCII"),
    ("\ud800", "must be ASCII"),
    (b"\xff\xfe{", "must be ASCII"),
    (json.dumps(GOOD).replace("0.5]", "NaN]", 1), "finite, got NaN"),
    (json.dumps(GOOD).replace("0.5]", "-Infinity]", 1), "finite, got -Infinity"),
    (json.dumps(GOOD).replace("0.5]", "1e999]", 1), "bias must be finite"),
    (json.dumps(GOOD).replace("0.5]", "1" * 10_000 + "]", 1), "at most 25 digits, got 10000"),
    (json.dumps(GOOD).replace("0.5]", "0x10]", 1), "must be JSON"),
    (json.dumps(GOOD).replace('"version"', '"format"'), "keys must differ, got 'format' twice"),
    (json.dumps(GOOD).replace('"order": 2', '"order": 2, "order": 2', 1), "keys must differ"),
]


@pytest.mark.parametrize(("text", "said"), TEXTS, ids=map(str, range(len(TEXTS))))
def test_texts_that_are_no_formula(text, said):
    """The reason is said, and briefly."""
    with pytest.raises(ValueError, match=said) as caught:
        Formula.from_json(text)
    assert type(caught.value) is ValueError
    assert len(str(caught.value)) < 300


CODE = "__import__('os').system('true')"
FIELDS = [
    (("format",), "other", "format must be 'nsjax formula', got 'other'"),
    (("version",), 2, "version must be 1, got 2"),
    (("version",), True, "version must be 1, got True"),
    (("version",), 1.0, "version must be 1, got 1.0"),
    (("version",), None, "version must be 1, got None"),
    (("extra",), 1, "formula must have keys .*, got 'extra'"),
    (("bias",), ..., "must have the key 'bias', which is missing"),
    (("inputs",), "ab", "inputs must be a list"),
    (("inputs",), [], "inputs must be between 1 and"),
    (("inputs",), ["a", 1], "inputs must be names, got 1"),
    (("inputs",), ["a", "a"], "inputs must have different names, got 'a' twice"),
    (("inputs",), ["a", "b c"], "inputs must be names of at most 64"),
    (("inputs",), ["a", CODE], "inputs must be names of at most 64"),
    (("inputs",), ["a", "b" * 65], "inputs must be names of at most 64"),
    (("inputs",), ["a", ""], "inputs must be names of at most 64"),
    (("inputs",), ["a", "b\n"], "backslashes"),
    (("inputs",), ["a", "b", "c"], r"weights of powers\[0\]\[0\] must have 3 entries, got 2"),
    (("outputs",), [], "outputs must be between 1 and"),
    (("outputs",), ["y", "z"], "bias must have 2 entries, got 1"),
    (("outputs",), [None], "outputs must be names, got None"),
    (("bias",), 0.5, "bias must be a list, got 0.5"),
    (("bias",), [True], "bias must be numbers, got True"),
    (("bias",), ["1"], "bias must be numbers, got '1'"),
    (("bias",), [CODE], "bias must be numbers"),
    (("bias",), [None], "bias must be numbers, got None"),
    (("bias",), [[0.5]], "bias must be numbers"),
    (("bias",), {"0": 1}, "bias must be a list"),
    (("powers",), {}, "powers must be a list"),
    (("powers",), [[]], r"powers\[0\] must be an object"),
    (("powers", 0, "order"), 0, r"order of powers\[0\] must be between 1 and 64, got 0"),
    (("powers", 0, "order"), 65, "between 1 and 64, got 65"),
    (("powers", 0, "order"), -1, "between 1 and 64"),
    (("powers", 0, "order"), 1e99, "must be an integer, got 1e"),
    (("powers", 0, "order"), 2.0, "must be an integer, got 2.0"),
    (("powers", 0, "order"), True, "must be an integer, got True"),
    (("powers", 0, "order"), "2", "must be an integer, got '2'"),
    (("powers", 0, "order"), 10**24, "between 1 and 64"),
    (("powers", 0, "weights"), [], r"weights of powers\[0\] must have 1 entries, got 0"),
    (("powers", 0, "weights"), [[1.0]], "must have 2 entries, got 1"),
    (("powers", 0, "weights"), [[1.0, [2.0]]], "must be numbers"),
    (("powers", 0, "weights"), [[1.0, False]], "must be numbers, got False"),
    (("powers", 0, "weights"), [{"at": [2], "values": [1.0]}], "between 0 and 1, got 2"),
    (("powers", 0, "weights"), [{"at": [-1], "values": [1.0]}], "between 0 and 1, got -1"),
    (("powers", 0, "weights"), [{"at": [1, 0], "values": [1.0, 2.0]}], "at of weights"),
    (("powers", 0, "weights"), [{"at": [0, 0], "values": [1.0, 2.0]}], "between 1 and 1, got 0"),
    (("powers", 0, "weights"), [{"at": [0.0], "values": [1.0]}], "must be an integer"),
    (("powers", 0, "weights"), [{"at": [0], "values": []}], "must have 1 entries, got 0"),
    (("powers", 0, "weights"), [{"at": [0]}], "the key 'values', which is missing"),
    (("powers", 0, "weights"), [{"at": [], "values": [], "eval": 1}], "got 'eval'"),
    (("powers", 0, "rank"), 1, "got 'rank'"),
    (("powers",), [GOOD["powers"][0]] * 2, "powers must not repeat a stream, got 2 twice"),
    (("interactions", 0, "order"), 1, "between 2 and 64"),
    (("interactions", 0, "order"), 3, "must have 3 entries, got 2"),
    (("interactions", 0, "coefficients"), [[]], "rank of interactions.0. must be between 1"),
    (("interactions", 0, "coefficients"), [], "must have 1 entries, got 0"),
    (("interactions", 0, "coefficients"), [[1.0, 2.0]], "must have 2 entries, got 1"),
    (("interactions", 0, "coefficients"), [[CODE]], "must be numbers"),
    (("interactions", 0, "factors"), [[[1.0, 2.0]], [[1.0]]], r"\[1\]\[0\] must have 2 entries"),
    (("interactions", 0, "factors"), [[[1.0, 2.0]], []], r"\[1\] must have 1 entries, got 0"),
    (("interactions", 0, "factors"), {"0": 1}, "must be a list"),
    (("bases", 0, "name"), "sinus", "bases must be among sine, cosine"),
    (("bases", 0, "name"), 1, "must be text, got 1"),
    (("bases", 0, "name"), ["sine"], "must be text"),
    (("bases", 0, "name"), CODE, "bases must be among"),
    (("bases", 0, "factors"), [[[1.0, 2.0]]] * 2, "must have 1 entries, got 2"),
    (("bases",), [GOOD["bases"][0]] * 2, "must not repeat a stream, got 'sine' twice"),
]


@pytest.mark.parametrize(("place", "value", "said"), FIELDS)
def test_fields_that_are_refused(place, value, said):
    """One field of a good text changed, or taken out."""
    whole = copy.deepcopy(GOOD)
    *path, last = place
    part = whole
    for key in path:
        part = part[key]
    if value is ...:
        del part[last]
    else:
        part[last] = value
    with pytest.raises(ValueError, match=said) as caught:
        Formula.from_json(json.dumps(whole))
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("value", [None, 3, ["{}"], bytearray(b"{}")])
def test_what_is_no_text(value):
    with pytest.raises(TypeError, match="text must be str or bytes, got"):
        Formula.from_json(value)


@hypothesis.settings(max_examples=150)
@hypothesis.given(st.data())
def test_damaged_texts_give_a_value_error_or_a_formula(data):
    """Bytes replaced, taken out or doubled at random."""
    raw = bytearray(json.dumps(GOOD).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        width = data.draw(st.integers(0, 5))
        raw[at : at + width] = data.draw(st.binary(max_size=3) | st.sampled_from([b"[", b"1e9"]))
    try:
        found = Formula.from_json(bytes(raw))
    except ValueError:
        return
    assert Formula.from_json(found.to_json()) == found


def test_short_texts_cannot_ask_for_much_memory():
    """Rows that are written sparsely are counted before they are made."""
    whole = copy.deepcopy(GOOD)
    d, rank = 40_000, 1_000
    whole["inputs"] = [f"x{i}" for i in range(d)]
    whole["powers"] = []
    empty = [{"at": [], "values": []}] * rank
    whole["interactions"] = [{"order": 2, "coefficients": [[0] * rank], "factors": [empty, empty]}]
    with pytest.raises(ValueError, match="numbers of a formula must be between 0 and"):
        Formula.from_json(json.dumps(whole))


def test_sizes_are_bounded(monkeypatch):
    """The text, and what would be written."""
    monkeypatch.setattr(_json, "MAX_BYTES", 300)
    with pytest.raises(ValueError, match="text must fit 300 bytes of JSON, got 400"):
        Formula.from_json(" " * 400)
    with pytest.raises(ValueError, match="formula must fit 300 bytes of JSON, got"):
        formula(60, powers={1: np.ones(60)}).to_json()


def test_refusing_takes_no_longer_than_reading():
    """Texts that would be slow for a scan that starts again at every quote."""
    start = time.process_time()
    for text in ('"' * 2_000_001, '"' + "a" * 2_000_000, "[]" * 1_000_000, " " * 2_000_000):
        with pytest.raises(ValueError, match="must be JSON"):
            Formula.from_json(text)
    keys = ", ".join(f'"k{i}": 0' for i in range(50_000))
    with pytest.raises(ValueError, match="formula must have keys"):
        Formula.from_json("{" + keys + "}")
    assert time.process_time() - start < 5
