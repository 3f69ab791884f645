"""Checks of user input: every message names the argument, what came and what was wanted."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsjax import PolyLeakyReLU, _check, kkt, objectives

NAN = float("nan")


@pytest.mark.parametrize(
    ("check", "good"),
    [
        (_check.positive, [1, 0.5, np.float32(2), np.array(3.0), jnp.array(4)]),
        (_check.non_negative, [0, 0.0, 7, np.int64(1)]),
        (_check.positive_integer, [1, np.int32(5)]),
    ],
)
def test_numbers_come_back_as_python_numbers(check, good):
    """Whatever numeric type came, a float or an int of the same value goes on."""
    for value in good:
        number = check("n", value)
        assert number == value
        assert type(number) is (int if check is _check.positive_integer else float)


@pytest.mark.parametrize(
    ("check", "value", "error", "wanted"),
    [
        (_check.positive, 0, ValueError, "a positive finite number, got 0"),
        (_check.positive, -1e-9, ValueError, "a positive finite number, got -1e-09"),
        (_check.positive, NAN, ValueError, "a positive finite number, got nan"),
        (_check.positive, float("inf"), ValueError, "a positive finite number, got inf"),
        (_check.positive, True, TypeError, "a positive number, got True"),
        (_check.positive, "1", TypeError, "a positive number, got '1'"),
        (_check.positive, None, TypeError, "a positive number, got None"),
        (_check.positive, 1j, TypeError, "a positive number, got 1j"),
        (_check.positive, np.ones(2), TypeError, r"a positive number, got an array of shape \(2,"),
        (_check.non_negative, -1, ValueError, "a finite number >= 0, got -1"),
        (_check.non_negative, NAN, ValueError, "a finite number >= 0, got nan"),
        (_check.non_negative, [1], TypeError, r"a number >= 0, got \[1\]"),
        (_check.positive_integer, 0, ValueError, "a positive integer, got 0"),
        (_check.positive_integer, 1.0, TypeError, "a positive integer, got 1.0"),
        (_check.positive_integer, True, TypeError, "a positive integer, got True"),
    ],
)
def test_numbers_that_are_none(check, value, error, wanted):
    """Zero, signs, NaN, infinity, booleans, strings, complex numbers and arrays."""
    with pytest.raises(error, match=f"^size must be {wanted}"):
        check("size", value)


def test_choice_lists_what_there_is():
    """A string out of the table comes back; another, or no string at all, is refused."""
    assert _check.choice("method", "a", ("a", "b")) == "a"
    for value in ("c", 1, None, ["a"]):
        with pytest.raises(ValueError, match="method must be one of 'a', 'b', got"):
            _check.choice("method", value, ("a", "b"))


def test_function_can_be_called():
    """Only callables pass."""
    assert _check.function("f", abs) is abs
    with pytest.raises(TypeError, match="f must be callable, got 3"):
        _check.function("f", 3)


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        ([[1, 2], [3, 4]], "float64"),
        (np.array([[True, False]]), "float64"),
        (np.ones((2, 1), np.int32), "float64"),
        (np.ones((2, 1), np.float32), "float32"),
        (jnp.ones((1, 1), jnp.bfloat16), "bfloat16"),
    ],
)
def test_matrix_promotes_integers_and_keeps_floats(value, dtype):
    """Integers and booleans become JAX's default float; a floating dtype stays."""
    array = _check.matrix("x", value)
    assert isinstance(array, jax.Array)
    assert str(array.dtype) == dtype
    np.testing.assert_array_equal(np.asarray(array, float), np.asarray(value, float))


