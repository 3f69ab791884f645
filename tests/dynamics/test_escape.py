"""Escape from a saddle: closed forms, conservation, what it reports, what it refuses."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nsjax
from nsjax import diagnostics, dynamics, networks, objectives
from nsjax.dynamics import Stop, escape, ray_time
from tests.dynamics.saddle_cases import saddle


def origin(case):
    """The same network with every neuron inactive."""
    params = tuple(jnp.zeros_like(w) for w in case.params)
    inactive = tuple(np.ones(w.shape[0], bool) for w in params[:-1])
    return params, inactive, case.x, case.y, case.activation


@pytest.mark.parametrize("p", [2, 3])
@pytest.mark.parametrize("where", ["saddle", "origin"])
def test_escape_time_along_a_kkt_ray(p, where):
    """t(theta) of a KKT ray at theta = 0.03: error < 1e-3 at delta = 1e-4, q = 3 and 4.

    From the origin and from a saddle with trained w_n; the error shrinks with delta, since the
    ray's higher-order terms matter for the last, shortest stretch only.
    """
    case = saddle(p)
    problem = case.problem if where == "saddle" else origin(case)
    errors = []
    for delta in (1e-2, 1e-3, 1e-4):
        result = escape(*problem, delta=delta, threshold=0.03)
        assert result.result == Stop.ESCAPED
        assert result.degree == p + 1
        exact = ray_time(delta, 0.03, result.kkt_value, result.degree)
        errors.append(abs(result.escape_time / exact - 1))
    assert errors[-1] < 1e-3
    assert errors[-1] <= max(errors[0], 1e-7)


def test_escape_time_for_degree_two():
    """q = 2, a linear network: rho = delta exp(2 N* t), so t = log(theta / delta) / (2 N*)."""
    case = saddle(1, outputs=2)
    for delta in (1e-4, 1e-6):
        result = escape(*case.problem, delta=delta, threshold=1e-3)
        exact = np.log(1e-3 / delta) / (2 * result.kkt_value)
        assert result.degree == 2
        assert result.escape_time == pytest.approx(exact, rel=1e-3)


def test_work_and_time_against_delta():
    """Slow steps at 1e-8 are at most 1.1 times those at 1e-2; the time goes as delta^-(q-2)."""
    case = saddle()
    common = {"perturbation": "random", "key": jax.random.key(1)}
    deltas = (1e-2, 1e-4, 1e-6, 1e-8)
    slow = [
        escape(*case.problem, delta=d, method="slow", slow_tol=np.inf, **common) for d in deltas
    ]
    assert all([p.method for p in r.phases] == ["slow"] for r in slow)
    assert slow[-1].stats.steps <= 1.1 * slow[0].stats.steps
    assert slow[-1].stats.steps <= 100
    results = [escape(*case.problem, delta=d, **common) for d in deltas]
    assert [r.method for r in results] == ["explicit", "slow", "slow", "slow"]
    assert dynamics.time_scaling(results).exponent == pytest.approx(-1, abs=1e-3)
    # Theorem 7: the active weights stay within O(delta) of the saddle.
    drift = diagnostics.power_law([r.delta for r in results], [r.drift.max() for r in results])
    assert drift.exponent == pytest.approx(1, abs=0.1)


def test_the_zero_block_aligns_with_its_kkt_point():
    """With the threshold far beyond delta the direction is a KKT point of the saddle's NCF."""
    case = saddle()
    result = escape(
        *case.problem, delta=1e-7, threshold=1e-3, perturbation="random", key=jax.random.key(1)
    )
    assert result.target_value > 0
    assert result.kkt_residual[-1] < 1e-3
    assert result.cosine[-1] > 1 - 1e-6
    at = dynamics.correlation.correlation(case.params, False, case.x, case.y, case.activation)
    point = nsjax.kkt.residual(at.function, result.direction, args=at.args)
    assert float(point) == pytest.approx(result.kkt_residual[-1], rel=1e-6)
    assert float(nsjax.kkt.norm(result.direction)) == pytest.approx(1)


