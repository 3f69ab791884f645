"""Data sets, generated or bundled."""

from nsjax.data.synthetic import INPUTS, gaussian, hypercube, sphere

__all__ = ["INPUTS", "gaussian", "hypercube", "sphere"]
