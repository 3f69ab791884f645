"""Task-driven neurons: search for a polynomial neuron that fits, as a readable formula."""

from nsjax.neuronseek.config import Config
from nsjax.neuronseek.formula import Formula
from nsjax.neuronseek.layers import LayerTerms, TaskConv, TaskDense
from nsjax.neuronseek.parts import Structure
from nsjax.neuronseek.results import MESSAGES, History, Search
from nsjax.neuronseek.ridge import Ridge
from nsjax.neuronseek.scaled import ScaledFormula
from nsjax.neuronseek.search import search
from nsjax.neuronseek.signatures import over_seeds
from nsjax.neuronseek.training import Training

__all__ = [
    "MESSAGES",
    "Config",
    "Formula",
    "History",
    "LayerTerms",
    "Ridge",
    "ScaledFormula",
    "Search",
    "Structure",
    "TaskConv",
    "TaskDense",
    "Training",
    "over_seeds",
    "search",
]