@pytest.mark.parametrize(
    ("value", "error", "wanted"),
    [
        (3.0, TypeError, "an array, got 3.0"),
        (None, TypeError, "an array, got None"),
        ("ab", TypeError, "an array, got 'ab'"),
        ([["one"]], TypeError, r"an array of numbers, got \[\['one'\]\]"),
        (np.array([["one"]]), TypeError, r"an array of numbers, got array\(\[\['one'\]\]"),
        ([[1, 2], [3]], TypeError, r"an array of numbers, got \[\[1, 2\], \[3\]\]"),
        ({"a": 1}, TypeError, "an array of numbers, got {'a': 1}"),
        (jax.random.split(jax.random.key(0), (2, 2)), TypeError, "an array of numbers, got dtype"),
        (np.ones((2, 2)) * 1j, TypeError, "real, got dtype complex128"),
        (np.ones(3), ValueError, r"a matrix of rank 2, got shape \(3,\)"),
        (np.ones((1, 2, 3)), ValueError, r"a matrix of rank 2, got shape \(1, 2, 3\)"),
        (np.ones((0, 2)), ValueError, r"not be empty, got shape \(0, 2\)"),
        ([[1.0, NAN], [np.inf, 0]], ValueError, "finite, got 2 NaN or infinite entries of 4"),
    ],
)
def test_matrix_refuses(value, error, wanted):
    """No numbers, not real, of another rank, empty or not finite."""
    with pytest.raises(error, match=f"^x must (be )?{wanted}"):
        _check.matrix("x", value)


def test_matrix_and_vector_of_a_size():
    """Rows, columns and lengths that were asked for."""
    assert _check.matrix("x", np.ones((2, 3)), rows=2, columns=3).shape == (2, 3)
    with pytest.raises(ValueError, match=r"x must have 3 rows, got shape \(2, 3\)"):
        _check.matrix("x", np.ones((2, 3)), rows=3)
    with pytest.raises(ValueError, match=r"x must have 2 columns, got shape \(2, 3\)"):
        _check.matrix("x", np.ones((2, 3)), columns=2)
    assert _check.vector("v", [1, 2], 2).dtype == np.float64
    with pytest.raises(ValueError, match=r"v must have shape \(2,\), got \(2, 1\)"):
        _check.vector("v", np.ones((2, 1)), 2)
    with pytest.raises(ValueError, match="v must be finite, got 1 NaN"):
        _check.vector("v", [NAN, 0], 2)


@pytest.mark.parametrize(
    ("params", "error", "wanted"),
    [
        (np.ones((2, 2)), TypeError, "params must be a tuple of weight matrices, got ndarray"),
        ({"w": 1}, TypeError, "params must be a tuple of weight matrices, got dict"),
        ((np.ones((2, 2)),), ValueError, "params must have at least two weight matrices, got 1"),
        ((np.ones((2, 2)), np.ones(2)), ValueError, r"params\[1\] must be a matrix of rank 2"),
        (
            (np.ones((3, 2)), np.ones((1, 2))),
            ValueError,
            r"params\[1\] must have 3 columns, one for each row of params\[0\], got shape \(1, 2\)",
        ),
        (
            (np.ones((2, 2)), np.full((1, 2), NAN)),
            ValueError,
            r"params\[1\] must be finite, got 2 NaN",
        ),
        (
            (np.ones((2, 2), np.float32), np.ones((1, 2))),
            TypeError,
            r"params must have one dtype, got \['float32', 'float64'\]",
        ),
    ],
)
def test_network_refuses(params, error, wanted):
    """Neither a chain of matrices nor of one dtype, the matrix at fault named by its index."""
    with pytest.raises(error, match=wanted):
        _check.network("params", params)


def test_network_and_samples_come_back_in_the_network_s_dtype():
    """A list of integer matrices is a network; data follow the dtype of its weights."""
    weights = _check.network("params", [[[1, 2]], [[1], [1]]])
    assert isinstance(weights, tuple)
    assert [w.shape for w in weights] == [(1, 2), (2, 1)]
    small = tuple(w.astype(jnp.float32) for w in weights)
    x, y = _check.samples(small, np.ones((3, 2)), np.ones((3, 2), int))
    assert x.dtype == y.dtype == jnp.float32
    with pytest.raises(ValueError, match=r"x must have 2 columns, got shape \(3, 1\)"):
        _check.samples(small, np.ones((3, 1)), np.ones((3, 2)))
    with pytest.raises(ValueError, match="got 3 rows in x and 4 in y"):
        _check.samples(small, np.ones((3, 2)), np.ones((4, 2)))


