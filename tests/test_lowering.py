"""Devices that this machine has not: compiled cores lower for them, and float32 is enough there."""

import importlib
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nsjax
from nsjax import data, dynamics, kkt, objectives, pursuit
from nsjax.networks import cp
from nsjax.neuronseek import LayerTerms, fitting, image_training, large, training
from nsjax.neuronseek.resnet import ResNet
from tests.dynamics.saddle_cases import saddle
from tests.neuronseek import model_cases

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(20, 2)), RNG.normal(size=(20, 1))
WEIGHTS = RNG.normal(size=(3, 2)), RNG.normal(size=(1, 3))
ACTIVATION = nsjax.PolyLeakyReLU(2)
ORIGIN = (np.zeros((1, 2)), np.zeros((1, 1))), (np.ones(1, bool),), X, abs(X[:, :1]), ACTIVATION


def arrays(tree):
    """JAX arrays of the precision that is on."""
    return jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)), tree)


def flow(method):
    """Gradient flow of a network, with an event."""
    dynamics.gradient_flow(
        objectives.NetworkLoss(ACTIVATION),
        arrays(WEIGHTS),
        args=arrays((X, Y)),
        t1=0.5,
        rtol=1e-3,
        method=method,
        events=dynamics.Event("loss", below=1e-9),
    )


def ensemble():
    """Gradient flows of three networks, with a threshold."""
    params = tuple(np.stack([weight] * 3) for weight in WEIGHTS)
    dynamics.flow_ensemble(
        objectives.NetworkLoss(ACTIVATION),
        arrays(params),
        args=arrays((X, Y)),
        t1=0.5,
        rtol=1e-3,
        stop_loss=1e-9,
    )


def slow_escape(params, inactive, x, y, activation, delta=1e-3, perturbation="kkt"):
    """An escape on the slow manifold, in the precision that is on."""
    return dynamics.escape(
        arrays(params),
        inactive,
        *arrays((x, y)),
        activation,
        delta=delta,
        perturbation=perturbation,
        method="slow",
        slow_tol=np.inf,
    )


def ascent(slope, inputs=2):
    """KKT points of a whole network."""

    def sample(key):
        first, second = jax.random.split(key)
        return jax.random.normal(first, (1, inputs)), jax.random.normal(second, (1, 1))

    x, y = arrays((np.random.default_rng(0).normal(size=(20, inputs)), Y))
    objective = objectives.NetworkNCF(nsjax.PolyLeakyReLU(2, slope))
    kkt.search(jax.random.key(0), objective, sample, args=(x, y), starts=4)


def neuron():
    """KKT points of one more neuron."""
    x, y = arrays((X, Y))
    none, activation = (x[:1] * 0, y[:1] * 0), nsjax.PolyLeakyReLU(3, 0.5)
    kkt.search_neuron(jax.random.key(0), none, 1, x, y, activation, starts=4)


def pursuit_round(minimiser):
    """The first round of a neuron pursuit."""
    config = pursuit.Config(
        lanes=2, candidates=1, starts=4, steps=10, capacity=4, minimiser=minimiser
    )
    task = pursuit.Task(*arrays((X, Y)), activation=ACTIVATION, depth=3, config=config)
    pursuit.step(task, pursuit.init(jax.random.key(0), task))


def epochs(rule):
    """Training of a CP-polynomial neuron from two seeds."""
    config = training.Training(cp.Template((1, 2), (2,), 2), rule=rule, epochs=4, batch=8)
    training.run(jax.random.split(jax.random.key(0), 2), *arrays((X, Y)), config=config)


def image_epoch():
    """Training of an image classifier."""
    pixels, classes = np.zeros((8, 4, 4, 1), np.uint8), np.arange(8, dtype=np.int32) % 2
    program = image_training.Program(
        ResNet(2, LayerTerms(((1, 1.0), (2, 1.0)), ((2, 2, 1.0),)), width=2, blocks=(1,)),
        data.Images(pixels, classes, pixels, classes, 2),
        image_training.ImageTraining(epochs=1, batch=4, pad=1),
        devices=jax.devices()[:1],
    )
    state = jax.eval_shape(program.start, jax.random.key(0))
    return [(program._epoch, (state, program.train_samples), {})]


def fits():
    """Fits of a model, as the search of formulas makes them."""
    rng, static = np.random.default_rng(0), {"bases": (), "loss": "square"}
    x = rng.normal(size=(20, 4))
    weights, pooled, rows, used = model_cases.arrays(model_cases.model(rng, outputs=1), x, Y)
    rest = rows, used, fitting.Limits(1e-3, 0.0, 10, 1e-8)
    several = jax.tree.map(lambda leaf: np.stack([leaf, leaf]), (weights, pooled))
    return [
        (fitting.fit_one, (weights, pooled, *rest), static),
        (fitting.fit_many, (*several, *rest), static),
        (large.minimise, (weights, pooled, *rest), static | {"steps": 10}),
    ]


class _Complete(Exception):
    """Every core has been called."""


