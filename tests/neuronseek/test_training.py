import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from nsjax.networks import cp
from nsjax.neuronseek import epochs, penalties, terms, training
from nsjax.neuronseek.results import MESSAGES
from nsjax.neuronseek.training import RULES, Training

TEMPLATE = cp.Template((1, 2), (2,), 2)
SMALL = Training(TEMPLATE, epochs=100, refit_epochs=50, rounds=2, batch=32, learning_rate=0.05)
"""Tests share its programs, for 100 samples and two seeds."""


def keys(count=2, seed=0):
    return jax.random.split(jax.random.key(seed), count)


def samples(n=100, d=2, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (n, d))


def strengths(steps, **numbers):
    given = {"rate": 0.05, "clip": math.inf, "lam_c": 0, "lam_u": 0, "penalty": 0, "gated": 1}
    given |= {"steps": steps} | numbers
    return penalties.Strengths(**{name: jnp.array(float(v)) for name, v in given.items()})


def problem(x, y, loss="square", batch=8, rule="paper", template=TEMPLATE):
    x, y = jnp.array(x), jnp.array(y)
    reference = {
        "square": 0.5 * jnp.sum((y - y.mean(0)) ** 2),
        "logistic": y.size * math.log(2),
        "cross_entropy": len(y) * math.log(y.shape[1]),
    }[loss]
    data = penalties.Data(
        x, y, jnp.array(reference), x[:0], y[:0], jnp.array(1.0), x, jnp.sum(jnp.var(y, axis=0))
    )
    program = penalties.Program(
        template, rule, "term", loss, x.shape[1], y.shape[1], min(batch, len(x)), "float64"
    )
    return program, data


def plain_output(parameters, row):
    """One sample through the neuron, term by term; gates multiply terms."""
    neuron, gates = parameters
    outputs, at = [0.0 + b for b in neuron.bias], 0
    for k in neuron.powers:
        for o, weights in enumerate(neuron.powers[k]):
            outputs[o] += gates[at] * sum(w * v**k for w, v in zip(weights, row, strict=True))
        at += 1
    for order, each in neuron.interactions.items():
        for r in range(each.factors.shape[1]):
            product = gates[at]
            for m in range(order):
                product = product * sum(u * v for u, v in zip(each.factors[m, r], row, strict=True))
            for o in range(len(outputs)):
                outputs[o] += each.coefficients[o, r] * product
            at += 1
    return outputs


def plain_loss(name, outputs, y):
    """Relative loss of one batch, one sample after the other, in NumPy."""
    total = 0.0
    for out, target in zip(np.asarray(outputs), np.asarray(y), strict=True):
        if name == "square":
            total += 0.5 * sum((o - t) ** 2 for o, t in zip(out, target, strict=True))
        elif name == "logistic":
            total += sum(math.log(1 + math.exp(-t * o)) for o, t in zip(out, target, strict=True))
        else:
            total += math.log(sum(math.exp(o) for o in out)) - float(np.dot(out, target))
    return total


