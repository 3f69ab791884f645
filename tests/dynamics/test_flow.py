"""Gradient flow of any loss: exact solutions, SciPy, events, saves, counts, bad input."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

import nsjax
from nsjax import objectives
from nsjax.dynamics import Event, Saves, Stop, gradient_flow
from nsjax.dynamics.integrate import cost, integrate


def bowl(w, curvature):
    """Quadratic bowl: every coordinate decays at its own rate."""
    return 0.5 * jnp.sum(curvature * w**2)


def first(w, curvature):
    """First coordinate, an observable."""
    return w[0]


@pytest.mark.parametrize(("method", "tol"), [("explicit", 1e-6), ("implicit", 2e-5)])
def test_saxe_two_layer_linear(method, tol):
    """Modes s(t) = s e^{2st} / (e^{2st} - 1 + s/s_0) (Saxe et al. 2013), from 1e-6 to the end."""
    strengths, small = jnp.array([4.0, 2.0, 1.0]), 1e-6
    start = jnp.sqrt(small) * jnp.eye(3)
    flow = gradient_flow(
        objectives.NetworkLoss(nsjax.PolyLeakyReLU(1)),
        (start, start),
        args=(jnp.eye(3), jnp.diag(strengths)),
        t1=12.0,
        rtol=1e-9,
        saves=Saves(snapshots=True),
        method=method,
    )
    growth = jnp.exp(2 * strengths[:, None] * flow.ts)
    exact = strengths[:, None] * growth / (growth - 1 + strengths[:, None] / small)
    modes = jnp.stack([jnp.diagonal(b @ a) for a, b in zip(*flow.snapshots, strict=True)], 1)
    assert flow.result == Stop.HORIZON
    assert float(jnp.max(jnp.abs(modes / exact - 1))) < tol
    assert flow.method == method
    assert (flow.stats.jacobians > 0) == (method == "implicit")


def test_against_scipy():
    """A network's flow against SciPy's DOP853 at 1e-11."""
    activation = nsjax.PolyLeakyReLU(2, 0.5)
    keys = jax.random.split(jax.random.key(0), 4)
    params = (jax.random.normal(keys[0], (3, 2)), jax.random.normal(keys[1], (1, 3)))
    x, y = jax.random.normal(keys[2], (10, 2)), jax.random.normal(keys[3], (10, 1))
    loss = objectives.NetworkLoss(activation)
    flow = gradient_flow(loss, params, args=(x, y), t1=0.5, rtol=1e-9)

    def field(_, flat):
        w = (flat[:6].reshape(3, 2), flat[6:].reshape(1, 3))
        return -np.concatenate([np.ravel(g) for g in gradient(w, x, y)])

    gradient = jax.jit(jax.grad(loss))
    start = np.concatenate([np.ravel(w) for w in params])
    peer = solve_ivp(field, (0, 0.5), start, method="DOP853", rtol=1e-11, atol=1e-12)
    ours = np.concatenate([np.ravel(w) for w in flow.params])
    np.testing.assert_allclose(ours, peer.y[:, -1], rtol=0, atol=1e-7)


def test_event_times_are_located():
    """Of several events met within one step the earliest in time stops the flow, exactly there.

    w_0 = e^{-t} and the loss 1/2 e^{-2t}: w_0 < 0.3 at log(10/3), loss < 0.05 at log(10)/2 -
    before.
    """
    events = (
        Event("first", below=0.3),
        Event("loss", below=0.05),
        Event("grad_norm", below=1e-3),
    )
    flow = gradient_flow(
        bowl,
        jnp.ones(1),
        args=(jnp.ones(1),),
        t1=50.0,
        rtol=1e-8,
        saves=Saves(observables={"first": first}),
        events=events,
    )
    assert flow.result == Stop.EVENT
    assert flow.event == 1
    assert float(flow.ts[-1]) == pytest.approx(np.log(10) / 2, rel=1e-6)
    assert float(flow.losses[-1]) == pytest.approx(0.05, rel=1e-9)
    np.testing.assert_allclose(flow.observables["first"], np.exp(-flow.ts), rtol=1e-6)


def test_event_that_holds_at_the_start_stops_there():
    """The gradient is below the value from the first: nothing is integrated."""
    flow = gradient_flow(
        bowl, jnp.full(1, 1e-9), args=(jnp.ones(1),), t1=1.0, events=Event("grad_norm", below=1e-8)
    )
    assert (flow.result, flow.event) == (Stop.EVENT, 0)
    assert float(flow.ts[-1]) < 1e-300
    np.testing.assert_allclose(flow.params, 1e-9)


def test_saves_are_log_spaced_from_zero_to_the_end():
    """`count` times over `decades` decades after the start, the last at the horizon."""
    saves = Saves(count=31, decades=3)
    flow = gradient_flow(bowl, jnp.ones(1), args=(jnp.ones(1),), t1=10.0, saves=saves)
    assert flow.ts[0] == 0
    np.testing.assert_allclose(flow.ts[1:], np.logspace(-2, 1, 31), rtol=1e-12)
    assert flow.snapshots is None
    assert flow.losses.shape == flow.grad_norms.shape == flow.ts.shape


def test_auto_takes_the_implicit_solver_where_it_is_stiff():
    """Rates of 1 and 1e6 over a time of 10: 3e6 explicit steps, about a hundred implicit ones."""
    curvature = jnp.array([1.0, 1e6])
    stiff = gradient_flow(bowl, jnp.ones(2), args=(curvature,), t1=10.0)
    mild = gradient_flow(bowl, jnp.ones(2), args=(jnp.array([1.0, 2.0]),), t1=10.0)
    assert (stiff.method, mild.method) == ("implicit", "explicit")
    assert stiff.stats.steps < 500
    assert float(stiff.params[0]) == pytest.approx(np.exp(-10), rel=1e-3)


def test_stops_say_why():
    """A budget that ends, and a loss that is not finite, come back as codes with words."""
    short = gradient_flow(
        bowl, jnp.ones(2), args=(jnp.array([1.0, 1e4]),), t1=10.0, method="explicit", max_steps=50
    )
    assert short.result == Stop.MAX_STEPS
    assert "max_steps" in short.message
    lost = gradient_flow(lambda w: jnp.sum(jnp.log(w)), -jnp.ones(1), t1=1.0)
    assert (lost.result, lost.stats.steps < 10) == (Stop.FAILED, True)


def test_coarse_tolerance_is_flagged():
    """atol above a tenth of the smallest weights cannot resolve them: the result says so."""
    weights = (1e-6 * jnp.eye(2), jnp.eye(2))
    loss = objectives.NetworkLoss(nsjax.PolyLeakyReLU(1))
    args = (jnp.eye(2), jnp.eye(2))
    coarse = gradient_flow(loss, weights, args=args, t1=0.1, atol=1e-6)
    fine = gradient_flow(loss, weights, args=args, t1=0.1)
    row = (jnp.array([[1.0, 0.0], [0.0, 1e-6]]), jnp.eye(2))
    assert gradient_flow(loss, row, args=args, t1=0.1, atol=1e-6).coarse, "one small neuron"
    assert coarse.coarse
    assert "coarse" in coarse.message
    assert not fine.coarse


def test_counts_match_the_calls_of_the_field():
    """Gradient evaluations as reported, against a counter in the vector field, to one percent."""
    calls = []

    def field(t, y, args):
        jax.debug.callback(lambda _: calls.append(1), t)
        return -args * y**3

    for solver in ("tsit5", "dopri8", "kvaerno5"):
        run = jax.jit(
            lambda y, a, solver=solver: integrate(
                field,
                y,
                a,
                horizon=5.0,
                fractions=np.linspace(0, 1, 5),
                measure=lambda t, y, args: y,
                margins=None,
                rtol=1e-8,
                atol=1e-8,
                solver=solver,
                max_steps=2000,
            )
        )
        calls.clear()
        out = jax.block_until_ready(run(jnp.ones(2), jnp.array([1.0, 100.0])))
        jax.effects_barrier()
        counted = cost(solver, out.steps, out.rejected)
        assert counted.gradients == pytest.approx(len(calls), rel=0.01, abs=6)
        assert counted.jacobians == (counted.steps if solver == "kvaerno5" else 0)


def test_new_data_and_starts_do_not_compile_again():
    """The loss is traced once for two data sets, starts, horizons and tolerances of one shape."""
    traces = []

    def loss(w, curvature):
        traces.append(1)
        return bowl(w, curvature)

    def flow(seed, t1, rtol):
        start = jax.random.normal(jax.random.key(seed), (3,))
        return gradient_flow(
            loss,
            start,
            args=(jnp.arange(1.0, 4.0) + seed,),
            t1=t1,
            rtol=rtol,
            events=Event("loss", below=10.0**-seed),
            method="explicit",
        )

    flow(1, 1.0, 1e-5)
    once = len(traces)
    flow(2, 3.0, 1e-6)
    assert len(traces) == once


def test_a_flax_module_as_the_model():
    """A user's own flax model flows as it is, and its loss falls."""
    model = nn.Dense(1)
    x = jax.random.normal(jax.random.key(0), (20, 3))
    y = x @ jnp.array([[1.0], [2.0], [3.0]])
    params = model.init(jax.random.key(1), x)

    def loss(params, x, y):
        return jnp.sum((model.apply(params, x) - y) ** 2)

    flow = gradient_flow(loss, params, args=(x, y), t1=10.0, events=Event("loss", below=1e-6))
    assert flow.result == Stop.EVENT
    np.testing.assert_allclose(flow.params["params"]["kernel"], [[1.0], [2.0], [3.0]], atol=1e-2)


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"t1": -1.0}, ValueError, "t1 must be a positive"),
        ({"t1": float("nan")}, ValueError, "t1 must be a positive"),
        ({"rtol": 0.0}, ValueError, "rtol must be a positive"),
        ({"rtol": 1e-16}, ValueError, "rtol must be at least"),
        ({"atol": -1e-9}, ValueError, "atol must be a positive"),
        ({"method": "rk4"}, ValueError, "method must be one of"),
        ({"max_steps": 0}, ValueError, "max_steps must be a positive integer"),
        ({"max_steps": 1.5}, TypeError, "max_steps must be a positive integer"),
        ({"events": Event("size", above=1.0)}, ValueError, "'size', which is not saved"),
        ({"events": ["loss"]}, TypeError, "events must be"),
        ({"saves": 100}, TypeError, "saves must be"),
        ({"params": jnp.array([jnp.nan])}, ValueError, "params must be finite"),
        ({"params": ()}, ValueError, "params must have at least one array"),
        ({"loss": 3.0}, TypeError, "loss must be callable"),
        ({"args": jnp.ones(3)}, TypeError, "args must be a tuple"),
        ({"args": (jnp.array([1.0, jnp.nan]),)}, ValueError, "args .leaf 0. must be finite"),
        ({"events": "loss"}, TypeError, "events must be"),
        ({"events": None}, TypeError, "events must be"),
    ],
)
def test_bad_input_is_refused_before_anything_runs(change, error, match):
    """Every argument is named, with what came and what was wanted, and the loss is never called."""

    def loss(w):
        raise AssertionError("the loss was called")

    arguments = {"loss": loss, "params": jnp.ones(1), "t1": 1.0} | change
    loss, params = arguments.pop("loss"), arguments.pop("params")
    with pytest.raises(error, match=match):
        gradient_flow(loss, params, **arguments)


def test_float32_refuses_what_it_cannot_resolve():
    """A relative tolerance below eight roundings of float32."""
    with pytest.raises(ValueError, match="rtol must be at least"):
        gradient_flow(bowl, jnp.ones(1, jnp.float32), args=(1.0,), t1=1.0, rtol=1e-8)


def test_a_loss_or_an_event_that_is_no_scalar():
    """Both are named, with the shape that came."""
    with pytest.raises(ValueError, match=r"loss must return a scalar, got shape \(2,\)"):
        gradient_flow(lambda w: w**2, jnp.ones(2), t1=1.0)
    saves = Saves(observables={"all": lambda w, c: w})
    with pytest.raises(ValueError, match="observable 'all' must return a scalar"):
        gradient_flow(
            bowl, jnp.ones(2), args=(1.0,), t1=1.0, saves=saves, events=Event("all", above=1.0)
        )


@pytest.mark.parametrize("arguments", [{}, {"below": 1.0, "above": 2.0}, {"below": float("inf")}])
def test_an_event_takes_one_finite_value(arguments):
    """Neither, both, or an infinite value."""
    with pytest.raises(ValueError, match="Event"):
        Event("loss", **arguments)
