"""Ensembles of flows: exact solutions, gradient flow of each member, resuming, devices, bad input.

Runs of one ensemble that differ in chunks, lanes or devices agree to rounding where the step sizes
do not magnify it: the losses here are smooth, and the bound is `ROUNDING`. Where rounding does
decide, they agree within the tolerances of the steps, 1e-8.
"""

import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nsjax
from nsjax import dynamics, networks, objectives
from nsjax.dynamics import Saves, Stop, ensemble, flow_ensemble, gradient_flow, lanes

ROUNDING = 1e-10


def decay(w, rate):
    """`dw/dt = -rate w`."""
    return 0.5 * rate * jnp.sum(w**2)


def first(w, rate):
    """First coordinate, an observable."""
    return w[0]


network = objectives.NetworkLoss(nsjax.PolyLeakyReLU(2))


def own_data(params, x, y):
    """A member's own draw of the data."""
    return network(params, x, y)


def outer(params, x, y):
    """Output weights and their signs, observables of several dtypes."""
    return {"weights": params[1][0], "signs": params[1][0] > 0}


def two_layers(count, *, samples=12):
    """Starts of several sizes, data for each, horizons."""
    keys = jax.random.split(jax.random.key(0), 4)
    sizes = jnp.logspace(-2, 0, count)[:, None, None]
    params = (
        sizes * jax.random.normal(keys[0], (count, 4, 3)),
        sizes * jax.random.normal(keys[1], (count, 1, 4)),
    )
    x = jax.random.normal(keys[2], (count, samples, 3)) / 2
    y = jax.random.normal(keys[3], (count, samples, 1))
    return params, x, y, np.linspace(0.3, 1.5, count)


def same(a, b):
    """Whether all arrays have the same bits."""
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(np.array_equal(np.asarray(p), np.asarray(q), equal_nan=True) for p, q in pairs)


def close(a, b, tol):
    """Ends and saves of two runs are the same within a tolerance."""
    for name in ("ts", "losses", "grad_norms", "t_end"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=tol, atol=tol)
    for p, q in zip(jax.tree.leaves(a.params), jax.tree.leaves(b.params), strict=True):
        np.testing.assert_allclose(p, q, rtol=tol, atol=tol)
    np.testing.assert_array_equal(a.results, b.results)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_exponential_decay_with_rates_and_horizons_of_their_own(dtype):
    """`w = w_0 exp(-rate t)` at every save, on `count` log-spaced times of each horizon."""
    rates, horizons = np.array([0.0, 0.2, 0.5, 1.0], dtype), np.array([1.0, 2.0, 3.0, 4.0], dtype)
    start = np.array([[1.0, 2.0]] * 4, dtype)
    found = flow_ensemble(
        decay,
        start,
        member_args=(rates,),
        t1=horizons,
        saves=Saves(21, 3, {"first": first}, snapshots=True),
    )
    tol = 1e-5 if dtype == np.float32 else 2e-6
    exact = np.exp(-rates[:, None] * found.ts)
    assert found.ts.dtype == found.params.dtype == dtype
    np.testing.assert_allclose(
        found.ts, horizons[:, None] * np.append(0, np.logspace(-3, 0, 21)), rtol=1e-6
    )
    np.testing.assert_allclose(found.observables["first"], exact, rtol=tol)
    np.testing.assert_allclose(found.snapshots, exact[:, :, None] * start[:, None], rtol=tol)
    np.testing.assert_allclose(found.losses, 2.5 * rates[:, None] * exact**2, rtol=2 * tol)
    np.testing.assert_allclose(found.grad_norms, rates[:, None] * exact * 5**0.5, rtol=tol)
    np.testing.assert_array_equal(found.params, found.snapshots[:, -1])
    np.testing.assert_array_equal(found.t_end, horizons)
    assert found.messages == ["the horizon was reached"] * 4


