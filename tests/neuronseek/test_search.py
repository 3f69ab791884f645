import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsjax.data import polynomial_task
from nsjax.networks.bases import BASES, Basis, register_basis
from nsjax.networks.cp import CPNeuron, CPTerms
from nsjax.neuronseek import Config, Formula, Structure, search
from nsjax.neuronseek.recovery import recovery

SMALL = Config(powers=(1, 2, 3), interactions=(2, 3), starts=8)
KEY = jax.random.key(0)


def normal(seed, n=400, d=5):
    return np.random.default_rng(seed).standard_normal((n, d))


def low_rank(seed, d=5):
    """`u.x + (v.x)(w.x)`, as a formula."""
    u, v, w = np.random.default_rng(seed).standard_normal((3, d))
    terms = CPTerms(np.ones((1, 1)), np.stack([v, w])[:, None])
    return Formula(CPNeuron(np.array([0.5]), {1: u[None]}, {2: terms}, {}))


def dense(seed, d=5):
    """All weights of `x`, `x^2` and `x_i x_j`."""
    rng = np.random.default_rng(seed)
    u, a = rng.standard_normal((2, 1, d))
    matrix = rng.standard_normal((d, d))
    terms = CPTerms(np.ones((1, d)), np.stack([np.eye(d), matrix]))
    return Formula(CPNeuron(np.array([1.0]), {1: u, 2: a}, {2: terms}, {}))


def sparse(d=5):
    """`2 x0 - x2^3 - 3 x1 x2`."""
    e = np.eye(d)
    terms = CPTerms(np.full((1, 1), -3.0), np.stack([e[1], e[2]])[:, None])
    return Formula(CPNeuron(np.zeros(1), {1: 2 * e[:1], 3: -e[2:3]}, {2: terms}, {}))


def test_a_sparse_formula_is_found_to_rounding():
    x, truth = normal(1), sparse()
    steps = []
    found = search(
        KEY,
        x,
        np.asarray(truth(x))[:, 0],
        config=SMALL,
        test=(normal(2), truth(normal(2))),
        inputs=("a", "b", "c", "d", "e"),
        targets=("z",),
        on_step=steps.append,
    )
    assert found.formula.to_text() == "z = 2 a - c^3 - 3 b c"
    named = Formula(truth.neuron, found.formula.inputs, ("z",))
    assert found.formula.equivalent(named, 1e-9)
    assert found.formula.structure() == truth.structure()
    assert found.result == 0
    assert found.warnings == ()
    for error in (found.train_error, found.validation_error, found.test_error):
        assert error < 1e-24
    assert len(steps) == len(found.history.actions) == len(found.history.train)
    assert steps[-1].startswith("refitted to all samples")
    assert found.parameters == 4
    np.testing.assert_allclose(found.history.shares.shape, (len(steps), 3))


@pytest.mark.parametrize("make", [low_rank, dense])
def test_products_of_projections_are_found_to_rounding(make):
    x, truth = normal(3), make(7)
    found = search(KEY, x, truth(x), config=SMALL, test=(normal(2), truth(normal(2))))
    assert found.formula.structure() == truth.structure()
    assert found.formula.equivalent(truth, 1e-7)
    assert found.test_error < 1e-20


def test_the_size_of_the_data_does_not_matter():
    x, truth = normal(1), sparse()
    y = np.asarray(truth(x))
    sizes = np.array([1e-6, 1, 1e6, 1e3, 1e-3])
    found = search(KEY, x * sizes, 1e8 * y, config=SMALL)
    neuron = found.formula.neuron
    np.testing.assert_allclose(neuron.powers[1][0, 0], 2e14, rtol=1e-9)
    np.testing.assert_allclose(neuron.powers[3][0, 2], -1e-10, rtol=1e-9)


def test_many_keys_are_many_calls():
    x = normal(4)
    y = x[:, 0] - 2 * x[:, 1] * x[:, 2] + 0.05 * np.random.default_rng(0).standard_normal(400)
    keys = jax.random.split(jax.random.key(3), 2)
    both = search(keys, x, y, config=SMALL)
    assert isinstance(both, list)
    for key, found in zip(keys, both, strict=True):
        alone = search(key, x, y, config=SMALL)
        assert alone.formula == found.formula
        assert alone.evaluations == found.evaluations
        assert found.formula.structure() == Structure((1,), ((2, 1),), ())
        # Held-out samples have been seen by the last fit, not by this number.
        assert 0 < found.validation_error < 0.01
        assert 0 < found.resolution < 0.01
        assert "could not be told from noise" in found.resolution_message
        assert f"{found.resolution:.1g}" in found.resolution_message


def test_validation_samples_judge():
    x, fresh, truth = normal(5), normal(6, n=100), sparse()
    found = search(KEY, x, truth(x), config=SMALL, validation=(fresh, truth(fresh)))
    assert found.formula.equivalent(truth, 1e-9)
    assert found.validation_error < 1e-24


def test_outputs_share_a_product():
    x = normal(7)
    product = x[:, 0] * x[:, 1]
    y = np.stack([product + x[:, 2], -2 * product, x[:, 3] ** 2], axis=1)
    found = search(KEY, x, y, config=SMALL)
    assert found.formula.to_text() == "y0 = x2 + x0 x1\ny1 = -2 x0 x1\ny2 = x3^2"


