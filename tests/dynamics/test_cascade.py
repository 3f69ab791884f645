"""Whole cascades: against brute force, closed forms, and where the slow manifold does not serve."""

from __future__ import annotations

import math

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest

import nsjax
from nsjax import data, diagnostics, dynamics, networks
from nsjax.objectives import NetworkLoss
from tests.dynamics.cascade_cases import brute_force, problem, run

DELTA = 5e-3


@pytest.fixture(scope="module")
def flow() -> dynamics.Flow:
    """The same cascade by the plain flow alone, at tight tolerances."""
    case = problem()
    norm = math.sqrt(sum(float(jnp.sum(weight**2)) for weight in case.params))
    start = tuple(DELTA / norm * weight for weight in case.params)
    return dynamics.gradient_flow(
        NetworkLoss(case.activation),
        start,
        args=(case.x, case.y),
        t1=80.0,
        rtol=1e-10,
        saves=dynamics.Saves(20_000, 0, snapshots=True),
        method="explicit",
    )


def flat(params) -> np.ndarray:
    return np.concatenate([np.ravel(weight) for weight in params])


def test_agrees_with_the_plain_flow(flow: dynamics.Flow) -> None:
    """Visits, times, losses and weights are those of a flow that knows of no saddle."""
    case, cascade = problem(), run(DELTA)
    assert cascade.result == dynamics.Stop.MINIMUM, cascade.message
    assert cascade.method == "slow"
    read = dynamics.saddle_visits(
        flow, case.x, case.y, case.activation, threshold=cascade.threshold
    )
    assert [v.escaping for v in read] == [v.escaping for v in cascade.visits]
    assert len(read) == 4
    ends = [v.start + v.duration for v in read[:-1]]
    np.testing.assert_allclose(cascade.escape_times, ends, rtol=1e-4)
    np.testing.assert_allclose(
        [v.loss for v in cascade.visits[:-1]], [v.loss for v in read[:-1]], rtol=1e-6
    )
    np.testing.assert_allclose(flat(cascade.params), flat(flow.params), atol=3e-3)


def test_the_end_is_where_the_flow_ends() -> None:
    """From the last save a tight flow hardly moves, and the last save is the end."""
    case, cascade = problem(), run(DELTA)
    last = jax.tree.map(lambda leaf: leaf[-1], cascade.snapshots)
    on = dynamics.gradient_flow(
        NetworkLoss(case.activation),
        last,
        args=(case.x, case.y),
        t1=50.0,
        rtol=1e-10,
        saves=dynamics.Saves(20_000, 0, snapshots=True),
        method="explicit",
    )
    assert np.linalg.norm(flat(cascade.params) - flat(on.params)) < 1e-5


@pytest.mark.parametrize("delta", [1e-12, 1e-30])
def test_any_delta(delta: float) -> None:
    coarse, tiny = run(1e-8), dynamics.cascade(*problem(), delta=delta)
    assert tiny.result == dynamics.Stop.MINIMUM, tiny.message
    assert tiny.method == "slow"
    assert [v.escaping for v in tiny.visits] == [v.escaping for v in coarse.visits]
    np.testing.assert_allclose(tiny.escape_times * delta, coarse.escape_times * 1e-8, rtol=1e-6)


def test_the_cost_does_not_depend_on_delta() -> None:
    coarse, fine = run(DELTA), run(1e-8)
    assert fine.result == dynamics.Stop.MINIMUM
    assert fine.stats.steps <= 1.5 * coarse.stats.steps
    assert [v.active_counts for v in fine.visits] == [v.active_counts for v in coarse.visits]
    # q = 3: every wait but the settling grows like 1 / delta.
    np.testing.assert_allclose(
        fine.visits[2].duration * 1e-8, coarse.visits[2].duration * DELTA, rtol=0.05
    )


def test_a_start_on_a_kkt_ray_escapes_at_the_closed_form() -> None:
    """Along the ray the norm follows `rho' = q N* rho^(q-1)`, up to what the outputs do."""
    case = problem()
    origin = jax.tree.map(jnp.zeros_like, case.params)
    found = nsjax.kkt.search_neuron(jax.random.key(1), origin, 1, case.x, case.y, case.activation)
    start = networks.append_neuron(
        jax.tree.map(jnp.zeros_like, problem().params), 1, found.points[0][0], found.points[1][0]
    )
    cascade = dynamics.cascade(
        start, case.x, case.y, case.activation, delta=1e-6, threshold=1e-2, max_visits=1
    )
    predicted = dynamics.ray_time(1e-6, 1e-2, float(found.values[0]), 3)
    assert cascade.visits[0].duration == pytest.approx(predicted, rel=1e-5)
    assert cascade.visits[0].alignment == pytest.approx(1, abs=1e-9)
    assert cascade.visits[0].kkt_value == pytest.approx(float(found.values[0]), rel=1e-9)