@pytest.mark.parametrize("shared", [True, False])
def test_every_member_is_the_gradient_flow_of_it(shared):
    """Starts of 1e-2 to 1, with one set of data or their own: ends, saves, and counts of steps."""
    params, x, y, horizons = two_layers(5)
    saves = Saves(15, 4, {"outer": outer}, snapshots=True)
    policy = {"saves": saves, "rtol": 1e-7}
    if shared:
        found = flow_ensemble(network, params, args=(x[0], y[0]), t1=horizons, **policy)
    else:
        found = flow_ensemble(own_data, params, member_args=(x, y), t1=horizons, **policy)
    for i, t1 in enumerate(horizons):
        start = jax.tree.map(lambda w, i=i: w[i], params)
        data = (x[0], y[0]) if shared else (x[i], y[i])
        alone = gradient_flow(own_data, start, args=data, t1=t1, method="explicit", **policy)
        np.testing.assert_allclose(found.ts[i], alone.ts, rtol=1e-12)
        np.testing.assert_allclose(found.losses[i], alone.losses, rtol=1e-8)
        np.testing.assert_allclose(found.grad_norms[i], alone.grad_norms, rtol=1e-7, atol=1e-9)
        for ours, theirs in zip(
            jax.tree.leaves((found.params, found.snapshots, found.observables)),
            jax.tree.leaves((alone.params, alone.snapshots, alone.observables)),
            strict=True,
        ):
            np.testing.assert_allclose(ours[i], theirs, rtol=1e-7, atol=1e-9)
        assert abs(int(found.steps[i]) - alone.stats.steps) <= 2
        assert found.coarse[i] == alone.coarse


def test_members_stop_on_thresholds_of_their_own():
    """At the first accepted step past the value; the last save is there, then there are none."""
    thresholds = np.array([1e-1, 1e-2, 1e-3, 10.0])
    kwargs = {"member_args": (np.ones(4),), "t1": 20.0, "saves": Saves(400, 2)}
    for name, power in (("stop_loss", 2), ("stop_grad_norm", 1)):
        policy = {"stop_loss": 1e-300, "stop_grad_norm": 1e-300} | {name: thresholds} | kwargs
        found = flow_ensemble(decay, np.full((4, 1), 2**0.5), **policy)
        assert (found.results == Stop.EVENT).all()
        assert found.messages[0] == "an event fired"
        for i in range(3):
            last = np.isfinite(found.ts[i]).sum() - 1
            series = found.losses if name == "stop_loss" else found.grad_norms
            crossing = np.log(series[i, 0] / thresholds[i]) / power
            assert crossing < found.t_end[i] < crossing + 1
            assert found.ts[i, last] == found.t_end[i]
            assert series[i, last] < thresholds[i]
            assert np.isnan(series[i, last + 1 :]).all()
        # The last one is past the value at the start.
        assert (found.t_end[3], found.steps[3]) == (0, 0)
        assert np.isfinite(found.ts[3]).sum() == 1


def test_what_fails_and_what_runs_out_of_steps():
    """An infinite slope at the start, `dw/dt = w^2` up to its end at t = 1, a stiff decay."""

    def loss(w, rate, blow):
        slope = jnp.where(rate < 0, jnp.inf, 0.0)
        return decay(w, rate) + slope * jnp.sum(w) - blow * jnp.sum(w**3) / 3

    found = flow_ensemble(
        loss,
        np.ones((4, 1)),
        member_args=(np.array([-1.0, 0.0, 1e4, 1.0]), np.array([0.0, 1.0, 0.0, 0.0])),
        t1=2.0,
        max_steps=2000,
        saves=Saves(5),
    )
    assert found.results.tolist() == [Stop.FAILED, Stop.FAILED, Stop.MAX_STEPS, Stop.HORIZON]
    assert found.steps[0] == 0
    assert found.steps[1] < found.steps[2] == 2000
    np.testing.assert_allclose(found.t_end, [0, 1, found.t_end[2], 2], rtol=1e-5)
    last = np.isfinite(found.ts[2]).sum() - 1
    assert found.ts[2, last] == found.t_end[2] < 1
    np.testing.assert_allclose(found.losses[2, last], 5e3 * found.params[2, 0] ** 2)
    np.testing.assert_allclose(found.params[3], np.exp(-2), rtol=1e-6)


