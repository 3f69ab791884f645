"""nsjax: the theory and dynamics of how neural networks grow, in JAX.

Gradient flow near saddle points, the neural correlation function (NCF), its KKT points, neuron
pursuit, and task-driven neurons with a readable formula. Every name is reached through its
subpackage, `nsjax.networks`, `nsjax.objectives`, `nsjax.kkt`, `nsjax.diagnostics`,
`nsjax.dynamics`, `nsjax.pursuit`, `nsjax.neuronseek`, `nsjax.data`, `nsjax.plots`, `nsjax.runs`;
each is imported when it is first used, so that `import nsjax` stays light and changes no setting
of JAX.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nsjax import _lazy

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

if not TYPE_CHECKING:
    _MODULES = {name: None for name in __all__ if name not in ("PolyLeakyReLU", "__version__")}
    __getattr__, __dir__ = _lazy.attach(__name__, {"PolyLeakyReLU": "networks", **_MODULES})
