"""What to measure on networks and trajectories."""

from nsjax.diagnostics.activity import (
    NeuronActivity,
    dormant_ratio,
    dormant_scores,
    gradient_scores,
    neuron_activity,
)
from nsjax.diagnostics.alignment import Alignment, alignment
from nsjax.diagnostics.balance import balance_ratio, imbalance, neuron_size
from nsjax.diagnostics.channels import (
    ChannelLimit,
    ChannelRule,
    Channels,
    ChannelWatch,
    channel_limit,
    channels,
    limit_response,
    watch_channels,
)
from nsjax.diagnostics.directions import effective_directions
from nsjax.diagnostics.exponent import lojasiewicz
from nsjax.diagnostics.fourier import FourierModes, fourier_modes
from nsjax.diagnostics.inequality import Fitted, Lojasiewicz
from nsjax.diagnostics.kept import KeptSparsity, kept_sparsity
from nsjax.diagnostics.lengths import PathLength, Trajectory, path_length
from nsjax.diagnostics.morse_bott import MorseBott, Valley, morse_bott
from nsjax.diagnostics.pointwise import Pointwise, pointwise
from nsjax.diagnostics.scaling import PowerLaw, power_law
from nsjax.diagnostics.sensing_limit import sensing_limit
from nsjax.diagnostics.sparsity import (
    WeightSparsity,
    active_neurons,
    neuron_norms,
    weight_sparsity,
)
from nsjax.diagnostics.spectrum import HessianSpectrum, hessian_spectrum
from nsjax.diagnostics.statistical_dimension import StatisticalDimension, statistical_dimension

__all__ = [
    "Alignment",
    "ChannelLimit",
    "ChannelRule",
    "ChannelWatch",
    "Channels",
    "Fitted",
    "FourierModes",
    "HessianSpectrum",
    "KeptSparsity",
    "Lojasiewicz",
    "MorseBott",
    "NeuronActivity",
    "PathLength",
    "Pointwise",
    "PowerLaw",
    "StatisticalDimension",
    "Trajectory",
    "Valley",
    "WeightSparsity",
    "active_neurons",
    "alignment",
    "balance_ratio",
    "channel_limit",
    "channels",
    "dormant_ratio",
    "dormant_scores",
    "effective_directions",
    "fourier_modes",
    "gradient_scores",
    "hessian_spectrum",
    "imbalance",
    "kept_sparsity",
    "limit_response",
    "lojasiewicz",
    "morse_bott",
    "neuron_activity",
    "neuron_norms",
    "neuron_size",
    "path_length",
    "pointwise",
    "power_law",
    "sensing_limit",
    "statistical_dimension",
    "watch_channels",
    "weight_sparsity",
]