def test_finished_members_stop_costing():
    """Of 64 members 4 need 20 times the steps: nearly all lanes are dropped on the way."""
    rates = np.where(np.arange(64) % 16 == 0, 2000.0, 1.0)
    found = flow_ensemble(
        decay, np.ones((64, 1)), member_args=(rates,), t1=1.0, saves=Saves(3), chunk=16
    )
    slow, quick = found.steps[0], found.steps[1]
    assert slow > 20 * quick
    # Four blocks for the first chunk, then one for the four.
    assert found.lanes <= 64 * (quick + 16) + 16 * (slow + 16)
    assert found.lanes >= found.steps.sum()


def least_memory(*call, **kwargs):
    """Bytes that one block needs, as the refusal of one byte says."""
    with pytest.raises(ValueError, match="memory must be at least") as refused:
        flow_ensemble(*call, **kwargs, memory=1)
    return int(re.findall(r"at least (\d+) bytes", str(refused.value))[0])


def test_a_resumed_run_ends_with_the_same_bits():
    """From every chunk, those before the second group included; the states stay what they were."""
    params, x, y, horizons = two_layers(20)
    kwargs = {
        "args": (x[0], y[0]),
        "t1": horizons,
        "saves": Saves(9, 3, {"outer": outer}, snapshots=True),
        "chunk": 8,
    }
    kwargs |= {"memory": least_memory(network, params, **kwargs)}
    states = []
    whole = flow_ensemble(network, params, **kwargs, on_chunk=states.append)
    assert same(whole, flow_ensemble(network, params, **kwargs))
    assert len(states) > 4
    assert (states[0].members.made == 0).any()  # a second group has not begun
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(states[0]))
    for state in states:
        before = jax.tree.map(np.copy, state)
        assert same(flow_ensemble(network, params, **kwargs, start=state), whole)
        assert same(state, before)
    given = []
    restored = flow_ensemble(
        network, params, **kwargs, start=lambda fresh: given.append(fresh) or states[1]
    )
    assert same(restored, whole)
    assert (given[0].members.made == 0).all()
    assert same(flow_ensemble(network, params, **kwargs, start=lambda fresh: None), whole)


def test_chunks_lanes_and_company_change_nothing_but_rounding(monkeypatch):
    """Another chunk, one block of all lanes as on accelerators, and a member alone."""
    params, x, y, horizons = two_layers(20)
    kwargs = {"args": (x[0], y[0]), "saves": Saves(9, 3)}
    whole = flow_ensemble(network, params, t1=horizons, chunk=999, **kwargs)
    close(flow_ensemble(network, params, t1=horizons, chunk=7, **kwargs), whole, ROUNDING)
    one = jax.tree.map(lambda w: w[-1:], params)
    alone = flow_ensemble(network, one, t1=horizons[-1], **kwargs)
    np.testing.assert_allclose(alone.losses[0], whole.losses[-1], rtol=ROUNDING, atol=ROUNDING)
    np.testing.assert_allclose(alone.params[0][0], whole.params[0][-1], atol=ROUNDING)
    monkeypatch.setattr(ensemble, "block_size", lambda mesh, size: 0)
    close(flow_ensemble(network, params, t1=horizons, chunk=999, **kwargs), whole, ROUNDING)


def test_a_member_is_a_cascade():
    """The saddles on its way are those of the flow alone; a short one ends where it stopped."""
    key = jax.random.key(3)
    x = jax.random.normal(key, (40, 4))
    activation = nsjax.PolyLeakyReLU(2)
    y = x[:, :1] ** 2 + 0.3 * x[:, 1:2] ** 2
    starts = jax.vmap(lambda k: networks.init(k, (4, 3, 1), scale=0.02))(jax.random.split(key, 2))
    loss = objectives.NetworkLoss(activation)
    saves = Saves(400, 4, snapshots=True)
    flows = flow_ensemble(loss, starts, args=(x, y), t1=np.array([2.0, 1e-3]), saves=saves)
    one = jax.tree.map(lambda w: w[0], starts)
    alone = gradient_flow(loss, one, args=(x, y), t1=2.0, saves=saves, method="explicit")
    found, wanted = (
        dynamics.saddle_visits(each, x, y, activation) for each in (flows.member(0), alone)
    )
    assert len(found) == len(wanted) >= 2
    for a, b in zip(found, wanted, strict=True):
        assert a.active_counts == b.active_counts
        np.testing.assert_allclose(a.loss, b.loss, rtol=1e-4, atol=1e-6)
    short = flows.member(1)
    assert np.all(np.isfinite(short.losses))
    assert len(short.ts) == len(short.snapshots[0])
    with pytest.raises(ValueError, match="index must be from 0 to 1, got 2"):
        flows.member(2)
    with pytest.raises(TypeError, match=r"index must be an integer, got 1\.0"):
        flows.member(1.0)


