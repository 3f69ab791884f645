"""Standardisation of inputs and targets, kept so that results can be read in original units."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import numpy as np

from nsjax import _check, _json

MOST = 1_000_000
"""Most columns that are read from a text."""


class Scaler(NamedTuple):
    """Means and standard deviations of the rows that were fitted.

    Attributes:
        x_mean, x_scale: of the inputs, `(d,)`.
        y_mean, y_scale: of the targets, `(c,)`.
    """

    x_mean: np.ndarray
    x_scale: np.ndarray
    y_mean: np.ndarray
    y_scale: np.ndarray

    @classmethod
    def fit(cls, x: Any, y: Any) -> Scaler:
        """The scaler of inputs and targets: of training rows alone.

        Args:
            x: inputs `(n, d)`.
            y: targets `(n, c)`.

        Raises:
            TypeError, ValueError: if they are no finite matrices, or a column does not vary.

        >>> Scaler.fit([[0.0], [2.0]], [[5.0], [9.0]]).y_scale.tolist()
        [2.0]
        """
        parts: list[Any] = []
        for name, table in (("x", x), ("y", y)):
            # In double precision, whatever JAX's default is: means of large numbers are wanted.
            _check.matrix(name, table)
            parts += mean_and_scale(name, np.asarray(table, float))
        return cls(*parts)

    def inputs(self, x: Any) -> np.ndarray:
        """Standardised inputs, of the shape that came.

        Args:
            x: inputs `(..., d)` in original units, such as one row; or `(n,)` of one input.

        Raises:
            ValueError: if the last axis of x is not of d inputs.
        """
        return (_columns("x", x, self.x_mean) - self.x_mean) / self.x_scale

    def apply(self, x: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
        """Standardised inputs `(n, d)` and targets `(n, c)`.

        Args:
            x, y: inputs `(n, d)` and targets `(n, c)` in original units.

        Raises:
            ValueError: if they are no matrices of d and c columns.
        """
        parts = []
        for name, table, mean in (("x", x, self.x_mean), ("y", y, self.y_mean)):
            parts.append(_columns(name, table, mean))
            if parts[-1].ndim != 2:  # rows of both belong together
                raise _shapeless(name, parts[-1], mean)
        return (parts[0] - self.x_mean) / self.x_scale, (parts[1] - self.y_mean) / self.y_scale

    def targets(self, h: Any) -> np.ndarray:
        """Outputs of a standardised model in the units of the targets, of the shape that came.

        Args:
            h: outputs `(..., c)` of the model, such as one row; or `(n,)` of one output.

        Raises:
            ValueError: if the last axis of h is not of c outputs.
        """
        return _columns("h", h, self.y_mean) * self.y_scale + self.y_mean

    def explain(
        self,
        inputs: tuple[str, ...],
        targets: tuple[str, ...],
        *,
        digits: int = 4,
        symbols: tuple[str, str] = ("x", "y"),
    ) -> str:
        """How a formula of standardised variables is read in original units, a line for each.

        Args:
            inputs: d names in original units.
            targets: c names in original units.
            digits: significant digits of a number.
            symbols: what the formula calls its inputs, before their number, and its outputs.

        >>> scaler = Scaler.fit([[0.0], [2.0]], [[5.0], [9.0]])
        >>> print(scaler.explain(("chord",), ("noise",)))
        x0 = (chord - 1) / 1
        noise = 7 + 2 y
        """
        lines = []
        x, y = symbols
        for i, name in enumerate(inputs):
            mean = self.x_mean[i]
            sign, size = ("-", mean) if mean >= 0 else ("+", -mean)
            lines.append(
                f"{x}{i} = ({name} {sign} {size:.{digits}g}) / {self.x_scale[i]:.{digits}g}"
            )
        for i, name in enumerate(targets):
            output = y if len(targets) == 1 else f"{y}{i}"
            lines.append(
                f"{name} = {self.y_mean[i]:.{digits}g} + {self.y_scale[i]:.{digits}g} {output}"
            )
        return "\n".join(lines)

    def to_json(self) -> str:
        """All numbers as a text, exactly."""
        return json.dumps({name: part.tolist() for name, part in self._asdict().items()})

    @classmethod
    def from_json(cls, text: str | bytes) -> Scaler:
        """The inverse of `to_json`. Nothing in the text is executed.

        Raises:
            TypeError: for what is neither str nor bytes.
            ValueError: if it is no such text, or its numbers are not finite or no scales.
        """
        return cls.from_value(_json.parsed(text))

    @classmethod
    def from_value(cls, value: Any) -> Scaler:
        """The same from JSON that has been parsed.

        Args:
            value: what `json.loads` gives of the text.

        Raises:
            TypeError, ValueError: as `from_json`.
        """
        whole = _json.fields("scaler", value, cls._fields)
        parts = {}
        for name, numbers in whole.items():
            size = len(_json.items(name, numbers))
            parts[name] = _json.vector(name, numbers, _check.limited(f"size of {name}", size, MOST))
        for kind in ("x", "y"):
            mean, scale = parts[f"{kind}_mean"], parts[f"{kind}_scale"]
            if mean.shape != scale.shape or np.any(scale <= 0):
                raise ValueError(f"{kind}_scale must be positive, one for each entry of the mean")
        return cls(**parts)


def _columns(name: str, table: Any, mean: np.ndarray) -> np.ndarray:
    """The table in double precision, if it has a column for every mean: `(n, 1)` would spread."""
    values = np.asarray(table, float)
    of_one = len(mean) == 1 and values.ndim == 1
    if values.shape[-1:] != (len(mean),) and not of_one:
        raise _shapeless(name, values, mean)
    return values


def _shapeless(name: str, values: np.ndarray, mean: np.ndarray) -> ValueError:
    return ValueError(f"{name} must have shape (n, {len(mean)}), got {values.shape}")


def mean_and_scale(name: str, table: Any) -> tuple[Any, Any]:
    """Mean and standard deviation of every column of `(n, k)`, a NumPy or JAX array: `(k,)` each.

    Raises:
        ValueError: if a column does not vary beyond rounding.
    """
    rounding = max(8 * float(np.finfo(table.dtype).eps), 1e-14) * abs(table).max(axis=0)
    scale = table.std(axis=0)
    constant = np.flatnonzero(np.asarray(scale <= rounding))
    if constant.size:
        raise ValueError(
            f"{name} must vary over its rows, got constant columns {constant.tolist()}"
        )
    return table.mean(axis=0), scale
