"""Homogeneous networks, tuples of weight matrices, and polynomial neurons (`cp`, `tucker`)."""

from nsjax.networks import compression, cp, tucker
from nsjax.networks.activations import PolyLeakyReLU
from nsjax.networks.balance import balance
from nsjax.networks.bases import BASES, Basis, register_basis
from nsjax.networks.compression import (
    Compressed,
    compress,
    convolve,
    multiplications,
    output_error,
)
from nsjax.networks.euler import Homogeneity, homogeneity
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
from nsjax.networks.padding import pad
from nsjax.networks.patches import PatchMoments, patch_moments
from nsjax.networks.plane import fan
from nsjax.networks.products import ProductNeurons, Products
from nsjax.networks.quadratic_form import (
    BOTH_LAYERS,
    both_layers_factors,
    first_layer_factors,
    gaussian_error,
    quadratic_form,
    schatten,
)
from nsjax.networks.smooth import SMOOTH, gompertz
from nsjax.networks.symmetries import symmetry_directions
from nsjax.networks.teacher import teacher_targets
from nsjax.networks.units import DiagonalUnits, SignedSquares, TwoLayerUnits, Units

__all__ = [
    "BASES",
    "BOTH_LAYERS",
    "SMOOTH",
    "Basis",
    "Compressed",
    "DiagonalUnits",
    "Homogeneity",
    "HomogeneousNeurons",
    "NeuronFamily",
    "PatchMoments",
    "PolyLeakyReLU",
    "ProductNeurons",
    "Products",
    "SignedSquares",
    "TwoLayerUnits",
    "Units",
    "activation_degree",
    "append_neuron",
    "apply",
    "balance",
    "both_layers_factors",
    "compress",
    "compression",
    "convolve",
    "cp",
    "degree",
    "fan",
    "features",
    "first_layer_factors",
    "gaussian_error",
    "gompertz",
    "homogeneity",
    "init",
    "multiplications",
    "output_error",
    "pad",
    "patch_moments",
    "pullback",
    "quadratic_form",
    "register_basis",
    "schatten",
    "symmetry_directions",
    "teacher_targets",
    "tucker",
]
