"""Diagonal networks `H(x; u, v) = sum_j u_j v_j x_j`: pursuit, gradient flow, sparsity."""

from nsjax.pursuit.diagonal.comparison import (
    common_start,
    recovered,
    same_support,
    support,
)
from nsjax.pursuit.diagonal.descent import Flow, coefficients, flow, flow_limit
from nsjax.pursuit.diagonal.growth import Growth, grow, small_direction, waits
from nsjax.pursuit.diagonal.network import DiagonalNCF, minimise, weights
from nsjax.pursuit.diagonal.references import basis_pursuit, orthogonal_matching_pursuit
from nsjax.pursuit.diagonal.saddles import Visited, successive_saddles

__all__ = [
    "DiagonalNCF",
    "Flow",
    "Growth",
    "Visited",
    "basis_pursuit",
    "coefficients",
    "common_start",
    "flow",
    "flow_limit",
    "grow",
    "minimise",
    "orthogonal_matching_pursuit",
    "recovered",
    "same_support",
    "small_direction",
    "successive_saddles",
    "support",
    "waits",
    "weights",
]