THREE_LAYERS = {"active": (1, 1), "widths": (3, 3)}


@pytest.mark.parametrize(
    ("kind", "deltas"),
    [
        ({}, (1e-2, 1e-4)),
        ({"p": 3}, (1e-2,)),
        pytest.param(THREE_LAYERS, (1e-2, 1e-3, 1e-5), marks=pytest.mark.slow),
        pytest.param(THREE_LAYERS | {"p": 3}, (1e-2, 1e-5), marks=pytest.mark.slow),
        pytest.param(THREE_LAYERS | {"slope": 0.5}, (1e-2, 1e-5), marks=pytest.mark.slow),
        pytest.param({"p": 3, "slope": 0.0}, (1e-2, 1e-5), marks=pytest.mark.slow),
    ],
)
def test_imbalance_is_conserved_over_a_whole_escape(kind, deltas):
    """||in||^2 - p ||out||^2 of every neuron, to 1e-6 of its size, past the fall of the loss."""
    case, key = saddle(**kind), jax.random.key(2)
    where = dynamics.saddles.blocks(case.params, case.inactive)
    n, z = dynamics.approach.perturbation_blocks("random", key, case.params, where)
    layout = nsjax._flat.Layout.of(case.params)
    for delta in deltas:
        result = escape(*case.problem, delta=delta, perturbation="random", key=key, follow=1.0)
        assert result.result == Stop.ESCAPED
        assert len(result.phases) > 1
        assert result.losses[-1] < result.losses[0]
        start = layout.tree(layout.flat(case.params) + delta * (n + z))
        before = diagnostics.imbalance(start, case.activation)
        after = diagnostics.imbalance(result.params, case.activation)
        size = diagnostics.neuron_size(result.params, case.activation)
        for old, new, scale in zip(before, after, size, strict=True):
            assert float(jnp.max(jnp.abs(new - old) / scale)) < 1e-6


def test_methods_agree_where_all_apply():
    """Explicit, implicit and slow at delta = 1e-3: the same time and direction."""
    case = saddle()
    runs = {
        method: escape(
            *case.problem, delta=1e-3, perturbation="random", key=jax.random.key(1), method=method
        )
        for method in ("explicit", "implicit", "slow")
    }
    for method, run in runs.items():
        assert run.method == method
        assert run.escape_time == pytest.approx(runs["explicit"].escape_time, rel=1e-5)
        gap = jax.tree.map(jnp.subtract, run.direction, runs["explicit"].direction)
        assert float(nsjax.kkt.norm(gap)) < 1e-5
    assert runs["slow"].evaluations < 0.02 * runs["explicit"].evaluations
    assert runs["implicit"].stats.jacobians > 0


def test_float32_on_the_slow_manifold_and_nowhere_else():
    """float32 stays within 2e-4 of float64 on the slow manifold; the plain flow is refused."""
    case = saddle()
    double = escape(*case.problem, delta=1e-6)
    single_case = [
        jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), part)
        for part in (case.params, case.x, case.y)
    ]
    problem = (single_case[0], case.inactive, single_case[1], single_case[2], case.activation)
    single = escape(*problem, delta=1e-6, method="slow")
    assert single.result == Stop.ESCAPED
    assert single.direction[0].dtype == jnp.float32
    assert single.escape_time == pytest.approx(double.escape_time, rel=2e-4)
    refused = escape(*problem, delta=1e-6, method="explicit")
    assert refused.result == Stop.ROUNDING
    assert "float64" in refused.message
    assert np.isnan(refused.escape_time)


def test_implicit_rounding_wall_is_refused():
    """q = 4 at delta = 1e-8 would ask for 1e16 time units: rounding drowns the motion."""
    result = escape(*saddle(3).problem, delta=1e-8, method="implicit")
    assert result.result == Stop.ROUNDING
    # The same wall where the slow manifold is asked for and too coarse from the start.
    result = escape(*saddle(3).problem, delta=1e-8, method="slow", slow_tol=1e-300)
    assert (result.result, result.phases) == (Stop.ROUNDING, ())