def test_batches_hold_every_sample():
    for n, size in ((10, 3), (9, 3), (7, 5)):
        rows = np.asarray(epochs.batches(jax.random.key(n), n, size))
        assert rows.shape == (-(-n // size), size)
        assert sorted(rows.ravel()[:n]) == list(range(n))
        np.testing.assert_array_equal(rows.ravel()[n:], rows.ravel()[: rows.size - n])
    assert epochs.batches(jax.random.key(0), 5, 5) is None


def test_two_epochs_against_a_plain_loop():
    x = samples(21)
    y = x[:, :1] * x[:, 1:] + x[:, :1]
    program, data = problem(x, y)
    lam_c, lam_u, steps = 0.02, 0.03, 2 * 3
    state = epochs.start(program, keys(1), data)
    layout = program.layout
    first = state.weights[0]
    key, orders = state.key[0], []
    for _ in range(2):
        shuffle, _, key = jax.random.split(key, 3)
        orders.append(np.asarray(epochs.batches(shuffle, len(x), 8)))
    after, records = epochs.advance(
        program, 2, state, jnp.ones((1, 4)), data, strengths(steps, lam_c=lam_c, lam_u=lam_u)
    )

    def objective(flat, x, y):
        neuron, gates = layout.tree(flat)
        outputs = jax.vmap(lambda row: jnp.stack(plain_output((neuron, gates), row)))(x)
        loss = jnp.sum((outputs - y) ** 2) / len(x) / jnp.var(data.y)
        u, c = neuron.interactions[2].factors, neuron.interactions[2].coefficients
        sizes = jnp.mean(jnp.abs(neuron.powers[1])) + 4 * jnp.mean(jnp.abs(neuron.powers[2]))
        sizes += 4 * (jnp.mean(jnp.abs(u)) + jnp.mean(jnp.abs(c)))
        return loss + lam_c * jnp.sum(jnp.abs(gates)) + lam_u * sizes, loss

    optimiser = optax.adam(optax.cosine_decay_schedule(0.05, steps))
    gradient = jax.jit(jax.grad(objective, has_aux=True))
    w, moments, losses = first, optimiser.init(first), []
    for order in orders:
        for rows in order:
            slope, loss = gradient(w, data.x[rows], data.y[rows])
            update, moments = optimiser.update(slope, moments)
            w, losses = w + update, [*losses, float(loss)]
    np.testing.assert_allclose(after.weights[0], w, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(records.train[0], np.reshape(losses, (2, 3)).mean(1), rtol=1e-10)


@pytest.mark.parametrize(
    ("n", "loss", "outputs"),
    [
        (9, "square", 2),
        (5, "logistic", 2),
        (4, "cross_entropy", 3),
        pytest.param(2, "square", 1, marks=pytest.mark.slow),
        pytest.param(8, "square", 1, marks=pytest.mark.slow),
        pytest.param(11, "cross_entropy", 3, marks=pytest.mark.slow),
    ],
)
def test_losses_at_several_sizes(n, loss, outputs):
    x, draw = samples(n, 3), np.random.default_rng(n)
    y = {
        "square": draw.normal(size=(n, outputs)),
        "logistic": draw.choice([-1.0, 1.0], (n, outputs)),
        "cross_entropy": np.eye(outputs)[draw.integers(outputs, size=n)],
    }[loss]
    program, data = problem(x, y, loss, batch=4, template=cp.Template((3,), (), 1))
    state = epochs.start(program, keys(1), data)
    parameters = jax.tree.map(np.asarray, program.layout.tree(state.weights[0]))
    rows = epochs.batches(jax.random.split(state.key[0], 3)[0], n, 4)
    rows = np.arange(n)[None] if rows is None else np.asarray(rows)
    _, records = epochs.advance(
        program, 1, state, jnp.ones((1, 1)), data, strengths(10, rate=1e-300)
    )
    outputs = np.array([plain_output(parameters, row) for row in x])
    losses = [
        plain_loss(loss, outputs[batch], y[batch]) / float(data.reference) * n / len(batch)
        for batch in rows
    ]
    np.testing.assert_allclose(records.train[0, 0], np.mean(losses), rtol=1e-10)


@pytest.mark.parametrize("rule", ["hard_concrete", pytest.param("stridge", marks=pytest.mark.slow)])
def test_seeds_together_are_seeds_one_by_one(rule):
    x = samples()
    y = x[:, :1] ** 2 + x[:, :1] * x[:, 1:]
    config = dataclasses.replace(SMALL, rule=rule)
    together = training.run(keys(), x, y, config=config)
    for key, found in zip(keys(), together, strict=True):
        (alone,) = training.run(key[None], x, y, config=config)
        assert terms.counts(alone.neuron) == terms.counts(found.neuron)
        assert alone.history.actions == found.history.actions
        np.testing.assert_allclose(alone.history.train, found.history.train, rtol=1e-7)
        np.testing.assert_allclose(alone.history.shares, found.history.shares, atol=1e-9)
    assert not np.allclose(together[0].history.train, together[1].history.train)


def test_other_seeds_and_strengths_compile_nothing():
    x = samples()
    y = x[:, :1] ** 2
    training.run(keys(), x, y, config=SMALL)
    before = epochs.advance._cache_size()
    for rate, lam_c, seed in ((0.01, 0.0, 1), (0.1, 1.0, 2)):
        config = dataclasses.replace(SMALL, learning_rate=rate, lam_c=lam_c)
        training.run(keys(seed=seed), x, y + seed, config=config)
    assert epochs.advance._cache_size() == before


def test_the_result_in_the_units_of_the_data():
    x, fresh = samples(120), samples(50, seed=1)

    def target(x):
        return 100 + 1e3 * np.stack([x[:, 0] ** 2, x[:, 0] - 2 * x[:, 1] ** 2], axis=1)

    config = Training(TEMPLATE, rule="stridge", epochs=150, refit_epochs=60, learning_rate=0.03)
    calls = []
    (found,) = training.run(
        keys(1),
        x,
        target(x),
        config=config,
        validation=(fresh, target(fresh)),
        test=(fresh, target(fresh)),
        on_epochs=lambda done, losses: calls.append((done, losses.shape)),
    )
    outputs = cp.apply(found.neuron, jnp.array(fresh))
    outputs = np.asarray(outputs)
    error = np.mean(np.sum((outputs - target(fresh)) ** 2, 1)) / np.sum(target(fresh).var(0))
    assert found.test_error == found.validation_error == pytest.approx(error, rel=1e-6)
    assert error < 1e-6
    assert terms.counts(found.neuron) == {"x": 1, "x^2": 1}
    assert (found.result, found.warnings) == (3, ())
    assert found.result in MESSAGES
    assert found.parameters == 2 + 4 + 4
    history = found.history
    assert history.labels == ("x", "x^2", "I2.1", "I2.2")
    assert history.train.shape == history.validation.shape == (150 + 3 * 60 + 60,)
    assert len(history.actions) == len(history.train)
    assert history.shares.shape == (len(history.train), 4)
    assert found.evaluations == len(history.train) * 2
    # Shares are variances over that of the targets; the two powers are nearly uncorrelated.
    assert history.shares[-1] @ [1, 1, 0, 0] == pytest.approx(1, abs=0.1)
    assert np.all(history.shares[-1][2:] == 0)
    assert [done for done, _ in calls][:6] == [30, 60, 90, 120, 150, 30]
    assert calls[-1] == (60, (1,))
    assert any(action.startswith("pruned I2.1") for action in history.actions)
    np.testing.assert_allclose(history.validation[-1], found.test_error, rtol=1e-3, atol=1e-12)


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_fits(rule):
    x = samples()
    y = x[:, :1] ** 2 + x[:, :1] * x[:, 1:]
    config = dataclasses.replace(SMALL, rule=rule)
    for found in training.run(keys(), x, y, config=config):
        assert found.result == 3
        assert found.train_error < 1e-2
        assert math.isnan(found.test_error)


def test_the_threshold_of_the_paper_in_both_gauges():
    x = samples()
    y = x[:, :1] ** 2
    for gauge in ("fixed", "free"):
        for grouping in ("term", "order"):
            config = dataclasses.replace(
                SMALL, gauge=gauge, grouping=grouping, refit_epochs=0, threshold="mean"
            )
            found, _ = training.run(keys(), x, y, config=config)
            kept = terms.counts(found.neuron)
            assert 0 < sum(kept.values()) < 4
            # The two interactions stay or go together when orders are pruned.
            assert grouping == "term" or kept["I2"] in (0, 2)


@pytest.mark.parametrize("loss", ["logistic", "cross_entropy"])
def test_classes(loss):
    x = samples(200)
    right = x[:, 0] * x[:, 1] > 0
    y = np.where(right, 1.0, -1.0)[:, None]
    if loss == "cross_entropy":
        y = np.stack([right, ~right], axis=1).astype(float)
    config = Training(TEMPLATE, epochs=60, batch=50, learning_rate=0.05)
    found, _ = training.run(keys(), x, y, config=config, loss=loss)
    assert found.train_error < 0.05
    assert found.history.train[-1] < 0.5


def test_unstable_training_is_named_and_comes_back_finite():
    x = 1e3 * samples(2)
    config = Training(cp.Template((5,), (), 1), epochs=8, refit_epochs=0, learning_rate=1e200)
    (found,) = training.run(keys(1), x, x[:, :1] ** 5 + x[:, :1], config=config)
    assert found.result == 4
    assert "training is unstable" in found.warnings[0]
    assert "2 targets for 3 parameters" in found.warnings[-1]
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(found.neuron))


def test_a_neuron_without_terms():
    x = samples()
    config = dataclasses.replace(SMALL, rule="group_lasso", penalty=50.0)
    found, _ = training.run(keys(), x, x[:, :1] ** 2 + 7, config=config)
    assert found.result == 5
    assert "everything was pruned" in found.warnings[0]
    assert cp.parameters(found.neuron) == 1
    assert found.train_error == pytest.approx(1, abs=0.2)


def test_float32_inside_double_outside():
    x = samples()
    config = Training(cp.Template((2,), (), 1), epochs=5, refit_epochs=0, dtype="float32")
    (found,) = training.run(keys(1), x, x[:, :1] ** 2, config=config)
    assert found.neuron.powers[2].dtype == jnp.float64
    assert found.history.train.dtype == np.float32


def test_only_the_paper_has_one_coefficient_of_an_order():
    """By default; either can be asked for, and a rule changed afterwards has its own."""
    paper = Training()
    assert (paper.rule, paper.goes, paper.gauge) == ("paper", "order", "free")
    assert dataclasses.replace(paper, rule="contribution").goes == "term"
    assert Training(grouping="term").goes == "term"
    assert Training(rule="stridge", grouping="order").goes == "order"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"rule": "lasso"}, "rule must be one of"),
        ({"template": (1, 2)}, "template must be a cp.Template"),
        ({"threshold": "median"}, "threshold must be one of"),
        ({"threshold": -1.0}, "threshold must be"),
        ({"epochs": 0}, "epochs must be"),
        ({"refit_epochs": -1}, "refit_epochs must be"),
        ({"batch": 0}, "batch must be"),
        ({"learning_rate": 0.0}, "learning_rate must be"),
        ({"clip": -1.0}, "clip must be"),
        ({"lam_u": -1.0}, "lam_u must be"),
        ({"dtype": "float16"}, "dtype must be one of"),
        ({"gauge": "loose"}, "gauge must be one of"),
        ({"grouping": "all"}, "grouping must be one of"),
    ],
)
def test_bad_settings_are_refused(settings, said):
    with pytest.raises((TypeError, ValueError), match=said):
        Training(**settings)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"keys": jax.random.key(0)}, r"keys must be PRNG keys of shape \(seeds,\).*shape \(\)"),
        ({"keys": np.zeros(2)}, "keys must be PRNG keys"),
        ({"x": np.full((9, 2), np.nan)}, "x must be finite"),
        ({"y": np.ones((9, 1))}, "y must vary"),
        ({"y": np.ones((8, 1))}, "one row per sample, got 9 rows in x and 8 in y"),
        ({"y": np.arange(9.0)}, "y must be a matrix"),
        ({"loss": "hinge"}, "loss must be one of"),
        ({"loss": "logistic"}, "labels -1 and 1"),
        ({"config": {"rule": "paper"}}, "config must be a Training, got dict"),
        ({"validation": (samples(9, 3), samples(9, 1))}, r"validation\[0\] must have 2 columns"),
        ({"test": (samples(9, 2), samples(9, 2))}, r"test\[1\] must have 1 columns"),
    ],
)
def test_bad_input_is_refused(change, said):
    given = {"keys": keys(), "x": samples(9), "y": samples(9, 1)} | change
    with pytest.raises((TypeError, ValueError), match=said):
        training.run(given.pop("keys"), given.pop("x"), given.pop("y"), **given)
