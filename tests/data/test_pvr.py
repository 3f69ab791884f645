"""Pointer value retrieval: every input once, the right value, and the split."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsjax import data

AGGREGATES = {
    "parity": lambda bits: sum(bits) % 2,
    "majority": lambda bits: int(sum(bits) > len(bits) / 2),
    "min": min,
    "max": max,
}


@pytest.mark.parametrize("aggregate", data.AGGREGATES)
@pytest.mark.parametrize(("pointer_bits", "window"), [(1, 1), (2, 3), (3, 1)])
def test_table_against_a_loop(pointer_bits, window, aggregate):
    """Every input in order; the window goes round."""
    values = 2**pointer_bits
    x, y = data.pointer_value_retrieval(pointer_bits, window, aggregate=aggregate)
    rows = list(itertools.product([0, 1], repeat=pointer_bits + values))
    assert x.shape == (len(rows), pointer_bits + values + 1)
    np.testing.assert_array_equal(x[:, :-1], 2 * np.array(rows) - 1)
    np.testing.assert_array_equal(x[:, -1], 1)
    wanted = []
    for row in rows:
        pointer = int("".join(map(str, row[:pointer_bits])), 2)
        bits = [row[pointer_bits + (pointer + i) % values] for i in range(window)]
        wanted.append(2 * AGGREGATES[aggregate](bits) - 1)
    np.testing.assert_array_equal(y[:, 0], wanted)


def test_half_of_the_variance_is_quadratic():
    """3 pointer bits: of 8 orders `1/8 + x_i/8 + ...` of a pointer, 4 of 8 terms are below two.

    So a quadratic form is left with half of the variance, and x^2 in two layers cannot learn it.
    """
    x, y = data.pointer_value_retrieval(3)
    pairs = np.einsum("ni,nj->nij", x, x)[:, *np.triu_indices(x.shape[1])]
    fit = np.linalg.lstsq(pairs, np.asarray(y), rcond=None)[0]
    np.testing.assert_allclose(np.mean((pairs @ fit - y) ** 2), 0.5, rtol=1e-10)


def test_dtype_and_constant():
    """Float64 as switched on by the tests, or the one asked for."""
    x, y = data.pointer_value_retrieval(2, constant=False)
    assert (x.shape[1], x.dtype, y.dtype) == (6, np.float64, np.float64)
    wanted = data.pointer_value_retrieval(2, dtype=jnp.float32)
    assert {part.dtype for part in wanted} == {np.dtype("float32")}


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"pointer_bits": 5}, ValueError, "pointer_bits must be at most 4, got 5"),
        ({"pointer_bits": 10**9}, ValueError, "pointer_bits must be at most 4"),
        ({"pointer_bits": 0}, ValueError, "pointer_bits must be a positive integer, got 0"),
        ({"window": 9}, ValueError, r"window must be at most 2\^pointer_bits = 8, got 9"),
        ({"window": 1.5}, TypeError, "window must be a positive integer, got 1.5"),
        ({"window": 2, "aggregate": "majority"}, ValueError, "window must be odd"),
        ({"aggregate": "sum"}, ValueError, "aggregate must be one of"),
        ({"constant": 1}, TypeError, "constant must be True or False, got 1"),
        ({"dtype": int}, TypeError, "dtype must be a real floating type"),
    ],
)
def test_bad_arguments(arguments, error, message):
    """Errors name the argument."""
    with pytest.raises(error, match=message):
        data.pointer_value_retrieval(**arguments)


def test_split_holds_every_row_once():
    """No row on both sides, each with its target; other keys split otherwise."""
    x = jnp.arange(20.0).reshape(10, 2)
    y = x[:, :1] ** 2
    (ours, values), (others, rest) = data.split(jax.random.key(0), x, y, 7)
    assert (len(ours), len(others)) == (7, 3)
    both = np.concatenate([ours, others])
    np.testing.assert_array_equal(np.sort(both[:, 0]), x[:, 0])
    np.testing.assert_array_equal(np.concatenate([values, rest]), both[:, :1] ** 2)
    again, _ = data.split(jax.random.key(1), x, y, 7)
    assert not np.array_equal(again[0], ours)
    with pytest.raises(ValueError, match="train must leave samples to test on, got 10 of 10"):
        data.split(jax.random.key(0), x, y, 10)
    with pytest.raises(ValueError, match="y must have 10 rows"):
        data.split(jax.random.key(0), x, y[:9], 7)
