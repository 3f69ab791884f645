"""Task-driven neurons: search for a polynomial neuron that fits, as a readable formula."""

from typing import TYPE_CHECKING

from nsjax import _lazy
from nsjax.neuronseek.config import Config
from nsjax.neuronseek.formula import Formula
from nsjax.neuronseek.parts import Structure
from nsjax.neuronseek.results import MESSAGES, History, Search
from nsjax.neuronseek.ridge import Ridge
from nsjax.neuronseek.scaled import ScaledFormula
from nsjax.neuronseek.search import search
from nsjax.neuronseek.signatures import over_seeds
from nsjax.neuronseek.training import Training

if TYPE_CHECKING:  # with flax, which a search does not need
    from nsjax.neuronseek.layers import LayerTerms, TaskConv, TaskDense

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

if not TYPE_CHECKING:
    __getattr__, __dir__ = _lazy.attach(
        __name__, dict.fromkeys(("LayerTerms", "TaskConv", "TaskDense"), "layers")
    )
