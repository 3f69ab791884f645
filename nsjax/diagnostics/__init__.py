"""What to measure on networks and trajectories."""

from nsjax.diagnostics.balance import balance_ratio, imbalance, neuron_size
from nsjax.diagnostics.scaling import PowerLaw, power_law

__all__ = ["PowerLaw", "balance_ratio", "imbalance", "neuron_size", "power_law"]
