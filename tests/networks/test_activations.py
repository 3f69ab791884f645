"""Polynomial leaky ReLU: values, what kind of function it is, and what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsjax import PolyLeakyReLU

T = np.array([-2.0, -0.5, -0.0, 0.0, 0.3, 1.7])


@pytest.mark.parametrize("p", [1, 2, 3])
@pytest.mark.parametrize("slope", [-1.0, 0.0, 0.3, 1.0])
def test_values_follow_the_definition(p, slope):
    """`s(t) = t^p` for t > 0 and `(a t)^p` below, the two branches written out in NumPy."""
    wanted = np.where(T > 0, T**p, (slope * T) ** p)
    np.testing.assert_allclose(PolyLeakyReLU(p, slope)(jnp.asarray(T)), wanted, rtol=1e-15)


@pytest.mark.parametrize("p", [1, 2, 3])
@pytest.mark.parametrize("slope", [-1.0, 0.0, 0.3, 1.0])
def test_derivative_off_zero(p, slope):
    """`s'(t) = p t^(p-1)` for t > 0 and `p a^p t^(p-1)` below."""
    t = T[T != 0]
    wanted = p * t ** (p - 1) * np.where(t > 0, 1, slope**p)
    derivative = jax.vmap(jax.grad(PolyLeakyReLU(p, slope)))(jnp.asarray(t))
    np.testing.assert_allclose(derivative, wanted, rtol=1e-14, atol=1e-15)


def test_a_large_slope_below_minus_one_is_still_the_larger_branch():
    """Any `a <= 1` is allowed: `max(t, -3 t)` is `-3 t` for negative t."""
    assert PolyLeakyReLU(1, -3)(jnp.array([-2.0, 2.0])).tolist() == [6.0, 2.0]


def test_equal_activations_hash_alike():
    """Numbers of any type give the same object, so that a static argument never traces twice."""
    same = [PolyLeakyReLU(2, 1), PolyLeakyReLU(np.int64(2), 1.0), PolyLeakyReLU(2, np.float32(1))]
    assert len(set(same)) == 1
    assert len({*same, PolyLeakyReLU(3, 1.0), PolyLeakyReLU(2, 0.0)}) == 3
    assert type(same[1].p) is int
    assert type(same[2].slope) is float
    with pytest.raises(AttributeError):
        same[0].p = 3


@pytest.mark.parametrize(
    ("p", "slope", "smooth", "analytic"),
    [
        (1, 1.0, True, True),
        (1, 0.0, False, False),
        (1, 0.3, False, False),
        (1, -1.0, False, False),
        (2, 1.0, True, True),
        (2, 0.0, True, False),
        (2, -1.0, True, True),
        (3, -1.0, True, False),
        (3, 1.0, True, True),
    ],
)
def test_smooth_and_analytic(p, slope, smooth, analytic):
    """A kink only at p = 1; a polynomial for slope 1, and for |t|^p with p even."""
    activation = PolyLeakyReLU(p, slope)
    assert (activation.degree, activation.smooth, activation.analytic) == (p, smooth, analytic)
    t = jnp.array([-1e-9, 1e-9])
    one_sided = jax.vmap(jax.grad(activation))(t)
    assert bool(jnp.abs(one_sided[0] - one_sided[1]) < 1e-6) == smooth


@pytest.mark.parametrize("p", [True, 2.0, "2", None])
def test_a_degree_that_is_no_integer_is_a_type_error(p):
    """The message names p, what came and what was wanted."""
    with pytest.raises(TypeError, match="p must be a positive integer, got"):
        PolyLeakyReLU(p)


@pytest.mark.parametrize("p", [0, -1])
def test_a_degree_below_one_is_a_value_error(p):
    """The message names p and the number that came."""
    with pytest.raises(ValueError, match=f"p must be a positive integer, got {p}"):
        PolyLeakyReLU(p)


@pytest.mark.parametrize("slope", [1.0001, float("nan"), float("inf"), -float("inf")])
def test_a_slope_above_one_or_not_finite_is_a_value_error(slope):
    """The message names the slope and the number that came."""
    with pytest.raises(ValueError, match=f"slope must be finite and at most 1, got {slope}"):
        PolyLeakyReLU(2, slope)


@pytest.mark.parametrize("slope", [True, "0.5", None, 1j])
def test_a_slope_that_is_no_real_number_is_a_type_error(slope):
    """The message names the slope."""
    with pytest.raises(TypeError, match="slope must be a real number"):
        PolyLeakyReLU(2, slope)
