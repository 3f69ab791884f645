"""The public surface: bad input says what is wrong, harmless input is taken."""

from fractions import Fraction

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nsjax
from nsjax import (
    data,
    diagnostics,
    dynamics,
    kkt,
    networks,
    neuronseek,
    objectives,
    plots,
    pursuit,
)
from nsjax.neuronseek import orbits
from nsjax.pursuit import baselines

KEY = jax.random.key(0)
SQUARE = nsjax.PolyLeakyReLU(2, 1.0)
X = np.arange(36.0).reshape(12, 3) / 36
Y = X[:, :1] ** 2
LABELS = np.where(np.arange(12)[:, None] % 2, 1.0, -1.0)
NAN = np.where(X > 0.9, np.nan, X)
PARAMS = (jnp.full((4, 3), 0.5), jnp.full((1, 4), 0.5))
SADDLE = (jnp.zeros((4, 3)).at[0].set(1.0), jnp.zeros((1, 4)).at[0, 0].set(1.0))
INACTIVE = (np.array([False, True, True, True]),)
FAMILY = networks.HomogeneousNeurons(SQUARE)
LOSS = objectives.NetworkLoss(SQUARE)
UNITS = networks.TwoLayerUnits(SQUARE)
SCALER = data.Scaler(np.zeros(3), np.ones(3), np.zeros(1), np.ones(1))
TERMS = neuronseek.LayerTerms()


WRONG_KEYS = {
    "an int": 0,
    "none": None,
    "an array of no keys": np.ones(2),
    "several": jax.random.split(KEY, 2),
}
TAKE_A_KEY = {
    "networks.init": lambda key: networks.init(key, (3, 4, 1)),
    "networks.cp.init": lambda key: networks.cp.init(key, 3),
    "networks.tucker.init": lambda key: networks.tucker.init(key, 3, size=2),
    "networks.teacher_targets": lambda key: networks.teacher_targets(key, X, SQUARE, hidden=(2,)),
    "networks.homogeneity": lambda key: networks.homogeneity(key, LOSS, PARAMS, X),
    "networks.compress": lambda key: networks.compress(key, np.ones((1, 1, 2, 2)), 1),
    "data.sphere": lambda key: data.sphere(key, 5, 3),
    "data.gaussian": lambda key: data.gaussian(key, 5, 3),
    "data.hypercube": lambda key: data.hypercube(key, 5, 3),
    "data.uniform": lambda key: data.uniform(key, 5, 3),
    "data.sparse_task": lambda key: data.sparse_task(key, "sparse-f1", 5, 3),
    "data.split": lambda key: data.split(key, X, Y, 5),
    "data.polynomial_task": lambda key: data.polynomial_task(key, "sparse", 5, 4),
    "data.polynomial_classes": lambda key: data.polynomial_classes(key, "sparse", 5, 4),
    "data.interaction_task": lambda key: data.interaction_task(key, {2: 1}, 5, 4),
    "data.monomial_task": lambda key: data.monomial_task(key, 1, 2, 5, 4),
    "data.two_order_task": lambda key: data.two_order_task(key, 5, 4),
    "data.composed_task": lambda key: data.composed_task(key, 5, 10),
    "data.compressed_sensing": lambda key: data.compressed_sensing(key, 5, 4, 2),
    "data.matrix_sensing": lambda key: data.matrix_sensing(key, 5, 4, 2),
    "data.tied_task": lambda key: data.tied_task(key, 1, 3, degree=3, terms=2),
    "data.coordinate_classes": lambda key: data.coordinate_classes(key, 5, 4),
    "data.quadric_classes": lambda key: data.quadric_classes(key, 5, 4),
    "data.contact_task": lambda key: data.contact_task(key, 24, 3, 2),
    "data.conflict_task": lambda key: data.conflict_task(key, 3, 4),
    "data.collinear_inputs": lambda key: data.collinear_inputs(key, 5, 3),
    "data.valley_task": lambda key: data.valley_task(key),
    "kkt.random_unit": lambda key: kkt.random_unit(key, PARAMS),
    "kkt.search": lambda key: kkt.search(key, sum, lambda k: PARAMS),
    "kkt.search_neuron": lambda key: kkt.search_neuron(key, PARAMS, 1, X, Y, SQUARE),
    "kkt.search_family": lambda key: kkt.search_family(key, FAMILY, X, Y),
    "diagnostics.lojasiewicz": lambda key: diagnostics.lojasiewicz(sum, np.zeros(2), key=key),
    "diagnostics.statistical_dimension": lambda key: diagnostics.statistical_dimension(key, 4, 1),
    "diagnostics.regularity": lambda key: diagnostics.regularity(sum, np.zeros(2), 0.0, key=key),
    "diagnostics.ncf_share": lambda key: diagnostics.ncf_share(PARAMS, X, Y, SQUARE, key=key),
    "dynamics.train_saddle": lambda key: dynamics.train_saddle(
        key, X, Y, SQUARE, active=(1,), widths=(4,)
    ),
    "baselines.train": lambda key: baselines.train(key, X, Y, activation=SQUARE, hidden=(2,)),
    "baselines.tiny_restarts": lambda key: baselines.tiny_restarts(
        key, X, Y, activation=SQUARE, depth=2
    ),
    "orbits.random_words": lambda key: orbits.random_words(key, 5),
    "orbits.draw_orbits": lambda key: orbits.draw_orbits(key, "tent", 1, 5),
    "orbits.invariant_cdf": lambda key: orbits.invariant_cdf(key, "tent"),
    "orbits.trials": lambda key: orbits.trials(key, "tent", 1, steps=5),
    "orbits.same_depth": lambda key: orbits.same_depth(key, steps=5, eps=(0.1,)),
}