def test_new_data_of_the_same_shapes_does_not_compile_again():
    """Nor do other tolerances, horizons, thresholds, chunks and bounds on the steps."""
    rates = np.ones(3)
    kwargs = {"saves": Saves(3), "stop_loss": 1e-3}
    flow_ensemble(decay, np.ones((3, 1)), member_args=(rates,), t1=1.0, **kwargs)
    programs = lanes.begin._cache_size(), lanes.advance._cache_size()
    kwargs |= {"stop_loss": np.full(3, 0.1), "rtol": 1e-4, "atol": 1e-6, "max_steps": 50}
    flow_ensemble(decay, np.zeros((3, 1)), member_args=(2 * rates,), t1=rates, chunk=5, **kwargs)
    assert programs == (lanes.begin._cache_size(), lanes.advance._cache_size())


def test_memory_bounds_the_members_at_once():
    """Groups of fewer give the same; too little for one block is refused, with what to lower."""
    call = decay, np.ones((60, 1))
    kwargs = {"member_args": (np.linspace(0, 3, 60),), "t1": 1.0, "saves": Saves(3)}
    memory = least_memory(*call, **kwargs)
    groups = []
    tight = flow_ensemble(*call, **kwargs, memory=memory, on_chunk=groups.append)
    close(tight, flow_ensemble(*call, **kwargs), ROUNDING)
    begun = [int((state.members.made > 0).sum()) for state in groups]
    assert begun == [16, 32, 48, 60]
    with pytest.raises(ValueError, match=r"for 16 members at once.*lower saves.count \(now 3\)"):
        flow_ensemble(*call, **kwargs, memory=memory - 1)


DEVICES = """
import os
flags = os.environ.get("XLA_FLAGS", "")
os.environ["XLA_FLAGS"] = flags + " --xla_force_host_platform_device_count=8"
import sys
import jax
import numpy as np
jax.config.update("jax_enable_x64", True)
sys.path.insert(0, sys.argv[1])
from test_ensemble import ROUNDING, Saves, close, flow_ensemble, network, same, two_layers

params, x, y, _ = two_layers(20, samples=8)
horizons = np.where(np.arange(20) < 10, 0.1, 1.0)

def run(shape=None, names=(), chunk=999, **kwargs):
    mesh = None if shape is None else jax.make_mesh(shape, names)
    kwargs |= {"saves": Saves(5, 3, {"again": network}), "chunk": chunk, "mesh": mesh}
    return flow_ensemble(network, params, args=(x[0], y[0]), t1=horizons, **kwargs)

whole = run()
found = run((2, 2), ("members", "data"))
close(found, whole, ROUNDING)
assert same(run((2, 2), ("members", "data")), found)
np.testing.assert_allclose(found.observables["again"], found.losses, rtol=1e-12)

def mean_loss(params, x, y):
    # No sum over samples: a mean, and a regulariser.
    return network(params, x, y) / len(x) + 1e-2 * sum(jax.numpy.sum(w**2) for w in params)

split = jax.make_mesh((2, 2), ("members", "data"))
found, whole_mean = (
    flow_ensemble(mean_loss, params, args=(x[0], y[0]), t1=horizons, mesh=mesh)
    for mesh in (split, None)
)
close(found, whole_mean, ROUNDING)
states = []
found = run((8,), ("members",), chunk=16, on_chunk=states.append)
close(found, whole, ROUNDING)
assert len(states) > 1
assert same(run((8,), ("members",), chunk=16, start=states[0]), found)
print("as on one device")
"""