@pytest.mark.parametrize(
    "loss", ["logistic", pytest.param("cross_entropy", marks=pytest.mark.slow)]
)
def test_classes_of_a_quadratic(loss):
    x, fresh = normal(8, n=600, d=4), normal(9, n=600, d=4)
    classes, others = ((z[:, 0] * z[:, 1] > 0).astype(int) for z in (x, fresh))
    config = Config(powers=(1, 2), interactions=(2,), starts=8)
    y, test = (2.0 * classes - 1, 2.0 * others - 1) if loss == "logistic" else (classes, others)
    found = search(KEY, x, y, config=config, loss=loss, test=(fresh, test))
    assert found.test_error < 0.03
    assert found.formula.c == (1 if loss == "logistic" else 2)
    assert found.formula.structure().interactions[0][0] == 2


@pytest.mark.slow
def test_bases_that_are_allowed_are_found():
    register_basis(Basis("wave", lambda t: jnp.cos(t) + t, "wave({})", r"\mathrm{wave}({})"))
    try:
        x = normal(10, n=600)
        u = np.array([1.5, -1.0, 0.0, 0.5, 2.0])
        config = Config(powers=(1,), interactions=(2,), bases=("sine", "wave"), starts=24)
        found = search(KEY, x, x[:, 0] + 2 * np.sin(x @ u), config=config)
        assert found.formula.structure() == Structure((1,), (), (("sine", 1),))
        assert found.train_error < 1e-20
        found = search(KEY, x, 2 * (np.cos(x @ u) + x @ u), config=config)
        assert found.train_error < 1e-20
    finally:
        BASES.pop("wave")


def test_noise_gives_a_constant_and_says_so():
    constant = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        x, y = rng.standard_normal((400, 5)), rng.standard_normal(400)
        found = search(jax.random.key(seed), x, y, config=SMALL)
        said = any("everything was pruned" in warning for warning in found.warnings)
        assert said == (str(found.formula.structure()) == "constant")
        constant += said
    assert constant >= 9


def test_failure_signatures():
    x = normal(11)
    linear = search(KEY, x, x @ np.arange(1.0, 6) + 0.01 * x[:, 0] ** 2, config=SMALL)
    assert any("near-linear" in warning for warning in linear.warnings)
    few = search(KEY, normal(12, n=20, d=50), normal(13, n=20, d=1), config=SMALL)
    assert any("20 samples of 50 features" in warning for warning in few.warnings)


def test_tiny_sets_have_samples_to_judge_on():
    """Of 16 samples of noise, formulas of dozens of numbers would fit all."""
    for seed in range(4):
        x, y = normal(seed, n=16, d=3), normal(100 + seed, n=16, d=3)
        found = search(jax.random.key(seed), x, y, config=SMALL)
        assert np.isfinite(found.validation_error)
        assert not any("no held-out samples" in warning for warning in found.warnings)
        assert found.parameters <= 16
    few = search(KEY, normal(4, n=15, d=3), normal(5, n=15, d=1), config=SMALL)
    assert any("no held-out samples" in warning for warning in few.warnings)


def test_sorted_and_rare_targets():
    x = normal(14, n=3000)
    x = x[np.argsort(x[:, 0])]
    config = Config(powers=(1,), interactions=(2,), sources=("powers",))
    found = search(KEY, x, (x[:, 0] > 0).astype(int), config=config, loss="cross_entropy")
    assert found.train_error < 0.05
    # Whatever is held out, what is fitted varies.
    rare = np.zeros(40)
    rare[3] = 1.0
    for seed in range(4):
        found = search(jax.random.key(seed), normal(15, n=40), rare, config=config)
        assert np.isfinite(found.train_error)


SINGLE = """
import jax, numpy as np
from nsjax.neuronseek import search
x = np.random.default_rng(0).standard_normal((400, 5))
found = search(jax.random.key(0), x, 2 * x[:, 0] - 3 * x[:, 1] * x[:, 2] + x[:, 3] ** 3)
assert found.train_error < 1e-9, found.train_error
assert str(found.formula.structure(tol=1e-4)) == "x + x^3 + I2", found.formula.to_text()
"""


@pytest.mark.slow
def test_single_precision():
    settings = os.environ | {"JAX_ENABLE_X64": "0"}
    subprocess.run([sys.executable, "-W", "error", "-c", SINGLE], env=settings, check=True)


@pytest.mark.slow
@pytest.mark.parametrize("d", [5, 10])
@pytest.mark.parametrize("kind", ["sparse", "low-rank", "dense"])
def test_the_first_targets_are_found_from_every_seed(kind, d):
    """The first experiment of NeuronSeek, with the default search."""
    for seed in range(10):
        key, data_key = jax.random.split(jax.random.key(seed))
        task = polynomial_task(data_key, kind, 2000, d)
        x, y = task.x[:1000], task.y[:1000]
        found = search(key, x, y, test=(task.x[1000:], task.clean[1000:]))
        assert found.test_error < 1e-10
        assert recovery(found.formula, task.truth, tol=1e-5).exact


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["I3", "x^2 + I2"])
def test_structure_in_thirty_inputs_with_noise(kind):
    rng = np.random.default_rng(0)
    x, d = normal(16, n=3000, d=30), 30
    u = rng.standard_normal((3, d)) / np.sqrt(d)
    if kind == "I3":
        y = np.prod(x @ u.T, axis=1)
    else:
        y = np.sum(x**2, axis=1) / d + np.prod(x @ u[:2].T, axis=1)
    y = y + 0.05 * np.std(y) * rng.standard_normal(3000)
    found = search(KEY, x, y)
    assert str(found.formula.structure(tol=1e-6)) == kind
    assert found.train_error < 0.01
