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
from nsjax.diagnostics.courses import NeuronCourse, course_length, neuron_course
from nsjax.diagnostics.directions import effective_directions
from nsjax.diagnostics.exponent import lojasiewicz
from nsjax.diagnostics.fourier import FourierModes, fourier_modes
from nsjax.diagnostics.inequality import Fitted, Lojasiewicz
from nsjax.diagnostics.intervals import mean_interval, median_interval, share_interval
from nsjax.diagnostics.kept import KeptSparsity, kept_sparsity
from nsjax.diagnostics.lengths import PathLength, Trajectory, path_length
from nsjax.diagnostics.margin import MarginPoint, best_margin, margin_point
from nsjax.diagnostics.morse_bott import MorseBott, Valley, morse_bott
from nsjax.diagnostics.pointwise import Pointwise, pointwise
from nsjax.diagnostics.regularity import Regular, Regularity, ncf_share, regularity
from nsjax.diagnostics.rivals import (
    KEPT,
    NOT_LEFT,
    REASONS,
    Departures,
    break_reasons,
    critical_rate,
    departures,
    fall_growth,
    predicted_breaks,
    rescaled_rates,
    rival_growth,
    within_fall,
)
from nsjax.diagnostics.saves import saves_around_drop
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
    "KEPT",
    "NOT_LEFT",
    "REASONS",
    "Alignment",
    "ChannelLimit",
    "ChannelRule",
    "ChannelWatch",
    "Channels",
    "Departures",
    "Fitted",
    "FourierModes",
    "HessianSpectrum",
    "KeptSparsity",
    "Lojasiewicz",
    "MarginPoint",
    "MorseBott",
    "NeuronActivity",
    "NeuronCourse",
    "PathLength",
    "Pointwise",
    "PowerLaw",
    "Regular",
    "Regularity",
    "StatisticalDimension",
    "Trajectory",
    "Valley",
    "WeightSparsity",
    "active_neurons",
    "alignment",
    "balance_ratio",
    "best_margin",
    "break_reasons",
    "channel_limit",
    "channels",
    "course_length",
    "critical_rate",
    "departures",
    "dormant_ratio",
    "dormant_scores",
    "effective_directions",
    "fall_growth",
    "fourier_modes",
    "gradient_scores",
    "hessian_spectrum",
    "imbalance",
    "kept_sparsity",
    "limit_response",
    "lojasiewicz",
    "margin_point",
    "mean_interval",
    "median_interval",
    "morse_bott",
    "ncf_share",
    "neuron_activity",
    "neuron_course",
    "neuron_norms",
    "neuron_size",
    "path_length",
    "pointwise",
    "power_law",
    "predicted_breaks",
    "regularity",
    "rescaled_rates",
    "rival_growth",
    "saves_around_drop",
    "sensing_limit",
    "share_interval",
    "statistical_dimension",
    "watch_channels",
    "weight_sparsity",
    "within_fall",
]
