from collections import namedtuple

import jax.numpy as jnp
import numpy as np
import pytest

from nsjax.networks.cp import CPNeuron, CPTerms
from nsjax.neuronseek import signatures

Result = namedtuple("Result", "neuron train_error validation_error test_error")
NOTHING = CPNeuron(jnp.zeros(1), {}, {}, {})
SQUARE = CPNeuron(jnp.zeros(1), {2: jnp.ones((1, 2))}, {}, {})
PRODUCT = CPNeuron(jnp.zeros(1), {}, {2: CPTerms(jnp.ones((1, 1)), jnp.eye(2)[:, None])}, {})


def test_everything_pruned():
    zero = CPNeuron(jnp.zeros(1), {1: jnp.zeros((1, 2))}, {}, {})
    for neuron in (NOTHING, zero):
        assert "everything was pruned" in signatures.everything_pruned(neuron)
    assert signatures.everything_pruned(SQUARE) is None


def test_near_linear():
    x = np.random.default_rng(0).uniform(-1, 1, (400, 2))
    linear = x @ [[1.0], [2.0]] + 3
    assert "near-linear" in signatures.near_linear(x, linear)
    assert "99." in signatures.near_linear(x, linear + 0.1 * x[:, :1] ** 2)
    # A cube on [-1, 1] is linear to 84 %.
    for outputs in (x[:, :1] ** 3, x[:, :1] ** 2, 0 * linear + 1, linear * np.nan):
        assert signatures.near_linear(x, outputs) is None
    # As many samples as weights: a linear fit says nothing.
    assert signatures.near_linear(x[:3], linear[:3]) is None


@pytest.mark.parametrize(
    ("losses", "said"),
    [
        ([1.0, np.nan, 0.1], "not finite in epoch 2"),
        ([1.0, 0.5, np.inf], "not finite in epoch 3"),
        ([1.0, 0.5, 3.0], "above 1 after the first"),
        ([1.0, 1e-4, 0.5], "far above its best"),
    ],
)
def test_unstable_training(losses, said):
    assert said in signatures.unstable(losses)


@pytest.mark.parametrize("losses", [[1.0], [], [1.0, 0.5, 0.6], [1.0, 1e-9, 1e-5]])
def test_stable_training(losses):
    assert signatures.unstable(losses) is None


def test_negative_threshold():
    assert "negative (-0.138)" in signatures.negative_threshold(-0.138, 3)
    assert signatures.negative_threshold(0.0, 3) is None


def test_few_samples():
    assert "20 targets for 30 parameters" in signatures.few_samples(30, 20, 5)
    assert "4 samples of 5 features" in signatures.few_samples(3, 4, 5)
    assert signatures.few_samples(30, 20, 5, outputs=2) is None


def test_over_seeds():
    alike = [Result(SQUARE, 1e-3, np.nan, error) for error in (1e-3, 5e-3)]
    assert signatures.over_seeds(alike) == ()
    assert signatures.over_seeds(alike[:1]) == ()
    (spread,) = signatures.over_seeds([*alike, Result(SQUARE, 1e-3, np.nan, 0.1)])
    assert "high variance over 3 seeds: test errors from 0.001 to 0.1" in spread
    (two,) = signatures.over_seeds([alike[0], alike[1]._replace(neuron=PRODUCT)])
    assert "2 different structures" in two
    exact = [Result(SQUARE, 0, np.nan, error) for error in (1e-30, 1e-15)]
    assert signatures.over_seeds(exact) == ()


def test_over_seeds_falls_back_on_training_errors():
    results = [Result(SQUARE, error, np.nan, np.nan) for error in (1e-3, 1.0)]
    assert "train errors" in signatures.over_seeds(results)[0]


def test_collect():
    assert signatures.collect(None, "a", None, "b") == ("a", "b")