def test_devices_change_nothing_but_rounding():
    """On 1, on 2 times 2 with samples split, and on 8: to rounding; repeated there, same bits."""
    answer = subprocess.run(
        [sys.executable, "-W", "error", "-c", DEVICES, str(Path(__file__).parent)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.stdout == "as on one device\n", answer.stderr[-2000:]


def start_of_others():
    """A state of an ensemble of another size."""
    states = []
    flow_ensemble(
        decay,
        np.ones((3, 1)),
        member_args=(np.ones(3),),
        t1=1.0,
        saves=Saves(3),
        on_chunk=states.append,
    )
    return states[0]


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"loss": 1}, TypeError, "loss must be callable, got 1"),
        ({"loss": lambda w, r: w}, ValueError, r"loss must return a scalar, got shape \(1,\)"),
        ({"params": ()}, ValueError, "params must have at least one array"),
        ({"params": (np.ones((2, 1)), np.ones((3, 1)))}, ValueError, "params .* axis of members"),
        ({"params": np.full((2, 1), np.nan)}, ValueError, "params must be finite, got 2 NaN"),
        ({"args": [1]}, TypeError, "args must be a tuple"),
        ({"member_args": (np.ones(3),)}, ValueError, r"member_args\[0\].* 2 members, got shape"),
        ({"member_args": (1.0,)}, ValueError, r"member_args\[0\] must have .* 2 members, got 1.0"),
        ({"member_args": (np.array([1, np.inf]),)}, ValueError, "member_args .* must be finite"),
        ({"t1": 0.0}, ValueError, "t1 must be positive numbers, got 0.0"),
        ({"t1": np.ones(3)}, TypeError, "t1 must be one or 2 positive numbers"),
        ({"t1": "long"}, TypeError, "t1 must be one or 2 positive numbers, got 'long'"),
        ({"rtol": True}, TypeError, "rtol must be one or 2 positive numbers, got True"),
        ({"rtol": [1e-6, 1e-20]}, ValueError, "rtol must be at least 1.8e-15"),
        ({"atol": -1.0}, ValueError, "atol must be positive numbers, got -1.0"),
        ({"stop_loss": np.nan}, ValueError, "stop_loss must be finite numbers, got nan"),
        ({"stop_grad_norm": 0.0}, ValueError, "stop_grad_norm must be positive numbers"),
        ({"saves": 7}, TypeError, "saves must be an nsjax.dynamics.Saves, got 7"),
        (
            {"saves": Saves(3, observables={"sum": jnp.sum})},
            TypeError,
            "observable 'sum' must be a pure function of the arguments",
        ),
        ({"max_steps": 0}, ValueError, "max_steps must be a positive integer, got 0"),
        ({"chunk": 1.5}, TypeError, "chunk must be a positive integer, got 1.5"),
        ({"memory": -1}, ValueError, "memory must be a positive integer, got -1"),
        ({"mesh": 8}, TypeError, "mesh must be a jax.sharding.Mesh, got 8"),
        ({"mesh": "batch"}, ValueError, r"mesh must have axes out of .* got \('batch',\)"),
        ({"mesh": "data"}, ValueError, "the first array in args must have a multiple of 1 rows"),
        ({"on_chunk": 1}, TypeError, "on_chunk must be callable, got 1"),
        ({"start": 1}, TypeError, "start must be an nsjax.dynamics.EnsembleState, got 1"),
        ({"start": start_of_others}, ValueError, r"start\.members\.y must be float64 of shape"),
        (
            {"start": start_of_others, "saves": Saves(3, observables={"first": first})},
            ValueError,
            "start must come from a call with the same observables, got none",
        ),
    ],
)
def test_bad_input(changes, error, said):
    if isinstance(changes.get("mesh"), str):
        changes = changes | {"mesh": jax.make_mesh((1,), (changes["mesh"],))}
    if callable(changes.get("start")):
        changes = changes | {"start": changes["start"]()}
    call = {
        "loss": decay,
        "params": np.ones((2, 1)),
        "member_args": (np.ones(2),),
        "t1": 1.0,
        "saves": Saves(3),
    } | changes
    with pytest.raises(error, match=said):
        flow_ensemble(call.pop("loss"), call.pop("params"), **call)
