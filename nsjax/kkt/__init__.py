"""KKT points of homogeneous objectives on the unit sphere: `max N(w)` subject to `||w|| = 1`."""

from nsjax.kkt.certificate import KKTPoints, residual
from nsjax.kkt.neuron import search_neuron
from nsjax.kkt.search import search
from nsjax.kkt.sphere import dot, norm, random_unit, tangent, unit

__all__ = [
    "KKTPoints",
    "dot",
    "norm",
    "random_unit",
    "residual",
    "search",
    "search_neuron",
    "tangent",
    "unit",
]
