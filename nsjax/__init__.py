"""nsjax: the theory and dynamics of how neural networks grow, in JAX.

Gradient flow near saddle points, the neural correlation function (NCF), its KKT points, neuron
pursuit, and task-driven neurons with a readable formula. Every name is reached through its
subpackage, `nsjax.networks`, `nsjax.objectives`, `nsjax.kkt`, `nsjax.diagnostics`,
`nsjax.dynamics`, `nsjax.pursuit`, `nsjax.neuronseek`, `nsjax.data`, `nsjax.plots`, `nsjax.runs`;
each is imported when it is first used, so that `import nsjax` stays light and changes no setting
of JAX.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nsjax import (
        data,
        diagnostics,
        dynamics,
        kkt,
        networks,
        neuronseek,
        objectives,
        plots,
        pursuit,
        runs,
    )
    from nsjax.networks import PolyLeakyReLU

__version__ = "0.1.0"

_SUBPACKAGES = (
    "data",
    "diagnostics",
    "dynamics",
    "kkt",
    "networks",
    "neuronseek",
    "objectives",
    "plots",
    "pursuit",
    "runs",
)

__all__ = [
    "PolyLeakyReLU",
    "__version__",
    "data",
    "diagnostics",
    "dynamics",
    "kkt",
    "networks",
    "neuronseek",
    "objectives",
    "plots",
    "pursuit",
    "runs",
]


def __getattr__(name: str) -> Any:
    if name in _SUBPACKAGES:
        return importlib.import_module(f"nsjax.{name}")
    if name == "PolyLeakyReLU":
        from nsjax.networks import PolyLeakyReLU

        return PolyLeakyReLU
    raise AttributeError(f"module 'nsjax' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
