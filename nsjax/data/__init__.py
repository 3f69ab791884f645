"""Data sets, generated or bundled."""

from nsjax.data.modular import modular_addition
from nsjax.data.synthetic import INPUTS, gaussian, hypercube, sphere
from nsjax.data.tabular import BUNDLED, bundled, read_npz, standardised

__all__ = [
    "BUNDLED",
    "INPUTS",
    "bundled",
    "gaussian",
    "hypercube",
    "modular_addition",
    "read_npz",
    "sphere",
    "standardised",
]
