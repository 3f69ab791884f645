"""How the escape time scales with the size of the perturbation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nsjax.diagnostics import PowerLaw, power_law


def time_scaling(escapes: Sequence[Any], *, below: float = 1e-2) -> PowerLaw:
    """Escape time as a power of delta; Theorem 7 predicts the exponent `-(q - 2)`.

    Args:
        escapes: results of `escape` for one saddle and perturbation at several deltas.
        below: deltas above this are left out, since the prediction is a limit.

    >>> from types import SimpleNamespace as Result
    >>> law = time_scaling([Result(delta=d, escape_time=3 / d) for d in (1e-2, 1e-3, 1e-4)])
    >>> round(law.exponent, 6)
    -1.0
    """
    small = [e for e in escapes if e.delta <= below * (1 + 1e-9) and np.isfinite(e.escape_time)]
    return power_law([e.delta for e in small], [e.escape_time for e in small])
