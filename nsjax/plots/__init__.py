"""Figures: a result in, a matplotlib Figure out."""

from nsjax.plots.alignment import animate_alignment, plot_alignment_frame
from nsjax.plots.cascade import (
    escape_order,
    plot_cascade,
    plot_descent,
    plot_kept_sparsity,
    plot_neuron_norms,
    plot_neuron_residuals,
    plot_visits,
)
from nsjax.plots.channels import plot_channel_courses, plot_channel_shares, plot_channels
from nsjax.plots.claims import plot_claims
from nsjax.plots.compressed_sensing import plot_recovery
from nsjax.plots.compression import plot_compression
from nsjax.plots.constants import plot_constants, plot_length_bounds, plot_pointwise
from nsjax.plots.departures import plot_break_curve, plot_kept_shares, plot_rival_growth
from nsjax.plots.diagnostics import (
    plot_balance_panels,
    plot_balance_ratio,
    plot_imbalance,
    plot_neuron_alignment,
    plot_spectrum,
)
from nsjax.plots.ensembles import plot_loss_bands
from nsjax.plots.escape import plot_escape, plot_escape_times, plot_series
from nsjax.plots.exponents import VERDICTS, plot_exponent_map, plot_exponents
from nsjax.plots.fourier import plot_fourier
from nsjax.plots.infinity import plot_escape_exponents, plot_margins, plot_races
from nsjax.plots.kkt import (
    plot_alignment,
    plot_circle,
    plot_dominant,
    plot_kkt_path,
    plot_kkt_points,
    plot_landscape,
    plot_shares,
)
from nsjax.plots.lojasiewicz import plot_lojasiewicz, plot_path_length
from nsjax.plots.matrix_sensing import (
    ErrorCurve,
    Threshold,
    plot_sensing,
    plot_sensing_errors,
    plot_sensing_thresholds,
)
from nsjax.plots.networks import plot_learning_curves
from nsjax.plots.neuronseek import (
    plot_confusion,
    plot_exactness,
    plot_predictions,
    plot_stability,
    plot_term_shares,
    plot_terms,
)
from nsjax.plots.orbits import (
    plot_depth_law,
    plot_error_budget,
    plot_invariant_density,
    plot_rounding,
    plot_same_depth,
)
from nsjax.plots.pruning import plot_structures
from nsjax.plots.pursuit import (
    plot_balance,
    plot_growth,
    plot_insertions,
    plot_ncf,
    plot_used,
    plot_weights,
)
from nsjax.plots.sample_efficiency import plot_error_bands, plot_sample_efficiency
from nsjax.plots.scaling import plot_scaling
from nsjax.plots.sparsity import plot_active_neurons, plot_activity, plot_sparsity
from nsjax.plots.stability import plot_courses, plot_error_boxes
from nsjax.plots.style import power_of_ten

__all__ = [
    "VERDICTS",
    "ErrorCurve",
    "Threshold",
    "animate_alignment",
    "escape_order",
    "plot_active_neurons",
    "plot_activity",
    "plot_alignment",
    "plot_alignment_frame",
    "plot_balance",
    "plot_balance_panels",
    "plot_balance_ratio",
    "plot_break_curve",
    "plot_cascade",
    "plot_channel_courses",
    "plot_channel_shares",
    "plot_channels",
    "plot_circle",
    "plot_claims",
    "plot_compression",
    "plot_confusion",
    "plot_constants",
    "plot_courses",
    "plot_depth_law",
    "plot_descent",
    "plot_dominant",
    "plot_error_bands",
    "plot_error_boxes",
    "plot_error_budget",
    "plot_escape",
    "plot_escape_exponents",
    "plot_escape_times",
    "plot_exactness",
    "plot_exponent_map",
    "plot_exponents",
    "plot_fourier",
    "plot_growth",
    "plot_imbalance",
    "plot_insertions",
    "plot_invariant_density",
    "plot_kept_shares",
    "plot_kept_sparsity",
    "plot_kkt_path",
    "plot_kkt_points",
    "plot_landscape",
    "plot_learning_curves",
    "plot_length_bounds",
    "plot_lojasiewicz",
    "plot_loss_bands",
    "plot_margins",
    "plot_ncf",
    "plot_neuron_alignment",
    "plot_neuron_norms",
    "plot_neuron_residuals",
    "plot_path_length",
    "plot_pointwise",
    "plot_predictions",
    "plot_races",
    "plot_recovery",
    "plot_rival_growth",
    "plot_rounding",
    "plot_same_depth",
    "plot_sample_efficiency",
    "plot_scaling",
    "plot_sensing",
    "plot_sensing_errors",
    "plot_sensing_thresholds",
    "plot_series",
    "plot_shares",
    "plot_sparsity",
    "plot_spectrum",
    "plot_stability",
    "plot_structures",
    "plot_term_shares",
    "plot_terms",
    "plot_used",
    "plot_visits",
    "plot_weights",
    "power_of_ten",
]
