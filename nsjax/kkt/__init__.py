"""KKT points of homogeneous objectives on the unit sphere: `max N(w)` subject to `||w|| = 1`."""

from nsjax.kkt.certificate import KKTPoints, residual
from nsjax.kkt.neuron import search_family, search_neuron
from nsjax.kkt.search import search
from nsjax.kkt.slices import Circle, circle
from nsjax.kkt.sphere import dot, norm, random_unit, tangent, unit
from nsjax.kkt.tracking import Levels, Track, levels, match, neuron_cosines, track

__all__ = [
    "Circle",
    "KKTPoints",
    "Levels",
    "Track",
    "circle",
    "dot",
    "levels",
    "match",
    "neuron_cosines",
    "norm",
    "random_unit",
    "residual",
    "search",
    "search_family",
    "search_neuron",
    "tangent",
    "track",
    "unit",
]
