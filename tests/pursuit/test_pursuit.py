"""Neuron pursuit as a whole: growth, padding, resume, stop reasons, bad input."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nsjax
from nsjax import data, kkt, networks, objectives, pursuit
from nsjax.pursuit import loop, packing
from nsjax.pursuit.candidates import noise_widths, search
from nsjax.pursuit.chains import Chains
from nsjax.pursuit.refitting import refit_in_turn
from nsjax.pursuit.results import crossover

SQUARE = nsjax.PolyLeakyReLU(2, 1.0)
SMALL = pursuit.Config(
    rule="each", lanes=2, candidates=1, starts=8, steps=120, capacity=4, attempts=1
)


def problem(n=80, d=4, seed=0):
    x = jax.random.normal(jax.random.key(seed), (n, d))
    return x, x[:, :1] * x[:, 1:2] + x[:, 2:3] ** 2


def pursue(x, y, *, depth=2, activation=SQUARE, key=1, **options):
    options.setdefault("config", SMALL)
    return pursuit.run(jax.random.key(key), x, y, activation=activation, depth=depth, **options)


def test_a_quadratic_is_found_with_as_few_neurons_as_it_has_eigenvalues():
    x, y = problem()
    fresh = problem(seed=9)
    found = pursue(x, y, test=fresh, config=replace(SMALL, rule="lookahead"))
    assert found.result == pursuit.Stop.FITTED
    assert found.neurons == (3,)  # of x1 x2 + x3^2
    outputs = networks.apply(found.params, fresh[0], SQUARE)
    assert float(jnp.mean((outputs - fresh[1]) ** 2) / jnp.var(fresh[1])) < 1e-4
    assert found.certificate.certified
    assert found.history.test[-1, found.lane] < 1e-3
    assert found.grown >= found.neurons
    # The loss falls from round to round, and the history adds up.
    losses = found.history.loss[:, found.lane]
    assert np.all(np.diff(losses[np.isfinite(losses)]) < 0)
    assert found.history.added[:, found.lane].sum() == sum(found.grown)


def test_unused_neurons_stay_zero_to_the_bit():
    x, y = problem()
    task = pursuit.Task(x, y, activation=SQUARE, depth=3, config=SMALL)
    state = pursuit.init(jax.random.key(0), task)
    for _ in range(3):
        state, _ = pursuit.step(task, state)
        assert np.all(np.asarray(state.counts).sum(axis=1) > 0)
        for lane, counts in enumerate(np.asarray(state.counts)):
            for layer, k in enumerate(counts):
                assert not np.any(state.params[layer][lane, k:])
                assert not np.any(state.params[layer + 1][lane, :, k:])


def test_a_full_layer_makes_room():
    x, y = problem()
    found = pursue(x, y, config=replace(SMALL, capacity=2, prune=False))
    assert found.result == pursuit.Stop.FITTED
    assert found.state.capacity >= max(found.neurons) > 2


def test_a_run_resumes_to_the_bit():
    x, y = problem()
    states = []
    whole = pursue(x, y, on_round=lambda state, _: states.append(state))
    assert len(states) > 1
    resumed = pursue(x, y, state=states[0])
    for one, other in zip(whole.params, resumed.params, strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match="same data"):
        pursue(x + 1, y, state=states[0])
    with pytest.raises(ValueError, match="depth 3"):
        pursue(x, y, state=states[0], depth=3)
    with pytest.raises(TypeError, match=r"state must be a pursuit\.State"):
        pursue(x, y, state=3)


def test_many_keys_are_many_pursuits():
    x, y = problem()
    keys = jax.random.split(jax.random.key(1), 2)
    found = pursuit.run(keys, x, y, activation=SQUARE, depth=2, config=SMALL)
    assert [each.result for each in found] == [pursuit.Stop.FITTED] * 2
    assert found[0].history.loss.shape[1] == SMALL.lanes
    alone = pursuit.run(keys[1], x, y, activation=SQUARE, depth=2, config=SMALL)
    np.testing.assert_allclose(
        alone.history.ncf[0], found[1].history.ncf[0], rtol=1e-9, equal_nan=True
    )


def test_lanes_that_have_stopped_are_left_out(monkeypatch):
    """A round of 4 lanes of 16 as one of all of them; with 5 growing all are computed."""
    x, y = problem()
    keys = jax.random.split(jax.random.key(1), 8)
    task = pursuit.Task(x, y, activation=SQUARE, depth=2, config=replace(SMALL, steps=10))
    state, _ = pursuit.step(task, pursuit.init(keys, task))
    codes = np.full(16, pursuit.Stop.FITTED, np.int32)
    codes[[3, 9, 10, 15]] = pursuit.Stop.GROWING
    widths = []
    inner = loop.grow
    monkeypatch.setattr(packing, "_FEWEST", 4)
    monkeypatch.setattr(loop, "grow", lambda *a: widths.append(len(a[1])) or inner(*a))
    state = state._replace(result=codes)
    found = pursuit.step(task, state)
    pursuit.step(task, state._replace(result=np.where(np.arange(16) == 0, 0, codes)))
    monkeypatch.setattr(loop, "packed", lambda live: np.arange(len(live)))
    whole = pursuit.step(task, state)
    assert widths == [4, 16, 16]
    for one, other in zip(found, whole, strict=True):
        for name, value in one._asdict().items():
            if name not in ("keys", "new"):  # of lanes that stand still `new` means nothing
                for a, b in zip(
                    jax.tree.leaves(value), jax.tree.leaves(getattr(other, name)), strict=True
                ):
                    assert np.shape(a) == np.shape(b), name
                    np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9, err_msg=name)
    assert not np.any(found[1].live[codes != pursuit.Stop.GROWING])


def test_a_given_network_grows():
    x, y = problem()
    start = networks.init(jax.random.key(5), (4, 1, 1))
    found = pursue(x, y, params=start)
    assert found.result == pursuit.Stop.FITTED
    assert found.history.neurons[0].min() == 2
    with pytest.raises(ValueError, match="x must have 5 columns"):
        pursue(x, y, params=networks.init(jax.random.key(5), (5, 1, 1)))


def test_new_neurons_are_the_dominant_ones_of_the_kkt_search():
    x, y = problem()
    params = networks.init(jax.random.key(3), (4, 2, 2, 1))
    residual = y - networks.apply(params, x, SQUARE)
    padded = tuple(
        jnp.pad(w, ((0, 2 * (w.shape[0] > 1)), (0, 2 * (i > 0)))) for i, w in enumerate(params)
    )
    config = replace(SMALL, starts=32, search_steps=300, search_tol=1e-9)
    found = search(
        jax.random.normal(jax.random.key(0), (1, 32, sum(noise_widths(padded, SQUARE)))),
        jax.tree.map(lambda w: w[None], padded),
        jnp.array([[2, 2]]),
        x,
        residual[None],
        SQUARE,
        config,
    )
    for layer in (1, 2):
        expected = kkt.search_neuron(jax.random.key(1), params, layer, x, residual, SQUARE)
        neurons = found[layer]
        np.testing.assert_allclose(neurons.values[0, 0], expected.values[0], rtol=1e-8)
        assert not np.any(neurons.incoming[0, :, params[layer - 1].shape[1] :])
    # A chain is a network of width one: its value is the NCF of that network.
    chain = found[0]
    norms = Chains(SQUARE, 3).norms()
    network = (
        norms[0] * chain.incoming[0, :1],
        norms[1] * chain.signs[0, :1],
        norms[2] * chain.outgoing[0, :1].T,
    )
    value = objectives.ncf(lambda w, x: networks.apply(w, x, SQUARE), network, x, residual)
    np.testing.assert_allclose(chain.values[0, 0], value, rtol=1e-12)
    assert abs(sum(float(jnp.sum(w**2)) for w in network) - 1) < 1e-12
    assert kkt.residual(objectives.NetworkNCF(SQUARE), network, args=(x, residual)) < 1e-6


@pytest.mark.parametrize("slope", [0.3, -1.0])
def test_chains_meet_every_pattern_of_signs(slope):
    activation = nsjax.PolyLeakyReLU(3, slope)
    chains = Chains(activation, 4)
    x = jax.random.normal(jax.random.key(0), (6, 2))
    u = jax.random.normal(jax.random.key(1), (2, 4))
    signs = np.asarray(chains.signs(4, x.dtype))
    assert len({tuple(column) for column in signs.T}) == 4
    response = np.asarray(chains.response(u, x))
    for j in range(4):
        weights = (u[:, j][None], signs[:1, j : j + 1], signs[1:, j : j + 1], jnp.ones((1, 1)))
        np.testing.assert_allclose(
            response[:, j], networks.apply(weights, x, activation)[:, 0], rtol=1e-12
        )


def test_the_loss_falls_as_lemma_12_says():
    x, y = problem()
    config = replace(
        pursuit.PRESETS["paper"], delta=1e-2, steps=300, max_rounds=2, starts=8, capacity=4
    )
    found = pursue(x, y, config=config)
    assert found.history.descent.shape == (2, 1)
    np.testing.assert_allclose(found.history.descent, 1, atol=1e-3)
    deep = pursue(x, y, depth=3, config=replace(config, delta=0.1))
    np.testing.assert_allclose(deep.history.descent[0], 1, atol=1e-3)  # a chain, q = D


def test_two_losses_of_classes():
    x = data.hypercube(jax.random.key(0), 90, 4)
    labels = x[:, :1] * x[:, 1:2]
    config = replace(SMALL, tol=1e-2)
    found = pursue(x, labels, loss="logistic", config=config)
    assert found.error == 0
    assert found.result == pursuit.Stop.FITTED
    classes = jax.nn.one_hot((labels[:, 0] > 0).astype(int), 2)
    found = pursue(x, classes, loss="cross_entropy", config=config, validation=(x, classes))
    assert found.error == found.certificate.validation == 0


def test_classes_by_the_square_loss_with_a_margin_of_neurons():
    """A lane fits when no sample is wrong and half as many neurons again have been added."""
    x, y = data.modular_addition(5)
    config = replace(
        SMALL, rule="ncf", lanes=1, per_round=2, until="accuracy", margin=0.5, max_share=2.0
    )
    found = pursue(x, y, config=config)
    assert found.result == pursuit.Stop.FITTED
    assert found.error == 0 < found.loss
    errors, neurons = found.history.error[:, 0], found.history.neurons[:, 0, 0]
    first = int(np.argmax(errors == 0))
    assert int(found.state.right[0]) == neurons[first]
    assert np.argmax((errors == 0) & (neurons >= 1.5 * neurons[first])) == len(errors) - 1 > first
    # What the last round added is there, before the refit: up to two neurons, each with half of a
    # squared norm of 1.
    new = [np.asarray(block[0]) for block in found.state.new]
    added = int(neurons[-1] - neurons[-2])
    assert np.sum(np.any(new[0] != 0, axis=1)) == added
    assert added in (1, 2)
    np.testing.assert_allclose(sum(np.sum(block**2) for block in new), added / 2, rtol=1e-12)
    # One output is judged by its sign.
    task = pursuit.Task(x, jnp.sign(y[:, :1]), activation=SQUARE, depth=2, config=config)
    outputs = jnp.array([[2.0], [-0.1], [3.0]])
    error = pursuit.prediction_error(
        outputs, jnp.array([[1.0], [1.0], [-1.0]]), loss=task.method.judge
    )
    np.testing.assert_allclose(error, 2 / 3)


def test_relu_with_several_outputs_and_balance():
    x, _ = problem()
    y = jnp.concatenate([jax.nn.relu(x[:, :1]), jnp.abs(x[:, 1:2])], axis=1)
    config = replace(SMALL, balance=True, per_round=2, tol=1e-3, rule="each")
    found = pursue(x, y, activation=nsjax.PolyLeakyReLU(1, 0.0), config=config)
    assert found.result == pursuit.Stop.FITTED
    # Rebalanced after every refit, up to dead neurons.
    assert found.history.imbalance[-1, found.lane] < 1e-6


def test_why_it_stops():
    x, _ = problem()
    both = jnp.concatenate([x, -x])
    odd = jnp.concatenate([x[:, :1], -x[:, :1]])
    found = pursue(both, odd)  # even networks are blind to an odd target
    assert found.result == pursuit.Stop.NO_POSITIVE_KKT_POINT
    assert found.neurons == (0,)
    assert "near zero" in " ".join(found.warnings)
    noise = jax.random.normal(jax.random.key(7), (80, 1))
    assert pursue(x, noise, config=replace(SMALL, max_neurons=2)).result == pursuit.Stop.MAX_NEURONS
    assert pursue(x, noise, config=replace(SMALL, max_rounds=1)).result == pursuit.Stop.MAX_ROUNDS
    small = pursue(x, noise, config=replace(SMALL, max_share=0.1))
    assert small.result == pursuit.Stop.MAX_PARAMETERS
    assert not small.certificate.certified
    held = pursue(x, noise, validation=(x, jnp.flip(noise)), config=replace(SMALL, patience=1))
    assert held.result in (pursuit.Stop.VALIDATION, pursuit.Stop.STALLED)
    stalled = pursue(x, noise, config=replace(SMALL, max_share=9.0, rescue=0.5))
    assert stalled.result == pursuit.Stop.STALLED
    again = pursue(x, noise, config=replace(SMALL, max_rounds=1, attempts=3))
    assert sorted(np.unique(again.history.attempt)) == [1, 2, 3]


def test_warnings_name_a_scale_that_does_not_serve():
    x, y = problem()
    config = replace(SMALL, insertion="fixed", rule="ncf", lanes=1, max_rounds=1)
    small = pursue(x, y, config=replace(config, delta=1e-9, minimiser="gradient_descent", steps=5))
    assert "stayed near the saddle" in " ".join(small.warnings)
    large = pursue(x, y, config=replace(config, delta=30.0))
    assert "rose on insertion" in " ".join(large.warnings)


def test_certificates_are_refused():
    """To as many parameters as equations, of which repeated samples are none."""
    x, _ = problem(6)
    noise = jax.random.normal(jax.random.key(7), (6, 1))
    config = replace(SMALL, max_share=99.0, tol=1e-2, steps=400)
    few = pursue(x, noise, config=config)
    assert few.result == pursuit.Stop.FITTED
    assert not few.certificate.certified
    assert "near interpolation" in " ".join(few.certificate.reasons)
    many = pursue(jnp.tile(x, (10, 1)), jnp.tile(noise, (10, 1)), config=config)
    assert many.certificate.equations == few.certificate.equations == 6
    assert not many.certificate.certified


def test_a_spent_budget_can_be_raised():
    x, y = problem()
    first = pursue(x, y, config=replace(SMALL, max_rounds=1))
    assert first.result == pursuit.Stop.MAX_ROUNDS
    more = pursue(x, y, state=first.state)
    assert more.result == pursuit.Stop.FITTED
    keys = jax.random.split(jax.random.key(1), 2)
    with pytest.raises(ValueError, match="state must hold 4 lanes"):
        pursuit.run(keys, x, y, activation=SQUARE, depth=2, config=SMALL, state=first.state)
    with pytest.raises(ValueError, match="loss, activation and normalisation"):
        pursue(x, y, state=first.state, config=replace(SMALL, normalise=False))


def test_the_result_is_never_worse_than_the_start():
    """A network that generalises is kept where all that follows fits noise."""
    x, y = problem()
    start = pursue(x, y).params
    noisy = y + jax.random.normal(jax.random.key(8), y.shape)
    fresh = problem(seed=9)
    config = replace(SMALL, patience=1)
    found = pursue(x, noisy, params=start, validation=fresh, config=config)
    assert found.certificate.validation <= 1e-3
    assert found.neurons == (start[0].shape[0],)


def test_gradient_descent_leaves_the_saddle_at_the_origin():
    """There the fall that a step predicts is below rounding."""
    x, y = problem()
    config = replace(
        pursuit.PRESETS["paper"], delta=0.02, steps=400, max_rounds=1, starts=8, capacity=4
    )
    found = pursue(x, y, depth=3, config=config)
    assert found.history.moved[0, 0] > 10
    assert found.history.loss[0, 0] < 0.95 * found.history.before[0, 0]


def test_neurons_of_one_round_differ():
    """With fewer maxima than are asked for there are fewer new neurons."""
    x, _ = problem()
    y = x[:, :1] ** 2
    config = replace(SMALL, per_round=3, capacity=8, max_rounds=1, prune=False, tol=1e-12)
    found = pursue(x, y, config=config)
    rows = found.params[0] / jnp.linalg.norm(found.params[0], axis=1, keepdims=True)
    overlap = jnp.abs(rows @ rows.T) - jnp.eye(len(rows))
    assert len(rows) >= 1
    assert np.max(overlap) < 0.999


def test_high_degrees_are_alive_in_single_precision():
    x = problem()[0].astype("float32")
    y = x[:, :1] ** 3
    config = replace(SMALL, max_rounds=1, rule="ncf")
    found = pursue(x, y, depth=4, activation=nsjax.PolyLeakyReLU(3, -1.0), config=config)
    assert found.result == pursuit.Stop.MAX_ROUNDS
    assert np.all(found.history.relative_ncf[0, :, 0] > 1e-4)


def test_crossover_keeps_every_coordinate():
    x = np.arange(12.0).reshape(6, 2)
    mixed = crossover(x)
    assert mixed.shape == x.shape
    assert all(set(mixed[:, i]) <= set(x[:, i]) for i in range(2))
    assert np.any(mixed != x)


BAD = {
    "constant": (lambda x, y: (x, 0 * y + 1), "y must vary.*constant"),
    "zero": (lambda x, y: (x, 0 * y), "y must vary.*zero"),
    "one sample": (lambda x, y: (x[:1], y[:1]), "at least 2 samples"),
    "rows": (lambda x, y: (x[1:], y), "one row per sample"),
    "nan": (lambda x, y: (x.at[0, 0].set(jnp.nan), y), "x must be finite"),
    "x zero": (lambda x, y: (0 * x, y), "x must not be zero"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_data_is_named(case):
    change, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        pursue(*change(*problem()))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"depth": 1}, ValueError, "depth must be at least 2"),
        ({"loss": "hinge"}, ValueError, "loss must be one of"),
        ({"loss": "logistic"}, ValueError, "labels -1 and 1"),
        ({"loss": "cross_entropy"}, ValueError, "a column for each class"),
        ({"activation": jnp.tanh}, TypeError, "homogeneous"),
        ({"config": None, "preset": "mine"}, ValueError, "preset must be one of"),
        ({"preset": "paper"}, ValueError, "not both"),
        ({"config": {}}, TypeError, r"pursuit\.Config"),
        ({"validation": 3}, TypeError, "validation must be a pair"),
        ({"on_round": 3}, TypeError, "on_round"),
    ],
)
def test_bad_options_are_named(options, error, message):
    with pytest.raises(error, match=message):
        pursue(*problem(), **options)


@pytest.mark.parametrize(
    ("setting", "error"),
    [
        ({"max_neurons": 0}, ValueError),
        ({"lanes": 1.5}, TypeError),
        ({"rule": "best"}, ValueError),
        ({"l2": 0.1}, TypeError),
        ({"tol": -1.0}, ValueError),
        ({"scales": (2.0, 1.0, 5)}, ValueError),
        ({"prune": 1}, TypeError),
        ({"starts": 1, "candidates": 2}, ValueError),
        ({"capacity": 1, "per_round": 2}, ValueError),
    ],
)
def test_bad_settings_are_named(setting, error):
    with pytest.raises(error, match=next(iter(setting))):
        pursuit.Config(**setting)


def test_duplicate_rows_and_legacy_keys_are_no_harm():
    x, y = problem(40)
    twice = jnp.concatenate([x, x]), jnp.concatenate([y, y])
    found = pursuit.run(jax.random.PRNGKey(1), *twice, activation=SQUARE, depth=2, config=SMALL)
    assert found.result == pursuit.Stop.FITTED
    with pytest.raises(TypeError, match="key must be a PRNG key"):
        pursuit.run(3, x, y, activation=SQUARE, depth=2)


def test_a_penalty_gives_way_where_it_alone_holds_the_loss_up():
    """Lane 0 is at a solution but for noise, lane 1 has a neuron too few for the target."""
    x, _ = problem()
    teacher = (jnp.eye(2, 4), jnp.array([[1.0, -1.0]]))
    y = networks.apply(teacher, x, SQUARE)
    task = pursuit.Task(x, y, activation=SQUARE, depth=2, config=SMALL)
    whole = tuple(1.05 * w for w in task.units.into(teacher))
    lacking = (whole[0].at[1].set(0), whole[1].at[:, 1].set(0))
    params = tuple(map(np.stack, zip(whole, lacking, strict=True)))

    def fit(l2, wanted=np.inf, last=False):
        live, every = np.ones(2, bool), np.ones(2)
        return refit_in_turn(
            *(task.method, params, live, task.problem, task.given, l2, 200, params),
            wanted * every,
            np.full(2, last),
        )

    held, turned = fit((5e-2,)), fit((5e-2, 0.0))
    assert held.loss[0] > task.problem.target >= turned.loss[0]
    assert turned.loss[1] == held.loss[1] > 0.01
    assert turned.evaluations[0] > held.evaluations[0]
    assert turned.evaluations[1] == held.evaluations[1]
    # At a dead end, and in the last round of a lane, it gives way too.
    for over in (fit((5e-2, 0.0), wanted=0.0), fit((5e-2, 0.0), last=True)):
        assert over.evaluations[1] > held.evaluations[1]
        assert over.loss[1] < held.loss[1]
