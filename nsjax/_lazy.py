"""Names that are imported when they are first used: what every lazy `__init__` calls (PEP 562)."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def attach(
    package: str, sources: Mapping[str, str | None]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a package whose heavy names wait for their first use.

    The names also belong into `__all__`, and into imports under `if TYPE_CHECKING`, from which
    type checkers, editors and documentation read them. Assign the two under
    `if not TYPE_CHECKING`, or a type checker takes every misspelt name for one of them.

    Args:
        package: its `__name__`.
        sources: for each name the module that defines it, or None for a module of that name; both
            inside the package.

    Returns:
        The two functions. A name is kept in the package once it is there.

    >>> get, _ = attach("nsjax", {"kkt": None, "power_law": "diagnostics.scaling"})
    >>> get("kkt").__name__, get("power_law").__name__
    ('nsjax.kkt', 'power_law')
    """

    def get(name: str) -> Any:
        if name not in sources:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        source = sources[name]
        module = importlib.import_module(f"{package}.{source or name}")
        found = module if source is None else getattr(module, name)
        setattr(sys.modules[package], name, found)
        return found

    def listed() -> list[str]:
        held = vars(sys.modules[package])
        names: Sequence[str] = held.get("__all__", tuple(held))
        return sorted(names)

    return get, listed
