"""Functions of one projection that a task-driven neuron may use beside powers: a registry."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from nsjax import _check

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,31}")


@dataclass(frozen=True)
class Basis:
    """A function `t -> function(t)` of a projection `t = u . x`, and how formulas write it.

    Attributes:
        name: letters, digits and underscores; formulas are saved with it.
        function: elementwise and differentiable, of arrays of any shape.
        text: how plain text writes it, with `{}` for the projection, such as `"sin({})"`.
        latex: the same for LaTeX.
        odd: whether `function(-t) = -function(t)`; None if it is neither odd nor even. It decides
            whether the sign of u can move into the coefficient.
    """

    name: str
    function: Callable[[jax.Array], jax.Array]
    text: str
    latex: str
    odd: bool | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise ValueError(
                "name must be at most 32 letters, digits and underscores, starting with a letter, "
                f"got {self.name!r}"
            )
        _check.function("function", self.function)
        for field in ("text", "latex"):
            pattern = getattr(self, field)
            if not isinstance(pattern, str) or pattern.count("{}") != 1:
                raise ValueError(f"{field} must be a string with one {{}}, got {pattern!r}")
        if self.odd is not None and not isinstance(self.odd, bool):
            raise TypeError(f"odd must be True, False or None, got {self.odd!r}")


BASES: dict[str, Basis] = {}
"""All bases by name; `register_basis` adds to it."""


def register_basis(basis: Basis) -> Basis:
    """Add a basis, so that templates and saved formulas may name it.

    Raises:
        TypeError, ValueError: for what is no `Basis`, or a name that another one has.

    >>> register_basis(Basis("cube_root", jnp.cbrt, "cbrt({})", "({})^{1/3}", odd=True)).name
    'cube_root'
    >>> _ = BASES.pop("cube_root")
    """
    if not isinstance(basis, Basis):
        raise TypeError(f"basis must be a Basis, got {type(basis).__name__}")
    if BASES.get(basis.name, basis) != basis:
        raise ValueError(f"basis must have a new name, got {basis.name!r}, which there is")
    BASES[basis.name] = basis
    return basis


def basis(name: Any) -> Basis:
    """The basis of that name.

    Raises:
        ValueError: if there is none.
    """
    if not isinstance(name, str) or name not in BASES:
        raise ValueError(f"bases must be among {', '.join(BASES)}, or be registered, got {name!r}")
    return BASES[name]


def _bell(t: jax.Array) -> jax.Array:
    return jnp.exp(-(t**2))


for _each in (
    Basis("sine", jnp.sin, "sin({})", r"\sin\left({}\right)", odd=True),
    Basis("cosine", jnp.cos, "cos({})", r"\cos\left({}\right)", odd=False),
    Basis("tanh", jnp.tanh, "tanh({})", r"\tanh\left({}\right)", odd=True),
    Basis("bell", _bell, "exp(-({})^2)", r"e^{-\left({}\right)^2}", odd=False),
    Basis("exponential", jnp.exp, "exp({})", r"\exp\left({}\right)"),
):
    register_basis(_each)
