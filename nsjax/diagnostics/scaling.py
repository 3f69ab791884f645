"""Power laws read off measured points."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class PowerLaw(NamedTuple):
    """`y = factor * x^exponent`, fitted by least squares in logarithms.

    Attributes:
        exponent, factor: of the law.
        error: standard error of the exponent; NaN with two points.
        points: how many were fitted.
    """

    exponent: float
    factor: float
    error: float
    points: int

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Confidence interval of the exponent, by Student's t; NaN with two points.

        Args:
            level: probability of the interval, between 0 and 1.

        >>> low, high = power_law([1.0, 2.0, 4.0], [1.0, 2.0, 4.4]).interval()
        >>> low < 1 < high
        True
        """
        # Here, as importing it takes longer than most fits.
        from scipy import stats

        reach = float(stats.t.ppf((1 + level) / 2, self.points - 2)) * self.error
        return self.exponent - reach, self.exponent + reach


def power_law(x: Any, y: Any) -> PowerLaw:
    """Fit a power law through points with positive, finite coordinates.

    Points that are not finite are left out: they stand for runs that gave no value.

    Args:
        x, y: `(m,)`.

    Raises:
        ValueError: for arrays of different shapes, or values that are zero or negative.

    >>> law = power_law([1.0, 10.0, 100.0], [5.0, 0.05, 0.0005])
    >>> round(law.exponent, 6), round(law.factor, 6), law.points
    (-2.0, 5.0, 3)
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(f"x and y must be vectors of one length, got {x.shape} and {y.shape}")
    kept = np.isfinite(x) & np.isfinite(y)
    x, y = x[kept], y[kept]
    for name, values in (("x", x), ("y", y)):
        if np.any(values <= 0):
            raise ValueError(f"{name} must be positive, got {values.min():.3g}")
    if len(np.unique(x)) < 2:
        return PowerLaw(np.nan, np.nan, np.nan, len(x))
    logs = np.log(x)
    design = np.stack([np.ones_like(logs), logs], axis=1)
    solution, *_ = np.linalg.lstsq(design, np.log(y), rcond=None)
    error = np.nan
    if len(x) > 2:
        variance = np.sum((np.log(y) - design @ solution) ** 2) / (len(x) - 2)
        error = float(np.sqrt(variance / np.sum((logs - logs.mean()) ** 2)))
    return PowerLaw(float(solution[1]), float(np.exp(solution[0])), error, len(x))