@pytest.mark.parametrize("name", TAKE_A_KEY)
@pytest.mark.parametrize("wrong", WRONG_KEYS)
def test_what_is_no_key_is_refused(name, wrong):
    with pytest.raises((TypeError, ValueError), match=r"^key must be (a|one) PRNG key"):
        TAKE_A_KEY[name](WRONG_KEYS[wrong])


OPTIONAL_KEYS = {
    "escape": lambda key: dynamics.escape(SADDLE, INACTIVE, X, Y, SQUARE, delta=0.1, key=key),
    "cascade": lambda key: dynamics.cascade(PARAMS, X, Y, SQUARE, delta=1e-3, key=key),
    "hessian_spectrum": lambda key: diagnostics.hessian_spectrum(sum, np.zeros(2), key=key),
    "pursuit.run": lambda key: pursuit.run(key, X, Y, activation=SQUARE, depth=2),
    "neuronseek.search": lambda key: neuronseek.search(key, X, Y),
}


@pytest.mark.parametrize("name", OPTIONAL_KEYS)
@pytest.mark.parametrize("wrong", [0, "seed", np.ones(2)])
def test_what_is_no_key_is_refused_where_none_or_several_are_taken(name, wrong):
    with pytest.raises(TypeError, match=r"^key must be a PRNG key, such as jax"):
        OPTIONAL_KEYS[name](wrong)


