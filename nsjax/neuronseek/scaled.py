"""A formula found in standardised variables, read and evaluated in original units."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from nsjax import _check, _json
from nsjax.data import Scaler
from nsjax.neuronseek import schema
from nsjax.neuronseek.formula import Formula

FORMAT = "nsjax scaled formula"
VERSION = 1


@dataclass(frozen=True, eq=False)
class ScaledFormula:
    """A formula h of standardised inputs: `y = y_mean + y_scale h((x - x_mean) / x_scale)`.

    Attributes:
        formula: in the names of the original inputs and targets.
        scaler: of as many inputs and targets.

    Raises:
        TypeError, ValueError: for other types, or numbers of inputs or targets that differ.

    >>> from nsjax.networks.cp import CPNeuron
    >>> formula = Formula(CPNeuron([0.5], {2: [[1.0]]}, {}, {}), ("age",), ("cost",))
    >>> scaled = ScaledFormula(formula, Scaler.fit([[30.0], [50.0]], [[150.0], [250.0]]))
    >>> print(scaled.to_text())
    h = 0.5 + z0^2
    z0 = (age - 40) / 10
    cost = 200 + 50 h
    >>> scaled([[60.0]]).tolist()
    [[425.0]]
    """

    formula: Formula
    scaler: Scaler

    def __post_init__(self) -> None:
        formula, scaler = self.formula, self.scaler
        for name, value, kind in (("formula", formula, Formula), ("scaler", scaler, Scaler)):
            if not isinstance(value, kind):
                raise TypeError(f"{name} must be a {kind.__name__}, got {type(value).__name__}")
        for what, size, mean in (
            ("inputs", formula.d, scaler.x_mean),
            ("targets", formula.c, scaler.y_mean),
        ):
            if np.shape(mean) != (size,):
                raise ValueError(
                    f"scaler must have {size} {what}, as the formula, got means of shape "
                    f"{np.shape(mean)}"
                )

    def __call__(self, x: Any) -> np.ndarray:
        """Targets in original units, `(n, c)`, for inputs in original units, `(n, d)`.

        Raises:
            TypeError, ValueError: if x is no finite matrix of d columns.
        """
        _check.matrix("x", x, columns=self.formula.d)
        return self.scaler.targets(self.formula(self.scaler.inputs(x)))

    def __str__(self) -> str:
        return self.to_text()

    def to_text(self, digits: int = 4, **options: Any) -> str:
        """The formula in z and h, and what these are in original units, line by line.

        Args:
            digits: significant digits of a number.
            options: of `Formula.to_text`.
        """
        formula = self.formula
        names = (*formula.inputs, *formula.outputs)
        z, h = _unused("z", names), _unused("h", names)
        inputs = tuple(f"{z}{i}" for i in range(formula.d))
        outputs = (h,) if formula.c == 1 else tuple(f"{h}{i}" for i in range(formula.c))
        text = Formula(formula.neuron, inputs, outputs).to_text(digits, **options)
        read = self.scaler.explain(formula.inputs, formula.outputs, digits=digits, symbols=(z, h))
        return f"{text}\n{read}"

    def to_json(self) -> str:
        """JSON text from which `from_json` gives back the same, every bit of it."""
        return (
            f'{{"format": "{FORMAT}", "version": {VERSION}, '
            f'"scaler": {self.scaler.to_json()}, "formula": {self.formula.to_json()}}}'
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> ScaledFormula:
        """From JSON text, which may come from anywhere.

        Raises:
            TypeError: for what is neither str nor bytes.
            ValueError: for text that is none: it names the place, what came and what was wanted.
        """
        keys = ("format", "version", "scaler", "formula")
        whole = _json.fields("scaled formula", _json.parsed(text), keys)
        _json.of_format(whole, FORMAT, VERSION)
        formula = Formula(*schema.read_value(whole["formula"]))
        return cls(formula, Scaler.from_value(whole["scaler"]))


def _unused(letter: str, taken: tuple[str, ...]) -> str:
    """The letter, repeated until no name is it with a number or none."""
    symbol = letter
    while any(re.fullmatch(rf"{symbol}[0-9]*", name) for name in taken):
        symbol += letter
    return symbol
