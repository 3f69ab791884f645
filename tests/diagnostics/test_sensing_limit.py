"""Limits of sensing at fixed rank: an independent conic solver, SLSQP, spectra, and 3 r."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

from nsjax.diagnostics.sensing_limit import _quadrature, _reach, _terms, sensing_limit


@pytest.mark.parametrize(
    ("delta", "psd", "centred"), [(6.108, False, False), (5.427, False, True), (3.155, True, False)]
)
def test_the_limit_is_where_a_conic_solver_has_it(delta, psd, centred):
    """Clarabel (by cvxpy) on the same problem of one neuron, written as cones: there the reach is
    one. With other nodes (Gauss-Laguerre) for the norm, and 32 for the trace (3.162)."""
    with jax.enable_x64(True):
        reach = _reach(_quadrature(1, 12), delta, 1, psd, centred)
    assert reach == pytest.approx(1, abs=5e-3)


@pytest.mark.parametrize("psd", [False, True])
def test_the_reach_is_the_maximum_that_slsqp_finds(psd):
    """With four nodes for |s| and q each, 17 or 18 unknowns."""
    nodes, delta = _quadrature(2, 4), 4.0 if psd else 6.0
    count = len(nodes.weight)

    def slacks(z):
        c, edges = z[:count], z[count:]
        mean = lambda values: np.sum(nodes.weight * values)  # noqa: E731
        along = np.sqrt(delta) * mean(c * nodes.size * nodes.q) / 2
        across = np.sqrt(mean(c**2 * nodes.size**2) / 2)
        found = [along - across]
        for sign, u in zip((1, -1), edges, strict=False):
            found.append(1 - u - delta * mean(sign * c * u / (u - sign * c)))
            found.extend(u - sign * c - 1e-4)
        return np.array(found)

    start = np.concatenate([0.05 * nodes.q, [0.5] if psd else [0.5, 0.5]])
    theirs = minimize(
        lambda z: -delta * np.sum(nodes.weight * z[:count] * nodes.size**2) / 2,
        start,
        constraints={"type": "ineq", "fun": slacks},
        method="SLSQP",
        options={"maxiter": 2000, "ftol": 1e-12},
    )
    assert theirs.success
    with jax.enable_x64(True):
        assert _reach(nodes, delta, 2, psd, False) == pytest.approx(-theirs.fun, rel=1e-3)


def test_edges_are_those_of_a_weighted_spectrum():
    """`1/d sum c_i z_i z_i^T` of 3 d samples, c of either sign, by NumPy: both edges at their u."""
    rng = np.random.default_rng(0)
    nodes, d, delta = _quadrature(1, 4), 500, 3.0
    values = 0.3 * np.cos(np.arange(16.0))
    c = rng.choice(values, p=nodes.weight, size=int(delta * d))
    z = rng.normal(size=(len(c), d))
    spectrum = np.linalg.eigvalsh(z.T @ (c[:, None] * z) / d)
    for place, sign, edge in ((0, 1, spectrum[-1]), (1, -1, spectrum[0])):
        grid = np.max(sign * values) + np.geomspace(1e-2, 5, 4000)
        known = [
            1 - _terms(nodes, jnp.asarray([*values, u, u]), delta, 1, False)[1][1 + place]
            for u in grid[::40]
        ]
        # With their sign turned for the lower one; the largest eigenvalue lies d^(-2/3) inside.
        assert sign * edge == pytest.approx(min(map(float, known)), rel=0.03)


def test_wide_teachers_are_nearly_gaussian():
    """The excess over 3 r falls with the width."""
    excess = [sensing_limit(r, nodes=8) / (3 * r) for r in (1, 4)]
    assert excess[0] > 1.9
    assert 1.15 < excess[1] < 1.4


@pytest.mark.parametrize(
    ("arguments", "options", "said"),
    [
        ((0,), {}, "width must be a positive integer"),
        ((1,), {"psd": "no"}, "psd must be True or False, got 'no'"),
        ((1,), {"centred": 1}, "centred must be True or False, got 1"),
        ((1,), {"nodes": 2}, "nodes must be between 4 and 60, got 2"),
    ],
)
def test_bad_arguments_are_named(arguments, options, said):
    with pytest.raises((TypeError, ValueError), match=said):
        sensing_limit(*arguments, **options)
