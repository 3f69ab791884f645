"""Homogeneous networks: parameters are tuples of weight matrices."""

from nsjax.networks.activations import PolyLeakyReLU
from nsjax.networks.balance import balance
from nsjax.networks.family import HomogeneousNeurons, NeuronFamily
from nsjax.networks.homogeneous import (
    activation_degree,
    append_neuron,
    apply,
    degree,
    features,
    init,
    pullback,
)
from nsjax.networks.symmetries import symmetry_directions
from nsjax.networks.teacher import teacher_targets

__all__ = [
    "HomogeneousNeurons",
    "NeuronFamily",
    "PolyLeakyReLU",
    "activation_degree",
    "append_neuron",
    "apply",
    "balance",
    "degree",
    "features",
    "init",
    "pullback",
    "symmetry_directions",
    "teacher_targets",
]