def test_visits_tell_what_lies_there() -> None:
    case, cascade = problem(), run(1e-8)
    loss = NetworkLoss(case.activation)
    for number, visit in enumerate(cascade.visits):
        assert visit.active_counts == (number,)
        gradient = jax.grad(loss)(visit.params, case.x, case.y)
        assert np.linalg.norm(flat(gradient)) < 1e-9
        flat_params, unravel = jax.flatten_util.ravel_pytree(visit.params)
        hessian = jax.hessian(lambda w, to=unravel: loss(to(w), case.x, case.y))(flat_params)
        values = np.linalg.eigvalsh(np.asarray(hessian))
        band = visit.spectrum.band
        assert visit.inertia == (
            int(np.sum(values < -band)),
            int(np.sum(np.abs(values) <= band)),
            int(np.sum(values > band)),
        )
        assert visit.spectrum.largest == pytest.approx(values[-1], rel=1e-9, abs=1e-9)
        # For q > 2 no escape direction shows as negative curvature.
        assert visit.inertia[0] == 0
    for visit in cascade.visits[:-1]:
        assert len(visit.escaping) == 1
        assert visit.method == "slow"
        assert visit.code == dynamics.Stop.ESCAPED
        assert visit.degree == 3
        assert visit.alignment > 1 - 1e-6
        assert visit.kkt_residual < 1e-3
        assert 0 < visit.kkt_value <= visit.dominant_value * (1 + 1e-9)
    assert math.isinf(cascade.visits[-1].duration)
    assert cascade.visits[-1].loss < 1e-20


def test_series_join_without_a_gap() -> None:
    case, cascade = problem(), run(1e-8)
    assert np.all(np.diff(cascade.ts) > 0)
    starts = np.array([visit.start for visit in cascade.visits])
    last = np.searchsorted(starts, cascade.ts, side="right") - 1
    inside = ~np.isin(cascade.ts, starts)
    np.testing.assert_allclose(
        (starts[last] + cascade.since_escape)[inside], cascade.ts[inside], rtol=1e-9
    )
    assert np.all(np.diff(cascade.losses) <= 1e-9 * cascade.losses[0])
    loss = NetworkLoss(case.activation)
    at = np.linspace(0, len(cascade.ts) - 1, 7).astype(int)
    for i in at:
        here = jax.tree.map(lambda leaf, i=i: leaf[i], cascade.snapshots)
        assert float(loss(here, case.x, case.y)) == pytest.approx(cascade.losses[i], rel=1e-9)
    drift = diagnostics.imbalance(cascade.snapshots, case.activation)[0]
    size = diagnostics.neuron_size(cascade.snapshots, case.activation)[0]
    assert np.max(np.abs(drift - drift[0]) / np.max(size, axis=0)) < 1e-5


def test_visits_read_off_the_cascade_are_its_own() -> None:
    case, cascade = problem(), run(1e-8)
    read = dynamics.saddle_visits(
        cascade, case.x, case.y, case.activation, threshold=cascade.threshold
    )
    assert [v.escaping for v in read] == [v.escaping for v in cascade.visits]
    for mine, theirs in zip(read[:-1], cascade.visits[:-1], strict=True):
        assert mine.duration == pytest.approx(theirs.duration, rel=1e-4)
        assert mine.loss == pytest.approx(theirs.loss, rel=1e-9)
        assert mine.kkt_value == pytest.approx(theirs.kkt_value, rel=1e-6)
        assert mine.inertia == theirs.inertia
        assert mine.method == "read"


