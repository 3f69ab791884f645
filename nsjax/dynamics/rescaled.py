r"""Gradient flow of the logistic loss in rescaled time: it makes a saddle at infinity visible.

Once some units separate the data the loss has no minimum: they grow without end, the residual
`r_i = y_i sigma(-m_i)` (m_i the margin of sample i) tends to zero, and a flow in real time shows
nothing more. In the time `tau`, `d tau = ||r||_1 dt`, the residual is normalised,

    dw/dtau = grad N_p(w),    N_p(w) = sum_i p_i y_i H(x_i; w),    p = |r| / ||r||_1,

the gradient of the neural correlation function of the *dual* p, which converges to weights of
support vectors. Each unit has a logarithmic size `l_j` and a direction `d_j`, so that sizes of
1e-300 and 1e300 are alike, and time is once more divided by the largest rate of growth,
`ds = e^c dtau` with `c = log sum_j e^((q_j - 2) l_j)`:

    l_j' = q_j N_p(d_j) e^((q_j - 2) l_j - c),
    d_j' = (grad N_p(d_j) - q_j N_p(d_j) d_j) e^((q_j - 2) l_j - c).

Real time comes along as `log(1 + t)`, with `t' = e^-c / ||r||_1`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

from nsjax import _check
from nsjax.dynamics.integrate import _Bisect, _solver, _unchecked, error_norm
from nsjax.dynamics.results import MESSAGES, Stop
from nsjax.networks.units import Units

if TYPE_CHECKING:
    from jaxtyping import Array, Float

_SATURATED = 20.0
"""Margin above which `log log(1 + e^-m)` is taken from its expansion, exact to rounding there."""


class RescaledFlow(NamedTuple):
    """A flow in rescaled time, at every step that the integrator took.

    Attributes:
        s: `(m,)` rescaled time.
        tau: `(m,)`, `integral ||r||_1 dt`: the total pull that units have felt.
        log_time: `(m,)`, `log(1 + t)` of real time t.
        log_loss: `(m,)`, logarithm of the logistic loss, a sum over samples.
        log_residual: `(m,)`, `log ||r||_1`.
        margin: `(m,)`, `min_i y_i H(x_i)`.
        log_norms: `(m, k)`, logarithms of the units' norms.
        directions: `(m, k, w)`, their unit weights.
        dual: `(m, n)`, `p = |r| / ||r||_1`.
        ncf: `(m, k)`, `N_p` at the units' directions.
        steps: attempted steps.
        result: `Stop` code; `message` is its text.
    """

    s: np.ndarray
    tau: np.ndarray
    log_time: np.ndarray
    log_loss: np.ndarray
    log_residual: np.ndarray
    margin: np.ndarray
    log_norms: np.ndarray
    directions: np.ndarray
    dual: np.ndarray
    ncf: np.ndarray
    steps: int
    result: int

    @property
    def message(self) -> str:
        """Why it stopped, in words."""
        return MESSAGES[int(self.result)]

    @property
    def log_size(self) -> np.ndarray:
        """`(m,)`, logarithm of the norm of all weights."""
        return np.asarray(0.5 * np.logaddexp.reduce(2 * self.log_norms, axis=1))

    @property
    def end(self) -> jax.Array:
        """`(k, w)`, the weights at the end over the norm of all of them."""
        sizes = np.exp(self.log_norms[-1] - self.log_size[-1])
        return jnp.asarray(sizes[:, None] * self.directions[-1])

    def when(self, series: np.ndarray, values: Any, level: float) -> float:
        """Value of a `series` where `values` first rise through `level`; NaN where they do not.

        Linear between two steps: give quantities that are nearly linear in s, logarithms.

        Args:
            series: `(m,)`, a value for every step.
            values: `(m,)`, what has to rise.
            level: that it has to reach.
        """
        values = np.asarray(values, float)
        above = np.flatnonzero((values[1:] >= level) & (values[:-1] < level))
        if not len(above):
            return float("nan")
        i = int(above[0])
        share = (level - values[i]) / (values[i + 1] - values[i])
        return float(series[i] + share * (series[i + 1] - series[i]))

    def growth_exponents(self, since: float) -> np.ndarray:
        """`(k,)`, `d log ||w_j|| / d log ||w||` from the step before depth `since` to the end."""
        below = np.flatnonzero(self.depth < since)
        first = min(int(below[-1]) if len(below) else 0, len(self.s) - 2)
        grown = self.log_norms[-1] - self.log_norms[first]
        return np.asarray(grown / (self.log_size[-1] - self.log_size[first]))

    @property
    def depth(self) -> np.ndarray:
        """`(m,)`, `M = -log loss`: how far down the loss is; about `log t` at the end."""
        return -self.log_loss


def log_logistic(margins: Float[Array, " n"]) -> Float[Array, " n"]:
    """`log log(1 + exp(-m))`, the logarithm of the logistic loss, at any `margins` m.

    >>> bool(jnp.allclose(log_logistic(jnp.array([0.0, 1e4])), jnp.array([-0.3665129, -1e4])))
    True
    """
    near = jnp.minimum(margins, _SATURATED)
    far = jnp.maximum(margins, _SATURATED)
    return jnp.where(
        margins > _SATURATED,
        -far + jnp.log1p(-0.5 * jnp.exp(-far)),
        jnp.log(jax.nn.softplus(-near)),
    )


def rescaled_flow(
    units: Units,
    weights: Float[Array, "k m"],
    x: Float[Array, "n d"],
    y: Float[Array, "n 1"],
    *,
    depth: float = 1e3,
    horizon: float = 1e3,
    rtol: float = 1e-9,
    largest_step: float = 0.05,
    max_steps: int = 20_000,
) -> RescaledFlow:
    r"""Gradient flow of the logistic loss of a sum of units, to a loss of `exp(-depth)`.

    Args:
        units: what the units are; hashable.
        weights: `(k, m)`, the start, a row a unit, none of them zero.
        x: inputs `(n, d)`.
        y: labels -1 and 1, `(n, 1)`.
        depth: stop where the loss has fallen to `exp(-depth)`; real time is about that, inverted.
        horizon: rescaled time s at which to give up.
        rtol: tolerance of the logarithmic sizes, directions and times, relative and, a tenth of
            it, absolute.
        largest_step: largest step in s. Sizes grow by at most `e^(q N s)` over it; the solver would
            take longer ones, but real time is a cubic between them.
        max_steps: bound on the steps.

    Returns:
        `RescaledFlow`; its `message` says whether the depth was reached (an event) or not.

    Raises:
        TypeError, ValueError: for bad input, before anything is compiled.

    Source: Lyu and Li (arXiv 1906.05890) for the growth of the norm; `docs/mathematics.md`,
    section 3.

    >>> from nsjax.networks.units import DiagonalUnits
    >>> x, y = jnp.array([[1.0, 0.2]]), jnp.ones((1, 1))
    >>> flow = rescaled_flow(DiagonalUnits(), jnp.full((2, 2), 0.1), x, y, depth=3.0, rtol=1e-4)
    >>> flow.message, round(float(flow.margin[-1]), 1)
    ('an event fired', 3.0)
    """
    if not isinstance(units, Units):
        raise TypeError(f"units must be networks.Units, got {units!r}")
    weights = _check.matrix("weights", weights)
    x = _check.matrix("x", x).astype(weights.dtype)
    y = _check.matrix("y", y, rows=x.shape[0], columns=1).astype(weights.dtype)
    _check.targets("logistic", "y", y)
    norms = np.linalg.norm(np.asarray(weights), axis=1)
    if np.any(norms == 0):
        raise ValueError(f"weights must have no zero row, got one at {int(np.argmin(norms))}")
    depth, horizon = _check.positive("depth", depth), _check.positive("horizon", horizon)
    rtol = _check.positive("rtol", rtol)
    largest_step = _check.positive("largest_step", largest_step)
    max_steps = _check.positive_integer("max_steps", max_steps)
    wanted = (x.shape[0], weights.shape[0])
    shape = jax.eval_shape(units.responses, weights, x).shape
    if shape != wanted:
        raise ValueError(f"units must give responses of shape {wanted}, got {shape}")
    numbers = (depth, horizon, rtol, largest_step)
    out, code, steps = _integrate(units, max_steps, weights, x, y[:, 0], *numbers)
    times = np.asarray(out["s"])
    finite = int(np.sum(np.isfinite(times)))
    # An event may save its own step twice.
    kept = np.flatnonzero(np.diff(times[:finite], append=np.inf) > 0)
    arrays = {name: np.asarray(leaf)[kept] for name, leaf in out.items()}
    log_time = _log_time(arrays["s"], *arrays.pop("pace").T)
    return RescaledFlow(**arrays, log_time=log_time, steps=int(steps), result=int(code))


_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(8)
_EDGES = np.append(1 - 0.5 ** np.arange(48.0), 1.0)
"""Where a step is cut for the quadrature of real time: almost all of it passes at the end."""


def _log_time(s: np.ndarray, pace: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """`log(1 + t)` with `t = integral e^pace ds`, pace a cubic over each step.

    After the flow and not with it: `t` may grow by a factor of e^1000 over one step of the sizes.
    """
    width = np.diff(s)
    pieces = np.diff(_EDGES)[:, None]
    share = (_EDGES[:-1, None] + pieces * (_NODES + 1) / 2).ravel()
    weight = (pieces * _WEIGHTS / 2).ravel()
    u = share[:, None]
    cubic = (
        (1 + 2 * u) * (1 - u) ** 2 * pace[:-1]
        + u * (1 - u) ** 2 * width * slope[:-1]
        + u**2 * (3 - 2 * u) * pace[1:]
        - u**2 * (1 - u) * width * slope[1:]
    )
    logs = np.log(weight)[:, None] + cubic + np.log(width)
    steps = np.logaddexp.reduce(logs, axis=0)
    return np.logaddexp.accumulate(np.concatenate([[0.0], steps]))


class _State(NamedTuple):
    """Logarithmic sizes, directions, and tau."""

    sizes: jax.Array
    directions: jax.Array
    tau: jax.Array


@partial(jax.jit, static_argnums=(0, 1))
def _integrate(
    units: Units,
    max_steps: int,
    weights: jax.Array,
    x: jax.Array,
    y: jax.Array,
    depth: jax.Array,
    horizon: jax.Array,
    rtol: jax.Array,
    largest_step: jax.Array,
) -> tuple[dict[str, jax.Array], jax.Array, jax.Array]:
    degrees = jnp.asarray(units.degrees(weights.shape[0]), weights.dtype)
    zero = jnp.zeros((), weights.dtype)

    def measure(state: _State) -> dict[str, jax.Array]:
        unit = state.directions / jnp.linalg.norm(state.directions, axis=1, keepdims=True)
        responses = y[:, None] * units.responses(unit, x)
        margins = responses @ jnp.exp(degrees * state.sizes)
        logs = -jax.nn.softplus(margins)
        total = jax.nn.logsumexp(logs)
        dual = jnp.exp(logs - total)
        return {
            "tau": state.tau,
            "log_loss": jax.nn.logsumexp(log_logistic(margins)),
            "log_residual": total,
            "margin": jnp.min(margins),
            "log_norms": state.sizes,
            "directions": unit,
            "dual": dual,
            "ncf": dual @ responses,
        }

    def field(s: Any, state: _State, args: Any) -> _State:
        del s, args
        now = measure(state)
        unit, pull = now["directions"], now["dual"] * y
        gradient = jax.grad(lambda w: jnp.sum(pull @ units.responses(w, x)))(unit)
        rates = (degrees - 2) * state.sizes
        scale = jax.nn.logsumexp(rates)
        share = jnp.exp(rates - scale)
        radial = jnp.sum(gradient * unit, axis=1)  # q N, by Euler's identity
        tangent = gradient - radial[:, None] * unit
        return _State(
            radial * share,
            tangent * share[:, None],
            jnp.exp(-scale),
        )

    def pace(state: _State) -> jax.Array:
        """`log dt/ds` and its derivative in s."""

        def log_pace(state: _State) -> jax.Array:
            scale = jax.nn.logsumexp((degrees - 2) * state.sizes)
            return -scale - measure(state)["log_residual"]

        return jnp.stack(jax.jvp(log_pace, (state,), (field(zero, state, None),)))

    def below(t: Any, y: _State, args: Any, **_: Any) -> jax.Array:
        del t, args
        return (-measure(y)["log_loss"] - depth).astype(jnp.result_type(float))

    norms = jnp.linalg.norm(weights, axis=1)
    start = _State(jnp.log(norms), weights / norms[:, None], zero)
    bisect: Any = _Bisect
    root = bisect(rtol=0.0, atol=0.0, flip=False)
    with _unchecked():
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(field),
            _solver("kvaerno5")[0],
            t0=zero,
            t1=horizon,
            dt0=None,
            y0=start,
            saveat=diffrax.SaveAt(
                t0=True, steps=True, fn=lambda s, y, args: {"s": s, **measure(y), "pace": pace(y)}
            ),
            stepsize_controller=diffrax.PIDController(
                rtol=rtol, atol=0.1 * rtol, norm=error_norm, dtmax=largest_step
            ),
            event=diffrax.Event(below, root, direction=True),
            max_steps=max_steps,
            adjoint=diffrax.ForwardMode(),
            throw=False,
        )
    results = diffrax.RESULTS
    code = jnp.where(
        solution.result == results.successful,
        Stop.HORIZON,
        jnp.where(
            solution.result == results.event_occurred,
            Stop.EVENT,
            jnp.where(solution.result == results.max_steps_reached, Stop.MAX_STEPS, Stop.FAILED),
        ),
    )
    return solution.ys, code.astype(jnp.int32), solution.stats["num_steps"]