def called(function, *names):
    """The cores of these names as `function` calls them: `(core, args, kwargs)` of each.

    None of them runs: what calls them gets zeros back, until the last has been called.
    """
    calls = {}

    def stand_in(name, core):
        def call(*args, **kwargs):
            calls.setdefault(name, (core, args, kwargs))
            if len(calls) == len(names):
                raise _Complete
            out = core.trace(*args, **kwargs).out_info
            return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), out)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in names:
            module, attribute = name.rsplit(".", 1)
            module = importlib.import_module(f"nsjax.{module}")
            patch.setattr(module, attribute, stand_in(name, getattr(module, attribute)))
        with pytest.raises(_Complete):
            function()
    return list(calls.values())


FLOW, SLOW = ("dynamics.flow._compiled",), ("dynamics.trip.run",)
KKT = tuple(f"kkt.multistart.{name}" for name in ("_ascend", "_polish", "_certify"))
ROUND = "pursuit.growth.propose", "pursuit.refitting.refit"
EPOCHS = ("neuronseek.epochs.advance",)
CORES = {
    "flow, explicit": partial(called, partial(flow, "explicit"), *FLOW),
    "flow, implicit": partial(called, partial(flow, "implicit"), *FLOW),
    "flow, ensemble": partial(
        called, ensemble, "dynamics.packing.begin", "dynamics.packing.advance"
    ),
    "slow manifold": partial(called, partial(slow_escape, *ORIGIN), *SLOW),
    "KKT ascent": partial(called, partial(ascent, 1.0), *KKT),
    "KKT ascent, kinks": partial(called, partial(ascent, 0.0), *KKT),
    # Too large for a dense Hessian.
    "KKT ascent, large": partial(called, partial(ascent, 1.0, 600), KKT[0], KKT[2]),
    "KKT ascent, one neuron": partial(called, neuron, *KKT),
    **{
        f"pursuit, {name}": partial(called, partial(pursuit_round, name), *ROUND)
        for name in ("lbfgs", "levenberg_marquardt")
    },
    **{
        f"TD epochs, {rule}": partial(called, partial(epochs, rule), *EPOCHS)
        for rule in ("paper", "hard_concrete")
    },
    "image epoch": image_epoch,
    "fits": fits,
}
FACTORISING = ("flow, implicit", "KKT ascent", "fits")
"""Cores whose lowering depends on the dtype: they call the platform's linear algebra."""


@pytest.mark.parametrize("name", CORES)
def test_lowers_for_cuda_and_tpu(name):
    """In float32: for both platforms at once, with no callback to the host and nothing of f64."""
    with jax.enable_x64(False):
        for core, args, kwargs in CORES[name]():
            lowered = jax.export.export(core, platforms=["cuda", "tpu"])(*args, **kwargs)
            assert lowered.platforms == ("cuda", "tpu")
            assert "callback" not in lowered.mlir_module()
            assert "f64" not in lowered.mlir_module()


@pytest.mark.parametrize("name", FACTORISING)
def test_lowers_for_cuda_in_float64(name):
    """With no callback to the host."""
    for core, args, kwargs in CORES[name]():
        lowered = jax.export.export(core, platforms=["cuda"])(*args, **kwargs)
        assert "f64" in lowered.mlir_module()
        assert "callback" not in lowered.mlir_module()


SADDLES = {
    "two layers": {"p": 3, "slope": 0.5},
    "three layers": {"slope": -1.0, "active": (1, 1), "widths": (3, 3), "seed": 4},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SADDLES)
def test_float32_alone_escapes_like_float64(name):
    """With x64 off, on the slow manifold, at delta = 1e-3 and 1e-6: within 2e-4 of float64.

    From a random direction. The escape time and the KKT value, relative; the direction, in norm;
    its cosine with the KKT point. Over twelve kinds of saddles they were off by up to 8e-5, 1e-6,
    7e-5 and 2e-4.
    """
    problem = saddle(**SADDLES[name]).problem
    rng = np.random.default_rng(0)
    drawn = [rng.normal(size=w.shape) for w in problem[0]]
    size = np.sqrt(sum(np.sum(w**2) for w in drawn))
    towards = tuple(w / size for w in drawn)
    for delta in (1e-3, 1e-6):
        double = slow_escape(*problem, delta, towards)
        with jax.enable_x64(False):
            single = slow_escape(*problem, delta, towards)
        for run, dtype in ((double, jnp.float64), (single, jnp.float32)):
            assert run.result == dynamics.Stop.ESCAPED
            assert run.direction[0].dtype == dtype
        assert single.escape_time == pytest.approx(double.escape_time, rel=2e-4)
        assert single.kkt_value == pytest.approx(double.kkt_value, rel=2e-4)
        assert single.cosine[-1] == pytest.approx(double.cosine[-1], abs=2e-4)
        gap = [np.subtract(a, b) for a, b in zip(single.direction, double.direction, strict=True)]
        assert np.sqrt(sum(np.sum(w**2) for w in gap)) < 2e-4