@pytest.mark.slow
def test_a_linear_network_passes_its_singular_values() -> None:
    """q = 2: strict saddles; plateau losses are those of the truncated target (Saxe et al.)."""
    x = math.sqrt(40) * jnp.linalg.qr(data.gaussian(jax.random.key(0), 40, 4))[0]
    singular = jnp.array([3.0, 1.5, 0.5])
    left = jnp.linalg.qr(jax.random.normal(jax.random.key(1), (3, 3)))[0]
    right = jnp.linalg.qr(jax.random.normal(jax.random.key(2), (4, 3)))[0]
    y = x @ (right * singular) @ left.T
    start = networks.init(jax.random.key(3), (4, 6, 3))
    cascade = dynamics.cascade(start, x, y, nsjax.PolyLeakyReLU(1, 1.0), delta=1e-8)
    assert cascade.result == dynamics.Stop.MINIMUM, cascade.message
    losses = [visit.loss for visit in cascade.visits]
    tails = [20 * float(jnp.sum(singular[i:] ** 2)) for i in range(4)]
    np.testing.assert_allclose(losses, tails, rtol=1e-6, atol=1e-9)
    negative = [visit.inertia[0] for visit in cascade.visits]
    assert all(count > 0 for count in negative[:-1])
    assert negative[-1] == 0


def test_a_kink_falls_back_to_the_plain_flow() -> None:
    case = problem(1, 0.0, teacher=2, samples=60, dimension=4)
    cascade = dynamics.cascade(*case, delta=1e-4)
    assert cascade.method == "plain"
    assert all(visit.method == "read" for visit in cascade.visits)
    assert all("kink of degree 1" in visit.message for visit in cascade.visits)
    assert len(cascade.visits) >= 2
    assert cascade.losses[-1] < 0.05 * cascade.losses[0]


def test_targets_that_no_network_correlates_with_leave_the_origin_a_minimum() -> None:
    case = problem(samples=60, dimension=4)
    x = np.asarray(case.x)
    upper = np.triu_indices(4)
    quadratics = (x[:, :, None] * x[:, None, :])[:, upper[0], upper[1]]
    y = np.random.default_rng(0).standard_normal((60, 1))
    y -= quadratics @ np.linalg.lstsq(quadratics, y, rcond=None)[0]
    params = networks.init(jax.random.key(3), (4, 5, 1))
    cascade = dynamics.cascade(params, case.x, jnp.asarray(y), case.activation, delta=1e-3)
    assert cascade.result == dynamics.Stop.MINIMUM
    assert len(cascade.visits) == 1
    assert cascade.visits[0].active_counts == (0,)


def test_noisy_targets_end_at_the_best_quadratic_form() -> None:
    """With one output and x^2 the minimum is that of least squares over symmetric matrices."""
    case = problem()
    noise = jax.random.normal(jax.random.key(0), case.y.shape)
    y = case.y + 0.3 * jnp.std(case.y) * noise
    cascade = dynamics.cascade(case.params, case.x, y, case.activation, delta=1e-4)
    assert cascade.result == dynamics.Stop.MINIMUM, cascade.message
    x = np.asarray(case.x)
    upper = np.triu_indices(6)
    quadratics = (x[:, :, None] * x[:, None, :])[:, upper[0], upper[1]]
    residual = y - quadratics @ np.linalg.lstsq(quadratics, np.asarray(y), rcond=None)[0]
    assert cascade.losses[-1] == pytest.approx(0.5 * float(jnp.sum(residual**2)), rel=1e-6)


def test_targets_of_zero_leave_the_origin_a_minimum() -> None:
    case = problem()
    cascade = dynamics.cascade(
        case.params, case.x, jnp.zeros_like(case.y), case.activation, delta=1e-3
    )
    assert cascade.result == dynamics.Stop.MINIMUM
    assert cascade.visits[0].loss == 0


@pytest.mark.parametrize(
    ("options", "stop"),
    [
        ({"max_visits": 1}, dynamics.Stop.MAX_VISITS),
        ({"horizon": 1e3}, dynamics.Stop.HORIZON),  # in the first wait
        ({"horizon": 1083066.48}, dynamics.Stop.HORIZON),  # as a neuron grows
        ({"horizon": 1083066.53}, dynamics.Stop.HORIZON),  # while the rest settles
        ({"max_steps": 1}, dynamics.Stop.MAX_STEPS),
    ],
)
def test_it_says_why_it_stopped(options: dict, stop: dynamics.Stop) -> None:
    cascade = dynamics.cascade(*problem(), delta=1e-8, **options)
    assert cascade.result == stop
    assert cascade.message == dynamics.MESSAGES[stop]
    assert len(cascade.visits) == 1
    if "horizon" in options:
        assert cascade.ts[-1] == pytest.approx(options["horizon"], rel=1e-9)