def test_tree_finite_looks_into_every_leaf():
    """An empty pytree, a leaf that is no array, and NaN deep inside."""
    _check.tree_finite("point", {"a": [np.ones(2)], "b": np.array(1)})
    with pytest.raises(ValueError, match="point must have at least one array"):
        _check.tree_finite("point", {"a": []})
    with pytest.raises(TypeError, match=r"point must be an array, got 1\.0"):
        _check.tree_finite("point", {"a": 1.0})
    with pytest.raises(
        ValueError, match="point must be finite, got 1 NaN or infinite entries of 1"
    ):
        _check.tree_finite("point", {"a": [np.ones(2), np.array(NAN)]})


def test_traced_values_pass_with_their_shapes_checked():
    """Under jit, vmap and grad values are unknown; ranks, sizes and dtypes are still checked."""
    same = jax.jit(lambda x: _check.matrix("x", x))(jnp.full((2, 2), jnp.nan))
    assert bool(jnp.all(jnp.isnan(same)))
    with pytest.raises(ValueError, match=r"x must be a matrix of rank 2, got shape \(2,\)"):
        jax.vmap(lambda x: _check.matrix("x", x))(jnp.ones((3, 2)))
    with pytest.raises(TypeError, match="x must be real, got dtype complex128"):
        jax.jit(lambda x: _check.matrix("x", x))(jnp.ones((2, 2), complex))


def test_neuron_ncf_can_be_differentiated_in_everything():
    """grad in the residual is `v s(u . g)`; vmap over residuals and jit agree with plain calls."""
    rng = np.random.default_rng(0)
    params = (jnp.ones((1, 2)), jnp.ones((1, 1)))
    x, u, v = jnp.asarray(rng.normal(size=(3, 2))), jnp.array([1.0, -2.0]), jnp.array([0.5])
    rs = jnp.asarray(rng.normal(size=(4, 3, 1)))

    def value(r):
        return objectives.neuron_ncf(params, 1, x, r, PolyLeakyReLU(2))(u, v)

    plain = np.array([np.sum(r[:, 0] * 0.5 * np.asarray(x @ u) ** 2) for r in np.asarray(rs)])
    np.testing.assert_allclose(jax.jit(jax.vmap(value))(rs), plain, rtol=1e-13)
    gradient = jax.grad(value)(rs[0])
    np.testing.assert_allclose(gradient[:, 0], 0.5 * np.asarray(x @ u) ** 2, rtol=1e-13)


def test_kkt_residual_can_be_differentiated():
    """`sin(angle(w, a))` for a linear objective: its gradient by central differences, under jit."""
    a = jnp.array([1.0, 2.0, -1.0])
    w = np.array([0.3, 0.1, 0.7])

    def value(w):
        return kkt.residual(jnp.dot, w, args=(a,))

    gradient = jax.jit(jax.grad(value))(w)
    step = 1e-6
    table = jax.jit(jax.vmap(value))(np.concatenate([w + step * np.eye(3), w - step * np.eye(3)]))
    np.testing.assert_allclose(gradient, (table[:3] - table[3:]) / (2 * step), atol=1e-9)
    # At the KKT point itself the residual has a corner; its derivative there is 0, not NaN.
    assert np.all(np.isfinite(jax.jit(jax.grad(value))(np.asarray(a))))


@pytest.mark.parametrize("value", [[0, 1], 3, None, "key", np.ones(2)])
def test_what_is_no_key(value):
    """Lists and numbers, too, whose shape NumPy would tell."""
    with pytest.raises(TypeError, match=r"start must be a PRNG key, such as jax.random.key\(0\)"):
        _check.key("start", value)


