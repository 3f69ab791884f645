"""Every search and training over several devices: as on one, to rounding; repeated, the same bits.

The devices are forced on the CPU of a process of its own. Flows have tests of theirs.
"""

import subprocess
import sys

import jax
import numpy as np
import pytest

import nsjax
from nsjax import kkt, networks, neuronseek, pursuit
from nsjax.neuronseek.ensembles import train_ensemble

COMMON = """
import os
flags = os.environ.get("XLA_FLAGS", "")
os.environ["XLA_FLAGS"] = flags + " --xla_force_host_platform_device_count=8"
import jax
import jax.numpy as jnp
import numpy as np
import nsjax
from nsjax import kkt, networks, neuronseek, objectives, pursuit
jax.config.update("jax_enable_x64", True)
MESHES = [
    jax.make_mesh((2, 2), ("members", "data")),
    jax.make_mesh((8,), ("members",)),
    jax.make_mesh((2,), ("data",)),
]
key = jax.random.key(0)
x = jax.random.normal(key, (40, 5))
y = x[:, :1] * x[:, 1:2] + 0.5 * x[:, 2:3] ** 2

def compare(run, rounding, meshes=MESHES):
    whole = jax.tree.leaves(run(None))
    for mesh in meshes:
        first, again = jax.tree.leaves(run(mesh)), jax.tree.leaves(run(mesh))
        for a, b, c in zip(first, again, whole, strict=True):
            if not jnp.issubdtype(jnp.asarray(a).dtype, jax.dtypes.prng_key):
                np.testing.assert_array_equal(a, b)
                np.testing.assert_allclose(a, c, rtol=rounding, atol=rounding)
"""

CASES = {
    "kkt search of an objective": """
ncf = objectives.NetworkNCF(nsjax.PolyLeakyReLU(2, 0.5))
sample = lambda k: networks.init(k, (5, 4, 1))
def run(mesh):
    return kkt.search(key, ncf, sample, args=(x, y), starts=11, max_cosine=0.99, mesh=mesh)
compare(run, 1e-7)
""",
    "kkt search of a neuron": """
empty = tuple(jnp.zeros(s) for s in ((4, 5), (1, 4)))
def search(p, slope, method="ascent", meshes=MESHES):
    activation = nsjax.PolyLeakyReLU(p, slope)
    def run(mesh):
        return kkt.search_neuron(
            key, empty, 1, x, y, activation, starts=13, method=method, mesh=mesh
        )._replace(steps=0)
    compare(run, 1e-7, meshes)
search(3, 1.0)
search(1, 0.2, meshes=MESHES[:1])
search(2, 1.0, "exact", MESHES[:1])
try:
    kkt.search_neuron(key, empty, 1, x[:39], y[:39], nsjax.PolyLeakyReLU(2), mesh=MESHES[0])
except ValueError as error:
    assert "mesh splits the samples in 2: the first array in (x, residual)" in str(error)
""",
    "pursuits": """
activation = nsjax.PolyLeakyReLU(2)
config = pursuit.Config(
    lanes=3, starts=8, candidates=2, steps=40, max_neurons=3, tol=1e-30, max_rounds=2
)
states = {}  # of the first round, from which every run but the first goes on
def run(mesh):
    found = pursuit.run(
        jax.random.split(key, 2), x, y, activation=activation, depth=2,
        test=(x[:33], y[:33]), validation=(x[:21], y[:21]), config=config, mesh=mesh,
        state=states.get("first"), on_round=lambda state, _: states.setdefault("first", state),
    )
    outputs = [networks.apply(each.params, x, activation) for each in found]
    last = [(each.history.loss[-1], each.history.test[-1]) for each in found]
    return outputs, last
compare(run, 1e-6)
""",
    "task-driven neurons": """
template = networks.cp.Template((1, 2), (2,), 2)
for batch in (16, None):
    config = neuronseek.Training(template, epochs=6, refit_epochs=2, batch=batch)
    def run(mesh):
        found = neuronseek.search(jax.random.split(key, 3), x, y, config, mesh=mesh)
        return [(each.neuron, each.history.train) for each in found]
    compare(run, 1e-9)
""",
    "networks": """
import flax.linen as nn
from nsjax.neuronseek.ensembles import EnsembleTraining, train_ensemble
class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(1)(nn.tanh(nn.Dense(4)(x)))
xs, ys = (jnp.broadcast_to(a, (3, *a.shape)) for a in (x, y))
def run(mesh):
    return train_ensemble(
        jax.random.split(key, 3), Net(), (xs, ys), (xs[:, :9], ys[:, :9]),
        config=EnsembleTraining(epochs=30, batch=8), mesh=mesh,
    )
compare(run, 1e-6, MESHES[1:2])
""",
}


@pytest.mark.parametrize("case", CASES)
def test_devices_change_nothing_but_rounding(case):
    answer = subprocess.run(
        [sys.executable, "-W", "error", "-c", COMMON + CASES[case] + "print('as on one device')"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.stdout == "as on one device\n", answer.stderr[-3000:]


X, Y = np.ones((3, 2)), np.arange(3.0)[:, None]
SQUARE = nsjax.PolyLeakyReLU(2)
NETWORK = networks.init(jax.random.key(0), (2, 1, 1))
KEYS = jax.random.split(jax.random.key(0), 2)
CALLS = {
    "kkt.search": lambda mesh: kkt.search(
        KEYS[0], lambda w, x: w[0], lambda key: np.ones(2), args=(X,), mesh=mesh
    ),
    "kkt.search_neuron": lambda mesh: kkt.search_neuron(
        KEYS[0], NETWORK, 1, X, Y, SQUARE, mesh=mesh
    ),
    "pursuit.run": lambda mesh: pursuit.run(KEYS, X, Y, activation=SQUARE, depth=2, mesh=mesh),
    "neuronseek.search": lambda mesh: neuronseek.search(
        KEYS, X, Y, neuronseek.Training(), mesh=mesh
    ),
    "train_ensemble": lambda mesh: train_ensemble(
        KEYS, None, (X[None], Y[None]), (X[None], Y[None]), mesh=mesh
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_bad_mesh_is_refused(name):
    with pytest.raises(TypeError, match=r"mesh must be a jax\.sharding.Mesh, got 8"):
        CALLS[name](8)
    with pytest.raises(ValueError, match=r"mesh must have axes out of .* got \('batch',\)"):
        CALLS[name](jax.make_mesh((1,), ("batch",)))


def test_networks_with_samples_of_their_own_have_none_to_split():
    with pytest.raises(ValueError, match=r"mesh must have the axis 'members' alone, got"):
        CALLS["train_ensemble"](jax.make_mesh((1,), ("data",)))


def test_a_search_from_candidate_to_candidate_takes_no_mesh():
    with pytest.raises(ValueError, match=r"mesh must be None for a search .* got config=Config"):
        neuronseek.search(KEYS, X, Y, mesh=jax.make_mesh((1,), ("members",)))
