"""Successive saddles of gradient flow on diagonal networks in the limit of small initialisation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.optimize import nnls

if TYPE_CHECKING:
    from jaxtyping import Float


class Visited(NamedTuple):
    """Saddles in the order in which the flow visits them, the last one a minimum.

    Attributes:
        coefficients: `beta` at each, `(m + 1, d)`, the first one zero.
        times: when it leaves each but the last, `(m,)`, in units of `log(1 / alpha)`.
        order: the neuron that is born at each of these times, `(m,)`.
        dropped: how often a neuron returned to zero.
    """

    coefficients: Float[np.ndarray, "m1 d"]
    times: Float[np.ndarray, " m"]
    order: np.ndarray
    dropped: int


def successive_saddles(x: Any, y: Any, *, tol: float = 1e-9, max_saddles: int = 1000) -> Visited:
    """Rule `flow` with memory: dormant neurons keep the size that earlier waits gave them.

    The log-sizes s of the neurons, over `log(1 / alpha)`, move at the rate `x^T r` of the saddle.
    The first one to come to 1 or -1 is born with that sign. Then the loss is minimised over the
    neurons at 1, whose coefficients stay non-negative, and those at -1, non-positive; balanced
    neurons do not change sign. This is the limit `alpha -> 0` of gradient flow, in time over
    `log(1 / alpha)`, and it ends in a solution of the smallest l1 norm.

    Args:
        x: inputs `(n, d)`.
        y: targets `(n,)`.
        tol: the flow is over when `max |x^T r|` is below tol times that at zero.
        max_saddles: bound on their number.

    Raises:
        RuntimeError: if there are more saddles.

    Source: S. Pesme and N. Flammarion, Saddle-to-Saddle Dynamics in Diagonal Linear Networks
        (NeurIPS 2023), Algorithm 1.
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    sizes, beta = np.zeros(x.shape[1]), np.zeros(x.shape[1])
    rates = x.T @ y
    floor = tol * np.max(np.abs(rates))
    visited, times, dropped = [beta], [0.0], 0
    order: list[int] = []
    while np.max(np.abs(rates)) > floor:
        if len(order) == max_saddles:
            raise RuntimeError(f"the flow visits more than max_saddles = {max_saddles} saddles")
        # Neurons that are trained, or pressed against zero from their side, stand still.
        free = (np.abs(rates) > floor) & ~((np.abs(sizes) == 1) & (rates * sizes > 0))
        left = np.full_like(sizes, np.inf)
        left[free] = (1 - sizes[free] * np.sign(rates[free])) / np.abs(rates[free])
        born = int(np.argmin(left))
        sizes[free] += left[born] * rates[free]
        sizes[born] = np.sign(rates[born])
        held = np.flatnonzero(np.abs(sizes) == 1)
        found, _ = nnls(x[:, held] * sizes[held], y)
        before, beta = beta, np.zeros_like(beta)
        beta[held] = found * sizes[held]
        dropped += int(np.sum((before != 0) & (beta == 0)))
        rates = x.T @ (y - x @ beta)
        rates[beta != 0] = 0
        visited.append(beta)
        times.append(times[-1] + left[born])
        order.append(born)
    return Visited(np.array(visited), np.array(times[1:]), np.array(order, int), dropped)
