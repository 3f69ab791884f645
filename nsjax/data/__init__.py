"""Data sets, generated or bundled."""

from nsjax.data.modular import modular_addition
from nsjax.data.pvr import AGGREGATES, pointer_value_retrieval
from nsjax.data.sensing import compressed_sensing
from nsjax.data.sparse import SPARSE, Target, sparse_task
from nsjax.data.splits import split
from nsjax.data.synthetic import INPUTS, gaussian, hypercube, sphere
from nsjax.data.tabular import BUNDLED, bundled, read_npz, standardised

__all__ = [
    "AGGREGATES",
    "BUNDLED",
    "INPUTS",
    "SPARSE",
    "Target",
    "bundled",
    "compressed_sensing",
    "gaussian",
    "hypercube",
    "modular_addition",
    "pointer_value_retrieval",
    "read_npz",
    "sparse_task",
    "sphere",
    "split",
    "standardised",
]
