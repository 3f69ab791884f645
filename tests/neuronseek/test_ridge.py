import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsjax.neuronseek import Ridge, search

SMALL = Ridge(powers=(1, 2, 3), interactions=(2, 3), rank=2)


def wavy(seed, n=300):
    """Targets that no polynomial is: a step and a wave, with noise."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 3))
    clean = np.tanh(x[:, :1] * x[:, 1:2]) + np.sin(x[:, 2:])
    return x, clean + 0.1 * rng.standard_normal((n, 1))


@pytest.fixture(scope="module")
def fitted():
    return search(jax.random.key(0), *wavy(0), SMALL, test=wavy(1, 2000))


def test_a_template_predicts_better_than_its_powers_alone(fitted):
    x, y = wavy(0)
    fresh, targets = wavy(1, 2000)

    def streams(x):
        return np.concatenate([np.ones((len(x), 1)), x, x**2, x**3], axis=1)

    weights = np.linalg.lstsq(streams(x), y, rcond=None)[0]
    alone = np.mean((streams(fresh) @ weights - targets) ** 2) / np.var(targets)
    assert fitted.test_error < 0.6 * alone
    assert fitted.message == "the template was fitted"


def test_the_history_follows_penalties_and_steps(fitted):
    actions = fitted.history.actions
    assert actions[0] == "began with a constant"
    assert {action.split()[-1] for action in actions[1:-1]} == {"0.3", "0.1", "0.03"}
    assert actions[-1].endswith("refitted to all samples")
    assert set(fitted.history.labels) >= {"x", "x^2", "x^3", "I2.1", "I3.2"}
    # What held-out samples said of the best look is reported, there in units of their own variance.
    least = np.nanmin(fitted.history.validation[:-1])
    assert fitted.validation_error == pytest.approx(least, rel=0.3)


def test_predictions_stay_among_the_targets_seen(fitted):
    _, y = wavy(0)
    np.testing.assert_allclose(fitted.bounds, [[y.min()], [y.max()]])
    far = 100 * jnp.ones((1, 3))
    assert not y.min() <= float(fitted.formula(far)[0, 0]) <= y.max()
    assert float(fitted.predict(far)[0, 0]) in (pytest.approx(y.min()), pytest.approx(y.max()))
    inside = np.zeros((1, 3))
    np.testing.assert_array_equal(fitted.predict(inside), fitted.formula(inside))


def test_a_strong_penalty_takes_terms_out():
    x, y = wavy(2)
    strong, weak = (
        search(jax.random.key(0), x, y, Ridge((1,), (2, 3), 3, penalties=(penalty,)))
        for penalty in (1e3, 0.1)
    )
    assert not any(order > 1 for order in strong.formula.neuron.interactions)
    assert strong.parameters < weak.parameters


def test_larger_penalties_are_tried_where_none_is_better_than_a_constant():
    """Small and noisy: a template of the given penalties fits the noise."""
    x = jax.random.normal(jax.random.key(0), (1120, 8))
    y = x[:, :1] + 1.5 * jax.random.normal(jax.random.key(1), (1120, 1))
    config = Ridge(powers=(1, 2, 3), interactions=(2, 3), rank=2, penalties=(0.03,))
    found = search(jax.random.key(2), x[:120], y[:120], config, test=(x[120:], y[120:]))
    penalties = {words.split()[-1] for words in found.history.actions if "steps with" in words}
    assert len(penalties) > 1
    assert found.test_error < 1.05


def test_classes_and_bases():
    x, y = wavy(3)
    labels = (y[:, 0] > 0).astype(int)
    settings = Ridge((1, 2), (2,), 2, ("sine",), penalties=(0.1,), strides=3)
    found = search(jax.random.key(0), x, labels, settings, loss="cross_entropy")
    assert found.train_error < 0.15
    assert np.all(np.isinf(found.bounds))
    assert "sine" in found.formula.neuron.bases


@pytest.mark.parametrize(
    ("setting", "error", "message"),
    [
        ({"rank": 0}, ValueError, "rank"),
        ({"powers": (0,)}, ValueError, "powers"),
        ({"penalties": ()}, TypeError, "penalties"),
        ({"penalties": (0.1, -1.0)}, ValueError, "penalties"),
        ({"stride": 0}, ValueError, "stride"),
        ({"bases": ("cosinus",)}, ValueError, "bases"),
        ({"holdout": 1.0}, ValueError, "holdout"),
    ],
)
def test_bad_settings_are_named(setting, error, message):
    with pytest.raises(error, match=message):
        Ridge(**setting)
