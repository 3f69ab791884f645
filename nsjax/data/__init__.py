"""Data sets, generated, measured or bundled."""

from nsjax.data.degenerate import (
    DegenerateTask,
    collinear_inputs,
    conflict_task,
    contact_task,
    valley_task,
)
from nsjax.data.images import Images, cifar10, digits
from nsjax.data.labels import Labelled, coordinate_classes, quadric_classes
from nsjax.data.matrix_sensing import DESIGNS, matrix_sensing, measurement_matrices
from nsjax.data.modular import modular_addition
from nsjax.data.monomials import monomial_task
from nsjax.data.polynomials import (
    FAMILIES,
    POLYNOMIALS,
    Polynomial,
    PolynomialData,
    Recipe,
    interaction_task,
    polynomial_classes,
    polynomial_task,
)
from nsjax.data.pvr import AGGREGATES, pointer_value_retrieval
from nsjax.data.scaling import Scaler
from nsjax.data.sensing import compressed_sensing
from nsjax.data.smooth import SMOOTH_TASKS, smooth_task
from nsjax.data.sparse import SPARSE, Target, sparse_task
from nsjax.data.splits import split
from nsjax.data.structured import composed_task, two_order_task
from nsjax.data.synthetic import INPUTS, gaussian, hypercube, sphere, uniform
from nsjax.data.tables import Table, load
from nsjax.data.tabular import (
    BUNDLED,
    CLASSES,
    bundled,
    by_name,
    column_names,
    npz_contents,
    read_npz,
    standardised,
)
from nsjax.data.tied import tied_task

__all__ = [
    "AGGREGATES",
    "BUNDLED",
    "CLASSES",
    "DESIGNS",
    "FAMILIES",
    "INPUTS",
    "POLYNOMIALS",
    "SMOOTH_TASKS",
    "SPARSE",
    "DegenerateTask",
    "Images",
    "Labelled",
    "Polynomial",
    "PolynomialData",
    "Recipe",
    "Scaler",
    "Table",
    "Target",
    "bundled",
    "by_name",
    "cifar10",
    "collinear_inputs",
    "column_names",
    "composed_task",
    "compressed_sensing",
    "conflict_task",
    "contact_task",
    "coordinate_classes",
    "digits",
    "gaussian",
    "hypercube",
    "interaction_task",
    "load",
    "matrix_sensing",
    "measurement_matrices",
    "modular_addition",
    "monomial_task",
    "npz_contents",
    "pointer_value_retrieval",
    "polynomial_classes",
    "polynomial_task",
    "quadric_classes",
    "read_npz",
    "smooth_task",
    "sparse_task",
    "sphere",
    "split",
    "standardised",
    "tied_task",
    "two_order_task",
    "uniform",
    "valley_task",
]