BAD = {
    "apply, columns": (
        lambda: networks.apply(PARAMS, np.ones((5, 2)), SQUARE),
        r"x must have 3 columns, as params\[0\] wants, got shape \(5, 2\)",
    ),
    "apply, params": (lambda: networks.apply(PARAMS[0], X, SQUARE), "params must be a tuple"),
    "apply, order": (lambda: networks.apply(X, PARAMS, SQUARE), "params must be a tuple"),
    "apply, chain": (
        lambda: networks.apply((PARAMS[0], np.ones((1, 7))), X, SQUARE),
        r"params\[1\] must be a matrix of 4 columns, got shape \(1, 7\)",
    ),
    "apply, chain inside": (
        lambda: networks.apply((PARAMS[0], np.ones((2, 7)), np.ones((1, 2))), X, SQUARE),
        r"params\[1\] must be a matrix of 4 columns, got shape \(2, 7\)",
    ),
    "apply, activation": (lambda: networks.apply(PARAMS, X, "relu"), "activation must be callable"),
    "products, columns": (
        lambda: networks.apply(PARAMS, X, networks.Products(3)),
        r"x must have 1 columns, as params\[0\] wants, got shape \(12, 3\)",
    ),
    "pullback, vector": (
        lambda: networks.pullback(PARAMS, X, Y[:, 0], SQUARE),
        r"residual must have the outputs' shape \(12, 1\), got \(12,\)",
    ),
    "pullback, rows": (
        lambda: networks.pullback(PARAMS, X, Y[:5], SQUARE),
        r"residual must have the outputs' shape \(12, 1\), got \(5, 1\)",
    ),
    "init, dtype": (
        lambda: networks.init(KEY, (3, 1), dtype="flot"),
        "dtype must be a real floating type, got 'flot'",
    ),
    "cp.init, dtype": (
        lambda: networks.cp.init(KEY, 3, dtype=int),
        "dtype must be a real floating type, got int",
    ),
    "teacher, hidden": (
        lambda: networks.teacher_targets(KEY, X, SQUARE, hidden=4),
        "hidden must be a sequence of positive integers, got 4",
    ),
    "units of three layers": (
        lambda: networks.TwoLayerUnits.of((*PARAMS, jnp.ones((1, 1)))),
        "params must have two layers, got 3",
    ),
    "NCF, vector": (
        lambda: objectives.NetworkNCF(SQUARE)(PARAMS, X, Y[:, 0]),
        r"z must have the outputs' shape \(12, 1\), got \(12,\)",
    ),
    "NCF, one row": (
        lambda: objectives.NetworkNCF(SQUARE)(PARAMS, X, Y[:1]),
        r"z must have the outputs' shape \(12, 1\), got \(1, 1\)",
    ),
    "NCF, activation": (lambda: objectives.NetworkNCF("relu"), "activation must be callable"),
    "saddle NCF, activation": (
        lambda: objectives.SaddleNCF(2),
        "activation must be callable, got 2",
    ),
    "NCF, model": (lambda: objectives.ncf("m", PARAMS, X, Y), "model must be callable, got 'm'"),
    "square, lists": (
        lambda: objectives.square([[1.0]], [[1.0]]),
        "outputs must be an array, got list",
    ),
    "neuron NCF, activation": (
        lambda: objectives.neuron_ncf(PARAMS, 1, X, Y, "relu"),
        "activation must be callable, got 'relu'",
    ),
    "search, vector": (
        lambda: kkt.search(KEY, objectives.NetworkNCF(SQUARE), lambda k: PARAMS, args=(X, Y[:, 0])),
        r"z must have the outputs' shape \(12, 1\), got \(12,\)",
    ),
    "search, no scalar": (
        lambda: kkt.search(KEY, lambda w: w, lambda k: jax.random.normal(k, (2,))),
        r"objective must return a scalar, got shape \(2,\)",
    ),
    "search, max_cosine": (
        lambda: kkt.search(KEY, jnp.sum, lambda k: jnp.ones(2), max_cosine=2.0),
        "max_cosine must be at most 1, got 2.0",
    ),
    "family, activation": (
        lambda: kkt.search_family(KEY, SQUARE, X, Y),
        "family must be a NeuronFamily, such as networks.HomogeneousNeurons",
    ),
    "family, vector": (
        lambda: kkt.search_family(KEY, FAMILY, X, Y[:, 0]),
        r"pulled must be a matrix of rank 2, got shape \(12,\)",
    ),
    "family, rows": (
        lambda: kkt.search_family(KEY, FAMILY, X, Y[:5]),
        r"pulled must have 12 rows, got shape \(5, 1\)",
    ),
    "family, NaN": (lambda: kkt.search_family(KEY, FAMILY, NAN, Y), "features must be finite, got"),
    "residual, no scalar": (
        lambda: kkt.residual(lambda w: w, np.ones(2)),
        r"objective must return a scalar, got shape \(2,\)",
    ),
    "track, none": (lambda: kkt.track(None, SQUARE), "found must be a sequence of results"),
    "track, others": (
        lambda: kkt.track([object()], SQUARE),
        r"found\[0\] must be a KKTPoints, got",
    ),
    "levels, numbers": (lambda: kkt.levels([1.0]), r"found\[0\] must be a KKTPoints, got float"),
    "match, NaN": (lambda: kkt.match(np.array([[np.nan]])), "cosines must hold no NaN"),
    "random_unit, ints": (
        lambda: kkt.random_unit(KEY, np.ones(2, int)),
        "like must be a pytree of floating arrays",
    ),
    "escape, labels": (
        lambda: dynamics.escape(SADDLE, INACTIVE, X, Y, SQUARE, delta=0.1, loss="logistic"),
        "y must hold labels -1 and 1 for the logistic loss, got values from 0 to",
    ),
    "cascade, labels": (
        lambda: dynamics.cascade(PARAMS, X, Y, SQUARE, delta=0.1, loss="logistic"),
        "y must hold labels -1 and 1 for the logistic loss",
    ),
    "cascade, one class": (
        lambda: dynamics.cascade(PARAMS, X, Y, SQUARE, delta=0.1, loss="cross_entropy"),
        "y must have a column for each class for cross-entropy, got 1",
    ),
    "cascade, flag": (
        lambda: dynamics.cascade(PARAMS, X, Y, SQUARE, delta=0.1, snapshots="no"),
        "snapshots must be True or False, got 'no'",
    ),
    "train_saddle, labels": (
        lambda: dynamics.train_saddle(KEY, X, Y, SQUARE, active=(1,), widths=(4,), loss="logistic"),
        "y must hold labels -1 and 1 for the logistic loss",
    ),
    "inspect, loss": (
        lambda: dynamics.inspect(SADDLE, INACTIVE, X, Y, SQUARE, loss="mse"),
        "loss must be one of 'square', 'logistic', 'cross_entropy', got 'mse'",
    ),
    "rescaled_flow, units": (
        lambda: dynamics.rescaled_flow("units", np.ones((2, 4)), X, LABELS),
        "units must be networks.Units, got 'units'",
    ),
    "quadratic loss, column": (
        lambda: dynamics.first_layer_loss(PARAMS[0], np.ones(4), X, Y, 0.1),
        r"y must have shape \(12,\), got \(12, 1\)",
    ),
    "margin, vector": (
        lambda: diagnostics.best_margin(networks.DiagonalUnits(), X, LABELS[:, 0]),
        "y must be a matrix of rank 2",
    ),
    "margin, labels": (
        lambda: diagnostics.best_margin(networks.DiagonalUnits(), X, Y),
        "y must hold labels -1 and 1",
    ),
    "margin, units": (
        lambda: diagnostics.best_margin(UNITS, X, LABELS),
        "units must have a method `dominant`",
    ),
    "margin_point, dual": (
        lambda: diagnostics.margin_point(UNITS, np.ones((2, 4)), np.ones(3), X, LABELS),
        r"dual must have shape \(12,\), got \(3,\)",
    ),
    "active, flag": (
        lambda: diagnostics.active_neurons(PARAMS, relative="no"),
        "relative must be True or False, got 'no'",
    ),
    "dormant, text": (
        lambda: diagnostics.dormant_ratio("scores"),
        "scores must be an array, got str",
    ),
    "reasons, none": (
        lambda: diagnostics.break_reasons(None, factor=2.0),
        "found must be a diagnostics.Departures, got NoneType",
    ),
    "pursuit.init, pair": (lambda: pursuit.init(KEY, (X, Y)), "task must be a pursuit.Task"),
    "pursuit.step, pair": (lambda: pursuit.step((X, Y), None), "task must be a pursuit.Task"),
    "error, loss": (
        lambda: pursuit.prediction_error(Y, Y, loss="mse"),
        "loss must be one of 'square', 'logistic', 'cross_entropy', got 'mse'",
    ),
    "error, vector": (
        lambda: pursuit.prediction_error(LABELS, LABELS[:, 0], loss="logistic"),
        r"y must have the outputs' shape \(12, 1\), got \(12,\)",
    ),
    "baselines, rates": (
        lambda: baselines.train(KEY, X, Y, activation=SQUARE, hidden=(2,), learning_rates=0.1),
        "learning_rates must be a sequence of numbers, got 0.1",
    ),
    "baselines, l2": (
        lambda: baselines.train(KEY, X, Y, activation=SQUARE, hidden=(2,), l2=0.1),
        "l2 must be a sequence of numbers >= 0, got 0.1",
    ),
    "baselines, validation": (
        lambda: baselines.train(
            KEY, X, Y, activation=SQUARE, hidden=(2,), validation=(X, np.ones((12, 2)))
        ),
        r"validation\[1\] must have 1 columns",
    ),
    "baselines, ladder": (
        lambda: baselines.tiny_restarts(KEY, X, Y, activation=SQUARE, depth=2, ladder=(2,)),
        r"ladder must hold tuples of hidden widths, got \(2,\)",
    ),
    "baselines, depth": (lambda: baselines.tiny_ladder(1), "depth must be at least 2"),
    "scaler, columns": (
        lambda: SCALER.inputs(np.ones((4, 1))),
        r"x must have shape \(n, 3\), got \(4, 1\)",
    ),
    "scaler, vector": (
        lambda: SCALER.apply(X, Y[:, 0]),
        r"y must have shape \(n, 1\), got \(12,\)",
    ),
    "layer, neurons": (
        lambda: neuronseek.TaskDense(0, TERMS).init(KEY, X),
        "features must be a positive integer, got 0",
    ),
    "layer, images": (
        lambda: neuronseek.TaskConv(2, (3, 3), TERMS).init(KEY, X),
        r"x must have 2 axes of the kernel and one of channels, got shape \(12, 3\)",
    ),
    "plot, no escapes": (
        lambda: plots.plot_escape([]),
        "escapes must hold at least one result, got none",
    ),
    "plot, others": (
        lambda: plots.plot_escape([KEY]),
        r"escapes\[0\] must have delta, ts, escape_time, got \w+ without delta",
    ),
    "plot, no cascade": (
        lambda: plots.plot_cascade(None),
        "cascades must have visits, delta, ts, losses, got NoneType without visits",
    ),
    "plot, no visits": (lambda: plots.escape_order(()), "visits must hold at least one, got none"),
    "plot, no points": (
        lambda: plots.plot_kkt_points(PARAMS),
        "points must have values, shares, signs, got tuple without values",
    ),
    "plot, several pursuits": (
        lambda: plots.plot_growth((1, 2)),
        "result must have history, lane, got tuple without history",
    ),
    "plot, several searches": (
        lambda: plots.plot_terms([1, 2]),
        "search must have history, got list without history",
    ),
    "orbits, fraction": (
        lambda: orbits.logistic_fractions(0.3, 5),
        "start must be a Fraction from 0 to 1, got 0.3",
    ),
    "orbits, steps": (
        lambda: orbits.bits_of_gaps(orbits.tent(), Fraction(1, 3), 2.5),
        "steps must be a positive integer, got 2.5",
    ),
    "orbits, cdf": (
        lambda: orbits.masses("uniform", np.ones((1, 2)), np.ones(1)),
        "cdf must be callable, got 'uniform'",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named(name):
    """The argument, what came and what was wanted: not a traceback from inside JAX."""
    call, message = BAD[name]
    with pytest.raises((TypeError, ValueError), match=message):
        call()


@pytest.mark.parametrize("law", [data.sphere, data.gaussian, data.hypercube, data.uniform])
@pytest.mark.parametrize("dtype", [int, complex, "flot"])
def test_inputs_are_real_floats(law, dtype):
    with pytest.raises(TypeError, match=r"^dtype must be a real floating type, got"):
        law(KEY, 5, 3, dtype=dtype)


def test_old_keys_stay_what_they_were():
    """`jax.random.PRNGKey` gives the numbers of `jax.random.key`, and its data pass."""
    new, old = jax.random.key(3), jax.random.PRNGKey(3)
    drawn = [np.asarray(data.gaussian(key, 4, 2)) for key in (new, old, np.asarray(old))]
    assert np.array_equal(drawn[0], drawn[1])
    assert np.array_equal(drawn[0], drawn[2])


def under_jit(draw):
    return jax.jit(draw)(KEY)


def under_vmap(draw):
    return jax.tree.map(lambda leaf: leaf[0], jax.vmap(draw)(KEY[None]))


def raw_under_jit(draw):
    return jax.jit(draw)(jax.random.key_data(KEY))


GOOD_KEYS = {
    "typed": lambda draw: draw(KEY),
    "raw": lambda draw: draw(jax.random.key_data(KEY)),
    "of numpy": lambda draw: draw(np.asarray(jax.random.key_data(KEY))),
    "under jit": under_jit,
    "under vmap": under_vmap,
    "raw under jit": raw_under_jit,
}
GOOD_DRAWS = {
    "networks.init": lambda key: networks.init(key, (3, 2, 1)),
    "kkt.random_unit": lambda key: kkt.random_unit(key, PARAMS),
    "data.sphere": lambda key: data.sphere(key, 5, 3),
    "data.gaussian": lambda key: data.gaussian(key, 5, 3),
    "data.hypercube": lambda key: data.hypercube(key, 5, 3),
    "data.uniform": lambda key: data.uniform(key, 5, 3),
}


@pytest.mark.parametrize("name", GOOD_DRAWS)
@pytest.mark.parametrize("kind", GOOD_KEYS)
def test_keys_of_every_kind_give_the_same_numbers(name, kind):
    draw = GOOD_DRAWS[name]
    chex.assert_trees_all_close(GOOD_KEYS[kind](draw), draw(KEY), rtol=1e-12, atol=1e-15)


OUTPUTS = 4 * 0.5 * (X @ np.full(3, 0.5))[:, None] ** 2
"""Of the network PARAMS at X, written out."""
ONES = np.ones((2, 1), int)
GOOD = {
    "apply, jit": (lambda: jax.jit(lambda w: networks.apply(w, X, SQUARE))(PARAMS), OUTPUTS),
    "apply, jit, all closed over": (
        lambda: jax.jit(lambda t: t * networks.apply(PARAMS, jnp.asarray(X), SQUARE))(1.0),
        OUTPUTS,
    ),
    "apply, vmap over samples": (
        lambda: jax.vmap(lambda row: networks.apply(PARAMS, row[None], SQUARE)[0])(X),
        OUTPUTS,
    ),
    "apply, vmap over networks": (
        lambda: jax.vmap(lambda w: networks.apply(w, X, SQUARE))([w[None] for w in PARAMS])[0],
        OUTPUTS,
    ),
    "features, jit": (
        lambda: jax.jit(lambda x: networks.features(PARAMS, x, SQUARE)[-1] @ PARAMS[-1].T)(X),
        OUTPUTS,
    ),
    "features, vmap": (
        lambda: jax.vmap(lambda row: networks.features(PARAMS, row[None], SQUARE)[-1][0, :1])(X),
        OUTPUTS / 2,
    ),
    "apply, lists": (lambda: networks.apply(PARAMS, [[1.0, 0.0, 0.0]], SQUARE), [[0.5]]),
    "apply, integers": (
        lambda: networks.apply(PARAMS, np.eye(3, dtype=int)[:1], SQUARE),
        [[0.5]],
    ),
    "apply, float32": (
        lambda: networks.apply(PARAMS, np.eye(3, dtype=np.float32)[:1], SQUARE),
        [[0.5]],
    ),
    "residual, integers": (lambda: objectives.residual(ONES, 3 * ONES), [[2.0], [2.0]]),
    "square, integers": (lambda: objectives.square(ONES, 3 * ONES), 4.0),
    "square, numbers": (lambda: objectives.square(1.0, 2.0), 0.5),
    "KKT residual, integers": (lambda: kkt.residual(jnp.sum, np.array([2, 2])), 0.0),
    "init, traced scale": (
        lambda: jax.jit(lambda s: networks.init(KEY, (3, 1), scale=s)[0])(2.0),
        2 * np.asarray(networks.init(KEY, (3, 1))[0]),
    ),
    "sphere, traced radius": (
        lambda: jnp.linalg.norm(
            jax.vmap(lambda r: data.sphere(KEY, 4, 3, radius=r))(jnp.array([1.0, 2.0])), axis=2
        ),
        [[1.0] * 4, [2.0] * 4],
    ),
    "nuclear norm, closed over": (
        lambda: jax.jit(lambda y: dynamics.nuclear_norm_fit(np.ones((1, 1, 1)), y, 1.0).matrix)(
            jnp.array([3.0])
        ),
        [[2.0]],
    ),
    "nuclear norm, closed over on the device": (
        lambda: jax.jit(lambda y: dynamics.nuclear_norm_fit(jnp.ones((1, 1, 1)), y, 1.0).matrix)(
            jnp.array([3.0])
        ),
        [[2.0]],
    ),
    "dormant, list": (lambda: diagnostics.dormant_ratio([0.0, 0.2]), 0.5),
    "scaler, one row": (lambda: SCALER.inputs([1.0, 2.0, 3.0]), [1.0, 2.0, 3.0]),
    "scaler, one output": (lambda: SCALER.targets([1, 2]), [1.0, 2.0]),
}


@pytest.mark.parametrize("name", GOOD)
def test_good_input_is_taken(name):
    """No check refuses what is harmless: transformed by JAX, integers, float32, lists, numbers."""
    call, wanted = GOOD[name]
    np.testing.assert_allclose(call(), wanted, rtol=1e-7, atol=1e-9)