def test_reports_visits_and_observables() -> None:
    seen: list[dynamics.Visit] = []
    cascade = dynamics.cascade(
        *problem(),
        delta=1e-8,
        observables={"norms": lambda params, x, y: diagnostics.neuron_norms(params)[0]},
        on_visit=seen.append,
    )
    assert [visit.loss for visit in seen] == [visit.loss for visit in cascade.visits]
    assert cascade.observables["norms"].shape == (len(cascade.ts), 8)
    assert cascade.snapshots is None
    # What was small is small until it escapes itself.
    crossed = np.max(cascade.observables["norms"], axis=0) > cascade.threshold
    assert int(crossed.sum()) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"delta": 0.0}, "delta must be a positive"),
        ({"delta": 1.0}, "delta must be at most half of threshold"),
        ({"delta": 1e-3, "threshold": -1.0}, "threshold must be a positive"),
        ({"delta": 1e-3, "loss": "hinge"}, "loss must be one of"),
        ({"delta": 1e-3, "horizon": -1.0}, "horizon must be a positive"),
        ({"delta": 1e-3, "max_visits": 0}, "max_visits must be"),
        ({"delta": 1e-3, "rtol": 1e-18}, "rtol must be at least"),
        ({"delta": 1e-3, "threshold": 1e3}, "threshold must be at most the natural size"),
        ({"delta": 0.1, "threshold": 1e-2}, "delta must be at most half of threshold"),
    ],
)
def test_bad_input(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dynamics.cascade(*problem(), **options)


def test_bad_starts_and_trajectories() -> None:
    case = problem()
    zeros = jax.tree.map(jnp.zeros_like, case.params)
    with pytest.raises(ValueError, match="params must not be zero"):
        dynamics.cascade(zeros, *case[1:], delta=1e-3)
    with pytest.raises(TypeError, match="observables must map"):
        dynamics.cascade(*case, delta=1e-3, observables=[len])
    with pytest.raises(TypeError, match="must be a pure function"):
        dynamics.cascade(*case, delta=1e-3, observables={"norm": lambda params: 0.0})
    with pytest.raises(TypeError, match="flow must have ts"):
        dynamics.saddle_visits(3, *case[1:])
    bare = dynamics.gradient_flow(NetworkLoss(case.activation), case.params, args=case[1:3], t1=0.1)
    with pytest.raises(ValueError, match="flow must hold snapshots"):
        dynamics.saddle_visits(bare, *case[1:])
    cascade = run(1e-8)
    for field, values, message in (
        ("grad_norms", np.full(len(cascade.ts), np.nan), "grad_norms must be finite"),
        ("ts", cascade.ts[::-1], "ts must not fall"),
        ("losses", cascade.losses[:, None], "losses must hold a number for each"),
    ):
        with pytest.raises(ValueError, match=message):
            dynamics.saddle_visits(cascade._replace(**{field: values}), *case[1:])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "delta", "escapes"),
    [
        ({"p": 2, "slope": 1.0}, 1e-3, 3),
        ({"p": 2, "slope": 0.5, "teacher": 4, "dimension": 8}, 1e-3, 4),
        ({"p": 2, "slope": 1.0, "outputs": 2}, 1e-3, 3),
        ({"p": 3, "slope": 1.0, "teacher": 3}, 2e-2, 3),
    ],
)
def test_agrees_with_brute_force(options: dict, delta: float, escapes: int) -> None:
    """SciPy's DOP853 on the flow written in NumPy: times, plateaus and the end."""
    case, cascade = problem(**options), run(delta, **options)
    assert cascade.result == dynamics.Stop.MINIMUM, cascade.message
    assert len(cascade.escape_times) == escapes
    end = float(cascade.ts[-1])
    reference = brute_force(case, delta, cascade.threshold, end)
    times = [time for time, _ in reference.crossings]
    np.testing.assert_allclose(cascade.escape_times, times, rtol=1e-4)
    assert [((1, j),) for _, j in reference.crossings] == [
        visit.escaping for visit in cascade.visits[:-1]
    ]
    for visit in cascade.visits[:-1]:
        inside = (reference.ts >= visit.start) & (reference.ts <= visit.start + visit.duration)
        least = np.argmin(np.where(inside, reference.grad_norms, np.inf))
        assert reference.losses[least] == pytest.approx(visit.loss, rel=1e-4)
    mine, theirs = flat(cascade.params), reference.weights[-1]
    assert np.linalg.norm(mine - theirs) < 3e-3 * np.linalg.norm(theirs)
    assert 1 - mine @ theirs / np.linalg.norm(mine) / np.linalg.norm(theirs) < 1e-5
