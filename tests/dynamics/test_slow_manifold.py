"""The slow manifold against tight full solves, over many kinds of saddles."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nsjax
from nsjax import networks
from nsjax.dynamics import Stop, embed, escape
from tests.dynamics.saddle_cases import saddle

INSTANCES = {
    "two layers": {},
    "two layers, polynomial ReLU": {"slope": 0.0, "active": (2,), "widths": (4,)},
    "two layers, p = 3, leaky": {"p": 3, "slope": 0.5},
    "two layers, |t|^3, two outputs": {"p": 3, "slope": -1.0, "outputs": 2},
    "several active neurons and outputs": {"active": (2,), "widths": (5,), "outputs": 3},
    "more zero neurons": {"widths": (6,), "seed": 2},
    "three layers, zeros in both": {"active": (1, 1), "widths": (3, 3)},
    "three layers, zeros in the first": {"active": (1, 2), "widths": (3, 2), "seed": 1},
    "three layers, zeros in the second": {"active": (2, 1), "widths": (2, 3), "seed": 3},
    "three layers, |t|^2, other seed": {
        "active": (1, 1),
        "widths": (3, 3),
        "slope": -1.0,
        "seed": 4,
    },
}


def compare(problem, delta, seed):
    """Direction and relative time error of the slow manifold alone, and its steps."""
    common = {"delta": delta, "perturbation": "random", "key": jax.random.key(seed)}
    slow = escape(*problem, method="slow", slow_tol=np.inf, **common)
    full = escape(*problem, method="implicit", rtol=1e-8, **common)
    assert slow.result == full.result == Stop.ESCAPED, (slow.message, full.message)
    gap = jax.tree.map(jnp.subtract, slow.direction, full.direction)
    return (
        float(nsjax.kkt.norm(gap)),
        abs(slow.escape_time / full.escape_time - 1),
        slow.stats.steps,
    )


def check(problem, seed):
    """The bounds: direction 5e-3 at 1e-2 and 5e-4 at 1e-3, time 3e-4 at 1e-3, 100 steps."""
    direction, _, steps = compare(problem, 1e-2, seed)
    assert direction < 5e-3
    assert steps <= 100
    direction, time, steps = compare(problem, 1e-3, seed)
    assert direction < 5e-4
    assert time < 3e-4
    assert steps <= 100


def test_one_instance():
    """Two layers, three outputs, several active neurons."""
    check(saddle(**INSTANCES["several active neurons and outputs"]).problem, 0)


@pytest.mark.slow
@pytest.mark.parametrize("name", INSTANCES)
def test_instances(name):
    """Ten kinds of saddles."""
    check(saddle(**INSTANCES[name]).problem, 1)


@pytest.mark.slow
def test_degenerate_minimum():
    """Twin active neurons: a valley of minima beyond the one that rescaling makes."""
    case = saddle()
    incoming, outgoing = case.params[0][:1], case.params[1][:, :1]
    twins = (
        jnp.concatenate([incoming, incoming]),
        jnp.concatenate([0.5 * outgoing, 0.5 * outgoing], axis=1),
    )
    params, inactive = embed(twins, (5,))
    at = nsjax.dynamics.inspect(params, inactive, case.x, case.y, case.activation)
    if at.stop is None:
        assert at.null_directions > 1
        check((params, inactive, case.x, case.y, case.activation), 1)
    else:
        # The twins may split downhill: then it is no minimum, and the result says so.
        result = escape(params, inactive, case.x, case.y, case.activation, delta=1e-3)
        assert result.result == Stop.NOT_A_MINIMUM


@pytest.mark.slow
def test_steps_do_not_depend_on_delta():
    """Slow steps are the same from 1e-4 to 1e-8, and at 1e-8 at most 1.1 times those at 1e-2."""
    for name in ("two layers", "three layers, zeros in both"):
        case = saddle(**INSTANCES[name])
        steps = {
            delta: escape(
                *case.problem, delta=delta, perturbation="random", key=jax.random.key(1)
            ).stats.steps
            for delta in (1e-2, 1e-4, 1e-6, 1e-8)
        }
        assert steps[1e-8] <= 1.1 * steps[1e-2]
        assert max(steps[1e-4], steps[1e-6], steps[1e-8]) <= 1.1 * min(
            steps[1e-4], steps[1e-6], steps[1e-8]
        )
        assert networks.degree(case.activation, len(case.params)) > 2
