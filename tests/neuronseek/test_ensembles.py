import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from nsjax.neuronseek.architectures import TaskMLP
from nsjax.neuronseek.ensembles import EnsembleTraining, train_ensemble
from nsjax.neuronseek.layers import LayerTerms

KEYS = jax.random.split(jax.random.key(0), 3)
SHORT = EnsembleTraining(epochs=60, batch=16, patience=60)


def samples(lanes=3, n=64, m=32, seed=0):
    x = jax.random.normal(jax.random.key(seed), (lanes, n + m, 2), jnp.float64)
    y = x[..., :1] - 2 * x[..., 1:] + 0.5
    return (x[:, :n], y[:, :n]), (x[:, n:], y[:, n:])


def test_linear_networks_come_to_least_squares():
    train, held = samples()
    config = EnsembleTraining(epochs=300, batch=16, patience=300)
    found = train_ensemble(
        KEYS, nn.Dense(1, param_dtype=jnp.float64), train, held, learning_rate=0.03, config=config
    )
    kernel = found.params["params"]["kernel"]
    np.testing.assert_allclose(kernel, np.broadcast_to([[1.0], [-2.0]], (3, 2, 1)), atol=1e-3)
    assert found.train.shape == found.validation.shape == (3, 300)
    best = np.nanargmin(found.validation, axis=1)
    np.testing.assert_array_equal(found.best, best + 1)
    outputs = jax.vmap(nn.Dense(1, param_dtype=jnp.float64).apply)(found.params, held[0])
    losses = 0.5 * np.mean(np.sum((np.asarray(outputs) - held[1]) ** 2, axis=2), axis=1)
    np.testing.assert_allclose(losses, np.min(found.validation, axis=1), rtol=1e-6)


def test_an_epoch_is_that_of_optax():
    """One lane, full batches: the same steps as a plain loop."""
    train, held = samples(1)
    module = nn.Dense(1, param_dtype=jnp.float64)
    config = EnsembleTraining(epochs=20, batch=64, patience=20)
    options = {"learning_rate": 0.02, "weight_decay": 0.1}
    found = train_ensemble(KEYS[:1], module, train, held, config=config, **options)
    solver = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.adamw(optax.cosine_decay_schedule(0.02, 20), weight_decay=0.1),
    )
    params = module.init(jax.random.split(KEYS[0])[0], train[0][0][:1])
    state = solver.init(params)

    def loss(params):
        return 0.5 * jnp.mean(jnp.sum((module.apply(params, train[0][0]) - train[1][0]) ** 2, 1))

    for epoch in range(20):
        value, slope = jax.value_and_grad(loss)(params)
        np.testing.assert_allclose(found.train[0, epoch], value, rtol=1e-7)
        updates, state = solver.update(slope, state, params)
        params = optax.apply_updates(params, updates)


def test_lanes_do_not_know_of_each_other():
    train, held = samples()
    module = TaskMLP((4,), 1, LayerTerms(((1, 1.0), (2, 1.0))), param_dtype=jnp.float64)
    rates = np.array([1e-3, 1e-2, 3e-2])
    together = train_ensemble(KEYS, module, train, held, learning_rate=rates, config=SHORT)
    one = [jax.tree.map(lambda each: each[1:2], pair) for pair in (train, held)]
    alone = train_ensemble(KEYS[1:2], module, *one, learning_rate=1e-2, config=SHORT)
    np.testing.assert_allclose(together.validation[1], alone.validation[0], rtol=1e-6)


def test_networks_stop_early():
    """On noise, what is held out gets worse; the parameters are those of the best epoch."""
    x = jax.random.normal(jax.random.key(0), (2, 40, 5), jnp.float64)
    y = jax.random.normal(jax.random.key(1), (2, 40, 1), jnp.float64)
    config = EnsembleTraining(epochs=1000, batch=20, patience=30)
    said = []
    found = train_ensemble(
        KEYS[:2],
        TaskMLP((32,), 1, param_dtype=jnp.float64),
        (x[:, :20], y[:, :20]),
        (x[:, 20:], y[:, 20:]),
        learning_rate=0.03,
        config=config,
        on_epochs=lambda count, least: said.append((count, least.shape)),
    )
    np.testing.assert_array_equal(found.epochs, found.best + 30)
    for lane in range(2):
        assert np.isfinite(found.validation[lane, : found.epochs[lane]]).all()
        assert np.isnan(found.validation[lane, found.epochs[lane] :]).all()
    assert found.validation.shape[1] < 1000
    assert said[0] == (25, (2,))


def test_a_network_that_diverges_has_an_infinite_loss():
    train, held = samples(2)
    found = train_ensemble(
        KEYS[:2],
        nn.Dense(1, param_dtype=jnp.float64),
        train,
        held,
        learning_rate=np.array([0.01, 1e200]),
        config=EnsembleTraining(epochs=5, batch=16, patience=2),
    )
    np.testing.assert_allclose(found.least[0], np.min(found.validation[0]))
    assert found.best[0] > 0
    assert found.least[1] == np.inf
    assert found.best[1] == 0


@pytest.mark.parametrize("loss", ["logistic", "cross_entropy"])
def test_classes(loss):
    x = jax.random.normal(jax.random.key(0), (2, 120, 2), jnp.float64)
    inside = jnp.sum(x**2, axis=-1, keepdims=True) < 1.2
    y = jnp.where(inside, 1.0, -1.0)
    if loss == "cross_entropy":
        y = jax.nn.one_hot(inside[..., 0].astype(int), 2)
    module = TaskMLP((), y.shape[-1], param_dtype=jnp.float64)
    driven = TaskMLP((8,), y.shape[-1], LayerTerms(((2, 1.0),)), param_dtype=jnp.float64)
    errors = []
    for each in (module, driven):
        found = train_ensemble(
            KEYS[:2],
            each,
            (x[:, :90], y[:, :90]),
            (x[:, 90:], y[:, 90:]),
            learning_rate=0.03,
            config=SHORT,
            loss=loss,
        )
        h = np.asarray(jax.vmap(each.apply)(found.params, x))
        wrong = (h > 0) != (y > 0) if loss == "logistic" else h.argmax(-1) != y.argmax(-1)
        errors.append(float(np.mean(wrong)))
    assert errors[1] < 0.1 < errors[0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"learning_rate": -1.0}, "learning_rate must be"),
        ({"weight_decay": np.ones(2)}, "weight_decay must be"),
        ({"config": 3}, "config must be"),
        ({"loss": "hinge"}, "loss must be"),
        ({"train": (np.ones((2, 5, 2)), np.ones((3, 5, 1)))}, "x must be finite"),
        ({"train": (np.ones((3, 5, 2)), np.ones((3, 4, 1)))}, "as many targets"),
        ({"validation": (np.full((3, 5, 2), np.nan), np.ones((3, 5, 1)))}, "held_x must be"),
    ],
)
def test_bad_input_is_named(change, said):
    train, held = samples()
    arguments = {"train": train, "validation": held} | change
    with pytest.raises((TypeError, ValueError), match=said):
        train_ensemble(KEYS, nn.Dense(1), **arguments)


@pytest.mark.parametrize("name", ["epochs", "batch", "patience", "clip"])
def test_bad_settings_are_named(name):
    with pytest.raises((TypeError, ValueError), match=name):
        EnsembleTraining(**{name: 0})