def test_kink_of_degree_one():
    """p = 1 with a kink: the slow manifold is refused, auto takes the explicit flow."""
    x = jax.random.normal(jax.random.key(0), (20, 3))
    y = jnp.abs(x[:, :1])
    params = (jnp.zeros((2, 3)), jnp.zeros((1, 2)))
    problem = (params, (np.ones(2, bool),), x, y, nsjax.PolyLeakyReLU(1, 0.0))
    refused = escape(*problem, delta=1e-3, method="slow")
    assert refused.result == Stop.SLOW_INVALID
    result = escape(*problem, delta=1e-3, perturbation="random", key=jax.random.key(0))
    assert (result.method, result.result) == ("explicit", Stop.ESCAPED)


def test_user_observables_follow_the_escape():
    """Any function of (params, x, y) is saved beside the built-in series."""
    case = saddle()
    result = escape(*case.problem, delta=1e-3, observables={"largest": largest_weight})
    assert result.observables["largest"].shape == result.ts.shape
    assert np.all(np.diff(result.ts) >= 0)
    for series in (result.losses, result.drift, result.norm_ratio, result.cosine, result.ncf):
        assert series.shape == result.ts.shape
        assert np.all(np.isfinite(series))
    assert result.norm_ratio[-1] == pytest.approx(10, rel=1e-6)


def largest_weight(params, x, y):
    """Largest entry of the first matrix."""
    return jnp.max(jnp.abs(params[0]))


def test_no_new_compilation_for_delta_seed_or_data(monkeypatch):
    """The slow core is traced once, the plain one once for each solver, whatever the numbers."""
    chex.clear_trace_counter()
    slow_core = chex.assert_max_traces(dynamics.slow.run.__wrapped__, n=1)
    plain_core = chex.assert_max_traces(dynamics.flow._compiled.__wrapped__, n=2)
    slow_core = jax.jit(slow_core, static_argnums=0)
    for module in (dynamics.slow, dynamics.trip):
        monkeypatch.setattr(module, "run", slow_core)
    monkeypatch.setattr(dynamics.flow, "_compiled", jax.jit(plain_core, static_argnums=0))
    case = saddle()
    for delta, seed, factor in ((1e-2, 0, 1), (1e-6, 1, 1), (1e-7, 2, 1), (1e-6, 3, 1 + 1e-9)):
        result = escape(
            case.params,
            case.inactive,
            case.x,
            factor * case.y,
            case.activation,
            delta=delta,
            perturbation="random",
            key=jax.random.key(seed),
            follow=1.0,
        )
        assert result.result == Stop.ESCAPED


def test_the_loss_of_the_result_is_the_network_s():
    """params at the end reproduce the last saved loss."""
    case = saddle()
    result = escape(*case.problem, delta=1e-2)
    loss = objectives.NetworkLoss(case.activation)(result.params, case.x, case.y)
    assert float(loss) == pytest.approx(result.losses[-1], rel=1e-12)
    outputs = networks.apply(result.params, case.x, case.activation)
    assert outputs.shape == case.y.shape


@pytest.mark.slow
def test_a_network_too_large_for_a_dense_hessian():
    """2,121 weights from the origin: no P x P matrix, the explicit flow, an answer in seconds."""
    x = nsjax.data.sphere(jax.random.key(0), 50, 100)
    y = networks.teacher_targets(jax.random.key(1), x, nsjax.PolyLeakyReLU(2), hidden=(5,))
    params, inactive = (jnp.zeros((21, 100)), jnp.zeros((1, 21))), (np.ones(21, bool),)
    problem = (params, inactive, x, y, nsjax.PolyLeakyReLU(2))
    result = escape(*problem, delta=1e-2, perturbation="random", key=jax.random.key(0), starts=8)
    assert (result.result, result.method) == (Stop.ESCAPED, "explicit")
    with pytest.raises(ValueError, match="dense Hessian: at most 2048 weights, got 2121"):
        escape(*problem, delta=1e-2, method="slow")
