import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from nsjax.neuronseek import thresholds


def test_mean_minus_std_by_hand():
    # mean 1/3, population std sqrt(2)/3: negative, so that even zeros stay.
    kept, cut = thresholds.above([1.0, 0.0, 0.0], "mean_minus_std")
    assert cut == pytest.approx((1 - math.sqrt(2)) / 3)
    assert cut < 0
    assert kept.tolist() == [True, True, True]
    # mean 2, std sqrt(2): 0.586.
    kept, cut = thresholds.above([4.0, 2.0, 2.0, 0.5, 1.5], "mean_minus_std")
    assert cut == pytest.approx(2 - math.sqrt((4 + 0 + 0 + 2.25 + 0.25) / 5))
    assert kept.tolist() == [True, True, True, False, True]


def test_mean_and_fraction_by_hand():
    kept, cut = thresholds.above([3.0, 1.0, 2.0], "mean")
    assert (cut, kept.tolist()) == (2.0, [True, False, True])
    kept, cut = thresholds.above([3.0, 1.0, 2.0], 0.5)
    assert (cut, kept.tolist()) == (1.5, [True, False, True])
    assert thresholds.above([3.0, 1.0, 0.0], 0.0)[0].tolist() == [True, True, False]


@pytest.mark.parametrize("statistic", ["mean_minus_std", "mean", 1.0])
def test_equal_values_all_stay(statistic):
    assert thresholds.above([0.1] * 7, statistic)[0].all()


@given(st.lists(st.floats(0, 1e3), min_size=1, max_size=12), st.floats(1e-3, 1e3))
def test_thresholds_do_not_depend_on_units(values, unit):
    for statistic in ("mean_minus_std", "mean", 0.3):
        cut = thresholds.threshold(values, statistic)
        scaled = thresholds.threshold(np.multiply(values, unit), statistic)
        assert scaled == pytest.approx(cut * unit, rel=1e-9, abs=1e-9 * max(values) * unit)


@pytest.mark.parametrize("statistic", ["median", -0.1, math.nan, True])
def test_bad_statistics_are_refused(statistic):
    with pytest.raises((TypeError, ValueError), match="statistic"):
        thresholds.threshold([1.0], statistic)


def test_grouped_by_hand():
    assert thresholds.grouped([3.0, 4.0, 2.0], [0, 0, 1]).tolist() == [5.0, 2.0]


def test_hard_concrete_closed_forms():
    log_alpha = jnp.array([-4.0, 0.0, math.log(9.0), 6.0])
    a = np.asarray(log_alpha)
    # P(z > 0) = P(s > 0.1 / 1.2), s = sigmoid((logit(u) + log alpha) / 0.66).
    cut = 0.1 / 1.2
    wanted = 1 - expit(0.66 * math.log(cut / (1 - cut)) - a)
    np.testing.assert_allclose(thresholds.gate_open(log_alpha), wanted, rtol=1e-12)
    np.testing.assert_allclose(
        thresholds.gate_mean(log_alpha), np.clip(1.2 * expit(a) - 0.1, 0, 1), rtol=1e-12
    )
    assert float(thresholds.gate_mean(jnp.array(thresholds.OPEN))) == pytest.approx(0.98)
    u = np.array([0.5, 0.01, 0.4, 0.9])
    s = expit((np.log(u / (1 - u)) + a) / 0.66)
    np.testing.assert_allclose(
        thresholds.gate_sample(log_alpha, jnp.array(u)), np.clip(1.2 * s - 0.1, 0, 1), rtol=1e-10
    )


def test_gates_are_open_as_often_as_their_probability_says():
    log_alpha = jnp.array([-2.0, -0.5, 1.0])
    uniform = jax.random.uniform(jax.random.key(0), (40_000, 3))
    gates = thresholds.gate_sample(log_alpha, uniform)
    assert float(gates.min()) == 0
    assert float(gates.max()) == 1
    np.testing.assert_allclose(
        jnp.mean(gates > 0, axis=0), thresholds.gate_open(log_alpha), atol=0.01
    )


def test_ramp():
    times = np.array([0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(thresholds.ramp(times), [0, 0, 0.5, 1, 1])


@given(st.floats(0, 10), st.floats(0, 10))
def test_shrinkage_is_the_proximal_step(norm, by):
    # argmin_t 1/2 (t - norm)^2 + by t over t >= 0.
    factor = float(thresholds.shrinkage(jnp.array(norm), jnp.array(by)))
    assert factor * norm == pytest.approx(max(norm - by, 0), abs=1e-12)