VALUE_CHECKS = {
    "finite": (lambda a: _check.finite("a", a), jnp.ones(2), jnp.array([1.0, NAN]), "finite"),
    "matrix": (lambda a: _check.matrix("a", a), jnp.eye(2), jnp.full((2, 2), NAN), "finite"),
    "not_zero": (lambda a: _check.not_zero("a", a), jnp.ones(2), jnp.zeros(2), "zero"),
    "positive": (lambda a: _check.positive("a", a), jnp.array(2.0), jnp.array(-2.0), "positive"),
    "symmetric": (
        lambda a: _check.symmetric("a", a),
        jnp.eye(2)[None],
        jnp.array([[[0.0, 3.0], [0.0, 0.0]]]),
        "symmetric, got entries that differ by 3",
    ),
    "targets": (
        lambda a: _check.targets("logistic", "a", a),
        jnp.array([[1.0], [-1.0]]),
        jnp.array([[2.0]]),
        "labels -1 and 1",
    ),
}


@pytest.mark.parametrize("name", VALUE_CHECKS)
@pytest.mark.parametrize("outer", [jax.jit, jax.vmap, jax.grad])
def test_values_closed_over_are_known_and_checked(name, outer):
    """A transformation of the caller's does not hide the values of arrays that are not its own."""
    check, good, bad, message = VALUE_CHECKS[name]

    def around(value):
        def inner(t):
            check(value)
            return t

        return outer(inner)(jnp.ones(2) if outer is jax.vmap else 1.0)

    around(good)
    with pytest.raises(ValueError, match=f"a must (be |hold |not be )?(a )?{message}"):
        around(bad)


def test_entries_are_looked_at_where_they_lie(monkeypatch):
    """As on an accelerator: on the device, inside the caller's jit too."""
    monkeypatch.setattr(_check, "_on_cpu", lambda array: False)
    for value, wanted in ((jnp.ones(3), True), (jnp.array([1.0, np.inf, NAN]), False)):
        assert _check._all_finite(value) is wanted
        jax.jit(lambda t, v=value, w=wanted: t * (_check._all_finite(v) is w))(1.0)
    with pytest.raises(ValueError, match="a must be finite, got 2 NaN or infinite entries of 3"):
        _check.finite("a", value)


@pytest.mark.parametrize("check", [_check.positive, _check.non_negative, _check.real, _check.share])
@pytest.mark.parametrize("outer", [jax.jit, jax.grad])
def test_a_traced_number_is_refused_by_name(check, outer):
    with pytest.raises(TypeError, match=r"^tol must be a known number, got a traced one"):
        outer(lambda t: jnp.asarray(check("tol", t)))(0.5)


def test_a_factor_may_be_traced():
    """Known ones are checked, traced ones take the dtype of what they multiply."""
    assert _check.positive_factor("scale", np.float32(2), jnp.float32) == 2
    with pytest.raises(ValueError, match="scale must be a positive finite number, got -1"):
        _check.positive_factor("scale", -1, jnp.float32)
    for value in (2, 2.0, np.float64(2)):
        found = jax.jit(lambda s: _check.positive_factor("scale", s, jnp.float32))(value)
        assert (found, found.dtype) == (2, jnp.float32)
    for value in (True, np.ones(2)):
        with pytest.raises(TypeError, match="scale must be"):
            jax.jit(lambda s: _check.positive_factor("scale", s, jnp.float32))(value)


def test_what_is_compiled_for_can_be_called_and_hashed():
    class Unhashable:
        __hash__ = None

        def __call__(self):
            return 0

    assert _check.hashable("loss", len) is len
    with pytest.raises(TypeError, match=r"^loss must be hashable, got"):
        _check.hashable("loss", Unhashable())
    with pytest.raises(TypeError, match=r"^loss must be callable, got \[1\]"):
        _check.hashable("loss", [1])
