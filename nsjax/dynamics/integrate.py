"""One adaptive integration by diffrax: solvers, saves, one located event, exact counts.

Everything here is traced by its callers; nothing is validated and nothing touches the host.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import diffrax
import equinox.internal
import jax
import jax.numpy as jnp
import numpy as np
import optimistix

from nsjax.dynamics.results import Stats, Stop

CHORD_ITERATIONS = 4

LARGEST_DENSE = 2048
"""Most parameters for which a dense Hessian is formed and factorised."""


class _FixedChord(diffrax.VeryChord):
    """The chord iteration of diffrax with a fixed count of iterations.

    The count of gradient evaluations is then known exactly, which diffrax does not report, and a
    trip count that is fixed compiles to better code. Next to one Hessian a step, the extra
    gradients are cheap. It converges where the last iterate moved by less than the step's
    tolerance.
    """

    def terminate(self, fn, y, args, options, state, tags):  # type: ignore[no-untyped-def]
        del fn, y, args, options, tags
        done = state.step >= CHORD_ITERATIONS
        result = optimistix.RESULTS.where(
            ~done | (state.diffsize < 1),
            optimistix.RESULTS.successful,
            optimistix.RESULTS.nonlinear_divergence,
        )
        return done, result


class _Bisect(optimistix.Bisection):
    """Bisection on the dense output that ends when the bracket is a few roundings wide.

    The library's own criterion also asks for a small function value, on the same absolute tolerance
    as the time; here times run from 1e-6 to 1e32.
    """

    def terminate(self, fn, y, args, options, state, tags):  # type: ignore[no-untyped-def]
        del fn, y, args, options, tags
        largest = jnp.maximum(jnp.abs(state.lower), jnp.abs(state.upper))
        narrow = jnp.abs(state.upper - state.lower) <= 8 * jnp.finfo(largest.dtype).eps * largest
        return narrow, optimistix.RESULTS.successful


def error_norm(error: Any) -> jax.Array:
    """Root mean square, with a large number for what is not finite.

    A trial step that is far too long overflows in a network of high degree; as NaN its error would
    make every later step size NaN, as a large number it is a rejection like any other.
    """
    return jnp.nan_to_num(jnp.asarray(optimistix.rms_norm(error)), nan=1e10, posinf=1e10)


@contextmanager
def _unchecked() -> Iterator[None]:
    """Within it diffrax is traced without its checks that the saves are in order and in time.

    They are, see `integrate`. In a compiled program every check is a callback to the host, with
    which it neither lowers for another platform nor enters the persistent compilation cache.
    """
    check = equinox.internal.error_if
    equinox.internal.error_if = lambda x, *_, **__: x
    try:
        yield
    finally:
        equinox.internal.error_if = check


def _solver(name: str) -> tuple[Any, int, int]:
    """A diffrax solver, its gradient evaluations a step, and its Jacobians a step."""
    if name == "tsit5":
        return diffrax.Tsit5(), 6, 0
    if name == "dopri8":
        return diffrax.Dopri8(), 13, 0
    chord = diffrax.with_stepsize_controller_tols(_FixedChord)()
    return diffrax.Kvaerno5(root_finder=chord), 6 * CHORD_ITERATIONS + 2, 1


class Integration(NamedTuple):
    """What `integrate` returns: arrays only.

    Attributes:
        t, y: where it stopped.
        ts, saved: times and `measure(t, y, args)` there; infinite after the stop.
        steps, rejected: counts.
        code: `Stop.HORIZON`, `EVENT`, `MAX_STEPS` or `FAILED`.
        margin: values of the event conditions at the stop; the largest fired.
    """

    t: jax.Array
    y: jax.Array
    ts: jax.Array
    saved: Any
    steps: jax.Array
    rejected: jax.Array
    code: jax.Array
    margin: jax.Array


def integrate(
    field: Callable[[jax.Array, jax.Array, Any], jax.Array],
    y0: jax.Array,
    args: Any,
    *,
    horizon: jax.Array,
    fractions: np.ndarray,
    measure: Callable[[jax.Array, jax.Array, Any], Any],
    margins: Callable[[jax.Array, jax.Array, Any], jax.Array] | None,
    rtol: jax.Array,
    atol: jax.Array,
    solver: str,
    max_steps: int,
) -> Integration:
    """Integrate `y' = field(t, y, args)` from t = 0.

    Args:
        field: vector field on flat vectors.
        y0: `(k,)`, the start.
        args: passed to field, measure and margins.
        horizon: where it ends if no event fires. The solver's own time runs from 0 to 1, the share
            of the horizon.
        fractions: `(m,)` times of the saves as increasing shares of the horizon, a NumPy array.
        measure: what is saved at each, any pytree of arrays.
        margins: `(e,)` event conditions; the integration stops where the largest crosses zero from
            below. One combined condition, since of several conditions met within one step diffrax
            follows the first in order, not in time.
        rtol, atol: tolerances of the step-size control.
        solver: "tsit5", "dopri8" or "kvaerno5".
        max_steps: bound on the attempted steps.
    """
    method, _, _ = _solver(solver)
    saves: Any = fractions.astype(y0.dtype)
    event = None
    if margins is not None:

        def highest(t: jax.Array, y: jax.Array, args: Any, **_: Any) -> jax.Array:
            # diffrax compares with a default float, whatever the state's dtype.
            return jnp.max(margins(t * horizon, y, args)).astype(jnp.result_type(float))

        bisect: Any = _Bisect
        event = diffrax.Event(highest, bisect(rtol=0.0, atol=0.0, flip=False), direction=True)
    with _unchecked():
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(lambda t, y, args: horizon * field(jnp.asarray(t) * horizon, y, args)),
            method,
            t0=0.0,
            t1=1.0,
            dt0=None,
            y0=y0,
            args=args,
            saveat=diffrax.SaveAt(
                subs=[
                    diffrax.SubSaveAt(
                        ts=saves,
                        fn=lambda t, y, args: measure(t * horizon, y, args),
                    ),
                    diffrax.SubSaveAt(t1=True, fn=lambda t, y, args: (t * horizon, y)),
                ]
            ),
            stepsize_controller=diffrax.PIDController(rtol=rtol, atol=atol, norm=error_norm),
            event=event,
            max_steps=max_steps,
            adjoint=diffrax.ForwardMode(),
            throw=False,
        )
    saved_ts, saved = solution.ts[0] * horizon, solution.ys[0]
    t, y = jax.tree.map(lambda leaf: leaf[0], solution.ys[1])
    code = jnp.where(
        solution.result == diffrax.RESULTS.successful,
        Stop.HORIZON,
        jnp.where(
            solution.result == diffrax.RESULTS.event_occurred,
            Stop.EVENT,
            jnp.where(
                solution.result == diffrax.RESULTS.max_steps_reached, Stop.MAX_STEPS, Stop.FAILED
            ),
        ),
    )
    code = jnp.where(jnp.all(jnp.isfinite(y)), code, Stop.FAILED).astype(jnp.int32)
    return Integration(
        t,
        y,
        saved_ts,
        saved,
        solution.stats["num_steps"],
        solution.stats["num_rejected_steps"],
        code,
        jnp.zeros((0,), y0.dtype) if margins is None else margins(t, y, args),
    )


def cost(solver: str, steps: Any, rejected: Any) -> Stats:
    """Evaluation counts, exact but for a handful that choose the first step.

    Of the implicit solver's gradients a step, one starts the stages and one comes with the Hessian;
    a rejected step also solves its first stage anew.
    """
    steps, rejected = int(steps), int(rejected)
    _, gradients, jacobians = _solver(solver)
    again = CHORD_ITERATIONS if jacobians else 0
    return Stats(steps, rejected, 3 + gradients * steps + again * rejected, jacobians * steps)
