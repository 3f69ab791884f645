"""One measurement of the benchmark of waiting: a method, a delta; and what it costs to compile."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.flow_config import LIBRARY, Config
from benchmarks.flow_descent import crossing, loop_call
from benchmarks.flow_saddle import Params, Problem, zero_block
from nsjax import dynamics
from nsjax.runs import RunError

_ROUNDING = 1e-2
"""Rounding against the motion of the zero block, `eps * steps`, at which a plain loop is lost."""


def seconds(
    call: Callable[[], Any], repeats: int, patience: float, *, fewest: int = 1
) -> tuple[np.ndarray, Any]:
    """CPU-seconds of some calls but those that compile, and what the last one returned."""
    taken: list[float] = []
    result = None
    for count in range(1, max(repeats, fewest) + 1):
        start = time.process_time()
        result = jax.block_until_ready(call())
        taken.append(time.process_time() - start)
        if count >= fewest and sum(taken) > patience:
            break
    return np.array(taken[fewest - 1 :]), result


def escape_call(
    config: Config, problem: Problem, delta: float, method: str, **policy: Any
) -> Callable[[], Any]:
    # One bound on the steps for all: it is static, and another would compile another program.
    policy = {"max_steps": 2 * config.explicit_budget} | policy
    return partial(
        dynamics.escape,
        problem.params,
        problem.inactive,
        problem.x,
        problem.y,
        problem.activation,
        delta=delta,
        perturbation=problem.perturbation,
        method=method,
        **policy,
    )


def find_reference(config: Config, problem: Problem, delta: float) -> tuple[dict, dict]:
    """Escape time and direction at a tight tolerance: explicit where affordable, else slow."""
    found = escape_call(config, problem, delta, "slow", rtol=config.reference_rtol)()
    if explicit_steps(problem, found.escape_time) <= config.explicit_budget:
        found = escape_call(config, problem, delta, "explicit", rtol=config.reference_rtol)()
    if math.isnan(found.escape_time):
        raise RunError(f"no reference at delta = {delta:g}: {found.message}")
    ran = " + ".join(phase.method for phase in found.phases)
    return {"direction": flat(found.direction)}, {"escape_time": found.escape_time, "ran": ran}


def explicit_steps(problem: Problem, escape_time: float) -> float:
    """About how many steps stability asks of the explicit method."""
    return problem.curvature * escape_time / 2.5


def flat(params: Params) -> np.ndarray:
    return np.concatenate([np.ravel(w) for w in params])


def measure_library(
    config: Config, problem: Problem, delta: float, method: str, escape_time: float
) -> tuple[dict, dict]:
    policy: dict[str, Any] = {}
    if method == "explicit" and explicit_steps(problem, escape_time) > config.explicit_budget:
        policy["max_steps"] = config.explicit_probe
    short = escape_call(config, problem, delta, method, horizon=1e-9 * escape_time, **policy)
    short()
    fixed = float(np.median(seconds(short, config.repeats, config.patience)[0]))
    call = escape_call(config, problem, delta, method, **policy)
    # The slow manifold may hand over to a program that the short call has not compiled.
    fewest = 2 if method == "slow" else 1
    taken, found = seconds(call, config.repeats, config.patience, fewest=fewest)
    direction = flat(found.direction)
    row: dict[str, Any] = {
        "status": "measured",
        "gradients": found.stats.gradients,
        "hessians": found.stats.jacobians,
        "steps": found.stats.steps,
        "times": taken,
        "fixed_seconds": fixed,
        "escape_time": found.escape_time,
        "message": found.message,
        "ran": " + ".join(phase.method for phase in found.phases),
    }
    if found.result == dynamics.Stop.MAX_STEPS:
        scale = escape_time / found.phases[-1].end
        row |= {
            "status": "extrapolated",
            "measured_steps": found.stats.steps,
            "times": fixed + scale * np.maximum(taken - fixed, 0.0),
            "escape_time": None,
        }
        row |= {name: math.ceil(scale * row[name]) for name in ("gradients", "hessians", "steps")}
    elif found.result != dynamics.Stop.ESCAPED:
        row |= {"status": "failed" if found.phases else "refused", "escape_time": None}
        row |= dict.fromkeys(("gradients", "hessians", "steps", "times"))
    elif not np.all(np.isfinite(direction)):
        row |= {"status": "failed", "message": "the direction is not finite"}
    return {"direction": direction}, row


def measure_loop(
    config: Config, problem: Problem, delta: float, method: str, escape_time: float
) -> tuple[dict, dict]:
    step = 0.5 / problem.curvature
    needed = math.ceil(escape_time / step)
    kind = method.split()[0]
    whole = needed <= getattr(config, f"{kind}_budget")
    most = 2 * needed if whole else min(getattr(config, f"{kind}_probe"), needed)
    loop_call(problem, delta, method, 3)()
    taken, descent = seconds(
        loop_call(problem, delta, method, most), config.repeats, config.patience
    )
    steps = int(descent.steps)
    row: dict[str, Any] = {"hessians": 0, "fixed_seconds": 0.0, "message": "", "ran": method}
    if whole and steps == most:
        row |= {"status": "failed", "message": "it did not cross the threshold"}
        row |= {"gradients": steps, "steps": steps, "times": taken, "escape_time": None}
    elif whole:
        crossed, direction = crossing(descent, zero_block(problem.inactive), 10 * delta)
        row |= {
            "status": "measured",
            "gradients": steps,
            "steps": steps,
            "times": taken,
            "escape_time": crossed * step,
        }
        return {"direction": direction}, row
    row |= {
        "status": "extrapolated",
        "measured_steps": steps,
        "gradients": needed,
        "steps": needed,
        "times": taken / steps * needed,
        "escape_time": None,
    }
    rounding = float(jnp.finfo(problem.x.dtype).eps) * needed
    if rounding > _ROUNDING:
        row["message"] = f"rounding would be {rounding:.2g} of what one step moves"
    return {"direction": np.zeros(sum(w.size for w in problem.params))}, row


def measure_compilation(config: Config, problem: Problem, method: str) -> tuple[dict, dict]:
    """CPU-seconds of a short first call beyond those of a second.

    Nothing has been compiled before; for the implicit and the explicit method, what the slow one
    needs has been, the larger part of it common to all three.
    """
    delta = config.deltas[len(config.deltas) // 2]
    if method in ("implicit", "explicit"):
        escape_call(config, problem, delta, "slow", horizon=1e-6)()
    else:
        jax.clear_caches()
    if method in LIBRARY:
        call: Callable[[], Any] = escape_call(config, problem, delta, method, horizon=1e-6)
    else:
        call = loop_call(problem, delta, method, 1)
    first, _ = seconds(call, 1, config.patience)
    second, _ = seconds(call, config.repeats, config.patience)
    return {}, {"cpu_seconds": float(first[0] - np.median(second))}
