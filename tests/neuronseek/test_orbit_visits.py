"""First visits, budgets, laws: against plain loops in NumPy and laws known beforehand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from nsjax.neuronseek import orbits


@pytest.mark.parametrize("steps", [5, 1023, 1024, 1025, 3000])
def test_visits_beside_a_plain_loop(steps):
    """Any length, blocks and borders of blocks; targets that are never met."""
    rng = np.random.default_rng(steps)
    paths, targets = rng.uniform(size=(2, steps + 1)), rng.uniform(size=(6, 2))
    eps, budgets = np.array([0.3, 0.1, 0.03, 1e-9]), np.array([1, (steps + 1) // 2, steps])
    found = orbits.visits(
        jnp.asarray(paths), jnp.asarray(targets), eps=jnp.asarray(eps), budgets=jnp.asarray(budgets)
    )
    for r, target in enumerate(targets):
        gaps = np.abs(paths[:, 1:] - target[:, None]).max(axis=0)
        for e, near in enumerate(eps):
            hits = np.flatnonzero(gaps < near)
            assert found.depths[r, e] == (hits[0] + 1 if hits.size else -1)
        for b, budget in enumerate(budgets):
            assert found.errors[r, b] == gaps[:budget].min()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"eps": jnp.array([0.0])}, "eps must be a vector of positive"),
        ({"budgets": jnp.array([9])}, "budgets must lie between 1 and the depth 4"),
        ({"budgets": jnp.array([0])}, "budgets must lie between"),
        ({"targets": jnp.ones((3, 2))}, "targets must have 1 columns"),
    ],
)
def test_bad_visits_are_refused(change, said):
    given = {"targets": jnp.ones((3, 1))} | change
    with pytest.raises(ValueError, match=said):
        orbits.visits(jnp.full((1, 5), 0.5), **given)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: orbits.depth_law("a", [0.1]), "depths must be an array"),
        (lambda: orbits.depth_law(np.ones((4, 2)), [0.1, 0.0]), "eps must be positive"),
        (lambda: orbits.error_law(np.zeros((4, 2)), [1, 2]), "above zero, got zero"),
        (lambda: orbits.predicted_median(np.array([[1.5]])), "probabilities must lie in"),
        (lambda: orbits.predicted_errors(orbits.uniform, np.ones(3), [1]), "targets must be a m"),
        (lambda: orbits.uniformity([1, 2], [0.1], steps=5), "must be of one length"),
        (lambda: orbits.uniformity([], [], steps=5), "must be of one length"),
        (lambda: orbits.scales(1, 2**10, least=0), "least must be a positive integer"),
        (lambda: orbits.scales(1, 2**10, count=1), "count must be between 2"),
        (lambda: orbits.masses(orbits.uniform, np.ones((1, 1)), [-0.1]), "eps must be a vector"),
        (lambda: free(eps=[-1.0]), "eps must be a vector of positive"),
        (lambda: free(encodings=[1.2]), "encodings must lie in"),
        (lambda: free(most=0), "most must be a positive integer"),
        (lambda: free(map="tent"), "map must be a NeuronMap, got 'tent'"),
    ],
)
def test_bad_laws_are_refused(call, said):
    with pytest.raises((TypeError, ValueError), match=said):
        call()


def free(map=orbits.TENT, encodings=(0.2,), eps=(0.1,), most=60):
    return orbits.free_depths(map, list(encodings), [[0.5]], list(eps), most=most)


def test_masses_are_boxes():
    targets, eps = np.array([[0.5, 0.02]]), np.array([0.1])
    assert orbits.masses(orbits.uniform, targets, eps)[0, 0] == pytest.approx(0.2 * 0.12)
    share = stats.arcsine.cdf(0.6) - stats.arcsine.cdf(0.4), stats.arcsine.cdf(0.12)
    assert orbits.masses(orbits.arcsine, targets, eps)[0, 0] == pytest.approx(share[0] * share[1])


def test_law_of_geometric_visits():
    """Exponent, medians and the prediction for visits drawn from the law itself."""
    rng = np.random.default_rng(0)
    eps = np.geomspace(2e-2, 2e-4, 9)
    chances = np.tile((2 * eps) ** 2, (1000, 1))
    depths = rng.geometric(chances)
    law = orbits.depth_law(depths, eps)
    assert law.exponent == pytest.approx(2, abs=0.05)
    assert law.decades == pytest.approx(2)
    np.testing.assert_allclose(law.medians, orbits.predicted_median(chances), rtol=0.15)
    assert orbits.uniformity(depths[:, -1], chances[:, -1], steps=10**9) < 1.95 / np.sqrt(1000)
    assert orbits.uniformity(depths[:, -1], 2 * chances[:, -1], steps=10**9) > 0.1
    cut = np.where(depths > 10_000_000, -1, depths)
    assert orbits.depth_law(cut, eps).exponent == pytest.approx(law.exponent, abs=1e-12)
    assert orbits.uniformity(cut[:, -1], chances[:, -1], steps=10_000_000) < 1.95 / np.sqrt(1000)


def test_visits_that_never_come_are_seen():
    """A third of the trials come as they should, the others never do."""
    chances = np.full(300, 0.01)
    depths = np.random.default_rng(0).geometric(chances)
    depths[100:] = -1
    assert orbits.uniformity(depths, chances, steps=1000) > 0.6
    early = np.full(300, -1)  # none at all, where almost all should have
    assert orbits.uniformity(early, chances, steps=1000) > 0.9
    assert orbits.uniformity(early, chances, steps=1) == pytest.approx(0.01)


def test_intervals_hold_the_exponent_as_often_as_they_say():
    """19 of 20 would be expected; 15 or fewer come once in 400 such tests."""
    eps = np.geomspace(2e-2, 2e-4, 9)
    chances = np.tile((2 * eps) ** 2, (300, 1))
    inside = 0
    for seed in range(20):
        depths = np.random.default_rng(seed).geometric(chances)
        low, high = orbits.depth_law(depths, eps, resamples=200).interval
        assert high - low < 0.15
        inside += low < 2 < high
    assert inside > 15


def test_a_law_needs_scales_with_most_trials_over():
    with pytest.raises(ValueError, match="two scales"):
        orbits.depth_law(np.full((10, 2), -1), np.array([0.1, 0.01]))
    with pytest.raises(ValueError, match="one number for each column"):
        orbits.depth_law(np.ones((10, 2)), np.array([0.1]))
    with pytest.raises(ValueError, match="steps must be at least"):
        orbits.scales(1, 100)


def test_predicted_median_of_different_chances():
    """Half of the trials at once, half of them never so far: between the two."""
    chances = np.array([[0.3], [0.3], [0.01], [0.01]])
    m = orbits.predicted_median(chances)[0]
    assert np.mean((1 - chances) ** m) == pytest.approx(0.5)
    assert np.isfinite(orbits.predicted_median(np.array([[0.0], [0.5]]))[0])


def test_predicted_errors_are_those_of_independent_points():
    rng = np.random.default_rng(1)
    targets = rng.uniform(size=(400, 2))
    points = rng.uniform(size=(2000, 2))
    gaps = np.abs(points[None] - targets[:, None]).max(axis=2)
    budgets = np.array([200, 2000])
    measured = [np.median(gaps[:, :m].min(axis=1)) for m in budgets]
    np.testing.assert_allclose(
        orbits.predicted_errors(orbits.uniform, targets, budgets), measured, rtol=0.12
    )


@pytest.mark.parametrize(("name", "k"), [("tent", 1), ("logistic", 2)])
def test_depth_grows_as_the_box_shrinks(name, k):
    steps = 2**15
    eps = orbits.scales(k, steps, count=9)
    found = orbits.trials(
        jax.random.key(k), name, k, steps=steps, eps=eps, budgets=[32, steps], sets=4
    )
    law = orbits.depth_law(found.depths, eps)
    assert law.exponent == pytest.approx(k, rel=0.08)
    cdf = orbits.invariant_cdf(jax.random.key(9), name)
    ratio = law.medians / orbits.predicted_median(orbits.masses(cdf, found.targets, eps))
    assert np.exp(np.mean(np.log(ratio))) == pytest.approx(1, abs=0.2)
    assert np.all(found.errors[:, 1] <= found.errors[:, 0])


def test_trials_do_not_depend_on_what_is_asked():
    """Encodings and targets come from the key alone."""
    pair = [
        orbits.trials(jax.random.key(3), "sine", 1, steps=200, eps=eps, sets=1, targets=4)
        for eps in ([0.1], [0.2, 0.1])
    ]
    np.testing.assert_array_equal(pair[0].targets, pair[1].targets)
    np.testing.assert_array_equal(pair[0].depths[:, 0], pair[1].depths[:, 1])


def test_free_encodings_are_found_at_log_depth():
    """An encoding within eps does it, as Fractions of the tent map show; one step less does not."""
    targets = jax.random.uniform(jax.random.key(4), (20, 3))
    eps = np.array([1e-2, 1e-4, 1e-8])
    start = jnp.array([0.21, 0.52, 0.87])
    depths = orbits.free_depths(orbits.TENT, start, targets, jnp.asarray(eps))
    # After m steps an interval of length 2 eps has length 2^(m+1) eps, until it is all of [0, 1].
    assert np.all(depths <= np.ceil(np.log2(1 / eps)) + 1)
    assert np.all(depths >= 1)
    for r, e in ((0, 0), (5, 0), (9, 1)):
        m = depths[r, e]
        for k in range(3):
            near = np.linspace(start[k] - eps[e], start[k] + eps[e], 200_001)
            gaps = []
            for _ in range(m):
                near = 1 - np.abs(2 * near - 1)
                gaps.append(np.min(np.abs(near - float(targets[r, k]))))
            assert gaps[-1] < eps[e] * 1.01
    assert np.all(depths[:, 2] > depths[:, 0])


def test_float64_visits_are_true_only_before_the_horizon():
    shares = orbits.same_depth(
        jax.random.key(5), steps=2**14, eps=np.array([0.1, 1e-3]), targets=256
    )
    assert shares[0] > 0.95
    assert shares[1] < 0.3
